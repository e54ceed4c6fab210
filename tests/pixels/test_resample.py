"""Reducing and enlarging: area-true, in place, without aliasing."""
import numpy
import pytest

from comparison import area_average, pixels, psnr
from data import pictures


@pytest.fixture(scope="module")
def photo():
    return pictures.photo(1501, 1003)


# flat.tif has no levels, so the reduction from full size is the server's own. The mean over the exact area and
# a good filter of the same width agree to well over 30 dB.
@pytest.mark.parametrize("width, height", [(751, 502), (750, 501), (500, 334), (1000, 668), (555, 371),
                                           (188, 125),
                                           (100, 67), (47, 31), (300, 600), (1501, 100), (10, 7)])
def test_reduction_is_near_the_mean_of_the_area(client, photo, width, height):
    seen = pixels(client.get(f"/iiif/3/flat.tif/full/{width},{height}/0/default.png"))
    # A handful of pixels is all edge, where filters differ most.
    assert psnr(seen, area_average(photo, width, height)) > (32 if width > 40 else 26)


@pytest.mark.parametrize("width, height", [(500, 334), (600, 401), (300, 200), (100, 67)])
def test_reduction_from_a_level_is_near_it_too(client, photo, width, height):
    seen = pixels(client.get(f"/iiif/3/photo.tif/full/{width},{height}/0/default.png"))
    assert psnr(seen, area_average(photo, width, height)) > 32


@pytest.mark.parametrize("region, size", [((200, 100, 800, 600), (400, 300)),
                                          ((333, 77, 501, 403), (100, 80)),
                                          ((1400, 900, 101, 103), (50, 51)), ((0, 0, 1501, 10), (300, 2))])
def test_reduction_of_a_region(client, photo, region, size):
    x, y, w, h = region
    seen = pixels(client.get(f"/iiif/3/flat.tif/{x},{y},{w},{h}/{size[0]},{size[1]}/0/default.png"))
    assert psnr(seen, area_average(photo[y:y + h, x:x + w], *size)) > 30


@pytest.mark.parametrize("width", [800, 700, 512, 400, 300, 256, 200, 128])
def test_no_aliasing(client, width):
    """Rings finer than the result can show must become even gray, not other rings."""
    seen = pixels(client.get(f"/iiif/3/zone.tif/full/{width},{width}/0/default.png"))[:, :, 0].astype(float)
    y, x = numpy.mgrid[0:width, 0:width] - (width - 1) / 2
    # Frequency along each axis in cycles per new pixel; 0.5 is what a grid can hold.
    scale = 1024 / width
    frequency = numpy.maximum(abs(x), abs(y)) * scale / 1024 * scale
    beyond = frequency > 0.8
    if beyond.sum() > 100:
        assert seen[beyond].std() < 26, f"ripple {seen[beyond].std():.1f} beyond what the grid can hold"
        assert abs(seen[beyond].mean() - 127.5) < 6
    within = frequency < 0.25
    assert within.sum() < 400 or seen[within].std() > 60, "rings that the result can show are blurred away"


@pytest.mark.parametrize("width, height", [(512, 512), (256, 256), (341, 341), (700, 700), (100, 100),
                                           (512, 128)])
def test_nothing_moves(client, width, height):
    """On an even slope the value of a pixel tells where it came from."""
    seen = pixels(client.get(f"/iiif/3/ramp.tif/full/{width},{height}/0/default.png")).astype(float)
    right = area_average(pictures.ramp(1024, 1024), width, height)
    margin_y, margin_x = max(2, height // 20), max(2, width // 20)
    middle = (slice(margin_y, -margin_y), slice(margin_x, -margin_x))
    gap = seen[middle] - right[middle]
    assert abs(gap).max() <= 1.5 and abs(gap.mean()) < 0.6
    assert (seen[:, :, 2] == 77).all()


@pytest.mark.parametrize("x, y, w, h, width, height", [
    (0, 0, 1021, 777, 400, 304), (0, 0, 1021, 777, 131, 100), (600, 300, 400, 400, 53, 53),
    (511, 257, 500, 510, 99, 101),
    (3, 5, 1017, 771, 333, 252), (769, 1, 251, 770, 60, 184), (900, 600, 121, 177, 30, 44),
    (255, 255, 511, 511, 64, 64),
    (1, 1, 1019, 775, 509, 387),
])
def test_levels_lie_exactly_over_the_picture(client, x, y, w, h, width, height):
    """Odd sizes: a level is the picture over its scale factor, not over the ratio of the rounded widths."""
    path = f"{x},{y},{w},{h}/{width},{height}/0/default.png"
    seen = pixels(client.get(f"/iiif/3/wave.tif/{path}")).astype(float)
    right = area_average(pictures.wave(1021, 777)[y:y + h, x:x + w], width, height)
    for channel, step in ((0, w / width), (1, h / height)):
        slope = numpy.abs(numpy.gradient(right[:, :, channel], axis=1 - channel))
        straight = slope > step * 0.9  # the turning points are rounded off by any filter
        straight[:3], straight[-3:], straight[:, :3], straight[:, -3:] = False, False, False, False
        for shift in (-3, -2, -1, 1, 2, 3):
            straight &= numpy.roll(slope, shift, axis=1 - channel) > step * 0.9
        assert straight.sum() > 50
        gap = numpy.abs(seen - right)[:, :, channel][straight]
        assert gap.max() <= 1.2, f"off by {gap.max():.1f} px of the picture"


@pytest.mark.parametrize("width, height", [(2048, 2048), (1500, 1500), (1025, 1025)])
def test_enlarging_moves_nothing_either(client, width, height):
    path = f"512,512,512,512/^{width // 2},{height // 2}/0/default.png"
    seen = pixels(client.get(f"/iiif/3/ramp.tif/{path}")).astype(float)
    columns = seen[height // 4, :, 0]
    position = (numpy.arange(width // 2) + 0.5) * 512 / (width // 2) - 0.5 + 512
    middle = slice(width // 20, -width // 20)
    # Four source pixels share a value, so the slope is a staircase around (x - 1.5) / 4.
    assert abs(columns[middle] - (position[middle] - 1.5) / 4).max() <= 1.2
    assert (numpy.diff(columns[middle]) >= -1).all()
    assert (seen[:, :, 2] == 77).all()


@pytest.mark.parametrize("size", ["500,500", "333,333", "^1300,1300", "700,300"])
def test_flat_stays_flat(client, size):
    """Squares keep their exact colour inside, whatever the filter does at their edges."""
    seen = pixels(client.get(f"/iiif/3/squares.tif/full/{size}/0/default.png"))
    for row in range(10):
        for column in range(10):
            y, x = (row * 2 + 1) * seen.shape[0] // 20, (column * 2 + 1) * seen.shape[1] // 20
            assert abs(seen[y, x].astype(int) - pictures.square_colour(column, row)).max() <= 1


@pytest.mark.parametrize("name", ["photo.tif", "flat.tif", "baseline-420.jpg", "rgb.png"])
def test_brightness_is_kept(client, name):
    full = pixels(client.get(f"/iiif/3/{name}/full/max/0/default.png")).astype(float)
    for percent in (50, 33, 20, 7):
        seen = pixels(client.get(f"/iiif/3/{name}/full/pct:{percent}/0/default.png")).astype(float)
        assert abs(seen.mean(axis=(0, 1)) - full.mean(axis=(0, 1))).max() < 1.5
