"""The life of the processes: what a death, a signal or a full house does to the service. No test sleeps to wait."""
import os
import signal
import socket
import time

import pytest

import client
import server
from server import until
from stops import INFO, slow_reader

NOISE = (3000, 2400)


@pytest.fixture
def start(start):
    """As everywhere, but all workers serve: /ready says 200 already when the first does."""
    def begin(*arguments, **options):
        served = start(*arguments, **options)
        until(lambda: len(workers(served)) == served.workers, 5, "all workers serve")
        return served
    return begin


@pytest.fixture
def served(start, folder):
    return start(folder)


def children(pid):
    """pid -> state letter of every child, zombies too."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found[int(name)] = fields[0]
    return found


def workers(served):
    """The workers that serve, by slot, as the server says itself."""
    def status():
        try:
            return served.admin().get("/status").json()
        except OSError:
            return None  # asked of a worker that was just killed
    told = until(status, 3, "/status answers")
    return {one["slot"]: one for one in told["workers"] if one["state"] == "serving"}


def kill_slot(served, slot, number=signal.SIGKILL):
    """Kills the worker of the slot; returns the pid of the one that serves there next."""
    victim = until(lambda: workers(served).get(slot), 3, f"slot {slot} serves; log:\n{served.log()}")["pid"]
    os.kill(victim, number)

    def successor():
        pid = workers(served).get(slot, {"pid": victim})["pid"]
        return pid if pid != victim else None
    return until(successor, 3, f"slot {slot} serves again")


def answers(served):
    try:
        reply = served.get(INFO)
    except OSError:
        return False
    assert reply.status == 200, f"{reply}; log:\n{served.log()}"
    return True


def session_is_gone(served):
    return not served.processes()


# ---- workers die -------------------------------------------------------------------------------------------------

def test_killed_worker_is_replaced_and_service_goes_on(served):
    before = served.worker_pids()
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(set(served.worker_pids()) - set(before)) == 1, 2, "a new worker is there")
    until(lambda: answers(served), 2, "an answer")
    assert before[1] in served.worker_pids(), "the other worker was left alone"
    assert f"(pid {before[0]}) was killed by signal 9" in served.log()


def test_a_worker_that_ran_well_is_replaced_at_once_ten_times(served):
    for _ in range(10):
        kill_slot(served, 0)
        assert answers(served)
    assert "tried again" not in served.log(), "no pause was made"
    assert served.admin().get("/status").json()["crashes"] == 10, served.log()


def test_all_workers_die_at_once(served):
    for pid in served.worker_pids():
        os.kill(pid, signal.SIGKILL)
    until(lambda: answers(served), 3, "an answer")
    until(lambda: len(workers(served)) == 2, 3, "two workers")


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS])
def test_the_log_names_the_signal(served, number):
    if server.sanitized() and number != signal.SIGABRT:
        pytest.skip("AddressSanitizer answers this signal itself")
    victim = served.worker_pids()[1]
    os.kill(victim, number)
    until(lambda: f"(pid {victim}) was killed by signal {int(number)} (" in served.log(), 3, "a sentence in the log")


def test_no_zombie_is_left(served):
    for _ in range(3):
        kill_slot(served, 1)
    until(lambda: "Z" not in children(served.process.pid).values(), 1, "no zombie")


def test_connections_of_a_dead_worker_live_on_and_still_count(start, folder):
    served = start(folder, workers=1, settings={"connections_per_address": 3})
    held = [client.Connection("127.0.0.1", served.port) for _ in range(3)]
    for _ in range(3):
        for connection in held:
            connection.request("GET", INFO)
            assert connection.reply().status == 200
        kill_slot(served, 0)
    assert is_refused(served.port)
    for connection in held:
        connection.close()
    until(lambda: answers(served), 3, "there is room again")


def test_failing_starts_back_off_only_until_one_succeeds(start, tmp_path, folder):
    """The disc with the pictures goes away while the server runs: it tries again, ever more slowly, and recovers."""
    images = tmp_path / "images"
    images.mkdir()
    (images / "small.tif").write_bytes((folder / "small.tif").read_bytes())
    served = start(images, workers=2)
    images.rename(tmp_path / "away")
    os.kill(served.worker_pids()[0], signal.SIGKILL)
    until(lambda: served.log().count("tried again") >= 3, 5, "three attempts")
    assert all(f"tried again in {pause} ms" in served.log() for pause in (100, 200, 400))
    assert answers(served), f"the other worker goes on; log:\n{served.log()}"
    (tmp_path / "away").rename(images)
    until(lambda: len(workers(served)) == 2, 5, "two workers")


def test_bad_image_folder_is_exit_1_and_a_sentence(tmp_path):
    told = server.run("serve", "--images", str(tmp_path / "nowhere"), "--listen", "127.0.0.1:0", "--admin", "")
    assert told.returncode == 1
    assert "nowhere" in told.stderr and "No such file" in told.stderr


# ---- the master is told to leave ---------------------------------------------------------------------------------

def test_term_drains_an_answer_in_flight(served):
    connection, head = slow_reader(served)
    idle = client.Connection("127.0.0.1", served.port)
    served.signal(signal.SIGTERM)
    until(lambda: served.admin().get("/ready").status == 503, 3, "/ready says 503")
    with pytest.raises(ConnectionRefusedError):
        client.Connection("127.0.0.1", served.port)
    assert idle.socket.recv(1) == b"", "a connection without a request is ended"
    assert served.process.poll() is None
    body = connection.body(head)
    assert len(body) == int(head["content-length"]) > NOISE[0] * NOISE[1] * 3
    until(lambda: served.process.poll() is not None, 5, "the server has left")
    assert served.process.returncode == 0
    assert "drained" in served.log()


def test_term_without_work_is_quick(start, folder):
    served = start(folder, settings={"drain_timeout": 600})
    served.signal(signal.SIGTERM)
    until(lambda: served.process.poll() is not None, 2, "the server has left")


def takes_signals(pid):
    """Whether this process, a master, reads them itself by now."""
    with open(f"/proc/{pid}/status") as status:
        blocked = next(int(line.split()[1], 16) for line in status if line.startswith("SigBlk:"))
    return blocked >> (signal.SIGTERM - 1) & 1


def test_term_while_workers_start(folder):
    served = server.Vitrine(folder)
    served.prepare()
    served.port, served.admin_port = server.free_port(), server.free_port()
    with open(served.log_path, "wb") as log:
        served.process = server.subprocess.Popen(served.command(), stdout=log, stderr=log, start_new_session=True)
    served.session = served.process.pid
    try:
        # A child alone says nothing: the first is a probe of what the kernel can do, and TERM still means what it means to everybody.
        until(lambda: takes_signals(served.process.pid) and served.worker_pids(), 5, "a worker has been forked")
        served.signal(signal.SIGTERM)
        until(lambda: served.process.poll() is not None, 5, "the server has left")
        assert served.process.returncode == 0, served.log()
        until(lambda: session_is_gone(served), 1, "all workers are gone")
    finally:
        served.discard()


def test_drain_ends_after_its_timeout(start, folder):
    served = start(folder, settings={"drain_timeout": 1})
    connection, _ = slow_reader(served)
    began = time.monotonic()
    served.signal(signal.SIGTERM)
    until(lambda: served.process.poll() is not None, 6, "the server has left")
    assert time.monotonic() - began > 0.9
    assert served.process.returncode == 0
    assert "did not leave in time" in served.log()
    connection.close()


@pytest.mark.parametrize("numbers", [[signal.SIGQUIT], [signal.SIGTERM, signal.SIGTERM], [signal.SIGTERM, signal.SIGQUIT]],
                         ids=["quit", "term twice", "term quit"])
def test_quit_leaves_at_once(start, folder, numbers):
    served = start(folder, settings={"drain_timeout": 600})
    connection, _ = slow_reader(served)
    for number in numbers:
        served.signal(number)
        # Two equal signals that are both pending are one: the first must have been heard.
        until(lambda: "told to leave" in served.log(), 2, "the signal is heard")
    until(lambda: served.process.poll() is not None, 2, "the server has left")
    assert served.process.returncode == 0
    until(lambda: session_is_gone(served), 1, "all workers are gone")
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_workers_leave_signals_to_the_master(served, number):
    """A terminal and systemd send them to every process; a worker that obeyed would cut its answers."""
    before = served.worker_pids()
    connection, head = slow_reader(served)
    for pid in before:
        os.kill(pid, number)
    assert len(connection.body(head)) == int(head["content-length"])
    assert served.worker_pids() == before


def test_usr1_is_noted_and_survived(served):
    before = served.worker_pids()
    served.signal(signal.SIGUSR1)
    until(lambda: " USR1: " in served.log(), 2, "a sentence in the log")
    assert answers(served) and served.worker_pids() == before


# ---- the master dies ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("stopped", [False, True], ids=["workers run", "a worker is stopped"])
def test_workers_do_not_outlive_the_master(folder, stopped):
    served = server.Vitrine(folder).start()
    try:
        connection, _ = slow_reader(served)
        if stopped:
            os.kill(served.worker_pids()[0], signal.SIGSTOP)
        served.signal(signal.SIGKILL)
        until(lambda: session_is_gone(served), 1, "all workers are gone")
        connection.close()
        socket.create_server(("127.0.0.1", served.port)).close()  # nobody keeps the port
        served.assert_clean_log()
    finally:
        served.discard()


# ---- connections -------------------------------------------------------------------------------------------------

def test_connections_are_spread_over_the_workers(served):
    held = []
    for _ in range(40):
        held.append(client.Connection("127.0.0.1", served.port))
        held[-1].request("GET", INFO)
        assert held[-1].reply().status == 200
    counts = [one["connections"] for one in workers(served).values()]
    assert sum(counts) >= 40 and max(counts) - min(counts) <= 2, counts
    for connection in held:
        connection.close()
    until(lambda: sum(one["connections"] for one in workers(served).values()) <= 2, 3, "they are forgotten")


def is_refused(port):
    """Whether a new connection is closed before it is used."""
    connection = client.Connection("127.0.0.1", port)
    try:
        connection.request("GET", INFO)
        return connection.reply().status != 200
    except (ConnectionError, client.Gone):
        return True
    finally:
        connection.close()


def test_connections_per_address_are_limited(start, folder):
    served = start(folder, settings={"connections_per_address": 5})
    held = [client.Connection("127.0.0.1", served.port) for _ in range(5)]
    for connection in held:
        connection.request("GET", INFO)
        assert connection.reply().status == 200
    begun_s = time.monotonic()
    for _ in range(20):
        assert is_refused(served.port)
    assert "127.0.0.1 has 5 connections open already" in served.log()
    assert served.log().count("connection refused") <= 3 + time.monotonic() - begun_s, "at most one line a second"
    assert served.admin().get("/ready").status == 200, "the admin listener does not count"
    held.pop().close()
    until(lambda: not is_refused(served.port), 2, "a place has become free")
    for connection in held:
        connection.request("GET", INFO)
        assert connection.reply().status == 200, "who was in is not disturbed"
        connection.close()


def test_all_connections_together_are_limited(start, folder):
    served = start(folder, settings={"max_connections": 4})
    held = [client.Connection("127.0.0.1", served.port) for _ in range(4)]
    until(lambda: is_refused(served.port), 2, "the fifth is refused")
    assert served.admin().get("/ready").status == 200
    for connection in held:
        connection.close()
    until(lambda: not is_refused(served.port), 2, "a place has become free")


def test_places_become_free_again_many_times(start, folder):
    served = start(folder, settings={"connections_per_address": 4, "max_connections": 4})
    for _ in range(100):
        until(lambda: not is_refused(served.port), 2, "a place")
    master_sockets = [fd for fd in descriptors(served.process.pid) if fd.startswith("socket:")]
    assert len(master_sockets) < 12, master_sockets


def descriptors(pid):
    found = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            pass
    return found


MANY = 700  # more messages than a channel holds


def master_sockets(served):
    return len([fd for fd in descriptors(served.process.pid) if fd.startswith("socket:")])


def test_a_full_channel_to_the_worker_loses_no_connection(start, folder):
    served = start(folder, workers=1, settings={"connections_per_address": MANY})
    worker = served.worker_pids()[0]
    os.kill(worker, signal.SIGSTOP)
    held = [client.Connection("127.0.0.1", served.port) for _ in range(MANY)]
    until(lambda: master_sockets(served) >= MANY, 5, "all are accepted")
    assert "refused" not in served.log()
    os.kill(worker, signal.SIGCONT)
    for connection in held:
        connection.request("GET", INFO)
    for connection in held:
        assert connection.reply().status == 200
        connection.close()
    until(lambda: master_sockets(served) < 20, 5, "all are forgotten")


def test_a_full_channel_to_the_master_loses_no_end(start, folder):
    served = start(folder, workers=1, settings={"connections_per_address": MANY})
    held = [client.Connection("127.0.0.1", served.port) for _ in range(MANY)]
    until(lambda: workers(served)[0]["connections"] >= MANY, 5, "the worker has all")
    watch = client.Client("127.0.0.1", served.admin_port)
    watch.get("/status")
    served.signal(signal.SIGSTOP)
    for connection in held:
        connection.close()
    # The worker has seen them all end, and answers on, though nobody takes its messages.
    until(lambda: watch.get("/status").json()["workers"][0]["connections"] < 10, 5, "the worker has forgotten all")
    assert master_sockets(served) >= MANY
    served.signal(signal.SIGCONT)
    until(lambda: master_sockets(served) < 20, 5, "the master has forgotten all")
    assert answers(served)


def listening_inodes(*ports):
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return {f"socket:[{row[9]}]" for row in rows if row[3] == "0A" and int(row[1].split(":")[1], 16) in ports}


def test_a_new_worker_has_no_listener_and_only_its_own_connections(served):
    held = [client.Connection("127.0.0.1", served.port) for _ in range(30)]
    until(lambda: master_sockets(served) >= 30, 2, "all are accepted")
    fresh = kill_slot(served, 1)
    listeners = listening_inodes(served.port, served.admin_port)
    assert len(listeners) == 2 and listeners <= set(descriptors(served.process.pid))
    assert not listeners & set(descriptors(fresh))

    def only_its_own():
        """As many sockets shared with the master as it serves; for a moment also the one over which this asks."""
        both = set(descriptors(fresh)) & set(descriptors(served.process.pid))
        return len([fd for fd in both if fd.startswith("socket:")]) <= workers(served)[1]["connections"] < 30
    until(only_its_own, 2, f"the new worker holds only what it serves: {descriptors(fresh)}")
    for connection in held:
        connection.close()
