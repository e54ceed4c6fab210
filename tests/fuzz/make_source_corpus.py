#!/usr/bin/python3
"""Makes tests/fuzz/corpus/source: one tiny file of every kind of source. Run by hand when a kind is added; what the
fuzzer found lies there under other names and stays."""
import io
import os
import subprocess
import sys
import tempfile

import numpy
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, ROOT)

from tests.data.tiff_writer import (ASCII, BLACK_IS_ZERO, CIELAB, LONG, PALETTE, RATIONAL, RGB, SEPARATED, SHORT, UNDEFINED,
                                    WHITE_IS_ZERO, YCBCR, page, tiffcp, write)

FOLDER = os.path.join(ROOT, "tests", "fuzz", "corpus", "source")
WIDTH, HEIGHT = 37, 29


def picture(samples=3, depth=8, width=WIDTH, height=HEIGHT):
    y, x = numpy.mgrid[0:height, 0:width]
    planes = [(x * 5 + y * 3 * (n + 1) + n * 40) % 256 for n in range(samples)]
    array = numpy.dstack(planes) if samples > 1 else planes[0]
    return array.astype(numpy.uint8) if depth == 8 else (array * 257).astype(numpy.uint16)


def tiff(name, array, photometric, order="<", big=False, copy=None, **options):
    path = os.path.join(FOLDER, name + ".tif")
    write(path, [page(array, photometric, order=order, **options)], order, big)
    if copy:
        tiffcp(path, *copy)


def pillow(name, array, **options):
    Image.fromarray(array).save(os.path.join(FOLDER, name), **options)


def tiffs():
    rgb, gray = picture(), picture(1)
    tiff("none-strips", rgb, RGB, rows=8)
    tiff("none-tiles-big-endian", rgb, RGB, order=">", tile=16)
    tiff("bigtiff-deflate", rgb, RGB, big=True, tile=16, compression="deflate", predictor=True)
    tiff("packbits", rgb, RGB, rows=8, compression="packbits")
    tiff("lzw", rgb, RGB, rows=8, copy=["-c", "lzw:2"])
    tiff("zstd", rgb, RGB, tile=16, compression="zstd")
    tiff("webp", rgb, RGB, tile=16, compression="webp")
    tiff("planar", picture(3, 16), RGB, order=">", rows=8, planar=True, compression="deflate")
    tiff("planar-tiles", rgb, RGB, tile=16, planar=True)
    tiff("gray16", picture(1, 16), WHITE_IS_ZERO, rows=9)
    for name in ("g3", "g3:2d", "g4"):
        tiff(name.replace(":", "-"), gray > 128, WHITE_IS_ZERO, rows=8, copy=["-c", name])
    tiff("bilevel", gray > 128, BLACK_IS_ZERO, tile=16)
    tiff("palette", gray, PALETTE, rows=8, extra={320: (SHORT, [n * 257 for n in range(256)] * 3)})
    tiff("cmyk", picture(4), SEPARATED, rows=8)
    tiff("lab", rgb, CIELAB, rows=8)
    tiff("alpha", picture(4), RGB, tile=16, compression="deflate", extra={338: (SHORT, [1])})
    tiff("ycbcr", rgb, YCBCR, rows=8, extra={530: (SHORT, [1, 1]), 532: (RATIONAL, [(15, 1), (235, 1)] + [(128, 1), (240, 1)] * 2)})
    units = page(rgb, YCBCR, extra={530: (SHORT, [2, 2])})
    units.chunks = [bytes(range(6)) * (19 * 15)]
    write(os.path.join(FOLDER, "ycbcr-units.tif"), [units])
    for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:4:0"):
        tiff("jpeg-" + sampling.replace(":", ""), rgb, YCBCR, compression="jpeg", tile=16,
             jpeg={"sampling": sampling, "tables": True, "quality": 50})
    tiff("jpeg-strips", gray, BLACK_IS_ZERO, compression="jpeg", rows=8, jpeg={"quality": 50})
    tiff("jpeg-rgb", rgb, RGB, compression="jpeg", tile=32, jpeg={"rgb": True, "quality": 50})
    described = {270: (ASCII, b"a\0"), 274: (SHORT, [6]), 700: (UNDEFINED, b"<x/>"), 33723: (LONG, [0x0002021C, 0]),
                 34675: (UNDEFINED, b"profile")}
    levels = [page(picture(3, 8, WIDTH >> n, HEIGHT >> n), RGB, tile=16, level=n, extra=described) for n in range(3)]
    write(os.path.join(FOLDER, "pyramid.tif"), levels)
    with_sub = page(rgb, RGB, tile=16, subpages=[page(picture(3, 8, 18, 14), RGB, tile=16, level=1)])
    write(os.path.join(FOLDER, "sub-ifds-and-page.tif"), [with_sub, page(gray, BLACK_IS_ZERO)], ">", True)
    path = os.path.join(FOLDER, "exif.tif")
    write(path, [page(picture(1, 8, 8, 8), BLACK_IS_ZERO)], ">")
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-Artist=A", "-ISO=100", "-GPSAltitude=3", "-Orientation#=3",
                    "-IPTC:Headline=H", path], check=True)


def others():
    exif = Image.Exif()
    exif[274] = 6
    rgb, gray = picture(), picture(1)
    for name, options in (("420", {}), ("444", {"subsampling": 0}), ("progressive", {"progressive": True})):
        pillow(f"plain-{name}.jpg", rgb, quality=50, exif=exif.tobytes(), icc_profile=b"profile" * 3, **options)
    pillow("gray.jpg", gray, quality=50)
    Image.fromarray(picture(4), "CMYK").save(os.path.join(FOLDER, "cmyk.jpg"), quality=50)
    pillow("rgb.png", rgb, exif=exif.tobytes())
    pillow("alpha.png", picture(4))
    pillow("gray.png", gray)
    Image.fromarray(rgb).quantize(9).save(os.path.join(FOLDER, "palette.png"), transparency=b"\0\x80")
    Image.fromarray(gray > 128).save(os.path.join(FOLDER, "bilevel.png"))
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "x.tif")
        write(source, [page(picture(3, 16), RGB)])
        subprocess.run(["vips", "pngsave", source, os.path.join(FOLDER, "interlaced16.png"), "--interlace"], check=True)
    for path in ("rgb.png", "gray.jpg"):
        subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-dc:Title=T", os.path.join(FOLDER, path)], check=True)
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-IPTC:Headline=H", os.path.join(FOLDER, "gray.jpg")], check=True)
    pillow("lossy.webp", rgb, quality=50, exif=exif.tobytes(), icc_profile=b"profile" * 3)
    pillow("lossy-alpha.webp", picture(4), quality=50)
    pillow("lossless.webp", rgb, lossless=True)
    frames = [Image.fromarray(rgb), Image.fromarray(rgb[::-1].copy())]
    frames[0].save(os.path.join(FOLDER, "animated.webp"), save_all=True, append_images=frames[1:])


if __name__ == "__main__":
    os.makedirs(FOLDER, exist_ok=True)
    tiffs()
    others()
