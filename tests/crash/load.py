"""Load whose every answer is compared with the one that an undisturbed server gave, over connections that stay.

    wanted = load.answers(served, targets)           # asked once, before anything is disturbed
    with load.Load(served.port, wanted, connections=50) as busy:
        ...                                          # kill, reload, upgrade
    busy.assert_undisturbed()

One thread with select(): N connections, each with one request at a time. A connection that ends, an answer that
differs by one byte (but for its Date), a connection that has to be made again: each is a failure.
"""
import random
import re
import selectors
import socket
import threading
import time

from client import Client, request_bytes
from server import patience

DATE = re.compile(rb"(?m)^(?:Date: [^\r]*|X-Request-Id: [0-9a-f]{16})\r\n")


def whole(data):
    """The length of the answer that data begins with, None while it is not all there."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    if b"\r\nTransfer-Encoding: chunked" in data[:end]:
        return len(data) if data.endswith(b"\r\n0\r\n\r\n") else None  # nothing is asked for behind it
    length = re.search(rb"(?im)^content-length: *(\d+)", data[:end])
    total = end + 4 + int(length.group(1))
    return total if len(data) >= total else None


def comparable(data):
    head, _, body = bytes(data).partition(b"\r\n\r\n")
    return DATE.sub(b"", head + b"\r\n"), body


def answers(served, targets):
    """What the server says to each target: {target: (head without Date, body)}."""
    found = {}
    for target in targets:
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
            connection.sendall(request_bytes("GET", target, None, f"127.0.0.1:{served.port}"))
            data = bytearray()
            while whole(data) is None:
                more = connection.recv(1 << 18)
                assert more, f"{target}: closed after {len(data)} bytes"
                data += more
        assert data.startswith(b"HTTP/1.1 200 "), data[:200]
        found[target] = comparable(data)
    return found


class Line:
    """One connection and the answer it waits for."""

    def __init__(self, number, port):
        self.number, self.random = number, random.Random(number)
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setblocking(False)
        self.data = bytearray()
        self.target, self.asked = None, 0.0


class Load:
    def __init__(self, port, wanted, connections=20, silence_s=20):
        self.port, self.wanted, self.count = port, wanted, connections
        self.silence_s = patience(silence_s)  # a connection that says nothing for so long has failed
        self.targets = sorted(wanted)
        self.done, self.slowest_s, self.failures = 0, 0.0, []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.lines = [Line(number, self.port) for number in range(self.count)]
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def ask(self, line):
        line.target = line.random.choice(self.targets)
        line.asked = time.monotonic()
        line.socket.send(request_bytes("GET", line.target, None, f"127.0.0.1:{self.port}"))

    def fail(self, line, what):
        self.failures.append(f"connection {line.number}, {line.target}, {time.monotonic() - line.asked:.2f} s: {what}")

    def hear(self, line):
        """False when the connection is of no use any more."""
        try:
            more = line.socket.recv(1 << 18)
        except OSError as error:
            self.fail(line, repr(error))
            return False
        if not more:
            self.fail(line, f"closed after {len(line.data)} bytes")
            return False
        line.data += more
        length = whole(line.data)
        if length is None:
            return True
        if len(line.data) > length or comparable(line.data) != self.wanted[line.target]:
            self.fail(line, f"another answer: {bytes(line.data[:300])!r}")
            return False
        self.done += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - line.asked)
        line.data.clear()
        line.target = None
        return True

    def run(self):
        with selectors.DefaultSelector() as selector:
            for line in self.lines:
                selector.register(line.socket, selectors.EVENT_READ, line)
                self.ask(line)
            while selector.get_map():
                for key, _ in selector.select(0.2):
                    line = key.data
                    lives = self.hear(line)
                    if lives and line.target is None and not self.ending.is_set():
                        self.ask(line)
                    elif not lives or line.target is None:
                        self.end(selector, line)
                now = time.monotonic()
                for line in [key.data for key in selector.get_map().values()]:
                    if now - line.asked > self.silence_s:
                        self.fail(line, f"silent after {len(line.data)} bytes")
                        self.end(selector, line)

    def end(self, selector, line):
        selector.unregister(line.socket)
        line.socket.close()

    def assert_undisturbed(self, at_least=1):
        assert not self.failures, f"{len(self.failures)} failures beside {self.done} answers:\n" + \
            "\n".join(self.failures[:10])
        assert self.done >= at_least, f"only {self.done} answers"


class NewConnections:
    """Meanwhile: one new connection after the other, none refused or reset."""

    def __init__(self, port, target, every_s=0.02):
        self.port, self.target, self.every_s = port, target, every_s
        self.done, self.failures = 0, []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def run(self):
        while not self.ending.is_set():
            try:
                reply = Client("127.0.0.1", self.port, timeout=patience(20)).get(self.target, {"Connection": "close"})
                if reply.status == 200:
                    self.done += 1
                else:
                    self.failures.append(repr(reply))
            except OSError as error:
                self.failures.append(repr(error))
            time.sleep(self.every_s)

    def assert_undisturbed(self, at_least=1):
        assert not self.failures, self.failures[:10]
        assert self.done >= at_least, f"only {self.done} new connections"
