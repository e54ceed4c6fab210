"""One round: one server, one class, so many connections; returns plain figures.

Light classes are played by wrk. Those whose answers take long, and the mix, are played by player.c, which waits for
everything under way at the end, so that CPU time per answer is exact, and which keeps the classes of the mix apart.
"""
import json
import os
import subprocess
import time

import processes
from sides import get

HERE = os.path.dirname(os.path.abspath(__file__))
PLAYED_TO_THE_END = ("w1024", "w4096", "mix")
PATIENCE_S = 30


def run_wrk(side, list_path, connections, seconds):
    threads = max(1, min(os.cpu_count(), connections))
    done = subprocess.run(["wrk", "-t", str(threads), "-c", str(connections), "-d", f"{seconds}s", "--timeout", "60s",
                           "-s", os.path.join(HERE, "play.lua"), f"http://127.0.0.1:{side.port}/", "--",
                           list_path, side.prefix, str(threads)],
                          capture_output=True, text=True, timeout=seconds + 90, check=False)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            told = json.loads(line[len("RESULT "):])
            answers = told["answers"]
            return {"answers": answers, "requests_s": answers / told["seconds"], "p50_ms": told["p50_ms"],
                    "p99_ms": told["p99_ms"], "max_ms": told["max_ms"],
                    "bytes": told["bytes"] / answers if answers else 0, "refused": told["status_errors"],
                    "errors": told["status_errors"] + told["other_errors"]}
    raise RuntimeError(f"wrk said nothing of use: {done.stdout[-500:]} {done.stderr[-500:]}")


def figures(told):
    answers = told["answers"]
    return {"answers": answers, "p50_ms": told["p50_ms"], "p99_ms": told["p99_ms"], "max_ms": told["max_ms"],
            "bytes": told["bytes"] / answers if answers else 0, "refused": told["refused"],
            "errors": told["refused"] + told["failed"]}


def run_player(player, side, list_path, connections, seconds):
    done = subprocess.run([player, "127.0.0.1", str(side.port), side.prefix, list_path, str(connections), str(seconds),
                           str(PATIENCE_S)], capture_output=True, text=True, timeout=seconds + PATIENCE_S + 30,
                          check=False)
    if done.returncode != 0:
        raise RuntimeError(f"player: {done.stderr[-500:]}")
    told = json.loads(done.stdout)
    result = figures(told["all"])
    result["requests_s"] = told["answers_in_time"] / told["seconds"]
    result["errors"] += told["unanswered"]
    result["statuses"] = told["statuses"]
    if len(told["classes"]) > 1:
        result["parts"] = {kind: figures(part) for kind, part in told["classes"].items()}
    return result


def one_round(side, kind, list_path, connections, seconds, player):
    """Starts the side, plays the list, ends the side. Its caches of open pictures are warm."""
    with side:
        warm_up(side, list_path)
        with processes.PeakMemory(side.roots()) as memory:
            server, front = (processes.cpu_s(side.roots(part)) for part in (side.server, side.front))
            own, machine, start = processes.cpu_s([os.getpid()]), processes.machine_busy_s(), time.monotonic()
            if kind in PLAYED_TO_THE_END:
                result = run_player(player, side, list_path, connections, seconds)
            else:
                result = run_wrk(side, list_path, connections, seconds)
            seconds_taken = time.monotonic() - start
            machine, own = processes.machine_busy_s() - machine, processes.cpu_s([os.getpid()]) - own
            result["server_cpu_s"] = processes.cpu_s(side.roots(side.server)) - server
            result["front_cpu_s"] = processes.cpu_s(side.roots(side.front)) - front
        result["memory_bytes"] = memory.bytes
        trouble = side.trouble()
        if trouble:
            result["trouble"] = trouble
        result["foreign_load"] = max(0.0, (machine - own) / seconds_taken / os.cpu_count())
    return result


def warm_up(side, list_path):
    """Asks for each picture a few times, so that every process has opened it."""
    with open(list_path) as lines:
        names = sorted({line.split("\t")[1].split("/")[0] for line in lines})
    for name in names * (8 if side.name != "nginx files" and len(names) < 100 else 0):
        get(side.port, f"{side.prefix}{name}/full/16,/0/default.jpg")
