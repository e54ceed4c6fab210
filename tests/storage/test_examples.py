"""The examples of deploy/sources.md and cache/README.md, as they stand there but for hosts and places: each is a file that a server is started with."""
import os
import re

import pytest

from server import ROOT, Vitrine, binary, run, until
from storage.ceph import ACCESS, BUCKET, SECRET
from storage.nfs import Nfs, build_client, impossible
from storage.test_http_origin import Nginx, THUMBNAIL

PICTURE = "pyramid-jpeg-420.tif"


def example(begins):
    """The block whose first line begins so."""
    text = ""
    for place in ("deploy/sources.md", "cache/README.md"):
        with open(os.path.join(ROOT, place), encoding="utf-8") as file:
            text += file.read()
    blocks = re.findall(r"^```\n(.*?)^```$", text, re.M | re.S)
    found = [block for block in blocks if block.startswith(begins)]
    assert len(found) == 1, (begins, found)
    return found[0]


class Configured(Vitrine):
    """A server that is told nothing but its file."""

    def __init__(self, text, replaced):
        super().__init__("none", readable=True)
        for old, new in {"/var/cache/vitrine": self.cache, **replaced}.items():
            assert old in text, (old, text)
            text = text.replace(old, str(new))
        self.file = os.path.join(self.home, "vitrine.conf")
        with open(self.file, "w", encoding="utf-8") as file:
            file.write(text)
        told = run("check-config", self.file)
        assert told.returncode == 0, told.stderr

    def command(self):
        return [binary(), "serve", "-c", self.file, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin_port}"]


@pytest.fixture
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


@pytest.fixture(scope="module")
def nginx(images):
    server = Nginx()
    server.put("a.tif", os.path.join(images, PICTURE))
    yield server
    server.stop()


def is_served(text, replaced, served, names=("a.tif",)):
    with Configured(text, replaced) as server:
        for name in names:
            reply = server.get(THUMBNAIL.format(name))
            assert reply.status == 200 and reply.body == served.get(THUMBNAIL.format(PICTURE)).body, (name, reply)


def read(images):
    with open(os.path.join(images, PICTURE), "rb") as file:
        return file.read()


def test_s3(ceph, credentials, images, served):
    ceph.put("pyramids/a.tif", read(images))
    assert BUCKET == "pictures"
    is_served(example('images = "s3://pictures/pyramids"'), {"http://store.example.org:9000": f"http://127.0.0.1:{ceph.port}"}, served)


def test_http(nginx, served):
    is_served(example('images = "https://images'), {"https://images.example.org/masters": f"http://127.0.0.1:{nginx.port}/pictures",
                                                   'http_networks = ""': 'http_networks = "loopback"'}, served)


def test_nfs(images, served, tmp_path_factory):
    why = impossible()
    if why:
        pytest.skip(why)
    place = Nfs(build_client(tmp_path_factory.mktemp("nfs")))
    try:
        place.put(os.path.join(images, PICTURE), "a.tif")
        place.start_server()
        place.mount("hard")
        is_served(example('images = "/mnt/pictures"'), {"/mnt/pictures": place.seen}, served)
    finally:
        place.close()


def test_several(ceph, credentials, nginx, images, served, tmp_path):
    os.chmod(tmp_path, 0o755)
    (tmp_path / "b.tif").write_bytes(read(images))
    ceph.put("maps/c.tif", read(images))
    more = (f'cache = "/var/cache/vitrine"; s3_endpoint = "http://127.0.0.1:{ceph.port}"; s3_path_style = true; '
            'http_networks = "loopback";\n')
    is_served(example("images = [") + more, {"/srv/images": tmp_path, "https://images.example.org/masters":
                                             f"http://127.0.0.1:{nginx.port}/pictures"}, served, ("a.tif", "b.tif", "maps%2Fc.tif"))


@pytest.mark.parametrize("where", ["a bucket", "a folder"])
def test_a_lower_tier(ceph, credentials, images, served, tmp_path, where):
    os.chmod(tmp_path, 0o755)
    for name in ("images", "tier"):
        (tmp_path / name).mkdir()
        os.chmod(tmp_path / name, 0o777)
    (tmp_path / "images" / "a.tif").write_bytes(read(images))
    place = f"s3://{BUCKET}/examples" if where == "a bucket" else str(tmp_path / "tier")
    more = (f'images = "{tmp_path}/images"; cache = "/var/cache/vitrine"; s3_endpoint = "http://127.0.0.1:{ceph.port}"; '
            's3_path_style = true; revalidate = 1;\n')
    text = example("derivative_tier =") + more
    with Configured(text, {"s3://derivatives/vitrine": place, "derivative_tier_cost = 300": "derivative_tier_cost = 0"}) as server:
        metrics = lambda: server.admin().get("/metrics").body
        until(lambda: b"\nvitrine_derivatives_tier_known 1\n" in metrics(), 10, "it knows the tier")
        reply = server.get(THUMBNAIL.format("a.tif"))
        assert reply.body == served.get(THUMBNAIL.format(PICTURE)).body
        until(lambda: b"\nvitrine_derivatives_tier_stored_total 1\n" in metrics(), 10, "it is in the tier")
