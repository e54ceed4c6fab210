"""A cache that is damaged, full, or killed in the middle of writing: whole or smaller, never wrong."""
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import pytest

import server
from cached import counters, entries, files, renders, settled, stored, target
from server import Vitrine, until

FILES_ONLY = {"memory_cache": 0}
SMALL, LARGE = target(), target("noise.tif", size="700,", rest="0/default.tif")


@pytest.fixture
def filled(folder, tmp_path):
    """A cache directory with a small and a large entry, and what they answer."""
    cache = tmp_path / "cache"
    with Vitrine(folder, cache=cache, settings=FILES_ONLY) as served:
        bodies = {what: served.get(what).body for what in (SMALL, LARGE)}
        stored(served, 2)
        paths = sorted(entries(served), key=os.path.getsize)
    return cache, bodies, dict(zip((SMALL, LARGE), paths))


def flip(at):
    def damage(data):
        place = at if at >= 0 else len(data) + at
        return data[:place] + bytes([data[place] ^ 0x40]) + data[place + 1:]
    return damage


DAMAGES = {"empty": lambda data: b"", "one byte": lambda data: data[:1], "half a header": lambda data: data[:50],
           "cut in the body": lambda data: data[:len(data) // 2], "one byte short": lambda data: data[:-1],
           "one byte long": lambda data: data + b"x", "in the magic number": flip(0), "in the lengths": flip(9),
           "in the checksum": flip(25), "in the key": flip(100), "in the body": flip(-1), "zeros": lambda data: bytes(len(data)),
           "zeros at the end": lambda data: data[:-5000] + bytes(5000), "somebody else's": lambda data: b"GIF89a" + data[6:]}


def is_another(path, before, length):
    """Whether a file of this length is there that was put there since."""
    try:
        now = os.stat(path)
    except FileNotFoundError:
        return False
    return now.st_size == length and (now.st_ino, now.st_mtime_ns) != (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize("what", [SMALL, LARGE], ids=["small", "large"])
def test_a_damaged_entry_is_made_again(start, folder, filled, what):
    cache, bodies, paths = filled
    served = start(folder, cache=cache, settings=FILES_ONLY)
    with open(paths[what], "rb") as file:
        data = file.read()
    for number, (name, damage) in enumerate(DAMAGES.items(), 1):
        with open(paths[what], "wb") as file:
            file.write(damage(data))
        damaged = os.stat(paths[what])
        if what is LARGE and name in ("in the body", "zeros at the end"):  # compared now and then
            assert any(served.get(what).body == bodies[what] for _ in range(500)), name
        for _ in range(2):
            assert served.get(what).body == bodies[what], name
        until(lambda: is_another(paths[what], damaged, len(data)), 5, f"whole again: {name}")
        assert renders(served) == number, name
    assert counters(served)["vitrine_derivatives_corrupt_total"] >= len(DAMAGES)


def test_an_entry_of_another_key_is_not_believed(start, folder, filled):
    cache, bodies, paths = filled
    shutil.copy(paths[LARGE], paths[SMALL])
    served = start(folder, cache=cache, settings=FILES_ONLY)
    assert served.get(SMALL).body == bodies[SMALL] and served.get(LARGE).body == bodies[LARGE]
    assert renders(served) == 1


def test_folders_that_were_emptied_are_found_again(start, folder, filled):
    """Workers keep the folders open in which they have found something."""
    cache, bodies, paths = filled
    served = start(folder, cache=cache, settings={**FILES_ONLY, "workers": 1})
    assert served.get(SMALL).body == bodies[SMALL] and renders(served) == 0
    shutil.rmtree(os.path.dirname(paths[SMALL]))
    for rendered in range(1, 3):
        assert served.get(SMALL).body == bodies[SMALL]
        until(lambda: os.path.exists(paths[SMALL]), 5, "it is stored again")
        for _ in range(2):
            assert served.get(SMALL).body == bodies[SMALL] and renders(served) == rendered
        os.unlink(paths[SMALL])


def test_links_and_folders_in_place_of_entries(start, folder, filled, tmp_path):
    cache, bodies, paths = filled
    os.unlink(paths[SMALL])
    os.symlink("/etc/passwd", paths[SMALL])
    os.unlink(paths[LARGE])
    os.mkdir(paths[LARGE])
    served = start(folder, cache=cache, settings=FILES_ONLY)
    for _ in range(2):
        assert served.get(SMALL).body == bodies[SMALL] and served.get(LARGE).body == bodies[LARGE]


def test_a_broken_list_of_purges_purges_everything(start, folder, filled):
    cache, bodies, _ = filled
    with open(cache / "derivatives" / "purges", "wb") as file:
        file.write(b"\1" * 100)
    served = start(folder, cache=cache, settings=FILES_ONLY)
    assert served.get(SMALL).body == bodies[SMALL] and renders(served) == 1
    assert "list of purges is broken" in served.log()


def test_a_cache_that_may_not_be_written(start, folder, tmp_path):
    cache = tmp_path / "cache"
    served = start(folder, cache=cache, settings=FILES_ONLY)
    # The server, whose janitor begins now, may put something into a folder that is just being emptied.
    until(lambda: shutil.rmtree(cache / "derivatives", ignore_errors=True) or not (cache / "derivatives").exists(), 5, "it is gone")
    body = served.get(SMALL).body
    # One that asks while the first is still being stored gets what that one got.
    until(lambda: served.get(SMALL).body == body and renders(served) > 1, 5, "it is rendered again")


# ---- bounds ------------------------------------------------------------------------------------------------------

def ask_many(served, count, seed=1):
    dice = random.Random(seed)
    for _ in range(count):
        x, y = dice.randrange(500), dice.randrange(500)
        what = target("noise.tif", region=f"{x},{y},{dice.randrange(20, 400)},{dice.randrange(20, 400)}", size="max")
        assert served.get(what).status == 200


@pytest.mark.parametrize("settings", [{"cache_size": "400K"}, {"cache_files": 20}], ids=["bytes", "files"])
def test_bounds_hold(start, folder, settings):
    served = start(folder, settings={**settings, **FILES_ONLY})
    most = []
    for step in range(10):
        ask_many(served, 20, step)
        now = settled(lambda: entries(served), 0.1)
        most.append((sum((size + 4095) // 4096 * 4096 for size in now.values()), len(now)))
    assert max(size for size, _ in most) <= (400 << 10 if "cache_size" in settings else 1 << 40)
    assert max(count for _, count in most) <= settings.get("cache_files", 1 << 40)
    assert most[-1][1] > 5
    numbers = counters(served)
    assert numbers["vitrine_derivatives_evicted_total"] > 50
    until(lambda: counters(served)["vitrine_derivatives_files"] == len(entries(served)), 5, "as many as are counted")


def test_a_cache_found_too_large_is_made_smaller(start, folder, tmp_path):
    cache = tmp_path / "cache"
    with Vitrine(folder, cache=cache, settings=FILES_ONLY) as served:
        ask_many(served, 60)
        stored(served, 51)
    served = start(folder, cache=cache, settings={"cache_files": 10, **FILES_ONLY})
    until(lambda: len(entries(served)) <= 10, 10, "as many as there may be")


def test_age(start, folder):
    served = start(folder, settings={"cache_max_age": 1})
    body = served.get(SMALL).body
    stored(served, 1)
    until(lambda: not entries(served), 10, "it is too old and removed")
    assert served.get(SMALL).body == body and renders(served) == 2


# ---- kill -9 -----------------------------------------------------------------------------------------------------

def test_kill_everything_while_it_writes(folder, tmp_path):
    """Again and again; then every answer is what an undisturbed server says, and nothing unfinished is left."""
    cache = tmp_path / "cache"
    asked = [target(name, size=f"{size},", rest=f"{turn}/default.{kind}") for name in ("a.jpg", "b.jpg", "noise.tif")
             for size in (150, 400, 690) for turn in (0, 90) for kind in ("jpg", "png")]
    with Vitrine(folder, settings={"derivative_cache": "false"}) as plain:
        wanted = {what: plain.get(what).body for what in asked}
    dice = random.Random(20261121)
    for _ in range(4):
        served = Vitrine(folder, cache=cache, settings=FILES_ONLY).start()
        try:
            def load():
                try:
                    while True:
                        what = dice.choice(asked)
                        assert served.get(what).body == wanted[what], what
                except (OSError, ConnectionError, AttributeError, IndexError, ValueError):
                    pass
            threads = [threading.Thread(target=load, daemon=True) for _ in range(4)]
            for thread in threads:
                thread.start()
            time.sleep(dice.uniform(0.02, 0.3))
            for pid in served.processes():
                os.kill(pid, signal.SIGKILL)
        finally:
            served.discard()
    with Vitrine(folder, cache=cache, settings=FILES_ONLY) as served:
        for what in asked * 2:
            assert served.get(what).body == wanted[what], what
        until(lambda: len(files(served)) == len(entries(served)) + others(served), 15, "what was not finished is gone")
        assert renders(served) <= len(asked)


def others(served):
    return len([name for name in os.listdir(os.path.join(served.cache, "derivatives")) if len(name) != 2])


# ---- a full disc, a broken disc ----------------------------------------------------------------------------------

@pytest.fixture
def small_disc(tmp_path):
    image, place = tmp_path / "disc", tmp_path / "mounted"
    place.mkdir()
    subprocess.run(["truncate", "-s", "2M", image], check=True)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-m", "0", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, check=False).returncode != 0:
        pytest.skip("no loop device here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_a_full_disc(start, folder, small_disc):
    served = start(folder, cache=small_disc, settings=FILES_ONLY)
    plain = start(folder, settings={"derivative_cache": "false"})
    dice = random.Random(3)
    for _ in range(3):
        for _ in range(25):
            x, y = dice.randrange(300), dice.randrange(300)
            what = target("noise.tif", region=f"{x},{y},300,200", size="max", rest="0/default.png")
            assert served.get(what).body == plain.get(what).body
            assert served.get(what).body == plain.get(what).body
        time.sleep(1.1)  # after a failure nothing is written for a second
    numbers = counters(served)
    assert numbers["vitrine_derivatives_refused_total"] > 0 and numbers["vitrine_derivatives_evicted_total"] > 0
    assert numbers["vitrine_derivatives_stored_total"] > 10
    until(lambda: not [path for path in files(served) if os.path.basename(path).startswith(".")], 5, "none is left that is not finished")


@pytest.mark.parametrize("call, error", [("pread64", "EIO"), ("pwrite64", "EIO"), ("pwrite64", "ENOSPC"), ("renameat", "EIO")])
def test_a_broken_disc(folder, tmp_path, call, error):
    if server.sanitized():
        pytest.skip("leaks cannot be looked for under a tracer")
    cache = tmp_path / "cache"
    asked = [target("a.jpg", size=f"{size},") for size in range(200, 212)]
    with Vitrine(folder, settings={"derivative_cache": "false"}) as plain:
        wanted = {what: plain.get(what).body for what in asked}
    with Vitrine(folder, cache=cache, workers=1, settings=FILES_ONLY) as served:
        served.get(asked[0])
        stored(served, 1)
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}",
                                   "-e", f"inject={call}:error={error}:when=1+2", *sum((["-p", str(pid)] for pid in served.worker_pids()), [])],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            until(lambda: tracer.poll() is not None or all(server.is_traced(pid) for pid in served.worker_pids()), 10, "strace is attached")
            assert tracer.poll() is None, tracer.stdout.read()
            for what in asked * 3:
                answer = served.get(what)
                assert answer.body == wanted[what] or answer.status >= 500, what
        finally:
            tracer.terminate()
            tracer.wait()
        for what in asked * 2:
            assert served.get(what).body == wanted[what], what
