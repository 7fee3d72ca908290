"""searchsorted, bucketize and histogram against NumPy around the vectors' borders: every dtype, NaN, infinities, ties, rows."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

TYPES = ("float32", "float64", "float16", "int64", "int32", "int16", "uint8")


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("n", (1, 2, 3, 7, 8, 9, 64, 100, 1000))
def test_shared_sequence(name: str, n: int) -> None:
    g = np.random.RandomState(n)
    s = np.sort(g.randint(0, 100, n).astype(name))
    for m in (1, 7, 8, 9, 16, 31, 32, 33, 63, 64, 65, 1000):
        v = g.randint(0, 110, m).astype(name)
        if name.startswith("float"):
            s[-1] = np.inf
            v[::5] = np.nan
            v[1::7] = np.inf
            v[2::7] = -np.inf
            if n > 8:
                s[-2:] = np.nan
        for right in (False, True):
            side = "right" if right else "left"
            want = np.searchsorted(s, v, side)
            found = ccdl.searchsorted(ccdl.from_numpy(s), ccdl.from_numpy(v), right=right)
            np.testing.assert_array_equal(found.numpy(), want)
            found = ccdl.bucketize(ccdl.from_numpy(v), ccdl.from_numpy(s), right=right, out_int32=True)
            assert found.dtype == ccdl.int32
            np.testing.assert_array_equal(found.numpy(), want)


@pytest.mark.parametrize("name", TYPES)
def test_a_sequence_for_every_row(name: str) -> None:
    g = np.random.RandomState(3)
    for n, m in ((1, 1), (5, 33), (100, 20), (17, 3)):
        s, v = np.sort(g.randint(0, 100, (4, 3, n)).astype(name), -1), g.randint(0, 100, (4, 3, m)).astype(name)
        for right in (False, True):
            found = ccdl.searchsorted(ccdl.from_numpy(s), ccdl.from_numpy(v), right=right).numpy()
            for i in np.ndindex(4, 3):
                np.testing.assert_array_equal(found[i], np.searchsorted(s[i], v[i], "right" if right else "left"))


def test_extreme_whole_numbers() -> None:
    for name in ("int64", "int32"):
        info = np.iinfo(name)
        s = np.array([info.min, -1, 0, 1, info.max], name)
        v = np.array([info.min, info.max, 0, -2, 2], name)
        for right in (False, True):
            found = ccdl.searchsorted(ccdl.from_numpy(s), ccdl.from_numpy(v), right=right).numpy()
            np.testing.assert_array_equal(found, np.searchsorted(s, v, "right" if right else "left"))


@pytest.mark.parametrize("name", ("float32", "float64"))
@pytest.mark.parametrize("n", (0, 1, 1000))
def test_histogram_counts_the_edges(name: str, n: int) -> None:
    g = np.random.RandomState(n)
    a = (g.randint(-12, 13, n) / 8).astype(name)  # many on an edge
    w = g.rand(n).astype(name)
    for bins in (1, 8, 7):
        for weight in (None, w):
            hist, edges = ccdl.histogram(ccdl.from_numpy(a), bins, range=(-1.0, 1.0), weight=None if weight is None else ccdl.from_numpy(w))
            want = np.histogram(a, edges.numpy(), weights=weight)[0]
            np.testing.assert_allclose(hist.numpy(), want, rtol=1e-5, atol=1e-5)
            assert hist.dtype == edges.dtype == getattr(ccdl, name)
    uneven = np.array([-1, -0.25, 0.5, np.inf], name)
    special = np.concatenate([a, np.array([np.nan, np.inf, -np.inf, -1, 0.5], name)])
    hist = ccdl.histogram(ccdl.from_numpy(special), ccdl.from_numpy(uneven)).hist.numpy()
    np.testing.assert_array_equal(hist, np.histogram(special[~np.isnan(special)], uneven)[0])


def test_histogram_counts_beyond_the_digits_of_float() -> None:
    assert ccdl.histogram(ccdl.zeros(2**24 + 3), 1, range=(-1.0, 1.0)).hist.double().item() == 2**24 + 4  # nearest float
