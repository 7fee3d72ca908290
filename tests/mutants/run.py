"""Plants each fault of mutants.py in a copy of the checkout, rebuilds, and wants its tests red.

    python tests/mutants/run.py [--cuda] [--work FOLDER] [part of a name ...]

With --cuda the faults are those of the CUDA kernels, and the build and the tests are the emulated device's. Needs
pybind11, CMake and a compiler; about a minute per fault with ccache. Exit status 1 when a fault survives.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from mutants import CUDA_MUTANTS, MUTANTS

ROOT = Path(__file__).resolve().parents[2]


def build(copy: Path, folder: Path, cuda: bool) -> bool:
    if not (folder / "CMakeCache.txt").exists():
        pybind11 = subprocess.run([sys.executable, "-m", "pybind11", "--cmakedir"], capture_output=True, text=True,
                                  check=True).stdout.strip()
        launcher = ["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []
        subprocess.run(["cmake", "-S", str(copy), "-B", str(folder), "-DCCDL_PYTHON=ON",
                        "-DCCDL_TESTS=" + ("OFF" if cuda else "ON"), "-DCCDL_CUDA=" + ("EMULATED" if cuda else "OFF"),
                        f"-Dpybind11_DIR={pybind11}", f"-DPython_EXECUTABLE={sys.executable}", *launcher],
                       check=True, stdout=subprocess.DEVNULL)
    done = subprocess.run(["cmake", "--build", str(folder), "-j2"], capture_output=True, text=True)
    for module in folder.glob("_C*.so"):
        target = copy / "python" / "ccdl" / module.name
        target.unlink(missing_ok=True)
        target.symlink_to(module)
    return done.returncode == 0


def green(copy: Path, folder: Path, tests: list[str], cuda: bool) -> bool:
    if tests == ["tests/cpp"]:
        return subprocess.run(["ctest", "--test-dir", str(folder)], capture_output=True).returncode == 0
    environment = dict(os.environ, PYTHONPATH=str(copy / "python"))
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider",
                           *(("--device", "cuda") if cuda else ()), *tests], cwd=copy,
                          env=environment, capture_output=True, text=True)
    return done.returncode == 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cuda", action="store_true", help="plant the faults of the CUDA kernels")
    parser.add_argument("--work", type=Path)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    work = options.work or Path(tempfile.mkdtemp(prefix="ccdl-mutants-"))
    work.mkdir(parents=True, exist_ok=True)
    copy, folder = work / "tree", work / "build"
    shutil.rmtree(copy, ignore_errors=True)
    skip = shutil.ignore_patterns(".git", "build*", "*.so", "__pycache__", ".venv")
    shutil.copytree(ROOT, copy, ignore=skip)
    faults = CUDA_MUTANTS if options.cuda else MUTANTS
    chosen = [m for m in faults if not options.names or any(part in m[0] for part in options.names)]
    for name, file, text, _, _ in chosen:
        found = (copy / file).read_text().count(text)
        if found != 1:
            print(f"STALE    {name}: the text occurs {found} times in {file}")
            return 1
    if not build(copy, folder, options.cuda):
        print("the unchanged tree does not build")
        return 1
    for tests in {tuple(m[4]): None for m in chosen}:  # a test that is red anyway proves nothing
        if not green(copy, folder, list(tests), options.cuda):
            print(f"red on the unchanged tree: {' '.join(tests)}")
            return 1
    survived = 0
    for name, file, text, replacement, tests in chosen:
        path = copy / file
        original = path.read_text()
        path.write_text(original.replace(text, replacement))
        verdict = "NO BUILD"
        if build(copy, folder, options.cuda):
            verdict = "SURVIVED" if green(copy, folder, tests, options.cuda) else "caught  "
        path.write_text(original)
        print(f"{verdict} {name}", flush=True)
        survived += verdict != "caught  "
    if options.work is None:
        shutil.rmtree(work)
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
