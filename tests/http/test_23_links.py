"""Link headers: the profile, and the canonical form of every way to ask."""
import re

import pytest


def links(reply):
    return {rel: target for target, rel in re.findall(r'<([^>]*)>\s*;\s*rel="?([a-z]+)"?',
                                                      reply["link"] or "")}


def canonical(client, version, name, path):
    reply = client.get(f"/iiif/{version}/{name}/{path}")
    assert reply.status == 200, reply
    start = f"http://{client.host}:{client.port}/iiif/{version}/{name}/"
    target = links(reply)["canonical"]
    assert target.startswith(start), target
    return target[len(start):], reply


TABLE_3 = [  # small.tif is 300 x 200
    ("full/max/0/default.jpg", None), ("0,0,300,200/max/0/default.jpg", "full/max/0/default.jpg"),
    ("0,0,900,900/300,200/0/default.jpg", "full/max/0/default.jpg"),
    ("square/max/0/default.jpg", "50,0,200,200/max/0/default.jpg"),
    ("pct:0,0,100,100/pct:100/0/default.jpg", "full/max/0/default.jpg"),
    ("full/300,/0/default.jpg", "full/max/0/default.jpg"),
    ("full/,200/0/default.jpg", "full/max/0/default.jpg"),
    ("full/!900,900/0/default.jpg", "full/max/0/default.jpg"),
    ("full/150,/0/default.jpg", "full/150,100/0/default.jpg"),
    ("full/,100/0/default.jpg", "full/150,100/0/default.jpg"),
    ("full/pct:50/0/default.jpg", "full/150,100/0/default.jpg"),
    ("full/!150,150/0/default.jpg", "full/150,100/0/default.jpg"),
    ("full/^150,/0/default.jpg", "full/150,100/0/default.jpg"),
    ("full/^300,/0/default.jpg", "full/max/0/default.jpg"),
    ("full/^600,/0/default.jpg", "full/^600,400/0/default.jpg"),
    ("full/^pct:200/0/default.jpg", "full/^600,400/0/default.jpg"),
    ("full/^!600,600/0/default.jpg", "full/^600,400/0/default.jpg"), ("full/150,150/0/default.jpg", None),
    ("250,150,100,100/max/0/default.jpg", "250,150,50,50/max/0/default.jpg"),
    ("pct:10,10,50,50/max/0/default.jpg", "30,20,150,100/max/0/default.jpg"),
    ("full/max/360/default.jpg", "full/max/0/default.jpg"),
    ("full/max/!360/default.jpg", "full/max/!0/default.jpg"),
    ("full/max/90.0/default.jpg", "full/max/90/default.jpg"),
    ("full/max/22.50/default.png", "full/max/22.5/default.png"),
    ("full/max/.5/default.png", "full/max/0.5/default.png"), ("full/max/!0/default.jpg", None),
    ("full/max/090/default.jpg", "full/max/90/default.jpg"),
    ("full/max/0/color.jpg", "full/max/0/default.jpg"), ("full/max/0/gray.jpg", None),
    ("full/max/0/bitonal.png", None),
]
TABLE_2 = [
    ("full/full/0/default.jpg", None), ("full/max/0/default.jpg", "full/full/0/default.jpg"),
    ("0,0,300,200/300,/0/default.jpg", "full/full/0/default.jpg"),
    ("full/pct:100/0/default.jpg", "full/full/0/default.jpg"),
    ("full/150,/0/default.jpg", None), ("full/150,100/0/default.jpg", "full/150,/0/default.jpg"),
    ("full/,100/0/default.jpg", "full/150,/0/default.jpg"),
    ("full/!150,150/0/default.jpg", "full/150,/0/default.jpg"),
    ("full/150,150/0/default.jpg", None), ("full/600,/0/default.jpg", None),
    ("square/full/0/default.jpg", "50,0,200,200/full/0/default.jpg"),
    ("full/full/360/default.jpg", "full/full/0/default.jpg"),
    ("full/full/0/color.jpg", "full/full/0/default.jpg"),
]


@pytest.mark.parametrize("path, right", TABLE_3)
def test_canonical_3(client, path, right):
    assert canonical(client, 3, "small.tif", path)[0] == (right or path)


@pytest.mark.parametrize("path, right", TABLE_2)
def test_canonical_2(client, path, right):
    assert canonical(client, 2, "small.tif", path)[0] == (right or path)


def test_canonical_of_a_square_is_full(client):
    assert canonical(client, 3, "squares.tif", "square/max/0/default.jpg")[0] == "full/max/0/default.jpg"


def test_gray_is_the_default_of_a_gray_image(client):
    path = "full/max/0/gray.jpg"
    assert canonical(client, 3, "gray8-black-is-zero.tif", path)[0] == "full/max/0/default.jpg"


def test_canonical_keeps_the_encoded_identifier(client):
    assert canonical(client, 3, "box%2Fpage.tif", "full/max/0/default.jpg")[0] == "full/max/0/default.jpg"


@pytest.mark.parametrize("version, table", [(3, TABLE_3), (2, TABLE_2)])
def test_asking_the_canonical_form_gives_the_same_bytes_and_tag(client, version, table):
    for path, right in table:
        if right:
            form, reply = canonical(client, version, "small.tif", path)
            again = client.get(f"/iiif/{version}/small.tif/{form}")
            assert again.status == 200 and again.body == reply.body, path
            assert again["etag"] == reply["etag"], path
            assert canonical(client, version, "small.tif", form)[0] == form


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("path", ["info.json", "full/max/0/default.jpg", "square/100,/90/gray.png"])
def test_profile(client, version, path):
    reply = client.get(f"/iiif/{version}/small.tif/{path}")
    target = links(reply)["profile"]
    assert target.startswith(f"http://iiif.io/api/image/{version}/level2")


def test_errors_have_no_canonical_form(client):
    assert "canonical" not in links(client.get("/iiif/3/small.tif/frob/max/0/default.jpg"))
