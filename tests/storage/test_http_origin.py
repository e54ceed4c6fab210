"""Sources on a plain http server: a real nginx, with ranges and without."""
import os
import shutil
import subprocess
import tempfile

import pytest

from server import die_with_us, free_port, until
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
            file.write(CONFIG.format(home=self.home, port=self.port))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-p", self.home, "-c", f"{self.home}/conf"],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_us)
        until(lambda: os.path.exists(f"{self.home}/pid"), 10, "nginx runs")

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
    until(lambda: server.get(THUMBNAIL.format("changing.tif")).body == right, 4, "the new picture is served")


def test_private_addresses_are_refused(start, between):
    server = start(f"http://127.0.0.1:{between.port}/pictures", workers=1)
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 403 and b"network that is not allowed" in reply.body
    assert not between.take()


def test_names_are_resolved_and_checked(start, nginx):
    """localhost is a name for a private address."""
    server = start(f"http://localhost:{nginx.port}/pictures", workers=1)
    assert server.get(THUMBNAIL.format("a.tif")).status == 403
    server = start(f"http://localhost:{nginx.port}/pictures", workers=1, settings={"http_networks": "loopback"})
    assert server.get(THUMBNAIL.format("a.tif")).status == 200


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
