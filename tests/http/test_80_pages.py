"""The pages that people see, as HTTP: headers, escaping, assets, listings, the search, problems."""
import gzip
import json
import os
import re
import subprocess

import pytest
from PIL import Image

from data.kinds import make_pyramid
from data.pictures import ramp
from server import Vitrine, soon, until

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
HOSTILE = b'a"b\'&amp;<script>alert(1)</script>\xfc.png'.replace(b"/", b"")


def small(path, size=(60, 40)):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.new("RGB", size, (120, 30, 60)).save(path, "PNG")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    root = os.fsencode(tmp_path_factory.mktemp("gallery"))
    for name in b"10.png", b"9.png", b"maps/old/Bridge 2.png", b"maps/old/bridge 10.png", b"maps/\xc3\x9cber.png", \
            b"<b>/" + HOSTILE, b"maps/new\nline.png", b"maps/.hidden.png", b"maps/page;2.png", b"many/1.png":
        small(os.path.join(root, name))
    for number in range(2, 151):
        os.link(root + b"/many/1.png", root + b"/many/%d.png" % number)
    os.makedirs(root + b"/empty")
    os.symlink(b"..", root + b"/maps/loop")
    os.symlink(b"/etc", root + b"/maps/out")
    with open(root + b"/broken.tif", "wb") as file:
        file.write(b"II*\0nothing")
    with open(root + b"/notes.txt", "wb") as file:
        file.write(b"no picture")
    make_pyramid(os.fsdecode(root) + "/pyramid.tif", ramp(3000, 1000), tile=256)
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    return os.fsdecode(root)


@pytest.fixture(scope="module", params=["cache", "no cache"])
def server(shelf, request, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache") if request.param == "cache" else None
    with Vitrine(shelf, cache=cache, settings={"revalidate": 1}) as server:
        yield server


def listing(server, query=""):
    reply = server.get(f"/gallery.json{query}")
    assert reply.status == 200, reply.body
    assert reply["Content-Type"] == "application/json"
    return json.loads(reply.body)


def looked_into(server, query=""):
    """The listing once folders and pictures have been looked into, for which nobody waits longer than a moment."""
    def whole():
        document = listing(server, query)
        return document if all("width" in one or "pictures" in one or "problem" in one for one in document["entries"]) else None
    return until(whole, 10, "all is looked into")


def found(server, words, **more):
    """What a search finds, once the names have been read."""
    query = f"?search={words}" + "".join(f"&{name}={value}" for name, value in more.items())
    return until(lambda: (lambda got: got if got["complete"] else None)(listing(server, query)), 10, "the names are read")


def names(document):
    return [entry["name"] for entry in document["entries"]]


# ---- pages and what they are made of ----


@pytest.mark.parametrize("path", ["/", "/?folder=maps", "/view/9.png"])
def test_a_page_is_html_under_a_strict_policy(server, path):
    reply = server.get(path, BROWSER)
    assert reply.status == 200 and reply["Content-Type"] == "text/html; charset=utf-8"
    policy = dict(part.strip().split(" ", 1) for part in reply["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["script-src"] == "'self'" and policy["style-src"] == "'self'"
    assert policy["base-uri"] == "'none'" and "unsafe" not in reply["Content-Security-Policy"]
    assert reply["X-Content-Type-Options"] == "nosniff" and reply["Cache-Control"] == "no-cache"
    again = server.get(path, {**BROWSER, "If-None-Match": reply["ETag"]})
    assert again.status == 304 and not again.body
    text = reply.body.decode()
    assert "{{" not in text and 'lang="en"' in text and "<title>" in text
    assert not re.search(r"<script(?![^>]* src=)|\son\w+=|\sstyle=|https?://", text), "something inline or from elsewhere"


def assets(server, path="/"):
    return sorted(set(re.findall(r'(?:href|src)="([^"]*/assets/[^"]+)"', server.get(path, BROWSER).body.decode())))


@pytest.mark.parametrize("path", ["/", "/view/9.png"])
def test_assets_may_be_kept_for_ever_and_are_compressed(server, path):
    urls = assets(server, path)
    assert len(urls) >= 4
    for url in urls:
        plain = server.get(url)
        assert plain.status == 200 and plain["Cache-Control"] == "public, max-age=31536000, immutable"
        assert plain["X-Content-Type-Options"] == "nosniff" and plain["Vary"] == "Accept-Encoding"
        packed = server.get(url, {"Accept-Encoding": "gzip"})
        assert packed["Content-Encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
        zstd = server.get(url, {"Accept-Encoding": "gzip, zstd"})
        assert zstd["Content-Encoding"] == "zstd" and len({plain["ETag"], packed["ETag"], zstd["ETag"]}) == 3
        assert subprocess.run(["zstd", "-dcq"], input=zstd.body, stdout=subprocess.PIPE, check=True).stdout == plain.body
        assert server.get(url, {"If-None-Match": plain["ETag"]}).status == 304


def test_modules_find_what_they_import(server):
    for url in [url for url in assets(server, "/view/9.png") if url.endswith(".js")]:
        for name in re.findall(r'from "\./([\w.-]+)"', server.get(url).body.decode()):
            assert server.get(url.rpartition("/")[0] + "/" + name).status == 200


def test_an_asset_of_another_version_is_not_kept(server):
    url = re.sub(r"/assets/\w+/", "/assets/0123456789abcdef/", assets(server)[0])
    reply = server.get(url)
    assert reply.status == 200 and reply["Cache-Control"] == "no-cache"
    assert server.get("/assets/0123456789abcdef/none.js").status == 404
    assert server.get("/assets/0123456789abcdef/view.html").status == 404, "pages are no assets"
    assert server.get("/assets/").status == 404


def test_there_is_a_favicon(server):
    reply = server.get("/favicon.ico")
    assert reply.status == 200 and reply["Content-Type"] == "image/svg+xml" and b"<svg" in reply.body


def test_the_viewer_and_its_licence_are_built_in(server):
    viewer = [url for url in assets(server, "/view/9.png") if url.endswith("openseadragon.min.js")]
    assert b"OpenSeadragon" in server.get(viewer[0]).body, "the build could not fetch OpenSeadragon: see its warning"
    licence = server.get(viewer[0].replace("openseadragon.min.js", "openseadragon-licence.txt"))
    assert b"Redistributions in binary form" in licence.body


# ---- problems ----


def test_browsers_get_problems_as_pages_and_programs_as_lines(server):
    for path, status in ("/nope", 404), ("/view/none.tif", 404), ("/view/broken.tif", 501), ("/view/a/b.tif", 404):
        reply = server.get(path, BROWSER)
        assert reply.status == status and reply["Content-Type"] == "text/html; charset=utf-8"
        assert reply["Content-Security-Policy"] and "Accept" in reply["Vary"] and reply["Cache-Control"] == "no-store"
        assert f">{status}<" in reply.body.decode()
        line = server.get(path, {"Accept": "*/*"})
        assert line.status == status and line["Content-Type"] == "text/plain; charset=utf-8"
    for path in "/iiif/3/none.tif/info.json", "/gallery.json?folder=none":
        assert server.get(path, BROWSER)["Content-Type"] == "text/plain; charset=utf-8"


@pytest.mark.parametrize("path", ["/<script>alert(1)</script>", "/\"onload='x'&amp;", "/view/<img src=x>".replace(" ", "%20"),
                                  "/view/%22%3E%3Cscript%3E", "/view/{{base}}", "/{{sentence}}"])
def test_what_was_asked_for_stays_text(server, path):
    reply = server.get(path, BROWSER)
    assert reply.status == 404
    text = reply.body.decode()
    inside = re.search(r"<main[^>]*>(.*)</main>", text, re.S).group(1)
    assert not re.search(r"<(?!/?(p|h1|a)\b)", inside) and "onload='" not in inside
    assert set(re.findall(r"<(\w+)", inside)) <= {"p", "h1", "a"}


def test_the_prefix_of_a_proxy_is_in_every_address(shelf, start):
    server = start(shelf, settings={"base_url": "https://museum.example/pictures/'&x"})
    for path in "/", "/view/9.png":
        text = server.get(path, BROWSER).body.decode()
        assert 'data-base="/pictures/&#39;&amp;x"' in text
        for address in re.findall(r'(?:href|src|action)="([^"#]+)"', text):
            assert address.startswith("/pictures/&#39;&amp;x/")
    forwarded = start(shelf, settings={"trusted_proxies": "loopback"})
    reply = forwarded.get("/", {**BROWSER, "X-Forwarded-Prefix": "/iiif-pictures"})
    assert 'data-base="/iiif-pictures"' in reply.body.decode() and "X-Forwarded-Prefix" in reply["Vary"]


# ---- listings ----


def test_a_folder_is_listed_in_natural_order_folders_first(server):
    root = looked_into(server)
    assert names(root) == ["<b>", "empty", "many", "maps", "9.png", "10.png", "broken.tif", "pyramid.tif"]
    assert [entry["kind"] for entry in root["entries"]] == ["folder"] * 4 + ["picture"] * 4
    assert root["total"] == 8 and root["folders"] == 4 and root["path"] == []
    assert root["entries"][1]["pictures"] == 0 and "cover" not in root["entries"][1]
    assert root["entries"][2]["pictures"] == 150 and root["entries"][2]["cover"]["id"] == "many%2F1.png"
    maps = listing(server, "?folder=maps")
    assert names(maps) == ["loop", "old", "page;2.png", "Über.png"], "nothing that no identifier can say, and nothing outside"
    assert listing(server, "?folder=maps%2Fold")["path"] == [{"id": "maps", "name": "maps"}, {"id": "maps%2Fold", "name": "old"}]
    assert names(listing(server, "?folder=maps%2Fold")) == ["Bridge 2.png", "bridge 10.png"]
    assert listing(server, "?folder=empty")["entries"] == []


def test_sizes_are_those_that_the_picture_has(server):
    entry = next(entry for entry in looked_into(server)["entries"] if entry["name"] == "pyramid.tif")
    assert (entry["width"], entry["height"], entry["pages"]) == (3000, 1000, 1)
    assert entry["sizes"] == [[375, 125], [750, 250], [1500, 500]]
    for width, height in entry["sizes"]:
        assert server.get(f"/iiif/3/{entry['id']}/full/{width},{height}/0/default.jpg").image().size == (width, height)
    broken = next(entry for entry in looked_into(server)["entries"] if entry["name"] == "broken.tif")
    assert broken["problem"] and "sizes" not in broken


def test_hostile_names_are_text_and_can_be_asked_for(server):
    folder = listing(server, "?folder=%3Cb%3E")
    entry = folder["entries"][0]
    assert entry["name"] == HOSTILE.decode("latin-1")
    assert not re.search(r'[<>"\s]', entry["id"]) and entry["id"].endswith("%FC.png")
    assert server.get(f"/iiif/3/{entry['id']}/info.json").json()["width"] == 60
    assert server.get(f"/view/{entry['id']}", BROWSER).status == 200
    assert listing(server, f"?folder=%3Cb%3E&near={entry['id']}")["entries"][0]["id"] == entry["id"]


def test_stretches_and_their_bounds(server):
    first = listing(server, "?folder=many&count=50")
    assert first["total"] == 150 and names(first) == [f"{number}.png" for number in range(1, 51)]
    assert names(listing(server, "?folder=many&from=140&count=50")) == [f"{number}.png" for number in range(141, 151)]
    assert listing(server, "?folder=many&from=1000")["entries"] == []
    assert len(listing(server, "?folder=many&count=100000")["entries"]) <= 200
    around = listing(server, "?folder=many&near=many%2F75.png&count=10")
    assert names(around) == [f"{number}.png" for number in range(70, 80)] and around["from"] == 69
    assert listing(server, "?folder=many&near=none.png&count=3")["from"] == 0
    for wrong in "from=x", "from=-1", "count=", "folder=%", "folder=%00", "search=" + "x" * 300:
        assert server.get(f"/gallery.json?{wrong}").status == 400
    for missing in "none", "..", "maps%2F..", "%2Fetc", "maps%2Fout", "9.png":
        assert server.get(f"/gallery.json?folder={missing}").status == 404


def test_listings_are_validated_and_follow_the_folder(server, shelf):
    reply = server.get("/gallery.json?folder=maps%2Fold", {"Accept-Encoding": "gzip"})
    assert reply["Content-Encoding"] == "gzip" and "Accept-Encoding" in reply["Vary"]
    assert server.get("/gallery.json?folder=maps%2Fold", {"Accept-Encoding": "gzip", "If-None-Match": reply["ETag"]}).status == 304
    new = f"{shelf}/maps/old/new.png"
    small(new)
    os.chmod(new, 0o644)
    try:
        soon(lambda: "new.png" in names(listing(server, "?folder=maps%2Fold")), 5, "a new picture is seen")
        assert server.get("/gallery.json?folder=maps%2Fold", {"If-None-Match": reply["ETag"]}).status == 200
    finally:
        os.remove(new)
    soon(lambda: "new.png" not in names(listing(server, "?folder=maps%2Fold")), 5, "one less is seen")


def test_a_folder_that_may_hang_is_listed_by_others_threads(shelf, start):
    server = start(shelf, settings={"slow_folder": "always", "revalidate": 1})
    root = listing(server)
    assert names(root) == ["<b>", "empty", "many", "maps", "9.png", "10.png", "broken.tif", "pyramid.tif"]
    assert "width" not in root["entries"][-1], "nobody waits for pictures that are far away"
    assert names(listing(server, "?folder=maps%2Fold")) == ["Bridge 2.png", "bridge 10.png"]
    assert server.get("/gallery.json?folder=none").status == 404
    assert server.get("/iiif/3/pyramid.tif/full/375,/0/default.jpg").status == 200
    assert listing(server)["entries"][-1]["sizes"][0] == [375, 125], "what is known is said"
    assert names(found(server, "bridge")) == ["Bridge 2.png", "bridge 10.png"]
    collection = server.get("/presentation/3/maps%2Fold/manifest").json()
    assert len(collection["items"]) == 2


# ---- the search ----


def test_the_search_finds_names_whatever_their_case(server):
    assert names(found(server, "BRIDGE")) == ["Bridge 2.png", "bridge 10.png"]
    assert [entry["where"] for entry in found(server, "bridge")["entries"]] == ["maps/old", "maps/old"]
    assert names(found(server, "%C3%BCBER")) == ["Über.png"]
    assert names(found(server, "old%20%2010")) == ["bridge 10.png"], "every word, also in the folder's name"
    assert names(found(server, "script")) == [HOSTILE.decode("latin-1")]
    nothing = found(server, "zeppelin")
    assert nothing["entries"] == [] and nothing["total"] == 0 and nothing["known"] == 159
    assert found(server, "%20")["entries"] == []


def test_the_search_has_stretches_and_places(server):
    all_of = found(server, ".png", count=200)
    assert all_of["total"] == 157 and len({entry["id"] for entry in all_of["entries"]}) == 157
    assert found(server, ".png", **{"from": 100, "count": 10})["entries"] == all_of["entries"][100:110]
    below = found(server, ".png", folder="maps")
    assert sorted(names(below)) == ["Bridge 2.png", "bridge 10.png", "page;2.png", "Über.png"]
    assert found(server, "1", folder="map")["total"] == 0, "a folder whose name begins so is another"


def test_workers_share_the_names(shelf, tmp_path):
    file = tmp_path / "gallery" / "names-1"
    with Vitrine(shelf, cache=tmp_path, workers=2) as server:
        found(server, "bridge")
        until(file.exists, 5, "the list of names is written")
        first = file.stat().st_ino
        for _ in range(6):
            assert found(server, "bridge")["total"] == 2
        assert file.stat().st_ino == first, "somebody walked again"
    data = bytearray(file.read_bytes())
    data[100] ^= 0x20
    file.write_bytes(data)
    with Vitrine(shelf, cache=tmp_path) as again:
        assert found(again, "bridge")["total"] == 2
        until(lambda: file.read_bytes() != bytes(data), 5, "a list that is not whole is made anew")


# ---- the admin listener ----


def test_the_status_page_is_on_the_admin_listener_alone(server):
    admin = server.admin()
    page = admin.get("/", BROWSER)
    assert page.status == 200 and page["Content-Type"] == "text/html; charset=utf-8"
    assert "frame-ancestors 'none'" in page["Content-Security-Policy"]
    for url in re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.body.decode()):
        assert admin.get(url).status == 200
    assert server.get("/status").status == 404
    assert admin.get("/view/9.png").status == 404
