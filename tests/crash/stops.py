"""Workers that are killed at exactly the instant a test names (stop.c), and what their clients then read.

    stop.arm("sent", bytes=1000)      # the next worker that has handed so many bytes to the kernel stands still
    line = Line(served, request)      # a connection of raw bytes, the request sent
    stop.kill()                       # waits until it stands still, kill -9
    line.assert_reads(wanted)
"""
import mmap
import os
import re
import select
import signal
import socket
import struct
import subprocess

import numpy
from PIL import Image

from client import Connection, request_bytes
from server import patience, until

POINTS = ["none", "adopted", "receive", "received", "decode", "send", "sent", "shutdown", "shut", "rename", "stripe",
          "index get", "index put", "index sync"]
HERE = os.path.dirname(os.path.abspath(__file__))
DATE = re.compile(rb"\r\nDate: [^\r]*(?=\r\n)|\r\nX-Request-Id: [0-9a-f]{16}(?=\r\n)")  # of one answer, not of its like


class Stop:
    def __init__(self, folder):
        self.library = os.path.join(folder, "stop.so")
        subprocess.run(["gcc", "-std=gnu17", "-O1", "-shared", "-fPIC", "-o", self.library,
                        os.path.join(HERE, "stop.c"), "-ldl"], check=True)
        self.path = os.path.join(folder, "stop")
        with open(self.path, "w+b") as file:
            file.truncate(4096)
            self.memory = mmap.mmap(file.fileno(), 4096)

    def environment(self):
        return {"LD_PRELOAD": self.library, "VITRINE_STOP": self.path}

    def arm(self, point, nth=1, bytes=None):
        """bytes: of what is sent from now on; None: go on with the count."""
        if bytes is not None:
            self.memory[16:32] = struct.pack("=QQ", bytes, 0)
        self.memory[4:12] = struct.pack("=II", nth, 0)
        self.memory[0:4] = struct.pack("=I", POINTS.index(point))

    def arm_at(self, bytes):
        """The count of sent bytes goes on."""
        self.memory[16:24] = struct.pack("=Q", bytes)
        self.arm("sent")

    def disarm(self):
        self.memory[0:4] = struct.pack("=I", 0)

    def pid(self):
        return struct.unpack("=I", self.memory[8:12])[0]

    def wait(self):
        return until(self.pid, 10, "a worker has come to the point")

    def kill(self, then=None):
        """then: what is to be armed before the next worker can run."""
        victim = self.wait()
        if then:
            then()
        os.kill(victim, signal.SIGKILL)


class Line:
    """One connection; what has come is kept to the byte."""

    def __init__(self, served, data=b"", receive_buffer=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(patience(20))
        self.socket.connect(("127.0.0.1", served.port))
        self.send(data)

    def send(self, data):
        if data:
            self.socket.sendall(data)
        return self

    def read(self, count):
        """So many bytes, fewer when the server ends the connection."""
        data = bytearray()
        while len(data) < count:
            more = self.socket.recv(min(count - len(data), 1 << 18))
            if not more:
                break
            data += more
        return bytes(data)

    def what_comes(self, seconds):
        """Some bytes; none when no more come within that time."""
        readable, _, _ = select.select([self.socket], [], [], seconds)
        return self.socket.recv(1 << 18) if readable else b""

    def rest(self):
        """What comes until the end, and how it ended: True for an orderly one."""
        data = bytearray()
        try:
            while more := self.socket.recv(1 << 18):
                data += more
        except ConnectionResetError:
            return bytes(data), False
        return bytes(data), True

    def answer(self, method="GET"):
        """One whole answer as it came."""
        data = bytearray()
        while (length := whole(data, method)) is None or len(data) < length:
            more = self.socket.recv(1 if length is None else length - len(data))
            assert more, f"the connection ended after {bytes(data[:300])!r}"
            data += more
        return bytes(data)

    def assert_reads(self, wanted):
        data = self.read(len(wanted))
        assert dateless(data) == dateless(wanted), \
            f"{len(data)} of {len(wanted)} bytes, {data[:400]!r} instead of {wanted[:400]!r}"

    def assert_ends(self):
        data, orderly = self.rest()
        assert data == b"" and orderly, (data[:300], orderly)

    def close(self):
        self.socket.close()


def whole(data, method):
    """The length of the answer that data begins with; None as long as its header is not all there."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", data[:end])
    has_body = method != "HEAD" and data[9:12] not in (b"204", b"304")
    if has_body and b"\r\nTransfer-Encoding: chunked" in data[:end]:
        return whole_chunks(data, end + 4)
    return end + 4 + (int(length.group(1)) if has_body and length else 0)


def whole_chunks(data, at):
    """Where the chunks that begin at `at` end, as far as that is known: one chunk further each time."""
    while True:
        line = re.compile(rb"([0-9A-Fa-f]+)\r\n").match(data, at)
        if not line:
            return max(len(data) + 1, at + 3)
        size = int(line.group(1), 16)
        at = line.end() + size + 2
        if size == 0 or len(data) < at:
            return at


def dateless(data):
    return DATE.sub(b"", data, 2)


def closes(answer):
    return b"\r\nConnection: close\r\n" in answer.partition(b"\r\n\r\n")[0] + b"\r\n"


def get(target, headers=None, method="GET", version="1.1"):
    return request_bytes(method, target, headers, "127.0.0.1", version)


def undisturbed(served, request):
    """What the server says to it when nobody is killed."""
    line = Line(served, request)
    try:
        return line.answer(request.split(b" ", 1)[0].decode())
    finally:
        line.close()


def pictures(folder):
    """small.tif, photo.jpg (decoded by libjpeg), noise.tif (more than all socket buffers hold)."""
    noise = numpy.random.default_rng(11).integers(0, 256, (2400, 3000, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(os.path.join(folder, "noise.tif"))
    Image.fromarray(noise[:90, :120]).save(os.path.join(folder, "small.tif"))
    Image.fromarray(noise[:400, :600]).save(os.path.join(folder, "photo.jpg"))


INFO = "/iiif/3/small.tif/info.json"
SMALL = "/iiif/3/small.tif/full/max/0/default.jpg"
PHOTO = "/iiif/3/photo.jpg/full/300,/0/default.jpg"
STREAMED = "/iiif/3/noise.tif/full/900,/0/default.jpg"  # more than 256 KB of what can leave while it is made
LARGE_STREAMED = "/iiif/3/noise.tif/full/max/0/default.jpg"  # 5 MB
LARGE = "/iiif/3/noise.tif/full/max/0/default.tif"  # 21.6 MB


def slow_reader(served, target=LARGE):
    """A connection whose answer has begun and cannot end before it is read."""
    connection = Connection("127.0.0.1", served.port, receive_buffer=4096)
    connection.request("GET", target)
    head = connection.head()
    assert head.status == 200, head
    return connection, head
