"""Gradient clipping and loss scaling over lists of tensors, against NumPy and, where it is installed, PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
from ccdl import nn

SIZES = [(3,), (), (40, 33), (0,), (17, 1), (70001,), (16384,), (16385,)]
ORDERS = [1.0, 2.0, 3.5, 0.5, float("inf")]
TOLERANCE = {"float64": 1e-12, "float32": 1e-6, "float16": 1e-3, "bfloat16": 8e-3}


def parameters(dtype, seed=0, sizes=SIZES, scale=1.0):
    """Parameters with gradients, and the gradients as the dtype holds them."""
    rng = np.random.default_rng(seed)
    params = []
    for size in sizes:
        p = nn.Parameter(ccdl.zeros(size, dtype=getattr(ccdl, dtype)))
        p.grad = ccdl.tensor(np.asarray(rng.standard_normal(size) * scale)).to(p.dtype)
        params.append(p)
    return params, [p.grad.double().cpu().numpy().copy() for p in params]


def norm(arrays, order):
    flat = np.abs(np.concatenate([a.ravel() for a in arrays]))
    return flat.max() if order == np.inf else (flat**order).sum() ** (1 / order)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("order", ORDERS)
def test_total_norm(order, dtype):
    params, values = parameters(dtype, scale=0.05)
    total = nn.utils.get_total_norm([p.grad for p in params], order)
    assert total.dtype == getattr(ccdl, dtype) and total.shape == ()
    expected = norm(values, order)
    if dtype == "float16" and expected > 65504:
        assert total.item() == np.inf
    else:
        np.testing.assert_allclose(total.item(), expected, rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("order", [1.0, 2.0, float("inf")])
def test_clip_grad_norm(order, dtype):
    params, values = parameters(dtype, scale=0.05)
    before = params[2].grad._version
    total = nn.utils.clip_grad_norm_(params, 0.25, order)
    expected = norm(values, order)
    np.testing.assert_allclose(total.item(), expected, rtol=TOLERANCE[dtype])
    factor = min(1.0, 0.25 / (total.item() + 1e-6))
    assert factor < 1 or order == float("inf")
    for p, v in zip(params, values):
        np.testing.assert_allclose(p.grad.double().cpu().numpy(), v * factor, rtol=TOLERANCE[dtype], atol=1e-7)
    assert params[2].grad._version > before


def test_small_gradients_stay_as_they_are():
    params, values = parameters("float32", scale=1e-4)
    nn.utils.clip_grad_norm_(params, 10.0)
    for p, v in zip(params, values):
        assert p.grad.double().cpu().numpy().tobytes() == v.tobytes()


def test_orders_below_zero_are_norms_of_norms():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    params, _ = parameters("float64", sizes=[(3,), (4, 2), (5,)])
    theirs = [torch.from_numpy(p.grad.cpu().numpy().copy()) for p in params]
    for order in (0, -1.5, float("-inf")):
        ours = nn.utils.get_total_norm([p.grad for p in params], order)
        np.testing.assert_allclose(ours.item(), torch.nn.utils.get_total_norm(theirs, order).item(), rtol=1e-12)


@pytest.mark.parametrize("order", [2.0, 1.0, 3.0, float("inf")])
@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_as_pytorch(order, bad):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    params, _ = parameters("float64", sizes=[(3,), (5, 7), ()])
    if bad is not None:
        params[1].grad[2, 3] = bad
    theirs = []
    for p in params:
        q = torch.nn.Parameter(torch.zeros(tuple(p.shape), dtype=torch.float64))
        q.grad = torch.from_numpy(p.grad.cpu().numpy().copy())
        theirs.append(q)
    ours_total = nn.utils.clip_grad_norm_(params, 1.5, order)
    total = torch.nn.utils.clip_grad_norm_(theirs, 1.5, order)
    np.testing.assert_allclose(ours_total.item(), total.item(), rtol=1e-12)
    for p, q in zip(params, theirs):
        np.testing.assert_allclose(p.grad.cpu().numpy(), q.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_error_if_nonfinite(bad):
    params, values = parameters("float32")
    params[2].grad[0, 0] = bad
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    np.testing.assert_array_equal(params[0].grad.cpu().numpy(), values[0].astype(np.float32))


def test_large_gradients_do_not_overflow_on_the_way():
    p = nn.Parameter(ccdl.zeros(4))
    p.grad = ccdl.full((4,), 1e30)
    np.testing.assert_allclose(nn.utils.clip_grad_norm_(p, 1.0).item(), 2e30, rtol=1e-6)
    np.testing.assert_allclose(p.grad.cpu().numpy(), 0.5, rtol=1e-6)


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_clip_grad_value(dtype):
    params, values = parameters(dtype)
    params[0].grad[1] = float("nan")
    nn.utils.clip_grad_value_(params, 0.75)
    assert np.isnan(params[0].grad.float().cpu().numpy()[1])
    for p, v in zip(params[1:], values[1:]):
        np.testing.assert_array_equal(p.grad.double().cpu().numpy(), np.clip(v, -0.75, 0.75))


def test_strided_mixed_and_repeated_gradients():
    p, q, r = (nn.Parameter(ccdl.zeros(3, 4)) for _ in range(3))
    p.grad = ccdl.arange(12.0).reshape(4, 3).t()
    q.grad = ccdl.arange(24.0).reshape(3, 8)[:, ::2]
    half = nn.Parameter(ccdl.zeros(5, dtype=ccdl.float16))
    half.grad = ccdl.ones(5, dtype=ccdl.float16)
    r.grad = ccdl.ones(3, 4)
    values = [x.grad.double().cpu().numpy().copy() for x in (p, q, half, r, r)]
    total = nn.utils.clip_grad_norm_([p, q, half, r, r], 2.0)
    assert total.dtype == ccdl.float32
    np.testing.assert_allclose(total.item(), norm(values, 2), rtol=1e-6)
    factor = 2.0 / (norm(values, 2) + 1e-6)
    for x, v, times in ((p, values[0], 1), (q, values[1], 1), (half, values[2], 1), (r, values[3], 2)):
        np.testing.assert_allclose(x.grad.double().cpu().numpy(), v * factor**times, rtol=1e-3)


def test_empty_lists_and_generators():
    assert nn.utils.get_total_norm([]).item() == 0
    assert nn.utils.clip_grad_norm_([nn.Parameter(ccdl.ones(2))], 1.0).item() == 0
    with pytest.warns(UserWarning, match="empty generator"):
        nn.utils.clip_grad_norm_((p for p in []), 1.0)
    model = nn.Linear(3, 2)
    model(ccdl.ones(1, 3)).sum().backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    np.testing.assert_allclose(nn.utils.get_total_norm(p.grad for p in model.parameters()).item(), 1e-3, rtol=1e-2)


def test_many_tensors_and_threads_give_the_same_bits():
    def run(threads):
        before = ccdl.get_num_threads()
        ccdl.set_num_threads(threads)
        try:
            params, values = parameters("float32", sizes=[(7,)] * 300 + [(50001,)])
            total = nn.utils.clip_grad_norm_(params, 0.5, foreach=True)
            np.testing.assert_allclose(total.item(), norm(values, 2), rtol=1e-6)
            return total.cpu().numpy().tobytes() + b"".join(p.grad.cpu().numpy().tobytes() for p in params)
        finally:
            ccdl.set_num_threads(before)

    assert run(1) == run(2)


def test_misuse():
    with pytest.raises((RuntimeError, TypeError), match="floating"):
        nn.utils.get_total_norm([ccdl.arange(3)])
    with pytest.raises(TypeError):
        nn.utils.clip_grad_norm_(nn.Parameter(ccdl.ones(1)), None)
    with pytest.raises(RuntimeError, match="found_inf"):
        ccdl._C._amp_foreach_non_finite_check_and_unscale_([ccdl.ones(2)], ccdl.zeros(2), ccdl.ones(()))
    with pytest.raises(RuntimeError, match="growth_tracker"):
        ccdl._C._amp_update_scale_(ccdl.ones(()), ccdl.zeros(()), ccdl.zeros(()), 2.0, 0.5, 10)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("bad", [None, float("inf"), float("-inf"), float("nan")])
def test_unscale(bad, dtype):
    params, values = parameters(dtype)
    grads = [p.grad for p in params]
    if bad is not None:
        grads[5][70000] = bad
        values[5][70000] = bad
    found, inverse = ccdl.zeros(()), ccdl.tensor(0.25)
    ccdl._C._amp_foreach_non_finite_check_and_unscale_(grads, found, inverse)
    assert found.item() == (bad is not None)
    for g, v in zip(grads, values):
        np.testing.assert_allclose(g.double().cpu().numpy(), v * 0.25, rtol=1e-3, atol=1e-4)
    ccdl._C._amp_foreach_non_finite_check_and_unscale_([ccdl.ones(3)], found, inverse)
    assert found.item() == (bad is not None), "a finite list must leave the flag"


def test_update_scale():
    scale, tracker = ccdl.tensor(8.0), ccdl.tensor(0, dtype=ccdl.int32)
    expected, count = 8.0, 0
    for step in range(40):
        inf = step % 7 == 6
        ccdl._C._amp_update_scale_(scale, tracker, ccdl.tensor(float(inf)), 2.0, 0.25, 3)
        count = 0 if inf else count + 1
        expected = expected * 0.25 if inf else expected * 2 if count == 3 else expected
        count = 0 if count == 3 else count
        assert (scale.item(), tracker.item()) == (expected, count)
    big = ccdl.tensor(3e38)
    ccdl._C._amp_update_scale_(big, tracker.zero_(), ccdl.zeros(()), 2.0, 0.5, 1)
    assert np.float32(big.item()) == np.float32(3e38), "growth to infinity is refused"
