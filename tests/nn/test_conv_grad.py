"""nn.grad: the gradient of a convolution is the linear map it is adjoint to, held against NumPy's sums."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

RNG = np.random.default_rng(0)


def matrix_of(conv, size):
    """The convolution with a fixed weight as a dense matrix, column by column."""
    columns = []
    for i in range(int(np.prod(size))):
        unit = np.zeros(int(np.prod(size)))
        unit[i] = 1
        columns.append(conv(ccdl.from_numpy(unit.reshape(size))).numpy().ravel())
    return np.stack(columns, 1)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), [(1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2)])
def test_gradients_are_the_transposed_maps(dims, stride, padding, dilation, groups):
    conv = getattr(ccdl.nn.functional, f"conv{dims}d")
    to_input, to_weight = getattr(ccdl.nn.grad, f"conv{dims}d_input"), getattr(ccdl.nn.grad, f"conv{dims}d_weight")
    options = (stride, padding, dilation, groups)
    input_size, weight_size = (1, 2) + (5,) * dims if dims < 3 else (1, 2, 4, 4, 4), (2, 2 // groups) + (2,) * dims
    x = ccdl.from_numpy(RNG.standard_normal(input_size)).requires_grad_()
    w = ccdl.from_numpy(RNG.standard_normal(weight_size)).requires_grad_()
    dy = RNG.standard_normal(tuple(conv(x, w, None, *options).shape))
    given = ccdl.from_numpy(dy).requires_grad_()
    dx = to_input(input_size, w, given, *options)
    dw = to_weight(x, weight_size, given, *options)
    of_x = matrix_of(lambda v: conv(v, w.detach(), None, *options), input_size)
    of_w = matrix_of(lambda v: conv(x.detach(), v, None, *options), weight_size)
    np.testing.assert_allclose(dx.detach().numpy().ravel(), of_x.T @ dy.ravel(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dw.detach().numpy().ravel(), of_w.T @ dy.ravel(), rtol=1e-12, atol=1e-12)
    # the gradient is linear in dy: its own gradient is the convolution again
    v = RNG.standard_normal(input_size)
    (back,) = ccdl.autograd.grad(dx, given, ccdl.from_numpy(v))
    np.testing.assert_allclose(back.numpy().ravel(), of_x @ v.ravel(), rtol=1e-12, atol=1e-12)


def test_without_recording_and_without_a_size():
    with ccdl.no_grad():
        g = ccdl.nn.grad.conv1d_weight(ccdl.tensor([[[1.0, 2.0, 3.0]]]), (1, 1, 2), ccdl.ones(1, 1, 2))
    assert not g.requires_grad and g.tolist() == [[[3.0, 5.0]]]
    for conv in (ccdl.nn.grad.conv1d_input, ccdl.nn.grad.conv2d_input, ccdl.nn.grad.conv3d_input):
        with pytest.raises(ValueError, match="input_size"):
            conv(None, ccdl.ones(1, 1, 1), ccdl.ones(1, 1, 1))
    with pytest.raises(RuntimeError):
        ccdl.nn.grad.conv1d_input((1, 1, 9), ccdl.ones(1, 1, 2), ccdl.ones(1, 1, 2))
