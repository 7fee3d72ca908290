"""From samples to judgements: ratios against the better state of PyTorch, shares of the machine's peak, the columns of
the target table reached, and Markdown."""

from __future__ import annotations

import math
import re
import statistics
from pathlib import Path
from typing import Any

import machine
import targets

COLUMNS = ("below", "v1", "ahead", "limit")
CLOSE = 0.05  # a target counts as reached from 5 % short of it
HEADER = (f"{'row':<52}{'thr':>4}{'ccdl us':>12}{'torch us':>12}{'(default)':>12}{'ratio':>8}{'+-':>6}{'(default)':>10}"
          f"{'numpy':>8}{'of peak':>9}")  # fmt: skip


def median_of(runs: list[dict[str, float]], name: str) -> float | None:
    found = [run[name] for run in runs if name in run]
    return statistics.median(found) if found else None


def ratio_of(runs: list[dict[str, float]], peer: str) -> tuple[float, float] | None:
    """Median over the runs of peer / ccdl, and half of the spread relative to it."""
    found = [run[peer] / run["ccdl"] for run in runs if peer in run]
    if not found:
        return None
    middle = statistics.median(found)
    return middle, (max(found) - min(found)) / 2 / middle


def better(states: dict[str, list[dict[str, float]]], peer: str = "torch") -> str:
    """The state of malloc in which the peer is faster."""
    timed = {state: median_of(runs, peer) for state, runs in states.items()}
    known = {state: t for state, t in timed.items() if t is not None}
    return min(known, key=lambda s: known[s]) if known else next(iter(states))


def share(entry: dict[str, Any], peak: dict[str, float], time: float) -> float | None:
    """How close the call comes to the roofline: the time the machine would need at its peaks, over the time taken."""
    if "gflops" not in peak or not (entry["flops"] or entry["bytes"]):
        return None
    return max(entry["flops"] / peak["gflops"], entry["bytes"] / peak["gbytes"]) / 1e9 / time


def summary(entry: dict[str, Any], threads: str, peaks: dict[str, Any]) -> dict[str, Any]:
    """What the tables say of one row at one number of threads."""
    states = entry["samples"][threads]
    state = better(states)
    runs = states[state]
    ours = median_of(runs, "ccdl")
    assert ours is not None
    found = {
        "state": state,
        "ccdl": ours,
        "torch": median_of(runs, "torch"),
        "torch_default": median_of(states.get("default", []), "torch"),
        "ratio": ratio_of(runs, "torch"),
        "ratio_default": ratio_of(states.get("default", []), "torch"),
        "ratio_numpy": ratio_of(runs, "numpy"),
        "own": ratio_of(runs, "own"),
        "share": share(entry, peaks.get(threads, {}), ours),
    }
    return found


def number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def lines(entry: dict[str, Any], peaks: dict[str, Any]) -> list[str]:
    """The lines of a row on the terminal."""
    name = f"{entry['family']}/{entry['name']}"
    if "error" in entry:
        return [f"{name}: {entry['error']}"]
    if "figures" in entry:
        return [f"{name}: " + "; ".join(f"{lib}: {figures}" for lib, figures in entry["figures"].items())]
    found = []
    for threads in entry["samples"]:
        s = summary(entry, threads, peaks)
        us = lambda t: number(t and t * 1e6)
        first = lambda pair: number(pair and pair[0])
        found.append(
            f"{name:<52}{threads:>4}{us(s['ccdl']):>12}{us(s['torch']):>12}{us(s['torch_default']):>12}{first(s['ratio']):>8}"
            f"{number(s['ratio'] and s['ratio'][1], '.0%'):>6}{first(s['ratio_default']):>10}{first(s['ratio_numpy']):>8}"
            f"{number(s['share'], '.0%'):>9}" + (f"  own {s['own'][0]:.2f}" if s["own"] else "")
        )
    return found


def value_of(target: targets.Target, entry: dict[str, Any], threads: str, peaks: dict[str, Any]) -> tuple[float, float] | None:
    """(value, relative spread) of what the target bounds."""
    if target.figure:
        figures = entry.get("figures", {}).get("ccdl", {})
        return (figures[target.figure], 0.0) if target.figure in figures else None
    s = summary(entry, threads, peaks)
    if target.kind == "seconds":
        runs = entry["samples"][threads][s["state"]]
        times = [run["ccdl"] for run in runs]
        return s["ccdl"], (max(times) - min(times)) / 2 / s["ccdl"]
    return s[{"ratio": "ratio", "default": "ratio_default", "own": "own"}[target.kind]]


def reached(target: targets.Target, value: float, threads: int) -> str:
    """The best column, "" where the target has none."""
    best = COLUMNS[0] if any(b is not None for b in target.bounds(threads)) else ""
    for column, bound in zip(COLUMNS[1:], target.bounds(threads)):
        if bound is None:
            continue
        if value <= bound * (1 + CLOSE) if target.lower else value >= bound * (1 - CLOSE):
            best = column
    return best


def judged(data: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per target and number of threads that was measured."""
    by_name = {(r["family"], r["name"]): r for r in data["rows"]}
    found = []
    for target in targets.TARGETS:
        entry = by_name.get((target.family, target.row))
        if entry is None:
            continue
        if "error" in entry:
            found.append({"target": target, "entry": entry, "threads": "", "error": entry["error"]})
            continue
        for threads in entry["samples"] or [""]:
            if threads and target.threads and int(threads) not in target.threads:
                continue
            value = value_of(target, entry, threads, data["peak"])
            if value is not None:
                column = reached(target, value[0], int(threads or 1))
                found.append({"target": target, "entry": entry, "threads": threads, "value": value, "column": column})
    return found


def busy(data: dict[str, Any]) -> bool:
    return data["environment"]["load"] > machine.BUSY


def time_text(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.0f} ns"


def bound_text(target: targets.Target, threads: int) -> str:
    show = lambda b: "-" if b is None else time_text(b) if target.kind == "seconds" else f"{b:g}"
    return " / ".join(show(b) for b in target.bounds(threads))


def target_table(rows: list[dict[str, Any]], peaks: dict[str, Any]) -> list[str]:
    text = [
        "| benchmark | threads | ccdl | PyTorch (default malloc) | ratio | (default) | of peak | v1 / ahead / limit | reached |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        target, entry, threads = row["target"], row["entry"], row["threads"]
        if "error" in row:
            text.append(f"| {target.title} | | | | | | | | {row['error']} |")
            continue
        bounds = bound_text(target, int(threads or 1))
        if target.figure:
            unit = target.figure.rpartition("_")[2]
            ours, theirs = (number(entry["figures"].get(lib, {}).get(target.figure), ".1f") for lib in ("ccdl", "torch"))
            text.append(f"| {target.title} ({unit}) | | {ours} | {theirs} | | | | {bounds} | {row['column']} |")
            continue
        s = summary(entry, threads, peaks)
        torch = time_text(s["torch"])
        if s["torch_default"] is not None and s["state"] != "default":
            torch += f" ({time_text(s['torch_default'])})"
        value, spread = row["value"]
        shown = {"own": f"own {value:.2f}", "seconds": number(s["ratio"] and s["ratio"][0])}.get(target.kind, f"{value:.2f}")
        default = number(s["ratio_default"] and s["ratio_default"][0])
        text.append(f"| {target.title} | {threads} | {time_text(s['ccdl'])} | {torch} | {shown} ±{spread:.0%} | {default} "
                    f"| {number(s['share'], '.0%')} | {bounds} | {row['column']} |")  # fmt: skip
    return text


def models(data: dict[str, Any]) -> list[str]:
    """The models end to end: ccdl / PyTorch (ratio) per step and forward pass, peak memory, loss."""
    by_name = {r["name"]: r for r in data["rows"] if r["family"] == "training" and "error" not in r}
    threads = [t for t in data["peak"] if any(t in r["samples"] for r in by_name.values())]
    many = lambda t: f"{t} thread" + ("s" if t != "1" else "")
    heads = [f"{what}, {many(t)}" for what in ("step", "forward") for t in threads]
    text = ["| model | " + " | ".join(heads) + " | peak MB | loss |", "|---" * (len(heads) + 3) + "|"]
    for target in targets.TARGETS:
        model, _, kind = target.row.rpartition(" ")
        if target.section != targets.MODELS or kind != "step" or target.row not in by_name:
            continue
        cells = []
        for what in ("step", "forward"):
            for t in threads:
                entry = by_name.get(f"{model} {what}", {})
                s = summary(entry, t, data["peak"]) if t in entry.get("samples", {}) else None
                ratio = s and s["ratio"]
                cells.append(f"{time_text(s['ccdl'])} / {time_text(s['torch'])} ({ratio[0]:.2f})" if s and ratio else "-")
        figures = by_name.get(f"{model} process", {}).get("figures", {})
        ours, theirs = figures.get("ccdl", {}), figures.get("torch", {})
        cells.append(f"{number(ours.get('peak_MB'), '.0f')} / {number(theirs.get('peak_MB'), '.0f')}")
        cells.append(f"{number(ours.get('loss'), '.4f')} / {number(theirs.get('loss'), '.4f')}")
        text.append(f"| {target.title.removesuffix(', step')} | " + " | ".join(cells) + " |")
    return text


def races(data: dict[str, Any]) -> list[str]:
    """The races of whole models, the closest first: ccdl / PyTorch (ratio) for each number of threads."""
    threads = list(data["peak"])
    named = {"races_images": "images", "races_sequences": "sequences", "races_tables": "tables, graphs, play", "races_func": "transforms"}
    wrong = [f"| {r['name']} | {named[r['family']]} |" + " |" * (len(threads) - 1) + f" {r['error']} |" for r in data["rows"] if "error" in r]
    found, ratios = [], []
    for row in data["rows"]:
        if "error" in row or row["family"] not in named:
            continue
        sums = [summary(row, t, data["peak"]) for t in threads if t in row["samples"]]
        several = [s["ratio"][0] for s in sums if s["ratio"]]
        ratios += several
        cells = [f"{time_text(s['ccdl'])} / {time_text(s['torch'])} ({number(s['ratio'] and s['ratio'][0])})" for s in sums]
        found.append((min(several, default=0), f"| {row['name']} | {named[row['family']]} | " + " | ".join(cells) + " |"))
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios)) if ratios else 0
    return [
        f"{len(found)} models, {len(ratios)} figures: {sum(r < 1 for r in ratios)} slower than PyTorch, "
        f"{sum(r >= 2 for r in ratios)} at least twice as fast. Geometric mean of the ratios: {mean:.2f}.",
        "",
        "| model | of | " + " | ".join(f"{t} thread" + ("s" if t != "1" else "") for t in threads) + " |",
        "|---" * (len(threads) + 2) + "|",
        *wrong,
        *(line for _, line in sorted(found)),
    ]


def publish(page: Path, block: str, lines: list[str], source: str) -> None:
    """Replaces the block between <!-- name: source --> and <!-- end --> of a page."""
    text = page.read_text()
    pattern = re.compile(rf"<!-- {block}: .*? -->\n.*?<!-- end -->", re.S)
    if not pattern.search(text):
        raise ValueError(f"{page}: no block {block}")
    new = "\n".join([f"<!-- {block}: {source} -->", *lines, "<!-- end -->"])
    page.write_text(pattern.sub(lambda _: new, text))


def counts(data: dict[str, Any]) -> str:
    rows = judged(data)
    found = {c: sum(r.get("column") == c for r in rows) for c in COLUMNS}
    ratios = [r["value"][0] for r in rows if r.get("value") and r["target"].kind == "ratio" and not r["target"].figure]
    mean = math.exp(statistics.fmean(math.log(r) for r in ratios)) if ratios else 0
    said = ", ".join(f"{n} {'below v1' if c == 'below' else f'at {c}'}" for c, n in found.items())
    text = f"{sum(found.values())} figures: {said}. Geometric mean of the ratios: {mean:.2f}."
    return text + (" Recorded on a busy machine: provisional." if busy(data) else "")


def markdown(data: dict[str, Any]) -> str:
    env = data["environment"]
    peers = ", ".join(f"{name} {version}" for name, version in env["peers"].items())
    text = [
        f"# {env['cpu']}, {env['cores']} cores, level {env['isa']}, {env['date']}",
        "",
        f"ccdl {env['ccdl']} against {peers}, Python {env['python']}, {env['system']}. Load average before: {env['load']}. "
        + "Measured peaks: "
        + ", ".join(f"{p['gflops']:.0f} GFLOP/s and {p['gbytes']:.1f} GB/s on {t} thread(s)" for t, p in data["peak"].items() if p)
        + ".",
        "",
        f"Made by `{data['command']}` in {data['seconds']} s." + (" **The machine was busy: provisional.**" if busy(data) else ""),
        "",
    ]
    rows = judged(data)
    if data["set"] == "targets":
        text += [
            counts(data),
            "",
            "ratio: PyTorch's time over ccdl's, PyTorch in the better of two states of glibc's malloc (as it is, or told to keep "
            "memory), median of the runs ± half of their spread; (default): against malloc as it is. of peak: the time the machine "
            "would need at its measured peaks over the time taken; rows that fit into the caches exceed the memory's. reached: the "
            "best column from 5 % short of it.",
        ]  # fmt: skip
        for section in dict.fromkeys(t.section for t in targets.TARGETS):
            some = [r for r in rows if r["target"].section == section]
            if some:
                text += ["", f"## {section}", "", *target_table(some, data["peak"])]
    elif data["set"] == "races":
        text += ["PyTorch in the better of two states of glibc's malloc. The closest first.", "", *races(data)]
    else:
        text += ["```", HEADER, *(line for row in data["rows"] for line in lines(row, data["peak"])), "```"]
    if data["set"] == "targets" and any("figures" in r and r["family"] == "training" for r in data["rows"]):
        text += ["", "## Models end to end", "", "ccdl / PyTorch. Peak: resident memory of a process that trains, with all it imports. "
                 "Loss: after the same steps from the same weights.", "", *models(data)]  # fmt: skip
    return "\n".join(text) + "\n"
