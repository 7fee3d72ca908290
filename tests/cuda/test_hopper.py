"""Products of half formats where CCDL_SM90=1 sends them to the Hopper kernel, on an emulated device of capability 9.0."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import ccdl

pytestmark = pytest.mark.gpu

CODE = """
import numpy as np
import ccdl

rng = np.random.default_rng(0)
def whole(*shape):
    return rng.integers(-2, 3, shape).astype(np.float32)
def device(x, dtype):
    return ccdl.tensor(x).to(dtype).cuda()

assert ccdl.cuda.get_device_capability() == (9, 0)
def same(got, want, what):  # round as one addition to the accumulated sum does
    want = ccdl.tensor(want).to(got.dtype).float().numpy()
    assert np.array_equal(got.cpu().float().numpy(), want), what

for dtype, (ta, tb) in ((ccdl.bfloat16, (0, 0)), (ccdl.float16, (0, 1)), (ccdl.bfloat16, (1, 0)), (ccdl.float16, (1, 1))):
    a, b = whole(96, 72, 80), whole(96, 80, 72)
    x = device(a.transpose(0, 2, 1).copy(), dtype).transpose(1, 2) if ta else device(a, dtype)
    w = device(b.transpose(0, 2, 1).copy(), dtype).transpose(1, 2) if tb else device(b, dtype)
    same(x @ w, a @ b, ("bmm", dtype, ta, tb))
a, w, bias = whole(1160, 40), whole(1304, 40), whole(1304)
y = ccdl.nn.functional.linear(device(a, ccdl.bfloat16), device(w, ccdl.bfloat16), device(bias, ccdl.bfloat16))
same(y, a @ w.T + bias, "linear")
ccdl.cuda.synchronize()
print("all equal")
"""


def test_products_on_hopper_are_exact() -> None:
    if not ccdl.cuda.is_emulated():
        pytest.skip("not declared by this case")
    env = {**os.environ, "CCDL_SM90": "1", "CCDL_EMULATOR_CAPABILITY": "9.0"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=env, timeout=300)
    assert done.returncode == 0 and done.stdout == "all equal\n", done.stdout + done.stderr
