"""Hinge losses over classes on the host, a kernel of their own, against loops in NumPy: sizes around vectors, weights,
classes named twice, gradients, corners of the numbers, wrong labels."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

EPSILON = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 1e-2, "float16": 2e-3}

pytestmark = pytest.mark.host  # the kernel is the host's; the device's composite is held by tests/ops


def one_label(x, target, weight, margin):
    loss, slope = np.zeros(len(x)), np.zeros_like(x)
    for n, t in enumerate(target):
        for j in range(x.shape[1]):
            z = margin - x[n, t] + x[n, j]
            if j != t and z > 0:
                loss[n] += weight[t] * z / x.shape[1]
                slope[n, j] += weight[t] / x.shape[1]
                slope[n, t] -= weight[t] / x.shape[1]
    return loss, slope


def several_labels(x, target):
    loss, slope = np.zeros(len(x)), np.zeros_like(x)
    for n, row in enumerate(target):
        listed = list(row[: np.argmax(row < 0)] if (row < 0).any() else row)
        for t in listed:
            for j in set(range(x.shape[1])) - set(listed):
                z = 1 - x[n, t] + x[n, j]
                if z > 0:
                    loss[n] += z / x.shape[1]
                    slope[n, j] += 1 / x.shape[1]
                    slope[n, t] -= 1 / x.shape[1]
    return loss, slope


def check(loss_of, x, dtype, want, slope):
    for reduction, factor in (("none", 1.0), ("sum", 1.0), ("mean", 1 / max(len(want), 1)))[: 3 if len(want) else 2]:
        leaf = x.clone().requires_grad_()
        loss = loss_of(leaf, reduction)
        expected = want if reduction == "none" else want.sum() * factor
        e = EPSILON[dtype]
        np.testing.assert_allclose(loss.detach().double().cpu().numpy(), expected, rtol=e, atol=e)
        loss.backward(ccdl.ones_like(loss))
        np.testing.assert_allclose(leaf.grad.double().cpu().numpy(), slope * factor, rtol=e, atol=e)


@pytest.mark.parametrize("dtype", sorted(EPSILON))
@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (4, 7), (3, 16), (6, 33), (2, 130), (0, 3)])
def test_one_label(shape, dtype):
    rng = np.random.default_rng(0)
    x = ccdl.tensor(rng.standard_normal(shape)).to(getattr(ccdl, dtype))
    target, weight = rng.integers(0, shape[1], shape[0]), np.round(rng.random(shape[1]), 1)
    values, labels = x.double().cpu().numpy(), ccdl.tensor(target, dtype=ccdl.int64)
    check(lambda a, r: F.multi_margin_loss(a, labels, margin=0.75, reduction=r), x, dtype,
          *one_label(values, target, np.ones(shape[1]), 0.75))
    w = ccdl.tensor(weight).to(x.dtype)
    check(lambda a, r: F.multi_margin_loss(a, labels, weight=w, reduction=r), x, dtype,
          *one_label(values, target, w.double().cpu().numpy(), 1.0))


@pytest.mark.parametrize("dtype", sorted(EPSILON))
@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (4, 7), (3, 16), (6, 33), (2, 130)])
def test_several_labels(shape, dtype):
    rng = np.random.default_rng(0)
    x = ccdl.tensor(rng.standard_normal(shape)).to(getattr(ccdl, dtype))
    target = rng.integers(0, shape[1], shape)  # some named twice; one row to its end, one with none
    for n in range(shape[0] - 1):
        target[n, min(n, shape[1] - 1)] = -1
    labels = ccdl.tensor(target, dtype=ccdl.int64)
    check(lambda a, r: F.multilabel_margin_loss(a, labels, reduction=r), x, dtype,
          *several_labels(x.double().cpu().numpy(), target))


def test_the_slope_has_no_slope():
    x = ccdl.tensor(np.random.default_rng(0).standard_normal((3, 5)), requires_grad=True)
    dy = ccdl.ones(3, dtype=ccdl.float64, requires_grad=True)
    loss = F.multi_margin_loss(x, ccdl.tensor([0, 1, 2]), reduction="none")
    (dx,) = ccdl.autograd.grad(loss, x, dy, create_graph=True)
    (ddy,) = ccdl.autograd.grad((dx * x.detach()).sum(), dy)
    want = one_label(x.detach().cpu().numpy(), [0, 1, 2], np.ones(5), 1.0)[1] * x.detach().cpu().numpy()
    np.testing.assert_allclose(ddy.cpu().numpy(), want.sum(1), rtol=1e-12)


def test_what_is_no_number_adds_nothing():
    x = ccdl.tensor([[np.nan, 0.0, 0.5], [0.0, -np.inf, 1.0]])
    loss = F.multi_margin_loss(x, ccdl.tensor([1, 0]), reduction="none")
    np.testing.assert_allclose(loss.cpu().numpy(), [1.5 / 3, 2 / 3], rtol=1e-6)


def test_many_classes_need_little_memory():  # a table of all pairs would hold 16 GB
    x = ccdl.zeros(4, 32768)
    target = ccdl.full((4, 32768), -1, dtype=ccdl.int64)
    target[:, 0] = 5
    assert F.multilabel_margin_loss(x, target).item() == pytest.approx(32767 / 32768)


@pytest.mark.parametrize("target, shown", [([0, 3], "3"), ([-1, 0], "-1")])
def test_wrong_labels(target, shown):
    with pytest.raises(ccdl.errors.IndexError, match=rf"target {shown} is out of bounds, must be in \[0, 3\)"):
        F.multi_margin_loss(ccdl.zeros(2, 3), ccdl.tensor(target))
    wrong = ccdl.tensor([[0, -1, -1], [0, 7, -1]])
    with pytest.raises(ccdl.errors.IndexError, match=r"target 7 is out of bounds, must be in \[-1, 3\)"):
        F.multilabel_margin_loss(ccdl.zeros(2, 3), wrong)


@pytest.mark.parametrize("p", [1, 2])
def test_as_pytorch(p):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(3)
    x, t, w = rng.standard_normal((9, 21)), rng.integers(0, 21, 9), rng.random(21)
    several = rng.integers(-1, 21, (9, 21))
    results = []
    for lib in (ccdl, torch):
        a = lib.tensor(x, requires_grad=True)
        f = lib.nn.functional
        loss = f.multi_margin_loss(a, lib.tensor(t), p=p, margin=0.3, weight=lib.tensor(w)) + f.multilabel_margin_loss(a, lib.tensor(several))
        loss.backward()
        results.append((loss.detach().cpu().numpy(), a.grad.cpu().numpy()))
    for ours, theirs in zip(*results):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)
