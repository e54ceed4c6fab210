"""What a person sees on a terminal: one bar that moves, and lines above it."""
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import termios

import server
from ingesting import command, ingest

BAR = re.compile(r"\[(#*)(-*)\]  (\d+)/(\d+) files(  [\d.]+ Mpx/s)?(  [\d: s]+ left)?(  \d+ failed)?")


def on_terminal(folder, *arguments, columns=100):
    """Everything that was written to the terminal, and the exit status."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(command(*arguments), cwd=folder, stdin=slave, stdout=slave, stderr=slave,
                               start_new_session=True)
    os.close(slave)
    said = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # nobody has the other end any more
            break
        if not data:
            break
        said += data
    os.close(master)
    return said.decode(), process.wait(60)


def shown(said):
    """The lines as they stand in the end: \\r goes back, \\x1b[K clears."""
    lines = []
    for line in said.split("\n"):
        lines.append(line.rstrip("\r").split("\r\x1b[K")[-1])
    return lines


def test_the_bar(home, large):
    for number in range(6):  # long enough for the time left, which is not guessed in the first second
        shutil.copy(large, home / "masters" / f"large-{number}.tif")
    said, status = on_terminal(home, "masters", "--jobs", "1")
    assert status == 0
    bars = [BAR.fullmatch(part) for part in said.split("\r\x1b[K") if part.startswith("[")]
    assert len(bars) > 5 and all(bars), said
    assert {bar[4] for bar in bars} == {"9"}
    assert [int(bar[3]) for bar in bars] == sorted(int(bar[3]) for bar in bars)
    lengths = [len(bar[1]) for bar in bars]
    assert lengths == sorted(lengths) and lengths[-1] > lengths[0]
    assert any(bar[5] for bar in bars) and any(bar[6] for bar in bars)
    # While the last of the six are read, about two thirds are done: nothing counts twice.
    late = [len(bar[1]) / (len(bar[1]) + len(bar[2])) for bar in bars if 6 <= int(bar[3]) <= 8]
    assert late and min(late) < 0.95
    # Files that are being read move the bar and the figures, not only those that have ended.
    assert len({bar[5] for bar in bars}) > 3
    assert [line for line in shown(said) if line] == [shown(said)[-2]]
    assert shown(said)[-2].startswith("9 made, 0 unchanged, 0 failed; ")


def test_lines_stand_above_the_bar(home):
    (home / "masters" / "broken.jpg").write_bytes(b"no JPEG")
    said, status = on_terminal(home, "masters", "--jobs", "1")
    assert status == 1
    lines = [line for line in shown(said) if line]
    assert lines[0].startswith("masters/broken.jpg: ") and lines[1].startswith("3 made, 0 unchanged, 1 failed")
    assert len(lines) == 2


def test_a_narrow_terminal(home):
    for columns in (1, 12, 30):
        shutil.rmtree(home / "out", ignore_errors=True)
        said, status = on_terminal(home, "masters", columns=columns)
        bars = [part for part in said.split("\r\x1b[K") if re.match(r"\[|\d+/3", part)]
        assert status == 0 and bars
        assert all(len(bar) < (80 if columns == 1 else columns) for bar in bars)


def test_no_bar_elsewhere(home):
    ended = ingest(home, "masters", "--jobs", "1")
    assert "\r" not in ended.said and "\x1b" not in ended.said
    assert [re.sub(r"in [\d.]+ s, [\d.]+ MB$", "in T", line) for line in ended.lines[:-1]] == [
        "[1/3] out/lake.tif: 500 × 400 px, 0.2 Mpx in T", "[2/3] out/sub/map.tif: 640 × 300 px, 0.2 Mpx in T",
        "[3/3] out/tower.tif: 300 × 420 px, 0.1 Mpx in T"]
