"""What systemd does for a service, as far as Vitrine can tell the difference: the notification socket, the store of
descriptors, and starting with descriptors from 3 on."""
import array
import os
import socket
import struct
import subprocess
import sys
import threading
import time

import server
from server import until

LAUNCHER = """
import os, sys
count, command = int(sys.argv[1]), sys.argv[2:]
os.environ["LISTEN_PID"] = str(os.getpid() + int(os.environ.pop("WRONG_PID", "0")))
if "WATCHDOG_USEC" in os.environ:
    os.environ["WATCHDOG_PID"] = str(os.getpid())
for fd in range(3, 3 + count):
    os.set_inheritable(fd, True)
"""
EXEC = """
os.execv(command[0], command)
"""


class Manager:
    """Listens on a notification socket and keeps what it is told to keep."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.settimeout(0.1)
        self.messages, self.kept = [], []  # (time, pid, {variable: value}); [(name, fd)]
        self.ending = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while not self.ending:
            try:
                data, control, _, _ = self.socket.recvmsg(8192, socket.CMSG_SPACE(253 * 4) + 64)
            except socket.timeout:
                continue
            fds, pid = [], 0
            for level, kind, content in control:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    fds = array.array("i", content[:len(content) // 4 * 4]).tolist()
                elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                    pid = struct.unpack("3i", content)[0]
            for fd in fds:
                os.set_inheritable(fd, False)
            said = dict(line.split("=", 1) for line in data.decode().split("\n") if line)
            if said.get("FDSTORE") == "1":
                self.kept += [(said["FDNAME"], fd) for fd in fds]
            else:
                for fd in fds:  # BARRIER=1
                    os.close(fd)
            if said.get("FDSTOREREMOVE") == "1":
                for name, fd in [one for one in self.kept if one[0] == said["FDNAME"]]:
                    os.close(fd)
                    self.kept.remove((name, fd))
            self.messages.append((time.monotonic(), pid, said))

    def said(self, variable, since=0):
        """Every value of a variable, from message number `since` on."""
        return [message[variable] for _, _, message in self.messages[since:] if variable in message]

    def close(self):
        self.ending = True
        self.thread.join()
        self.socket.close()
        for _, fd in self.kept:
            os.close(fd)


class Managed(server.Vitrine):
    """A server that a manager starts. sockets: [(name, listening socket)] of socket units."""

    def __init__(self, *arguments, sockets=(), environment=None, confine="", **options):
        super().__init__(*arguments, **options)
        self.confine = confine  # Python that the new process runs before it becomes the server
        self.sockets, self.environment = list(sockets), environment or {}
        self.manager = Manager(self.home)
        self.port, self.admin_port = server.free_port(), server.free_port()
        self.prepare()
        open(self.log_path, "wb").close()
        self.session = None

    def start(self):
        given = [(name, one.fileno()) for name, one in self.sockets] + self.manager.kept
        env = dict(os.environ, NOTIFY_SOCKET=self.manager.path, **self.environment)
        if given:
            env["LISTEN_FDS"] = str(len(given))
            env.setdefault("LISTEN_FDNAMES", ":".join(name for name, _ in given))

        def place():
            high = [os.dup2(fd, 5000 + number) for number, (_, fd) in enumerate(given)]
            for number, fd in enumerate(high):
                os.dup2(fd, 3 + number)
                os.close(fd)
            os.setsid()
        since = len(self.manager.messages)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen([sys.executable, "-c", LAUNCHER + self.confine + EXEC, str(len(given)), *self.command()], env=env,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log, close_fds=False,
                                            preexec_fn=place)
        self.session = self.process.pid
        until(lambda: self.manager.said("READY", since) or self.process.poll() is not None, 10, "READY=1")
        assert self.process.poll() is None, self.log()
        return self

    def ended(self):
        status = self.process.wait(60)
        until(lambda: not self.processes(), 2, "all processes of the server are gone")
        return status

    def discard(self):
        if self.session is not None:
            super().discard()
        self.manager.close()
