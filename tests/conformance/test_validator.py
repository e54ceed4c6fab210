"""What the official image validator tests, written anew, for both versions of the API.

Each row of LEVELS says from which compliance level on the validator demands a check, per version; the server
claims level 2, and level 3 stands for the extras it offers. The validator contradicts the specification
twice: `!w,h` larger than the region (see size_noup) and `^max` (see size_up_caret_max).
"""
import json
import random

import pytest

from data.pictures import square_colour

LEVELS = {  # check: (level in version 2, level in version 3); None = not demanded there
    "id_basic": (0, 0), "id_squares": (0, 0), "format_jpg": (0, 0), "info_json": (0, 0),
    "size_nofull": (None, 0),
    "baseurl_redirect": (1, 1), "cors": (1, 1), "jsonld": (1, 1), "id_error_random": (1, 1),
    "id_error_escapedslash": (1, 1), "id_error_unescaped": (1, 1), "id_escaped": (1, 1),
    "region_error_random": (1, 1), "size_error_random": (1, 1), "rot_error_random": (1, 1),
    "quality_error_random": (1, 1), "format_error_random": (1, 1), "region_pixels": (1, 1), "size_wc": (1, 1),
    "size_ch": (1, 1), "size_region": (1, 1), "region_square": (1, 1), "size_noup": (None, 1),
    "size_percent": (1, 2), "size_wh": (2, 1), "size_bwh": (2, 2), "region_percent": (2, 2),
    "rot_full_basic": (2, 2), "rot_region_basic": (2, 2), "quality_color": (2, 2), "quality_grey": (2, 2),
    "quality_bitonal": (2, 2), "format_png": (2, 2), "size_up": (3, 3), "rot_mirror": (3, 3),
    "rot_mirror_180": (3, 3), "rot_full_non90": (3, 3), "rot_region_non90": (3, 3), "format_tif": (3, 3),
    "format_gif": (3, 3), "format_webp": (3, 3), "linkheader_profile": (3, 3), "linkheader_canonical": (3, 3),
    "size_up_caret_max": (None, 3),
}
CASES = [pytest.param(check, version, id=f"v{version}-level{level}-{check}")
         for check, levels in LEVELS.items()
         for version, level in zip((2, 3), levels) if level is not None]
NAME = "squares.tif"


class Service:
    """The squares picture in one version, and the words the checks are written in."""

    def __init__(self, client, version, start):
        self.client, self.version, self.start = client, version, start
        self.prefix = f"/iiif/{version}/"
        self.random = random.Random(20240 + version)
        self.whole = "full" if version == 2 else "max"

    def get(self, region="full", size=None, rotation="0", quality="default", form="jpg", name=NAME):
        size = size or self.whole
        return self.client.get(f"{self.prefix}{name}/{region}/{size}/{rotation}/{quality}.{form}")

    def image(self, *parameters, **named):
        reply = self.get(*parameters, **named)
        assert reply.status == 200, reply
        return reply.image()

    def info(self, headers=None):
        reply = self.client.get(f"{self.prefix}{NAME}/info.json", headers)
        assert reply.status == 200, reply
        return reply

    def word(self):
        return "".join(self.random.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(12))

    def squares(self, count=4):
        return [(self.random.randrange(10), self.random.randrange(10)) for _ in range(count)]


def prevailing(image):
    """The colour most of the middle has: JPEG rings at the edges of a square."""
    width, height = image.size
    part = image.convert("RGB").crop((width // 5, height // 5, width - width // 5, height - height // 5))
    return max(part.getcolors(1 << 20))[1]


def assert_square(image, column, row, slack=5):
    truth, seen = square_colour(column, row), prevailing(image)
    near = all(abs(a - b) <= slack for a, b in zip(truth, seen))
    assert near, f"square {column},{row}: {seen}, not {truth}"


def assert_squares(image, service, turn=lambda column, row: (column, row), edge=100):
    """turn: where a square of the picture is found after the rotation."""
    for column, row in service.squares(6):
        x, y = turn(column, row)
        assert_square(image.crop((x * edge, y * edge, (x + 1) * edge, (y + 1) * edge)), column, row)


def id_basic(service):
    service.image()


def id_squares(service):
    image = service.image()
    assert image.size == (1000, 1000)
    assert_squares(image, service)


def format_jpg(service):
    reply = service.get()
    assert reply.media_type() == "image/jpeg" and reply.image().format == "JPEG"


def info_json(service):
    reply = service.info()
    info, version = reply.json(), service.version
    base = f"http://{service.client.host}:{service.client.port}{service.prefix}{NAME}"
    assert info["protocol"] == "http://iiif.io/api/image"
    assert info["@context"] == f"http://iiif.io/api/image/{version}/context.json"
    assert (info["width"], info["height"]) == (1000, 1000)
    if version == 2:
        assert info["@id"] == base
        assert isinstance(info["profile"], list)
        assert info["profile"][0] == "http://iiif.io/api/image/2/level2.json"
    else:
        assert info["id"] == base and info["type"] == "ImageService3" and info["profile"] == "level2"
        assert not {"license", "attribution", "logo"} & set(info)
        for item in info.get("service", []):
            assert {"id", "type"} <= set(item) or {"@id", "@type"} <= set(item)
    for size in info.get("sizes", []):
        assert isinstance(size["width"], int) and isinstance(size["height"], int)
    for tile in info.get("tiles", []):
        assert isinstance(tile["width"], int) and all(isinstance(one, int) for one in tile["scaleFactors"])


def size_nofull(service):
    assert service.get(size="full").status == 400


def baseurl_redirect(service):
    reply = service.client.get(service.prefix + NAME)
    assert reply.status == 303
    assert reply["location"].endswith(f"{service.prefix}{NAME}/info.json")


def cors(service):
    assert service.info()["access-control-allow-origin"] == "*"


def jsonld(service):
    reply = service.info({"Accept": "application/ld+json"})
    assert reply["content-type"].startswith("application/ld+json")
    json.loads(reply.body)


def id_error_random(service):
    assert service.get(name=service.word()).status == 404
    assert service.client.get(f"{service.prefix}{service.word()}/info.json").status == 404


def id_error_escapedslash(service):
    assert service.get(name=f"{service.word()}%2F{service.word()}").status == 404


def id_error_unescaped(service):
    assert service.get(name="[frob]").status in (400, 404)
    assert service.get(name=f"{service.word()}/{service.word()}").status == 404


def id_escaped(service):
    with_dash = service.client.get(f"{service.prefix}none%2Dtiled.tif/full/{service.whole}/0/default.jpg")
    assert with_dash.status == 200
    assert service.get(name="squares%2Etif").status == 200


def region_error_random(service):
    assert service.get(region=service.word()).status == 400


def size_error_random(service):
    assert service.get(size=service.word()).status == 400


def rot_error_random(service):
    assert service.get(rotation=service.word()).status == 400


def quality_error_random(service):
    assert service.get(quality=service.word()).status == 400


def format_error_random(service):
    assert service.get(form=service.word()).status in (400, 415, 503)


def region_pixels(service):
    for column, row in service.squares():
        image = service.image(f"{column * 100 + 13},{row * 100 + 13},74,74")
        assert image.size == (74, 74)
        assert_square(image, column, row)


def size_wc(service):
    for edge in (service.random.randint(450, 750), 500):
        assert service.image(size=f"{edge},").size == (edge, edge)


def size_ch(service):
    for edge in (service.random.randint(450, 750), 500):
        assert service.image(size=f",{edge}").size == (edge, edge)


def size_region(service):
    for column, row in service.squares():
        edge = service.random.randint(35, 90)
        image = service.image(f"{column * 100},{row * 100},100,100", f"{edge},{edge}")
        assert image.size == (edge, edge)
        assert_square(image, column, row)


def region_square(service):
    image = service.image("square")
    assert image.size[0] == image.size[1]


def size_noup(service):
    edge = service.random.randint(1100, 2000)
    for size in (f"{edge},{edge}", f",{edge}", f"{edge},", "pct:200"):
        assert service.get(size=size).status == 400, size
    # The validator wants no 200 here; the text of the specification is clear and wins.
    assert service.image(size="!2000,3000").size == (1000, 1000)


def size_percent(service):
    for percent in (service.random.randint(45, 75), 50):
        assert service.image(size=f"pct:{percent}").size == (percent * 10, percent * 10)


def size_wh(service):
    for _ in range(3):
        width, height = service.random.randint(350, 750), service.random.randint(350, 750)
        assert service.image(size=f"{width},{height}").size == (width, height)


def size_bwh(service):
    for _ in range(3):
        width, height = service.random.randint(350, 750), service.random.randint(350, 750)
        edge = min(width, height)
        assert service.image(size=f"!{width},{height}").size == (edge, edge)


def region_percent(service):
    for column, row in service.squares():
        image = service.image(f"pct:{column * 10 + 0.5:g},{row * 10 + 0.5:g},9,9")
        assert image.size == (90, 90)
        assert_square(image, column, row)
        assert_square(service.image(f"pct:{column * 10},{row * 10},9,9"), column, row)


QUARTERS = {"0": lambda c, r: (c, r), "90": lambda c, r: (9 - r, c), "180": lambda c, r: (9 - c, 9 - r),
            "270": lambda c, r: (r, 9 - c)}


def rot_full_basic(service):
    for rotation in ("90", "180", "270"):
        assert_squares(service.image(rotation=rotation), service, QUARTERS[rotation])


def rot_region_basic(service):
    for column, row in service.squares():
        rotation = service.random.choice(["90", "180", "270"])
        image = service.image(f"{column * 100 + 13},{row * 100 + 13},74,74", rotation=rotation)
        assert abs(image.size[0] - 74) <= 1 and abs(image.size[1] - 74) <= 1
        assert_square(image, column, row)


def quality_color(service):
    image = service.image(quality="color")
    assert image.mode in ("RGB", "P")
    assert_squares(image, service)


def quality_grey(service):
    image = service.image(quality="gray")
    if image.mode != "L":
        assert all(abs(r - g) < 5 and abs(g - b) < 5 for r, g, b in image.convert("RGB").getdata())


def quality_bitonal(service):
    image = service.image(quality="bitonal")
    if image.mode not in ("1", "L"):
        colours = image.convert("RGB").getcolors(256)
        assert colours and sum(n for n, c in colours if max(c) < 20 or min(c) > 235) > 650000


def format_png(service):
    reply = service.get(form="png")
    assert reply.media_type() == "image/png" and reply.image().format == "PNG"
    assert_squares(reply.image(), service)


def size_up(service):
    edge = service.random.randint(1100, 2000)
    if service.version == 2:
        assert service.image(size=f",{edge}").size == (edge, edge)
        return
    assert service.get(size=f",{edge}").status == 400
    for size, right in ((f"^{edge},{edge}", edge), (f"^,{edge}", edge), (f"^{edge},", edge),
                        ("^pct:200", 2000),
                        ("^!2000,500", 500), ("^!2000,3000", 2000)):
        assert service.image(size=size).size == (right, right), size


def size_up_caret_max(service):
    """The validator takes `^max` of 1000 x 1000 for 1000 x 1000, which needs a limit of just that."""
    server = service.start(settings={"max_width": 1000, "max_height": 1000})
    reply = server.get(f"/iiif/3/{NAME}/full/^max/0/default.jpg")
    assert reply.status == 200 and reply.image().size == (1000, 1000)


def rot_mirror(service):
    assert_squares(service.image(rotation="!0"), service, lambda column, row: (9 - column, row))


def rot_mirror_180(service):
    assert_squares(service.image(rotation="!180"), service, lambda column, row: (column, 9 - row))


def rot_full_non90(service):
    service.image(rotation=str(service.random.choice([11, 37, 222, 359])))
    service.image(rotation="22.5")


def rot_region_non90(service):
    for column, row in service.squares(2):
        service.image(f"{column * 100 + 13},{row * 100 + 13},74,74", rotation="30.5")


def decodes_as(service, form, media_type, name):
    reply = service.get(form=form)
    assert reply.status == 200 and reply.media_type() == media_type, reply
    image = reply.image()
    assert image.format == name
    assert_squares(image, service)


def format_tif(service):
    decodes_as(service, "tif", "image/tiff", "TIFF")


def format_gif(service):
    reply = service.get(form="gif")
    assert reply.status == 200 and reply.media_type() == "image/gif" and reply.image().format == "GIF"


def format_webp(service):
    decodes_as(service, "webp", "image/webp", "WEBP")


def links(reply):
    """rel -> target of the Link header."""
    found = {}
    for part in (reply["link"] or "").split(","):
        target, *parameters = part.strip().split(";")
        for parameter in parameters:
            if parameter.strip().startswith("rel="):
                found[parameter.strip()[4:].strip('"')] = target.strip()
    return found


def linkheader_profile(service):
    target = links(service.get())["profile"]
    assert target.startswith(f"<http://iiif.io/api/image/{service.version}/")


def linkheader_canonical(service):
    assert links(service.get())["canonical"].startswith("<http://")


@pytest.mark.parametrize("check, version", CASES)
def test_validator(check, version, client, start):
    globals()[check](Service(client, version, start))
