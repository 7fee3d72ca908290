"""ccdl against PyTorch's own libraries on one GPU: interleaved in one process, equal outputs first, CUDA events.

    python bench/gpu/run.py --json bench/results/h200.json [--only gemm_bf16,norm_forward] [--seconds 450]

Every row is measured in batches that take turns: a batch first queues reads of a buffer larger than the L2 cache, so
that the device has work while the calls and their events are queued, then six timed calls on rotating inputs. The
JSON is written after each row; started again with the same file the run goes on where it stopped. bench/gpu/peers.py
runs the same rows without ccdl.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import report
import rows as table
from rows import DTYPE, Row

BATCHES, PER_BATCH, FILLERS = 10, 6, 8
WARM = 6  # calls of a whole step before it is timed: graphs are recorded after a few


def make_inputs(torch: Any, row: Row, seed: int, device: str) -> dict[str, Any]:
    """PyTorch's tensors for one buffer set; the same numbers for every library."""
    made = {}
    generator = torch.Generator(device).manual_seed(seed)
    for name, spec in row.inputs.items():
        if spec.high:
            t = torch.randint(0, spec.high, spec.shape, generator=generator, device=device)
            t = t.to(getattr(torch, DTYPE[spec.kind]))
        else:
            t = torch.randn(spec.shape, generator=generator, device=device).to(getattr(torch, DTYPE[spec.kind]))
        made[name] = t.contiguous(memory_format=torch.channels_last) if spec.channels_last else t
    return made


def given_to(T: Any, torch: Any, row: Row, made: dict[str, Any]) -> SimpleNamespace:
    """The inputs as tensors of T, without a copy where T is another library."""
    space = SimpleNamespace()
    for name, t in made.items():
        mine = t.detach() if T is torch else T.from_dlpack(t.detach())
        setattr(space, name, mine.requires_grad_() if row.inputs[name].grad else mine)
    return space


def outputs(torch: Any, result: Any) -> list[Any]:
    """A call's results as float32 tensors of PyTorch."""
    found = []
    for r in result if isinstance(result, (tuple, list)) else [result]:
        if r is not None and hasattr(r, "detach"):
            r = r.detach()
            found.append((r if isinstance(r, torch.Tensor) else torch.from_dlpack(r)).float())
    return found


def difference(torch: Any, ours: Any, theirs: Any) -> float:
    """Largest difference of the results, in units of the peer's largest value."""
    worst = 0.0
    mine, peers = outputs(torch, ours), outputs(torch, theirs)
    if len(mine) != len(peers):
        return float("inf")
    for a, b in zip(mine, peers):
        if a.shape != b.shape:
            return float("inf")
        if b.numel():
            scale = float(b.abs().max())
            worst = max(worst, float((a - b).abs().max()) / (scale if scale > 0 else 1.0))
    return worst


class DeviceTimer:
    """Seconds of each call on the device, between CUDA events of the library that makes the call."""

    def __init__(self, T: Any) -> None:
        self.T = T
        self.filler = T.zeros(int(4 * report.L2_BYTES / 4), device="cuda")

    def batch(self, calls: list[Callable[[], Any]], first: int) -> list[float]:
        cuda = self.T.cuda
        events = [(cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)) for _ in range(PER_BATCH)]
        cuda.synchronize()
        for _ in range(FILLERS):
            self.filler.sum()
        for i, (begin, end) in enumerate(events):
            begin.record()
            calls[(first + i) % len(calls)]()
            end.record()
        cuda.synchronize()
        return [begin.elapsed_time(end) * 1e-3 for begin, end in events]


class WallTimer:
    """Seconds of the caller per call, the device idle before and after: what a training loop waits for."""

    def __init__(self, T: Any, synchronize: Callable[[], Any]) -> None:
        self.synchronize = synchronize

    def batch(self, calls: list[Callable[[], Any]], first: int) -> list[float]:
        self.synchronize()
        begin = time.perf_counter()
        for i in range(PER_BATCH):
            calls[(first + i) % len(calls)]()
        self.synchronize()
        return [(time.perf_counter() - begin) / PER_BATCH]


def timer(T: Any, row: Row, device: str) -> Any:
    if device == "cpu":
        return WallTimer(T, lambda: None)
    return WallTimer(T, T.cuda.synchronize) if row.wall else DeviceTimer(T)


def allow_tf32(libraries: dict[str, Any], on: bool) -> None:
    """TF32 only in the rows that say so, in every library."""
    for T in libraries.values():
        backends = getattr(T, "backends", None)
        for holder in (getattr(getattr(backends, "cuda", None), "matmul", None), getattr(backends, "cudnn", None)):
            with contextlib.suppress(AttributeError, RuntimeError):
                holder.allow_tf32 = on


def contestants(row: Row, libraries: dict[str, Any]) -> dict[str, tuple[Any, table.Build]]:
    found = {"ccdl": (libraries["ccdl"], row.ours)} if "ccdl" in libraries else {}
    return found | {name: (libraries["torch"], build) for name, build in row.peers.items()}


def measure(row: Row, libraries: dict[str, Any], device: str = "cuda", batches: int = BATCHES) -> dict[str, Any]:
    """One row of the result; a contestant that cannot run is named under "absent" with the reason."""
    torch = libraries["torch"]
    allow_tf32(libraries, row.kind == "tf32")
    sets = report.rotations(sum(i.bytes() for i in row.inputs.values())) if device != "cpu" and not row.wall else 1
    inputs = [make_inputs(torch, row, seed, device) for seed in range(sets)]
    if device != "cpu":
        torch.cuda.synchronize()
    calls: dict[str, list[Callable[[], Any]]] = {}
    absent: dict[str, str] = {}
    for name, (T, build) in contestants(row, libraries).items():
        try:
            made = [build(T, given_to(T, torch, row, one)) for one in inputs]
            for call in made[:2] * (WARM if row.wall else 1):
                call()  # compiles, tunes, allocates, records graphs
            if device != "cpu":
                T.cuda.synchronize()
            calls[name] = made
        except Exception as problem:  # any library may lack an op, a backend or the memory
            absent[name] = f"{type(problem).__name__}: {problem}".splitlines()[0][:160]
    row_result: dict[str, Any] = {"name": row.name, "target": row.target, "targets": row.targets, "kind": row.kind,
                                  "flops": row.flops, "bytes": row.moved, "wall": row.wall, "sets": sets}
    different = {}
    if "ccdl" in calls and row.tol is not None:
        mine = calls["ccdl"][0]()
        if device != "cpu":
            libraries["ccdl"].cuda.synchronize()
        for name in [n for n in calls if n != "ccdl"]:
            different[name] = difference(torch, mine, calls[name][0]())
        if any(not d <= row.tol for d in different.values()):
            return row_result | {"difference": different, "absent": absent,
                                 "error": f"the output differs from the peers' by more than {row.tol}; not timed"}
    times: dict[str, list[float]] = {name: [] for name in calls}
    timers = {name: timer(contestants(row, libraries)[name][0], row, device) for name in calls}
    for turn in range(batches if not row.wall else 5 * batches):
        for name, made in calls.items():
            times[name] += timers[name].batch(made, turn * PER_BATCH)
    found = {name: report.summary(t) for name, t in times.items()}
    limit = report.limit_us(row.flops, row.moved, row.kind)
    return row_result | {"difference": different, "absent": absent, "times": found, "limit_us": limit,
                         **report.judge(found, limit)}


def environment(libraries: dict[str, Any], device: str) -> dict[str, Any]:
    torch = libraries["torch"]
    info: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "python": platform.python_version(), "torch": torch.__version__,
                            "cuda of torch": torch.version.cuda}
    if "ccdl" in libraries:
        info["ccdl"] = libraries["ccdl"].__version__
    if device != "cpu":
        info["cudnn"] = torch.backends.cudnn.version()
        info["device"] = torch.cuda.get_device_name()
        asked = ["nvidia-smi", "--query-gpu=driver_version,clocks.sm,clocks.mem,power.limit", "--format=csv,noheader"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            info["driver, clocks, power limit"] = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    info["peaks"] = "bf16 989, tf32 495, fp32 67 TFLOP/s; 4.3 TB/s"
    return info


def chosen(rows: list[Row], only: list[str], names: list[str], done: set[str]) -> Iterator[Row]:
    """The rows of these targets whose name holds one of the given parts and that have no result yet."""
    for row in rows:
        targets = {row.target, *row.targets.values()}
        if (not only or targets & set(only)) and (not names or any(n in row.name for n in names)) and row.name not in done:
            yield row


def arguments(words: list[str] | None, ours: bool) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, required=True, help="result file; an existing one is continued")
    parser.add_argument("--only", default="", help="targets, comma separated (the keys of report.TARGETS)")
    parser.add_argument("--name", default="", help="parts of row names, comma separated")
    parser.add_argument("--seconds", type=float, default=450.0, help="start no row after this long")
    parser.add_argument("--list", action="store_true", help="print the rows and stop")
    options = parser.parse_args(words)
    options.only = [w for w in options.only.split(",") if w]
    options.name = [w for w in options.name.split(",") if w]
    unknown = set(options.only) - set(report.TARGETS)
    if unknown:
        parser.error(f"unknown targets {sorted(unknown)}; known are {', '.join(report.TARGETS)}")
    options.ours = ours
    return options


def load(ours: bool) -> dict[str, Any]:
    """The libraries, set up as their users would for speed; refuses the emulated device."""
    torch = importlib.import_module("torch")
    if not torch.cuda.is_available():
        raise SystemExit("bench/gpu: PyTorch finds no CUDA device")
    torch.backends.cudnn.benchmark = True
    libraries = {"torch": torch}
    if ours:
        ccdl = importlib.import_module("ccdl")
        if not ccdl.cuda.is_available() or ccdl.cuda.is_emulated():
            raise SystemExit("bench/gpu: ccdl has no real CUDA device; the emulated one is not to be timed")
        libraries["ccdl"] = ccdl
    return libraries


def main(words: list[str] | None = None, ours: bool = True) -> int:
    options = arguments(words, ours)
    begin = time.monotonic()
    if options.list:
        for row in chosen(table.all_rows(), options.only, options.name, set()):
            print(f"{row.target:<20}{row.name}")
        return 0
    libraries = load(ours)
    results = report.Results(options.json, environment(libraries, "cuda"))
    left = list(chosen(table.all_rows(), options.only, options.name, results.done()))
    for i, row in enumerate(left):
        if time.monotonic() - begin > options.seconds:
            print(f"time is up with {len(left) - i} rows left: start again with the same --json to go on")
            break
        try:
            result = measure(row, libraries)
        except Exception as problem:  # out of memory, or a kernel that fails: the other rows still count
            result = {"name": row.name, "target": row.target, "error": f"{type(problem).__name__}: {problem}"[:300]}
        results.add(result)
        shown = ", ".join(f"{k} {v['us']:.1f}" for k, v in result.get("times", {}).items())
        print(f"{row.name}: {shown or result.get('error', '')} {result.get('absent', '') or ''}", flush=True)
        gc.collect()
        for T in libraries.values():
            T.cuda.empty_cache()
    results.save()
    options.json.with_suffix(".md").write_text(report.render(results.data))
    failed = [r["name"] for r in results.data["rows"] if "error" in r]
    print(f"{len(results.data['rows'])} rows, {len(failed)} failed; table in {options.json.with_suffix('.md')}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
