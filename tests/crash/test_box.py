"""The box of a running server: what its workers are, and what happens where it cannot be."""
import os
import signal

import numpy
import pytest
from PIL import Image

import client
import server
from server import until

INFO = "/iiif/3/small.png/info.json"
ROOT = os.getuid() == 0

needs_root = pytest.mark.skipif(not ROOT, reason="only root can become somebody else")
needs_box = pytest.mark.skipif(server.sanitized(), reason="a sanitizer needs more than a worker may")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    Image.fromarray(numpy.zeros((40, 50, 3), dtype=numpy.uint8)).save(place / "small.png")
    return place


def status(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def limits(pid):
    with open(f"/proc/{pid}/limits") as file:
        return {line[:26].strip(): line[26:47].strip() for line in file}


@needs_box
def test_what_a_worker_is(start, folder):
    served = start(folder)
    until(lambda: served.admin().get("/status").body.count(b"serving") == 2, 10, "both workers serve")
    for pid in served.worker_pids():
        what = status(pid)
        assert what["NoNewPrivs"] == "1" and what["Seccomp"] == "2", what
        assert limits(pid)["Max core file size"] == "0"
        assert limits(pid)["Max data size"] == str(8 << 30)
        if ROOT:
            assert "0" not in what["Uid"].split() and "0" not in what["Gid"].split(), what
            assert what["Groups"].strip() == ""
            assert int(what["CapPrm"], 16) == int(what["CapEff"], 16) == 0
    master = status(served.process.pid)
    assert master["Seccomp"] == status(os.getpid())["Seccomp"], "the master is not in the box"


@needs_box
def test_without_sandbox(start, folder):
    served = start(folder, settings={"sandbox": "false", "user": ""})
    assert served.get(INFO).status == 200
    for pid in served.worker_pids():
        assert status(pid)["Seccomp"] == status(os.getpid())["Seccomp"]
        assert status(pid)["Uid"] == status(os.getpid())["Uid"]


@needs_box
@needs_root
def test_images_that_the_user_cannot_read(start, folder, tmp_path):
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    served = server.Vitrine(hidden, workers=1)
    os.makedirs(served.cache, exist_ok=True)
    served.port, served.admin_port = server.free_port(), server.free_port()
    hidden.chmod(0o700)
    done = server.run(*served.command()[1:])
    assert done.returncode == 1
    assert "as whom workers run, cannot read the image directory" in done.stderr, done.stderr


@needs_box
@needs_root
def test_a_user_that_does_not_exist(folder):
    done = server.run("serve", "--images", str(folder), "--listen", "127.0.0.1:0", "--admin", "",
                      "--set", "user=nobody-of-this-name")
    assert done.returncode == 1
    assert 'user is "nobody-of-this-name", but there is no such user' in done.stderr


@needs_box
@needs_root
def test_a_file_that_the_user_cannot_read_is_refused(start, folder):
    secret = folder / "secret.png"
    Image.new("RGB", (9, 9)).save(secret)
    secret.chmod(0o600)
    assert start(folder).get("/iiif/3/secret.png/info.json").status == 403


@needs_root
def test_workers_of_another_user_die_with_the_master(folder):
    """The kernel forgets whom to tell when a process changes its user."""
    served = server.Vitrine(folder).start()
    try:
        for pid in served.worker_pids():
            os.kill(pid, signal.SIGSTOP)
        served.signal(signal.SIGKILL)
        until(lambda: not served.processes(), 1, "all workers are gone")
    finally:
        served.discard()


@needs_box
def test_every_format_can_be_made_in_it(start, folder):
    """Each encoder has its own needs of the system."""
    served = start(folder)
    connection = client.Connection("127.0.0.1", served.port)
    for suffix in ("jpg", "png", "webp", "gif", "tif", "avif"):
        connection.request("GET", f"/iiif/3/small.png/full/max/0/default.{suffix}")
        reply = connection.reply()
        assert reply.status == 200, (suffix, reply, served.log())
    connection.close()
