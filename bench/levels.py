"""What each instruction-set level is worth: product 512 and exp of a million floats at every CCDL_ISA, one thread, against
the plain loops of native/scalar.cpp built with -O3 alone.

    python bench/levels.py [--json bench/results/NAME.json]     # NAME.md beside it

The level `generic` is no scalar baseline: its sources are written over 16-byte vectors, which on x86-64 are SSE2. So the
loops are compiled as one would write them, twice: at -O3 with -fno-tree-vectorize, the scalar build that targets are held
against, and at -O3 as it is, where gcc uses SSE2 itself.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # random.py must not hide Python's
    sys.path[:] = [p for p in sys.path if p != __file__.rpartition("/")[0]]

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LEVELS = ("generic", "v2", "v3", "v4")
TARGETS = {"gflops": {"v2": 3, "v3": 8, "v4": 16}, "gexp": {"v2": 3, "v3": 6, "v4": 10}}
VARIANTS = {"loop, -O3": [], "loop, -O3 -fno-tree-vectorize": ["-fno-tree-vectorize"]}
TITLES = {"gflops": "product 512x512x512, GFLOP/s", "gexp": "exp of 2^20 floats, 10^9/s"}
CODE = """
import json, time
import ccdl
ccdl.set_num_threads(1)
a, b, x = ccdl.randn(512, 512), ccdl.randn(512, 512), ccdl.randn(1 << 20)
def best(call):
    least = 1e9
    for _ in range(25):
        begin = time.perf_counter(); call(); least = min(least, time.perf_counter() - begin)
    return least
print(json.dumps({"level": ccdl._C._isa_level(), "gflops": 2 * 512**3 / best(lambda: a @ b) / 1e9, "gexp": 1.048576e-3 / best(x.exp)}))
"""


def loops(flags: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "scalar")
        compiler = os.environ.get("CXX", "c++")
        subprocess.run([compiler, "-O3", "-std=c++20", *flags, str(HERE / "native/scalar.cpp"), "-o", program], check=True)
        return json.loads(subprocess.run([program], capture_output=True, text=True, check=True).stdout)


def level(name: str) -> dict[str, float] | None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env={**os.environ, "CCDL_ISA": name})
    found = json.loads(done.stdout) if done.returncode == 0 else {}
    return found if found.pop("level", "") == name else None  # None: the processor lacks it


def best_of(measure: Any, times: int) -> Any:
    found = [m for m in (measure() for _ in range(times)) if m]
    return {key: max(m[key] for m in found) for key in found[0]} if found else None


def markdown(data: dict[str, Any]) -> str:
    text = [f"# Instruction-set levels on {data['cpu']}, one thread, {data['date']}", "", f"Made by `{data['command']}`; best of {data['runs']} runs, load average before {data['load']}. "
            "Targets are held against the scalar build of the plain loops, -O3 -fno-tree-vectorize; beside it the same loops "
            "at -O3, which gcc vectorises with SSE2."]  # fmt: skip
    for key, title in TITLES.items():
        vectorised, scalar = (data["loops"][name][key] for name in VARIANTS)
        text += ["", f"| {title} | | of the scalar loop | of the loop at -O3 | target | |", "|---|---|---|---|---|---|"]
        for name, m in data["loops"].items():
            text.append(f"| {name} | {m[key]:.2f} | {m[key] / scalar:.1f} | {m[key] / vectorised:.1f} | | |")
        for name, m in data["levels"].items():
            target = TARGETS[key].get(name)
            verdict = "" if target is None else "reached" if m[key] / scalar >= target * 0.95 else "missed"
            ratios = f"{m[key] / scalar:.1f} | {m[key] / vectorised:.1f}"
            text.append(f"| level {name} | {m[key]:.2f} | {ratios} | {target or ''} | {verdict} |")
    return "\n".join(text) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    cpu = next((r.split(":")[1].strip() for r in Path("/proc/cpuinfo").read_text().splitlines() if r.startswith("model name")), "?")
    data = {
        "cpu": cpu,
        "date": time.strftime("%Y-%m-%d"),
        "command": f"python bench/levels.py {' '.join(sys.argv[1:])}".strip(),
        "runs": options.runs,
        "load": round(os.getloadavg()[0], 2),
        "loops": {name: best_of(lambda flags=flags: loops(flags), options.runs) for name, flags in VARIANTS.items()},
        "levels": {name: found for name in LEVELS if (found := best_of(lambda name=name: level(name), options.runs))},
    }
    print(markdown(data))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(data, indent=1) + "\n")
        options.json.with_suffix(".md").write_text(markdown(data))
    return 0


if __name__ == "__main__":
    sys.exit(main())
