"""The structure of a pyramid's file, read by nobody's library: directories, tiles, restart markers. And the arithmetic that
its levels must follow."""
import struct

import numpy
from PIL import Image

Image.MAX_IMAGE_PIXELS = None
FORMATS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "II", 7: "B", 13: "I", 16: "Q", 18: "Q"}
WIDTH, HEIGHT, SUBFILE, OFFSETS, BYTES, TABLES, TILE = 256, 257, 254, 324, 325, 347, 322


class Pyramid:
    def __init__(self, path):
        with open(path, "rb") as file:
            self.data = file.read()
        assert self.data[:2] == b"II"
        self.big = self.data[2] == 43
        at = self.number("<Q", 8) if self.big else self.number("<I", 4)
        self.directories = []
        self.places = []
        while at:
            self.places.append(at)
            tags, at = self.directory(at)
            self.directories.append(tags)

    def number(self, kind, at):
        return struct.unpack_from(kind, self.data, at)[0]

    def directory(self, at):
        count, size = (self.number("<Q", at), 20) if self.big else (self.number("<H", at), 12)
        first = at + (8 if self.big else 2)
        tags, before = {}, 0
        for entry in range(first, first + count * size, size):
            tag, kind = struct.unpack_from("<HH", self.data, entry)
            assert tag > before, "tags must ascend, each once"
            before = tag
            values = self.number("<Q" if self.big else "<I", entry + 4)
            text = "<" + FORMATS[kind] * values
            place = entry + (12 if self.big else 8)
            if struct.calcsize(text) > (8 if self.big else 4):
                place = self.number("<Q" if self.big else "<I", place)
                assert place % 2 == 0
            tags[tag] = struct.unpack_from(text, self.data, place)
        return tags, self.number("<Q" if self.big else "<I", first + count * size)

    def sizes(self):
        return [(tags[WIDTH][0], tags[HEIGHT][0]) for tags in self.directories]

    def tile(self, level, number):
        tags = self.directories[level]
        return self.data[tags[OFFSETS][number]:tags[OFFSETS][number] + tags[BYTES][number]]


def restarts(stream):
    """(restart interval, number of restart markers) of a JPEG stream."""
    interval, at = 0, 2
    while stream[at + 1] != 0xda:
        if stream[at + 1] == 0xdd:
            interval = struct.unpack_from(">H", stream, at + 4)[0]
        at += 2 + struct.unpack_from(">H", stream, at + 2)[0]
    scan = numpy.frombuffer(stream, numpy.uint8, offset=at)
    return interval, int(((scan[:-1] == 0xff) & (scan[1:] >= 0xd0) & (scan[1:] <= 0xd7)).sum())


def level_sizes(width, height, tile):
    sizes = [(width, height)]
    while max(sizes[-1]) > tile:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    return sizes


def averaged(picture, level):
    """Every pixel of a level is the mean of the pixels it stands for, as far as they lie in the picture."""
    if level == 0:
        return picture.astype(float)
    factor = 1 << level
    total = picture.astype(float)
    for axis in (0, 1):
        extent = total.shape[axis]
        first = numpy.arange(0, extent, factor)
        count = numpy.minimum(first + factor, extent) - first
        total = numpy.add.reduceat(total, first, axis=axis)
        total /= count.reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return total


def frames(path, mode=None):
    """Every level as Pillow decodes it."""
    with Image.open(path) as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            yield numpy.asarray(picture.convert(mode) if mode else picture)
