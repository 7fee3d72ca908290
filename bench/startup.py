"""What a library costs before it does anything: import time, resident memory, installed size."""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import Row

RESIDENT = "print(next(int(l.split()[1]) for l in open('/proc/self/status') if l.startswith('VmRSS')) / 1024)"
LIBRARY = "print(next((l.split()[-1] for l in open('/proc/self/maps') if 'libccdl' in l), ''))"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)


def wall(code: str) -> float:
    begin = time.perf_counter()
    python("-c", code)
    return (time.perf_counter() - begin) * 1e3


def imported(library: str, threads: int) -> dict[str, float]:
    """total: what -X importtime sums for the module; wall: beyond an empty Python; resident: of the whole process."""
    line = f"import {library}"
    python("-c", line)  # files into the page cache
    totals, walls = [], []
    for _ in range(7):
        report = python("-X", "importtime", "-c", line).stderr.splitlines()
        totals.append(next(int(r.split("|")[1]) for r in report if r.split("|")[-1].rstrip() == f" {library}") / 1e3)
        walls.append(wall(line) - wall("pass"))
    return {"total_ms": statistics.median(totals), "wall_ms": statistics.median(walls),
            "resident_MB": float(python("-c", f"{line}; {RESIDENT}").stdout)}  # fmt: skip


def stripped(path: Path) -> int:
    """The size of a file; of a shared library without its symbols, which a wheel leaves out."""
    if ".so" in path.name and shutil.which("strip"):
        with tempfile.TemporaryDirectory() as folder:
            to = Path(folder) / "stripped"
            if subprocess.run(["strip", "-o", str(to), str(path)], capture_output=True).returncode == 0:
                return to.stat().st_size
    return path.stat().st_size


def installed(library: str, threads: int) -> dict[str, float]:
    """The package's files without byte code; a library that lies elsewhere (a build folder) counts too, as in a wheel."""
    spec = importlib.util.find_spec(library)
    assert spec is not None and spec.origin is not None
    folder = Path(spec.origin).parent
    files = {p.resolve() for f in folder.rglob("*") for p in (f.rglob("*") if f.is_symlink() and f.is_dir() else [f])
             if p.is_file() and "__pycache__" not in p.parts}  # fmt: skip
    if library == "ccdl":
        files.add(Path(python("-c", f"import ccdl; ccdl.ones(1); {LIBRARY}").stdout.strip()).resolve())
    size = stripped if library == "ccdl" else lambda path: path.stat().st_size
    return {"installed_MB": sum(size(p) for p in files) / 1e6}


ROWS = [Row("import", None, probe=imported), Row("size", None, probe=installed)]
if __name__ == "__main__":
    print(json.dumps({row.name: row.probe(sys.argv[1], 1) for row in ROWS if row.probe}, indent=1))
