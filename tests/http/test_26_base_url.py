"""Where `id` and the links come from: configured, else forwarded by a trusted peer, else Host."""
import pytest

FORWARDED = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "images.example.org"}
STANDARD = {"Forwarded": 'for=192.0.2.1;proto=https;host="images.example.org"'}
OUTSIDE = "https://images.example.org"


def base(served, headers=None, version=3, name="box%2Fpage.tif"):
    reply = served.get(f"/iiif/{version}/{name}/info.json", headers)
    assert reply.status == 200, reply
    found = reply.json()["id" if version == 3 else "@id"]
    tail = f"/iiif/{version}/{name}"
    assert found.endswith(tail), found
    return found[:-len(tail)]


@pytest.fixture(scope="module")
def behind(images):
    from server import Vitrine
    with Vitrine(images, settings={"trusted_proxies": "127.0.0.1"}) as server:
        yield server


def test_host(served):
    assert base(served) == f"http://127.0.0.1:{served.port}"
    assert base(served, {"Host": "pictures.example"}) == "http://pictures.example"
    assert base(served, {"Host": "pictures.example:8080"}, 2) == "http://pictures.example:8080"
    assert base(served, {"Host": "[::1]:8080"}) == "http://[::1]:8080"


@pytest.mark.parametrize("headers", [FORWARDED, STANDARD, {**FORWARDED, **STANDARD}])
def test_strangers_are_not_believed(served, headers):
    assert base(served, headers) == f"http://127.0.0.1:{served.port}"


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("headers", [FORWARDED, STANDARD])
def test_trusted_peers_are_believed(behind, headers, version):
    assert base(behind, headers, version) == OUTSIDE


@pytest.mark.parametrize("headers, right", [
    ({"X-Forwarded-Proto": "https", "Host": "inner.example"}, "https://inner.example"),
    ({"X-Forwarded-Host": "images.example.org:8443", "X-Forwarded-Proto": "https"}, OUTSIDE + ":8443"),
    ({"Forwarded": "proto=https", "Host": "inner.example"}, "https://inner.example"),
    ({"Forwarded": "Host=images.example.org;Proto=HTTPS"}, OUTSIDE),
    ({**FORWARDED, "X-Forwarded-Prefix": "/pictures"}, OUTSIDE + "/pictures"),
    ({**FORWARDED, "X-Forwarded-Prefix": "/pictures/"}, OUTSIDE + "/pictures"),
    ({**FORWARDED, "X-Forwarded-Port": "8443"}, OUTSIDE + ":8443"),
    ({"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "images.example.org, inner.example"}, OUTSIDE),
    ({"Forwarded": "proto=https;host=images.example.org, proto=http;host=inner.example"}, OUTSIDE),
    ({"Forwarded": 'for="[2001:db8::1]:4711" ; proto=https ; host=images.example.org'}, OUTSIDE),
])
def test_parts_that_are_told(behind, headers, right):
    assert base(behind, headers) == right


@pytest.mark.parametrize("headers", [
    {"X-Forwarded-Proto": "javascript"}, {"X-Forwarded-Host": "a b"}, {"X-Forwarded-Host": 'x"y'},
    {"X-Forwarded-Host": ""},
    {"X-Forwarded-Host": "evil.example/path"}, {"X-Forwarded-Host": "a@b"}, {"Forwarded": ";;;==="},
    {"Forwarded": 'host="unclosed'}, {"X-Forwarded-Host": "<script>"}, {"X-Forwarded-Host": "x" * 3000},
])
def test_nonsense_from_a_trusted_peer_is_not_repeated(behind, headers):
    reply = behind.get("/iiif/3/small.tif/info.json", headers)
    assert reply.status in (200, 400, 431), reply
    if reply.status == 200:
        assert reply.json()["id"].startswith(("http://", "https://"))
        for value in headers.values():
            for sign in '<>" @':
                assert sign not in reply.json()["id"]
        assert "evil.example/path" not in reply.json()["id"]


@pytest.mark.parametrize("host", ["a b", 'x"y', "<script>", "evil/path", "a@b", "x" * 3000, "", "a\\b"])
def test_nonsense_as_host_is_not_repeated(served, host):
    reply = served.get("/iiif/3/small.tif/info.json", {"Host": host})
    assert reply.status in (200, 400, 431), reply
    if reply.status == 200:
        identifier = reply.json()["id"]
        assert identifier.endswith("/iiif/3/small.tif") and not set('<>" @\\') & set(identifier), identifier


def test_links_and_redirects_follow(behind):
    reply = behind.get("/iiif/3/small.tif/full/max/0/default.jpg", FORWARDED)
    assert f'<{OUTSIDE}/iiif/3/small.tif/full/max/0/default.jpg>' in reply["link"]
    location = behind.get("/iiif/3/small.tif", FORWARDED)["location"]
    assert location in (f"{OUTSIDE}/iiif/3/small.tif/info.json", "/iiif/3/small.tif/info.json")


def test_vary_names_what_was_used(behind):
    vary = behind.get("/iiif/3/small.tif/info.json", FORWARDED).tokens("vary")
    assert {"accept", "x-forwarded-proto", "x-forwarded-host", "forwarded"} <= vary or "*" in vary


def test_answers_for_two_hosts_have_tags_of_their_own(behind):
    one = behind.get("/iiif/3/small.tif/info.json", FORWARDED)
    other = behind.get("/iiif/3/small.tif/info.json")
    assert one["etag"] != other["etag"]


@pytest.mark.parametrize("headers", [None, {"Host": "other.example"}, FORWARDED, STANDARD])
def test_configured_base_wins(images, start, headers):
    served = start(settings={"base_url": "https://iiif.example.org", "trusted_proxies": "127.0.0.1"})
    assert base(served, headers) == "https://iiif.example.org"
    reply = served.get("/iiif/3/small.tif/full/max/0/default.jpg", headers)
    assert "<https://iiif.example.org/iiif/3/small.tif/full/max/0/default.jpg>" in reply["link"]


def test_configured_base_with_a_path(start):
    served = start(settings={"base_url": "https://example.org/images"})
    assert base(served) == "https://example.org/images"


def test_network_of_trusted_peers(start):
    assert base(start(settings={"trusted_proxies": "127.0.0.0/8"}), FORWARDED) == OUTSIDE
    others = start(settings={"trusted_proxies": "10.0.0.0/8"})
    assert base(others, FORWARDED) == f"http://127.0.0.1:{others.port}"
