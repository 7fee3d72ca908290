"""Kernels straight in an element type and writes straight into the target (out=, in-place), against NumPy; once more at every level."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

import ccdl

LEVELS = ("generic", "v2", "v3", "v4")
INTEGERS = ("uint8", "int8", "int16", "int32", "int64")
LENGTHS = (1, 7, 33, 300, 70_001)
HALVES = {"bfloat16": 0x7F80, "float16": 0x7C00}


def whole(name: str, n: int, seed: int) -> np.ndarray:
    info = np.iinfo(name)
    rng = np.random.default_rng(seed)
    x = rng.integers(max(info.min, -1000), min(info.max, 1000), n, dtype=name, endpoint=True)
    x[:: max(1, n // 5)] = rng.choice(np.array([info.min, info.max, 0, 1, info.max - 1], name))
    return x


def same(got: ccdl.Tensor, want: np.ndarray) -> None:
    assert str(got.dtype) == f"ccdl.{want.dtype}"
    np.testing.assert_array_equal(got.numpy(), want)


def layouts(x: np.ndarray) -> list[tuple[ccdl.Tensor, np.ndarray]]:
    """The array as it is, every second element of it, and turned."""
    t = ccdl.from_numpy(x)
    out = [(t, x), (t[::2], x[::2])]
    if x.size % 3 == 0:
        out.append((t.reshape(3, -1).t(), x.reshape(3, -1).T))
    return out


@pytest.mark.parametrize("name", INTEGERS)
def test_one_integer(name: str) -> None:
    info = np.iinfo(name)
    for n in LENGTHS:
        for t, x in layouts(whole(name, n, n)):
            for low, high in ((0, 5), (-3, 100), (5, 0), (7, 7), (info.min, info.max), (info.max, info.min)):
                if low >= info.min and high >= info.min and high <= info.max and low <= info.max:
                    same(t.clamp(low, high), np.minimum(np.maximum(x, np.array(low, name)), np.array(high, name)))
                    same(t.clone().clamp_(low, high), np.minimum(np.maximum(x, np.array(low, name)), np.array(high, name)))
            if name != "int64":  # bounds that the type does not hold
                same(t.clamp(-(10**12), 10**12), x)
            same(ccdl.signbit(t), x < 0)
            for f in (ccdl.floor, ccdl.ceil, ccdl.round, ccdl.trunc, ccdl.nan_to_num):
                same(f(t), x)
            for f in (ccdl.isnan, ccdl.isinf, ccdl.isposinf, ccdl.isneginf):
                same(f(t), np.zeros(x.shape, bool))
            same(ccdl.isfinite(t), np.ones(x.shape, bool))
            same(ccdl.isreal(t), np.ones(x.shape, bool))


@pytest.mark.parametrize("name", INTEGERS)
def test_two_integers(name: str) -> None:
    bits = np.dtype(name).itemsize * 8
    for n in LENGTHS:
        a, b = whole(name, n, n), whole(name, n, n + 1)
        b[::3] = a[::3]
        counts = np.random.default_rng(n).integers(-2 if name != "uint8" else 0, bits + 3, n).astype(name)
        for step in (1, 2):
            x, y, s = a[::step], b[::step], counts[::step]
            tx, ty, ts = (ccdl.from_numpy(v)[::step] for v in (a, b, counts))
            same(ccdl.fmax(tx, ty), np.maximum(x, y))
            same(ccdl.fmin(tx, ty), np.minimum(x, y))
            for f in ("logical_and", "logical_or", "logical_xor"):
                same(getattr(ccdl, f)(tx, ty), getattr(np, f)(x, y))
            outside = (s < 0) | (s >= bits)
            inside = np.where(outside, 0, s).astype(name)
            same(tx << ts, np.where(outside, 0, np.left_shift(x, inside)).astype(name))
            same(tx >> ts, np.where(outside, np.where(x < 0, -1, 0), np.right_shift(x, inside)).astype(name))
            u, v = x.astype(np.float64), y.astype(np.float64)
            for relative, absolute in ((1e-5, 1e-8), (0.1, 2.0), (0.0, 0.0)):
                want = (x == y) | (np.abs(u - v) <= absolute + np.abs(relative * v))
                same(ccdl.isclose(tx, ty, rtol=relative, atol=absolute), want)
            with np.errstate(over="ignore"):
                product = (x + np.array(3, name) * (y * s).astype(name)).astype(name)
                same(ccdl.addcmul(tx, ty, ts, value=3), product)
                same(tx.clone().addcmul_(ty, ts, value=3), product)
            same(ccdl.clamp(tx, ty, ts), np.minimum(np.maximum(x, y), s))


def test_logic_of_bools() -> None:
    for n in LENGTHS:
        a, b = (np.random.default_rng(n + k).random(n) < 0.5 for k in range(2))
        x, y = ccdl.from_numpy(a), ccdl.from_numpy(b)
        for f in ("logical_and", "logical_or", "logical_xor"):
            same(getattr(ccdl, f)(x, y), getattr(np, f)(a, b))
            same(getattr(x.clone(), f + "_")(y), getattr(np, f)(a, b))
        same(ccdl.isnan(x), np.zeros(n, bool))
        same(ccdl.signbit(x), np.zeros(n, bool))


def half_bits(values: np.ndarray, name: str) -> ccdl.Tensor:
    return ccdl.from_numpy(values.astype(np.int16)).view(getattr(ccdl, name))


@pytest.mark.parametrize("name", sorted(HALVES))
def test_nextafter_of_halves(name: str) -> None:
    """All 65536 numbers towards several others: the neighbour in the order of the numbers."""
    infinity = HALVES[name]
    every = np.arange(-32768, 32768)
    for target in (0, -32768, 1, 0x3C00, infinity, infinity - 32768, infinity + 1, 0x0400, 0x0400 - 32768):
        a, b = every, np.full(every.shape, target)
        for rows in (1, 256):  # one row, and a broadcast column
            to = half_bits(b, name) if rows == 1 else half_bits(b[:256].reshape(256, 1), name)
            got = ccdl.nextafter(half_bits(a, name).reshape(rows, -1), to.reshape(rows, -1)).view(ccdl.int16).numpy().ravel()
            size_a, size_b = a & 0x7FFF, b & 0x7FFF
            key_a, key_b = np.where(a < 0, -size_a, size_a), np.where(b < 0, -size_b, size_b)
            none = (size_a > infinity) | (size_b > infinity)
            assert np.all((got[none] & 0x7FFF) > infinity)
            key = key_a + np.sign(key_b - key_a)
            want = np.where(key_a == key_b, b, np.where((key < 0) | ((key == 0) & (a < 0)), np.abs(key) - 32768, key))
            np.testing.assert_array_equal(got[~none], want[~none])


@pytest.mark.parametrize("name", sorted(HALVES))
def test_copysign_and_strided_functions_of_halves(name: str) -> None:
    dtype = getattr(ccdl, name)
    rng = np.random.default_rng(0)
    x = ccdl.from_numpy(rng.standard_normal(3001)).to(dtype)
    y = ccdl.from_numpy(rng.standard_normal(3001)).to(dtype)
    np.testing.assert_array_equal(ccdl.copysign(x, y).float().numpy(), np.copysign(x.float().numpy(), y.float().numpy()))
    for step in (2, 3, 5):
        part = x[::step]
        for f in (ccdl.exp, ccdl.sqrt, ccdl.floor, ccdl.isfinite, ccdl.erf):
            np.testing.assert_array_equal(f(part).float().numpy(), f(part.contiguous()).float().numpy())
        target = ccdl.zeros(3001, dtype=dtype)
        target[::step].copy_(part.float())
        np.testing.assert_array_equal(target[::step].float().numpy(), part.float().numpy())
        assert int(ccdl.count_nonzero(target)) == int(ccdl.count_nonzero(part))
    special = ccdl.tensor([0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-7, 3e-5, 300.0], dtype=dtype)
    for n in (1, 5, 16, 33, 3001):
        v = ccdl.cat([x[:n], special])
        for f in (ccdl.square, ccdl.sqrt, ccdl.reciprocal, lambda u: u**-1):
            np.testing.assert_array_equal(f(v).float().numpy(), f(v.float()).to(dtype).float().numpy())


@pytest.mark.parametrize("name", ("float32", "float64"))
def test_reciprocal_powers(name: str) -> None:
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.standard_normal(5001) * 10.0 ** rng.integers(-12, 12, 5001), [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 1e30]])
    x = x.astype(name)
    wide = x.astype(np.longdouble)
    for exponent in (-1, -2, -0.5, 3):
        base = np.abs(x) if exponent == -0.5 else x
        t = ccdl.from_numpy(base).requires_grad_()
        with np.errstate(all="ignore"):
            b = np.abs(wide) if exponent == -0.5 else wide
            want, slope = (b**exponent).astype(name), (exponent * b ** (exponent - 1)).astype(name)
        y = t**exponent
        eps = np.finfo(name).eps
        np.testing.assert_allclose(y.detach().numpy(), want, rtol=2 * eps, atol=0)
        in_place = t.detach().clone().pow_(exponent)
        np.testing.assert_array_equal(in_place.numpy(), y.detach().numpy())
        y.backward(ccdl.ones_like(y))
        real = np.isfinite(slope) & (np.abs(slope) > np.finfo(name).tiny * 1e3) & (np.abs(slope) < np.finfo(name).max * 1e-3)
        np.testing.assert_allclose(t.grad.numpy()[real], slope[real], rtol=4 * eps)


def test_angle() -> None:
    values = np.array([1.5, -2.0, 0.0, -0.0, np.inf, -np.inf, np.nan, -1e-310, 5e-324])
    for x in (values, values.astype(np.float32), np.random.default_rng(0).standard_normal(70_001)):
        t = ccdl.from_numpy(x).requires_grad_()
        y = ccdl.angle(t)
        want = np.where(np.isnan(x), x, np.where(x < 0, np.pi, 0)).astype(x.dtype)
        np.testing.assert_array_equal(y.detach().numpy(), want)
        assert not np.signbit(y.detach().numpy()[~np.isnan(x)]).any()
        y.backward(ccdl.ones_like(y))
        np.testing.assert_array_equal(t.grad.numpy(), np.zeros_like(x))
    assert ccdl.angle(ccdl.tensor([-3, 0, 2])).dtype == ccdl.float32
    np.testing.assert_allclose(ccdl.angle(ccdl.tensor([-3, 0, 2])).numpy(), [np.pi, 0, 0], rtol=1e-6)


BINARY = ("mul", "div", "maximum", "minimum", "fmax", "atan2", "hypot", "copysign", "remainder", "fmod", "logaddexp", "xlogy", "add", "sub")


@pytest.mark.parametrize("name", BINARY)
def test_out_of_two_operands(name: str) -> None:
    rng = np.random.default_rng(2)
    a, b = (ccdl.from_numpy(rng.random((33, 47)) + 0.5) for _ in range(2))
    f = getattr(ccdl, name)
    want = f(a, b).numpy()
    out = ccdl.empty(33, 47, dtype=ccdl.float64)
    before, where = out._version, out.data_ptr()
    assert f(a, b, out=out) is out and out.data_ptr() == where and out._version > before
    np.testing.assert_array_equal(out.numpy(), want)
    turned = ccdl.empty(47, 33, dtype=ccdl.float64).t()
    np.testing.assert_array_equal(f(a, b, out=turned).numpy(), want)
    every_second = ccdl.zeros(33, 94, dtype=ccdl.float64)
    f(a, b, out=every_second[:, ::2])
    np.testing.assert_array_equal(every_second[:, ::2].numpy(), want)
    assert float(every_second[:, 1::2].abs().sum()) == 0
    into_operand = a.clone()  # the same window as the first operand
    np.testing.assert_array_equal(f(into_operand, b, out=into_operand).numpy(), want)
    shared = ccdl.from_numpy(rng.random(200) + 0.5)  # windows that overlap
    x, y = shared[:100].clone().numpy(), shared[50:150].clone().numpy()
    f(shared[:100], shared[50:150], out=shared[25:125])
    np.testing.assert_array_equal(shared[25:125].numpy(), f(ccdl.from_numpy(x), ccdl.from_numpy(y)).numpy())
    row = b[0]
    np.testing.assert_array_equal(f(a, row, out=out).numpy(), f(a, row).numpy())
    single = ccdl.empty(33, 47)  # another dtype: cast
    np.testing.assert_array_equal(f(a, b, out=single).numpy(), want.astype(np.float32))
    empty = ccdl.empty(0, dtype=ccdl.float64)  # another shape: resized
    assert f(a, b, out=empty).shape == (33, 47)
    with pytest.raises(RuntimeError):
        f(a.clone().requires_grad_(), b, out=out)
    with pytest.raises(RuntimeError):
        f(a, b, out=ccdl.empty(33, 47, dtype=ccdl.int64))


@pytest.mark.parametrize("name", ("exp", "sqrt", "neg", "sigmoid", "floor", "logical_not"))
def test_out_of_one_operand(name: str) -> None:
    x = ccdl.from_numpy(np.random.default_rng(3).random((20, 31)))
    f = getattr(ccdl, name)
    want = f(x)
    out = ccdl.empty(20, 31, dtype=want.dtype)
    before, where = out._version, out.data_ptr()
    assert f(x, out=out) is out and out.data_ptr() == where and out._version > before
    np.testing.assert_array_equal(out.numpy(), want.numpy())
    shared = ccdl.from_numpy(np.random.default_rng(4).random(64))
    expected = f(shared[:40]).to(ccdl.float64).numpy().copy()
    np.testing.assert_array_equal(f(shared[:40], out=shared[10:50]).numpy(), expected)


@pytest.mark.parametrize("name", ("atan2", "hypot", "copysign", "remainder", "fmod", "xlogy", "heaviside", "floor_divide"))
def test_in_place_of_two_operands(name: str) -> None:
    rng = np.random.default_rng(5)
    a, b = (ccdl.from_numpy(rng.random((33, 47)) + 0.5) for _ in range(2))
    want = getattr(ccdl, name)(a, b).numpy()
    for x in (a.clone(), a.t().contiguous().t(), ccdl.zeros(33, 94, dtype=ccdl.float64)[:, ::2].copy_(a)):
        before, where = x._version, x.data_ptr()
        assert getattr(x, name + "_")(b) is x and x.data_ptr() == where and x._version > before
        np.testing.assert_array_equal(x.numpy(), want)
    shared = ccdl.from_numpy(rng.random(200) + 0.5)
    expected = getattr(ccdl, name)(shared[:100].clone(), shared[50:150].clone()).numpy()
    np.testing.assert_array_equal(getattr(shared[:100], name + "_")(shared[50:150]).numpy(), expected)
    with pytest.raises(RuntimeError):
        getattr(b[0].clone(), name + "_")(a)
    leaf = a.clone().requires_grad_()
    with pytest.raises(RuntimeError):
        getattr(leaf, name + "_")(b)
    if name in ("atan2", "hypot", "xlogy"):  # with a graph
        y = leaf * 1
        getattr(y, name + "_")(b)
        y.sum().backward()
        other = a.clone().requires_grad_()
        getattr(ccdl, name)(other * 1, b).sum().backward()
        np.testing.assert_array_equal(leaf.grad.numpy(), other.grad.numpy())


def test_a_division_by_zero_leaves_the_target() -> None:
    x, zero = ccdl.tensor([5, 6, 7]), ccdl.tensor([1, 0, 2])
    for name in ("floor_divide_", "remainder_", "fmod_"):
        with pytest.raises(RuntimeError, match="ZeroDivision"):
            getattr(x, name)(zero)
        assert x.tolist() == [5, 6, 7]
    with pytest.raises(RuntimeError, match="ZeroDivision"):
        ccdl.remainder(x, zero, out=x)
    assert x.tolist() == [5, 6, 7]


def test_in_place_of_three_operands() -> None:
    rng = np.random.default_rng(6)
    a, b, c = (ccdl.from_numpy(rng.random((33, 47)) + 0.5) for _ in range(3))
    calls = {
        "addcmul_": (lambda x: x.addcmul_(b, c, value=0.5), ccdl.addcmul(a, b, c, value=0.5)),
        "addcdiv_": (lambda x: x.addcdiv_(b, c, value=0.5), ccdl.addcdiv(a, b, c, value=0.5)),
        "addcmul_ of a row": (lambda x: x.addcmul_(b[0], c[:, :1], value=2), ccdl.addcmul(a, b[0], c[:, :1], value=2)),
        "lerp_": (lambda x: x.lerp_(b, 0.25), ccdl.lerp(a, b, 0.25)),
        "lerp_ of weights": (lambda x: x.lerp_(b, c), ccdl.lerp(a, b, c)),
        "clamp_": (lambda x: x.clamp_(0.7, 1.2), ccdl.clamp(a, 0.7, 1.2)),
        "clamp_min_": (lambda x: x.clamp_min_(0.7), ccdl.clamp(a, min=0.7)),
        "clamp_max_ of a tensor": (lambda x: x.clamp_max_(b), ccdl.minimum(a, b)),
    }
    for name, (call, want) in calls.items():
        for x in (a.clone(), a.t().contiguous().t(), ccdl.zeros(33, 94, dtype=ccdl.float64)[:, ::2].copy_(a)):
            before = x._version
            assert call(x) is x and x._version > before, name
            np.testing.assert_array_equal(x.numpy(), want.numpy(), err_msg=name)
    shared = ccdl.from_numpy(rng.random(200))
    expected = ccdl.addcmul(shared[:100].clone(), shared[50:150].clone(), shared[100:].clone()).numpy()
    np.testing.assert_array_equal(shared[:100].addcmul_(shared[50:150], shared[100:]).numpy(), expected)
    with pytest.raises(RuntimeError):
        a[0].clone().addcmul_(b, c)
    leaf = a.clone().requires_grad_()
    (leaf * 1).addcmul_(b, c, value=3).lerp_(c, 0.25).sum().backward()
    np.testing.assert_allclose(leaf.grad.numpy(), np.full((33, 47), 0.75))
    with pytest.raises(RuntimeError):
        leaf.clamp_(0, 1)


def test_clamp_between_tensors() -> None:
    rng = np.random.default_rng(7)
    x, low, high = (rng.standard_normal((40, 50)) for _ in range(3))
    x[0, :3], low[1, :3], high[2, :3] = np.nan, np.nan, np.nan
    got = ccdl.clamp(ccdl.from_numpy(x), ccdl.from_numpy(low), ccdl.from_numpy(high))
    np.testing.assert_array_equal(got.numpy(), np.minimum(np.maximum(x, low), high))
    np.testing.assert_array_equal(ccdl.clamp(ccdl.from_numpy(x), ccdl.from_numpy(low[0]), ccdl.from_numpy(high[:, :1])).numpy(),
                                  np.minimum(np.maximum(x, low[0]), high[:, :1]))


def test_round_to_decimals() -> None:
    x = np.random.default_rng(8).uniform(-100, 100, 5001)
    for decimals in (2, -1):
        t = ccdl.from_numpy(x)
        scale = 10.0 ** abs(decimals)
        want = np.round(x * scale) / scale if decimals > 0 else np.round(x / scale) * scale
        np.testing.assert_array_equal(ccdl.round(t, decimals=decimals).numpy(), want)
        np.testing.assert_array_equal(ccdl.round(t.requires_grad_(), decimals=decimals).detach().numpy(), want)
        np.testing.assert_array_equal(t.detach().numpy(), x)


@pytest.mark.parametrize("name", ("uint8", "float16", "float32", "int64"))
def test_fill_of_turned_and_sliced_memory(name: str) -> None:
    x = ccdl.zeros(6, 40, 50, dtype=getattr(ccdl, name))
    part = x.permute(2, 0, 1)[1:-1, ::2, 3:]
    part.fill_(3)
    want = np.zeros((6, 40, 50))
    want.transpose(2, 0, 1)[1:-1, ::2, 3:] = 3
    np.testing.assert_array_equal(x.to(ccdl.float64).numpy(), want)
    part.zero_()
    assert int(ccdl.count_nonzero(x)) == 0


@pytest.mark.parametrize("level", LEVELS)
def test_all_of_it_at_every_level(level: str) -> None:
    if os.environ.get("CCDL_ISA") == level:
        pytest.skip("this level is the one under test")
    env = dict(os.environ, CCDL_ISA=level, PYTHONPATH=os.pathsep.join(sys.path))
    supported = subprocess.run([sys.executable, "-c", "import ccdl; print(ccdl._C._isa_level())"], env=env, capture_output=True, text=True, check=True)
    if supported.stdout.strip() != level:
        pytest.skip("this processor lacks the instruction set")
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not every_level", __file__],
                         env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-3000:]


def test_targets_that_must_not_be_written() -> None:
    fixed = np.zeros(4, np.float32)
    fixed.flags.writeable = False
    target = ccdl.from_dlpack(fixed)  # read-only memory of another library
    one = ccdl.ones(4)
    for call in (lambda: ccdl.add(one, one, out=target), lambda: ccdl.exp(one, out=target), lambda: ccdl.maximum(one, one, out=target)):
        with pytest.raises(RuntimeError, match="read-only"):
            call()
    assert fixed.tolist() == [0, 0, 0, 0]
    with ccdl.inference_mode():
        kept = ccdl.zeros(4)
    with pytest.raises(RuntimeError, match="inference"):
        ccdl.mul(one, one, out=kept)
    w = ccdl.ones(4, requires_grad=True)
    saved = ccdl.full((4,), 2.0)
    y = (w * saved).sum()
    ccdl.add(one, one, out=saved)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()
