"""The command line, readiness and the plainest request: when one of these fails, read no further."""
import os
import socket

import pytest

import server


def test_help_names_every_command():
    told = server.run("--help")
    assert told.returncode == 0
    for command in ("serve", "check-config"):
        assert command in told.stdout


@pytest.mark.parametrize("command", ["serve", "resolve", "ingest", "manifest", "purge", "prune", "warm", "status", "check-config"])
def test_every_command_has_help(command):
    told = server.run(command, "--help")
    assert told.returncode == 0 and f"vitrine {command}" in told.stdout and not told.stderr


@pytest.mark.parametrize("arguments", [["frobnicate"], ["frobnicate", "--help"], ["serve", "--frob"], ["serve", "--workers"],
                                       ["serve", "--images", "/tmp", "--workers", "many"],
                                       ["serve", "--images", "/tmp", "--set", "no_such_key=1"],
                                       ["serve", "--images", "/tmp", "--set", "max_width"]])
def test_bad_usage_is_exit_2_and_a_sentence(arguments):
    told = server.run(*arguments)
    assert told.returncode == 2, told
    assert told.stderr.strip() and "--" not in told.stdout


def test_missing_image_folder_is_exit_1():
    told = server.run("serve", "--images", "/nowhere/at/all", "--listen", f"127.0.0.1:{server.free_port()}")
    assert told.returncode == 1, told
    assert "/nowhere/at/all" in told.stderr


def test_port_in_use_is_exit_1_and_names_it(images):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = server.run("serve", "--images", images, "--listen", f"127.0.0.1:{port}")
    assert told.returncode == 1, told
    assert str(port) in told.stderr


def test_check_config_accepts_a_good_file(tmp_path, images):
    good = tmp_path / "good.conf"
    good.write_text(f'images = "{images}";\nworkers = 3;\njpeg_quality = 75;\n')
    told = server.run("check-config", str(good))
    assert told.returncode == 0, told


@pytest.mark.parametrize("text, line", [
    ('workers = 2;\nimages = "/tmp"\nworkers == 3;\n', 3),
    ('workers = 2;\nno_such_key = 1;\n', 2),
    ('workers = "two";\n', 1),
    ('\n\njpeg_quality = 1000;\n', 3),
    ('workers = -1;\n', 1),
], ids=["syntax", "unknown", "type", "bounds", "negative"])
def test_check_config_names_file_line_and_reason(tmp_path, text, line):
    bad = tmp_path / "bad.conf"
    bad.write_text(text)
    told = server.run("check-config", str(bad))
    assert told.returncode == 1, told
    said = told.stdout + told.stderr
    assert f"{bad}:{line}:" in said, said
    assert len(said.split(f"{bad}:{line}:")[1].strip()) > 8


def test_serve_takes_a_configuration_file_and_the_command_line_wins(tmp_path, start):
    config = tmp_path / "serve.conf"
    config.write_text('cache_control = "public, max-age=71";\nmax_width = 700;\nmax_height = 700;\n')
    served = start(None, "-c", str(config), settings={"max_width": 800, "max_height": 800})
    reply = served.get("/iiif/3/squares.tif/info.json")
    assert reply["cache-control"] == "public, max-age=71"
    assert reply.json()["maxWidth"] == 800


def test_ready_and_health(served):
    assert served.admin().get("/ready").status == 200
    assert served.admin().get("/health").status == 200


def test_one_worker_process_per_slot(served):
    assert len(served.worker_pids()) >= served.workers


def test_workers_option_is_obeyed(start):
    assert len(start(workers=3).worker_pids()) == 3


@pytest.mark.parametrize("version, whole", [(2, "full"), (3, "max")])
def test_an_image_and_its_info(client, version, whole):
    info = client.get(f"/iiif/{version}/squares.tif/info.json")
    assert info.status == 200 and info.json()["width"] == 1000
    reply = client.get(f"/iiif/{version}/squares.tif/full/{whole}/0/default.jpg")
    assert reply.status == 200 and reply.media_type() == "image/jpeg"
    assert reply.image().size == (1000, 1000)


def test_cache_folder_may_be_left_out(images, start):
    served = start(cache=os.path.join(server.tempfile.mkdtemp(), "made", "by", "the", "server"))
    assert served.get("/iiif/3/small.tif/full/max/0/default.jpg").status == 200
