"""The lower tier of derivatives on a real NFS server: whatever becomes of it costs time that is bounded, and it is used again when it is back."""
import contextlib
import itertools
import os
import signal
import threading
import time

import pytest

from server import until
from storage.test_tier import answers, counter, knows, number

WAIT_MS = 300
MOST_CALLS = 12  # the start makes fewer, and whoever is killed meanwhile a few


def dear(count, at):
    """Requests that nobody has made yet."""
    return [f"/iiif/3/photo.tif/{x},{at},90,90/max/0/default.png" for x in range(count)]


@pytest.fixture
def tier(nfs):
    os.mkdir(f"{nfs.export}/tier")
    os.chmod(f"{nfs.export}/tier", 0o777)
    nfs.start_server()
    nfs.there, = nfs.mount("hard")
    return nfs


@pytest.fixture
def server(start, tier, tmp_path):
    """server(name, settings...) -> one whose images are here, and whose tier is there."""
    def begin(name="one", **settings):
        return start(workers=1, cache=tmp_path / name, settings={
            "derivative_tier": f"{tier.seen}/tier", "derivative_tier_cost": 0, "derivative_tier_wait": WAIT_MS, "revalidate": 1,
            "render_threads": 1, "admin_token": "a secret of the house", **settings})
    return begin


def stores(served, at):
    """What it makes is kept there, and comes from there to another's cache."""
    knows(served)
    before = number(served, "stored")

    def kept():
        answers(served, [f"/iiif/3/photo.tif/{time.monotonic_ns() % 200},{at},80,80/max/0/default.png"])
        return number(served, "stored") > before
    until(kept, 20, "the tier is written to")


def test_a_tier_that_hangs_at_any_call_of_a_start(server, tier):
    """It is lost at the start, hangs at HUP, and after 0, 1, 2 ... calls of a new worker's start: the server serves, says so, and uses the tier later."""
    def kill():
        workers = set(served.worker_pids())
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):  # one that has just retired
                os.kill(worker, signal.SIGKILL)
        until(lambda: set(served.worker_pids()) - workers, 20, "there is another worker")

    tier.there.end()
    served = server()
    assert "does not answer" in served.log()
    assert answers(served, dear(3, 1)) and counter(served, "derivatives_tier_known") == 0
    tier.there, = tier.mount("hard")
    tier.there.answer(0)
    said = len(served.log())
    served.signal(signal.SIGHUP)
    until(lambda: "retire" in served.log()[said:], 20, "the new worker has taken over")
    assert answers(served, dear(3, 2)) and "does not answer" in served.log()[said:]
    tier.there.answer()
    stores(served, 3)
    hung = []
    for calls in range(MOST_CALLS):
        tier.there.answer(calls)
        said = len(served.log())
        kill()
        assert served.admin(timeout=20).get("/health").status == 200
        hung.append("does not answer" in served.log()[said:])
        tier.there.answer()
    assert hung[0] and not all(hung), hung
    stores(served, 4)


def test_a_tier_that_hangs_in_the_middle(server, tier):
    """Nobody waits longer than they are told to, and the only render thread goes on."""
    served = server()
    stores(served, 1)
    tier.hang()
    answers(served, dear(24, 5))
    assert number(served, "failures") < 12, "after five in a row only one now and then waits"
    tier.resume()
    stores(served, 6)


def test_a_tier_that_is_killed_and_starts_again(server, tier):
    served = server()
    stores(served, 1)
    tier.kill()
    answers(served, dear(8, 5))
    tier.start_server()
    stores(served, 6)
    other, rows = server("two", derivative_tier_wait=20000), itertools.count(7)
    knows(other)

    def shared():
        """Of eight answers each; where some of before are still on their way to the tier these are counted, too, and it takes another turn."""
        stored, hits, paths = number(served, "stored"), number(other, "hits"), dear(8, next(rows))
        bodies = answers(served, paths)
        until(lambda: number(served, "stored") >= stored + 8, 20, "they are there")
        assert answers(other, paths) == bodies
        return number(other, "hits") == hits + 8
    until(shared, 20, "the other server has all of them from the tier")


def test_a_tier_that_is_lost_and_mounted_again(server, tier):
    served = server()
    stores(served, 1)
    tier.there.end()
    answers(served, dear(4, 5))
    tier.there, = tier.mount("hard")
    stores(served, 6)


def test_stopping_while_the_tier_hangs(server, tier):
    served = server(drain_timeout=2)
    stores(served, 1)
    tier.hang()
    answers(served, dear(4, 5))
    threading.Timer(3, tier.resume).start()  # a process in such a call cannot be killed by anybody
