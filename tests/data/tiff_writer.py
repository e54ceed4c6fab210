"""Writes TIFF and BigTIFF files of either byte order, tiled or striped, with pages and SubIFDs.

Deliberately its own writer: the files must not come from the library that the server reads them with.
"""
import ctypes
import ctypes.util
import io
import os
import struct
import subprocess
import tempfile
import zlib

import numpy
from PIL import Image

BYTE, ASCII, SHORT, LONG, RATIONAL, UNDEFINED, IFD, LONG8 = 1, 2, 3, 4, 5, 7, 13, 16
SIZES = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1, IFD: 4, LONG8: 8}
LETTERS = {SHORT: "H", LONG: "I", IFD: "I", LONG8: "Q"}

COMPRESSIONS = {"none": 1, "g4": 4, "lzw": 5, "jpeg": 7, "deflate": 8, "packbits": 32773, "zstd": 50000,
                "webp": 50001}
SAMPLINGS = {"4:4:4": [1, 1], "4:2:2": [2, 1], "4:2:0": [2, 2], "4:4:0": [1, 2]}
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR, CIELAB = 0, 1, 2, 3, 5, 6, 8


class Page:
    """One IFD: its tags {number: (type, values)}, its encoded chunks, its sub-pages."""

    def __init__(self, tags, chunks, tiled, subpages=()):
        self.tags, self.chunks, self.tiled, self.subpages = tags, chunks, tiled, list(subpages)


def page(picture, photometric, compression="none", tile=None, rows=None, planar=False, predictor=False,
         order="<", level=0, subpages=(), extra=None, jpeg=None, bits=None):
    """A page of an array (height, width[, samples]) of uint8, uint16 or, for one bit, bool.

    rows is the strip height. jpeg: options for jpeg_bytes(); "tables" moves the tables out of the chunks, "restart" makes tiles
    restart at every row of MCUs ("edge mcus": those that overhang the right edge at every MCU).
    """
    samples = picture.shape[2] if picture.ndim == 3 else 1
    height, width = picture.shape[:2]
    bits = bits or {"bool": 1, "uint8": 8, "uint16": 16, "int8": 8}[str(picture.dtype)]
    tags = {256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [bits] * samples),
            259: (SHORT, [COMPRESSIONS[compression]]), 262: (SHORT, [photometric]), 277: (SHORT, [samples]),
            284: (SHORT, [2 if planar else 1])}
    if level:
        tags[254] = (LONG, [1])
    if tile:
        tags[322], tags[323] = (LONG, [tile]), (LONG, [tile])
    else:
        rows = rows or height
        tags[278] = (LONG, [rows])
    if predictor:
        tags[317] = (SHORT, [2])
    planes = [picture[:, :, n] for n in range(samples)] if planar and samples > 1 else [picture]
    chunks = []
    for plane in planes:
        for number, block in enumerate(cut(plane, tile, rows)):
            options = dict(jpeg or {})
            if options.get("restart"):
                across = -(-width // tile)
                each_mcu = options["restart"] == "edge mcus" and number % across == across - 1 and width % tile
                options["restart"] = 1 if each_mcu else tile // (8 * SAMPLINGS[options.get("sampling", "4:4:4")][0])
            chunks.append(encode(block, compression, predictor, order, options))
    if compression == "jpeg":
        if photometric == YCBCR:
            tags[530] = (SHORT, SAMPLINGS[jpeg["sampling"]])
        if jpeg.get("tables"):
            split = [split_tables(chunk) for chunk in chunks]
            tags[347] = (UNDEFINED, split[0][0])
            assert all(tables == split[0][0] for tables, _ in split)
            chunks = [rest for _, rest in split]
    tags.update(extra or {})
    return Page(tags, chunks, bool(tile), subpages)


def cut(plane, tile, rows):
    """Chunks in file order. Tiles at the edge are filled up by repetition, strips are cut off."""
    height, width = plane.shape[:2]
    if not tile:
        return [plane[y:y + rows] for y in range(0, height, rows)]
    pad = [(0, -height % tile), (0, -width % tile)] + [(0, 0)] * (plane.ndim - 2)
    plane = numpy.pad(plane, pad, "edge")
    return [plane[y:y + tile, x:x + tile] for y in range(0, height, tile) for x in range(0, width, tile)]


def encode(block, compression, predictor, order, jpeg):
    if compression == "jpeg":
        return jpeg_bytes(block, **{key: value for key, value in jpeg.items() if key != "tables"})
    if compression == "webp":
        return saved(Image.fromarray(block), "WEBP", lossless=jpeg.get("lossless", False),
                     quality=jpeg.get("quality", 90))
    if compression == "g4":
        return g4_bytes(block)
    if predictor:
        block = block.copy()
        block[:, 1:] = block[:, 1:] - block[:, :-1]
    if block.dtype == bool:
        data = [numpy.packbits(row).tobytes() for row in block]
    else:
        data = [row.tobytes() for row in block.astype(block.dtype.newbyteorder(order))]
    if compression == "packbits":
        return b"".join(packbits(row) for row in data)
    return {"none": bytes, "deflate": zlib.compress, "zstd": zstd}[compression](b"".join(data))


def packbits(row):
    out, at = bytearray(), 0
    while at < len(row):
        run = 1
        while run < 128 and at + run < len(row) and row[at + run] == row[at]:
            run += 1
        if run > 1:
            out += bytes([257 - run, row[at]])
            at += run
            continue
        end = at + 1
        while end < len(row) and end - at < 128 and not (end + 1 < len(row) and row[end] == row[end + 1]):
            end += 1
        out += bytes([end - at - 1]) + row[at:end]
        at = end
    return bytes(out)


def zstd(data):
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    library.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    library.ZSTD_compress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t,
                                      ctypes.c_int]
    bound = library.ZSTD_compressBound(len(data))
    out = ctypes.create_string_buffer(bound)
    size = library.ZSTD_compress(out, bound, data, len(data), 5)
    return out.raw[:size]


def saved(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def g4_bytes(block):
    image = Image.fromarray(block)
    file = Image.open(io.BytesIO(saved(image, "TIFF", compression="group4", tiffinfo={278: block.shape[0]})))
    offsets, counts = file.tag_v2[273], file.tag_v2[279]
    assert len(offsets) == 1 and file.tag_v2[262] == BLACK_IS_ZERO
    return file.fp.getbuffer()[offsets[0]:offsets[0] + counts[0]].tobytes()


def jpeg_bytes(block, sampling="4:4:4", quality=92, rgb=False, progressive=False, restart=0, **options):
    """JPEG of a gray, RGB or (as it is, Adobe marker and all) CMYK array. restart: MCUs per interval."""
    if restart:
        return restarting(block, sampling, quality, rgb, restart)
    if block.ndim == 2 or block.shape[2] == 4 or (not rgb and sampling != "4:4:0"):
        image = Image.fromarray(block, "CMYK" if block.ndim == 3 and block.shape[2] == 4 else None)
        if image.mode == "RGB":
            options["subsampling"] = {"4:4:4": 0, "4:2:2": 1, "4:2:0": 2}[sampling]
        return saved(image, "JPEG", quality=quality, progressive=progressive, **options)
    command = ["cjpeg", "-quality", str(quality), "-sample", "1x2" if sampling == "4:4:0" else "1x1"]
    picture = b"P6 %d %d 255\n" % (block.shape[1], block.shape[0]) + numpy.ascontiguousarray(block).tobytes()
    command += ["-rgb"] if rgb else []
    return subprocess.run(command, input=picture, stdout=subprocess.PIPE, check=True).stdout


def restarting(block, sampling, quality, rgb, restart):
    samples = {"4:4:4": "1x1", "4:2:2": "2x1", "4:2:0": "2x2", "4:4:0": "1x2"}[sampling]
    kind, colour = (b"P6", ["-sample", samples]) if block.ndim == 3 else (b"P5", ["-grayscale"])
    picture = kind + b" %d %d 255\n" % (block.shape[1], block.shape[0]) + numpy.ascontiguousarray(block).tobytes()
    command = ["cjpeg", "-quality", str(quality), "-restart", f"{restart}B", *colour, *(["-rgb"] if rgb else [])]
    return subprocess.run(command, input=picture, stdout=subprocess.PIPE, check=True).stdout


def split_tables(jpeg):
    """(a stream of the tables alone, the stream without them), as TIFF's JPEGTables wants."""
    tables, rest, at = bytearray(b"\xff\xd8"), bytearray(b"\xff\xd8"), 2
    while jpeg[at + 1] != 0xDA:
        length = int.from_bytes(jpeg[at + 2:at + 4], "big") + 2
        (tables if jpeg[at + 1] in (0xDB, 0xC4) else rest).extend(jpeg[at:at + length])
        at += length
    return bytes(tables) + b"\xff\xd9", bytes(rest) + jpeg[at:]


def write(path, pages, order="<", big=False):
    file = io.BytesIO()
    version = 43 if big else 42
    file.write((b"II" if order == "<" else b"MM") + struct.pack(order + "H", version))
    file.write(struct.pack(order + "HHQ", 8, 0, 0) if big else struct.pack(order + "I", 0))
    link = 8 if big else 4
    for one in pages:
        at, next_link = write_page(file, one, order, big)
        patch(file, link, at, order, big)
        link = next_link
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(path), delete=False) as out:
        out.write(file.getvalue())
    os.chmod(out.name, 0o644)
    os.rename(out.name, path)


def patch(file, where, value, order, big):
    file.seek(where)
    file.write(struct.pack(order + ("Q" if big else "I"), value))
    file.seek(0, io.SEEK_END)


def write_page(file, one, order, big):
    """Appends chunks, sub-pages and the IFD. Returns the IFD's place and that of its next-link."""
    offsets = []
    for chunk in one.chunks:
        offsets.append(file.tell())
        file.write(chunk + bytes(len(chunk) % 2))
    tags = dict(one.tags)
    wide = LONG8 if big else LONG
    tags[324 if one.tiled else 273] = (wide, offsets)
    tags[325 if one.tiled else 279] = (wide, [len(chunk) for chunk in one.chunks])
    if one.subpages:
        tags[330] = (wide, [write_page(file, sub, order, big)[0] for sub in one.subpages])
    inline = 8 if big else 4
    entries = []
    for number in sorted(tags):
        kind, values = tags[number]
        data = pack(kind, values, order)
        count = len(data) // SIZES[kind]
        if len(data) > inline:
            file.write(bytes(file.tell() % 2))
            place = file.tell()
            file.write(data)
            data = struct.pack(order + ("Q" if big else "I"), place)
        head = struct.pack(order + ("HHQ" if big else "HHI"), number, kind, count)
        entries.append(head + data.ljust(inline, b"\0"))
    file.write(bytes(-file.tell() % 8))
    at = file.tell()
    file.write(struct.pack(order + ("Q" if big else "H"), len(entries)) + b"".join(entries))
    link = file.tell()
    file.write(bytes(inline))
    return at, link


def pack(kind, values, order):
    if isinstance(values, (bytes, bytearray)):
        return bytes(values)
    if kind == RATIONAL:
        return b"".join(struct.pack(order + "II", *value) for value in values)
    return struct.pack(order + LETTERS[kind] * len(values), *values)


def tiffcp(path, *options):
    """Rewrites the file by libtiff's own tool, for the codecs that this writer lacks (LZW)."""
    copy = path + ".copy"
    subprocess.run(["tiffcp", *options, path, copy], check=True, capture_output=True)
    os.rename(copy, path)
