"""The CTC loss and its gradient against the forward-backward recursions in NumPy's float64."""

import math

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F
from ccdl.autograd import gradcheck, gradgradcheck


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def reference(lp, target, blank):
    """(loss, gradient) of one sample: lp [T, C]."""
    steps, extended = len(lp), [blank]
    for c in target:
        extended += [c, blank]
    n = len(extended)
    skip = [s > 1 and extended[s] != blank and extended[s] != extended[s - 2] for s in range(n)]
    alpha, after = np.full((steps, n), -np.inf), np.full((steps, n), -np.inf)
    with np.errstate(all="ignore"):
        for t in range(steps):
            for s in range(n):
                if t == 0:
                    total = 0.0 if s < 2 else -np.inf
                else:
                    total = np.logaddexp(alpha[t - 1, s], alpha[t - 1, s - 1] if s else -np.inf)
                    total = np.logaddexp(total, alpha[t - 1, s - 2] if skip[s] else -np.inf)
                alpha[t, s] = total + lp[t, extended[s]]
        for t in range(steps - 1, -1, -1):
            for s in range(n):
                if t == steps - 1:
                    after[t, s] = 0.0 if s >= n - 2 else -np.inf
                    continue
                for to in range(s, min(s + 3, n)):
                    if to < s + 2 or skip[to]:
                        after[t, s] = np.logaddexp(after[t, s], after[t + 1, to] + lp[t + 1, extended[to]])
        loss = -np.logaddexp.reduce(alpha[-1, max(n - 2, 0) :])
        grad = np.zeros_like(lp)
        if np.isfinite(loss):
            for s in range(n):
                grad[:, extended[s]] -= np.exp(alpha[:, s] + after[:, s] + loss)
    return loss, grad


def case(rng, steps, batch, classes, width, blank):
    lp = log_softmax(rng.standard_normal((steps, batch, classes)) * 3)
    labels = [c for c in range(classes) if c != blank]
    targets = rng.choice(labels, (batch, width))
    times = rng.integers(max(steps // 2, 1), steps + 1, batch)
    sizes = rng.integers(0, width + 1, batch)
    times[0], sizes[0] = steps, width
    return lp, targets, times, sizes


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("steps, batch, classes, width, blank", [
    (1, 2, 3, 1, 0), (7, 3, 5, 3, 4), (40, 5, 6, 15, 2), (30, 2, 4, 7, 0), (33, 2, 9, 16, 0), (90, 1, 30, 40, 7),
])
def test_values_and_gradients(dtype, steps, batch, classes, width, blank):
    lp, targets, times, sizes = case(np.random.default_rng(steps), steps, batch, classes, width, blank)
    x = ccdl.tensor(lp).to(getattr(ccdl, dtype)).requires_grad_()
    got = F.ctc_loss(x, ccdl.tensor(targets), times.tolist(), ccdl.tensor(sizes), blank=blank, reduction="none")
    scale = np.arange(1, batch + 1)
    (grad,) = ccdl.autograd.grad(got, x, ccdl.tensor(scale).to(x.dtype))
    want = [reference(lp[:t, n], targets[n, :s], blank) for n, (t, s) in enumerate(zip(times, sizes))]
    rtol = 1e-11 if dtype == "float64" else 3e-6
    np.testing.assert_allclose(got.detach().cpu().numpy(), [w[0] for w in want], rtol=rtol, atol=rtol)
    for n, t in enumerate(times):
        np.testing.assert_allclose(grad[:t, n].cpu().numpy(), want[n][1] * scale[n], rtol=rtol * 30, atol=rtol * 10)
        assert not grad[t:, n].any()
    flat = ccdl.tensor(np.concatenate([targets[n, :s] for n, s in enumerate(sizes)]))
    same = F.ctc_loss(x, flat, times.tolist(), sizes.tolist(), blank=blank, reduction="none")
    assert same.tolist() == got.tolist()


def test_long_sequences_keep_their_digits():
    rng = np.random.default_rng(3)
    lp = log_softmax(rng.standard_normal((1500, 1, 12)) * 2)
    target = rng.integers(1, 12, 60)
    x = ccdl.tensor(lp).float().requires_grad_()
    got = F.ctc_loss(x, ccdl.tensor(target[None]), [1500], [60], reduction="sum")
    got.backward()
    loss, grad = reference(lp[:, 0], target, 0)
    np.testing.assert_allclose(got.item(), loss, rtol=1e-5)
    np.testing.assert_allclose(x.grad[:, 0].cpu().numpy(), grad, atol=1e-3)  # PyTorch: 8e-3
    np.testing.assert_allclose(x.grad.sum(-1).cpu().numpy(), -1, atol=1e-3)  # every step is at some class


def test_samples_without_an_alignment():
    lp = log_softmax(np.random.default_rng(0).standard_normal((4, 3, 3)))
    targets, times, sizes = ccdl.tensor([[1, 1, 1], [1, 2, 0], [2, 2, 0]]), [4, 4, 0], [3, 2, 2]
    for zero in (False, True):
        x = ccdl.tensor(lp).requires_grad_()
        got = F.ctc_loss(x, targets, times, sizes, reduction="none", zero_infinity=zero)
        (grad,) = ccdl.autograd.grad(got.sum(), x)
        want = [0.0 if zero else math.inf, reference(lp[:, 1], [1, 2], 0)[0], 0.0 if zero else math.inf]
        np.testing.assert_allclose(got.detach().cpu().numpy(), want, rtol=1e-12)
        assert not grad[:, 0].any() and grad[:, 1].any() and not grad[:, 2].any()


def test_classes_of_probability_zero():
    lp = log_softmax(np.random.default_rng(1).standard_normal((6, 1, 4)))
    lp[2, 0, 1] = lp[3, 0, 0] = -np.inf
    x = ccdl.tensor(lp).float().requires_grad_()
    got = F.ctc_loss(x, ccdl.tensor([[1, 2]]), [6], [2], reduction="sum")
    got.backward()
    loss, grad = reference(lp[:, 0], [1, 2], 0)
    np.testing.assert_allclose(got.item(), loss, rtol=1e-5)
    np.testing.assert_allclose(x.grad[:, 0].cpu().numpy(), grad, atol=1e-5)
    x = ccdl.tensor(lp).float()
    x[1, 0, 2] = math.nan
    assert math.isnan(F.ctc_loss(x, ccdl.tensor([[1, 2]]), [6], [2], reduction="sum").item())


@pytest.mark.parametrize("zero_infinity", [False, True])
def test_second_derivatives(zero_infinity):
    x = ccdl.randn(5, 3, 4, dtype=ccdl.float64, requires_grad=True)
    targets = ccdl.tensor([[1, 2], [3, 3], [2, 0]])

    def loss(x):
        return F.ctc_loss(x.log_softmax(-1), targets, [5, 4, 2], [2, 2, 1], zero_infinity=zero_infinity)

    assert gradcheck(loss, (x,)) and gradgradcheck(loss, (x,))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_formats_are_computed_in_float(dtype):
    lp, targets, times, sizes = case(np.random.default_rng(2), 20, 2, 5, 6, 0)
    x = ccdl.tensor(lp).to(getattr(ccdl, dtype)).requires_grad_()
    got = F.ctc_loss(x, ccdl.tensor(targets), times.tolist(), sizes.tolist(), reduction="sum")
    got.backward()
    y = x.detach().float().requires_grad_()
    want = F.ctc_loss(y, ccdl.tensor(targets), times.tolist(), sizes.tolist(), reduction="sum")
    want.backward()
    assert got.dtype == x.dtype == x.grad.dtype
    np.testing.assert_allclose(got.item(), want.item(), rtol=1e-2)
    np.testing.assert_allclose(x.grad.float().cpu().numpy(), y.grad.cpu().numpy(), atol=1e-2)
