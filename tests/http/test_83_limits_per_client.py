"""What one client may have: requests that wait for renders, render time per second; and robots.txt."""
import os
import signal
import subprocess

import pytest

from server import run, until


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    subprocess.run(["vips", "gaussnoise", f"{place}/noise.v", "1500", "1500"], check=True)
    subprocess.run(["vips", "cast", f"{place}/noise.v", f"{place}/bytes.v", "uchar"], check=True)
    subprocess.run(["vips", "tiffsave", f"{place}/bytes.v", f"{place}/one.tif", "--tile", "--pyramid", "--compression", "jpeg"],
                   check=True)
    (place / "noise.v").unlink(), (place / "bytes.v").unlink()
    return place


def big(number):
    """Answers that leave while they are made: in flight as long as nobody reads them."""
    return f"/iiif/3/one.tif/full/^{4000 + number},/0/default.png"


LARGE = {"max_width": 20000, "max_height": 20000, "max_area": 10**9, "derivative_cache": "false"}
TILE = "/iiif/3/one.tif/0,0,128,128/128,128/0/default.jpg"
SMALL = "/iiif/3/one.tif/0,0,{},700/90,/0/default.jpg"


def begin(served, number, headers=None):
    connection = served.client().connect(receive_buffer=4096)
    connection.request("GET", big(number), headers)
    return connection


def status_of(served, headers=None, number=600):
    return served.get(SMALL.format(number), headers)


def test_requests_in_flight_are_counted_over_all_workers(start, folder):
    served = start(folder, workers=3, settings={**LARGE, "requests_per_address": 4})
    held = [begin(served, number) for number in range(4)]
    for connection in held:
        connection.socket.recv(1)  # it is under way
    refused = status_of(served)
    assert refused.status == 429 and refused["retry-after"] == "1" and refused["cache-control"] == "no-store"
    assert b"4 requests in flight" in refused.body and refused["x-request-id"]
    assert served.get(TILE).status in (200, 429)  # known by that worker or not
    held.pop().close()
    until(lambda: status_of(served).status == 200, 10, "one has left")
    for connection in held:
        connection.close()
    assert 'class="region",protocol="iiif3",status="429"' in served.admin().get("/metrics").body.decode()


def test_what_a_dead_worker_had_is_forgotten(start, folder):
    served = start(folder, workers=1, settings={**LARGE, "requests_per_address": 2})
    held = [begin(served, number) for number in range(2)]
    for connection in held:
        connection.socket.recv(1)
    assert status_of(served).status == 429
    for connection in held:
        connection.close()
    os.kill(served.worker_pids()[0], signal.SIGKILL)
    until(lambda: served.admin().get("/status").json()["crashes"] == 1, 10, "it is replaced")
    until(lambda: status_of(served).status == 200, 10, "the count began anew")


def test_clients_behind_a_proxy_are_told_apart(start, folder):
    served = start(folder, workers=2, settings={**LARGE, "requests_per_address": 1, "trusted_proxies": "loopback"})
    held = begin(served, 1, {"X-Forwarded-For": "2001:db8:1:2::1"})
    held.socket.recv(1)
    assert status_of(served, {"X-Forwarded-For": "2001:db8:1:2:ffff::9"}).status == 429  # the same /64
    assert status_of(served, {"X-Forwarded-For": "2001:db8:1:3::1"}).status == 200
    assert status_of(served, {"X-Forwarded-For": "192.0.2.1"}).status == 200
    assert status_of(served, {"Forwarded": 'for="[2001:db8:1:2::77]:80"'}).status == 429
    # What a client writes itself is no way around: the proxy's word comes last.
    assert status_of(served, {"X-Forwarded-For": "192.0.2.5, 2001:db8:1:2::4"}).status == 429
    held.close()


def test_defaults_leave_room_for_a_proxy(start, folder):
    served = start(folder, workers=2)
    connections = [served.client().connect() for _ in range(100)]
    for number, connection in enumerate(connections):
        connection.request("GET", SMALL.format(500 + number))
    assert {connection.reply().status for connection in connections} == {200}


def test_render_time_per_second(start, folder):
    served = start(folder, workers=2, settings={**LARGE, "render_time_per_address": 50})
    statuses = []
    while 429 not in statuses and len(statuses) < 1000:
        answer = served.get(f"/iiif/3/one.tif/0,0,{500 + len(statuses)},700/max/0/default.png")
        statuses.append(answer.status)
    assert statuses[-1] == 429 and statuses.count(200) >= 2, statuses  # ten seconds' worth at once
    assert int(answer["retry-after"]) >= 1 and b"50 ms of render time" in answer.body
    assert served.admin().ask("GET", "/status").status == 200
    assert served.get("/robots.txt").status == 200


def test_robots(start, folder, tmp_path):
    served = start(folder)
    answer = served.get("/robots.txt")
    assert answer.status == 200 and answer.media_type() == "text/plain"
    import urllib.robotparser
    rules = urllib.robotparser.RobotFileParser()
    rules.parse(answer.body.decode().splitlines())
    assert not rules.can_fetch("*", TILE) and not rules.can_fetch("*", "/deepzoom/one.tif_files/0/0_0.jpg")
    assert rules.can_fetch("*", "/") and rules.can_fetch("*", "/presentation/3/one.tif/manifest")
    (tmp_path / "robots").write_text("User-agent: *\nDisallow: /\n")
    os.chmod(tmp_path / "robots", 0o644)
    own = start(folder, settings={"robots": tmp_path / "robots"})
    assert own.get("/robots.txt").body == b"User-agent: *\nDisallow: /\n"
    missing = run("serve", "--images", str(folder), "--listen", "127.0.0.1:0", "--admin", "", "--set", "robots=/none")
    assert missing.returncode == 1 and "robots: /none cannot be read" in missing.stderr
