"""The pictures of the benchmark: 15 pyramids in three size classes, made once and kept below build/.

Ten are photographs as Debian packages ship them (photographs.txt). No package known to us holds free photographs
above 50 megapixels, so the five large ones are sheets: the medium photographs side by side at full resolution.
Nothing is scaled, and metadata is left out so that both servers have the same to send.
"""
import os
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TABLE = os.path.join(HERE, "photographs.txt")
FRAME_PX = (4211, 2437)  # cut from the middle of each photograph on a sheet
SHEETS_ACROSS_DOWN = [(2, 3), (3, 2), (2, 4), (3, 3), (4, 2)]

JOINED = "joined-"

# 256-pixel JPEG tiles; at quality 90 and above vips writes RGB without subsampling, below it YCbCr 4:2:0.
PYRAMID = ["--tile", "--tile-width", "256", "--tile-height", "256", "--pyramid", "--compression", "jpeg", "--Q", "89",
           "--strip"]


def rows():
    with open(TABLE) as table:
        return [[cell.strip() for cell in line.split("|")] for line in table if line.strip() and line[0] != "#"]


def quietly(command, **options):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
                          check=False, **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def is_current(folder):
    mark = os.path.join(folder, "complete")
    sources = [TABLE, os.path.abspath(__file__)]
    return os.path.exists(mark) and all(os.path.getmtime(source) <= os.path.getmtime(mark) for source in sources)


def fetch(packages, work):
    user = quietly(["id", "-un"]).strip()
    quietly(["apt-get", "download", "-q", "-o", f"APT::Sandbox::User={user}", *packages], cwd=work)
    for name in os.listdir(work):
        if name.endswith(".deb"):
            quietly(["dpkg-deb", "-x", os.path.join(work, name), os.path.join(work, name.split("_")[0])])


def frame(source, result):
    """The middle of a photograph, so that all on a sheet have one size."""
    width, height = (int(quietly(["vipsheader", "-f", side, source]).split()[-1]) for side in ("width", "height"))
    left, top = max(0, (width - FRAME_PX[0]) // 2), max(0, (height - FRAME_PX[1]) // 2)
    quietly(["vips", "extract_area", source, result, str(left), str(top), *map(str, FRAME_PX)])


def make_sheet(number, medium, work, result):
    across, down = SHEETS_ACROSS_DOWN[number]
    frames = []
    for place in range(across * down):
        name, source = medium[(place * 2 + place // 5 + number) % len(medium)]
        path = os.path.join(work, f"frame-{name}.v")
        if not os.path.exists(path):
            frame(source, path)
        frames.append(path)
    sheet = os.path.join(work, "sheet.v")
    quietly(["vips", "arrayjoin", " ".join(frames), sheet, "--across", str(across)])
    quietly(["vips", "tiffsave", sheet, result, *PYRAMID])


def make(folder):
    """Leaves CLASS-NAME.tif of all pictures in `folder`; returns it. Needs about a minute the first time."""
    if is_current(folder):
        return folder
    print("Making the pyramids (once)", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(folder), prefix="photographs.") as work:
        fetch(sorted({package for _, _, package, _ in rows()}), work)
        medium = []
        for name, size, package, file in rows():
            source = os.path.join(work, package, file)
            quietly(["vips", "tiffsave", source, os.path.join(folder, f"{size}-{name}.tif"), *PYRAMID])
            shutil.copy(os.path.join(work, package, "usr/share/doc", package, "copyright"),
                        os.path.join(folder, f"{package}.copyright.txt"))
            if size == "medium":
                medium.append((name, source))
        for number in range(len(SHEETS_ACROSS_DOWN)):
            make_sheet(number, medium, work, os.path.join(folder, f"large-sheet{number + 1}.tif"))
    with open(os.path.join(folder, "complete"), "w"):
        pass
    return folder


def make_joined(folder, program):
    """The same pictures as `vitrine ingest` makes them: tiles with restart intervals, which can be joined by copying bytes.
    Their names begin with JOINED."""
    names = sorted(name for name in os.listdir(folder) if name.endswith(".tif") and not name.startswith(JOINED))
    if all(os.path.exists(os.path.join(folder, JOINED + name)) for name in names):
        return
    with tempfile.TemporaryDirectory(dir=folder, prefix="joined.") as work:
        quietly([program, "ingest", "--quality", "89", "--into", work, *(os.path.join(folder, name) for name in names)])
        for root, _, files in os.walk(work):
            for name in files:
                if name in names:
                    os.rename(os.path.join(root, name), os.path.join(folder, JOINED + name))
    missing = [name for name in names if not os.path.exists(os.path.join(folder, JOINED + name))]
    if missing:
        raise SystemExit(f"vitrine ingest made no {', '.join(missing)}")
