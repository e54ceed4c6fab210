"""Thumbnails of new pyramids in the cache of the server that serves them."""
import os

import pytest

from client import Client
from ingesting import files, ingest, report
from server import until

TOKEN = "a secret of the house"
WIDTHS = (100, 200)


@pytest.fixture
def served(start, home):
    (home / "out").mkdir()
    os.chmod(home, 0o755)
    return start(home / "out", settings={"admin_token": TOKEN})


def thumbnails(home, served, *arguments, token=TOKEN, sizes="100,200"):
    return ingest(home, "masters", "--thumbnails", sizes, "--set", f"images={served.images}", "--set",
                  f"admin=127.0.0.1:{served.admin_port}", "--set", f"admin_token={token}", *arguments)


def entries(served):
    place = os.path.join(served.cache, "derivatives")
    return [name for folder, _, names in os.walk(place) for name in names if not name.startswith((".", "temporary"))]


def renders(served):
    text = Client("127.0.0.1", served.admin_port).get("/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("vitrine_renders_total"))


def target(name, width):
    return f"/iiif/3/{name.replace('/', '%2F')}/full/{width},/0/default.jpg"


def test_they_are_there_before_anybody_asks(home, served):
    ended = thumbnails(home, served)
    assert ended.status == 0, ended.said
    assert ended.summary.startswith("3 made")
    until(lambda: len(entries(served)) >= 6, 10, "all are stored")
    before = renders(served)
    for name in files(home / "out"):
        for width in WIDTHS:
            answer = served.get(target(name, width))
            assert answer.status == 200 and answer.body[:2] == b"\xff\xd8"
    assert renders(served) == before


def test_pyramids_that_are_there_get_theirs_too(home, served):
    ingest(home, "masters")
    ended = thumbnails(home, served, "--report", "report.jsonl")
    assert ended.status == 0 and ended.summary.startswith("0 made, 3 unchanged"), ended.said
    assert [line["status"] for line in report(home / "report.jsonl")] == ["unchanged"] * 3
    until(lambda: len(entries(served)) >= 6, 10, "all are stored")


def test_a_wrong_token_costs_a_line_each_and_no_pyramid(home, served):
    ended = thumbnails(home, served, "--set", "admin_socket=", token="guessed")
    assert ended.status == 1
    assert ended.of("masters/lake.jpg") == [
        "masters/lake.jpg: its pyramid is there, but not its thumbnails: the server at "
        f"127.0.0.1:{served.admin_port} refuses the admin_token"]
    assert len(files(home / "out")) == 3


def test_no_server_costs_a_line_each_and_no_pyramid(home):
    ended = ingest(home, "masters", "--thumbnails", "100", "--set", "images=.", "--set", "admin=127.0.0.1:1", "--set",
                   "admin_token=x")
    assert ended.status == 1
    assert ended.of("masters/lake.jpg") == [
        "masters/lake.jpg: its pyramid is there, but not its thumbnails: no server answers at 127.0.0.1:1: "
        "Connection refused"]
    assert len(files(home / "out")) == 3


@pytest.mark.parametrize("arguments, wrong", [
    (("--set", "images=masters", "--set", "admin_token=x"), "out does not lie below an image root of the server (masters)"),
    (("--set", "images=.",), "only for who has its admin_token"),
    (("--set", "images=s3://bucket/prefix", "--set", "admin_token=x"), "image root of the server (s3://bucket/prefix)"),
])
def test_what_cannot_be_is_said_at_once(home, arguments, wrong):
    ended = ingest(home, "masters", "--thumbnails", "128,400", *arguments)
    assert ended.status == 1 and len(ended.lines) == 1 and wrong in ended.said
    assert files(home / "out") == {}


@pytest.mark.parametrize("sizes", ["128,", ",128", "0", "128x400", "1234567", "!128"])
def test_sizes_that_are_none(home, sizes):
    ended = ingest(home, "masters", "--thumbnails", sizes)
    assert ended.status == 2 and "write widths, such as 128,400" in ended.said


def test_of_several_image_roots_the_one_that_has_the_pyramids(home, start):
    os.makedirs(home / "out", exist_ok=True)
    os.makedirs(home / "other", exist_ok=True)
    for folder in "out", "other":
        os.chmod(home / folder, 0o755)
    served = start(home / "other", "--images", f"new={home / 'out'}", settings={"admin_token": TOKEN})
    ended = ingest(home, "masters", "--thumbnails", "100", "--set", f"images={home / 'other'}", "--set", f"images=new={home / 'out'}",
                   "--set", f"admin=127.0.0.1:{served.admin_port}", "--set", f"admin_token={TOKEN}")
    assert ended.status == 0, ended.said
    until(lambda: len(entries(served)) >= 3, 10, "all are stored")
    before = renders(served)
    for name in files(home / "out"):
        assert served.get(target(f"new/{name}", 100)).status == 200
    assert renders(served) == before
