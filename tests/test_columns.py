"""A number per row beside whole rows, padding of short rows and sums of table rows, at every width around a vector's."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

WIDTHS = [2, 3, 7, 8, 15, 16, 31, 33, 64, 65, 127, 128, 255, 256, 300, 511, 513, 1100]


def values(dtype: str, *sizes: int) -> np.ndarray:
    x = np.random.default_rng(len(sizes) + sum(sizes)).integers(0, 7, sizes)
    return x % 2 == 1 if dtype == "bool" else x.astype(dtype if dtype != "bfloat16" else "float32")


def tensor(x: np.ndarray, dtype: str) -> ccdl.Tensor:
    return ccdl.tensor(x).to(getattr(ccdl, dtype))


def plain(t: ccdl.Tensor) -> np.ndarray:
    return (t.float() if t.dtype == ccdl.bfloat16 else t).numpy()


@pytest.mark.simd
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64"])
def test_a_number_per_row(dtype: str) -> None:
    for n in WIDTHS:
        for rows in (1, 5, 3000 // n + 1):
            x, c = values(dtype, rows, n), values(dtype, rows, 1)
            t, u = tensor(x, dtype), tensor(c, dtype)
            assert (plain(t + u) == x + c).all(), (n, rows)
            assert (plain(u * t) == c * x).all(), (n, rows)
            assert (plain(t < u) == (x < c)).all(), (n, rows)
            assert (plain(ccdl.where(u > 1, t, u)) == np.where(c > 1, x, c)).all(), (n, rows)
            if dtype != "bool":
                apart = tensor(np.repeat(c, 3, 1), dtype)[:, 1:2]  # numbers that lie apart
                assert (plain(t.clone().add_(apart)) == x + c).all(), (n, rows)
            wide = tensor(np.concatenate([x, x], 1), dtype)[:, :n]  # rows that lie apart
            assert (plain(wide + u) == x + c).all(), (n, rows)
            three = t[:, None].expand(rows, 2, n)
            assert (plain(three + u[:, None]) == (x + c)[:, None].repeat(2, 1)).all(), (n, rows)


@pytest.mark.simd
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float32", "float64"])
def test_short_rows_padded(dtype: str) -> None:
    for n in (1, 3, 8, 17, 60, 200, 600):
        for sides in ((1, 1), (0, 3), (5, 0), (2, -1)):
            if n + sum(sides) < 1:
                continue
            x = values(dtype, 90, 2, n)
            want = np.pad(x[..., : n + min(sides[1], 0)], [(0, 0), (0, 0), (sides[0], max(sides[1], 0))], constant_values=9)
            got = ccdl.nn.functional.pad(ccdl.tensor(x), sides, value=9)
            assert (got.numpy() == want).all(), (n, sides)
            both = ccdl.nn.functional.pad(ccdl.tensor(x), (*sides, 1, 2), value=9)
            assert (both.numpy() == np.pad(want, [(0, 0), (1, 2), (0, 0)], constant_values=9)).all(), (n, sides)


@pytest.mark.simd
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_sums_of_table_rows(mode: str, dtype: str) -> None:
    rng = np.random.default_rng(4)
    for columns in (1, 7, 16, 31, 32, 33, 64, 100, 128, 150, 256, 333):
        table = rng.integers(-4, 5, (50, columns)).astype(np.float64)
        index, scale = rng.integers(0, 50, (30, 8)), rng.integers(1, 3, (30, 8)).astype(np.float64)
        for weights in (None, scale) if mode == "sum" else (None,):
            picked = table[index] * (1 if weights is None else weights[..., None])
            got = ccdl.nn.functional.embedding_bag(
                ccdl.tensor(index), tensor(table, dtype), mode=mode, per_sample_weights=None if weights is None else tensor(weights, dtype)
            )
            assert (plain(got).astype(np.float64) == getattr(picked, mode)(1)).all(), columns
    for bad in ([1, 8], [0, 9, 8], [0, 50], [0, -1]):
        with pytest.raises(RuntimeError, match="offsets must start at 0"):
            ccdl.nn.functional.embedding_bag(ccdl.arange(20), ccdl.ones(50, 4), ccdl.tensor(bad))
