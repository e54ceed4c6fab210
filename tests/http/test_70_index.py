"""The pyramid index: what one worker has learnt of a picture, all know, also after a restart; and nothing of a picture that
was replaced."""
import os
import shutil
import signal
import subprocess
import time

import pytest

from server import Vitrine, sanitized, soon, until

NAMED = {"base_url": "http://images.example"}  # info.json tells no port

INFO = "/iiif/3/one.tif/info.json"
TILE = "/iiif/3/one.tif/0,0,256,256/256,256/0/default.jpg"
THUMBNAIL = "/iiif/3/one.tif/full/120,/0/default.jpg"
SHEET = "/iiif/3/one.tif/full/max/0/default.jpg"  # carries metadata, if there is some


def age(path, seconds=100):
    """As if it had been there for a while."""
    when = time.time_ns() - seconds * 10**9
    os.utime(path, ns=(when, when))


def place(images, folder, name, to="one.tif"):
    shutil.copy(os.path.join(images, name), folder / "new")
    age(folder / "new")
    os.rename(folder / "new", folder / to)
    return folder / to


@pytest.fixture
def folder(tmp_path):
    tmp_path.chmod(0o755)
    return tmp_path


def metric(served, name):
    text = served.admin().get("/metrics").body.decode()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith(f"vitrine_index_{name} ")))


def indexed(served, count=1):
    until(lambda: metric(served, "records_total") >= count, 5, "the record is written")


def kill_workers(served):
    before = served.worker_pids()
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(set(served.worker_pids()) - set(before)) == len(before), 10, "all workers are new")
    until(lambda: served.admin().get("/status").body.count(b'"serving"') == served.workers, 10, "all workers serve")


def test_a_worker_that_never_saw_the_file_answers(images, folder, start):
    """... not even when it cannot be had any more, as long as nobody has to look again."""
    path = place(images, folder, "pyramid-jpeg-420.tif")
    served = start(folder, settings={"revalidate": 3600, "derivative_cache": "false"})
    info, tile = served.get(INFO), served.get(TILE)
    assert info.status == tile.status == 200
    indexed(served)
    os.rename(path, folder / "elsewhere.tif")
    for _ in range(3):
        kill_workers(served)
        for _ in range(4):
            again = served.get(INFO)
            assert (again.status, again.body, again["etag"], again["last-modified"]) == \
                (200, info.body, info["etag"], info["last-modified"])
            assert served.get(INFO, {"If-None-Match": info["etag"]}).status == 304
            assert served.get(TILE, {"If-None-Match": tile["etag"]}).status == 304
            assert served.get("/iiif/3/one.tif/9999,0,1,1/max/0/default.jpg").status == 400
    assert served.get(TILE).status == 404  # pixels are not in the index
    os.rename(folder / "elsewhere.tif", path)
    until(lambda: served.get(TILE).status == 200, 5, "it is back")
    assert served.get(TILE).body == tile.body


def kinds(images):
    """One of each format, and whatever carries a lot."""
    found = [name for name in sorted(os.listdir(images)) if name.endswith((".tif", ".jpg", ".png", ".webp"))]
    return found[::3]


def test_every_kind_is_the_same_out_of_the_index(images, folder):
    """Parsed by one server, restored by the next: byte for byte the same answers."""
    names = kinds(images)
    for number, name in enumerate(names):
        place(images, folder, name, f"{number}-{name}")
    cache = folder / "cache"
    cache.mkdir()
    targets = [f"/iiif/3/{number}-{name}/{what}" for number, name in enumerate(names)
               for what in ("info.json", "full/200,/0/default.jpg", "0,0,200,100/max/0/gray.png")]
    settings = dict(NAMED, derivative_cache="false")

    def answers(served):
        client = served.client()
        replies = [client.get(target) for target in targets]
        return [(reply.status, reply.body, reply["etag"]) for reply in replies]

    with Vitrine(folder, cache=cache, settings=settings) as served:
        first = answers(served)
        good = sum(status == 200 for status, _, _ in first)
        assert good > len(names)
        indexed(served, good // 3)
    with Vitrine(folder, cache=cache, settings=settings) as served:
        assert answers(served) == first
        assert metric(served, "hits_total") >= good // 3
        assert metric(served, "records_total") == metric(served, "refused_total") == 0


def test_a_restart_keeps_it_and_the_source_is_not_parsed(images, folder):
    path = place(images, folder, "pyramid-jpeg-420.tif")
    cache = folder / "cache"
    cache.mkdir()
    with Vitrine(folder, cache=cache, settings=dict(NAMED, derivative_cache="false")) as served:
        info, tile, thumbnail = served.get(INFO), served.get(TILE), served.get(THUMBNAIL)
        indexed(served)
    # The file's head and directories are gone, its version is the same: whoever parses it fails.
    stat = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"\0" * 8)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    with Vitrine(folder, cache=cache, settings=dict(NAMED, derivative_cache="false")) as served:
        assert served.get(INFO).body == info.body
        assert served.get(TILE).body == tile.body
        assert served.get(THUMBNAIL).body == thumbnail.body
        assert metric(served, "hits_total") > 0


def test_a_replaced_picture_is_noticed(images, folder, start):
    place(images, folder, "pyramid-jpeg-420.tif")
    cache = folder / "cache"
    cache.mkdir()
    with Vitrine(folder, cache=cache, settings=NAMED) as served:
        old = served.get(INFO)
        served.get(TILE)
        indexed(served)
    place(images, folder, "squares.tif")  # while nobody looks
    served = start(folder, cache=cache, settings={"revalidate": 1})
    new = served.get(INFO)
    assert new.json()["width"] == 1000 and new["etag"] != old["etag"]
    indexed(served)
    place(images, folder, "small.tif")  # while somebody does
    soon(lambda: served.get(INFO).json()["width"] == 300, 4, "the next one is shown")
    assert served.get(SHEET).image().size == (300, 200)
    os.unlink(folder / "one.tif")
    soon(lambda: served.get(INFO).status == 404, 4, "none is shown")


# ---- damage --------------------------------------------------------------------------------------------------------

def index_file(served):
    return os.path.join(served.cache, "index", "pyramids-1.mdb")


def garbage(path, length):
    with open(path, "wb") as file:
        file.write(os.urandom(length))


@pytest.mark.parametrize("length", [0, 100, 1 << 20])
def test_an_index_that_is_none(images, folder, length):
    place(images, folder, "pyramid-jpeg-420.tif")
    cache = folder / "cache"
    cache.mkdir()
    with Vitrine(folder, cache=cache, settings=NAMED) as served:
        info = served.get(INFO)
        indexed(served)
    garbage(index_file(served), length)
    garbage(index_file(served) + "-lock", length)
    with Vitrine(folder, cache=cache, settings=NAMED) as served:
        assert served.get(INFO).body == info.body
        indexed(served)
        said = [line for line in served.log().splitlines() if "begun anew" in line]
    assert len(said) == (length > 0) and all("pyramids-1.mdb in the cache directory, is begun anew: MDB_INVALID" in line for line in said), said


@pytest.mark.skipif(sanitized(), reason="a sanitizer reports the worker's death")
@pytest.mark.parametrize("how", ["truncated", "overwritten", "removed"])
def test_an_index_that_breaks_while_serving(images, folder, start, how):
    """A worker may die of it; no request fails, no image comes under suspicion, and there is a new index."""
    place(images, folder, "pyramid-jpeg-420.tif")
    for number in range(30):
        os.link(folder / "one.tif", folder / f"{number}.tif")
    served = start(folder, settings={"revalidate": 0})
    info = served.get(INFO)
    for number in range(30):
        assert served.get(f"/iiif/3/{number}.tif/info.json").status == 200
    indexed(served, 31)
    path = index_file(served)
    if how == "truncated":
        os.truncate(path, 2 * 4096)
    elif how == "overwritten":
        with open(path, "r+b") as file:
            file.write(os.urandom(os.path.getsize(path)))
    else:
        os.unlink(path)
    kill_one = served.worker_pids()[0]
    os.kill(kill_one, signal.SIGKILL)
    for number in range(30):
        reply = served.get(f"/iiif/3/{number}.tif/info.json")
        assert reply.status == 200 and reply.json()["width"] == info.json()["width"]
    assert served.get(INFO).body == info.body
    if how != "removed":
        until(lambda: metric(served, "rebuilt_total") >= 1, 5, "it is made anew")
        assert "pyramids-1.mdb in the cache directory, is begun anew: " in served.log()
    status = served.admin().get("/status").json()
    assert status["quarantine"] == []
    shutil.copy(folder / "one.tif", folder / "late.tif")
    age(folder / "late.tif")
    before = metric(served, "records_total")
    assert served.get("/iiif/3/late.tif/info.json").status == 200
    indexed(served, before + 1)


def test_without_a_cache_directory(images, folder, start):
    place(images, folder, "pyramid-jpeg-420.tif")
    served = start(folder, "--set", "cache=")
    assert served.get(INFO).status == served.get(TILE).status == 200
    assert metric(served, "records_total") == 0


# ---- system calls --------------------------------------------------------------------------------------------------

FILE_CALLS = "openat,openat2,open,pread64,preadv2,preadv,read,newfstatat,statx,fstat,lseek,mmap"


@pytest.mark.skipif(sanitized() or not shutil.which("strace"), reason="needs strace and no sanitizer")
def test_a_hot_info_touches_no_file(images, folder, start):
    path = place(images, folder, "pyramid-jpeg-420.tif")
    served = start(folder, workers=2, settings={"revalidate": 3600})
    served.get(INFO)
    indexed(served)
    kill_workers(served)  # nobody has the picture open
    os.rename(path, folder / "gone.tif")
    log = folder / "calls"
    traces = [subprocess.Popen(["strace", "-f", "-y", "-e", "trace=" + FILE_CALLS, "-o", f"{log}.{pid}", "-p", str(pid)],
                               stderr=subprocess.PIPE, text=True) for pid in served.worker_pids()]
    for trace in traces:
        assert "attached" in trace.stderr.readline()
    clients = [served.client() for _ in range(8)]
    for client in clients:
        assert client.get(INFO).status == 200
    for trace in traces:
        trace.send_signal(signal.SIGINT)
        trace.wait(60)
    calls = "".join(open(f"{log}.{pid}").read() for pid in served.worker_pids())
    touched = [line for line in calls.splitlines()
               if (".tif" in line or "open" in line or "pread" in line or ".mdb" in line)
               and "/dev/urandom" not in line]  # the JSON writer's first hash seed
    assert touched == []
