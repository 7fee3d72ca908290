"""Gamma, Poisson and binomial samples against SciPy's distributions in every regime of their algorithms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats as st

import ccdl

N = 200000


def draw(name: str, *parameters: float) -> np.ndarray:
    ccdl.manual_seed(17)
    tensors = [ccdl.full((N,), p, dtype=ccdl.float64) for p in parameters]
    return getattr(ccdl._C, name)(*tensors).cpu().numpy()


def fits(x: np.ndarray, law: st.rv_discrete) -> float:
    """The p-value of a chi-squared test over values expected at least twenty times."""
    low, high = int(law.ppf(20 / N)), int(law.ppf(1 - 20 / N))
    k = np.arange(low, high + 1)
    expected = np.concatenate([[law.cdf(low - 1)], law.pmf(k), [law.sf(high)]]) * N
    seen = np.concatenate([[(x < low).sum()], [(x == i).sum() for i in k], [(x > high).sum()]])
    kept = expected >= 5
    expected, seen = np.append(expected[kept], expected[~kept].sum() + 1e-9), np.append(seen[kept], seen[~kept].sum())
    return float(st.chi2.sf(((seen - expected) ** 2 / expected)[expected > 1].sum(), (expected > 1).sum() - 1))


@pytest.mark.parametrize("a", [0.05, 0.5, 0.999, 1.0, 1.7, 30.0, 1e4, 1e8])
def test_gamma(a: float) -> None:
    x = draw("_standard_gamma", a)
    assert st.kstest(x, st.gamma(a).cdf).pvalue > 1e-3
    assert abs(x.mean() - a) < 5 * math.sqrt(a / N)
    high = st.gamma(a).ppf(0.999)  # the tail, where the quick acceptance does not decide
    assert abs((x > high).mean() - 0.001) < 5 * math.sqrt(0.001 / N)


@pytest.mark.parametrize("rate", [1e-3, 0.5, 3.0, 9.99, 10.0, 14.5, 80.0, 700.0])
def test_poisson(rate: float) -> None:
    x = draw("poisson", rate)
    assert (x == np.floor(x)).all() and (x >= 0).all()
    assert fits(x, st.poisson(rate)) > 1e-3


@pytest.mark.parametrize(("n", "p"), [(1, 0.3), (10, 0.3), (10, 0.97), (40, 0.5), (40, 0.24), (1000, 0.01), (1000, 0.99), (500, 0.6), (10**9, 2e-8)])
def test_binomial(n: int, p: float) -> None:
    x = draw("binomial", n, p)
    assert (x == np.floor(x)).all() and (x >= 0).all() and (x <= n).all()
    assert fits(x, st.binom(n, p)) > 1e-3


def test_edges() -> None:
    t = lambda *v: ccdl.tensor(v, dtype=ccdl.float64)
    assert ccdl.poisson(t(0.0, math.inf)).tolist() == [0.0, math.inf]
    assert ccdl.binomial(t(0.0, 5.0, 5.0, 5.0), t(0.3, 0.0, 1.0, 0.5)).tolist()[:3] == [0.0, 0.0, 5.0]
    assert math.isnan(ccdl._C._standard_gamma(t(math.nan)).item())


def test_neighbours_and_repeats_are_independent() -> None:
    ccdl.manual_seed(3)
    x = ccdl._C._standard_gamma(ccdl.full((N,), 0.8, dtype=ccdl.float64)).cpu().numpy()
    y = ccdl._C._standard_gamma(ccdl.full((N,), 0.8, dtype=ccdl.float64)).cpu().numpy()
    for a, b in ((x[1:], x[:-1]), (x, y), (x[2:], y[:-2])):
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(N)
    assert len(np.unique(x)) > N - 5
    ccdl.manual_seed(3)
    assert (ccdl._C._standard_gamma(ccdl.full((N,), 0.8, dtype=ccdl.float64)).cpu().numpy() == x).all()
