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
    def reduced(values, length):
        """Along the first axis, by differences of the running sum at the fractional borders."""
        total = numpy.concatenate([numpy.zeros((1,) + values.shape[1:]), numpy.cumsum(values, axis=0)])
        border = numpy.arange(length + 1) * (len(values) / length)
        below = numpy.minimum(border.astype(int), len(values) - 1)
        share = (border - below).reshape((-1,) + (1,) * (values.ndim - 1))
        at_border = total[below] + share * (total[below + 1] - total[below])
        return numpy.diff(at_border, axis=0) * (length / len(values))

    rows = reduced(picture.astype(float), height)
    return reduced(rows.swapaxes(0, 1), width).swapaxes(0, 1)
