"""A server whose JPEG decoder does harm to pictures of certain widths (tests/crash/poison.c), and what asks it."""
import os
import subprocess
import threading
import time

import numpy
import pytest
from PIL import Image

import client
import server

WIDTH = {name: 601 + at for at, name in enumerate(
    ["segv", "abort", "fpe", "bus", "overflow", "hang", "linger", "program", "leak", "connect"])}
HERE = os.path.dirname(os.path.abspath(__file__))


def needs_own_handlers():
    if server.sanitized():
        pytest.skip("a sanitizer handles faults itself, and needs to be the first library")


def library(folder):
    """The library to preload."""
    path = os.path.join(folder, "poison.so")
    subprocess.run(["gcc", "-std=gnu17", "-O1", "-shared", "-fPIC", "-o", path, os.path.join(HERE, "poison.c"), "-ldl"],
                   check=True)
    return path


def pictures(folder):
    """A picture of each kind of harm, and good ones."""
    noise = numpy.random.default_rng(3).integers(0, 256, (2400, 800, 3), dtype=numpy.uint8)
    for name, width in WIDTH.items():
        Image.fromarray(noise[:2400 if name == "linger" else 200, :width]).save(os.path.join(folder, f"{name}.jpg"))
    for at in range(4):
        Image.fromarray(numpy.roll(noise[:400], at, 1)).save(os.path.join(folder, f"good{at}.jpg"))


def path(name, width=100):
    return f"/iiif/3/{name}.jpg/full/{width},/0/default.jpg"


class Bystanders:
    """Keep-alive clients that ask for good pictures all the time and must always get them."""

    def __init__(self, served, count=8):
        self.served, self.failures, self.answers = served, [], 0
        self.expected = {at: served.get(path(f"good{at}")).body for at in range(4)}
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self.run, args=(at,)) for at in range(count)]

    def run(self, at):
        connection = client.Connection("127.0.0.1", self.served.port)
        try:
            while not self.over.is_set():
                connection.request("GET", path(f"good{at % 4}"))
                reply = connection.reply()
                if reply.status != 200 or reply.body != self.expected[at % 4]:
                    self.failures.append(repr(reply))
                    return
                self.answers += 1
                time.sleep(0.005)
        except OSError as failure:
            self.failures.append(repr(failure))
        finally:
            connection.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, kind, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if not kind:
            assert not self.failures, f"{self.failures}; log:\n{self.served.log()}"
            assert self.answers > len(self.threads)
