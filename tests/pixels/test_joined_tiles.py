"""Edge tiles, several tiles and whole levels are made of the stored tiles without decoding: every decoder sees in them what the
decoding way shows, and what viewers ask for by their arithmetic is among them."""
import io
import math
import os

import numpy
import pytest
from PIL import Image

from comparison import pixels, psnr
from data import library

JOINED = list(library.JOINED)
# Any JPEG pyramid: of codes alone. Levels are rounded down by vips, up by our writer.
RECODED = ["seam-jpeg.tif", "jpeg-444-tiled.tif", "jpeg-422-tiled.tif", "jpeg-420-tiled.tif", "jpeg-440-tiled.tif",
           "jpeg-420-own-tables.tif", "jpeg-rgb-tiled.tif", "jpeg-gray-tiled.tif", "pyramid-jpeg-420.tif",
           "pyramid-jpeg-subifds.tif", "pyramid-vips.tif"]
ALIKE_DB = 45


def quantisers(data):
    """The quantisation tables of a JPEG: whose answer it is, the file's or our encoder's."""
    return Image.open(io.BytesIO(data)).quantization


def restarts(data):
    """MCUs per interval, as the file says."""
    at = 2
    while data[at + 1] != 0xDA:
        if data[at + 1] == 0xDD:
            return int.from_bytes(data[at + 4:at + 6], "big")
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return 0


def asked(info, edge):
    """(region, size) of every tile of `edge` pixels that a viewer asks for, by the arithmetic of OpenSeadragon."""
    width, height = info["width"], info["height"]
    factors = next(tile["scaleFactors"] for tile in info["tiles"])
    for factor in factors:
        step = edge * factor
        for y in range(0, height, step):
            for x in range(0, width, step):
                w, h = min(step, width - x), min(step, height - y)
                yield (x, y, w, h), (math.ceil(w / factor), math.ceil(h / factor))


def compare(client, name, what):
    stored = client.get(f"/iiif/3/{name}/{what}/0/default.jpg")
    decoded = pixels(client.get(f"/iiif/3/{name}/{what}/0/default.png"))
    assert stored.status == 200
    alike = psnr(pixels(stored), decoded)
    assert alike > ALIKE_DB, f"{name} {what}: {alike:.1f} dB"
    return stored.body


@pytest.mark.parametrize("name", JOINED)
@pytest.mark.parametrize("edge", [256, 512])
def test_every_tile_of_a_viewer(client, images, name, edge):
    tile = client.get(f"/iiif/3/{name}/0,0,256,256/256,256/0/default.jpg").body
    info = client.get(f"/iiif/3/{name}/info.json").json()
    by_copying = 0
    for (x, y, w, h), size in asked(info, edge):
        body = compare(client, name, f"{x},{y},{w},{h}/{size[0]},{size[1]}")
        assert quantisers(body) == quantisers(tile), "this one was encoded anew"
        by_copying += restarts(body) > 0
        assert client.get(f"/iiif/2/{name}/{x},{y},{w},{h}/{size[0]},{size[1]}/0/default.jpg").body == body
    assert by_copying >= (12 if edge == 256 else 2)


@pytest.mark.parametrize("name", JOINED + RECODED)
@pytest.mark.parametrize("what", ["full/max", "0,0,200,150/200,150", "128,128,128,128/128,128", "256,128,121,173/121,173",
                                  "32,64,300,200/300,200", "384,256,33,45/33,45", "128,0,256,256/256,256"])
def test_any_window_at_an_mcu(client, name, what):
    body = compare(client, name, what)
    info = client.get(f"/iiif/3/{name}/info.json").json()
    edge = info["tiles"][0]["width"]
    tile = client.get(f"/iiif/3/{name}/0,0,{edge},{edge}/{edge},{edge}/0/default.jpg").body
    assert quantisers(body) == quantisers(tile), "this one was encoded anew"


@pytest.mark.parametrize("name", JOINED + ["seam-jpeg.tif", "pyramid-jpeg-420.tif"])
def test_sizes(client, name):
    tile = None
    for size in reversed(client.get(f"/iiif/3/{name}/info.json").json()["sizes"]):
        body = compare(client, name, f"full/{size['width']},{size['height']}")
        tile = tile or body
        assert quantisers(body) == quantisers(tile)


def test_a_large_answer_row_by_row(client):
    """More bytes of tiles than are held at once; 8,000 x 6,000 px as vips wrote them."""
    whole = client.get("/iiif/3/big.tif/full/max/0/default.jpg")
    part = Image.open(io.BytesIO(whole.body))
    assert part.size == (8000, 6000) and len(whole.body) > 3 << 20
    seen = numpy.asarray(part.crop((3900, 2900, 4300, 3300)))
    right = pixels(client.get("/iiif/3/big.tif/3900,2900,400,400/400,400/0/default.png"))
    assert psnr(seen, right) > ALIKE_DB
    assert quantisers(whole.body) == quantisers(client.get("/iiif/3/big.tif/0,0,256,256/256,/0/default.jpg").body)


@pytest.mark.parametrize("what", [
    "8,0,256,256/256,256/0/default.jpg", "0,0,300,300/299,299/0/default.jpg", "0,0,300,300/max/90/default.jpg",
    "0,0,300,300/max/!0/default.jpg", "0,0,300,300/max/0/gray.jpg"])
def test_everything_else_is_made(client, what):
    tile = client.get("/iiif/3/joined-420.tif/0,0,256,256/256,256/0/default.jpg").body
    reply = client.get(f"/iiif/3/joined-420.tif/{what}")
    assert reply.status == 200 and quantisers(reply.body) != quantisers(tile)


def test_switched_off(start):
    client = start(settings={"passthrough": "never"}).client()
    body = client.get("/iiif/3/joined-420.tif/0,0,512,512/512,512/0/default.jpg").body
    assert quantisers(body) == quantisers(client.get("/iiif/3/flat.tif/0,0,512,512/512,512/0/default.jpg").body)
    assert len(client.get("/iiif/3/joined-420.tif/info.json").json()["tiles"]) == 1


@pytest.mark.parametrize("version", [2, 3])
def test_larger_tiles_are_offered(client, version):
    tiles = client.get(f"/iiif/{version}/joined-420.tif/info.json").json()["tiles"]
    assert [tile["width"] for tile in tiles] == [256, 1024, 512]
    assert all(tile["scaleFactors"] == [1, 2, 4] for tile in tiles)
    assert len(client.get(f"/iiif/{version}/seam-jpeg.tif/info.json").json()["tiles"]) == 1


def test_webp_tiles_pass_through(client, images):
    name = "webp-lossy-tiled.tif"
    body = client.get(f"/iiif/3/{name}/128,128,128,128/128,128/0/default.webp").body
    with open(os.path.join(images, name), "rb") as file:
        assert body in file.read()
    decoded = pixels(client.get(f"/iiif/3/{name}/128,128,128,128/128,128/0/default.png"))
    assert psnr(numpy.asarray(Image.open(io.BytesIO(body)).convert("RGB")), decoded) > ALIKE_DB
    edge = client.get(f"/iiif/3/{name}/384,256,33,45/33,45/0/default.webp")
    assert edge.image().size == (33, 45)


def test_metadata_goes_along(client, start, images):
    """The same segments as the encoder's, whichever way the pixels took."""
    never = start(settings={"passthrough": "never"}).client()
    for name in ("meta-joined.tif", "pyramid-vips.tif"):
        joined, encoded = (one.get(f"/iiif/3/{name}/full/max/0/default.jpg") for one in (client, never))
        assert quantisers(joined.body) != quantisers(encoded.body)
        seen, right = joined.image(), encoded.image()
        assert [part for part in seen.applist if part[0] != "APP0"] == [part for part in right.applist if part[0] != "APP0"]
        assert seen.info.get("icc_profile") == right.info.get("icc_profile")
        part = client.get(f"/iiif/3/{name}/0,0,256,256/max/0/default.jpg").image()
        assert [kind for kind, _ in part.applist] == ["APP0"]
    assert b"Nadar" in client.get("/iiif/3/meta-joined.tif/full/max/0/default.jpg").body


@pytest.mark.parametrize("what", ["0,0,512,512/512,512", "768,512,233,265/233,265", "512,256,489,521/489,521",
                                  "0,0,256,256/256,256"])
def test_the_same_bytes_from_memory_and_from_the_disk(client, images, what):
    path = f"/iiif/3/joined-420.tif/{what}/0/default.jpg"
    warm = [client.get(path).body for _ in range(2)]
    with open(os.path.join(images, "joined-420.tif"), "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert [client.get(path).body, *warm] == [warm[0]] * 3
