"""Every kind of master becomes a pyramid that others read: the right picture, upright and in sRGB, and true smaller levels."""
import io
import os
import subprocess
import sys

import numpy
import pytest
from PIL import Image

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "pixels"))

from comparison import assert_near, psnr  # noqa: E402
from data import library  # noqa: E402
from data.kinds import KINDS  # noqa: E402
from ingesting import ingest  # noqa: E402
from pyramids import averaged, frames, level_sizes  # noqa: E402

NAMES = sorted(KINDS)


def made(folder, images, *options):
    ended = ingest(folder, "--base", images, *(os.path.join(images, name) for name in NAMES), "--destination",
                   "{path}.{extension}.tif", *options)
    assert ended.status == 0, ended.said
    return folder / "out"


@pytest.fixture(scope="module")
def exact(tmp_path_factory, images):
    return made(tmp_path_factory.mktemp("exact"), images, "--compression", "lzw", "--tile", "64")


@pytest.fixture(scope="module")
def usual(tmp_path_factory, images):
    return made(tmp_path_factory.mktemp("usual"), images)


def pyramid_of(folder, name):
    return os.path.join(folder, f"{name}.tif")


def mode_of(name):
    return "RGBA" if library.reference(name)[0].shape[2] == 4 else "RGB"


@pytest.mark.parametrize("name", NAMES)
def test_pixels(exact, name):
    right = library.reference(name)
    levels = list(frames(pyramid_of(exact, name), mode_of(name)))
    assert_near(levels[0], right, KINDS[name].tolerance, name)
    height, width = right[0].shape[:2]
    assert [(level.shape[1], level.shape[0]) for level in levels] == level_sizes(width, height, 64)


@pytest.mark.parametrize("name", NAMES)
def test_smaller_levels_are_averages(exact, name):
    levels = list(frames(pyramid_of(exact, name), mode_of(name)))
    for number, level in enumerate(levels[1:], 1):
        if level.shape[2] == 4:  # colours count as much as they cover
            cover = averaged(levels[0][:, :, 3:], number)
            colour = averaged(levels[0][:, :, :3].astype(float) * levels[0][:, :, 3:], number)
            seen = cover[:, :, 0] > 0
            gap = numpy.abs(level[:, :, :3][seen] - (colour[seen] / cover[seen]))
            assert numpy.abs(level[:, :, 3:] - cover).max() < 0.6
            # Eight bits of premultiplied colour say less about the colour the less it covers.
            assert (gap * numpy.minimum(cover[seen], 255) / 255).max() < 2.1, name
        else:
            assert numpy.abs(level - averaged(levels[0], number)).max() < 0.6, (name, number)


@pytest.mark.parametrize("name", NAMES)
def test_jpeg_pixels(usual, name):
    """Tiles of JPEG show what was there before they were compressed."""
    right = library.reference(name)
    if right[0].shape[2] == 4:  # on white
        cover = right[0][:, :, 3:] / 255
        right = [right[0][:, :, :3] * cover + 255 * (1 - cover)]
    level = next(iter(frames(pyramid_of(usual, name), "RGB")))
    rough = KINDS[name].tolerance[0] > 10 or "bilevel" in name or name.startswith("g4")
    best = max(psnr(level, one) for one in right)
    assert best > (14 if rough else 30), best


def test_tiffinfo_finds_nothing_wrong(usual, exact):
    for folder in (usual, exact):
        paths = [pyramid_of(folder, name) for name in NAMES]
        said = subprocess.run(["tiffinfo", *paths], capture_output=True, text=True, check=True)
        assert said.stderr == "" and said.stdout.count("reduced-resolution image") >= len(paths)


@pytest.mark.parametrize("name", NAMES[::8])
def test_vips_reads_every_level(usual, exact, name):
    for folder, level in ((usual, 1), (exact, 0), (exact, 3)):
        subprocess.run(["vips", "avg", f"{pyramid_of(folder, name)}[page={level}]"], capture_output=True, check=True)


def test_we_serve_them(usual, exact, start):
    """The same pixels by our decoder and by Pillow's, of every kind of pyramid."""
    for folder in (usual, exact):
        client = start(str(folder)).client()
        for name in NAMES[::3]:
            answer = client.get(f"/iiif/3/{name}.tif/full/max/0/default.png")
            assert answer.status == 200, (name, answer)
            mode = mode_of(name) if folder == exact else "RGB"
            seen = numpy.asarray(answer.image().convert(mode))
            shown = next(iter(frames(pyramid_of(folder, name), mode)))
            assert_near(seen, shown, (0.0, 0) if folder == exact and mode == "RGB" else (1.0, 12), name)
            info = client.get(f"/iiif/3/{name}.tif/info.json").json()
            assert info["tiles"][0]["width"] % (256 if folder == usual else 64) == 0


@pytest.mark.parametrize("options", [("--compression", "webp"), ("--compression", "webp", "--quality", "100"),
                                     ("--compression", "zstd"), ("--compression", "deflate"),
                                     ("--compression", "jpeg", "--subsampling", "4:4:4"),
                                     ("--compression", "jpeg", "--subsampling", "rgb"), ("--bigtiff", "always"),
                                     ("--tile", "512"), ("--tile", "1008", "--compression", "lzw")])
def test_codings(tmp_path, images, options):
    """Of a photograph, of one with alpha, of gray: every coding, decoded by vips."""
    kinds = {"none-striped.tif": 1, "plain.png": 1, "plain-gray.png": 1}
    kinds = [name for name in kinds if name in KINDS] or NAMES[:3]
    ended = ingest(tmp_path, "--base", images, *(os.path.join(images, name) for name in kinds), "--destination",
                   "{path}.{extension}.tif", *options)
    assert ended.status == 0, ended.said
    for name in kinds:
        path = pyramid_of(tmp_path / "out", name)
        png = subprocess.run(["vips", "pngsave_buffer", path, str(tmp_path / "x.png")], capture_output=True, check=False)
        if png.returncode != 0:
            subprocess.run(["vips", "copy", path, str(tmp_path / "x.png")], check=True, capture_output=True)
        with open(tmp_path / "x.png", "rb") as file:
            seen = numpy.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))
        right = library.reference(name)[0][:, :, :3]
        lossless = options[:2] != ("--compression", "webp") and "--subsampling" not in options or "100" in options
        lossless = lossless and options[0] not in ("--bigtiff",) and options != ("--tile", "512")
        if lossless:
            assert_near(seen, right, KINDS[name].tolerance, name)
        else:
            assert psnr(seen, right) > 30


@pytest.mark.parametrize("depth", ["8", "keep"])
def test_sixteen_bits(tmp_path, images, depth):
    """Kept, a deep master loses nothing; vips says so by the difference of both."""
    deep = [name for name in NAMES if "16" in name and name.endswith(".tif") and library.reference(name)[0].shape[2] == 3
            and "cmyk" not in name and "lab" not in name and KINDS[name].tolerance[0] < 1]
    assert deep
    ended = ingest(tmp_path, "--base", images, *(os.path.join(images, name) for name in deep), "--destination",
                   "{path}.{extension}.tif", "--depth", depth, "--compression", "deflate")
    assert ended.status == 0, ended.said
    for name in deep:
        path = pyramid_of(tmp_path / "out", name)
        said = subprocess.run(["vipsheader", "-f", "format", path], capture_output=True, text=True, check=True)
        assert ("UCHAR" if depth == "8" else "USHORT") in said.stdout.upper(), name
