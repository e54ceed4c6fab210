"""Both sides of the benchmark of ingest: the masters, and one run of vips or of `vitrine ingest`, measured."""
import json
import os
import shutil
import subprocess
import sys
import tempfile

import photographs

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
WORK = os.path.join(ROOT, "build", "bench")
TIFFS = ["fig", "picos", "dandelions", "dragonfly"]


def make_masters():
    """Where the masters are: the photographs as their packages ship them, four of them as uncompressed TIFF too, and a sheet of eight
    above 75 Mpx."""
    folder = os.path.join(WORK, "masters")
    if photographs.is_current(folder):
        return folder
    print("Making the masters (once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder), prefix="masters.") as work:
        rows = photographs.rows()
        photographs.fetch(sorted({package for _, _, package, _ in rows}), work)
        frames = []
        for name, size, package, file in rows:
            source = os.path.join(work, package, file)
            shutil.copy(source, os.path.join(folder, f"{name}.jpg"))
            if name in TIFFS:
                photographs.quietly(["vips", "tiffsave", source, os.path.join(folder, f"{name}.tif")])
            if size == "medium":
                frames.append(os.path.join(work, f"{name}.v"))
                photographs.frame(source, frames[-1])
        sheet = os.path.join(work, "sheet.v")
        photographs.quietly(["vips", "arrayjoin", " ".join((frames * 2)[:8]), sheet, "--across", "4"])
        photographs.quietly(["vips", "tiffsave", sheet, os.path.join(folder, "sheet.tif")])
        photographs.quietly(["vips", "jpegsave", sheet, os.path.join(folder, "sheet.jpg"), "--Q", "92"])
    with open(os.path.join(folder, "complete"), "w", encoding="utf-8"):
        pass
    return folder


# In a process of its own: a child's peak memory begins with what its parent had when it was made. The system says the peak of the
# largest process; of ours a second one stands beside it, whose own pages (those it does not share) are looked at while both run:
# before and after, when there is only one, every page is its own.
MEASURE = """
import json, os, sys, threading, time
start = time.monotonic()
null = [(os.POSIX_SPAWN_OPEN, fd, "/dev/null", os.O_WRONLY, 0) for fd in (1, 2)]
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, file_actions=null)
own, ended = 0, threading.Event()
def beside():
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        children = file.read().split()
    for child in children:
        with open(f"/proc/{child}/statm") as file:
            if file.read().split()[0] != "0":
                return child
def look():
    global own
    while not ended.wait(0.02):
        try:
            before = beside()
            with open(f"/proc/{pid}/smaps_rollup") as file:
                now = sum(int(line.split()[1]) for line in file if line.startswith("Private_"))
            if before and beside() == before:
                own = max(own, now)
        except (OSError, ValueError):
            continue
if sys.argv[1] == "ours":
    threading.Thread(target=look, daemon=True).start()
_, status, used = os.wait4(pid, 0)
ended.set()
print(json.dumps([status, time.monotonic() - start, used.ru_utime + used.ru_stime, (used.ru_maxrss + own) / 1024]))
"""


def measured(command, environment=None, is_ours=False):
    """Seconds, processor seconds and MiB of one run with all its children."""
    said = subprocess.run([sys.executable, "-SIc", MEASURE, "ours" if is_ours else "theirs", *command],
                          env={**os.environ, **(environment or {})}, check=True, capture_output=True)
    status, *took = json.loads(said.stdout)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed")
    return took


def vips(master, result, quality, _):
    return measured(["vips", "tiffsave", master, result, "--tile", "--tile-width", "256", "--tile-height", "256", "--pyramid",
                     "--compression", "jpeg", "--Q", str(quality)], {"VIPS_CONCURRENCY": "2"})


def ours(program, *options):
    def run(master, result, quality, chroma):
        folder = os.path.dirname(result)
        took = measured([program, "ingest", master, "--into", folder, "--destination", "{name}.tif", "--force", "--jobs", "1",
                         "--threads", "2", "--quality", str(quality), "--subsampling", chroma, *options], is_ours=True)
        os.rename(os.path.join(folder, os.path.splitext(os.path.basename(master))[0] + ".tif"), result)
        return took
    return run
