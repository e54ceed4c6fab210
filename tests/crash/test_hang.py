"""What stands still is killed: a render counts against its picture, a whole worker against nobody."""
import fcntl
import os
import signal
import threading
import time

import pytest

import client
import poisoned
import server
from poisoned import path
from server import soon, until

pytestmark = pytest.mark.usefixtures("preloaded")
LIMIT_S = 2


def status(served):
    return served.admin().get("/status").json()


def test_a_hanging_render_is_answered_500_then_503(start, poisonous):
    served = start(poisonous, settings={"render_hang_timeout": LIMIT_S, "quarantine": 60})
    begun = time.monotonic()
    with poisoned.Bystanders(served):
        reply = served.get(path("hang"))
        assert reply.status == 500, reply
        assert 2 * LIMIT_S <= time.monotonic() - begun < server.patience(2 * LIMIT_S + 4)
        reply = served.get(path("hang"))
        assert reply.status == 503 and reply["retry-after"]
    [one] = status(served)["quarantine"]
    assert one["identifier"] == "hang.jpg" and one["signal"] == signal.SIGKILL and one["strikes"] == 2
    log = served.log()
    assert log.count(f"died of its own standing still at work on {path('hang')}") == 2, log
    assert log.count("a thread at work on a request stands still") == 2
    assert "poison.so(jpeg_start_decompress" in log, "the backtrace names the function"
    assert "vitrine_worker_hangs_total 2\n" in served.admin().get("/metrics").body.decode()


def test_what_waits_for_memory_does_not_hang(start, poisonous):
    """Each takes more than there is, so they run one by one, and the last waits longer than a render may hang."""
    served = start(poisonous, workers=1, settings={"render_hang_timeout": 2, "render_threads": 4,
                                               "pixel_memory_bytes": "1M"})
    replies = []
    askers = [threading.Thread(target=lambda: replies.append(served.get(path("linger", 600)).status))
              for _ in range(4)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert replies == [200] * 4 and "stands still" not in served.log(), served.log()


def test_a_stopped_worker_is_killed_and_nobody_is_to_blame(start, poisonous):
    served = start(poisonous, workers=2, settings={"worker_hang_timeout": 3, "render_hang_timeout": 2})
    answers = []
    askers = [threading.Thread(target=lambda: answers.append(served.get(path("linger")))) for _ in range(4)]
    for asker in askers:
        asker.start()
    victim = until(lambda: [one["pid"] for one in status(served)["workers"] if one["queued"] > 0], 5, "it renders")[0]
    with poisoned.Bystanders(served):
        os.kill(victim, signal.SIGSTOP)
        soon(lambda: victim not in served.worker_pids(), 6, "it is killed")
        for asker in askers:
            asker.join()
    assert [answer.status for answer in answers] == [200] * 4
    log = served.log()
    assert f"(pid {victim}): all of it stands still" in log
    assert "strike" not in log and status(served)["quarantine"] == []


def test_a_worker_stopped_while_it_starts_is_killed(start, poisonous):
    """Whoever opens the index takes the guard; as long as it is taken, a worker does not come further."""
    served = start(poisonous, workers=2, settings={"worker_hang_timeout": 3})
    before = served.worker_pids()
    with open(os.path.join(served.cache, "index", "guard")) as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        os.kill(before[0], signal.SIGKILL)
        victim = until(lambda: [pid for pid in served.worker_pids() if pid not in before], 5, "the next one starts")[0]
        os.kill(victim, signal.SIGSTOP)
    until(lambda: f"(pid {victim}): its start stands still" in served.log(), 20, "it is given up")
    until(lambda: [one["state"] for one in status(served)["workers"]] == ["serving"] * 2, 10, "another serves")
    assert victim not in served.worker_pids() and status(served)["quarantine"] == []


def test_a_worker_that_stopped_for_a_while_lives(start, poisonous):
    served = start(poisonous, workers=1, settings={"worker_hang_timeout": 30, "render_hang_timeout": 2})
    [worker] = served.worker_pids()
    answer = []
    asker = threading.Thread(target=lambda: answer.append(served.get(path("linger")).status))
    asker.start()
    until(lambda: status(served)["workers"][0]["queued"] > 0, 5, "it renders")
    os.kill(worker, signal.SIGSTOP)
    time.sleep(4)  # the render's beat is old now
    os.kill(worker, signal.SIGCONT)
    asker.join()
    assert answer == [200] and served.worker_pids() == [worker], served.log()


def test_a_stopped_master_blames_nobody(start, poisonous):
    served = start(poisonous, settings={"worker_hang_timeout": 3, "render_hang_timeout": 1})
    before = served.worker_pids()
    connection = client.Connection("127.0.0.1", served.port)
    for pid in [served.process.pid, *before]:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(5)
    for pid in [served.process.pid, *before]:
        os.kill(pid, signal.SIGCONT)
    connection.request("GET", path("good0"))
    assert connection.reply().status == 200
    connection.close()
    time.sleep(2)
    assert served.worker_pids() == before, served.log()
