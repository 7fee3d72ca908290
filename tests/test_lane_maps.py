"""bench/gpu/lane_maps.cu, compiled against the emulator this build runs on, prints the maps of the PTX manual."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import ccdl

ROOT = Path(__file__).resolve().parent.parent
GPU = ROOT / "bench" / "gpu"


@pytest.mark.gpu
def test_lane_maps_of_the_emulator(tmp_path: Path) -> None:
    if not ccdl.cuda.is_emulated():
        pytest.skip("not declared by this case")  # bench/gpu/run_all.sh does it on a real device
    spec = importlib.util.spec_from_file_location("lane_maps_reader", GPU / "lane_maps.py")
    assert spec is not None and spec.loader is not None
    lane_maps = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(lane_maps)
    if shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler and CMake")
    maps = Path("/proc/self/maps").read_text().splitlines()
    library = next(Path(line.split()[5]) for line in maps if "libccdl.so" in line)
    program = tmp_path / "lane_maps"
    source = tmp_path / "lane_maps.cpp"
    source.write_text(f'#include "{GPU / "lane_maps.cu"}"\n')
    options = re.search(r"CCDL_EMULATED_KERNEL_OPTIONS (.*?)\)", (ROOT / "cuda/cuda.cmake").read_text(), re.S)
    assert options is not None
    instrumented = options[1].replace("SHELL:", "").replace('"', "").split()
    includes = [f"-I{ROOT / folder}" for folder in ("cuda/emulator/include", "cuda", "csrc")]
    # -fsanitize=thread only instruments: linking with it would bring the sanitizer's own run-time library
    for command in (["c++", "-std=c++20", "-DCCDL_CUDA_EMULATED", *instrumented, *includes, "-c", str(source), "-o", f"{program}.o"],
                    ["c++", f"{program}.o", "-o", str(program), str(library), f"-Wl,-rpath,{library.parent}",
                     "-Wl,--unresolved-symbols=ignore-in-shared-libs", "-pthread"]):
        built = subprocess.run(command, capture_output=True, text=True)
        assert built.returncode == 0, built.stderr
    printed = subprocess.run([str(program)], capture_output=True, text=True, check=True, timeout=120).stdout
    assert lane_maps.compare(printed.splitlines(), lane_maps.expected())["different"] == {}
