"""A worker killed at the named points of the cache: while it holds a lease, before it renames, with a robust mutex."""
import os

import pytest

import server
from server import until
from stops import PHOTO, Line, dateless, get, undisturbed

ANOTHER = "/iiif/3/small.tif/full/80,/0/default.png"


@pytest.fixture(scope="module")
def wanted(folder):
    with server.Vitrine(folder, settings={"derivative_cache": "false"}) as plain:
        return {what: undisturbed(plain, get(what)).partition(b"\r\n\r\n")[2] for what in (PHOTO, ANOTHER)}


@pytest.fixture
def served(start, stop, folder, monkeypatch):
    for name, value in stop.environment().items():
        monkeypatch.setenv(name, value)
    stop.disarm()
    begun = start(folder, workers=3)
    until(lambda: begun.admin().get("/status").body.count(b"serving") == 3, 5, "all workers serve")
    until(lambda: begun.admin().get("/status").json()["derivatives"]["counted"] == 1, 5, "the janitor is done")
    return begun


def body(line):
    answer = line.answer()
    assert answer.startswith(b"HTTP/1.1 200 "), answer[:200]
    return answer.partition(b"\r\n\r\n")[2]


def status(served):
    return served.admin().get("/status").json()


def entries(served):
    return [name for _, _, names in os.walk(os.path.join(served.cache, "derivatives")) for name in names if len(name) == 30]


def unfinished(served):
    return [name for _, _, names in os.walk(os.path.join(served.cache, "derivatives")) for name in names if name[0] == "."]


def test_while_it_holds_a_lease(served, stop, wanted):
    """Others wait for what it makes, in all workers; one of them takes over, and it is made once."""
    stop.arm("decode")
    lines = [Line(served, get(PHOTO))]
    stop.wait()
    lines += [Line(served, get(PHOTO)) for _ in range(12)]
    until(lambda: sum(worker["requests"] for worker in status(served)["workers"]) >= 13, 5, "all of them wait")
    stop.kill()
    for line in lines:
        assert body(line) == wanted[PHOTO]
        line.close()
    assert status(served)["renders"] == 1
    assert "strike" not in served.log()


def test_before_the_rename_of_a_cache_file(served, stop, wanted):
    stop.arm("rename")
    line = Line(served, get(PHOTO))
    assert body(line) == wanted[PHOTO]
    stop.wait()
    assert unfinished(served) and not entries(served)
    stop.kill()
    assert body(line.send(get(PHOTO))) == wanted[PHOTO]
    line.close()
    until(lambda: not unfinished(served), 15, "the file that was not finished is removed")


@pytest.mark.parametrize("nth", range(1, 7))
def test_with_a_robust_mutex(served, stop, wanted, nth):
    """Of the leases, the memory, the catalogue: whichever it takes as the nth."""
    stop.arm("stripe", nth=nth)
    line = Line(served, get(PHOTO))
    until(lambda: stop.pid() or len(entries(served)) == 1, 10, "a stripe is held, or there are not so many")
    if stop.pid():
        stop.kill()
    stop.disarm()
    assert body(line) == wanted[PHOTO]
    for what in (PHOTO, ANOTHER) * 3:
        assert body(line.send(get(what))) == wanted[what]
    line.close()
    until(lambda: status(served)["derivatives"]["files"] == len(entries(served)) > 0 and
          status(served)["derivatives"]["counted"] == 1, 10, "what is stored is counted")
    before = status(served)["renders"]
    for what in (PHOTO, ANOTHER):
        assert dateless(undisturbed(served, get(what))).endswith(wanted[what])
    assert status(served)["renders"] == before
