"""Squared and Huber losses of numbers beside a mask of yes and no: as beside 1 and 0, with gradients, in every reduction."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

REDUCTIONS = {"none": lambda v: v, "mean": np.mean, "sum": np.sum}


def squared(d):
    return d * d, 2 * d


def huber(d):
    near = np.abs(d) < 1
    return np.where(near, 0.5 * d * d, np.abs(d) - 0.5), np.where(near, d, np.sign(d))


LOSSES = {"mse_loss": squared, "smooth_l1_loss": huber, "huber_loss": huber}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(5, 7), (7,)], ids=["same shape", "broadcast"])
@pytest.mark.parametrize("name", LOSSES)
def test_target_of_yes_and_no(name, shape, reduction, dtype):
    random = np.random.default_rng(0)
    x, yes = random.standard_normal((5, 7)).astype(dtype) * 2, random.random(shape) < 0.5
    loss, slope = LOSSES[name](x - yes.astype(dtype))
    parts = x.size if reduction == "mean" else 1
    input = ccdl.tensor(x).requires_grad_()
    if shape == x.shape:
        got = getattr(F, name)(input, ccdl.tensor(yes), reduction=reduction)
    else:
        with pytest.warns(UserWarning, match="target has size"):
            got = getattr(F, name)(input, ccdl.tensor(yes), reduction=reduction)
    got.sum().backward()
    assert got.dtype == input.dtype
    tol = 1e-13 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(got.detach().cpu().numpy(), REDUCTIONS[reduction](loss), rtol=tol, atol=tol)
    np.testing.assert_allclose(input.grad.cpu().numpy(), slope / parts, rtol=tol, atol=tol)


@pytest.mark.parametrize("name", ["mse_loss", "smooth_l1_loss"])
def test_input_of_yes_and_no_leaves_the_target_its_gradient(name):
    yes, y = np.array([True, False, True]), np.array([0.25, -3.0, 4.5])
    target = ccdl.tensor(y).requires_grad_()
    got = getattr(F, name)(ccdl.tensor(yes), target)
    got.backward()
    loss, slope = LOSSES[name](yes - y)
    np.testing.assert_allclose(got.item(), loss.mean(), rtol=1e-14)
    np.testing.assert_allclose(target.grad.cpu().numpy(), -slope / 3, rtol=1e-14)


@pytest.mark.parametrize("name", ["mse_loss", "smooth_l1_loss"])
def test_two_masks_have_no_difference(name):
    with pytest.raises(ccdl.errors.DTypeError, match="floating point"):
        getattr(F, name)(ccdl.ones(2, dtype=ccdl.bool), ccdl.zeros(2, dtype=ccdl.bool))
