"""The figures of a run as JSON, as a table in Markdown, and as a plot."""
import datetime
import json
import os
import platform
import re
import subprocess

from request_lists import CLASSES

NOISE = 0.1  # others' share of the CPUs above which a round is called disturbed


def first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except OSError:
        return "unknown"
    return (done.stdout + done.stderr).strip().partition("\n")[0]


def machine():
    with open("/proc/cpuinfo") as info:
        model = re.search(r"^model name\s*: (.*)$", info.read(), re.M)
    with open("/proc/meminfo") as info:
        memory = int(re.search(r"MemTotal:\s*(\d+)", info.read()).group(1))
    with open("/proc/cpuinfo") as info:
        is_virtual = " hypervisor" in info.read()
    return {"cpus": os.cpu_count(), "model": model.group(1) if model else platform.machine(),
            "memory_gb": round(memory / 1e6, 1), "kernel": platform.release(),
            "kind": f"{os.cpu_count()}cpu-{'vm' if is_virtual else 'metal'}"}


def versions():
    debian = dict(line.split("\t") for line in subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${Version}\n", "wrk", "libjpeg62-turbo", "libtiff6", "libvips42"],
        capture_output=True, text=True, check=False).stdout.splitlines())
    return {**debian, "gcc": first_line(["gcc", "--version"])}


def median(values):
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def merge(rounds):
    """(class, connections) -> side -> figures over all rounds: sums where they add up, else the median."""
    groups = {}
    for one in rounds:
        groups.setdefault((one["class"], one["connections"]), {}).setdefault(one["side"], []).append(one)
    return {key: {side: merge_side(several) for side, several in by_side.items()} for key, by_side in groups.items()}


def merge_side(several):
    answers = sum(one["answers"] - one["refused"] for one in several)
    merged = {name: median([one[name] for one in several]) for name in ("requests_s", "p50_ms", "p99_ms", "bytes")}
    merged["max_ms"] = max(one["max_ms"] for one in several)
    merged["memory_bytes"] = max(one["memory_bytes"] for one in several)
    merged["errors"] = sum(one["errors"] for one in several)
    merged["answers"] = answers
    for part in ("server", "front"):
        merged[f"{part}_ms"] = sum(one[f"{part}_cpu_s"] for one in several) / max(1, answers) * 1e3
    merged["cpu_ms"] = merged["server_ms"] + merged["front_ms"]
    merged["disturbed"] = max(one["foreign_load"] for one in several)
    merged["trouble"] = [line for one in several for line in one.get("trouble", [])]
    if "parts" in several[0]:
        merged["parts"] = {kind: {name: median([one["parts"][kind][name] for one in several if kind in one["parts"]])
                                  for name in ("p50_ms", "p99_ms", "max_ms")} for kind in several[0]["parts"]}
    return merged


def number(value):
    """Three digits that count, thousands apart."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def cpu_text(figures):
    return f"{number(figures['server_ms'])} + {number(figures['front_ms'])}" if figures["front_ms"] else \
        number(figures["server_ms"])


def ratio(by_side):
    if "iipsrv" not in by_side or "Vitrine" not in by_side or by_side["Vitrine"]["cpu_ms"] <= 0:
        return None
    return by_side["iipsrv"]["cpu_ms"] / by_side["Vitrine"]["cpu_ms"]


def table(merged, connections, floor, goals):
    lines = ["| class | server | requests/s | p50 ms | p99 ms | CPU ms per request | × less CPU | bytes | memory MB "
             "| errors |", "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for kind, (title, goal) in CLASSES.items():
        by_side = merged.get((kind, connections), {})
        for side, figures in by_side.items():
            less = ratio(by_side) if side == "Vitrine" else None
            text = "" if less is None else f"**{less:.2f}**" + (f" (goal {goal})" if goals else "")
            mark = " ⚠" if figures["disturbed"] > NOISE else ""
            lines.append(f"| {title} | {side} | {number(figures['requests_s'])}{mark} | {number(figures['p50_ms'])} | "
                         f"{number(figures['p99_ms'])} | {cpu_text(figures)} | {text} | {figures['bytes']:,.0f} | "
                         f"{figures['memory_bytes'] / 1e6:.0f} | {figures['errors']} |")
        if by_side and kind in floor and connections == 10:
            cost = floor[kind]["decode_ms"] + floor[kind]["encode_ms"]
            lines.append(f"| {title} | codec floor | | | | {number(cost)} | | | | |")
    return "\n".join(lines)


def parts_table(merged):
    lines = ["| connections | server | part | p50 ms | p99 ms | longest ms |", "|--:|---|---|--:|--:|--:|"]
    for (kind, connections), by_side in merged.items():
        for side, figures in by_side.items() if kind == "mix" else ():
            for part, latency in sorted(figures.get("parts", {}).items()):
                lines.append(f"| {connections:,} | {side} | {CLASSES[part][0]} | {number(latency['p50_ms'])} | "
                             f"{number(latency['p99_ms'])} | {number(latency['max_ms'])} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def same_text(same):
    lines = []
    for kind, told in same.items():
        likeness = "not compared" if told["worst_db"] is None else f"at least {told['worst_db']:.1f} dB alike"
        lines.append(f"- {CLASSES[kind][0]}: {told['samples']} answers, {told['failed']} failed, "
                     f"{told['other_size']} of another size, {likeness}")
        lines += [f"  - {pair}" for pair in told.get("sizes", [])]
        lines += [f"  - {wrong}" for wrong in told.get("wrong", [])[:3]]
    return "\n".join(lines)


def markdown(facts, floor, same, merged, plot):
    box, versions_told = facts["machine"], facts["versions"]
    goals = versions_told.get("iipsrv", "").startswith("1.3")
    text = [f"# Vitrine beside IIPImage {versions_told.get('iipsrv', '')}", "",
            f"{facts['date']}, {box['cpus']} × {box['model']}, {box['memory_gb']} GB, Linux {box['kernel']}, load and "
            f"servers on the same machine. JPEG quality {facts['quality']} on both sides, no caches, "
            f"{len(facts['pictures'])} photographs as 4:2:0 pyramids of 256-pixel tiles. "
            "CPU is user and system time of all processes of a side: server + front. Memory is the sum of "
            "proportional set sizes.", "",
            ", ".join(f"{name} {version}" for name, version in versions_told.items()) + ".", ""]
    if plot:
        text += [f"![CPU time per request and requests per second]({plot})", ""]
    for connections in sorted({key[1] for key in merged}):
        text += [f"## {connections:,} connections", "", table(merged, connections, floor, goals), ""]
    parts = parts_table(merged)
    if parts:
        text += ["## The parts of the mix", "", parts, ""]
    text += ["## Codec floor", "", "| class | decode ms | encode ms | Mpx/s decoded | Mpx/s encoded |",
             "|---|--:|--:|--:|--:|"]
    text += [f"| {CLASSES[kind][0]} | {number(cost['decode_ms'])} | {number(cost['encode_ms'])} | "
             f"{number(cost['decode_mpx_s'])} | {number(cost['encode_mpx_s'])} |" if "decode_mpx_s" in cost else
             f"| {CLASSES[kind][0]} | {number(cost['decode_ms'])} | {number(cost['encode_ms'])} | | |"
             for kind, cost in floor.items()]
    text += ["", "## The same pictures?", "", same_text(same), ""]
    troubles = [f"- {side}, {CLASSES[kind][0]}, {connections:,} connections: `{line}`"
                for (kind, connections), by_side in merged.items() for side, figures in by_side.items()
                for line in figures["trouble"]]
    if troubles:
        text += ["## Errors in the logs", "", *troubles, ""]
    text += [f"⚠ Something else used more than {NOISE:.0%} of the CPUs.", ""]
    return "\n".join(text)


def draw(path, facts, floor, merged):
    """Two panels at 10 connections: CPU per request with the codec's floor, and requests per second."""
    import matplotlib
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "bench", "font.size": 9})
    from matplotlib import pyplot
    kinds = [kind for kind in CLASSES if (kind, 10) in merged]
    if not kinds:
        return False
    figure, panels = pyplot.subplots(1, 2, figsize=(11, 0.5 * len(kinds) + 1.4), sharey=True)
    colours = {"iipsrv": "#b0b0b0", "Vitrine": "#1f6f8b", "nginx files": "#d9c27e"}
    for panel, name, title in zip(panels, ("cpu_ms", "requests_s"), ("CPU ms per request (less is better)",
                                                                      "requests per second (more is better)")):
        for at, side in enumerate(["iipsrv", "Vitrine", "nginx files"]):
            rows = [(row, merged[kind, 10][side][name]) for row, kind in enumerate(kinds) if side in merged[kind, 10]]
            label = f"{side} {facts['versions'].get(side, '')}".strip()
            bars = panel.barh([row + (at - 1) * 0.27 for row, _ in rows], [value for _, value in rows], 0.25,
                              color=colours[side], label=label)
            panel.bar_label(bars, [number(value) for _, value in rows], padding=2, fontsize=7)
        panel.set_xscale("log")
        panel.set_title(title, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
        panel.margins(x=0.12)
    floors = [(row, floor[kind]["decode_ms"] + floor[kind]["encode_ms"])
              for row, kind in enumerate(kinds) if kind in floor]
    panels[0].plot([cost for _, cost in floors], [row for row, _ in floors], "k|", markersize=14, label="codec floor")
    panels[0].set_yticks(range(len(kinds)), [CLASSES[kind][0] for kind in kinds])
    panels[0].invert_yaxis()
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncol=4, frameon=False)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
    return True


def store(folder, facts, floor, same, rounds):
    """Writes the files; returns the text of the table."""
    os.makedirs(folder, exist_ok=True)
    facts["date"] = datetime.date.today().isoformat()
    stem = f"{facts['date']}-{facts['machine']['kind']}"
    if "iipsrv" in facts["versions"]:
        stem += f"-iipsrv-{facts['versions']['iipsrv']}"
    path = os.path.join(folder, stem)
    merged = merge(rounds)
    with open(path + ".json", "w") as out:
        json.dump({**facts, "floor": floor, "same_picture": same, "rounds": rounds}, out, indent=1)
        out.write("\n")
    has_plot = draw(path + ".svg", facts, floor, merged)
    text = markdown(facts, floor, same, merged, stem + ".svg" if has_plot else None)
    with open(path + ".md", "w") as out:
        out.write(text)
    return f"{text}\nStored in {path}.md, .json and .svg"
