"""Speed of many operators against PyTorch, sorted by ratio: a search for cliffs rather than a record.

    python bench/probe.py [--threads 1] [--only REGEX] [--below 0.8] [--grad]

Every case runs on a medium tensor (1-8 MB) in both libraries in turns and keeps the fastest of many short repeats, so
that a busy neighbour disturbs little; a ratio above 1 means ccdl is faster. The process restarts itself with glibc told
to keep freed memory, the state in which PyTorch is fastest; --malloc default leaves it alone.
"""

from __future__ import annotations

import sys

HERE = __file__.rpartition("/")[0]
sys.path[:] = [p for p in sys.path if p != HERE] + [HERE]  # last: random.py must not hide Python's

import argparse
import os
import re
import time
import warnings
from collections.abc import Callable
from typing import Any

import probe_cases as cases

KEEP = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


def seconds(f: Callable[[], Any], number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        f()
    return (time.perf_counter() - begin) / number


def fastest(calls: list[Callable[[], Any]], rounds: int) -> list[float]:
    numbers = []
    for f in calls:
        f()
        numbers.append(max(1, min(5000, int(0.001 / max(seconds(f, 1), 1e-8)))))
    best = [float("inf")] * len(calls)
    for _ in range(rounds):
        for i, f in enumerate(calls):
            best[i] = min(best[i], seconds(f, numbers[i]))
    return best


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", default="", help="regular expression on the case's name")
    parser.add_argument("--below", type=float, default=float("inf"), help="print only ratios below this")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--grad", action="store_true", help="elementwise and reductions with gradient too")
    parser.add_argument("--malloc", choices=("default", "keep"), default="keep")
    options = parser.parse_args()
    if options.malloc == "keep" and not all(k in os.environ for k in KEEP):
        os.execve(sys.executable, [sys.executable, *sys.argv], dict(os.environ, **KEEP))
    warnings.simplefilter("ignore")
    import torch

    import ccdl

    for library in (ccdl, torch):
        library.set_num_threads(options.threads)
    wanted = re.compile(options.only)
    results, missing = [], []
    chosen = [*cases.moves(), *cases.elementwise(options.grad), *cases.reductions(options.grad), *cases.layers()]
    for name, make in chosen:
        if not wanted.search(name):
            continue
        try:
            theirs = make(torch)
            theirs()
        except Exception:  # what PyTorch does not offer is no comparison
            continue
        try:
            ours = make(ccdl)
            ours()
        except Exception as error:
            missing.append((name, f"{type(error).__name__}: {error}"[:100]))
            continue
        a, b = fastest([ours, theirs], options.rounds)
        results.append((b / a, name, a, b))
    print(f"{'ratio':>7} {'case':<40}{'ccdl us':>10}{'torch us':>10}")
    for ratio, name, a, b in sorted(results):
        if ratio < options.below:
            print(f"{ratio:7.2f} {name:<40}{a * 1e6:10.1f}{b * 1e6:10.1f}")
    for name, why in missing:
        print(f"   none {name:<40}{why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
