"""OpenSeadragon in Chromium shows another origin's image: every request 200, every colour in its place."""
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
from data.pictures import square_colour, squares
from server import ROOT, binary, patience

HERE = os.path.dirname(os.path.abspath(__file__))
SHOTS = os.path.join(ROOT, "build", "screenshots")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def page():
    """The viewer's page on a port of its own, so that the images come from another origin."""
    node_packages.fetch()
    site = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=HERE))
    threading.Thread(target=site.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{site.server_port}/viewer.html"
    site.shutdown()
    site.server_close()


def show(page, served, version, name, points):
    os.makedirs(SHOTS, exist_ok=True)
    shot = os.path.join(SHOTS, f"{name.rpartition('.')[0]}-v{version}.png")
    info = f"http://127.0.0.1:{served.port}/iiif/{version}/{name}/info.json"
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is not installed"
    command = ["node", os.path.join(HERE, "viewer.mjs"), chromium, page, info, shot, json.dumps(points)]
    told = subprocess.run(command, capture_output=True, text=True, timeout=patience(90))
    assert told.returncode == 0, told.stderr
    report = json.loads(told.stdout)
    assert not report["errors"] and not report["failed"], report["errors"] + report["failed"]
    images = [one for one in report["responses"] if f":{served.port}/" in one["url"]]
    assert [one for one in images if one["status"] != 200] == []
    assert len(report["steps"]) == 4
    for zoom in (1, 2, 4, 8):
        assert os.path.getsize(shot.replace(".png", f"-{zoom}x.png")) > 5000
    return report, images


@pytest.mark.parametrize("version, name", [(2, "squares.tif"), (3, "squares.tif"), (2, "squares-joined.tif"),
                                           (3, "squares-joined.tif")])
def test_every_colour_is_in_its_place(page, served, version, name):
    points = [(x, y) for y in range(50, 1000, 100) for x in range(50, 1000, 100)]
    points.insert(0, points.pop(44))  # the first is where the zoom goes
    report, images = show(page, served, version, name, points)
    assert len(report["steps"][0]["seen"]) == 100
    for step in report["steps"]:
        assert step["seen"]
        for one in step["seen"]:
            right = square_colour(one["x"] // 100, one["y"] // 100)
            assert all(abs(a - b) <= 8 for a, b in zip(one["colour"], right)), (step["zoom"], one, right)
    assert sum("/default." in one["url"] for one in images) >= (4 if "joined" in name else 10)
    if "joined" in name:  # of the sizes that info.json offers, the viewer takes this one
        assert any("/0,0,512,512/512,512/" in one["url"] for one in images)


def test_what_ingest_made_is_shown(page, start, tmp_path):
    """From a master by `vitrine ingest` to the screen: tiles of 512 px joined of the stored ones, every colour in its place."""
    Image.fromarray(squares()).save(tmp_path / "master.png")
    subprocess.run([binary(), "ingest", str(tmp_path / "master.png"), "--into", str(tmp_path / "pyramids"), "--quality", "95"],
                   check=True, capture_output=True, timeout=patience(60))
    os.chmod(tmp_path, 0o755)
    points = [(x, y) for y in range(50, 1000, 100) for x in range(50, 1000, 100)]
    points.insert(0, points.pop(44))
    report, images = show(page, start(tmp_path / "pyramids"), 3, "master.tif", points)
    assert len(report["steps"][0]["seen"]) == 100
    for step in report["steps"]:
        for one in step["seen"]:
            right = square_colour(one["x"] // 100, one["y"] // 100)
            assert all(abs(a - b) <= 8 for a, b in zip(one["colour"], right)), (step["zoom"], one, right)
    assert any("/default." in one["url"] for one in images)


@pytest.mark.parametrize("version, name", [(2, "big.tif"), (3, "big.tif"), (3, "baseline-420.jpg")])
def test_a_photograph_is_shown(page, served, version, name):
    report, images = show(page, served, version, name, [(200, 150)])
    for step in report["steps"]:
        assert step["colours"] > 500, f"{step['colours']} colours on the canvas at zoom {step['zoom']}"
    assert any("/default." in one["url"] for one in images)
