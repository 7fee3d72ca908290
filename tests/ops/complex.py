"""Products of complex numbers, held as pairs, against NumPy."""

from __future__ import annotations

import numpy as np
from opcase import FULL_FLOATS, ErrorCase, OpCase, Sample


def numbers(x):
    x = np.asarray(x, np.float64)
    return x[..., 0] + 1j * x[..., 1]


def multiply(T, a, b):
    return T.view_as_real(T.view_as_complex(a) * T.view_as_complex(b))


def in_torch(T, a, b):
    """It wants parts side by side, and differentiates no view of nothing."""
    return multiply(T, a.contiguous(), b.contiguous()) if a.numel() else a * b


def product(a, b):
    y = numbers(a) * numbers(b)
    return np.stack([y.real, y.imag], -1)


def samples(rng):
    for a, b in [((), ()), ((1,), ()), ((0,), (0,)), ((3, 0), (1, 0)), ((5,), (5,)), ((3, 7), (3, 7)), ((3, 7), (7,)), ((3, 7), (3, 1)), ((4, 1), (1, 5)), ((2, 1, 9), (3, 1))]:  # fmt: skip
        yield Sample(rng.standard_normal((*a, 2)), rng.standard_normal((*b, 2))).but(k=2)
    for n in (15, 16, 17, 31, 33, 257):
        yield Sample(rng.standard_normal((2, n, 2)), rng.standard_normal((n, 2))).but(k=2, grad=False)


def scale(T, a, r):
    return T.view_as_real(T.view_as_complex(a) * r)


def scale_in_torch(T, a, r):
    return scale(T, a.contiguous(), r) if a.numel() else a * r.unsqueeze(-1)


def scaled(a, r):
    return np.asarray(a, np.float64) * np.asarray(r, np.float64)[..., None]


def scale_samples(rng):
    for a, r in [((), ()), ((0,), (0,)), ((5,), ()), ((3, 7), (3, 7)), ((3, 7), (7,)), ((3, 7), (3, 1)), ((4, 1), (1, 5)), ((3, 17), (2, 3, 17))]:  # fmt: skip
        yield Sample(rng.standard_normal((*a, 2)), rng.standard_normal(r)).but(k=2)
    yield Sample(rng.standard_normal((2, 257, 2)), rng.standard_normal(257)).but(grad=False)


ERRORS = [
    ErrorCase(lambda T: multiply(T, T.ones(3, 2), T.ones(4, 2)), RuntimeError, ("3", "4")),
]
CASES = [
    OpCase("complex_multiply", multiply, product, samples, dtypes=FULL_FLOATS, errors=ERRORS, simd=True, nonfinite=False, torch=in_torch,
           big=lambda rng: Sample(rng.standard_normal((300, 257, 2)), rng.standard_normal((257, 2))),
           why="NaN times 0 in one part only depends on how a product is written"),
    OpCase("complex_scale", scale, scaled, scale_samples, dtypes=FULL_FLOATS, simd=True, torch=scale_in_torch, nonfinite=False,
           big=lambda rng: Sample(rng.standard_normal((300, 257, 2)), rng.standard_normal((300, 257))), why="PyTorch multiplies by a complex number"),
]  # fmt: skip
