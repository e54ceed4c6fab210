import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
# Files that take longest come first, so that of those which run side by side none ends long after the others.
LONGEST = [f"{folder}/test_{name}.py" for folder, names in (
    ("browser", "manifests"), ("storage", "s3 credentials nfs disasters fetched_once tier s3_manifests"), ("browser", "viewer"),
    ("crash", "recovery hang upgrade reload recycle systemd kill_points cache_points poison"), ("browser", "pages"),
    ("cache", "20_purge 10_hits 30_broken 40_tier"), ("package", "deb"), ("pixels", "formats resample"),
    ("ingest", "80_buckets 70_every_kind 30_killed 72_structure"), ("http", "28_streaming 29_activity 60_hostile_clients"),
) for name in names.split()]

sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

from data import library  # noqa: E402
from server import Vitrine  # noqa: E402


def pytest_collection_modifyitems(items):
    rank = {os.path.join(HERE, *name.split("/")): at for at, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(str(item.path), len(rank)))


@pytest.fixture(scope="session")
def images():
    """The folder with every source picture of the tests, made on first use."""
    return library.folder()


@pytest.fixture(scope="session")
def served(images):
    """One server with default settings that most tests share."""
    with Vitrine(images) as server:
        yield server


@pytest.fixture(scope="session")
def client(served):
    return served.client()


@pytest.fixture
def start(images):
    """start(images=..., settings={...}, workers=N, ...) -> a server that ends with the test."""
    running = []

    def begin(folder=None, *arguments, **options):
        server = Vitrine(folder or images, *arguments, **options)
        running.append(server)
        try:
            return server.start()
        except BaseException:
            running.remove(server)
            server.discard()
            raise

    yield begin
    failures = []
    for server in running:
        try:
            server.stop()
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n".join(failures)
