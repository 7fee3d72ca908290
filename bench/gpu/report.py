"""Numbers and files of the GPU benchmarks: limits, statistics, the target table, JSON after each row, the rendering.

Needs no GPU and no library, so that it is tested anywhere.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

# Dense peaks of an H200: FLOP/s, and the rate of a large copy in B/s.
PEAK = {"bf16": 989e12, "fp16": 989e12, "tf32": 495e12, "fp32": 67e12, "fp64": 67e12, "3xtf32": 495e12 / 3}
BANDWIDTH = 4.3e12
L2_BYTES = 60e6


@dataclasses.dataclass(frozen=True)
class Target:
    """One line of the plan: peer time / ccdl time to reach, geometric mean over its rows."""

    title: str
    first: float
    moonshot: float


TARGETS = {
    "gemm_fp32": Target("FP32 GEMM (exact FP32) / cuBLAS", 0.90, 1.05),
    "gemm_3xtf32": Target("FP32 GEMM via 3xTF32 / cuBLAS SGEMM", 1.2, 2.0),
    "gemm_bf16": Target("bf16 GEMM, large / cuBLAS", 0.65, 1.03),
    "gemm_bf16_mid": Target("bf16 GEMM 256-1536 / cuBLAS", 0.80, 1.10),
    "gemm_odd": Target("bf16 GEMM, odd and unaligned / cuBLAS", 1.5, 5.0),
    "gemv": Target("GEMV, M <= 16 / cuBLAS", 0.9, 1.15),
    "conv": Target("conv fprop, dgrad, wgrad bf16 / cuDNN best", 0.60, 1.05),
    "conv_depthwise": Target("depthwise conv / PyTorch best", 1.0, 1.5),
    "conv_first": Target("first layer, FP32 3x3 / cuDNN", 0.7, 1.2),
    "pool_forward": Target("pooling forward / PyTorch NHWC", 1.1, 1.5),
    "pool_backward": Target("pooling backward / PyTorch NHWC", 1.3, 2.0),
    "rnn_fp16": Target("LSTM, GRU fp16 / cuDNN", 0.5, 1.8),
    "rnn_other": Target("LSTM, GRU bf16, FP32, odd H / torch.nn", 1.0, 3.0),
    "rnn_training": Target("LSTM, GRU forward and backward / cuDNN", 0.5, 1.5),
    "attention_flash": Target("attention forward / SDPA flash", 0.95, 1.9),
    "attention_cudnn": Target("attention forward / SDPA cuDNN", 0.55, 1.05),
    "attention_backward": Target("attention backward / SDPA cuDNN", 0.50, 1.05),
    "attention_other": Target("attention with bias, mask, D = 40, 80, 96 / SDPA efficient", 1.0, 2.0),
    "norm_forward": Target("LayerNorm, RMSNorm forward / PyTorch", 1.1, 1.5),
    "norm_forward_best": Target("LayerNorm, RMSNorm forward / compiled", 0.95, 1.05),
    "norm_backward": Target("LayerNorm, RMSNorm backward / PyTorch", 1.8, 2.2),
    "softmax": Target("softmax, cross-entropy / PyTorch", 1.2, 2.0),
    "softmax_best": Target("softmax, cross-entropy / compiled", 1.0, 1.2),
    "adamw": Target("AdamW step / fused=True", 1.1, 1.3),
    "step_eager": Target("whole step, small nets / eager", 2.0, 5.0),
    "step_compiled": Target("whole step, small nets / compile with graphs", 0.9, 1.3),
    "elementwise": Target("elementwise / PyTorch", 1.0, 1.2),
    "reduce": Target("reductions / PyTorch", 1.0, 1.2),
    "index": Target("embedding, gather, scatter, index / PyTorch", 1.0, 1.5),
    "sort": Target("sort, topk, scan / PyTorch", 0.8, 1.2),
    "random": Target("random, dropout / PyTorch", 1.0, 1.2),
    "shape": Target("copy, cast, transpose, cat / PyTorch", 1.0, 1.1),
}


def geomean(values: Iterable[float]) -> float | None:
    logs = [math.log(v) for v in values if v > 0]
    return math.exp(statistics.fmean(logs)) if logs else None


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Median in microseconds, with the quartiles that say how much to believe it."""
    ordered = sorted(s * 1e6 for s in seconds)
    pick = lambda q: ordered[min(len(ordered) - 1, int(q * len(ordered)))]
    return {"us": statistics.median(ordered), "q1": pick(0.25), "q3": pick(0.75), "n": len(ordered)}


def limit_us(flops: float, moved: float, kind: str) -> float:
    """The time no implementation can beat: arithmetic at the peak, or the bytes at the copy rate."""
    return max(flops / PEAK[kind], moved / BANDWIDTH) * 1e6


def rotations(bytes_of_one_set: float, at_most: int = 48) -> int:
    """Buffer sets to rotate so that the next call finds none of its data in the L2 cache."""
    if bytes_of_one_set <= 0:
        return 1
    return max(1, min(at_most, math.ceil(2 * L2_BYTES / bytes_of_one_set)))


class Results:
    """Rows of one run, on disk after each of them; a run that is started again goes on where it stopped."""

    def __init__(self, path: Path, environment: dict[str, Any]) -> None:
        self.path = path
        self.data: dict[str, Any] = {"environment": environment, "rows": []}
        if path.exists():
            before = json.loads(path.read_text())
            self.data["rows"] = [r for r in before.get("rows", []) if "error" not in r]

    def done(self) -> set[str]:
        return {row["name"] for row in self.data["rows"]}

    def add(self, row: dict[str, Any]) -> None:
        self.data["rows"] = [r for r in self.data["rows"] if r["name"] != row["name"]] + [row]
        self.save()

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.data, indent=1) + "\n")
        os.replace(part, self.path)


def judge(times: dict[str, dict[str, float]], limit: float) -> dict[str, Any]:
    """Ratios peer / ccdl and the share of the limit each reaches."""
    ours = times.get("ccdl")
    return {
        "ratio": {p: t["us"] / ours["us"] for p, t in times.items() if p != "ccdl"} if ours else {},
        "of_limit": {p: limit / t["us"] for p, t in times.items()} if limit > 0 else {},
    }


def by_target(rows: Sequence[dict[str, Any]]) -> dict[str, list[tuple[dict[str, Any], str]]]:
    """target -> (row, peer) pairs: a row counts for its target, or per peer for those it names."""
    found: dict[str, list[tuple[dict[str, Any], str]]] = {}
    for row in rows:
        for peer in row.get("times", {}):
            if peer != "ccdl":
                found.setdefault(row.get("targets", {}).get(peer, row["target"]), []).append((row, peer))
    return found


def cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def render(data: dict[str, Any]) -> str:
    """The table people read: one line per target, then one per row."""
    lines = ["# GPU benchmarks", ""]
    lines += [f"- {key}: {value}" for key, value in data["environment"].items()]
    lines += ["", "Ratio = peer time / ccdl time: above 1 ccdl is faster. Times are medians in microseconds.", "",
              "| target | rows | ratio | first | moonshot |", "|---|---|---|---|---|"]
    pairs = by_target(data["rows"])
    for key, target in TARGETS.items():
        ratios = [row["ratio"][peer] for row, peer in pairs.get(key, []) if peer in row.get("ratio", {})]
        lines.append(f"| {target.title} | {len(pairs.get(key, []))} | {cell(geomean(ratios), '.2f')} | {target.first} | "
                     f"{target.moonshot} |")
    lines += ["", "| row | ccdl us | of limit | peers us (of limit, ratio) | note |", "|---|---|---|---|---|"]
    for row in data["rows"]:
        times = row.get("times", {})
        peers = ", ".join(
            f"{p} {t['us']:.1f} ({cell(row['of_limit'].get(p), '.0%')}, {cell(row['ratio'].get(p), '.2f')})"
            for p, t in times.items() if p != "ccdl")
        note = "; ".join([*(f"{k}: {v}" for k, v in row.get("absent", {}).items()), *filter(None, [row.get("error")])])
        lines.append(f"| {row['name']} | {cell(times.get('ccdl', {}).get('us'), '.1f')} | "
                     f"{cell(row.get('of_limit', {}).get('ccdl'), '.0%')} | {peers} | {note} |")
    return "\n".join(lines) + "\n"
