"""What processes cost: CPU time and memory of everything below a few roots, read from /proc."""
import ctypes
import os
import signal
import threading

TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def die_with_parent():
    """For Popen's preexec_fn: nothing outlives the benchmark, however it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def stat_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def tree(roots):
    """Pids of the roots and of everything below them."""
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            fields = stat_of(name)
            if fields:
                children.setdefault(int(fields[1]), []).append(int(name))
    found, waiting = [], list(roots)
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return found


def cpu_s(roots):
    """User and system time of the trees, with the children they have reaped, in seconds."""
    ticks = 0
    for pid in tree(roots):
        fields = stat_of(pid)
        if fields:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / TICKS


def machine_busy_s():
    """Time all CPUs have spent on anything."""
    with open("/proc/stat") as stat:
        fields = [int(field) for field in stat.readline().split()[1:]]
    return (sum(fields[:8]) - fields[3] - fields[4]) / TICKS


def memory_bytes(pids):
    """Proportional set size: pages shared by several processes count once in all."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as rollup:
                total += next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            continue
        except PermissionError:
            with open(f"/proc/{pid}/statm") as statm:
                total += int(statm.read().split()[1]) * PAGE_BYTES
    return total


class PeakMemory:
    """Looks at the trees' memory several times a second while the block runs."""

    PERIOD_S = 0.2

    def __init__(self, roots):
        self.roots = roots
        self.bytes = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self):
        while True:
            self.bytes = max(self.bytes, memory_bytes(tree(self.roots)))
            if self.over.wait(self.PERIOD_S):
                return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
