"""This machine: its processor, the versions and variables that matter, its measured peaks."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BUSY = 1.0  # a load average before the run above this makes its figures provisional
NATIVE = ["c++", "-O3", "-march=native", "-std=c++20", "-pthread"]
KEEP = {  # glibc keeps what is freed: the state in which the peers are fastest
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "17179869184",
    "MALLOC_TOP_PAD_": "268435456",
}


def peaks(threads: int) -> dict[str, float]:
    """{"gflops": ..., "gbytes": ...} from native/peak.cpp, compiled on the spot; empty without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "peak"
        built = subprocess.run([*NATIVE, str(HERE / "native/peak.cpp"), "-o", str(program)], capture_output=True)
        if built.returncode != 0:
            return {}
        done = subprocess.run([str(program), str(threads)], capture_output=True, text=True, check=True)
        return json.loads(done.stdout)


def cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":")[1].strip()
    return platform.processor()


def environment(libraries: dict[str, Any]) -> dict[str, Any]:
    import ccdl

    kept = ("OMP_", "MKL_", "OPENBLAS_", "CCDL_", "KMP_", "GOMP_", "MALLOC_", "GLIBC_")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": platform.platform(),
        "python": platform.python_version(),
        "ccdl": ccdl.__version__,
        "isa": ccdl._C._isa_level(),
        "peers": {name: lib.__version__ for name, lib in libraries.items() if name != "ccdl"},
        "variables": {k: v for k, v in os.environ.items() if k.startswith(kept)},
    }
