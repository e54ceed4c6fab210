import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cached  # noqa: E402


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder of pictures that nothing else serves."""
    place = tmp_path_factory.mktemp("images")
    cached.make(place)
    return place
