"""Workers that have served enough, or grown too large, are replaced; no client notices."""
import threading
import time

import numpy
import pytest
from PIL import Image

import client
import poisoned
from poisoned import path
from server import until

WHOLE = "/iiif/3/noise.tif/full/max/0/default.tif"  # 11 MB: more than all socket buffers hold


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    poisoned.pictures(place)
    noise = numpy.random.default_rng(7).integers(0, 256, (1600, 2400, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(place / "noise.tif")
    return place


@pytest.fixture
def preloaded(folder, tmp_path, monkeypatch):
    poisoned.needs_own_handlers()
    monkeypatch.setenv("LD_PRELOAD", poisoned.library(tmp_path))


def status(served):
    return served.admin().get("/status").json()


def recycled(served):
    lines = served.admin().get("/metrics").body.decode().splitlines()
    return int([line.split()[1] for line in lines if line.startswith("vitrine_workers_recycled_total ")][0])


def assert_nothing_happened(served):
    assert status(served)["crashes"] == 0, served.log()
    assert "did not leave in time" not in served.log(), served.log()


@pytest.mark.parametrize("workers", [1, 2])
def test_after_so_many_requests(start, folder, workers):
    served = start(folder, workers=workers, settings={"worker_max_requests": 100})
    before = set(served.worker_pids())
    with poisoned.Bystanders(served):
        until(lambda: not before & set(served.worker_pids()), 15, "all workers are new")
        until(lambda: recycled(served) >= 3, 15, "and newer")
    until(lambda: len([one for one in status(served)["workers"] if one["state"] == "serving"]) == workers, 15,
          "as many as before")
    assert_nothing_happened(served)


def test_one_that_has_grown(start, folder, preloaded):
    served = start(folder, workers=1, settings={"worker_max_rss": "400M"})
    [before] = served.worker_pids()
    with poisoned.Bystanders(served):
        for at in range(8):
            assert served.get(path("leak", 50 + at)).status == 200
        until(lambda: before not in served.worker_pids(), 10, "it was replaced")
    assert "MB of memory and is replaced" in served.log()
    assert recycled(served) == 1
    assert_nothing_happened(served)


def test_a_render_in_flight_is_finished_first(start, folder, preloaded):
    served = start(folder, workers=1, settings={"worker_max_requests": 20})
    before = served.worker_pids()
    answer = []
    asker = threading.Thread(target=lambda: answer.append(served.get(path("linger")).status))
    asker.start()
    while recycled(served) == 0:
        assert served.get(path("good0")).status == 200
    asker.join()
    assert answer == [200]
    until(lambda: not set(before) & set(served.worker_pids()), 10, "it is gone")
    assert_nothing_happened(served)


def test_a_slow_reader_goes_on_elsewhere(start, folder):
    """Its answer does not end while the worker retires: the worker is killed, and another continues."""
    served = start(folder, workers=1, settings={"worker_max_requests": 50})
    expected = served.get(WHOLE).body
    connection = client.Connection("127.0.0.1", served.port, receive_buffer=4096)
    connection.request("GET", WHOLE)
    head = connection.head()
    before = served.worker_pids()
    while recycled(served) == 0:
        assert served.get(path("good0")).status == 200
    until(lambda: not set(before) & set(served.worker_pids()), 15, "it is gone")
    assert connection.body(head) == expected
    connection.close()
    assert status(served)["crashes"] == 0, served.log()


def test_never_by_default(start, folder):
    served = start(folder)
    before = served.worker_pids()
    for _ in range(200):
        assert served.get(path("good0")).status == 200
    time.sleep(1.2)
    assert served.worker_pids() == before and recycled(served) == 0
