"""Pixels with known properties, as numpy arrays (height, width[, channels]) of uint8."""
import numpy
from PIL import Image


def photo(width, height, seed=1):
    """Like a photograph: broad gradients, texture at every scale, hard edges, a little grain."""
    random = numpy.random.Generator(numpy.random.PCG64(seed))
    picture = numpy.zeros((height, width, 3))
    for octave, weight in ((2, 70), (5, 45), (13, 30), (40, 16), (110, 8)):
        grid = random.normal(size=(octave, octave, 3))
        for channel in range(3):
            layer = Image.fromarray(grid[:, :, channel].astype("float32"))
            picture[:, :, channel] += weight * numpy.asarray(layer.resize((width, height), Image.BICUBIC))
    picture += 128
    y, x = numpy.mgrid[0:height, 0:width]
    for _ in range(12):
        centre_x, centre_y = random.uniform(0, width), random.uniform(0, height)
        radius = random.uniform(0.03, 0.12) * min(width, height)
        disk = (x - centre_x) ** 2 + (y - centre_y) ** 2 < radius ** 2
        picture[disk] = 0.4 * picture[disk] + 0.6 * random.uniform(0, 255, 3)
    picture += random.normal(scale=2.0, size=picture.shape)
    return numpy.clip(picture + 0.5, 0, 255).astype(numpy.uint8)


def gray(width, height, seed=2):
    return numpy.asarray(Image.fromarray(photo(width, height, seed)).convert("L"))


def drawing(width, height, seed=3):
    """Bilevel: True is white. Lines, disks and print-like specks."""
    random = numpy.random.Generator(numpy.random.PCG64(seed))
    y, x = numpy.mgrid[0:height, 0:width]
    white = numpy.ones((height, width), bool)
    for _ in range(20):
        angle, offset = random.uniform(0, numpy.pi), random.uniform(-1, 1) * max(width, height) / 2
        distance = (x - width / 2) * numpy.cos(angle) + (y - height / 2) * numpy.sin(angle) - offset
        white[abs(distance) < random.uniform(0.6, 4)] = False
    for _ in range(15):
        distance = (x - random.uniform(0, width)) ** 2 + (y - random.uniform(0, height)) ** 2
        white ^= distance < random.uniform(4, 40) ** 2
    white[random.random((height, width)) < 0.01] ^= True
    return white


def alpha(width, height):
    """Opaque in the middle, clear at the left edge, with a soft ramp between."""
    ramp = numpy.clip((numpy.arange(width) - width * 0.15) / (width * 0.3) * 255, 0, 255)
    return numpy.tile(ramp.astype(numpy.uint8), (height, 1))


def zone_plate(size):
    """Rings that reach the highest frequency a pixel grid can hold at the edges' middle."""
    y, x = numpy.mgrid[0:size, 0:size] - (size - 1) / 2
    return (127.5 + 127.5 * numpy.cos(numpy.pi * (x * x + y * y) / size) + 0.5).astype(numpy.uint8)


def ramp(width, height):
    """Red rises to the right by exactly one per 4 px, green downwards; blue is constant."""
    y, x = numpy.mgrid[0:height, 0:width]
    return numpy.dstack([x // 4 % 256, y // 4 % 256, numpy.full_like(x, 77)]).astype(numpy.uint8)


def wave(width, height):
    """Red goes up and down by one per px to the right, green downwards: a shift of one px is one step."""
    y, x = numpy.mgrid[0:height, 0:width]
    return numpy.dstack([abs(x % 510 - 255), abs(y % 510 - 255), numpy.full_like(x, 77)]).astype(numpy.uint8)


def square_colour(column, row):
    """The flat colour of one of the 10 x 10 squares. All hundred differ clearly from one another:
    red and green walk through ten steps each, blue separates neighbours further."""
    return 20 + 23 * column, 235 - 23 * row, (40 + 70 * ((column + 2 * row) % 4)) % 256


def squares(edge=100):
    picture = numpy.zeros((10 * edge, 10 * edge, 3), numpy.uint8)
    for row in range(10):
        for column in range(10):
            square = picture[row * edge:(row + 1) * edge, column * edge:(column + 1) * edge]
            square[...] = square_colour(column, row)
    return picture


def halved(picture):
    """The next pyramid level: exact mean of 2 x 2, the last column and row repeated when odd."""
    height, width = picture.shape[:2]
    picture = numpy.pad(picture, [(0, height % 2), (0, width % 2)] + [(0, 0)] * (picture.ndim - 2), "edge")
    total = sum(picture[y::2, x::2].astype(numpy.uint32) for y in (0, 1) for x in (0, 1))
    return ((total + 2) // 4).astype(picture.dtype)


def levels(picture, smallest=128):
    """The picture and its halvings, down to one that fits in a tile."""
    found = [picture]
    while max(found[-1].shape[:2]) > smallest:
        found.append(halved(found[-1]))
    return found


def oriented(upright, orientation):
    """What has to be stored with this TIFF/EXIF orientation so that a viewer sees upright."""
    undo = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
            5: lambda a: a.swapaxes(0, 1), 6: lambda a: numpy.rot90(a, 1),
            7: lambda a: numpy.rot90(a.swapaxes(0, 1), 2), 8: lambda a: numpy.rot90(a, -1)}
    return numpy.ascontiguousarray(undo[orientation](upright))
