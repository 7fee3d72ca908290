"""Interpolation of sizes that meet every path: panels of lines with a rest, several segments, channels_last
with few and many channels, shrinking and growing; against sums over explicit weights."""

import math

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F


def weights(n_in, n_out, mode):
    m = np.zeros((n_out, n_in))
    for o in range(n_out):
        if mode == "area":
            a, b = o * n_in // n_out, -(-(o + 1) * n_in // n_out)
            m[o, a:b] = 1 / (b - a)
        elif mode == "nearest":
            m[o, min(math.floor(np.float32(o) * np.float32(n_in / n_out)), n_in - 1)] = 1
        else:
            s = max((o + 0.5) * n_in / n_out - 0.5, 0.0)
            i = min(int(s), n_in - 1)
            m[o, i] += 1 - (s - i)
            m[o, min(i + 1, n_in - 1)] += s - i
    return m


TOLERANCE = {"float64": 1e-12, "float32": 2e-6, "bfloat16": 3e-2, "float16": 4e-3}
SHAPES = [
    ((2, 19, 300), (701,), "linear"),
    ((2, 19, 701), (300,), "linear"),
    ((1, 1, 500), (1300,), "linear"),
    ((3, 11, 40000), (7,), "area"),
    ((2, 16, 257), (513,), "nearest"),
    ((2, 3, 21, 34), (13, 50), "bilinear"),
    ((2, 20, 9, 7), (18, 14), "bilinear"),
    ((2, 70, 9, 8), (4, 5), "bilinear"),
    ((2, 33, 9, 8), (4, 5), "area"),
    ((2, 17, 9, 8), (18, 16), "nearest"),
    ((1, 5, 4, 6, 7), (8, 3, 14), "trilinear"),
]


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("dtype", sorted(TOLERANCE))
@pytest.mark.parametrize("shape, size, mode", SHAPES, ids=[f"{m}-{s}" for s, _, m in SHAPES])
def test_values_and_gradients(shape, size, mode, dtype, channels_last):
    if channels_last and len(shape) != 4:
        shape, size = (*shape[:2], shape[2], 1), (size[0], 1)
        mode = {"linear": "bilinear", "trilinear": "bilinear"}.get(mode, mode)
    rng = np.random.default_rng(0)
    x = ccdl.tensor(rng.standard_normal(shape)).to(getattr(ccdl, dtype))
    if channels_last:
        x = x.contiguous(memory_format=ccdl.channels_last)
    x.requires_grad_()
    y = F.interpolate(x, size=size, mode=mode)
    if channels_last and shape[1] > 1:
        assert y.is_contiguous(memory_format=ccdl.channels_last)
    g = ccdl.tensor(rng.standard_normal(y.shape)).to(x.dtype)
    (dx,) = ccdl.autograd.grad(y, x, g)
    want, dwant = x.detach().double().cpu().numpy(), g.double().cpu().numpy()
    for d, n in enumerate(size):
        m = weights(shape[d + 2], n, mode)
        want = np.moveaxis(np.moveaxis(want, d + 2, -1) @ m.T, -1, d + 2)
        dwant = np.moveaxis(np.moveaxis(dwant, d + 2, -1) @ m, -1, d + 2)
    tolerance = TOLERANCE[dtype]
    np.testing.assert_allclose(y.detach().double().cpu().numpy(), want, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(dx.double().cpu().numpy(), dwant, rtol=tolerance, atol=tolerance * 2)


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [(1, 2, 3, 0), (0, 0, 2, 1), (2, 1, 0, 0)])
def test_padding_keeps_channels_last(mode, padding):
    rng = np.random.default_rng(1)
    array = rng.standard_normal((2, 5, 4, 6)).astype(np.float32)
    kind = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    want = np.pad(array, ((0, 0), (0, 0), padding[2:], padding[:2]), mode=kind)
    x = ccdl.from_numpy(array).contiguous(memory_format=ccdl.channels_last).requires_grad_()
    y = F.pad(x, padding, mode=mode)
    format_of = {"circular": ccdl.contiguous_format}  # the strides of PyTorch's results
    assert y.is_contiguous(memory_format=format_of.get(mode, ccdl.channels_last))
    np.testing.assert_array_equal(y.detach().cpu().numpy(), want)
    g = rng.standard_normal(y.shape).astype(np.float32)
    (dx,) = ccdl.autograd.grad(y, x, ccdl.from_numpy(g))
    (again,) = ccdl.autograd.grad(F.pad(p := x.detach().contiguous().requires_grad_(), padding, mode=mode), p,
                                  ccdl.from_numpy(g))
    np.testing.assert_allclose(dx.cpu().numpy(), again.cpu().numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_ties_of_doubles_are_chosen_in_double(mode: str) -> None:
    """floor(o n_in / n_out), taken in double and rounded to float32: 6 to 74 pixels meet 3 exactly at 37 where float32 stays below."""
    places = np.arange(74) + (0.5 if mode == "nearest-exact" else 0.0)
    want = np.minimum(np.floor((places * (6 / 74)).astype("float32")), 5)
    got = ccdl.nn.functional.interpolate(ccdl.arange(6, dtype=ccdl.float64).view(1, 1, 6), 74, mode=mode)
    np.testing.assert_array_equal(got.cpu().numpy().reshape(-1), want)
