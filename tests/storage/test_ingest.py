"""`vitrine ingest` between buckets of a real S3 server, and what it made served from there."""
import os
import subprocess

import numpy
from PIL import Image

import server
from client import Client
from storage.ceph import ACCESS, BUCKET, SECRET


def ingest(ceph, folder, *arguments, into):
    chosen = {"s3_endpoint": f"http://127.0.0.1:{ceph.port}", "s3_path_style": "true", "s3_access_key": ACCESS,
              "s3_secret_key": SECRET}
    done = subprocess.run([server.binary(), "ingest", *arguments, "--scratch", str(folder), "--into", into,
                           *(word for key, value in chosen.items() for word in ("--set", f"{key}={value}"))],
                          capture_output=True, text=True, timeout=server.patience(120), check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr.splitlines()[-1]


def test_from_bucket_to_bucket(ceph, s3, images, tmp_path):
    names = ["baseline-420.jpg", "progressive.jpg", "lzw-striped.tif", "odd ü+%&=.png"]
    (tmp_path / "masters").mkdir()
    for name in names:
        with open(os.path.join(images, "rgb.png" if name.startswith("odd") else name), "rb") as file:
            data = file.read()
        ceph.put(f"ingest/masters/{name}", data)
        (tmp_path / "masters" / name).write_bytes(data)
    asked = (f"s3://{BUCKET}/ingest/masters", f"s3://{BUCKET}/ingest/pyramids")
    assert ingest(ceph, tmp_path, asked[0], into=asked[1]).startswith("4 made")
    assert ingest(ceph, tmp_path, asked[0], into=asked[1]).startswith("0 made, 4 unchanged")
    assert ingest(ceph, tmp_path, str(tmp_path / "masters"), into=str(tmp_path / "out")).startswith("4 made")
    served = s3("ingest/pyramids")
    for name in names:
        name = os.path.splitext(name)[0] + ".tif"
        status, stored = ceph.request("GET", f"ingest/pyramids/{name}")
        assert status == 200
        with Image.open(tmp_path / "out" / name) as ours:
            (tmp_path / "stored.tif").write_bytes(stored)
            with Image.open(tmp_path / "stored.tif") as theirs:
                assert numpy.array_equal(numpy.asarray(ours), numpy.asarray(theirs)), name
        assert served.get(f"/iiif/3/{name.replace('%', '%25').replace(' ', '%20').replace('ü', '%C3%BC')}/full/64,/0/default.jpg"
                          ).status == 200


def test_a_large_pyramid_goes_in_parts(ceph, tmp_path):
    noise = numpy.random.default_rng(7).integers(0, 256, (3200, 3600, 3), numpy.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.tif")
    settings = ["--quality", "100", "--subsampling", "rgb"]
    into = f"s3://{BUCKET}/parts"
    assert ingest(ceph, tmp_path, str(tmp_path / "noise.tif"), *settings, into=into).startswith("1 made")
    assert ingest(ceph, tmp_path, str(tmp_path / "noise.tif"), *settings, into=into).startswith("0 made, 1 unchanged")
    assert ingest(ceph, tmp_path, str(tmp_path / "noise.tif"), *settings, into=str(tmp_path / "out")).startswith("1 made")
    status, stored = ceph.request("GET", "parts/noise.tif")
    assert status == 200 and len(stored) > 32 << 20
    assert stored == (tmp_path / "out" / "noise.tif").read_bytes()


def test_thumbnails_of_pyramids_in_a_bucket(ceph, s3, images, tmp_path):
    into = f"s3://{BUCKET}/thumbnails"
    served = s3("thumbnails", admin_token="a secret of the house", derivative_cache="true", revalidate=0)
    asked = [os.path.join(images, "baseline-420.jpg"), "--thumbnails", "100,200", "--set", f"images={into}", "--set",
             f"admin=127.0.0.1:{served.admin_port}", "--set", "admin_token=a secret of the house"]
    for force, summary in ((["--force"], "1 made"), ([], "0 made, 1 unchanged"), ([], "0 made, 1 unchanged")):
        assert ingest(ceph, tmp_path, *asked, *force, into=into).startswith(summary)
        text = Client("127.0.0.1", served.admin_port).get("/metrics").body.decode()
        renders = [line for line in text.splitlines() if line.startswith("vitrine_renders_total")]
        for width in (100, 200):
            assert served.get(f"/iiif/3/baseline-420.tif/full/{width},/0/default.jpg").status == 200
        text = Client("127.0.0.1", served.admin_port).get("/metrics").body.decode()
        assert renders == [line for line in text.splitlines() if line.startswith("vitrine_renders_total")] != []
