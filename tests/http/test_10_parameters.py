"""Region, size, rotation, quality and format: the status of every rule, and the size of what comes.

Rows are (path after the identifier, right answer): a pair is 200 and that size, a number is that status.
Pictures: squares.tif is 1000 x 1000, small.tif 300 x 200 (the specification's example), dot.tif 1 x 1.
"""
import pytest

BOTH, V2, V3 = (2, 3), (2,), (3,)

REGIONS = [
    (BOTH, "full", (300, 200)), (BOTH, "square", (200, 200)),
    (BOTH, "0,0,300,200", (300, 200)), (BOTH, "10,20,30,40", (30, 40)), (BOTH, "299,199,1,1", (1, 1)),
    # Overhang is cropped, not padded.
    (BOTH, "250,150,100,100", (50, 50)), (BOTH, "0,0,4000000000,4000000000", (300, 200)),
    (BOTH, "299,0,5000,200", (1, 200)), (BOTH, "0,0,2147483647,1", (300, 1)),
    # The example of both specifications: rounds to the nearest.
    (BOTH, "pct:41.6,7.5,40,70", (120, 140)), (BOTH, "pct:41.6,7.5,66.6,100", (175, 185)),
    (BOTH, "pct:0,0,100,100", (300, 200)), (BOTH, "pct:.5,0.0,99.50,100", (298, 200)),
    (BOTH, "pct:50,50,100,100", (150, 100)), (BOTH, "pct:33.333333,0,33.333333,100", (100, 200)),
    # Empty, outside, malformed.
    (BOTH, "0,0,0,10", 400), (BOTH, "0,0,10,0", 400), (BOTH, "300,0,10,10", 400), (BOTH, "0,200,10,10", 400),
    (BOTH, "4000000000,0,1,1", 400), (BOTH, "pct:100,0,10,10", 400), (BOTH, "pct:0,100,10,10", 400),
    (BOTH, "pct:0,0,0,10", 400), (BOTH, "pct:0,0,0.1,10", 400), (BOTH, "pct:0,0,10,0.2", 400),
    (BOTH, "-1,0,10,10", 400), (BOTH, "0,-1,10,10", 400), (BOTH, "+1,0,10,10", 400),
    (BOTH, "0,0,-10,10", 400),
    (BOTH, "0,0,10", 400), (BOTH, "0,0,10,10,10", 400), (BOTH, "0,0,10,", 400), (BOTH, ",,,", 400),
    (BOTH, "0.5,0,10,10", 400), (BOTH, "1e1,0,10,10", 400), (BOTH, "0x1,0,10,10", 400),
    (BOTH, "%200,0,10,10", 400),
    (BOTH, "0,0,10,10%20", 400), (BOTH, "pct:1e1,0,10,10", 400), (BOTH, "pct:-1,0,10,10", 400),
    (BOTH, "pct:+1,0,10,10", 400), (BOTH, "pct:1.2.3,0,10,10", 400), (BOTH, "pct:,0,10,10", 400),
    (BOTH, "pct:.,0,10,10", 400), (BOTH, "pct:nan,0,10,10", 400), (BOTH, "pct:inf,0,10,10", 400),
    (BOTH, "pct:0,0,10", 400), (BOTH, "pct:", 400), (BOTH, "Full", 400), (BOTH, "FULL", 400),
    (BOTH, "Square", 400), (BOTH, "PCT:0,0,10,10", 400), (BOTH, "squares", 400), (BOTH, "fullx", 400),
    (BOTH, "max", 400), (BOTH, "99999999999999999999999999,0,1,1", 400), (BOTH, "0%2C0%2C30%2C20", (30, 20)),
    (BOTH, "%66ull", (300, 200)), (BOTH, "full%00", 400), (BOTH, "%", 400), (BOTH, "full%", 400),
    (BOTH, "full%zz", 400),
]

SIZES = [  # of the whole of small.tif
    (BOTH, "max", (300, 200)), (V2, "full", (300, 200)), (V3, "full", 400), (V3, "^full", 400),
    (BOTH, "150,", (150, 100)), (BOTH, ",50", (75, 50)), (BOTH, "pct:50", (150, 100)),
    (BOTH, "pct:100", (300, 200)),
    (BOTH, "pct:12.5", (38, 25)), (BOTH, "100,100", (100, 100)), (BOTH, "300,200", (300, 200)),
    (BOTH, "300,", (300, 200)),
    (BOTH, "1,1", (1, 1)), (BOTH, "!150,150", (150, 100)), (BOTH, "!1000,50", (75, 50)),
    (BOTH, "!300,200", (300, 200)),
    # 300 x 200 to a width of 100 is 66.67 high; rounds to the nearest.
    (BOTH, "100,", (100, 67)), (BOTH, ",67", (101, 67)),
    # Version 3: no enlarging without the caret; the box is no demand.
    (V3, "301,", 400), (V3, ",201", 400), (V3, "301,200", 400), (V3, "300,201", 400), (V3, "pct:100.1", 400),
    (V3, "pct:200", 400), (V3, "!400,400", (300, 200)), (V3, "!1000000,1000000", (300, 200)),
    (V3, "!300,1000", (300, 200)), (V3, "^600,", (600, 400)), (V3, "^,400", (600, 400)),
    (V3, "^pct:200", (600, 400)),
    (V3, "^pct:150", (450, 300)), (V3, "^400,500", (400, 500)), (V3, "^!600,600", (600, 400)),
    (V3, "^!1000,400", (600, 400)), (V3, "^150,", (150, 100)), (V3, "^pct:50", (150, 100)),
    (V3, "^!150,150", (150, 100)),
    (V3, "^300,200", (300, 200)), (V3, "%5E600,", (600, 400)),
    # Version 2 enlarges without notation and does not know the caret.
    (V2, "600,", (600, 400)), (V2, ",400", (600, 400)), (V2, "pct:200", (600, 400)),
    (V2, "400,500", (400, 500)),
    (V2, "^600,", 400), (V2, "^max", 400), (V2, "^pct:50", 400), (V2, "^!100,100", 400),
    # Nothing, malformed, absurd.
    (BOTH, "0,", 400), (BOTH, ",0", 400), (BOTH, "0,0", 400), (BOTH, "0,10", 400), (BOTH, "10,0", 400),
    (BOTH, "!0,10", 400),
    (BOTH, "pct:0", 400), (BOTH, "pct:0.0", 400), (BOTH, "pct:-50", 400), (BOTH, "pct:+50", 400),
    (BOTH, "pct:1e1", 400),
    (BOTH, "pct:", 400), (BOTH, "pct:nan", 400), (BOTH, "pct:50%25", 400), (BOTH, ",", 400),
    (BOTH, "!,", 400),
    (BOTH, "!100,", 400), (BOTH, "!,100", 400), (BOTH, "100", 400), (BOTH, "100,100,100", 400),
    (BOTH, "-100,", 400),
    (BOTH, "+100,", 400), (BOTH, "1e2,", 400), (BOTH, "10.5,", 400), (BOTH, "100.0,", 400),
    (BOTH, "Max", 400),
    (BOTH, "MAX", 400), (BOTH, "Full", 400), (BOTH, "PCT:50", 400), (BOTH, "!pct:50", 400),
    (BOTH, "!max", 400),
    (BOTH, "!!100,100", 400), (BOTH, "!^100,100", 400), (BOTH, "^^100,", 400), (BOTH, "^", 400),
    (BOTH, "%20100,", 400),
    (BOTH, "99999999999999999999,", 400), (BOTH, "^99999999999999999999,", 400), (BOTH, "4294967297,", 400),
    (BOTH, "18446744073709551617,10", 400), (V3, "^4294967297,4294967297", 400), (BOTH, "100,%00", 400),
]

ROTATIONS = [  # of the whole of small.tif
    (BOTH, "0", (300, 200)), (BOTH, "90", (200, 300)), (BOTH, "180", (300, 200)), (BOTH, "270", (200, 300)),
    (BOTH, "360", (300, 200)), (BOTH, "!0", (300, 200)), (BOTH, "!90", (200, 300)),
    (BOTH, "!360", (300, 200)),
    (BOTH, "90.0", (200, 300)), (BOTH, "0.0", (300, 200)), (BOTH, "%2190", (200, 300)),
    (BOTH, "361", 400), (BOTH, "360.1", 400), (BOTH, "720", 400), (BOTH, "-1", 400), (BOTH, "-90", 400),
    (BOTH, "+90", 400),
    (BOTH, "!-90", 400), (BOTH, "!!90", 400), (BOTH, "90!", 400), (BOTH, "!", 400), (BOTH, "1e1", 400),
    (BOTH, "9e1", 400),
    (BOTH, "nan", 400), (BOTH, "inf", 400), (BOTH, "0x5a", 400), (BOTH, "90,", 400), (BOTH, "22.5.1", 400),
    (BOTH, ".", 400),
    (BOTH, "%2090", 400), (BOTH, "90%20", 400), (BOTH, "ninety", 400), (BOTH, "99999999999999999999", 400),
    (BOTH, "^90", 400),
]

QUALITIES = [
    (BOTH, "default.jpg", (300, 200)), (BOTH, "color.jpg", (300, 200)), (BOTH, "gray.jpg", (300, 200)),
    (BOTH, "bitonal.jpg", (300, 200)), (BOTH, "default.png", (300, 200)), (BOTH, "default.webp", (300, 200)),
    (BOTH, "default.tif", (300, 200)), (BOTH, "default.gif", (300, 200)), (BOTH, "%64efault.jpg", (300, 200)),
    (BOTH, "native.jpg", 400), (BOTH, "grey.jpg", 400), (BOTH, "Default.jpg", 400), (BOTH, "GRAY.jpg", 400),
    (BOTH, "colour.jpg", 400), (BOTH, "defaultx.jpg", 400), (BOTH, ".jpg", 400), (BOTH, "default.JPG", 400),
    (BOTH, "default.Png", 400), (BOTH, "default.jpeg", 400), (BOTH, "default.tiff", 400),
    (BOTH, "default.jp2", 400),
    (BOTH, "default.pdf", 400), (BOTH, "default.bmp", 400), (BOTH, "default.", 400), (BOTH, "default", 400),
    (BOTH, "default.jpg.png", 400), (BOTH, "default.jpg%00", 400), (BOTH, "default.jpg%20", 400),
]


def cases(rows, pattern):
    return [pytest.param(version, pattern.format(parameter, max="full" if version == 2 else "max"), right,
                         id=f"v{version}-{parameter}")
            for versions, parameter, right in rows for version in versions]


def assert_answer(client, version, name, path, right):
    target = f"/iiif/{version}/{name}/{path}"
    reply = client.get(target)
    if isinstance(right, tuple):
        assert reply.status == 200, f"{target}: {reply}"
        assert reply.image().size == right, target
    else:
        assert reply.status == right, f"{target}: {reply}"
        assert_sentence(reply, target)


def assert_sentence(reply, target):
    """Every error is one plain sentence."""
    assert reply["content-type"].lower().replace(" ", "") == "text/plain;charset=utf-8", target
    text = reply.body.decode()
    assert len(text.strip().splitlines()) == 1 and len(text) > 10, f"{target}: {text!r}"
    assert reply["access-control-allow-origin"] == "*", target


@pytest.mark.parametrize("version, path, right", cases(REGIONS, "{}/{max}/0/default.jpg"))
def test_region(client, version, path, right):
    assert_answer(client, version, "small.tif", path, right)


@pytest.mark.parametrize("version, path, right", cases(SIZES, "full/{}/0/default.jpg"))
def test_size(client, version, path, right):
    assert_answer(client, version, "small.tif", path, right)


@pytest.mark.parametrize("version, path, right", cases(ROTATIONS, "full/{max}/{}/default.jpg"))
def test_rotation(client, version, path, right):
    assert_answer(client, version, "small.tif", path, right)


@pytest.mark.parametrize("version, path, right", cases(QUALITIES, "full/{max}/0/{}"))
def test_quality_and_format(client, version, path, right):
    assert_answer(client, version, "small.tif", path, right)


@pytest.mark.parametrize("version, path, right", [
    # The size applies to the region that is left after cropping.
    (3, "250,150,100,100/50,50/0/default.jpg", (50, 50)), (3, "250,150,100,100/51,/0/default.jpg", 400),
    (3, "250,150,100,100/^100,/0/default.jpg", (100, 100)), (3, "square/100,/0/default.jpg", (100, 100)),
    (3, "0,0,100,200/pct:50/0/default.jpg", (50, 100)), (2, "0,0,100,200/pct:200/0/default.jpg", (200, 400)),
    (3, "0,0,100,50/max/90/default.jpg", (50, 100)), (3, "0,0,100,50/!50,50/!270/gray.png", (25, 50)),
    # Viewers ask for edge strips like these.
    (2, "299,0,1,200/1,/0/default.jpg", (1, 200)), (3, "0,0,300,1/300,/0/default.jpg", (300, 1)),
    (2, "0,0,300,1/75,/0/default.jpg", (75, 1)), (3, "0,0,300,1/75,/0/default.jpg", (75, 1)),
    (3, "0,0,300,1/75,1/0/default.jpg", (75, 1)), (2, "299,0,1,200/,50/0/default.jpg", (1, 50)),
])
def test_combinations(client, version, path, right):
    assert_answer(client, version, "small.tif", path, right)


@pytest.mark.parametrize("path, right", [
    ("full/max/0/default.jpg", (1, 1)), ("square/max/0/default.png", (1, 1)),
    ("full/1,1/90/gray.jpg", (1, 1)),
    ("full/^10,/0/default.jpg", (10, 10)), ("full/pct:50/0/default.jpg", (1, 1)),
    ("full/pct:10/0/default.jpg", 400),
    ("0,0,1,1/max/45/default.png", None), ("1,0,1,1/max/0/default.jpg", 400),
])
def test_smallest_image(client, path, right):
    if right is None:
        assert client.get(f"/iiif/3/dot.tif/{path}").status == 200
    elif path == "full/pct:50/0/default.jpg":
        # Half a pixel: rounding up gives one, calling it nothing gives 400. Both are readings of the text.
        assert client.get(f"/iiif/3/dot.tif/{path}").status in (200, 400)
    else:
        assert_answer(client, 3, "dot.tif", path, right)


@pytest.mark.parametrize("path, part", [
    ("frob/max/0/default.jpg", "frob"), ("full/frob/0/default.jpg", "frob"),
    ("full/max/frob/default.jpg", "frob"),
    ("full/max/0/frob.jpg", "frob"), ("full/max/0/default.frob", "frob"), ("full/301,/0/default.jpg", "301"),
    ("300,0,10,10/max/0/default.jpg", "300"),
])
def test_error_names_the_offending_part(client, path, part):
    reply = client.get(f"/iiif/3/small.tif/{path}")
    assert reply.status == 400 and part in reply.body.decode(), reply
    assert b"<" not in reply.body.replace(b"<=", b"")


def test_error_text_carries_no_markup_of_the_client(client):
    reply = client.get("/iiif/3/small.tif/%3Cscript%3Ealert(1)%3C%2Fscript%3E/max/0/default.jpg")
    assert reply.status == 400
    assert reply.media_type() == "text/plain" and reply["x-content-type-options"] in (None, "nosniff")
