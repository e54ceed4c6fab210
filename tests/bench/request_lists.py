"""What is asked for: each class of requests as a list, made from info.json and a fixed seed.

Regions and sizes are what viewers send (tile grid by scale factor, sizes rounded up), written as `w,`: iipsrv 1.3
passes stored tiles through for this form only, and both servers answer it in both IIIF versions. Edge tiles of the classes with
restart intervals are asked for as `w,h`, as viewers do in version 3: `w,` would make narrow ones another height than the grid's.
"""
import math
import random
from dataclasses import dataclass

SEED = 20
TILE_PX = 256
CROP_PX = (800, 600)

# Goals for CPU time per request: iipsrv 1.3 with its front divided by Vitrine, at least.
CLASSES = {
    "tile": ("whole stored tile", 6),
    "edge": ("edge tile", 3),
    "viewer": ("any viewer tile", 3.5),
    "w128": ("128 px of the whole", 2.5),
    "w1024": ("1,024 px of the whole", 2.7),
    "w4096": ("4,096 px of the whole", 3),
    "jedge": ("edge tile, restart intervals", 8),
    "jviewer": ("any viewer tile, restart intervals", 8),
    "j512": ("whole 512 px tile, restart intervals", 15),
    "crop": ("800 × 600 crop, unaligned", 1.25),
    "mix": ("Getty mix", 2.7),
}
MIX = [("tile", 40), ("w128", 40), ("w1024", 16), ("w4096", 4)]
LENGTH = {"tile": 4000, "edge": 8000, "viewer": 8000, "w128": 6000, "w1024": 1500, "w4096": 600, "crop": 3000,
          "mix": 6000, "jedge": 8000, "jviewer": 8000, "j512": 8000}
JOINED = "joined-"  # how the names of pyramids with restart intervals begin; only classes with a J are played on these


@dataclass(frozen=True)
class Picture:
    name: str
    width: int
    height: int
    factors: tuple


@dataclass(frozen=True)
class Request:
    kind: str
    picture: Picture
    region: tuple  # x, y, w, h in pixels of the full picture
    width: int     # of the answer
    height: int
    factor: int    # of the level a tile comes from; 0: not a tile

    @property
    def path(self):
        is_full = self.region == (0, 0, self.picture.width, self.picture.height)
        region = "full" if is_full and not self.factor else ",".join(map(str, self.region))
        height = self.height if self.kind.startswith("j") and not is_stored_whole(self) else ""
        return f"{self.picture.name}/{region}/{self.width},{height}/0/default.jpg"


def picture_of(name, info):
    """A picture as its info.json describes it; only the grid of 256-pixel tiles is used."""
    for tiles in info["tiles"]:
        if tiles["width"] == TILE_PX and tiles.get("height", TILE_PX) == TILE_PX:
            return Picture(name, info["width"], info["height"], tuple(sorted(tiles["scaleFactors"])))
    raise SystemExit(f"{name} has no tiles of {TILE_PX} pixels in its info.json")


def tiles_of(picture, factor, kind):
    """All tiles of one level."""
    step = (512 if kind == "j512" else TILE_PX) * factor
    for y in range(0, picture.height, step):
        for x in range(0, picture.width, step):
            region = (x, y, min(step, picture.width - x), min(step, picture.height - y))
            width = math.ceil(region[2] / factor)
            height = math.ceil(region[3] / factor) if kind.startswith("j") else round(region[3] * width / region[2])
            yield Request(kind, picture, region, width, max(1, height), factor)


def is_stored_whole(request, tile_px=TILE_PX):
    """Full in the stored level too, whose size is rounded down."""
    x, y, _, _ = request.region
    right, bottom = x // request.factor + tile_px, y // request.factor + tile_px
    if request.kind.startswith("j"):  # or up
        return request.width == request.height == tile_px
    return right <= request.picture.width // request.factor and bottom <= request.picture.height // request.factor


def whole(picture, kind, width):
    height = max(1, round(picture.height * width / picture.width))
    return Request(kind, picture, (0, 0, picture.width, picture.height), width, height, 0)


def crop(picture, dice):
    x, y = (dice.randrange(1, whole_px - part_px)
            for whole_px, part_px in zip((picture.width, picture.height), CROP_PX))
    x, y = (at + 1 if at % 8 == 0 else at for at in (x, y))
    return Request("crop", picture, (x, y, *CROP_PX), *CROP_PX, 0)


def evenly(items, count, dice):
    """`count` of the items in random order, each as often as any other at every moment."""
    chosen = []
    while len(chosen) < count:
        turn = list(items)
        dice.shuffle(turn)
        chosen += turn
    return chosen[:count]


def tile_list(kind, pictures, count, dice):
    """A picture, one of its levels, one of the level's tiles: each with equal chances."""
    wanted = {"tile": is_stored_whole, "edge": lambda tile: not is_stored_whole(tile), "viewer": lambda tile: True}
    wanted = {**wanted, "jedge": wanted["edge"], "jviewer": wanted["viewer"],
              "j512": lambda tile: is_stored_whole(tile, 512)}
    levels = {picture: [level for level in ([tile for tile in tiles_of(picture, factor, kind) if wanted[kind](tile)]
                                            for factor in picture.factors) if level]
              for picture in pictures}
    return [dice.choice(dice.choice(levels[picture])) for picture in evenly(pictures, count, dice)]


def single_list(kind, pictures, count, dice):
    if kind in ("tile", "edge", "viewer", "jedge", "jviewer", "j512"):
        return tile_list(kind, pictures, count, dice)
    if kind == "crop":
        return [crop(picture, dice) for picture in evenly(pictures, count, dice)]
    width = int(kind[1:])
    return [whole(picture, kind, width)
            for picture in evenly([picture for picture in pictures if picture.width >= width], count, dice)]


def make(pictures):
    """kind -> list of requests. The same pictures give the same lists."""
    lists = {}
    every = pictures
    for kind in CLASSES:
        pictures = [one for one in every if one.name.startswith(JOINED) == kind.startswith("j")]
        dice = random.Random(f"{SEED} {kind}")
        if kind != "mix":
            lists[kind] = single_list(kind, pictures, LENGTH[kind], dice)
            continue
        parts = {part: iter(single_list(part, pictures, LENGTH["mix"], random.Random(f"{SEED} mix {part}")))
                 for part, _ in MIX}
        deck = [part for part, percent in MIX for _ in range(percent)]
        lists[kind] = [next(parts[part]) for part in evenly(deck, LENGTH["mix"], dice)]
    return lists
