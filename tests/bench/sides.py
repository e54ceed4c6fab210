"""The servers that are measured: each is started on free ports in a folder of its own and ended again.

IIPImage: six iipsrv.fcgi with one OpenMP thread each on one listening socket, so that whichever is free takes the
next request, behind nginx. Vitrine: one program. Static: nginx with the tiles as files, as the upper bound.
"""
import http.client
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import processes

IIPSRV_PROCESSES = 6
START_LIMIT_S = 15
STOP_LIMIT_S = 10

NGINX = """
{user}
daemon off;
pid {home}/nginx.pid;
error_log {home}/nginx-error.log;
worker_processes {workers};
worker_rlimit_nofile {files};
events {{ worker_connections 8192; }}
http {{
    access_log off;
    default_type image/jpeg;
    sendfile on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_body_temp_path {home}/t1; fastcgi_temp_path {home}/t2; proxy_temp_path {home}/t3;
    uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
    {http}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        {server}
    }}
}}
"""

FASTCGI = """
        location /iiif/ {{
            fastcgi_pass unix:{socket};
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param HTTP_HOST $http_host;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            fastcgi_param HTTP_IF_MODIFIED_SINCE $http_if_modified_since if_not_empty;
            fastcgi_buffer_size 32k;
            fastcgi_buffers 64 32k;
            fastcgi_busy_buffers_size 256k;
            fastcgi_max_temp_file_size 0;
            fastcgi_read_timeout 120s;
        }}
"""


def allow_many_files():
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 65536), most))
    return min(most, 65536)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(port, path, timeout=60):
    """(status, headers, body) of one request on a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


class Side:
    """One server under measurement. `server` and `front` are the roots of its processes."""

    name = prefix = ""

    def __init__(self):
        self.server, self.front, self.port, self.home = [], [], 0, None

    def spawn(self, command, **options):
        with open(os.path.join(self.home, "log"), "ab") as log:
            return subprocess.Popen(command, stdin=options.pop("stdin", subprocess.DEVNULL), stdout=log, stderr=log,
                                    start_new_session=True, preexec_fn=processes.die_with_parent, **options)

    def spawn_nginx(self, http_part, server_part):
        path = os.path.join(self.home, "nginx.conf")
        with open(path, "w") as conf:
            conf.write(NGINX.format(home=self.home, port=self.port, http=http_part, server=server_part,
                                    user="user root;" if os.geteuid() == 0 else "", workers=os.cpu_count(),
                                    files=allow_many_files()))
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        self.front = [self.spawn([nginx, "-c", path, "-p", self.home, "-e", os.path.join(self.home, "nginx-error.log")])]

    def log(self):
        with open(os.path.join(self.home, "log"), errors="replace") as log:
            return log.read()

    def trouble(self):
        """What the logs call an error, such as a worker that died: the first lines."""
        lines = []
        for name in ("log", "nginx-error.log"):
            path = os.path.join(self.home, name)
            if os.path.exists(path):
                with open(path, errors="replace") as log:
                    lines += [line.strip() for line in log if re.search(r" error: |\[(error|crit|alert|emerg)\]", line)]
        return lines[:5] + ([f"and {len(lines) - 5} more"] if len(lines) > 5 else [])

    def roots(self, which=None):
        return [process.pid for process in (self.server + self.front if which is None else which)]

    def wait_until(self, is_ready):
        end = time.monotonic() + START_LIMIT_S
        while True:
            for process in self.server + self.front:
                if process.poll() is not None:
                    raise RuntimeError(f"{self.name} left with {process.returncode}: {self.log()[-2000:]}")
            try:
                if is_ready():
                    return
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > end:
                raise RuntimeError(f"{self.name} is not ready after {START_LIMIT_S} s: {self.log()[-2000:]}")
            time.sleep(0.02)

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="bench-")
        self.port = free_port()
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        every = self.front + self.server
        for process in every:
            if process.poll() is None:
                process.send_signal(self.end_signal)
        end = time.monotonic() + STOP_LIMIT_S
        for process in every:
            try:
                process.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                for pid in processes.tree([process.pid]):
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                process.wait()
        self.server, self.front = [], []
        shutil.rmtree(self.home, ignore_errors=True)

    end_signal = signal.SIGTERM


class Iipsrv(Side):
    name, prefix = "iipsrv", "/iiif/"

    def __init__(self, program, pyramids, quality):
        super().__init__()
        self.program, self.pyramids, self.quality = program, pyramids, quality
        self.version = self.ask_version()

    def ask_version(self):
        """As its log says: neither the program nor its answers do."""
        with tempfile.TemporaryDirectory() as home:
            log = os.path.join(home, "log")
            process = subprocess.Popen([self.program, "--bind", f"127.0.0.1:{free_port()}"],
                                       env={**os.environ, "LOGFILE": log, "VERBOSITY": "1"},
                                       preexec_fn=processes.die_with_parent,
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                for _ in range(100):
                    text = open(log).read() if os.path.exists(log) else ""
                    found = re.search(r"Server\. Version (\S+)", text)
                    if found:
                        return found.group(1)
                    time.sleep(0.02)
                return "unknown"
            finally:
                process.kill()
                process.wait()

    def start(self):
        path = os.path.join(self.home, "fastcgi")
        environment = {**os.environ, "FILESYSTEM_PREFIX": self.pyramids + "/", "URI_MAP": "iiif=>IIIF",
                       "JPEG_QUALITY": str(self.quality), "MAX_IMAGE_CACHE_SIZE": "0", "OMP_NUM_THREADS": "1",
                       "VERBOSITY": "0", "CORS": "*", "MAX_CVT": "5000"}
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path)
            listening.listen(4096)
            self.server = [self.spawn([self.program], stdin=listening, env=environment)
                           for _ in range(IIPSRV_PROCESSES)]
        self.spawn_nginx("", FASTCGI.format(socket=path))
        some = next(name for name in sorted(os.listdir(self.pyramids)) if name.endswith(".tif"))
        self.wait_until(lambda: get(self.port, f"{self.prefix}{some}/info.json")[0] == 200)


class Vitrine(Side):
    """Without caches of what it answers, or as it comes: with the tiles that are asked for again in memory."""

    prefix = "/iiif/3/"

    def __init__(self, program, pyramids, quality, extra=(), keeps_tiles=False):
        super().__init__()
        self.name = "Vitrine, tiles kept" if keeps_tiles else "Vitrine"
        self.memory = [] if keeps_tiles else ["--set", "tile_memory=0"]
        self.program, self.pyramids, self.quality, self.extra = program, pyramids, quality, list(extra)
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        self.version = said.split()[-1] if said.split() else "unknown"

    def start(self):
        admin = free_port()
        self.server = [self.spawn([self.program, "serve", "--images", self.pyramids,
                                   "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{admin}",
                                   "--cache", self.home, "--set", "derivative_cache=false",
                                   "--set", f"jpeg_quality={self.quality}",
                                   "--set", "connections_per_address=10000", *self.memory, *self.extra])]
        self.wait_until(lambda: get(admin, "/ready")[0] == 200)

    end_signal = signal.SIGQUIT  # leave now: nobody waits for what is still being rendered


class Static(Side):
    """nginx with every tile as a file: /NUMBER.jpg in `folder`."""

    name, prefix = "nginx files", "/"

    def __init__(self, folder):
        super().__init__()
        self.folder = folder
        self.version = nginx_version()

    def start(self):
        self.spawn_nginx("open_file_cache max=100000 inactive=600s; open_file_cache_valid 600s;",
                         f"root {self.folder};")
        self.wait_until(lambda: get(self.port, "/0.jpg")[0] == 200)


def nginx_version():
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    return subprocess.run([nginx, "-v"], capture_output=True, text=True, check=False).stderr.strip().rpartition("/")[2]
