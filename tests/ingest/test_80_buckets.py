"""Masters that come from a bucket, and pyramids that go to one."""
import os
import shutil
import signal

import numpy
import pytest
from PIL import Image

import bucket
from ingesting import Running, files, ingest, report
from server import until


@pytest.fixture
def store(home):
    """The masters of the home, in s3://house/masters."""
    made = bucket.Store()
    for name, data in files(home / "masters").items():
        made.objects[f"masters/{name}"] = data
    yield made
    made.close()


@pytest.fixture
def scratch(home):
    (home / "scratch").mkdir()
    return home / "scratch"


def carried(home, store, *arguments, into="out"):
    return ingest(home, *arguments, "--scratch", "scratch", *store.options(), into=into)


def pyramids(store, prefix="pyramids/"):
    return {key[len(prefix):]: data for key, data in store.objects.items() if key.startswith(prefix)}


def test_from_a_bucket_to_a_folder(home, store, scratch):
    store.objects["masters/notes.txt"] = b"no picture"
    store.objects["mastership/other.jpg"] = b"of another folder"
    ended = carried(home, store, "s3://house/masters", "--report", "report.jsonl")
    assert ended.status == 0, ended.said
    assert ended.summary.startswith("3 made") and "1 other files passed over" in ended.summary
    assert sorted(files(home / "out")) == ["lake.tif", "sub/map.tif", "tower.tif"]
    assert {line["source"] for line in report(home / "report.jsonl")} == {
        "s3://house/masters/lake.jpg", "s3://house/masters/sub/map.tif", "s3://house/masters/tower.png"}
    assert os.listdir(scratch) == []
    asked = len(store.asked)
    assert carried(home, store, "s3://house/masters").summary.startswith("0 made, 3 unchanged")
    assert all("list-type" in what for what in store.asked[asked:])  # nothing was fetched
    store.objects["masters/lake.jpg"] = store.objects["masters/sub/map.tif"]
    assert carried(home, store, "s3://house/masters").summary.startswith("1 made, 2 unchanged")


def test_single_objects_and_odd_keys(home, store, scratch):
    lake = store.objects["masters/lake.jpg"]
    store.objects.update({"odd/a b+c&d<e>'f\".jpg": lake, "odd/ü%41.jpg": lake})
    ended = carried(home, store, "s3://house/odd/", "s3://house/masters/lake.jpg")
    assert ended.status == 0, ended.said
    assert sorted(files(home / "out")) == ["a b+c&d<e>'f\".tif", "lake.tif", "ü%41.tif"]


def test_from_a_folder_to_a_bucket(home, store, scratch):
    assert ingest(home, "masters").status == 0
    ended = carried(home, store, "masters", into="s3://house/pyramids")
    assert ended.status == 0, ended.said
    assert pyramids(store) == files(home / "out")
    assert os.listdir(scratch) == []
    puts = sum("PUT" in what for what in store.asked)
    ended = carried(home, store, "masters", into="s3://house/pyramids")
    assert ended.status == 0 and ended.summary.startswith("0 made, 3 unchanged"), ended.said
    assert sum("PUT" in what for what in store.asked) == puts
    assert carried(home, store, "masters", "--force", into="s3://house/pyramids").summary.startswith("3 made")
    store.objects["pyramids/lake.tif"] = b""
    assert carried(home, store, "masters", "--dry-run", into="s3://house/pyramids/").planned[0].startswith(
        "masters/lake.jpg -> s3://house/pyramids/lake.tif")
    assert carried(home, store, "masters", into="s3://house/pyramids/").summary.startswith("1 made, 2 unchanged")


def test_from_a_bucket_to_a_bucket(home, store, scratch):
    masters = dict(store.objects)
    ended = carried(home, store, "s3://house", into="s3://house/pyramids")
    assert ended.status == 0, ended.said
    assert sorted(pyramids(store)) == ["masters/lake.tif", "masters/sub/map.tif", "masters/tower.tif"]
    # The pyramids lie below what was asked for, and are no masters.
    assert carried(home, store, "s3://house", into="s3://house/pyramids").summary.startswith("0 made, 3 unchanged")
    assert {key: store.objects[key] for key in masters} == masters


def test_no_master_is_replaced(home, store, scratch):
    ended = carried(home, store, "s3://house/masters/sub/map.tif", into="s3://house/masters/sub")
    assert ended.status == 1
    assert ended.of("s3://house/masters/sub/map.tif") == [
        "s3://house/masters/sub/map.tif: refused, because its pyramid would replace a master"]


def test_what_passes_is_tried_again(home, store, scratch):
    store.failures = 2
    assert carried(home, store, "s3://house/masters/lake.jpg").status == 0
    store.failures = 1
    assert carried(home, store, "masters/lake.jpg", into="s3://house/pyramids").status == 0


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A master whose pyramid has more than 32 MB."""
    path = tmp_path_factory.mktemp("noise") / "noise.tif"
    Image.fromarray(numpy.random.default_rng(7).integers(0, 256, (3200, 3600, 3), numpy.uint8)).save(path)
    return path


def put_noise(home, store, noise):
    return carried(home, store, str(noise), "--quality", "100", "--subsampling", "rgb", into="s3://house/pyramids")


def test_large_pyramids_go_in_parts(home, store, scratch, noise):
    store.fail_part = {2: 2}  # each part is tried again for itself
    store.fail_end = 1
    ended = put_noise(home, store, noise)
    assert ended.status == 0, ended.said
    assert not store.uploads
    puts = [what.partition("partNumber=")[2].partition("&")[0] for what in store.asked if what.startswith("PUT")]
    assert puts[:4] == ["1", "2", "2", "2"] and puts == sorted(puts) and len(set(puts)) >= 3
    assert ingest(home, str(noise), "--quality", "100", "--subsampling", "rgb").status == 0
    assert pyramids(store) == files(home / "out")


def test_parts_are_taken_back_when_it_comes_to_nothing(home, store, scratch, noise):
    store.fail_part = {2: 100}
    ended = put_noise(home, store, noise)
    assert ended.status == 1 and len(ended.of(str(noise))) == 1 and "InternalError" in ended.said
    assert not store.uploads and not pyramids(store)
    assert any(what.startswith("DELETE") for what in store.asked)


def test_who_is_not_let_in(home, store, scratch):
    wrong = store.options("another secret")
    ended = ingest(home, "s3://house/masters", "masters/lake.jpg", "--scratch", "scratch", *wrong)
    assert ended.status == 1 and ended.summary.startswith("1 made")
    assert ended.of("s3://house/masters") == [
        "s3://house/masters: the store s3://house refuses the credentials: access key or secret key is wrong (SignatureDoesNotMatch)"]
    ended = ingest(home, "masters", "--scratch", "scratch", *wrong, into="s3://house/pyramids")
    assert ended.status == 1 and len(ended.of("masters/lake.jpg")) == 1 and not pyramids(store)


def test_what_is_not_there(home, store, scratch):
    ended = carried(home, store, "s3://house/nothing", "s3://other/masters", "s3://x")
    assert ended.status == 1
    assert ended.of("s3://house/nothing") == ["s3://house/nothing: the bucket has nothing of this name"]
    assert "no such bucket" in ended.of("s3://other/masters")[0]
    assert "names no bucket" in ended.of("s3://x/")[0]


def test_a_master_that_is_replaced_after_it_was_listed(home, store, scratch):
    store.after_list = lambda: store.objects.update({"masters/lake.jpg": store.objects["masters/tower.png"]})
    ended = carried(home, store, "s3://house/masters/lake.jpg")
    assert ended.status == 1
    assert ended.of("s3://house/masters/lake.jpg") == [
        "s3://house/masters/lake.jpg: the source was changed while it was read"]
    assert files(home / "out") == {}


def test_a_store_that_is_away(home, store, scratch):
    options = store.options()
    store.close()
    ended = ingest(home, "masters/lake.jpg", "--scratch", "scratch", *options, into="s3://house/pyramids")
    assert ended.status == 1 and len(ended.of("masters/lake.jpg")) == 1


def test_a_master_that_breaks_costs_a_line(home, store, scratch):
    store.objects["masters/broken.jpg"] = store.objects["masters/lake.jpg"][:2000]
    ended = carried(home, store, "s3://house/masters", into="s3://house/pyramids")
    assert ended.status == 1 and len(ended.of("s3://house/masters/broken.jpg")) == 1
    assert sorted(pyramids(store)) == ["lake.tif", "sub/map.tif", "tower.tif"]
    assert os.listdir(scratch) == []


def test_what_a_killed_run_leaves_is_removed_by_the_next(home, store, scratch, large):
    shutil.copy(large, home / "masters" / "large.tif")
    arguments = ("masters", "--jobs", "1", "--scratch", "scratch", *store.options())
    with Running(home, *arguments, into="s3://house/pyramids") as running:
        until(lambda: any(files(scratch)), 20, "something is under way")
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        until(lambda: not running.family(), 5, "nobody outlives the run")
    assert len(os.listdir(scratch)) == 1
    with Running(home, *arguments, into="s3://house/pyramids") as running:
        until(lambda: any(files(scratch)), 20, "something is under way")
        assert len(os.listdir(scratch)) == 1  # the one of the run that goes on
        ended = running.end()
    assert ended.status == 0 and os.listdir(scratch) == []
    assert sorted(pyramids(store)) == ["lake.tif", "large.tif", "sub/map.tif", "tower.tif"]


def test_runs_beside_each_other_leave_each_other_alone(home, store, scratch, large):
    shutil.copy(large, home / "large.tif")
    with Running(home, "large.tif", "--scratch", "scratch", *store.options(), into="s3://house/large") as running:
        until(lambda: any(files for _, _, files in os.walk(scratch)), 60, "it works in its folder")
        os.kill(running.process.pid, signal.SIGSTOP)  # so that it cannot have ended before the other
        assert carried(home, store, "masters", into="s3://house/pyramids").status == 0
        assert len(os.listdir(scratch)) == 1
        os.kill(running.process.pid, signal.SIGCONT)
        ended = running.end()
    assert ended.status == 0, ended.said
    assert list(pyramids(store, "large/")) == ["large.tif"]
