"""Paths of the elementwise, copy, scan and reduction kernels that depend on dtype and layout, against NumPy; all of
it once more at every instruction-set level the machine has."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from scipy import special

import ccdl

LEVELS = ("generic", "v2", "v3", "v4")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
LENGTHS = (1, 7, 33, 300, 5000)


def dtype(name: str) -> ccdl.dtype:
    return getattr(ccdl, name)


def whole(name: str, n: int, seed: int) -> np.ndarray:
    info = np.iinfo(name)
    rng = np.random.default_rng(seed)
    x = rng.integers(max(info.min, -1000), min(info.max, 1000), n, dtype=name, endpoint=True)
    x[:: max(1, n // 5)] = rng.choice(np.array([info.min, info.max, 0, 1, info.max - 1], name))
    return x


@pytest.mark.parametrize("source", INTEGERS)
@pytest.mark.parametrize("target", (*INTEGERS, "float32", "float64", "bool"))
def test_integers_convert_as_numpy(source: str, target: str) -> None:
    for n in LENGTHS:
        x = whole(source, n, n)
        np.testing.assert_array_equal(ccdl.from_numpy(x).to(dtype(target)).numpy(), x.astype(target))


@pytest.mark.parametrize("source", ("float32", "float64", "float16"))
@pytest.mark.parametrize("target", INTEGERS)
def test_floats_are_cut_to_integers(source: str, target: str) -> None:
    for n in LENGTHS:
        x = np.random.default_rng(n).uniform(0 if target == "uint8" else -120, 120, n).astype(source)
        np.testing.assert_array_equal(ccdl.from_numpy(x).to(dtype(target)).numpy(), x.astype(target))


@pytest.mark.parametrize("source", ("float32", "float64"))
def test_what_does_not_fit_an_integer(source: str) -> None:
    x = np.tile(np.array([np.nan, np.inf, -np.inf, 3e9, -3e9, 1e30, 2.5, -2.5], source), 5)
    got = ccdl.from_numpy(x)
    low = np.iinfo(np.int32).min
    np.testing.assert_array_equal(got.int().numpy(), np.tile([low] * 6 + [2, -2], 5).astype(np.int32))
    far = np.iinfo(np.int64).min
    np.testing.assert_array_equal(
        got.long().numpy(), np.tile([far] * 3 + [int(x[3]), int(x[4]), far, 2, -2], 5).astype(np.int64)
    )
    np.testing.assert_array_equal(got.byte().numpy(), np.tile([0] * 6 + [2, 254], 5).astype(np.uint8))


@pytest.mark.parametrize("half", ("float16", "bfloat16"))
@pytest.mark.parametrize("other", (*INTEGERS, "bool", "float64"))
def test_half_formats_convert_through_float(half: str, other: str) -> None:
    for n in LENGTHS:
        x = np.random.default_rng(n).integers(0, 100, n)
        there = ccdl.from_numpy(x).to(dtype(other)).to(dtype(half))
        want = x.astype(other)
        np.testing.assert_array_equal(there.float().numpy(), want.astype(np.float32))
        np.testing.assert_array_equal(there.to(dtype(other)).numpy(), want)


@pytest.mark.parametrize("name", INTEGERS)
def test_integer_division_rounds_as_numpy(name: str) -> None:
    for n in LENGTHS:
        a, b = whole(name, n, n), whole(name, n, n + 1)
        b[b == 0] = 3
        x, y = ccdl.from_numpy(a), ccdl.from_numpy(b)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal((x // y).numpy(), np.floor_divide(a, b))
            np.testing.assert_array_equal(ccdl.remainder(x, y).numpy(), np.remainder(a, b))
            np.testing.assert_array_equal(ccdl.fmod(x, y).numpy(), np.fmod(a, b))


def test_large_int64_divides_exactly() -> None:
    a = np.array([2**62 + 1, -(2**62) - 1, 2**53 + 1, 2**51 - 1, -(2**51)] * 60)
    b = np.array([2**31 - 1, 3, -7, 1, 2**40 + 3] * 60)
    x, y = ccdl.from_numpy(a), ccdl.from_numpy(b)
    np.testing.assert_array_equal((x // y).numpy(), a // b)
    np.testing.assert_array_equal((x % y).numpy(), a % b)
    with pytest.raises(RuntimeError, match=r"(?i)zero"):
        x // ccdl.zeros(300, dtype=ccdl.int64)


@pytest.mark.parametrize("name", INTEGERS)
def test_integer_unary(name: str) -> None:
    for n in LENGTHS:
        a = whole(name, n, n)
        x = ccdl.from_numpy(a)
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(ccdl.abs(x).numpy(), np.abs(a))
            np.testing.assert_array_equal(ccdl.neg(x).numpy(), (-a.astype(np.int64)).astype(name))
            np.testing.assert_array_equal(ccdl.square(x).numpy(), a * a)
        np.testing.assert_array_equal(ccdl.sign(x).numpy(), np.sign(a))
        np.testing.assert_array_equal(ccdl.bitwise_not(x).numpy(), ~a)
        np.testing.assert_array_equal(ccdl.logical_not(x).numpy(), a == 0)


@pytest.mark.parametrize("name", ("uint8", "int32", "int64", "float32", "float64", "float16"))
@pytest.mark.parametrize("shape", ((200, 130), (65, 257), (3, 40, 50), (9, 4097)))
def test_transposed_and_broadcast_operands(name: str, shape: tuple[int, ...]) -> None:
    a = (np.arange(np.prod(shape)) % 97).astype(name).reshape(shape)
    turned = a.swapaxes(-1, -2).copy()
    x, y = ccdl.from_numpy(a), ccdl.from_numpy(turned).transpose(-1, -2)
    np.testing.assert_array_equal((x + y).numpy(), a + a)
    np.testing.assert_array_equal((x == y).numpy(), np.full(shape, True))
    np.testing.assert_array_equal((y < 50).numpy(), a < 50)
    column, row = a[..., :1].copy(), a[..., :1, :].copy()
    np.testing.assert_array_equal((x + ccdl.from_numpy(column)).numpy(), a + column)
    np.testing.assert_array_equal((x + ccdl.from_numpy(row)).numpy(), a + row)
    np.testing.assert_array_equal((x[..., ::2] + x[..., ::2]).numpy(), a[..., ::2] + a[..., ::2])
    np.testing.assert_array_equal(y.contiguous().numpy(), a)


@pytest.mark.parametrize("width", (1, 2, 3, 5, 8, 9, 16, 31, 33, 65, 100))
@pytest.mark.parametrize("name", ("uint8", "int16", "float32", "float64"))
def test_narrow_rows_move_exactly(width: int, name: str) -> None:
    a = (np.arange(50 * width) % 120).astype(name).reshape(50, width)
    x = ccdl.from_numpy(a)
    np.testing.assert_array_equal(ccdl.cat([x, x, x], 1).numpy(), np.concatenate([a, a, a], 1))
    np.testing.assert_array_equal(x.flip(1).numpy(), a[:, ::-1])
    np.testing.assert_array_equal(x.repeat_interleave(2, 1).numpy(), a.repeat(2, 1))
    np.testing.assert_array_equal(x.repeat_interleave(3, 0).numpy(), a.repeat(3, 0))
    np.testing.assert_array_equal(x[ccdl.tensor([7, 0, 49, 7])].numpy(), a[[7, 0, 49, 7]])


@pytest.mark.parametrize("name", ("uint8", "int8", "int16", "int32", "int64", "bool"))
@pytest.mark.parametrize("axis", (None, 0, 1, 2))
@pytest.mark.parametrize("shape", ((3, 5, 7), (40, 9, 300), (2, 600, 33)))
def test_integer_reductions(name: str, axis: int | None, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    a = (rng.integers(0, 2, shape) if name == "bool" else rng.integers(0, 100, shape)).astype(name)
    dims = () if axis is None else (axis,)
    x = ccdl.from_numpy(a)
    np.testing.assert_array_equal(x.amax(*dims).numpy(), a.max(axis))
    np.testing.assert_array_equal(x.amin(*dims).numpy(), a.min(axis))
    np.testing.assert_array_equal(x.any(*dims).numpy(), a.any(axis))
    np.testing.assert_array_equal(x.all(*dims).numpy(), a.all(axis))
    np.testing.assert_array_equal(x.sum(*dims).numpy(), a.sum(axis, dtype=np.int64))
    np.testing.assert_array_equal((x * 0).any(*dims).numpy(), np.zeros_like(a.any(axis)))
    np.testing.assert_array_equal((x == x).all(*dims).numpy(), np.ones_like(a.any(axis)))


@pytest.mark.parametrize("name", ("float32", "float64", "float16", "int64", "int32"))
@pytest.mark.parametrize("n", (1, 7, 8, 9, 63, 1000, 131072, 200001))
def test_scans_of_contiguous_rows(name: str, n: int) -> None:
    rng = np.random.default_rng(n)
    a = (rng.integers(-3, 4, n) if name.startswith("int") else rng.choice([0.5, -0.25, 1.0, 2.0], n)).astype(name)
    a[::2] *= -1  # sums stay small enough for float16
    wide = np.int64 if name.startswith("int") else np.float64
    result = np.int64 if name.startswith("int") else a.dtype
    np.testing.assert_array_equal(ccdl.from_numpy(a).cumsum(0).numpy(), np.cumsum(a, dtype=wide).astype(result))
    ones = np.where(np.arange(n) % 4 < 2, -1, 1).astype(name)
    np.testing.assert_array_equal(ccdl.from_numpy(ones).cumprod(0).numpy(), np.cumprod(ones))
    np.testing.assert_array_equal(ccdl.from_numpy(ones).flip(0).cumsum(0).numpy(), np.cumsum(ones[::-1], dtype=result))


def test_scans_keep_nan_and_infinity() -> None:
    a = np.arange(1, 41, dtype=np.float32)
    a[20], a[30] = np.inf, -np.inf
    np.testing.assert_array_equal(ccdl.from_numpy(a).cumsum(0).numpy(), np.cumsum(a, dtype=np.float64).astype(np.float32))
    a[5] = np.nan
    np.testing.assert_array_equal(np.isnan(ccdl.from_numpy(a).cumsum(0).numpy()), np.arange(40) >= 5)


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, 2.0, 1e-40, -1e-40])


def check_function(name: str, reference: Callable[[np.ndarray], np.ndarray], x: np.ndarray, ulps: float) -> None:
    x = np.concatenate([x, SPECIAL.astype(x.dtype)])
    with np.errstate(all="ignore"):
        want = reference(x.astype(np.float64))
        got = getattr(ccdl, name)(ccdl.from_numpy(x)).numpy()
        rounded = want.astype(x.dtype)
        error = np.abs(got.astype(np.float64) - want) / np.spacing(np.abs(rounded)).astype(np.float64)
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    worst = np.where(same, 0, np.where(np.isfinite(rounded) & np.isfinite(got), error, np.inf))
    at = int(worst.argmax())
    assert worst[at] <= ulps, f"{name}({x[at]!r}) = {got[at]!r}, not {want[at]!r}: {worst[at]:.1f} ULP"


def test_special_functions_in_float() -> None:
    rng = np.random.default_rng(2)
    for name, reference, low, high, ulps in (
        ("erfc", special.erfc, -6, 9, 1.5),
        ("erfinv", special.erfinv, -1, 1, 4),
        ("lgamma", lambda x: np.where(x == -np.inf, np.inf, special.gammaln(x)), 0.1, 50, 2.5),
        ("lgamma", lambda x: np.where(x == -np.inf, np.inf, special.gammaln(x)), 0.9, 2.2, 1.5),
        ("lgamma", lambda x: np.where(x == -np.inf, np.inf, special.gammaln(x)), -40, 0.5, 1.5),
    ):
        check_function(name, reference, rng.uniform(low, high, 20011).astype(np.float32), ulps)
    sizes = (10 ** rng.uniform(-45, 38.5, 20011)).astype(np.float32)
    signed = np.concatenate([sizes, -sizes, -np.arange(1.0, 999.0, dtype=np.float32)])
    check_function("lgamma", lambda x: np.where(x == -np.inf, np.inf, special.gammaln(x)), signed, 1.5)
    near_one = (1 - 10 ** rng.uniform(-7, 0, 20011)).astype(np.float32)
    check_function("erfinv", special.erfinv, near_one, 4)


def test_functions_in_double() -> None:
    rng = np.random.default_rng(3)
    for name, reference, low, high, ulps in (
        ("exp", np.exp, -745, 710, 2),
        ("log", np.log, 0, 10, 2),
        ("tanh", np.tanh, -4, 4, 4),
        ("tanh", np.tanh, -1e-3, 1e-3, 4),
        ("sigmoid", special.expit, -40, 40, 4),
        ("sqrt", np.sqrt, 0, 100, 0),
        ("floor", np.floor, -100, 100, 0),
        ("ceil", np.ceil, -100, 100, 0),
        ("trunc", np.trunc, -100, 100, 0),
        ("round", np.round, -100, 100, 0),
    ):
        check_function(name, reference, rng.uniform(low, high, 20011), ulps)
    check_function("log", np.log, 10 ** rng.uniform(-308, 308, 20011), 2)


def test_nextafter_in_float() -> None:
    rng = np.random.default_rng(4)
    ends = np.concatenate([SPECIAL, [np.finfo(np.float32).max, -np.finfo(np.float32).max]]).astype(np.float32)
    a = np.concatenate([np.repeat(ends, len(ends)), rng.standard_normal(500).astype(np.float32)])
    b = np.concatenate([np.tile(ends, len(ends)), rng.standard_normal(500).astype(np.float32)])
    got = ccdl.nextafter(ccdl.from_numpy(a), ccdl.from_numpy(b)).numpy()
    want = np.nextafter(a, b)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(want))
    real = ~np.isnan(want)
    np.testing.assert_array_equal(got.view(np.int32)[real], want.view(np.int32)[real])


@pytest.mark.parametrize("rows,columns", ((3, 512), (130, 700), (257, 1030)))
def test_batch_norm_of_wide_rows(rows: int, columns: int) -> None:
    rng = np.random.default_rng(5)
    x, dy = rng.standard_normal((rows, columns)) + 3, rng.standard_normal((rows, columns))
    w, b = rng.standard_normal(columns), rng.standard_normal(columns)
    t, tw, tb = (ccdl.from_numpy(v).requires_grad_() for v in (x, w, b))
    y = ccdl.nn.functional.batch_norm(t, None, None, tw, tb, training=True, eps=1e-5)
    hat = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(y.detach().numpy(), hat * w + b, rtol=1e-9, atol=1e-10)
    y.backward(ccdl.from_numpy(dy))
    g = dy * w
    dx = (g - g.mean(0) - hat * (g * hat).mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(t.grad.numpy(), dx, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(tw.grad.numpy(), (dy * hat).sum(0), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(tb.grad.numpy(), dy.sum(0), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mode", ("constant", "reflect", "replicate", "circular"))
@pytest.mark.parametrize("pad", ((1, 2, 2, 1), (3, 0, 0, 3), (0, 0, 2, 2), (2, 2, 0, 0)))
def test_pad_of_contiguous_rows(mode: str, pad: tuple[int, int, int, int]) -> None:
    x = np.arange(2 * 3 * 17 * 21, dtype=np.float32).reshape(2, 3, 17, 21)
    how = {"replicate": "edge", "circular": "wrap"}.get(mode, mode)
    want = np.pad(x, ((0, 0), (0, 0), pad[2:], pad[:2]), how)
    np.testing.assert_array_equal(ccdl.nn.functional.pad(ccdl.from_numpy(x), pad, mode).numpy(), want)
    if mode == "constant":
        cut = ccdl.nn.functional.pad(ccdl.from_numpy(x), (-2, 3, -1, 1), value=7.0).numpy()
        np.testing.assert_array_equal(cut, np.pad(x[:, :, 1:, 2:], ((0, 0), (0, 0), (0, 1), (0, 3)), constant_values=7.0))


@pytest.mark.parametrize("n", (1, 2, 1000, 2049, 70000, 300000))
def test_permutations_are_permutations(n: int) -> None:
    order = ccdl.randperm(n).numpy()
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
def test_every_level_passes(level: str) -> None:
    environment = dict(os.environ, CCDL_ISA=level)
    probe = subprocess.run([sys.executable, "-c", "import ccdl; ccdl.ones(3).exp(); print(ccdl._C._isa_level())"],
                           env=environment, capture_output=True, text=True)
    if probe.returncode != 0 or probe.stdout.strip() != level:
        pytest.skip("this processor lacks the instruction set")
    again = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", "-k", "not every_level", __file__,
                            "-p", "no:cacheprovider"], env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stdout[-3000:]


@pytest.mark.parametrize("name", ("uint8", "int16", "float32", "float64"))
@pytest.mark.parametrize("shape", ((64, 96), (100, 131), (512, 512), (1024, 70), (3, 33, 256), (2064, 4112), (4101, 2053)))
def test_a_transposed_copy_moves_every_element(name: str, shape: tuple[int, ...]) -> None:
    a = (np.arange(np.prod(shape)) * 7 % 251).astype(name).reshape(shape)
    x = ccdl.from_numpy(a).transpose(-1, -2)
    np.testing.assert_array_equal(x.contiguous().numpy(), a.swapaxes(-1, -2))
    wide = ccdl.zeros(*a.swapaxes(-1, -2).shape[:-1], shape[-2] + 3, dtype=x.dtype)  # rows that begin anywhere
    wide[..., 1:-2].copy_(x)
    np.testing.assert_array_equal(wide[..., 1:-2].numpy(), a.swapaxes(-1, -2))
    assert not wide[..., 0].any() and not wide[..., -2:].any()


@pytest.mark.parametrize("name", ("int16", "float32", "float64"))
@pytest.mark.parametrize("shape", ((64, 96), (40, 2048), (33, 4096), (2064, 2048)))
def test_a_transposed_copy_of_rows_that_begin_anywhere(name: str, shape: tuple[int, ...]) -> None:
    size = int(np.prod(shape))
    some = (np.arange(size + 64) * 7 % 251).astype(name)
    for start in (1, 4, 9, 31):
        a = some[start : start + size].reshape(shape)
        np.testing.assert_array_equal(ccdl.from_numpy(a).t().contiguous().numpy(), a.T)


def at_offset(a: np.ndarray, start: int) -> ccdl.Tensor:
    """The same numbers in an array that begins `start` floats behind a border of a line."""
    memory = np.zeros(a.size + 64, np.float32)
    begin = -memory.ctypes.data % 64 // 4 + start
    memory[begin : begin + a.size] = a.reshape(-1)
    return ccdl.from_numpy(memory[begin : begin + a.size].reshape(a.shape))


# The last ones write gradients past the caches.
@pytest.mark.parametrize("shape", ((3, 100), (5, 768), (7, 1001), (1400, 2048)))
@pytest.mark.parametrize("name", ("layer_norm", "softmax", "log_softmax"))
def test_rows_that_begin_anywhere(name: str, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    a = (rng.standard_normal(shape) + 3).astype(np.float32)
    g, w = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(shape[1]).astype(np.float32)
    wide, grad = a.astype(np.float64), g.astype(np.float64)
    if name == "layer_norm":
        r = 1 / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
        xhat, gw = (wide - wide.mean(1, keepdims=True)) * r, grad * w
        want = xhat * w
        dx = r * (gw - gw.mean(1, keepdims=True) - xhat * (gw * xhat).mean(1, keepdims=True))
    else:
        e = np.exp(wide - wide.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        want = p if name == "softmax" else np.log(p)
        dx = p * (grad - (grad * p).sum(1, keepdims=True)) if name == "softmax" else grad - p * grad.sum(1, keepdims=True)
    first = None
    for start in (0, 4, 15):
        x = at_offset(a, start).requires_grad_()
        functional = ccdl.nn.functional
        weight = ccdl.from_numpy(w)
        y = functional.layer_norm(x, (shape[1],), weight) if name == "layer_norm" else getattr(functional, name)(x, 1)
        y.backward(at_offset(g, start))
        got = y.detach().numpy(), x.grad.numpy()
        np.testing.assert_allclose(got[0], want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(got[1], dx, rtol=1e-4, atol=3e-5)
        first = first or got
        np.testing.assert_array_equal(got[0], first[0])  # where an array begins changes no bit
        np.testing.assert_array_equal(got[1], first[1])


def test_moments_of_rows_far_from_zero() -> None:
    rng = np.random.default_rng(2)
    for n in (31, 256, 700, 4096):
        a = (rng.standard_normal((6, n)) + np.array([0, 1, -30, 1000, 1e4, -1e5])[:, None]).astype(np.float32)
        wide = a.astype(np.float64)
        want = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
        got = ccdl.nn.functional.layer_norm(ccdl.from_numpy(a), (n,)).numpy()
        bound = 1e-5 + 1e-7 * np.abs(wide.mean(1, keepdims=True))  # the mean is a float
        assert (np.abs(got - want) <= bound * (1 + np.abs(want))).all()


def test_planes_larger_than_the_caches() -> None:
    rng = np.random.default_rng(3)
    a, g = (rng.standard_normal((16, 64, 56, 56)).astype(np.float32) for _ in range(2))
    mean, r = a.mean((0, 2, 3), np.float64), 1 / np.sqrt(a.var((0, 2, 3), np.float64) + 1e-5)
    for start in (0, 4):
        x = at_offset(a, start).requires_grad_()
        ccdl.nn.functional.batch_norm(x, None, None, training=True).backward(at_offset(g, start))
        for c in (0, 31, 63):
            xhat, dy = (a[:, c] - mean[c]) * r[c], g[:, c].astype(np.float64)
            dx = r[c] * (dy - dy.mean() - xhat * (dy * xhat).mean())
            np.testing.assert_allclose(x.grad[:, c].numpy(), dx, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("start", (0, 1, 13))
def test_outputs_larger_than_the_caches(start: int) -> None:
    n = (6 << 20) + 37
    a = (np.arange(n + start) % 1021).astype(np.float32)[start:]
    x = ccdl.from_numpy(np.arange(n + start, dtype=np.float32) % 1021)[start:]
    y = x * 3 - x
    np.testing.assert_array_equal(y.numpy(), 2 * a)
    np.testing.assert_array_equal((x > 510).numpy(), a > 510)
    np.testing.assert_array_equal(x.clone().numpy(), a)
    np.testing.assert_array_equal(ccdl.where(x > 510, x, y).numpy(), np.where(a > 510, a, 2 * a))
    out = ccdl.zeros(n + start + 1)
    ccdl.add(x, y, out=out[start:-1])
    np.testing.assert_array_equal(out[start:-1].numpy(), 3 * a)
    assert out[-1].item() == 0 and not out[:start].any()
    y.add_(x)
    np.testing.assert_array_equal(y.numpy(), 3 * a)
    np.testing.assert_array_equal((x.half() + x.half()).float().numpy(), 2 * a)


def test_short_rows_of_any_operands() -> None:
    """Rows of 1 to 70 elements, sliced, repeated, permuted and of other types, are gathered many at a time."""
    rng = np.random.default_rng(1)

    def operand(shape: list[int], dtype: str):
        a = rng.integers(-50, 50, size=[2 * s for s in shape]).astype(dtype)
        t = ccdl.from_numpy(a)
        for d, size in enumerate(shape):
            step = int(rng.integers(1, 3))
            index = (slice(None),) * d + (slice(0, step * (1 if rng.random() < 0.3 else size), step),)
            a, t = a[index], t[index]
        return a, t

    for _ in range(250):
        shape = [int(rng.choice([1, 2, 3, 5, 8, 17, 33, 70])) for _ in range(int(rng.integers(1, 5)))]
        while np.prod(shape) > 200000:
            shape = shape[1:]
        (a, x), (b, y) = (operand(shape, str(rng.choice(["float32", "float64", "int64", "uint8"]))) for _ in range(2))
        order = rng.permutation(len(shape)).tolist()
        a, x, b, y = a.transpose(order), x.permute(order), b.transpose(order), y.permute(order)
        got = (x + y).numpy()
        np.testing.assert_array_equal(got, (a + b).astype(got.dtype), str((shape, order)))
        got = ccdl.where(x > y, x, y).numpy()
        np.testing.assert_array_equal(got, np.where(a > b, a, b).astype(got.dtype), str((shape, order)))
