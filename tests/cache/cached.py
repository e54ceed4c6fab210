"""Pictures of their own for the tests of the cache, what is asked of them, and where it ends up on disc."""
import os
import re
import time

import numpy
from PIL import Image

from server import until

DATE = re.compile(rb"\r\nDate: [^\r]*\r\n")


def make(folder):
    """a.jpg, b.jpg, sub/c.jpg: photographs of sorts; noise.tif: nothing of it compresses."""
    os.makedirs(os.path.join(folder, "sub"), exist_ok=True)
    os.chmod(os.path.join(folder, "sub"), 0o755)
    for seed, name in enumerate(("a.jpg", "b.jpg", "sub/c.jpg")):
        photograph(seed).save(os.path.join(folder, name), quality=92)
    noise = numpy.random.default_rng(11).integers(0, 256, (1000, 1200, 3), dtype=numpy.uint8)
    Image.fromarray(noise).save(os.path.join(folder, "noise.tif"))


def photograph(seed, size=(900, 700)):
    small = numpy.random.default_rng(seed).integers(0, 256, (12, 16, 3), dtype=numpy.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


def target(name="a.jpg", region="full", size="300,", rest="0/default.jpg", version=3):
    return f"/iiif/{version}/{name.replace('/', '%2F')}/{region}/{size}/{rest}"


def files(served):
    """Cached derivatives on disc: path -> size. Those that are not finished begin with a dot."""
    top, found = os.path.join(served.cache, "derivatives"), {}
    for parent, _, names in os.walk(top):
        for name in names:
            try:
                found[os.path.join(parent, name)] = os.path.getsize(os.path.join(parent, name))
            except FileNotFoundError:
                pass
    return found


def entries(served):
    """Those that are finished."""
    return {path: size for path, size in files(served).items()
            if len(os.path.basename(os.path.dirname(path))) == 2 and not os.path.basename(path).startswith(".")}


def stored(served, count):
    """Waits until so many are finished: the client never waits for that."""
    until(lambda: len(entries(served)) >= count, 10, f"{count} files in the cache")
    return entries(served)


def counters(served):
    """/metrics as a dictionary."""
    text = served.admin().get("/metrics").body.decode()
    numbers = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
    return {name: int(value) for name, value in numbers if value.isdigit()}


def renders(served):
    return counters(served)["vitrine_renders_total"]


def settled(read, still_s=0.2):
    """The value once it has not changed for a moment."""
    value, since = read(), time.monotonic()
    while time.monotonic() - since < still_s:
        time.sleep(0.02)
        if (now := read()) != value:
            value, since = now, time.monotonic()
    return value
