"""What several modules of this folder serve, and servers whose workers stand still where a test says, or come to
harm by a picture."""
import pytest

import poisoned
import server
from server import until
from stops import Stop, pictures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    pictures(place)
    return place


@pytest.fixture(scope="module")
def stop(tmp_path_factory):
    if server.sanitized():
        pytest.skip("a sanitizer needs to be the first library")
    return Stop(tmp_path_factory.mktemp("stop"))


@pytest.fixture
def begin(start, stop, folder, monkeypatch):
    """begin(images=..., settings=...) -> a server with every worker serving; every answer is made again."""
    for name, value in stop.environment().items():
        monkeypatch.setenv(name, value)
    stop.disarm()

    def begin(images=None, **options):
        options["settings"] = {"derivative_cache": "false", **options.get("settings", {})}
        served = start(images or folder, **options)
        until(lambda: served.admin().get("/status").body.count(b"serving") == served.workers, 5, "all workers serve")
        return served
    return begin


@pytest.fixture(scope="module")
def poisonous(tmp_path_factory):
    """A folder with a picture of each kind of harm."""
    poisoned.needs_own_handlers()
    place = tmp_path_factory.mktemp("poisonous")
    poisoned.pictures(place)
    return place


@pytest.fixture
def preloaded(poisonous, tmp_path, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", poisoned.library(tmp_path))
