"""Several image roots: the first that has a picture wins, names lead to one of them, and everything else goes on as with one."""
import os
import shutil
import signal
import time

import pytest

from server import Vitrine, run, soon, until

PICTURE = "/iiif/3/{}/full/60,/0/default.png"
FIRST, SECOND, THIRD = "photo.tif", "jpeg-444-tiled.tif", "pyramid-jpeg-420.tif"


def put(source, path):
    """As somebody else would: whole, under its name at once, and with a time of its own."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    shutil.copyfile(source, f"{path}.part")
    os.chmod(f"{path}.part", 0o644)
    os.utime(f"{path}.part", (time.time() - 60,) * 2)  # long enough ago for the index
    os.rename(f"{path}.part", path)


@pytest.fixture
def roots(images, tmp_path):
    """a: both, first; b: both, second, third; c, called maps: third."""
    def source(name):
        return os.path.join(images, name)
    os.chmod(tmp_path, 0o755)
    put(source(FIRST), f"{tmp_path}/a/both.tif")
    put(source(FIRST), f"{tmp_path}/a/folder/first.tif")
    put(source(SECOND), f"{tmp_path}/b/both.tif")
    put(source(SECOND), f"{tmp_path}/b/folder/second.tif")
    put(source(SECOND), f"{tmp_path}/b/maps/only.tif")
    put(source(THIRD), f"{tmp_path}/c/third.tif")
    return tmp_path


@pytest.fixture
def places(roots):
    return [f"{roots}/a", f"{roots}/b", f"maps={roots}/c"]


def flags(places):
    return [word for place in places for word in ("--images", place)]


@pytest.fixture
def several(start, places):
    return start(places[0], *flags(places[1:]), settings={"revalidate": 0})


def body(server, name):
    reply = server.get(PICTURE.format(name.replace("/", "%2F")))
    assert reply.status == 200, reply
    return reply.body


def test_the_first_that_has_it_wins(several, served):
    right = {name: body(served, name) for name in (FIRST, SECOND, THIRD)}
    assert body(several, "both.tif") == right[FIRST]
    assert body(several, "folder/first.tif") == right[FIRST]
    assert body(several, "folder/second.tif") == right[SECOND]
    assert body(several, "maps/third.tif") == right[THIRD]
    assert body(several, "maps/only.tif") == right[SECOND]
    for name in "third.tif", "maps%2Fboth.tif", "maps", "maps%2F", "c%2Fthird.tif", "maps%2F..%2Fb%2Fboth.tif":
        assert several.get(PICTURE.format(name)).status == 404


def test_one_that_appears_disappears_and_changes(several, served, roots, images):
    right = {name: body(served, name) for name in (FIRST, SECOND, THIRD)}
    assert body(several, "folder/second.tif") == right[SECOND]
    put(os.path.join(images, THIRD), f"{roots}/a/folder/second.tif")
    soon(lambda: body(several, "folder/second.tif") == right[THIRD], 3, "the one in front is served")
    os.unlink(f"{roots}/a/folder/second.tif")
    soon(lambda: body(several, "folder/second.tif") == right[SECOND], 3, "the one behind is served again")
    os.unlink(f"{roots}/b/folder/second.tif")
    soon(lambda: several.get(PICTURE.format("folder%2Fsecond.tif")).status == 404, 3, "neither is there")


def test_rules_lead_to_any_root(start, places, served, tmp_path):
    with open(tmp_path / "rules", "w") as file:
        file.write("prefix m: maps/$1.tif\nprefix o: folder/$1.tif\n")
    server = start(places[0], *flags(places[1:]), settings={"identifier_rules": f"{tmp_path}/rules"})
    assert body(server, "m:third") == body(served, THIRD)
    assert body(server, "o:second") == body(served, SECOND)
    assert server.get("/iiif/3/m:third/info.json").json()["id"].endswith("/iiif/3/m:third")
    options = [*flags(places), "--set", f"identifier_rules={tmp_path}/rules"]
    told = run("resolve", "m:third", *options)
    assert told.returncode == 0 and "/rules:1: prefix m: maps/$1.tif" in told.stdout
    assert f"source      {tmp_path}/a/maps/third.tif: No such file or directory\n" in told.stdout
    assert f"source      {tmp_path}/c/third.tif\n" in told.stdout
    told = run("resolve", "o:none", *options)
    assert told.returncode == 1 and "there is no folder/none.tif in any image root" in told.stderr


def test_collections_are_of_all_roots(several):
    def labels(path):
        return [item["label"]["none"][0] for item in several.get(f"/presentation/3/{path}").json()["items"]]
    whole = several.get("/presentation/3/collection").json()
    assert sorted(item["id"].split("/presentation/3/")[1].split("/")[0] for item in whole["items"]) == [
        "both.tif", "folder", "maps"]
    assert labels("folder/manifest") == ["first", "second"]
    assert labels("maps/manifest") == ["only", "third"]


def test_a_reload_adds_and_takes_roots(start, places, roots, served):
    config = f"{roots}/vitrine.conf"

    def write(those):
        with open(config + ".new", "w") as file:
            file.write("images = [ " + ",\n".join(f'"{place}"' for place in those) + " ];\nrevalidate = 3600;\n")
        os.rename(config + ".new", config)

    class Configured(Vitrine):
        """Nothing about images on the command line."""

        def command(self):
            command = super().command()
            at = command.index("--images")
            return command[:at] + command[at + 2:] + ["-c", config]

    right = {name: body(served, name) for name in (FIRST, SECOND)}
    write(places[:1])
    with Configured(places[0]) as server:
        assert body(server, "both.tif") == right[FIRST]
        assert server.get(PICTURE.format("folder%2Fsecond.tif")).status == 404
        write(places)
        server.signal(signal.SIGHUP)
        until(lambda: server.get(PICTURE.format("folder%2Fsecond.tif")).status == 200, 10, "another root is served")
        write(places[:1])
        server.signal(signal.SIGHUP)
        until(lambda: server.get(PICTURE.format("folder%2Fsecond.tif")).status == 404, 10, "it has gone at once")
        write(places[1:])
        server.signal(signal.SIGHUP)
        until(lambda: body(server, "both.tif") == right[SECOND], 10, "the first root has gone")
        write([places[0], f"{roots}/none"])
        server.signal(signal.SIGHUP)
        until(lambda: "nothing was changed" in server.log(), 10, "a root that is not there is refused")
        assert f"{config}:1: images: the directory {roots}/none cannot be read: No such file" in server.log()
        assert body(server, "both.tif") == right[SECOND]


def test_what_is_wrong_is_said(tmp_path, images):
    (tmp_path / "conf").write_text(f'images = [ "{images}",\n "ftp://a", "{tmp_path}" ];\n')
    told = run("check-config", f"{tmp_path}/conf")
    assert told.returncode == 1 and "conf:2: images is" in told.stderr and "addresses begin with s3://" in told.stderr
    for line, said in (('images = "s3://Bad!/x";', "names no bucket"), ('images = "https://me:secret@host/x";', "a password"),
                       ('images = "s3://pictures"; s3_endpoint = "http://host/minio";', "without a path"),
                       ('images = "s3://pictures"; s3_access_key = "a";', "s3_access_key without s3_secret_key"),
                       (f'images = "{images}"; derivative_tier = "s3://x";', "names no bucket")):
        (tmp_path / "conf").write_text(f'cache = "{tmp_path}";\n{line}\n')
        told = run("check-config", f"{tmp_path}/conf")
        assert told.returncode == 1 and "conf:2: " in told.stderr and said in told.stderr, told
    far = run("serve", "--images", images, "--images", "s3://bucket/there")
    assert far.returncode == 1 and "needs a cache directory" in far.stderr
