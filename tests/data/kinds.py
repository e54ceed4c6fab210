"""Every kind of source the server must read, one file each, with the pixels a right reader sees.

Each maker gets the path to write and returns the upright picture as sRGB: uint8, 1 (gray), 3 or 4 channels.
A list of pictures means that several readings are right (rendering intents of a profile).
Only KINDS is for others: name of the file -> Kind.
"""
import io
import os
import subprocess

import numpy
from PIL import Image, ImageCms

from . import pictures
from .tiff_writer import (ASCII, BLACK_IS_ZERO, CIELAB, PALETTE, RATIONAL, RGB, SEPARATED, SHORT, UNDEFINED,
                          WHITE_IS_ZERO, YCBCR, cut, jpeg_bytes, page, saved, tiffcp, write)

WIDTH, HEIGHT = 417, 301
PROFILES = "/usr/share/color/icc"
EXACT, NEAR, LOSSY, COLOUR = (0, 0), (0.7, 2), (2.5, 40), (1.5, 6)


class Kind:
    """tolerance: (mean, 99.9th percentile) of the absolute difference per channel that is still right.

    EXACT: lossless, 8 bits. NEAR: rounding from 16 bits or of alpha. LOSSY: two JPEG or WebP decoders may
    upsample chroma differently. COLOUR: two colour engines may round and interpolate differently.
    """

    def __init__(self, make, tolerance):
        self.make, self.tolerance = make, tolerance


KINDS = {}


def kind(name, tolerance=EXACT):
    def keep(make):
        assert name not in KINDS
        KINDS[name] = Kind(make, tolerance)
        return make
    return keep


def photo():
    return pictures.photo(WIDTH, HEIGHT)


def gray():
    return pictures.gray(WIDTH, HEIGHT)


def deep(picture):
    """16 bits whose upper byte alone does not give the picture back: low bits carry noise."""
    noise = numpy.random.Generator(numpy.random.PCG64(9)).integers(-100, 100, picture.shape)
    return numpy.clip(picture.astype(numpy.int64) * 257 + noise, 0, 65535).astype(numpy.uint16)


def with_alpha():
    return numpy.dstack([photo(), pictures.alpha(WIDTH, HEIGHT)])


# --- TIFF: containers, layouts and codecs ---

def rgb_tiff(name, order="<", big=False, copy=None, **options):
    @kind(name)
    def make(path):
        write(path, [page(photo(), RGB, order=order, **options)], order, big)
        if copy:
            tiffcp(path, *copy)
        return photo()


rgb_tiff("none-striped.tif", rows=16)
rgb_tiff("none-one-strip.tif")
rgb_tiff("none-tiled.tif", tile=128)
rgb_tiff("none-tiled-big-endian.tif", tile=128, order=">")
rgb_tiff("bigtiff-tiled.tif", tile=128, big=True)
rgb_tiff("bigtiff-striped-big-endian.tif", rows=7, order=">", big=True)
rgb_tiff("packbits-striped.tif", rows=16, compression="packbits")
rgb_tiff("packbits-tiled.tif", tile=64, compression="packbits")
rgb_tiff("lzw-striped.tif", rows=16, copy=["-c", "lzw"])
rgb_tiff("lzw-predictor-tiled.tif", tile=128, copy=["-c", "lzw:2"])
rgb_tiff("deflate-tiled.tif", tile=128, compression="deflate")
rgb_tiff("deflate-predictor-striped.tif", rows=32, compression="deflate", predictor=True)
rgb_tiff("zstd-tiled.tif", tile=128, compression="zstd")
rgb_tiff("zstd-predictor-striped.tif", rows=32, compression="zstd", predictor=True)
rgb_tiff("webp-lossless-tiled.tif", tile=128, compression="webp", jpeg={"lossless": True})
rgb_tiff("planar-striped.tif", rows=16, planar=True)
rgb_tiff("planar-deflate-tiled.tif", tile=128, compression="deflate", planar=True)
rgb_tiff("planar-lzw-striped.tif", rows=50, planar=True, copy=["-c", "lzw:2"])


def decoded(picture, tile, rows, encode):
    """The picture after each of its chunks went through encode() and Pillow's decoder."""
    out = numpy.empty_like(picture)
    height, width = picture.shape[:2]
    columns = -(-width // tile) if tile else 1
    for number, chunk in enumerate(cut(picture, tile, rows)):
        y = number // columns * (tile or rows)
        x = number % columns * (tile or 0)
        pixels = numpy.asarray(Image.open(io.BytesIO(encode(chunk))))
        part = out[y:y + pixels.shape[0], x:x + pixels.shape[1]]
        part[...] = pixels[:part.shape[0], :part.shape[1]]
    return out


def jpeg_tiff(name, picture, photometric, tile=None, rows=None, tables=True, **jpeg):
    @kind(name, LOSSY)
    def make(path):
        write(path, [page(picture(), photometric, "jpeg", tile, rows, jpeg={"tables": tables, **jpeg})])
        return decoded(picture(), tile, rows, lambda chunk: jpeg_bytes(chunk, **jpeg))


jpeg_tiff("jpeg-444-tiled.tif", photo, YCBCR, tile=128, sampling="4:4:4")
jpeg_tiff("jpeg-422-tiled.tif", photo, YCBCR, tile=128, sampling="4:2:2")
jpeg_tiff("jpeg-420-tiled.tif", photo, YCBCR, tile=128, sampling="4:2:0")
jpeg_tiff("jpeg-440-tiled.tif", photo, YCBCR, tile=128, sampling="4:4:0")
jpeg_tiff("jpeg-420-own-tables.tif", photo, YCBCR, tile=128, sampling="4:2:0", tables=False)
jpeg_tiff("jpeg-420-striped.tif", photo, YCBCR, rows=16, sampling="4:2:0")
jpeg_tiff("jpeg-rgb-tiled.tif", photo, RGB, tile=128, rgb=True)
jpeg_tiff("jpeg-gray-tiled.tif", gray, BLACK_IS_ZERO, tile=128)


@kind("webp-lossy-tiled.tif", LOSSY)
def _(path):
    write(path, [page(photo(), RGB, "webp", 128, jpeg={"quality": 90})])
    return decoded(photo(), 128, None, lambda chunk: saved(Image.fromarray(chunk), "WEBP", quality=90))


# --- TIFF: sample formats ---

def bilevel(name, photometric, **options):
    @kind(name)
    def make(path):
        white = pictures.drawing(WIDTH, HEIGHT)
        stored = white if photometric == BLACK_IS_ZERO else ~white
        write(path, [page(stored, photometric, **options)])
        return white.astype(numpy.uint8) * 255


bilevel("bilevel-black-is-zero.tif", BLACK_IS_ZERO, rows=64)
bilevel("bilevel-white-is-zero.tif", WHITE_IS_ZERO, tile=128)
bilevel("bilevel-packbits.tif", WHITE_IS_ZERO, rows=20, compression="packbits")
bilevel("g4-striped.tif", WHITE_IS_ZERO, rows=64, compression="g4")
bilevel("g4-tiled.tif", WHITE_IS_ZERO, tile=128, compression="g4")
bilevel("g4-black-is-zero.tif", BLACK_IS_ZERO, compression="g4")


def gray_tiff(name, photometric, bits, tolerance=EXACT, order="<", **options):
    @kind(name, tolerance)
    def make(path):
        stored = gray() if bits == 8 else deep(gray())
        if photometric == WHITE_IS_ZERO:
            stored = stored.max() * 0 + (2 ** bits - 1 - stored)
        write(path, [page(stored.astype(f"uint{bits}"), photometric, order=order, **options)], order)
        return gray()


gray_tiff("gray8-black-is-zero.tif", BLACK_IS_ZERO, 8, tile=128)
gray_tiff("gray8-white-is-zero.tif", WHITE_IS_ZERO, 8, rows=40)
gray_tiff("gray16-black-is-zero.tif", BLACK_IS_ZERO, 16, NEAR, rows=40)
gray_tiff("gray16-white-is-zero.tif", WHITE_IS_ZERO, 16, NEAR, order=">", tile=128, compression="deflate")


def rgb16(name, order="<", **options):
    @kind(name, NEAR)
    def make(path):
        write(path, [page(deep(photo()), RGB, order=order, **options)], order)
        return photo()


rgb16("rgb16-striped.tif", rows=32)
rgb16("rgb16-big-endian-tiled.tif", ">", tile=128)
rgb16("rgb16-predictor-tiled.tif", tile=128, compression="deflate", predictor=True)
rgb16("rgb16-planar.tif", ">", rows=32, planar=True, compression="deflate")


def palette_picture():
    image = Image.fromarray(photo()).quantize(200, dither=Image.Dither.NONE)
    colours = numpy.zeros((256, 3), numpy.uint8)
    found = numpy.array(image.getpalette(), numpy.uint8).reshape(-1, 3)
    colours[:len(found)] = found
    return numpy.asarray(image), colours


@kind("palette-tiled.tif")
def _(path):
    index, colours = palette_picture()
    table = (colours.T.astype(int) * 257).ravel().tolist()
    write(path, [page(index, PALETTE, "deflate", 128, extra={320: (SHORT, table)})])
    return colours[index]


def to_ycbcr(picture):
    """BT.601 full range as TIFF's defaults have it, not yet rounded."""
    red, green, blue = (picture[:, :, n].astype(float) for n in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return numpy.dstack([luma, (blue - luma) / 1.772 + 128, (red - luma) / 1.402 + 128])


def from_ycbcr(planes):
    luma, blue, red = (planes[:, :, n].astype(float) for n in range(3))
    blue, red = blue - 128, red - 128
    rgb = numpy.dstack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue])
    return numpy.clip(rgb + 0.5, 0, 255).astype(numpy.uint8)


YCBCR_EXTRA = {529: (RATIONAL, [(299, 1000), (587, 1000), (114, 1000)]),
               532: (RATIONAL, [(0, 1), (255, 1), (128, 1), (255, 1), (128, 1), (255, 1)])}


@kind("ycbcr-uncompressed.tif", NEAR)
def _(path):
    planes = numpy.clip(to_ycbcr(photo()) + 0.5, 0, 255).astype(numpy.uint8)
    write(path, [page(planes, YCBCR, rows=32, extra={530: (SHORT, [1, 1]), **YCBCR_EXTRA})])
    return from_ycbcr(planes)


@kind("ycbcr-uncompressed-420.tif", LOSSY)
def _(path):
    planes = to_ycbcr(photo())
    planes = numpy.pad(planes, [(0, HEIGHT % 2), (0, WIDTH % 2), (0, 0)], "edge")
    luma = numpy.clip(planes[:, :, 0] + 0.5, 0, 255).astype(numpy.uint8)
    chroma = sum(planes[y::2, x::2, 1:] for y in (0, 1) for x in (0, 1)) / 4
    chroma = numpy.clip(chroma + 0.5, 0, 255).astype(numpy.uint8)
    # A data unit is four luma samples, then Cb and Cr.
    units = numpy.dstack([luma[0::2, 0::2], luma[0::2, 1::2], luma[1::2, 0::2], luma[1::2, 1::2], chroma])
    strip = page(planes.astype(numpy.uint8)[:HEIGHT, :WIDTH], YCBCR,
                 extra={530: (SHORT, [2, 2]), **YCBCR_EXTRA})
    strip.chunks = [units.tobytes()]
    write(path, [strip])
    near = from_ycbcr(numpy.dstack([luma, chroma.repeat(2, 0).repeat(2, 1)]))[:HEIGHT, :WIDTH]
    smooth = [numpy.asarray(Image.fromarray(plane).resize(luma.shape[::-1], Image.BILINEAR))
              for plane in (chroma[:, :, 0].copy(), chroma[:, :, 1].copy())]
    return [near, from_ycbcr(numpy.dstack([luma, *smooth]))[:HEIGHT, :WIDTH]]


def alpha_tiff(name, meaning, picture, bits=8, **options):
    """meaning: 1 = colours stored multiplied by alpha, 2 = as they are."""
    @kind(name, NEAR if meaning == 2 and bits == 16 else EXACT if meaning == 2 else COLOUR)
    def make(path):
        full = picture()
        stored = full.astype(numpy.uint16) * 257 if bits == 16 else full
        if meaning == 1:
            top = 2 ** bits - 1
            scaled = (stored[:, :, :-1].astype(float) * stored[:, :, -1:] / top + 0.5).astype(stored.dtype)
            stored = numpy.dstack([scaled, stored[:, :, -1]])
        photometric = RGB if full.shape[2] == 4 else BLACK_IS_ZERO
        write(path, [page(stored, photometric, extra={338: (SHORT, [meaning])}, **options)])
        return full if full.shape[2] == 4 else numpy.dstack([full[:, :, 0]] * 3 + [full[:, :, 1]])


alpha_tiff("alpha-unassociated.tif", 2, with_alpha, tile=128, compression="deflate")
alpha_tiff("alpha-associated.tif", 1, with_alpha, tile=128, compression="deflate")
alpha_tiff("alpha-unassociated-16.tif", 2, with_alpha, bits=16, rows=32)
alpha_tiff("alpha-associated-16.tif", 1, with_alpha, bits=16, tile=128)
alpha_tiff("alpha-planar.tif", 2, with_alpha, rows=32, planar=True)
alpha_tiff("alpha-gray.tif", 2, lambda: with_alpha()[:, :, [1, 3]], rows=32)


@kind("extra-sample.tif")
def _(path):
    """A fourth sample that means nothing the reader knows: it must not show."""
    noise = numpy.random.Generator(numpy.random.PCG64(4)).integers(0, 256, (HEIGHT, WIDTH), numpy.uint8)
    write(path, [page(numpy.dstack([photo(), noise]), RGB, tile=128, extra={338: (SHORT, [0])})])
    return photo()


# --- TIFF: pyramids and pages ---

def pyramid(name, subifds, compression="deflate", photometric=RGB, big=False, order="<", tile=128, **jpeg):
    @kind(name, LOSSY if compression == "jpeg" else EXACT)
    def make(path):
        make_pyramid(path, photo(), subifds, compression, photometric, big, order, tile, **jpeg)
        if compression != "jpeg":
            return photo()
        return decoded(photo(), tile, None, lambda chunk: jpeg_bytes(chunk, **jpeg))


def make_pyramid(path, picture, subifds=False, compression="deflate", photometric=RGB, big=False, order="<",
                 tile=128, **jpeg):
    steps = pictures.levels(picture, tile)
    options = dict(photometric=photometric, compression=compression, tile=tile, order=order,
                   jpeg={"tables": True, **jpeg} if compression == "jpeg" else None)
    reduced = [page(step, level=1, **options) for step in steps[1:]]
    first = page(steps[0], subpages=reduced if subifds else (), **options)
    write(path, [first] + ([] if subifds else reduced), order, big)


pyramid("pyramid-ifds.tif", False)
pyramid("pyramid-subifds.tif", True)
pyramid("pyramid-bigtiff-subifds.tif", True, big=True, order=">")
pyramid("pyramid-jpeg-420.tif", False, "jpeg", YCBCR, sampling="4:2:0")
pyramid("pyramid-jpeg-subifds.tif", True, "jpeg", YCBCR, sampling="4:4:4")


@kind("pyramid-vips.tif", LOSSY)
def _(path):
    Image.fromarray(photo()).save(path + ".png")
    subprocess.run(["vips", "tiffsave", path + ".png", path, "--tile", "--pyramid", "--compression", "jpeg",
                    "--Q", "85", "--tile-width", "128", "--tile-height", "128"], check=True)
    os.remove(path + ".png")
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB"))


# --- Plain files ---

def plain(name, mode, tolerance=EXACT, picture=photo, **options):
    """A file by Pillow; what a right reader sees is what Pillow reads back."""
    @kind(name, tolerance)
    def make(path):
        Image.fromarray(picture()).convert(mode).save(path, **options)
        with Image.open(path) as image:
            return numpy.asarray(image.convert("RGBA" if "A" in mode else "RGB"))


plain("baseline-420.jpg", "RGB", LOSSY, quality=90)
plain("baseline-444.jpg", "RGB", LOSSY, quality=92, subsampling=0)
plain("progressive.jpg", "RGB", LOSSY, quality=90, progressive=True)
plain("gray.jpg", "L", LOSSY, quality=90)
plain("rgb.png", "RGB")
plain("gray.png", "L")
plain("gray-alpha.png", "LA", picture=with_alpha)
plain("rgb-alpha.png", "RGBA", picture=with_alpha)
plain("bilevel.png", "1", picture=lambda: pictures.drawing(WIDTH, HEIGHT))
plain("lossy.webp", "RGB", LOSSY, quality=85)
plain("lossless.webp", "RGB", lossless=True)
plain("alpha.webp", "RGBA", lossless=True, exact=True, picture=with_alpha)


@kind("palette.png")
def _(path):
    Image.fromarray(photo()).quantize(150).save(path)
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGB"))


@kind("palette-clear.png")
def _(path):
    image = Image.fromarray(photo()).quantize(150)
    image.save(path, transparency=bytes(range(106, 256)))
    with Image.open(path) as image:
        return numpy.asarray(image.convert("RGBA"))


def vips_png(name, picture, tolerance, *options):
    @kind(name, tolerance)
    def make(path):
        source = picture()
        pages = [page(source, RGB if source.ndim == 3 else BLACK_IS_ZERO)]
        write(path + ".tif", pages)
        subprocess.run(["vips", "pngsave", path + ".tif", path, *options], check=True)
        os.remove(path + ".tif")
        with open(path, "rb") as file:
            header = file.read(29)
        assert header[24] == source.dtype.itemsize * 8 and header[28] == ("--interlace" in options)
        return photo() if source.ndim == 3 else gray()


vips_png("interlaced.png", photo, EXACT, "--interlace")
vips_png("rgb16.png", lambda: deep(photo()), NEAR)
vips_png("gray16.png", lambda: deep(gray()), NEAR)


# --- Colour ---

def srgb_of(image, profile, mode="RGB"):
    """All readings of the profile that are right: two intents, black point compensation or not."""
    target = ImageCms.createProfile("sRGB")
    readings = []
    for intent in (0, 1):
        for flags in (0, 0x2000):
            transform = ImageCms.buildTransform(profile, target, image.mode, mode, intent, flags)
            readings.append(numpy.asarray(ImageCms.applyTransform(image, transform)))
    return readings


def profile_bytes(name):
    with open(os.path.join(PROFILES, name), "rb") as file:
        return file.read()


def profiled_tiff(name, profile, picture=photo, bits=8, tolerance=COLOUR, **options):
    @kind(name, tolerance)
    def make(path):
        icc = profile_bytes(profile)
        stored = deep(picture()) if bits == 16 else picture()
        photometric = RGB if stored.ndim == 3 else BLACK_IS_ZERO
        write(path, [page(stored, photometric, extra={34675: (UNDEFINED, icc)}, **options)])
        return srgb_of(Image.fromarray(picture()), ImageCms.ImageCmsProfile(io.BytesIO(icc)))


profiled_tiff("profile-adobe-rgb.tif", "colord/AdobeRGB1998.icc", tile=128, compression="deflate")
profiled_tiff("profile-swapped.tif", "colord/SwappedRedAndGreen.icc", rows=32)
profiled_tiff("profile-prophoto-16.tif", "colord/ProPhotoRGB.icc", bits=16, tile=128)
profiled_tiff("profile-gray.tif", "Gray-CIE_L.icc", picture=gray, tile=128)


@kind("profile-srgb.tif")
def _(path):
    icc = profile_bytes("colord/sRGB.icc")
    write(path, [page(photo(), RGB, tile=128, extra={34675: (UNDEFINED, icc)})])
    return srgb_of(Image.fromarray(photo()), ImageCms.ImageCmsProfile(io.BytesIO(icc))) + [photo()]


KINDS["profile-srgb.tif"].tolerance = NEAR


def profiled_file(name, tolerance, **options):
    @kind(name, tolerance)
    def make(path):
        icc = profile_bytes("colord/AdobeRGB1998.icc")
        Image.fromarray(photo()).save(path, icc_profile=icc, **options)
        with Image.open(path) as image:
            return srgb_of(image.convert("RGB"), ImageCms.ImageCmsProfile(io.BytesIO(icc)))


profiled_file("profile-adobe-rgb.jpg", LOSSY, quality=92, subsampling=0)
profiled_file("profile-adobe-rgb.png", COLOUR)
profiled_file("profile-adobe-rgb.webp", COLOUR, lossless=True)


def cmyk(path):
    """(CMYK pixels, their profile) of the photo, by the profile that libvips carries."""
    Image.fromarray(photo()).save(path + ".png")
    subprocess.run(["vips", "icc_transform", path + ".png", path + ".tiff", "cmyk",
                    "--input-profile", "srgb"], check=True)
    with Image.open(path + ".tiff") as image:
        result = numpy.asarray(image), image.info["icc_profile"]
        assert image.mode == "CMYK"
    os.remove(path + ".png")
    os.remove(path + ".tiff")
    return result


@kind("cmyk-profile.tif", (2.5, 12))
def _(path):
    ink, icc = cmyk(path)
    write(path, [page(ink, SEPARATED, "deflate", 128, extra={34675: (UNDEFINED, icc), 332: (SHORT, [1])})])
    return srgb_of(Image.fromarray(ink, "CMYK"), ImageCms.ImageCmsProfile(io.BytesIO(icc)))


# Without a profile nobody can say what the inks mean; the picture must only be recognisable.
RECOGNISABLE = (45, 200)


@kind("cmyk-bare.tif", RECOGNISABLE)
def _(path):
    ink, _ = cmyk(path)
    write(path, [page(ink, SEPARATED, rows=32, extra={332: (SHORT, [1])})])
    return photo()


@kind("cmyk-adobe.jpg", RECOGNISABLE)
def _(path):
    ink, _ = cmyk(path)
    Image.fromarray(ink, "CMYK").save(path, quality=95)
    return photo()


@kind("cmyk-adobe-profile.jpg", (3, 20))
def _(path):
    ink, icc = cmyk(path)
    Image.fromarray(ink, "CMYK").save(path, quality=95, subsampling=0, icc_profile=icc)
    with Image.open(path) as image:
        return srgb_of(image, ImageCms.ImageCmsProfile(io.BytesIO(icc)))


@kind("cielab.tif", (3, 20))
def _(path):
    srgb, profile = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(srgb, profile, "RGB", "LAB", 1)
    lab = ImageCms.applyTransform(Image.fromarray(photo()), to_lab)
    stored = numpy.asarray(lab).copy()
    write(path, [page(stored, CIELAB, rows=32)])
    # lcms with 8 bits per step is off by far in saturated darks; the picture it came from is right too.
    return srgb_of(lab, ImageCms.createProfile("LAB")) + [photo()]


# --- Orientation ---

def exif_orientation(number):
    exif = Image.Exif()
    exif[274] = number
    return exif.tobytes()


def orientation(number):
    @kind(f"orientation-{number}.tif")
    def make_tiff(path):
        stored = pictures.oriented(photo(), number)
        write(path, [page(stored, RGB, "deflate", 128, extra={274: (SHORT, [number])})])
        return photo()

    @kind(f"orientation-{number}.jpg", LOSSY)
    def make_jpeg(path):
        stored = pictures.oriented(photo(), number)
        Image.fromarray(stored).save(path, quality=95, subsampling=0, exif=exif_orientation(number))
        return photo()


for number in range(1, 9):
    orientation(number)


@kind("orientation-6.png")
def _(path):
    Image.fromarray(pictures.oriented(photo(), 6)).save(path, exif=exif_orientation(6))
    return photo()


@kind("orientation-8.webp")
def _(path):
    Image.fromarray(pictures.oriented(photo(), 8)).save(path, lossless=True, exif=exif_orientation(8))
    return photo()


@kind("orientation-5-pyramid.tif")
def _(path):
    stored = pictures.oriented(photo(), 5)
    steps = pictures.levels(stored, 128)
    turned = {274: (SHORT, [5]), 270: (ASCII, b"lying\0")}
    write(path, [page(step, RGB, "deflate", 128, level=n > 0, extra=turned) for n, step in enumerate(steps)])
    return photo()
