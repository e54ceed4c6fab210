"""deploy/ec2: the user data is what cloud-init takes, its scripts are sound, and the disks of an instance become the cache. What
the whole does to a machine is tested by tests/package/boot."""
import os
import subprocess

import pytest
import yaml

from server import ROOT, binary

EC2 = f"{ROOT}/deploy/ec2"
MOST_BYTES = 16384  # of user data, says EC2


def call(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)


def user_data(*arguments):
    done = call(f"{EC2}/user-data", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made():
    return user_data("--images", "s3://pictures/pyramids", "--images", "maps=s3://maps", "--package", "s3://pictures/vitrine_1_amd64.deb",
                     "--sha256", "0" * 64, "--region", "eu-central-1", "--set", 'base_url="https://img.example.org"')


def test_cloud_init_takes_it(made, tmp_path):
    (tmp_path / "user-data").write_text(made)
    done = call("cloud-init", "schema", "--config-file", str(tmp_path / "user-data"))
    assert done.returncode == 0 and "Valid" in done.stdout, done.stdout + done.stderr
    assert len(made) < MOST_BYTES


def test_everything_is_in_it(made, tmp_path):
    data = yaml.safe_load(made)
    files = {file["path"]: file for file in data["write_files"]}
    for path, source in (("/usr/local/sbin/vitrine-instance-store", "instance-store"), ("/usr/local/sbin/vitrine-setup", "setup"),
                         ("/etc/systemd/system/vitrine-instance-store.service", "vitrine-instance-store.service"),
                         ("/etc/systemd/system/vitrine.service.d/ec2.conf", "service.conf"),
                         ("/etc/sysctl.d/60-vitrine.conf", "sysctl.conf")):
        with open(f"{EC2}/{source}") as file:
            assert files[path]["content"] == file.read(), path
    assert data["runcmd"] == [["/usr/local/sbin/vitrine-setup", "s3://pictures/vitrine_1_amd64.deb", "0" * 64]]
    text = files["/etc/vitrine.conf"]["content"]
    (tmp_path / "conf").write_text(text.replace("/var/cache/vitrine", str(tmp_path)))
    done = call(binary(), "check-config", str(tmp_path / "conf"))
    assert done.returncode == 0, done.stderr
    assert 'images = [ "s3://pictures/pyramids", "maps=s3://maps" ];' in text and 's3_region = "eu-central-1";' in text


@pytest.mark.parametrize("arguments, said", [
    (["--package", "https://a/b.deb"], "--images is missing"),
    (["--images", "s3://abc"], "--package must be the address of a .deb"),
    (["--images", "s3://abc", "--package", "http://a/b.deb"], "--sha256 is missing"),
    (["--images", "a'b", "--package", "https://a/b.deb"], "neither"),
    (["--images"], "--images needs a value"),
    (["--bucket", "a"], "there is no option --bucket"),
])
def test_what_is_wrong_is_said(arguments, said):
    done = call(f"{EC2}/user-data", *arguments)
    assert done.returncode == 2 and said in done.stderr and "deploy/ec2/user-data --images" in done.stderr and not done.stdout


def test_scripts_are_sound():
    done = call("shellcheck", *(f"{EC2}/{name}" for name in ("setup", "instance-store", "user-data")))
    assert done.returncode == 0, done.stdout


# ---- disks -----------------------------------------------------------------------------------------------------------

class Disks:
    """Loop devices in the place of an instance's NVMe disks, mounted where nobody else sees it."""

    def __init__(self, folder):
        self.folder, self.names = folder, []

    def add(self):
        path = f"{self.folder}/disk{len(self.names)}"
        with open(path, "wb") as file:
            file.truncate(256 << 20)
        done = call("losetup", "--find", "--show", path)
        if done.returncode != 0:
            pytest.skip(f"no loop device: {done.stderr}")
        self.names.append(done.stdout.strip())
        return self.names[-1]

    def start(self, then, *disks):
        """One start of the instance, then a command in $CACHE."""
        cache = f"{self.folder}/cache"
        done = call("unshare", "--mount", "sh", "-euc", f"mount --make-rprivate / && {EC2}/instance-store {cache} && cd {cache} && {then}",
                    env={**os.environ, "VITRINE_DISKS": " ".join(disks or self.names), "VITRINE_SIZES": f"{self.folder}/sizes"})
        assert done.returncode == 0, done.stderr
        return done

    def sizes(self):
        with open(f"{self.folder}/sizes") as file:
            return file.read()

    def close(self):
        for name in self.names:
            call("losetup", "--detach", name)


@pytest.fixture
def disks(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root has disks")
    every = Disks(tmp_path)
    yield every
    every.close()


def test_a_new_disk_becomes_the_cache_and_survives_a_reboot(disks):
    disk = disks.add()
    first = disks.start("findmnt -no SOURCE,FSTYPE,OPTIONS -T . && echo kept > file")
    source, kind, options = first.stdout.split()
    assert (source, kind) == (disk, "ext4") and {"noatime", "nodev", "nosuid", "noexec"} <= set(options.split(","))
    assert "is made anew" in first.stderr
    words = disks.sizes().split()
    assert words[0] == "VITRINE_CACHE_ARGS=--set" and words[1].startswith("cache_size=") and words[3].startswith("block_cache=")
    megabytes = [int(word.split("=")[1].rstrip("M")) for word in (words[1], words[3])]
    assert 80 < megabytes[0] < 120 and 80 < megabytes[1] < 110
    again = disks.start("cat file")
    assert again.stdout == "kept\n" and "anew" not in again.stderr
    with open(disk, "r+b") as raw:  # all but the place where its name is
        raw.seek(2048)
        raw.write(b"\xff" * 1_000_000)
    last = disks.start("test ! -e file")
    assert "is made anew" in last.stderr


def test_a_disk_with_something_on_it_is_left_alone(disks):
    disk = disks.add()
    call("mkfs.ext4", "-q", "-F", "-L", "somebody", disk)
    done = disks.start("findmnt -no SOURCE -T . || true")
    assert disk not in done.stdout and "left alone" in done.stderr and "stays on the system's" in done.stderr
    assert call("blkid", "--probe", "--output", "value", "--match-tag", "LABEL", disk).stdout == "somebody\n"
    assert "cache_size=" in disks.sizes()
