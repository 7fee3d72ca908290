"""The convolution kernels that a shape chooses, against sums over shifted slices: bordered planes of large depthwise
filters, runs of taps in copies with channels innermost, neighbours of a line in the lanes, split columns of stride 2,
patches of wide steps, filters as large as the input, added products and windows, strips of rows, channels in the lanes,
images of few pixels turned to channels innermost, taps that meet padding alone."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

pytestmark = pytest.mark.host

_spec = importlib.util.spec_from_file_location("conv_cases", Path(__file__).parents[1] / "ops" / "conv.py")
assert _spec is not None and _spec.loader is not None
reference = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(reference)

CASES = [
    ("conv2d", (2, 5, 13, 11), (5, 1, 5, 5), {"padding": 2, "groups": 5}),
    ("conv2d", (1, 3, 130, 90), (3, 1, 7, 7), {"padding": 3, "groups": 3}),
    ("conv2d", (2, 4, 9, 70), (4, 1, 4, 6), {"padding": (3, 1), "groups": 4, "dilation": (1, 2)}),
    ("conv2d", (2, 4, 3, 5), (4, 1, 7, 7), {"padding": 3, "groups": 4}),
    ("conv2d", (3, 3, 44, 46), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    ("conv2d", (2, 40, 30, 28), (33, 40, 3, 3), {"stride": 2, "padding": 1}),
    ("conv2d", (9, 40, 14, 17), (33, 40, 3, 3), {"stride": 2, "padding": 1}),
    ("conv2d", (2, 6, 21, 30), (40, 3, 5, 5), {"stride": (1, 2), "padding": 2, "groups": 2}),
    ("conv2d", (2, 33, 20, 50), (20, 33, 3, 4), {"stride": 2, "dilation": (2, 3)}),
    ("conv3d", (2, 5, 5, 8, 20), (20, 5, 3, 3, 3), {"stride": 2, "padding": 1}),
    ("conv2d", (2, 3, 40, 40), (30, 3, 11, 11), {"stride": 4, "padding": 2}),
    ("conv2d", (3, 3, 48, 64), (40, 3, 16, 16), {"stride": 16}),
    ("conv1d", (2, 3, 100), (40, 3, 25), {"stride": 5, "padding": 7}),
    ("conv2d", (3, 8, 6, 5), (40, 8, 6, 5), {}),
    ("conv3d", (3, 4, 2, 3, 5), (7, 4, 2, 3, 5), {"stride": 2}),
    ("conv2d", (2, 2, 17, 33), (16, 2, 5, 5), {"padding": 2}),
    ("conv2d", (5, 1, 30, 20), (24, 1, 3, 20), {}),
    ("conv2d", (9, 70, 9, 8), (40, 70, 6, 7), {"padding": (1, 0)}),
    ("conv3d", (3, 4, 5, 9, 10), (20, 4, 4, 4, 5), {"dilation": (1, 2, 2), "stride": (1, 1, 2), "padding": (0, 0, 1)}),
    ("conv2d", (2, 3, 65, 67), (20, 3, 5, 5), {"stride": 3, "padding": 3, "dilation": 2}),
    ("conv3d", (2, 3, 6, 20, 22), (20, 3, 3, 3, 3), {"stride": (2, 1, 1), "padding": 1}),
    ("conv1d", (2, 40, 3001), (20, 40, 9), {"padding": 16, "dilation": 4}),
    ("conv1d", (2, 3, 200), (5, 3, 3), {"stride": 2}),
    ("conv2d", (3, 16, 30, 30), (33, 16, 5, 5), {"padding": (1, 3)}),
    ("conv2d", (2, 3, 64, 62), (21, 3, 4, 4), {"stride": 4}),
    ("conv2d", (5, 6, 14, 14), (16, 6, 5, 5), {}),
    ("conv2d", (3, 4, 150, 58), (13, 4, 5, 5), {"padding": (2, 0)}),
    ("conv2d", (2, 2, 50, 64), (20, 2, 6, 4), {"stride": (3, 2), "padding": (1, 2)}),
    ("conv2d", (2, 1, 41, 64), (6, 1, 2, 2), {"stride": 3}),
    ("conv2d", (2, 6, 64, 64), (1, 6, 5, 5), {"padding": 2}),
    ("conv2d", (2, 24, 14, 30), (32, 6, 3, 3), {"stride": 2, "padding": 1, "groups": 4}),
    ("conv2d", (2, 48, 14, 14), (36, 16, 3, 3), {"padding": 1, "groups": 3}),
    ("conv2d", (2, 40, 17, 19), (34, 40, 3, 3), {"padding": 12, "dilation": 12}),
    ("conv2d", (3, 33, 8, 24), (50, 33, 2, 3), {"padding": (6, 8), "dilation": (12, 8)}),
    ("conv2d", (1, 530, 12, 12), (32, 530, 3, 3), {"padding": (6, 5), "dilation": (6, 5)}),
    ("conv3d", (4, 36, 3, 9, 8), (40, 36, 3, 3, 1), {"padding": (2, 4, 0), "dilation": (2, 4, 1)}),
    ("conv2d", (2, 37, 7, 6), (37, 1, 7, 7), {"padding": 3, "groups": 37}),
    ("conv2d", (2, 20, 5, 9), (20, 1, 2, 3), {"padding": (4, 2), "dilation": (8, 2), "groups": 20}),
    ("conv2d", (2, 20, 6, 9), (20, 1, 5, 3), {"padding": (4, 1), "stride": (2, 1), "groups": 20}),
    ("conv2d", (2, 37, 15, 13), (37, 1, 5, 5), {"padding": 2, "groups": 37}),
    ("conv2d", (2, 24, 15, 16), (24, 1, 5, 5), {"stride": 2, "padding": 2, "groups": 24}),
    ("conv2d", (1, 16, 90, 61), (16, 1, 3, 7), {"stride": (1, 2), "padding": (1, 3), "groups": 16}),
    ("conv2d", (1, 20, 300, 70), (20, 1, 3, 3), {"padding": 1, "groups": 20}),
    ("conv2d", (2, 18, 9, 7), (18, 1, 2, 3), {"stride": 3, "groups": 18}),
    ("conv2d", (2, 18, 7, 7), (18, 1, 7, 7), {"padding": 9, "dilation": 2, "groups": 18}),
    ("conv1d", (2, 24, 40), (24, 1, 4), {"stride": 2, "padding": 1, "groups": 24}),
    ("conv2d", (9, 16, 7, 7), (100, 16, 2, 2), {}),
    ("conv2d", (2, 39, 9, 15), (51, 13, 3, 3), {"padding": 1, "groups": 3, "dilation": (1, 2)}),
    ("conv2d", (2, 32, 17, 19), (40, 8, 3, 3), {"padding": 1, "groups": 4, "stride": 2}),
    ("conv3d", (1, 32, 4, 7, 9), (34, 16, 2, 3, 3), {"padding": 1, "groups": 2}),
    ("conv2d", (2, 3, 100, 100), (70, 3, 10, 10), {"stride": 5}),
    ("conv2d", (2, 100, 15, 17), (20, 100, 1, 1), {"stride": 2}),
    ("conv3d", (2, 100, 4, 5, 6), (20, 100, 1, 1, 1), {"stride": (1, 2, 3)}),
    ("conv2d", (3, 20, 7, 7), (24, 20, 3, 3), {"padding": 12, "dilation": 12}),
    ("conv2d", (2, 20, 5, 9), (24, 20, 3, 5), {"padding": (4, 6), "dilation": (4, 3)}),
    ("conv2d", (2, 6, 1, 1), (8, 6, 3, 3), {"padding": 1}),
    ("conv2d", (2, 6, 1, 4), (8, 6, 4, 3), {"padding": (3, 1), "stride": 2}),
    ("conv2d", (2, 24, 2, 1), (24, 1, 3, 3), {"padding": 1, "groups": 24}),
    ("conv1d", (2, 16, 3), (16, 16, 3), {"padding": 8, "dilation": 4}),
    ("conv2d", (5, 4, 60, 52), (16, 4, 8, 8), {"stride": 4}),
    ("conv2d", (3, 1, 44, 47), (9, 1, 8, 8), {"stride": (4, 3), "padding": (2, 5)}),
    ("conv2d", (3, 3, 33, 40), (20, 3, 4, 4), {"stride": 2, "padding": 1}),
    ("conv2d", (9, 32, 10, 11), (24, 32, 4, 4), {"stride": 2}),
    ("conv2d", (2, 17, 30, 22), (12, 17, 3, 3), {"stride": 2, "padding": 1}),
    ("conv2d", (2, 5, 30, 34), (9, 5, 7, 5), {"padding": (9, 2), "dilation": (3, 1)}),
    ("conv2d", (2, 80, 20, 22), (10, 40, 3, 3), {"padding": 2, "dilation": 2, "groups": 2}),
    ("conv2d", (2, 20, 23, 25), (36, 5, 4, 3), {"stride": (3, 2), "padding": 1, "groups": 4}),
    ("conv2d", (70, 2, 8, 8), (11, 2, 8, 4), {"stride": (8, 4)}),
    ("conv2d", (2, 64, 19, 33), (130, 64, 3, 3), {"stride": 2, "padding": 1}),
    ("conv1d", (3, 1, 9000), (12, 1, 130), {}),
    ("conv1d", (2, 2, 7001), (5, 2, 40), {"stride": 3, "padding": 50}),
    ("conv1d", (2, 40, 2100), (16, 40, 5), {"padding": 4, "dilation": 2}),
    ("conv2d", (9, 13, 21, 40), (24, 13, 3, 3), {"stride": 2, "padding": 1}),
    ("conv2d", (2, 30, 39, 61), (64, 15, 4, 3), {"stride": (2, 3), "padding": (0, 4), "groups": 2, "dilation": (2, 1)}),
    ("conv2d", (1, 12, 40, 44), (13, 12, 3, 4), {"stride": 2, "dilation": (1, 3)}),
    ("conv2d", (2, 3, 60, 53), (5, 3, 3, 7), {"stride": (1, 7), "padding": 3}),
    ("conv2d", (2, 6, 41, 67), (8, 6, 5, 5), {"stride": (2, 3), "padding": 2}),
    ("conv2d", (2, 2, 33, 131), (6, 2, 3, 3), {"stride": 4, "padding": 1}),
    ("conv2d", (2, 2, 33, 267), (6, 2, 3, 9), {"stride": (1, 8), "padding": 1}),
    ("conv1d", (2, 64, 64), (64, 64, 3), {"stride": 2, "padding": 1}),  # a phase of one tap of three
    ("conv1d", (3, 16, 32), (48, 8, 5), {"stride": 4, "padding": 1, "groups": 2}),
    ("conv1d", (3, 1, 1003), (17, 1, 64), {"padding": 7}),
    ("conv1d", (2, 18, 901), (1, 18, 40), {"padding": 50}),
    ("conv1d", (2, 9, 1300), (3, 9, 37), {}),
    ("conv1d", (2, 4, 701), (9, 4, 33), {"padding": 4}),
    ("conv1d", (2, 2, 6000), (2, 2, 300), {"padding": 299}),
    ("conv1d", (2, 2, 700), (12, 2, 200), {"padding": 199}),
    ("conv2d", (4, 48, 3, 3), (130, 48, 3, 3), {"padding": 1}),
    ("conv2d", (2, 24, 8, 7), (128, 24, 3, 5), {"padding": 2, "stride": 2}),
    # sums of more than 1024 steps: two parts of unequal channels, a stride, groups, rows wider than a block, many rows
    ("conv2d", (2, 47, 9, 32), (13, 47, 5, 5), {"padding": 2}),
    ("conv2d", (2, 45, 12, 31), (20, 45, 7, 5), {"stride": (1, 2), "padding": (3, 2)}),
    ("conv2d", (1, 246, 6, 16), (10, 123, 3, 3), {"padding": 1, "groups": 2}),
    ("conv2d", (1, 30, 5, 700), (9, 30, 7, 7), {"padding": 3}),
    ("conv2d", (1, 50, 6, 32), (65, 50, 5, 5), {"padding": (4, 2), "dilation": (2, 1)}),
]


def passes(name: str, x, w, dy, options: dict, dtype) -> list[np.ndarray]:
    x, w = (ccdl.tensor(a).to(dtype).requires_grad_() for a in (x, w))
    y = getattr(F, name)(x, w, **options)
    y.backward(ccdl.tensor(dy).to(dtype))
    return [t.detach().double().numpy() for t in (y, x.grad, w.grad)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_values_and_adjoints(case: tuple) -> None:
    """y is the sum; dx and dw are its adjoints: <dy, u * w> = <dx, u> and <dy, x * v> = <dw, v> for any u and v."""
    name, x_shape, w_shape, options = case
    rng = np.random.default_rng(0)
    x, w = (np.asarray(rng.standard_normal(s)) for s in (x_shape, w_shape))
    want = reference.conv_ref(x, w, **options)
    dy = np.asarray(rng.standard_normal(want.shape))
    y, dx, dw = passes(name, x, w, dy, options, ccdl.float64)
    np.testing.assert_allclose(y, want, rtol=0, atol=1e-13 * np.abs(want).max())
    for _ in range(3):
        u, v = (np.asarray(rng.standard_normal(s)) for s in (x_shape, w_shape))
        sums = [reference.conv_ref(u, w, **options) * dy, reference.conv_ref(x, v, **options) * dy]
        for part, got in zip(sums, (dx * u, dw * v)):
            assert abs(got.sum() - part.sum()) <= 1e-12 * np.sqrt(np.square(part).sum()) * 10
    for a, b in zip(passes(name, x, w, dy, options, ccdl.float32), (y, dx, dw)):
        np.testing.assert_allclose(a, b, rtol=0, atol=4e-6 * np.abs(b).max())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_bits_do_not_depend_on_threads(case: tuple) -> None:
    name, x_shape, w_shape, options = case
    rng = np.random.default_rng(0)
    x, w = (np.asarray(rng.standard_normal(s)) for s in (x_shape, w_shape))
    dy = np.asarray(rng.standard_normal(reference.conv_ref(x, w, **options).shape))
    before = ccdl.get_num_threads()
    try:
        ccdl.set_num_threads(1)
        want = passes(name, x, w, dy, options, ccdl.float32)
        ccdl.set_num_threads(3)
        got = passes(name, x, w, dy, options, ccdl.float32)
    finally:
        ccdl.set_num_threads(before)
    for a, b in zip(got, want):
        assert np.array_equal(a, b)


def test_bias_of_lines() -> None:
    x, w, b = ccdl.randn(2, 5, 1001), ccdl.randn(3, 5, 40), ccdl.tensor([1.0, -2.0, 30.0])
    got = (F.conv1d(x, w, b) - F.conv1d(x, w)).numpy()
    np.testing.assert_allclose(got, np.broadcast_to(b.numpy()[:, None], got.shape), rtol=0, atol=1e-4)


def test_batches_beyond_the_caches_are_their_images() -> None:
    """Blocks of large batches fetch what the next ones read, and where they go."""
    x, w, b = ccdl.randn(260, 3, 84, 84), ccdl.randn(17, 3, 8, 8), ccdl.randn(17)
    y = F.conv2d(x, w, b, stride=4)
    for n in (0, 1, 130, 258, 259):
        one = x[n : n + 1]
        np.testing.assert_allclose(y[n].numpy(), F.conv2d(one, w, b, stride=4)[0].numpy(), rtol=0, atol=1e-4)
        bias = (y[n] - F.conv2d(one, w, stride=4)[0]).numpy()
        np.testing.assert_allclose(bias, np.broadcast_to(b.numpy()[:, None, None], bias.shape), rtol=0, atol=1e-4)


def test_bias_and_borders_of_large_depthwise_filters() -> None:
    x = ccdl.ones(1, 3, 6, 20)
    w, b = ccdl.ones(3, 1, 5, 5), ccdl.tensor([1.0, 2.0, -40.0])
    y = F.conv2d(x, w, b, padding=2, groups=3)
    assert y[0, :, 0, 0].tolist() == [10, 11, -31] and y[0, :, 3, 10].tolist() == [26, 27, -15]
    x[0, 0, 0, 0] = float("nan")
    bad = ccdl.isnan(F.conv2d(x, w, b, padding=2, groups=3))
    assert int(bad.sum()) == 9 and bool(bad[0, 0, :3, :3].all())


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("options, w_shape", [({"stride": 2}, (16, 16, 4, 4)), ({}, (8, 16, 5, 6)), ({"padding": 2}, (16, 4, 5, 5))], ids=str)
def test_what_a_tap_does_not_read_is_not_in_its_gradient(options: dict, w_shape: tuple, bad: float) -> None:
    """Pixels of a corner are read by one tap each, beside the zeros between copied rows."""
    rng = np.random.default_rng(0)
    x = np.asarray(rng.standard_normal((2, w_shape[1], 34, 35)))
    w = np.asarray(rng.standard_normal(w_shape))
    for h, v in ((0, 0), (20, 0), (9, 34)):
        one = x.copy()
        one[1, 3, h, v] = bad
        dy = np.asarray(rng.standard_normal(reference.conv_ref(x, w, **options).shape))
        clean, got = (passes("conv2d", a, w, dy, options, ccdl.float32)[2] for a in (x, one))
        step, pad = options.get("stride", 1), options.get("padding", 0)
        for t in np.ndindex(w_shape[2:]):
            reads = all((at + pad - k) % step == 0 and 0 <= (at + pad - k) // step < n for at, k, n in zip((h, v), t, dy.shape[2:]))
            assert not np.isfinite(got[:, 3, t[0], t[1]]).any() if reads else np.isfinite(got[:, 3, t[0], t[1]]).all()
        others = [c for c in range(w_shape[1]) if c != 3]
        np.testing.assert_allclose(got[:, others], clean[:, others], rtol=0, atol=4e-6 * np.abs(clean).max())


@pytest.mark.parametrize("case", [c for c in CASES if c[2][1] == 1 and c[3].get("groups", 1) > 4 and c[0] == "conv2d"], ids=str)
@pytest.mark.parametrize("dtype", [ccdl.float32, ccdl.float64], ids=str)
def test_depthwise_in_either_layout(case: tuple, dtype) -> None:
    """channels_last takes other copies of the same kernels."""
    name, x_shape, w_shape, options = case
    rng = np.random.default_rng(0)
    x, w = (np.asarray(rng.standard_normal(s)) for s in (x_shape, w_shape))
    dy = np.asarray(rng.standard_normal(reference.conv_ref(x, w, **options).shape))
    want = passes(name, x, w, dy, options, ccdl.float64)
    last = {"memory_format": ccdl.channels_last}
    a, b = (ccdl.tensor(v).to(dtype).contiguous(**last).requires_grad_() for v in (x, w))
    y = getattr(F, name)(a, b, **options)
    assert y.is_contiguous(**last)
    y.backward(ccdl.tensor(dy).to(dtype).contiguous(**last))
    for got, one in zip((y, a.grad, b.grad), want):
        tolerance = (4e-6 if dtype == ccdl.float32 else 1e-13) * np.abs(one).max()
        np.testing.assert_allclose(got.detach().double().numpy(), one, rtol=0, atol=tolerance)


@pytest.mark.parametrize("shape", [(6, 14, 14, 10, 5), (3, 40, 27, 24, 4), (4, 150, 30, 26, 5)], ids=str)
def test_weight_gradient_reads_only_its_pixels(shape: tuple[int, ...]) -> None:
    """The first pixel of every plane is infinite: only the tap that reads it becomes so."""
    channels, height, width, out, k = shape
    x = np.ones((2, channels, height, width), np.float32)
    x[:, :, 0, 0] = np.inf
    w = ccdl.ones(9, channels, k, k, requires_grad=True)
    y = F.conv2d(ccdl.tensor(x), w)
    assert y.shape[-1] == out
    y.backward(ccdl.ones_like(y))
    finite = np.isfinite(w.grad.numpy())
    assert not finite[:, :, 0, 0].any()
    assert finite.sum() == finite.size - finite[:, :, 0, 0].size


def test_time_first_convolution_by_hand() -> None:
    rng = np.random.default_rng(0)
    x, w, b = rng.standard_normal((5, 2, 3)), rng.standard_normal((3, 3, 4)), rng.standard_normal(4)
    padded = np.pad(x, ((1, 1), (0, 0), (0, 0)))
    wanted = np.stack([sum(padded[t + k] @ w[k] for k in range(3)) + b for t in range(5)])
    leaves = [ccdl.tensor(v, requires_grad=True) for v in (x, w, b)]
    y = F.conv_tbc(*leaves, pad=1)
    np.testing.assert_allclose(y.detach().numpy(), wanted, rtol=1e-12, atol=1e-12)
    assert ccdl.autograd.gradcheck(lambda *t: F.conv_tbc(*t, pad=1), leaves)
    with pytest.raises(RuntimeError, match="conv_tbc: weight must have 3 dims"):
        F.conv_tbc(leaves[0], leaves[1][0], leaves[2])
