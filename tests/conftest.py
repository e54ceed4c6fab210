import os
import sys

import pytest

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from data import library  # noqa: E402
from server import Vitrine  # noqa: E402


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
