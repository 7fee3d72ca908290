"""Gradients of padding by every mode, type and layout: each element's are the sums over its copies, counted with NumPy;
rows longer than a block of converted halves, cropping on one side. And the loss of logits in double."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

NUMPY = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def copies(shape, padding, mode):
    """For every element of the padded tensor the number of the one it comes from, or -1."""
    at = np.arange(np.prod(shape)).reshape(shape)
    widths = [(0, 0)] * (len(shape) - len(padding) // 2) + [(padding[i], padding[i + 1]) for i in range(len(padding) - 2, -1, -2)]
    if mode == "circular":  # what is cut is gone before the rest wraps around
        at = at[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, widths))]
        widths = [(max(a, 0), max(b, 0)) for a, b in widths]
    at = np.pad(at, [(max(a, 0), max(b, 0)) for a, b in widths], NUMPY[mode], **({"constant_values": -1} if mode == "constant" else {}))
    return at[tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(at.shape, widths))]


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("mode", sorted(NUMPY))
@pytest.mark.parametrize("shape, padding", [
    ((2, 3, 5, 6), (1, 2, 3, 1)), ((1, 601, 3, 4), (2, 1, 0, 2)), ((2, 5, 4, 700), (3, 0, 1, 1)), ((2, 3, 6, 7), (-1, 2, 2, -2)),
])
def test_gradients(shape, padding, mode, dtype, last):
    rng = np.random.default_rng(0)
    x = ccdl.tensor(rng.integers(-4, 5, shape)).to(getattr(ccdl, dtype))
    if last:
        x = x.contiguous(memory_format=ccdl.channels_last)
    x.requires_grad_()
    y = F.pad(x, padding, mode=mode)
    at = copies(shape, padding, mode)
    values = x.detach().double().cpu().numpy().ravel()
    np.testing.assert_array_equal(y.detach().double().cpu().numpy(), np.where(at < 0, 0, values[at]))
    dy = rng.integers(-4, 5, y.shape)
    for format in (ccdl.contiguous_format, ccdl.channels_last):
        given = ccdl.tensor(dy).to(x.dtype).contiguous(memory_format=format)
        (dx,) = ccdl.autograd.grad(y, x, given, retain_graph=True)
        want = np.bincount(at[at >= 0], dy[at >= 0], int(np.prod(shape))).reshape(shape)
        np.testing.assert_array_equal(dx.double().cpu().numpy(), want)


def test_the_loss_of_logits_in_double():
    x = np.concatenate([np.linspace(-40, 40, 4001), [0.0, -0.0, 1e-300, -745.5, 800, 1e308]])
    t = np.linspace(0, 1, len(x))
    loss = F.binary_cross_entropy_with_logits(ccdl.tensor(x), ccdl.tensor(t), reduction="none").cpu().numpy()
    np.testing.assert_allclose(loss, np.maximum(x, 0) - x * t + np.log1p(np.exp(-np.abs(x))), rtol=1e-15, atol=1e-300)
    corners = F.binary_cross_entropy_with_logits(
        ccdl.tensor([np.nan, -np.inf], dtype=ccdl.float64), ccdl.tensor([0.0, 0.0], dtype=ccdl.float64), reduction="none")
    assert np.isnan(corners.cpu().numpy()[0])
