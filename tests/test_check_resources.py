"""cuda/check_resources.py: what it reads from ptxas, what it objects to, and its budget file."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
if not (ROOT / "cuda" / "check_resources.py").exists() or shutil.which("c++filt") is None:
    pytest.skip("needs a C++ compiler and CMake", allow_module_level=True)
spec = importlib.util.spec_from_file_location("check_resources", ROOT / "cuda" / "check_resources.py")
check = importlib.util.module_from_spec(spec)
sys.modules["check_resources"] = check
spec.loader.exec_module(check)

FILL = "_ZN4ccdl2cu36_GLOBAL__N__89b8bf71_4_t_cu_ccb485a811fill_kernelIfLi4EEEvPT_lS3_"
LOG = f"""ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function '{FILL}' for 'sm_80'
ptxas info    : Function properties for {FILL}
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 16 registers, used 1 barriers, 128 bytes smem, 372 bytes cmem[0]
ptxas info    : Compile time = 11.548 ms
ptxas info    : Compiling entry function '_ZN4ccdl2cu12plain_kernelEPf' for 'sm_80'
ptxas info    : Function properties for _ZN4ccdl2cu12plain_kernelEPf
    400 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Function properties for __internal_trig_reduction_slowpathd
    40 bytes stack frame, 4 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 127 registers, used 0 barriers, 400 bytes cumulative stack size, 360 bytes cmem[0]
"""
WGMMA = ("ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to "
         "insufficient register resources for the wgmma pipeline in the function 'f'\n")


def unit(**changes: object) -> object:
    kernels, warnings = check.parse(LOG)
    made = check.Compiled("softmax.cu", "sm_80", check.named(kernels), warnings, 3.0)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def budget(**recorded: list[int]) -> dict:
    names = {"fill": "fill_kernel<float, 4>", "plain": "plain_kernel"}
    return {"no_spills": ["fill_*"], "recorded": {"sm_80": {"softmax.cu": {names[k]: v for k, v in recorded.items()}}}}


def test_what_is_read() -> None:
    kernels, warnings = check.parse(LOG)
    assert warnings == []
    fill, plain = check.named(kernels)
    assert (fill.name, fill.arch, fill.numbers()) == ("fill_kernel<float, 4>", "sm_80", [16, 0, 0, 128])
    assert (plain.name, plain.numbers()) == ("plain_kernel", [127, 24, 400, 0])
    assert len(check.parse(LOG + WGMMA)[1]) == 1


@pytest.mark.parametrize(("plain", "want"), [
    ("void ccdl::cu::(anonymous namespace)::fill_kernel<float, 4>(float*, long, float)", "fill_kernel<float, 4>"),
    ("ccdl::cu::f(ccdl::View, int (*)(float))", "f"),
    ("void ccdl::cu::map_kernel<ccdl::cu::Op<ccdl::float16, (int)4>, (bool)1>(ccdl::cu::Walk<2>)",
     "map_kernel<Op<float16, (int)4>, (bool)1>"),
])
def test_names(plain: str, want: str) -> None:
    assert check.without_parameters(plain) == want


def test_same_names_are_told_apart() -> None:
    twice = [check.Kernel("_ZN4ccdl2cu1fEi", "sm_80"), check.Kernel("_ZN4ccdl2cu1fEf", "sm_80")]
    assert [k.name for k in check.named(twice)] == ["f", "f #2"]


def test_objections() -> None:
    fine = budget(fill=[16, 0, 0, 128], plain=[127, 24, 400, 0])
    assert check.absolute(unit(), fine) == [] and check.drift(unit(), fine) == []
    assert check.drift(unit(), budget(fill=[10, 0, 0, 128], plain=[121, 24, 400, 0])) == []  # the same step of eight
    assert "127 registers, recorded 120" in check.drift(unit(), budget(fill=[16, 0, 0, 128], plain=[120, 24, 400, 0]))[0]
    assert "spills grew from 0 to 24" in check.drift(unit(), budget(fill=[16, 0, 0, 128], plain=[127, 0, 400, 0]))[0]
    assert "shared memory grew" in check.drift(unit(), budget(fill=[16, 0, 0, 64], plain=[127, 24, 400, 0]))[0]
    assert check.drift(unit(), budget(fill=[16, 0, 0, 128])) == []  # counted, no objection
    assert check.unrecorded([unit()], budget(fill=[16, 0, 0, 128])) == 1 and check.unrecorded([unit()], fine) == 0
    assert "no_spills" in check.absolute(unit(), {**fine, "no_spills": ["*"]})[0]
    assert "61 s" in check.absolute(unit(seconds=61.0), fine)[0]
    assert "does not compile" in check.absolute(unit(status=1, text="error: x"), fine)[0]
    assert "serialized" in check.absolute(unit(warnings=[WGMMA]), fine)[0]


def test_update_and_render() -> None:
    whole = check.updated({"no_spills": ["*"]}, [unit()], True)
    text = check.render(whole)
    assert json.loads(text) == whole and '"plain_kernel": [127, 24, 400, 0]' in text
    other = check.updated(whole, [unit(file="norm.cu")], False)
    assert set(other["recorded"]["sm_80"]) == {"softmax.cu", "norm.cu"}
    assert set(check.updated(other, [unit()], True)["recorded"]["sm_80"]) == {"softmax.cu"}


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a compiler that says what LOG holds: update, agree, then object to one register step less."""
    compiler = tmp_path / "nvcc"
    compiler.write_text(f"#!/bin/sh\ncat <<'END'\n{LOG}END\n")
    compiler.chmod(0o755)
    source = check.CUDA / "kernels" / "sample.cu"  # need not exist: the compiler above does not read it
    path = tmp_path / "budget.json"
    run = lambda *more: check.main([str(source), "--arch", "sm_80", "--nvcc", str(compiler), "--budget", str(path), *more])
    found = tmp_path / "found.json"
    assert run("--update") == 0 and run("--found", str(found)) == 0
    assert json.loads(found.read_text())["recorded"] == json.loads(path.read_text())["recorded"]
    saved = json.loads(path.read_text())
    saved["recorded"]["sm_80"]["sample.cu"]["plain_kernel"][0] = 100
    path.write_text(json.dumps(saved))
    assert run() == 1
    out = capsys.readouterr().out
    assert "sample.cu" in out and " s " in out and "127 registers, recorded 100" in out


def test_log_of_a_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Kernels are held to what is recorded for their file: two files may have kernels of the same name."""
    log, steps, path = tmp_path / "build.log", tmp_path / ".ninja_log", tmp_path / "budget.json"
    step = "[{}/3] Building CUDA object CMakeFiles/k.dir/cuda/kernels/{}.cu.o\n"
    log.write_text("[0/3] Re-checking globbed directories...\n" + step.format(1, "softmax") + LOG
                   + step.format(2, "linalg/qr") + LOG + "[3/3] Linking CXX shared library libccdl.so\n")  # fmt: skip
    recorded = {"fill_kernel<float, 4>": [16, 0, 0, 128], "plain_kernel": [127, 24, 400, 0]}
    path.write_text(json.dumps({"recorded": {"sm_80": {"softmax.cu": recorded, "linalg/qr.cu": recorded}}}))
    run = lambda: check.main(["--log", str(log), "--steps", str(steps), "--budget", str(path)])
    object_line = "{}\t{}\t0\tCMakeFiles/k.dir/cuda/kernels/softmax.cu.o\tdeadbeef\n"
    steps.write_text("# ninja log v5\n" + object_line.format(100, 9_100))
    assert run() == 0 and "2 compilations, 4 kernels: nothing" in capsys.readouterr().out
    steps.write_text("# ninja log v5\n" + object_line.format(100, 121_200))
    assert run() == 1 and "softmax.cu sm_80: took 121 s" in capsys.readouterr().out
    steps.write_text("")
    less = {"plain_kernel": [100, 24, 400, 0]}
    path.write_text(json.dumps({"recorded": {"sm_80": {"softmax.cu": recorded, "linalg/qr.cu": less}}}))
    assert run() == 1
    out = capsys.readouterr().out
    assert "linalg/qr.cu sm_80: plain_kernel uses 127 registers, recorded 100" in out and "1 kernels are not" in out
    log.write_text(step.format(1, "gemm_sm90") + WGMMA)
    assert run() == 1 and "serialized" in capsys.readouterr().out
    log.write_text("ninja: no work to do.\n")
    assert run() == 1 and "no kernels" in capsys.readouterr().out


def test_hopper_files_are_compiled_for_hopper_alone() -> None:
    assert check.architectures(Path("gemm_sm90.cu"), check.ARCHITECTURES) == ["sm_90a"]
    assert check.architectures(Path("gemm.cu"), check.ARCHITECTURES) == ["sm_80", "sm_90a"]


def test_the_committed_budget() -> None:
    committed = json.loads(check.BUDGET.read_text())
    assert committed["no_spills"] and set(committed["recorded"]) <= set(check.ARCHITECTURES)
    files = {p.relative_to(check.CUDA / "kernels").as_posix() for p in (check.CUDA / "kernels").rglob("*.cu")}
    for recorded in committed["recorded"].values():
        assert set(recorded) <= files, "files that are gone: run cuda/check_resources.py --update"
