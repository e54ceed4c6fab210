"""Vitrine's own pages in Chromium: gallery, picture, status."""
import base64
import json
import os
import re
import shutil
import subprocess
import urllib.parse

import pytest
from PIL import Image

import node_packages
from server import ROOT, Vitrine, patience

HERE = os.path.dirname(os.path.abspath(__file__))
SHOTS = os.path.join(ROOT, "build", "screenshots")
ATTACK = "<b>hostile<img src=x onerror=alerted=true>"


def small(path, size=(160, 100), colour=(120, 30, 60)):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    Image.new("RGB", size, colour).save(path, "PNG")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory, images):
    root = str(tmp_path_factory.mktemp("shelf"))
    for name in "10.png", "9.png", "maps/Bridge nine.png", "maps/bridge TEN.png", f"{ATTACK}/\"'&amp;<script>alerted=true<.png":
        small(f"{root}/{name}")
    small(os.fsdecode(os.fsencode(f"{root}/{ATTACK}/") + b"latin \xfc.png"))
    for number in range(1, 131):
        small(f"{root}/many/{number}.png", (20 + number % 7 * 10, 30))
    shutil.copy(f"{images}/big.tif", f"{root}/maps/big.tif")
    pages = [Image.new("RGB", (500 + 100 * at, 400), (40 * at, 90, 120)) for at in range(3)]
    pages[0].save(f"{root}/pages.tif", save_all=True, append_images=pages[1:])
    with open(f"{root}/broken.tif", "wb") as file:
        file.write(b"II*\0nothing")
    with open(f"{root}/maps/big.json", "w", encoding="utf-8") as file:
        json.dump({"label": {"en": ["The <i>great</i> map"]}, "summary": "What <script>alerted=true</script> it shows",
                   "metadata": {"Maker": "Ann & Bob", "Link": "<a href='javascript:alerted=true'>no</a>"}}, file)
    for folder, _, files in os.walk(root):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    return root


@pytest.fixture(scope="module")
def server(shelf):
    with Vitrine(shelf, settings={"revalidate": 1}) as server:
        yield server


@pytest.fixture(scope="module")
def driven(server):
    """What happened in each scenario of pages.mjs."""
    node_packages.fetch()
    os.makedirs(SHOTS, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "Chromium is not installed"
    server.get("/iiif/3/broken.tif/info.json")  # something for the status page to tell
    site, admin = f"http://127.0.0.1:{server.port}", f"http://127.0.0.1:{server.admin_port}"
    command = ["node", os.path.join(HERE, "pages.mjs"), chromium, site, admin, SHOTS]
    told = subprocess.run(command, capture_output=True, text=True, timeout=patience(200))
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def clean(report, missing=()):
    """Nothing was said on the console, nothing failed, nothing came from elsewhere; `missing` may be answered by errors."""
    assert report["seen"] is not None, "\n".join(report["errors"])
    wrong = [one for one in report["responses"] if one["status"] >= 400 and not any(part in one["url"] for part in missing)]
    # The viewer's library says by a warning that a tile came when its page had been turned already.
    errors = [one for one in report["errors"] if not (missing and "Failed to load resource" in one) and "loaded before reset" not in one]
    assert not wrong and not report["failed"] and not errors, (wrong, report["failed"], errors)
    assert all(urllib.parse.urlsplit(one["url"]).hostname == "127.0.0.1" for one in report["responses"]
               if one["url"].startswith("http"))
    return report["seen"]


def test_the_gallery(driven):
    seen = clean(driven["gallery"], missing=["folder=none"])
    assert seen["folders"] == [ATTACK, "many", "maps"]
    assert seen["pictures"] == ["9", "10", "broken", "pages"] and seen["count"] == "3 folders, 4 pictures"
    assert seen["landmarks"] == 6 and seen["nameless"] == []
    assert seen["tabs"][0]["name"] == "Skip to the pictures" and all(one["seen"] for one in seen["tabs"])
    assert [one["tag"] for one in seen["tabs"]] == ["A", "A", "INPUT", "A", "A"]
    assert seen["found"] == ["bridge TEN.png"] and seen["address"].endswith("?search=BRIDGE%20ten") and seen["value"] == "BRIDGE ten"
    assert "Nothing has that name" in seen["nothing"]
    assert seen["hostile"]["title"] == ATTACK and not seen["hostile"]["alerted"]
    assert seen["hostile"]["names"] == ["\"'&amp;<script>alerted=true<", "latin ü"]
    assert seen["viewed"] == "\"'&amp;<script>alerted=true<" and seen["back"] == ATTACK
    assert seen["missing"] == "There is no such folder"


@pytest.mark.parametrize("how", ["many", "busy"])
def test_a_folder_of_many(driven, how):
    seen = clean(driven[how])
    assert seen["first"] == 60 and seen["all"] == [str(number) for number in range(1, 131)]


def test_narrow_and_wide_windows_dark_and_light(driven):
    seen = clean(driven["narrow"], missing=["none-of-this"])
    assert len(seen) == 12
    for what, one in seen.items():
        assert one["over"] <= 0, f"{what}: the page is {one['over']} px wider than the window"
    assert seen["gallery 360 light"]["paper"] != seen["gallery 360 dark"]["paper"] == seen["gallery 2560 dark"]["paper"]


def near(one, other, tolerance):
    return all(abs(a - b) <= tolerance for a, b in zip(one, other))


def test_the_page_of_a_picture(server, driven):
    report = driven["viewer"]
    seen = clean(report, missing=["elsewhere"])
    tiles = [one for one in report["responses"] if "/default." in one["url"]]
    assert len(tiles) >= 20 and all(one["status"] == 200 for one in tiles)
    assert seen["title"] == "The <i>great</i> map" and seen["nameless"] == []
    assert "Ann & Bob" in seen["metadata"]
    reached = [one["name"] for one in seen["tabs"]]
    assert reached[:2] == ["Skip to the picture", "To the gallery"] and any("Arrow keys move" in name for name in reached)
    assert "Zoom out" in reached and all(one["seen"] for one in seen["tabs"][:7])
    assert seen["zoomed"][2] < 0.4 * seen["whole"][2]
    info = server.get("/iiif/3/maps%2Fbig.tif/info.json").json()
    whole = [link for link in seen["downloads"] if "/full/" in link[0]]
    assert whole[-1][0].endswith("/full/max/0/default.jpg") and whole[-1][2] == f"{info['width']} × {info['height']}"
    for address, name, size in seen["downloads"]:
        reply = server.get(address.partition(str(server.port))[2])
        width, height = map(int, size.split(" × "))
        assert reply.status == 200 and reply.image().size == (width, height) and name.endswith(".jpg")
    assert len(seen["downloads"]) == len(whole) + 1, "and what is seen now"
    copies = [address.partition(str(server.port))[2] for address in seen["copies"]]
    assert copies == ["/iiif/3/maps%2Fbig.tif/info.json", "/presentation/3/maps%2Fbig.tif/manifest",
                      "/presentation/2/maps%2Fbig.tif/manifest", "/iiif/3/maps%2Fbig.tif/full/max/0/default.jpg"]
    for path in copies:
        assert server.get(path).status == 200
    assert seen["shut"] == [True, "toggle"] and seen["rotation"] == 90 and seen["screen"] == [True, False]


def test_a_link_to_a_region_leads_back_to_it(server, driven):
    seen = clean(driven["viewer"], missing=["elsewhere"])
    encoded = seen["link"].partition("?iiif-content=")[2]
    state = json.loads(urllib.parse.unquote(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()))
    base = f"http://127.0.0.1:{server.port}/presentation/3/maps%2Fbig.tif/manifest"
    assert state["type"] == "Canvas" and state["partOf"] == [{"id": base, "type": "Manifest"}]
    canvas, _, region = state["id"].partition("#xywh=")
    assert canvas == server.get("/presentation/3/maps%2Fbig.tif/manifest").json()["items"][0]["id"]
    x, y, width, height = map(int, region.split(","))
    assert near((x, y, width, height), seen["moved"], 3)
    for where in "restored", "followed", "gallery":
        left, top, wide, high = seen[where]
        assert left <= x + 2 and top <= y + 2 and left + wide >= x + width - 2 and top + high >= y + height - 2, where
        assert min(wide / width, high / height) < 1.02, f"{where}: not as close as it was"


def test_pages_and_neighbours(driven):
    seen = clean(driven["pages"])
    assert seen["strip"] == ["1", "2", "3"] and seen["subtitle"] == "Page 1 of 3"
    assert seen["second"] == ["Page 2 of 3", "2"]
    assert seen["neighbours"] == [80, "75"]


def test_turning_pages_faster_than_they_come(driven):
    assert clean(driven["hurry"])["last"] == "Page 3 of 3"


def test_the_status_page(driven):
    seen = clean(driven["status"])
    assert seen["state"].strip() == "Serving"
    assert int(seen["after"]["Command"]) > int(seen["before"]["Command"])
    assert {"Requests", "Workers", "Quarantine"} <= {re.sub(r"the last.*|\d.*", "", name) for name in seen["sections"]}
    assert len(seen["workers"]) == 2 and all("Memory" in one and "pid" in one for one in seen["workers"])
    assert seen["tabs"][0]["name"] == "Pause" and seen["paused"] == "true"
