"""Manifests and collections: of pictures, of folders, of what is said about them; in both versions."""
import gzip
import json
import os
import shutil
import subprocess

import pytest
from PIL import Image

from server import Vitrine, sanitized, until

SIDECAR = {
    "label": {"en": ["The book"], "de": ["Das Buch"]}, "summary": "All of it",
    "metadata": {"Date": "1420"}, "rights": "https://creativecommons.org/publicdomain/mark/1.0/",
    "requiredStatement": "The library", "viewingDirection": "right-to-left", "behavior": ["paged", "sequence"],
    "pages": ["1r", {"la": "verso"}],
}


def save(path, size=(300, 200), **options):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.new("RGB", size, (120, 30, 60)).save(path, **options)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    root = str(tmp_path_factory.mktemp("shelf"))
    for name in "10.png", "9.png", "1.png":
        save(f"{root}/book/{name}")
    save(f"{root}/book/broken.tif")
    os.truncate(f"{root}/book/broken.tif", 20)
    save(f"{root}/more/in/a b.jpg", (1500, 1300), comment="x")
    save(f"{root}/said.jpg")
    save(f"{root}/wrong.png")
    pages = [Image.new("L", (60 + 10 * i, 50)) for i in range(3)]
    pages[0].save(f"{root}/pages.tif", save_all=True, append_images=pages[1:])
    subprocess.run(["exiftool", "-q", "-overwrite_original", "-XMP-dc:Title=An excellent dog", "-XMP-dc:Creator=Ann",
                    "-XMP-dc:Creator=Bob", "-IPTC:CopyrightNotice=The museum", "-EXIF:DateTimeOriginal=2026:02:03 10:11:12",
                    f"{root}/said.jpg"], check=True)
    os.makedirs(f"{root}/empty")
    os.makedirs(f"{root}/.hidden")
    with open(f"{root}/book.json", "w") as file:
        json.dump(SIDECAR, file)
    with open(f"{root}/wrong.json", "w") as file:
        file.write('{"label": "ignored",\n "lable": "misspelt"}')
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    if not sanitized():  # then workers stay root
        save(f"{root}/book/locked.tif")  # as the broken one: it takes nothing away from the others
        os.chmod(f"{root}/book/locked.tif", 0)
    return root


@pytest.fixture(scope="module")
def library(shelf):
    with Vitrine(shelf, settings={"revalidate": 1}) as server:
        yield server


def document(library, path, version=3, headers=None):
    reply = library.get(f"/presentation/{version}/{path}", headers)
    assert reply.status == 200, reply
    return reply.json()


def of(library, path):
    return f"http://127.0.0.1:{library.port}/{path}"


def test_the_root_is_a_collection(library):
    root = document(library, "collection")
    assert list(root)[0] == "@context" and root["@context"] == "http://iiif.io/api/presentation/3/context.json"
    assert root["id"] == of(library, "presentation/3/collection") and root["type"] == "Collection"
    assert [(item["type"], item["id"]) for item in root["items"]] == [
        ("Manifest", of(library, "presentation/3/book/manifest")),
        ("Collection", of(library, "presentation/3/more/collection")),
        ("Manifest", of(library, "presentation/3/pages.tif/manifest")),
        ("Manifest", of(library, "presentation/3/said.jpg/manifest")),
        ("Manifest", of(library, "presentation/3/wrong.png/manifest")),
    ]
    assert root["items"][0]["label"] == {"en": ["The book"], "de": ["Das Buch"]}


def test_a_folder_is_a_manifest_of_its_pages(library):
    book = document(library, "book/manifest")
    assert [canvas["items"][0]["items"][0]["body"]["service"][0]["id"].rpartition("%2F")[2]
            for canvas in book["items"]] == ["1.png", "9.png", "10.png"]
    assert [canvas["label"] for canvas in book["items"]] == [{"none": ["1r"]}, {"la": ["verso"]}, {"none": ["10"]}]
    assert book["label"] == SIDECAR["label"] and book["summary"] == {"none": ["All of it"]}
    assert book["metadata"] == [{"label": {"none": ["Date"]}, "value": {"none": ["1420"]}}]
    assert book["rights"] == "http://creativecommons.org/publicdomain/mark/1.0/"
    assert book["requiredStatement"] == {"label": {"none": ["Attribution"]}, "value": {"none": ["The library"]}}
    assert book["viewingDirection"] == "right-to-left" and book["behavior"] == ["paged", "sequence"]


def test_every_id_is_there_and_unique(library):
    seen = []

    def walk(node):
        if isinstance(node, dict):
            if node.get("type") in {"Manifest", "Canvas", "AnnotationPage", "Annotation"}:
                seen.append(node["id"])
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)
    book = document(library, "book/manifest")
    walk(book)
    assert len(seen) == len(set(seen)) == 1 + 3 * 3
    for canvas in book["items"]:
        painting = canvas["items"][0]["items"][0]
        assert painting["target"] == canvas["id"] and painting["motivation"] == "painting"
        assert (canvas["width"], canvas["height"]) == (300, 200)


def test_pictures_and_thumbnails_are_there(library):
    for path in "book/manifest", "more%2Fin/manifest", "pages.tif/manifest":
        for canvas in document(library, path)["items"]:
            body = canvas["items"][0]["items"][0]["body"]
            for picture in [body] + canvas["thumbnail"]:
                reply = library.get(picture["id"].partition(str(library.port))[2])
                assert reply.status == 200 and reply.media_type() == picture["format"]
                assert reply.image().size == (picture["width"], picture["height"])
                info = library.get(picture["service"][0]["id"].partition(str(library.port))[2] + "/info.json").json()
                assert picture["width"] == info["width"] or \
                    {"width": picture["width"], "height": picture["height"]} in info["sizes"]


def test_pages_of_a_file(library):
    pages = document(library, "pages.tif/manifest")["items"]
    assert [page["width"] for page in pages] == [60, 70, 80]
    assert [page["label"]["none"] for page in pages] == [["1"], ["2"], ["3"]]
    assert library.get("/presentation/3/pages.tif;2/manifest").status == 404


def test_what_pictures_say_themselves(library):
    said = document(library, "said.jpg/manifest")
    assert said["label"] == {"none": ["An excellent dog"]}
    assert {tuple(one["label"]["none"] + one["value"]["none"]) for one in said["metadata"]} == {
        ("Creator", "Ann; Bob"), ("Date", "2026-02-03T10:11:12")}
    assert said["requiredStatement"]["value"] == {"none": ["The museum"]}
    assert document(library, "more%2Fin/manifest")["items"][0]["label"] == {"none": ["a b"]}


def test_a_wrong_sidecar_is_told_and_left_out(library):
    assert document(library, "wrong.png/manifest")["label"] == {"none": ["wrong"]}
    assert 'wrong.json: there is no property "lable"' in library.log()


def test_version_2(library):
    book = document(library, "book/manifest", 2)
    assert book["@context"] == "http://iiif.io/api/presentation/2/context.json" and book["@type"] == "sc:Manifest"
    assert {"@value": "Das Buch", "@language": "de"} in book["label"]
    assert book["license"].startswith("http://creativecommons.org") and book["attribution"] == "The library"
    assert book["viewingHint"] == "paged" and book["metadata"] == [{"label": "Date", "value": "1420"}]
    canvases = book["sequences"][0]["canvases"]
    assert len(canvases) == 3 and (canvases[0]["width"], canvases[0]["height"]) == (600, 400)
    resource = canvases[0]["images"][0]["resource"]
    assert resource["service"]["@context"] == "http://iiif.io/api/image/2/context.json"
    assert library.get(resource["@id"].partition(str(library.port))[2]).image().size == (300, 200)
    root = document(library, "collection", 2)
    assert [one["@id"] for one in root["collections"]] == [of(library, "presentation/2/more/collection")]
    assert len(root["manifests"]) == 4


@pytest.mark.parametrize("path, location", [
    ("3/book/collection", "3/book/manifest"), ("3/more/manifest", "3/more/collection"),
    ("2/fig/../x/manifest", None), ("3/said.jpg/collection", "3/said.jpg/manifest")])
def test_the_other_kind_is_elsewhere(library, path, location):
    reply = library.get(f"/presentation/{path}")
    assert reply.status == (303 if location else 404)
    assert not location or reply["location"] == of(library, f"presentation/{location}")


def test_without_a_version(library):
    reply = library.get("/presentation/book/manifest")
    assert reply.status == 302 and reply["location"] == of(library, "presentation/3/book/manifest")


@pytest.mark.parametrize("path", ["nothing/manifest", "nothing.tif/manifest", "manifest", "book", "book/sequence",
                                  "..%2F/collection", ".hidden/manifest", "empty/manifest", "book/x/manifest", ""])
def test_what_is_not_there(library, path):
    assert library.get(f"/presentation/3/{path}").status == 404


@pytest.mark.parametrize("version, accept, given", [
    (3, None, 'application/ld+json;profile="http://iiif.io/api/presentation/3/context.json"'),
    (3, "application/json", "application/json"),
    (3, "application/ld+json", 'application/ld+json;profile="http://iiif.io/api/presentation/3/context.json"'),
    (2, None, "application/json"), (2, "application/ld+json", "application/ld+json")])
def test_media_types(library, version, accept, given):
    reply = library.get(f"/presentation/{version}/book/manifest", {"Accept": accept} if accept else {})
    assert reply["content-type"] == given and "accept" in reply.tokens("vary")
    assert reply["access-control-allow-origin"] == "*"


def test_compressed_and_conditional(library):
    plain = library.get("/presentation/3/book/manifest")
    packed = library.get("/presentation/3/book/manifest", {"Accept-Encoding": "gzip"})
    assert packed["content-encoding"] == "gzip" and gzip.decompress(packed.body) == plain.body
    assert "accept-encoding" in packed.tokens("vary") and packed["etag"] != plain["etag"]
    zstd = library.get("/presentation/3/book/manifest", {"Accept-Encoding": "br, zstd, gzip"})
    assert zstd["content-encoding"] == "zstd"
    unpacked = subprocess.run(["zstd", "-dc"], input=zstd.body, capture_output=True, check=True).stdout
    assert unpacked == plain.body
    for reply, coding in (plain, {}), (packed, {"Accept-Encoding": "gzip"}):
        again = library.get("/presentation/3/book/manifest", {"If-None-Match": reply["etag"], **coding})
        assert again.status == 304 and not again.body


def test_changes_are_seen(shelf, library):
    """Folder, sidecar, picture: each within `revalidate`, by every worker; and nothing changes without them."""
    def pages():
        return [(canvas["width"], canvas["label"]) for canvas in document(library, "book/manifest")["items"]]

    def labels():
        return [item["label"] for item in document(library, "collection")["items"]]
    before, etag = pages(), library.get("/presentation/3/book/manifest")["etag"]
    with open(f"{shelf}/book.json") as file:
        sidecar = file.read()
    try:
        shutil.copy(f"{shelf}/book/1.png", f"{shelf}/book/11.png")
        until(lambda: len(pages()) == len(before) + 1, 10, "the new page is there")
        save(f"{shelf}/book/11.png", (70, 30))
        until(lambda: pages()[-1][0] == 70, 10, "the page has its new width")
        with open(f"{shelf}/book.json", "w") as file:
            file.write('{"label": "Another", "pages": ["i"]}')
        until(lambda: pages()[0][1] == {"none": ["i"]}, 10, "the page has its new label")
        until(lambda: {"none": ["Another"]} in labels(), 10, "the collection has the new label, too")
    finally:
        os.unlink(f"{shelf}/book/11.png")
        with open(f"{shelf}/book.json", "w") as file:
            file.write(sidecar)
    until(lambda: pages() == before, 10, "all is as it was")
    until(lambda: library.get("/presentation/3/book/manifest")["etag"] == etag, 10, "and so is the ETag")


def bytes_read(server):
    total = 0
    for pid in server.worker_pids():
        with open(f"/proc/{pid}/io") as file:
            total += int(file.readline().split()[1])
    return total


def test_a_large_folder_is_opened_once(tmp_path):
    """Also without an index, and with more pages than pictures are kept open."""
    count = 1100
    save(f"{tmp_path}/large/0000.png", (64, 64))
    with open(f"{tmp_path}/large/0000.png", "ab") as file:
        file.write(bytes(2000))
    for number in range(1, count):
        shutil.copy(f"{tmp_path}/large/0000.png", f"{tmp_path}/large/{number:04}.png")
    old = os.stat(tmp_path).st_mtime - 100
    for parent, _, names in os.walk(tmp_path):
        os.chmod(parent, 0o755)
        for name in names:
            os.utime(os.path.join(parent, name), (old, old))
    with Vitrine(tmp_path, "--set", "cache=", workers=1, settings={"revalidate": 0}) as server:
        first = server.get("/presentation/3/large/manifest")
        assert first.status == 200 and len(first.json()["items"]) == count
        read = bytes_read(server)
        assert read > count * 100
        for _ in range(3):
            again = server.get("/presentation/3/large/manifest")
            assert again.body == first.body and again["etag"] == first["etag"]
        assert bytes_read(server) - read < 200 * 1000
        os.unlink(f"{tmp_path}/large/0500.png")
        assert len(server.get("/presentation/3/large/manifest").json()["items"]) == count - 1
