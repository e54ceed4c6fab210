import os

import pytest

from server import Vitrine
from storage.between import Between
from storage.ceph import ACCESS, BUCKET, SECRET, Ceph
from storage.nfs import Nfs, build_client, impossible

# What the surroundings say about S3 must not matter here.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


@pytest.fixture(scope="session")
def ceph():
    store = Ceph()
    try:
        yield store.start()
    finally:
        store.stop()


@pytest.fixture
def between(ceph):
    """The S3 server's port, with somebody in the way."""
    middle = Between(ceph.port)
    yield middle
    middle.close()


@pytest.fixture
def s3(start, between):
    """s3(prefix, settings...) -> a server whose images are in the bucket."""
    def begin(prefix="", **settings):
        chosen = {"s3_endpoint": f"http://127.0.0.1:{between.port}", "s3_path_style": "true", "s3_access_key": ACCESS,
                  "s3_secret_key": SECRET, "revalidate": 3600, "derivative_cache": "false", **settings}
        workers = chosen.pop("workers", 1)
        return start(f"s3://{BUCKET}/{prefix}", workers=workers, settings=chosen, cache=chosen.pop("cache", None))
    return begin


@pytest.fixture(scope="session")
def nfs_client(tmp_path_factory):
    why = impossible()
    if why:
        pytest.skip(why)
    return build_client(tmp_path_factory.mktemp("nfs"))


@pytest.fixture
def nfs(nfs_client):
    """An NFS server, not started, and an empty export."""
    place = Nfs(nfs_client)
    try:
        yield place
    finally:
        place.close()
