"""Manifests of new pyramids beside them: those of the server."""
import json
import os

from ingesting import files, ingest

BASE = "https://images.example.org"


def with_manifests(home, *arguments):
    return ingest(home, "masters", "--manifest", "--set", "images=out", "--set", f"base_url={BASE}", *arguments)


def pyramids(home):
    return [name for name in files(home / "out") if not name.endswith(".json")]


def test_each_has_one_and_it_is_the_servers(home, start):
    ended = with_manifests(home)
    assert ended.status == 0, ended.said
    made = pyramids(home)
    assert made and sorted(files(home / "out")) == sorted(made + [f"{name}.manifest.json" for name in made])
    os.chmod(home, 0o755)
    server = start(home / "out", settings={"base_url": BASE})
    for name in made:
        answer = server.get(f"/presentation/3/{name.replace('/', '%2F')}/manifest")
        assert answer.status == 200 and answer.body == (home / "out" / f"{name}.manifest.json").read_bytes()


def test_those_that_are_there_get_theirs_too_elsewhere(home):
    assert ingest(home, "masters").status == 0
    ended = with_manifests(home, "--manifests-into", "www")
    assert ended.status == 0 and ended.summary.startswith("0 made, 3 unchanged"), ended.said
    for name in pyramids(home):
        for version, key in (3, "id"), (2, "@id"):
            document = json.loads((home / "www/presentation" / str(version) / name / "manifest").read_bytes())
            assert document[key] == f"{BASE}/presentation/{version}/{name.replace('/', '%2F')}/manifest"


def test_what_is_missing_is_said_first(home):
    ended = ingest(home, "masters", "--manifest", "--set", "images=out")
    assert ended.status == 1 and "base_url" in ended.said
    ended = ingest(home, "masters", "--manifest", "--set", "images=masters", "--set", f"base_url={BASE}")
    assert ended.status == 1 and "manifests: out does not lie below an image root" in ended.said
