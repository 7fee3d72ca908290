"""ccdl.signal.windows against SciPy's windows of the same names."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal.windows as reference

import ccdl
from ccdl.signal import windows

CASES = [("bartlett", {}, {}), ("blackman", {}, {}), ("cosine", {}, {}), ("exponential", {"tau": 2.5}, {"tau": 2.5}), ("gaussian", {"std": 1.7}, {"std": 1.7}),
         ("general_cosine", {"a": [0.46, 0.23, 0.31]}, {"a": [0.46, 0.23, 0.31]}), ("general_hamming", {"alpha": 0.7}, {"alpha": 0.7}), ("hamming", {}, {}),
         ("hann", {}, {}), ("kaiser", {"beta": 5.0}, {"beta": 5.0}), ("nuttall", {}, {}), ("kaiser", {}, {"beta": 12.0}), ("gaussian", {}, {"std": 1.0})]


@pytest.mark.parametrize(("name", "ours", "theirs"), CASES)
@pytest.mark.parametrize("sym", [True, False])
@pytest.mark.parametrize("M", [0, 1, 2, 3, 10, 33])
def test_windows_are_scipys(name, ours, theirs, sym, M):
    expected = np.asarray(getattr(reference, name)(M, sym=sym, **theirs))
    made = getattr(windows, name)(M, sym=sym, dtype=ccdl.float64, **ours)
    assert made.dtype == ccdl.float64 and made.shape == (M,)
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-12, atol=1e-12)
    single = getattr(windows, name)(M, sym=sym, **ours)
    assert single.dtype == ccdl.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=2e-7, atol=1e-7)


def test_a_center_needs_a_window_that_is_not_symmetric():
    np.testing.assert_allclose(windows.exponential(6, center=1.0, tau=2.0, sym=False).numpy(), np.exp(-np.abs(np.arange(6) - 1) / 2), rtol=1e-6)
    with pytest.raises(ValueError, match="Center"):
        windows.exponential(5, center=2.0)


def test_options_and_errors():
    assert windows.hann(5, requires_grad=True).requires_grad
    assert windows.hann(5, layout=ccdl.strided, device="cpu").tolist() == [0.0, 0.5, 1.0, 0.5, 0.0]
    for bad in (ccdl.int64, ccdl.float16, ccdl.bfloat16):
        with pytest.raises(ValueError, match="float32 or float64"):
            windows.hann(5, dtype=bad)
    for name, *_ in CASES:
        options = {"a": [1.0]} if name == "general_cosine" else {}
        with pytest.raises(ValueError, match="M=-1"):
            getattr(windows, name)(-1, **options)
        with pytest.raises(TypeError, match="float"):
            getattr(windows, name)(2.5, **options)
    for call in (lambda: windows.gaussian(5, std=0), lambda: windows.kaiser(5, beta=-1), lambda: windows.exponential(5, tau=0),
                 lambda: windows.general_cosine(5, a=[])):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(TypeError, match="Coefficients"):
        windows.general_cosine(5, a=1)
