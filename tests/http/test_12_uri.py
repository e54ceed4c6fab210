"""URI shapes: what is split before it is decoded, what is decoded once, what is no request at all."""
import pytest

END = b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
IMAGE = "/iiif/3/small.tif/full/max/0/default.jpg"


@pytest.mark.parametrize("target, right", [
    (IMAGE, 200), (IMAGE + "?x=1&y=%zz", 200), (IMAGE + "?", 200), ("/iiif/3/small.tif/info.json?a/b/c", 200),
    ("/iiif/3/small%2Etif/full/max/0/default.jpg", 200), ("/iiif/3/%73mall.tif/full/max/0/default.jpg", 200),
    ("/iiif/3/box%2Fpage.tif/full/max/0/default.jpg", 200), ("/iiif/3/box%2fpage.tif/full/max/0/default.jpg",
                                                             200),
    ("/iiif/3/box%2Finner%2Fdeep.tif/info.json", 200), ("/iiif/3/box/page.tif/full/max/0/default.jpg", 404),
    ("/iiif/3/box%252Fpage.tif/full/max/0/default.jpg", 404), ("/iiif/3/box/page.tif/info.json", 404),
    ("/iiif/3/small.tif/full%2Fmax/0/default.jpg", (400, 404)),
    ("/iiif/3/small.tif%2Ffull/max/0/default.jpg", 404),
    ("/iiif/3/small.tif/full/max/0", (400, 404)), ("/iiif/3/small.tif/full/max/default.jpg", (400, 404)),
    ("/iiif/3/small.tif/full/max/0/default.jpg/", (400, 404)), (IMAGE + "/more", (400, 404)),
    ("/iiif/3/small.tif//max/0/default.jpg", (400, 404)), ("/iiif/3//full/max/0/default.jpg", (400, 404)),
    ("//iiif/3/small.tif/info.json", (400, 404)), ("/iiif/3/small.tif/info.jso", (400, 404)),
    ("/iiif/3/small.tif/INFO.JSON", (400, 404)), ("/iiif/3/small.tif/info.xml", (400, 404)),
    ("/iiif/3/", (400, 404)), ("/iiif/3", (302, 400, 404)),
    # No version: an identifier, which leads to the newest.
    ("/iiif/4/small.tif/info.json", (302, 400, 404)),
    ("/iiif/1/small.tif/info.json", (302, 400, 404)), ("/IIIF/3/small.tif/info.json", (400, 404)),
    ("/no/such/place", 404), ("/robots.txt", (200, 404)), ("/favicon.ico", (200, 204, 404)),
    ("/iiif/3/nothing.tif/full/max/0/default.jpg", 404), ("/iiif/3/nothing.tif/info.json", 404),
    ("/iiif/3/SMALL.tif/info.json", 404), ("/iiif/3/small/info.json", 404),
    ("/iiif/3/small.jpg/info.json", 404),
    ("/iiif/3/[frob]/full/max/0/default.jpg", (400, 404)), ("/iiif/3/[frob]/info.json", (400, 404)),
])
def test_shape(client, target, right):
    reply = client.get(target)
    assert reply.status in (right if isinstance(right, tuple) else (right,)), f"{target}: {reply}"


@pytest.mark.parametrize("byte", [b"\\", b"^", b"<", b">", b"[", b"]", b"`", b'"', b"{", b"}", b"|", b"\x80",
                                  b"\xff", b"\xc3\xa9"])
def test_illegal_bytes_in_the_identifier_are_answered(client, byte):
    head = b"GET /iiif/3/a" + byte + b"b.tif/full/max/0/default.jpg" + END
    assert client.raw(head).status in (400, 404)


@pytest.mark.parametrize("byte", [b"\x01", b"\x07", b"\x7f", b"\t"])
def test_control_bytes_are_answered(client, byte):
    head = b"GET /iiif/3/a" + byte + b"b.tif/info.json" + END
    assert client.raw(head).status in (400, 404)


@pytest.mark.parametrize("byte", [b"\\", b"<", b">", b"[", b"]", b"`", b'"', b"|", b"\xff"])
def test_illegal_bytes_in_a_parameter_are_400(client, byte):
    head = b"GET /iiif/3/small.tif/fu" + byte + b"ll/max/0/default.jpg" + END
    assert client.raw(head).status == 400


def test_raw_caret_is_the_size_prefix(client):
    assert client.get("/iiif/3/small.tif/full/^600,/0/default.jpg").image().size == (600, 400)


def test_absolute_form_of_the_target(client):
    reply = client.get(f"http://{client.host}:{client.port}/iiif/3/small.tif/info.json")
    assert reply.status in (200, 400), reply


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("name", ["small.tif", "box%2Fpage.tif", "box%2Finner%2Fdeep.tif"])
def test_base_uri_leads_to_info(client, version, name):
    reply = client.get(f"/iiif/{version}/{name}")
    assert reply.status == 303
    assert reply["location"] in (f"/iiif/{version}/{name}/info.json",
                                 f"http://{client.host}:{client.port}/iiif/{version}/{name}/info.json")
    assert reply["access-control-allow-origin"] == "*"


def test_base_uri_of_an_unknown_image(client):
    assert client.get("/iiif/3/nothing.tif").status in (303, 404)


def test_base_uri_cannot_lead_to_another_site(client):
    for name in ("%2F%2Fevil.example", "/evil.example", "%0D%0ALocation:%20http:%2F%2Fevil.example"):
        reply = client.get(f"/iiif/3/{name}")
        assert reply.status in (303, 400, 404)
        assert not (reply["location"] or "").startswith(("//", "http://evil")), reply["location"]


@pytest.mark.parametrize("rest", ["/info.json", "/full/max/0/default.jpg"])
def test_without_version_leads_to_the_newest(client, rest):
    reply = client.get(f"/iiif/box%2Fpage.tif{rest}")
    assert reply.status in (301, 302, 303, 307, 308)
    assert reply["location"].endswith(f"/iiif/3/box%2Fpage.tif{rest}")
