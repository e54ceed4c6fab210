"""Whatever dies, the rest goes on; and the next run ends with the same pyramids as an undisturbed one."""
import os
import shutil
import signal
import time

import pytest

import server
from ingesting import Running, files, ingest, report
from server import until


@pytest.fixture
def batch(home, large):
    """Two small masters around one that takes a while."""
    shutil.rmtree(home / "masters" / "sub")
    shutil.copy(large, home / "masters" / "middle.tif")
    return home


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, photographs, large):
    """name -> bytes of what that batch makes when nothing happens to it. Times of masters are copied with them."""
    place = tmp_path_factory.mktemp("undisturbed")
    os.mkdir(place / "masters")
    shutil.copy(photographs / "lake.jpg", place / "masters")
    shutil.copy(photographs / "tower.png", place / "masters")
    shutil.copy(large, place / "masters" / "middle.tif")
    for name in os.listdir(place / "masters"):
        os.utime(place / "masters" / name, (1700000000, 1700000000))
    assert ingest(place, "masters").status == 0
    return files(place / "out")


@pytest.fixture
def same(batch):
    for name in os.listdir(batch / "masters"):
        os.utime(batch / "masters" / name, (1700000000, 1700000000))
    return batch


def busy_with(running, name):
    """The converter that reads this master. One that has only opened it need not have noted its size and date yet."""
    def found():
        for pid in running.converters():
            try:
                links = [os.readlink(f"/proc/{pid}/fd/{link}") for link in os.listdir(f"/proc/{pid}/fd")]
                if sum(link.endswith(name) for link in links) == 2:  # the second is the decoder's
                    return pid
            except OSError:
                pass
        return None
    return until(found, 20, f"a converter has opened {name}")


@pytest.mark.parametrize("number, said", [
    (signal.SIGKILL, "its converter was killed by signal 9 (Killed)"),
    pytest.param(signal.SIGSEGV, "its converter was killed by signal 11 (Segmentation fault)",
                 marks=pytest.mark.skipif(server.sanitized(), reason="a sanitizer takes the signal for a fault")),
])
def test_a_killed_converter_costs_one_line(same, undisturbed, number, said):
    with Running(same, "masters", "--jobs", "1", "--report", "report.jsonl") as running:
        os.kill(busy_with(running, "middle.tif"), number)
        ended = running.end()
    assert ended.status == 1
    assert ended.of("masters/middle.tif") == [f"masters/middle.tif: {said}"]
    assert ended.summary.startswith("2 made, 0 unchanged, 1 failed")
    assert sorted(files(same / "out")) == ["lake.tif", "tower.tif"]  # nor any temporary file
    assert {line["source"]: line.get("error") for line in report(same / "report.jsonl")} == {
        "masters/lake.jpg": None, "masters/middle.tif": said, "masters/tower.png": None}
    assert ingest(same, "masters").summary.startswith("1 made, 2 unchanged, 0 failed")
    assert files(same / "out") == undisturbed


def test_a_converter_that_stands_still_is_ended(same, undisturbed):
    with Running(same, "masters", "--jobs", "1", "--hang-timeout", "3") as running:
        os.kill(busy_with(running, "middle.tif"), signal.SIGSTOP)
        ended = running.end()
    assert ended.status == 1
    assert ended.of("masters/middle.tif") == [
        "masters/middle.tif: its conversion stood still for 3 s and was ended"]
    assert sorted(files(same / "out")) == ["lake.tif", "tower.tif"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_killed_run_is_gone_on_with(same, undisturbed, jobs):
    with Running(same, "masters", "--jobs", str(jobs)) as running:
        busy_with(running, "middle.tif")
        until(lambda: (same / "out" / "lake.tif").exists(), 10, "the first pyramid is there")
        os.kill(busy_with(running, "middle.tif"), signal.SIGSTOP)  # it cannot see that its master is gone
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
        until(lambda: not running.family(), 5, "no converter outlives its master")
    half = files(same / "out")
    assert "middle.tif" not in half and "lake.tif" in half
    for name in half:
        assert name.startswith(".ingest-") or half[name] == undisturbed[name]
    ended = ingest(same, "masters")
    assert ended.status == 0 and "0 failed" in ended.summary and "0 unchanged" not in ended.summary
    assert files(same / "out") == undisturbed


def test_runs_killed_at_any_moment(same, undisturbed):
    """Killed again and again, each time a little later, until one gets through."""
    for delay_ms in range(0, 400, 50):
        with Running(same, "masters", "--jobs", "2") as running:
            try:
                running.process.wait(delay_ms / 1000)
                break
            except Exception:  # it still runs
                running.process.kill()
                running.process.wait()
        for name, data in files(same / "out").items() if (same / "out").exists() else ():
            assert name.startswith(".ingest-") or data == undisturbed[name]
    assert ingest(same, "masters").status == 0
    assert files(same / "out") == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_run_says_so_and_leaves(same, undisturbed, number):
    with Running(same, "masters", "--jobs", "1", "--report", "report.jsonl") as running:
        busy_with(running, "middle.tif")
        os.killpg(running.process.pid, number)  # as a terminal does
        ended = running.end()
    assert ended.status == 1
    assert ended.lines[-2] == "vitrine ingest: interrupted"
    assert ended.summary.startswith("1 made, 0 unchanged, 0 failed, 2 left")
    assert ended.summary.endswith("the same command goes on from here")
    assert list(files(same / "out")) == ["lake.tif"]
    assert len(report(same / "report.jsonl")) == 1
    assert ingest(same, "masters").summary.startswith("2 made, 1 unchanged, 0 failed")
    assert files(same / "out") == undisturbed


def test_old_temporary_files_are_removed(home):
    (home / "out" / "sub").mkdir(parents=True)
    old, young = home / "out" / "sub" / ".ingest-0123456789abcdef", home / "out" / "sub" / ".ingest-fedcba9876543210"
    other = home / "out" / "sub" / ".ingest-notes.txt"
    for path in (old, young, other):
        path.write_bytes(b"half a pyramid")
    long_ago = time.time() - 3600
    os.utime(old, (long_ago, long_ago))
    os.utime(other, (long_ago, long_ago))
    assert ingest(home, "masters").status == 0
    assert not old.exists() and young.exists() and other.exists()


def test_bad_masters_cost_a_line_each(home, images):
    with open(home / "masters" / "lake.jpg", "rb") as whole:
        data = whole.read()
    (home / "masters" / "cut.jpg").write_bytes(data[:len(data) // 2])
    (home / "masters" / "empty.tif").write_bytes(b"")
    (home / "masters" / "text.png").write_text("no picture at all")
    ended = ingest(home, "masters")
    assert ended.status == 1
    for name in ("cut.jpg", "empty.tif", "text.png"):
        assert len(ended.of(f"masters/{name}")) == 1
    assert sorted(files(home / "out")) == ["lake.tif", "sub/map.tif", "tower.tif"]


def test_too_little_memory_is_a_line(same):
    if server.sanitized():
        pytest.skip("limits on memory are not set under a sanitizer")
    ended = ingest(same, "masters/middle.tif", "masters/lake.jpg", "--set", "worker_max_memory=4M")
    assert ended.status == 1
    assert len(ended.of("masters/middle.tif")) == 1


def test_unreadable_master(home):
    os.chmod(home / "masters" / "lake.jpg", 0)
    ended = ingest(home, "masters")
    if os.getuid() == 0:
        assert ended.status == 0
    else:
        assert ended.status == 1 and len(ended.of("masters/lake.jpg")) == 1
