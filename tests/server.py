"""A real vitrine process for the tests: started on free ports, polled until ready, ended with TERM.

The end is part of every test: exit status 0, no process of ours left, no sanitizer report in the log.
"""
import ctypes
import functools
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from client import Client

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REPORTS = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|UndefinedBehavior|runtime error:"
                     r"|Assertion .* failed", re.I)


def binary():
    """The program under test: $VITRINE, else ./vitrine of the tree."""
    named = os.environ.get("VITRINE")
    path = os.path.abspath(named) if named else os.path.join(ROOT, "vitrine")
    if not os.access(path, os.X_OK):
        raise FileNotFoundError(f"there is no program {path}; build it with make or name it in VITRINE")
    return path


def sanitized():
    """Whether the program carries a sanitizer, which makes it several times slower and bigger."""
    return has_sanitizer(binary())


@functools.cache
def has_sanitizer(path):
    with open(path, "rb") as program:
        data = program.read()
    return b"__asan_init" in data or b"__tsan_init" in data


def patience(seconds):
    """A deadline that holds on a slow or busy machine and under a sanitizer too. seconds: where nothing else runs."""
    return seconds * (6 if sanitized() else 3)


@functools.cache
def ports():
    """Those that the kernel gives to nobody who does not ask for one, as outgoing connections do; by chance, and each of them once."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        first, last = map(int, file.read().split())
    found = [port for port in range(11000, 1 << 16) if not first <= port <= last] or list(range(11000, 1 << 16))
    random.SystemRandom().shuffle(found)
    return iter(found)


def free_port():
    """A port that nobody has, nor is likely to get before it is bound."""
    for port in ports():
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise OSError("every port that may be taken has been taken")


LEAST_PATIENCE_S = 60


def until(condition, seconds, what):
    """Poll until condition() is true; fail with what after so many seconds, and a minute at least: no proof of speed."""
    return poll(condition, max(patience(seconds), LEAST_PATIENCE_S), what)


def soon(condition, seconds, what):
    """The same where the time is promised, by `revalidate` for example, and a minute would hide that it is not kept."""
    return poll(condition, patience(seconds), what)


def poll(condition, most_s, what):
    end = time.monotonic() + most_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"after {most_s:.0f} s still not: {what}"
        time.sleep(0.01)


def process_table():
    """pid -> (parent, session) of every process that is not a zombie."""
    table = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as stat:
                    fields = stat.read().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] not in "ZX":
                table[int(name)] = (int(fields[1]), int(fields[3]))
    return table


def is_traced(pid):
    """Whether strace has got hold of every thread of a process."""
    def tracer(task):
        with open(f"/proc/{pid}/task/{task}/status") as status:
            return next(line.split()[1] for line in status if line.startswith("TracerPid:"))
    return all(tracer(task) != "0" for task in os.listdir(f"/proc/{pid}/task"))


def die_with_us():
    """In the child: when the tests themselves are killed, nobody else would end the server."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Vitrine:
    """One running server. Everything the constructor takes ends up on the command line."""

    def __init__(self, images, *arguments, workers=2, cache=None, settings=None, readable=False):
        self.images = str(images)
        self.readable = readable  # by everybody already, or not to be touched: it may hang
        self.arguments = list(arguments)
        self.workers = workers
        self.settings = settings or {}
        self.home = tempfile.mkdtemp(prefix="vitrine-test-")
        self.cache = str(cache) if cache else os.path.join(self.home, "cache")
        self.log_path = os.path.join(self.home, "log")
        self.process = None

    def command(self):
        command = [binary(), "serve", "--images", self.images, "--listen", f"127.0.0.1:{self.port}",
                   "--admin", f"127.0.0.1:{self.admin_port}", "--workers", str(self.workers),
                   "--cache", self.cache]
        for key, value in self.settings.items():
            command += ["--set", f"{key}={value}"]
        return command + self.arguments

    def prepare(self):
        os.makedirs(self.cache, exist_ok=True)
        if os.getuid() == 0 and not self.readable and os.path.isdir(self.images):
            # Workers are somebody else then, and pytest's temporary directories are for their owner only.
            os.chmod(self.images, os.stat(self.images).st_mode | 0o055)

    def start(self):
        self.prepare()
        for attempt in range(3):
            self.port, self.admin_port = free_port(), free_port()
            with open(self.log_path, "wb") as log:
                self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log,
                                                stderr=log, start_new_session=True, preexec_fn=die_with_us)
            self.session = self.process.pid
            if self.wait_ready() or attempt == 2 or "in use" not in self.log():
                break
        assert self.process.poll() is None, f"the server left with {self.process.returncode}:\n{self.log()}"
        return self

    def wait_ready(self):
        def ready():
            if self.process.poll() is not None:
                return "dead"
            try:
                return Client("127.0.0.1", self.admin_port, timeout=2).get("/ready").status == 200
            except OSError:
                return False
        return until(ready, 20, f"/ready answers 200; log:\n{self.log()}") != "dead"

    def log(self):
        with open(self.log_path, errors="replace") as log:
            return log.read()

    def processes(self):
        """Pids of the whole family, master first."""
        family = [pid for pid, (_, session) in process_table().items() if session == self.session]
        return sorted(family, key=lambda pid: pid != self.process.pid)

    def worker_pids(self):
        return sorted(pid for pid, (parent, _) in process_table().items() if parent == self.process.pid)

    def client(self, **options):
        return Client("127.0.0.1", self.port, **options)

    def admin(self, **options):
        return Client("127.0.0.1", self.admin_port, **options)

    def get(self, path, headers=None, **options):
        return self.client(**options).get(path, headers)

    def signal(self, number):
        os.kill(self.process.pid, number)

    def stop(self):
        """TERM, exit status 0, nothing left behind, nothing in the log that a sanitizer wrote."""
        said = len(self.log())
        try:
            if self.process.poll() is None:
                self.signal(signal.SIGTERM)
            try:
                code = self.process.wait(max(patience(15), LEAST_PATIENCE_S))
            except subprocess.TimeoutExpired:
                raise AssertionError(f"TERM did not end the server; log:\n{self.log()[-3000:]}") from None
            assert code == 0, f"exit status {code} after TERM; log:\n{self.log()[-3000:]}"
            assert "drain_timeout" in self.settings or "did not leave in time" not in self.log()[said:], self.log()[-3000:]
            until(lambda: not self.processes(), 2, "all processes of the server are gone")
            self.assert_clean_log()
        finally:
            self.discard()

    def assert_clean_log(self):
        log = self.log()
        report = REPORTS.search(log)
        assert not report, f"a report in the log:\n{log[max(0, report.start() - 500):report.start() + 4000]}"

    def discard(self):
        """Ends what is left, for tests that killed the master and for failures."""
        if self.process:
            for pid in self.processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            self.process.wait()
        shutil.rmtree(self.home, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.discard()
            raise

    def __exit__(self, kind, *_):
        if kind:
            self.discard()
        else:
            self.stop()


def run(*arguments, timeout=20):
    """The program's other commands: what it says and its exit status."""
    return subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=patience(timeout))
