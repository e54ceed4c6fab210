"""A folder that may hang: a real FUSE file system whose server process is stopped, and faults by strace."""
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import pytest

from server import die_with_us, is_traced, soon, until

THUMBNAIL = "/iiif/3/{}/full/100,/0/default.jpg"
PICTURES = ["pyramid-jpeg-420.tif", "photo.tif", "baseline-420.jpg", "jpeg-444-tiled.tif"]


class Mount:
    """`real` seen through a file system server of its own at `seen`."""

    def __init__(self, images):
        self.home = tempfile.mkdtemp(prefix="vitrine-fuse-")
        os.chmod(self.home, 0o755)
        self.real, self.seen = f"{self.home}/real", f"{self.home}/seen"
        for folder in (self.real, self.seen):
            os.mkdir(folder, 0o755)
        for name in PICTURES:
            shutil.copy(os.path.join(images, name), self.real)
        self.process = subprocess.Popen(["bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0", self.real, self.seen],
                                        stdin=subprocess.DEVNULL, preexec_fn=die_with_us)
        until(lambda: os.path.ismount(self.seen), 10, "the file system is mounted")

    def hang(self):
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        self.resume()
        subprocess.run(["umount", "-l", self.seen], check=False)
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def mount(images):
    if os.getuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.fail("mounting a file system takes root and /dev/fuse")
    mounted = Mount(images)
    yield mounted
    mounted.close()


def ask(server, name, replies):
    thread = threading.Thread(target=lambda: replies.append(server.get(THUMBNAIL.format(name))))
    thread.start()
    return thread


def test_answers_are_those_of_a_folder(start, mount, served):
    server = start(mount.seen, workers=1, settings={"derivative_cache": "false"})
    for name in PICTURES:
        reply = server.get(THUMBNAIL.format(name))
        assert reply.status == 200 and reply.body == served.get(THUMBNAIL.format(name)).body, name
    assert server.get(THUMBNAIL.format("none.tif")).status == 404
    assert server.get(THUMBNAIL.format("..%2Freal%2Fphoto.tif")).status == 404
    assert "etag" in dict(reply.headers)


def test_a_hang_holds_nobody_else(start, mount):
    """One render thread, more requests than threads that read: what is kept goes on, the others get 504 in time."""
    server = start(mount.seen, workers=1, settings={"fetch_timeout": 1, "folder_threads": 2, "render_threads": 1,
                                                    "revalidate": 600, "derivative_cache": "false"})
    assert server.get(THUMBNAIL.format("photo.tif")).status == 200
    mount.hang()
    replies = []
    threads = [ask(server, "baseline-420.jpg", replies), ask(server, "pyramid-jpeg-420.tif", replies),
               ask(server, "jpeg-444-tiled.tif", replies)]
    for _ in range(20):
        assert server.get(THUMBNAIL.format("photo.tif")).status == 200
        assert server.get("/iiif/3/photo.tif/info.json").status == 200
    for thread in threads:
        thread.join()
    assert [reply.status for reply in replies] == [504] * 3
    assert server.get(THUMBNAIL.format("baseline-420.jpg")).status == 504, "all threads stand still: at once"
    assert server.admin().get("/health").status == 200
    mount.resume()
    until(lambda: server.get(THUMBNAIL.format("baseline-420.jpg")).status == 200, 10, "it is read again")


def test_stale_if_error(start, mount):
    """While the folder hangs what is kept is served on, though it cannot be confirmed."""
    server = start(mount.seen, workers=1, settings={"fetch_timeout": 1, "revalidate": 1, "derivative_cache": "false"})
    good = server.get(THUMBNAIL.format("photo.tif"))
    mount.hang()
    time.sleep(1.2)
    stale = server.get(THUMBNAIL.format("photo.tif"))
    mount.resume()
    assert stale.status == 200 and stale.body == good.body
    assert "what is kept is served on" in server.log()


def test_a_replaced_file_is_noticed(start, mount, served):
    server = start(mount.seen, workers=1, settings={"revalidate": 1, "derivative_cache": "false"})
    assert server.get(THUMBNAIL.format("photo.tif")).status == 200
    shutil.copy(f"{mount.real}/jpeg-444-tiled.tif", f"{mount.real}/new")
    os.rename(f"{mount.real}/new", f"{mount.real}/photo.tif")
    right = served.get(THUMBNAIL.format("jpeg-444-tiled.tif")).body
    soon(lambda: server.get(THUMBNAIL.format("photo.tif")).body == right, 5, "the new picture is served")


def test_stopping_while_it_hangs(start, mount):
    """TERM ends the server in time, whatever its threads are stuck in."""
    server = start(mount.seen, workers=1, settings={"fetch_timeout": 1, "drain_timeout": 3})
    mount.hang()
    assert server.get(THUMBNAIL.format("photo.tif")).status == 504
    threading.Timer(2, mount.resume).start()  # a process in such a call cannot be killed by anybody


def injected(server, injection):
    """strace on the only worker, which makes the next such call fail."""
    worker, = server.worker_pids()
    process = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={injection}", "-p", str(worker)],
                               stdin=subprocess.DEVNULL, preexec_fn=die_with_us)
    until(lambda: is_traced(worker), 10, "strace is attached")
    return process


def test_a_stale_handle_is_opened_again(start, images, served):
    server = start(images, workers=1, settings={"slow_folder": "always", "derivative_cache": "false"})
    assert server.get("/iiif/3/photo.tif/info.json").status == 200
    strace = injected(server, "openat2:error=ESTALE:when=1")
    reply = server.get(THUMBNAIL.format("baseline-420.jpg"))
    strace.terminate()
    strace.wait()
    assert reply.status == 200 and reply.body == served.get(THUMBNAIL.format("baseline-420.jpg")).body


def test_an_error_of_the_disk_is_no_picture(start, images, served):
    server = start(images, workers=1, settings={"slow_folder": "always", "derivative_cache": "false"})
    assert server.get("/iiif/3/photo.tif/info.json").status == 200
    strace = injected(server, "pread64:error=EIO")
    reply = server.get(THUMBNAIL.format("baseline-420.jpg"))
    strace.terminate()
    strace.wait()
    assert reply.status == 500
    assert server.get(THUMBNAIL.format("baseline-420.jpg")).body == served.get(THUMBNAIL.format("baseline-420.jpg")).body
