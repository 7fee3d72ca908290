"""Worked numbers about convolution from the lecture notes."""

import pytest

import ccdl
import ccdl.nn.functional as F


@pytest.mark.parametrize(("size", "kernel", "padding", "stride", "out"), [
    (7, 3, 1, 3, 3),
    (5, 3, 1, 1, 5), (6, 3, 1, 1, 6), (32, 3, 1, 1, 32),
    (5, 3, 1, 2, 3), (6, 3, 1, 2, 3), (7, 3, 1, 2, 4), (28, 3, 1, 2, 14), (32, 3, 1, 2, 16),
])
def test_output_size(size, kernel, padding, stride, out):
    y = F.conv2d(ccdl.ones(1, 1, size, size), ccdl.ones(1, 1, kernel, kernel), stride=stride, padding=padding)
    assert tuple(y.shape) == (1, 1, out, out)


@pytest.mark.parametrize("size", range(1, 40))
def test_stride_two_rule(size):
    y = F.conv2d(ccdl.ones(1, 1, size, size), ccdl.ones(1, 1, 3, 3), stride=2, padding=1)
    assert y.shape[2] == (size - 1) // 2 + 1


@pytest.mark.parametrize(("channels", "weights"), [(1, 45), (3, 135)])
def test_filter_parameters(channels, weights):
    layer = ccdl.nn.Conv2d(channels, 5, 3)
    assert layer.weight.numel() == weights
    assert layer.bias.numel() == 5


def test_cross_correlation_and_true_convolution():
    patch = ccdl.tensor([[2.0, 3.0, 1.0], [5.0, 6.0, 3.0], [8.0, 9.0, 8.0]])[None, None]
    kernel = ccdl.tensor([[0.0, 1.0, -1.0], [1.0, 0.0, 1.0], [1.0, 2.0, 0.0]])[None, None]
    assert F.conv2d(patch, kernel).item() == 36.0
    assert F.conv2d(patch, kernel.flip(2, 3)).item() == 16.0


def test_x_filter():
    image = ccdl.tensor([[1.0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]])
    cross = ccdl.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    y = F.conv2d(image[None, None], cross[None, None])
    assert y[0, 0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_dense_and_shared_weight_counts():
    """A 200 x 200 image and 1000 hidden units: 40 million weights; 100 shared 10 x 10 filters: 10,000."""
    assert ccdl.nn.Linear(200 * 200, 1000, bias=False).weight.numel() == 40_000_000
    assert ccdl.nn.Conv2d(1, 100, 10, bias=False).weight.numel() == 10_000
