"""Which files a batch takes, and what their pyramids are called."""
import os
import shutil

import pytest

from ingesting import files, ingest, picture_size

ODD_NAMES = [b"two words.jpg", b"line\nbreak.jpg", b"caf\xe9.jpg", "naïve – 鳥.jpg".encode(), b"-dash.jpg",
             b"star*[x]?.jpg", b"back\\slash.jpg", b"tab\there.jpg", b"\x1b[31mred.jpg", b"%41.jpg"]


def test_folder_with_all_below_it(home):
    ended = ingest(home, "masters")
    assert ended.status == 0, ended.said
    assert sorted(files(home / "out")) == ["lake.tif", "sub/map.tif", "tower.tif"]
    assert picture_size(home / "out" / "lake.tif") == (500, 400)
    assert picture_size(home / "out" / "tower.tif") == (300, 420)
    assert picture_size(home / "out" / "sub" / "map.tif") == (640, 300)
    assert ended.summary.startswith("3 made, 0 unchanged, 0 failed")


def test_slash_at_the_end_and_dots_change_nothing(home):
    assert ingest(home, "masters").status == 0
    assert ingest(home, "./masters//", into="two").status == 0
    assert files(home / "out") == files(home / "two")


def test_files_are_called_by_their_last_part(home):
    assert ingest(home, "masters/lake.jpg", "masters/sub/map.tif").status == 0
    assert sorted(files(home / "out")) == ["lake.tif", "map.tif"]


def test_pattern_keeps_what_follows_its_fixed_part(home):
    shutil.copytree(home / "masters" / "sub", home / "masters" / "other")
    assert ingest(home, "masters/*/map.tif").status == 0
    assert sorted(files(home / "out")) == ["other/map.tif", "sub/map.tif"]
    assert ingest(home, "masters/*", into="all").status == 0
    assert sorted(files(home / "all")) == ["lake.tif", "other/map.tif", "sub/map.tif", "tower.tif"]


def test_a_file_with_the_name_of_a_pattern_is_that_file(home):
    shutil.copy(home / "masters" / "lake.jpg", home / "la[k]e.jpg")
    assert ingest(home, "la[k]e.jpg").status == 0
    assert list(files(home / "out")) == ["la[k]e.tif"]


def test_odd_names(home):
    place = os.path.join(os.fsencode(home), b"odd")
    os.mkdir(place)
    for name in ODD_NAMES:
        shutil.copy(home / "masters" / "lake.jpg", os.path.join(place, name))
    ended = ingest(home, "odd")
    assert ended.status == 0, ended.said
    made = {os.fsencode(name) for name in files(home / "out")}
    assert made == {name.replace(b".jpg", b".tif") for name in ODD_NAMES}
    assert "\x1b" not in ended.said and "\t" not in ended.said
    assert len(ended.lines) == len(ODD_NAMES) + 1
    for shown in ("line\\nbreak", "caf\\xe9", "naïve – 鳥", "back\\\\slash", "\\x1b[31mred"):
        assert any(shown in line for line in ended.lines), shown


def test_dash_names_behind_two_dashes(home):
    shutil.copy(home / "masters" / "lake.jpg", home / "-lake.jpg")
    assert ingest(home, "--into", "out", "--", "-lake.jpg", into=None).status == 0
    assert list(files(home / "out")) == ["-lake.tif"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\0"])
def test_lists(home, end):
    names = [b"masters/lake.jpg", b"masters/two words.jpg", b"./masters/sub/map.tif"]
    names += [b"masters/line\nbreak.jpg", b"masters/caf\xe9.jpg"] if end == b"\0" else []
    for name in names:
        if not os.path.exists(os.path.join(os.fsencode(home), name)):
            shutil.copy(home / "masters" / "lake.jpg", os.path.join(os.fsencode(home), name))
    text = end.join(names)
    (home / "list").write_bytes(text + end)
    assert ingest(home, "--list", "list").status == 0
    wanted = sorted(os.path.normpath(name)[:-3] + b"tif" for name in names)
    assert sorted(os.fsencode(name) for name in files(home / "out")) == wanted
    assert ingest(home, "--list", "-", into="two", stdin=text).status == 0  # its last line has no end
    assert files(home / "two") == files(home / "out")


def test_base_names_from_a_folder(home):
    (home / "list").write_text(f"{home}/masters/sub/map.tif\n")
    assert ingest(home, "--list", "list", "--base", str(home / "masters")).status == 0
    assert list(files(home / "out")) == ["sub/map.tif"]
    ended = ingest(home, "masters/lake.jpg", "--base", "elsewhere")
    assert ended.status == 1
    assert ended.of("masters/lake.jpg") == [
        "masters/lake.jpg: it does not lie below the folder that --base names"]


def test_names_that_lead_up_need_a_base(home):
    (home / "below").mkdir()
    (home / "below" / "list").write_text("../masters/lake.jpg\n")
    ended = ingest(home / "below", "--list", "list")
    assert ended.status == 1
    assert "--base" in ended.of("../masters/lake.jpg")[0]
    assert ingest(home / "below", "--list", "list", "--base", "../masters").status == 0
    assert list(files(home / "below" / "out")) == ["lake.tif"]


def test_folders_are_sifted(home):
    (home / "masters" / "notes.txt").write_text("no picture")
    (home / "masters" / ".hidden.jpg").write_bytes(b"hidden")
    (home / "masters" / ".trash").mkdir()
    shutil.copy(home / "masters" / "lake.jpg", home / "masters" / ".trash" / "old.jpg")
    shutil.copy(home / "masters" / "lake.jpg", home / "masters" / "without-extension")
    os.mkfifo(home / "masters" / "pipe.jpg")
    ended = ingest(home, "masters")
    assert ended.status == 0, ended.said
    assert sorted(files(home / "out")) == ["lake.tif", "sub/map.tif", "tower.tif", "without-extension.tif"]
    assert "2 other files passed over" in ended.summary


def test_links(home):
    os.symlink("lake.jpg", home / "masters" / "again.jpg")
    os.symlink("nowhere.jpg", home / "masters" / "broken.jpg")
    os.symlink("..", home / "masters" / "sub" / "up")
    ended = ingest(home, "masters")
    assert ended.status == 1
    assert sorted(files(home / "out")) == ["again.tif", "lake.tif", "sub/map.tif", "tower.tif"]
    assert ended.of("masters/broken.jpg") == ["masters/broken.jpg: the link leads nowhere"]
    assert ended.of("masters/sub/up") == ["masters/sub/up: a link leads back to a folder above it"]


def test_destination_below_the_sources_is_not_entered(home):
    assert ingest(home, ".", into="pyramids").status == 0
    first = files(home / "pyramids")
    assert ingest(home, ".", into="pyramids").summary.startswith("0 made, 3 unchanged")
    assert files(home / "pyramids") == first


def test_what_is_not_there_costs_a_line(home):
    ended = ingest(home, "nothing.jpg", "masters/*.jp2", "masters/lake.jpg", "/dev/null")
    assert ended.status == 1
    assert ended.of("nothing.jpg") == ["nothing.jpg: it cannot be read: No such file or directory"]
    assert ended.of("masters/*.jp2") == ["masters/*.jp2: no file has this name or fits this pattern"]
    assert ended.of("/dev/null") == ["/dev/null: it is neither a file nor a folder"]
    assert list(files(home / "out")) == ["lake.tif"]
    assert ended.summary.startswith("1 made, 0 unchanged, 3 failed")


def test_two_sources_for_one_destination_are_refused(home):
    shutil.copy(home / "masters" / "tower.png", home / "masters" / "lake.png")
    ended = ingest(home, "masters")
    assert ended.status == 1
    assert sorted(files(home / "out")) == ["sub/map.tif", "tower.tif"]
    assert ended.of("masters/lake.jpg") == [
        "masters/lake.jpg: refused, because masters/lake.png would become lake.tif too"]
    assert ended.of("masters/lake.png") == [
        "masters/lake.png: refused, because masters/lake.jpg would become lake.tif too"]
    assert ended.summary.startswith("2 made, 0 unchanged, 2 failed")


def test_the_same_file_twice_is_one(home):
    ended = ingest(home, "masters/lake.jpg", "./masters/lake.jpg", "masters/lake.*")
    assert ended.status == 0
    assert ended.summary.startswith("1 made, 0 unchanged, 0 failed")


def test_no_master_is_replaced(home):
    before = files(home / "masters")
    ended = ingest(home, "masters/sub/map.tif", into="masters/sub")
    assert ended.status == 1
    assert ended.of("masters/sub/map.tif") == [
        "masters/sub/map.tif: refused, because its pyramid would replace a master"]
    # Nor that of another: sub/map.tif is a master of this run, and becomes other.tif.
    shutil.copy(home / "masters" / "lake.jpg", home / "map.jpg")
    (home / "rules.conf").write_text('ingest_rules = ( { match = "*.tif"; destination = "{path}-other.tif"; } );')
    ended = ingest(home, "map.jpg", "masters/sub/map.tif", "-c", "rules.conf", into="masters/sub")
    assert ended.of("map.jpg") == ["map.jpg: refused, because its pyramid would replace a master"]
    after = files(home / "masters")
    assert after.pop("sub/map-other.tif") and after == before


@pytest.mark.parametrize("arguments, wrong", [
    ((), "ingest needs sources: files, folders, patterns, or --list FILE"),
    (("masters",), "ingest needs --into, the folder for the pyramids"),
    (("masters", "--into"), "--into needs a value"),
    (("masters", "--into", "out", "--quality", "101"), "ingest_quality is 101, but must be from 1 to 100"),
    (("masters", "--into", "out", "--tile", "250"), "ingest_tile is 250: tiles are a multiple of 16 pixels"),
    (("masters", "--into", "out", "--profile", "cmyk"), "must be one of srgb|keep"),
    (("masters", "--into", "out", "--force=yes"), "--force takes no value"),
    (("masters", "--into", "out", "--listen", "127.0.0.1:1"), "there is no option --listen"),
    (("masters", "--into", "out", "--destination", "all.tif"), "all pyramids would get one name"),
    (("masters", "--into", "out", "--destination", "../{name}.tif"), "no .. in it"),
    (("masters", "--into", "out", "--manifesto"), "there is no option --manifesto"),
])
def test_bad_usage(home, arguments, wrong):
    ended = ingest(home, *arguments, into=None)
    assert ended.status == 2
    assert len(ended.lines) == 1 and wrong in ended.said
    assert not (home / "out").exists()
