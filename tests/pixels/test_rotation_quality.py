"""Mirror, rotation, qualities: exact where they can be."""
import math

import numpy
import pytest

from comparison import assert_near, pixels
from data import pictures

TURNS = {"0": 0, "90": -1, "180": 2, "270": 1}


@pytest.fixture(scope="module")
def small():
    return pictures.photo(300, 200)


@pytest.mark.parametrize("mirror", ["", "!"])
@pytest.mark.parametrize("rotation", sorted(TURNS))
@pytest.mark.parametrize("region", [None, (31, 17, 101, 77)])
def test_quarter_turns_are_exact(client, small, mirror, rotation, region):
    right = small
    if region:
        x, y, w, h = region
        right = right[y:y + h, x:x + w]
    right = numpy.rot90(right[:, ::-1] if mirror else right, TURNS[rotation])
    where = ",".join(map(str, region)) if region else "full"
    seen = pixels(client.get(f"/iiif/3/small.tif/{where}/max/{mirror}{rotation}/default.png"))
    assert numpy.array_equal(seen, right)


@pytest.mark.parametrize("name", ["orientation-6.tif", "alpha-unassociated.tif", "g4-tiled.tif", "gray.png",
                                  "rgb16-striped.tif"])
@pytest.mark.parametrize("rotation", ["90", "!270"])
def test_quarter_turns_of_other_sources(client, name, rotation):
    plain = pixels(client.get(f"/iiif/3/{name}/full/max/0/default.png"), "RGBA")
    right = numpy.rot90(plain[:, ::-1] if "!" in rotation else plain, TURNS[rotation.strip("!")])
    seen = pixels(client.get(f"/iiif/3/{name}/full/max/{rotation}/default.png"), "RGBA")
    assert numpy.array_equal(seen, right)


def test_size_before_rotation(client):
    assert client.get("/iiif/3/small.tif/full/150,/90/default.png").image().size == (100, 150)


@pytest.mark.parametrize("angle", [1, 22.5, 30, 45, 89.5, 100, 135, 200.25, 315, 359.9])
def test_canvas_grows_to_hold_everything(client, angle):
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    for form in ("png", "jpg"):
        width, height = client.get(f"/iiif/3/small.tif/full/max/{angle:g}/default.{form}").image().size
        assert abs(width - (300 * cos + 200 * sin)) < 2
        assert abs(height - (200 * cos + 300 * sin)) < 2


@pytest.mark.parametrize("form", ["png", "webp", "tif", "gif", "avif"])
def test_corners_are_clear_where_the_format_can(client, form):
    reply = client.get(f"/iiif/3/squares.tif/full/300,300/45/default.{form}")
    assert reply.status == 200
    if form == "avif":
        return  # Pillow here cannot decode it; test_formats looks at it
    image = reply.image().convert("RGBA")
    width, height = image.size
    for corner in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1),
                   (width // 8, height // 8)):
        assert image.getpixel(corner)[3] == 0, corner
    assert image.getpixel((width // 2, height // 2))[3] == 255


def test_corners_of_a_jpeg_are_one_flat_colour(client):
    image = client.get("/iiif/3/squares.tif/full/300,300/45/default.jpg").image()
    seen = numpy.asarray(image).astype(int)
    assert image.mode in ("RGB", "L")
    corners = numpy.concatenate([seen[:20, :20].reshape(-1, 3), seen[-20:, -20:].reshape(-1, 3)])
    assert numpy.ptp(corners, axis=0).max() <= 6


@pytest.mark.parametrize("angle", ["45", "!45", "30", "!200", "300.5"])
def test_content_turns_clockwise_after_the_mirror(client, angle):
    """Every square is found where the arithmetic puts it."""
    image = client.get(f"/iiif/3/squares.tif/full/max/{angle}/default.png").image().convert("RGBA")
    turn = math.radians(float(angle.strip("!")))
    for row in range(10):
        for column in range(10):
            x, y = column * 100 + 50 - 500, row * 100 + 50 - 500
            if "!" in angle:
                x = -x
            # Clockwise on a screen, where y grows downwards.
            at_x = image.width / 2 + x * math.cos(turn) - y * math.sin(turn)
            at_y = image.height / 2 + x * math.sin(turn) + y * math.cos(turn)
            seen = image.getpixel((int(at_x), int(at_y)))
            right = pictures.square_colour(column, row)
            near = all(abs(a - b) <= 2 for a, b in zip(seen, right))
            assert near, f"square {column},{row}: {seen}, not {right}"


def test_rotated_edges_are_smooth_and_not_dark(client):
    """Alpha at the rim must not mix the background's black into the colour."""
    image = client.get("/iiif/3/squares.tif/0,0,100,100/max/30/default.png").image().convert("RGBA")
    seen = numpy.asarray(image).astype(int)
    rim = (seen[:, :, 3] > 40) & (seen[:, :, 3] < 215)
    if rim.any():
        assert abs(seen[rim][:, :3] - pictures.square_colour(0, 0)).max() <= 40


def test_rotation_by_nothing_is_nothing(client):
    plain = client.get("/iiif/3/small.tif/full/max/0/default.png").body
    for same in ("360", "0.0", "360.0"):
        assert client.get(f"/iiif/3/small.tif/full/max/{same}/default.png").body == plain


def luma(picture):
    """Both weightings that are in use for gray."""
    return [picture @ numpy.array(weights) for weights in ((0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722))]


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tif"])
def test_gray_is_the_luminance(client, small, form):
    image = client.get(f"/iiif/3/small.tif/full/max/0/gray.{form}").image()
    seen = numpy.asarray(image.convert("RGB")).astype(float)
    assert abs(seen - seen.mean(axis=2, keepdims=True)).max() < 3
    assert min(abs(seen[:, :, 0] - one).mean() for one in luma(small)) < (2 if form in ("png", "tif") else 4)
    if form in ("png", "jpg", "tif"):
        assert image.mode == "L"


@pytest.mark.parametrize("form", ["png", "jpg", "webp", "tif", "gif"])
def test_bitonal_is_black_and_white(client, form):
    seen = numpy.asarray(client.get(f"/iiif/3/photo.tif/full/600,/0/bitonal.{form}").image().convert("L"))
    near = (seen < 24) | (seen > 231)
    assert near.mean() > (0.999 if form in ("png", "tif", "gif") else 0.9)
    assert 0.1 < (seen > 127).mean() < 0.9


def test_bitonal_of_a_bilevel_source_is_the_source(client):
    plain = client.get("/iiif/3/g4-tiled.tif/full/max/0/default.png").image().convert("L")
    bitonal = client.get("/iiif/3/g4-tiled.tif/full/max/0/bitonal.png").image().convert("L")
    assert plain.tobytes() == bitonal.tobytes()


def test_color_is_default_for_colour(client, small):
    assert numpy.array_equal(pixels(client.get("/iiif/3/small.tif/full/max/0/color.png")), small)


def test_color_of_gray_is_an_image(client):
    right = pixels(client.get("/iiif/3/gray.png/full/max/0/default.png"))
    assert_near(pixels(client.get("/iiif/3/gray.png/full/max/0/color.png")), right, (0, 0))


def test_gray_of_a_region_is_the_crop_of_the_gray(client):
    whole = pixels(client.get("/iiif/3/photo.tif/full/max/0/gray.png"), "L")
    part = pixels(client.get("/iiif/3/photo.tif/300,200,256,256/max/0/gray.png"), "L")
    assert numpy.array_equal(part, whole[200:456, 300:556])
