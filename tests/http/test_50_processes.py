"""Master and workers: death, drain and leaving."""
import os
import signal
import threading

import pytest

from client import Gone
from server import patience, process_table, until

IMAGE = "/iiif/3/small.tif/full/max/0/default.jpg"
# Far more bytes than the sockets between hold, so that the answer is in flight as long as nobody reads.
LONG = "/iiif/3/big.tif/0,0,5000,4000/max/0/default.tif"


def persistent_get(served, target, seconds=5):
    """A client that asks again when its connection dies, as a browser does."""
    def attempt():
        try:
            return served.get(target)
        except ConnectionError:
            return None
    return until(attempt, seconds, f"an answer to {target}")


def test_a_killed_worker_is_replaced_and_the_service_goes_on(start):
    served = start(workers=2)
    for _ in range(3):
        before = served.worker_pids()
        os.kill(before[0], signal.SIGKILL)
        assert persistent_get(served, IMAGE).status == 200
        until(lambda: len(served.worker_pids()) == len(before) and before[0] not in served.worker_pids(), 5,
              "the dead worker is replaced")
    assert served.process.poll() is None
    assert all(served.get(IMAGE).status == 200 for _ in range(10))


def test_all_workers_killed_at_once(start):
    served = start(workers=2)
    for pid in served.worker_pids():
        os.kill(pid, signal.SIGKILL)
    assert persistent_get(served, IMAGE).status == 200


def test_requests_while_workers_die_are_few_failures(start):
    """Whoever asks again gets the right bytes; what does arrive is never wrong."""
    served = start(workers=2)
    right = served.get(IMAGE).body
    stop, wrong = threading.Event(), []

    def visitor():
        client = served.client()
        while not stop.is_set():
            try:
                reply = client.get(IMAGE)
            except ConnectionError:
                continue
            if reply.status != 503 and (reply.status != 200 or reply.body != right):
                wrong.append(reply)

    visitors = [threading.Thread(target=visitor) for _ in range(4)]
    for one in visitors:
        one.start()
    for _ in range(5):
        victim = until(served.worker_pids, 5, "a worker")[0]
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in served.worker_pids() and len(served.worker_pids()) == 2, 5, "replaced")
    stop.set()
    for one in visitors:
        one.join(patience(20))
    assert not wrong, wrong[:3]


def test_a_stopped_worker_does_not_stop_the_service(start):
    served = start(workers=2)
    victim = served.worker_pids()[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        def attempt():
            try:
                return served.get(IMAGE, timeout=1).status == 200
            except (ConnectionError, TimeoutError):
                return False
        until(attempt, 15, "an answer while one worker stands still")
    finally:
        try:
            os.kill(victim, signal.SIGCONT)
        except ProcessLookupError:
            pass


def test_workers_leave_with_the_master(start, images):
    from server import Vitrine
    served = Vitrine(images, workers=3).start()
    try:
        assert served.get(IMAGE).status == 200
        family = served.processes()
        os.kill(served.process.pid, signal.SIGKILL)
        served.process.wait()
        until(lambda: not set(family) & set(process_table()), 1,
              "workers are gone after the master's kill -9")
        served.assert_clean_log()
    finally:
        served.discard()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_term_and_int_leave_with_0(images, number):
    from server import Vitrine
    served = Vitrine(images).start()
    try:
        assert served.get(IMAGE).status == 200
        served.signal(number)
        assert served.process.wait(60) == 0
        until(lambda: not served.processes(), 1, "nothing left behind")
        served.assert_clean_log()
    finally:
        served.discard()


def test_quit_leaves_at_once(images):
    from server import Vitrine
    served = Vitrine(images, settings={"drain_timeout": 600}).start()
    try:
        with served.client().connect(receive_buffer=4096) as reader:
            reader.request("GET", LONG)
            assert reader.head().status == 200
            served.signal(signal.SIGQUIT)
            served.process.wait(60)
        until(lambda: not served.processes(), 1, "nothing left behind")
    finally:
        served.discard()


def test_term_drains_an_answer_in_flight(images):
    from server import Vitrine
    served = Vitrine(images).start()
    try:
        with served.client().connect(receive_buffer=4096) as reader:
            reader.request("GET", LONG)
            reply = reader.head()
            assert reply.status == 200
            chunked = "chunked" in reply.tokens("transfer-encoding")
            assert chunked or int(reply["content-length"]) > 8 << 20
            served.signal(signal.SIGTERM)
            until(lambda: refused(served), 5, "new connections are no longer taken, or answered with close")
            assert served.process.poll() is None, "left with an answer in flight"
            reply.body = reader.body(reply)
            assert reply.image().size == (5000, 4000)
        assert served.process.wait(60) == 0
        until(lambda: not served.processes(), 1, "nothing left behind")
        served.assert_clean_log()
    finally:
        served.discard()


def refused(served):
    try:
        return served.get(IMAGE, timeout=2)["connection"] == "close"
    except (ConnectionError, TimeoutError):
        return True


def test_ready_says_no_while_draining(images):
    from server import Vitrine
    served = Vitrine(images).start()
    try:
        with served.client().connect(receive_buffer=4096) as reader:
            reader.request("GET", LONG)
            reader.head()
            served.signal(signal.SIGTERM)

            def not_ready():
                try:
                    return served.admin(timeout=2).get("/ready").status == 503
                except (ConnectionError, TimeoutError):
                    return True
            until(not_ready, 5, "/ready says 503 or is gone")
        served.process.wait(60)
    finally:
        served.discard()


def test_idle_connections_do_not_hold_up_the_drain(images):
    from server import Vitrine
    served = Vitrine(images, settings={"drain_timeout": 600, "idle_timeout": 600}).start()
    try:
        idle = [served.client().connect() for _ in range(10)]
        for connection in idle[:5]:
            connection.request("GET", IMAGE)
            assert connection.reply().status == 200
        served.signal(signal.SIGTERM)
        assert served.process.wait(60) == 0
        for connection in idle:
            connection.close()
    finally:
        served.discard()


def test_second_server_on_the_same_port_does_not_disturb(served):
    import server as module
    told = module.run("serve", "--images", served.images, "--listen", f"127.0.0.1:{served.port}",
                      "--cache", os.path.join(served.home, "other-cache"))
    assert told.returncode == 1
    assert served.get(IMAGE).status == 200


def test_no_descriptor_leaks_into_or_in_workers(served):
    """Steady work leaves the number of open files as it was."""
    def open_files():
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in served.worker_pids())

    def work():
        for name in ("small.tif", "rgb.png", "baseline-420.jpg", "lossy.webp", "photo.tif", "nothing.tif"):
            served.get(f"/iiif/3/{name}/full/50,/0/default.jpg")

    for _ in range(5):
        work()
    before = open_files()
    for _ in range(40):
        work()
    until(lambda: open_files() <= before + 4, 5, f"open files are back at {before}")


def test_a_dying_connection_is_never_half_an_answer_with_a_right_length(start):
    """What a killed worker leaves is either the whole answer or visibly broken off."""
    served = start(workers=1)
    with served.client().connect(receive_buffer=4096) as reader:
        reader.request("GET", LONG)
        reply = reader.head()
        os.kill(served.worker_pids()[0], signal.SIGKILL)
        try:
            reply.body = reader.body(reply)
        except (Gone, ConnectionResetError):
            pass
        else:
            assert reply.image().size == (5000, 4000)
    assert persistent_get(served, IMAGE).status == 200
