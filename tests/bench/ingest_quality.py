"""How near the levels of pyramids are to the exact averages of their master's pixels."""
import numpy
from PIL import Image

Image.MAX_IMAGE_PIXELS = None


def halved(sums):
    for axis in (0, 1):
        sums = numpy.add.reduceat(sums, numpy.arange(0, sums.shape[axis], 2), axis=axis)
    return sums


def mean_errors(master, paths):
    """Mean squared error of every level of every path: [path][level]."""
    with Image.open(master) as picture:
        picture = picture.convert("RGB")
        width, height = picture.size
        channels = [numpy.asarray(channel) for channel in picture.split()]
    opened = [Image.open(path) for path in paths]
    errors = [[0.0] * picture.n_frames for picture in opened]
    for number, channel in enumerate(channels):
        sums = channel.astype(numpy.uint32)
        for level in range(max(picture.n_frames for picture in opened)):
            if level > 0:
                sums = halved(sums)
            factor = 1 << level
            count = [numpy.minimum(numpy.arange(0, extent, factor) + factor, extent) - numpy.arange(0, extent, factor)
                     for extent in (height, width)]
            for which, picture in enumerate(opened):
                if level >= picture.n_frames:
                    continue
                picture.seek(level)
                seen = numpy.asarray(picture.convert("RGB"))[:, :, number]
                rows, columns = seen.shape
                for y in range(0, rows, 256):
                    right = sums[y:y + 256][:rows - y, :columns] / (count[0][y:y + 256][:rows - y, None] * count[1][:columns])
                    errors[which][level] += ((seen[y:y + 256] - right) ** 2).sum() / (3 * rows * columns)
    return errors


def psnr(error):
    return 99.0 if error == 0 else 10 * numpy.log10(255 ** 2 / error)
