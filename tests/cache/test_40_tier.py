"""The lower tier in a folder: dear derivatives that servers share, what others have purged, and a tier that is broken, full or away."""
import concurrent.futures
import os
import signal
import subprocess
import time

import pytest

from cached import counters, entries, files, renders, settled, stored, target
from server import Vitrine, run, until

TOKEN = "a secret of the house"
DEAR = [target(name, size=size) for name in ("a.jpg", "b.jpg", "sub/c.jpg") for size in ("500,", "200,")]


@pytest.fixture
def tier(tmp_path):
    place = tmp_path / "tier"
    place.mkdir()
    os.chmod(place, 0o777)
    return place


@pytest.fixture
def server(start, folder, tmp_path, tier):
    """server(name, settings...) -> one with a cache of its own and the tier of all."""
    def begin(name, workers=2, **settings):
        return start(folder, workers=workers, cache=tmp_path / name, settings={
            "admin_token": TOKEN, "derivative_tier": str(tier), "derivative_tier_cost": 0, "derivative_tier_wait": 60000, "revalidate": 1, **settings})
    return begin


def number(served, name):
    return counters(served)[f"vitrine_derivatives_tier_{name}_total"]


def lies_there(tier):
    return {os.path.join(parent, name) for parent, _, names in os.walk(tier) for name in names
            if os.path.basename(parent) not in ("purges", "room") and name != "notes.txt"}


def purges(tier):
    return sorted(os.listdir(tier / "purges")) if (tier / "purges").exists() else []


def knows(served):
    """It has read the list of purges, and so asks the tier."""
    until(lambda: counters(served)["vitrine_derivatives_tier_known"] == 1, 10, "the tier's list of purges is read")


def end(served):
    served.signal(signal.SIGTERM)
    served.process.wait(60)


def kept(served, count):
    until(lambda: number(served, "stored") >= count, 10, f"{count} derivatives are in the tier")


def post(served, path):
    return served.admin().ask("POST", path, {"Authorization": f"Bearer {TOKEN}"})


def answers(served, asked=None):
    found = {}
    for what in asked or DEAR:
        reply = served.get(what)
        assert reply.status == 200, (what, reply.status, reply.body)
        found[what] = reply.body
    return found


def fill(served):
    knows(served)
    bodies = answers(served)
    kept(served, len(DEAR))
    return bodies


def test_what_one_server_has_made_no_other_makes(server, tier):
    first = server("one")
    bodies = fill(first)
    second = server("two")
    knows(second)
    before = renders(second)
    assert answers(second) == bodies
    assert renders(second) == before and number(second, "hits") >= len(DEAR)
    stored(second, len(DEAR))  # and has it in its own cache from now on
    hits = number(second, "hits")
    assert answers(second) == bodies and number(second, "hits") == hits
    assert number(second, "stored") <= 1, "what came from the tier is not written there again"


def test_it_outlives_the_cache_and_the_server(start, folder, tmp_path, tier, server):
    first = server("one")
    bodies = fill(first)
    end(first)
    second = server("another")
    knows(second)
    before = renders(second)
    assert answers(second) == bodies and renders(second) == before


def test_many_askers_ask_the_tier_once(server):
    fill(server("one"))
    second = server("two")
    knows(second)
    before, asked = renders(second), number(second, "hits")
    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        replies = list(pool.map(lambda _: second.get(DEAR[0]).body, range(48)))
    assert len(set(replies)) == 1 and renders(second) == before
    assert number(second, "hits") - asked <= 2  # one per worker at most: where the first answers before the second looks


def test_only_what_is_dear(server, tier):
    served = server("one", derivative_tier_cost=20)
    knows(served)
    dear = target("noise.tif", size="1000,", rest="17/default.png")
    for what in (target(size="20,"), dear):
        assert served.get(what).status == 200
    kept(served, 1)
    time.sleep(0.2)
    assert len(lies_there(tier)) == 1 and number(served, "stored") == 1


def test_a_replaced_source_is_not_taken_from_it(start, folder, tmp_path, tier, server):
    place = tmp_path / "images"
    place.mkdir()
    (place / "x.jpg").write_bytes((folder / "a.jpg").read_bytes())
    settings = {"derivative_tier": str(tier), "derivative_tier_cost": 0, "revalidate": 1}
    first = start(place, cache=tmp_path / "one", settings=settings)
    knows(first)
    old = first.get(target("x.jpg")).body
    until(lambda: number(first, "stored") > 0, 10, "it is in the tier")
    (place / "new").write_bytes((folder / "b.jpg").read_bytes())
    os.replace(place / "new", place / "x.jpg")
    second = start(place, cache=tmp_path / "two", settings=settings)
    assert second.get(target("x.jpg")).body != old


@pytest.mark.parametrize("how, gone", [("identifier=a.jpg", ["a.jpg"]), ("prefix=sub%2F", ["sub/c.jpg"]),
                                       ("all", ["a.jpg", "b.jpg", "sub/c.jpg"])])
def test_a_purge_reaches_every_server(server, how, gone):
    first, second = server("one"), server("two")
    fill(first)
    knows(second)
    answers(second)
    meant = [what for what in DEAR if any(name.replace("/", "%2F") in what for name in gone)]
    assert post(first, f"/purge?{how}").status == 200
    # Here at once: neither the cache nor the tier has them any more.
    before = renders(first)
    answers(first)
    assert renders(first) == before + len(meant)
    # There as soon as the list is read, a second later here.
    def made_again():
        before = renders(second)
        answers(second, meant[:1])
        hit = number(second, "hits")
        return renders(second) > before or hit > 0 and counters(second)["vitrine_derivatives_purged_total"] > 0
    until(made_again, 10, "the other server has heard of it")
    # One that starts now has not heard of it and never takes what was purged: what the first has made again, or nothing.
    third = server("three")
    knows(third)
    assert answers(third) == answers(first)


def test_a_purge_of_old_is_heard_after_a_start(server, tier, folder, tmp_path, start):
    """What was purged while a server was away is dead in its own cache, too."""
    first = server("one")
    fill(first)
    second = server("two")
    knows(second)
    answers(second)
    stored(second, len(DEAR))
    end(second)
    assert post(first, "/purge?identifier=a.jpg").status == 200
    again = server("two")
    knows(again)
    before = renders(again) + number(again, "hits")
    answers(again, DEAR[:2])
    assert renders(again) + number(again, "hits") == before + 2


def test_the_others_hear_of_a_purge_that_cannot_be_written_down_here(server, tier):
    served = server("one")
    knows(served)
    os.mkdir(os.path.join(served.cache, "derivatives", "purges"))
    assert post(served, "/purge?identifier=b.jpg").status == 500
    assert len(purges(tier)) == 1


def test_the_entries_of_an_identifier_go_with_it(server, tier):
    first = server("one")
    fill(first)
    there = len(lies_there(tier))
    assert post(first, "/purge?identifier=b.jpg").status == 200
    assert len(lies_there(tier)) == there - 2
    assert len(purges(tier)) == 1


def test_many_purges_become_one(server, tier):
    """Those of others, as they lie there: names that say all."""
    served = server("one")
    bodies = fill(served)
    now = int(time.time() * 1000) - 600000  # all who are there have heard of them
    os.makedirs(tier / "purges", exist_ok=True)
    os.chmod(tier / "purges", 0o777)
    for i in range(1001):
        (tier / "purges" / f"{now + i:016x}-i-{i:016x}").write_bytes(b"")
    until(lambda: len(purges(tier)) == 1, 20, "they are one")
    assert purges(tier)[0].endswith("-t-0000000000000000")
    assert answers(served) == bodies


def test_broken_entries_are_made_again(server, tier):
    bodies = fill(server("one"))
    for at, path in enumerate(sorted(lies_there(tier))):
        with open(path, "r+b") as file:
            data = file.read()
            if at % 3 == 0:
                file.truncate(len(data) // 2)
            elif at % 3 == 1:
                file.seek(len(data) - 7)
                file.write(bytes([data[-7] ^ 1]))
            else:
                file.seek(0)
                file.write(b"not one of ours")
    second = server("two")
    knows(second)
    before = renders(second)
    assert answers(second) == bodies
    assert renders(second) == before + len(DEAR) and counters(second)["vitrine_derivatives_corrupt_total"] >= len(DEAR)


def test_a_tier_that_is_full(server, tier, tmp_path):
    """A file system of two megabytes: what does not fit is not kept there, and nothing else happens."""
    image = tmp_path / "full.ext4"
    with open(image, "wb") as file:
        file.truncate(2 << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-m", "0", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, tier], check=False, capture_output=True).returncode != 0:
        pytest.skip("loop mounts are not allowed here")
    try:
        os.chmod(tier, 0o777)
        served = server("one")
        knows(served)
        for width in range(1000, 600, -50):
            assert served.get(target("noise.tif", size=f"{width},", rest="0/default.png")).status == 200
        until(lambda: number(served, "refused") > 0, 10, "the tier is full")
        second = server("two")
        knows(second)
        for width in range(1000, 600, -50):
            what = target("noise.tif", size=f"{width},", rest="0/default.png")
            assert second.get(what).body == served.get(what).body
        for running in (served, second):
            end(running)
    finally:
        subprocess.run(["umount", "-l", tier], check=True)


def test_a_server_killed_while_it_writes(server, tier):
    first = server("one", workers=1)
    knows(first)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [target("noise.tif", size=f"{width},", rest="0/default.png") for width in range(1000, 900, -10)]
        for what in asked:
            pool.submit(lambda what=what: first.get(what))
        until(lambda: number(first, "stored") > 1, 10, "some are there")
        for pid in first.worker_pids():
            os.kill(pid, signal.SIGKILL)
    second = server("two")
    knows(second)
    for what in asked:
        assert second.get(what).body == first.get(what).body


def size_of(tier):
    """In whole blocks. A sweep may be at work, and what is being written has another name yet."""
    total = 0
    for path in lies_there(tier):
        try:
            total += (os.path.getsize(path) + 4095) // 4096 * 4096
        except FileNotFoundError:
            pass
    return total


def noise(width):
    return target("noise.tif", size=f"{width},", rest="0/default.png")


@pytest.fixture
def unnoted(tier):
    """A file system that does not note by itself when files are read, as many are mounted."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "noatime,mode=777", "none", tier], check=False, capture_output=True).returncode == 0
    yield
    if mounted:
        subprocess.run(["umount", "-l", tier], check=True)


@pytest.mark.usefixtures("unnoted")
def test_it_has_a_bound(server, tier):
    """Three servers: one that fills it, one that asks for what is oldest, and one that has less room to give."""
    first = server("one")
    knows(first)
    asked = [noise(width) for width in range(200, 190, -1)]
    ages = {}
    for at, what in enumerate(asked):
        answers(first, [what])
        kept(first, at + 1)
        path = (lies_there(tier) - set(ages)).pop()
        ages[path] = at
        written = time.time() - 3600 * (20 - at)
        os.utime(path, (written, written))
    (tier / "notes.txt").write_text("of somebody else")
    second = server("two")
    knows(second)
    answers(second, asked[:1])
    assert number(second, "hits") == 1 and number(second, "evicted") == 0
    bound = size_of(tier) * 3 // 4
    third = server("three", derivative_tier_size=bound)
    until(lambda: number(third, "evicted") > 0, 10, "there is room")
    until(lambda: number(third, "evicted") == len(ages) - len(lies_there(tier)), 10, "it has counted what is gone")
    assert bound // 2 < size_of(tier) <= bound * 7 // 8
    # The oldest but one to some; the oldest was asked for.
    assert sorted(ages[path] for path in lies_there(tier)) == [0] + list(range(len(ages) - len(lies_there(tier)) + 1, len(ages)))
    assert counters(third)["vitrine_derivatives_tier_bytes"] == size_of(tier)
    # And there is when more is written, by two servers.
    knows(third)
    gone = number(third, "evicted")
    for at, width in enumerate(range(190, 180, -1)):
        answers(third, [noise(width)])
        kept(third, at + 1)
        until(lambda: size_of(tier) <= bound, 10, "it is below its bound again")
    assert number(third, "evicted") > gone and (tier / "notes.txt").exists()


def test_what_is_written_behind_anothers_sweep_counts(server, tier):
    """Between two looks of the first server the second sweeps, as each does when it starts; what the first writes then is in nobody's count but its own."""
    first = server("one", derivative_tier_size=200_000, revalidate=2)
    line = tier / "room" / "swept"
    until(lambda: line.exists() and line.read_text().endswith(" s\n"), 15, "the first has swept and looked")
    before = line.read_text()
    server("two", derivative_tier_size=200_000)
    until(lambda: line.read_text() != before and line.read_text().endswith(" s\n"), 10, "the second has swept")
    answers(first, [noise(width) for width in range(300, 320)])
    until(lambda: number(first, "stored") == 20, 10, "all are written")
    until(lambda: size_of(tier) <= 200_000, 15, "somebody has made room")


def test_a_folder_that_is_not_there(start, folder, tmp_path):
    served = start(folder, settings={"derivative_tier": str(tmp_path / "none"), "derivative_tier_cost": 0})
    assert served.get(target()).status == 200 and "lower tier" in served.log()


def test_the_setting_needs_a_cache(folder, tmp_path):
    for arguments, sentence in ((["--set", "derivative_tier=/tmp"], "--cache"),
                                (["--set", "derivative_tier=http://there"], "s3://")):
        told = run("serve", "--images", str(folder), "--listen", "127.0.0.1:0", *arguments)
        assert told.returncode != 0 and sentence in told.stderr, told.stderr


def test_nothing_is_left_unfinished(server, tier):
    served = server("one")
    fill(served)
    assert not [path for path in files(served) if os.path.basename(path).startswith(".")]
    assert not [path for path in lies_there(tier) if os.path.basename(path).startswith(".")]
    assert settled(lambda: len(entries(served))) >= len(DEAR) and Vitrine
