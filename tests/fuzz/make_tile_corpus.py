#!/usr/bin/python3
"""Writes the seeds of fuzz_jpeg_stitch and fuzz_webp_stored: tiles of 32 pixels as TIFF writers make them."""
import os
import sys

import numpy
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(HERE))

from data import pictures  # noqa: E402
from data.tiff_writer import jpeg_bytes, saved, split_tables  # noqa: E402

TILE = 32
MODELS = {"gray": 0, "rgb": 1, "ycbcr": 2}


def keep(fuzzer, name, data):
    folder = os.path.join(HERE, "corpus", fuzzer)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as out:
        out.write(data)


def stitch(name, model, window, shared=True, restart=(0, 0), **options):
    """restart: MCUs per interval, in the right column as well as elsewhere."""
    picture = pictures.photo(3 * TILE, 2 * TILE, 3) if model != "gray" else pictures.gray(3 * TILE, 2 * TILE)
    x, y, width, height = window
    across, down = -(-(x + width) // TILE), -(-(y + height) // TILE)
    tables, tiles = b"", []
    for n in range(across * down):
        row, column = divmod(n, across)
        block = picture[row * TILE:(row + 1) * TILE, column * TILE:(column + 1) * TILE]
        jpeg = jpeg_bytes(block, restart=restart[column == across - 1], **options)
        if shared:
            tables, jpeg = split_tables(jpeg)
        tiles.append(jpeg)
    head = bytes([MODELS[model], across - 1, down - 1, x, y, width - 1, height - 1])
    parts = [tables, *tiles]
    keep("jpeg_stitch", name, head + b"".join(len(part).to_bytes(2, "big") + part for part in parts))


stitch("two-by-codes", "ycbcr", (0, 0, 50, 20), sampling="4:2:0", quality=80)
stitch("four-by-codes", "ycbcr", (16, 16, 40, 40), sampling="4:2:0", quality=90)
stitch("own-tables", "ycbcr", (0, 0, 64, 40), shared=False, sampling="4:4:4", optimize=True)
stitch("rgb", "rgb", (8, 8, 40, 20), rgb=True, quality=70)
stitch("gray", "gray", (0, 8, 70, 20), quality=90)
stitch("rows-copied", "ycbcr", (0, 0, 64, 50), restart=(2, 2), sampling="4:2:0", quality=80)
stitch("edge-copied", "ycbcr", (0, 0, 20, 20), restart=(1, 1), sampling="4:2:0", quality=80)
stitch("rows-cut", "rgb", (0, 0, 13, 32), restart=(4, 4), rgb=True, quality=80)
stitch("rows-cut-420", "ycbcr", (0, 0, 5, 20), restart=(2, 2), sampling="4:2:0", quality=95)
stitch("mixed", "ycbcr", (0, 0, 60, 30), restart=(4, 1), sampling="4:4:4", quality=80)
stitch("odd-intervals", "gray", (0, 0, 64, 32), restart=(3, 5), quality=60)

tile = pictures.photo(TILE, TILE, 3)
alpha = numpy.dstack([tile, pictures.alpha(TILE, TILE)])
keep("webp_stored", "lossy", b"\0" + saved(Image.fromarray(tile), "WEBP", quality=60))
keep("webp_stored", "lossless", b"\0" + saved(Image.fromarray(tile), "WEBP", lossless=True, quality=60))
keep("webp_stored", "alpha", b"\1" + saved(Image.fromarray(alpha), "WEBP", quality=40))
keep("webp_stored", "exif", b"\0" + saved(Image.fromarray(tile), "WEBP", quality=60, exif=b"Exif\0\0II*\0\x08\0\0\0\0\0"))
