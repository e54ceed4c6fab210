"""The folder of source pictures: made once per version of the generators, then reused.

build/test-data-HASH/images is what the server serves; build/test-data-HASH/reference holds the pixels
each file must show.
"""
import fcntl
import glob
import hashlib
import os
import shutil
import subprocess
import tempfile

import numpy
from PIL import Image

from . import pictures
from .kinds import KINDS, make_pyramid
from .tiff_writer import RGB, SHORT, page, write

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("VITRINE_TEST_DATA") or os.path.join(os.path.dirname(os.path.dirname(HERE)), "build")
SEAM_SIZES = [(1001, 777), (643, 1019), (129, 2049), (257, 1), (256, 256), (300, 513)]
# Pyramids of tiles that restart at every row of MCUs.
JOINED = {"joined-420.tif": {"photometric": 6, "sampling": "4:2:0", "quality": 90},
          "joined-444.tif": {"photometric": 6, "sampling": "4:4:4", "quality": 85},
          "joined-rgb.tif": {"photometric": 2, "rgb": True, "quality": 90, "restart": "edge mcus"},
          "joined-gray.tif": {"photometric": 1, "quality": 90}}
METADATA = {"Artist": "Nadar & Sons", "ImageDescription": "A test picture", "Copyright": "CC0 Example",
            "XMP-dc:Title": "Vitrine \u2013 title", "IPTC:Headline": "A headline"}


def home():
    digest = hashlib.sha256()
    for name in sorted(glob.glob(os.path.join(HERE, "*.py"))):
        with open(name, "rb") as source:
            digest.update(source.read())
    return os.path.join(BUILD, "test-data-" + digest.hexdigest()[:12])


def folder():
    place = home()
    os.makedirs(BUILD, exist_ok=True)
    with open(os.path.join(BUILD, "test-data.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.isdir(place):
            for old in glob.glob(os.path.join(BUILD, "test-data-*")):
                shutil.rmtree(old)
            work = tempfile.mkdtemp(dir=BUILD, prefix="making-")
            try:
                fill(work)
                os.chmod(work, 0o755)
                os.rename(work, place)
            finally:
                shutil.rmtree(work, ignore_errors=True)
    return os.path.join(place, "images")


def reference(name):
    """The pictures that are right for this source: a list of arrays (height, width, 3 or 4)."""
    folder()
    with numpy.load(os.path.join(home(), "reference", name + ".npz")) as file:
        return [file[key] for key in sorted(file.files)]


def fill(work):
    images, references = os.path.join(work, "images"), os.path.join(work, "reference")
    os.makedirs(images)
    os.makedirs(references)
    for name, kind in KINDS.items():
        right = kind.make(os.path.join(images, name))
        right = right if isinstance(right, list) else [right]
        right = [numpy.dstack([one] * 3) if one.ndim == 2 else one for one in right]
        numpy.savez(os.path.join(references, name), *right)
    for make in (shared, seams, levels_marked, pages, metadata, big):
        make(images)


def shared(images):
    make_pyramid(os.path.join(images, "squares.tif"), pictures.squares(), tile=256)
    make_pyramid(os.path.join(images, "squares-joined.tif"), pictures.squares(), compression="jpeg", tile=256, restart=True,
                 **JOINED["joined-444.tif"])
    make_pyramid(os.path.join(images, "photo.tif"), pictures.photo(1501, 1003), tile=256)
    write(os.path.join(images, "flat.tif"), [page(pictures.photo(1501, 1003), RGB, "deflate", rows=64)])
    write(os.path.join(images, "ramp.tif"), [page(pictures.ramp(1024, 1024), RGB, "deflate", tile=256)])
    make_pyramid(os.path.join(images, "wave.tif"), pictures.wave(1021, 777), tile=128)
    zone = numpy.dstack([pictures.zone_plate(1024)] * 3)
    write(os.path.join(images, "zone.tif"), [page(zone, RGB, "deflate", tile=256)])
    # The specification's own example picture for percentages is 300 x 200.
    write(os.path.join(images, "small.tif"), [page(pictures.photo(300, 200), RGB, "deflate", tile=256)])
    write(os.path.join(images, "dot.tif"), [page(pictures.photo(1, 1), RGB)])
    # Reduced pictures that are no levels: another shape, the same size again, larger than the picture.
    small, stranger = pictures.photo(300, 200), pictures.photo(160, 120, 6)
    reduced = [stranger, small, pictures.photo(400, 300, 6), pictures.halved(small), pictures.halved(small)]
    write(os.path.join(images, "strange-levels.tif"), [page(small, RGB, "deflate", 128)] + [
        page(one, RGB, "deflate", 128, level=1) for one in reduced])
    os.makedirs(os.path.join(images, "box", "inner"))
    shutil.copy(os.path.join(images, "small.tif"), os.path.join(images, "box", "page.tif"))
    shutil.copy(os.path.join(images, "small.tif"), os.path.join(images, "box", "inner", "deep.tif"))


def seams(images):
    for width, height in SEAM_SIZES:
        picture = pictures.photo(width, height, width)
        make_pyramid(os.path.join(images, f"seam-{width}x{height}.tif"), picture, tile=128)
    picture = pictures.photo(1001, 777, 1001)
    make_pyramid(os.path.join(images, "seam-jpeg.tif"), picture, compression="jpeg", photometric=6, tile=128,
                 sampling="4:2:0", quality=90)
    for name, options in JOINED.items():
        source = picture if options["photometric"] != 1 else pictures.gray(1001, 777)
        make_pyramid(os.path.join(images, name), source, compression="jpeg", tile=256, **{"restart": True, **options})
    write(os.path.join(images, "seam-striped.tif"), [page(picture, RGB, "deflate", rows=32)])
    Image.fromarray(picture).save(os.path.join(images, "seam-plain.jpg"), quality=90)
    Image.fromarray(picture).save(os.path.join(images, "seam-plain.png"))


def levels_marked(images):
    """Every level has a flat colour of its own, so that an answer shows which level it came from."""
    flat = [numpy.full((768 >> n, 1024 >> n, 3), LEVEL_COLOURS[n], numpy.uint8) for n in range(4)]
    written = [page(one, RGB, "deflate", 128, level=n > 0) for n, one in enumerate(flat)]
    write(os.path.join(images, "levels.tif"), written)


LEVEL_COLOURS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]


def pages(images):
    """Three pages of different size and colour; the second has a pyramid in its SubIFDs."""
    flat = [numpy.full((200 + 10 * n, 300 + 20 * n, 3), LEVEL_COLOURS[n], numpy.uint8) for n in range(3)]
    reduced = [page(one, RGB, "deflate", 128, level=1) for one in pictures.levels(flat[1])[1:]]
    made = [page(one, RGB, "deflate", 128, subpages=reduced if n == 1 else (), extra={297: (SHORT, [n, 3])})
            for n, one in enumerate(flat)]
    write(os.path.join(images, "pages.tif"), made)


def metadata(images):
    picture = pictures.photo(400, 300, 5)
    make_pyramid(os.path.join(images, "meta.tif"), picture, tile=128)
    make_pyramid(os.path.join(images, "meta-joined.tif"), picture, compression="jpeg", tile=256, restart=True,
                 **JOINED["joined-420.tif"])
    for extension in ("jpg", "png", "webp"):
        Image.fromarray(picture).save(os.path.join(images, "meta." + extension), quality=90)
    for name in ("meta.tif", "meta-joined.tif", "meta.jpg", "meta.png", "meta.webp"):
        tags = [f"-{key}={value}" for key, value in METADATA.items()
                if "IPTC" not in key or name[-3:] in ("tif", "jpg")]
        subprocess.run(["exiftool", "-q", "-overwrite_original", "-charset", "UTF8", *tags,
                        os.path.join(images, name)], check=True)


def big(images):
    """48 Mpx as vips writes pyramids; large enough that an answer takes a while."""
    tile = os.path.join(images, "big-part.tif")
    write(tile, [page(pictures.photo(2000, 1500, 7), RGB)])
    subprocess.run(["vips", "replicate", tile, tile + ".v", "4", "4"], check=True)
    subprocess.run(["vips", "tiffsave", tile + ".v", os.path.join(images, "big.tif"), "--tile", "--pyramid",
                    "--compression", "jpeg", "--Q", "85", "--tile-width", "256", "--tile-height", "256"],
                   check=True)
    os.remove(tile)
    os.remove(tile + ".v")
