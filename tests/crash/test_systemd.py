"""systemd's protocols, against a manager that the tests play."""
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

import client
import load
import server
from manager import Managed
from server import until
from stops import INFO, LARGE, slow_reader
from upgradable import Adopted, adopt_orphans

TARGETS = [INFO, "/iiif/3/small.tif/full/max/0/default.jpg", "/iiif/3/noise.tif/0,0,256,256/max/0/default.jpg"]
RESTART = signal.SIGRTMIN + 1


@pytest.fixture
def manage(folder):
    running = []

    def begin(*arguments, **options):
        served = Managed(folder, *arguments, **options)
        running.append(served)
        return served.start()
    yield begin
    for served in running:
        try:
            if served.process.poll() is None:
                served.stop()
        finally:
            served.discard()


def listener():
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("127.0.0.1", 0))
    one.listen(100)
    return one


def get(port, target=INFO):
    return client.Client("127.0.0.1", port, timeout=60).get(target)


# ---- notification --------------------------------------------------------------------------------------------------

def test_ready_and_stopping_are_said(manage):
    served = manage()
    assert get(served.port).status == 200, "at once"
    assert "workers serve" in served.manager.said("STATUS")[0]
    assert not served.manager.said("WATCHDOG")
    served.signal(signal.SIGTERM)
    assert served.ended() == 0
    assert served.manager.said("STOPPING") == ["1"]
    assert {pid for _, pid, _ in served.manager.messages} == {served.process.pid}, "workers say nothing"


def test_an_abstract_socket_is_reached(manage, folder):
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(f"\0vitrine-test-{os.getpid()}")
    heard.settimeout(60)
    with server.Vitrine(folder) as served:
        pass
    command = served.command()
    served.prepare()
    log = open(served.log_path, "wb")
    process = subprocess.Popen(command, env=dict(os.environ, NOTIFY_SOCKET=f"@vitrine-test-{os.getpid()}"), stderr=log)
    try:
        assert heard.recv(1000).startswith(b"READY=1\n")
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(served.home)


def test_a_manager_that_is_not_there_is_no_obstacle(folder, monkeypatch):
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/notify")
    with server.Vitrine(folder) as served:
        assert served.get(INFO).status == 200
        assert "is not reached" in served.log()


def test_a_reload_is_said(manage, tmp_path):
    config = tmp_path / "vitrine.conf"
    config.write_text("")
    served = manage("-c", str(config))
    for text, outcome in (("jpeg_quality = 50;", "reloaded"), ("jpeg_quality = 500;", "is wrong")):
        config.write_text(text)
        since, now_us = len(served.manager.messages), time.clock_gettime(time.CLOCK_MONOTONIC) * 1e6
        served.signal(signal.SIGHUP)
        until(lambda: served.manager.said("READY", since), 5, "READY=1 again")
        first, last = served.manager.messages[since][2], served.manager.messages[-1][2]
        assert first["RELOADING"] == "1" and now_us <= int(first["MONOTONIC_USEC"]) < now_us + 10e6
        assert last["READY"] == "1" and outcome in last["STATUS"]


def test_the_watchdog_is_fed_while_a_worker_lives(manage):
    served = manage(environment={"WATCHDOG_USEC": "1000000"}, settings={"worker_hang_timeout": 600})
    until(lambda: len(served.manager.said("WATCHDOG")) >= 4, 5, "WATCHDOG=1 again and again")
    times = [when for when, _, said in served.manager.messages if "WATCHDOG" in said]
    assert 0.3 < (times[-1] - times[0]) / (len(times) - 1) < 1, times
    stopped, other = served.worker_pids()
    os.kill(stopped, signal.SIGSTOP)
    since = len(served.manager.messages)
    time.sleep(5)
    assert len(served.manager.said("WATCHDOG", since)) >= 6, "one worker is enough"
    os.kill(other, signal.SIGSTOP)

    def silent():
        since = len(served.manager.messages)
        time.sleep(1.5)
        return not served.manager.said("WATCHDOG", since)
    until(silent, 8, "silence while none moves")
    for pid in (stopped, other):
        os.kill(pid, signal.SIGCONT)
    until(lambda: time.monotonic() - served.manager.messages[-1][0] < 0.5, 5, "WATCHDOG=1 again")


def test_an_upgrade_names_the_new_main_process(manage):
    adopt_orphans()
    served = manage(environment={"WATCHDOG_USEC": "1000000"})
    old = served.process
    until(lambda: served.manager.said("WATCHDOG"), 3, "the first is heard")
    served.signal(signal.SIGUSR2)
    until(lambda: served.manager.said("MAINPID"), 5, f"MAINPID; log:\n{served.log()}")
    pid = int(served.manager.said("MAINPID")[0])
    until(lambda: served.manager.messages[-1][1] == pid, 3, "the new one speaks")
    named = [index for index, (_, _, said) in enumerate(served.manager.messages) if "MAINPID" in said]
    speakers = [one for _, one, _ in served.manager.messages]
    assert set(speakers[:named[0] + 1]) == {old.pid}, "nobody else before it was named"
    assert old.wait(60) == 0
    served.process = Adopted(pid)
    since = len(served.manager.messages)
    until(lambda: served.manager.said("WATCHDOG", since), 3, "the new one feeds the watchdog")
    assert get(served.port).status == 200


# ---- socket activation ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("names", [["vitrine-admin", "vitrine-public"], ["vitrine.socket", "other.socket"]],
                         ids=["by name", "by order"])
def test_listeners_of_socket_units(manage, names):
    one, other = listener(), listener()
    served = manage(sockets=[(names[0], one), (names[1], other)])
    public, admin = (other, one) if names[0] == "vitrine-admin" else (one, other)
    assert get(public.getsockname()[1]).status == 200
    assert get(admin.getsockname()[1], "/ready").status == 200
    assert f"http://127.0.0.1:{public.getsockname()[1]}" in served.log()
    for pid in served.worker_pids():
        with open(f"/proc/{pid}/environ", "rb") as environment:
            assert environment.read()  # as it was at exec; the process itself has removed them
    # While nobody serves, clients wait.
    served.signal(signal.SIGTERM)
    assert served.ended() == 0
    waiting = client.Connection(*public.getsockname())
    waiting.request("GET", INFO)
    served.start()
    assert waiting.reply().status == 200
    one.close()
    other.close()


def test_only_the_public_listener_is_given(manage):
    one = listener()
    served = manage(sockets=[("vitrine-public", one)])
    assert get(one.getsockname()[1]).status == 200
    assert served.admin().get("/ready").status == 200
    with pytest.raises(ConnectionRefusedError):
        get(served.port)
    one.close()


def test_descriptors_for_somebody_else_are_left_alone(manage):
    one = listener()
    served = manage(sockets=[("vitrine-public", one)], environment={"WRONG_PID": "1"})
    assert get(served.port).status == 200
    one.close()


def test_what_is_no_listener_is_closed(manage):
    plain, one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), listener()
    served = manage(sockets=[("something", plain), ("vitrine-public", one)])
    assert 'named "something", is not needed' in served.log()
    assert get(one.getsockname()[1]).status == 200
    plain.close()
    one.close()


# ---- restart -------------------------------------------------------------------------------------------------------

def restart(served):
    served.signal(RESTART)
    assert served.ended() == 0, served.log()[-2000:]
    served.start()


def test_connections_outlive_a_restart(manage):
    served = manage()
    undisturbed = get(served.port, LARGE).body
    idle, half, ended = (client.Connection("127.0.0.1", served.port) for _ in range(3))
    request = client.request_bytes("GET", INFO, None, idle.host)
    for connection in (idle, ended):
        connection.send(request)
        assert connection.reply().status == 200
    half.send(request[:30])
    slow, head = slow_reader(served)
    served.signal(RESTART)
    assert served.ended() == 0
    names = [name for name, _ in served.manager.kept]
    assert sorted(set(names)) == ["c", "journal", "kept-admin", "kept-public", "table"], names
    # Workers tell of ends a moment later: the one of get() above may be kept, too, and is over at once.
    assert names.count("c") in (4, 5), names
    # Between two processes: what is said waits, what ends is noticed later.
    idle.send(request)
    ended.close()
    half.send(request[30:])
    served.start()
    assert f"{names.count('c')} connections were kept over the restart" in served.log()
    for connection in (idle, half):
        assert connection.reply().status == 200
    assert slow.body(head) == undisturbed
    assert not served.manager.kept, "what is over shall not be held open"
    idle.request("GET", INFO, {"Connection": "close"})
    assert idle.reply().status == 200
    assert idle.socket.recv(1) == b"", "and is seen to end"
    half.close()
    slow.close()


def test_restarts_under_load(manage):
    served = manage()
    wanted = load.answers(served, TARGETS)
    with load.Load(served.port, wanted, connections=30) as busy, load.NewConnections(served.port, INFO) as fresh:
        for _ in range(5):
            time.sleep(0.5)
            restart(served)
    busy.assert_undisturbed(at_least=50)
    fresh.assert_undisturbed()


def test_a_restart_with_a_listener_of_the_manager(manage):
    one = listener()
    served = manage(sockets=[("vitrine-public", one)])
    kept = client.Connection(*one.getsockname())
    served.signal(RESTART)
    assert served.ended() == 0
    assert "kept-public" not in [name for name, _ in served.manager.kept], "the manager has it"
    served.start()
    kept.request("GET", INFO)
    assert kept.reply().status == 200
    one.close()


@pytest.mark.parametrize("what", ["other size", "no table", "no journal"])
def test_what_does_not_fit_is_dropped(manage, tmp_path, what):
    config = tmp_path / "vitrine.conf"
    config.write_text("max_connections = 100;\n")
    served = manage("-c", str(config))
    held = client.Connection("127.0.0.1", served.port)
    held.request("GET", INFO)
    assert held.reply().status == 200
    served.signal(RESTART)
    assert served.ended() == 0
    if what == "other size":
        config.write_text("max_connections = 101;\n")
    else:
        for name, fd in [one for one in served.manager.kept if one[0] == what[3:]]:
            os.close(fd)
            served.manager.kept.remove((name, fd))
    served.start()
    assert "cannot be used" in served.log()
    assert not served.manager.kept
    with pytest.raises((ConnectionError, client.Gone)):
        held.request("GET", INFO)
        held.reply()
    assert get(served.port).status == 200


def test_a_damaged_table_is_used_only_once(manage):
    served = manage()
    held = [client.Connection("127.0.0.1", served.port) for _ in range(3)]
    for connection in held:
        connection.request("GET", INFO)
        assert connection.reply().status == 200
    served.signal(RESTART)
    assert served.ended() == 0
    table = next(fd for name, fd in served.manager.kept if name == "table")
    os.truncate(table, os.fstat(table).st_size - 100)
    with pytest.raises(AssertionError, match="too early"):
        served.start()
    until(lambda: not served.manager.kept, 2, "what was kept is let go of, so that the next start does not find it")
    served.start()
    assert get(served.port).status == 200


def test_restart_without_a_manager_is_leaving(folder):
    with server.Vitrine(folder) as served:
        served.signal(RESTART)
        until(lambda: served.process.poll() is not None, 5, "it leaves")
        assert "told to leave" in served.log()


# ---- the unit ------------------------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units as make install writes them."""
    root = tmp_path_factory.mktemp("install")
    build = os.path.join(server.ROOT, "deploy", "systemd")
    for name in os.listdir(build):
        if name.endswith(".in") or name.endswith(".socket"):
            text = open(os.path.join(build, name)).read()
            text = text.replace("@bindir@", str(root / "bin")).replace("@sysconfdir@", str(root))
            (root / name.replace(".in", "")).write_text(text)
    (root / "bin").mkdir()
    shutil.copy2(server.binary(), root / "bin" / "vitrine")
    return root


def analyze(*arguments):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, timeout=60, check=False)


def test_the_unit_exposes_little(units):
    done = analyze("security", "--offline=true", "--no-pager", str(units / "vitrine.service"))
    exposure = re.search(r"Overall exposure level for vitrine.service: ([\d.]+)", done.stdout)
    assert exposure, done.stdout + done.stderr
    assert float(exposure.group(1)) < 2.0, done.stdout


def test_the_units_are_well_formed(units):
    done = analyze("verify", "--man=no", str(units / "vitrine.service"), str(units / "vitrine.socket"))
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "vitrine" in line]
    assert not ours, ours


# As systemd does it: only these calls, nobody's rights, no way to more.
CONFINE = """
import ctypes
libc, seccomp = ctypes.CDLL(None), ctypes.CDLL("libseccomp.so.2")
seccomp.seccomp_init.restype = ctypes.c_void_p
context = ctypes.c_void_p(seccomp.seccomp_init(0x00050000 | 1))
for name in {calls!r}:
    number = seccomp.seccomp_syscall_resolve_name(name.encode())
    if number >= 0:
        seccomp.seccomp_rule_add(context, 0x7fff0000, number, 0)
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
libc.prctl(38, 1, 0, 0, 0)
assert seccomp.seccomp_load(context) == 0
"""


def unit_calls(unit):
    """The names of the system calls that the unit allows."""
    groups, name = {}, None
    for line in analyze("syscall-filter", "--no-pager").stdout.splitlines():
        if line.startswith("@"):
            name = line.strip()
            groups[name] = set()
        elif line.strip() and not line.strip().startswith("#"):
            groups[name].add(line.strip())

    def expand(word):
        if not word.startswith("@"):
            return {word}
        return set().union(*map(expand, groups[word])) if groups[word] else set()
    allowed = set()
    for words in re.findall(r"(?m)^SystemCallFilter=(.*)$", unit.read_text()):
        calls = set().union(*map(expand, words.lstrip("~").split()))
        allowed = allowed - calls if words.startswith("~") else allowed | calls
    return sorted(allowed)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(server.sanitized(), reason="a sanitizer needs other system calls")
def test_the_unit_allows_what_serving_needs(manage, units, folder):
    adopt_orphans()
    calls = unit_calls(units / "vitrine.service")
    assert "openat" in calls and "setuid" not in calls
    images = tempfile.mkdtemp(prefix="vitrine-test-")  # pytest's directories are for their owner only
    shutil.copytree(folder, images, dirs_exist_ok=True)
    served = Managed(images, confine=CONFINE.format(calls=calls))
    try:
        os.chmod(served.home, 0o755)
        for path in (served.manager.path, served.cache):
            os.chmod(path, 0o777)
        served.start()
        with open(f"/proc/{served.process.pid}/status") as status:
            assert re.search(r"(?m)^Seccomp:\t2$", status.read())
        kept = client.Connection("127.0.0.1", served.port)
        bodies = [get(served.port, target).body for target in [*TARGETS, LARGE]]
        since = len(served.manager.messages)
        served.signal(signal.SIGHUP)
        until(lambda: "reloaded" in "".join(served.manager.said("STATUS", since)), 5, "reloaded")
        restart(served)
        served.signal(signal.SIGUSR2)
        until(lambda: "has taken over" in served.log(), 5, served.log())
        until(lambda: served.manager.said("MAINPID"), 5, "it is named")
        served.process = Adopted(int(served.manager.said("MAINPID")[-1]))
        assert [get(served.port, target).body for target in [*TARGETS, LARGE]] == bodies
        kept.request("GET", INFO)
        assert kept.reply().status == 200
        assert "not permitted" not in served.log() and "signal 31" not in served.log(), served.log()
        if ctypes.CDLL(None).syscall(444, None, 0, 1) > 0:  # landlock_create_ruleset: its version
            assert "no Landlock" not in served.log(), "workers get into their box as everywhere"
        served.stop()
    finally:
        served.discard()
        shutil.rmtree(images)


def test_the_units_fit_the_program(units):
    service, sockets = (units / "vitrine.service").read_text(), (units / "vitrine.socket").read_text()
    assert "FileDescriptorName=vitrine-public" in sockets
    assert "RestartKillSignal=RTMIN+1" in service and "Type=notify" in service and "WatchdogSec=" in service
    most = int(re.search(r"FileDescriptorStoreMax=(\d+)", service).group(1))
    assert most >= 1024 + 4, "all that is kept has room"
