"""Moves, scans and searches over many rows, of widths on either side of every vector length, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F

WIDTHS = (1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65, 130, 300, 1100)
DTYPES = ("bool", "uint8", "bfloat16", "float32", "float64", "int64")


def values(rng, shape, dtype):
    """A tensor and what it holds, exactly, as an array."""
    x = rng.integers(0, 2 if dtype == "bool" else 100, shape).astype(np.float64)
    return ccdl.tensor(x).to(getattr(ccdl, dtype)), x


def array(t):
    return t.to(ccdl.float64).cpu().numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_rows_of_a_table(width, dtype):
    rng = np.random.default_rng(width)
    x, xa = values(rng, (37, width), dtype)
    v, va = values(rng, (50, width), dtype)
    index = rng.integers(-37, 37, 50)
    i = ccdl.tensor(index)
    np.testing.assert_array_equal(array(x[i]), xa[index])
    np.testing.assert_array_equal(array(ccdl.index_select(x, 0, i % 37)), xa[index % 37])
    x[i] = v
    for k, row in enumerate(index):  # of several for one row the last one stays
        xa[row] = va[k]
    np.testing.assert_array_equal(array(x), xa)
    for bad in (37, -38, 2**62):
        i[41] = bad
        with pytest.raises(IndexError):
            x[i]
        with pytest.raises(IndexError):
            x[i] = v
    np.testing.assert_array_equal(array(x), xa)


def test_a_large_table_is_asked_for_ahead():
    rng = np.random.default_rng(0)
    x, xa = values(rng, (70000, 20), "float32")
    index = rng.integers(0, 70000, 5000)
    i = ccdl.tensor(index)
    np.testing.assert_array_equal(array(F.embedding(i, x)), xa[index])
    np.testing.assert_array_equal(array(F.embedding_bag(i.reshape(500, 10), x, mode="sum")), xa[index].reshape(500, 10, 20).sum(1))
    for position in (0, 63, 64, 4999):
        for bad in (-1, 70000):
            wrong = i.clone()
            wrong[position] = bad
            with pytest.raises(IndexError):
                F.embedding(wrong, x)
            with pytest.raises(IndexError):
                F.embedding_bag(wrong.reshape(500, 10), x)


@pytest.mark.parametrize("dtype", ("uint8", "bfloat16", "float32", "float64", "int64"))
@pytest.mark.parametrize("width", (1, 3, 8, 17, 64, 127, 128, 129))
def test_places_within_rows(width, dtype):
    rng = np.random.default_rng(width)
    x, xa = values(rng, (41, width), dtype)
    v, va = values(rng, (41, width), dtype)
    index = rng.permuted(np.tile(np.arange(width), (41, 1)), axis=1)
    i = ccdl.tensor(index)
    np.testing.assert_array_equal(array(ccdl.gather(x, 1, i)), np.take_along_axis(xa, index, 1))
    np.testing.assert_array_equal(array(ccdl.index_select(x, 1, i[0])), xa[:, index[0]])
    wanted = xa.copy()
    np.put_along_axis(wanted, index, va, 1)
    np.testing.assert_array_equal(array(ccdl.scatter(x, 1, i, v)), wanted)
    wanted = xa.copy()
    for r in range(41):
        np.add.at(wanted[r], index[r], va[r])
    np.testing.assert_array_equal(array(ccdl.scatter_add(x, 1, i, v)), wanted % 256 if dtype == "uint8" else wanted)
    for reduce, f in (("amax", np.maximum), ("amin", np.minimum)):
        wanted = xa.copy()
        for r in range(41):
            f.at(wanted[r], index[r], va[r])
        np.testing.assert_array_equal(array(ccdl.scatter_reduce(x, 1, i, v, reduce)), wanted)
    for bad in (width, -1):
        i[40, width - 1] = bad
        for call in (lambda: ccdl.gather(x, 1, i), lambda: ccdl.scatter(x, 1, i, v), lambda: ccdl.scatter_add(x, 1, i, v)):
            with pytest.raises((IndexError, RuntimeError)):
                call()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("widths", ((16, 16, 16), (64, 65, 8), (100, 1), (256, 256), (1500, 64)))
def test_joined_rows(widths, dtype):
    rng = np.random.default_rng(len(widths))
    for shape, dim in ((lambda w: (9, w), 1), (lambda w: (3, w, 5), 1), (lambda w: (2, 3, w), -1)):
        pairs = [values(rng, shape(w), dtype) for w in widths]
        np.testing.assert_array_equal(array(ccdl.cat([t for t, _ in pairs], dim)), np.concatenate([a for _, a in pairs], dim))
    x, xa = values(rng, (7, widths[0]), dtype)
    np.testing.assert_array_equal(array(ccdl.stack([x, x, x], 1)), np.stack([xa, xa, xa], 1))


def test_coordinates_of_narrow_and_wide_rows():
    rng = np.random.default_rng(0)
    for shape in ((5000, 8), (3, 700, 5), (2, 3, 1000), (33000,), (1, 9000, 1)):
        x = rng.integers(0, 3, shape)
        np.testing.assert_array_equal(ccdl.nonzero(ccdl.tensor(x)).cpu().numpy(), np.argwhere(x))
        wide = np.swapaxes(x, 0, -1)
        np.testing.assert_array_equal(ccdl.nonzero(ccdl.tensor(x).transpose(0, -1)).cpu().numpy(), np.argwhere(wide))


def running_extreme(x, largest):
    best, place, out, at = x[0], 0, [], []
    for i, v in enumerate(x):
        if v != v or (best == best and (v >= best if largest else v <= best)):
            best, place = v, i
        out.append(best)
        at.append(place)
    return np.array(out), np.array(at)


@pytest.mark.parametrize("dtype", ("int64", "bfloat16", "float32", "float64"))
@pytest.mark.parametrize("n", (1, 2, 7, 8, 9, 31, 33, 64, 100, 257, 1000))
def test_running_extremes(n, dtype):
    rng = np.random.default_rng(n)
    rows = rng.integers(-9, 10, (21, n)).astype(np.float64)
    rows[1] = np.sort(rows[1])
    rows[2] = -np.sort(-rows[2])
    if dtype != "int64":
        rows[3, n // 2] = np.nan
        rows[4, [0, n - 1]] = np.nan
        rows[5, n // 3 :] = np.inf
        rows[6, : n // 3] = -np.inf
        rows[7, ::2] = -0.0
    x = ccdl.tensor(rows).to(getattr(ccdl, dtype))
    for largest, f in ((True, ccdl.cummax), (False, ccdl.cummin)):
        wanted = [running_extreme(r, largest) for r in rows]
        for along, t in ((1, x), (0, x.t()), (0, x.t().contiguous()), (1, x.t().contiguous().t())):
            y, at = f(t, along)
            y, at = (y, at) if along else (y.t(), at.t())
            np.testing.assert_array_equal(array(y), np.stack([w[0] for w in wanted]))
            np.testing.assert_array_equal(at.cpu().numpy(), np.stack([w[1] for w in wanted]))


@pytest.mark.parametrize("dtype", ("bfloat16", "float16"))
@pytest.mark.parametrize("n", range(2, 34))
def test_half_scans_of_short_rows(n, dtype):
    x = ccdl.tensor(np.random.default_rng(n).uniform(0.75, 1.25, (67, n))).to(getattr(ccdl, dtype))
    exact = array(x)
    tolerance = 2.0**-8 if dtype == "bfloat16" else 2.0**-11  # one rounding of a sum in double
    for t, a in ((x, exact), (x.flip(1), exact[:, ::-1])):
        np.testing.assert_allclose(array(ccdl.cumsum(t, 1)), np.cumsum(a, 1), rtol=tolerance)
        np.testing.assert_allclose(array(ccdl.cumprod(t, 1)), np.cumprod(a, 1), rtol=tolerance)


@pytest.mark.parametrize("shape", ((16, 33), (64, 100), (65, 64), (130, 1000), (15, 100)))
def test_products_of_long_rows_are_taken_in_order(shape):
    x = np.random.default_rng(0).uniform(0.5, 1.5, shape)
    x[3, 5] = 0
    x[4, :3] = 1e200
    x[5, 1:4] = 1e-200
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(array(ccdl.cumprod(ccdl.tensor(x), 1)), np.cumprod(x, 1))


@pytest.mark.parametrize("dtype", ("int32", "int64", "float32", "float64"))
def test_insertion_points(dtype):
    rng = np.random.default_rng(0)
    for n in (0, 1, 2, 3, 4, 7, 8, 9, 100, 1000):
        for m in (1, 7, 8, 9, 150):
            sequence, wanted = np.sort(rng.integers(-20, 20, n)).astype(dtype), rng.integers(-22, 22, m).astype(dtype)
            for right in (False, True):
                places = np.searchsorted(sequence, wanted, side="right" if right else "left")
                s, v = ccdl.tensor(sequence), ccdl.tensor(wanted)
                np.testing.assert_array_equal(ccdl.searchsorted(s, v, right=right).cpu().numpy(), places)
                np.testing.assert_array_equal(ccdl.bucketize(v, s, right=right).cpu().numpy(), places)
    table, wanted = np.sort(rng.integers(-9, 9, (5, 13)), axis=1).astype(dtype), rng.integers(-10, 10, (5, 11)).astype(dtype)
    places = np.stack([np.searchsorted(a, b) for a, b in zip(table, wanted)])
    np.testing.assert_array_equal(ccdl.searchsorted(ccdl.tensor(table), ccdl.tensor(wanted)).cpu().numpy(), places)


def test_single_values_are_grouped_as_rows_are():
    x = np.array([1.0, 1, -0.0, 0, np.nan, np.nan, 2, 2, 2, np.inf, np.inf, 1])
    y, inverse, counts = ccdl.unique_consecutive(ccdl.tensor(x), return_inverse=True, return_counts=True)
    np.testing.assert_array_equal(y.numpy(), [1, 0, np.nan, np.nan, 2, np.inf, 1])
    assert np.signbit(y.numpy()[1])  # the first of equals
    assert counts.tolist() == [2, 2, 1, 1, 3, 2, 1] and inverse.tolist() == [0, 0, 1, 1, 2, 3, 4, 4, 4, 5, 5, 6]
    np.testing.assert_array_equal(ccdl.unique(ccdl.tensor(x)).numpy(), [0, 1, 2, np.inf, np.nan, np.nan])
    np.testing.assert_array_equal(ccdl.unique_consecutive(ccdl.tensor(x)).numpy(), y.numpy())


@pytest.mark.parametrize("shape", ((512, 10, 512), (65, 33, 50), (3, 64, 7), (100, 5000, 47)))
def test_bias_of_half_products(shape):
    m, k, n = shape
    rng = np.random.default_rng(0)
    x, w, b = (ccdl.tensor(rng.standard_normal(s)).to(ccdl.bfloat16) for s in ((m, k), (n, k), (n,)))
    exact = array(x) @ array(w).T + array(b)
    for y in (F.linear(x, w, b), ccdl.addmm(b, x, w.t()), ccdl.addmm(b.expand(m, n), x, w.t())):
        np.testing.assert_allclose(array(y), exact, rtol=2.0**-8, atol=1e-4 * np.sqrt(k))


@pytest.mark.parametrize("dtype", ("float32", "float64", "bfloat16"))
@pytest.mark.parametrize("shape,groups", (((3, 6, 5, 4), 2), ((2, 34, 9, 7), 17), ((1, 8, 40, 41), 1), ((2, 5, 3, 3), 5), ((2, 300, 20, 20), 3)))
def test_group_norm_keeps_channels_innermost(shape, groups, dtype):
    rng = np.random.default_rng(0)
    tolerance = {"float64": 1e-11, "float32": 2e-4, "bfloat16": 4e-2}[dtype]
    x, w, b, dy = (ccdl.tensor(rng.standard_normal(s) + 0.5).to(getattr(ccdl, dtype)) for s in (shape, shape[1:2], shape[1:2], shape))
    found = []
    for t in (x.to(ccdl.float64), x.contiguous(memory_format=ccdl.channels_last)):
        leaves = [t.detach().requires_grad_(), *(v.to(t.dtype).detach().requires_grad_() for v in (w, b))]
        y = F.group_norm(leaves[0], groups, *leaves[1:])
        y.backward(dy.to(y.dtype))
        found.append([y.detach(), *(v.grad for v in leaves)])
    assert all(t.is_contiguous(memory_format=ccdl.channels_last) for t in found[1][:2])
    for t, exact in zip(found[1], found[0]):
        np.testing.assert_allclose(array(t), array(exact), rtol=tolerance, atol=tolerance * np.abs(array(exact)).max())


def test_ranges_of_floats_are_computed_from_their_places():
    for n in (1, 63, 64, 65, 40000):
        for dtype in ("float32", "float64"):
            for start, step in ((0, 1), (-5, 3), (0.1, 0.3)):
                y = ccdl.arange(start, start + (n - 0.5) * step if isinstance(start, float) else start + n * step, step, dtype=getattr(ccdl, dtype))
                np.testing.assert_array_equal(y.numpy(), (start + np.arange(len(y)) * step).astype(dtype))
    big = ccdl.arange(2**53 - 2, 2**53 + 4, dtype=ccdl.float64)  # beyond exact steps: rounded from whole numbers
    np.testing.assert_array_equal(big.numpy(), np.arange(2**53 - 2, 2**53 + 4).astype(np.float64))


@pytest.mark.parametrize("n", range(2, 20))
def test_double_scans_of_short_rows(n):
    x = np.random.default_rng(n).standard_normal((40, n))
    t = ccdl.tensor(x)
    np.testing.assert_array_equal(array(ccdl.cumsum(t, 1)), np.cumsum(x, 1))
    np.testing.assert_array_equal(array(ccdl.cumprod(t, 1)), np.cumprod(x, 1))
    t.requires_grad_()
    ccdl.cumsum(t, 1).sum().backward()  # the gradient runs backwards
    np.testing.assert_array_equal(array(t.grad), np.tile(np.arange(n, 0, -1.0), (40, 1)))


def test_bernoulli_takes_its_probability_for_each_place():
    p = np.tile([0.0, 0.25, 0.5, 0.75, 1.0], 20000)
    for dtype in (ccdl.float32, ccdl.float64):
        hits = array(ccdl.bernoulli(ccdl.tensor(p).to(dtype))).reshape(-1, 5)
        np.testing.assert_allclose(hits.mean(0), p[:5], atol=0.02)
        assert not hits[:, 0].any() and hits[:, 4].all()


@pytest.mark.parametrize("dtype", ("float32", "float64"))
@pytest.mark.parametrize("m,k,n", ((1, 1, 1), (2, 3, 2), (3, 3, 3), (4, 2, 4), (5, 3, 1), (1, 8, 4), (3, 3, 5)))
def test_batches_of_tiny_matrices(m, k, n, dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3000, m, k)).astype(dtype), rng.standard_normal((3000, k, n)).astype(dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    a, b = ccdl.tensor(x), ccdl.tensor(y)
    turned = (ccdl.tensor(x.transpose(0, 2, 1).copy()).transpose(1, 2), ccdl.tensor(y.transpose(0, 2, 1).copy()).transpose(1, 2))
    for left, right in ((a, b), (turned[0], b), (a, turned[1]), turned):
        np.testing.assert_allclose(array(ccdl.bmm(left, right)), x.astype(np.float64) @ y, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(array(ccdl.baddbmm(a @ b, a, b, beta=0.5, alpha=2)), 2.5 * (x.astype(np.float64) @ y), rtol=tolerance, atol=4 * tolerance)
