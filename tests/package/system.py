"""A Debian 12 that boots, for tests/package/boot and boot_ec2: systemd as its first process (systemd-nspawn), a network that reaches
nowhere, and a disk that forgets. Needs root; the first time also the network, for debootstrap and packages (build/package/base)."""
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests"))

BASE = os.path.join(ROOT, "build", "package", "base")
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
LIMIT_S = 60



def run(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=options.pop("timeout", 600), **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def until(condition, what, seconds=LIMIT_S):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"after {seconds} s still not: {what}"
        time.sleep(0.05)
    return value


def say(text):
    print(f"ok  {text}", flush=True)


def make_base(package, extra=()):
    """A Debian with what the package depends on and `extra`, but without it."""
    if not os.path.exists(BASE):
        print("Making a Debian 12 (once)", flush=True)
        new = BASE + ".new"
        shutil.rmtree(new, ignore_errors=True)
        os.makedirs(new)
        run(["debootstrap", "--variant=minbase", "--include=systemd-sysv,dbus", "bookworm", new, MIRROR], timeout=1800)
        os.rename(new, BASE)
    installed = run(["chroot", BASE, "dpkg-query", "-W", "-f", "${Package} "]).split()
    wanted = [re.split(r"[ (|]", part.strip())[0] for part in run(["dpkg-deb", "-f", package, "Depends"]).split(",")]
    wanted += extra
    missing = [name for name in wanted if name not in installed]
    if missing:
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["chroot", BASE, "apt-get", "update", "-q"], env=environment)
        run(["chroot", BASE, "apt-get", "install", "-y", "-q", "--no-install-recommends", *missing], env=environment)
    if "vitrine" in installed:
        run(["chroot", BASE, "dpkg", "--purge", "vitrine"])


def repack(package, version, folder, change=lambda tree: None):
    """The same package as another version, with something changed in it."""
    tree = os.path.join(folder, "tree")
    run(["dpkg-deb", "--raw-extract", package, tree])
    control = os.path.join(tree, "DEBIAN", "control")
    with open(control) as file:
        text = file.read()
    with open(control, "w") as file:
        file.write(re.sub(r"^Version: .*$", f"Version: {version}", text, flags=re.M))
    change(tree)
    result = os.path.join(folder, f"vitrine_{version}.deb")
    run(["dpkg-deb", "--build", "--root-owner-group", "-Znone", tree, result])
    shutil.rmtree(tree)
    return result


class System:
    """The Debian that has booted. What is asked over the network is asked within its network.

    `files` of here appear there: {path there: path here}. `on_network()` is called in its network, while it starts."""

    def __init__(self, folder, files=None, devices=(), on_network=lambda: None):
        self.log_path = os.path.join(folder, "console")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                ["systemd-nspawn", "--quiet", "--boot", f"--directory={BASE}", "--volatile=overlay", "--private-network",
                 "--register=no", "--keep-unit", "--machine=vitrine-package", f"--bind-ro={folder}:/packages",
                 # What machines allow, and this filter does not unless asked.
                 "--system-call-filter=openat2 landlock_create_ruleset landlock_add_rule landlock_restrict_self",
                 *(f"--bind-ro={here}:{there}" for there, here in (files or {}).items()), *(f"--bind={disk}" for disk in devices)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            self.start(on_network)
        except BaseException:
            self.stop()
            raise

    def start(self, on_network):
        self.leader = until(self.find_leader, "the first process of the new system")
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{self.leader}/ns/net") as network:
            assert libc.setns(network.fileno(), 0x40000000) == 0, os.strerror(ctypes.get_errno())
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        on_network()
        until(lambda: self.state() in ("running", "degraded"), "the new system is up", 300)

    def find_leader(self):
        assert self.process.poll() is None, open(self.log_path).read()[-3000:]
        for child in subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True,
                                    check=False).stdout.split():
            with open(f"/proc/{child}/comm") as comm:
                if comm.read().strip() == "systemd":
                    return int(child)
        return None

    def call(self, *command, **options):
        return subprocess.run(["nsenter", f"--target={self.leader}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                               "--wd=/", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive",
                               *command], capture_output=True, text=True, timeout=120, check=False, **options)

    def do(self, *command, **options):
        done = self.call(*command, **options)
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}{self.journal()}"
        return done.stdout + done.stderr

    def state(self):
        return self.call("systemctl", "is-system-running").stdout.strip()

    def show(self, what, unit="vitrine.service"):
        return self.do("systemctl", "show", "--property", what, "--value", unit).strip()

    def journal(self):
        return self.call("journalctl", "--no-pager", "-o", "cat", "-n", "40", "-u", "vitrine").stdout

    def install(self, package):
        return self.do("apt-get", "install", "-y", "-q", "--no-install-recommends", "--allow-downgrades",
                       f"/packages/{os.path.basename(package)}")

    def write(self, path, text):
        self.do("sh", "-c", f"mkdir -p $(dirname {path}) && cat > {path}", input=text)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)  # to systemd-nspawn: an orderly shutdown within
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
