"""Manifests and collections of both versions open in Mirador 4 and Universal Viewer 4: pictures are seen."""
import functools
import http.server
import json
import os
import shutil
import subprocess
import threading

import pytest
from PIL import Image

import node_packages
from server import ROOT, Vitrine, patience

HERE = os.path.dirname(os.path.abspath(__file__))
SHOTS = os.path.join(ROOT, "build", "screenshots")


class Site(http.server.SimpleHTTPRequestHandler):
    """This folder, with the viewers in viewers/."""

    def translate_path(self, path):
        plain = path.partition("?")[0]
        if plain.startswith("/viewers/"):
            return os.path.join(node_packages.VIEWERS, os.path.normpath(plain[len("/viewers/"):]))
        return super().translate_path(path)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site():
    node_packages.fetch()
    node_packages.fetch_viewers()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Site, directory=HERE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def library(images, tmp_path_factory):
    """The demo's shape: pictures, a book of pages, and a shelf with a book."""
    root = tmp_path_factory.mktemp("library")
    for name, source in {"single.tif": "photo.tif", "book/1.tif": "photo.tif", "book/2.jpg": "baseline-420.jpg",
                         "shelf/inner/1.tif": "photo.tif"}.items():
        os.makedirs(os.path.dirname(root / name), exist_ok=True)
        shutil.copy(os.path.join(images, source), root / name)
    (root / "book.json").write_text('{"label": "The book", "metadata": {"Date": "1420"}, "behavior": ["paged"]}')
    for folder, _, names in os.walk(root):
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o644)
    with Vitrine(root) as server:
        yield server


def look(page, name, library, pick=""):
    os.makedirs(SHOTS, exist_ok=True)
    shot = os.path.join(SHOTS, f"{name}.png")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is not installed"
    told = subprocess.run(["node", os.path.join(HERE, "viewers.mjs"), chromium, page, shot, pick], capture_output=True,
                          text=True, timeout=patience(120))
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert not report["errors"], report["errors"]
    ours = [one for one in report["responses"] if f":{library.port}/" in one["url"]]
    assert [one for one in ours if one["status"] not in (200, 302, 303, 304)] == []
    assert any("/default." in one["url"] for one in ours)
    # A photograph in the middle of the picture has many colours, an empty viewer has few.
    with Image.open(shot) as picture:
        middle = picture.convert("RGB").crop((500, 250, 800, 550))
        assert len(middle.getcolors(300 * 300)) > 2000, f"nothing is to be seen in {shot}"


def test_documents_are_understood(site, library):
    """By what many viewers read them with; the older version, made into the newer by it, says the same."""
    paths = ["collection", "shelf/collection", "book/manifest", "single.tif/manifest", "shelf%2Finner/manifest"]
    sent = [{"version": version, "document": library.get(f"/presentation/{version}/{path}").json()}
            for version in (3, 2) for path in paths]
    told = subprocess.run(["node", os.path.join(HERE, "documents.mjs")], input=json.dumps(sent), capture_output=True,
                          text=True, timeout=patience(60))
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert [one["warnings"] for one in report] == [[]] * len(sent)
    assert [(one["type"], one["items"]) for one in report[:5]] == [
        ("Collection", 3), ("Collection", 1), ("Manifest", 2), ("Manifest", 1), ("Manifest", 1)]
    assert [one["services"] for one in report[:5]] == [0, 0, 4, 2, 2]
    for newer, older in zip(report, report[5:]):
        assert (newer["type"], newer["items"], newer["label"]) == (older["type"], older["items"], older["label"])
        assert newer["id"] == older["id"].replace("/presentation/2/", "/presentation/3/")


@pytest.mark.parametrize("version, document, pick", [
    (3, "book/manifest", ""), (2, "single.tif/manifest", ""), (3, "collection", "Show collection|2 manifests|The book"),
    (2, "shelf/collection", "Show collection|inner")])
def test_mirador(site, library, version, document, pick):
    url = f"http://127.0.0.1:{library.port}/presentation/{version}/{document}"
    look(f"{site}/mirador.html?manifest={url}", f"mirador-v{version}-{document.replace('/', '-')}", library, pick)


@pytest.mark.parametrize("version, document", [
    (2, "book/manifest"), (3, "single.tif/manifest"), (3, "collection"), (2, "shelf/collection")])
def test_universal_viewer(site, library, version, document):
    url = f"http://127.0.0.1:{library.port}/presentation/{version}/{document}"
    look(f"{site}/viewers/universalviewer/dist/uv.html#?manifest={url}", f"uv-v{version}-{document.replace('/', '-')}",
         library)
