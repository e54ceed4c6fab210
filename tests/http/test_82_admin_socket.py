"""The admin side over a UNIX socket: who may open the file needs no token."""
import os
import signal
import socket
import stat
import subprocess

import pytest

from server import run, until

TILE = "/iiif/3/tiled.tif/full/100,/0/default.jpg"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "admin.sock"


def ask(path, request):
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(request.encode() + b" HTTP/1.0\r\nHost: x\r\n\r\n")
        answer = b""
        while more := client.recv(65536):
            answer += more
    return answer


def command(*words, path):
    return run(*words, "--set", f"admin_socket={path}", "--admin", "")


def test_commands_need_no_token(start, path):
    served = start(settings={"admin_socket": path, "cache_size": "1G"})
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and stat.S_ISSOCK(os.stat(path).st_mode)
    status = command("status", path=path)
    assert status.returncode == 0 and '"workers":[' in status.stdout, status
    assert command("purge", "--all", path=path).returncode == 0
    assert command("prune", "--unused", "0", path=path).returncode == 0
    assert served.admin().ask("POST", "/purge?all").status == 403  # there a token is needed, and there is none


def test_found_by_default(start, folder_of_root):
    served = start(None)
    found = run("status", "--admin", f"127.0.0.1:{served.admin_port}")
    assert found.returncode == 0 and '"draining":false' in found.stdout
    assert run("purge", "--all", "--admin", f"127.0.0.1:{served.admin_port}").returncode == 0
    sockets = [name for name in os.listdir(folder_of_root) if name == f"127.0.0.1:{served.admin_port}.sock"]
    assert sockets


@pytest.fixture
def folder_of_root():
    if os.getuid() != 0 or "RUNTIME_DIRECTORY" in os.environ:
        pytest.skip("the folder is another for others")
    return "/run/vitrine"


def test_an_explicit_answer_line_by_line(start, path):
    start(settings={"admin_socket": path})
    assert ask(path, "GET /health").startswith(b"HTTP/1.0 200 ") or ask(path, "GET /health").startswith(b"HTTP/1.1 200 ")
    assert b" 404 " in ask(path, "GET /nothing").splitlines()[0]


def test_stale_is_replaced_and_live_is_not(start, path):
    first = start(settings={"admin_socket": path})
    other = subprocess.run([*start_command(first, path)], capture_output=True, text=True, timeout=60, check=False)
    assert other.returncode == 1 and f"another server has its admin socket at {path}" in other.stderr
    assert command("status", path=path).returncode == 0
    for pid in first.processes():
        os.kill(pid, signal.SIGKILL)
    first.process.wait()
    assert path.exists()
    first.start()
    assert command("status", path=path).returncode == 0
    first.signal(signal.SIGTERM)
    first.process.wait()
    assert not path.exists()
    first.start()


def start_command(served, path):
    from server import binary, free_port
    return [binary(), "serve", "--images", served.images, "--listen", f"127.0.0.1:{free_port()}", "--admin", "", "--workers", "1",
            "--set", f"admin_socket={path}"]


def test_what_is_no_socket_stays(start, path):
    path.write_text("precious")
    served = start()
    refused = subprocess.run(start_command(served, path), capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 1 and "is no socket" in refused.stderr and path.read_text() == "precious"


def test_it_lives_through_hup_and_usr2(start, path):
    served = start(settings={"admin_socket": path})
    served.signal(signal.SIGHUP)
    until(lambda: "serve with the new configuration" in served.log(), 10, "reloaded")
    assert command("status", path=path).returncode == 0
    # This process is the one that the test waits for: the last program has to be it. So the socket is looked at in between.
    before = os.stat(path).st_ctime_ns  # the number of its inode may come again
    served.signal(signal.SIGUSR2)
    until(lambda: "has taken over with" in served.log(), 15, "taken over")
    until(lambda: path.exists() and os.stat(path).st_ctime_ns != before, 5, "its own socket")
    until(lambda: command("status", path=path).returncode == 0, 5, "it answers")
    pid = int(served.log().rpartition("this program (pid ")[2].split(")")[0])
    os.kill(pid, signal.SIGTERM)
    until(lambda: not path.exists(), 15, "it is removed at the end")


def test_who_may_come(start, path):
    if os.getuid() != 0:
        pytest.skip("needs other users")
    os.chmod(path.parent, 0o755)
    for parent in path.parents:
        if not os.stat(parent).st_mode & 0o001:
            os.chmod(parent, os.stat(parent).st_mode | 0o011)

    def as_nobody(path=path):
        return subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "/usr/bin/python3", "-c",
                               f"import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect({str(path)!r});"
                               "s.sendall(b'GET /health HTTP/1.0\\r\\nHost: x\\r\\n\\r\\n'); print(s.recv(12))"],
                              capture_output=True, text=True, check=False)
    served = start(settings={"admin_socket": path})
    assert "PermissionError" in as_nobody().stderr
    os.chmod(path, 0o666)  # somebody else's doing: the peer's user counts all the same
    refused = as_nobody()
    assert "b''" in refused.stdout or "ConnectionReset" in refused.stderr or "BrokenPipe" in refused.stderr, refused
    until(lambda: "refused: its user is neither" in served.log(), 5, "the log says why")
    shared = path.with_name("shared.sock")
    start(settings={"admin_socket": shared, "admin_socket_mode": "660", "admin_socket_group": "nogroup"})
    assert stat.S_IMODE(os.stat(shared).st_mode) == 0o660
    assert "HTTP/1." in as_nobody(shared).stdout


def test_health_never_waits_for_images(start, images):
    """Every render thread is busy, and with it the source of another request hangs."""
    served = start(images, workers=1, settings={"render_threads": 1, "derivative_cache": "false", "max_area": 10**9,
                                                "max_width": 20000, "max_height": 20000})
    name = "tiled.tif" if os.path.exists(os.path.join(images, "tiled.tif")) else sorted(
        name for name in os.listdir(images) if name.endswith(".tif"))[0]
    clients = [served.client().connect() for _ in range(8)]
    for index, client in enumerate(clients):
        client.request("GET", f"/iiif/3/{name}/full/^9{index}00,9000/0/default.png")
    until(lambda: served.admin().get("/status").json()["queue"]["jobs"] >= 2, 10, "renders wait")
    for _ in range(20):
        assert served.admin().get("/health").status == 200
    assert served.admin().get("/status").json()["queue"]["jobs"] >= 2
    for client in clients:
        client.close()
