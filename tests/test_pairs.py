"""pdist against the definition in float64: every order, gradients, odd sizes, layouts, NaN, errors."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

ORDERS = (0.0, 0.5, 1.0, 1.7, 2.0, 3.0, float("inf"))


def reference(x: np.ndarray, p: float) -> np.ndarray:
    first, second = np.triu_indices(len(x), 1)
    d = np.abs(x.astype(np.float64)[first] - x.astype(np.float64)[second])
    if d.shape[1] == 0:
        return np.zeros(len(d))
    return (d != 0).sum(1) if p == 0 else d.max(1) if np.isinf(p) else (d**p).sum(1) ** (1 / p)


@pytest.mark.parametrize("name", ("float32", "float64", "float16", "bfloat16"))
@pytest.mark.parametrize("p", ORDERS)
def test_values(name: str, p: float) -> None:
    tolerance = {"float32": 3e-6, "float64": 1e-12, "float16": 2e-3, "bfloat16": 1.6e-2}[name]
    for shape in ((0, 3), (1, 3), (2, 1), (5, 0), (3, 7), (17, 4), (18, 3), (65, 33), (131, 130)):
        x = ccdl.tensor(np.random.RandomState(sum(shape)).uniform(-1, 1, shape)).to(getattr(ccdl, name))
        want = reference(x.double().numpy(), p)
        turned = x.t().contiguous().t()
        for y in (F.pdist(x, p), F.pdist(turned, p), ccdl.pdist(ccdl.stack([x, x], -1)[..., 1], p)):
            assert y.dtype == x.dtype and y.shape == want.shape
            np.testing.assert_allclose(y.double().numpy(), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("p", ORDERS)
def test_gradients(p: float) -> None:
    for shape in ((2, 3), (9, 4), (20, 1)):
        x = ccdl.tensor(np.random.RandomState(7).uniform(-1, 1, shape), requires_grad=True)
        assert ccdl.autograd.gradcheck(lambda x: F.pdist(x, p), (x,))
        if p not in (0.0, 0.5) and shape[0] < 20:
            assert ccdl.autograd.gradgradcheck(lambda x: F.pdist(x, p), (x,))


@pytest.mark.parametrize("p", (1.0, 1.7, 2.0, float("inf")))
def test_equal_rows_have_no_gradient(p: float) -> None:
    x = ccdl.ones(4, 3, requires_grad=True)
    F.pdist(x, p).sum().backward()
    assert ccdl.equal(x.grad, ccdl.zeros(4, 3))


def test_nan_stays_in_its_pairs() -> None:
    a = np.arange(12.0).reshape(4, 3)
    a[1, 0] = np.nan
    for p in ORDERS[1:]:
        np.testing.assert_array_equal(np.isnan(F.pdist(ccdl.from_numpy(a), p).numpy()), [1, 0, 0, 1, 1, 0])
        b = np.concatenate([a[:, 1:], a[:, :1]], 1)  # met last
        np.testing.assert_array_equal(np.isnan(F.pdist(ccdl.from_numpy(b), p).numpy()), [1, 0, 0, 1, 1, 0])
        np.testing.assert_array_equal(np.isnan(ccdl.cdist(ccdl.from_numpy(a), ccdl.zeros(2, 3).double(), p).numpy())[:, 0],
                                      [0, 1, 0, 0])  # fmt: skip


def test_errors() -> None:
    with pytest.raises(RuntimeError, match="must be 2-d"):
        F.pdist(ccdl.ones(3))
    with pytest.raises(RuntimeError, match="non-negative"):
        F.pdist(ccdl.ones(3, 2), -1)
    with pytest.raises(RuntimeError, match="floating"):
        F.pdist(ccdl.ones(3, 2, dtype=ccdl.int64))


def test_as_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    a = np.random.RandomState(1).uniform(-1, 1, (30, 5))
    for p in (1.0, 2.0, 3.0, float("inf")):
        x, y = ccdl.tensor(a, requires_grad=True), torch.tensor(a, requires_grad=True)
        (F.pdist(x, p) ** 2).sum().backward()
        (torch.pdist(y, p) ** 2).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("far", (0.0, 1000.0))
def test_gradients_of_points_near_each_other(far: float) -> None:
    g = np.random.RandomState(3)
    a = (g.randn(40, 3) + far).astype(np.float32)
    a[1] = a[0] + np.float32(2.0**-10)
    x = ccdl.tensor(a, requires_grad=True)
    dy = g.randn(40 * 39 // 2).astype(np.float32)
    F.pdist(x).backward(ccdl.tensor(dy))
    wide = a.astype(np.float64)
    i, j = np.triu_indices(40, 1)
    pull = (wide[i] - wide[j]) * (dy / np.linalg.norm(wide[i] - wide[j], axis=1))[:, None]
    want = np.zeros_like(wide)
    np.add.at(want, i, pull)
    np.add.at(want, j, -pull)
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-5, atol=1e-5)
