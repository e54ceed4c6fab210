"""Sources on a plain http server: a real nginx, with ranges and without."""
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from server import binary, die_with_us, free_port, soon, until
from storage.between import Between

THUMBNAIL = "/iiif/3/{}/full/100,/0/default.jpg"
CONFIG = """daemon off; worker_processes 1; pid {home}/pid; error_log {home}/error;
events {{ worker_connections 256; }}
http {{
    access_log off; client_body_temp_path {home}/t; proxy_temp_path {home}/t; fastcgi_temp_path {home}/t;
    uwsgi_temp_path {home}/t; scgi_temp_path {home}/t;
    server {{
        listen 127.0.0.1:{port};
        location /pictures/ {{ alias {home}/pictures/; }}
        location /whole/ {{ alias {home}/pictures/; max_ranges 0; }}
        location /here/ {{ rewrite ^/here/(.*)$ /pictures/$1 redirect; }}
        location /elsewhere/ {{ return 302 http://127.0.0.2:{port}/pictures/a.tif; }}
        location /round/ {{ return 302 /round/again; }}
        location /closed/ {{ return 403; }}
    }}
}}
"""


class Nginx:
    def __init__(self):
        self.home, self.port = tempfile.mkdtemp(prefix="vitrine-nginx-"), free_port()
        os.chmod(self.home, 0o755)
        os.mkdir(f"{self.home}/pictures")
        with open(f"{self.home}/conf", "w") as file:
            file.write(self.configure())
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-p", self.home, "-c", f"{self.home}/conf"],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_us)
        until(lambda: os.path.exists(f"{self.home}/pid"), 10, "nginx runs")

    def configure(self):
        return CONFIG.format(home=self.home, port=self.port)

    def put(self, name, source):
        shutil.copy(source, f"{self.home}/pictures/.new")
        os.rename(f"{self.home}/pictures/.new", f"{self.home}/pictures/{name}")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.home)


@pytest.fixture(scope="module")
def nginx(images):
    server = Nginx()
    server.put("a.tif", os.path.join(images, "pyramid-jpeg-420.tif"))
    server.put("photo.tif", os.path.join(images, "photo.tif"))
    yield server
    server.stop()


@pytest.fixture
def between(nginx):
    middle = Between(nginx.port)
    yield middle
    middle.close()


@pytest.fixture
def origin(start, between):
    def begin(path, **settings):
        return start(f"http://127.0.0.1:{between.port}/{path}", workers=1, settings={
            "http_networks": "loopback", "derivative_cache": "false", "revalidate": 3600, **settings})
    return begin


def test_ranges(origin, between, served):
    server = origin("pictures")
    assert server.get(THUMBNAIL.format("a.tif")).body == served.get(THUMBNAIL.format("pyramid-jpeg-420.tif")).body
    assert all(seen.status == 206 for seen in between.take())
    assert server.get(THUMBNAIL.format("a.tif")).status == 200 and not between.take()
    assert server.get(THUMBNAIL.format("none.tif")).status == 404


def test_no_ranges(origin, between, served):
    """The whole file comes once."""
    server = origin("whole")
    assert server.get(THUMBNAIL.format("photo.tif")).body == served.get(THUMBNAIL.format("photo.tif")).body
    assert server.get("/iiif/3/photo.tif/300,300,200,200/max/0/default.png").status == 200
    assert [seen.status for seen in between.take()] == [200]


def test_no_ranges_beyond_the_limit(origin, between):
    reply = origin("whole", whole_file_limit="1M").get(THUMBNAIL.format("photo.tif"))
    assert reply.status == 500 and b"only as a whole" in reply.body
    assert len(between.take()) == 1


def test_a_replaced_file_is_noticed(origin, nginx, images, served):
    nginx.put("changing.tif", os.path.join(images, "pyramid-jpeg-420.tif"))
    server = origin("pictures", revalidate=1)
    assert server.get(THUMBNAIL.format("changing.tif")).status == 200
    nginx.put("changing.tif", os.path.join(images, "jpeg-444-tiled.tif"))
    right = served.get(THUMBNAIL.format("jpeg-444-tiled.tif")).body
    soon(lambda: server.get(THUMBNAIL.format("changing.tif")).body == right, 4, "the new picture is served")


def test_private_addresses_are_refused(start, between):
    server = start(f"http://127.0.0.1:{between.port}/pictures", workers=1)
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 403 and b"network that is not allowed" in reply.body
    assert server.log().count("network that is not allowed (http_networks)") == 1
    assert not between.take()


def test_names_are_resolved_and_checked(start, nginx):
    """localhost is a name for a private address."""
    server = start(f"http://localhost:{nginx.port}/pictures", workers=1)
    assert server.get(THUMBNAIL.format("a.tif")).status == 403
    server = start(f"http://localhost:{nginx.port}/pictures", workers=1, settings={"http_networks": "loopback"})
    assert server.get(THUMBNAIL.format("a.tif")).status == 200


def test_no_ranges_and_many_askers(start, between, served):
    """Over four workers the whole file still comes once."""
    server = start(f"http://127.0.0.1:{between.port}/whole", workers=4, settings={
        "http_networks": "loopback", "derivative_cache": "false", "revalidate": 3600})
    between.delay_s = 0.1
    replies = {}

    def ask(size):
        replies[size] = server.get(f"/iiif/3/photo.tif/full/{size},/0/default.png")
    threads = [threading.Thread(target=ask, args=(size,)) for size in range(60, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for size in (60, 77, 99):
        assert replies[size].body == served.get(f"/iiif/3/photo.tif/full/{size},/0/default.png").body
    assert {reply.status for reply in replies.values()} == {200}
    assert [seen.status for seen in between.take()] == [200]


@pytest.fixture
def hosts(tmp_path, monkeypatch):
    """hosts("ADDRESS NAME") -> from here on that is what names mean to servers that are started, and to those that run already."""
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("names of one's own take a mount namespace, and root to make one")
    wrapper, names, program = tmp_path / "vitrine", tmp_path / "hosts", binary()
    os.chmod(tmp_path, 0o755)
    names.touch(0o644)
    wrapper.write_text(f"#!/bin/sh\nexec unshare -m --propagation private sh -c 'mount --bind {names} /etc/hosts && exec {program} \"$@\"' "
                       "vitrine \"$@\"\n")
    wrapper.chmod(0o755)
    monkeypatch.setenv("VITRINE", str(wrapper))
    return lambda *lines: names.write_text("".join(line + "\n" for line in lines))


def replace_worker(server):
    """The only one."""
    worker, = until(server.worker_pids, 10, "there is one")
    os.kill(worker, signal.SIGKILL)
    until(lambda: server.worker_pids() not in ([], [worker]), 10, "another is there")


def test_names_that_come_to_mean_another_address(start, nginx, hosts):
    """What counts is the very address of each connection: one that a name has got since, or has besides, is not connected to."""
    elsewhere = socket.create_server(("127.0.0.2", nginx.port))
    elsewhere.settimeout(0)
    hosts("127.0.0.1 store.example")
    server = start(f"http://store.example:{nginx.port}/pictures", workers=1, settings={
        "http_networks": "127.0.0.1/32", "fetch_tries": 1, "revalidate": 1, "derivative_cache": "false", "stale_if_error": 0})
    assert server.get(THUMBNAIL.format("a.tif")).status == 200
    hosts("127.0.0.2 store.example")
    replace_worker(server)  # the next one has to ask what the name means
    time.sleep(1.1)
    reply = server.get(THUMBNAIL.format("photo.tif"))
    assert reply.status == 403 and b"not allowed" in reply.body
    hosts("127.0.0.2 store.example", "127.0.0.1 store.example")
    replace_worker(server)
    assert server.get(THUMBNAIL.format("photo.tif")).status == 200, "the allowed one of two is used"
    with pytest.raises(BlockingIOError):
        elsewhere.accept()
    elsewhere.close()


def test_redirects(origin, start, nginx):
    server = start(f"http://127.0.0.1:{nginx.port}/here", workers=1, settings={"http_networks": "loopback"})
    assert server.get(THUMBNAIL.format("a.tif")).status == 200, "within the host"
    server = start(f"http://127.0.0.1:{nginx.port}/elsewhere", workers=1, settings={"http_networks": "loopback"})
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 502 and b"http_hosts" in reply.body
    server = start(f"http://127.0.0.1:{nginx.port}/round", workers=1, settings={"http_networks": "loopback"})
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 502 and b"redirects more than" in reply.body


def test_a_closed_file(origin):
    assert origin("closed").get(THUMBNAIL.format("a.tif")).status == 403


def test_an_origin_that_speaks_as_a_store(origin, between):
    """No credentials of ours can have expired where we have none."""
    server = origin("pictures")
    between.fault = lambda seen: ("status", 400, "ExpiredToken")
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 502 and b"answers 400 ExpiredToken" in reply.body
    between.fault = None
    until(lambda: server.get(THUMBNAIL.format("a.tif")).status == 200, 10, "the picture is served")
