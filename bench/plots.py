"""The chart of a result file: roofline and ratio bars of the target set, or the curves of the scaling set (matplotlib)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import judging
import targets

COLOURS = {"below": "#c44e52", "v1": "#dd8452", "ahead": "#55a868", "limit": "#4c72b0"}
OURS, THEIRS = "#4c72b0", "#999999"


def roofline(axes: Any, data: dict[str, Any], threads: str) -> None:
    peak = data["peak"].get(threads)
    points = {"ccdl": ([], []), "torch": ([], [])}
    for entry in data["rows"]:
        if not (entry.get("flops") and entry.get("bytes") and threads in entry.get("samples", {})) or "bfloat16" in entry["name"]:
            continue
        s = judging.summary(entry, threads, data["peak"])
        for name, (x, y) in points.items():
            if s[name]:
                x.append(entry["flops"] / entry["bytes"])
                y.append(entry["flops"] / s[name] / 1e9)
    for name, colour, marker in (("torch", THEIRS, "x"), ("ccdl", OURS, "o")):
        axes.scatter(*points[name], s=18, c=colour, marker=marker, label={"torch": "PyTorch"}.get(name, name), zorder=3)
    if peak:
        x = np.geomspace(0.2, 1000, 200)
        axes.plot(x, np.minimum(peak["gflops"], x * peak["gbytes"]), color="black", lw=1, label="measured peaks: FMA, memory")
    axes.set(xscale="log", yscale="log", xlabel="floating-point operations per byte of operands", ylabel="GFLOP/s",
             title=f"Roofline, {threads} thread{'s' if threads != '1' else ''}")  # fmt: skip
    axes.legend(fontsize=7)
    axes.grid(alpha=0.3, which="both")


def bars(axes: Any, rows: list[dict[str, Any]], threads: str) -> None:
    """Ratio bars coloured by the column reached; ticks mark v1, ahead and limit."""
    some = [r for r in rows if r.get("value") and r["threads"] == threads and r["target"].kind == "ratio"][::-1]
    y = np.arange(len(some))
    axes.barh(y, [r["value"][0] for r in some], color=[COLOURS.get(r["column"], THEIRS) for r in some], height=0.7,
              xerr=[r["value"][0] * r["value"][1] for r in some], error_kw={"lw": 0.7})  # fmt: skip
    for column, style in (("v1", ":"), ("ahead", "-"), ("limit", "--")):
        marks = [(i, r["target"].bounds(int(threads))[judging.COLUMNS.index(column) - 1]) for i, r in enumerate(some)]
        for i, bound in marks:
            if bound:
                axes.plot([bound, bound], [i - 0.42, i + 0.42], color="black", lw=1, ls=style)
    for i, r in enumerate(some):
        axes.text(r["value"][0] * 1.03, i, f"{r['value'][0]:.2f}", va="center", fontsize=6)
    axes.axvline(1, color="black", lw=0.8)
    axes.set(xscale="log", ylim=(-0.6, len(some) - 0.4), xlabel="PyTorch's time / ccdl's time")
    axes.set_yticks(y, [r["target"].title for r in some], fontsize=7)
    axes.set_title(f"{threads} thread{'s' if threads != '1' else ''}: marks are v1 (dotted), ahead (line), limit (dashed)", fontsize=9)
    axes.grid(axis="x", alpha=0.3)


def draw_targets(data: dict[str, Any], path: Path) -> None:
    rows = judging.judged(data)
    counts = list(data["peak"])
    tall = max(2.0, 0.19 * sum(r.get("threads") == counts[0] and r["target"].kind == "ratio" for r in rows))
    figure, axes = plt.subplots(2, len(counts), figsize=(8 * len(counts), 4.5 + tall), squeeze=False,
                                height_ratios=[4.2, tall], layout="constrained")  # fmt: skip
    for i, threads in enumerate(counts):
        roofline(axes[0][i], data, threads)
        bars(axes[1][i], rows, threads)
    handles = [plt.Rectangle((0, 0), 1, 1, color=c) for c in COLOURS.values()]
    figure.legend(handles, ["below v1", "v1 reached", "ahead reached", "limit reached"], fontsize=8, ncols=4, loc="outside lower center")
    finish(figure, data, path)


def draw_scaling(data: dict[str, Any], path: Path) -> None:
    curves: dict[str, list[tuple[float, dict[str, Any]]]] = {}
    for entry in data["rows"]:
        if "error" not in entry:
            name, _, x = entry["name"].rpartition(" = ")
            curves.setdefault(name, []).append((float(x), entry))
    figure, axes = plt.subplots(2, 2, figsize=(12, 8.5), layout="constrained")
    for axis, (name, points) in zip(axes.flat, curves.items()):
        for threads, style in zip(data["peak"], ("-", "--")):
            for library, colour in (("ccdl", OURS), ("torch", THEIRS)):
                found = [(x, e["flops"] / s[library] / 1e9) for x, e in points if threads in e["samples"]
                         for s in [judging.summary(e, threads, data["peak"])] if s[library]]  # fmt: skip
                label = f"{'PyTorch' if library == 'torch' else library}, {threads} thread{'s' if threads != '1' else ''}"
                axis.plot(*zip(*found), style, color=colour, marker="o", ms=3, label=label)
        axis.set(xscale="log", yscale="log", xlabel=name.rpartition(", ")[2] if ", " in name else name.split()[-1], ylabel="GFLOP/s",
                 title=name)  # fmt: skip
        axis.legend(fontsize=7)
        axis.grid(alpha=0.3, which="both")
    finish(figure, data, path)


def finish(figure: Any, data: dict[str, Any], path: Path) -> None:
    env = data["environment"]
    peers = ", ".join(f"{n} {v}" for n, v in env["peers"].items())
    note = "\nRECORDED ON A BUSY MACHINE: PROVISIONAL" if judging.busy(data) else ""
    figure.suptitle(f"ccdl {env['ccdl']} ({env['isa']}) and {peers}; {env['cpu']}, {env['cores']} cores, {env['date']}{note}", fontsize=10)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def draw(data: dict[str, Any], path: Path) -> None:
    if data["set"] == "scaling":
        draw_scaling(data, path)
    elif any(t.name == f"{r['family']}/{r['name']}" for t in targets.TARGETS for r in data["rows"]):
        draw_targets(data, path)
