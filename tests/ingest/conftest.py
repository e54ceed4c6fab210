import os
import shutil
import sys

import pytest
from PIL import Image

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from data import pictures  # noqa: E402


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """Masters of a few kinds, small; made once, copied by the tests."""
    place = tmp_path_factory.mktemp("masters")
    Image.fromarray(pictures.photo(500, 400, 1)).save(place / "lake.jpg", quality=92)
    with open("/usr/share/color/icc/colord/AdobeRGB1998.icc", "rb") as profile:
        Image.fromarray(pictures.photo(300, 420, 2)).save(place / "tower.png", icc_profile=profile.read())
    Image.fromarray(pictures.photo(640, 300, 3)).save(place / "map.tif", compression="tiff_lzw")
    return place


@pytest.fixture
def home(tmp_path, photographs):
    """A folder with masters/ in it: lake.jpg, tower.png, sub/map.tif."""
    masters = tmp_path / "masters"
    (masters / "sub").mkdir(parents=True)
    shutil.copy(photographs / "lake.jpg", masters / "lake.jpg")
    shutil.copy(photographs / "tower.png", masters / "tower.png")
    shutil.copy(photographs / "map.tif", masters / "sub" / "map.tif")
    return tmp_path


@pytest.fixture(scope="session")
def large(images):
    """A master whose conversion takes a while: 48 Mpx."""
    return os.path.join(images, "big.tif")
