"""Media types of info.json for what clients ask."""
import pytest

LD3 = 'application/ld+json;profile="http://iiif.io/api/image/3/context.json"'
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

TABLE_3 = [  # (Accept, is ld+json right?)
    (None, True), ("*/*", True), ("application/*", True), ("application/ld+json", True), (LD3, True),
    ("application/json", False), ("application/json, */*", False),
    ("application/json,application/ld+json;q=0.5", False),
    ("application/ld+json,application/json;q=0.9", True), ("application/json;q=0.5,application/ld+json",
                                                           True),
    ("application/json;q=0.4, application/ld+json;q=0.6", True), ("application/json;charset=utf-8", False),
    ('application/ld+json;profile="http://iiif.io/api/image/3/context.json",application/json;q=0.9', True),
    ("application/json;q=0, */*", True), ("application/ld+json;q=0, application/json", False),
    ("APPLICATION/JSON", False), ("application/json ; q=1.0 , application/ld+json ; q=0.1", False),
    (BROWSER, True),
    ("text/html", None), ("image/png", None), ("application/json;q=2", None), ("application/json;q=x", None),
    (";;;,,,", None), ("", None), ('application/ld+json;profile="unclosed', None), ("*", None),
]
TABLE_2 = [
    (None, False), ("*/*", False), ("application/*", False), ("application/json", False), (BROWSER, False),
    ("application/ld+json", True), ("application/ld+json;profile=\"x\"", True),
    ("application/ld+json,application/json;q=0.9", True), ("application/json,application/ld+json;q=0.5",
                                                           False),
    ("application/ld+json;q=0, */*", False), ("text/html", None), (";;;,,,", None), ("", None),
]


def ask(client, version, accept):
    return client.get(f"/iiif/{version}/small.tif/info.json",
                      {"Accept": accept} if accept is not None else None)


def assert_type(reply, version, linked):
    assert reply.status == 200, reply
    kind = reply["content-type"].replace(" ", "")
    if linked is None:
        assert kind.startswith(("application/json", "application/ld+json"))
    elif not linked:
        assert kind in ("application/json", "application/json;charset=utf-8")
    elif version == 3:
        assert kind.startswith(LD3)
    else:
        assert kind.startswith("application/ld+json")
    assert "accept" in reply.tokens("vary")
    assert reply.json()["width"] == 300


@pytest.mark.parametrize("accept, linked", TABLE_3)
def test_version_3(client, accept, linked):
    assert_type(ask(client, 3, accept), 3, linked)


@pytest.mark.parametrize("accept, linked", TABLE_2)
def test_version_2(client, accept, linked):
    assert_type(ask(client, 2, accept), 2, linked)


def test_several_accept_lines_are_one_list(client):
    reply = client.get("/iiif/3/small.tif/info.json",
                       [("Accept", "application/ld+json;q=0.5"), ("Accept", "application/json")])
    assert reply.media_type() == "application/json"


def test_the_forms_differ_in_nothing_but_the_type(client):
    assert ask(client, 3, "application/json").body == ask(client, 3, "application/ld+json").body


def test_a_very_long_accept(client):
    accept = ",".join(f"application/x{n};q=0.{n % 10}" for n in range(200)) + ",application/json"
    assert_type(ask(client, 3, accept), 3, False)


def test_accept_on_an_image_does_not_matter(client):
    reply = client.get("/iiif/3/small.tif/full/max/0/default.jpg", {"Accept": "application/json"})
    assert reply.status == 200 and reply.media_type() == "image/jpeg"
