"""What a cold picture costs, counted where the store's bytes pass."""
import os

import pytest

from storage.large import pyramid, scattered

@pytest.fixture(scope="module")
def large(ceph, images):
    data, levels = pyramid(os.path.join(images, "photo.tif"), 190_000_000)
    assert len(data) > 180_000_000
    ceph.put("large/a.tif", data)
    ceph.put("large/b.tif", data)
    return levels


def cost(between):
    seen = between.take()
    return len(seen), sum(request.body_bytes for request in seen), seen


def test_thumbnail(s3, between, large):
    server = s3("large")
    reply = server.get("/iiif/3/a.tif/full/128,/0/default.jpg")
    assert reply.status == 200
    requests, fetched, seen = cost(between)
    print(f"cold thumbnail: {requests} requests, {fetched} bytes")
    assert requests <= 3 and fetched <= 300_000, seen


def test_tiles(s3, between, large):
    server = s3("large")
    path = "/iiif/3/b.tif/{},{},256,256/256,/0/default.jpg"
    assert server.get(path.format(20 * 256, 10 * 256)).status == 200
    requests, fetched, seen = cost(between)
    print(f"cold tile: {requests} requests, {fetched} bytes")
    assert requests <= 3 and fetched <= 300_000, seen
    assert server.get(path.format(60 * 256, 50 * 256)).status == 200
    requests, fetched, seen = cost(between)
    print(f"second tile: {requests} requests, {fetched} bytes")
    assert requests == 1, seen
    assert server.get(path.format(60 * 256, 50 * 256)).status == 200
    assert cost(between)[0] == 0


def test_directories_all_over_the_file(s3, between, ceph, images):
    """As libvips writes: each directory lies behind its level's tiles, and only the one before says where."""
    ceph.put("large/c.tif", scattered(os.path.join(images, "photo.tif"), 100_000_000))
    between.delay_s = 0.05
    server = s3("large")
    assert server.get("/iiif/3/c.tif/full/128,/0/default.jpg").status == 200
    requests, fetched, seen = cost(between)
    print(f"cold thumbnail of scattered directories: {requests} requests, {fetched} bytes")
    assert requests <= 7 and fetched <= 960_000, seen
    assert server.get("/iiif/3/c.tif/{},{},256,256/256,/0/default.jpg".format(20 * 256, 10 * 256)).status == 200
    assert cost(between)[0] <= 2
