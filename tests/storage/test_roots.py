"""Several image roots of which some are elsewhere: who is asked, how often, and what happens while one is away."""
import os
import shutil
import time

import pytest
from PIL import Image

from server import soon, until
from storage.between import Between
from storage.ceph import ACCESS, BUCKET, SECRET
from storage.test_http_origin import Nginx, THUMBNAIL

SETTINGS = {"http_networks": "loopback", "derivative_cache": "false", "fetch_tries": 1}


@pytest.fixture(scope="module")
def nginx(images):
    server = Nginx()
    server.put("a.tif", os.path.join(images, "pyramid-jpeg-420.tif"))
    yield server
    server.stop()


@pytest.fixture
def between(nginx):
    middle = Between(nginx.port)
    yield middle
    middle.close()


@pytest.fixture
def folder(images, tmp_path):
    os.chmod(tmp_path, 0o755)
    shutil.copyfile(os.path.join(images, "photo.tif"), tmp_path / "here.tif")
    os.chmod(tmp_path / "here.tif", 0o644)
    return tmp_path


@pytest.fixture
def mixed(start, between, folder):
    """The far one first, then the folder, then the far one again by name."""
    def begin(**settings):
        far = f"http://127.0.0.1:{between.port}/pictures"
        return start(far, "--images", str(folder), "--images", f"far={far}", workers=1, settings={**SETTINGS, **settings})
    return begin


def test_each_is_found(mixed, between, served):
    server = mixed(revalidate=3600)
    right = served.get(THUMBNAIL.format("photo.tif")).body
    assert server.get(THUMBNAIL.format("a.tif")).body == served.get(THUMBNAIL.format("pyramid-jpeg-420.tif")).body
    assert server.get(THUMBNAIL.format("far%2Fa.tif")).body == server.get(THUMBNAIL.format("a.tif")).body
    between.take()
    assert server.get(THUMBNAIL.format("here.tif")).body == right
    assert [seen.status for seen in between.take()] == [404]
    for _ in range(3):
        assert server.get(THUMBNAIL.format("here.tif")).body == right
    assert server.get("/iiif/3/here.tif/pct:10,10,20,20/max/0/default.jpg").status == 200
    assert not between.take()  # it has said no, which holds for `revalidate`
    assert server.get(THUMBNAIL.format("none.tif")).status == 404
    assert len(between.take()) == 1
    assert server.get(THUMBNAIL.format("far%2Fnone.tif")).status == 404
    assert sorted(seen.line.split()[1] for seen in between.take()) == ["/pictures/far/none.tif", "/pictures/none.tif"]


def test_one_that_appears_in_front_is_noticed(mixed, nginx, images, served):
    server = mixed(revalidate=1)
    assert server.get(THUMBNAIL.format("here.tif")).body == served.get(THUMBNAIL.format("photo.tif")).body
    nginx.put("here.tif", os.path.join(images, "jpeg-444-tiled.tif"))
    right = served.get(THUMBNAIL.format("jpeg-444-tiled.tif")).body
    soon(lambda: server.get(THUMBNAIL.format("here.tif")).body == right, 5, "the one in front is served")
    os.unlink(f"{nginx.home}/pictures/here.tif")
    right = served.get(THUMBNAIL.format("photo.tif")).body
    soon(lambda: server.get(THUMBNAIL.format("here.tif")).body == right, 5, "the one behind is served again")
    # Also while another is fetched from all the time.
    Image.effect_noise((2048, 4096), 100).save(f"{nginx.home}/pictures/noise.tif")
    os.mkdir(f"{nginx.home}/pictures/far")
    strips = iter(range(0, 4096, 32))

    def width_after_fetching():
        server.get(f"/iiif/3/far%2Fnoise.tif/0,{next(strips)},2048,32/max/0/default.jpg")
        time.sleep(0.2)
        return server.get("/iiif/3/far%2Fnoise.tif/info.json").json()["width"]
    assert width_after_fetching() == 2048
    nginx.put("far/noise.tif", os.path.join(images, "jpeg-444-tiled.tif"))
    soon(lambda: width_after_fetching() != 2048, 15, "the one in front is served")


def test_a_root_that_is_away(mixed, between, served):
    """What it has said holds on; what it was never asked about is not guessed."""
    server = mixed(revalidate=1)
    right = served.get(THUMBNAIL.format("photo.tif")).body
    assert server.get(THUMBNAIL.format("here.tif")).body == right
    between.fault = lambda seen: ("status", 500, "InternalError")
    between.take()
    until(lambda: server.get(THUMBNAIL.format("here.tif")).body == right and between.take(), 5, "it is asked again")
    assert server.get(THUMBNAIL.format("here.tif")).body == right
    assert server.get(THUMBNAIL.format("other.tif")).status == 502
    between.fault = None
    until(lambda: server.get(THUMBNAIL.format("other.tif")).status == 404, 10, "it answers again")


def test_two_slow_roots_do_not_wait_for_each_other_forever(start, nginx, served):
    """Each takes longer to answer than an answer holds."""
    slow = [Between(nginx.port), Between(nginx.port)]
    for middle in slow:
        middle.delay_s = 1.3
    try:
        places = [f"http://127.0.0.1:{middle.port}/{path}" for middle, path in zip(slow, ("none", "pictures"))]
        server = start(places[0], "--images", places[1], workers=1, settings={**SETTINGS, "revalidate": 0})
        assert server.get(THUMBNAIL.format("a.tif")).body == served.get(THUMBNAIL.format("pyramid-jpeg-420.tif")).body
        assert len(slow[0].take()) <= 3
    finally:
        for middle in slow:
            middle.close()


def test_a_bucket_and_a_folder(start, ceph, folder, images, served):
    with open(os.path.join(images, "pyramid-jpeg-420.tif"), "rb") as file:
        ceph.put("roots/b.tif", file.read())
    server = start(f"{folder}", "--images", f"s3://{BUCKET}/roots", workers=1, settings={
        "s3_endpoint": f"http://127.0.0.1:{ceph.port}", "s3_path_style": "true", "s3_access_key": ACCESS,
        "s3_secret_key": SECRET})
    assert server.get(THUMBNAIL.format("here.tif")).body == served.get(THUMBNAIL.format("photo.tif")).body
    assert server.get(THUMBNAIL.format("b.tif")).body == served.get(THUMBNAIL.format("pyramid-jpeg-420.tif")).body
    assert server.get(THUMBNAIL.format("c.tif")).status == 404


def test_the_circuit_is_each_origins_own(start, nginx, between, served):
    """One that is left alone after its failures takes nothing from another, though it is on the same machine."""
    other = Between(nginx.port)
    try:
        server = start(f"one=http://127.0.0.1:{between.port}/pictures", "--images", f"two=http://127.0.0.1:{other.port}/pictures",
                       workers=1, settings=SETTINGS)
        between.fault = lambda seen: ("refuse",)
        replies = [server.get(THUMBNAIL.format(f"one%2F{number}.tif")) for number in range(14)]
        assert len(between.take()) == 10 and replies[-1].status == 503, replies
        assert f"is not asked for another {replies[-1]['Retry-After']} s".encode() in replies[-1].body, replies[-1]
        reply = server.get(THUMBNAIL.format("two%2Fa.tif"))
        assert reply.status == 200 and reply.body == served.get(THUMBNAIL.format("pyramid-jpeg-420.tif")).body
        assert server.get(THUMBNAIL.format("two%2Fnone.tif")).status == 404 and not between.take()
    finally:
        other.close()
