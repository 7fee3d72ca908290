"""Max pooling of float32 planes takes paths of its own (rows of vectors, 2x2 and 3x3 windows two apart, clipped
borders): values and gradients against loops over the windows, ties and NaN included."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl


def by_windows(x: np.ndarray, dy: np.ndarray, kernel: int, pad: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """y and dx: the first maximum of a window takes its gradient, a NaN before all."""
    y, dx = np.empty_like(dy), np.zeros_like(x)
    for plane, i, j in np.ndindex(dy.shape):
        best, where = -np.inf, None
        for h in range(max(2 * i - pad[0], 0), min(2 * i - pad[0] + kernel, x.shape[1])):
            for w in range(max(2 * j - pad[1], 0), min(2 * j - pad[1] + kernel, x.shape[2])):
                if where is None or x[plane, h, w] > best or np.isnan(x[plane, h, w]):
                    best, where = x[plane, h, w], (h, w)
        y[plane, i, j] = best
        dx[(plane, *where)] += dy[plane, i, j]
    return y, dx


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("pad", [(0, 0), (1, 1), (1, 0), (0, 1)])
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("size", [(3, 3), (4, 5), (9, 8), (6, 31), (5, 32), (8, 33), (7, 70), (10, 127)])
def test_values_and_gradients(size, kernel, pad, ceil_mode):
    random = np.random.default_rng(0)
    values = random.integers(-3, 4, (2, *size)).astype(np.float32)  # many ties, sums of gradients are exact
    values[1, size[0] // 2, size[1] // 2] = np.nan
    values[0, :2, :2] = -np.inf
    x = ccdl.from_numpy(values).requires_grad_()
    y = ccdl.nn.functional.max_pool2d(x, kernel, 2, pad, ceil_mode=ceil_mode)
    dy = random.integers(-8, 9, y.shape).astype(np.float32)
    y.backward(ccdl.from_numpy(dy))
    want, gradient = by_windows(values, dy, kernel, pad)
    np.testing.assert_array_equal(y.detach().numpy(), want)
    np.testing.assert_array_equal(x.grad.numpy(), gradient)
    with ccdl.no_grad():
        np.testing.assert_array_equal(ccdl.nn.functional.max_pool2d(x, kernel, 2, pad, ceil_mode=ceil_mode).numpy(), want)


def test_planes_of_a_volume():
    x = ccdl.from_numpy(np.random.default_rng(1).permutation(2 * 3 * 6 * 10).reshape(1, 2, 3, 6, 10).astype(np.float32)).requires_grad_()
    y = ccdl.nn.functional.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
    y.backward(ccdl.ones_like(y))
    want, gradient = by_windows(x.detach().numpy().reshape(6, 6, 10), np.ones((6, 3, 5), np.float32), 3, (1, 1))
    np.testing.assert_array_equal(y.detach().numpy().reshape(6, 3, 5), want)
    np.testing.assert_array_equal(x.grad.numpy().reshape(6, 6, 10), gradient)
