"""Instructions of a few hot paths, counted by callgrind and held against bench/instruction_budget.json.

    python bench/check_instructions.py [--update]      # needs valgrind and a C++ compiler

Counts the ccdl package that Python imports, at level v3, and only what is executed inside ccdl's own objects (libccdl,
_C, the small driver native/instructions.cpp): the C library, the loader and the interpreter do not matter. Counts of one
compiler repeat exactly; more than 5 % above the budget fails. Built by another compiler than the budget was recorded
with, the counts are printed, and only half again as many fail.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # random.py must not hide Python's
    sys.path[:] = [p for p in sys.path if p != __file__.rpartition("/")[0]]

import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUDGET = HERE / "instruction_budget.json"
REPEATS = 10
ALLOWED, ALLOWED_ELSEWHERE = 1.05, 1.5
ISA = "v3"

# The same marks as in native/instructions.cpp, from Python.
CALLS = f"""
import os
import ccdl
a, b = ccdl.ones(4), ccdl.ones(4)
x = ccdl.ones(4, requires_grad=True)
def backward():
    x.grad = None
    (x * b).sum().backward()
for name, call in (("Python a+b", lambda: a + b), ("Python a+2.0", lambda: a + 2.0), ("Python a[1]", lambda: a[1]),
                   ("Python a.sum(0)", lambda: a.sum(0)), ("Python small backward", backward)):
    for _ in range(3):
        call()
    print(name)
    os.getppid()
    for _ in range({REPEATS}):
        call()
    os.getppid()
"""


def libraries() -> tuple[Path, Path]:
    """libccdl and _C of the package that Python imports."""
    code = "import ccdl; ccdl.ones(1); print(ccdl._C.__file__); print(*{l.split()[-1] for l in open('/proc/self/maps') if 'libccdl' in l})"
    module, library = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    return Path(library), Path(module)


def compiler_of(library: Path) -> str:
    """As the compiler wrote it into the library's comment section."""
    found = re.findall(rb"(GCC: \([^)]*\) [\d.]+|clang version [\d.]+)", library.read_bytes())
    return sorted({f.decode() for f in found})[0] if found else "unknown"


def major(compiler: str) -> str:
    return re.sub(r"\(.*?\) *", "", compiler).partition(".")[0]


def self_cost(text: str, ours: tuple[str, ...]) -> int:
    """Instructions executed inside the objects whose file name starts with one of `ours`."""
    names: dict[str, str] = {}
    total, inside, skip = 0, False, False
    for line in text.splitlines():
        if line.startswith(("ob=", "cob=")):
            number, _, path = line.partition("=")[2].partition(" ")
            if path:
                names[number] = path
            if line.startswith("ob="):
                inside = names.get(number, "").rpartition("/")[2].startswith(ours)
        elif line.startswith("calls="):
            skip = True  # the next line is the cost of the callee
        elif line[:1] in tuple("0123456789+-*"):
            if inside and not skip:
                total += int((line.split() + [0])[1])  # a cost of zero is left out
            skip = False
    return total


def count(command: list[str], ours: tuple[str, ...]) -> dict[str, int]:
    """Instructions per call of each section the program prints; between two calls of getppid() lies one section."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "part"
        valgrind = ["valgrind", "--tool=callgrind", "--dump-before=getppid", f"--callgrind-out-file={out}"]
        done = subprocess.run([*valgrind, *command], capture_output=True, text=True, env={**os.environ, "CCDL_ISA": ISA})
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} under valgrind: {done.stderr[-1000:]}")
        names = done.stdout.splitlines()
        parts = [Path(f"{out}.{2 * i + 2}") for i in range(len(names))]
        return {name: round(self_cost(part.read_text(), ours) / REPEATS) for name, part in zip(names, parts)}


def measured() -> tuple[str, dict[str, int]]:
    library, module = libraries()
    with tempfile.TemporaryDirectory() as folder:
        driver = Path(folder) / "instructions"
        command = [os.environ.get("CXX", "c++"), "-O2", "-std=c++20", "-I", str(HERE.parent / "csrc"), str(HERE / "native/instructions.cpp"),
                   str(library), f"-Wl,-rpath,{library.parent}", "-pthread", "-o", str(driver)]  # fmt: skip
        subprocess.run(command, check=True)
        counts = count([str(driver)], ("libccdl", "instructions"))
    counts |= count([sys.executable, "-c", CALLS], ("libccdl", module.name))
    return compiler_of(library), counts


def verdicts(budget: dict[str, int], counts: dict[str, int], allowed: float) -> list[str]:
    wrong = [f"{name}: in the budget, but not measured" for name in budget.keys() - counts.keys()]
    for name, found in counts.items():
        if name not in budget:
            wrong.append(f"{name}: measured, but not in the budget")
        elif found > budget[name] * allowed:
            wrong.append(f"{name}: {found} instructions, {found / budget[name] - 1:.1%} above the budget of {budget[name]}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write the budget instead of checking it")
    options = parser.parse_args()
    probe = [sys.executable, "-c", "import ccdl; print(ccdl._C._isa_level())"]
    levels = subprocess.run(probe, capture_output=True, text=True, env={**os.environ, "CCDL_ISA": ISA})
    if levels.stdout.strip() != ISA:
        print(f"NOT JUDGED: this processor lacks level {ISA}")
        return 0
    compiler, counts = measured()
    if options.update:
        BUDGET.write_text(json.dumps({"compiler": compiler, "isa": ISA, "instructions": counts}, indent=1) + "\n")
        print(f"{len(counts)} budgets written for {compiler}")
        return 0
    recorded = json.loads(BUDGET.read_text())
    budget, same = recorded["instructions"], major(compiler) == major(recorded["compiler"])
    for name, found in counts.items():
        print(f"{name:<28}{found:>12}  budget {budget.get(name, 0):>12}  {found / max(1, budget.get(name, 0)) - 1:+.1%}")
    if not same:
        print(f"NOTE: built by {compiler}, the budget was recorded with {recorded['compiler']}: "
              f"only counts beyond {ALLOWED_ELSEWHERE} times the budget fail")  # fmt: skip
    wrong = verdicts(budget, counts, ALLOWED if same else ALLOWED_ELSEWHERE)
    for line in wrong:
        print("FAILED " + line)
    if wrong:
        print("if that is meant: python bench/check_instructions.py --update, and say why in the commit")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
