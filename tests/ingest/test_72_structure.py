"""The file of a pyramid: cloud-optimised order, marks of reduced levels, restart markers, the same bytes each time."""
import io
import os
import pwd
import socket
import struct
import subprocess

import numpy
import pytest
from PIL import Image

from data import pictures
from ingesting import ingest
from server import free_port, until
from pyramids import BYTES, OFFSETS, SUBFILE, TABLES, Pyramid, averaged, frames, level_sizes, restarts

SIZES = [(1001, 777), (1024, 512), (256, 256), (257, 1), (1, 700), (16, 1300)]


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    place = tmp_path_factory.mktemp("structure")
    (place / "masters").mkdir()
    for width, height in SIZES:
        Image.fromarray(pictures.photo(width, height)).save(place / "masters" / f"{width}x{height}.png")
    Image.fromarray(pictures.gray(600, 300)).save(place / "masters" / "600x300.png")
    return place


def made(masters, *options, into="out"):
    ended = ingest(masters, "masters", *options, into=into)
    assert ended.status == 0, ended.said
    return {name: Pyramid(masters / into / name) for name in sorted(os.listdir(masters / into))}


@pytest.mark.parametrize("big", ["auto", "always"])
def test_order(masters, big):
    for name, pyramid in made(masters, "--bigtiff", big, into=f"order-{big}").items():
        width, height = map(int, name[:-4].split("x"))
        assert pyramid.big == (big == "always")
        assert pyramid.sizes() == level_sizes(width, height, 256)
        assert [tags[SUBFILE][0] for tags in pyramid.directories] == [0] + [1] * (len(pyramid.directories) - 1)
        assert pyramid.places == sorted(pyramid.places), "directories stand from the full size down"
        end = pyramid.places[-1]
        for tags in reversed(pyramid.directories):  # tiles from the smallest level up, row by row, without gaps
            for offset, length in zip(tags[OFFSETS], tags[BYTES]):
                assert offset >= end and (end == pyramid.places[-1] or offset == end)
                end = offset + length
        assert end == len(pyramid.data)


@pytest.mark.parametrize("chroma,unit", [("4:2:0", 16), ("4:4:4", 8), ("rgb", 8)])
def test_restarts(masters, chroma, unit):
    made_pyramids = made(masters, "--subsampling", chroma, into="restarts-" + chroma.replace(":", ""))
    for name, pyramid in made_pyramids.items():
        edge = 8 if name == "600x300.tif" else unit  # gray
        for level, (width, height) in enumerate(pyramid.sizes()):
            for number in range(-(-width // 256) * -(-height // 256)):
                interval, markers = restarts(pyramid.tile(level, number))
                if interval == 0:  # a tile may go without; of larger pictures not the one by which the server judges
                    assert markers == 0 and (level < len(pyramid.directories) - 1 or width * height < 100000)
                    continue
                assert interval == 256 // edge, (name, level, number)
                assert markers == 256 // edge - 1


@pytest.mark.parametrize("quality", ["50", "90"])
def test_restarts_cost_less_than_a_hundredth(tmp_path, quality):
    """Of busy pictures, of pictures with a clear sky, and of blank paper with some writing."""
    (tmp_path / "masters").mkdir()
    busy, sky = pictures.photo(1300, 900), pictures.photo(1800, 1300)
    sky[:700] = numpy.linspace(120, 180, 1800).astype(numpy.uint8)[:, None]
    paper = numpy.full((2000, 1500, 3), 236, numpy.uint8)
    paper[900:960, 300:1200] = pictures.photo(900, 60)
    for name, picture in [("busy", busy), ("sky", sky), ("paper", paper)]:
        Image.fromarray(picture).save(tmp_path / "masters" / f"{name}.png")
    with_them = made(tmp_path, "--quality", quality, into="with")
    without = made(tmp_path, "--quality", quality, "--restart-intervals", "false", into="without")
    carry = {}
    for name, pyramid in with_them.items():
        assert len(pyramid.data) < 1.01 * len(without[name].data), name
        tiles = [pyramid.tile(level, number) for level, tags in enumerate(pyramid.directories)
                 for number in range(len(tags[OFFSETS]))]
        carry[name[:-4]] = sum(restarts(tile)[0] > 0 for tile in tiles) / len(tiles)
        for one, other in zip(frames(tmp_path / "with" / name), frames(tmp_path / "without" / name)):
            assert numpy.array_equal(one, other)
    assert carry["busy"] > (0.9 if quality == "90" else 0.5), carry
    assert 0.2 < carry["sky"] < 1, carry


def test_restarts_do_not_change_a_pixel(masters):
    with_them = made(masters, into="with")
    without = made(masters, "--restart-intervals", "false", into="without")
    for name in with_them:
        for one, other in zip(frames(masters / "with" / name), frames(masters / "without" / name)):
            assert numpy.array_equal(one, other)
        assert restarts(without[name].tile(0, 0)) == (0, 0)
        assert with_them[name].directories[0][TABLES] == without[name].directories[0][TABLES]


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_no_level_is_brighter_or_more_colourful(tmp_path, sampling):
    """Rounding takes no side: neither where chroma is halved, nor from level to level."""
    Image.fromarray(pictures.photo(800, 600)).save(tmp_path / "m.jpg", quality=92, subsampling=sampling)
    assert ingest(tmp_path, "m.jpg", "--quality", "95").status == 0
    master = numpy.asarray(Image.open(tmp_path / "m.jpg"))
    for level, seen in enumerate(frames(tmp_path / "out" / "m.tif", "RGB")):
        right = averaged(master, level)[:seen.shape[0], :seen.shape[1]]
        error = (seen - right).mean(axis=(0, 1))
        assert (abs(error) < 0.07).all(), (level, error)


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:4"])
def test_rgb_tiles_show_what_the_master_showed(tmp_path, sampling):
    """Chroma of a JPEG master is interpolated as Pillow's libjpeg does it: compressed once more at 100, hardly anything differs."""
    picture = Image.fromarray(pictures.photo(333, 211))
    picture.save(tmp_path / "m.jpg", quality=95, subsampling=sampling)
    assert ingest(tmp_path, "m.jpg", "--subsampling", "rgb", "--quality", "100").status == 0
    shown = next(iter(frames(tmp_path / "out" / "m.tif", "RGB"))).astype(int)
    with Image.open(tmp_path / "m.jpg") as right:
        gap = numpy.abs(shown - numpy.asarray(right.convert("RGB")))
    assert gap.max() <= 3 and gap.mean() < 0.4


def test_the_number_of_threads_changes_nothing(masters):
    one = made(masters, "--threads", "1", into="one")
    for threads in ("2", "5"):
        more = made(masters, "--threads", threads, into="more" + threads)
        assert {name: pyramid.data for name, pyramid in one.items()} == {name: p.data for name, p in more.items()}


def test_tiles_are_served_as_they_are(masters, start):
    """A stored tile, whole or of the right edge, leaves without being encoded again."""
    pyramid = made(masters, into="served")["1001x777.tif"]
    client = start(str(masters / "served")).client()
    answer = client.get("/iiif/3/1001x777.tif/256,256,256,256/256,/0/default.jpg")
    stored = pyramid.tile(0, 5)
    assert answer.status == 200 and answer.body.endswith(stored[stored.index(b"\xff\xda"):])
    edge = client.get("/iiif/3/1001x777.tif/768,0,233,256/233,/0/default.jpg")
    assert edge.image().size == (233, 256)


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
def test_half_a_master(tmp_path, kind):
    """Cut anywhere behind its header a master costs a line, and leaves no file."""
    path = tmp_path / f"whole.{kind}"
    Image.fromarray(pictures.photo(900, 700)).save(path)
    data = path.read_bytes()
    cuts = [len(data) * share // 100 for share in (1, 30, 60, 95)]
    for cut in cuts:
        (tmp_path / f"cut-{cut}.{kind}").write_bytes(data[:cut])
    (tmp_path / f"empty.{kind}").write_bytes(b"")
    names = [f"cut-{cut}.{kind}" for cut in cuts] + [f"empty.{kind}"]
    ended = ingest(tmp_path, *names)
    assert ended.status == 1
    assert all(len(ended.of(name)) == 1 for name in names), ended.said
    assert not os.path.exists(tmp_path / "out") or os.listdir(tmp_path / "out") == []


def test_masters_that_are_their_own_destination(tmp_path):
    Image.fromarray(pictures.photo(100, 100)).save(tmp_path / "a.tif")
    before = (tmp_path / "a.tif").read_bytes()
    ended = ingest(tmp_path, "a.tif", into=".")
    assert ended.status == 1 and (tmp_path / "a.tif").read_bytes() == before


def fastcgi(port, query):
    """One request to a FastCGI server, what it answers."""
    def record(kind, content):
        return struct.pack(">BBHHBB", 1, kind, 1, len(content), 0, 0) + content

    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        parameters = b""
        for name, value in ((b"QUERY_STRING", query.encode()), (b"REQUEST_METHOD", b"GET")):
            parameters += struct.pack(">BI", len(name), len(value) | 1 << 31) + name + value
        connection.sendall(record(1, struct.pack(">HB5x", 1, 0)) + record(4, parameters) + record(4, b"") + record(5, b""))
        stream, said = connection.makefile("rb"), b""
        while head := stream.read(8):
            _, kind, _, length, padding, _ = struct.unpack(">BBHHBB", head)
            content = stream.read(length + padding)[:length]
            if kind == 3:
                break
            said += content if kind == 6 else b""
    return said


def iipimage(folder):
    """Its program: of the package, which is only unpacked where it is not installed, since it would start a web server."""
    program = "/usr/lib/iipimage-server/iipsrv.fcgi"
    if os.path.exists(program):
        return program
    user = f"APT::Sandbox::User={pwd.getpwuid(os.geteuid()).pw_name}"
    done = subprocess.run(["apt-get", "download", "-q", "-o", user, "iipimage-server"], cwd=folder, capture_output=True, timeout=300,
                          check=False)
    if done.returncode != 0:
        pytest.skip("IIPImage is not installed and cannot be fetched")
    package, = (name for name in os.listdir(folder) if name.endswith(".deb"))
    subprocess.run(["dpkg-deb", "-x", package, "."], cwd=folder, check=True)
    return str(folder) + program


def test_iipimage_reads_it(masters, tmp_path):
    """The full size and every level, by the server that most sites use for pyramids."""
    program = iipimage(tmp_path)
    made(masters, into="iip")
    path, port = masters / "iip" / "1001x777.tif", free_port()
    with subprocess.Popen([program, "--bind", f"127.0.0.1:{port}"], env={"LOGFILE": str(tmp_path / "log")},
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until(lambda: listening(port), 10, "IIPImage listens")
            for level, (width, height) in enumerate(reversed(level_sizes(1001, 777, 256))):
                said = fastcgi(port, f"FIF={path}&JTL={level},0")
                shown = Image.open(io.BytesIO(said[said.index(b"\xff\xd8"):]))
                assert shown.size == (min(256, width), min(256, height)), level
            said = fastcgi(port, f"FIF={path}&WID=1001&CVT=jpeg")
            whole = Image.open(io.BytesIO(said[said.index(b"\xff\xd8"):]))
            assert whole.size == (1001, 777)
            difference = numpy.asarray(whole).astype(int) - next(iter(frames(path, "RGB")))
            assert numpy.abs(difference).mean() < 4
        finally:
            process.terminate()


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
