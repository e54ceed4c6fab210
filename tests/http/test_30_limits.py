"""max_width, max_height, max_area: declared, obeyed, and what `max` makes of them."""
import pytest

from server import Vitrine


@pytest.fixture(scope="module")
def narrow(images):
    with Vitrine(images, settings={"max_width": 600, "max_height": 400}) as server:
        yield server.client()


@pytest.fixture(scope="module")
def small_area(images):
    with Vitrine(images, settings={"max_area": 100000}) as server:
        yield server.client()


def limits(client, version):
    info = client.get(f"/iiif/{version}/photo.tif/info.json").json()
    if version == 2:
        info = {key: value for part in info["profile"][1:] for key, value in part.items()}
    return info


@pytest.mark.parametrize("version", [2, 3])
def test_declared(narrow, small_area, version):
    assert limits(narrow, version)["maxWidth"] == 600 and limits(narrow, version)["maxHeight"] == 400
    assert limits(small_area, version)["maxArea"] == 100000


@pytest.mark.parametrize("version", [2, 3])
def test_listed_sizes_and_tiles_keep_the_limits(narrow, version):
    info = narrow.get(f"/iiif/{version}/photo.tif/info.json").json()
    assert all(size["width"] <= 600 and size["height"] <= 400 for size in info["sizes"])
    for tile in info.get("tiles", []):
        assert tile["width"] <= 600 and tile.get("height", tile["width"]) <= 400
    for size in info["sizes"]:
        reply = narrow.get(f"/iiif/{version}/photo.tif/full/{size['width']},{size['height']}/0/default.jpg")
        assert reply.image().size == (size["width"], size["height"])


# photo.tif is 1501 x 1003, small.tif 300 x 200.
@pytest.mark.parametrize("version, name, path, right", [
    (3, "photo.tif", "full/max", (599, 400)), (2, "photo.tif", "full/max", (599, 400)),
    (3, "photo.tif", "full/!5000,5000", (599, 400)), (3, "photo.tif", "full/^!5000,5000", (599, 400)),
    (3, "photo.tif", "full/^max", (599, 400)), (3, "small.tif", "full/^max", (600, 400)),
    (3, "small.tif", "full/^!5000,5000", (600, 400)), (3, "small.tif", "full/max", (300, 200)),
    (3, "small.tif", "0,0,100,200/^max", (200, 400)), (3, "photo.tif", "0,0,1000,100/max", (600, 60)),
    (3, "photo.tif", "full/600,400", (600, 400)), (3, "photo.tif", "full/598,", (598, 400)),
    (3, "photo.tif", "full/601,100", 400), (3, "photo.tif", "full/100,401", 400),
    (3, "photo.tif", "full/700,", 400),
    (3, "photo.tif", "full/,401", 400), (3, "photo.tif", "full/pct:50", 400),
    (3, "photo.tif", "full/pct:100", 400),
    (3, "small.tif", "full/^601,", 400), (3, "small.tif", "full/^pct:201", 400),
    (3, "small.tif", "full/^pct:200", (600, 400)),
    (3, "small.tif", "full/^700,100", 400), (2, "small.tif", "full/601,", 400),
    (2, "small.tif", "full/pct:300", 400),
    (2, "small.tif", "full/600,", (600, 400)), (2, "photo.tif", "full/full", 400),
    (2, "photo.tif", "full/pct:50", 400),
    (2, "photo.tif", "full/!5000,5000", (599, 400)), (2, "small.tif", "full/full", (300, 200)),
])
def test_width_and_height(narrow, version, name, path, right):
    reply = narrow.get(f"/iiif/{version}/{name}/{path}/0/default.jpg")
    if right == 400:
        assert reply.status == 400, reply
    else:
        assert reply.status == 200, reply
        assert reply.image().size == right


def test_limits_hold_before_the_rotation(narrow):
    assert narrow.get("/iiif/3/photo.tif/full/600,400/90/default.jpg").image().size == (400, 600)
    assert narrow.get("/iiif/3/photo.tif/full/600,400/45/default.png").status == 200


def test_area(small_area):
    width, height = small_area.get("/iiif/3/photo.tif/full/max/0/default.jpg").image().size
    assert (width, height) == (386, 258)
    assert small_area.get("/iiif/3/photo.tif/full/400,300/0/default.jpg").status == 400
    assert small_area.get("/iiif/3/photo.tif/full/400,250/0/default.jpg").status == 200
    assert small_area.get("/iiif/3/photo.tif/full/1000,100/0/default.jpg").status == 200


def test_defaults_bound_enlarging(client):
    """Nobody may ask for terabytes."""
    info = client.get("/iiif/3/small.tif/info.json").json()
    widest = info.get("maxWidth") or info["maxArea"]
    for size in (f"^{widest + 1},", "^pct:100000", "^1000000,1000000"):
        assert client.get(f"/iiif/3/small.tif/full/{size}/0/default.jpg").status == 400


@pytest.mark.parametrize("name, right", [("small.tif", 200), ("photo.tif", None), ("baseline-420.jpg", None),
                                         ("rgb.png", None)])
def test_max_source_pixels(start, name, right):
    served = start(settings={"max_source_pixels": 100000})
    for path in ("info.json", "full/100,/0/default.jpg"):
        reply = served.get(f"/iiif/3/{name}/{path}")
        assert reply.status == right if right else 400 <= reply.status < 600, reply
        if not right:
            assert reply.media_type() == "text/plain"


def test_jpeg_quality_is_configured(start, client):
    target = "/iiif/3/photo.tif/full/max/0/default.jpg"
    low, high = (start(settings={"jpeg_quality": quality}).get(target).body for quality in (30, 95))
    assert len(low) < len(client.get(target).body) < len(high)
