"""What was made once is not made again, and nobody can tell the difference."""
import os
import threading

import pytest

from server import Vitrine
from cached import counters, entries, renders, stored, target

MEMORY_ONLY = {"cache_size": 0}
FILES_ONLY = {"memory_cache": 0}


def same(one, other):
    drop = ("date", "connection")
    return (one.status == other.status and one.body == other.body and
            [(k, v) for k, v in one.headers if k not in drop] == [(k, v) for k, v in other.headers if k not in drop])


@pytest.mark.parametrize("settings", [{}, MEMORY_ONLY, FILES_ONLY], ids=["both", "memory", "files"])
@pytest.mark.parametrize("what", [target(), target(size="200,", rest="90/gray.png"), target(rest="0/default.webp"),
                                  target("noise.tif", size="700,", rest="0/default.tif")],
                         ids=["jpg", "png", "webp", "more than a megabyte"])
def test_a_hit_is_what_a_render_is(start, folder, settings, what):
    place = {"base_url": "http://images.example.org"}
    served = start(folder, settings={**settings, **place})
    plain = start(folder, settings={"derivative_cache": "false", **place})
    fresh, first = plain.get(what), served.get(what)
    assert same(fresh, first)
    if settings is not MEMORY_ONLY:
        stored(served, 1)
    if settings is MEMORY_ONLY and len(first.body) > 400_000:
        return  # too large for the memory that there is
    before = renders(served)
    for _ in range(3):
        assert same(served.get(what), fresh)
        part = served.get(what, {"Range": "bytes=100-299"})
        assert part.status == 206 and part.body == fresh.body[100:300]
        head, tag = served.client().head(what), fresh.all("etag")[0]
        assert head.status == 200 and head.all("etag") == [tag]
        assert served.get(what, {"If-None-Match": tag}).status == 304
    assert renders(served) == before
    assert renders(plain) >= 1 and not entries(plain)


def test_switched_off_nothing_is_kept(start, folder):
    served = start(folder, settings={"derivative_cache": "false"})
    for _ in range(3):
        served.get(target())
    assert renders(served) == 3 and not entries(served)


def test_what_is_the_same_picture_is_one_entry(start, folder):
    served = start(folder)
    one = served.get(target(size="300,"))
    height = 700 * 300 // 900
    for same_picture in (target(size="300,", version=2), target(size=f"300,{height}"),
                         target(region="0,0,900,700", size="!300,300"), target(region="pct:0,0,100,100")):
        assert served.get(same_picture).body == one.body, same_picture
    assert renders(served) == 1


def test_what_differs_in_anything_is_another(start, folder):
    served = start(folder)
    asked = [target(), target("b.jpg"), target(size="301,"), target(region="0,0,450,350"), target(rest="0/gray.jpg"),
             target(rest="90/default.jpg"), target(rest="!0/default.jpg"), target(rest="0/default.png")]
    bodies = [served.get(what).body for what in asked]
    assert len(set(bodies)) == len(asked)
    assert [served.get(what).body for what in asked] == bodies
    assert renders(served) == len(asked)


@pytest.mark.parametrize("settings", [{}, MEMORY_ONLY, FILES_ONLY], ids=["both", "memory", "files"])
def test_five_hundred_ask_at_once_and_one_renders(start, folder, settings):
    served = start(folder, workers=4, settings={"connections_per_address": 1000, **settings})
    what = target("noise.tif", size="400,", rest="33/default.png" if settings is not MEMORY_ONLY else "33/gray.jpg")
    bodies, gate = [], threading.Barrier(500)

    def ask():
        client = served.client(timeout=60)
        client.get("/iiif/3/noise.tif/info.json")
        gate.wait()
        answer = client.get(what)
        bodies.append((answer.status, answer.body))

    threads = [threading.Thread(target=ask) for _ in range(500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 500 and len(set(bodies)) == 1 and bodies[0][0] == 200, {status for status, _ in bodies}
    assert renders(served) == 1
    with_others = counters(served)
    assert with_others["vitrine_derivatives_shared_total"] > 0


def test_it_outlives_the_server(start, folder, tmp_path):
    cache = tmp_path / "cache"
    asked = [target(name, size=f"{size},") for name in ("a.jpg", "b.jpg", "sub/c.jpg") for size in (100, 200, 300)]
    asked.append(target("noise.tif", size="700,", rest="0/default.tif"))
    with Vitrine(folder, cache=cache) as served:
        bodies = [served.get(what).body for what in asked]
        stored(served, len(asked))
    served = start(folder, cache=cache)
    assert [served.get(what).body for what in asked] == bodies
    assert renders(served) == 0


def test_other_settings_make_other_entries(start, folder, tmp_path):
    cache = tmp_path / "cache"
    with Vitrine(folder, cache=cache) as served:
        one = served.get(target()).body
        stored(served, 1)
    served = start(folder, cache=cache, settings={"jpeg_quality": 50})
    assert len(served.get(target()).body) < len(one)
    assert renders(served) == 1


def test_a_replaced_source_is_noticed(start, folder, tmp_path):
    place = tmp_path / "images"
    os.makedirs(place)
    data = (folder / "a.jpg").read_bytes()
    (place / "a.jpg").write_bytes(data)
    served = start(place, settings={"revalidate": 0})
    old = served.get(target()).body
    assert served.get(target()).body == old
    (place / "new").write_bytes((folder / "b.jpg").read_bytes())
    os.replace(place / "new", place / "a.jpg")
    assert served.get(target()).body == served.get(target()).body != old
    os.unlink(place / "a.jpg")
    assert served.get(target()).status == 404
