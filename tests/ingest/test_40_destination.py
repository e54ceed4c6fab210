"""A destination that is full, goes away, or is none: one clear line, no half pyramid, and the next run goes on."""
import os
import shutil
import signal
import subprocess

import pytest

from ingesting import Running, files, ingest
from server import until
from test_30_killed import busy_with


@pytest.fixture
def small_disc(home):
    """out/ is a file system of 200 KB: enough for one of the pyramids."""
    out = home / "out"
    out.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(out)], capture_output=True,
                             check=False)
    if mounted.returncode != 0:
        pytest.skip("this user may not mount")
    yield home
    subprocess.run(["umount", "-l", str(out)], check=False)


def test_a_full_destination_ends_the_batch_with_one_line(small_disc):
    for number in range(8):
        shutil.copy(small_disc / "masters" / "lake.jpg", small_disc / "masters" / f"{number}.jpg")
    ended = ingest(small_disc, "masters", "--jobs", "1")
    assert ended.status == 1
    full = [line for line in ended.lines if line.startswith("vitrine ingest: ")]
    assert full == ["vitrine ingest: nothing more can be written to out: No space left on device"]
    failed = [line for line in ended.lines if line.startswith("masters/")]
    assert len(failed) == 1 and "No space left on device" in failed[0]
    assert " left" in ended.summary and ended.summary.endswith("the same command goes on from here")
    made = files(small_disc / "out")
    assert all(name.endswith(".tif") for name in made)
    # Once there is room, the rest is made.
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disc / "out")], check=True)
    ended = ingest(small_disc, "masters", "--jobs", "1")
    assert ended.status == 0 and f" {len(made)} unchanged" in ended.summary
    assert len(files(small_disc / "out")) == 11


def test_a_destination_that_goes_away(small_disc, large):
    """Unmounted under the converter: what follows must not fill the folder beneath."""
    shutil.copy(large, small_disc / "masters" / "a-large.tif")
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disc / "out")], check=True)
    with Running(small_disc, "masters", "--jobs", "1") as running:
        converter = busy_with(running, "a-large.tif")
        os.kill(converter, signal.SIGSTOP)  # so that it has not ended by then
        subprocess.run(["umount", "-l", str(small_disc / "out")], check=True)
        os.kill(converter, signal.SIGKILL)
        ended = running.end()
    assert ended.status == 1
    assert "vitrine ingest: the destination out is not the folder that it was" in ended.lines
    assert files(small_disc / "out") == {}


def test_a_destination_that_is_removed(home, large):
    shutil.copy(large, home / "masters" / "a-large.tif")
    with Running(home, "masters", "--jobs", "1") as running:
        converter = busy_with(running, "a-large.tif")
        os.kill(converter, signal.SIGSTOP)
        shutil.rmtree(home / "out")
        os.kill(converter, signal.SIGKILL)
        ended = running.end()
    assert ended.status == 1
    assert "vitrine ingest: the destination out has gone away: No such file or directory" in ended.lines
    assert not (home / "out").exists()


def test_a_destination_that_is_no_folder(home):
    (home / "out").write_text("a file")
    ended = ingest(home, "masters")
    assert ended.status == 1 and ended.lines == ["vitrine: the destination out is no folder"]
    ended = ingest(home, "masters", into="out/below")
    assert ended.status == 1 and ended.lines == ["vitrine: the folder out cannot be made: Not a directory"]


def test_folders_in_the_way_cost_a_line(home):
    (home / "out" / "lake.tif").mkdir(parents=True)
    (home / "out" / "sub").write_text("a file")
    ended = ingest(home, "masters")
    assert ended.status == 1
    assert ended.of("masters/lake.jpg") == [
        "masters/lake.jpg: refused, because what has the name of its pyramid is no file"]
    assert len(ended.of("masters/sub/map.tif")) == 1
    assert (home / "out" / "tower.tif").exists()


def test_deep_destinations_are_made(home):
    assert ingest(home, "masters", into="a/b/c/").status == 0
    assert len(files(home / "a" / "b" / "c")) == 3


def test_a_master_that_changes_while_it_is_read(home, large):
    master = home / "masters" / "middle.tif"
    shutil.copy(large, master)
    with Running(home, "masters/middle.tif", "--threads", "1") as running:
        converter = busy_with(running, "middle.tif")
        os.kill(converter, signal.SIGSTOP)
        with open(master, "ab") as file:
            file.write(b"more")
        os.kill(converter, signal.SIGCONT)
        ended = running.end()
    assert ended.status == 1
    assert len(ended.of("masters/middle.tif")) == 1 and "changed while it was read" in ended.said
    assert files(home / "out") == {}


def test_converters_may_read_one_file_and_write_one_folder(home, large):
    """The box, from outside: what the kernel says of a converter at work."""
    import server
    if server.sanitized():
        pytest.skip("there is no box under a sanitizer")
    shutil.copy(large, home / "masters" / "middle.tif")
    with Running(home, "masters/middle.tif") as running:
        pid = busy_with(running, "middle.tif")
        status = open(f"/proc/{pid}/status").read()
        running.end()
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert lines["NoNewPrivs"] == "1" and lines["Seccomp"] == "2"
    # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH at most.
    assert int(lines["CapEff"], 16) & ~0b110 == 0 and int(lines["CapPrm"], 16) & ~0b110 == 0
