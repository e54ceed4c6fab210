"""A real `vitrine ingest` for the tests: run to its end, or started and disturbed."""
import json
import os
import signal
import subprocess

from PIL import Image

import server
from server import until

INTO = "out"


def command(*arguments, into=INTO):
    return [server.binary(), "ingest", *arguments, *(["--into", into] if into else [])]


class Ended:
    """What a run has said and left: exit status, lines of standard error, standard output."""

    def __init__(self, status, said, planned):
        self.status = status
        self.said = said.decode("utf-8", "surrogateescape")
        self.lines = self.said.splitlines()
        self.planned = planned.decode("utf-8", "surrogateescape").splitlines()
        assert not server.REPORTS.search(self.said), self.said

    @property
    def summary(self):
        return self.lines[-1]

    def of(self, name):
        """The lines about one name, but not that its pyramid was made."""
        return [line for line in self.lines if line.startswith(f"{name}: ")]


def ingest(folder, *arguments, into=INTO, env=None, stdin=b""):
    done = subprocess.run(command(*arguments, into=into), cwd=folder, env=env and {**os.environ, **env}, input=stdin,
                          capture_output=True, timeout=server.patience(60), check=False)
    return Ended(done.returncode, done.stderr, done.stdout)


class Running:
    """A run under way, in a session of its own."""

    def __init__(self, folder, *arguments, into=INTO):
        self.process = subprocess.Popen(command(*arguments, into=into), cwd=folder, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)

    def converters(self):
        return [pid for pid, (parent, _) in server.process_table().items() if parent == self.process.pid]

    def converter(self):
        """The pid of one that is at work."""
        return until(self.converters, 20, "a converter is at work")[0]

    def family(self):
        return [pid for pid, (_, session) in server.process_table().items() if session == self.process.pid]

    def end(self):
        said, planned = b"", b""
        try:
            planned, said = self.process.communicate(timeout=server.patience(60))
        finally:
            if self.process.poll() is None:
                self.process.kill()
        ended = Ended(self.process.returncode, said, planned)
        until(lambda: not self.family(), 5, "no process of the run is left")
        return ended

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.family():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process.wait()


def files(folder):
    """name -> bytes of every file below, also hidden ones."""
    found = {}
    for place, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(place, name)
            with open(path, "rb") as file:
                found[os.fsdecode(os.path.relpath(path, os.fsencode(folder)))] = file.read()
    return found


def report(path):
    with open(path, encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def picture_size(path):
    """Width and height of a pyramid, as Pillow reads it."""
    with Image.open(path) as picture:
        picture.load()
        return picture.size
