"""Change Discovery: what came, changed and went, in order, told once, also over restarts."""
import gzip
import os
import shutil
import signal
import subprocess
import time

import pytest
from PIL import Image

from server import Vitrine, binary, sanitized, until

SETTINGS = {"activity_scan": 1, "revalidate": 1}


def save(path, colour=1, age=100):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.new("RGB", (30, 20), (colour, 90, 60)).save(path)
    os.utime(path, (time.time() - age,) * 2)
    os.chmod(path, 0o644)
    os.chmod(os.path.dirname(path), 0o755)


def collection(server):
    reply = server.get("/activity")
    assert reply.status == 200, reply
    assert reply["content-type"] == 'application/ld+json;profile="http://iiif.io/api/discovery/1/context.json"'
    return reply.json()


def local(server, url):
    base = f"http://127.0.0.1:{server.port}"
    assert url.startswith(base)
    return url[len(base):]


def walk(server, top):
    """All of them, as a harvester goes: from the last page back to the first. None: a page has come or gone meanwhile."""
    items, next_page, link = [], None, top.get("last")
    while link:
        reply = server.get(local(server, link["id"]))
        if reply.status == 404:
            return None
        page = reply.json()
        assert page["type"] == "OrderedCollectionPage" and page["id"] == link["id"]
        assert page["partOf"]["id"] == top["id"] and page["orderedItems"]
        if page.get("next", {}).get("id") != next_page:
            return None
        items = page["orderedItems"] + items
        next_page, link = page["id"], page.get("prev")
    return None if items and next_page != top["first"]["id"] else items


def activities(server):
    """What a harvester gets that came between two changes of the list."""
    def between_changes():
        top = collection(server)
        items = walk(server, top)
        return (top, items) if collection(server) == top else None
    top, items = until(between_changes, 20, "the list stays as it is while it is walked")
    assert items is not None, top
    assert len(items) >= top["totalItems"]
    times = [item["endTime"] for item in items]
    assert times == sorted(times)
    return items


def changes(server, since=0):
    """What happened to which document of version 3; those of version 2 are beside them."""
    items = activities(server)
    told = [(item["type"], item["object"]["type"], local(server, item["object"]["id"])) for item in items]
    assert [(kind, of, path.replace("/3/", "/2/", 1)) for kind, of, path in told[::2]] == told[1::2]
    return [(kind, of, path.removeprefix("/presentation/3/")) for kind, of, path in told[::2]][since:]


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "images"
    save(f"{root}/old.png", age=5000)
    save(f"{root}/book/1.png", age=3000)
    save(f"{root}/book/2.png", age=2000)
    save(f"{root}/shelf/in side/a.png", age=4000)
    return root


def test_the_whole_story(images, tmp_path):
    cache = tmp_path / "cache"
    with Vitrine(images, cache=cache, settings=SETTINGS) as server:
        until(lambda: collection(server)["totalItems"] > 0, 20, "the first look")
        first = changes(server)
        assert {one for one in first} == {
            ("Create", "Manifest", "old.png/manifest"), ("Create", "Manifest", "shelf%2Fin%20side%2Fa.png/manifest"),
            ("Create", "Manifest", "shelf%2Fin%20side/manifest"), ("Create", "Collection", "shelf/collection"),
            ("Create", "Manifest", "book%2F1.png/manifest"), ("Create", "Manifest", "book%2F2.png/manifest"),
            ("Create", "Manifest", "book/manifest"), ("Create", "Collection", "collection")}
        assert first[0][2] == "old.png/manifest"  # by the dates of the files
        for _, _, path in first:
            assert server.get(f"/presentation/3/{path}").status == 200
        save(f"{images}/old.png", 2)
        until(lambda: len(changes(server)) > len(first), 20, "the picture was changed")
        assert sorted(changes(server, len(first))) == [
            ("Update", "Collection", "collection"), ("Update", "Manifest", "old.png/manifest")]
        told = len(changes(server))
        with open(f"{images}/book.json", "w") as file:
            file.write('{"label": "A book"}')
        os.utime(f"{images}/book.json", (time.time() - 50,) * 2)
        until(lambda: len(changes(server)) > told, 20, "the sidecar is there")
        assert sorted(changes(server, told)) == [
            ("Update", "Collection", "collection"), ("Update", "Manifest", "book/manifest")]
        etag = server.get("/activity/page/0")["etag"]
    # Nothing changes while nobody looks: nothing is told again. Then something does.
    with Vitrine(images, cache=cache, settings=SETTINGS) as server:
        told = len(changes(server))
        assert told == len(first) + 4
        os.rename(f"{images}/book/2.png", f"{images}/book/3.png")
        until(lambda: len(changes(server)) > told, 20, "a page was renamed")
        assert sorted(changes(server, told)) == [
            ("Create", "Manifest", "book%2F3.png/manifest"), ("Delete", "Manifest", "book%2F2.png/manifest"),
            ("Update", "Manifest", "book/manifest")]
        told += 3
        os.rename(f"{images}/shelf", tmp_path / "shelf")  # at once: a look may come between any two steps
        until(lambda: len(changes(server)) > told, 20, "a shelf was removed")
        assert sorted(changes(server, told)) == [
            ("Delete", "Collection", "shelf/collection"), ("Delete", "Manifest", "shelf%2Fin%20side%2Fa.png/manifest"),
            ("Delete", "Manifest", "shelf%2Fin%20side/manifest"), ("Update", "Collection", "collection")]
        page = server.get("/activity/page/0")
        assert page["etag"] != etag
        assert server.get("/activity/page/0", {"If-None-Match": page["etag"]}).status == 304
        packed = server.get("/activity/page/0", {"Accept-Encoding": "gzip"})
        assert gzip.decompress(packed.body) == page.body
        assert server.get("/activity/page/1").status == server.get("/activity/page/00").status == 404


def test_what_ingest_makes_shows_up_and_kills_lose_nothing(images, tmp_path):
    with Vitrine(images, settings=SETTINGS) as server:
        until(lambda: collection(server)["totalItems"] > 0, 20, "the first look")
        told = len(changes(server))
        save(f"{tmp_path}/masters/new.png")
        subprocess.run([binary(), "ingest", f"{tmp_path}/masters", "--into", images], check=True, capture_output=True)
        made, = [name for name in os.listdir(images) if name.startswith("new")]
        os.chmod(f"{images}/{made}", 0o644)
        for _ in range(3):
            for pid in server.worker_pids():
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.3)
        until(lambda: len(changes(server)) > told, 30, "the pyramid is noticed")
        assert sorted(changes(server, told)) == [
            ("Create", "Manifest", f"{made}/manifest"), ("Update", "Collection", "collection")]


def test_an_empty_root_is_not_mounted(images, tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    os.rename(images, root / "all")  # so that all of it can go at once
    with Vitrine(root, settings=SETTINGS) as server:
        until(lambda: collection(server)["totalItems"] > 0, 20, "the first look")
        told = changes(server)
        os.rename(root / "all", tmp_path / "all")
        save(f"{tmp_path}/later.png")
        time.sleep(2.5)
        assert changes(server) == told
        os.rename(tmp_path / "later.png", root / "later.png")
        until(lambda: len(changes(server)) > len(told), 20, "it is mounted again, with something else in it")
        assert ("Delete", "Manifest", "all%2Fold.png/manifest") in changes(server, len(told))


def test_the_log_is_bounded(tmp_path):
    """Pages go from the beginning; what they said about things that are there is said again."""
    root = tmp_path / "images"
    save(f"{root}/kept.png")
    save(f"{root}/many/0.png")
    for number in range(1, 400):
        shutil.copy2(f"{root}/many/0.png", f"{root}/many/{number}.png")
    with Vitrine(root, settings={**SETTINGS, "activity_records": 1000}) as server:
        until(lambda: collection(server)["totalItems"] > 0, 20, "the first look")
        full = None
        for turn in range(4):
            told = len(changes(server)) if turn == 0 else None
            before = server.get(local(server, collection(server)["last"]["id"])).body
            for number in range(400):
                os.utime(f"{root}/many/{number}.png", (time.time() - 1000 + turn * 10,) * 2)
            until(lambda: server.get(local(server, collection(server)["last"]["id"])).body != before, 20, "another turn")
            if turn == 1:
                full = server.get("/activity/page/0").body
            assert told is None or told == 403
        assert full and server.get("/activity/page/0").status == 404
        assert collection(server)["totalItems"] <= 2 * (1000 + 500 + 400)
        seen = {path for kind, _, path in changes(server) if kind != "Delete"}
        assert {"kept.png/manifest", "many/manifest", "collection"} < seen
        assert len(seen) == 403


def test_without_a_cache_it_says_so(images):
    with Vitrine(images, "--set", "cache=") as server:
        reply = server.get("/activity")
        assert reply.status == 404 and b"needs a cache directory" in reply.body


def test_only_what_is_to_be_had(images, tmp_path):
    """Rules and retired identifiers may close paths that are there."""
    (tmp_path / "rules").write_text("regex ^old\\.png$ book/1.png\n")
    (tmp_path / "retired").write_text("book/2.png -\n")
    with Vitrine(images, settings={**SETTINGS, "identifier_rules": tmp_path / "rules",
                                   "retired": tmp_path / "retired"}) as server:
        until(lambda: "lines of retired identifiers are loaded" in server.log(), 20, "the list is loaded")
        until(lambda: collection(server)["totalItems"] > 0, 20, "the first look")
        def there():
            gone = {path for kind, _, path in changes(server) if kind == "Delete"}
            return {path for _, _, path in changes(server)} - gone
        until(lambda: "book%2F1.png/manifest" in there() and
              not there() & {"old.png/manifest", "book%2F2.png/manifest"}, 20, "these two are closed")


@pytest.mark.skipif(sanitized() or not shutil.which("strace"), reason="needs strace and no sanitizer")
def test_a_look_that_had_to_wait_is_followed_by_the_next_all_the_same(images, tmp_path):
    """As on a busy machine: seconds in which it neither worked nor read. Fifty times as long as it took nothing would be noticed."""
    calls = tmp_path / "calls"
    with Vitrine(images, workers=1, settings=SETTINGS) as server:
        until(lambda: collection(server)["totalItems"] > 0, 20, "the first look")
        told = len(changes(server))
        strace = subprocess.Popen(["strace", "-f", "-o", calls, "-e", "inject=getdents64:delay_enter=2s:when=1", "-p",
                                   str(server.worker_pids()[0])], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: calls.exists() and "DELAYED" in calls.read_text(), 20, "a look had to wait")
        strace.terminate()
        strace.wait()
        save(f"{images}/new.png")
        until(lambda: len(changes(server)) > told, 20, "the new picture is noticed")


def test_a_damaged_log_is_begun_anew(images, tmp_path):
    cache = tmp_path / "cache"
    with Vitrine(images, cache=cache, settings=SETTINGS) as server:
        until(lambda: collection(server)["totalItems"] > 0, 20, "the first look")
        told = changes(server)
    log, = [name for name in os.listdir(cache / "manifest") if name.endswith(".mdb") and name.startswith("activity")]
    with open(cache / "manifest" / log, "r+b") as file:
        file.write(b"x" * 8192)
    with Vitrine(images, cache=cache, settings=SETTINGS) as server:
        until(lambda: collection(server)["totalItems"] > 0, 20, "it was looked through again")
        assert changes(server) == told
        assert "is begun anew" in server.log()
