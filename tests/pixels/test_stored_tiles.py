"""Whole stored JPEG tiles are sent with their own bytes, and every decoder sees in them what the decoding way makes."""
import io
import os

import numpy
import pytest
from PIL import Image

from comparison import pixels

TILED = ["jpeg-444-tiled.tif", "jpeg-422-tiled.tif", "jpeg-420-tiled.tif", "jpeg-440-tiled.tif",
         "jpeg-420-own-tables.tif", "jpeg-rgb-tiled.tif", "jpeg-gray-tiled.tif"]
TILE = "128,128,128,128/128,128/0/default"


def scan(data):
    """A JPEG's entropy-coded data: what is stored of a picture."""
    at = 2
    while data[at + 1] != 0xDA:
        at += 2 + int.from_bytes(data[at + 2:at + 4], "big")
    return data[at:]


@pytest.mark.parametrize("name", TILED)
def test_the_tile_is_the_file_s_own(client, images, name):
    reply = client.get(f"/iiif/3/{name}/{TILE}.jpg")
    assert reply.status == 200 and reply["content-type"] == "image/jpeg"
    with open(os.path.join(images, name), "rb") as file:
        assert scan(reply.body) in file.read()
    again = client.get(f"/iiif/3/{name}/{TILE}.jpg")  # the first may have come from a render thread
    assert again.body == reply.body


@pytest.mark.parametrize("name", TILED)
def test_it_shows_what_decoding_shows(client, name):
    stored = Image.open(io.BytesIO(client.get(f"/iiif/3/{name}/{TILE}.jpg").body)).convert("RGB")
    decoded = Image.fromarray(pixels(client.get(f"/iiif/3/{name}/{TILE}.png"))).convert("RGB")
    gap = numpy.asarray(stored).astype(float) - numpy.asarray(decoded)
    error = (gap ** 2).mean()
    assert error == 0 or 10 * numpy.log10(255 ** 2 / error) > 45


def test_switched_off(start):
    server = start(settings={"passthrough": "never"})
    name = "jpeg-420-tiled.tif"
    reply = server.client().get(f"/iiif/3/{name}/{TILE}.jpg")
    with open(os.path.join(server.images, name), "rb") as file:
        assert scan(reply.body) not in file.read()


@pytest.mark.parametrize("what", [
    "128,128,128,128/128,128/0/gray.jpg", "128,128,128,128/128,128/!0/default.jpg",
    "128,128,128,128/128,128/90/default.jpg", "128,128,128,128/127,128/0/default.jpg",
    "129,128,128,128/128,128/0/default.jpg", "384,256,33,45/33,45/0/default.jpg"])
def test_everything_else_is_made(client, images, what):
    reply = client.get(f"/iiif/3/jpeg-420-tiled.tif/{what}")
    assert reply.status == 200
    with open(os.path.join(images, "jpeg-420-tiled.tif"), "rb") as file:
        assert scan(reply.body) not in file.read()
