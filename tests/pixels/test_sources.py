"""Every kind of source: the picture an independent reader sees, whole and in parts, upright and as sRGB."""
import io

import numpy
import pytest
from PIL import Image, ImageCms

from comparison import assert_near, pixels
from data import library
from data.kinds import KINDS

NAMES = sorted(KINDS)
# Regions within 417 x 301: inside one tile, over tile borders, at the far corner, one pixel, a strip.
REGIONS = [(10, 20, 100, 90), (100, 100, 200, 150), (400, 290, 17, 11), (127, 127, 2, 2), (416, 300, 1, 1),
           (0, 150, 417, 1),
           (256, 0, 128, 128)]


def mode_of(right):
    return "RGBA" if right[0].shape[2] == 4 else "RGB"


def opaque(reply):
    """A source with alpha may answer without it only where the format has none."""
    return reply.image().convert("RGBA").getextrema()[3][0] == 255


@pytest.mark.parametrize("name", NAMES)
def test_whole(client, name):
    right, tolerance = library.reference(name), KINDS[name].tolerance
    reply = client.get(f"/iiif/3/{name}/full/max/0/default.png")
    assert_near(pixels(reply, mode_of(right)), right, tolerance, name)
    if mode_of(right) == "RGB":
        assert opaque(reply), "a source without alpha got one"


@pytest.mark.parametrize("name", NAMES)
def test_regions_are_crops_of_the_whole(client, name):
    """To the bit: what a pixel looks like does not depend on how much was asked for."""
    mode = mode_of(library.reference(name))
    whole = pixels(client.get(f"/iiif/3/{name}/full/max/0/default.png"), mode)
    for x, y, width, height in REGIONS:
        part = pixels(client.get(f"/iiif/3/{name}/{x},{y},{width},{height}/max/0/default.png"), mode)
        assert numpy.array_equal(part, whole[y:y + height, x:x + width]), (name, x, y, width, height)


@pytest.mark.parametrize("name", NAMES)
def test_half_size(client, name):
    """Reduced by half, near the reference reduced by half: decoders that skip and scale do no harm."""
    from comparison import area_average, psnr
    right = library.reference(name)
    reply = client.get(f"/iiif/3/{name}/full/208,150/0/default.png")
    seen = pixels(reply, "RGB")
    if mode_of(right) == "RGBA":
        return  # colours under soft alpha have no one right mean; test_alpha looks at them
    best = max(psnr(seen, area_average(one, 208, 150)) for one in right)
    low = KINDS[name].tolerance[0] > 10 or "bilevel" in name or name.startswith("g4")
    assert best > (14 if low else 30), f"{name}: PSNR {best:.1f}"


@pytest.mark.parametrize("name", [name for name in NAMES if "alpha" in name or "clear" in name])
@pytest.mark.parametrize("form", ["png", "webp", "tif"])
def test_alpha(client, name, form):
    """Alpha arrives, at full size and reduced, and clear pixels do not bleed into the visible."""
    right = library.reference(name)[0]
    reply = client.get(f"/iiif/3/{name}/full/max/0/default.{form}")
    seen = pixels(reply, "RGBA")
    assert_near(seen[:, :, 3:], right[:, :, 3:], (0.7, 2) if form != "webp" else (2, 10), name)
    half = pixels(client.get(f"/iiif/3/{name}/full/208,150/0/default.{form}"), "RGBA")
    alpha = right[:, :, 3].astype(float)
    assert abs(half[:, :, 3].mean() - alpha.mean()) < 2


@pytest.mark.parametrize("name", ["alpha-unassociated.tif", "alpha-associated.tif", "rgb-alpha.png",
                                  "alpha.webp"])
def test_alpha_in_a_format_without_it(client, name):
    reply = client.get(f"/iiif/3/{name}/full/max/0/default.jpg")
    right = library.reference(name)[0]
    solid = right[:, :, 3] == 255
    seen = pixels(reply).astype(float)
    assert abs(seen[solid] - right[:, :, :3][solid]).mean() < 6
    # What was clear is one flat background.
    clear = seen[:, :20][right[:, :20, 3] == 0]
    assert clear.std(axis=0).max() < 3


@pytest.mark.parametrize("name",
                         [name for name in NAMES if "profile" in name or "cmyk" in name or "lab" in name])
@pytest.mark.parametrize("form", ["jpg", "png", "tif", "webp"])
def test_output_profile_is_srgb_or_absent(client, name, form):
    """Pixels that were converted to sRGB must not carry the profile they came from."""
    image = client.get(f"/iiif/3/{name}/full/max/0/default.{form}").image()
    assert image.mode in ("RGB", "RGBA", "L", "RGBX")
    icc = image.info.get("icc_profile")
    if icc and "gray" not in name:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        assert "srgb" in ImageCms.getProfileDescription(profile).lower().replace(" ", "")
        if image.mode == "RGB":
            shown = ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"))
            assert_near(numpy.asarray(shown), numpy.asarray(image), (1, 4), name)


@pytest.mark.parametrize("page, colour", [(1, 0), (2, 1), (3, 2)])
def test_pages(client, page, colour):
    seen = pixels(client.get(f"/iiif/3/pages.tif;{page}/full/max/0/default.png"))
    assert seen.shape == (190 + 10 * page, 280 + 20 * page, 3)
    assert (seen == library.LEVEL_COLOURS[colour]).all()


def test_page_with_a_pyramid_of_its_own(client):
    seen = pixels(client.get("/iiif/3/pages.tif;2/full/160,105/0/default.png"))
    assert (seen == library.LEVEL_COLOURS[1]).all()


@pytest.mark.parametrize("width, level", [(1024, 0), (512, 1), (256, 2), (128, 3)])
def test_a_stored_level_is_what_is_shown_at_its_size(client, width, level):
    seen = pixels(client.get(f"/iiif/3/levels.tif/full/{width},/0/default.png"))
    assert (abs(seen.astype(int) - library.LEVEL_COLOURS[level]) <= 1).all()


@pytest.mark.parametrize("width, level", [(900, 0), (600, 0), (513, 0), (400, 1), (300, 1), (200, 2)])
def test_between_levels_the_larger_one_is_reduced(client, width, level):
    """Enlarging a smaller level would blur."""
    seen = pixels(client.get(f"/iiif/3/levels.tif/full/{width},/0/default.png"))
    assert (abs(seen.astype(int) - library.LEVEL_COLOURS[level]) <= 1).all()


@pytest.mark.parametrize("path, width", [("full/max", 300), ("full/150,100", 150), ("full/100,67", 100),
                                         ("0,0,128,128/max", 0)])
def test_reduced_pictures_that_are_no_levels_do_no_harm(client, path, width):
    from comparison import area_average, psnr
    from data import pictures
    right = pictures.photo(300, 200)
    reply = client.get(f"/iiif/3/strange-levels.tif/{path}/0/default.png")
    if width == 0:
        assert numpy.array_equal(pixels(reply), right[:128, :128])
    else:
        seen = pixels(reply)
        assert psnr(seen, area_average(right, seen.shape[1], seen.shape[0])) > 32


def test_jpeg_answer_of_a_jpeg_tile_is_no_worse_than_the_source(client):
    """However the bytes come about, they show the picture."""
    right = library.reference("pyramid-jpeg-420.tif")
    for region in ((0, 0, 128, 128), (128, 128, 128, 128), (384, 256, 33, 45), (64, 64, 128, 128)):
        x, y, width, height = region
        path = f"{x},{y},{width},{height}/{width},{height}/0/default.jpg"
        seen = pixels(client.get(f"/iiif/3/pyramid-jpeg-420.tif/{path}"))
        assert_near(seen, [one[y:y + height, x:x + width] for one in right], (5, 60), path)


def test_pillow_and_vips_agree_with_the_reference(images):
    """The references themselves, by a second reader, where it can read the file."""
    import os
    import subprocess
    for name in ("lzw-predictor-tiled.tif", "g4-tiled.tif", "jpeg-440-tiled.tif", "planar-lzw-striped.tif",
                 "bigtiff-striped-big-endian.tif", "zstd-tiled.tif", "pyramid-bigtiff-subifds.tif"):
        out = os.path.join(library.home(), "second-reader.png")
        subprocess.run(["vips", "copy", os.path.join(images, name), out], check=True)
        with Image.open(out) as image:
            assert_near(numpy.asarray(image.convert("RGB")), library.reference(name), (0.5, 2), name)
