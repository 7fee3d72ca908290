"""The float32 precision of products on the device: three ways, told apart by their errors."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

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


def test_attention_takes_tf32_only_where_it_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    arrays = [rng.standard_normal((1, 2, n, 48)).astype(np.float32) for n in (40, 70, 70, 40)]

    def run(device: str) -> list[np.ndarray]:
        q, k, v, dy = (ccdl.tensor(a, device=device) for a in arrays)
        inputs = [x.requires_grad_() for x in (q, k, v)]
        y = F.scaled_dot_product_attention(*inputs, is_causal=True)
        return [t.detach().cpu().numpy() for t in (y, *ccdl.autograd.grad(y, inputs, dy))]

    exact = run("cpu")
    errors = {}
    for precision in ("ieee", "tf32x3", "tf32"):
        monkeypatch.setattr(ccdl.backends.cuda.matmul, "fp32_precision", precision)
        errors[precision] = [float(np.abs(a - b).max()) for a, b in zip(run("cuda"), exact)]
    assert max(errors["ieee"] + errors["tf32x3"]) < 1e-5  # fp32 arithmetic
    assert all(1e-4 < e < 1e-2 for e in errors["tf32"])


def test_each_precision_has_its_error() -> None:
    exact, three, one = (worst_error(p) for p in ("ieee", "tf32x3", "tf32"))
    assert exact < 2e-5
    assert three < 2 * exact + 1e-6
    assert 1e-3 < one < 5e-2
