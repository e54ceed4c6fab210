"""How near two pictures are, in the words the pixel tests state their tolerance in."""
import numpy


def pixels(reply, mode="RGB"):
    assert reply.status == 200, reply
    return numpy.asarray(reply.image().convert(mode))


def difference(one, other):
    """(mean, 99.9th percentile) of the absolute difference; colours under clear alpha do not count."""
    assert one.shape == other.shape, f"{one.shape} is not {other.shape}"
    gap = numpy.abs(one.astype(float) - other.astype(float))
    if one.shape[-1] == 4 and one.ndim == 3:
        opacity = numpy.minimum(one[:, :, 3], other[:, :, 3]) / 255
        gap[:, :, :3] *= opacity[:, :, None]
    return gap.mean(), numpy.percentile(gap, 99.9)


def assert_near(seen, right, tolerance, what=""):
    """right: an array or a list of which one must fit. tolerance: (mean, 99.9th percentile)."""
    found = [difference(seen, one) for one in (right if isinstance(right, list) else [right])]
    fits = any(mean <= tolerance[0] and peak <= tolerance[1] for mean, peak in found)
    assert fits, f"{what}: mean, peak = {[(round(m, 2), round(p, 1)) for m, p in found]}, allowed {tolerance}"


def psnr(one, other):
    assert one.shape == other.shape, f"{one.shape} is not {other.shape}"
    error = ((one.astype(float) - other.astype(float)) ** 2).mean()
    return 99.0 if error == 0 else 10 * numpy.log10(255 ** 2 / error)


def area_average(picture, width, height):
    """Every new pixel is the exact mean of the area it covers."""
    def weights(old, new):
        matrix = numpy.zeros((new, old))
        scale = old / new
        for at in range(new):
            begin, end = at * scale, (at + 1) * scale
            first, last = int(begin), min(int(numpy.ceil(end)), old)
            cover = numpy.minimum(numpy.arange(first, last) + 1,
                                  end) - numpy.maximum(numpy.arange(first, last), begin)
            matrix[at, first:last] = cover / scale
        return matrix

    rows, columns = weights(picture.shape[0], height), weights(picture.shape[1], width)
    return numpy.stack([rows @ picture[:, :, n].astype(float) @ columns.T for n in range(picture.shape[2])],
                       axis=2)
