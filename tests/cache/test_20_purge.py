"""Purging, pruning and warming up: over the admin listener and from the command line."""
import concurrent.futures
import os
import shutil
import time

import pytest

from cached import counters, entries, renders, settled, stored, target
from server import Vitrine, run, until

TOKEN = "a secret of the house"
SETTINGS = {"admin_token": TOKEN}
NAMES = ("a.jpg", "b.jpg", "sub/c.jpg")


@pytest.fixture
def served(start, folder):
    return start(folder, settings=SETTINGS)


def post(served, path, token=TOKEN):
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    return served.admin().ask("POST", path, headers)


def fill(served):
    asked = [target(name, size=f"{size},") for name in NAMES for size in (100, 200)]
    for what in asked:
        assert served.get(what).status == 200
    stored(served, len(entries(served)))
    until(lambda: len(entries(served)) == len(asked), 10, "all are stored")
    return asked


def made_again(served, asked):
    """Those of the requests that are rendered now."""
    again = []
    for what in asked:
        before = renders(served)
        assert served.get(what).status == 200
        if renders(served) > before:
            again.append(what)
    return again


def command(served, *arguments, token=TOKEN):
    return run(*arguments, "--admin", f"127.0.0.1:{served.admin_port}", "--set", f"admin_token={token}")


def of(asked, *names):
    return [what for what in asked if any(name.replace("/", "%2F") in what for name in names)]


@pytest.mark.parametrize("how, names", [("identifier=a.jpg", ["a.jpg"]), ("identifier=sub%2Fc.jpg", ["sub/c.jpg"]),
                                        ("identifier=sub%2Fc.jpg%3B1", ["sub/c.jpg"]), ("prefix=sub%2F", ["sub/c.jpg"]),
                                        ("prefix=a", ["a.jpg"]), ("prefix=a.jpgx", []), ("all", NAMES), ("all=", NAMES)])
def test_a_purge_holds_at_once(served, how, names):
    asked = fill(served)
    reply = post(served, f"/purge?{how}")
    assert reply.status == 200, reply.body
    assert made_again(served, asked) == of(asked, *names)
    assert made_again(served, asked) == []
    until(lambda: len(entries(served)) == len(asked), 10, "what was purged is gone, and what was made again is there")


@pytest.mark.parametrize("how, left", [("identifier=a.jpg", 4), ("prefix=sub", 4), ("all", 0)])
def test_the_files_of_a_purge_go(served, how, left):
    fill(served)
    assert post(served, f"/purge?{how}").status == 200
    until(lambda: len(entries(served)) == left, 10, "the files are removed")
    until(lambda: counters(served)["vitrine_derivatives_files"] == left, 10, "and are not counted any more")


@pytest.mark.parametrize("how", ["identifier=a.jpg", "prefix=a.", "all"])
def test_a_purge_outlives_the_server(start, folder, tmp_path, how):
    cache = tmp_path / "cache"
    first = Vitrine(folder, cache=cache, settings=SETTINGS).start()
    try:
        asked = fill(first)
        kept = {path: open(path, "rb").read() for path in entries(first)}
        assert post(first, f"/purge?{how}").status == 200
        first.signal(9)
        until(lambda: not first.processes(), 10, "all are gone")
    finally:
        first.discard()
    for path, data in kept.items():  # as if nothing had been removed yet
        with open(path, "wb") as file:
            file.write(data)
    second = start(folder, cache=cache, settings=SETTINGS)
    assert made_again(second, asked) == (asked if how == "all" else of(asked, "a.jpg"))


def test_who_may_and_how_it_is_said(served, start, folder):
    for path in ("/purge?all", "/prune?unused=0"):
        missing, wrong = post(served, path, None), post(served, path, "guess")
        assert missing.status == 401 and missing["www-authenticate"].startswith("Bearer")
        assert wrong.status == 403 and served.admin().get(path).status == 405
        assert start(folder).admin().ask("POST", path, {}).status == 403
    for path, sentence in (("/purge", "say what"), ("/purge?x=1", "say what"), ("/purge?identifier=", "empty"),
                           ("/purge?prefix=", "empty"), ("/purge?identifier=%zz", "%"), ("/purge?identifier=..%2Fx", "no image"),
                           ("/prune", "seconds"), ("/prune?unused=x", "seconds"), ("/prune?unused=-1", "seconds")):
        reply = post(served, path)
        assert reply.status == 400 and sentence in reply.body.decode(), (path, reply.status, reply.body)
    assert served.client().ask("POST", "/purge?all", {"Authorization": f"Bearer {TOKEN}"}).status == 405
    assert start(folder, settings={**SETTINGS, "derivative_cache": "false"}).admin().ask(
        "POST", "/purge?all", {"Authorization": f"Bearer {TOKEN}"}).status == 501


@pytest.mark.parametrize("how", ["identifier=noise.tif", "prefix=noi", "all"])
def test_a_render_from_before_a_purge_is_not_kept(start, folder, how):
    """It was begun before, so nobody knows what it was made of."""
    served = start(folder, settings=SETTINGS, workers=1)
    # More than the renderer may be ahead of a client that does not read: it is not finished before the client reads on.
    slow = target("noise.tif", size="^2400,", rest="0/default.png")
    with served.client().connect(receive_buffer=65536) as connection:
        connection.request("GET", slow)
        reply = connection.head()
        assert post(served, f"/purge?{how}").status == 200
        assert renders(served) == 0, "the render did not wait for its client"
        reply.body = connection.body(reply)
    assert reply.status == 200 and reply.image().size == (2400, 2000)
    assert settled(lambda: counters(served)["vitrine_render_jobs"]) == 0
    assert made_again(served, [slow]) == [slow]
    assert made_again(served, [slow]) == []


def test_a_purge_looks_at_the_source_again(start, folder, tmp_path):
    """Whatever was believed about it: long before `revalidate` would."""
    place = tmp_path / "images"
    place.mkdir()
    (place / "x.jpg").write_bytes((folder / "a.jpg").read_bytes())
    served = start(place, settings={**SETTINGS, "revalidate": 3600})
    old = [served.get(target("x.jpg")).body for _ in range(6)][0]  # by every worker
    (place / "new").write_bytes((folder / "b.jpg").read_bytes())
    os.replace(place / "new", place / "x.jpg")
    assert post(served, "/purge?identifier=x.jpg").status == 200
    assert [served.get(target("x.jpg")).body == old for _ in range(6)] == [False] * 6


def test_a_purged_source_is_parsed_anew(start, folder, tmp_path):
    """By every worker, and once for all: from then on it is in the index again."""
    place = tmp_path / "images"
    shutil.copytree(folder, place)
    for name in NAMES:
        os.utime(place / name, (1e9, 1e9))  # what has just been changed is not put into the index
    served = start(place, settings=SETTINGS)
    def records():
        return counters(served)["vitrine_index_records_total"]
    fill(served)
    known = settled(records)
    assert known >= len(NAMES)
    for _ in range(6):
        served.get(target("a.jpg", size="44,", rest="0/gray.png"))
    assert settled(records) == known
    assert post(served, "/purge?identifier=a.jpg").status == 200
    for at in range(6):
        assert served.get(target("a.jpg", size=f"{45 + at},")).status == 200
    until(lambda: records() > known, 10, "it has been parsed and is in the index again")
    assert settled(records) <= known + 2  # by both workers, where the second asks before the first has written


@pytest.mark.parametrize("how, names", [("identifier=a.jpg", ["a.jpg"]), ("prefix=sub%2F", ["sub/c.jpg"]), ("all", NAMES)])
def test_one_purge_reaches_all_who_share_the_folder(start, folder, tmp_path, how, names):
    """Also what lies in their memory; and what is made afterwards is shared again."""
    first, second = (start(folder, cache=tmp_path / "cache", settings=SETTINGS) for _ in range(2))
    asked = fill(first)
    for what in asked:
        assert second.get(what).status == 200  # from the files, and some of it into its memory
    assert renders(second) == 0
    meant = of(asked, *names)
    time.sleep(0.3)
    assert post(first, f"/purge?{how}").status == 200
    until(lambda: made_again(second, meant[:1]), 5, "the other has heard of it")
    assert made_again(second, asked) == meant[1:]
    until(lambda: len(entries(second)) == len(asked), 10, "all are there again")
    assert made_again(first, asked) == [] and made_again(second, asked) == []


def test_a_list_of_purges_gets_shorter_while_two_servers_use_it(start, folder, tmp_path):
    first, second = (start(folder, cache=tmp_path / "cache", settings=SETTINGS) for _ in range(2))
    fill(first)
    listed = tmp_path / "cache" / "derivatives" / "purges"
    for at in range(40):
        assert post((first, second)[at % 2], f"/purge?identifier=none{at}.jpg").status == 200
    full = listed.stat().st_size
    until(lambda: listed.stat().st_size < full / 10, 20, "the janitors have been round")
    before = len(entries(first))
    assert made_again(first, [target(size="77,")])
    until(lambda: len(entries(first)) > before, 10, "it is stored")
    assert made_again(second, [target(size="77,")]) == []


def test_prune_by_last_access(served):
    """What was asked for lately stays, whenever it was made."""
    asked = fill(served)
    assert post(served, "/prune?unused=100").json()["removed"] == 0
    time.sleep(3.1)
    used = asked[1:3]
    assert [served.get(what).status for what in used] == [200, 200]
    assert post(served, "/prune?unused=2").json()["removed"] == len(asked) - 2
    assert counters(served)["vitrine_derivatives_files"] == 2
    assert made_again(served, asked) == [what for what in asked if what not in used]


def test_prune_goes_by_what_was_asked_before_the_start(start, folder, tmp_path):
    """The janitor of the last server has written down when, as the file's access time."""
    first = Vitrine(folder, cache=tmp_path / "cache", settings=SETTINGS)
    with first:
        asked = fill(first)
        paths = sorted(entries(first))
    old = time.time() - 100000
    for path in paths[:3]:
        os.utime(path, (old, old))
    second = start(folder, cache=tmp_path / "cache", settings=SETTINGS)
    until(lambda: counters(second)["vitrine_derivatives_files"] == len(asked), 10, "the janitor has counted them")
    assert post(second, "/prune?unused=5000").json()["removed"] == 3
    assert sorted(entries(second)) == paths[3:]


def test_commands(served, tmp_path):
    asked = fill(served)
    done = command(served, "purge", "a.jpg")
    assert done.returncode == 0 and '"removed":2' in done.stdout, done
    assert made_again(served, asked) == of(asked, "a.jpg")
    assert command(served, "purge", "--prefix", "sub/").returncode == 0
    assert made_again(served, asked) == of(asked, "sub/c.jpg")
    assert command(served, "purge", "--prefix=sub/").returncode == 0
    assert made_again(served, asked) == of(asked, "sub/c.jpg")
    assert command(served, "purge", "--all").returncode == 0
    assert made_again(served, asked) == asked
    until(lambda: len(entries(served)) == len(asked), 10, "all are stored")
    assert command(served, "prune", "--unused", "1000").stdout.startswith('{"removed":0')
    status = command(served, "status")
    assert status.returncode == 0 and '"workers":[' in status.stdout
    wrong = command(served, "purge", "a.jpg", "--admin-socket", "", token="guess")
    assert wrong.returncode == 1 and "token" in wrong.stderr
    assert run("purge", "a.jpg", "--admin", "127.0.0.1:1").returncode == 1
    for arguments in (["purge"], ["purge", "a", "b"], ["purge", "--all", "x"], ["prune", "--unused", "x"], ["prune", "x"],
                      ["warm"], ["warm", "x", "--sizes", "big"], ["status", "x"]):
        assert command(served, *arguments).returncode == 2, arguments


def test_warming_up(served, tmp_path):
    identifiers = tmp_path / "identifiers"
    identifiers.write_text("# of the house\n" + "\n".join(NAMES) + "\n")
    for wrong in ("0", "120,", ",120", "120,,240", "a"):
        assert command(served, "warm", str(identifiers), "--sizes", wrong).returncode == 2, wrong
    done = command(served, "warm", str(identifiers), "--sizes", "120,240")
    assert done.returncode == 0 and "6 images warmed up, 0 failed" in done.stderr, done
    assert renders(served) == 6
    assert made_again(served, [target(name, size=f"{size},") for name in NAMES for size in (120, 240)]) == []
    requests = tmp_path / "requests"
    requests.write_text(f"{target(size='90,')}\nhttp://host:80{target(size='91,')}\nnonsense\n{target('none.jpg')}\n")
    done = command(served, "warm", str(requests))
    assert done.returncode == 1 and "2 images warmed up, 2 failed" in done.stderr, done
    assert made_again(served, [target(size="90,"), target(size="91,")]) == []
    assert served.admin().get(target()).status == 401


def test_warming_up_lets_others_pass_and_says_how_far_it_is(start, folder, tmp_path):
    """One processor, sixteen slow pictures to be made for nobody: who asks meanwhile is answered before they are done."""
    served = start(folder, workers=1, settings={**SETTINGS, "render_threads": 1})
    requests = tmp_path / "requests"
    requests.write_text("".join(target("noise.tif", size=f"{600 - at},", rest="7/default.png") + "\n" for at in range(16)))
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        done = pool.submit(command, served, "warm", str(requests))
        until(lambda: renders(served) >= 3, 20, "it has begun")
        for at in range(5):
            assert served.get(target(size=f"{50 + at},")).status == 200
        assert renders(served) < 16, "all was warm before anybody was let pass"
        told = done.result()
    assert told.returncode == 0 and "16 images warmed up, 0 failed" in told.stderr, told
    assert any(f"{at} image{'s' if at > 1 else ''} warmed up, 0 failed\n" in told.stderr for at in range(1, 16)), told.stderr


def test_a_purge_knows_several_image_roots(start, folder):
    """By the identifier, wherever the source lies; and the same picture under another name stays."""
    served = start(folder, "--images", f"named={folder}", settings=SETTINGS)
    asked = [target(name, size="100,") for name in ("a.jpg", "named/a.jpg", "named/sub/c.jpg")]
    for what in asked:
        assert served.get(what).status == 200
    until(lambda: len(entries(served)) == len(asked), 10, "all are stored")
    assert command(served, "purge", "named/a.jpg").returncode == 0
    assert made_again(served, asked) == asked[1:2]
    until(lambda: len(entries(served)) == len(asked), 10, "all are stored")
    assert command(served, "purge", "--prefix", "named/").returncode == 0
    assert made_again(served, asked) == asked[1:]
