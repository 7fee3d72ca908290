"""Compiles every kernel file with nvcc and holds what ptxas reports against cuda/resource_budget.json.

    python cuda/check_resources.py                          all files for sm_80 and sm_90a, two at a time
    python cuda/check_resources.py cuda/kernels/softmax.cu  some files
    python cuda/check_resources.py --update                 rewrites the recorded numbers (of the files given)
    python cuda/check_resources.py --log build.log --steps .ninja_log    judges a build made with -Xptxas -v

It fails on: spills in a kernel matching one of the budget's "no_spills" patterns; more spilled bytes, stack
or shared memory than recorded in the others; more registers than recorded (compared in steps of eight, the
hardware's unit); ptxas's warnings C7508 and C7510 (serialised wgmma); a file that does not compile, or takes
more than 60 s of processor time (of a log: 120 s on the clock) for one architecture. Kernels that are not recorded yet are counted. Files
named *_sm90.cu are compiled for sm_90a alone.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

CUDA = Path(__file__).resolve().parent
BUDGET = CUDA / "resource_budget.json"
ARCHITECTURES = ("sm_80", "sm_90a")
FLAGS = (
    "-std=c++20",
    "--fmad=false",
    "-DNDEBUG",
    "-Xcompiler",
    "-Wall,-Wextra",
    "-Xptxas",
    "-v",
    f"-I{CUDA}",
    f"-I{CUDA.parent / 'csrc'}",
)
SECONDS = 60.0
ON_THE_CLOCK = 2 * SECONDS  # where only that is known: other steps run beside it
REGISTER_UNIT = 8  # registers per thread are handed out in eights


@dataclasses.dataclass
class Kernel:
    """What ptxas says about one kernel for one architecture; bytes except registers."""

    name: str
    arch: str
    registers: int = 0
    spills: int = 0  # stores + loads
    stack: int = 0
    shared: int = 0

    def numbers(self) -> list[int]:
        return [self.registers, self.spills, self.stack, self.shared]


@dataclasses.dataclass
class Compiled:
    """One file for one architecture."""

    file: str
    arch: str
    kernels: list[Kernel]
    warnings: list[str]
    seconds: float = 0.0
    limit: float = SECONDS
    status: int = 0
    text: str = ""


def without_parameters(name: str) -> str:
    """A demangled name without return type, parameter list, our namespaces and the anonymous ones."""
    name = name.replace("(anonymous namespace)::", "").replace("ccdl::cu::", "").replace("ccdl::", "")
    if name.endswith(")"):  # the balanced group at the end
        depth = 0
        for i in range(len(name) - 1, -1, -1):
            depth += (name[i] == ")") - (name[i] == "(")
            if depth == 0:
                name = name[:i]
                break
    depth, start = 0, 0
    for i, c in enumerate(name):  # "void f<A, B>" -> "f<A, B>"
        depth += (c in "<(") - (c in ">)")
        if c == " " and depth == 0:
            start = i + 1
    return name[start:]


def demangle(names: Iterable[str]) -> dict[str, str]:
    names = sorted(set(names))
    if not names:
        return {}
    text = subprocess.run(
        ["c++filt"], input="\n".join(names) + "\n", capture_output=True, text=True, check=True
    ).stdout
    return {
        mangled: without_parameters(plain) for mangled, plain in zip(names, text.splitlines(), strict=True)
    }


ENTRY = re.compile(r"Compiling entry function '([^']+)' for '([^']+)'")
PROPERTIES = re.compile(r"Function properties for (\S+)")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
STEP = re.compile(r"^\[[^]]*\] (.*)$", re.MULTILINE)  # what ninja says before the output of a step
KERNEL_OBJECT = re.compile(r"/kernels/(\S+\.cu)\.o$")
SERIALISED = re.compile(r"\((?:C7508|C7510)\)")


def parse(text: str) -> tuple[list[Kernel], list[str]]:
    """The kernels (mangled names) and the warnings that count, from the output of nvcc -Xptxas -v."""
    kernels: list[Kernel] = []
    warnings = []
    current: Kernel | None = None
    inside = ""  # the function whose properties come next; called device functions have some of their own
    for line in text.splitlines():
        if SERIALISED.search(line):
            warnings.append(line.strip())
        elif found := ENTRY.search(line):
            current = Kernel(found[1], found[2])
            inside = found[1]
            kernels.append(current)
        elif found := PROPERTIES.search(line):
            inside = found[1]
        elif current is not None and (found := STACK.search(line)):
            if inside == current.name:
                current.stack, current.spills = int(found[1]), int(found[2]) + int(found[3])
            else:
                current.spills += int(found[2]) + int(found[3])
        elif current is not None and (found := USED.search(line)):
            current.registers = int(found[1])
            if shared := SHARED.search(line):
                current.shared = int(shared[1])
    return kernels, warnings


def named(kernels: list[Kernel]) -> list[Kernel]:
    """The same with readable, unique names, sorted."""
    plain = demangle(k.name for k in kernels)
    seen: dict[str, int] = {}
    result = []
    for k in sorted(kernels, key=lambda k: (plain[k.name], k.name)):
        name = plain[k.name]
        seen[name] = seen.get(name, 0) + 1
        result.append(dataclasses.replace(k, name=name if seen[name] == 1 else f"{name} #{seen[name]}"))
    return result


def run(command: list[str], output: Path) -> tuple[int, float]:
    """Exit status and seconds of processor time, which a busy machine does not stretch."""
    with output.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_utime + usage.ru_stime


def compile_one(path: Path, arch: str, nvcc: str) -> Compiled:
    file = path.relative_to(CUDA / "kernels").as_posix()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        # not -arch=sm_90a, which also compiles for compute_90: that has no wgmma
        target = f"-gencode=arch={arch.replace('sm_', 'compute_')},code={arch}"
        command = [nvcc, *FLAGS, target, "-c", str(path), "-o", f"{folder}/x.o"]
        status, seconds = run(command, log)
        text = log.read_text(errors="replace")
    kernels, warnings = parse(text)
    return Compiled(file, arch, named(kernels), warnings, seconds, SECONDS, status, text)


def architectures(path: Path, asked: Iterable[str]) -> list[str]:
    return [a for a in asked if a == "sm_90a" or not path.stem.endswith("_sm90")]


def steps(registers: int) -> int:
    return -(-registers // REGISTER_UNIT) * REGISTER_UNIT


def absolute(unit: Compiled, budget: dict[str, Any]) -> list[str]:
    """What no recorded number excuses, one line each."""
    where = f"{unit.file} {unit.arch}"
    if unit.status != 0:
        return [f"{where}: does not compile\n{unit.text}"]
    wrong = [f"{where}: {warning}" for warning in unit.warnings]
    if unit.seconds > unit.limit:
        wrong.append(f"{where}: took {unit.seconds:.0f} s to compile, the limit is {unit.limit:.0f} s")
    for k in unit.kernels:
        if k.spills and any(fnmatch.fnmatchcase(k.name, pattern) for pattern in budget.get("no_spills", ())):
            wrong.append(f"{where}: {k.name} spills {k.spills} bytes; it is listed under no_spills")
    return wrong


def drift(unit: Compiled, budget: dict[str, Any]) -> list[str]:
    """What grew over the recorded numbers, one line each."""
    where = f"{unit.file} {unit.arch}"
    recorded = budget.get("recorded", {}).get(unit.arch, {}).get(unit.file, {})
    wrong = []
    for k in unit.kernels:
        if k.name not in recorded:
            continue
        registers, spills, stack, shared = recorded[k.name]
        if steps(k.registers) > steps(registers):
            wrong.append(f"{where}: {k.name} uses {k.registers} registers, recorded {registers}")
        for what, now, before in (
            ("spills", k.spills, spills),
            ("stack", k.stack, stack),
            ("shared memory", k.shared, shared),
        ):
            if now > before:
                wrong.append(f"{where}: {k.name}: {what} grew from {before} to {now} bytes")
    return wrong


def unrecorded(units: list[Compiled], budget: dict[str, Any]) -> int:
    files = budget.get("recorded", {})
    known = lambda u: files.get(u.arch, {}).get(u.file, {})
    return sum(k.name not in known(u) for u in units for k in u.kernels)


def of_build(text: str, steps_taken: str = "") -> list[Compiled]:
    """The output of a whole build by ninja, per file and architecture; steps_taken: its .ninja_log."""
    seconds: dict[str, float] = {}
    for line in steps_taken.splitlines():
        fields = line.split("\t")
        if len(fields) == 5 and (found := KERNEL_OBJECT.search(fields[3])):
            seconds[found[1]] = (int(fields[1]) - int(fields[0])) / 1e3
    parts = STEP.split(text)  # what stands before the first step, then step, output, step, output, ...
    units = []
    for step, output in zip(["", *parts[1::2]], parts[::2], strict=True):
        found = KERNEL_OBJECT.search(step)
        kernels, warnings = parse(output)
        for arch in sorted({k.arch for k in kernels}) or ([""] if warnings else []):
            file = found[1] if found else "outside any step"
            of_arch = named([k for k in kernels if k.arch == arch])
            units.append(Compiled(file, arch, of_arch, warnings, seconds.get(file, 0.0), ON_THE_CLOCK))
    return units


def updated(budget: dict[str, Any], units: list[Compiled], whole: bool) -> dict[str, Any]:
    """The budget with these files' numbers; whole: files that were not compiled are gone."""
    recorded: dict[str, dict[str, Any]] = (
        {} if whole else {a: dict(f) for a, f in budget.get("recorded", {}).items()}
    )
    for unit in units:
        recorded.setdefault(unit.arch, {})[unit.file] = {k.name: k.numbers() for k in unit.kernels}
    return {
        "no_spills": budget.get("no_spills", []),
        "numbers": ["registers", "spills", "stack", "shared"],
        "recorded": {arch: dict(sorted(files.items())) for arch, files in sorted(recorded.items())},
    }


def render(budget: dict[str, Any]) -> str:
    """JSON with one kernel per line, so that differences read well."""
    lines = [json.dumps(budget, indent=1)]
    text = re.sub(r"\[\s+(\d+),\s+(\d+),\s+(\d+),\s+(\d+)\s+\]", r"[\1, \2, \3, \4]", lines[0])
    return text + "\n"


def report(units: list[Compiled], wrong: list[str], budget: dict[str, Any]) -> int:
    if missing := unrecorded(units, budget):
        print(f"{missing} kernels are not recorded yet: run with --update")
    kernels = sum(len(u.kernels) for u in units)
    print("\n".join(wrong) or f"{len(units)} compilations, {kernels} kernels: nothing to object to")
    return 1 if wrong else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="default: every kernel file")
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--nvcc", default="nvcc")
    parser.add_argument("--update", action="store_true", help="write the numbers found into the budget file")
    parser.add_argument(
        "--log", type=Path, help="output of a build by ninja with -Xptxas -v; nothing is compiled"
    )
    parser.add_argument("--steps", type=Path, help="the .ninja_log of that build: seconds on the clock")
    parser.add_argument("--found", type=Path, help="also write what was found, as a budget file")
    parser.add_argument("--budget", type=Path, default=BUDGET)
    options = parser.parse_args(arguments)
    budget = json.loads(options.budget.read_text()) if options.budget.exists() else {}

    if options.log:
        units = of_build(options.log.read_text(), options.steps.read_text() if options.steps else "")
        wrong = [line for unit in units for line in absolute(unit, budget) + drift(unit, budget)]
        wrong += [] if units else [f"{options.log}: no kernels; was it built afresh, with -Xptxas -v?"]
        return report(units, wrong, budget)

    paths = [p.resolve() for p in options.files] or sorted((CUDA / "kernels").rglob("*.cu"))
    work = [(p, a) for p in paths for a in architectures(p, options.arch or ARCHITECTURES)]
    units = []
    wrong = []
    whole = not options.files and not options.arch
    if options.update and whole:
        budget = updated(budget, [], True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for unit in pool.map(lambda pair: compile_one(*pair, options.nvcc), work):
            units.append(unit)
            most = max((k.registers for k in unit.kernels), default=0)
            spilling = sum(1 for k in unit.kernels if k.spills)
            print(
                f"{unit.file:<40}{unit.arch:<8}{unit.seconds:6.1f} s {len(unit.kernels):4} kernels, "
                f"at most {most} registers{f', {spilling} spill' if spilling else ''}",
                flush=True,
            )
            wrong += absolute(unit, budget) + ([] if options.update or unit.status else drift(unit, budget))
            if options.update and unit.status == 0:
                budget = updated(budget, [unit], False)
                options.budget.write_text(render(budget))
    if options.found:
        options.found.write_text(render(updated(budget, [u for u in units if u.status == 0], True)))
    return report(units, wrong, budget)


if __name__ == "__main__":
    sys.exit(main())
