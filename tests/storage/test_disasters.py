"""What is kept of a store, the derivatives and the index, all in one cache directory: killed in the middle of writing, on a disk that is
full, on one that fails. Every answer is compared with an undisturbed server's. VITRINE_DISASTER_ROUNDS=100 makes it long."""
import os
import random
import signal
import subprocess
import threading
import time

import pytest

import server as program
from server import Vitrine, is_traced, patience, until
from storage.ceph import ACCESS, BUCKET, SECRET
from storage.large import pyramid

ROUNDS = int(os.environ.get("VITRINE_DISASTER_ROUNDS", "2"))
FAULTS = [("pwrite64", "EIO"), ("pread64", "EIO"), ("fdatasync", "EIO"), ("renameat", "EIO")]
if ROUNDS > 2:
    FAULTS += [("pwrite64", "ENOSPC"), ("preadv2", "EIO"), ("openat", "EIO"), ("ftruncate", "ENOSPC"), ("unlinkat", "EIO")]
SMALL = ["pyramid-jpeg-420.tif", "photo.tif", "jpeg-444-tiled.tif", "rgb.png", "baseline-420.jpg"]


@pytest.fixture(scope="module")
def asked(ceph, images, tmp_path_factory):
    """Paths, and what an undisturbed server answers."""
    folder = tmp_path_factory.mktemp("clear")
    os.chmod(folder.parent, 0o755)
    data, levels = pyramid(os.path.join(images, "photo.tif"), 12_000_000)
    (folder / "large.tif").write_bytes(data)
    for name in SMALL:
        with open(os.path.join(images, name), "rb") as file:
            (folder / name).write_bytes(file.read())
    for path in folder.iterdir():
        ceph.put(f"disaster/{path.name}", path.read_bytes())
    width, height = levels[0]
    dice = random.Random(5)
    paths = [f"/iiif/3/{name}/full/{size},/0/default.{kind}" for name in SMALL for size in (90, 140) for kind in ("jpg", "png")]
    for _ in range(30 if ROUNDS == 2 else 90):
        x, y = dice.randrange(0, width - 300) // 256 * 256, dice.randrange(0, height - 300) // 256 * 256
        paths += [f"/iiif/3/large.tif/{x},{y},256,256/256,/0/default.jpg", f"/iiif/3/large.tif/{x + 7},{y},280,250/max/0/default.png"]
    with Vitrine(folder, settings={"derivative_cache": "false"}) as clear:
        return {path: clear.get(path).body for path in paths}


def vitrine(between, cache, **settings):
    return Vitrine(f"s3://{BUCKET}/disaster", workers=2, cache=cache, settings={
        "s3_endpoint": f"http://127.0.0.1:{between.port}", "s3_path_style": "true", "s3_access_key": ACCESS,
        "s3_secret_key": SECRET, "revalidate": 3600, "memory_cache": 0, **settings})


class Load:
    """Threads that ask, and compare whatever comes as an image."""

    def __init__(self, server, asked, threads=6, seed=1):
        self.wrong, self.right, self.failed, self.ends = [], 0, 0, threading.Event()
        self.server, self.asked, self.paths = server, asked, list(asked)
        self.threads = [threading.Thread(target=self.ask, args=(random.Random(seed * 100 + n),), daemon=True) for n in range(threads)]
        for thread in self.threads:
            thread.start()

    def ask(self, dice):
        while not self.ends.is_set():
            path = dice.choice(self.paths)
            try:
                reply = self.server.get(path)
            except (OSError, AttributeError, IndexError, ValueError):
                self.failed += 1  # the connection ended with the server
                time.sleep(0.01)
                continue
            if reply.status == 200 and reply.body != self.asked[path]:
                self.wrong.append(path)
            self.right += reply.status == 200
            self.failed += reply.status != 200

    def end(self):
        self.ends.set()
        for thread in self.threads:
            thread.join(patience(30))
        assert not self.wrong, self.wrong
        return self


def compare_all(server, asked):
    for path, body in asked.items():
        reply = server.get(path)
        assert reply.status == 200 and reply.body == body, (path, reply)


def test_everything_is_killed_while_it_writes(between, asked, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o777)
    os.chmod(tmp_path, 0o755)
    dice = random.Random(20261121)
    for number in range(ROUNDS + 2):
        server = vitrine(between, cache).start()
        try:
            load = Load(server, asked, seed=number)
            time.sleep(dice.uniform(0.05, 0.6))
            for pid in dice.sample(server.processes(), len(server.processes())):
                os.kill(pid, signal.SIGKILL)
        finally:
            server.discard()
        load.end()
    blocks = cache / "blocks"
    left = [path for path in blocks.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    for path in left + [blocks / ".999999-1"]:
        path.touch()
        os.utime(path, (1, 1))
    with vitrine(between, cache) as server:
        compare_all(server, asked)
        until(lambda: not [path for path in blocks.iterdir() if path.name.startswith(".") and path.name != ".lock"], 10,
              "what was not finished is gone")
        between.take()
        compare_all(server, asked)
        assert not between.take(), "all of it is here"


@pytest.fixture
def small_disk(tmp_path):
    image, place = tmp_path / "disk", tmp_path / "mounted"
    place.mkdir()
    os.chmod(tmp_path, 0o755)
    subprocess.run(["truncate", "-s", "8M", image], check=True)
    subprocess.run(["/usr/sbin/mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, check=False).returncode != 0:
        pytest.skip("there is no loop device to mount a small file system with")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def free_bytes(place):
    status = os.statvfs(place)
    return status.f_bavail * status.f_bsize


def test_a_full_disk(between, asked, small_disk):
    """Blocks, derivatives and the index share a disk that has room for some of them; somebody else fills it, and frees it again."""
    with vitrine(between, small_disk) as server:
        for number in range(ROUNDS):
            load = Load(server, asked, seed=number)
            time.sleep(1)
            filler = small_disk / "filler"
            with open(filler, "wb") as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                        file.flush()
                except OSError:
                    pass
            time.sleep(1)
            filler.unlink()
            time.sleep(0.5)
            until(lambda: load.right > 20, 10, "many were answered in spite of it")
            load.end()
        compare_all(server, asked)
        # The store of blocks gives back a part of what it has when it finds the disk full.
        until(lambda: free_bytes(small_disk) > 300_000, 20, "there is room again")
    with vitrine(between, small_disk) as server:
        compare_all(server, asked)


@pytest.mark.parametrize("call, error", FAULTS)
def test_a_disk_that_fails(between, asked, tmp_path, call, error):
    """Every third such call of the workers fails for a while: nothing wrong is served, then or later."""
    if program.sanitized():
        pytest.skip("leaks cannot be looked for under a tracer")
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o777)
    os.chmod(tmp_path, 0o755)
    with vitrine(between, cache) as server:
        for path in list(asked)[:20]:
            assert server.get(path).body == asked[path]
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when=1+3",
                                   *sum((["-p", str(pid)] for pid in server.worker_pids()), [])],
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            until(lambda: all(is_traced(pid) for pid in server.worker_pids()), 10, "strace is attached")
            load = Load(server, asked, threads=4)
            time.sleep(ROUNDS / 2)
            until(lambda: load.right > 0, 10, "some are answered all the same")
            load.end()
        finally:
            tracer.terminate()
            tracer.wait()
        until(lambda: all(server.get(path).status == 200 for path in list(asked)[:20]), 15, "it has recovered")
        compare_all(server, asked)
    with vitrine(between, cache) as server:
        compare_all(server, asked)
