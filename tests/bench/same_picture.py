"""Whether both servers answer a few requests of each class with the same picture, before their speed is compared."""
import io

import numpy
from PIL import Image

import sides

SAMPLES = 8


def answers(side, requests):
    got = []
    with side:
        for request in requests:
            status, _, body = sides.get(side.port, side.prefix + request.path)
            got.append(Image.open(io.BytesIO(body)).convert("RGB") if status == 200 else None)
    return got


def psnr_db(left, right):
    difference = numpy.asarray(left, dtype=float) - numpy.asarray(right, dtype=float)
    square = float((difference ** 2).mean())
    return 99.0 if square == 0 else float(10 * numpy.log10(255 ** 2 / square))


def compare(both, lists):
    """kind -> how many of the samples failed, differ in size, and the worst likeness of the others in dB."""
    result = {}
    for kind, requests in lists.items():
        some = requests[:SAMPLES] if kind != "w4096" else requests[:3]
        pictures = [answers(side, some) for side in both]
        told = {"samples": len(some), "failed": sum(None in pair for pair in zip(*pictures)), "other_size": 0,
                "worst_db": None}
        if len(both) == 2:
            for left, right in zip(*pictures):
                if left and right and left.size != right.size:
                    told["other_size"] += 1
                    told.setdefault("sizes", []).append(f"{left.width} × {left.height} and {right.width} × {right.height}")
                elif left and right:
                    told["worst_db"] = min(told["worst_db"] or 99.0, psnr_db(left, right))
        wrong = [f"{request.path}: {picture.size[0]} × {picture.size[1]} instead of {request.width} × {request.height}"
                 for side_pictures in pictures for request, picture in zip(some, side_pictures)
                 if picture and abs(picture.size[0] - request.width) + abs(picture.size[1] - request.height) > 1]
        if wrong:
            told["wrong"] = wrong
        result[kind] = told
    return result
