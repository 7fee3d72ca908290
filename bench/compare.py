"""ccdl against NumPy and, where it is installed, PyTorch: interleaved in one process, outputs compared first.

    python bench/compare.py [--threads 1] [--only gemm,elementwise] [--rounds 7] [--json bench/results/name.json]

Rows come from ROWS of every bench/<family>.py. The peak of fused multiply-adds and the memory bandwidth are measured by
bench/native/peak.cpp, compiled on the spot. With --malloc keep the process restarts itself with glibc told to keep
freed memory, the state in which the peers are fastest; ccdl has its own allocator and does not care.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # random.py beside this file must not hide Python's
    sys.path[:] = [p for p in sys.path if p != __file__.rpartition("/")[0]]

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
KEEP = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


@dataclasses.dataclass
class Row:
    """make(T) builds a library's state once and returns the call to time; T is ccdl or torch. numpy=: NumPy's call.
    flops and bytes are per call; tol: how far the outputs may differ (None: not comparable, for instance random)."""

    name: str
    make: Callable[[Any], Callable[[], Any]]
    numpy: Callable[[], Callable[[], Any]] | None = None
    flops: float = 0
    bytes: float = 0
    tol: float | None = 1e-4
    torch: bool = True


def array(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def tensor(T: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    t = T.from_numpy(array(*shape, seed=seed))
    return t.requires_grad_() if grad else t


def values(result: Any) -> np.ndarray:
    if isinstance(result, (tuple, list)):
        result = result[0]
    return result.detach().numpy() if hasattr(result, "detach") else np.asarray(result)


def agrees(row: Row, ours: Callable[[], Any], theirs: Callable[[], Any]) -> bool:
    if row.tol is None or ours is theirs:
        return True
    got, want = values(ours()), values(theirs())
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    return got.shape == want.shape and np.allclose(got, want, rtol=row.tol, atol=row.tol * scale)


def seconds(call: Callable[[], Any], number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - begin) / number


def measure(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds per call; the libraries take turns, so that frequency and neighbours hit all alike."""
    number = {}
    for name, call in calls.items():
        call()
        one = max(seconds(call, 2), 1e-8)
        number[name] = max(1, min(20000, int(0.03 / one)))
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            time.sleep(0.005)
            call()
            taken[name].append(seconds(call, number[name]))
    return {name: statistics.median(t) for name, t in taken.items()}


def rows(only: list[str]) -> list[tuple[str, Row]]:
    sys.modules["compare"] = sys.modules[__name__]  # one Row class, whoever imports it
    found = []
    for path in sorted(HERE.glob("*.py")):
        if path.stem == "compare" or (only and path.stem not in only):
            continue
        spec = importlib.util.spec_from_file_location(f"bench_{path.stem}", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found += [(path.stem, row) for row in module.ROWS]
    return found


def peaks(threads: int) -> dict[str, float]:
    """{"gflops": ..., "gbytes": ...} from the native probe; empty without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        built = subprocess.run(
            [
                "c++",
                "-O3",
                "-march=native",
                "-std=c++20",
                "-pthread",
                str(HERE / "native/peak.cpp"),
                "-o",
                str(program),
            ],
            capture_output=True,
        )
        if built.returncode != 0:
            return {}
        return json.loads(
            subprocess.run([str(program), str(threads)], capture_output=True, text=True, check=True).stdout
        )


def set_threads(library: Any, threads: int) -> None:
    library.set_num_threads(threads)


def environment(libraries: dict[str, Any], threads: int) -> dict[str, Any]:
    import ccdl

    cpu = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "ccdl": ccdl.__version__,
        "isa": ccdl._C._isa_level(),
        "peers": {name: lib.__version__ for name, lib in libraries.items() if name != "ccdl"},
        "malloc": {k: os.environ[k] for k in KEEP if k in os.environ} or "default",
        "variables": {
            k: v
            for k, v in os.environ.items()
            if k.startswith(("OMP_", "MKL_", "OPENBLAS_", "CCDL_", "KMP_"))
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="families, comma separated")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--malloc", choices=("default", "keep"), default="default")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.malloc == "keep" and not all(k in os.environ for k in KEEP):
        os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ, **KEEP))
    if "OPENBLAS_CORETYPE" in os.environ:
        print("note: OPENBLAS_CORETYPE is set; unset it for NumPy's own choice")

    import ccdl

    libraries: dict[str, Any] = {"ccdl": ccdl, "numpy": np}
    try:
        import torch

        libraries["torch"] = torch
    except ImportError:
        print("note: PyTorch is not installed")
    for library in libraries.values():
        if library is not np:
            set_threads(library, options.threads)
    try:
        from threadpoolctl import threadpool_limits

        threadpool_limits(options.threads)
    except ImportError:
        print("note: threadpoolctl is not installed; NumPy uses the threads it likes")

    top = peaks(options.threads)
    report = {"environment": environment(libraries, options.threads), "peak": top, "rows": []}
    for key, value in report["environment"].items():
        print(f"{key}: {value}")
    print("peak:", {k: round(v, 1) for k, v in top.items()})
    print(
        f"\n{'row':<38}{'ccdl us':>11}{'torch us':>11}{'numpy us':>11}{'torch/ccdl':>12}{'numpy/ccdl':>12}{'of peak':>10}"
    )
    wrong = 0
    for family, row in rows([f for f in options.only.split(",") if f]):
        calls = {"ccdl": row.make(ccdl)}
        if "torch" in libraries and row.torch:
            calls["torch"] = row.make(libraries["torch"])
        if row.numpy is not None:
            calls["numpy"] = row.numpy()
        different = [peer for peer in calls if not agrees(row, calls["ccdl"], calls[peer])]
        if different:
            print(f"{family}/{row.name}: the output differs from {' and '.join(different)}; not timed")
            wrong += 1
            continue
        times = measure(calls, options.rounds)
        share = ""
        if row.flops and "gflops" in top:
            share = f"{row.flops / times['ccdl'] / 1e9 / top['gflops']:.0%} fma"
        elif row.bytes and "gbytes" in top:
            share = f"{row.bytes / times['ccdl'] / 1e9 / top['gbytes']:.0%} mem"
        ratio = {p: times[p] / times["ccdl"] for p in times if p != "ccdl"}
        show = lambda x, f: format(x, f) if x is not None else "-"
        print(
            f"{family + '/' + row.name:<38}"
            + "".join(
                f"{show(times.get(p) and times[p] * 1e6, '.2f'):>11}" for p in ("ccdl", "torch", "numpy")
            )
            + "".join(f"{show(ratio.get(p), '.2f'):>12}" for p in ("torch", "numpy"))
            + f"{share:>10}",
            flush=True,
        )
        report["rows"].append(
            {
                "family": family,
                "name": row.name,
                "us": {k: v * 1e6 for k, v in times.items()},
                "ratio": ratio,
                "share": share,
            }
        )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
