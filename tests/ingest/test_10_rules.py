"""Rules of the configuration: which settings hold for which source, and what is said when they are wrong."""
import pytest
from PIL import Image

import server
from ingesting import files, ingest

RULES = """
ingest_quality = 80;
ingest_rules = (
    { match = "*"; tile = 512; },
    { match = "sub/*"; tile = 128; destination = "maps/{name}-{extension}.tif"; },
    { match = "*.png"; compression = "deflate"; }
);
"""


def tile_and_compression(path):
    with Image.open(path) as picture:
        return picture.tag_v2[322], picture.info["compression"]


@pytest.fixture
def rules(home):
    (home / "rules.conf").write_text(RULES)
    return home


def test_rules_change_conversion_and_names(rules):
    ended = ingest(rules, "masters", "-c", "rules.conf")
    assert ended.status == 0, ended.said
    assert sorted(files(rules / "out")) == ["lake.tif", "maps/map-tif.tif", "tower.tif"]
    assert tile_and_compression(rules / "out" / "lake.tif") == (512, "jpeg")
    assert tile_and_compression(rules / "out" / "tower.tif") == (512, "tiff_adobe_deflate")
    assert tile_and_compression(rules / "out" / "maps" / "map-tif.tif") == (128, "jpeg")


def test_the_command_line_goes_before_rules(rules):
    assert ingest(rules, "masters", "-c", "rules.conf", "--tile", "64").status == 0
    assert tile_and_compression(rules / "out" / "lake.tif") == (64, "jpeg")
    assert tile_and_compression(rules / "out" / "maps" / "map-tif.tif") == (64, "jpeg")
    assert tile_and_compression(rules / "out" / "tower.tif") == (64, "tiff_adobe_deflate")


def test_the_file_sets_what_holds_for_all(rules):
    planned = ingest(rules, "masters", "-c", "rules.conf", "--dry-run").planned
    assert len(planned) == 3 and all("quality=80" in line for line in planned)


def test_only_files_whose_rules_changed_are_made_again(rules):
    assert ingest(rules, "masters", "-c", "rules.conf").status == 0
    (rules / "rules.conf").write_text(RULES.replace("tile = 128", "tile = 192"))
    ended = ingest(rules, "masters", "-c", "rules.conf")
    assert ended.summary.startswith("1 made, 2 unchanged, 0 failed")
    assert tile_and_compression(rules / "out" / "maps" / "map-tif.tif") == (192, "jpeg")


@pytest.mark.parametrize("rule, line, wrong", [
    ('{ match = "*";\n quality = 101; }', 3, "ingest_quality is 101, but must be from 1 to 100"),
    ('{ match = "*";\n\n tile = 100; }', 4, "ingest_tile is 100: tiles are a multiple of 16 pixels wide and high"),
    ('{ match = "*"; profile = "rgb"; }', 2, 'ingest_profile is "rgb", but must be one of srgb|keep'),
    ('{ match = "*"; quality = "high"; }', 2, "quality is a text, but must be a whole number"),
    ('{ match = "*";\n jobs = 3; }', 3, "a rule sets no jobs"),
    ('{ match = "*";\n max_width = 3; }', 3, "a rule sets no max_width"),
    ('{ quality = 85; }', 2, "this rule has no match, the pattern of the names that it is for"),
    ('{ match = "*"; destination = "{date}.tif"; }', 2, "in braces there may be path, dir, name and extension"),
    ('{ match = "*"; destination = "/tmp/{name}.tif"; }', 2, "no / at the beginning"),
    ('{ match = "*" ', 3, "syntax error"),
])
def test_wrong_rules_say_their_line(home, rule, line, wrong):
    (home / "rules.conf").write_text(f"ingest_rules = (\n{rule}\n);\n")
    ended = ingest(home, "masters", "-c", "rules.conf")
    assert ended.status == 1
    assert len(ended.lines) == 1
    assert ended.lines[0].startswith(f"rules.conf:{line}: ") and wrong in ended.lines[0]
    assert not (home / "out").exists()
    checked = server.run("check-config", str(home / "rules.conf"))
    assert checked.returncode == 1 and f"rules.conf:{line}: " in checked.stderr and wrong in checked.stderr


def test_all_that_is_wrong_is_said_at_once(home):
    (home / "rules.conf").write_text(
        'ingest_jobs = 1000;\ningest_rules = (\n{ match = "*"; quality = 0;\n tile = 1; });\n')
    ended = ingest(home, "masters", "-c", "rules.conf")
    assert [line.split(": ")[0] for line in ended.lines] == ["rules.conf:1", "rules.conf:3", "rules.conf:4"]


def test_rules_that_are_right_pass_the_check(rules):
    assert server.run("check-config", str(rules / "rules.conf")).returncode == 0


def test_destination_names_that_cannot_be(home):
    long = "x" * 252
    (home / "masters" / f"{long}.j").write_bytes((home / "masters" / "lake.jpg").read_bytes())
    ended = ingest(home, "masters", "--destination", "{path}-long.tif")
    assert ended.status == 1
    assert ended.of(f"masters/{long}.j") == [
        f"masters/{long}.j: the name of its pyramid would have 261 bytes; 255 may be"]
    assert len(files(home / "out")) == 3
