"""A picture that crashes its worker costs two workers and nobody else: 500, then 503 until it leaves quarantine."""
import os
import shutil
import signal
import threading

import pytest

import poisoned
from poisoned import path
from server import until

pytestmark = pytest.mark.usefixtures("preloaded")


@pytest.fixture
def served(start, poisonous):
    return start(poisonous, settings={"quarantine": 60})


def status(served):
    return served.admin().get("/status").json()


def crashes(served):
    return status(served)["crashes"]


def assert_quarantined(served, name):
    reply = served.get(path(name))
    assert reply.status == 503 and 0 < int(reply["retry-after"]) <= 60, reply
    assert b"not opened for another" in reply.body
    assert reply["cache-control"] == "no-store"


@pytest.mark.parametrize("name, signal_name", [("segv", "Segmentation fault"), ("abort", "Aborted"),
                                               ("fpe", "Floating point exception"), ("bus", "Bus error"),
                                               ("overflow", "Segmentation fault"), ("program", "Bad system call"),
                                               ("connect", "Bad system call")])
def test_poison_is_answered_500_then_503(served, name, signal_name):
    with poisoned.Bystanders(served):
        reply = served.get(path(name))
        assert reply.status == 500 and b"crashed twice" in reply.body, reply
        assert_quarantined(served, name)
        assert_quarantined(served, name)
    assert crashes(served) == 2
    log = served.log()
    assert log.count(f"died of its own {signal_name} at work on {path(name)}") == 2, log
    assert "poison.so(jpeg_start_decompress" in log or name == "overflow", "the backtrace names the function"
    assert log.count("is in quarantine for 60 s") == 1


def test_the_status_page_and_the_metrics_show_it(served):
    assert status(served)["quarantine"] == []
    assert served.get(path("segv")).status == 500
    assert_quarantined(served, "segv")
    [one] = status(served)["quarantine"]
    assert one["identifier"] == "segv.jpg" and one["signal"] == signal.SIGSEGV and one["strikes"] == 2
    assert 0 < one["seconds_left"] <= 60
    metrics = served.admin().get("/metrics").body.decode()
    for line in ("vitrine_request_faults_total 2", "vitrine_quarantined 1", "vitrine_quarantine_responses_total 1"):
        assert line + "\n" in metrics, metrics


def test_every_answer_of_a_picture_in_quarantine_is_503(served):
    assert served.get("/iiif/3/segv.jpg/info.json").status == 200, "reading the header does no harm"
    assert served.get(path("segv")).status == 500
    assert served.get("/iiif/3/segv.jpg/info.json").status == 503
    assert served.get(path("segv", 50)).status == 503
    assert served.get("/iiif/2/segv.jpg/full/50,/0/default.jpg").status == 503
    assert served.get("/iiif/3/segv.jpg").status == 303, "nothing is opened for a redirection"


def test_a_replaced_file_is_served_at_once(start, poisonous, tmp_path):
    place = tmp_path / "images"
    shutil.copytree(poisonous, place)
    served = start(place, settings={"quarantine": 60, "revalidate": 0})
    assert served.get(path("segv")).status == 500
    assert_quarantined(served, "segv")
    os.replace(place / "good0.jpg", place / "segv.jpg")
    assert served.get(path("segv")).status == 200


def test_the_quarantine_ends(start, poisonous):
    served = start(poisonous, settings={"quarantine": 1})
    assert served.get(path("segv")).status == 500
    until(lambda: served.get(path("segv")).status == 500, 5, "it is tried again")
    assert crashes(served) == 4


def test_without_quarantine_every_request_is_tried(start, poisonous):
    served = start(poisonous, settings={"quarantine": 0})
    for _ in range(2):
        assert served.get(path("segv")).status == 500
    assert crashes(served) == 4


def test_many_ask_for_the_poison_at_once(served):
    """Each of them counts for itself until one has two strikes; then all have their answer."""
    replies = []
    askers = [threading.Thread(target=lambda: replies.append(served.get(path("segv")).status)) for _ in range(20)]
    with poisoned.Bystanders(served, count=4):
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
    assert len(replies) == 20 and set(replies) <= {500, 503} and 500 in replies, replies
    assert crashes(served) <= 22


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_kills_from_outside_count_for_nobody(start, poisonous, number):
    """Ten deaths of its worker while a picture is rendered, by signals that a fault would have brought, too."""
    served = start(poisonous, workers=1)
    answer = []
    asker = threading.Thread(target=lambda: answer.append(served.get(path("linger"))))
    asker.start()

    def busy():
        return [one["pid"] for one in status(served)["workers"] if one["queued"] > 0]
    for _ in range(10):
        victim = until(busy, 5, "a worker renders")[0]
        os.kill(victim, number)
        until(lambda: victim not in served.worker_pids(), 5, "it is gone")
    asker.join()
    assert answer[0].status == 200
    assert "strike" not in served.log() and status(served)["quarantine"] == []


def test_the_neighbour_of_a_poisoned_request_gets_no_strike(start, poisonous):
    """One worker, two threads: what lingers dies with every crash of the other, and is answered in the end."""
    served = start(poisonous, workers=1, settings={"render_threads": 2, "quarantine": 0})
    answer = []
    asker = threading.Thread(target=lambda: answer.append(served.get(path("linger"))))
    asker.start()
    until(lambda: [one for one in status(served)["workers"] if one["queued"] > 0], 5, "it renders")
    for _ in range(3):
        assert served.get(path("segv")).status == 500
    asker.join()
    assert answer[0].status == 200 and crashes(served) == 6
    assert path("linger") not in served.log()
