"""What an identifier can reach: what lies beneath the image root, by its exact name, and nothing else."""
import os
import shutil

import pytest

from server import Vitrine

BYTES_NAME = b"caf\xe9.tif"
UNICODE_NAME = "caf\u00e9 \u65e5.tif"


@pytest.fixture(scope="module")
def tree(tmp_path_factory, images):
    """root/ is served; secret.tif beside it must stay out of reach."""
    top = tmp_path_factory.mktemp("identifiers")
    root = top / "root"
    (root / "sub").mkdir(parents=True)
    picture = os.path.join(images, "small.tif")
    names = ["good.tif", "sub/good.tif", "a%2Fb.tif", "sp ace.tif", "a+b.tif", "semi;colon.tif",
             "quote'\".tif",
             "q?.tif", "hash#.tif", "...tif", "..good.tif", "trailing..", UNICODE_NAME, "-dash.tif",
             ".hidden.tif",
             "x" * 251 + ".tif"]
    for name in names:
        shutil.copy(picture, root / name)
    shutil.copy(picture, os.path.join(os.fsencode(root), BYTES_NAME))
    shutil.copy(picture, top / "secret.tif")
    (root / "out.tif").symlink_to("../secret.tif")
    (root / "absolute.tif").symlink_to(top / "secret.tif")
    (root / "outdir").symlink_to("..")
    (root / "inside.tif").symlink_to("sub/good.tif")
    (root / "loop1.tif").symlink_to("loop2.tif")
    (root / "loop2.tif").symlink_to("loop1.tif")
    (root / "dangling.tif").symlink_to("nowhere.tif")
    (root / "proc").symlink_to("/proc/self")
    os.mkfifo(root / "fifo.tif")
    (root / "empty.tif").write_bytes(b"")
    (root / "notes.txt").write_text("no picture\n")
    (root / "folder.tif").mkdir()
    return root


@pytest.fixture(scope="module")
def asked(tree):
    with Vitrine(tree) as server:
        yield server


def both(served, name):
    return [served.get(f"/iiif/3/{name}/{rest}") for rest in ("info.json", "full/max/0/default.jpg")]


@pytest.mark.parametrize("name", [
    "good.tif", "sub%2Fgood.tif", "a%252Fb.tif", "sp%20ace.tif", "a+b.tif", "a%2Bb.tif", "quote'%22.tif",
    "q%3F.tif",
    "hash%23.tif", "trailing..", "caf%C3%A9%20%E6%97%A5.tif",
    "caf%c3%a9%20%e6%97%a5.tif",
    "-dash.tif", "inside.tif", "x" * 251 + ".tif", "caf%E9.tif",
])
def test_within_reach(asked, name):
    info, image = both(asked, name)
    assert info.status == 200, info
    assert info.json()["width"] == 300
    assert image.status == 200 and image.image().size == (300, 200)


@pytest.mark.parametrize("name, right", [
    ("sp%20ace.tif", "sp%20ace.tif"), ("caf%C3%A9%20%E6%97%A5.tif", "caf%C3%A9%20%E6%97%A5.tif"),
    ("q%3F.tif", "q%3F.tif"),
    ("hash%23.tif", "hash%23.tif"), ("a%252Fb.tif", "a%252Fb.tif"), ("sub%2Fgood.tif", "sub%2Fgood.tif"),
])
def test_id_leads_back(asked, name, right):
    identifier = both(asked, name)[0].json()["id"]
    assert identifier == f"http://127.0.0.1:{asked.port}/iiif/3/{right}"


@pytest.mark.parametrize("name", [
    # Hidden files are nobody's business.
    ".hidden.tif", "...tif", "..good.tif",
    "..%2Fsecret.tif", "sub%2F..%2F..%2Fsecret.tif", "%2e%2e%2Fsecret.tif", "%2E%2E%2fsecret.tif",
    "..%5Csecret.tif",
    "%252e%252e%252Fsecret.tif", "..%252Fsecret.tif", "....%2F%2Fsecret.tif", "..%c0%afsecret.tif", "out.tif",
    "absolute.tif", "outdir%2Fsecret.tif", "outdir%2Froot%2Fgood.tif", "proc%2Fenviron",
    "proc%2Froot%2Fetc%2Fpasswd",
    "%2Fetc%2Fpasswd", "%2F%2Fetc%2Fpasswd", "..%2F..%2F..%2F..%2F..%2F..%2Fetc%2Fpasswd", "a%2Fb.tif",
    "loop1.tif",
    "dangling.tif", "good.tif%00", "good.tif%00.jpg", "%00", "good.tif%2F", "%2Fgood.tif",
    "sub%2F%2Fgood.tif",
    ".%2Fgood.tif", "sub%2F.%2Fgood.tif", "sub%2F..%2Fgood.tif", "..", ".", "%2e%2e", "%2E", "sub", "sub%2F",
    "folder.tif",
    "fifo.tif", "good.tif%0A", "%0Agood.tif", "good.tif%20", "GOOD.tif", "good.tif;2", "~root", "$HOME",
    "good.tif*", "g%6F%6Fd",
    "good", "x" * 256 + ".tif", "x" * 4000, "%2F".join(["sub"] * 800), "%41" * 2000, "..%2Froot%2Fgood.tif",
    "file:%2F%2F%2Fetc%2Fpasswd", "http:%2F%2F127.0.0.1%2Fx", "s3:%2F%2Fbucket%2Fx",
    "%F0%80%80%AE%2Fsecret.tif",
])
def test_out_of_reach(asked, name):
    for reply in both(asked, name):
        assert reply.status in (400, 404, 414), f"{name[:60]}: {reply}"
        assert b"secret" not in reply.body or "secret" in name
        assert "root:" not in reply.body.decode(errors="replace")


@pytest.mark.parametrize("target", [
    "/iiif/3/../../secret.tif/info.json", "/iiif/3/../../../../../../etc/passwd", "/../secret.tif",
    "/iiif/3/..;/info.json",
    "/iiif/3/%2e%2e/info.json", "/iiif/../iiif/3/good.tif/info.json", "/./iiif/3/good.tif/info.json",
    "/iiif/3/./good.tif/info.json",
])
def test_dots_in_the_path_are_not_resolved(asked, target):
    reply = asked.get(target)
    while reply.status == 302:
        reply = asked.get(reply["location"].partition(f":{asked.port}")[2])
    assert reply.status in (400, 404)


@pytest.mark.parametrize("name", ["empty.tif", "notes.txt"])
def test_what_is_no_picture_is_a_clear_answer(asked, name):
    for reply in both(asked, name):
        assert 400 <= reply.status < 600 and reply.media_type() == "text/plain", reply
        assert len(reply.body.decode().strip().splitlines()) == 1


def test_errors_do_not_tell_where_the_root_lies(asked, tree):
    for name in ("nothing.tif", "empty.tif", "out.tif", "folder.tif", "notes.txt", "fifo.tif"):
        for reply in both(asked, name):
            assert str(tree) not in reply.body.decode(errors="replace"), reply


def test_an_identifier_swapped_for_a_link_stays_inside(tree, images, start):
    """The check must hold for the file that is opened, not for a name looked at earlier."""
    served = start(tree, settings={"revalidate": 0})
    shutil.copy(os.path.join(images, "small.tif"), tree / "swap.tif")
    assert served.get("/iiif/3/swap.tif/info.json").status == 200
    os.unlink(tree / "swap.tif")
    (tree / "swap.tif").symlink_to("../secret.tif")
    from server import until
    until(lambda: served.get("/iiif/3/swap.tif/info.json").status == 404, 7, "the link is refused")
    assert served.get("/iiif/3/swap.tif/full/max/0/default.jpg").status == 404
