"""Access log, error log, request ids: nothing is lost, nothing is forged, nothing waits for them."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from server import until

TILE = "/iiif/3/one.tif/0,0,256,256/256,256/0/default.jpg"
COMMON = re.compile(r'(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000)\] "((?:[^"\\]|\\.)*)" (\d{3}) (\d+)')
COMBINED = re.compile(COMMON.pattern + r' "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"')


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("images")
    subprocess.run(["vips", "black", f"{place}/black.v", "1000", "700", "--bands", "3"], check=True)
    subprocess.run(["vips", "tiffsave", f"{place}/black.v", f"{place}/one.tif", "--tile", "--pyramid", "--compression",
                    "jpeg", "--tile-width", "256", "--tile-height", "256"], check=True)
    (place / "black.v").unlink()
    return place


@pytest.fixture
def log(tmp_path):
    return tmp_path / "access.log"


def lines(path, count, seconds=5):
    """The file's lines, once there are so many."""
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, seconds, f"{count} lines in {path.name}")
    return path.read_text().splitlines()


def test_off_by_default(start, folder):
    served = start(folder)
    served.get(TILE)
    assert "GET" not in served.log()


@pytest.mark.parametrize("form, pattern", [("common", COMMON), ("combined", COMBINED)], ids=["common", "combined"])
def test_lines_that_others_understand(start, folder, log, form, pattern):
    served = start(folder, settings={"access_log": log, "access_log_format": form}, workers=1)
    answer = served.get(TILE, {"Referer": "http://viewer.example/", "User-Agent": "test \"quoted\" 1.0"})
    served.client().head(TILE)
    served.get("/iiif/3/none.tif/info.json")
    first, head, missing = [pattern.fullmatch(line) for line in lines(log, 3)]
    assert first and head and missing, log.read_text()
    assert first[1] == "127.0.0.1" and first[3] == f"GET {TILE} HTTP/1.1"
    assert first[4] == "200" and int(first[5]) == len(answer.body)
    assert head[3].startswith("HEAD ") and head[4] == "200" and head[5] == "0"
    assert missing[4] == "404"
    assert abs(time.time() - time.mktime(time.strptime(first[2], "%d/%b/%Y:%H:%M:%S +0000")) + time.timezone) < 60
    if form == "combined":
        assert first[6] == "http://viewer.example/" and first[7] == 'test \\"quoted\\" 1.0' and head[6] == "-"


def test_json_says_where_the_time_went(start, folder, log):
    served = start(folder, settings={"access_log": log, "access_log_format": "json"}, workers=1)
    answer = served.get("/iiif/3/one.tif/10,10,500,500/200,/0/default.png", {"User-Agent": "test"})
    error = served.get("/iiif/3/one.tif/what")
    line, second = [json.loads(text) for text in lines(log, 2)]
    assert line["class"] == "region" and line["protocol"] == "iiif3" and line["status"] == 200 and line["whole"] is True
    assert line["bytes"] == len(answer.body) and line["user_agent"] == "test" and "referer" not in line
    stages = line["stages_ms"]
    assert {"queue", "decode", "resample", "encode", "send"} <= set(stages)
    assert 0 < sum(stages.values()) < line["ms"] * 1.5 + 5
    assert re.fullmatch("[0-9a-f]{16}", line["id"]) and line["id"] != second["id"]
    assert answer["x-request-id"] is None  # caches keep images
    assert error["x-request-id"] == second["id"]


HOSTILE = [b"/%0A%0D%00", b'/"quoted"\\back', b"/\x1b[2J\x1b]0;title", "/\u202edrow".encode(), b"/\x80\x9b31m", b"/" + b"x" * 4000]


@pytest.mark.parametrize("form", ["common", "combined", "json"])
def test_hostile_bytes_stay_in_their_field(start, folder, log, form):
    served = start(folder, settings={"access_log": log, "access_log_format": form})
    for path in HOSTILE:
        with socket.create_connection(("127.0.0.1", served.port)) as client:
            client.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\nUser-Agent: " + path[1:200].replace(b"\r", b"") +
                           b"\r\n\r\n")
            while client.recv(65536):
                pass
    found = lines(log, len(HOSTILE))
    assert len(found) == len(HOSTILE)
    for line in found:
        assert line.isascii() and line.isprintable()
        assert json.loads(line)["status"] in (400, 404) if form == "json" else COMMON.match(line)
    for line in served.log().splitlines():
        assert line.isprintable() and (line.startswith("20") or not line), line


def test_ids_of_trusted_proxies_only(start, folder, log):
    settings = {"access_log": log, "access_log_format": "json"}
    served = start(folder, settings={**settings, "trusted_proxies": "loopback"}, workers=1)
    given = {"X-Request-Id": "Abc-123.x/y:z=", "X-Forwarded-For": "203.0.113.9, 198.51.100.7, 127.0.0.9"}
    assert served.get(TILE, given)["x-request-id"] == given["X-Request-Id"]
    assert served.get("/nothing", given)["x-request-id"] == given["X-Request-Id"]
    served.get("/nothing", {"X-Request-Id": "two words", "Forwarded": 'for=192.0.2.60;proto=http, for="[2001:db8::1]:4711"'})
    served.get("/nothing", {"X-Request-Id": "x" * 65, "X-Forwarded-For": "garbage"})
    found = [json.loads(line) for line in lines(log, 4)]
    assert [line["id"] for line in found[:2]] == [given["X-Request-Id"]] * 2
    assert [line["client"] for line in found] == ["198.51.100.7", "198.51.100.7", "2001:db8::1", "127.0.0.1"]
    assert all(re.fullmatch("[0-9a-f]{16}", line["id"]) for line in found[2:])
    untrusting = start(folder, settings={**settings, "access_log": log.with_name("other")})
    answer = untrusting.get("/nothing", given)
    line = json.loads(lines(log.with_name("other"), 1)[0])
    assert line["client"] == "127.0.0.1" and line["id"] == answer["x-request-id"] != given["X-Request-Id"]


def test_errors_name_the_request(start, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "images")
    (tmp_path / "images" / "bad.tif").write_bytes((folder / "one.tif").read_bytes()[:5000])
    served = start(tmp_path / "images")
    answer = served.get("/iiif/3/bad.tif/info.json")
    assert answer.status >= 500
    error = served.admin().get("/status").json()["errors"][0]
    assert error["id"] == answer["x-request-id"] and error["level"] == "warning"
    assert "bad.tif" in error["text"] and f"[{error['id']}] " in served.log()


def test_a_slow_request_says_where_its_time_went(start, folder):
    served = start(folder, settings={"slow_request_ms": 1, "derivative_cache": "false"})
    answer = served.get("/iiif/3/one.tif/0,0,999,699/990,/0/default.webp")
    assert answer.status == 200
    until(lambda: "slow: region" in served.log(), 5, "a line")
    line = next(line for line in served.log().splitlines() if "slow: region" in line)
    assert re.search(r"slow: region took [\d.]+ ms \(.*decode [\d.]+ ms.*encode [\d.]+ ms.*\), status 200, request "
                     r"[0-9a-f]{16}: /iiif/3/one.tif/0,0,999,699/", line), line
    assert served.log().count("slow: region") == 1
    counted = re.search(rb"\nvitrine_slow_requests_total (\d+)\n", served.admin().get("/metrics").body)
    assert 1 <= int(counted[1]) <= served.log().count("slow: "), "what the tests themselves ask for may be slow, too"


def writes_to(pid, path):
    """Whether the process has the file of this name open, not one that had it once."""
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            if os.readlink(f"/proc/{pid}/fd/{name}") == str(path):
                return True
        except FileNotFoundError:
            pass
    return False


def test_usr1_reopens_in_every_process(start, folder, log, tmp_path):
    errors = tmp_path / "error.log"
    served = start(folder, settings={"access_log": log, "error_log": errors, "access_log_format": "json"}, workers=3)
    clients = [served.client() for _ in range(6)]
    sent = 0
    for turn in range(5):
        for client in clients:
            for _ in range(3):
                assert client.get(TILE).status == 200
                sent += 1
        for path in (log, errors):
            path.rename(path.with_name(f"{path.name}.{turn}"))
        served.signal(signal.SIGUSR1)
        until(lambda: errors.exists() and all(writes_to(pid, log) for pid in served.worker_pids()), 5, "new files")
    served.get("/nothing")
    lines(log, 1)
    until(lambda: sum(path.read_bytes().count(b"\n") for path in tmp_path.glob("access.log*")) == sent + 1, 5, "every line")
    assert "opened anew" in errors.read_text()
    # All of them write to the new files: the old ones do not grow any more.
    old = {path: path.stat().st_size for path in tmp_path.glob("*.log.*")}
    for client in clients:
        client.get(TILE)
    lines(log, 1 + len(clients))
    assert old == {path: path.stat().st_size for path in tmp_path.glob("*.log.*")}


def test_lines_survive_kill_9(start, folder, log):
    served = start(folder, settings={"access_log": log, "access_log_format": "json"}, workers=2)
    sent = 0
    for _ in range(6):
        client = served.client()
        for _ in range(20):
            assert client.get(TILE).status == 200
            sent += 1
        for pid in served.worker_pids():
            os.kill(pid, signal.SIGKILL)
        until(lambda: served.admin().get("/status").body.count(b'"serving"') == 2, 5, "both serve again")
    until(lambda: len(set(json.loads(line)["id"] for line in log.read_text().splitlines())) == sent, 5,
          f"{sent} ids, there are {len(log.read_text().splitlines())} lines")


def test_none_is_lost_at_the_end(start, folder, log):
    served = start(folder, settings={"access_log": log})
    for _ in range(50):
        served.get(TILE)
    served.signal(signal.SIGTERM)
    served.process.wait()
    assert len(log.read_text().splitlines()) == 50
    served.start()


def dropped(served):
    status = served.admin().get("/status").json()
    return status["access_log_dropped"]


def test_a_full_disk_does_not_stop_anything(start, folder):
    served = start(folder, settings={"access_log": "/dev/full"})
    for _ in range(20):
        assert served.get(TILE).status == 200
    until(lambda: dropped(served) == 20, 5, "lines are counted")
    assert "the access log cannot be written: No space left on device" in served.log()


def test_a_stuck_pipe_does_not_stop_anything(start, folder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    served = start(folder, settings={"access_log": tmp_path / "pipe", "access_log_format": "json"}, workers=1)
    client = served.client()
    path = "/" + "x" * 900
    for _ in range(500):  # more than the pipe's 64 KB and the ring's 256 KB
        assert client.get(path).status == 404
    until(lambda: dropped(served) > 50, 5, "lines are dropped")
    with open(tmp_path / "pipe", "rb") as pipe:
        os.set_blocking(pipe.fileno(), False)
        got = b""

        def read():
            nonlocal got
            got += pipe.read() or b""
            return got.count(b"\n") + dropped(served) >= 500
        until(read, 10, "the rest comes when somebody reads")
    assert all(json.loads(line)["status"] == 404 for line in got.splitlines())
    assert got.count(b"\n") + dropped(served) == 500
    assert "lines were dropped" in served.log()


def test_syslog(start, folder):
    place = tempfile.mkdtemp()  # where workers get, too
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(f"{place}/log")
    os.chmod(place, 0o755), os.chmod(f"{place}/log", 0o777)
    server.settimeout(10)
    served = start(folder, settings={"access_log": f"syslog:{place}/log", "error_log": f"syslog:{place}/log"})
    assert served.get(TILE).status == 200
    got = []
    while not any(b"GET " + TILE.encode() in line for line in got):
        got.append(server.recv(65536))
    assert re.match(rb"<30>vitrine\[\d+\]: 127.0.0.1 - - ", got[-1]) and b"\n" not in b"".join(got)
    assert any(re.fullmatch(rb"<30>vitrine\[\d+\]: master: worker \d \(pid \d+\) serves", line) for line in got), got
    shutil.rmtree(place)


def test_the_journal_gets_priorities(folder, tmp_path):
    from server import binary, free_port
    log = tmp_path / "journal"
    with open(log, "wb") as stream:
        status = os.fstat(stream.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        server = subprocess.Popen([binary(), "serve", "--images", str(folder), "--listen", f"127.0.0.1:{free_port()}",
                                   "--admin", "", "--workers", "1"], stderr=stream, env=environment)
    until(lambda: "serves\n" in log.read_text(), 10, "it serves")
    server.terminate()
    server.wait()
    assert all(re.match(r"<[346]>(master|worker \d)\[\d+\]: ", line) for line in log.read_text().splitlines()[2:])
