"""The float32 precision of products on the device: three ways, told apart by their errors."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

pytestmark = pytest.mark.gpu


def worst_error(precision: str) -> float:
    rng = np.random.default_rng(3)
    a, b = (rng.standard_normal((96, 96)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    matmul = ccdl.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = precision
    try:
        got = (ccdl.from_numpy(a).cuda() @ ccdl.from_numpy(b).cuda()).cpu().numpy()
    finally:
        matmul.fp32_precision = before
    return float(np.abs(got - exact).max())


def test_each_precision_has_its_error() -> None:
    exact, three, one = (worst_error(p) for p in ("ieee", "tf32x3", "tf32"))
    assert exact < 2e-5
    assert three < 2 * exact + 1e-6
    assert 1e-3 < one < 5e-2
