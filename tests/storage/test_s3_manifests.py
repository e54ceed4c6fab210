"""Manifests and collections of pictures in a bucket: those of a folder with the same in it; changes are noticed; http has no folders."""
import functools
import http.server
import os
import re
import subprocess
import threading

import pytest

from server import binary, until
from storage.ceph import ACCESS, BUCKET, SECRET

BASE = "https://images.example.org"
PATHS = ["collection", "book/manifest", "shelf/collection", "shelf%2Fin%20side/manifest", "one.png/manifest",
         "book%2F2.tif/manifest"]


class Ranges(http.server.SimpleHTTPRequestHandler):
    """Sends files whole, which a client that asks for a range may get."""

    def log_message(self, *_):
        pass

    def list_directory(self, path):
        self.send_error(404)


def read(images, name):
    with open(os.path.join(images, name), "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def shelf(images, tmp_path_factory):
    """name -> bytes, and the same as a folder."""
    root = tmp_path_factory.mktemp("shelf")
    files = {"one.png": read(images, "rgb.png"), "book/1.tif": read(images, "pyramid-jpeg-420.tif"),
             "book/2.tif": read(images, "pyramid-vips.tif"), "book/10.tif": read(images, "joined-420.tif"),
             "shelf/in side/ü&.jpg": read(images, "baseline-420.jpg"), "shelf/nothing/text.txt": b"text",
             "book.json": b'{"label": {"en": ["A book"]}, "pages": ["i", "ii"]}', "shelf/.hidden/x.png": b"x"}
    for name, data in files.items():
        os.makedirs(os.path.dirname(root / name), exist_ok=True)
        (root / name).write_bytes(data)
    for folder, _, names in os.walk(root):
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o644)
    return root, files


def test_the_same_as_of_a_folder(s3, ceph, between, start, shelf):
    root, files = shelf
    for name, data in files.items():
        ceph.put(f"shelf/{name}", data)
    ceph.put("shelf/empty.tif", b"")  # spoils nothing
    here = start(root, settings={"base_url": BASE})
    there = s3("shelf", revalidate=1, base_url=BASE)
    for version in 3, 2:
        for path in PATHS:
            ours, theirs = (server.get(f"/presentation/{version}/{path}") for server in (there, here))
            assert ours.status == theirs.status == 200, (path, ours)
            assert ours.body == theirs.body, path
    # Nor does what the store does not give out take anything away from the rest.
    def refuse(seen):
        return (("status", 403, "InvalidObjectState") if "/archived.tif" in seen.line else
                ("status", 403, "AccessDenied") if "/denied." in seen.line else None)
    between.fault = refuse
    for name in "book/archived.tif", "denied.tif", "denied.json", "locked/denied.tif":
        ceph.put(f"shelf/{name}", files["book/1.tif"])
    until(lambda: b"locked" in there.get("/presentation/3/collection").body, 10, "the new ones are listed")
    assert b"denied.tif/manifest" in there.get("/presentation/3/collection").body
    assert there.get("/presentation/3/book/manifest").body == here.get("/presentation/3/book/manifest").body
    for path in "/iiif/3/book%2Farchived.tif/info.json", "/presentation/3/denied.tif/manifest", "/presentation/3/locked/manifest":
        assert there.get(path).status == 403, path
    assert re.search("warning: .*(archived|denied).*refuses", there.log()), there.log()
    for path in "none/manifest", "shelf%2Fnothing/manifest", "none.tif/manifest", "shelf%2F.hidden/manifest":
        assert there.get(f"/presentation/3/{path}").status == 404, path


def test_changes_in_the_bucket_are_noticed(s3, ceph, shelf, between):
    _, files = shelf
    for name in "book/1.tif", "book/2.tif":
        ceph.put(f"changing/{name}", files[name])
    server = s3("changing", revalidate=1, activity_scan=1)

    def pages():
        return [canvas["label"] for canvas in server.get("/presentation/3/book/manifest").json()["items"]]

    def told():
        last = server.get("/activity").json().get("last")
        items = server.get("/activity/page/0").json()["orderedItems"] if last else []
        return [(item["type"], item["object"]["id"].partition("/presentation/3/")[2]) for item in items[::2]]
    assert pages() == [{"none": ["1"]}, {"none": ["2"]}]
    until(lambda: len(told()) == 4, 20, "the first look")
    ceph.put("changing/book/3.tif", files["book/10.tif"])
    ceph.put("changing/book.json", b'{"pages": ["i"]}')
    until(lambda: pages() == [{"none": ["i"]}, {"none": ["2"]}, {"none": ["3"]}], 20, "page and sidecar are there")
    until(lambda: ("Create", "book%2F3.tif/manifest") in told(), 20, "the page is told")
    ceph.delete("changing/book/1.tif")
    until(lambda: ("Delete", "book%2F1.tif/manifest") in told(), 20, "it is gone")
    until(lambda: len(pages()) == 2, 20, "and from the book")
    # Nothing new: a list or two, and no picture is looked at.
    server.get("/presentation/3/book/manifest")
    between.take()
    assert server.get("/presentation/3/book/manifest").status == 200
    assert len(between.take()) <= 8


def test_many_pages(s3, ceph, shelf):
    """More than a list's first page, and more than can be waited for one by one."""
    _, files = shelf
    for number in range(1, 230):
        ceph.put(f"many/book/{number}.png", files["one.png"])
        ceph.put(f"many/shelf/{number}/a.png", files["one.png"])
    server = s3("many", revalidate=60)
    for path in "book/manifest", "shelf/collection":
        reply = server.get(f"/presentation/3/{path}")
        assert reply.status == 200 and len(reply.json()["items"]) == 229, reply


def test_static_files_of_a_bucket(ceph, shelf, tmp_path):
    _, files = shelf
    for name, data in files.items():
        ceph.put(f"static/{name}", data)
    told = subprocess.run(
        [binary(), "manifest", "--recursive", "--images", f"s3://{BUCKET}/static", "--into", tmp_path / "www", "--base-url",
         BASE, "--cache", tmp_path / "cache", "--set", f"s3_endpoint=http://127.0.0.1:{ceph.port}", "--set",
         "s3_path_style=true", "--set", f"s3_access_key={ACCESS}", "--set", f"s3_secret_key={SECRET}"],
        capture_output=True, text=True)
    assert told.returncode == 0, told
    assert os.path.exists(tmp_path / "www/presentation/3/shelf/in side/ü&.jpg/manifest")
    assert b"A book" in (tmp_path / "www/presentation/2/book/manifest").read_bytes()


def test_http_cannot_be_asked(start, shelf, tmp_path):
    root, _ = shelf
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Ranges, directory=root))
    threading.Thread(target=site.serve_forever, daemon=True).start()
    server = start(f"http://127.0.0.1:{site.server_port}", settings={"http_networks": "loopback"})
    for path in "collection", "book/manifest":
        reply = server.get(f"/presentation/3/{path}")
        assert reply.status == 501 and b"cannot be asked what lies in a folder" in reply.body, reply
    assert server.get("/presentation/3/one.png/manifest").status == 200
    site.shutdown()
    site.server_close()
