"""USR2: what lies at the program's path takes over every socket and connection, or nothing has happened."""
import contextlib
import os
import signal
import socket
import time

import pytest

import client
import load
import server
from server import until
from stops import INFO, LARGE, slow_reader
from upgradable import Upgradable

TARGETS = [INFO, "/iiif/3/small.tif/full/max/0/default.jpg", "/iiif/3/noise.tif/0,0,256,256/max/0/default.jpg",
           "/iiif/3/noise.tif/300,200,700,600/350,/90/gray.png", "/iiif/3/noise.tif/full/200,/0/default.webp"]


@pytest.fixture
def launch(folder):
    running = []

    def begin(*arguments, **options):
        served = Upgradable(folder, *arguments, **options)
        running.append(served)
        served.start()
        until(lambda: len(served.serving()) == served.workers, 5, "all workers serve")
        return served
    yield begin
    for served in running:
        try:
            served.stop()
        finally:
            served.discard()


def descriptors(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    return found


def test_everything_goes_on_in_the_new_program(launch):
    served = launch()
    undisturbed = served.get(LARGE).body
    idle, half, ended = (client.Connection("127.0.0.1", served.port) for _ in range(3))
    request = client.request_bytes("GET", INFO, None, idle.host)
    for connection in (idle, ended):
        connection.send(request)
        assert connection.reply().status == 200
    half.send(request[:30])
    slow, head = slow_reader(served)
    ended.close()
    before = served.processes()
    served.upgrade()
    assert not set(served.processes()) & set(before), "other processes"
    half.send(request[30:])
    for connection in (idle, half):
        if connection is idle:
            connection.send(request)
        assert connection.reply().status == 200
    assert slow.body(head) == undisturbed
    slow.request("GET", INFO)
    assert slow.reply().status == 200
    assert served.get(INFO).status == 200 and served.admin().get("/ready").status == 200
    for connection in (idle, half, slow):
        connection.close()
    until(lambda: len([fd for fd in descriptors(served.process.pid) if fd.startswith("socket:")]) < 10, 3,
          "the new master forgets connections that end")


def test_nothing_piles_up_over_many_upgrades(launch):
    served = launch()
    kept = client.Connection("127.0.0.1", served.port)
    served.upgrade()
    counts = []
    for _ in range(5):
        served.upgrade()
        kept.request("GET", INFO)
        assert kept.reply().status == 200
        counts.append((sorted(fd.split(":")[0] for fd in descriptors(served.process.pid)),
                       sorted(fd.split(":")[0] for fd in descriptors(served.worker_pids()[0]))))
    assert len(counts[0][0]) == len(counts[-1][0]) and len(counts[0][1]) <= len(counts[-1][1]) + 2, counts
    with open(f"/proc/{served.process.pid}/environ") as environment:
        assert environment.read().count("VITRINE_HANDOVER") <= 1
    assert os.getpgid(served.process.pid) == served.session, "the new master gets the terminal's signals"


def test_upgrades_under_load(launch):
    served = launch()
    wanted = load.answers(served, TARGETS)
    undisturbed = served.get(LARGE).body
    slow, head = slow_reader(served)
    with load.Load(served.port, wanted, connections=30) as busy, load.NewConnections(served.port, INFO) as fresh:
        for _ in range(6):
            time.sleep(1)
            served.install(server.binary())
            served.upgrade()
            while len(slow.pending) < 200000:
                slow.more()
        time.sleep(1)
    print(f"{busy.done} answers, {fresh.done} new connections, slowest {busy.slowest_s:.2f} s")
    busy.assert_undisturbed(at_least=100)
    fresh.assert_undisturbed()
    assert slow.body(head) == undisturbed


def test_reloads_and_upgrades_at_once_under_load(launch):
    served = launch()
    wanted = load.answers(served, TARGETS)
    with load.Load(served.port, wanted, connections=20) as busy, load.NewConnections(served.port, INFO) as fresh:
        for count in range(1, 5):
            served.signal(signal.SIGHUP)
            served.signal(signal.SIGUSR2)
            served.signal(signal.SIGHUP)
            served.follow(count)
            for pid in served.worker_pids():
                os.kill(pid, signal.SIGKILL)
    busy.assert_undisturbed()
    fresh.assert_undisturbed()


def test_a_hup_during_an_upgrade_is_not_lost(launch, tmp_path):
    config = tmp_path / "vitrine.conf"
    config.write_text('cache_control = "first";\n')
    served = launch("-c", str(config))
    served.signal(signal.SIGUSR2)
    until(lambda: "is started to take over" in served.log(), 2, "begun")
    served.signal(signal.SIGHUP)
    served.follow(1)
    until(lambda: "the old ones retire" in served.log(), 5, f"reloaded by one of them: {served.log()}")


def kept_serving(served, pids):
    # The log speaks before the refused program is gone.
    until(lambda: set(served.worker_pids()) == set(pids), 5, "the same workers serve, and nobody else")
    assert served.get(INFO).status == 200


@pytest.mark.parametrize("broken, complaint", [
    (b"#!/bin/sh\nexit 1\n", "the new program left with status 1"),
    (b"#!/bin/sh\nsleep 1000 &\nexit 1\n", "the new program left with status 1"),
    (b"#!/bin/sh\necho nonsense\nkill -SEGV $$\n", "the new program was killed by signal 11"),
    (b"\x7fELF nonsense", "cannot be started"),
    (b"", "cannot be started"),
    (None, "cannot be started: No such file or directory"),
], ids=["exits", "leaves a child", "crashes", "no program", "empty", "missing"])
def test_a_broken_program_changes_nothing(launch, broken, complaint):
    served = launch()
    before = served.worker_pids()
    wanted = load.answers(served, TARGETS)
    with load.Load(served.port, wanted, connections=8) as busy:
        if broken is None:
            os.unlink(served.program)
        else:
            served.install(broken)
        served.signal(signal.SIGUSR2)
        until(lambda: "this program goes on" in served.log(), 5, "the log says so")
    busy.assert_undisturbed()
    log = served.log()
    assert complaint in log or "the other master is gone" in log, log[-2000:]
    kept_serving(served, before)
    until(lambda: len(served.processes()) == 3, 3, "what it had started is gone")
    served.install(server.binary())
    served.upgrade()
    assert served.get(INFO).status == 200


def test_a_program_that_hangs_changes_nothing(launch):
    served = launch()
    before = served.worker_pids()
    served.install(b"#!/bin/sh\nsleep 1000 &\nsleep 1000\n")
    began = time.monotonic()
    served.signal(signal.SIGUSR2)
    until(lambda: "is started to take over" in served.log(), 2, "begun")
    while "not ready in time" not in served.log():
        assert served.get(INFO).status == 200  # new connections, too
        assert time.monotonic() - began < server.patience(30)
        time.sleep(0.2)
    kept_serving(served, before)
    until(lambda: len(served.processes()) == 3, 3, "what it had started is gone")
    served.install(server.binary())
    served.upgrade()
    assert served.get(INFO).status == 200


def test_a_program_of_another_version_of_the_handover_changes_nothing(launch):
    served = launch()
    before = served.worker_pids()
    # Says READY as version 2 would.
    served.install(b"""#!/usr/bin/python3
import os, socket, time
channel = socket.socket(fileno=int(os.environ["VITRINE_HANDOVER"]))
first = channel.recv(4096)
channel.send(first[:8] + (2).to_bytes(4, "little") + first[12:20] + (5).to_bytes(4, "little") + first[24:])
time.sleep(100)
""")
    served.signal(signal.SIGUSR2)
    until(lambda: "hands over by version 2, this one by version 1" in served.log(), 5, "the log says so")
    kept_serving(served, before)


# Takes part in the handover up to a point, then acts.
PRETENDER = """#!/usr/bin/python3
import os, socket, time
channel = socket.socket(fileno=int(os.environ["VITRINE_HANDOVER"]))
def heard():
    data, _, _, _ = channel.recvmsg(4096, 65536)
    return int.from_bytes(data[20:24], "little"), data
while True:
    kind, data = heard()
    if kind == 4:
        break
channel.send(data[:20] + (5).to_bytes(4, "little") + data[24:])
while True:
    kind, data = heard()
    if kind == 7:
        break
{end}
"""


@pytest.mark.parametrize("end", ["os._exit(1)", "time.sleep(100)"], ids=["dies", "hangs"])
def test_a_program_that_fails_at_the_last_moment_changes_nothing(launch, end):
    """It has every connection already, and the old workers are dead."""
    served = launch()
    undisturbed = served.get(LARGE).body
    wanted = load.answers(served, TARGETS)
    slow, head = slow_reader(served)
    served.install(PRETENDER.format(end=end).encode())
    with load.Load(served.port, wanted, connections=8) as busy:
        served.signal(signal.SIGUSR2)
        until(lambda: "this program goes on" in served.log(), 12, "the log says so")
        until(lambda: len(served.serving()) == 2, 5, "there are workers again")
        time.sleep(0.3)
    busy.assert_undisturbed()
    assert slow.body(head) == undisturbed
    served.install(server.binary())
    served.upgrade()
    assert served.get(INFO).status == 200


def test_a_bad_configuration_keeps_the_old_program(launch, tmp_path):
    config = tmp_path / "vitrine.conf"
    config.write_text("jpeg_quality = 70;\n")
    served = launch("-c", str(config))
    before = served.worker_pids()
    config.write_text("jpeg_quality = 170;\n")
    served.signal(signal.SIGUSR2)
    until(lambda: "this program goes on" in served.log(), 5, "the log says so")
    assert f"{config}:1: jpeg_quality is 170" in served.log()
    kept_serving(served, before)


def test_the_size_of_the_tables_stays_until_the_next_start(launch, tmp_path):
    config = tmp_path / "vitrine.conf"
    config.write_text("max_connections = 30;\nconnections_per_address = 100;\n")
    served = launch("-c", str(config))
    held = [client.Connection("127.0.0.1", served.port) for _ in range(20)]
    for number in (5, 1000):
        config.write_text(f"max_connections = {number};\nconnections_per_address = 100;\n")
        served.upgrade()
        for connection in held:
            connection.request("GET", INFO)
            assert connection.reply().status == 200
    assert "max_connections stays 30 until the next start" in served.log()
    more = [client.Connection("127.0.0.1", served.port) for _ in range(10)]
    for connection in more:
        connection.request("GET", INFO)
        assert connection.reply().status == 200
    with pytest.raises((ConnectionError, client.Gone)):
        one_too_many = client.Connection("127.0.0.1", served.port)
        one_too_many.request("GET", INFO)
        one_too_many.reply()


def test_connections_of_a_place_used_before_are_new_ones(launch):
    """Their numbers go on: a new connection is never taken for one that another worker had."""
    served = launch()
    for _ in range(3):
        held = [client.Connection("127.0.0.1", served.port) for _ in range(8)]
        for connection in held:
            connection.request("GET", INFO)
            assert connection.reply().status == 200
            connection.close()
        until(lambda: len([fd for fd in descriptors(served.process.pid) if fd.startswith("socket:")]) < 10, 3,
              "all are forgotten")
        served.upgrade()
    assert "could not be taken" not in served.log()


def test_term_during_an_upgrade_ends_both(launch):
    served = launch()
    served.install(b"#!/bin/sh\nsleep 1000\n")
    served.signal(signal.SIGUSR2)
    until(lambda: "is started to take over" in served.log(), 2, "begun")
    served.signal(signal.SIGTERM)
    assert served.process.wait(60) == 0
    until(lambda: not served.processes(), 2, "nobody is left")


def test_the_old_master_killed_during_an_upgrade_takes_the_new_one_with_it(launch):
    served = launch()
    served.install(b"#!/bin/sh\nsleep 0.5\nexec " + server.binary().encode() + b' "$@"\n')
    served.signal(signal.SIGUSR2)
    until(lambda: "is started to take over" in served.log(), 2, "begun")
    served.signal(signal.SIGKILL)
    served.process.wait()
    until(lambda: not served.processes(), 5, f"nobody is left; log:\n{served.log()}")
    socket.create_server(("127.0.0.1", served.port)).close()
    served.process.returncode = 0  # as intended


def test_a_connection_that_the_client_ends_meanwhile(launch):
    served = launch()
    held = [client.Connection("127.0.0.1", served.port) for _ in range(50)]
    for connection in held:
        connection.request("GET", INFO)
        assert connection.reply().status == 200
    served.signal(signal.SIGUSR2)
    for connection in held:
        connection.close()
        time.sleep(0.005)
    served.follow(1)
    until(lambda: len([fd for fd in descriptors(served.process.pid) if fd.startswith("socket:")]) < 10, 3,
          "all are forgotten")


def test_a_connection_that_comes_at_the_last_moment(launch):
    """The old master sees it together with the word that the new one is ready."""
    served = launch()
    for count in (1, 2, 3):
        old, ready = served.process.pid, served.log().count(") serves")
        served.signal(signal.SIGUSR2)
        until(lambda: served.log().count("is started to take over") == count, 5, "begun")
        os.kill(old, signal.SIGSTOP)
        until(lambda: served.log().count(") serves") == ready + 2, 5, "the new workers are ready")
        time.sleep(0.1)
        late = client.Connection("127.0.0.1", served.port)
        late.request("GET", INFO)
        os.kill(old, signal.SIGCONT)
        served.follow(count)
        assert late.reply().status == 200


def test_connections_that_are_accepted_at_the_last_moment(launch):
    served = launch()
    fresh = [load.NewConnections(served.port, INFO, every_s=0) for _ in range(6)]
    with contextlib.ExitStack() as stack:
        for one in fresh:
            stack.enter_context(one)
        for _ in range(25):
            served.upgrade()
    for one in fresh:
        one.assert_undisturbed()
