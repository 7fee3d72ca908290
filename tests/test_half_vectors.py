"""Half-precision products with up to four rows or columns on one side, in every layout, against float64."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

SHAPES = ((1, 1, 1), (1, 7, 9), (2, 33, 8), (3, 100, 1030), (4, 5, 65), (1, 1000, 1), (1, 100_000, 1), (2, 17, 3),
          (4, 300, 16), (1, 4096, 8), (1, 8, 4096))  # fmt: skip
BITS = {"float16": 11, "bfloat16": 8}


def operand(name: str, rows: int, columns: int, turned: bool, seed: int) -> ccdl.Tensor:
    a = np.random.RandomState(seed).uniform(-1, 1, (columns, rows) if turned else (rows, columns))
    x = ccdl.tensor(a).to(getattr(ccdl, name))
    return x.t() if turned else x


def close(found: ccdl.Tensor, want: np.ndarray, name: str, k: int) -> None:
    bound = np.abs(want) * 2.0 ** -BITS[name] + 2e-7 * (k + 16)  # one rounding of a sum in float
    assert (np.abs(found.double().numpy() - want) <= bound).all()


@pytest.mark.parametrize("name", BITS)
@pytest.mark.parametrize("layout", ((False, False), (False, True), (True, False), (True, True)))
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_few_rows_and_few_columns(name: str, layout: tuple[bool, bool], shape: tuple[int, int, int]) -> None:
    m, k, n = shape
    for rows, columns in ((m, n), (n, m)):
        a, b = operand(name, rows, k, layout[0], 1), operand(name, k, columns, layout[1], 2)
        want = a.double().numpy() @ b.double().numpy()
        close(a @ b, want, name, k)
        bias = ccdl.arange(columns).to(a.dtype) / 64
        close(ccdl.addmm(bias, a, b, beta=2, alpha=0.5), 2 * bias.double().numpy() + 0.5 * want, name, k)
        full = operand(name, rows, columns, False, 3)
        close(ccdl.addmm(full, a, b), full.double().numpy() + want, name, k)
        close(ccdl.bmm(ccdl.stack([a, a]), ccdl.stack([b, -b]))[1], -want, name, k)
        sparse_a, sparse_b = ccdl.stack([a, a], -1)[..., 0], ccdl.stack([b, b], -1)[..., 1]  # every second element
        close(sparse_a @ sparse_b, want, name, k)


@pytest.mark.parametrize("name", (*BITS, "float32", "float64"))
def test_matrix_by_vector(name: str) -> None:
    for m, n in ((5, 3), (100, 33), (8, 4096), (4096, 8)):
        a = ccdl.tensor(np.random.RandomState(m).uniform(-1, 1, (m, n))).to(getattr(ccdl, name))
        x, y = a[0].clone(), a[:, 0].clone()
        exact, bits = a.double().numpy(), {**BITS, "float32": 17, "float64": 44}[name]
        for found, want in ((ccdl.mv(a, x), exact @ exact[0]), (ccdl.mv(a.t(), y), exact.T @ exact[:, 0]),
                            (y @ a, exact[:, 0] @ exact), (ccdl.addmv(y, a, x), exact[:, 0] + exact @ exact[0]),
                            (ccdl.dot(x, x), exact[0] @ exact[0])):  # fmt: skip
            np.testing.assert_allclose(found.double().numpy(), want, rtol=2.0**-bits, atol=2.0**-bits)


@pytest.mark.parametrize("name", BITS)
def test_nan_and_infinity_pass(name: str) -> None:
    a = ccdl.ones(40, 33, dtype=getattr(ccdl, name))
    a[3, 32] = float("nan")
    a[4, 31] = float("inf")
    y = ccdl.mv(a, ccdl.ones(33, dtype=a.dtype)).float().numpy()
    assert np.isnan(y[3]) and np.isinf(y[4]) and (np.delete(y, [3, 4]) == 33).all()
    z = (ccdl.ones(40, dtype=a.dtype) @ a).float().numpy()
    assert np.isnan(z[32]) and np.isinf(z[31]) and (z[:31] == 40).all()
