"""The bucket as a lower tier uses it: written, and listed page by page."""
import os
import subprocess

import pytest

from server import ROOT
from storage.ceph import ACCESS, BUCKET, SECRET


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    variant = os.environ.get("VITRINE_VARIANT", "release")
    sanitizer = {"asan": ["-fsanitize=address,undefined"], "tsan": ["-fsanitize=thread"]}.get(variant, [])
    archive = f"build/{variant}/vitrine.a"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    subprocess.run(["make", "--no-print-directory", "-j2", f"VARIANT={variant}", archive], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL, env=environment)
    with open(os.path.join(ROOT, "Makefile")) as makefile:
        lines = makefile.read().replace("\\\n", " ").splitlines()
    packages = next(line for line in lines if line.startswith("PKGS ")).partition("=")[2].split()
    libraries = subprocess.run(["pkg-config", "--libs", *packages], capture_output=True, text=True, check=True).stdout.split()
    tool = str(tmp_path_factory.mktemp("tool") / "s3_tool")
    subprocess.run(["gcc", "-std=c17", "-D_GNU_SOURCE", "-g", "-I.", *sanitizer, "tests/storage/s3_tool.c", archive, "-o", tool,
                    *libraries, "-lgif", "-lpthread", "-lm"], cwd=ROOT, check=True)
    return tool


@pytest.fixture
def tool(program, between):
    def run(*arguments, secret=SECRET):
        return subprocess.run([program, f"s3://{BUCKET}/put here", *arguments], capture_output=True, text=True, timeout=120,
                              check=False, env={**os.environ, "AWS_ACCESS_KEY_ID": ACCESS, "AWS_SECRET_ACCESS_KEY": secret,
                                                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{between.port}"})
    return run


def test_write_and_list(tool, ceph):
    assert tool("write", "a b/ü+&.tif", "content").returncode == 0
    assert ceph.request("GET", "put here/a b/ü+&.tif") == (200, b"content")
    listed = tool("list", "")
    assert listed.stdout == "7 a b/ü+&.tif\n", listed.stderr
    assert tool("list", "b").stdout == ""


def test_a_list_has_pages(tool, ceph):
    names = sorted(f"many/{number:04}" for number in range(1100))
    for name in names:
        ceph.put(f"put here/{name}", b"x")
    assert [line.split()[1] for line in tool("list", "many/").stdout.splitlines()] == names


def test_failures(tool, between):
    refused = tool("write", "x", "y", secret="wrong")
    assert refused.returncode == 1 and "SignatureDoesNotMatch" in refused.stderr
    between.take()
    left = [2]

    def twice(_seen):
        left[0] -= 1
        return ("status", 503, "SlowDown") if left[0] >= 0 else None
    between.fault = twice
    assert tool("write", "x", "y").returncode == 0
    assert len(between.take()) == 3
