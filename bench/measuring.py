"""What a benchmark row is, and how one is measured: libraries taking turns in one process, outputs compared first."""

from __future__ import annotations

import dataclasses
import importlib.util
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
IDLE = 0.02  # seconds without work before each sample


@dataclasses.dataclass
class Row:
    """make(T) builds a library's state once and returns the call to time; T is ccdl or torch. numpy=: NumPy's call.
    flops and bytes are per call; tol: how far the outputs may differ (None: not comparable, for instance random).
    own: builds another call of ccdl's to hold this one against. idle: a sample is the first call after 20 ms without
    work. probe(library, threads): figures measured in a process of its own, instead of make. check: builds the calls whose
    outputs are compared, where those of make draw random numbers."""

    name: str
    make: Callable[[Any], Callable[[], Any]] | None
    numpy: Callable[[], Callable[[], Any]] | None = None
    flops: float = 0
    bytes: float = 0
    tol: float | None = 1e-4
    torch: bool = True
    own: Callable[[Any], Callable[[], Any]] | None = None
    idle: bool = False
    probe: Callable[[str, int], dict[str, float]] | None = None
    check: Callable[[Any], Callable[[], Any]] | None = None


def array(*shape: int, seed: int = 0) -> np.ndarray:
    """Standard normal numbers; beyond four million they repeat, which costs the libraries nothing."""
    size = int(np.prod(shape))
    some = np.random.default_rng(seed).standard_normal(min(size, 1 << 22), dtype=np.float32)
    return (some if some.size == size else np.resize(some, size)).reshape(shape)


def tensor(T: Any, *shape: int, seed: int = 0, grad: bool = False) -> Any:
    t = T.from_numpy(array(*shape, seed=seed))
    return t.requires_grad_() if grad else t


def family(name: str) -> ModuleType:
    """The module bench/<name>.py, loaded by its path: random.py must not hide Python's."""
    key = f"bench_{name}"
    if key not in sys.modules:
        spec = importlib.util.spec_from_file_location(key, HERE / f"{name}.py")
        assert spec is not None and spec.loader is not None
        sys.modules[key] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[key])
    return sys.modules[key]


def families() -> list[str]:
    """The files of this folder that define ROWS."""
    return [path.stem for path in sorted(HERE.glob("*.py")) if re.search(r"^ROWS\b", path.read_text(), re.M)]


def find(family_name: str, row_name: str) -> Row:
    return next(row for row in family(family_name).ROWS if row.name == row_name)


def values(result: Any) -> np.ndarray:
    if isinstance(result, (tuple, list)):
        result = result[0]
    if not hasattr(result, "detach"):
        return np.asarray(result)
    result = result.detach()
    return (result.float() if str(result.dtype).endswith("bfloat16") else result).numpy()  # no type of NumPy's


def agrees(row: Row, ours: Callable[[], Any], theirs: Callable[[], Any]) -> bool:
    if row.tol is None:
        return True
    got, want = values(ours()), values(theirs())
    scale = max(1.0, float(np.abs(want).max(initial=0)))
    return got.shape == want.shape and np.allclose(got, want, rtol=row.tol, atol=row.tol * scale)


def seconds(call: Callable[[], Any], number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - begin) / number


def measure(calls: dict[str, Callable[[], Any]], rounds: int, idle: bool = False) -> dict[str, float]:
    """Median seconds per call of `rounds` samples (three at most where a call takes over 100 ms). Before each: 20 ms of
    sleep and, unless idle, two calls (one where a call takes over 20 ms, none over 100 ms). A sample is as many calls
    as fit into 4 ms; the cost of an empty call is taken off."""
    empty = min(seconds(lambda: None, 5000) for _ in range(5))
    number, warm, slowest = {}, {}, 0.0
    for name, call in calls.items():
        call()
        one = seconds(call, 1)
        if one < 0.02:
            one = min(seconds(call, 2), one)
        number[name] = 1 if idle else max(1, min(20000, int(0.004 / max(one, 1e-8))))
        warm[name] = 0 if idle or one > 0.1 else 1 if one > 0.02 else 2
        slowest = max(slowest, one)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(min(rounds, 3) if slowest > 0.1 else rounds):
        for name, call in calls.items():
            time.sleep(IDLE)
            for _ in range(warm[name]):
                call()
            taken[name].append(max(seconds(call, number[name]) - empty, 1e-9))
    return {name: statistics.median(t) for name, t in taken.items()}


def run(row: Row, libraries: dict[str, Any], threads: int, rounds: int, check: bool) -> dict[str, Any]:
    """{"seconds": {library: median}}, {"figures": {library: {...}}} or {"error": ...} of one row in this process."""
    if row.probe is not None:
        peers = [name for name in libraries if name == "ccdl" or (name == "torch" and row.torch)]
        return {"figures": {name: row.probe(name, threads) for name in peers}}
    assert row.make is not None
    for name in ("ccdl", "torch"):
        if name in libraries:
            libraries[name].set_num_threads(threads)
    if "numpy" in libraries:
        try:
            from threadpoolctl import threadpool_limits

            threadpool_limits(threads)
        except ImportError:
            pass  # NumPy then uses the threads it likes
    calls = {"ccdl": row.make(libraries["ccdl"])}
    if "torch" in libraries and row.torch:
        calls["torch"] = row.make(libraries["torch"])
    if row.own is not None:
        calls["own"] = row.own(libraries["ccdl"])
    if "numpy" in libraries and row.numpy is not None:
        calls["numpy"] = row.numpy()
    if check:
        peers = [name for name in calls if name not in ("ccdl", "own")]  # own has operands of its own
        compared = {name: row.check(libraries[name]) for name in ("ccdl", *peers)} if row.check else calls
        different = [name for name in peers if not agrees(row, compared["ccdl"], compared[name])]
        if different:
            return {"error": f"the output differs from {' and '.join(different)}; not timed"}
    return {"seconds": measure(calls, rounds, row.idle)}
