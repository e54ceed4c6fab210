"""A pyramid of 190 MB in the layout that suits networks, as one of a photograph would be: real JPEG tiles, again and again."""
import io
import struct

import numpy
from PIL import Image

TILE = 256


def tiles(photograph, size=TILE):
    """JPEG tiles without tables of their own would need a tables tag; these are whole streams, which TIFF allows."""
    picture = Image.open(photograph).convert("RGB")
    found = []
    for y in range(0, picture.height - size, size):
        for x in range(0, picture.width - size, size):
            out = io.BytesIO()
            picture.crop((x, y, x + size, y + size)).save(out, "JPEG", quality=90, subsampling="4:2:0")
            data = bytearray(out.getvalue())
            found.append(bytes(data))
    return found


def choose(photograph, size_bytes):
    """Sizes of the levels, and the tiles of each."""
    stock = tiles(photograph)
    mean = sum(map(len, stock)) / len(stock)
    across = int((size_bytes / mean / 1.333 * 4 / 3) ** 0.5)
    down = int(across * 3 / 4)
    levels, width, height = [], across * TILE, down * TILE
    while True:
        levels.append((width, height))
        if max(width, height) <= TILE:
            break
        width, height = (width + 1) // 2, (height + 1) // 2
    rng = numpy.random.default_rng(5)
    chosen = [[stock[i] for i in rng.integers(0, len(stock), -(-w // TILE) * -(-h // TILE))] for w, h in levels]
    return levels, chosen


def scattered(photograph, size_bytes):
    """The same picture as libtiff and libvips lay it out: each level's tiles, its directory, its tables; then the next."""
    levels, chosen = choose(photograph, size_bytes)
    out = io.BytesIO()
    out.write(struct.pack("<2sHI", b"II", 42, 0))
    next_at = 4
    for number, (w, h) in enumerate(levels):
        count, places = len(chosen[number]), []
        for data in chosen[number]:
            places.append(out.tell())
            out.write(data)
        out.write(b"\0" * (out.tell() % 2))
        at = out.tell()
        out.seek(next_at)
        out.write(struct.pack("<I", at))
        out.seek(at)
        values_at = at + 2 + 11 * 12 + 4
        entries = [(254, 4, 1, 1 if number else 0), (256, 4, 1, w), (257, 4, 1, h), (258, 3, 3, values_at), (259, 3, 1, 7),
                   (262, 3, 1, 6), (277, 3, 1, 3), (322, 4, 1, TILE), (323, 4, 1, TILE), (324, 4, count, values_at + 8),
                   (325, 4, count, values_at + 8 + 4 * count)]
        out.write(struct.pack("<H", len(entries)))
        for tag, kind, length, value in entries:
            if tag in (324, 325) and count == 1:
                value = places[0] if tag == 324 else len(chosen[number][0])
            out.write(struct.pack("<HHII", tag, kind, length, value))
        next_at = out.tell()
        out.write(struct.pack("<I3HH", 0, 8, 8, 8, 0))
        out.write(struct.pack(f"<{count}I", *places) + struct.pack(f"<{count}I", *map(len, chosen[number])))
    return out.getvalue()


def pyramid(photograph, size_bytes):
    """Directories first, each with its tables behind it; then the tiles, the smallest level's first."""
    levels, chosen = choose(photograph, size_bytes)
    tags = 12
    head = [8 + 0] + [0] * len(levels)
    at = 8
    for number, content in enumerate(chosen):
        head[number] = at
        at += 2 + tags * 12 + 4 + 8 + 4 + 8 * len(content)  # bits, chroma, offsets and lengths behind the entries
    offset, places = at, [None] * len(levels)
    for number in reversed(range(len(levels))):
        places[number] = []
        for data in chosen[number]:
            places[number].append(offset)
            offset += len(data)
    out = io.BytesIO()
    out.write(struct.pack("<2sHI", b"II", 42, 8))
    for number, (w, h) in enumerate(levels):
        count, data_at = len(chosen[number]), head[number] + 2 + tags * 12 + 4
        entries = [(254, 4, 1, 1 if number else 0), (256, 4, 1, w), (257, 4, 1, h), (258, 3, 3, data_at), (259, 3, 1, 7),
                   (262, 3, 1, 6), (277, 3, 1, 3), (322, 4, 1, TILE), (323, 4, 1, TILE), (324, 4, count, data_at + 12),
                   (325, 4, count, data_at + 12 + 4 * count), (530, 3, 2, 2 | 2 << 16)]
        out.write(struct.pack("<H", tags))
        for tag, kind, length, value in entries:
            if tag in (324, 325) and count == 1:
                value = places[number][0] if tag == 324 else len(chosen[number][0])
            out.write(struct.pack("<HHII", tag, kind, length, value))
        out.write(struct.pack("<I", head[number + 1] if number + 1 < len(levels) else 0))
        out.write(struct.pack("<4H", 8, 8, 8, 0) + b"\0" * 4)
        out.write(struct.pack(f"<{count}I", *places[number]))
        out.write(struct.pack(f"<{count}I", *map(len, chosen[number])))
    for number in reversed(range(len(levels))):
        for data in chosen[number]:
            out.write(data)
    return out.getvalue(), levels
