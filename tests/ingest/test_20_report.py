"""What a batch says: the report, dry runs, and what is skipped the next time."""
import os
import shutil
import subprocess
import urllib.parse

import pytest

from ingesting import files, ingest, report


def test_a_line_for_each_file(home):
    (home / "masters" / "broken.jpg").write_bytes(b"no JPEG")
    ended = ingest(home, "masters", "absent.tif", "--report", "report.jsonl")
    assert ended.status == 1
    lines = {line["source"]: line for line in report(home / "report.jsonl")}
    assert set(lines) == {"masters/lake.jpg", "masters/tower.png", "masters/sub/map.tif", "masters/broken.jpg",
                          "absent.tif"}
    for name, made, size in (("masters/lake.jpg", "out/lake.tif", (500, 400)),
                             ("masters/sub/map.tif", "out/sub/map.tif", (640, 300))):
        line = lines[name]
        assert line["status"] == "made" and line["destination"] == made and "error" not in line
        assert (line["width"], line["height"]) == size
        assert line["source_bytes"] == os.path.getsize(home / name)
        assert line["destination_bytes"] == os.path.getsize(home / made)
        assert line["source_profile"] == line["profile"] == "" and line["warnings"] == [] and line["bits"] == 8
        assert line["seconds"] > 0 and 1e6 < line["peak_memory_bytes"] < 1e9
        assert line["time"].endswith("Z") and len(line["time"]) == 20
    assert lines["masters/tower.png"]["source_profile"] == "Compatible with Adobe RGB (1998)"
    assert "sRGB" in lines["masters/tower.png"]["profile"]
    broken = lines["masters/broken.jpg"]
    assert broken["status"] == "failed" and broken["destination"] == "out/broken.tif"
    assert ended.of("masters/broken.jpg") == ["masters/broken.jpg: " + broken["error"]]
    absent = lines["absent.tif"]
    assert absent["status"] == "failed" and "destination" not in absent
    assert absent["error"] == "it cannot be read: No such file or directory"


def test_checksums_are_those_of_the_files(home):
    ingest(home, "masters", "--report", "report.jsonl")
    for line in report(home / "report.jsonl"):
        for which in ("source", "destination"):
            said = subprocess.run(["xxhsum", "-H1", str(home / line[which])], capture_output=True, text=True, check=True)
            assert said.stdout.split()[0] == line[f"{which}_xxh64"]


def test_names_in_the_report_are_unambiguous(home):
    place = os.path.join(os.fsencode(home), b"odd")
    os.mkdir(place)
    names = [b"caf\xe9.jpg", b"caf\xe8.jpg", "caf\ufffd.jpg".encode(), b"line\nbreak.jpg", b'quote".jpg']
    for name in names:
        shutil.copy(home / "masters" / "lake.jpg", os.path.join(place, name))
    assert ingest(home, "odd", "--report", "report.jsonl").status == 0
    found = set()
    for line in report(home / "report.jsonl"):
        if "source_percent" in line:
            assert "\ufffd" in line["source"]
            found.add(urllib.parse.unquote_to_bytes(line["source_percent"]))
        else:
            found.add(line["source"].encode())
    assert found == {b"odd/" + name for name in names}


def test_done_and_unchanged_is_skipped(home):
    ingest(home, "masters", "--report", "report.jsonl")
    first = {name: os.stat(home / "out" / name).st_ino for name in files(home / "out")}
    ended = ingest(home, "masters", "--report", "report.jsonl")
    assert ended.status == 0 and ended.summary.startswith("0 made, 3 unchanged, 0 failed")
    assert {name: os.stat(home / "out" / name).st_ino for name in first} == first
    assert [line["status"] for line in report(home / "report.jsonl")] == ["made"] * 3 + ["unchanged"] * 3


def test_what_changed_is_made_again(home):
    ingest(home, "masters")
    before = files(home / "out")
    shutil.copy(home / "masters" / "sub" / "map.tif", home / "masters" / "lake.jpg")
    ended = ingest(home, "masters")
    assert ended.summary.startswith("1 made, 2 unchanged")
    assert files(home / "out")["lake.tif"] != before["lake.tif"]


@pytest.mark.parametrize("damage", [
    lambda path: os.remove(path),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(b"II*\0 not ours, and long enough to hold a record of some kind" + bytes(2000)),
])
def test_what_is_not_our_pyramid_any_more_is_made_again(home, damage):
    ingest(home, "masters")
    before = files(home / "out")
    damage(home / "out" / "lake.tif")
    assert ingest(home, "masters").summary.startswith("1 made, 2 unchanged")
    assert files(home / "out") == before


def test_other_options_make_it_again(home):
    ingest(home, "masters")
    assert ingest(home, "masters", "--quality", "80").summary.startswith("3 made, 0 unchanged")
    assert ingest(home, "masters", "--quality", "80", "--threads", "2").summary.startswith("0 made, 3 unchanged")


def test_force_makes_all_again_with_the_same_bytes(home):
    ingest(home, "masters")
    before = files(home / "out")
    assert ingest(home, "masters", "--force").summary.startswith("3 made, 0 unchanged")
    assert files(home / "out") == before


def test_dry_run_says_and_changes_nothing(home):
    ended = ingest(home, "masters", "absent.tif", "--dry-run")
    assert ended.status == 1
    assert [line.split("  (")[0] for line in ended.planned] == [
        "masters/lake.jpg -> out/lake.tif", "masters/sub/map.tif -> out/sub/map.tif",
        "masters/tower.png -> out/tower.tif"]
    assert "quality=90" in ended.planned[0]
    assert ended.summary == "3 to be made, 0 unchanged, 1 failed"
    assert sorted(os.listdir(home)) == ["masters"]
    ingest(home, "masters/lake.jpg")
    assert len(ingest(home, "masters", "--dry-run").planned) == 2


def test_half_a_line_of_a_killed_run_is_cut_off(home):
    (home / "report.jsonl").write_text('{"status":"made"}\n{"status":"ma')
    ingest(home, "masters", "--report", "report.jsonl")
    assert [line["status"] for line in report(home / "report.jsonl")] == ["made"] * 4
    (home / "report.jsonl").write_text("x" * 5000)
    ingest(home, "masters", "--report", "report.jsonl")
    assert len(report(home / "report.jsonl")) == 3


def test_a_report_that_cannot_be_opened_ends_it_before_it_begins(home):
    ended = ingest(home, "masters", "--report", "no/where.jsonl")
    assert ended.status == 1 and len(ended.lines) == 1
    assert "the report no/where.jsonl cannot be opened" in ended.said


def test_a_report_that_cannot_be_written_is_said_once(home):
    ended = ingest(home, "masters", "--report", "/dev/full")
    assert ended.status == 1
    assert len(ended.of("/dev/full")) == 1 and len(files(home / "out")) == 3
