"""What npm fetches for these tests: the packages of package-lock.json and two viewers. Once, whoever of several test processes comes first;
run as a program, it fetches all of it ahead of the tests."""
import fcntl
import filecmp
import hashlib
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
LOCK, DONE = os.path.join(HERE, "package-lock.json"), os.path.join(HERE, "node_modules", ".whole")
VIEWERS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "build", "viewers")
# Alone, since what they are built from is in them: npm would fetch 670 packages more.
ALONE = [("mirador", "4.0.0", "ac2423944bd52ffb5a0fc02ff280c117fe39433fac56e50c0b79f0d1ca7c57e6"),
         ("universalviewer", "4.4.0", "5eeffe8c7ad3fc8833d1cfbc6b0b628c5f0666c7140e5b464ca1ce22f9a49671")]


def fetch():
    with open(LOCK, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(DONE) and filecmp.cmp(LOCK, DONE, shallow=False):
            return
        subprocess.run(["npm", "ci", "--ignore-scripts", "--prefer-offline"], cwd=HERE, check=True, capture_output=True, timeout=300)
        shutil.copy(LOCK, DONE)


def fetch_viewers():
    os.makedirs(VIEWERS, exist_ok=True)
    with open(os.path.join(VIEWERS, "lock"), "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name, version, digest in ALONE:
            place, packed = os.path.join(VIEWERS, name), os.path.join(VIEWERS, f"{name}-{version}.tgz")
            if os.path.isdir(place):
                continue
            subprocess.run(["npm", "pack", "--silent", "--prefer-offline", f"{name}@{version}"], cwd=VIEWERS, check=True,
                           capture_output=True, timeout=300)
            with open(packed, "rb") as file:
                assert hashlib.sha256(file.read()).hexdigest() == digest, f"{name} {version} is not what it was"
            shutil.rmtree(f"{place}.part", ignore_errors=True)
            os.makedirs(f"{place}.part")
            subprocess.run(["tar", "--extract", "--file", packed, "--directory", f"{place}.part", "--strip-components=1",
                            "--exclude=*.map"], check=True)
            os.rename(f"{place}.part", place)


if __name__ == "__main__":
    fetch()
    fetch_viewers()
