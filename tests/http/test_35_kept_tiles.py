"""Stored tiles that a worker keeps in memory: the same answer as the first, for as long as the source is the same."""
import os
import shutil

import pytest

from client import request_bytes
from server import until

TILE = "/iiif/3/a.tif/128,128,128,128/128,128/0/default.jpg"
OF_THE_MOMENT = ("date", "x-request-id")


def put(images, name, folder):
    shutil.copy(os.path.join(images, name), os.path.join(folder, "next"))
    os.rename(os.path.join(folder, "next"), os.path.join(folder, "a.tif"))


@pytest.fixture
def served(tmp_path, images, start):
    put(images, "jpeg-420-tiled.tif", tmp_path)
    return start(tmp_path, workers=1, settings={"revalidate": 1})


def headers_of(reply):
    return [(name, value) for name, value in reply.headers if name.lower() not in OF_THE_MOMENT]


def test_kept_answers_are_the_first_one_again(served):
    first, *others = [served.get(TILE) for _ in range(4)]
    assert first.status == 200 and len(first.body) > 500
    for other in others:
        assert other.body == first.body and headers_of(other) == headers_of(first)


def test_kept_answers_obey_conditions_and_ranges(served):
    first = [served.get(TILE) for _ in range(3)][0]
    assert served.get(TILE, {"If-None-Match": first["etag"]}).status == 304
    part = served.get(TILE, {"Range": "bytes=100-199"})
    assert part.status == 206 and part.body == first.body[100:200]
    head = served.client().head(TILE)
    assert head.status == 200 and int(head["content-length"]) == len(first.body) and not head.body


def test_links_are_of_the_host_that_was_asked(served):
    for _ in range(3):
        for host in ("one.example", "two.example"):
            reply = served.client().raw(request_bytes("GET", TILE, host=host))
            assert f"<http://{host}/iiif/3/a.tif/" in " ".join(reply.all("link"))


def test_a_replaced_source_shows_though_its_tiles_are_asked_for_all_the_time(served, images, tmp_path):
    before = [served.get(TILE) for _ in range(3)][-1]
    put(images, "jpeg-444-tiled.tif", tmp_path)
    until(lambda: served.get(TILE).body != before.body, 10, "the new picture shows")
    after = [served.get(TILE) for _ in range(3)]
    assert len({reply.body for reply in after}) == 1 and after[0]["etag"] != before["etag"]
