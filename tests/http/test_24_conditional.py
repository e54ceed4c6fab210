"""ETag, Last-Modified and 304; a replaced source must show."""
import email.utils
import os
import shutil
import time

import pytest

import server

TARGETS = ["/iiif/3/small.tif/info.json", "/iiif/2/small.tif/info.json",
           "/iiif/3/small.tif/full/max/0/default.jpg",
           "/iiif/3/small.tif/square/100,/90/gray.png", "/iiif/2/small.tif/full/150,/0/default.webp"]


def at(seconds):
    return email.utils.formatdate(seconds, usegmt=True)


def modified(reply):
    return email.utils.parsedate_to_datetime(reply["last-modified"]).timestamp()


@pytest.mark.parametrize("target", TARGETS)
def test_validators_are_strong_and_steady(client, target):
    first, second = client.get(target), client.get(target)
    assert first["etag"].startswith('"') and first["etag"].endswith('"') and len(first["etag"]) > 8
    assert first["etag"] == second["etag"] and first.body == second.body
    assert first["last-modified"] == second["last-modified"]


def test_last_modified_is_the_source_files(client, images):
    reply = client.get(TARGETS[2])
    assert modified(reply) == int(os.stat(os.path.join(images, "small.tif")).st_mtime)


def test_tags_differ_where_bytes_differ(client):
    paths = ["info.json", "full/max/0/default.jpg", "full/max/0/default.png", "full/max/0/gray.jpg",
             "full/max/90/default.jpg", "full/max/!0/default.jpg", "full/299,200/0/default.jpg",
             "full/300,199/0/default.jpg", "0,0,299,200/max/0/default.jpg", "1,0,299,200/max/0/default.jpg"]
    tags = [client.get(f"/iiif/3/small.tif/{path}")["etag"] for path in paths]
    tags += [client.get("/iiif/2/small.tif/info.json")["etag"],
             client.get("/iiif/3/box%2Fpage.tif/info.json")["etag"]]
    assert len(set(tags)) == len(tags)


def test_the_two_media_types_have_tags_of_their_own(client):
    plain = client.get(TARGETS[0], {"Accept": "application/json"})
    linked = client.get(TARGETS[0], {"Accept": "application/ld+json"})
    assert plain["etag"] != linked["etag"] or plain.body == linked.body


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("condition, right", [
    ("{etag}", 304), ("W/{etag}", 304), ("*", 304), ('"other", {etag}', 304), ('{etag}, "other"', 304),
    ('"a,b" , W/"c",{etag}', 304), ('"other"', 200), ('W/"other"', 200), ('"{bare}x"', 200), ("{bare}", 200),
    ('"', 200),
    ("", 200), (",,,", 200),
])
def test_if_none_match(client, target, condition, right):
    full = client.get(target)
    value = condition.format(etag=full["etag"], bare=full["etag"].strip('"'))
    for method in ("GET", "HEAD"):
        reply = client.ask(method, target, {"If-None-Match": value})
        assert reply.status == right, (method, value, reply)
        if right == 304:
            assert_not_modified(reply, full)


def assert_not_modified(reply, full):
    assert reply.body == b""
    for name in ("etag", "cache-control", "vary", "last-modified", "access-control-allow-origin"):
        assert reply[name] == full[name], name


def test_several_if_none_match_lines(client):
    tag = client.get(TARGETS[2])["etag"]
    assert client.get(TARGETS[2], [("If-None-Match", '"other"'), ("If-None-Match", tag)]).status == 304


@pytest.mark.parametrize("target", TARGETS)
def test_if_modified_since(client, target):
    full = client.get(target)
    changed = modified(full)
    for when, right in ((changed, 304), (changed + 100, 304), (changed - 1, 200), (0, 200)):
        reply = client.get(target, {"If-Modified-Since": at(when)})
        assert reply.status == right, (when - changed, reply)
        if right == 304:
            assert_not_modified(reply, full)


@pytest.mark.parametrize("value", ["yesterday", "", "0", "Mon, 99 Foo 2020 99:99:99 GMT",
                                   "2030-01-01T00:00:00Z"])
def test_if_modified_since_that_is_no_date_does_not_matter(client, value):
    assert client.get(TARGETS[2], {"If-Modified-Since": value}).status == 200


def test_the_tag_wins_over_the_date(client):
    full = client.get(TARGETS[2])
    late = at(modified(full) + 1000)
    assert client.get(TARGETS[2], {"If-None-Match": '"other"', "If-Modified-Since": late}).status == 200
    assert client.get(TARGETS[2], {"If-None-Match": full["etag"], "If-Modified-Since": at(0)}).status == 304


def test_condition_on_an_error_does_not_matter(client):
    assert client.get("/iiif/3/nothing.tif/info.json", {"If-None-Match": "*"}).status == 404
    assert client.get("/iiif/3/small.tif/frob/max/0/default.jpg", {"If-None-Match": "*"}).status == 400


def test_same_tag_from_every_worker_and_after_a_restart(images, start):
    tags = set()
    for _ in range(2):
        served = start(workers=3)
        tags |= {served.get(TARGETS[2])["etag"] for _ in range(8)}
    assert len(tags) == 1


@pytest.mark.parametrize("value", ["public, max-age=60", "no-store"])
def test_cache_control_is_configured(start, value):
    served = start(settings={"cache_control": value})
    for target in TARGETS[:3]:
        reply = served.get(target)
        assert reply["cache-control"] == value
        assert served.get(target, {"If-None-Match": reply["etag"]})["cache-control"] == value


def test_cache_control_has_a_default(client):
    assert "max-age" in client.get(TARGETS[0])["cache-control"]


def test_a_replaced_source_shows(tmp_path, images, start):
    path = tmp_path / "one.tif"
    shutil.copy(os.path.join(images, "small.tif"), path)
    served = start(tmp_path, settings={"revalidate": 1})
    info, image = "/iiif/3/one.tif/info.json", "/iiif/3/one.tif/full/max/0/default.jpg"
    old_info, old_image = served.get(info), served.get(image)
    assert old_info.json()["width"] == 300
    shutil.copy(os.path.join(images, "squares.tif"), tmp_path / "next")
    os.rename(tmp_path / "next", path)
    server.until(lambda: served.get(info).json()["width"] == 1000, 4, "info.json shows the new picture")
    reply = server.until(lambda: (found := served.get(image)).image().size == (1000, 1000) and found, 4,
                         "the new picture is served")
    assert reply["etag"] != old_image["etag"] and served.get(info)["etag"] != old_info["etag"]
    assert served.get(image, {"If-None-Match": old_image["etag"]}).status == 200
    os.unlink(path)
    server.until(lambda: served.get(info).status == 404 and served.get(image).status == 404, 4,
                 "the deleted picture is gone")


def test_a_new_source_is_found(tmp_path, images, start):
    served = start(tmp_path, settings={"revalidate": 1})
    assert served.get("/iiif/3/late.tif/info.json").status == 404
    shutil.copy(os.path.join(images, "small.tif"), tmp_path / "late.tif")
    server.until(lambda: served.get("/iiif/3/late.tif/info.json").status == 200, 4,
                 "the new picture is found")


def test_a_source_touched_without_change_keeps_serving(tmp_path, images, start):
    shutil.copy(os.path.join(images, "small.tif"), tmp_path / "one.tif")
    served = start(tmp_path, settings={"revalidate": 1})
    target = "/iiif/3/one.tif/full/max/0/default.png"
    before = served.get(target)
    os.utime(tmp_path / "one.tif", (time.time() - 5000, time.time() - 5000))
    assert served.get(target).image().tobytes() == before.image().tobytes()
