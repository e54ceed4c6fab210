"""Clients that are slow, rude, greedy or broken: others must not notice."""
import os
import socket
import struct
import time

import pytest

from client import Gone, request_bytes
from server import Vitrine, patience, sanitized, until

IMAGE = "/iiif/3/small.tif/full/max/0/default.jpg"
LONG = "/iiif/3/big.tif/0,0,5000,4000/max/0/default.tif"


@pytest.fixture(scope="module")
def strict(images):
    """A server whose patience is short enough to see its end."""
    with Vitrine(images, settings={"idle_timeout": 2, "request_timeout": 4}) as server:
        yield server


def answer_or_close(connection):
    """The status, or None when the server just closed."""
    try:
        return connection.reply().status
    except (Gone, ConnectionResetError, BrokenPipeError):
        return None


def push(connection, data):
    try:
        connection.send(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def assert_well(served):
    began = time.monotonic()
    assert served.get(IMAGE).status == 200
    assert time.monotonic() - began < patience(2)


@pytest.mark.parametrize("size", [10_000, 100_000, 2_000_000])
def test_long_url(served, size):
    with served.client().connect() as connection:
        push(connection, b"GET /iiif/3/" + b"a" * size + b"/info.json HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_or_close(connection) in (400, 404, 414, 431, None)
    assert_well(served)


def test_url_without_end(strict):
    """The 2 GB URL: it must be given up long before."""
    with strict.client().connect() as connection:
        sent = 0
        try:
            connection.send(b"GET /")
            while sent < 1 << 26:
                connection.send(b"a" * 65536)
                sent += 65536
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert sent < 1 << 26, "64 MB of URL were taken"
    assert_well(strict)


@pytest.mark.parametrize("size, status", [(16_300, 200), (16_500, 431)])
def test_the_longest_head(served, size, status):
    """As much as the settings promise by default, with the cookies that browsers send at most."""
    head = b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: x\r\nCookie: a=" + b"c" * 8100 + b"\r\nX: "
    with served.client().connect() as connection:
        push(connection, head + b"c" * (size - len(head) - 4) + b"\r\n\r\n")
        assert answer_or_close(connection) == status
    assert_well(served)


@pytest.mark.parametrize("count, size", [(20_000, 10), (100, 10_000), (1, 1_000_000)])
def test_header_flood(served, count, size):
    with served.client().connect() as connection:
        push(connection, b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: x\r\n")
        line = b"X-Flood-%d: " + b"y" * size + b"\r\n"
        push(connection, b"".join(line % number for number in range(count)) + b"\r\n")
        assert answer_or_close(connection) in (400, 413, 431, None)
    assert_well(served)


@pytest.mark.parametrize("part", [b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: x\r\nX-Slow: ",
                                  b"GET /iiif/3/"],
                         ids=["header", "line"])
def test_one_byte_at_a_time_is_given_up(strict, part):
    """Bytes keep coming, so no idle time-out ends this; the time for a whole request must."""
    with strict.client().connect() as connection:
        connection.send(part)
        end = time.monotonic() + patience(12)
        connection.socket.settimeout(0.3)
        while time.monotonic() < end:
            try:
                connection.send(b"a")
                if connection.socket.recv(4096) == b"":
                    break
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        else:
            pytest.fail("still waiting for the request to end")
    assert_well(strict)


def test_silence_is_given_up(strict):
    connections = [strict.client().connect() for _ in range(5)]
    connections[1].send(b"GET")
    connections[2].request("GET", IMAGE)
    assert connections[2].reply().status == 200
    for connection in connections:
        connection.socket.settimeout(patience(8))
        try:
            while connection.socket.recv(4096):
                pass
        except ConnectionResetError:
            pass
        connection.close()
    assert_well(strict)


def test_a_reader_that_stops_is_given_up(strict):
    with strict.client().connect(receive_buffer=4096) as connection:
        connection.request("GET", LONG)
        assert connection.head().status == 200
        pid_files = {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in strict.worker_pids()}
        until(lambda: sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in strict.worker_pids())
              < sum(pid_files.values()), 15, "the connection that nobody reads is closed")
    assert_well(strict)


def test_a_slow_but_steady_reader_gets_everything(strict):
    """Whoever keeps reading is no enemy, even when it takes longer than the idle time-out."""
    with strict.client().connect(receive_buffer=65536) as connection:
        connection.request("GET", LONG)
        reply = connection.head()
        assert reply.status == 200
        end = time.monotonic() + 5
        while time.monotonic() < end:
            connection.more()
            time.sleep(0.1)
        reply.body = connection.body(reply)
    assert len(reply.body) == int(reply["content-length"])


def test_clients_that_leave_mid_answer(served):
    def open_files():
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in served.worker_pids())

    served.get(IMAGE)
    before, workers = open_files(), served.worker_pids()
    for number in range(30):
        connection = served.client().connect(receive_buffer=4096)
        connection.request("GET", LONG.replace("5000,4000", f"{900 + number},900"))
        if number % 3:
            connection.more()
        if number % 2:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert_well(served)
    assert served.worker_pids() == workers
    until(lambda: open_files() <= before + 4, 10, "the connections of those who left are closed")


def test_connections_per_address(start):
    served = start(settings={"connections_per_address": 8})
    held = []
    for _ in range(30):
        connection = served.client(timeout=5).connect()
        try:
            connection.request("GET", IMAGE)
            if answer_or_close(connection) == 200:
                held.append(connection)
        except OSError:
            pass
    assert 4 <= len(held) <= 8 * served.workers, f"{len(held)} of 30 connections were served"
    assert served.admin().get("/health").status == 200
    for connection in held:
        connection.close()
    def served_again():
        try:
            return served.get(IMAGE).status == 200
        except OSError:
            return False
    until(served_again, 5, "there is room again")


def test_default_leaves_room_for_a_browser_and_a_proxy(served):
    held = [served.client().connect() for _ in range(64)]
    for connection in held:
        connection.request("GET", IMAGE)
    assert all(connection.reply().status == 200 for connection in held)
    for connection in held:
        connection.close()


@pytest.mark.parametrize("data", [
    b"\r\n\r\n\r\n", b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / FTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(300), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /iiif/3/a b/info.json HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET " + IMAGE.encode() + b" HTTP/1.1\nHost: x\n\n",
    b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET /%00%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
    b"GET " + IMAGE.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /iiif/3/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\nx",
    b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"A" * 5000,
], ids=lambda data: repr(data[:24]))
def test_what_is_no_request(served, data):
    workers = served.worker_pids()
    with served.client(timeout=0.5).connect() as connection:
        push(connection, data)
        connection.socket.shutdown(socket.SHUT_WR)
        try:
            answer_or_close(connection)
        except (TimeoutError, AssertionError):
            pass
    assert_well(served)
    assert served.worker_pids() == workers


def test_seeded_garbage_in_the_target(served):
    """Parameters glued together from parts of the grammar: an answer each, the workers live on."""
    import random
    dice = random.Random(77)
    parts = ["full", "max", "square", "pct:", "^", "!", ",", ".", "0", "1", "9" * 20, "-1", "100", "/", "%",
             "%2F", "%00", "%ff",
             "default", ".jpg", "gray", ".png", "small.tif", ";2", "..", "e5", " ".replace(" ", "%20"),
             "\u00e9", "info.json"]
    workers, client = served.worker_pids(), served.client()
    for _ in range(1500):
        tail = "".join(dice.choice(parts) for _ in range(dice.randrange(1, 14)))
        target = f"/iiif/{dice.choice('23')}/small.tif/{tail}"
        reply = client.get(target)
        assert reply.status in (200, 303, 400, 404), f"{target}: {reply}"
    assert served.worker_pids() == workers


def test_expensive_requests_do_not_starve_cheap_ones(served):
    """Many large renderings at once; a small one must still come in time."""
    slow = []
    for number in range(8):
        connection = served.client().connect()
        target = f"/iiif/3/big.tif/{number},0,7000,5900/1200,1000/{number}.5/default.png"
        connection.send(request_bytes("GET", target))
        slow.append(connection)
    began = time.monotonic()
    assert served.get(IMAGE + "?cheap").status == 200
    waited = time.monotonic() - began
    for connection in slow:
        connection.close()
    assert waited < patience(5), f"waited {waited:.1f} s"


def test_memory_stays_bounded(served):
    """After everything that this module did to it."""
    if sanitized():
        pytest.skip("a sanitizer's memory says nothing about ours")
    for pid in served.worker_pids():
        with open(f"/proc/{pid}/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        assert peak < 2 << 20, f"worker {pid} took {peak} KB"
