"""A worker killed at a named point: its client gets one correct, complete answer, on the connection that it has."""
import os
import signal

import pytest

import server
from server import until
from stops import INFO, LARGE, PHOTO, SMALL, Line, dateless, get, undisturbed

NEXT = get("/iiif/3/small.tif/0,0,50,40/max/0/default.png")


@pytest.fixture
def begin(begin):
    def opened(**options):
        served = begin(**options)
        undisturbed(served, NEXT)
        return served
    return opened


@pytest.fixture
def served(begin):
    return begin()


def assert_lives_on(served, line):
    """Nothing came behind the answer, and the same connection serves another request."""
    line.send(NEXT).assert_reads(undisturbed(served, NEXT))
    line.close()
    until(lambda: "was killed by signal 9" in served.log(), 5, "the log says so")


# ---- before the request is complete ------------------------------------------------------------------------------

@pytest.mark.parametrize("early", [True, False], ids=["request before the kill", "request after the kill"])
@pytest.mark.parametrize("point", ["adopted", "receive"])
def test_connection_handed_over_and_nothing_read(served, stop, point, early):
    wanted = undisturbed(served, get(INFO))
    stop.arm(point)
    line = Line(served, get(INFO) if early else b"")
    stop.kill()
    line.send(b"" if early else get(INFO)).assert_reads(wanted)
    assert_lives_on(served, line)


@pytest.mark.parametrize("rest_waits", [True, False], ids=["rest in the kernel", "rest after the kill"])
def test_half_a_request_header_read(served, stop, rest_waits):
    wanted, request = undisturbed(served, get(SMALL)), get(SMALL)
    stop.arm("received")
    line = Line(served, request[:40])
    stop.wait()
    if rest_waits:
        line.send(request[40:])
    stop.kill()
    if not rest_waits:
        line.send(request[40:])
    line.assert_reads(wanted)
    assert_lives_on(served, line)


def test_a_header_of_which_each_worker_reads_three_bytes(begin, stop):
    served = begin(workers=1)
    wanted, request = undisturbed(served, get(SMALL)), get(SMALL)
    stop.arm("received")
    line = Line(served)
    for at in range(0, len(request) - 3, 3):
        line.send(request[at:at + 3])
        stop.kill(then=lambda: stop.arm("received"))
    stop.disarm()
    line.send(request[at + 3:]).assert_reads(wanted)
    assert_lives_on(served, line)


def test_whole_request_taken_out_of_the_socket_and_nobody_told(served, stop):
    wanted = undisturbed(served, get(SMALL))
    stop.arm("received")
    line = Line(served, get(SMALL))
    stop.kill()
    line.assert_reads(wanted)
    assert_lives_on(served, line)


# ---- before the answer -------------------------------------------------------------------------------------------

def test_one_request_in_the_decoder_and_others_queued(begin, stop):
    served = begin(workers=1, settings={"render_threads": 1})
    wanted = undisturbed(served, get(PHOTO))
    stop.arm("decode")
    lines = [Line(served, get(PHOTO))]
    stop.wait()
    lines += [Line(served, get(PHOTO)) for _ in range(5)]
    until(lambda: served.admin().get("/status").json()["workers"][0]["queued"] >= 5, 5, "the others wait")
    stop.kill()
    for line in lines:
        line.assert_reads(wanted)
        assert_lives_on(served, line)
    assert "strike" not in served.log()


def test_before_the_first_byte_of_the_answer(served, stop):
    wanted = undisturbed(served, get(PHOTO))
    stop.arm("send")
    line = Line(served, get(PHOTO))
    stop.kill()
    line.assert_reads(wanted)
    assert_lives_on(served, line)


# ---- within the answer -------------------------------------------------------------------------------------------

def test_between_two_writes_of_a_long_answer(served, stop):
    wanted = undisturbed(served, get(LARGE))
    stop.arm("send", nth=5)
    line = Line(served, get(LARGE))
    data = b""
    while not stop.pid():
        data += line.what_comes(0.05)  # and no wait for more: the worker may be standing still by now
        assert len(data) < len(wanted), "no fifth write"
    stop.kill()
    assert dateless(data + line.read(len(wanted) - len(data))) == dateless(wanted)
    assert_lives_on(served, line)


@pytest.mark.parametrize("where", ["first byte", "in the header", "end of the header", "first byte of the body",
                                   "in the body", "before the last byte"])
def test_at_a_byte_of_the_answer(served, stop, where):
    """The kernel has taken the bytes, and the worker dies before it knows."""
    wanted = undisturbed(served, get(PHOTO))
    header = wanted.index(b"\r\n\r\n") + 4
    at = {"first byte": 1, "in the header": 100, "end of the header": header, "first byte of the body": header + 1,
          "in the body": len(wanted) // 2, "before the last byte": len(wanted) - 1}[where]
    stop.arm("sent", bytes=at)
    line = Line(served, get(PHOTO))
    stop.kill()
    line.assert_reads(wanted)
    assert_lives_on(served, line)


def test_at_a_late_byte_of_a_long_answer(served, stop):
    wanted = undisturbed(served, get(LARGE))
    stop.arm("sent", bytes=17_000_001)
    line = Line(served, get(LARGE))
    data = line.read(17_000_001)
    stop.kill()
    assert dateless(data + line.read(len(wanted) - len(data))) == dateless(wanted)
    assert_lives_on(served, line)


def test_a_worker_for_every_hundred_bytes_of_an_answer(begin, stop):
    served = begin(workers=1)
    wanted = undisturbed(served, get(INFO))
    places = list(range(7, len(wanted), 100))
    stop.arm("sent", bytes=places[0])
    line = Line(served, get(INFO))
    for place in places[1:]:
        stop.kill(then=lambda at=place: stop.arm_at(at))
    stop.kill()
    line.assert_reads(wanted)
    assert_lives_on(served, line)
    assert served.log().count("was killed by signal 9") == len(places)


# ---- after the answer --------------------------------------------------------------------------------------------

@pytest.mark.parametrize("early", [True, False], ids=["next request before the kill", "next request after the kill"])
@pytest.mark.parametrize("target", [INFO, SMALL, PHOTO])
def test_after_the_last_byte_and_before_the_next_request(served, stop, target, early):
    wanted, following = undisturbed(served, get(target)), undisturbed(served, get(SMALL))
    stop.arm("sent", bytes=len(wanted))
    line = Line(served, get(target))
    line.assert_reads(wanted)
    stop.wait()
    line.send(get(SMALL) if early else b"")
    stop.kill()
    line.send(b"" if early else get(SMALL)).assert_reads(following)
    assert_lives_on(served, line)


def test_idle(served):
    lines = [Line(served, get(INFO)) for _ in range(6)]
    wanted = undisturbed(served, get(INFO))
    for line in lines:
        line.assert_reads(wanted)
    before = served.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(served.worker_pids()) - set(before)) == 2, 5, "two new workers")
    for line in lines:
        assert_lives_on(served, line)


@pytest.mark.parametrize("point", ["shutdown", "shut"])
def test_at_the_end_of_a_connection(served, stop, point):
    """The answer is out, the connection is to end, and the master has not been told."""
    request = get(INFO, {"Connection": "close"})
    wanted = undisturbed(served, request)
    sockets = master_sockets(served)
    stop.arm(point)
    line = Line(served, request)
    line.assert_reads(wanted)
    stop.kill()
    line.socket.settimeout(server.patience(2))
    line.assert_ends()
    line.close()
    until(lambda: master_sockets(served) <= sockets, 5, "the master forgets the connection")


@pytest.mark.parametrize("point", ["received", "send"])
def test_the_client_leaves_while_its_worker_is_dead(served, stop, point):
    sockets = master_sockets(served)
    stop.arm(point)
    line = Line(served, get(LARGE))
    stop.wait()
    line.close()
    stop.kill()
    until(lambda: master_sockets(served) <= sockets, 5, "the master forgets the connection")


def master_sockets(served):
    found = 0
    for name in os.listdir(f"/proc/{served.process.pid}/fd"):
        try:
            found += os.readlink(f"/proc/{served.process.pid}/fd/{name}").startswith("socket:")
        except OSError:
            pass
    return found
