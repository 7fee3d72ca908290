"""Functions of ccdl.* written in Python, against NumPy and SciPy."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import scipy.signal

import ccdl
import ccdl.nn.functional as F

try:
    torch = importlib.import_module("torch")
except ImportError:
    torch = None


def t(x):
    return ccdl.tensor(np.asarray(x, dtype=np.float64))


@pytest.mark.parametrize("name", ["hann", "hamming", "blackman", "bartlett", "kaiser"])
@pytest.mark.parametrize("length", [0, 1, 2, 7, 16])
@pytest.mark.parametrize("periodic", [True, False])
def test_windows(name, length, periodic):
    kind = ("kaiser", 12.0) if name == "kaiser" else name
    want = scipy.signal.get_window(kind, length, fftbins=periodic) if length else np.empty(0)
    got = getattr(ccdl, f"{name}_window")(length, periodic, dtype=ccdl.float64)
    np.testing.assert_allclose(got.numpy(), want, atol=1e-12)
    assert getattr(ccdl, f"{name}_window")(length, periodic).dtype is ccdl.float32


def test_window_errors():
    with pytest.raises(RuntimeError, match="non-negative"):
        ccdl.hann_window(-1)
    with pytest.raises(RuntimeError, match="floating point"):
        ccdl.hann_window(3, dtype=ccdl.int64)
    with pytest.raises(TypeError):
        ccdl.hann_window(3, colour=1)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient(edge_order):
    x = np.random.default_rng(0).standard_normal((5, 6))
    for ours, want in zip(ccdl.gradient(t(x), edge_order=edge_order), np.gradient(x, edge_order=edge_order)):
        np.testing.assert_allclose(ours.numpy(), want, atol=1e-12)
    np.testing.assert_allclose(ccdl.gradient(t(x), spacing=0.5, dim=1, edge_order=edge_order)[0].numpy(), np.gradient(x, 0.5, axis=1, edge_order=edge_order))
    at = np.array([0.0, 0.5, 2.0, 2.5, 4.0])
    np.testing.assert_allclose(ccdl.gradient(t(x), spacing=(t(at),), dim=0, edge_order=edge_order)[0].numpy(), np.gradient(x, at, axis=0, edge_order=edge_order))
    for bad in (lambda: ccdl.gradient(t([1.0])), lambda: ccdl.gradient(t(x), edge_order=3), lambda: ccdl.gradient(t(x), spacing=(1.0,))):
        with pytest.raises(RuntimeError, match="gradient"):
            bad()


def test_unravel_index_and_vander_and_frexp():
    index = np.array([[0, 5], [11, 23]])
    for ours, want in zip(ccdl.unravel_index(ccdl.tensor(index), (2, 3, 4)), np.unravel_index(index, (2, 3, 4))):
        np.testing.assert_array_equal(ours.numpy(), want)
    for bad, kind in ((ccdl.tensor([24]), ValueError), (ccdl.tensor([-1]), ValueError), (ccdl.tensor([1.0]), TypeError), (3, TypeError)):
        with pytest.raises(kind):
            ccdl.unravel_index(bad, (2, 3, 4))
    x = np.array([1.0, -2.0, 3.0])
    for n in (None, 0, 1, 5):
        for increasing in (False, True):
            np.testing.assert_allclose(ccdl.vander(t(x), n, increasing).numpy(), np.vander(x, n, increasing))
    values = np.array([0.0, 1.0, -3.5, 0.1, 1e300, -1e-300, np.inf, np.nan, 0.5, 8.0])
    mantissa, exponent = ccdl.frexp(t(values))
    want = np.frexp(values)
    np.testing.assert_array_equal(mantissa.numpy(), want[0])
    np.testing.assert_array_equal(exponent.numpy()[np.isfinite(values)], want[1][np.isfinite(values)])


def test_histogram():
    x = np.random.default_rng(1).standard_normal(200)
    w = np.random.default_rng(2).random(200)
    for kwargs in ({"bins": 7}, {"bins": 5, "range": (-1.0, 2.0)}, {"bins": np.array([-1.0, 0.0, 0.25, 2.0])}, {"bins": 6, "density": True}):
        for weight in (None, w):
            want = np.histogram(x, weights=weight, **kwargs)
            ours = {k: t(v) if isinstance(v, np.ndarray) else v for k, v in kwargs.items()}
            got = ccdl.histogram(t(x), weight=None if weight is None else t(weight), **ours)
            np.testing.assert_allclose(got[0].numpy(), want[0], rtol=1e-10)
            np.testing.assert_allclose(got[1].numpy(), want[1], rtol=1e-12)


def test_in_place_forms_and_losses_are_the_methods_and_the_functional_ones():
    x = ccdl.ones(3)
    assert ccdl.zero_(x) is x and x.tolist() == [0, 0, 0]
    assert ccdl.fill_(x, 2).tolist() == [2, 2, 2] and ccdl.fill(x, 5).tolist() == [5] * 3 and x.tolist() == [2] * 3
    assert ccdl.index_put_(x, (ccdl.tensor([1]),), ccdl.tensor(7.0)).tolist() == [2, 7, 2]
    rng = np.random.default_rng(0)
    a, b, c = (t(rng.standard_normal((4, 3))) for _ in range(3))
    for reduction, number in (("none", 0), ("mean", 1), ("sum", 2)):
        np.testing.assert_array_equal(ccdl.triplet_margin_loss(a, b, c, reduction=number).numpy(), F.triplet_margin_loss(a, b, c, reduction=reduction).numpy())
    np.testing.assert_array_equal(ccdl.constant_pad_nd(a, (1, 2), 3.0).numpy(), np.pad(a.numpy(), ((0, 0), (1, 2)), constant_values=3.0))
    assert ccdl.scalar_tensor(3).dtype is ccdl.float32 and ccdl.scalar_tensor(3).shape == ()
    with pytest.warns(UserWarning, match="range"):
        assert ccdl.range(1, 3).tolist() == [1.0, 2.0, 3.0]
    assert ccdl.empty_permuted((2, 3, 4), (0, 2, 1)).stride() == (12, 1, 3)
    with pytest.raises(RuntimeError, match="imag"):
        ccdl.imag(a)
    assert ccdl.real(a) is a and ccdl.conj(a) is a and not ccdl.is_conj(a) and ccdl.isreal(a).all()


def test_low_rank_factorisations():
    rng = np.random.default_rng(0)
    low = rng.standard_normal((30, 4)) @ rng.standard_normal((4, 20))
    ccdl.manual_seed(0)
    for matrix in (low, low.T):
        u, s, v = ccdl.svd_lowrank(t(matrix), q=6)
        np.testing.assert_allclose((u * s @ v.mT).numpy(), matrix, atol=1e-9)
        np.testing.assert_allclose(s.numpy()[:4], np.linalg.svd(matrix, compute_uv=False)[:4], rtol=1e-9)
    _, s, _ = ccdl.pca_lowrank(t(low), q=4)
    np.testing.assert_allclose(s.numpy(), np.linalg.svd(low - low.mean(0), compute_uv=False)[:4], rtol=1e-9)
    packed, pivots = ccdl.lu(t(low[:5, :5] + np.eye(5)))
    p, lower, upper = ccdl.lu_unpack(packed, pivots)
    np.testing.assert_allclose((p @ lower @ upper).numpy(), low[:5, :5] + np.eye(5), atol=1e-10)
    np.testing.assert_allclose(ccdl.nuclear_norm(t(low)).item(), np.linalg.norm(low, "nuc"), rtol=1e-10)
    np.testing.assert_allclose(ccdl.frobenius_norm(t(low), (0, 1)).item(), np.linalg.norm(low), rtol=1e-10)


def test_methods_of_old_code():
    x = ccdl.ones(2, 3, dtype=ccdl.float64)
    assert x.new(4, 5).shape == (4, 5) and x.new(4).dtype is ccdl.float64 and x.new([1, 2.5]).tolist() == [1.0, 2.5] and x.new().numel() == 0
    assert x.new((2, 2)).tolist() == [2.0, 2.0] and x.new(x.shape).shape == (2, 3)
    m = ccdl.zeros(7, 3)
    want = np.zeros((7, 3))
    np.fill_diagonal(want, 5.0, wrap=True)
    np.testing.assert_array_equal(m.fill_diagonal_(5.0, wrap=True).numpy(), want)
    np.testing.assert_array_equal(ccdl.zeros(3, 3, 3).fill_diagonal_(1).nonzero().numpy(), [[0, 0, 0], [1, 1, 1], [2, 2, 2]])
    with pytest.raises(RuntimeError, match="equal length"):
        ccdl.zeros(2, 3, 2).fill_diagonal_(1)
    y = ccdl.zeros(3, 3, requires_grad=True)
    z = y * 2
    z.fill_diagonal_(1)
    z.sum().backward()
    np.testing.assert_array_equal(y.grad.numpy(), 2 * (1 - np.eye(3)))
    assert ccdl.tensor([2.0]).is_nonzero() and not ccdl.is_nonzero(ccdl.tensor(0))
    with pytest.raises(RuntimeError, match="ambiguous"):
        ccdl.ones(2).is_nonzero()
    assert ccdl.ones(2, 3).swapaxes_(0, 1).shape == (3, 2)
    assert ccdl.tensor([0.2, -2.0]).hardshrink().tolist() == [0.0, -2.0]
    assert ccdl.tensor([1.0, 2.0]).map_(ccdl.tensor([3.0, 4.0]), lambda a, b: a * b).tolist() == [3.0, 8.0]
    np.testing.assert_allclose(ccdl.tensor([2.0]).double().float_power_(3).item(), 8)


def test_default_tensor_type():
    try:
        ccdl.set_default_tensor_type(ccdl.DoubleTensor)
        assert ccdl.get_default_dtype() is ccdl.float64
        ccdl.set_default_tensor_type("torch.FloatTensor")
        assert ccdl.get_default_dtype() is ccdl.float32
    finally:
        ccdl.set_default_dtype(ccdl.float32)
    with pytest.raises(TypeError, match="set_default_tensor_type"):
        ccdl.set_default_tensor_type("torch.cuda.FloatTensor")


def test_deprecated_initialisers_warn():
    with pytest.warns(FutureWarning, match="xavier_uniform_"):
        ccdl.nn.init.xavier_uniform(ccdl.empty(3, 3))


@pytest.mark.parametrize("name", ["hann_window", "unravel_index", "vander", "frexp", "histogram", "gradient", "ctc_loss", "triplet_margin_loss", "lu_unpack"])
def test_pytorch_has_these_names(name):
    if torch is None:
        pytest.skip("PyTorch is not installed")
    assert callable(getattr(torch, name)) and callable(getattr(ccdl, name))


def test_a_large_factorisation_can_be_interrupted():
    import os
    import signal
    import threading
    import time

    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    x = ccdl.randn(900, 900)
    timer.start()
    start = time.time()
    with pytest.raises(KeyboardInterrupt):
        ccdl.linalg.svd(x)
        time.sleep(5)
    assert time.time() - start < 3
    np.testing.assert_array_equal(ccdl.linalg.svdvals(ccdl.eye(3)).numpy(), 1)


def test_sizes_add_in_any_order() -> None:
    size = ccdl.Size([2, 3])
    for joined in ((1,) + size, size + (1,), size + size, () + size):
        assert type(joined) is ccdl.Size
    assert (1,) + size == (1, 2, 3)
    for other in ([1], 1):
        with pytest.raises(TypeError):
            size + other  # type: ignore[operator]
    assert (size + np.array([1, 2])).tolist() == [3, 5]


def test_new_makes_the_sizes_it_is_given() -> None:
    x = ccdl.ones(2)
    assert x.new(ccdl.Size([])).shape == () and x.new(ccdl.Size([3, 4])).shape == (3, 4)
    assert x.new(3, 4).shape == (3, 4) and x.new().shape == (0,)
