"""The configuration from outside: files, the command line, and what the program says about its settings."""
import re
import socket
import subprocess

import pytest

import server


def check(tmp_path, text):
    file = tmp_path / "vitrine.conf"
    file.write_text(text)
    told = server.run("check-config", str(file))
    assert str(told.stdout + told.stderr).strip()
    return told.returncode, [line.replace(f"{file}:", "") for line in told.stderr.splitlines()]


def test_every_problem_is_reported_with_its_line(tmp_path):
    status, said = check(tmp_path, f'''images = "{tmp_path}";
wrokers = 4;
jpeg_quality = 0;

listen = 8080;
upscaling = 1;
metadata = "some";
base_url = "ftp://x";
unheard_of = {{ a = 1; }};
''')
    assert status == 1
    assert said == [
        "2: there is no setting wrokers; is workers meant?",
        "3: jpeg_quality is 0, but must be from 1 to 100",
        "5: listen is a whole number, but must be a text in quotes",
        "6: upscaling is a whole number, but must be true or false",
        "7: metadata is \"some\", but must be one of full-image|always|never",
        "8: base_url is \"ftp://x\": it must begin with http:// or https://",
        "9: there is no setting unheard_of",
    ]


def test_settings_are_checked_together(tmp_path):
    status, said = check(tmp_path, 'listen = "127.0.0.1:8080";\nimages = "/nowhere/at/all";\nadmin = "127.0.0.1:8080";\n'
                                   'trusted_proxies = "10.0.0.0/8, house";\n')
    assert status == 1
    assert [line.partition(":")[0] for line in said] == ["2", "3", "4"], said
    assert "/nowhere/at/all" in said[0]


@pytest.mark.parametrize("text", [
    'max_source_pixels = 40000000000;', 'max_source_pixels = 40000000000L;', 'max_source_pixels=40000000000 // 99999999999\n;',
    '# 99999999999 "\nmax_source_pixels = 40000000000;', '/* " */ max_source_pixels : 40000000000',
])
def test_numbers_may_be_wider_than_libconfig_thinks(tmp_path, text):
    """The largest number that is allowed is, and the next one is not: so none was cut down to 32 bits."""
    assert check(tmp_path, text.replace("40000000000", "1000000000000000"))[0] == 0
    status, said = check(tmp_path, text.replace("40000000000", "1000000000000001"))
    assert status == 1 and "1000000000000001" in said[0]


@pytest.mark.parametrize("text, fine", [('"512M"', True), ('"2G"', True), ("536870912", True), ('"512X"', False),
                                        ('"1K"', False), ('"99999999T"', False), ('"many"', False), ("1.5", False)])
def test_byte_counts_have_suffixes(tmp_path, text, fine):
    status, said = check(tmp_path, f"pixel_memory_bytes = {text};\n")
    assert status == (0 if fine else 1), said


def test_unreadable_files(tmp_path):
    for path, why in [(tmp_path / "missing", "No such file"), (tmp_path, "directory")]:
        told = server.run("check-config", str(path))
        assert told.returncode == 1 and str(path) in told.stderr and why in told.stderr


@pytest.mark.parametrize("arguments", [["check-config"], ["check-config", "a", "b"], [], ["serve", "extra"]])
def test_usage(arguments):
    told = server.run(*arguments)
    assert told.returncode == 2 and told.stderr.strip()


def test_serve_refuses_a_bad_file(tmp_path):
    file = tmp_path / "bad.conf"
    file.write_text("workers = 2;\nworkers_ = 3;\n")
    told = server.run("serve", "-c", str(file), "--listen", "127.0.0.1:0", "--admin", "")
    assert told.returncode == 1 and f"{file}:2: " in told.stderr


def test_the_command_line_overrides_the_file(tmp_path, images, start):
    file = tmp_path / "vitrine.conf"
    file.write_text('workers = 4;\nlisten = "127.0.0.1:1";\nimages = "/nowhere";\nconnections_per_address = 1;\n')
    served = start(images, "-c", str(file), workers=1, settings={"connections_per_address": 64})
    assert len(served.worker_pids()) == 1
    clients = [served.client() for _ in range(5)]
    assert [one.get("/iiif/3/small.tif/info.json").status for one in clients] == [200] * 5


def test_options_take_their_value_behind_an_equals_sign_too(tmp_path):
    told = server.run("serve", f"--images={tmp_path}/nowhere")
    assert told.returncode == 1 and "/nowhere" in told.stderr


@pytest.mark.parametrize("which", ["listen", "admin"])
def test_a_port_that_is_taken_is_exit_1_and_a_sentence(tmp_path, which):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        free = f"127.0.0.1:{server.free_port()}"
        other = "admin" if which == "listen" else "listen"
        told = server.run("serve", "--images", str(tmp_path), f"--{which}", address, f"--{other}", free)
    assert told.returncode == 1
    assert f"{address} is in use: another program listens there" in told.stderr


def sample():
    told = server.run("--print-sample-config")
    assert told.returncode == 0
    return told.stdout


def test_the_sample_configuration_is_sound_with_every_line_in_force(tmp_path):
    text = re.sub(r"^#(?=\w+ = )", "", sample(), flags=re.M)
    assert text.count(" = ") >= 25
    status, said = check(tmp_path, text)
    assert status == 0, said


def test_every_key_of_the_sample_can_be_set_on_the_command_line(tmp_path):
    """The last option is the one that is wrong, so all before it were taken."""
    options = []
    for name, value in re.findall(r"^#(\w+) = (.*);$", sample(), flags=re.M):
        options += ["--set", f"{name}={value.strip(chr(34))}"]
    told = server.run("serve", *options, "--set", "the_end=1")
    assert told.returncode == 2 and "the_end" in told.stderr, told


def page(name):
    told = server.run("--print-man-page", name)
    assert told.returncode == 0
    assert not [line for line in told.stdout.splitlines() if line.startswith("'")]
    return told.stdout


def test_the_man_pages_name_every_setting_command_and_option():
    settings = page("vitrine.conf")
    assert settings.startswith(".TH VITRINE.CONF 5")
    for name in re.findall(r"^#(\w+) = ", sample(), flags=re.M):
        assert f"\n.B {name}" in settings
    for name, text in (("vitrine", server.run("--help").stdout), ("vitrine-ingest", server.run("ingest", "--help").stdout),
                       ("vitrine-manifest", server.run("manifest", "--help").stdout)):
        told = page(name).replace("\\-", "-")
        assert told.startswith(f".TH {name.upper()} 1")
        for option in re.findall(r"^  (?:vitrine )?(\S+)", text, flags=re.M):
            assert f"\n.B {option}" in told, f"{option} in {name}"
    assert server.run("--print-man-page").stdout == page("vitrine")
    assert server.run("--print-man-page", "vitrine.org").returncode == 2


def test_the_man_pages_are_sound_roff():
    for name in "vitrine", "vitrine-ingest", "vitrine.conf":
        told = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z"], input=page(name), capture_output=True, text=True,
                              check=False, timeout=60)
        assert told.returncode == 0 and not told.stderr, told.stderr


def test_version():
    assert re.fullmatch(r"vitrine \d+\.\d+\.\d+\n", server.run("--version").stdout)
