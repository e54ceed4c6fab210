"""The Debian package: what lintian and shellcheck say of it, what is in it and what it asks for. tests/package/boot installs it."""
import os
import re
import shutil
import subprocess

import pytest

from server import ROOT, binary, sanitized

pytestmark = pytest.mark.skipif(sanitized(), reason="a package is made of the program as it is given away")


def told(command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    version = told([binary(), "--version"]).split()[1]
    told([f"{ROOT}/deploy/deb", version, str(folder)])
    return next(str(path) for path in folder.glob(f"vitrine_{version}_*.deb"))


def test_lintian_finds_nothing(package):
    told(["lintian", "--fail-on", "error,warning", "--allow-root", package])


def test_contents(package):
    listed = {}
    for line in told(["dpkg-deb", "--contents", package]).splitlines():
        mode, owner, _, _, _, path = line.split(None, 5)
        if not path.endswith("/"):
            listed[path[1:]] = (mode, owner)
    for path in ("/usr/bin/vitrine", "/lib/systemd/system/vitrine.service", "/lib/systemd/system/vitrine.socket",
                 "/etc/vitrine.conf", "/etc/default/vitrine", "/usr/lib/sysusers.d/vitrine.conf", "/usr/lib/tmpfiles.d/vitrine.conf",
                 "/usr/share/man/man1/vitrine.1.gz", "/usr/share/man/man1/vitrine-ingest.1.gz",
                 "/usr/share/man/man5/vitrine.conf.5.gz", "/usr/share/doc/vitrine/copyright",
                 "/usr/share/doc/vitrine/examples/vitrine.conf"):
        assert path in listed, path
    assert {owner for _, owner in listed.values()} == {"root/root"}
    assert listed["/etc/default/vitrine"][0] == "-rw-r-----"
    assert not [path for path, (mode, _) in listed.items() if "s" in mode or "w" in mode[5:]]


def test_what_it_asks_for(package, tmp_path):
    told(["dpkg-deb", "--raw-extract", package, str(tmp_path / "tree")])
    tree = tmp_path / "tree"
    assert sorted((tree / "DEBIAN" / "conffiles").read_text().split()) == \
        ["/etc/default/vitrine", "/etc/logrotate.d/vitrine", "/etc/vitrine.conf"]
    depends = told(["dpkg-deb", "-f", package, "Depends"])
    for library in "libtiff6", "libmicrohttpd12", "libjpeg62-turbo", "systemd-sysusers":
        assert library in depends
    unit = (tree / "lib/systemd/system/vitrine.service").read_text()
    assert "ExecStart=/usr/bin/vitrine serve -c /etc/vitrine.conf" in unit and "EnvironmentFile=-/etc/default/vitrine" in unit
    assert "User=vitrine" in unit and "DynamicUser" not in unit and "@" not in re.sub(r"(@[\w-]+|~@\w+)", "", unit.split("SystemCall")[0])
    assert not re.search("^RestrictSUIDSGID", unit, re.M), "openat2() would be refused, and with it every picture"
    scripts = [str(tree / "DEBIAN" / name) for name in ("preinst", "postinst", "prerm", "postrm")]
    told(["shellcheck", "--severity=warning", *scripts, f"{ROOT}/deploy/deb"])
    # The configuration that comes along, with its folder elsewhere.
    text = (tree / "etc/vitrine.conf").read_text()
    (tmp_path / "vitrine.conf").write_text(text.replace("/var/lib/vitrine/images", str(tmp_path)))
    assert "nothing is wrong" in told([str(tree / "usr/bin/vitrine"), "check-config", str(tmp_path / "vitrine.conf")])
    sample = (tree / "usr/share/doc/vitrine/examples/vitrine.conf").read_text()
    assert sample == told([str(tree / "usr/bin/vitrine"), "--print-sample-config"])
    shutil.rmtree(tree)


def test_the_build_is_not_in_the_tree():
    """What makes the package leaves no debian/ at the top, and nothing that git would see."""
    assert not os.path.exists(f"{ROOT}/debian")
