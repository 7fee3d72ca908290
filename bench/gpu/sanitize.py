"""One small call, forward and backward, of every op case on the CUDA device: what compute-sanitizer looks at.

    compute-sanitizer --tool memcheck --error-exitcode 9 python bench/gpu/sanitize.py --json memcheck.json [--part 0/2]

Memory comes from a caching allocator, whose blocks are larger than the tensors in them: with CCDL_CUDA_CACHE=0 each
tensor is an allocation of its own and the tool sees its borders.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent.parent / "tests" / "ops"
LIMIT = 3000  # elements of one sample


def cases() -> list[Any]:
    sys.path.append(str(TESTS))  # at the end: a family file may be called like a standard module
    import harness

    return [case for module in harness.families() for case in module.CASES]


def part_of(items: list[Any], part: str) -> list[Any]:
    """Every n-th item, starting at k: "k/n"."""
    k, n = (int(x) for x in part.split("/"))
    if not 0 <= k < n:
        raise SystemExit(f"--part {part}: expected k/n with 0 <= k < n")
    return items[k::n]


def dtypes_of(case: Any) -> list[str]:
    """One full-precision and one half format, or whatever the case has."""
    wanted = [d for d in ("float32", "bfloat16") if d in case.dtypes]
    return wanted or list(case.dtypes[:1])


def run_case(harness: Any, T: Any, case: Any) -> int:
    calls = 0
    op = harness.resolve(T, case.op)
    for dtype in dtypes_of(case):
        fitting = [s for s in harness.samples_of(case, dtype) if harness.elements(s) <= LIMIT]
        if not fitting:
            continue
        sample = max(fitting, key=harness.elements)
        wanted = case.grad and sample.grad and bool(harness.free_arrays(sample))
        call = harness.Call(T, sample, dtype, requires_grad=wanted)
        op(*call.args, **call.kwargs)
        if wanted:
            harness.grads(T, op, call, None, dtype)
        calls += 1
    return calls


def main(words: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--seconds", type=float, default=420.0)
    options = parser.parse_args(words)
    todo = part_of(cases(), options.part)
    import harness

    import ccdl

    result: dict[str, Any] = {"cases": len(todo), "calls": 0, "done": [], "failed": {}}
    begin = time.monotonic()
    with harness.on("cuda"):
        for case in todo:
            if time.monotonic() - begin > options.seconds:
                break
            try:
                result["calls"] += run_case(harness, ccdl, case)
                ccdl.cuda.synchronize()
                result["done"].append(case.name)
            except Exception as problem:
                result["failed"][case.name] = f"{type(problem).__name__}: {problem}"[:200]
            options.json.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{len(result['done'])} of {len(todo)} cases, {result['calls']} calls, {len(result['failed'])} failed")
    return 1 if result["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
