"""Every kind of answer goes on in another worker, and where it cannot, it ends and never goes on wrongly."""
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

import server
from server import until
from stops import INFO, LARGE, LARGE_STREAMED, PHOTO, SMALL, STREAMED, Line, closes, dateless, get, pictures, \
    undisturbed, whole

NEXT = get("/iiif/3/small.tif/0,0,50,40/max/0/default.png")
JOURNAL_BYTES = 16384 - 256  # so much of a request is kept


@pytest.fixture
def served(begin):
    return begin()


def etag(served, target):
    return re.search(rb"\r\nETag: (.*?)\r\n", undisturbed(served, get(target))).group(1).decode()


# ---- every kind of answer ----------------------------------------------------------------------------------------

KINDS = {
    "1.0": lambda served: get(SMALL, version="1.0"),
    "1.0 keep-alive": lambda served: get(SMALL, {"Connection": "keep-alive"}, version="1.0"),
    "close": lambda served: get(SMALL, {"Connection": "close"}),
    "HEAD": lambda served: get(PHOTO, method="HEAD"),
    "HEAD info.json": lambda served: get(INFO, method="HEAD"),
    "streamed": lambda served: get(STREAMED),
    "streamed, close": lambda served: get(STREAMED, {"Connection": "close"}),
    "HEAD streamed": lambda served: get(STREAMED, method="HEAD"),
    "206 of what is streamed": lambda served: get(STREAMED, {"Range": "bytes=1000-99999"}),
    "304": lambda served: get(PHOTO, {"If-None-Match": etag(served, PHOTO)}),
    "206": lambda served: get(PHOTO, {"Range": "bytes=1000-4999"}),
    "206 from the end": lambda served: get(PHOTO, {"Range": "bytes=-777"}),
    "416": lambda served: get(PHOTO, {"Range": "bytes=99999999-"}),
    "404": lambda served: get("/iiif/3/nobody.tif/info.json"),
    "400": lambda served: get("/iiif/3/small.tif/full/max/0/wrong.jpg"),
    "400 that ends": lambda served: b"GET " + SMALL.encode() + b" HTTP/1.1\r\n\r\n",
    "405": lambda served: get(SMALL, method="DELETE"),
    "info.json": lambda served: get(INFO),
    "OPTIONS": lambda served: get(INFO, method="OPTIONS"),
    "303": lambda served: get("/iiif/3/small.tif"),
    "POST with a body": lambda served: get(SMALL, {"Content-Length": "5"}, method="GET") + b"12345",
}


def answer_starts(kind, served):
    request = KINDS[kind](served)
    wanted = undisturbed(served, request)
    status = int(wanted[9:12])
    named = re.match(r"\d{3}", kind)
    assert not named or status == int(named.group()), wanted[:200]
    return request, wanted


@pytest.mark.parametrize("where", ["received", "send", "first byte", "middle", "before the last byte", "last byte"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_of_this_kind_survives(shared, stop, kind, where):
    served = shared
    request, wanted = answer_starts(kind, served)
    if where in ("received", "send"):
        stop.arm(where)
    else:
        stop.arm("sent", bytes={"first byte": 1, "middle": len(wanted) // 2, "before the last byte": len(wanted) - 1,
                                "last byte": len(wanted)}[where])
    line = Line(served, request)
    stop.kill()
    line.assert_reads(wanted)
    if closes(wanted) or b" HTTP/1.0\r\n" in request and b"keep-alive" not in request:
        line.assert_ends()
    else:
        line.send(NEXT).assert_reads(undisturbed(served, NEXT))
    line.close()


@pytest.fixture(scope="module")
def shared(folder, stop):
    """One server for all of them: it loses a worker in each. It takes requests longer than the journal, too."""
    before = {name: os.environ.get(name) for name in stop.environment()}
    os.environ.update(stop.environment())
    try:
        with server.Vitrine(folder, settings={"derivative_cache": "false", "max_header_bytes": 32768}) as served:
            yield served
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


# ---- several requests, half-closed connections -------------------------------------------------------------------

@pytest.mark.parametrize("answers_before", [0, 1, 2])
@pytest.mark.parametrize("where", ["received", "send", "first byte", "middle", "last byte"])
def test_pipelined_requests_are_answered_in_order(shared, stop, where, answers_before):
    """Either all of them, or up to the end of one."""
    served = shared
    requests = [get(INFO), get(PHOTO), get("/iiif/3/nobody.tif/info.json"), get(SMALL)]
    wanted = [undisturbed(served, request) for request in requests]
    begun = sum(map(len, wanted[:answers_before]))
    if where == "received":
        stop.arm(where)
    elif where == "send":
        stop.arm(where, nth=answers_before + 1)
    else:
        length = len(wanted[answers_before])
        stop.arm("sent", bytes=begun + {"first byte": 1, "middle": length // 2, "last byte": length}[where])
    line = Line(served, b"".join(requests))
    stop.kill()
    line.socket.shutdown(socket.SHUT_WR)
    data, orderly = line.rest()
    line.close()
    assert orderly
    count = 0
    while data:
        length = whole(data, "GET")
        assert dateless(data[:length]) == dateless(wanted[count]), f"answer {count}: {data[:300]!r}"
        data = data[length:]
        count += 1
    assert count > answers_before


@pytest.mark.parametrize("where", ["adopted", "received", "decode", "send", "middle"])
def test_a_client_that_has_ended_its_side_gets_its_answer(shared, stop, where):
    served = shared
    wanted = undisturbed(served, get(PHOTO))
    if where == "middle":
        stop.arm("sent", bytes=len(wanted) // 2)
    else:
        stop.arm(where)
    line = Line(served, get(PHOTO))
    line.socket.shutdown(socket.SHUT_WR)
    stop.kill()
    line.assert_reads(wanted)
    line.assert_ends()
    line.close()


def test_half_a_request_and_then_the_end(shared, stop):
    stop.arm("received")
    line = Line(shared, get(PHOTO)[:30])
    line.socket.shutdown(socket.SHUT_WR)
    stop.kill()
    line.assert_ends()
    line.close()


# ---- what cannot go on -------------------------------------------------------------------------------------------

def replace(folder, name, by):
    os.link(folder / by, folder / "new")
    os.replace(folder / "new", folder / name)


@pytest.fixture
def replaceable(begin, tmp_path):
    images = tmp_path / "images"
    images.mkdir(mode=0o755)
    pictures(images)
    with open(images / "other.tif", "wb") as other:  # of the same size to the byte, but for what it shows
        data = bytearray((images / "noise.tif").read_bytes())
        data[10_000:10_000_000] = bytes(byte ^ 0x55 for byte in data[10_000:10_000_000])
        other.write(data)
    return images, begin(images=images, settings={"revalidate": 0})


@pytest.mark.parametrize("at", [1, 300, 1_000_000])
def test_a_source_replaced_in_the_middle_of_its_answer_ends_the_connection(replaceable, stop, at):
    images, served = replaceable
    old = undisturbed(served, get(LARGE))
    stop.arm("sent", bytes=at)
    line = Line(served, get(LARGE))
    data = line.read(at)
    stop.wait()
    replace(images, "noise.tif", "other.tif")
    new = undisturbed(served, get(LARGE))
    assert len(new) == len(old) and new != old
    stop.kill()
    data += line.rest()[0]
    line.close()
    assert len(data) == at and dateless(data) == dateless(old)[:len(dateless(data))]


def test_a_source_replaced_before_its_answer_began_is_answered_as_it_is_now(replaceable, stop):
    images, served = replaceable
    stop.arm("send")
    line = Line(served, get(LARGE))
    stop.wait()
    replace(images, "noise.tif", "other.tif")
    new = undisturbed(served, get(LARGE))
    stop.kill()
    line.assert_reads(new)
    line.close()


@pytest.mark.parametrize("where", ["received", "send", "middle"])
def test_a_request_longer_than_the_journal_ends_the_connection(shared, stop, where):
    served = shared
    request = get(PHOTO, {"X-Long": "x" * (JOURNAL_BYTES + 1000)})
    wanted = undisturbed(served, request)
    assert wanted.startswith(b"HTTP/1.1 200 ")
    count = len(wanted) // 2 if where == "middle" else 0
    stop.arm("sent", bytes=count) if count else stop.arm(where, nth=2 if where == "received" else 1)
    line = Line(served, request)
    stop.kill()
    data, _ = line.rest()
    line.close()
    assert len(data) == count and dateless(data) == dateless(wanted)[:len(dateless(data))]


@pytest.mark.parametrize("length", [JOURNAL_BYTES - 1, JOURNAL_BYTES, JOURNAL_BYTES + 1])
def test_requests_about_as_long_as_the_journal(shared, stop, length):
    """What is just kept is answered; what is not ends cleanly. A request that fills it to the byte may do either."""
    served = shared
    bare = get(PHOTO, {"X-Long": ""})
    request = get(PHOTO, {"X-Long": "x" * (length - len(bare))})
    assert len(request) == length
    wanted = undisturbed(served, request)
    stop.arm("send")
    line = Line(served, request)
    stop.kill()
    if length < JOURNAL_BYTES:
        line.assert_reads(wanted)
        line.send(NEXT).assert_reads(undisturbed(served, NEXT))
    else:
        data = line.read(len(wanted))
        assert data == b"" or length == JOURNAL_BYTES and dateless(data) == dateless(wanted)
    line.close()


def test_after_a_request_longer_than_the_journal_the_next_survives(shared, stop):
    served = shared
    line = Line(served)
    for length in (JOURNAL_BYTES + 1000, 100, JOURNAL_BYTES + 5000):
        request = get(PHOTO, {"X-Long": "x" * length})
        line.send(request).assert_reads(undisturbed(served, request))
        wanted = undisturbed(served, get(PHOTO))
        stop.arm("sent", bytes=len(wanted) // 2)
        line.send(get(PHOTO))
        stop.kill()
        line.assert_reads(wanted)
    line.close()


# ---- many kills --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("workers, target", [(1, LARGE), (2, LARGE), (1, LARGE_STREAMED)])
def test_ten_kills_during_one_long_answer_read_slowly(begin, workers, target):
    served = begin(workers=workers)
    wanted = undisturbed(served, get(target))
    assert len(wanted) > (20_000_000 if target == LARGE else 4_000_000)
    line = Line(served, get(target), receive_buffer=65536)
    data = bytearray()
    for kill in range(1, 11):
        data += line.read(len(wanted) * kill // 11 - len(data))
        victims = served.worker_pids()
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not set(victims) & set(served.worker_pids()), 5, "they are dead")
    data += line.read(len(wanted) - len(data))
    assert dateless(bytes(data)) == dateless(wanted)
    line.send(NEXT).assert_reads(undisturbed(served, NEXT))
    line.close()
    assert served.log().count("was killed by signal 9") == 10 * workers and "strike" not in served.log()


def test_chaos_for_a_few_seconds(images):
    signals = "KILL,STOP" if server.sanitized() else "KILL,SEGV,STOP"  # a sanitizer takes a SEGV for a fault
    done = subprocess.run([sys.executable, os.path.join(os.path.dirname(__file__), "chaos"), "SECONDS=8", f"SIGNALS={signals}",
                           f"IMAGES={images}"], capture_output=True, text=True, check=False, timeout=server.patience(80))
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_id_goes_on_where_it_was_cut(begin, stop, tmp_path):
    """The first half was sent by the worker that died, the second by the one that knows it from the journal."""
    log = tmp_path / "access.log"
    served = begin(workers=2, settings={"access_log": log, "access_log_format": "json"})
    request = get("/nobody")
    wanted = undisturbed(served, request)
    stop.arm("sent", bytes=wanted.index(b"X-Request-Id: ") + 14 + 8)
    line = Line(served, request)
    stop.kill()
    answer = line.answer()
    name = re.search(rb"X-Request-Id: ([0-9a-f]{16})\r\n", answer).group(1).decode()
    until(lambda: name in log.read_text(), 5, "the line of the answer")
    assert dateless(answer) == dateless(wanted) and name not in wanted.decode()
