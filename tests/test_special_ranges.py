"""Special functions far out, at their ends and at values that are no numbers, against SciPy."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl

scipy_special = pytest.importorskip("scipy.special", reason="SciPy is not installed")
ODD = [0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 1.0, -1.0]
WIDE = np.concatenate([ODD, -np.geomspace(1e-6, 80, 300), np.geomspace(1e-6, 80, 301)])
OPEN = np.concatenate([[0.0, 1.0, -0.1, 1.1, np.nan], np.geomspace(1e-30, 0.5, 300), 1 - np.geomspace(1e-7, 0.5, 300)])
ONE = {"i0": WIDE, "i0e": WIDE, "i1": WIDE, "i1e": WIDE, "erfcx": WIDE, "log_ndtr": WIDE, "ndtri": OPEN}


def close(ours: ccdl.Tensor, theirs: np.ndarray, relative: float) -> None:
    ours = ours.numpy().astype(np.float64)
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    largest = np.finfo(np.float32).max
    bad = np.isinf(ours) != np.isinf(theirs)  # a float may overflow a hair earlier or later
    assert np.all(np.abs(theirs[bad & ~np.isinf(theirs)]) > 0.99 * largest)
    finite = np.isfinite(ours) & np.isfinite(theirs)
    np.testing.assert_allclose(ours[finite], theirs[finite], rtol=relative, atol=1e-38)


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ONE)
def test_one_argument(name: str, dtype: type) -> None:
    x = ONE[name].astype(dtype)
    with np.errstate(all="ignore"):
        want = getattr(scipy_special, name)(x.astype(np.float64)).astype(dtype).astype(np.float64)
    if name in ("i0", "i1"):  # SciPy says NaN at the infinities
        want[np.isinf(x)] = np.inf if name == "i0" else x[np.isinf(x)]
    close(getattr(ccdl.special, name)(ccdl.from_numpy(x)), want, 1e-6 if dtype is np.float32 else 1e-12)


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gamma(name: str, dtype: type) -> None:
    shape = np.concatenate([[0.0, np.inf, np.nan, -1.0], np.geomspace(1e-3, 300, 60)]).astype(dtype)
    at = np.concatenate([[0.0, np.inf, np.nan, -1.0], np.geomspace(1e-4, 500, 61)]).astype(dtype)
    a, x = (np.ascontiguousarray(v) for v in np.broadcast_arrays(shape[:, None], at))
    with np.errstate(all="ignore"):
        want = getattr(scipy_special, name)(a.astype(np.float64), x.astype(np.float64)).astype(dtype).astype(np.float64)
    close(getattr(ccdl.special, name)(ccdl.from_numpy(a), ccdl.from_numpy(x)), want, 3e-6 if dtype is np.float32 else 1e-10)


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_zeta(dtype: type) -> None:
    """Also where x is not small beside q, where the asymptotic series needs more terms before it."""
    order = np.concatenate([[np.nan, 1.0, 0.5, 2.0, 3.0], 1 + np.geomspace(1e-6, 3e3, 200)]).astype(dtype)
    at = np.concatenate([[np.nan, 0.0, -1.0, 1.0, 12.0], np.geomspace(1e-10, 1e12, 201), [1e30, np.inf]]).astype(dtype)
    x, q = (np.ascontiguousarray(v) for v in np.broadcast_arrays(order[:, None], at))
    with np.errstate(all="ignore"):
        want = scipy_special.zeta(x.astype(np.float64), q.astype(np.float64)).astype(dtype).astype(np.float64)
    keep = ~np.isnan(x) | np.isnan(q)
    keep &= ~((q == -1) & (x != np.floor(x)))
    close(ccdl.special.zeta(ccdl.from_numpy(x[keep]), ccdl.from_numpy(q[keep])), want[keep], 1e-6 if dtype is np.float32 else 3e-13)


@pytest.mark.host
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_polygamma(dtype: type) -> None:
    at = np.concatenate([[np.nan, np.inf, 1.0], np.geomspace(1e-3, 1e6, 400)]).astype(dtype)
    for n in (2, 3, 4, 7, 12, 30, 90):
        with np.errstate(all="ignore"):
            want = scipy_special.polygamma(n, at.astype(np.float64)).astype(dtype).astype(np.float64)
        want[np.isinf(at)] = 0
        close(ccdl.polygamma(n, ccdl.from_numpy(at)), want, 1e-6 if dtype is np.float32 else 3e-13)
