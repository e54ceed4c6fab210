"""The lower tier of derivatives in a bucket of a real S3 server: shared, purged, and away."""
import time

import pytest

from storage.ceph import ACCESS, BUCKET, SECRET
from server import until

TOKEN = "a secret of the house"
ASKED = [f"/iiif/3/photo.tif/full/{width},/17/default.png" for width in (300, 200)]


@pytest.fixture
def server(start, between, tmp_path):
    """server(name, prefix, settings...) -> a server of the samples with a cache of its own, and the tier in the bucket."""
    def begin(name, prefix, **settings):
        return start(workers=2, cache=tmp_path / name, settings={
            "derivative_tier": f"s3://{BUCKET}/{prefix}", "derivative_tier_cost": 0, "derivative_tier_wait": 60000, "s3_endpoint": f"http://127.0.0.1:{between.port}",
            "s3_path_style": "true", "s3_access_key": ACCESS, "s3_secret_key": SECRET, "revalidate": 1, "admin_token": TOKEN, **settings})
    return begin


def counter(served, name):
    text = served.admin().get("/metrics").body.decode()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(f"vitrine_{name} "))


def number(served, name):
    return counter(served, f"derivatives_tier_{name}_total")


def knows(served):
    until(lambda: counter(served, "derivatives_tier_known") == 1, 10, "the tier's list of purges is read")


def answers(served, asked=ASKED):
    replies = [served.get(what) for what in asked]
    assert [reply.status for reply in replies] == [200] * len(asked), replies
    return [reply.body for reply in replies]


def fill(served):
    knows(served)
    bodies = answers(served)
    until(lambda: number(served, "stored") >= len(ASKED), 20, "they are in the bucket")
    return bodies


def test_the_second_server_renders_nothing(server, between, ceph):
    first = server("one", "shared")
    bodies = fill(first)
    puts = [seen for seen in between.take() if seen.line.startswith("PUT")]
    assert len(puts) == len(ASKED) and all(seen.status == 200 for seen in puts)
    second = server("two", "shared")
    knows(second)
    assert answers(second) == bodies
    assert counter(second, "renders_total") == 0 and number(second, "hits") == len(ASKED)
    gets = [seen for seen in between.take() if seen.line.startswith("GET") and "list-type" not in seen.line]
    assert len(gets) == len(ASKED), gets


def test_a_purge_reaches_the_bucket_and_the_other_server(server, between, ceph):
    first, second = server("one", "purged"), server("two", "purged")
    bodies = fill(first)
    knows(second)
    assert answers(second) == bodies
    reply = first.admin().ask("POST", "/purge?identifier=photo.tif", {"Authorization": f"Bearer {TOKEN}"})
    assert reply.status == 200, reply.body
    removed = [seen for seen in between.take() if seen.line.startswith("DELETE")]
    assert len(removed) == len(ASKED)
    before = counter(second, "renders_total") + number(second, "hits")
    def heard():
        answers(second, ASKED[:1])
        return counter(second, "renders_total") + number(second, "hits") > before
    until(heard, 10, "the other server makes it again")
    assert answers(second) == bodies


@pytest.mark.parametrize("fault", [("status", 500, "InternalError"), ("status", 503, "SlowDown"), ("refuse",), ("cut", 100),
                                   ("stall", 3), ("status", 403, "AccessDenied")])
def test_a_bucket_that_is_away_costs_a_bounded_time(server, between, fault):
    """Fast failures cost next to nothing, silence 300 ms for each of five; then nobody waits for a while."""
    served = server("one", f"away-{fault[0]}-{fault[1] if len(fault) > 1 else 0}", derivative_tier_wait=300, fetch_timeout=2)
    knows(served)
    between.fault = lambda seen: fault
    asked = [f"/iiif/3/photo.tif/{x},0,100,100/max/0/default.png" for x in range(24)]
    begin = time.monotonic()
    answers(served, asked)
    took_s = time.monotonic() - begin
    between.fault = None
    # Two workers, each with a breaker of its own: at most 2 x 5 answers that waited, and the probe of each.
    assert number(served, "failures") <= 12, number(served, "failures")
    assert took_s < 12 * 0.3 + 6, took_s
    until(lambda: answers(served, [f"/iiif/3/photo.tif/{time.monotonic_ns() % 200},7,90,90/max/0/default.png"]) and
          number(served, "misses") > 0, 15, "the tier is asked again")


def test_a_bucket_that_is_away_from_the_start(server, between):
    between.fault = lambda seen: ("refuse",)
    served = server("one", "never")
    assert answers(served) and number(served, "failures") == 0
    between.fault = None
    knows(served)


def test_a_torn_object_is_made_again(server, between, ceph):
    first = server("one", "torn")
    bodies = fill(first)
    names = [seen.line.split()[1] for seen in between.take() if seen.line.startswith("PUT")]
    for name in names:
        key = name.split(f"/{BUCKET}/", 1)[1]
        status, data = ceph.request("GET", key)
        assert status == 200
        ceph.put(key, data[:-1] + bytes([data[-1] ^ 1]))
    second = server("two", "torn")
    knows(second)
    assert answers(second) == bodies
    assert counter(second, "derivatives_corrupt_total") == len(ASKED) == counter(second, "renders_total")
