"""Output formats by somebody else's decoder, and the metadata they carry."""
import json
import os
import subprocess

import numpy
import pytest
from PIL import Image

from comparison import assert_near, pixels, psnr
from data import library, pictures
from server import Vitrine

FORMATS = {"jpg": (b"\xff\xd8\xff", 29), "png": (b"\x89PNG\r\n\x1a\n", 99), "webp": (b"RIFF", 30),
           "tif": (b"II", 30),
           "gif": (b"GIF8", 22), "avif": (b"", 30)}


def decoded(body, form, folder):
    """By libvips, which shares no code of ours and reads every format."""
    path, out = os.path.join(folder, "answer." + form), os.path.join(folder, "answer.ppm.png")
    with open(path, "wb") as file:
        file.write(body)
    subprocess.run(["vips", "copy", path, out], check=True, capture_output=True)
    with Image.open(out) as image:
        image.load()
        return image


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("name, size", [("small.tif", (300, 200)), ("dot.tif", (1, 1)),
                                        ("seam-257x1.tif", (257, 1)),
                                        ("gray8-black-is-zero.tif", (417, 301)),
                                        ("alpha-unassociated.tif", (417, 301)),
                                        ("photo.tif", (1501, 1003))])
def test_an_independent_decoder_reads_it(client, tmp_path, form, name, size):
    reply = client.get(f"/iiif/3/{name}/full/max/0/default.{form}")
    assert reply.status == 200, reply
    start, quality = FORMATS[form]
    assert reply.body.startswith(start) or form == "tif" and reply.body.startswith(b"MM")
    if form == "avif":
        assert reply.body[4:8] == b"ftyp" and b"avif" in reply.body[8:40]
    image = decoded(reply.body, form, tmp_path)
    assert image.size == size
    if name == "small.tif":
        assert psnr(numpy.asarray(image.convert("RGB")), pictures.photo(300, 200)) >= quality


@pytest.mark.parametrize("form", sorted(FORMATS))
@pytest.mark.parametrize("quality", ["gray", "bitonal", "color"])
def test_qualities_in_every_format(client, tmp_path, form, quality):
    reply = client.get(f"/iiif/3/small.tif/full/150,/0/{quality}.{form}")
    assert reply.status == 200, reply
    assert decoded(reply.body, form, tmp_path).size == (150, 100)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_turned_in_every_format(client, tmp_path, form):
    reply = client.get(f"/iiif/3/small.tif/full/150,/30/default.{form}")
    assert reply.status == 200, reply
    assert decoded(reply.body, form, tmp_path).size[0] in range(178, 183)


def test_avif_keeps_clear_corners(client, tmp_path):
    reply = client.get("/iiif/3/squares.tif/full/300,300/45/default.avif")
    image = decoded(reply.body, "avif", tmp_path).convert("RGBA")
    assert image.getpixel((2, 2))[3] < 10 and image.getpixel((image.width // 2, image.height // 2))[3] > 245


def test_gif_has_at_most_256_colours(client):
    image = client.get("/iiif/3/small.tif/full/max/0/default.gif").image()
    assert image.format == "GIF" and getattr(image, "n_frames", 1) == 1
    assert len(image.convert("RGB").getcolors(1 << 20)) <= 256


def test_jpeg_is_plain_enough_for_every_browser(client):
    image = client.get("/iiif/3/photo.tif/full/max/0/default.jpg").image()
    assert image.mode == "RGB" and image.info.get("adobe_transform") in (None, 1)


def test_webp_of_a_size_it_cannot_hold_is_an_error(client):
    """WebP ends at 16383 px."""
    reply = client.get("/iiif/3/seam-257x1.tif/full/^16384,1/0/default.webp")
    assert reply.status in (400, 501), reply
    assert "16383" in reply.body.decode() or "webp" in reply.body.decode().lower()


# Metadata, read by exiftool

def tags(body, form, folder):
    path = os.path.join(folder, "meta." + form)
    with open(path, "wb") as file:
        file.write(body)
    told = subprocess.run(["exiftool", "-j", "-G0", "-charset", "UTF8", path], capture_output=True,
                          check=True)
    return json.loads(told.stdout)[0]


CAN_HOLD = {  # format: what of the source's metadata it can carry
    "jpg": {"EXIF:Artist", "EXIF:Copyright", "XMP:Title", "IPTC:Headline"},
    "tif": {"EXIF:Artist", "EXIF:Copyright", "XMP:Title", "IPTC:Headline"},
    "png": {"EXIF:Artist", "EXIF:Copyright", "XMP:Title"}, "webp": {"EXIF:Artist", "EXIF:Copyright",
                                                                    "XMP:Title"},
    "avif": {"EXIF:Artist", "EXIF:Copyright", "XMP:Title"},
}
RIGHT = {"EXIF:Artist": library.METADATA["Artist"], "EXIF:Copyright": library.METADATA["Copyright"],
         "XMP:Title": library.METADATA["XMP-dc:Title"], "IPTC:Headline": library.METADATA["IPTC:Headline"]}
ANY = set(RIGHT)


def kept(body, form, folder):
    found = tags(body, form, folder)
    return {key for key in ANY if found.get(key) == RIGHT[key]}


def held_by(source, form):
    has = ANY if source[-3:] in ("tif", "jpg") else ANY - {"IPTC:Headline"}
    return has & CAN_HOLD[form]


@pytest.mark.parametrize("form", sorted(CAN_HOLD))
@pytest.mark.parametrize("source", ["meta.tif", "meta.jpg", "meta.png", "meta.webp"])
@pytest.mark.parametrize("size", ["max", "200,"])
def test_the_whole_image_keeps_its_metadata(client, tmp_path, form, source, size):
    reply = client.get(f"/iiif/3/{source}/full/{size}/0/default.{form}")
    assert reply.status == 200
    assert kept(reply.body, form, tmp_path) == held_by(source, form)


@pytest.mark.parametrize("form", sorted(CAN_HOLD))
def test_a_region_carries_none_by_default(client, tmp_path, form):
    reply = client.get(f"/iiif/3/meta.tif/10,10,100,100/max/0/default.{form}")
    assert not kept(reply.body, form, tmp_path)


@pytest.fixture(scope="module", params=["always", "never"])
def told(request, images):
    with Vitrine(images, settings={"metadata": request.param}) as server:
        yield request.param, server.client()


@pytest.mark.parametrize("form", ["jpg", "tif", "png"])
@pytest.mark.parametrize("region", ["full", "10,10,100,100"])
def test_as_configured(told, tmp_path, form, region):
    policy, client = told
    reply = client.get(f"/iiif/3/meta.tif/{region}/max/0/default.{form}")
    assert kept(reply.body, form, tmp_path) == (held_by("meta.tif", form) if policy == "always" else set())


@pytest.mark.parametrize("form", ["jpg", "tif", "png", "webp"])
@pytest.mark.parametrize("name", ["orientation-6.jpg", "orientation-6.tif", "orientation-8.webp",
                                  "orientation-6.png"])
def test_what_was_turned_upright_is_not_turned_again(client, tmp_path, form, name):
    reply = client.get(f"/iiif/3/{name}/full/max/0/default.{form}")
    found = tags(reply.body, form, tmp_path)
    for key, value in found.items():
        if key.endswith(":Orientation"):
            assert value == "Horizontal (normal)", (key, value)


def test_metadata_does_not_lie_about_the_size(client, tmp_path):
    reply = client.get("/iiif/3/meta.jpg/full/200,/0/default.jpg")
    found = tags(reply.body, "jpg", tmp_path)
    assert found["File:ImageWidth"] == 200 and found.get("EXIF:ExifImageWidth", 200) == 200
    assert found.get("EXIF:ImageWidth", 200) == 200


def test_pixels_are_the_same_with_and_without(told, client):
    for target in ("/iiif/3/meta.tif/full/200,/0/default.png", "/iiif/3/meta.jpg/full/max/0/default.png"):
        assert_near(pixels(told[1].get(target)), pixels(client.get(target)), (0, 0))
