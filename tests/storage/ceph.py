"""A real S3 server for the tests: Ceph's monitor, one object daemon in memory and the RADOS gateway, on loopback."""
import hashlib
import hmac
import http.client
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import uuid

from server import die_with_us, free_port, until

ACCESS, SECRET, BUCKET = "VITRINETESTKEY", "a/secret+of=tests", "pictures"
# Without these the daemons wait a second for every change of a map: 16 s to start instead of 2.
CONFIG = """[global]
fsid = {fsid}
mon_host = v2:127.0.0.1:{monitor}
public_network = 127.0.0.0/8
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_bind_msgr1 = false
keyring = {home}/keyring
run_dir = {home}
log_file = {home}/$name.log
admin_socket = {home}/$name.asok
crash_dir = {home}
auth_allow_insecure_global_id_reclaim = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
objecter_tick_interval = 0.25
mon_tick_interval = 1
[mon]
mon_data = {home}/mon
[osd]
osd_data = {home}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_class_load_list = *
osd_class_default_list = *
[client.rgw.a]
rgw_frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw_data = {home}/rgw
"""


class Ceph:
    """start() to stop(); put(), delete() and request() speak to it with a signature of their own."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="vts3-", dir="/tmp")
        self.port = free_port()
        self.daemons = {}

    def tool(self, *command, timeout=60):
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def run(self, name, *command):
        with open(f"{self.home}/{name}.out", "wb") as out:
            self.daemons[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                  start_new_session=True, preexec_fn=die_with_us)

    def start(self):
        monitor, fsid = free_port(), str(uuid.uuid4())
        config = f"{self.home}/ceph.conf"
        for folder in ("mon", "osd", "rgw"):
            os.mkdir(f"{self.home}/{folder}")
        with open(config, "w") as file:
            file.write(CONFIG.format(home=self.home, fsid=fsid, monitor=monitor, port=self.port))
        keyring = f"{self.home}/keyring"
        for name, caps in (("mon.", ["mon", "allow *"]), ("client.admin", ["mon", "allow *", "osd", "allow *"]),
                           ("client.rgw.a", ["mon", "allow *", "osd", "allow *"]),
                           ("osd.0", ["mon", "allow profile osd", "osd", "allow *"])):
            create = [] if os.path.exists(keyring) else ["--create-keyring"]
            options = [word for at in range(0, len(caps), 2) for word in ("--cap", caps[at], caps[at + 1])]
            self.tool("ceph-authtool", keyring, *create, "--gen-key", "-n", name, *options)
        self.tool("monmaptool", "--create", "--clobber", "--fsid", fsid, "--addv", "a", f"[v2:127.0.0.1:{monitor}]",
                  f"{self.home}/monmap")
        self.tool("ceph-mon", "-c", config, "-i", "a", "--mkfs", "--monmap", f"{self.home}/monmap", "--keyring", keyring)
        self.run("mon", "ceph-mon", "-c", config, "-i", "a", "-f", "--public-addr", f"v2:127.0.0.1:{monitor}")
        osd = str(uuid.uuid4())
        self.tool("ceph", "-c", config, "osd", "new", osd, "0")
        self.tool("ceph-osd", "-c", config, "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.run("osd", "ceph-osd", "-c", config, "-i", "0", "-f")
        self.tool("radosgw-admin", "-c", config, "-n", "client.rgw.a", "user", "create", "--uid=test",
                  "--display-name=test", f"--access-key={ACCESS}", f"--secret={SECRET}")
        self.run("rgw", "radosgw", "-c", config, "-n", "client.rgw.a", "-f")
        until(self.has_bucket, 60, "the S3 server takes requests")
        return self

    def has_bucket(self):
        assert all(daemon.poll() is None for daemon in self.daemons.values()), f"a daemon of Ceph has ended: {self.home}"
        try:
            return self.request("PUT", "")[0] in (200, 409)
        except OSError:
            return False

    def stop(self):
        for daemon in self.daemons.values():
            daemon.send_signal(signal.SIGCONT)
            daemon.kill()
            daemon.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def pause(self):
        """Requests hang from here on."""
        self.daemons["osd"].send_signal(signal.SIGSTOP)

    def resume(self):
        self.daemons["osd"].send_signal(signal.SIGCONT)

    def most_requests(self, number):
        """Above so many at once it answers 503 SlowDown by itself."""
        self.tool("ceph", "-c", f"{self.home}/ceph.conf", "--admin-daemon", f"{self.home}/client.rgw.a.asok", "config",
                  "set", "rgw_max_concurrent_requests", str(number))

    # Signature Version 4, by the tests' own hand: what the server is sent must not come from the code under test.
    def request(self, method, key, body=b""):
        path = urllib.parse.quote(f"/{BUCKET}/{key}".rstrip("/"))
        host, day = f"127.0.0.1:{self.port}", time.strftime("%Y%m%d", time.gmtime())
        moment, payload = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()), hashlib.sha256(body).hexdigest()
        names = "host;x-amz-content-sha256;x-amz-date"
        canonical = "\n".join([method, path, "", f"host:{host}", f"x-amz-content-sha256:{payload}",
                               f"x-amz-date:{moment}", "", names, payload])
        scope = f"{day}/us-east-1/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        secret = ("AWS4" + SECRET).encode()
        for word in (day, "us-east-1", "s3", "aws4_request"):
            secret = hmac.new(secret, word.encode(), hashlib.sha256).digest()
        signature = hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, body, {
            "x-amz-date": moment, "x-amz-content-sha256": payload,
            "Authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS}/{scope}, SignedHeaders={names}, Signature={signature}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def log(self, key):
        """The ranges that the gateway's own log says were asked for of an object, in blocks of 32 KiB; None: all of it."""
        with open(f"{self.home}/client.rgw.a.log") as log:
            lines = re.findall(rf'"GET /{BUCKET}/{re.escape(key)} HTTP/1.1" (\d+) .* (\S+) latency', log.read())
        asked = [(status, re.fullmatch(r"bytes=(\d+)-(\d+)", part)) for status, part in lines]
        return [(int(status), range(int(part[1]) >> 15, (int(part[2]) >> 15) + 1) if part else None) for status, part in asked]

    def put(self, key, data):
        status, body = self.request("PUT", key, data)
        assert status == 200, body

    def delete(self, key):
        assert self.request("DELETE", key)[0] == 204
