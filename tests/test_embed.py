"""A stranger's C++ project and a stranger's C++ op, built against the installed wheel."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ccdl

HERE = Path(__file__).resolve().parent / "cpp"
pytestmark = pytest.mark.slow


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def cmake_dir() -> str:
    if not (Path(ccdl.__file__).parent / "lib" / "cmake" / "ccdl").is_dir():
        pytest.skip("runs on the installed wheel only")
    if shutil.which("cmake") is None or shutil.which("c++") is None:
        pytest.skip("needs a C++ compiler and CMake")
    return run(sys.executable, "-m", "ccdl", "--cmake-dir").strip()


def test_embed_project_against_the_wheel(cmake_dir: str, tmp_path: Path) -> None:
    run("cmake", "-S", str(HERE / "embed"), "-B", str(tmp_path), f"-Dccdl_DIR={cmake_dir}")
    run("cmake", "--build", str(tmp_path))
    assert "ok" in run(str(tmp_path / "embed"), str(tmp_path / "model.safetensors"))
    loaded = ccdl.load(str(tmp_path / "model.safetensors"))  # what C++ wrote, Python reads
    assert set(loaded) == {"w1", "b1", "w2", "b2"} and tuple(loaded["w1"].shape) == (4, 2)


def test_custom_op_against_the_wheel(cmake_dir: str, tmp_path: Path) -> None:
    pytest.importorskip("pybind11", reason="the extra package is not installed")
    pybind11_dir = run(sys.executable, "-m", "pybind11", "--cmakedir").strip()
    run("cmake", "-S", str(HERE / "custom_op"), "-B", str(tmp_path), f"-Dccdl_DIR={cmake_dir}",
        f"-Dpybind11_DIR={pybind11_dir}", f"-DPython_EXECUTABLE={sys.executable}")
    run("cmake", "--build", str(tmp_path))
    (built,) = tmp_path.glob("custom_op*.so")
    spec = importlib.util.spec_from_file_location("custom_op", built)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    x = ccdl.tensor(np.linspace(-3, 3, 12).reshape(3, 4), requires_grad=True)
    y = module.softclip(x.t(), 1.5)
    np.testing.assert_allclose(y.detach().numpy(), 1.5 * np.tanh(x.detach().numpy().T / 1.5), rtol=1e-12)
    assert type(y) is ccdl.Tensor and y.grad_fn is not None
    assert ccdl.autograd.gradcheck(lambda t: module.softclip(t, 1.5), (x,))
    assert ccdl.autograd.gradgradcheck(lambda t: module.softclip(t, 1.5), (x,))
    with pytest.raises(RuntimeError, match="softclip: input must be float64, got float32"):
        module.softclip(ccdl.ones(2))
    with pytest.raises(ValueError, match="softclip: a must be positive"):
        module.softclip(x, -1.0)
    with pytest.raises(TypeError):
        module.softclip([1.0])
