"""Histograms of points in several dimensions against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl


@pytest.mark.parametrize("density", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(40, 1), (100, 2), (5, 8, 3)])
def test_counts_are_numpys(shape: tuple[int, ...], weighted: bool, density: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape)
    x.reshape(-1, shape[-1])[:3] = 1.0  # on an edge
    weight = rng.random(shape[:-1]) if weighted else None
    dims = shape[-1]
    flat = x.reshape(-1, dims)
    w = None if weight is None else weight.reshape(-1)
    tw = None if weight is None else ccdl.tensor(weight)
    for bins, limits in ((4, None), ([2, 3, 4][:dims], None), (5, [(-1.0, 1.0), (0.0, 2.0), (-3.0, 1.0)][:dims])):
        edges_at = None if limits is None else [v for pair in limits for v in pair]
        hist, edges = ccdl.histogramdd(ccdl.tensor(x), bins, range=edges_at, weight=tw, density=density)
        expected, expected_edges = np.histogramdd(flat, bins, range=limits, weights=w, density=density)
        np.testing.assert_allclose(hist.numpy(), expected, atol=1e-12)
        for a, b in zip(edges, expected_edges):
            np.testing.assert_allclose(a.numpy(), b, atol=1e-12)
    given = [np.array([-2.0, -0.5, 1.0, 1.5])] * dims
    hist, edges = ccdl.histogramdd(ccdl.tensor(x), [ccdl.tensor(e) for e in given], weight=tw, density=density)
    np.testing.assert_allclose(hist.numpy(), np.histogramdd(flat, given, weights=w, density=density)[0], atol=1e-12)


def test_refusals() -> None:
    x = ccdl.ones(4, 2)
    for call in (
        lambda: ccdl.histogramdd(ccdl.ones(4, 2, dtype=ccdl.int64), 2),
        lambda: ccdl.histogramdd(ccdl.ones(4), 2),
        lambda: ccdl.histogramdd(x, [2]),
        lambda: ccdl.histogramdd(x, 0),
        lambda: ccdl.histogramdd(x, 2, range=[0.0, 1.0]),
        lambda: ccdl.histogramdd(x, 2, range=[1.0, 0.0, 0.0, 1.0]),
        lambda: ccdl.histogramdd(x * float("nan"), 2),
        lambda: ccdl.histogramdd(x, 2, weight=ccdl.ones(3)),
        lambda: ccdl.histogramdd(x, [ccdl.ones(1), ccdl.ones(3)]),
    ):
        with pytest.raises(RuntimeError, match="histogramdd"):
            call()
    for call in (lambda: ccdl.histogramdd(x, "2"), lambda: ccdl.histogramdd(x, [2, 1.5]),
                 lambda: ccdl.histogramdd([[1.0]], 2)):
        with pytest.raises(TypeError, match="histogramdd"):
            call()


def test_no_samples_lie_between_zero_and_one():
    counts, edges = ccdl.histogramdd(ccdl.zeros(0, 2), (2, 1))
    want, borders = np.histogramdd(np.zeros((0, 2)), (2, 1))
    assert counts.tolist() == want.tolist()
    assert [e.tolist() for e in edges] == [b.tolist() for b in borders]
