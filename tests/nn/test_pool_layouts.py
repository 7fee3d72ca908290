"""Pooling of every type in both layouts against loops over the windows: maxima with ties, NaN and dilation, averages
of windows of every distance; memory formats as PyTorch's."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

TYPES = ["float16", "bfloat16", "float32", "float64"]
EPSILON = {"float64": 1e-13, "float32": 2e-6, "bfloat16": 1e-2, "float16": 2e-3}


def windows(n: int, kernel: int, stride: int, pad: int, dilation: int, out: int) -> list[list[int]]:
    spots = ([o * stride - pad + k * dilation for k in range(kernel)] for o in range(out))
    return [[i for i in s if 0 <= i < n] for s in spots]


def adaptive(n: int, out: int) -> list[list[int]]:
    return [list(range(o * n // out, -(-(o + 1) * n // out))) for o in range(out)]


def largest(x: np.ndarray, spots: list[list[list[int]]]) -> tuple[np.ndarray, np.ndarray]:
    """The maxima over windows of the last dimensions, and their places in the plane: the first maximum, the last NaN."""
    sizes = x.shape[2:]
    y = np.empty((*x.shape[:2], *map(len, spots)))
    at = np.empty(y.shape, np.int64)
    for o in itertools.product(*(range(len(s)) for s in spots)):
        points = list(itertools.product(*(s[i] for s, i in zip(spots, o))))
        if not points:
            y[(..., *o)], at[(..., *o)] = -np.inf, -1
            continue
        v = np.stack([x[(..., *p)] for p in points], -1)
        nan = np.isnan(v)
        first, last = np.argmax(np.where(nan, -np.inf, v), -1), len(points) - 1 - np.argmax(nan[..., ::-1], -1)
        best = np.where(nan.any(-1), last, first)
        y[(..., *o)] = np.take_along_axis(v, best[..., None], -1)[..., 0]
        at[(..., *o)] = np.array([np.ravel_multi_index(p, sizes) for p in points])[best]
    return y, at


def tensor(values: np.ndarray, dtype: str, last: bool) -> Any:
    x = ccdl.tensor(values).to(getattr(ccdl, dtype))
    if last:
        x = x.contiguous(memory_format=ccdl.channels_last if values.ndim == 4 else ccdl.channels_last_3d)
    return x.requires_grad_()


def check_maximum(x: Any, y: Any, at: Any, spots: list[list[list[int]]]) -> None:
    values = x.detach().double().cpu().numpy()
    want, place = largest(values, spots)
    np.testing.assert_array_equal(y.detach().double().cpu().numpy(), want)
    if at is not None:
        np.testing.assert_array_equal(at.cpu().numpy()[place >= 0], place[place >= 0])
    dy = np.random.default_rng(1).integers(-4, 5, want.shape)
    (dx,) = ccdl.autograd.grad(y, x, ccdl.tensor(dy).to(x.dtype))
    dwant = np.zeros((*values.shape[:2], int(np.prod(values.shape[2:]))))
    for n, c in np.ndindex(values.shape[:2]):
        inside = place[n, c].ravel() >= 0
        np.add.at(dwant[n, c], place[n, c].ravel()[inside], dy[n, c].ravel()[inside])
    np.testing.assert_array_equal(dx.double().cpu().numpy(), dwant.reshape(values.shape))


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernel, stride, pad, dilation", [
    (2, 2, 0, 1), (3, 2, 1, 1), (3, 1, 1, 1), (3, 3, 0, 1), (3, 2, 1, 2), (2, 4, 1, 1), (16, 1, 8, 1),
])
@pytest.mark.parametrize("channels", [3, 70])
def test_maxima(kernel, stride, pad, dilation, channels, dtype, last):
    rng = np.random.default_rng(0)
    values = rng.integers(-3, 4, (2, channels, 9, 11)).astype(np.float64)
    values[0, 1, 4, 4:6] = np.nan
    values[1, :2, :4, :4] = -np.inf
    x = tensor(values, dtype, last)
    y, at = F.max_pool2d(x, kernel, stride, pad, dilation, ceil_mode=True, return_indices=True)
    assert y.is_contiguous(memory_format=ccdl.channels_last if last else ccdl.contiguous_format)
    spots = [windows(n, kernel, stride, pad, dilation, o) for n, o in zip((9, 11), y.shape[2:])]
    check_maximum(x, y, at, spots)
    check_maximum(x, F.max_pool2d(x, kernel, stride, pad, dilation, ceil_mode=True), None, spots)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("size, out", [((7, 7), (3, 3)), ((20, 33), (1, 2)), ((5, 4), (7, 4))])
def test_adaptive_maxima(size, out, dtype, last):
    values = np.random.default_rng(0).integers(-30, 30, (2, 19, *size)).astype(np.float64)
    values[1, 3, 2, 2] = np.nan
    x = tensor(values, dtype, last)
    y, at = F.adaptive_max_pool2d(x, out, return_indices=True)
    check_maximum(x, y, at, [adaptive(n, o) for n, o in zip(size, out)])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
def test_maxima_of_volumes(dtype, last):
    x = tensor(np.random.default_rng(0).integers(-3, 4, (2, 5, 4, 5, 6)).astype(np.float64), dtype, last)
    y, at = F.max_pool3d(x, 3, 2, 1, return_indices=True)
    assert y.is_contiguous(memory_format=ccdl.channels_last_3d if last else ccdl.contiguous_format)
    check_maximum(x, y, at, [windows(n, 3, 2, 1, 1, o) for n, o in zip((4, 5, 6), y.shape[2:])])


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kernel, stride, pad", [(2, 2, 0), (3, 2, 1), (3, 1, 1), (3, 3, 1), (4, 4, 0), (5, 3, 2)])
def test_averages(kernel, stride, pad, dtype, last):
    values = np.random.default_rng(0).standard_normal((2, 37, 10, 13))
    x = tensor(values, dtype, last)
    y = F.avg_pool2d(x, kernel, stride, pad, ceil_mode=True, count_include_pad=False)
    spots = [windows(n, kernel, stride, pad, 1, o) for n, o in zip((10, 13), y.shape[2:])]
    values, want = x.detach().double().cpu().numpy(), np.empty(y.shape)
    for i, j in np.ndindex(want.shape[2:]):
        want[..., i, j] = values[:, :, spots[0][i]][..., spots[1][j]].mean((-1, -2))
    np.testing.assert_allclose(y.detach().double().cpu().numpy(), want, rtol=EPSILON[dtype], atol=EPSILON[dtype])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("sizes, outs", [((7,), (3,)), ((14,), (7,)), ((100,), (7,)), ((4, 9), (2, 3)), ((3, 4, 5), (1, 1, 1)),
                                         ((4, 6, 5), (2, 4, 3))])
def test_adaptive_averages_of_planes(sizes, outs, dtype):
    values = ccdl.tensor(np.random.default_rng(0).standard_normal((2, 5, *sizes))).to(getattr(ccdl, dtype))
    y = getattr(F, f"adaptive_avg_pool{len(sizes)}d")(values, outs)
    x, want = values.double().cpu().numpy(), np.empty(y.shape)
    for o in np.ndindex(outs):
        part = x
        for d, (n, out, i) in enumerate(zip(sizes, outs, o)):
            part = part.take(adaptive(n, out)[i], d + 2)
        want[(..., *o)] = part.reshape(2, 5, -1).mean(-1)
    np.testing.assert_allclose(y.double().cpu().numpy(), want, rtol=EPSILON[dtype], atol=EPSILON[dtype])


@pytest.mark.host
def test_equal_doubles_average_to_themselves():
    x = ccdl.ones(1, 3, 9, 9, dtype=ccdl.float64)
    for last in (x, x.contiguous(memory_format=ccdl.channels_last)):
        for stride in (1, 2, 3):
            np.testing.assert_array_equal(F.avg_pool2d(last, 7, stride).cpu().numpy(), 1)


@pytest.mark.parametrize("dtype", TYPES)
def test_unpooling_keeps_channels_last(dtype):
    rng = np.random.default_rng(0)
    values = rng.standard_normal((2, 5, 6, 8))
    plain, last = tensor(values, dtype, False), tensor(values, dtype, True)
    results = []
    for x in (plain, last):
        y, at = F.max_pool2d(x, 2, return_indices=True)
        z = F.max_unpool2d(y, at, 2)
        (dx,) = ccdl.autograd.grad(z, x, ccdl.tensor(values).to(x.dtype))
        results.append((z.detach().double().cpu().numpy(), dx.double().cpu().numpy()))
    assert z.is_contiguous(memory_format=ccdl.channels_last)
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)
    want = np.zeros(plain.shape)
    kept = plain.detach().double().cpu().numpy().reshape(2, 5, 3, 2, 4, 2)
    want = np.where(kept == kept.max((3, 5), keepdims=True), kept, 0).reshape(plain.shape)
    np.testing.assert_array_equal(results[0][0], want)


@pytest.mark.host
def test_the_wrong_index_is_named_in_logical_order():
    at = ccdl.zeros(1, 2, 2, 2, dtype=ccdl.int64)
    at[0, 1, 0, 1] = 99
    x = ccdl.ones(1, 2, 2, 2)
    for format in (ccdl.contiguous_format, ccdl.channels_last):
        with pytest.raises(ccdl.errors.IndexError, match=r"99 \(element 5 of indices\)"):
            F.max_unpool2d(x.contiguous(memory_format=format), at.contiguous(memory_format=format), 2)
