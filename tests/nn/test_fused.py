"""Behaviour of the fused families that one op call does not show: state, memory format, exactness, second opinion."""

from __future__ import annotations

import numpy as np
import pytest
from harness import settle

import ccdl
import ccdl.nn.functional as F


def rand(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.mark.parametrize("shape", [(6, 3), (4, 3, 5), (2, 3, 4, 5), (2, 3, 2, 2, 2)])
def test_batch_norm_running_statistics(shape):
    x = rand(*shape) + 2
    mean, var = np.full(3, 0.5), np.full(3, 2.0)
    m, v = ccdl.tensor(mean.copy()), ccdl.tensor(var.copy())
    F.batch_norm(ccdl.tensor(x), m, v, training=True, momentum=0.3)
    axes = (0, *range(2, x.ndim))
    n = x.size // 3
    np.testing.assert_allclose(m.cpu().numpy(), 0.7 * mean + 0.3 * x.mean(axis=axes), rtol=1e-12)
    np.testing.assert_allclose(v.cpu().numpy(), 0.7 * var + 0.3 * x.var(axis=axes) * n / (n - 1), rtol=1e-12)


def test_batch_norm_keeps_digits_far_from_zero():
    x = ccdl.tensor(rand(4, 2, 500)) + 1e6
    y = F.batch_norm(x, None, None, training=True)
    assert abs(y.mean().item()) < 1e-9 and abs(y.var(correction=0).item() - 1) < 1e-4
    z = F.layer_norm((ccdl.tensor(rand(3, 700).astype(np.float32)) + 1000), (700,))
    assert abs(z.mean().item()) < 1e-4 and abs(z.var(correction=0).item() - 1) < 1e-3


def test_batch_norm_eval_uses_the_statistics_of_the_forward():
    m, v = ccdl.zeros(2, dtype=ccdl.float64), ccdl.ones(2, dtype=ccdl.float64)
    x = ccdl.tensor(rand(3, 2)).requires_grad_()
    y = F.batch_norm(x, m, v)
    v.fill_(100.0)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.cpu().numpy(), 1 / np.sqrt(1 + 1e-5), rtol=1e-12)


@pytest.mark.parametrize(
    "op",
    [
        lambda x: F.max_pool2d(x, 3, 2, 1),
        lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
        lambda x: F.avg_pool2d(x, 3, 2, 1),
        lambda x: F.adaptive_avg_pool2d(x, (3, 2)),
        lambda x: F.adaptive_max_pool2d(x, 2),
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: F.batch_norm(x, ccdl.zeros(5, dtype=x.dtype), ccdl.ones(5, dtype=x.dtype)),
    ],
)
def test_output_and_gradient_follow_channels_last(op):
    a = ccdl.tensor(rand(2, 5, 8, 7)).requires_grad_()
    b = a.detach().contiguous(memory_format=ccdl.channels_last).requires_grad_()
    ya, yb = op(a), op(b)
    assert yb.is_contiguous(memory_format=ccdl.channels_last) and not yb.is_contiguous()
    np.testing.assert_allclose(yb.detach().cpu().numpy(), ya.detach().cpu().numpy(), rtol=1e-12, atol=1e-14)
    weight = ccdl.tensor(rand(*ya.shape, seed=1))
    (ya * weight).sum().backward()
    (yb * weight).sum().backward()
    np.testing.assert_allclose(b.grad.cpu().numpy(), a.grad.cpu().numpy(), rtol=1e-10, atol=1e-13)


def test_max_pool_first_maximum_and_nan():
    x = ccdl.zeros(1, 1, 4, 4).requires_grad_()
    F.max_pool2d(x, 2).sum().backward()
    assert x.grad[0, 0].tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    x = ccdl.zeros(1, 1, 4, 36)
    x[0, 0, 1, 35] = float("nan")
    y = F.max_pool2d(x, 2)
    assert ccdl.isnan(y).sum().item() == 1 and bool(ccdl.isnan(y[0, 0, 0, 17]))
    x.fill_(-float("inf"))
    assert bool((F.max_pool2d(x, 3, 2, 1) == -float("inf")).all())


def test_max_pool_gradient_is_the_same_with_and_without_indices():
    data = rand(2, 3, 11, 37).astype(np.float32)
    grads = []
    for indices in (False, True):
        x = ccdl.tensor(data.copy()).requires_grad_()
        y = F.max_pool2d(x, 3, 2, 1, return_indices=indices)
        (y[0] if indices else y).sum().backward()
        grads.append(x.grad.cpu().numpy())
    np.testing.assert_array_equal(grads[0], grads[1])


def test_max_unpool_round_trip_and_bad_index():
    x = ccdl.tensor(rand(2, 3, 6, 8)).requires_grad_()
    y, i = F.max_pool2d(x, 2, return_indices=True)
    back = F.max_unpool2d(y, i, 2)
    np.testing.assert_array_equal(
        F.max_pool2d(back.relu(), 2).detach().cpu().numpy(), np.maximum(y.detach().cpu().numpy(), 0)
    )
    back.sum().backward()
    assert x.grad.sum().item() == y.numel()
    with pytest.raises(IndexError, match="1000"):
        F.max_unpool2d(y, ccdl.full_like(i, 1000), 2)
        settle()


def test_cross_entropy_details():
    x = ccdl.tensor(rand(3, 4)).requires_grad_()
    loss = F.cross_entropy(x, ccdl.tensor([-100, -100, -100]))
    assert np.isnan(loss.item())
    assert F.cross_entropy(x, ccdl.tensor([-100, -100, -100]), reduction="sum").item() == 0
    x = ccdl.tensor([[1.0, 2.0], [float("inf"), 0.0]]).requires_grad_()
    F.cross_entropy(x, ccdl.tensor([0, -100])).backward()
    assert x.grad[1].tolist() == [0.0, 0.0] and bool(ccdl.isfinite(x.grad).all())
    with pytest.raises(NotImplementedError, match="weight"):
        F.cross_entropy(x, ccdl.tensor([0, 1]), weight=ccdl.ones(2).requires_grad_())
    assert F.cross_entropy(ccdl.tensor([[1000.0, 0.0]]), ccdl.tensor([1])).item() == 1000.0


def test_cross_entropy_gradient_of_probability_targets():
    x, t = (
        ccdl.tensor(rand(3, 4)).requires_grad_(),
        ccdl.tensor(np.abs(rand(3, 4, seed=1))).requires_grad_(),
    )
    F.cross_entropy(x, t, reduction="sum").backward()
    log_p = ccdl.log_softmax(x.detach(), 1).cpu().numpy()
    np.testing.assert_allclose(t.grad.cpu().numpy(), -log_p, rtol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_matches_torch(training):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x, w, b = rand(4, 3, 5, 6), rand(3, seed=1), rand(3, seed=2)
    m, v = rand(3, seed=3), np.abs(rand(3, seed=4)) + 0.5
    results = []
    for T in (ccdl, torch):
        xs, ws, bs = (T.tensor(a.copy()).requires_grad_() for a in (x, w, b))
        ms, vs = (T.tensor(a.copy()) for a in (m, v))
        y = T.nn.functional.batch_norm(xs, ms, vs, ws, bs, training, 0.2, 1e-3)
        (y * y * T.tensor(rand(4, 3, 5, 6, seed=5))).sum().backward()
        results.append([t.detach().cpu().numpy() for t in (y, xs.grad, ws.grad, bs.grad, ms, vs)])
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


def test_half_layers_accumulate_in_float():
    x = ccdl.ones(1, 4096, dtype=ccdl.bfloat16) * 0.01
    assert abs(F.softmax(x, 1).float().sum().item() - 1) < 1e-2
    y = F.layer_norm(ccdl.tensor(rand(2, 4096)).to(ccdl.bfloat16), (4096,))
    assert abs(y.float().mean().item()) < 1e-2
    assert abs(F.adaptive_avg_pool2d(ccdl.ones(1, 1, 100, 100, dtype=ccdl.float16) * 8, 1).item() - 8) < 1e-3
