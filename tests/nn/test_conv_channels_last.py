"""Convolution of channels_last tensors on the CPU: the values of the contiguous tensors, results that stay
channels_last, and the same bits at any thread count."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

pytestmark = pytest.mark.host

# x, w, options: blocks of pixels over rows and images, sums in several blocks, cut taps; strides and dilations with
# phases that no tap reaches; one plane of padding only; minimal filtering (3x3 of 32 channels and more); groups:
# several to a vector (with a part of one left), rows of their own, long sums, one tap, one channel to several; regions that read
# through some taps or none
SHAPES = [
    ((2, 3, 9, 8), (5, 3, 3, 3), {"padding": 1}),
    ((2, 3, 33, 31), (64, 3, 7, 7), {"stride": 2, "padding": 3}),
    ((2, 4, 9, 8), (5, 4, 1, 1), {}),
    ((2, 40, 9, 8), (50, 40, 1, 1), {"stride": 2}),
    ((2, 40, 19, 18), (50, 40, 3, 3), {"stride": 2, "padding": 1}),
    ((2, 5, 11, 13), (7, 5, 3, 2), {"padding": (2, 1), "dilation": (2, 3)}),
    ((2, 600, 5, 4), (9, 600, 3, 3), {"padding": 1}),
    ((2, 9, 5, 4), (3, 9, 2, 2), {"stride": 3}),
    ((1, 4, 3, 3), (4, 4, 3, 3), {"padding": 3, "stride": 3}),
    ((2, 3, 4, 5), (6, 3, 3, 5), {"padding": (0, 2)}),
    ((2, 3, 40, 8, 2), (4, 3, 3, 3, 2), {"stride": (2, 1, 1), "padding": 1}),
    ((3, 48, 17, 15), (70, 48, 3, 3), {"padding": 1}),
    ((3, 35, 17, 15), (37, 35, 3, 3), {"padding": 1}),
    ((20, 33, 4, 4), (32, 33, 3, 3), {"padding": (1, 2)}),
    ((2, 12, 11, 13), (12, 1, 3, 3), {"padding": 1, "groups": 12}),
    ((3, 70, 11, 13), (70, 1, 3, 3), {"padding": 1, "stride": 2, "groups": 70}),
    ((2, 21, 11, 13), (21, 1, 5, 5), {"padding": 3, "dilation": 2, "groups": 21}),
    ((2, 12, 11, 13), (24, 6, 3, 3), {"padding": 1, "groups": 2}),
    ((2, 12, 11, 13), (24, 1, 3, 3), {"padding": 1, "groups": 12}),
    ((2, 20, 5, 9), (24, 20, 3, 5), {"padding": (4, 6), "dilation": (4, 3)}),
    ((2, 20, 1, 4), (24, 20, 3, 3), {"padding": 1}),
    ((2, 4, 70, 45), (100, 4, 5, 4), {"padding": 2, "stride": (2, 3)}),
    ((2, 16, 9, 31), (17, 16, 3, 3), {"padding": 1}),
    ((1, 9, 30, 23), (30, 9, 3, 3), {"padding": (0, 2), "dilation": (3, 2)}),
    ((2, 3, 5, 9, 14), (48, 3, 3, 3, 3), {"padding": 1, "stride": (2, 1, 1)}),
    ((2, 70, 6, 10), (3, 70, 3, 3), {}),
    ((2, 36, 9, 21), (36, 4, 3, 3), {"padding": 1, "groups": 9}),
    ((2, 40, 13, 12), (40, 8, 3, 3), {"padding": 1, "stride": 2, "groups": 5}),
    ((3, 34, 8, 7), (34, 2, 5, 3), {"padding": (4, 2), "dilation": 2, "groups": 17}),
    ((2, 32, 30, 3), (32, 4, 3, 1), {"stride": (1, 2), "groups": 8}),
    ((2, 24, 4, 9, 8), (24, 4, 2, 3, 3), {"padding": 1, "stride": (2, 1, 2), "groups": 6}),
    ((2, 48, 12, 14), (48, 16, 3, 3), {"padding": 1, "groups": 3}),
    ((2, 72, 15, 17), (96, 24, 3, 3), {"padding": 1, "stride": 2, "groups": 3}),
    ((2, 26, 9, 8), (10, 13, 3, 3), {"padding": 2, "dilation": 2, "groups": 2}),
    ((2, 140, 9, 8), (150, 70, 3, 3), {"padding": 1, "groups": 2}),
    ((2, 12, 5, 6, 8), (30, 4, 3, 3, 3), {"padding": (1, 0, 1), "groups": 3}),
    ((2, 30, 7, 9), (45, 10, 1, 1), {"stride": (1, 2), "groups": 3}),
    ((2, 30, 7, 9), (15, 6, 1, 1), {"groups": 5}),
    ((2, 6, 7, 9), (18, 1, 3, 3), {"padding": 1, "groups": 6}),
    ((1, 16, 300, 3), (16, 8, 3, 3), {"padding": 1, "groups": 2}),
    ((2, 40, 17, 19), (34, 40, 3, 3), {"padding": 12, "dilation": 12}),
    ((3, 33, 8, 24), (50, 33, 2, 3), {"padding": (6, 8), "dilation": (12, 8)}),
    ((1, 530, 12, 12), (32, 530, 3, 3), {"padding": (6, 5), "dilation": (6, 5)}),
    ((4, 36, 3, 9, 8), (40, 36, 3, 3, 1), {"padding": (2, 4, 0), "dilation": (2, 4, 1)}),
    # depthwise, adjacent taps of a row: tiles of 14, 8 and 7 pixels, a part of a vector of channels, rows read in part
    ((2, 35, 9, 14), (35, 1, 3, 3), {"padding": 1, "groups": 35}),
    ((2, 37, 6, 9), (37, 1, 5, 7), {"padding": (2, 3), "stride": (2, 1), "groups": 37}),
    ((2, 20, 7, 7), (20, 1, 7, 7), {"padding": 3, "groups": 20}),
    ((1, 33, 4, 9, 17), (33, 1, 2, 3, 5), {"padding": (1, 0, 6), "dilation": (2, 3, 1), "groups": 33}),
    ((2, 16, 8, 8), (16, 1, 3, 5), {"padding": (0, 2), "dilation": (2, 1), "groups": 16}),
    ((3, 18, 5, 28), (18, 1, 1, 3), {"groups": 18}),
    ((2, 24, 9, 17), (24, 1, 3, 3), {"padding": 1, "stride": 2, "groups": 24}),
    ((2, 19, 15, 14), (19, 1, 5, 5), {"padding": 2, "stride": 2, "groups": 19}),
    ((1, 16, 7, 20), (16, 1, 3, 7), {"padding": (1, 3), "stride": (1, 2), "groups": 16}),
]
TRANSPOSED = [
    ((2, 6, 5, 4), (6, 3, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1}),
    ((2, 6, 5, 4), (6, 70, 4, 4), {"stride": 2, "padding": 1}),
    ((2, 6, 5, 4), (6, 1, 3, 3), {"stride": 2, "groups": 6}),
    ((2, 40, 6, 6), (40, 50, 3, 3), {"padding": 1}),
    ((4, 20, 1, 1), (20, 40, 4, 4), {}),
    ((2, 5, 6, 6), (5, 3, 2, 2), {"stride": 3}),
    ((2, 32, 6, 7), (32, 4, 3, 3), {"stride": 2, "padding": 1, "output_padding": 1, "groups": 8}),
    ((2, 48, 6, 7), (48, 24, 4, 4), {"stride": 2, "padding": 1, "groups": 2}),
    ((2, 40, 6, 12), (40, 1, 5, 3), {"stride": (2, 1), "padding": (1, 2), "groups": 40}),
]
CASES = [(F.conv3d if len(x) == 5 else F.conv2d, x, w, o) for x, w, o in SHAPES] + [
    (F.conv_transpose2d, x, w, o) for x, w, o in TRANSPOSED
]


def last(t: ccdl.Tensor) -> ccdl.Tensor:
    return t.contiguous(memory_format=ccdl.channels_last if t.dim() == 4 else ccdl.channels_last_3d)


def is_last(t: ccdl.Tensor) -> bool:
    return t.is_contiguous(memory_format=ccdl.channels_last if t.dim() == 4 else ccdl.channels_last_3d)


def passes(op, x, w, options: dict, dtype, x_last: bool, w_last: bool) -> list[ccdl.Tensor]:
    rng = np.random.default_rng(1)
    x, w = (ccdl.tensor(np.asarray(rng.standard_normal(s))).to(dtype) for s in (x, w))
    bias = ccdl.tensor(np.asarray(rng.standard_normal(w.shape[1] * options.get("groups", 1) if op is F.conv_transpose2d
                                                      else w.shape[0]))).to(dtype).requires_grad_()
    x = (last(x) if x_last else x).requires_grad_()
    w = (last(w) if w_last else w).requires_grad_()
    y = op(x, w, bias, **options)
    dy = ccdl.tensor(np.asarray(rng.standard_normal(y.shape))).to(dtype)
    y.backward(last(dy) if x_last else dy)
    return [y.detach(), x.grad, w.grad, bias.grad]


@pytest.mark.parametrize("dtype", [ccdl.float64, ccdl.float32])
@pytest.mark.parametrize("w_last", [False, True])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].__name__} {c[1]} {c[2]} {c[3]}")
def test_values_and_gradients_are_those_of_contiguous_tensors(case: tuple, w_last: bool, dtype: ccdl.dtype) -> None:
    op, x, w, options = case
    want = passes(op, x, w, options, ccdl.float64, False, False)
    got = passes(op, x, w, options, dtype, True, w_last)
    for what, a, b in zip(("y", "dx", "dw", "db"), got, want):
        assert a.dtype == dtype and a.shape == b.shape
        scale = float(b.abs().max())
        np.testing.assert_allclose(a.double().numpy(), b.numpy(), rtol=0,
                                   atol=scale * (1e-13 if dtype == ccdl.float64 else 4e-6), err_msg=what)
        if what in ("y", "dx") and a.shape[1] > 1 and a.shape[2] * a.shape[3] > 1 and x[2] > 1:
            assert is_last(a), what


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].__name__} {c[1]} {c[2]} {c[3]}")
def test_bits_do_not_depend_on_threads(case: tuple) -> None:
    op, x, w, options = case
    before = ccdl.get_num_threads()
    try:
        ccdl.set_num_threads(1)
        want = passes(op, x, w, options, ccdl.float32, True, True)
        ccdl.set_num_threads(3)
        got = passes(op, x, w, options, ccdl.float32, True, True)
    finally:
        ccdl.set_num_threads(before)
    for a, b in zip(got, want):
        assert np.array_equal(a.numpy(), b.numpy())


# Several blocks of pixels and of sums, several slices of images; then planes that are turned to channels innermost on
# the way, beside neighbours of the rule that stay.
HALVES = [
    (F.conv2d, (5, 48, 15, 13), (65, 48, 3, 3), {"padding": 1}),
    (F.conv2d, (3, 130, 9, 9), (64, 130, 1, 1), {}),
    (F.conv2d, (2, 1100, 3, 4), (17, 1100, 1, 2), {"padding": (0, 1)}),
    (F.conv2d, (17, 20, 64, 96), (20, 10, 3, 3), {"padding": 1, "groups": 2}),
    (F.conv2d, (3, 35, 13, 11), (33, 35, 5, 5), {"padding": 2}),
    (F.conv2d, (2, 32, 15, 14), (40, 32, 3, 3), {"padding": 1, "stride": 2}),
    (F.conv2d, (2, 130, 7, 5), (129, 130, 3, 3), {"padding": 1}),
    (F.conv2d, (2, 64, 9, 12), (65, 64, 3, 3), {"padding": 2, "dilation": 2}),
    (F.conv2d, (3, 40, 6, 9), (36, 40, 1, 7), {"padding": (0, 3)}),
    (F.conv2d, (1, 64, 1, 1), (32, 64, 1, 1), {}),
    (F.conv2d, (2, 128, 6, 6), (10, 128, 3, 3), {"padding": 1}),
    (F.conv2d, (2, 32, 9, 9), (64, 16, 5, 5), {"groups": 2}),
    (F.conv2d, (3, 32, 1, 40), (64, 32, 1, 3), {"padding": (0, 1)}),
    (F.conv3d, (1, 32, 5, 6, 7), (32, 32, 3, 3, 3), {"padding": 1}),
    (F.conv_transpose2d, (2, 64, 6, 5), (64, 33, 4, 4), {"padding": 1, "stride": 2}),
]  # fmt: skip


@pytest.mark.parametrize("half,x_last,w_last", [(ccdl.bfloat16, True, False), (ccdl.bfloat16, True, True),
                                                (ccdl.bfloat16, False, False), (ccdl.float16, True, True),
                                                (ccdl.float16, False, False)])
@pytest.mark.parametrize("case", CASES + HALVES, ids=lambda c: f"{c[0].__name__} {c[1]} {c[2]} {c[3]}")
def test_halves_are_summed_in_float_and_rounded_once(case: tuple, half: ccdl.dtype, x_last: bool, w_last: bool) -> None:
    op, x, w, options = case
    rng = np.random.default_rng(1)
    x, w = (ccdl.tensor(np.asarray(rng.standard_normal(s))).to(half) for s in (x, w))
    dy = ccdl.tensor(np.asarray(rng.standard_normal(op(x, w, **options).shape))).to(half)

    def run(x, w, dy) -> list[ccdl.Tensor]:
        x, w = x.detach().requires_grad_(), w.detach().requires_grad_()
        y = op(x, w, **options)
        y.backward(dy)
        return [y.detach(), x.grad, w.grad]

    want = run(x.double(), w.double(), dy.double())
    before = ccdl.get_num_threads()
    try:
        ccdl.set_num_threads(3)
        operands = [last(t) if yes else t for t, yes in ((x, x_last), (w, w_last), (dy, x_last))]
        got = run(*operands)
        ccdl.set_num_threads(1)
        alone = run(*operands)
    finally:
        ccdl.set_num_threads(before)
    for what, a, b, c in zip(("y", "dx", "dw"), got, want, alone):
        assert a.dtype == half and a.shape == b.shape
        if what != "dw":
            assert (is_last if x_last and x[0, 0].numel() > 1 else ccdl.Tensor.is_contiguous)(a), what
        np.testing.assert_allclose(a.double().numpy(), b.numpy(), rtol=2**-8 if half == ccdl.bfloat16 else 2**-11, atol=2e-6 * float(b.abs().max()),
                                   err_msg=what)
        assert np.array_equal(a.float().numpy(), c.float().numpy()), what


def test_half_precision_and_second_derivative() -> None:
    x = last(ccdl.tensor(np.random.default_rng(0).standard_normal((2, 6, 5, 7)))).requires_grad_()
    w = last(ccdl.tensor(np.random.default_rng(1).standard_normal((4, 6, 3, 3)))).requires_grad_()
    assert ccdl.autograd.gradgradcheck(lambda x, w: F.conv2d(x, w, stride=2, padding=1), (x, w))
    y = F.conv2d(x.detach().bfloat16(), w.detach().bfloat16(), padding=1)
    assert is_last(y) and y.dtype == ccdl.bfloat16
    want = F.conv2d(x.detach(), w.detach(), padding=1).numpy()
    np.testing.assert_allclose(y.double().numpy(), want, rtol=0.02, atol=0.1)


def test_non_finite_pixels_of_a_filtered_convolution_stay_where_they_are() -> None:
    x = last(ccdl.ones(2, 32, 16, 16))
    w = ccdl.ones(32, 32, 3, 3)
    x[0, 3, 5, 5] = float("inf")
    y = F.conv2d(x, w, padding=1)
    assert int(ccdl.isinf(y).sum()) == 32 * 9 and is_last(y) and not bool(ccdl.isnan(y).any())
