"""Sources that are truncated, lie or attack: a status line every time, and the same workers afterwards."""
import os
import random
import shutil
import struct
import zlib

import pytest

from client import Gone
from data.tiff_writer import LONG, RGB, Page
from server import Vitrine, patience, sanitized

GOOD = ["deflate-tiled.tif", "none-striped.tif", "lzw-predictor-tiled.tif", "packbits-striped.tif",
        "jpeg-420-tiled.tif",
        "pyramid-jpeg-subifds.tif", "pyramid-bigtiff-subifds.tif", "zstd-tiled.tif", "webp-lossy-tiled.tif",
        "g4-striped.tif", "palette-tiled.tif", "planar-lzw-striped.tif", "rgb16-predictor-tiled.tif",
        "cielab.tif",
        "ycbcr-uncompressed-420.tif", "profile-adobe-rgb.tif", "cmyk-profile.tif", "meta.tif",
        "progressive.jpg", "meta.jpg",
        "cmyk-adobe-profile.jpg", "interlaced.png", "palette-clear.png", "meta.png", "lossy.webp",
        "alpha.webp"]
VARIANTS = 16


def corrupted(data, dice):
    """One way of going wrong: cut off, flipped bits, a field blown up, a stretch zeroed or swapped."""
    data = bytearray(data)
    early = min(len(data), 4096)
    late = max(0, len(data) - 1500)  # our TIFFs keep their IFDs at the end
    place = dice.choice([dice.randrange(early), dice.randrange(late, len(data)), dice.randrange(len(data))])
    way = dice.randrange(6)
    if way == 0:
        return bytes(data[:dice.choice([0, 1, 4, 8, 16, 100, place, len(data) // 2, len(data) - 1])])
    if way == 1:
        for _ in range(dice.randrange(1, 20)):
            data[dice.randrange(max(0, place - 30), min(len(data), place + 30))] ^= 1 << dice.randrange(8)
    elif way == 2:
        data[place:place + 4] = dice.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0",
                                             b"\xff\xff\xff\x7f", b"\x80\0\0\0"])
    elif way == 3:
        data[place:place + 64] = bytes(min(64, len(data) - place))
    elif way == 4:
        other = dice.randrange(len(data))
        data[place:place + 32], data[other:other + 32] = data[other:other + 32], data[place:place + 32]
    else:
        for _ in range(200):
            data[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(data)


def png_chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_bomb(width, height, rows=1000):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    data = zlib.compress(bytes((width * 3 + 1) * min(rows, 2000) if width < 70000 else 1000))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


def jpeg_claiming(data, width, height):
    """A good JPEG whose frame header claims another size."""
    at = data.index(b"\xff\xc0")
    return data[:at + 5] + struct.pack(">HH", height, width) + data[at + 9:]


def tiff_claiming(width, height, tile=None, bits=(8, 8, 8), chunk=b"\0" * 100, **more):
    """A small TIFF with absurd claims. more: tag number as t322=... -> LONG values."""
    tags = {256: (LONG, [width]), 257: (LONG, [height]), 258: (LONG, list(bits)), 259: (LONG, [1]),
            262: (LONG, [RGB]),
            277: (LONG, [len(bits)]), 284: (LONG, [1])}
    if tile:
        tags[322] = tags[323] = (LONG, [tile])
    else:
        tags[278] = (LONG, [height])
    tags.update({int(key[1:]): (LONG, values) for key, values in more.items()})
    return Page(tags, [chunk], bool(tile))


def tiff_bytes(path, *pages, **options):
    from data.tiff_writer import write
    write(str(path), list(pages), **options)


def looping_tiff(path):
    """An IFD whose successor is itself, and one whose SubIFD is itself."""
    tiff_bytes(path, tiff_claiming(16, 16, chunk=bytes(768), t330=[8]))
    data = bytearray(path.read_bytes())
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    for entry in range(count):
        at = first + 2 + 12 * entry
        if struct.unpack_from("<H", data, at)[0] == 330:
            struct.pack_into("<I", data, at + 8, first)
    path.write_bytes(data)


def liars(folder, images):
    with open(os.path.join(images, "baseline-444.jpg"), "rb") as file:
        jpeg = file.read()
    (folder / "bomb-60000.png").write_bytes(png_bomb(60000, 60000))
    (folder / "bomb-2g.png").write_bytes(png_bomb(2**31 - 1, 2**31 - 1))
    (folder / "bomb-0.png").write_bytes(png_bomb(0, 10))
    (folder / "claims-65500.jpg").write_bytes(jpeg_claiming(jpeg, 65500, 65500))
    (folder / "claims-1.jpg").write_bytes(jpeg_claiming(jpeg, 1, 1))
    (folder / "claims-0.jpg").write_bytes(jpeg_claiming(jpeg, 0, 0))
    tiff_bytes(folder / "claims-4g.tif", tiff_claiming(2**32 - 1, 2**32 - 1))
    tiff_bytes(folder / "claims-4g-tiled.tif", tiff_claiming(2**32 - 1, 2**32 - 1, 256))
    tiff_bytes(folder / "claims-2g-tile.tif", tiff_claiming(100, 100, 2**31))
    tiff_bytes(folder / "claims-wide-strip.tif", tiff_claiming(2**31, 1))
    tiff_bytes(folder / "claims-0.tif", tiff_claiming(0, 0))
    tiff_bytes(folder / "tile-0.tif", tiff_claiming(100, 100, t322=[0], t323=[0]))
    tiff_bytes(folder / "tile-17.tif", tiff_claiming(100, 100, 17))
    tiff_bytes(folder / "bits-64.tif", tiff_claiming(10, 10, bits=(64, 64, 64)))
    tiff_bytes(folder / "bits-mixed.tif", tiff_claiming(10, 10, bits=(1, 8, 16)))
    tiff_bytes(folder / "samples-60000.tif", tiff_claiming(10, 10, t277=[60000]))
    tiff_bytes(folder / "compression-unknown.tif", tiff_claiming(10, 10, t259=[34712]))
    tiff_bytes(folder / "chunk-beyond.tif", tiff_claiming(10, 10, t273=[2**31]))
    tiff_bytes(folder / "many-pages.tif", *[tiff_claiming(4, 4, chunk=bytes(48)) for _ in range(3000)])
    looping_tiff(folder / "loop.tif")
    for number in range(40):
        noise = random.Random(number).randbytes(2000)
        start = [b"", b"II*\0", b"MM\0*", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n",
                 b"RIFF\xff\xff\xff\xffWEBPVP8 ",
                 b"II+\0\x08\0\0\0", b"RIFF\0\1\0\0WEBPVP8X"][number % 8]
        (folder / f"noise-{number}.bin").write_bytes(start + noise)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory, images):
    folder = tmp_path_factory.mktemp("hostile")
    shutil.copy(os.path.join(images, "small.tif"), folder / "fine.tif")
    for name in GOOD:
        with open(os.path.join(images, name), "rb") as file:
            data = file.read()
        stem, dot, extension = name.rpartition(".")
        for variant in range(VARIANTS):
            dice = random.Random(f"{name} {variant}")
            (folder / f"{stem}-{variant}.{extension}").write_bytes(corrupted(data, dice))
    liars(folder, images)
    with Vitrine(folder) as server:
        yield server


def ask(served, client, name):
    """Both kinds of request; only a missing status line is a failure here."""
    statuses = []
    for path in ("info.json", "full/200,200/0/default.png", "100,100,150,150/max/0/default.jpg"):
        try:
            reply = client.get(f"/iiif/3/{name}/{path}")
        except (Gone, ConnectionError, TimeoutError) as failure:
            pytest.fail(f"{name}/{path}: {failure!r}; log:\n{served.log()[-1500:]}")
        statuses.append(reply.status)
        assert reply.status == 200 or 400 <= reply.status < 600, (name, path, reply)
        if reply.status != 200:
            assert reply.media_type() == "text/plain", (name, reply)
            assert len(reply.body.decode().strip().splitlines()) == 1, (name, reply)
        elif path.endswith(".png"):
            assert reply.image().size == (200, 200)
    return statuses


@pytest.mark.parametrize("name", GOOD)
def test_corrupted(hostile, name):
    workers, client = hostile.worker_pids(), hostile.client(timeout=patience(20))
    stem, _, extension = name.rpartition(".")
    for variant in range(VARIANTS):
        ask(hostile, client, f"{stem}-{variant}.{extension}")
    assert client.get("/iiif/3/fine.tif/full/max/0/default.jpg").status == 200
    assert hostile.worker_pids() == workers, f"a worker died; log:\n{hostile.log()[-1500:]}"


@pytest.mark.parametrize("name", [
    "bomb-60000.png", "bomb-2g.png", "bomb-0.png", "claims-65500.jpg", "claims-1.jpg", "claims-0.jpg",
    "claims-4g.tif",
    "claims-4g-tiled.tif", "claims-2g-tile.tif", "claims-wide-strip.tif", "claims-0.tif", "tile-0.tif",
    "tile-17.tif",
    "bits-64.tif", "bits-mixed.tif", "samples-60000.tif", "compression-unknown.tif", "chunk-beyond.tif",
    "many-pages.tif",
    "loop.tif"] + [f"noise-{number}.bin" for number in range(40)])
def test_liar(hostile, name):
    workers = hostile.worker_pids()
    statuses = ask(hostile, hostile.client(timeout=patience(20)), name)
    if name.startswith(("noise", "bomb-0", "bomb-2g", "claims-0", "claims-4g", "bits-64", "compression")):
        assert 200 not in statuses, f"{name}: {statuses}"
    assert hostile.worker_pids() == workers, f"a worker died; log:\n{hostile.log()[-1500:]}"


def test_memory_stayed_bounded(hostile):
    if sanitized():
        pytest.skip("a sanitizer's memory says nothing about ours")
    for pid in hostile.worker_pids():
        with open(f"/proc/{pid}/status") as status:
            peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
        assert peak < 1 << 20, f"worker {pid} took {peak} KB"


def test_an_error_is_not_remembered_for_ever(tmp_path, images, start):
    """A half-copied source serves as soon as it is whole."""
    from server import until
    with open(os.path.join(images, "small.tif"), "rb") as file:
        data = file.read()
    (tmp_path / "half.tif").write_bytes(data[:len(data) // 2])
    served = start(tmp_path, settings={"revalidate": 1})
    assert served.get("/iiif/3/half.tif/full/max/0/default.jpg").status >= 400
    (tmp_path / "half.tif").write_bytes(data)
    until(lambda: served.get("/iiif/3/half.tif/full/max/0/default.jpg").status == 200, 5,
          "the whole file serves")


@pytest.mark.skipif(sanitized(), reason="under a sanitizer workers stay root")
def test_a_file_that_may_not_be_read(tmp_path, images, start):
    """The administrator hears of it, not once for each request; and it serves as soon as it may be read."""
    with open(os.path.join(images, "small.tif"), "rb") as file:
        data = file.read()
    served = start(tmp_path, settings={"revalidate": 1})
    (tmp_path / "locked.tif").write_bytes(data)
    os.chmod(tmp_path / "locked.tif", 0)
    for _ in range(20):
        reply = served.get("/iiif/3/locked.tif/full/max/0/default.jpg")
        assert reply.status == 403 and b"may not be read" in reply.body, reply
    said = [line for line in served.log().splitlines() if "'locked.tif' may not be read" in line]
    assert 1 <= len(said) <= 10 and "Permission denied" in said[0], said
    os.chmod(tmp_path / "locked.tif", 0o644)
    assert served.get("/iiif/3/locked.tif/full/max/0/default.jpg").status == 200


def test_a_source_cut_while_it_is_served(tmp_path, images, start):
    """Truncation under a memory map is SIGBUS for the careless."""
    shutil.copy(os.path.join(images, "photo.tif"), tmp_path / "cut.tif")
    served = start(tmp_path, settings={"revalidate": 1})
    target = "/iiif/3/cut.tif/full/max/0/default.png"
    assert served.get(target).status == 200
    workers = served.worker_pids()
    os.truncate(tmp_path / "cut.tif", 5000)
    for number in range(10):
        reply = served.get(f"/iiif/3/cut.tif/{number},0,1000,1000/max/0/default.png")
        assert reply.status == 200 or reply.status >= 400
    assert served.worker_pids() == workers
