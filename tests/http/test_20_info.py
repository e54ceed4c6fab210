"""info.json: every member of both versions, and the promises it makes about sizes and tiles."""
import pytest

LEVEL2_V3 = {"baseUriRedirect", "cors", "jsonldMediaType", "regionByPct", "regionByPx", "regionSquare",
             "rotationBy90s", "sizeByConfinedWh", "sizeByH", "sizeByPct", "sizeByW", "sizeByWh"}
EXTRA_V3 = {"canonicalLinkHeader", "mirroring", "profileLinkHeader", "rotationArbitrary", "sizeUpscaling"}
MEMBERS_V3 = {"@context", "id", "type", "protocol", "profile", "width", "height", "maxWidth", "maxHeight",
              "maxArea",
              "sizes", "tiles", "preferredFormats", "rights", "extraQualities", "extraFormats",
              "extraFeatures",
              "partOf", "seeAlso", "service"}
MEMBERS_V2 = {"@context", "@id", "@type", "protocol", "width", "height", "profile", "sizes", "tiles",
              "attribution",
              "license", "logo", "service"}


def info(client, version, name="squares.tif"):
    reply = client.get(f"/iiif/{version}/{name}/info.json")
    assert reply.status == 200, reply
    return reply.json()


def test_required_members_of_version_3(client):
    found = info(client, 3)
    assert next(iter(found)) == "@context"
    assert found["@context"] == "http://iiif.io/api/image/3/context.json"
    assert found["id"] == f"http://{client.host}:{client.port}/iiif/3/squares.tif"
    assert found["type"] == "ImageService3"
    assert found["protocol"] == "http://iiif.io/api/image"
    assert found["profile"] == "level2"
    assert (found["width"], found["height"]) == (1000, 1000)
    assert set(found) <= MEMBERS_V3


def test_required_members_of_version_2(client):
    found = info(client, 2)
    assert next(iter(found)) == "@context"
    assert found["@context"] == "http://iiif.io/api/image/2/context.json"
    assert found["@id"] == f"http://{client.host}:{client.port}/iiif/2/squares.tif"
    assert found.get("@type", "iiif:Image") == "iiif:Image"
    assert found["protocol"] == "http://iiif.io/api/image"
    assert (found["width"], found["height"]) == (1000, 1000)
    assert isinstance(found["profile"], list)
    assert found["profile"][0] == "http://iiif.io/api/image/2/level2.json"
    for described in found["profile"][1:]:
        assert set(described) <= {"formats", "qualities", "supports", "maxWidth", "maxHeight", "maxArea"}
        assert all(described.values()), "empty lists are left out"
    assert set(found) <= MEMBERS_V2


def test_extras_of_version_3(client):
    found = info(client, 3)
    assert {"color", "gray", "bitonal"} <= set(found["extraQualities"])
    assert {"webp", "tif", "gif", "avif"} <= set(found["extraFormats"])
    assert not {"jpg", "png"} & set(found["extraFormats"]), "level 2 implies these"
    assert EXTRA_V3 <= set(found["extraFeatures"])
    assert not LEVEL2_V3 & set(found["extraFeatures"]), "level 2 implies these"
    assert "maxWidth" in found or "maxArea" in found, "who enlarges must declare a limit"
    if "maxHeight" in found:
        assert "maxWidth" in found
    implied = {"jpg", "png"} | set(found["extraFormats"])
    assert set(found.get("preferredFormats", [])) <= implied


def test_extras_of_version_2(client):
    described = {}
    for part in info(client, 2)["profile"][1:]:
        for key, value in part.items():
            described.setdefault(key, []).extend(value if isinstance(value, list) else [value])
    assert {"color", "gray"} <= set(described["qualities"])
    assert {"webp", "tif", "gif"} <= set(described["formats"])
    assert {"mirroring", "rotationArbitrary", "regionSquare", "profileLinkHeader", "canonicalLinkHeader"} \
        <= set(described["supports"])
    assert {"sizeAboveFull"} & set(described["supports"])


def test_color_is_no_extra_of_a_gray_image_but_is_served(client):
    assert "color" not in info(client, 3, "gray8-black-is-zero.tif").get("extraQualities", [])
    assert client.get("/iiif/3/gray8-black-is-zero.tif/full/max/0/color.jpg").status == 200


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name, sizes, tile, factors", [
    ("squares.tif", [(250, 250), (500, 500), (1000, 1000)], 256, [1, 2, 4]),
    ("photo.tif", [(188, 126), (376, 251), (751, 502), (1501, 1003)], 256, [1, 2, 4, 8]),
    ("pyramid-subifds.tif", [(105, 76), (209, 151), (417, 301)], 128, [1, 2, 4]),
])
def test_sizes_are_the_levels_and_tiles_the_grid(client, version, name, sizes, tile, factors):
    found = info(client, version, name)
    listed = {(size["width"], size["height"]) for size in found["sizes"]}
    # The whole image itself may be left out of the list.
    assert listed | {sizes[-1]} == set(sizes)
    assert len(found["tiles"]) == 1
    assert (found["tiles"][0]["width"], found["tiles"][0].get("height", tile)) == (tile, tile)
    assert sorted(found["tiles"][0]["scaleFactors"])[:len(factors)] == factors


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["squares.tif", "photo.tif", "flat.tif", "baseline-420.jpg", "rgb.png",
                                  "lossy.webp",
                                  "dot.tif", "orientation-5-pyramid.tif", "none-striped.tif",
                                  "seam-257x1.tif"])
def test_every_listed_size_is_served(client, version, name):
    found = info(client, version, name)
    for size in found.get("sizes", []):
        right = (size["width"], size["height"])
        for text in ("{},{}",) if version == 3 else ("{},{}", "{},"):
            path = f"/iiif/{version}/{name}/full/{text.format(*right)}/0/default.jpg"
            reply = client.get(path)
            assert reply.status == 200, f"{path}: {reply}"
            assert reply.image().size == right, path


@pytest.mark.parametrize("name", ["flat.tif", "baseline-420.jpg", "rgb.png", "lossy.webp",
                                  "none-one-strip.tif", "dot.tif"])
def test_tiles_are_sane_for_any_source(client, name):
    found = info(client, 3, name)
    pairs = [(tile["width"], tile.get("height", tile["width"])) for tile in found.get("tiles", [])]
    assert pairs and len(set(pairs)) == len(pairs)
    for tile in found["tiles"]:
        assert 64 <= tile["width"] <= 4096
        assert tile["scaleFactors"][0] >= 1 and len(set(tile["scaleFactors"])) == len(tile["scaleFactors"])


@pytest.mark.parametrize("number", range(1, 9))
@pytest.mark.parametrize("extension", ["tif", "jpg"])
def test_size_is_that_of_the_upright_image(client, number, extension):
    found = info(client, 3, f"orientation-{number}.{extension}")
    assert (found["width"], found["height"]) == (417, 301)


def test_levels_of_a_turned_pyramid_are_upright(client):
    sizes = {(size["width"], size["height"]) for size in info(client, 3,
                                                              "orientation-5-pyramid.tif")["sizes"]}
    assert sizes | {(417, 301)} == {(105, 76), (209, 151), (417, 301)}


@pytest.mark.parametrize("version", [2, 3])
def test_id_repeats_the_encoded_identifier(client, version):
    found = info(client, version, "box%2Fpage.tif")
    key = "id" if version == 3 else "@id"
    assert found[key] == f"http://{client.host}:{client.port}/iiif/{version}/box%2Fpage.tif"


@pytest.mark.parametrize("version", [2, 3])
def test_same_bytes_every_time(client, version):
    first = client.get(f"/iiif/{version}/photo.tif/info.json")
    assert all(client.get(f"/iiif/{version}/photo.tif/info.json").body == first.body for _ in range(6))
    assert first["content-length"] == str(len(first.body))


@pytest.mark.parametrize("name, size", [("pages.tif", (300, 200)), ("pages.tif;1", (300, 200)),
                                        ("pages.tif;2", (320, 210)), ("pages.tif;3", (340, 220)),
                                        ("pages.tif%3B2", (320, 210)), ("squares.tif;1", (1000, 1000)),
                                        ("rgb.png;1", (417, 301))])
def test_pages(client, name, size):
    found = info(client, 3, name)
    assert (found["width"], found["height"]) == size


@pytest.mark.parametrize("name", ["pages.tif;0", "pages.tif;4", "pages.tif;-1",
                                  "pages.tif;99999999999999999999",
                                  "pages.tif;", "pages.tif;x", "pages.tif;2;1", "pages.tif;2x",
                                  "squares.tif;2",
                                  "rgb.png;2", ";1", "pages.tif;+1"])
def test_pages_that_are_not_there(client, name):
    assert client.get(f"/iiif/3/{name}/info.json").status == 404
    assert client.get(f"/iiif/3/{name}/full/max/0/default.jpg").status == 404
