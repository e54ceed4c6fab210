"""Sources on a real NFS server: whatever becomes of it, nobody else waits, and all is well again when it is back."""
import os
import signal
import threading
import time

import pytest

from server import until

THUMBNAIL = "/iiif/3/{}/full/100,/0/default.jpg"
PICTURES = ["pyramid-jpeg-420.tif", "photo.tif", "baseline-420.jpg", "jpeg-444-tiled.tif", "rgb.png"]
SETTINGS = {"fetch_timeout": 1, "revalidate": 1, "derivative_cache": "false"}


@pytest.fixture
def nfs(nfs, images):
    for name in PICTURES:
        nfs.put(os.path.join(images, name))
    nfs.start_server()
    return nfs


def ask(server, names):
    """Replies, in the order of the names, and the threads that wait for them."""
    replies = [None] * len(names)

    def get(index):
        replies[index] = server.get(THUMBNAIL.format(names[index]))
    threads = [threading.Thread(target=get, args=(index,)) for index in range(len(names))]
    for thread in threads:
        thread.start()
    return replies, threads


def test_answers_are_those_of_a_folder(start, nfs, served):
    nfs.mount("hard")
    server = start(nfs.seen, readable=True, workers=2, settings=SETTINGS)
    for name in PICTURES:
        reply = server.get(THUMBNAIL.format(name))
        assert reply.status == 200 and reply.body == served.get(THUMBNAIL.format(name)).body, name
    assert server.get(THUMBNAIL.format("none.tif")).status == 404
    nfs.put(f"{nfs.export}/rgb.png", "photo.tif")
    right = served.get(THUMBNAIL.format("rgb.png")).body
    until(lambda: server.get(THUMBNAIL.format("photo.tif")).body == right, 5, "the replaced file is noticed")


def test_a_hard_mount_hangs(start, nfs, served):
    """One worker, one render thread: what is here goes on while all that is not gets 504."""
    nfs.mount("hard")
    server = start(nfs.seen, readable=True, workers=1, settings={**SETTINGS, "render_threads": 1, "folder_threads": 4, "revalidate": 600})
    good = server.get(THUMBNAIL.format("photo.tif"))
    assert good.status == 200
    nfs.hang()
    replies, threads = ask(server, PICTURES[2:] + PICTURES[:1])
    for _ in range(30):
        assert server.get(THUMBNAIL.format("photo.tif")).body == good.body
        assert server.get("/iiif/3/photo.tif/info.json").status == 200
        assert server.admin().get("/health").status == 200
    for thread in threads:
        thread.join()
    assert {reply.status for reply in replies} == {504}
    nfs.resume()
    for name in PICTURES:
        until(lambda name=name: server.get(THUMBNAIL.format(name)).body == served.get(THUMBNAIL.format(name)).body, 10,
              f"{name} is read again")


def test_a_slow_server(start, nfs, served):
    """Answers come late and right."""
    nfs.mount("hard")
    server = start(nfs.seen, readable=True, workers=1, settings={**SETTINGS, "fetch_timeout": 10, "revalidate": 600})
    assert server.get(THUMBNAIL.format("photo.tif")).status == 200
    nfs.slow_down()
    others = [name for name in PICTURES if name != "photo.tif"]
    replies, threads = ask(server, others)
    for _ in range(20):
        assert server.get(THUMBNAIL.format("photo.tif")).status == 200
    for thread in threads:
        thread.join()
    for name, reply in zip(others, replies):
        assert reply.status == 200 and reply.body == served.get(THUMBNAIL.format(name)).body, name


@pytest.mark.parametrize("kind", ["hard", 500])
def test_the_server_is_killed_and_starts_again(start, nfs, served, kind):
    """Handles are stale, some calls fail; no answer is wrong, and after a while all are right."""
    nfs.mount(kind)
    server = start(nfs.seen, readable=True, workers=2, settings=SETTINGS)
    right = {name: served.get(THUMBNAIL.format(name)).body for name in PICTURES}
    for name in PICTURES[:2]:  # on a busy machine a call of the soft mount may be given up before it has begun
        until(lambda name=name: server.get(THUMBNAIL.format(name)).body == right[name], 20, f"{name} is read")
    wrong, stopped = [], threading.Event()

    def go_on_asking():
        client = server.client()
        while not stopped.is_set():
            for name in PICTURES:
                reply = client.get(THUMBNAIL.format(name))
                if reply.status == 200 and reply.body != right[name]:
                    wrong.append((name, reply))
    asker = threading.Thread(target=go_on_asking, daemon=True)
    asker.start()
    for _ in range(2):
        nfs.kill()
        time.sleep(1.2)
        kept = server.get(THUMBNAIL.format("photo.tif"))
        assert kept.status == 200 and kept.body == right["photo.tif"], "while the server is away, what was seen lately is served on"
        nfs.start_server()
        for name in PICTURES:
            until(lambda name=name: server.get(THUMBNAIL.format(name)).body == right[name], 20, f"{name} is read again")
    stopped.set()
    asker.join()
    assert not wrong


def test_a_mount_that_hangs_when_the_server_starts(start, nfs, served):
    """It serves what needs no pictures, says why there are none, and has them when the folder answers."""
    nfs.folder("pictures")
    nfs.mount("hard")
    nfs.hang()
    server = start(f"{nfs.seen}/pictures", readable=True, workers=2, settings=SETTINGS)
    reply = server.get(THUMBNAIL.format("photo.tif"))
    assert reply.status == 504 and b"does not answer" in reply.body
    assert server.admin().get("/health").status == 200
    assert "does not answer" in server.log()
    nfs.resume()
    right = served.get(THUMBNAIL.format("photo.tif")).body
    until(lambda: server.get(THUMBNAIL.format("photo.tif")).body == right, 20, "the pictures are there")
    until(lambda: all(server.get(THUMBNAIL.format("rgb.png")).status == 200 for _ in range(4)), 20, "in all workers")


def test_a_mount_that_hangs_at_hup_and_at_a_crash(start, nfs, served):
    """The server goes on with what it has, new workers too, and can be told to reload and to end."""
    nfs.mount("hard")
    server = start(nfs.seen, readable=True, workers=2, settings={**SETTINGS, "drain_timeout": 3})
    right = served.get(THUMBNAIL.format("photo.tif")).body
    assert server.get(THUMBNAIL.format("photo.tif")).body == right
    before = set(server.worker_pids())
    nfs.hang()
    server.signal(signal.SIGHUP)
    until(lambda: "retire" in server.log(), 20, "the new workers have taken over")
    assert server.admin().get("/health").status == 200
    until(lambda: not before & set(server.worker_pids()), 20, "the old workers are gone")
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    assert server.admin().get("/health").status == 200
    nfs.resume()
    until(lambda: server.get(THUMBNAIL.format("photo.tif")).body == right, 20, "the pictures are there")
    until(lambda: all(server.get(THUMBNAIL.format("rgb.png")).status == 200 for _ in range(4)), 20, "in all workers")


def test_a_mount_that_hangs_at_any_call(start, nfs, images):
    """Of sixteen mounts the first stands still at once, the next after one more call, and so on: no process of ours ever makes a call
    that could be the one."""
    mounts = nfs.mount("hard", count=16)
    places = [f"r{number}={mount.folder}" for number, mount in enumerate(mounts)]
    infos = [f"/iiif/3/r{number}%2Frgb.png/info.json" for number in range(len(mounts))]

    def stand_still():
        return [mount.answer(number) for number, mount in enumerate(mounts)]

    def go_on(server, before):
        answered = [mount.answer() for mount in mounts]
        asked = max(after - earlier for after, earlier in zip(answered, before))
        assert 0 < asked < len(mounts), f"{asked} calls: one more root would have seen another"
        until(lambda: {server.get(info).status for info in infos} == {200}, 20, "the pictures of all are there")

    before = stand_still()
    server = start(places[0], *(word for place in places[1:] for word in ("--images", place)), readable=True, workers=1,
                   settings={**SETTINGS, "activity_scan": 0})
    assert server.admin().get("/health").status == 200
    assert "does not answer" in server.log()
    go_on(server, before)
    said = len(server.log())
    before = stand_still()
    server.signal(signal.SIGHUP)
    until(lambda: "retire" in server.log()[said:], 20, "the new worker has taken over")
    assert server.admin(timeout=20).get("/health").status == 200
    go_on(server, before)


def test_a_crash_while_a_thread_stands_still(start, nfs, images):
    """A process with such a thread dies and cannot end; the server does not wait for it."""
    mount, = nfs.mount("hard")
    server = start(images, "--images", f"far={nfs.seen}", readable=True, workers=1, settings={**SETTINGS, "activity_scan": 0})
    mount.answer(0)
    assert server.get(THUMBNAIL.format("far%2Fphoto.tif")).status == 504
    worker, = server.worker_pids()
    with server.client(timeout=20).connect() as kept:
        kept.request("GET", "/iiif/3/photo.tif/info.json")
        assert kept.reply().status == 200
        os.kill(worker, signal.SIGKILL)
        kept.request("GET", "/iiif/3/rgb.png/info.json")
        assert kept.reply().status == 200, "on the same connection"
    assert "is left behind" in server.log() and os.path.exists(f"/proc/{worker}")
    mount.answer()
    until(lambda: server.get(THUMBNAIL.format("far%2Fphoto.tif")).status == 200, 20, "the pictures are there")
    until(lambda: not os.path.exists(f"/proc/{worker}"), 20, "it has ended")


def test_a_mount_that_is_lost_and_mounted_again(start, nfs, images):
    """In the middle, and when workers start: what is elsewhere is served, and the pictures are there when they are."""
    mount, = nfs.mount("hard")
    server = start(images, "--images", f"far={nfs.seen}", readable=True, workers=1, settings=SETTINGS)
    there = THUMBNAIL.format("far%2Fphoto.tif")
    right = server.get(there).body
    for name in ("rgb.png", "baseline-420.jpg"):
        mount.end()
        assert server.get(THUMBNAIL.format(f"far%2F{name}")).status == 500
        if name == "baseline-420.jpg":
            worker, = server.worker_pids()
            os.kill(worker, signal.SIGKILL)
            assert server.get(THUMBNAIL.format("photo.tif")).status == 200
            said = len(server.log())
            server.signal(signal.SIGHUP)
            until(lambda: "retire" in server.log()[said:], 20, "the new worker has taken over")
            assert server.get(THUMBNAIL.format("photo.tif")).status == 200
            assert "does not answer: Transport endpoint is not connected" in server.log()
        mount, = nfs.mount("hard")
        until(lambda: server.get(there).body == right, 20, "the pictures are there again")
        until(lambda: server.get(THUMBNAIL.format(f"far%2F{name}")).status == 200, 20, "all of them")


def test_one_root_of_two_hangs(start, nfs, served, images):
    """What lies in the other is served from the beginning."""
    nfs.mount("hard")
    nfs.hang()
    server = start(images, "--images", f"far={nfs.seen}", readable=True, workers=1, settings=SETTINGS)
    right = served.get(THUMBNAIL.format("photo.tif")).body
    for _ in range(5):
        assert server.get(THUMBNAIL.format("photo.tif")).body == right
    assert server.get(THUMBNAIL.format("far%2Fphoto.tif")).status == 504
    nfs.resume()
    until(lambda: server.get(THUMBNAIL.format("far%2Fphoto.tif")).body == right, 20, "the other root's pictures are there")
    nfs.hang()
    replies, threads = ask(server, ["far%2Frgb.png"] * 4)
    for _ in range(20):
        assert server.get(THUMBNAIL.format("photo.tif")).body == right
    for thread in threads:
        thread.join()
    assert {reply.status for reply in replies} == {504}
