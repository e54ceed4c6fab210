"""A server whose program file the test may replace, and that it follows from process to process."""
import ctypes
import os
import re
import shutil
import signal
import subprocess
import time

import server
from server import until

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """From now on processes that our children leave behind are our children."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Adopted:
    """A process that a child of ours has left to us, with the face of subprocess.Popen."""

    def __init__(self, pid):
        self.pid, self.returncode = pid, None

    def poll(self):
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout=60):
        end = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return self.returncode


class Upgradable(server.Vitrine):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.program = os.path.join(self.home, "vitrine")
        shutil.copy2(server.binary(), self.program)
        adopt_orphans()

    def command(self):
        return [self.program, *super().command()[1:]]

    def install(self, source):
        """Another file in the program's place, as installing does it: bytes, or the path of a file."""
        if isinstance(source, bytes):
            with open(self.program + ".new", "wb") as file:
                file.write(source)
            os.chmod(self.program + ".new", 0o755)
        else:
            shutil.copy2(source, self.program + ".new")
        os.rename(self.program + ".new", self.program)

    def takers(self):
        return [int(pid) for pid in re.findall(r"this program \(pid (\d+)\) has taken over", self.log())]

    def follow(self, count, seconds=10):
        """Waits for the count-th takeover; the new master is self.process then."""
        pids = until(lambda: self.takers() if len(self.takers()) >= count else None, seconds,
                     f"takeover {count}; log:\n{self.log()[-3000:]}")
        old, self.process = self.process, Adopted(pids[count - 1])
        assert old.wait(60) == 0, f"the old master left with {old.returncode}"

    def upgrade(self):
        count = len(self.takers())
        self.signal(signal.SIGUSR2)
        self.follow(count + 1)

    def serving(self):
        told = self.admin().get("/status").json()
        return {one["pid"] for one in told["workers"] if one["state"] == "serving"}
