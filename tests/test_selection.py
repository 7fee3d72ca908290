"""Medians and k-th smallest of rows too long for sorting networks: buckets of values, ties, NaN, every layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ccdl

TYPES = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")
LENGTHS = (47, 48, 49, 64, 129, 257, 1000, 4097)


def rows(name: str, n: int, seed: int) -> Any:
    g = np.random.default_rng(seed)
    if "float" in name:
        a = g.standard_normal((7, n)) * 10.0 ** g.integers(-3, 4, (7, 1))
        a[1] = np.round(a[1])
        a[2] = g.choice([0.0, -0.0, 1.0, np.inf, -np.inf], n)
        a[3][g.random(n) < 0.1] = np.nan
        a[4][g.random(n) < 0.9] = np.nan
        a[5] = np.nan
        a[6] = 1.0 + np.arange(n) * 1e-7
        return ccdl.tensor(a).to(getattr(ccdl, name))
    limits = np.iinfo(name)
    a = g.integers(limits.min, limits.max, (7, n), dtype=name, endpoint=True)
    a[1] = g.integers(0, 3, n)
    a[2] = limits.max
    a[3, ::2] = limits.min
    return ccdl.tensor(a)


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_places_and_values(name: str, n: int) -> None:
    x = rows(name, n, n)
    a = x.double().numpy() if x.is_floating_point() else x.numpy()
    order = np.argsort(a, 1, kind="stable")  # NaN last
    nans = np.isnan(a).sum(1) if a.dtype.kind == "f" else np.zeros(7, np.int64)
    whole = np.where(nans > 0, n - nans, (n - 1) // 2)
    numbers = np.maximum(n - nans - 1, 0) // 2
    turned = x.t().contiguous().t()
    for t in (x, turned, ccdl.stack([x, x], -1)[..., 1], x[:3], x[3:4]):
        first = 3 if t.shape[0] == 1 else 0
        some = slice(first, first + t.shape[0])
        calls = [(t.median(1), whole[some]), (t.nanmedian(1), numbers[some])]
        calls += [(t.kthvalue(k, 1), np.full(t.shape[0], k - 1)) for k in (1, 2, n // 3, n - 1, n)]
        for (values, at), place in calls:
            want = order[some][np.arange(t.shape[0]), place]
            np.testing.assert_array_equal(at.numpy(), want)
            got = values.double().numpy() if x.is_floating_point() else values.numpy()
            np.testing.assert_array_equal(got, a[some][np.arange(t.shape[0]), want])


def test_one_long_row() -> None:
    a = np.random.default_rng(0).standard_normal(300_001).astype("float32")
    x = ccdl.tensor(a)
    assert x.median().item() == np.median(a)
    for k in (1, 1000, 200_000, 300_001):
        value, at = x.kthvalue(k)
        assert value.item() == np.sort(a)[k - 1] == a[at.item()]
