"""bfloat16 products around the edges of panels, tiles and K blocks, in every layout, against float64."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

SHAPES = [(1, 1, 1), (3, 5, 7), (8, 16, 48), (9, 17, 49), (7, 2, 33), (64, 64, 64), (130, 301, 97), (1, 64, 128), (4, 129, 70),
          (16, 9, 16), (24, 31, 50), (40, 64, 12), (100, 27, 61), (5, 1000, 50), (70, 33, 2), (2, 5001, 60), (65, 4097, 50),
          (300, 6001, 50)]


def operands(m, k, n, ta, tb):
    rng = np.random.default_rng(m * 7 + k + n)
    a = ccdl.tensor(rng.standard_normal((k, m) if ta else (m, k)), dtype=ccdl.bfloat16)
    b = ccdl.tensor(rng.standard_normal((n, k) if tb else (k, n)), dtype=ccdl.bfloat16)
    return a.t() if ta else a, b.t() if tb else b


def close(got, want, k):
    bound = np.abs(want) * 2**-8 + 1e-6 * k + 1e-30  # one rounding to 8 bits of a sum in float
    assert (np.abs(got.float().numpy() - want) <= bound).all()


@pytest.mark.parametrize("ta", [False, True])
@pytest.mark.parametrize("tb", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_product(shape, ta, tb):
    m, k, n = shape
    a, b = operands(m, k, n, ta, tb)
    want = a.double().numpy() @ b.double().numpy()
    close(a @ b, want, k)
    bias = ccdl.arange(n, dtype=ccdl.bfloat16)
    close(ccdl.addmm(bias, a, b, beta=2, alpha=0.5), 2 * bias.double().numpy() + 0.5 * want, k)
    threads = ccdl.get_num_threads()
    try:
        found = []
        for count in (1, 2):
            ccdl.set_num_threads(count)
            found.append((a @ b).float())
        assert ccdl.equal(*found)
    finally:
        ccdl.set_num_threads(threads)


def test_the_element_behind_an_odd_row_does_not_take_part():
    wide = ccdl.full((6, 8), float("nan"), dtype=ccdl.bfloat16)
    wide[:, :7] = 1
    for rows in (1, 3, 6):
        assert (wide[:rows, :7] @ ccdl.ones(7, 5, dtype=ccdl.bfloat16)).tolist() == [[7.0] * 5] * rows
        tall = ccdl.ones(5, 7, dtype=ccdl.bfloat16).t()
        assert (wide[:rows, :7] @ tall).tolist() == [[7.0] * 5] * rows


def test_batches_strides_and_special_values():
    rng = np.random.default_rng(0)
    a = ccdl.tensor(rng.standard_normal((3, 10, 24)), dtype=ccdl.bfloat16)[:, ::2, ::3]
    b = ccdl.tensor(rng.standard_normal((3, 16, 9)), dtype=ccdl.bfloat16)[:, ::2, ::2]
    close(a @ b, a.double().numpy() @ b.double().numpy(), 8)
    x = ccdl.ones(5, 6, dtype=ccdl.bfloat16)
    x[1, 2], x[3, 3] = float("inf"), float("nan")
    y = (x @ ccdl.ones(6, 40, dtype=ccdl.bfloat16))
    assert y[1].isinf().all() and y[3].isnan().all() and (y[0] == 6).all()
