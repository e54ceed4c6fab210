"""Metadata goes along: exiftool shows the same EXIF, XMP and IPTC before and after, but for a list with reasons."""
import json
import os
import subprocess

import pytest
from PIL import Image

from data import pictures
from ingesting import ingest

# Tags that may differ or be missing in the pyramid, and why.
EXCEPTIONS = {
    # How the pixels are stored, which is another way now.
    "ImageWidth", "ImageHeight", "BitsPerSample", "Compression", "PhotometricInterpretation", "SamplesPerPixel",
    "PlanarConfiguration", "StripOffsets", "StripByteCounts", "RowsPerStrip", "Predictor", "YCbCrSubSampling",
    "YCbCrPositioning", "YCbCrCoefficients", "ReferenceBlackWhite", "TileWidth", "TileLength", "TileOffsets",
    "TileByteCounts", "JPEGTables", "SubfileType", "OldSubfileType", "FillOrder", "SampleFormat", "ExtraSamples",
    "PageNumber", "TransferFunction",
    # The pixels were turned upright, and EXIF says so.
    "Orientation",
    # EXIF's thumbnail: a pyramid is full of smaller pictures.
    "ThumbnailOffset", "ThumbnailLength", "ThumbnailImage",
    # (And IPTC in PNG, for which PNG has no place: some programs hide it in a text.)
    # TIFF demands a unit that the master may have left out.
    "ResolutionUnit",
}
TAGS = ["-EXIF:Make=Linhof", "-EXIF:Model=Technika", "-EXIF:Artist=Nadar & Sons", "-EXIF:Copyright=CC0 Example",
        "-EXIF:ImageDescription=A test picture", "-EXIF:DateTimeOriginal=2024:02:29 12:34:56", "-EXIF:ExposureTime=1/125",
        "-EXIF:FNumber=5.6", "-EXIF:ISO=100", "-EXIF:LensModel=Xenar 150", "-EXIF:UserComment=told by the keeper",
        "-EXIF:XPKeywords=lake;mountain", "-EXIF:GPSLatitude=46.5", "-EXIF:GPSLatitudeRef=N", "-EXIF:GPSLongitude=7.25",
        "-EXIF:GPSLongitudeRef=E", "-EXIF:InteropIndex=R98", "-EXIF:XResolution=300", "-EXIF:YResolution=300",
        "-XMP-dc:Title=Vitrine \u2013 title", "-XMP-dc:Creator=Nadar", "-XMP-xmp:Rating=4", "-IPTC:Headline=A headline",
        "-IPTC:Keywords=lake", "-IPTC:Keywords=mountain"]


ORIENTATIONS = range(1, 9)
PLAIN = ["m.jpg", "m.tif", "m.png", "m.webp"]


def exiftool(*arguments):
    return subprocess.run(["exiftool", "-charset", "UTF8", *map(str, arguments)], capture_output=True, check=True).stdout


def tags(*paths):
    """file name -> its tags; one call for all, since exiftool starts slowly."""
    said = exiftool("-j", "-G0", "-a", "-struct", "-EXIF:all", "-XMP:all", "-IPTC:all", *paths)
    return {os.path.basename(found.pop("SourceFile")): {name: value for name, value in found.items()
                                                         if name.split(":")[-1] not in EXCEPTIONS}
            for found in json.loads(said)}


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    place = tmp_path_factory.mktemp("metadata")
    picture = Image.fromarray(pictures.photo(400, 300, 5))
    for name in PLAIN:
        picture.save(place / name)
    exiftool("-q", "-overwrite_original", *TAGS, *(place / name for name in PLAIN))
    turned = []
    for number in ORIENTATIONS:
        picture.save(place / f"o{number}.jpg")
        turned += ["-q", "-overwrite_original", *TAGS, f"-EXIF:Orientation#={number}", f"-XMP-tiff:Orientation#={number}",
                   place / f"o{number}.jpg", "-execute"]
    exiftool(*turned)
    with open("/usr/share/color/icc/colord/AdobeRGB1998.icc", "rb") as icc:
        picture.save(place / "profiled.tif", icc_profile=icc.read())
    for folder, options in (("out", ()), ("big", ("--bigtiff", "always")), ("kept", ("--profile", "keep"))):
        ended = ingest(place, *sorted(os.listdir(place)), "--destination", "{path}.{extension}.tif", *options,
                       into=f"../{place.name}-{folder}")
        assert ended.status == 0, ended.said
    # exiftool 12.57 reads GPS and more of a BigTIFF by the wrong table. What our own reader finds there, written as a
    # plain TIFF again, it can tell.
    ended = ingest(place, *(f"../{place.name}-big/{name}.tif" for name in PLAIN), "--base", f"../{place.name}-big", into=f"../{place.name}-again")
    assert ended.status == 0, ended.said
    return place


def pyramids(masters, folder):
    return masters.parent / f"{masters.name}-{folder}"


@pytest.mark.parametrize("folder", ["out", "again"])
def test_everything_goes_along(masters, folder):
    before = tags(*(masters / name for name in PLAIN))
    after = tags(*(pyramids(masters, folder) / f"{name}.tif" for name in PLAIN))
    for name in PLAIN:
        assert len(before[name]) >= (22 if name in ("m.jpg", "m.tif") else 15), sorted(before[name])
        was = {tag: value for tag, value in before[name].items() if name != "m.png" or not tag.startswith("IPTC:")}
        assert after[f"{name}.tif"] == was, name


def test_turned_masters(masters):
    """The sizes that EXIF repeats are those of the upright picture."""
    before = tags(*(masters / f"o{number}.jpg" for number in ORIENTATIONS))
    after = tags(*(pyramids(masters, "out") / f"o{number}.jpg.tif" for number in ORIENTATIONS))
    for number in ORIENTATIONS:
        assert after[f"o{number}.jpg.tif"] == before[f"o{number}.jpg"]
    said = exiftool("-n", "-j", "-a", "-G1", "-Orientation", "-XMP-tiff:Orientation", "-ImageWidth",
                    *(pyramids(masters, "out") / f"o{number}.jpg.tif" for number in ORIENTATIONS))
    for number, found in zip(ORIENTATIONS, json.loads(said)):
        assert found["IFD0:Orientation"] == found["XMP-tiff:Orientation"] == 1
        assert found["IFD0:ImageWidth"] == (300 if number >= 5 else 400)


def test_profiles(masters):
    converted, kept = (exiftool("-s3", "-ICC_Profile:ProfileDescription", pyramids(masters, folder) / "profiled.tif.tif")
                       for folder in ("out", "kept"))
    assert b"Adobe RGB" in kept and b"Adobe RGB" not in converted and b"sRGB" in converted
