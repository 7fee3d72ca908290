"""Sorting and selection along short rows, which go through networks: every length, few and many rows, ties, NaN."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool")
LENGTHS = (1, 2, 3, 4, 5, 7, 8, 9, 13, 16, 17, 31, 32, 33, 63, 64, 65, 100, 127, 128, 129)


def numbers(name: str, shape: tuple[int, int], seed: int) -> np.ndarray:
    g = np.random.RandomState(seed)
    a = g.randint(0, 2 if name == "bool" else max(3, shape[1]), shape)  # many ties
    a = a.astype("float32" if name == "bfloat16" else name)
    if "float" in name:
        a -= 20
        a[:: 3, shape[1] // 2] = np.nan
        a[1::4] = np.where(g.rand(*a[1::4].shape) < 0.3, np.nan, a[1::4])
        a[2::5, 0] = np.inf
        a[3::6, -1] = -0.0
        if shape[0] > 6:
            a[6] = np.nan
    return a


def plain(x: ccdl.Tensor) -> np.ndarray:
    return x.float().numpy() if x.dtype == ccdl.bfloat16 else x.numpy()


def order(a: np.ndarray, descending: bool) -> np.ndarray:
    """Stable, NaN largest."""
    rank = np.zeros(a.shape, np.int64)
    for r, row in enumerate(a):
        rank[r] = np.unique(row, return_inverse=True)[1]
        if row.dtype.kind == "f":
            rank[r][np.isnan(row)] = len(row)
    return np.argsort(-rank if descending else rank, 1, kind="stable")


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_sort_and_top(name: str, n: int) -> None:
    for rows in (1, 3, 4, 8, 9, 30):
        a = numbers(name, (rows, n), n * 31 + rows)
        x = ccdl.from_numpy(a).to(getattr(ccdl, name))
        for descending in (False, True):
            places = order(a, descending)
            want = np.take_along_axis(a, places, 1)
            wide = ccdl.stack([x, x], -1)[..., 1]
            for t in (x, x.t().contiguous().t(), wide):
                values, at = ccdl.sort(t, dim=1, stable=True, descending=descending)
                np.testing.assert_array_equal(at.numpy(), places)
                np.testing.assert_array_equal(plain(values), want)
            values, at = ccdl.sort(x.t(), dim=0, stable=True, descending=descending)
            np.testing.assert_array_equal(at.numpy(), places.T)
            if name == "bool":
                continue
            for k in {1, min(3, n), (n + 1) // 2, n}:
                values, at = ccdl.topk(x, k, largest=descending)
                np.testing.assert_array_equal(plain(values), want[:, :k])
                np.testing.assert_array_equal(np.take_along_axis(a, at.numpy(), 1), want[:, :k])


@pytest.mark.parametrize("name", [t for t in TYPES if t != "bool"])
@pytest.mark.parametrize("n", LENGTHS)
def test_selection(name: str, n: int) -> None:
    for rows in (3, 8, 21):
        a = numbers(name, (rows, n), n * 17 + rows)
        x = ccdl.from_numpy(a).to(getattr(ccdl, name))
        ascending = np.take_along_axis(a, order(a, False), 1)
        for k in {1, (n + 1) // 2, n}:
            values, at = ccdl.kthvalue(x, k, dim=1)
            np.testing.assert_array_equal(plain(values), ascending[:, k - 1])
            np.testing.assert_array_equal(np.take_along_axis(a, at.numpy()[:, None], 1)[:, 0], ascending[:, k - 1])
        nan = np.isnan(a) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
        values, at = ccdl.median(x, 1)
        want = np.where(nan.any(1), np.nan, ascending[:, (n - 1) // 2]) if nan.any() else ascending[:, (n - 1) // 2]
        np.testing.assert_array_equal(plain(values), want)
        np.testing.assert_array_equal(np.take_along_axis(a, at.numpy()[:, None], 1)[:, 0], want)
        if a.dtype.kind == "f":
            np.testing.assert_array_equal(at.numpy()[nan.any(1)], nan[nan.any(1)].argmax(1))  # the first NaN
            values, _ = ccdl.nanmedian(x, 1)
            count = n - nan.sum(1)
            np.testing.assert_array_equal(plain(values), ascending[np.arange(rows), np.maximum(count - 1, 0) // 2])
        values, at = ccdl.mode(x, 1)
        for r in range(rows):
            if nan[r].any():
                continue
            kinds, counts = np.unique(a[r], return_counts=True)
            best = kinds[counts.argmax()]
            assert plain(values)[r] == best
            assert at.numpy()[r] == np.flatnonzero(a[r] == best)[-1]
