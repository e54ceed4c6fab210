"""vitrine manifest: the documents of the server as files, byte for byte."""
import os
import subprocess
import urllib.parse

import pytest
from PIL import Image

from server import Vitrine, binary, until

BASE = "https://images.example.org/here"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    root = tmp_path_factory.mktemp("images")
    for number, name in enumerate(["book/1.png", "book/2.png", "a b.png", "more/in side/\u00e4.jpg", "more/empty/.keep"]):
        os.makedirs(os.path.dirname(root / name), exist_ok=True)
        if name.endswith(".keep"):
            continue
        Image.new("RGB", (1500 + number, 1200), (90, 20, 60)).save(root / name)
        os.chmod(root / name, 0o644)
    pages = [Image.new("L", (60 + 10 * i, 50)) for i in range(3)]
    pages[0].save(root / "pages.tif", save_all=True, append_images=pages[1:])
    (root / "book.json").write_text('{"label": "A book"}')
    (root / "rows.csv").write_text("identifier,label\nbook/2.png,second\n")
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    return root


def write(images, into, *words):
    told = subprocess.run([binary(), "manifest", *words, "--images", images, "--into", into, "--base-url", BASE,
                           "--set", f"catalogue={images}/rows.csv"], capture_output=True, text=True)
    return told


def files(into):
    return sorted(os.path.relpath(os.path.join(folder, name), into)
                  for folder, _, names in os.walk(into) for name in names)


def test_everything_as_the_server_says_it(images, tmp_path):
    told = write(images, tmp_path / "www", "--recursive")
    assert told.returncode == 0 and told.stdout == "18 documents, 18 of them new or changed\n", told
    settings = {"base_url": BASE, "catalogue": images / "rows.csv", "revalidate": 0}
    with Vitrine(images, workers=1, settings=settings) as server:
        until(lambda: b"second" in server.get("/presentation/3/book/manifest").body, 20, "the catalogue is loaded")
        listed = files(tmp_path / "www")
        assert len(listed) == 18 and "presentation/3/collection" in listed
        for name in listed:
            _, version, *path, kind = name.split("/")
            target = "/".join(filter(None, [urllib.parse.quote("/".join(path), safe=""), kind]))
            answer = server.get(f"/presentation/{version}/{target}")
            assert answer.status == 200 and answer.body == (tmp_path / "www" / name).read_bytes(), name
    assert b"second" in (tmp_path / "www/presentation/3/book/manifest").read_bytes()


def test_what_is_right_is_left_alone(images, tmp_path):
    assert write(images, tmp_path, "book", "--version", "3").stdout == "1 document, 1 of them new or changed\n"
    assert files(tmp_path) == ["presentation/3/book/manifest"]

    def version():
        status = os.stat(tmp_path / "presentation/3/book/manifest")
        return status.st_ino, status.st_mtime_ns, status.st_ctime_ns  # not when it was read
    before = version()
    assert write(images, tmp_path, "book/", "--version=3").stdout == "1 document, 0 of them new or changed\n"
    assert version() == before


@pytest.mark.parametrize("words, status, sentence", [
    (["nothing.png"], 1, "nothing.png: there is no "), (["../x"], 1, "../x: it has to be a path below"),
    (["--version", "4"], 2, "there are 2 and 3"), (["--nonsense"], 2, "there is no option --nonsense"),
    (["more/empty"], 1, "there is no picture in the folder")])
def test_what_is_wrong(images, tmp_path, words, status, sentence):
    told = write(images, tmp_path, *words)
    assert told.returncode == status and sentence in told.stderr, told


def test_an_address_is_needed(images, tmp_path):
    told = subprocess.run([binary(), "manifest", "--images", images, "--into", tmp_path], capture_output=True, text=True)
    assert told.returncode == 2 and "--base-url" in told.stderr
    assert files(tmp_path) == []
