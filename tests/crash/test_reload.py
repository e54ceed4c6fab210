"""HUP: other settings come to serve, connections stay, and nobody notices unless by what was changed."""
import os
import resource
import signal
import time

import pytest

import client
import load
import server
from server import until
from stops import INFO, LARGE, slow_reader



TARGETS = [INFO, "/iiif/3/small.tif/full/max/0/default.jpg", "/iiif/3/noise.tif/0,0,256,256/max/0/default.jpg",
           "/iiif/3/noise.tif/300,200,700,600/350,/90/gray.png", "/iiif/3/noise.tif/full/200,/0/default.webp"]


class Configured:
    """A configuration file, and the server that was started with it."""

    def __init__(self, path):
        self.path = path

    def write(self, **settings):
        text = "".join(f"{key} = {value};\n" for key, value in settings.items())
        with open(self.path, "w") as file:
            file.write(text)


@pytest.fixture
def configured(tmp_path, start, folder):
    file = Configured(tmp_path / "vitrine.conf")
    file.write(cache_control='"first"')

    def begin(**options):
        served = start(folder, "-c", str(file.path), **options)
        until(lambda: len(serving(served)) == served.workers, 5, "all workers serve")
        return served
    file.start = begin
    return file


def serving(served):
    """The pids of the workers that serve."""
    told = served.admin().get("/status").json()
    return {one["pid"] for one in told["workers"] if one["state"] == "serving"}


def hup(served):
    """HUP, and waits until other workers serve; returns their pids."""
    before = serving(served)
    served.signal(signal.SIGHUP)

    def others():
        now = serving(served)
        return now if now and not now & before else None
    return until(others, 5, f"other workers serve; log:\n{served.log()[-2000:]}")


def test_new_settings_serve_the_connections_that_are_open(configured):
    served = configured.start()
    connections = [client.Connection("127.0.0.1", served.port) for _ in range(10)]
    for connection in connections:
        connection.request("GET", INFO)
        assert connection.reply()["cache-control"] == "first"
    configured.write(cache_control='"second"')
    hup(served)
    for connection in connections:
        connection.request("GET", INFO)
        assert connection.reply()["cache-control"] == "second"
        connection.close()
    until(lambda: len(served.worker_pids()) == 2, 5, "the old workers have left")
    assert "has retired" in served.log() and "killed" not in served.log()


def test_an_idle_connection_and_half_a_request_go_on(configured):
    served = configured.start()
    idle, half = (client.Connection("127.0.0.1", served.port) for _ in range(2))
    request = client.request_bytes("GET", INFO, None, idle.host)
    half.send(request[:30])
    time.sleep(0.1)  # until the worker has taken it
    hup(served)
    idle.send(request)
    assert idle.reply().status == 200
    half.send(request[30:])
    assert half.reply().status == 200


def test_a_connection_that_is_never_idle_moves_too(configured):
    served = configured.start()
    connection = client.Connection("127.0.0.1", served.port)
    request = client.request_bytes("GET", INFO, None, connection.host)
    configured.write(cache_control='"second"')
    served.signal(signal.SIGHUP)
    end = time.monotonic() + server.patience(5)
    while True:
        connection.send(request)
        reply = connection.reply()
        assert reply.status == 200
        if reply["cache-control"] == "second":
            break
        assert time.monotonic() < end, served.log()


def test_what_an_old_worker_has_given_back_it_leaves_alone(configured):
    """Its own clock says that nothing moves on the connection; in the new worker much does."""
    served = configured.start(settings={"idle_timeout": 2})
    slow, head = slow_reader(served)
    idle = [client.Connection("127.0.0.1", served.port) for _ in range(4)]
    hup(served)
    end = time.monotonic() + 5
    read = 0
    while time.monotonic() < end:
        for connection in idle:
            connection.request("GET", INFO)
            assert connection.reply().status == 200
        read += 400000  # an old worker stays as long as this answer is not read
        while len(slow.pending) < read:
            slow.more()
        time.sleep(0.3)
    assert len(served.worker_pids()) == 3, "an old worker was there all the time"
    assert len(slow.body(head)) == int(head["content-length"])


def test_an_answer_under_way_ends_as_it_began(configured):
    served = configured.start()
    undisturbed = served.get(LARGE).body
    connection, head = slow_reader(served)
    configured.write(cache_control='"second"', jpeg_quality=20)
    hup(served)
    assert head["cache-control"] == "first"
    assert connection.body(head) == undisturbed
    connection.request("GET", INFO)
    assert connection.reply()["cache-control"] == "second"


def test_an_answer_that_outlasts_the_old_workers_goes_on_in_the_new_ones(configured):
    served = configured.start(settings={"drain_timeout": 1})
    undisturbed = served.get(LARGE).body
    connection, head = slow_reader(served)
    hup(served)
    until(lambda: "did not leave in time" in served.log(), 4, "the old worker is killed")
    assert connection.body(head) == undisturbed
    connection.request("GET", INFO)
    assert connection.reply().status == 200


def test_a_slow_reader_outlasts_many_reloads(configured):
    served = configured.start()
    undisturbed = served.get(LARGE).body
    connection, head = slow_reader(served)
    for _ in range(6):
        hup(served)
        while len(connection.pending) < 200000:
            connection.more()
    assert connection.body(head) == undisturbed


def test_hup_every_second_under_load(configured):
    served = configured.start()
    wanted = load.answers(served, TARGETS)
    began = time.monotonic()
    reloads = 0
    with load.Load(served.port, wanted, connections=30) as busy, load.NewConnections(served.port, INFO) as fresh:
        while time.monotonic() < began + 11:
            hup(served)
            reloads += 1
            time.sleep(max(0, began + reloads - time.monotonic()))
    print(f"{reloads} reloads, {busy.done} answers, {fresh.done} new connections, slowest {busy.slowest_s:.2f} s")
    assert reloads >= 5
    busy.assert_undisturbed(at_least=100)
    fresh.assert_undisturbed()
    until(lambda: len(served.worker_pids()) == 2, 5, "the old workers have left")


def test_many_hups_at_once(configured):
    served = configured.start()
    wanted = load.answers(served, TARGETS)
    with load.Load(served.port, wanted, connections=8) as busy:
        for _ in range(200):
            served.signal(signal.SIGHUP)
            time.sleep(0.005)
        hup(served)
    busy.assert_undisturbed()
    until(lambda: len(served.worker_pids()) == 2, 5, "the old workers have left")
    assert "do not come up" not in served.log()


@pytest.mark.parametrize("text, complaint", [
    ("jpeg_quality = 200;\n", ":1: jpeg_quality is 200"),
    ("\njpeg_quality = 50;\njepg_quality = 50;\n", ":3: there is no setting jepg_quality"),
    ("jpeg_quality = ;\n", ":1: syntax error"),
    ('images = "/nowhere";\n', ""),
], ids=["out of bounds", "unknown", "syntax", "overridden"])
def test_a_bad_configuration_changes_nothing(configured, text, complaint):
    served = configured.start()
    before = serving(served)
    configured.path.write_text(text)
    served.signal(signal.SIGHUP)
    if complaint:
        until(lambda: "nothing was changed" in served.log(), 3, "the log says why")
        assert f"{configured.path}{complaint}" in served.log()
        assert serving(served) == before
        assert served.get(INFO)["cache-control"] == "first"
    else:  # what the command line says goes before the file, at a reload too
        until(lambda: "the old ones retire" in served.log(), 3, "reloaded")
    configured.write(cache_control='"third"')
    hup(served)
    assert served.get(INFO)["cache-control"] == "third"


def test_a_missing_file_changes_nothing(configured):
    served = configured.start()
    before = serving(served)
    os.unlink(configured.path)
    served.signal(signal.SIGHUP)
    until(lambda: "nothing was changed" in served.log(), 3, "the log says why")
    assert "cannot be opened" in served.log() and serving(served) == before


def test_what_cannot_change_stays_with_a_warning(configured, start, folder, tmp_path):
    served = configured.start(settings={"max_connections": 77})
    served.signal(signal.SIGHUP)
    until(lambda: "the old ones retire" in served.log(), 3, "reloaded")
    assert "cannot change" not in served.log(), "nothing has"
    port = server.free_port()
    other = tmp_path / "other.conf"
    other.write_text(f'listen = "127.0.0.1:{port}";\nmax_connections = 50;\n')
    command = [server.binary(), "serve", "--images", str(folder), "-c", str(other)]

    class ByFile(server.Vitrine):
        def command(self):
            self.port = port
            return command + ["--admin", f"127.0.0.1:{self.admin_port}"]
    with ByFile(folder) as by_file:
        other.write_text('listen = "127.0.0.1:1";\nmax_connections = 60;\njpeg_quality = 30;\n')
        by_file.signal(signal.SIGHUP)
        until(lambda: "the old ones retire" in by_file.log(), 5, "reloaded")
        assert "listen cannot change" in by_file.log() and "max_connections cannot change" in by_file.log()
        assert by_file.get(INFO).status == 200


def test_the_number_of_workers_changes(configured, folder):
    with server.Vitrine(folder, "-c", str(configured.path)) as probe:
        command = [word for word in probe.command()]
        at = command.index("--workers")
        del command[at:at + 2]

    class ByFile(server.Vitrine):
        def command(self):
            command[command.index("--listen") + 1] = f"127.0.0.1:{self.port}"
            command[command.index("--admin") + 1] = f"127.0.0.1:{self.admin_port}"
            command[command.index("--cache") + 1] = self.cache
            return command
    configured.write(workers=1)
    with ByFile(folder) as served:
        for number in (3, 5, 1, 2):
            configured.write(workers=number)
            hup(served)
            until(lambda: len(serving(served)) == len(served.worker_pids()) == number, 5, f"{number} workers")
            assert served.get(INFO).status == 200


@pytest.mark.skipif(server.sanitized(), reason="a sanitizer needs more memory than this test leaves")
def test_the_old_workers_stay_when_the_new_ones_do_not_come_up(configured):
    served = configured.start()
    wanted = load.answers(served, TARGETS)
    before = serving(served)
    room = resource.prlimit(served.process.pid, resource.RLIMIT_AS)
    with load.Load(served.port, wanted, connections=10) as busy:
        resource.prlimit(served.process.pid, resource.RLIMIT_AS, (1 << 25, room[1]))
        served.signal(signal.SIGHUP)
        until(lambda: "do not come up" in served.log(), 5, "the log says so")
        resource.prlimit(served.process.pid, resource.RLIMIT_AS, room)
        until(lambda: set(served.worker_pids()) == before, 3, "the new ones are gone, the old ones are there")
        assert serving(served) == before
        hup(served)
    busy.assert_undisturbed()


def test_a_killed_worker_is_replaced_by_one_of_the_new_generation(configured):
    served = configured.start()
    configured.write(cache_control='"second"')
    now = hup(served)
    for pid in now:
        os.kill(pid, signal.SIGKILL)
    until(lambda: len(serving(served)) == 2 and not serving(served) & now, 3, "replaced")
    for _ in range(4):
        assert served.get(INFO)["cache-control"] == "second"


@pytest.mark.parametrize("numbers", [[signal.SIGHUP, signal.SIGTERM], [signal.SIGTERM, signal.SIGHUP]],
                         ids=["hup term", "term hup"])
def test_leaving_goes_before_reloading(configured, numbers):
    served = configured.start()
    undisturbed = served.get(LARGE).body
    connection, head = slow_reader(served)
    for number in numbers:
        served.signal(number)
    until(lambda: "told to leave" in served.log(), 2, "TERM is heard")
    assert connection.body(head) == undisturbed
    until(lambda: served.process.poll() is not None, 3, "the server has left")
    assert served.process.returncode == 0


def test_term_while_old_workers_retire(configured):
    served = configured.start()
    undisturbed = served.get(LARGE).body
    connection, head = slow_reader(served)
    hup(served)
    served.signal(signal.SIGTERM)
    until(lambda: "told to leave" in served.log(), 2, "TERM is heard")
    assert connection.body(head) == undisturbed
    until(lambda: served.process.poll() is not None, 3, "the server has left")
    assert served.process.returncode == 0
