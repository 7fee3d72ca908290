"""What `import ccdl` costs and touches, and what `python -m ccdl` says."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ccdl


def run(code: str, *flags: str) -> str:
    done = subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_loads_neither_numpy_nor_submodules() -> None:
    out = run("import sys; before = set(sys.modules); import ccdl; print(*sorted(set(sys.modules) - before))")
    loaded = out.split()
    assert not [m for m in loaded if m.split(".")[0] in ("numpy", "scipy", "torch", "matplotlib", "tqdm", "sklearn")]
    assert not [m for m in loaded if m.startswith("ccdl.") and m not in ("ccdl._C", "ccdl.errors")], loaded


def test_import_prints_nothing_and_starts_no_thread() -> None:
    assert run("import ccdl, os; n = len(os.listdir('/proc/self/task')); assert n == 1, n") == ""


def test_import_costs_less_than_100_ms() -> None:
    """Median of 9 interleaved fresh processes, over bare Python."""
    def seconds(code: str) -> float:
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - begin

    seconds("import ccdl")
    bare, ours = [], []
    for _ in range(9):
        bare.append(seconds("pass"))
        ours.append(seconds("import ccdl"))
    cost = statistics.median(ours) - statistics.median(bare)
    print(f"import ccdl: {1000 * cost:.1f} ms over bare Python")
    assert cost < 0.1


def test_works_without_numpy() -> None:
    """Only the code that exchanges arrays needs NumPy: creation, maths, autograd, a module and an optimiser do not."""
    out = run("""
import sys
sys.modules["numpy"] = None
import ccdl, ccdl.nn as nn
x = ccdl.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
(x @ x).exp().log().sum().backward()
assert x.grad.tolist() == [[7.0, 11.0], [9.0, 13.0]], x.grad.tolist()
model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
step = ccdl.optim.Adam(model.parameters())
nn.functional.mse_loss(model(x.detach()), ccdl.ones(2, 1)).backward()
step.step()
assert ccdl.where(x > 2, x, 0.0).sort(descending=True).values[1, 0].item() == 4.0
print(repr(x.detach()[0]))
""")
    assert "tensor([1., 2.])" in out


def test_version_matches_the_metadata() -> None:
    from importlib.metadata import PackageNotFoundError, version
    try:
        assert version("ccdl") == ccdl.__version__
    except PackageNotFoundError:  # used from the source tree
        text = (Path(__file__).resolve().parents[1] / "CMakeLists.txt").read_text()
        assert f"project(ccdl VERSION {ccdl.__version__}" in text


def test_python_m_ccdl_reports() -> None:
    done = subprocess.run([sys.executable, "-m", "ccdl"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for word in (ccdl.__version__, "ISA", "threads", "cpu", "numpy"):
        assert word.lower() in done.stdout.lower(), (word, done.stdout)


def test_cuda_is_absent() -> None:
    assert ccdl.cuda.is_available() is False
    assert ccdl.cuda.device_count() == 0
    for needs_a_device in (lambda: ccdl.ones(2, device="cuda"), lambda: ccdl.ones(2).cuda(), ccdl.cuda.synchronize):
        with pytest.raises(RuntimeError, match="(?i)cuda"):  # built without it, or no driver: the message says which
            needs_a_device()
    assert ccdl.ones(2).sum().item() == 2  # and nothing else has suffered


def test_thread_local_storage_leaves_room_for_other_libraries() -> None:
    """libccdl's is reserved in every thread at once, from the 1.6 KB that glibc keeps for libraries loaded late."""
    import struct

    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "/libccdl" in line}
    assert len(mapped) == 1, mapped
    header = Path(mapped.pop()).read_bytes()[:4096]
    if ccdl.backends.cuda.is_built() and not ccdl._C._cuda_is_emulated():
        return  # the CUDA runtime's does not fit; such a build asks for it at run time
    limit = 1400 if ccdl.backends.cuda.is_built() else 640  # emulated devices take the rest
    (offset,), (size, count) = struct.unpack_from("<Q", header, 32), struct.unpack_from("<HH", header, 54)
    sizes = [
        struct.unpack_from("<Q", header, offset + i * size + 40)[0]
        for i in range(count)
        if struct.unpack_from("<I", header, offset + i * size)[0] == 7  # PT_TLS
    ]
    assert sizes and sum(sizes) <= limit
