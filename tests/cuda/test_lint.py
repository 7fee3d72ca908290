"""The emulator's bank-conflict lint: the main loops of products, convolutions and attention are free of conflicts."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys

import pytest

import ccdl

pytestmark = pytest.mark.gpu

RUNS = """
import numpy as np
import ccdl

rng = np.random.default_rng(0)
def operand(*shape, dtype="bfloat16", grad=False):
    x = ccdl.tensor(rng.standard_normal(shape).astype(np.float32)).to(getattr(ccdl, dtype)).cuda()
    return x.requires_grad_() if grad else x

def product():
    for dtype in ("bfloat16", "float32"):
        for a in (operand(70, 96, dtype=dtype), operand(96, 72, dtype=dtype).t()):
            for b in (operand(96, 72, dtype=dtype), operand(72, 96, dtype=dtype).t()):
                a @ b

def convolution():
    x, w = operand(1, 32, 7, 7, grad=True), operand(40, 32, 3, 3, grad=True)
    ccdl.nn.functional.conv2d(x, w, padding=1).float().sum().backward()

def attention():
    q, k, v = (operand(1, 1, n, 64, grad=True) for n in (40, 70, 70))
    ccdl.nn.functional.scaled_dot_product_attention(q, k, v).float().sum().backward()

def hopper():
    operand(96, 72, 16) @ operand(96, 16, 72)
    attention()

ccdl.backends.cuda.matmul.fp32_precision = "tf32"
for run in (RUNS):
    run()
ccdl.cuda.synchronize()
"""
LINE = re.compile(r"ccdl emulator: (.+?): (\d+)-byte (loads|stores) of (shared|global) memory: (\d+) \w+ where (\d+) "
                  r"would do, [\d.]+ on average, (\d+) requests, at (.*)")


@functools.cache
def entries(runs: str, **env: str) -> list[tuple[str, str, int, int, str]]:
    """Kernel, memory, worst, least and place of everything that the runs did."""
    done = subprocess.run([sys.executable, "-c", RUNS.replace("(RUNS)", f"({runs},)")], capture_output=True, text=True,
                          env={**os.environ, "CCDL_EMULATOR_LINT": "all", **env}, timeout=300)
    assert done.returncode == 0, done.stderr
    found = [LINE.fullmatch(line) for line in done.stderr.splitlines()]
    return [(m[1], m[4], int(m[5]), int(m[6]), m[8]) for m in found if m]


def main_loop(found: list[tuple[str, str, int, int, str]], kernel: str) -> list[tuple[str, str, int, int, str]]:
    """The 16-byte copies into shared memory and the fragment reads of the kernels of that name."""
    return [e for e in found if kernel in e[0] and e[1] == "shared"
            and re.search(r"emu::ldmatrix|\bldmatrix<|cp_async<16>|load_fragment_[ab]", e[4])]


@pytest.mark.parametrize("kernel, place", [("gemm_mma_kernel", "ccdl::bfloat16"), ("gemm_mma_kernel", "<float"),
                                           ("conv_sweep_mma_kernel", ""), ("attention_forward_mma_kernel", ""),
                                           ("attention_backward", "")])
def test_main_loops_are_free_of_bank_conflicts(kernel: str, place: str) -> None:
    if not ccdl.cuda.is_emulated():
        pytest.skip("not declared by this case")
    used = [e for e in main_loop(entries("product, convolution, attention"), kernel) if place in e[4]]
    assert len(used) >= 2, f"no main loop of {kernel} ran"
    assert [e for e in used if e[2] > e[3]] == []


@pytest.mark.parametrize("kernel", ["gemm_sm90_kernel", "attention_forward_sm90_kernel",
                                    "attention_backward_sm90_kernel"])
def test_hopper_kernels_are_free_of_bank_conflicts(kernel: str) -> None:
    """What ordinary loads and stores do beside TMA and wgmma: staging of results, row statistics."""
    if not ccdl.cuda.is_emulated():
        pytest.skip("not declared by this case")
    used = [e for e in entries("hopper", CCDL_SM90="1", CCDL_EMULATOR_CAPABILITY="9.0")
            if kernel in e[0] and e[1] == "shared"]
    assert len(used) >= 2, f"{kernel} did not run"
    assert [e for e in used if e[2] > e[3]] == []
