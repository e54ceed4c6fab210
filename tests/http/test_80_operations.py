"""What operators see: /metrics, /status, the logs, request ids."""
import json
import re
import subprocess

import pytest

from server import until

TILE = "/iiif/3/one.tif/0,0,256,256/256,256/0/default.jpg"
THUMBNAIL = "/iiif/3/one.tif/full/120,/0/default.jpg"


@pytest.fixture(scope="module")
def folder(images, tmp_path_factory):
    """A picture of 1,000 by 700 pixels in tiles of 256."""
    place = tmp_path_factory.mktemp("images")
    subprocess.run(["vips", "black", f"{place}/black.v", "1000", "700", "--bands", "3"], check=True)
    subprocess.run(["vips", "tiffsave", f"{place}/black.v", f"{place}/one.tif", "--tile", "--pyramid", "--compression",
                    "jpeg", "--tile-width", "256", "--tile-height", "256"], check=True)
    (place / "black.v").unlink()
    return place


def metrics(served):
    """name{labels} -> value"""
    lines = served.admin().get("/metrics").body.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def requests(served, **labels):
    """How many answers have all these labels."""
    return sum(value for name, value in metrics(served).items() if name.startswith("vitrine_requests_total{")
               and all(f'{key}="{wanted}"' in name for key, wanted in labels.items()))


def test_metrics_are_well_formed(start, folder):
    served = start(folder)
    for path in (TILE, THUMBNAIL, "/iiif/3/one.tif/info.json", "/nothing"):
        served.get(path)
    text = served.admin().get("/metrics").body
    check = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert check.returncode == 0 and not check.stdout and not check.stderr, check
    for family in (b"vitrine_requests_total", b"vitrine_request_duration_seconds", b"vitrine_stage_duration_seconds",
                   b"vitrine_sent_bytes_total", b"vitrine_read_bytes_total", b"vitrine_cache_hits_total",
                   b"vitrine_derivatives_shared_total", b"vitrine_worker_crashes_total", b"vitrine_answers_recovered_total",
                   b"vitrine_connections", b"vitrine_process_resident_bytes"):
        assert b"# TYPE " + family + b" " in text, family


@pytest.mark.parametrize("path, labels", [
    (TILE, {"class": "tile", "protocol": "iiif3", "status": "200"}),
    (TILE.replace("/3/", "/2/"), {"class": "tile", "protocol": "iiif2", "status": "200"}),
    ("/iiif/3/one.tif/768,0,232,256/232,256/0/default.jpg", {"class": "edge_tile", "status": "200"}),
    ("/iiif/3/one.tif/768,512,232,188/232,188/0/default.png", {"class": "edge_tile", "status": "200"}),
    ("/iiif/3/one.tif/0,0,512,512/256,256/0/default.jpg", {"class": "tile", "status": "200"}),
    (THUMBNAIL, {"class": "thumbnail", "status": "200"}),
    ("/iiif/3/one.tif/full/max/0/default.jpg", {"class": "full", "status": "200"}),
    ("/iiif/3/one.tif/13,14,300,300/200,/0/default.webp", {"class": "region", "status": "200"}),
    ("/iiif/3/one.tif/0,0,9/max/0/default.jpg", {"class": "other", "protocol": "iiif3", "status": "400"}),
    ("/iiif/3/none.tif/full/max/0/default.jpg", {"class": "region", "protocol": "iiif3", "status": "404"}),
    ("/iiif/3/one.tif", {"class": "info", "protocol": "iiif3", "status": "303"}),
    ("/iiif/2/one.tif/info.json", {"class": "info", "protocol": "iiif2", "status": "200"}),
    ("/deepzoom/one.tif.dzi", {"class": "info", "protocol": "deepzoom", "status": "200"}),
    ("/zoomify/one.tif/ImageProperties.xml", {"class": "info", "protocol": "zoomify", "status": "200"}),
    ("/presentation/3/one.tif/manifest", {"class": "document", "protocol": "presentation", "status": "200"}),
    ("/nothing", {"class": "other", "protocol": "none", "status": "404"}),
])
def test_requests_by_class_protocol_and_status(start_once, path, labels):
    before = requests(start_once, **labels)
    start_once.get(path)
    assert requests(start_once, **labels) == before + 1


@pytest.fixture(scope="module")
def start_once(folder):
    from server import Vitrine
    with Vitrine(folder) as served:
        yield served


def histogram(served, name, label):
    """[(bound, count below it)], sum, count"""
    buckets, found = [], metrics(served)
    for key, value in found.items():
        if key.startswith(name + "_bucket{" + label + ","):
            bound = re.search('le="([^"]+)"', key).group(1)
            buckets.append((float(bound), value))
    return buckets, found[f"{name}_sum{{{label}}}"], found[f"{name}_count{{{label}}}"]


def test_histograms_add_up(start, folder):
    served = start(folder, settings={"derivative_cache": "false"})
    for turn in range(20):
        assert served.get(f"/iiif/3/one.tif/{turn},0,500,500/400,/0/default.jpg").status == 200
    until(lambda: histogram(served, "vitrine_request_duration_seconds", 'class="region"')[2] == 20, 5, "all are counted")
    for name, label in (("vitrine_request_duration_seconds", 'class="region"'),
                        ("vitrine_stage_duration_seconds", 'stage="queue"'),
                        ("vitrine_stage_duration_seconds", 'stage="decode"'),
                        ("vitrine_stage_duration_seconds", 'stage="resample"'),
                        ("vitrine_stage_duration_seconds", 'stage="encode"')):
        buckets, total, count = histogram(served, name, label)
        assert count == 20, (name, label, count)
        assert [below for _, below in buckets] == sorted(below for _, below in buckets)
        assert buckets[-1] == (float("inf"), 20)
        assert total > 0
        # What the buckets say of the sum: between all at the lower and all at the upper bounds.
        low = high = previous = bound_before = 0
        for bound, below in buckets:
            low += (below - previous) * bound_before
            high += (below - previous) * bound if below > previous else 0
            previous, bound_before = below, bound
        assert low <= total <= high


def test_bytes_sent_and_read(start, folder):
    served = start(folder, workers=1)
    served.get(TILE)  # opened
    until(lambda: metrics(served)['vitrine_request_duration_seconds_count{class="tile"}'] == 1, 5, "it is counted")
    before = metrics(served)
    answers = [served.get(TILE) for _ in range(5)]
    until(lambda: metrics(served)['vitrine_request_duration_seconds_count{class="tile"}'] == 6, 5, "all are counted")
    after = metrics(served)
    body = sum(len(answer.body) for answer in answers)
    command = len(served.admin().get("/metrics").body)
    sent = after["vitrine_sent_bytes_total"] - before["vitrine_sent_bytes_total"]
    assert body <= sent <= body + 20 * command  # and the answer to the first look
    assert 0 < after["vitrine_read_bytes_total"] - before["vitrine_read_bytes_total"] <= body


def test_status_says_it_all(start, folder):
    served = start(folder, workers=2)
    for _ in range(10):
        served.get(TILE)
    served.get(THUMBNAIL)
    until(lambda: metrics(served)["vitrine_derivatives_memory_entries"] == 1, 5, "the thumbnail is kept, which is done beside its answer")
    served.get(THUMBNAIL)
    until(lambda: metrics(served)['vitrine_request_duration_seconds_count{class="tile"}'] == 10, 5, "all are counted")
    status = served.admin().get("/status").json()
    tile = status["classes"]["tile"]
    assert tile["requests"] == 10 and tile["errors"] == 0 and tile["per_s"] > 0
    assert 0 < tile["p50_ms"] <= tile["p99_ms"]
    assert status["stages"]["encode"]["p50_ms"] > 0
    assert status["tiers"]["memory"]["hits"] == 1 < status["tiers"]["memory"]["lookups"]
    assert [worker["state"] for worker in status["workers"]] == ["serving", "serving"]
    assert sum(worker["requests"] for worker in status["workers"]) >= 13
    assert status["queue"]["jobs"] == 0 and status["errors"] == [] and status["connections"]["open"] >= 1
    for worker in status["workers"]:
        assert worker["pid"] in served.worker_pids() and worker["crashes"] == 0
        assert 0 <= worker["age_s"] < 60


def test_counters_outlive_a_worker(start, folder):
    import os
    import signal
    served = start(folder, workers=2)
    for _ in range(20):
        served.get(TILE)
    before = metrics(served)
    for pid in served.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: served.admin().get("/status").json()["crashes"] == 2, 5, "both are replaced")
    until(lambda: metrics(served).get('vitrine_process_resident_bytes{process="worker 1"}', 0) > 0, 5, "memory is known")
    after = metrics(served)
    for name, value in before.items():
        if name.partition("{")[0].endswith(("_total", "_count", "_sum", "_bucket")):
            assert after[name] >= value, name
    status = served.admin().get("/status").json()
    assert sum(worker["crashes"] for worker in status["workers"]) == 2
    assert status["classes"]["tile"]["requests"] == 20
    texts = [error["text"] for error in status["errors"]]
    assert sum("was killed by signal 9" in text for text in texts) == 2
    assert status["errors_total"] >= 2 and status["errors"][0]["level"] == "error"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", status["errors"][0]["time"])
    assert json.dumps(status)
