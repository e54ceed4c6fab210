"""Workers killed inside transactions of the pyramid index: the others do not even notice, and what was written stays."""
import os
import shutil
import threading
import time

import pytest

from server import until
from stops import pictures

COUNT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    pictures(place)
    when = time.time_ns() - 100 * 10**9
    for number in range(COUNT):
        shutil.copy(place / "small.tif", place / f"{number}.tif")
        os.utime(place / f"{number}.tif", ns=(when, when))
    return place


@pytest.fixture
def served(start, stop, folder, monkeypatch):
    for name, value in stop.environment().items():
        monkeypatch.setenv(name, value)
    stop.disarm()
    served = start(folder, workers=3, settings={"derivative_cache": "false", "revalidate": 0})
    until(lambda: served.admin().get("/status").body.count(b"serving") == 3, 5, "all workers serve")
    return served


def index(served):
    return served.admin().get("/status").json()["index"]


def info(served, number):
    reply = served.get(f"/iiif/3/{number}.tif/info.json")
    assert reply.status == 200 and reply.json()["width"] == 120
    return reply


def wait_for_records(served, count):
    until(lambda: index(served)["records"] >= count, 10, f"{count} records are written: {index(served)}")


def wait_until_written(served):
    """Until nothing waits to be written. How many records there are then is open: what the victims had queued is lost."""
    def still():
        before = index(served)["records"]
        time.sleep(1)  # many times as long as a writer waits for more to write at once
        return index(served)["records"] == before
    until(still, 20, "all is written")


@pytest.mark.parametrize("point", ["index put", "index sync"])
def test_inside_a_writers_transaction(served, stop, point):
    info(served, 0)
    wait_for_records(served, 1)
    for round in range(4):
        first = 1 + 8 * round
        stop.arm(point)
        info(served, first)
        victim = stop.wait()
        for number in range(first, first + 4):  # nobody can write, all can read
            info(served, number)
        before = index(served)["records"]
        stop.kill()
        until(lambda: victim not in served.worker_pids(), 5, "it is dead")
        for number in range(first + 4, first + 8):
            info(served, number)
        wait_for_records(served, before + 4)
    wait_until_written(served)
    state = index(served)
    assert state["rebuilt"] == 0 and state["refused"] == 0, state
    hits = state["hits"]
    for pid in served.worker_pids():  # whoever comes now has it all from the index
        os.kill(pid, 9)
    until(lambda: served.admin().get("/status").body.count(b"serving") == 3, 10, "all workers serve")
    info(served, 0)
    info(served, 32)
    assert index(served)["hits"] >= hits + 2


def test_inside_a_readers_transaction(served, stop):
    for number in range(4):
        info(served, number)
    wait_for_records(served, 4)
    for round in range(6):
        stop.arm("index get")
        killer = threading.Thread(target=stop.kill)  # while the answer is waited for
        killer.start()
        info(served, 4 + round)
        info(served, round)
        killer.join()
    before = index(served)["records"]
    for number in range(20, 30):
        info(served, number)
    wait_for_records(served, before + 10)
    assert index(served)["rebuilt"] == 0
    assert served.admin().get("/status").json()["quarantine"] == []
