"""After a start of the system nothing is believed that may never have reached the disc. The system's boot id is what tells: another one is
put in its place, in a mount namespace of the server's own."""
import os
import stat
import subprocess

import pytest

import server
from cached import counters, entries, stored, target
from server import Vitrine

LARGE = [target("noise.tif", size=f"{size},", rest="0/default.png") for size in range(600, 606)]
SETTINGS = {"memory_cache": 0}


@pytest.fixture
def system(tmp_path, monkeypatch):
    """system(id) -> from here on servers run under a system that was started as `id`."""
    if os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("another boot id takes a mount namespace, and root to make one")
    program = server.binary()
    wrapper, number = tmp_path / "vitrine", tmp_path / "boot_id"
    wrapper.write_text(f"#!/bin/sh\nexec unshare -m --propagation private sh -c 'mount --bind {number} /proc/sys/kernel/random/boot_id && "
                       f"exec {program} \"$@\"' vitrine \"$@\"\n")
    wrapper.chmod(wrapper.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)

    def begin(name):
        number.write_text(f"{name:08x}-0000-4000-8000-000000000000\n")
        monkeypatch.setenv("VITRINE", str(wrapper))
    return begin


def lose_the_end(path):
    """As a crash of the system leaves a file whose last pages were not written: its length, and zeros."""
    length = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.truncate(length // 2)
        file.truncate(length)


def test_large_entries_are_compared_once_after_each_start(folder, tmp_path, system):
    cache = tmp_path / "cache"
    system(1)
    with Vitrine(folder, cache=cache, settings=SETTINGS) as served:
        wanted = {path: served.get(path).body for path in LARGE}
        stored(served, len(LARGE))
        assert min(map(len, wanted.values())) > 65536, "small ones are compared each time anyway"
        for path in entries(served):
            lose_the_end(path)
    system(2)
    with Vitrine(folder, cache=cache, settings=SETTINGS) as served:
        for path in LARGE:
            assert served.get(path).body == wanted[path], path
        assert counters(served)["vitrine_derivatives_corrupt_total"] == len(LARGE)
        stored(served, len(LARGE))
    system(3)
    with Vitrine(folder, cache=cache, settings=SETTINGS) as served:
        for path in LARGE * 2:
            assert served.get(path).body == wanted[path], path
        assert counters(served)["vitrine_derivatives_corrupt_total"] == 0
        assert counters(served)["vitrine_renders_total"] == 0, "what is whole is believed after one look"
