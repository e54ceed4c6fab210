"""Memory follows width times band, not area: 600 megapixels out of one worker."""
import os

import pytest

from data import pictures, tiff_writer
from server import patience, sanitized

WIDTH, HEIGHT, TILE = 30000, 20000, 256


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A full-size level of 4:2:0 JPEG tiles, some of which come again and again."""
    place = tmp_path_factory.mktemp("huge")
    photo = pictures.photo(TILE, TILE) // 8 * 2 + 64
    tiles = [tiff_writer.jpeg_bytes(shade, sampling="4:2:0", quality=40)
             for shade in (photo, photo // 2, 255 - photo)]
    tables = tiff_writer.split_tables(tiles[0])[0]
    bare = [tiff_writer.split_tables(tile)[1] for tile in tiles]
    count = -(-WIDTH // TILE) * -(-HEIGHT // TILE)
    short, long = tiff_writer.SHORT, tiff_writer.LONG
    tags = {256: (long, [WIDTH]), 257: (long, [HEIGHT]), 258: (short, [8, 8, 8]), 259: (short, [7]),
            262: (short, [tiff_writer.YCBCR]), 277: (short, [3]), 284: (short, [1]), 322: (long, [TILE]),
            323: (long, [TILE]), 530: (short, [2, 2]), 347: (tiff_writer.UNDEFINED, tables)}
    page = tiff_writer.Page(tags, [bare[number * 7 % 3] for number in range(count)], True)
    tiff_writer.write(os.path.join(place, "huge.tif"), [page])
    return place


def peak_kb(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


# max goes without decoding; 29,000 is decoded, resampled and encoded.
@pytest.mark.parametrize("size, width", [("max", WIDTH), ("29000,", 29000)])
def test_a_huge_answer_takes_little_memory(folder, start, size, width):
    if sanitized():
        pytest.skip("a sanitizer's memory says nothing about ours")
    server = start(folder, workers=1, settings={"max_width": 40000, "max_height": 40000, "max_area": 10**9,
                                                "derivative_cache": "false"})
    (worker,) = server.worker_pids()
    reply = server.get(f"/iiif/3/huge.tif/full/{size}/0/default.jpg", timeout=patience(60))
    assert reply.status == 200 and reply.body.endswith(b"\xff\xd9")
    at = reply.body.index(b"\xff\xc0")
    assert int.from_bytes(reply.body[at + 7:at + 9], "big") == width
    assert server.worker_pids() == [worker]
    assert peak_kb(worker) < 100 << 10, f"{peak_kb(worker)} KB"
