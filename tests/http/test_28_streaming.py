"""Large answers leave while they are made: what stands on the wire, who is ahead of whom, and what happens to those that
come to nothing. Nothing here is judged by a clock: what the server cannot have done yet follows from the bytes that have
nowhere to go."""
import os
import re
import threading

import numpy
import pytest
from PIL import Image

from client import Gone, request_bytes
from data.tiff_writer import RGB, page, write
from server import patience, sanitized, until

WHOLE_BYTES = 256 << 10  # up to here an answer says its length
CHUNK_BYTES = 16384
PICTURE = "/iiif/3/noise.tif/full/max/0/default."
JPEG, PNG = PICTURE + "jpg", PICTURE + "png"  # 5 MB; 21 MB: more than the renderer may be ahead and all sockets hold
SMALL = "/iiif/3/noise.tif/0,0,256,256/100,/0/default.jpg"
DATE = re.compile(rb"\r\nDate: [^\r]*")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    noise = numpy.random.default_rng(3).integers(0, 256, (2400, 3000, 3), dtype=numpy.uint8)
    write(os.path.join(place, "noise.tif"), [page(noise, RGB, tile=256)])
    torn = page(noise, RGB, "deflate", tile=256)
    torn.chunks[80] = b"this is nothing that could be inflated"
    write(os.path.join(place, "torn.tif"), [torn])
    Image.fromarray(noise[:600, :700]).save(place / "edge.png")
    return place


@pytest.fixture
def served(start, folder):
    return start(folder, workers=1, settings={"render_threads": 1, "derivative_cache": "false"})


def status(served):
    return served.admin().get("/status").json()["workers"][0]


def raw(served, target, method="GET", headers=None, version="1.1"):
    """One answer as it came, until the server has ended the connection."""
    with served.client().connect() as connection:
        connection.send(request_bytes(method, target, {"Connection": "close", **(headers or {})}, "x", version))
        return connection.rest()


def chunks(data):
    """The sizes of the chunks of a whole body, and the body."""
    sizes, body = [], b""
    while True:
        line, _, data = data.partition(b"\r\n")
        size = int(line, 16)
        body, data = body + data[:size], data[size:]
        assert data[:2] == b"\r\n"
        data = data[2:]
        if size == 0:
            assert data == b""
            return sizes, body
        sizes.append(size)


def test_the_same_bytes_each_time(served):
    first = raw(served, JPEG)
    head, _, coded = first.partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding: chunked" in head and b"Content-Length:" not in head
    sizes, body = chunks(coded)
    assert set(sizes[:-1]) == {CHUNK_BYTES} and 0 < sizes[-1] <= CHUNK_BYTES
    assert len(body) > WHOLE_BYTES
    for _ in range(3):
        assert DATE.sub(b"", raw(served, JPEG), 1) == DATE.sub(b"", first, 1)
    assert body == served.get(JPEG, {"Range": "bytes=0-"}).body
    assert served.get(JPEG).image().size == (3000, 2400)


@pytest.mark.parametrize("form", ["jpg", "png"])
def test_what_is_short_says_its_length(served, form):
    for target in (f"/iiif/3/edge.png/full/!300,300/0/default.{form}", f"/iiif/3/edge.png/full/!90,90/0/default.{form}"):
        reply = served.get(target)
        assert len(reply.body) <= WHOLE_BYTES and reply["content-length"] == str(len(reply.body))
    reply = served.get(f"/iiif/3/edge.png/full/max/0/default.{form}")
    assert ("chunked" in reply.tokens("transfer-encoding")) == (len(reply.body) > WHOLE_BYTES)
    assert len(reply.body) > WHOLE_BYTES


def test_formats_that_are_written_back_and_forth_say_their_length(served):
    reply = served.get(PICTURE + "tif")
    assert len(reply.body) > WHOLE_BYTES and reply["content-length"] == str(len(reply.body))


def test_ranges_have_a_length(served):
    whole = served.get(JPEG)
    part = served.get(JPEG, {"Range": "bytes=500000-599999"})
    assert part.status == 206 and part["content-length"] == "100000" and part.body == whole.body[500000:600000]
    other = served.get(JPEG, {"Range": "bytes=0-9", "If-Range": '"other"'})
    assert other.status == 200 and other.body == whole.body and other["content-length"] is None


def test_http_1_0_gets_the_end_of_the_connection(served):
    head, _, body = raw(served, JPEG, version="1.0").partition(b"\r\n\r\n")
    assert b"\r\nTransfer-Encoding:" not in head and b"\r\nContent-Length:" not in head
    assert body == served.get(JPEG).body
    kept = raw(served, JPEG, headers={"Connection": "keep-alive"}, version="1.0").partition(b"\r\n\r\n")
    assert kept[2] == body


def test_head_says_what_get_says(served):
    """But for how the body will be cut up: it renders no more than it needs to know that it is long."""
    def told(reply):
        return [(name, value) for name, value in reply.headers if name not in ("date", "transfer-encoding", "connection")]
    said = [served.client().ask(method, JPEG) for method in ("HEAD", "GET", "HEAD")]
    assert all(reply.status == 200 and told(reply) == told(said[1]) for reply in said)
    assert all("content-length" not in dict(reply.headers) for reply in said)


def test_a_request_with_a_long_header_has_a_length(served):
    reply = served.get(JPEG, {"X-Long": "x" * 6000})
    assert reply["content-length"] == str(len(reply.body)) and reply.body == served.get(JPEG).body


def test_bytes_come_while_the_rest_is_not_made(served):
    """The picture cannot be finished: nobody reads, and the renderer may be ahead by 4 MB only."""
    with served.client().connect(receive_buffer=65536) as connection:
        connection.request("GET", PNG)
        reply = connection.head()
        while len(connection.pending) < 100_000:
            connection.more()
        assert status(served)["renders"] == 0
        held = [served.client().connect(receive_buffer=65536) for _ in range(5)]
        for other in held:  # more of them than there are places to render
            other.request("GET", PNG)
            assert other.head().status == 200
        assert served.get(SMALL).status == 200
        assert status(served)["renders"] == 1, "only the small one is finished"
        reply.body = connection.body(reply)
        assert reply.image().size == (3000, 2400)
        until(lambda: status(served)["renders"] == 2, 10, "the render is over")
        for other in held:
            other.close()
    until(lambda: status(served)["queued"] == 0, 20, "who has left cancels his render")
    assert served.get(SMALL).status == 200


def test_a_source_that_is_broken_further_on_cuts_the_connection(served):
    for version in ("1.1", "1.0"):
        data = raw(served, "/iiif/3/torn.tif/full/max/0/default.jpg", version=version)
        head, _, coded = data.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ") and len(coded) > WHOLE_BYTES
        assert not coded.endswith(b"0\r\n\r\n") and b"\xff\xd9" not in coded[-20:]
    with pytest.raises(Gone):
        served.get("/iiif/3/torn.tif/full/max/0/default.jpg")
    until(lambda: served.log().count("broken off") == 3, 5, "the log says so of each")
    assert served.get("/iiif/3/torn.tif/0,0,300,300/max/0/default.jpg").status == 200
    early = served.get("/iiif/3/torn.tif/2048,1536,300,300/max/0/default.jpg")  # nothing has left when it is found out
    assert early.status == 500 or early.status == 200


def test_too_long_a_wait_is_refused_at_once(start, folder):
    served = start(folder, workers=1,
                   settings={"render_threads": 1, "queue_deadline": 1, "derivative_cache": "false"})
    served.get(JPEG), served.get(JPEG)  # so that it knows what they take
    replies, lock = [], threading.Lock()

    def ask(_):
        reply = served.get(JPEG)
        with lock:
            replies.append(reply)

    askers = [threading.Thread(target=ask, args=(number,)) for number in range(40)]
    for asker in askers:
        asker.start()
    small = [served.get(SMALL) for _ in range(5)]
    for asker in askers:
        asker.join(patience(60))
    refused = [reply for reply in replies if reply.status == 503]
    assert len(replies) == 40 and refused and len(refused) < 40, replies
    assert {reply.status for reply in replies} == {200, 503}
    for reply in refused:
        assert 1 <= int(reply["retry-after"]) <= 60 and reply["cache-control"] == "no-store"
    assert sanitized() or all(reply.status == 200 for reply in small)
    until(lambda: status(served)["queued"] == 0, 10, "nothing is left")
    assert served.get(JPEG).status == 200


def threads(served):
    names = []
    for pid in served.worker_pids():
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/comm") as comm:
                names.append(comm.read().strip())
    return names


@pytest.mark.parametrize("form", ["full/3000,/0/default.jpg", "full/max/0/gray.jpg", "1000,700,5000,4000/2000,/90/gray.png",
                                  "full/2900,/!0/default.jpg"])
def test_help_from_idle_processors_changes_no_byte(start, images, form):
    """Rows of tiles that other threads decode ahead."""
    bodies = []
    for places in (1, 4):
        served = start(images, workers=1, settings={"render_threads": places, "derivative_cache": "false"})
        bodies.append([served.get(f"/iiif/3/big.tif/{form}").body for _ in range(3)])
        assert any(name.startswith("help") for name in threads(served)) == (places > 1)
    assert len(bodies[0][0]) > 10_000 and all(body == bodies[0][0] for body in bodies[0] + bodies[1])


MOST_BEHIND = 16  # renders that may wait for clients as slow as they like


def takes(connection, count):
    """Whether so many more bytes come."""
    try:
        while len(connection.pending) < count:
            connection.more()
    except (Gone, ConnectionError):
        return False
    return True


def test_too_many_slow_clients_are_cut(served):
    """Two more than may be are cut once all have taken nothing for ten seconds; the others wait on."""
    held = [served.client().connect(receive_buffer=65536) for _ in range(MOST_BEHIND + 2)]
    for connection in held:
        connection.request("GET", PNG)
        assert connection.head().status == 200
    until(lambda: served.log().count("its client is too slow") >= 2, 40, "two clients are cut")
    # More than all sockets hold, less than the renderer had made for each.
    assert sum(takes(connection, 2_000_000) for connection in held) == MOST_BEHIND
    assert served.log().count("its client is too slow") == 2
