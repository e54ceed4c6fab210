"""Sources in an S3 bucket: what comes, what it costs in requests, and what happens when the store misbehaves."""
import glob
import os
import re
import subprocess
import threading
import time

import pytest

from server import ROOT, free_port, soon, until
from storage.ceph import ACCESS, BUCKET, SECRET

TILE = "/iiif/3/{}/0,0,256,256/256,/0/default.jpg"
THUMBNAIL = "/iiif/3/{}/full/128,/0/default.jpg"
KINDS = ["pyramid-jpeg-420.tif", "pyramid-jpeg-subifds.tif", "pyramid-vips.tif", "joined-420.tif", "jpeg-420-striped.tif",
         "none-striped.tif", "lzw-striped.tif", "planar-lzw-striped.tif", "zstd-tiled.tif", "webp-lossy-tiled.tif",
         "bigtiff-tiled.tif", "pages.tif", "orientation-5-pyramid.tif", "baseline-420.jpg", "progressive.jpg", "meta.tif",
         "rgb.png", "interlaced.png", "lossy.webp"]


def read(images, name):
    with open(os.path.join(images, name), "rb") as file:
        return file.read()


def picture(images, number=0):
    return read(images, KINDS[number])


def test_answers_are_those_of_a_folder(s3, ceph, served, images):
    for name in KINDS:
        ceph.put(f"all/{name}", read(images, name))
    server = s3("all")
    for name in KINDS:
        for path in ("/iiif/3/{}/full/100,/0/default.jpg", "/iiif/3/{}/0,0,60,50/60,50/90/gray.png", THUMBNAIL):
            ours, theirs = server.get(path.format(name)), served.get(path.format(name))
            assert ours.status == theirs.status, (name, path, ours)
            assert ours.status != 200 or ours.body == theirs.body, (name, path)


def test_names_are_encoded(s3, ceph, images):
    data = picture(images)
    ceph.put("odd/sub folder/ü+%&=.tif", data)
    server = s3("odd")
    assert server.get("/iiif/3/sub%20folder%2F%C3%BC+%25&=.tif/info.json").status == 200
    for bad in ("..%2Fx", "sub%20folder%2F..%2F..%2Fx", "%2Fx", "a%2F%2Fb"):
        assert server.get(f"/iiif/3/{bad}/info.json").status == 404


def test_missing_is_404(s3, between):
    reply = s3("nowhere").get(TILE.format("none.tif"))
    assert reply.status == 404 and b"there is no image" in reply.body
    assert len(between.take()) == 1


def test_a_missing_bucket_is_named(start, between):
    server = start("s3://no-such-bucket", workers=1, settings={
        "s3_endpoint": f"http://127.0.0.1:{between.port}", "s3_path_style": "true", "s3_access_key": ACCESS,
        "s3_secret_key": SECRET})
    reply = server.get(TILE.format("a.tif"))
    assert reply.status == 502 and b"no such bucket" in reply.body


def test_wrong_secret(s3, between):
    reply = s3("x", s3_secret_key="wrong").get(TILE.format("a.tif"))
    assert reply.status == 502 and b"credentials" in reply.body and b"SignatureDoesNotMatch" in reply.body
    assert len(between.take()) == 1, "a wrong secret is not tried again"


def test_unknown_key(s3):
    reply = s3("x", s3_access_key="NOBODYATALL").get(TILE.format("a.tif"))
    assert reply.status == 502 and b"credentials" in reply.body


def test_a_private_bucket_without_credentials(s3):
    reply = s3("x", s3_access_key="", s3_secret_key="", s3_credentials="none").get(TILE.format("a.tif"))
    assert reply.status == 403 and b"credentials" in reply.body


def test_expired_clock(s3, monkeypatch):
    monkeypatch.setenv("LD_PRELOAD", glob.glob("/usr/lib/*/faketime/libfaketime.so.1")[0])
    monkeypatch.setenv("FAKETIME", "-1h")
    monkeypatch.setenv("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0")
    reply = s3("x").get(TILE.format("a.tif"))
    assert reply.status == 502 and b"clock" in reply.body and b"RequestTimeTooSkewed" in reply.body


def test_credentials_from_the_environment(start, ceph, between, images, monkeypatch):
    ceph.put("env/a.tif", read(images, "pyramid-jpeg-420.tif"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{between.port}")
    server = start(f"s3://{BUCKET}/env", workers=1, settings={"s3_path_style": "true"})
    assert server.get("/iiif/3/a.tif/info.json").status == 200


def test_credentials_from_a_shared_file(start, ceph, between, images, monkeypatch, tmp_path):
    ceph.put("env/a.tif", read(images, "pyramid-jpeg-420.tif"))
    shared = tmp_path / "credentials"
    shared.write_text(f"[other]\naws_access_key_id=X\naws_secret_access_key=Y\n\n[pictures]\n"
                      f"aws_access_key_id = {ACCESS}\naws_secret_access_key = {SECRET}\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(shared))
    monkeypatch.setenv("AWS_PROFILE", "pictures")
    server = start(f"s3://{BUCKET}/env", workers=1, settings={
        "s3_path_style": "true", "s3_endpoint": f"http://127.0.0.1:{between.port}"})
    assert server.get("/iiif/3/a.tif/info.json").status == 200


@pytest.mark.parametrize("fault", [("status", 500, "InternalError"), ("status", 503, "SlowDown"), ("refuse",), ("cut", 1000)])
def test_what_may_pass_is_tried_again(s3, ceph, between, images, fault):
    ceph.put("faults/a.tif", read(images, "pyramid-jpeg-420.tif"))
    server, left = s3("faults"), [1]

    def once(_seen):
        left[0] -= 1
        return fault if left[0] >= 0 else None
    between.fault = once
    good = server.get(THUMBNAIL.format("a.tif"))
    assert good.status == 200 and good.image().width == 128
    assert len(between.take()) >= 2


@pytest.mark.parametrize("fault, status", [(("status", 500, "InternalError"), 502), (("status", 503, "SlowDown"), 503),
                                           (("refuse",), 502), (("cut", 1000), 502)])
def test_what_does_not_pass_is_given_up(s3, ceph, between, images, fault, status):
    ceph.put("faults/a.tif", read(images, "pyramid-jpeg-420.tif"))
    server = s3("faults")
    between.fault = lambda seen: fault
    assert server.get(THUMBNAIL.format("a.tif")).status == status
    assert len(between.take()) == 3, "fetch_tries"
    said = [line for line in server.log().splitlines() if " warning: " in line]
    assert len(said) == 1 and f"s3://{BUCKET}/faults" in said[0], said
    assert status == 503 or re.search(r"warning: \[[0-9a-f]{16}\] /iiif/3/a.tif/", said[0]), "the request is named"
    between.fault = None
    assert server.get(THUMBNAIL.format("a.tif")).status == 200


@pytest.mark.parametrize("fault", [("status", 301, "PermanentRedirect"), ("status", 400, "AuthorizationHeaderMalformed")])
def test_a_bucket_of_another_region_is_named(s3, between, fault):
    server = s3("region")
    between.fault = lambda seen: (*fault, "x-amz-bucket-region: eu-central-1")
    reply = server.get(THUMBNAIL.format("a.tif"))
    assert reply.status == 502 and b"in region eu-central-1" in reply.body and b"s3_region" in reply.body, reply.body
    between.fault = lambda seen: fault
    reply = server.get(THUMBNAIL.format("b.tif"))
    assert reply.status == 502 and b"s3_region (us-east-1) or s3_endpoint is wrong" in reply.body, reply.body


def test_a_name_that_no_object_can_have(s3, between):
    reply = s3("odd").get("/iiif/3/%FF%FE.tif/info.json")
    assert (reply.status, [seen.status for seen in between.take()]) == (404, [400])


def test_slow_down_by_the_store_itself(s3, ceph, between, images):
    """With one place for requests the store answers some of many at once with 503 itself."""
    for number in range(24):
        ceph.put(f"busy/{number}.tif", picture(images))
    server, replies = s3("busy", fetch_tries=1), []
    ceph.most_requests(1)
    try:
        threads = [threading.Thread(target=lambda n=n: replies.append(server.get(THUMBNAIL.format(f"{n}.tif"))))
                   for n in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        ceph.most_requests(1024)
    refused = [reply for reply in replies if reply.status != 200]
    assert refused and all(reply.status == 503 and b"overloaded" in reply.body for reply in refused), refused
    assert all(server.get(THUMBNAIL.format(f"{n}.tif")).status == 200 for n in range(24))


def test_a_stalled_store_holds_nobody_else(s3, ceph, between, images):
    """Five seconds of silence for one image; meanwhile what is cached, and what is not, is answered."""
    ceph.put("stall/a.tif", read(images, "pyramid-jpeg-420.tif"))
    ceph.put("stall/b.tif", read(images, "pyramid-jpeg-420.tif"))
    ceph.put("stall/c.tif", read(images, "pyramid-jpeg-420.tif"))
    server = s3("stall", fetch_timeout=3, fetch_tries=1, render_threads=1)
    assert server.get(THUMBNAIL.format("b.tif")).status == 200
    between.fault = lambda seen: ("stall", 5) if "/a.tif" in seen.line else None
    replies = []
    threads = [threading.Thread(target=lambda: replies.append(server.get(THUMBNAIL.format("a.tif")))) for _ in range(8)]
    for thread in threads:
        thread.start()
    until(lambda: any("/a.tif" in seen.line for seen in between.seen), 5, "the stalled request has begun")
    for name in ("b.tif", "c.tif"):
        assert server.get(THUMBNAIL.format(name)).status == 200
    assert not replies, "the others were answered while the store was still silent"
    for thread in threads:
        thread.join()
    assert [reply.status for reply in replies] == [504] * 8


def test_an_object_replaced_in_the_middle_of_a_read(s3, ceph, between, served, images):
    """Another picture takes the place of the first between two ranges: the answer is all of the new one."""
    old, new, statuses = read(images, "pyramid-jpeg-420.tif"), read(images, "jpeg-444-tiled.tif"), []
    paths = [THUMBNAIL, TILE, "/iiif/3/{}/full/max/0/default.png"]
    for path in paths:
        right = served.get(path.format("jpeg-444-tiled.tif"))
        ceph.put("replace/a.tif", old + b"\0" * 300000)
        server, first = s3("replace"), []

        def replace(seen):
            first.append(seen)
            if len(first) == 2:
                ceph.put("replace/a.tif", new)
            return None
        between.fault = replace
        reply = server.get(path.format("a.tif"))
        between.fault = None
        statuses += [(seen.status, "if-match" in seen.headers) for seen in first]
        whole = len(first) < 2
        expected = served.get(path.format("pyramid-jpeg-420.tif")) if whole else right
        assert reply.status == 200 and reply.body == expected.body, (path, first)
    assert (412, True) in statuses, "the store itself has refused to go on with another object"


def test_a_replaced_object_is_noticed(s3, ceph, between, served, images):
    ceph.put("again/a.tif", read(images, "pyramid-jpeg-420.tif"))
    server = s3("again", revalidate=1)
    assert server.get(THUMBNAIL.format("a.tif")).body == served.get(THUMBNAIL.format("pyramid-jpeg-420.tif")).body
    ceph.put("again/a.tif", read(images, "jpeg-444-tiled.tif"))
    right = served.get(THUMBNAIL.format("jpeg-444-tiled.tif")).body
    soon(lambda: server.get(THUMBNAIL.format("a.tif")).body == right, 4, "the new picture is served")
    ceph.delete("again/a.tif")
    soon(lambda: server.get(THUMBNAIL.format("a.tif")).status == 404, 4, "the deleted picture is gone")


def test_the_same_object_put_there_again(s3, ceph, between, served, images):
    """The same bytes with another date: what is known of them holds, and the rest is fetched."""
    ceph.put("twice/a.tif", read(images, "photo.tif"))
    server = s3("twice", admin_token="t", derivative_cache="true")
    assert server.get("/iiif/3/a.tif/info.json").status == 200
    second = int(time.time())
    until(lambda: int(time.time()) > second, 2, "S3's dates, of whole seconds, differ")
    ceph.put("twice/a.tif", read(images, "photo.tif"))
    assert server.admin().ask("POST", "/purge?all", {"Authorization": "Bearer t"}).status == 200
    reply, right = (one.get(THUMBNAIL.format(name)) for one, name in ((server, "a.tif"), (served, "photo.tif")))
    assert reply.status == 200 and reply.body == right.body
    assert 304 in [seen.status for seen in between.take()], "it was asked whether it still is the same"


@pytest.mark.parametrize("how", ["identifier=a.tif", "prefix=a", "all"])
def test_a_purge_asks_the_store_again(s3, ceph, served, images, how):
    """At once, by every worker, and long before `revalidate`."""
    ceph.put("purged/a.tif", picture(images))
    server = s3("purged", workers=2, admin_token="t", derivative_cache="true")
    assert {server.get(THUMBNAIL.format("a.tif")).status for _ in range(6)} == {200}
    ceph.put("purged/a.tif", read(images, "jpeg-444-tiled.tif"))
    assert server.admin().ask("POST", f"/purge?{how}", {"Authorization": "Bearer t"}).status == 200
    right = served.get(THUMBNAIL.format("jpeg-444-tiled.tif")).body
    assert [server.get(THUMBNAIL.format("a.tif")).body == right for _ in range(6)] == [True] * 6


def test_asking_does_not_put_the_next_look_off(s3, ceph, between, images):
    """What the store has said a moment ago is good for the rest of `revalidate`, not for another whole one."""
    ceph.put("off/a.tif", read(images, "pyramid-jpeg-420.tif"))
    server = s3("off", revalidate=1)

    def asked_in_between():
        """False: the second request came so late that it was a look of its own."""
        assert server.get(THUMBNAIL.format("a.tif")).status == 200
        looked_s = time.monotonic()
        time.sleep(0.7)
        between.take()
        assert server.get(THUMBNAIL.format("a.tif")).status == 200
        came_in_time = not between.take()
        time.sleep(max(0, looked_s + 1.1 - time.monotonic()))
        return came_in_time
    until(asked_in_between, 5, "it was asked again within the second")
    assert server.get(THUMBNAIL.format("a.tif")).status == 200
    assert between.seen, "more than a second after its last look it is due again"


def test_what_is_kept_is_served_while_the_store_is_away(s3, ceph, between, images):
    ceph.put("away/a.tif", read(images, "pyramid-jpeg-420.tif"))
    server = s3("away", revalidate=1, fetch_tries=1)
    good = server.get(THUMBNAIL.format("a.tif"))
    assert good.status == 200
    between.fault = lambda seen: ("refuse",)
    time.sleep(1.2)
    stale = server.get(THUMBNAIL.format("a.tif"))
    assert stale.status == 200 and stale.body == good.body
    assert server.get(THUMBNAIL.format("other.tif")).status == 502


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_kept_is_served_while_the_store_is_silent(s3, ceph, between, served, images, workers):
    """Nobody waits for the end of a look that hangs: the answers come while the store has not said a word."""
    old, new = read(images, "pyramid-jpeg-420.tif"), read(images, "jpeg-444-tiled.tif")
    names = [f"{number}.tif" for number in range(6)]
    for name in names:
        ceph.put(f"silent/{name}", old)
    server = s3("silent", revalidate=1, fetch_timeout=60, workers=workers)
    good = {name: server.get(THUMBNAIL.format(name)).body for name in names}
    speaks = threading.Event()
    between.fault = lambda seen: ("hold", speaks)
    between.take()
    time.sleep(1.2)
    for _ in range(3):
        for name in names:
            reply = server.get(THUMBNAIL.format(name))
            assert reply.status == 200 and reply.body == good[name]
    assert between.seen and not any(seen.status for seen in between.seen), "the store was asked and has not said a word"
    assert "has not answered for a second; what is kept is served on" in server.log()
    ceph.put("silent/0.tif", new)
    between.fault = None
    speaks.set()
    right = served.get(THUMBNAIL.format("jpeg-444-tiled.tif")).body
    until(lambda: server.get(THUMBNAIL.format("0.tif")).body == right, 5, "the new picture is served once the store speaks")
    assert server.get(THUMBNAIL.format("1.tif")).body == good["1.tif"]


def test_what_lies_in_folders_is_known_while_the_store_is_silent(s3, ceph, between, images):
    """Manifests, collections and the gallery ask for lists, and for files that are not there."""
    for name in ("a.tif", "b.tif", "deeper/c.tif"):
        ceph.put(f"quiet/{name}", read(images, "pyramid-jpeg-420.tif"))
    server = s3("quiet", revalidate=1, fetch_timeout=60)
    paths = ["/presentation/3/a.tif/manifest", "/presentation/3/collection", "/presentation/3/deeper/manifest", "/gallery.json",
             "/iiif/3/none.tif/info.json"]
    good = [server.get(path) for path in paths]
    assert [reply.status for reply in good] == [200, 200, 200, 200, 404]
    speaks = threading.Event()
    between.fault = lambda seen: ("hold", speaks)
    between.take()
    time.sleep(1.2)
    for _ in range(2):
        for path, before in zip(paths, good):
            reply = server.get(path)
            assert (reply.status, reply.body) == (before.status, before.body), path
    assert between.seen and not any(seen.status for seen in between.seen), "the store was asked and has not said a word"
    ceph.put("quiet/d.tif", read(images, "pyramid-jpeg-420.tif"))
    between.fault = None
    speaks.set()
    until(lambda: b"d.tif" in server.get("/presentation/3/collection").body, 5, "the new picture is listed once the store speaks")


def test_what_is_kept_is_not_served_for_ever(s3, ceph, between, images):
    ceph.put("away/b.tif", read(images, "pyramid-jpeg-420.tif"))
    server = s3("away", revalidate=1, stale_if_error=3, fetch_tries=1)
    assert server.get(THUMBNAIL.format("b.tif")).status == 200
    between.fault = lambda seen: ("status", 500, "InternalError")
    time.sleep(1.2)
    assert server.get(THUMBNAIL.format("b.tif")).status == 200
    until(lambda: server.get(THUMBNAIL.format("b.tif")).status == 502, 10, "after three seconds it is not")
    between.fault = None
    until(lambda: server.get(THUMBNAIL.format("b.tif")).status == 200, 40, "and again when the store is back")


def test_tries_come_later_and_later_at_random(s3, between):
    """Half to one and a half of 100 ms, then of 200, of 400; no two servers in step."""
    between.fault = lambda seen: ("status", 500, "InternalError")
    server = s3("tries", fetch_tries=4)
    pauses = []
    for number in range(2):
        assert server.get(THUMBNAIL.format(f"{number}.tif")).status == 502
        seen = [request.when_s for request in between.take()]
        assert len(seen) == 4
        pauses.append([b - a for a, b in zip(seen, seen[1:])])
    for pause in pauses:
        assert all(took >= least for took, least in zip(pause, (0.05, 0.1, 0.2))), pauses
    assert any(abs(a - b) > 0.002 for a, b in zip(*pauses)), pauses


def test_retry_after_is_heeded(s3, ceph, between, images):
    ceph.put("later/a.tif", read(images, "pyramid-jpeg-420.tif"))
    left = [1]

    def once(_seen):
        left[0] -= 1
        return ("status", 503, "SlowDown", "Retry-After: 1") if left[0] >= 0 else None
    between.fault = once
    assert s3("later").get("/iiif/3/a.tif/info.json").status == 200
    first, second, *_ = between.take()
    assert second.when_s - first.when_s >= 1


def test_the_circuit_breaks_and_closes(s3, ceph, between, images):
    ceph.put("breaker/a.tif", read(images, "pyramid-jpeg-420.tif"))
    server = s3("breaker", fetch_tries=1)
    between.fault = lambda seen: ("refuse",)
    replies = [server.get(THUMBNAIL.format(f"{n}.tif")) for n in range(14)]
    assert len(between.take()) == 10, "after ten failures nothing is asked"
    assert replies[-1].status == 503 and b"in a row" in replies[-1].body
    between.fault = None
    until(lambda: server.get(THUMBNAIL.format("a.tif")).status == 200, 10, "the store is asked again")


def test_blocks_survive_a_restart(s3, ceph, between, images, tmp_path):
    ceph.put("keep/a.tif", read(images, "pyramid-jpeg-420.tif"))
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o777)
    cache.chmod(0o777)
    os.chmod(tmp_path, 0o755)
    first = s3("keep", cache=cache)
    good = first.get(THUMBNAIL.format("a.tif"))
    first.stop()
    first.stop = lambda: None
    between.take()
    second = s3("keep", cache=cache)
    again = second.get(THUMBNAIL.format("a.tif"))
    assert again.status == 200 and again.body == good.body
    assert not between.take(), "confirmed within revalidate, and all blocks are here"


def test_a_store_needs_a_cache_directory():
    done = subprocess.run([os.environ.get("VITRINE", os.path.join(ROOT, "vitrine")), "serve", "--images", "s3://bucket",
                           "--listen", f"127.0.0.1:{free_port()}", "--admin", ""], capture_output=True, text=True, timeout=60,
                          check=False, env={name: value for name, value in os.environ.items() if name != "CACHE_DIRECTORY"})
    assert done.returncode == 1 and "needs a cache directory" in done.stderr
