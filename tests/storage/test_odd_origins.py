"""An http origin that says what no honest server says: none of it may end a worker, keep anybody waiting, make it ask without end, or bring
a wrong picture, or one that is gone."""
import concurrent.futures
import os
import signal
import threading
import time

import pytest

from server import until
from storage.scripted import Scripted, part, said

THUMBNAIL = "/iiif/3/{}/full/100,/0/default.jpg"
TAG, OTHER_TAG = 'ETag: "a"', 'ETag: "b"'
SETTINGS = {"http_networks": "loopback", "derivative_cache": "false", "revalidate": 1, "fetch_timeout": 1}


def file_of(images, name):
    with open(os.path.join(images, name), "rb") as file:
        return file.read()


@pytest.fixture(scope="module")
def picture(images):
    """More than the first look brings."""
    return file_of(images, "photo.tif")


@pytest.fixture
def origin(start):
    """origin(answer, settings...) -> (what answers, the server before it)."""
    made = []

    def begin(answer, workers=1, **settings):
        made.append(Scripted(answer))
        return made[-1], start(made[-1].place, workers=workers, settings={**SETTINGS, **settings})
    yield begin
    for scripted in made:
        scripted.close()


def endless(first, piece):
    yield first
    while True:
        yield piece
        time.sleep(0.001)


def chunked(data, asked, *lines):
    head = said(206, f"Content-Range: bytes {asked.first}-{asked.last}/9999999", "Transfer-Encoding: chunked", *lines, length=False)
    return head + [b"%x\r\n" % len(data), data, b"\r\n0\r\n\r\n"]


def dripping(asked):
    yield said(206, f"Content-Range: bytes {asked.first}-{asked.last}/9999999", TAG, "Content-Length: 65536", length=False)[0]
    while True:
        yield b"I"
        time.sleep(0.05)


# Of everything, or of all but the first part: what is said, the status that the visitor gets, the sentence, how often it may be asked.
LIES = {
    "unchanged": (lambda data, asked: said(304, TAG), 502, "answers 304", 1),
    "unchanged-later": (lambda data, asked: said(304, TAG), 502, "answers 304", 4),
    "elsewhere": (lambda data, asked: said(304, TAG, "Location: /elsewhere"), 502, "answers 304", 1),
    "condition-later": (lambda data, asked: said(412), 503, "changes faster", 40),
    "beyond-later": (lambda data, asked: said(416), 503, "changes faster", 40),
    "another-later": (lambda data, asked: part(data, asked, OTHER_TAG), 503, "changes faster", 40),
    "short": (lambda data, asked: part(data, asked, TAG, last=asked.first + 999), 502, "less of", 1),
    "short-later": (lambda data, asked: part(data, asked, TAG, last=asked.first + 999), 502, "less of", 4),
    "cut-chunks": (lambda data, asked: chunked(data[:1000], asked, TAG), 502, "less of", 1),
    "shifted": (lambda data, asked: part(data, asked, TAG, first=asked.first + 1), 502, "another part", 1),
    "beyond": (lambda data, asked: part(data, asked, TAG, last=asked.last + 1), 502, "another part", 1),
    "several-parts": (lambda data, asked: said(206, "Content-Type: multipart/byteranges; boundary=x", TAG, body=b"--x--"), 502,
                      "how long", 1),
    "packed": (lambda data, asked: part(data, asked, TAG, "Content-Encoding: gzip"), 502, "compressed", 1),
    "no-length": (lambda data, asked: chunked(data[:1000], asked)[:0] + said(200, TAG, "Transfer-Encoding: chunked", length=False)
                  + [b"0\r\n\r\n"], 502, "how long", 1),
    "immense": (lambda data, asked: said(206, f"Content-Range: bytes 0-65535/{2 ** 63 - 1}", body=data[:65536]), 500, "too large", 1),
    "none-for-ever": (lambda data, asked: endless(b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"400\r\n" + b"x" * 1024 + b"\r\n"),
                      404, "no image", 1),
    "head-for-ever": (lambda data, asked: endless(b"HTTP/1.1 200 Yes\r\n", b"X-And: so on and on and on\r\n" * 40), 502, "no end", 1),
    "a-byte-at-a-time": (lambda data, asked: dripping(asked), 504, "in time", 3),
}


@pytest.fixture(scope="module")
def liar(picture):
    def answer(asked):
        name = asked.path.rpartition("/")[2]
        honest = name not in LIES or (name.endswith("-later") and asked.first == 0)
        return part(picture, asked, TAG) if honest else LIES[name][0](picture, asked)
    scripted = Scripted(answer)
    yield scripted
    scripted.close()


def test_lies(start, liar, served):
    server = start(liar.place, workers=1, settings=SETTINGS)
    worker = server.worker_pids()
    wrong = []
    for name, (_, status, sentence, most) in LIES.items():
        reply = server.get(THUMBNAIL.format(name))
        asked = sum(asked.path.endswith("/" + name) for asked in liar.take())
        if reply.status != status or sentence not in reply.body.decode() or asked > most:
            wrong.append((name, reply.status, reply.body, asked))
    assert not wrong
    assert server.get(THUMBNAIL.format("honest")).body == served.get(THUMBNAIL.format("photo.tif")).body
    assert server.worker_pids() == worker, "nobody died of it"


def test_a_new_version_that_breaks_off_and_then_is_not_there(origin, picture, images):
    """Two mirrors, of which one is ahead: what is kept is what was said in the end."""
    other, mirror = file_of(images, "jpeg-444-tiled.tif"), []

    def answer(asked):
        if mirror and mirror.pop() == "ahead":
            return [part(other, asked, OTHER_TAG)[0][:5000]] + [None]
        return said(304, TAG) if asked.headers.get("if-none-match") == '"a"' else part(picture, asked, TAG)
    scripted, server = origin(answer)
    body = server.get(THUMBNAIL.format("a.tif")).body
    time.sleep(1.1)
    mirror.append("ahead")
    scripted.take()
    assert server.get(THUMBNAIL.format("a.tif")).body == body
    assert len(scripted.take()) == 2, "what was fetched before is used again"


def test_a_redirect_to_nowhere_does_not_close_the_circuit_for_ever(origin, picture):
    """The one request that finds out whether the origin is well again is led away."""
    mood = ["ill"]

    def answer(asked):
        if mood[0] == "away":
            return said(302, "Location: http://127.0.0.3:1/maintenance")
        return [None] if mood[0] == "ill" else part(picture, asked, TAG)
    _, server = origin(answer, fetch_tries=1)
    for at in range(10):
        assert server.get(THUMBNAIL.format(f"{at}.tif")).status == 502
    assert server.get(THUMBNAIL.format("a.tif")).status == 503, "the circuit is open"
    mood[0] = "away"
    until(lambda: server.get(THUMBNAIL.format("a.tif")).status == 502, 5, "it is asked again, and leads away")
    mood[0] = "well"
    until(lambda: server.get(THUMBNAIL.format("a.tif")).status == 200, 5, "it is asked again, and well")


def test_a_file_that_is_neither_tagged_nor_dated(origin, images):
    """Of the same size, and another one."""
    picture, other = (file_of(images, name).ljust(200000, b"\0") for name in ("pyramid-jpeg-420.tif", "jpeg-444-tiled.tif"))
    assert len(picture) == len(other)
    files = [picture]
    scripted, server = origin(lambda asked: part(files[0], asked))
    old = server.get(THUMBNAIL.format("a.tif")).body
    time.sleep(1.1)
    scripted.take()
    assert server.get(THUMBNAIL.format("a.tif")).body == old
    assert len(scripted.take()) == 1, "what is the same is not fetched again"
    files[0] = other
    until(lambda: server.get(THUMBNAIL.format("a.tif")).body != old, 5, "the other picture is served")
    files[0] = picture
    until(lambda: server.get(THUMBNAIL.format("a.tif")).body == old, 5, "and the first again")


@pytest.mark.parametrize("status", [404, 403])
def test_what_is_gone_does_not_come_back_when_the_origin_is_away(origin, picture, status):
    mood = ["well"]

    def answer(asked):
        return {"well": lambda: part(picture, asked, TAG), "gone": lambda: said(status), "away": lambda: [None]}[mood[0]]()
    _, server = origin(answer, fetch_tries=1)
    assert server.get(THUMBNAIL.format("a.tif")).status == 200
    mood[0] = "gone"
    until(lambda: server.get(THUMBNAIL.format("a.tif")).status == status, 5, "it is gone")
    mood[0] = "away"
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    time.sleep(1.1)
    assert server.get(THUMBNAIL.format("a.tif")).status in (status, 502)


def test_more_is_asked_at_once_than_there_are_connections(origin, images):
    """Who waits for a connection is not let down by the origin, which answers each in time."""
    small = file_of(images, "pyramid-jpeg-420.tif")

    def answer(asked):
        time.sleep(0.25)
        return part(small, asked, TAG)
    _, server = origin(answer, fetch_connections=2, fetch_tries=1)
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda at: server.get(f"/iiif/3/{at}.tif/info.json"), range(24)))
    assert sum(reply.status == 200 for reply in replies) >= 4
    assert "left alone" not in server.log(), "the circuit is closed"


def test_when_to_come_again_is_what_the_origin_says(origin, picture):
    """To all who wait, whichever worker has asked; and the origin is not asked again for each of them."""
    mood = ["well"]

    def answer(asked):
        if mood[0] == "well":
            return part(picture, asked, TAG)
        time.sleep(0.3)
        return said(503, "Retry-After: 40")
    scripted, server = origin(answer, workers=2, fetch_tries=1, derivative_cache="true",
                              revalidate=3600)
    assert server.get("/iiif/3/a.tif/info.json").status == 200
    mood[0] = "busy"
    scripted.take()
    barrier = threading.Barrier(12)

    def ask(_):
        barrier.wait()
        return server.get("/iiif/3/a.tif/pct:40,40,20,20/100,/0/default.jpg")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        replies = list(pool.map(ask, range(12)))
    assert [(reply.status, reply["retry-after"]) for reply in replies] == [(503, "40")] * 12
    assert len(scripted.take()) <= 6
