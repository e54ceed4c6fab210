"""The way of an identifier: retired ones, rules, requests without a version; and `vitrine resolve`, which explains it."""
import os
import re
import signal

import pytest

from server import Vitrine, run, until

RULES = r"""# the catalogue's names
prefix  page/      box/$1.tif
regex   ^obj-(\w+)$  box/$1.tif
regex   ^sheet-(\w+)-(\d+)$  box/$1.tif;$2
suffix  .jp2       $1.tif
"""
RETIRED = """old%20page obj-page
older old%20page
withdrawn -
dead-end withdrawn
"""


def write(path, text):
    with open(f"{path}.new", "w") as file:
        file.write(text)
    os.chmod(f"{path}.new", 0o644)
    os.rename(f"{path}.new", path)
    return str(path)


@pytest.fixture(scope="module")
def lists(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    os.chmod(folder, 0o755)
    return {"identifier_rules": write(folder / "rules", RULES), "retired": write(folder / "retired", RETIRED)}


@pytest.fixture(scope="module")
def gate(images, lists):
    with Vitrine(images, settings=lists) as server:
        until(lambda: server.get("/iiif/3/withdrawn/info.json").status == 410, 10, "the list is loaded")
        yield server


@pytest.mark.parametrize("rest", ["", "/info.json", "/full/max/0/default.jpg", "/0,0,8,8/max/!90/gray.png?a=b%2Fc"])
@pytest.mark.parametrize("version", [2, 3])
def test_moved(gate, version, rest):
    rest = rest.replace("/max/", "/full/") if version == 2 else rest
    for name in "older", "old%20page":
        reply = gate.get(f"/iiif/{version}/{name}{rest}")
        assert reply.status == 301
        assert reply["location"] == f"http://127.0.0.1:{gate.port}/iiif/{version}/obj-page{rest}"


def test_a_page_goes_along(gate):
    assert gate.get("/iiif/3/older;2/info.json")["location"].endswith("/iiif/3/obj-page;2/info.json")


@pytest.mark.parametrize("name", ["withdrawn", "dead-end", "withdrawn;3"])
def test_gone(gate, name):
    reply = gate.get(f"/iiif/3/{name}/full/max/0/default.jpg")
    assert reply.status == 410
    assert reply.body.decode() == f"the image '{name}' has been withdrawn.\n"


@pytest.mark.parametrize("name", ["obj-page", "page%2Fpage", "box%2Fpage.jp2", "sheet-page-1", "obj-page;1"])
def test_rules_lead_to_sources(gate, name):
    right = gate.get("/iiif/3/box%2Fpage.tif/full/9,/0/default.png")
    reply = gate.get(f"/iiif/3/{name}/full/9,/0/default.png")
    assert reply.status == right.status == 200
    assert reply.body == right.body
    info = gate.get(f"/iiif/3/{name}/info.json")
    assert info.json()["id"] == f"http://127.0.0.1:{gate.port}/iiif/3/{name}"


def test_rules_lead_no_further_than_the_image_root(images, tmp_path):
    rules = write(tmp_path / "rules", "prefix up/ ../$1\nprefix abs/ /etc/$1\n")
    with Vitrine(images, settings={"identifier_rules": rules}) as server:
        assert server.get("/iiif/3/up%2Fpasswd/info.json").status == 404
        assert server.get("/iiif/3/abs%2Fpasswd/info.json").status == 404


@pytest.mark.parametrize("rest, version", [
    ("", 3), ("/info.json", 3), ("/full/max/0/default.jpg", 3), ("/full/^max/0/default.jpg", 3),
    ("/full/full/0/default.jpg", 2), ("/full/nonsense/0/default.jpg", 3)])
def test_the_newest_version_that_understands(gate, rest, version):
    reply = gate.get("/iiif/box%2Fpage.tif" + rest)
    assert reply.status == 302
    assert reply["location"] == f"http://127.0.0.1:{gate.port}/iiif/{version}/box%2Fpage.tif{rest}"


def test_another_list_is_taken_up_without_a_stop(images, tmp_path):
    retired = write(tmp_path / "retired", "a b\n")
    os.chmod(tmp_path, 0o755)
    with Vitrine(images, settings={"retired": retired}) as server:
        def leads(name):
            return (server.get(f"/iiif/3/{name}/info.json")["location"] or "").rpartition("/iiif/3/")[2]

        def is_over(hups):  # else the next one and the one after it may become one
            return server.log().count("has retired") == hups * server.workers
        until(lambda: leads("a") == "b/info.json", 10, "the first list is loaded")
        write(tmp_path / "retired", "".join(f"n{i} m{i}\n" for i in range(50000)) + "a c\n")
        server.signal(signal.SIGHUP)
        until(lambda: leads("a") == "c/info.json", 20, "the second list is loaded")
        until(lambda: is_over(1), 10, "the first HUP is over")
        until(lambda: leads("n49999") == "m49999/info.json", 20, "each worker has it")
        write(tmp_path / "retired", "a d\nx y\ny x\nz\n")
        server.signal(signal.SIGHUP)
        until(lambda: "none was taken over" in server.log(), 10, "the third list is refused")
        assert re.search(r"retired:4: a new identifier", server.log())
        assert re.search(r"retired:[23]: the identifiers lead round in a loop: lines (2, 3|3, 2)\n", server.log())
        assert leads("a") == "c/info.json"
        until(lambda: is_over(2), 10, "the second HUP is over")
        server.signal(signal.SIGHUP)
        until(lambda: is_over(3), 10, "the third HUP is over, too")
        assert leads("a") == "c/info.json"
        assert server.log().count("none was taken over") == 1


def test_another_server_finds_the_map_made(images, lists, gate):
    with Vitrine(images, cache=gate.cache, settings=lists) as server:
        assert server.get("/iiif/3/withdrawn/info.json").status == 410
        assert "are loaded" not in server.log()


def test_lists_that_cannot_be(images, tmp_path):
    missing = run("serve", "--images", images, "--cache", str(tmp_path), "--set", f"retired={tmp_path}/none")
    assert missing.returncode == 1 and f'retired is "{tmp_path}/none": No such file' in missing.stderr
    homeless = run("serve", "--images", images, "--set", f"retired={write(tmp_path / 'r', 'a b')}")
    assert homeless.returncode == 1 and "needs a cache directory" in homeless.stderr
    wrong = run("serve", "--images", images, "--set", f"identifier_rules={write(tmp_path / 'w', 'glob a b')}")
    assert wrong.returncode == 1 and "line 1: a rule begins with prefix, suffix or regex" in wrong.stderr
    config = write(tmp_path / "conf", f'images = "{images}"; cache = "{tmp_path}";\n'
                                      f'retired = "{write(tmp_path / "l", "a b" + chr(10) + "b a")}";\n')
    checked = run("check-config", config)
    assert checked.returncode == 1 and re.search(r"/l:[12]: the identifiers lead round in a loop", checked.stderr)


@pytest.mark.parametrize("name, status, lines", [
    ("obj-page", 0, [r"rule +.*/rules:3: regex", r"source +.*/box/page\.tif$", "page +1$"]),
    ("sheet-page-2", 0, [r"rule +.*/rules:4: regex", "page +2$"]),
    ("older", 0, [r"retired +.*: moved \(301\) to obj-page$"]),
    ("dead-end", 0, [r"retired +.*: gone \(410\)$"]),
    ("box/page.tif", 0, ["retired .*: not listed", "rule +none matches in"]),
    ("obj-nothing", 1, [r"source +.*/box/nothing\.tif: No such file or directory$"]),
    ("../up", 1, []),
])
def test_resolve_explains(images, lists, tmp_path, name, status, lines):
    told = run("resolve", name, "--images", images, "--cache", str(tmp_path),
               *[word for key, value in lists.items() for word in ("--set", f"{key}={value}")])
    assert told.returncode == status, told
    for line in lines:
        assert re.search(line, told.stdout, re.M), told.stdout


def test_resolve_works_in_the_folder_for_temporary_files(images, lists, tmp_path, monkeypatch):
    place = tmp_path / "scratch"
    place.mkdir()
    command = ("resolve", "older", "--images", images, "--cache", str(tmp_path), "--set", f"retired={lists['retired']}")
    monkeypatch.setenv("TMPDIR", str(place))
    assert run(*command).returncode == 0 and list(place.iterdir()) == []
    place.rmdir()
    homeless = run(*command)
    assert homeless.returncode == 1 and str(place) in homeless.stderr
