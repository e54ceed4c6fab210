"""A real NFSv4 server (NFS-Ganesha) and a real mount of it: a small client of ours (nfs_mount.c), since not every kernel has one."""
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

from server import ROOT, die_with_us, free_port, until

CONFIG = """
NFS_CORE_PARAM {{ Protocols = 4; Bind_addr = 127.0.0.1; NFS_Port = {port}; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }}
NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = "{home}/recovery"; Only_Numeric_Owners = true; }}
NFS_KRB5 {{ Active_krb5 = false; }}
MDCACHE {{ Dir_Chunk = 0; }}
EXPORT_DEFAULTS {{ Attr_Expiration_Time = 0; }}
EXPORT {{
    Export_Id = 1; Path = "{home}/export"; Pseudo = "/export"; Access_Type = RW; Squash = No_Root_Squash; SecType = sys;
    Protocols = 4; Transports = TCP; Attr_Expiration_Time = 0; FSAL {{ Name = VFS; }}
}}
"""


def impossible():
    """Why there can be no such server and mount here; None: there can."""
    if os.getuid() != 0:
        return "an NFS server and a mount of it take root"
    if not os.path.exists("/dev/fuse"):
        return "the mount takes /dev/fuse, which this machine does not have"
    if not shutil.which("ganesha.nfsd"):
        return "nfs-ganesha is not installed"
    kind = subprocess.run(["stat", "-f", "-c", "%T", tempfile.gettempdir()], capture_output=True, text=True, check=True).stdout
    if kind.strip() not in ("ext2/ext3", "xfs", "btrfs"):
        return f"files of {tempfile.gettempdir()} ({kind.strip()}) have no handles that an NFS server could give out"
    return None


class Mount:
    """One mount of the export."""

    def __init__(self, client, port, folder, kind, log):
        self.folder, self.log = folder, log
        os.makedirs(folder, 0o755, exist_ok=True)
        self.process = subprocess.Popen(
            [client, f"nfs://127.0.0.1/export?version=4&nfsport={port}", str(kind), folder, "-f", "-o", "allow_other,default_permissions"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=open(log, "ab"), text=True, bufsize=1, preexec_fn=die_with_us)

    def until_there(self):
        until(lambda: self.process.poll() is not None or os.path.ismount(self.folder), 20, "the export is mounted")
        assert self.process.poll() is None, open(self.log).read()

    def answer(self, calls=-1):
        """So many more calls, and then it stands still; -1: all. Returns how many there have been."""
        self.process.stdin.write(f"{calls}\n")
        return int(self.process.stdout.readline())

    def end(self):
        """The mount stays, and leads nowhere."""
        self.process.kill()
        self.process.wait()

    def close(self):
        subprocess.run(["umount", "-l", self.folder], check=False, capture_output=True)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


class Nfs:
    """What lies in `export` is seen by the mount, `seen`, of a server that can be stopped, slowed down, killed and started again."""

    def __init__(self, client):
        self.client, self.home, self.port = client, tempfile.mkdtemp(prefix="vitrine-nfs-"), free_port()
        os.chmod(self.home, 0o755)
        self.export, self.seen = f"{self.home}/export", f"{self.home}/seen"
        for folder in (self.export, f"{self.home}/recovery"):
            os.mkdir(folder, 0o755)
        with open(f"{self.home}/conf", "w") as file:
            file.write(CONFIG.format(home=self.home, port=self.port))
        self.server = self.slow = self.limit = None
        self.mounts = []

    def start_server(self):
        log = f"{self.home}/log"
        open(log, "w").close()
        self.server = subprocess.Popen(
            ["ganesha.nfsd", "-F", "-f", f"{self.home}/conf", "-L", log, "-p", f"{self.home}/pid", "-N", "NIV_EVENT"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_us)

        def ready():
            assert self.server.poll() is None, open(log, errors="replace").read()[-2000:]
            return "NFS SERVER INITIALIZED" in open(log, errors="replace").read()
        until(ready, 20, "the NFS server runs")

    def mount(self, kind="hard", count=1):
        """hard: calls wait for the server; a number: for so many milliseconds. The first one is at `seen`."""
        for mount in self.mounts:
            if mount.process.poll() is not None:
                mount.close()
        fresh = [Mount(self.client, self.port, f"{self.seen}{number or ''}", kind, f"{self.home}/mount.log") for number in range(count)]
        self.mounts = [mount for mount in self.mounts if mount.process.poll() is None] + fresh
        for mount in fresh:
            mount.until_there()
        return fresh

    def put(self, source, name=None):
        """From the side of the server: a whole file, renamed into place."""
        shutil.copy(source, f"{self.export}/.new")
        os.rename(f"{self.export}/.new", f"{self.export}/{name or os.path.basename(source)}")

    def folder(self, name):
        """Everything again in a folder below."""
        shutil.copytree(self.export, f"{self.home}/{name}")
        os.rename(f"{self.home}/{name}", f"{self.export}/{name}")

    def hang(self):
        """Until resume(); not for ever, since nobody can end a process that waits for a hard mount."""
        self.server.send_signal(signal.SIGSTOP)
        self.limit = threading.Timer(90, self.resume)
        self.limit.daemon = True
        self.limit.start()

    def resume(self):
        self.stop_slowing()
        if self.limit:
            self.limit.cancel()
        self.server.send_signal(signal.SIGCONT)

    def slow_down(self, stopped_s=0.1, running_s=0.005):
        """Lets the server run for moments only."""
        ended = threading.Event()

        def pulse():
            while not ended.wait(running_s):
                self.server.send_signal(signal.SIGSTOP)
                time.sleep(stopped_s)
                self.server.send_signal(signal.SIGCONT)
        thread = threading.Thread(target=pulse, daemon=True)
        thread.start()
        self.slow = (ended, thread)

    def stop_slowing(self):
        if self.slow:
            self.slow[0].set()
            self.slow[1].join()
            self.slow = None

    def kill(self):
        self.server.kill()
        self.server.wait()

    def close(self):
        if self.limit:
            self.limit.cancel()
        self.stop_slowing()
        if self.server and self.server.poll() is None:
            self.server.send_signal(signal.SIGCONT)
        for mount in self.mounts:
            mount.close()
        if self.server and self.server.poll() is None:
            self.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def build_client(folder):
    program = f"{folder}/nfs_mount"
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "fuse3", "libnfs"], capture_output=True, text=True, check=True)
    subprocess.run(["gcc", "-std=gnu17", "-O2", f"{ROOT}/tests/storage/nfs_mount.c", "-o", program, *flags.stdout.split(), "-lpthread"],
                   check=True)
    return program
