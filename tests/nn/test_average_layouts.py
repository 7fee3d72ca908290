"""Average pooling of every type and layout against NumPy: odd output sizes, overlapping windows, gradients."""

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

TOLERANCE = {"float64": 1e-13, "float32": 2e-6, "bfloat16": 1e-2, "float16": 2e-3}


def spans(n, out):
    return [(o * n // out, -(-(o + 1) * n // out)) for o in range(out)]


def reference(x, dy, rows, columns):
    y, dx = np.zeros((*x.shape[:2], len(rows), len(columns))), np.zeros_like(x)
    for i, (a, b) in enumerate(rows):
        for j, (c, d) in enumerate(columns):
            y[..., i, j] = x[..., a:b, c:d].mean((-1, -2))
            dx[..., a:b, c:d] += (dy[..., i, j] / ((b - a) * (d - c)))[..., None, None]
    return y, dx


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", sorted(TOLERANCE))
@pytest.mark.parametrize("shape, size", [
    ((2, 35, 13, 13), (6, 6)), ((1, 3, 9, 16), (7, 5)), ((3, 17, 8, 11), (1, 1)), ((2, 64, 7, 7), (7, 7)), ((2, 5, 6, 4), None),
])
def test_averages(shape, size, dtype, channels_last):
    rng = np.random.default_rng(0)
    x = ccdl.tensor(rng.standard_normal(shape)).to(getattr(ccdl, dtype))
    if channels_last:
        x = x.contiguous(memory_format=ccdl.channels_last)
    x.requires_grad_()
    if size:
        y, borders = F.adaptive_avg_pool2d(x, size), [spans(n, o) for n, o in zip(shape[2:], size)]
    else:  # overlapping windows, some cut off by the border
        y = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
        borders = [[(max(i * 2 - 1, 0), min(i * 2 + 2, n)) for i in range((n - 1) // 2 + 1)] for n in shape[2:]]
    dy = ccdl.tensor(rng.standard_normal(y.shape)).to(x.dtype)
    if channels_last:
        dy = dy.contiguous(memory_format=ccdl.channels_last)
    (dx,) = ccdl.autograd.grad(y, x, dy)
    want, dwant = reference(x.detach().double().cpu().numpy(), dy.double().cpu().numpy(), *borders)
    np.testing.assert_allclose(y.detach().double().cpu().numpy(), want, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    np.testing.assert_allclose(dx.double().cpu().numpy(), dwant, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
