"""Deep Zoom and Zoomify: the same pixels, byte for byte, as the IIIF request of the same region."""
import math
import xml.etree.ElementTree as ElementTree

import pytest

NAME = "box%2Fpage.tif"


def size_of(served):
    info = served.get(f"/iiif/3/{NAME}/info.json").json()
    return info["width"], info["height"]


def iiif(served, region, size, extension="jpg"):
    reply = served.get(f"/iiif/3/{NAME}/{','.join(map(str, region))}/{size[0]},{size[1]}/0/default.{extension}")
    assert reply.status == 200, reply
    return reply


def tiles(size, tile, scale):
    """(column, row, region, answer's size) of every tile at a scale factor."""
    step = tile * scale
    for row in range(math.ceil(size[1] / step)):
        for column in range(math.ceil(size[0] / step)):
            x, y = column * step, row * step
            w, h = min(step, size[0] - x), min(step, size[1] - y)
            yield column, row, (x, y, w, h), (math.ceil(w / scale), math.ceil(h / scale))


def test_deepzoom(served):
    size = size_of(served)
    reply = served.get(f"/deepzoom/{NAME}.dzi")
    assert reply.status == 200 and reply["content-type"] == "application/xml" and reply["etag"]
    assert reply["access-control-allow-origin"] == "*"
    image = ElementTree.fromstring(reply.body)
    assert image.tag == "{http://schemas.microsoft.com/deepzoom/2008}Image"
    assert image.attrib["Overlap"] == "0" and image.attrib["Format"] == "jpg"
    told = image[0].attrib
    assert (int(told["Width"]), int(told["Height"])) == size
    tile, top = int(image.attrib["TileSize"]), math.ceil(math.log2(max(size)))
    for level in range(top + 1):
        for column, row, region, out in tiles(size, tile, 2 ** (top - level)):
            got = served.get(f"/deepzoom/{NAME}_files/{level}/{column}_{row}.jpg")
            assert got.status == 200, got
            assert got.body == iiif(served, region, out).body, (level, column, row)
    assert served.get(f"/deepzoom/{NAME}_files/{top + 1}/0_0.jpg").status == 404


def test_zoomify(served):
    size = size_of(served)
    told = ElementTree.fromstring(served.get(f"/zoomify/{NAME}/ImageProperties.xml").body).attrib
    assert (int(told["WIDTH"]), int(told["HEIGHT"])) == size
    tile, edge, top, count = int(told["TILESIZE"]), max(size), 0, 0
    while edge > tile:
        edge, top = edge // 2, top + 1
    for tier in range(top + 1):
        for column, row, region, out in tiles(size, tile, 2 ** (top - tier)):
            got = served.get(f"/zoomify/{NAME}/TileGroup{count // 256}/{tier}-{column}-{row}.jpg")
            assert got.status == 200 and got.body == iiif(served, region, out).body
            count += 1
    assert int(told["NUMTILES"]) == count


def test_conditional(served):
    first = served.get(f"/deepzoom/{NAME}.dzi")
    again = served.get(f"/deepzoom/{NAME}.dzi", {"If-None-Match": first["etag"]})
    assert again.status == 304 and not again.body
    assert served.get(f"/zoomify/{NAME}/ImageProperties.xml")["etag"] != first["etag"]


@pytest.mark.parametrize("path, status, word", [
    ("/deepzoom/none.tif.dzi", 404, ""),
    (f"/deepzoom/{NAME}", 404, "neither"),
    (f"/deepzoom/{NAME}_files/0/1_0.jpg", 404, "no tile"),
    (f"/deepzoom/{NAME}_files/0/0_0.bmp", 400, "format 'bmp'"),
    (f"/zoomify/{NAME}/TileGroup0/0-0.jpg", 400, "level-column-row"),
    (f"/zoomify/{NAME}/Tiles", 404, "neither"),
])
def test_what_is_wrong_is_said(served, path, status, word):
    reply = served.get(path)
    assert reply.status == status and word in reply.body.decode()
