"""What many ask for at once, over all workers, is fetched once; and what its fetcher leaves undone another does."""
import collections
import os
import signal
import threading
import time

import pytest

from server import until
from storage.large import pyramid

TILE = "/iiif/3/{}/{},{},256,256/{},/0/default.jpg"


@pytest.fixture(scope="module")
def picture(images, tmp_path_factory):
    """Big enough for many blocks: its bytes, and a folder with it in the clear."""
    folder = tmp_path_factory.mktemp("once")
    data, levels = pyramid(os.path.join(images, "photo.tif"), 12_000_000)
    (folder / "a.tif").write_bytes(data)
    os.chmod(folder.parent, 0o755)
    return data, levels, folder


def all_at_once(server, paths, connections=50):
    """Asks for all of the paths over so many connections, which spread over the workers."""
    replies, lock = collections.defaultdict(list), threading.Lock()

    def ask(mine):
        client = server.client()
        for path in mine:
            reply = client.get(path)
            with lock:
                replies[path].append(reply)
    threads = [threading.Thread(target=ask, args=(paths[i::connections],)) for i in range(connections)]
    for thread in threads:
        thread.start()
    return replies, threads


def tiles(levels, count):
    """Paths of so many different answers, of tiles here and there; some blocks are shared by many."""
    width, height = levels[0]
    places = [(x, y) for y in range(0, height - 255, 256) for x in range(0, width - 255, 256)]
    return [TILE.format("a.tif", *places[(n // 2) * 7 % len(places)], 200 + n % 2) for n in range(count)]


def fetched_more_than_once(asked):
    blocks = collections.Counter(block for _, blocks in asked for block in blocks)
    return {block: times for block, times in blocks.items() if times > 1}


def test_500_cold_requests_fetch_each_block_once(start, s3, ceph, between, picture):
    data, levels, folder = picture
    ceph.put("once/a.tif", data)
    server, clear = s3("once", workers=4), start(folder, workers=1, settings={"derivative_cache": "false"})
    between.delay_s = 0.03  # so that they meet
    paths = tiles(levels, 50) * 10
    replies, threads = all_at_once(server, paths)
    for thread in threads:
        thread.join()
    assert sum(map(len, replies.values())) == 500
    for path, answers in replies.items():
        right = clear.get(path)
        assert {(reply.status, reply.body) for reply in answers} == {(200, right.body)}, path
    served_by = [worker["requests"] for worker in server.admin().get("/status").json()["workers"]]
    assert len(served_by) == 4 and all(served_by), "all workers took part"
    asked = ceph.log("once/a.tif")
    assert all(status == 206 for status, _ in asked)
    assert not fetched_more_than_once(asked), asked
    assert len(asked) > 20


def open_files(pid):
    """What a process has open; nothing of one that has ended."""
    try:
        fds = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for fd in fds:
        try:
            yield os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue


def owner_of(port, pids):
    """The process that has the socket with this local port."""
    with open("/proc/net/tcp") as table:
        inodes = {fields[9] for fields in map(str.split, table) if fields[1].endswith(f":{port:04X}")}
    for pid in pids:
        if any(link.startswith("socket:[") and link[8:-1] in inodes for link in open_files(pid)):
            return pid
    return None


def blocks_of(seen):
    first, _, last = seen.headers["range"].removeprefix("bytes=").partition("-")
    return range(int(first) >> 15, (int(last) >> 15) + 1)


class Held:
    """Requests to the store, of which the first is held back; who made that one, and what the others ask for."""

    def __init__(self):
        self.first = self.fetcher = None
        self.others, self.lock = [], threading.Lock()

    def take(self, seen, pids, end):
        owner = owner_of(seen.port, pids)
        with self.lock:
            if self.first is None:
                self.fetcher, self.first = owner, seen
                return ("hold", end)
            if owner not in (self.fetcher, None):  # it has asked for several ranges at once, and may be dead by now
                self.others.append(seen)
            return None

    def check_that_one_took_over(self):
        blocks = collections.Counter(block for seen in self.others for block in blocks_of(seen))
        assert blocks and max(blocks.values()) == 1, self.others


@pytest.mark.parametrize("when", ["at the first look", "at a tile"])
def test_the_fetcher_is_killed(start, s3, ceph, between, picture, when):
    """Another worker takes over what the killed one was at, and all who wait are answered, its own clients too."""
    data, levels, folder = picture
    key = f"killed-{when.split()[-1]}/a.tif"
    ceph.put(key, data)
    server = s3(key.rpartition("/")[0], workers=4, revalidate=3600)
    clear = start(folder, workers=1, settings={"derivative_cache": "false"})
    if when == "at a tile":
        assert server.get("/iiif/3/a.tif/info.json").status == 200
    end, held = threading.Event(), Held()
    between.fault = lambda seen: held.take(seen, server.worker_pids(), end)
    paths = [TILE.format("a.tif", 512, 256, 150 + n) for n in range(8)] * 12
    replies, threads = all_at_once(server, paths, 24)
    until(lambda: held.first, 10, "a request has reached the store")
    fetcher = held.fetcher
    assert fetcher, "one of the workers has the connection"
    os.kill(fetcher, signal.SIGKILL)
    for thread in threads:
        thread.join()
    assert held.first.status == 0, "nobody waited for what the killed one had asked"
    end.set()
    for path, answers in replies.items():
        assert {(reply.status, reply.body) for reply in answers} == {(200, clear.get(path).body)}, path
    held.check_that_one_took_over()


def connections_of(pid, port):
    """How many of a process's sockets are connections to that port of ours."""
    with open("/proc/net/tcp") as table:
        inodes = {fields[9] for fields in map(str.split, table) if fields[1].endswith(f":{port:04X}") and fields[3] == "01"}
    return sum(link.startswith("socket:[") and link[8:-1] in inodes for link in open_files(pid))


@pytest.mark.parametrize("when", ["at the first look", "at a tile"])
def test_the_fetcher_stands_still(start, s3, ceph, between, picture, when):
    """Its lease ends: the clients of the other workers have their answers while it still stands, and none gets a wrong one.
    For its own the time may be over when it goes on, before it knows the file."""
    data, levels, folder = picture
    key = f"stopped-{when.split()[-1]}/a.tif"
    ceph.put(key, data)
    server = s3(key.rpartition("/")[0], workers=4, fetch_timeout=1, worker_hang_timeout=600, render_hang_timeout=600)
    clear = start(folder, workers=1, settings={"derivative_cache": "false"})
    if when == "at a tile":
        assert server.get("/iiif/3/a.tif/info.json").status == 200
    pids, end, held = server.worker_pids(), threading.Event(), Held()
    before = {pid: connections_of(pid, server.port) for pid in pids}
    between.fault = lambda seen: held.take(seen, pids, end)
    paths = [TILE.format("a.tif", 512, 256, 150 + n) for n in range(24)]
    replies, threads = all_at_once(server, paths, len(paths))
    until(lambda: held.first, 10, "a request has reached the store")
    fetcher = held.fetcher
    os.kill(fetcher, signal.SIGSTOP)
    try:
        until(lambda: sum(connections_of(pid, server.port) - before[pid] for pid in pids) + len(replies) >= len(paths), 10, "all are connected")
        stuck = connections_of(fetcher, server.port) - before[fetcher]
        assert stuck < len(paths), "others have connections, too"
        until(lambda: len(replies) == len(paths) - stuck, 20, "the others' clients have their answers")
        assert held.first.status == 0 and server.worker_pids() == pids, "and the fetcher is as it was"
        held.check_that_one_took_over()
    finally:
        os.kill(fetcher, signal.SIGCONT)
        end.set()
    for thread in threads:
        thread.join()
    late = [path for path, [reply] in replies.items() if reply.status == 504]
    assert len(replies) == len(paths) and len(late) <= (stuck if when == "at the first look" else 0)
    for path, [reply] in replies.items():
        assert path in late or (reply.status, reply.body) == (200, clear.get(path).body), path
    assert all(server.get(path).body == clear.get(path).body for path in late)


def test_one_failure_is_everybodys(s3, between):
    """Those who waited for another worker's look hear what it has heard; the store is not asked once per worker."""
    server, end = s3("nothing", workers=4, fetch_tries=1), threading.Event()
    between.fault = lambda seen: ("hold", end)
    replies, threads = all_at_once(server, [f"/iiif/3/none.tif/full/{50 + n},/0/default.jpg" for n in range(40)], 40)
    until(lambda: between.seen, 10, "the store was asked")
    time.sleep(1)  # the others find that somebody is at it
    end.set()
    for thread in threads:
        thread.join()
    assert {reply.status for answers in replies.values() for reply in answers} == {404}
    assert len(between.take()) == 1
