"""Reductions over a middle dimension or several ones: few rows straight into the result, narrow units, folded rows,
short pieces of rows shared by many outputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import ccdl

SHAPES: tuple[tuple[tuple[int, ...], int | tuple[int, ...]], ...] = (
    ((5, 16, 64), 1), ((33, 16, 8), 1), ((40, 8, 3), 1), ((3, 1000, 4), 1), ((4, 3, 5000), 1), ((9, 65, 17), 1),
    ((7, 64, 49), 1), ((6, 1, 5), 1), ((2, 200, 33), 1), ((3, 16, 1040), 1), ((2, 3, 4, 5), 2), ((64, 4), 0),
    ((8, 20, 16, 32), (1, 3)), ((3, 40, 9, 100), (1, 3)), ((4, 6, 50), (0, 2)), ((4, 6, 5, 7), (0, 2, 3)),
    ((4, 6, 9, 31), (0, 2)), ((2, 9, 200), (0, 2)), ((3, 5, 12, 3), (1, 3)),
)  # fmt: skip
WHOLE = ("int64", "int32", "uint8")
FLOATS = {"float32": 1.3e-6, "float64": 1e-12, "float16": 1e-3, "bfloat16": 1.6e-2}


def numbers(name: str, shape: tuple[int, ...]) -> np.ndarray:
    g = np.random.RandomState(len(shape) + shape[-1])
    if name in WHOLE:
        return g.randint(0, 200, shape).astype(name)
    a = g.uniform(0.5, 1.5, shape) * g.choice([-1, 1], shape)
    return a.astype("float32" if name == "bfloat16" else name)


def tensor(name: str, a: np.ndarray) -> ccdl.Tensor:
    return ccdl.from_numpy(a).to(getattr(ccdl, name))


REDUCTIONS: dict[str, tuple[Callable[..., ccdl.Tensor], Callable[..., np.ndarray]]] = {
    "sum": (ccdl.sum, np.sum),
    "nansum": (ccdl.nansum, np.nansum),
    "amax": (ccdl.amax, np.max),
    "amin": (ccdl.amin, np.min),
    "count_nonzero": (ccdl.count_nonzero, np.count_nonzero),
    "mean": (ccdl.mean, np.mean),
    "var": (ccdl.var, lambda x, axis: np.var(x, axis, ddof=1) if x.size else x),
    "norm1": (lambda x, d: ccdl.linalg.vector_norm(x, 1, d), lambda x, axis: np.abs(x).sum(axis)),
    "norm2": (lambda x, d: ccdl.linalg.vector_norm(x, 2, d), lambda x, axis: np.sqrt((x * x).sum(axis))),
    "norm2.5": (lambda x, d: ccdl.linalg.vector_norm(x, 2.5, d), lambda x, axis: (abs(x) ** 2.5).sum(axis) ** 0.4),
    "logsumexp": (ccdl.logsumexp, lambda x, axis: np.log(np.exp(x).sum(axis))),
}


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("op", REDUCTIONS)
def test_floats_over_middle_dimensions(name: str, op: str) -> None:
    ours, reference = REDUCTIONS[op]
    for shape, dim in SHAPES:
        if op == "var" and shape[1] == 1:
            continue  # one element: NaN
        x = tensor(name, numbers(name, shape))
        exact = x.double().numpy()
        want = reference(exact, axis=dim)
        scale = max(1.0, float(np.abs(exact).sum(dim).max()) ** 0.5)
        found = ours(x, dim).double().numpy()
        np.testing.assert_allclose(found, want, rtol=FLOATS[name], atol=FLOATS[name] * scale, err_msg=f"{shape} {dim}")
        wide = tensor(name, np.repeat(numbers(name, shape), 2, -1))[..., ::2]  # every second element
        np.testing.assert_allclose(ours(wide, dim).double().numpy(), want, rtol=FLOATS[name], atol=FLOATS[name] * scale)


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("op", ("sum", "amax", "amin", "count_nonzero"))
def test_whole_numbers_over_middle_dimensions(name: str, op: str) -> None:
    ours, reference = REDUCTIONS[op]
    for shape, dim in SHAPES:
        a = numbers(name, shape)
        np.testing.assert_array_equal(ours(ccdl.from_numpy(a), dim).numpy(), reference(a, axis=dim), f"{shape} {dim}")


@pytest.mark.parametrize("name", ("float32", "float64", "int64"))
def test_products_and_positions_over_a_middle_dimension(name: str) -> None:
    for shape, dim in SHAPES:
        if isinstance(dim, tuple):
            continue
        a = numbers(name, shape)
        x = ccdl.from_numpy(a)
        if name == "int64":
            np.testing.assert_array_equal(x.prod(dim).numpy(), a.prod(dim))
        else:
            np.testing.assert_allclose(x.prod(dim).numpy(), a.astype("float64").prod(dim), rtol=1e-6)
        for largest in (True, False):
            values, at = x.max(dim) if largest else x.min(dim)
            place = a.argmax(dim) if largest else a.argmin(dim)
            np.testing.assert_array_equal(at.numpy(), place, f"{shape} {dim}")
            np.testing.assert_array_equal(values.numpy(), a.max(dim) if largest else a.min(dim))


@pytest.mark.parametrize("name", FLOATS)
def test_nan_and_infinity_over_a_middle_dimension(name: str) -> None:
    for shape in ((5, 16, 21), (3, 1000, 4), (3, 16, 1040), (40, 8, 3)):
        a = numbers(name, shape)
        a[1, 3, 2] = np.nan
        a[2, 1, 0] = np.inf
        a[2, 2, 1] = -np.inf
        x = tensor(name, a)
        for op in ("sum", "amax", "amin", "mean"):
            found = REDUCTIONS[op][0](x, 1).double().numpy()
            want = REDUCTIONS[op][1](x.double().numpy(), axis=1)
            np.testing.assert_array_equal(np.isnan(found), np.isnan(want))
            np.testing.assert_array_equal(np.isinf(found), np.isinf(want))
        np.testing.assert_array_equal(np.isnan(ccdl.nansum(x, 1).double().numpy()), np.zeros((shape[0], shape[2])))


def test_the_largest_whole_numbers_wrap() -> None:
    a = np.full((3, 5, 9), 2**62, np.int64)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(ccdl.from_numpy(a).sum(1).numpy(), a.sum(1))


def test_many_rows_keep_their_digits() -> None:
    a = np.full((2, 40_000, 5), 0.1, np.float32)
    exact = a.astype(np.float64).sum(1)
    np.testing.assert_allclose(ccdl.from_numpy(a).sum(1).numpy(), exact, rtol=1.3e-6)


def test_bits_do_not_depend_on_threads() -> None:
    x = ccdl.from_numpy(numbers("float32", (64, 40, 100)))
    before = ccdl.get_num_threads()
    try:
        for dim in (1, (0, 2), 0):
            ccdl.set_num_threads(1)
            one = x.sum(dim).numpy()
            ccdl.set_num_threads(2)
            np.testing.assert_array_equal(one, x.sum(dim).numpy())
    finally:
        ccdl.set_num_threads(before)
