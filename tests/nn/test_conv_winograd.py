"""3x3 convolution by minimal filtering on the CPU: its error against float64 beside the direct sum's, non-finite pixels,
the shapes at its borders, and the same bits at any thread count."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

pytestmark = pytest.mark.host

# batch, channels, height, width, filters, padding: tiles cut by the border, tails of channel vectors and of panels of
# columns, blocks of several images and parts of one, sums in several blocks of channels, few and many gradient sums
SHAPES = [
    (4, 32, 8, 8, 32, 1),
    (1, 32, 17, 15, 33, 1),
    (1, 35, 21, 16, 50, 0),
    (3, 40, 9, 11, 36, 2),
    (5, 33, 7, 7, 130, 1),
    (20, 64, 4, 4, 48, 1),
    (2, 96, 14, 14, 100, (1, 0)),
    (1, 36, 12, 70, 32, (2, 1)),
    (5, 150, 13, 12, 97, 1),
    (9, 260, 7, 7, 131, 1),
]


def arrays(shape: tuple, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    n, c, h, w, k, padding = shape
    p, q = padding if isinstance(padding, tuple) else (padding, padding)
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, c, h, w)), rng.standard_normal((k, c, 3, 3)), rng.standard_normal(k),
            rng.standard_normal((n, k, h + 2 * p - 2, w + 2 * q - 2)))


def passes(parts: tuple, padding: object, dtype: type = np.float32, direct: bool = False) -> list[np.ndarray]:
    """y, dx and dw. Direct: the same sums through a padding of 3, which minimal filtering does not take."""
    x, w, b, dy = (ccdl.tensor(a.astype(dtype)) for a in parts)
    x.requires_grad_()
    w.requires_grad_()
    if direct:
        p, q = padding if isinstance(padding, tuple) else (padding, padding)
        y = F.conv2d(x, w, b, padding=3)[:, :, 3 - p:6 - p + x.shape[2] - 2 + 2 * p - 3, 3 - q:6 - q + x.shape[3] - 2 + 2 * q - 3]
    else:
        y = F.conv2d(x, w, b, padding=padding)
    y.backward(dy)
    return [t.detach().numpy() for t in (y, x.grad, w.grad)]


def rms(a: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(a, dtype=np.float64))))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_error_is_that_of_the_direct_sum(shape: tuple) -> None:
    parts = [a.astype(np.float32) for a in arrays(shape)]
    exact = passes(parts, shape[5], np.float64)
    direct = passes(parts, shape[5], direct=True)
    for what, got, plain, want in zip(("y", "dx", "dw"), passes(parts, shape[5]), direct, exact):
        assert not np.array_equal(got, plain), f"{what}: minimal filtering was not taken"
        assert rms(got - want) <= 3 * rms(plain - want), f"{what}: {rms(got - want) / rms(plain - want)} times"
        np.testing.assert_allclose(got, want, rtol=0, atol=2e-6 * float(np.abs(want).max()))


@pytest.mark.parametrize("shape", [(4, 64, 28, 28, 64, 1), (4, 256, 14, 14, 256, 1), (4, 512, 7, 7, 512, 1)], ids=str)
@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_error_on_layers(shape: tuple, shift: float) -> None:
    """Three times the direct sum's error at most, also where a mean makes the transforms cancel."""
    parts = [(a + shift).astype(np.float32) for a in arrays(shape)]
    exact = passes(parts, 1, np.float64)
    for what, got, plain, want in zip(("y", "dx", "dw"), passes(parts, 1), passes(parts, 1, direct=True), exact):
        assert rms(got - want) <= 3 * rms(plain - want), f"{what}: {rms(got - want) / rms(plain - want)} times"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", ["corner", "middle", "edge", "weight", "gradient"])
def test_non_finite_values_spread_as_in_the_direct_sum(where: str, value: float) -> None:
    shape = (2, 32, 17, 15, 40, 1)
    parts = [a.astype(np.float32) for a in arrays(shape)]
    target = {"weight": parts[1], "gradient": parts[3]}.get(where, parts[0])
    target[{"corner": (0, 3, 0, 0), "middle": (1, 2, 8, 7), "edge": (1, 31, 16, 9), "weight": (5, 6, 1, 2),
            "gradient": (1, 39, 16, 14)}[where]] = value
    with np.errstate(invalid="ignore"):
        wanted = passes(parts, 1, np.float64)
    for what, got, want in zip(("y", "dx", "dw"), passes(parts, 1), wanted):
        assert np.array_equal(np.isnan(got), np.isnan(want)), what
        assert np.array_equal(np.isinf(got), np.isinf(want)), what
        finite = np.isfinite(want)
        assert finite.any() and np.array_equal(np.sign(got[~finite & ~np.isnan(want)]), np.sign(want[~finite & ~np.isnan(want)]))
        np.testing.assert_allclose(got[finite], want[finite], rtol=0, atol=1e-4)


def test_sums_within_a_tile_may_not_overflow() -> None:
    """Differences of pixels exceed the largest float32, no product of the convolution does."""
    x = np.zeros((1, 32, 16, 16), np.float32)
    x[:, 0] = 3e38 * np.where(np.arange(16) % 4 < 2, 1, -1)
    w = np.zeros((32, 32, 3, 3), np.float32)
    w[:, 0, 1, 1] = 0.5
    y = F.conv2d(ccdl.tensor(x), ccdl.tensor(w), padding=1).numpy()
    np.testing.assert_array_equal(y, np.broadcast_to(x[:, :1] * 0.5, y.shape))


def test_bits_do_not_depend_on_threads() -> None:
    before = ccdl.get_num_threads()
    try:
        for shape in ((3, 40, 30, 30, 64, 1), (6, 160, 14, 14, 130, 1)):
            parts = [a.astype(np.float32) for a in arrays(shape)]
            results = []
            for threads in (1, 2, 5):
                ccdl.set_num_threads(threads)
                results.append(passes(parts, 1))
            for other in results[1:]:
                for a, b in zip(results[0], other):
                    np.testing.assert_array_equal(a, b)
    finally:
        ccdl.set_num_threads(before)


# dilated (phases of one, two and four sizes, one of them alone), three-dimensional, both; x, w, options
SLICES = [
    ((2, 32, 13, 11), (36, 32, 3, 3), {"padding": 3, "dilation": 3}),
    ((3, 40, 12, 14), (33, 40, 3, 3), {"padding": (2, 4), "dilation": 2}),
    ((2, 33, 14, 16), (32, 33, 3, 3), {"padding": (0, 2), "dilation": (2, 1)}),
    ((4, 64, 11, 9), (32, 64, 3, 3), {"padding": (5, 4), "dilation": (5, 4)}),
    ((2, 32, 5, 12, 11), (34, 32, 1, 3, 3), {"padding": (0, 1, 1)}),
    ((2, 17, 5, 12, 11), (20, 17, 3, 3, 3), {"padding": 1}),
    ((1, 32, 20, 18, 16), (32, 32, 2, 3, 3), {"padding": (3, 2, 2), "dilation": (2, 2, 2)}),
    ((9, 16, 4, 34, 34), (48, 16, 3, 3, 3), {"padding": (0, 1, 1)}),
]


@pytest.mark.parametrize("last", [False, True], ids=["planes", "channels_last"])
@pytest.mark.parametrize("case", SLICES, ids=str)
def test_dilated_and_three_dimensional_filters(case: tuple, last: bool) -> None:
    """Other sums than the direct ones (a tensor with an infinity takes those), as exact, on any number of threads."""
    x_shape, w_shape, options = case
    conv = F.conv2d if len(x_shape) == 4 else F.conv3d
    layout = ccdl.contiguous_format if not last else ccdl.channels_last if len(x_shape) == 4 else ccdl.channels_last_3d
    rng = np.random.default_rng(0)
    x, w, b = (rng.standard_normal(s) for s in (x_shape, w_shape, w_shape[:1]))
    dy = rng.standard_normal(conv(ccdl.tensor(x), ccdl.tensor(w), **options).shape)

    def run(dtype: ccdl.dtype, images: int = 1) -> list[np.ndarray]:
        xs, dys = (np.concatenate([v] + [np.full_like(v[:1], np.inf)] * (images - 1)) for v in (x, dy))
        xt, wt, bt, dt = (ccdl.tensor(v.astype(np.float32)).to(dtype) for v in (xs, w, b, dys))
        xt, wt, dt = (v.contiguous(memory_format=layout) for v in (xt, wt, dt))
        y = conv(xt.requires_grad_(), wt.requires_grad_(), bt, **options)
        y.backward(dt)
        return [v.detach().numpy() for v in (y, xt.grad, wt.grad)]

    exact, got, direct = run(ccdl.float64), run(ccdl.float32), run(ccdl.float32, 2)
    for what, a, want in zip(("y", "dx", "dw"), got, exact):
        np.testing.assert_allclose(a, want, rtol=0, atol=2e-6 * float(np.abs(want).max()), err_msg=what)
    for what, a, plain, want in zip(("y", "dx"), got, direct, exact):
        plain = plain[:x_shape[0]]
        assert not np.array_equal(a, plain), f"{what}: minimal filtering was not taken"
        assert rms(a - want) <= 3 * rms(plain - want), what
    before = ccdl.get_num_threads()
    try:
        ccdl.set_num_threads(1 if before > 1 else 3)
        for a, other in zip(got, run(ccdl.float32)):
            np.testing.assert_array_equal(a, other)
    finally:
        ccdl.set_num_threads(before)


@pytest.mark.parametrize("options", [{"stride": 2}, {"stride": (1, 2)}, {"dilation": 2, "padding": 1}, {"groups": 2}, {"padding": 3}], ids=str)
def test_what_is_excluded(options: dict) -> None:
    """Stride, a padding that the dilation does not divide, groups and wide padding at sizes that would otherwise be filtered."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((8, 64, 12, 12)).astype(np.float32)
    w = rng.standard_normal((64, 64 // options.get("groups", 1), 3, 3)).astype(np.float32)
    wide = F.conv2d(ccdl.tensor(x.astype(np.float64)), ccdl.tensor(w.astype(np.float64)), **options).numpy()
    np.testing.assert_allclose(F.conv2d(ccdl.tensor(x), ccdl.tensor(w), **options).numpy(), wide, rtol=0, atol=3e-4)


def test_depth_and_empty_batch() -> None:
    x, w, _, _ = arrays((2, 32, 12, 12, 32, 1))
    flat = F.conv2d(ccdl.tensor(x), ccdl.tensor(w), padding=1).numpy()
    deep = F.conv3d(ccdl.tensor(x.astype(np.float32)[:, :, None]), ccdl.tensor(w.astype(np.float32)[:, :, None]), padding=(0, 1, 1))
    np.testing.assert_allclose(deep.numpy()[:, :, 0], flat, rtol=0, atol=1e-4)
    padded = F.conv3d(ccdl.tensor(x.astype(np.float32)[:, :, None]), ccdl.tensor(w.astype(np.float32)[:, :, None]), padding=1, stride=(3, 1, 1))
    assert padded.shape[2] == 1 and not padded.numpy().any()  # the only plane it reads is padding
    assert F.conv2d(ccdl.ones(0, 32, 12, 12), ccdl.ones(32, 32, 3, 3), padding=1).shape == (0, 32, 12, 12)
