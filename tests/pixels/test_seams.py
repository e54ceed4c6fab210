"""Tiles: the arithmetic viewers do, every tile of every level, and not one pixel of a seam."""
import math

import numpy
import pytest

from comparison import pixels
from data import library

PYRAMIDS = [f"seam-{width}x{height}.tif" for width, height in library.SEAM_SIZES]
OTHERS = ["seam-jpeg.tif", "seam-striped.tif", "seam-plain.jpg", "seam-plain.png",
          "orientation-5-pyramid.tif"]


def grid(info):
    """(scale factor, region, size) of every tile, as the specification's implementation notes compute it."""
    width, height = info["width"], info["height"]
    for tile in info["tiles"]:
        tile_width, tile_height = tile["width"], tile.get("height", tile["width"])
        for factor in tile["scaleFactors"]:
            for y in range(0, height, tile_height * factor):
                for x in range(0, width, tile_width * factor):
                    w, h = min(tile_width * factor, width - x), min(tile_height * factor, height - y)
                    yield factor, (x, y, w, h), (math.ceil(w / factor), math.ceil(h / factor))


@pytest.mark.parametrize("name", PYRAMIDS + OTHERS)
def test_every_tile_is_a_crop_of_the_whole(client, name):
    info = client.get(f"/iiif/3/{name}/info.json").json()
    wholes = {}
    for factor, (x, y, w, h), (out_w, out_h) in grid(info):
        if factor not in wholes:
            size = math.ceil(info["width"] / factor), math.ceil(info["height"] / factor)
            wholes[factor] = pixels(client.get(f"/iiif/3/{name}/full/{size[0]},{size[1]}/0/default.png"))
            assert wholes[factor].shape == (size[1], size[0], 3)
        path = f"{x},{y},{w},{h}/{out_w},{out_h}/0/default.png"
        seen = pixels(client.get(f"/iiif/3/{name}/{path}"))
        right = wholes[factor][y // factor:y // factor + out_h, x // factor:x // factor + out_w]
        assert seen.shape == right.shape, path
        gap = numpy.abs(seen.astype(int) - right)
        wrong = (gap.max(axis=2) > 0).sum()
        assert not wrong, f"{name} {path}: {wrong} pixels differ, by up to {gap.max()}"


@pytest.mark.parametrize("name", PYRAMIDS)
def test_whole_of_each_level_is_the_stored_level(client, name):
    """Lossless levels come through unchanged."""
    from data import pictures
    width, height = (int(part) for part in name[5:-4].split("x"))
    for level in pictures.levels(pictures.photo(width, height, width), 128):
        seen = pixels(client.get(f"/iiif/3/{name}/full/{level.shape[1]},{level.shape[0]}/0/default.png"))
        assert numpy.array_equal(seen, level), f"{name} at {level.shape[1]} px"


@pytest.mark.parametrize("name", ["seam-1001x777.tif", "seam-643x1019.tif", "seam-jpeg.tif"])
def test_version_2_by_width_alone_has_the_same_sizes(client, name):
    """Viewers ask version 2 for `w,`; the height must still come out as the arithmetic has it."""
    info = client.get(f"/iiif/2/{name}/info.json").json()
    for _, (x, y, w, h), (out_w, out_h) in grid(info):
        reply = client.get(f"/iiif/2/{name}/{x},{y},{w},{h}/{out_w},/0/default.jpg")
        assert reply.status == 200, (x, y, w, h, reply)
        seen = reply.image().size
        assert seen[0] == out_w and abs(seen[1] - out_h) <= 1, (x, y, w, h, seen)


@pytest.mark.parametrize("name", ["seam-1001x777.tif", "seam-jpeg.tif", "seam-plain.jpg"])
def test_neighbours_join_in_jpeg_too(client, name):
    """Lossy answers of neighbours: the step across the seam is no larger than steps elsewhere."""
    left = pixels(client.get(f"/iiif/3/{name}/0,0,512,512/256,256/0/default.jpg")).astype(float)
    right = pixels(client.get(f"/iiif/3/{name}/512,0,489,512/245,256/0/default.jpg")).astype(float)
    across = numpy.abs(left[:, -1] - right[:, 0]).mean()
    inside = numpy.abs(numpy.diff(left[:, 200:256], axis=1)).mean()
    assert across < inside * 1.5 + 3, f"{across:.1f} across, {inside:.1f} inside"


@pytest.mark.parametrize("name", ["seam-1001x777.tif", "seam-striped.tif"])
def test_arbitrary_scales_join(client, name):
    """Two halves of a region, reduced by a factor that is no level, are near the two halves of the whole."""
    whole = pixels(client.get(f"/iiif/3/{name}/0,0,900,600/300,200/0/default.png")).astype(int)
    left = pixels(client.get(f"/iiif/3/{name}/0,0,450,600/150,200/0/default.png")).astype(int)
    right = pixels(client.get(f"/iiif/3/{name}/450,0,450,600/150,200/0/default.png")).astype(int)
    gap = numpy.abs(numpy.hstack([left, right]) - whole)
    # Only the filter's reach over the cut may differ.
    assert gap[:, :145].max() <= 1 and gap[:, 155:].max() <= 1
    assert gap.mean() < 1


def test_same_pixels_again_and_from_every_worker(client, served):
    target = "/iiif/3/seam-jpeg.tif/100,100,700,600/333,/0/default.png"
    first = client.get(target)
    assert all(served.get(target).body == first.body for _ in range(8))
