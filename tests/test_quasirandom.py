"""The Sobol sequence against SciPy's, and what scrambling must keep of it."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
from ccdl.quasirandom import SobolEngine

qmc = pytest.importorskip("scipy.stats.qmc", reason="SciPy is not installed")


@pytest.mark.parametrize("dimension", [1, 2, 3, 40, 1111, 21201])
def test_points_are_the_published_ones(dimension: int) -> None:
    expected = qmc.Sobol(dimension, scramble=False, bits=30).random(16)
    got = SobolEngine(dimension).draw(16, dtype=ccdl.float64)
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("scramble", [False, True])
def test_pieces_are_the_whole(scramble: bool) -> None:
    whole = SobolEngine(7, scramble, seed=3).draw(200, dtype=ccdl.float64)
    engine = SobolEngine(7, scramble, seed=3)
    at = 0
    for n in (1, 1, 5, 32, 64, 31, 3):
        assert ccdl.equal(engine.draw(n, dtype=ccdl.float64), whole[at:at + n]), at
        at += n
    assert engine.fast_forward(10).num_generated == at + 10
    assert ccdl.equal(engine.draw(dtype=ccdl.float64), whole[at + 10:at + 11])
    assert ccdl.equal(engine.reset().draw(3, dtype=ccdl.float64), whole[:3])


def test_a_scrambled_sequence_stays_stratified() -> None:
    a = SobolEngine(6, scramble=True, seed=5).draw(1024, dtype=ccdl.float64).numpy()
    b = SobolEngine(6, scramble=True, seed=6).draw(1024, dtype=ccdl.float64).numpy()
    assert not np.array_equal(a, b) and (a >= 0).all() and (a < 1).all()
    for points in (a, b):  # one point per interval of 2^-10 in each dimension
        for column in points.T:
            assert len(np.unique((column * 1024).astype(int))) == 1024
        assert qmc.discrepancy(points) < 1e-4
    c = SobolEngine(6, scramble=True, seed=5).draw(1024, dtype=ccdl.float64).numpy()
    np.testing.assert_array_equal(a, c)


def test_dtype_out_and_text() -> None:
    engine = SobolEngine(3, scramble=True, seed=1)
    assert engine.draw(2).dtype == ccdl.float32 and engine.draw(2, dtype=ccdl.float16).dtype == ccdl.float16
    out = ccdl.empty(0)
    assert engine.draw(4, out=out) is out and out.shape == (4, 3)
    assert repr(engine) == "SobolEngine(dimension=3, scramble=True, seed=1)"
    assert repr(SobolEngine(2)) == "SobolEngine(dimension=2)"


def test_refusals() -> None:
    for bad in (0, -1, SobolEngine.MAXDIM + 1):
        with pytest.raises(ValueError, match="Supported range of dimensionality"):
            SobolEngine(bad)
    with pytest.raises(TypeError, match="dimension"):
        SobolEngine("2")  # type: ignore[arg-type]
    engine = SobolEngine(2)
    with pytest.raises(ValueError, match="n is 0"):
        engine.draw(0)
    engine.draw_base2(2)
    with pytest.raises(ValueError, match="power of 2"):
        engine.draw_base2(3)
    assert engine.draw_base2(2).shape == (4, 2)
