"""Fourier transforms against NumPy's."""

from __future__ import annotations

import pytest

import ccdl

np = pytest.importorskip("numpy")
LENGTHS = [1, 2, 3, 5, 8, 12, 64, 65, 67, 97, 100, 128, 210, 256, 1000, 1021, 1024, 1536]


def real(*shape, seed=0):
    return ccdl.from_numpy(np.random.RandomState(seed).randn(*shape))


def numbers(*shape, seed=0):
    return ccdl.complex(real(*shape, seed=seed), real(*shape, seed=seed + 1))


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
def test_one_dimension(n, norm):
    x, z = real(2, n), numbers(2, n)
    scale = max(n, 1) ** 0.5
    for got, want in [(ccdl.fft.fft(x, norm=norm), np.fft.fft(x.numpy(), norm=norm)), (ccdl.fft.fft(z, norm=norm), np.fft.fft(z.numpy(), norm=norm)),
                      (ccdl.fft.ifft(z, norm=norm), np.fft.ifft(z.numpy(), norm=norm)), (ccdl.fft.rfft(x, norm=norm), np.fft.rfft(x.numpy(), norm=norm)),
                      (ccdl.fft.irfft(z, n=n, norm=norm), np.fft.irfft(z.numpy(), n=n, norm=norm))]:  # fmt: skip
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-13 * scale * max(1.0, abs(want).max()))
    assert ccdl.allclose(ccdl.fft.irfft(ccdl.fft.rfft(x, norm=norm), n=n, norm=norm), x, rtol=1e-12, atol=1e-12)


def test_lengths_dimensions_and_dtypes():
    x, z = real(3, 10, 4), numbers(3, 10, 4)
    for n in (4, 10, 13):
        np.testing.assert_allclose(ccdl.fft.fft(x, n, dim=1).numpy(), np.fft.fft(x.numpy(), n, axis=1), atol=1e-12)
        np.testing.assert_allclose(ccdl.fft.rfft(x, n, dim=-2).numpy(), np.fft.rfft(x.numpy(), n, axis=1), atol=1e-12)
        np.testing.assert_allclose(ccdl.fft.irfft(z, n, dim=1).numpy(), np.fft.irfft(z.numpy(), n, axis=1), atol=1e-12)
    for got, want in [(ccdl.fft.fft2(x), np.fft.fft2(x.numpy())), (ccdl.fft.ifft2(z), np.fft.ifft2(z.numpy())), (ccdl.fft.fftn(z), np.fft.fftn(z.numpy())),
                      (ccdl.fft.ifftn(z, dim=(0, 2)), np.fft.ifftn(z.numpy(), axes=(0, 2))), (ccdl.fft.fftn(x, s=(5, 6)), np.fft.fftn(x.numpy(), s=(5, 6), axes=(1, 2))),
                      (ccdl.fft.rfft2(x, norm="ortho"), np.fft.rfft2(x.numpy(), norm="ortho")), (ccdl.fft.irfft2(z, s=(10, 7)), np.fft.irfft2(z.numpy(), s=(10, 7))),
                      (ccdl.fft.fftshift(x), np.fft.fftshift(x.numpy())), (ccdl.fft.ifftshift(z, 1), np.fft.ifftshift(z.numpy(), 1)),
                      (ccdl.fft.fftfreq(7, 0.5, dtype=ccdl.float64), np.fft.fftfreq(7, 0.5)), (ccdl.fft.fftfreq(8, dtype=ccdl.float64), np.fft.fftfreq(8)),
                      (ccdl.fft.rfftfreq(7, dtype=ccdl.float64), np.fft.rfftfreq(7))]:  # fmt: skip
        assert tuple(got.shape) == want.shape
        np.testing.assert_allclose(got.numpy(), want, atol=1e-12)
    y = ccdl.fft.fft(x.float())
    assert y.dtype is ccdl.complex64 and ccdl.fft.fft(ccdl.arange(4)).dtype is ccdl.complex64
    np.testing.assert_allclose(y.numpy(), np.fft.fft(x.float().numpy()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [5, 6, 66])
def test_gradients(n):
    x = real(n).requires_grad_()
    parts = real(n, 2).requires_grad_()
    assert ccdl.autograd.gradcheck(lambda t: ccdl.view_as_real(ccdl.fft.fft(t)), (x,))
    assert ccdl.autograd.gradcheck(lambda t: ccdl.fft.irfft(ccdl.fft.rfft(t), n=n + 1), (x,))
    assert ccdl.autograd.gradcheck(lambda t: ccdl.view_as_real(ccdl.fft.ifft(ccdl.view_as_complex(t))), (parts,))


@pytest.mark.parametrize("call, error", [
    (lambda: ccdl.fft.fft(ccdl.tensor(1.0)), IndexError), (lambda: ccdl.fft.fft(ccdl.ones(3), dim=1), IndexError), (lambda: ccdl.fft.fft(ccdl.ones(3), n=0), RuntimeError),
    (lambda: ccdl.fft.fft(ccdl.ones(3), norm="none"), RuntimeError), (lambda: ccdl.fft.fft(None), TypeError), (lambda: ccdl.fft.fft(ccdl.ones(3).half()), RuntimeError),
    (lambda: ccdl.fft.rfft(numbers(3)), RuntimeError), (lambda: ccdl.fft.irfft(numbers(1)), RuntimeError), (lambda: ccdl.fft.fftn(ccdl.ones(2, 2), dim=(0, 0)), RuntimeError),
    (lambda: ccdl.fft.fft2(ccdl.ones(2, 2), s=(2,)), RuntimeError), (lambda: ccdl.fft.fft(ccdl.ones(0)), RuntimeError), (lambda: ccdl.fft.irfft(numbers(3), dim=4), IndexError),
])  # fmt: skip
def test_errors(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("n", [7, 64, 80, 256, 257, 300, 512, 2048, 2310])
def test_real_spectra_of_single_precision(n):
    x, z = real(3, n).float(), numbers(3, n // 2 + 1)
    want = np.fft.rfft(x.numpy().astype(np.float64))
    np.testing.assert_allclose(ccdl.fft.rfft(x).numpy(), want, rtol=1e-5, atol=2e-6 * n**0.5)
    half = ccdl.complex(z.real.float(), z.imag.float())
    want = np.fft.irfft(half.numpy().astype(np.complex128), n)
    np.testing.assert_allclose(ccdl.fft.irfft(half, n).numpy(), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [80, 257, 300, 2310])
def test_gradients_are_those_of_the_transform(n):
    """Of <g, F x>: F is linear, so that its gradient is the transposed transform of g."""
    x, g = real(n).requires_grad_(), numbers(n // 2 + 1, seed=3)
    (ccdl.view_as_real(ccdl.fft.rfft(x)) * ccdl.view_as_real(g)).sum().backward()
    padded = np.concatenate([g.numpy(), np.zeros(n - n // 2 - 1)])
    np.testing.assert_allclose(x.grad.numpy(), np.fft.fft(padded.conj()).real, atol=1e-10 * n)
    parts = ccdl.view_as_real(g).clone().requires_grad_()
    w = real(n, seed=5)
    (ccdl.fft.irfft(ccdl.view_as_complex(parts), n) * w).sum().backward()
    want = np.fft.rfft(w.numpy()) / n
    want[1 : (n + 1) // 2] *= 2
    np.testing.assert_allclose(parts.grad.numpy(), np.stack([want.real, want.imag], -1), atol=1e-12 * n)
    assert parts.grad[0, 1].item() == 0 and (n % 2 == 1 or parts.grad[-1, 1].item() == 0)


def test_matrices_made_in_inference_mode_serve_training():
    with ccdl.inference_mode():
        ccdl.fft.rfft(ccdl.ones(2, 61)), ccdl.fft.fft(ccdl.ones(2, 620))
    x, y = ccdl.ones(2, 61).requires_grad_(), ccdl.ones(2, 620).requires_grad_()
    ccdl.fft.rfft(x).real.sum().backward()
    ccdl.fft.fft(y).real.sum().backward()
    assert x.grad.shape == (2, 61) and y.grad.shape == (2, 620)


def test_autocast_keeps_single_precision():
    x = real(2, 100).float()
    with ccdl.autocast("cpu", dtype=ccdl.bfloat16):
        y = ccdl.fft.fft(x)
        assert y.dtype is ccdl.complex64 and ccdl.equal(y.real, ccdl.fft.fft(x).real)
    np.testing.assert_allclose(y.numpy(), np.fft.fft(x.numpy()), rtol=1e-4, atol=1e-4)


def test_no_lines():
    assert ccdl.fft.rfft(ccdl.ones(0, 300)).shape == (0, 151) and ccdl.fft.fft(ccdl.ones(0, 5)).shape == (0, 5)
    assert ccdl.fft.irfft(numbers(0, 151), n=300).shape == (0, 300)


POWERS = [2**k for k in range(9, 21)]
MIXED = [331, 337, 1000, 1009, 1021, 1031, 2310, 3 * 4096, 5000, 2 * 5003, 10007, 30030, 65537]


def rms(got, want):
    return np.sqrt((abs(got - want) ** 2).mean() / (abs(want) ** 2).mean())


@pytest.mark.parametrize("dtype, unit", [("float32", 6e-8), ("float64", 1.2e-16)])
@pytest.mark.parametrize("lengths", [range(1, 151), range(151, 301), MIXED, POWERS], ids=["short", "longer", "mixed", "powers"])
def test_every_length_is_as_exact_as_its_dtype(lengths, dtype, unit):
    """One line, a block that is not full, more than one: relative rms error of a unit for each factor of 2."""
    r = np.random.RandomState(7)
    for n in lengths:
        bound = unit * (np.log2(n) + 2)
        for rows in (1, 3, 35) if n <= 300 else (1, 3) if n < 70000 else (1,):
            x = r.randn(rows, n).astype(dtype)
            parts = r.randn(rows, n, 2).astype(dtype)
            z = ccdl.view_as_complex(ccdl.from_numpy(parts))
            wide, wz = x.astype(np.float64), parts[..., 0].astype(np.float64) + 1j * parts[..., 1].astype(np.float64)
            h = n // 2 + 1
            t = ccdl.from_numpy(x)
            for name, got, want in [("fft", ccdl.fft.fft(z), np.fft.fft(wz)), ("ifft", ccdl.fft.ifft(z), np.fft.ifft(wz)), ("rfft", ccdl.fft.rfft(t), np.fft.rfft(wide)), ("fft of real", ccdl.fft.fft(t), np.fft.fft(wide)),
                                    ("irfft", ccdl.fft.irfft(z[:, :h], n), np.fft.irfft(wz[:, :h], n)), ("hfft", ccdl.fft.hfft(z[:, :h], n), np.fft.hfft(wz[:, :h], n))]:  # fmt: skip
                assert rms(got.numpy(), want) <= bound, (name, n, rows, rms(got.numpy(), want), bound)


@pytest.mark.parametrize("inner", [1, 2, 5, 16, 33])
def test_cut_and_filled_lines_of_any_dimension(inner):
    r = np.random.RandomState(8)
    for m in (1, 2, 7, 20, 37, 64, 100, 700):
        x, parts = r.randn(3, m, inner), r.randn(3, m, inner, 2)
        z, wz = ccdl.view_as_complex(ccdl.from_numpy(parts)), parts[..., 0] + 1j * parts[..., 1]
        for n in {max(1, m - 3), m, m + 5, 2 * m}:
            for got, want in [(ccdl.fft.fft(z, n, 1), np.fft.fft(wz, n, 1)), (ccdl.fft.ifft(z, n, 1), np.fft.ifft(wz, n, 1)), (ccdl.fft.rfft(ccdl.from_numpy(x), n, 1), np.fft.rfft(x, n, 1)),
                              (ccdl.fft.irfft(z, n, 1), np.fft.irfft(wz, n, 1)), (ccdl.fft.ihfft(ccdl.from_numpy(x), n, 1), np.fft.ihfft(x, n, 1)),
                              (ccdl.fft.fft(ccdl.from_numpy(x), n, 1), np.fft.fft(x, n, 1)), (ccdl.fft.ifft(ccdl.from_numpy(x), n, 1), np.fft.ifft(x, n, 1))]:  # fmt: skip
                assert tuple(got.shape) == want.shape
                np.testing.assert_allclose(got.numpy(), want, rtol=1e-12, atol=1e-13 * n)


@pytest.mark.parametrize("n", [1, 2, 5, 31, 74, 256, 257, 1200, 2018, 4096])
@pytest.mark.parametrize("cut", [-2, 0, 3])
def test_the_gradient_is_the_transposed_map(n, cut):
    """<F x, g> = <x, F^T g> for lines that are cut or filled, in one block and one by one."""
    m = max(1, n + cut)
    for rows in (1, 40):
        for kind, x, call in [("fft", real(rows, m, 2), lambda t: ccdl.view_as_real(ccdl.fft.fft(ccdl.view_as_complex(t), n, norm="ortho"))),
                              ("rfft", real(rows, m), lambda t: ccdl.view_as_real(ccdl.fft.rfft(t, n, norm="ortho"))),
                              ("ifft of real", real(rows, m), lambda t: ccdl.view_as_real(ccdl.fft.ifft(t, n, norm="ortho"))),
                              ("irfft", real(rows, m // 2 + 1, 2), lambda t: ccdl.fft.irfft(ccdl.view_as_complex(t), n, norm="ortho")),
                              ("hfft", real(rows, m // 2 + 1, 2), lambda t: ccdl.fft.hfft(ccdl.view_as_complex(t), n, norm="ortho"))]:  # fmt: skip
            x.requires_grad_()
            y = call(x)
            g = real(*y.shape, seed=2)
            (y * g).sum().backward()
            v = real(*x.shape, seed=3)
            want, got = (call(v) * g).sum().item(), (x.grad * v).sum().item()
            assert abs(got - want) < 1e-10 * rows * n, (kind, rows, got, want)
            if rows == 1 and n <= 74:
                assert ccdl.autograd.gradgradcheck(call, (x.detach()[:, :9].requires_grad_(),))


@pytest.mark.parametrize("n", [6, 61, 200, 257])
def test_the_products_of_matrices_agree(n):
    """What a CUDA device runs."""
    from ccdl._fourier import transform

    x, half, z = real(3, n, 1), real(3, n // 2 + 1, 2), real(3, n, 2)
    kept = dict(rtol=1e-11, atol=1e-11)
    assert ccdl.allclose(transform(x, n, -1, 0.5, out="half"), ccdl.view_as_real(ccdl.fft.rfft(x[..., 0])) * 0.5, **kept)
    assert ccdl.allclose(transform(half, n, 1, 1 / n, half=True, out="real"), ccdl.fft.irfft(ccdl.view_as_complex(half), n), **kept)
    assert ccdl.allclose(transform(z, n, -1, 1.0), ccdl.view_as_real(ccdl.fft.fft(ccdl.view_as_complex(z))), **kept)


@pytest.mark.parametrize("call, error, words", [
    (lambda: ccdl._C._fft(ccdl.ones(3, 2), 0, -1, 0, 3, False, 1.0), ValueError, "data points (-1)"),
    (lambda: ccdl._C._fft(ccdl.ones(3, 2), 0, 2**62, 0, 3, False, 1.0), ValueError, "data points"),
    (lambda: ccdl._C._fft(ccdl.ones(3, 2), 0, 3, 0, -1, False, 1.0), ValueError, "count"),
    (lambda: ccdl._C._fft(ccdl.ones(3, 2), 5, 3, 0, 3, False, 1.0), ValueError, "kind"),
    (lambda: ccdl._C._fft(ccdl.ones(3, 3), 0, 3, 0, 3, False, 1.0), RuntimeError, "dimension of 2"),
    (lambda: ccdl._C._fft(ccdl.ones(3, 2), 0, 3, 1, 3, False, 1.0), IndexError, "range"),
    (lambda: ccdl._C._fft(ccdl.ones(3, dtype=ccdl.int64), 1, 3, 0, 3, False, 1.0), RuntimeError, "int64"),
    (lambda: ccdl._C._fft(ccdl.tensor(1.0), 1, 3, 0, 3, False, 1.0), IndexError, "dimension"),
    (lambda: ccdl.fft.fft(ccdl.ones(3), n=2**60), ValueError, "64 bits"), (lambda: ccdl.fft.fft(ccdl.ones(3), n=2**50), MemoryError, ""),
    (lambda: ccdl.fft.irfft(numbers(3), n=2**62), (ValueError, MemoryError), ""),
    (lambda: ccdl.fft.rfft(ccdl.ones(3), n=-4), RuntimeError, "(-4)"),
    (lambda: ccdl.fft.fft(ccdl.ones(3), n=2.5), TypeError, ""),
    (lambda: ccdl.fft.ihfft(numbers(3)), RuntimeError, "real"),
])  # fmt: skip
def test_hostile_arguments(call, error, words):
    with pytest.raises(error) as raised:
        call()
    assert words in str(raised.value)
    assert ccdl.fft.fft(ccdl.ones(4)).real.tolist() == [4, 0, 0, 0]


def test_threads_share_the_tables():
    """Tables are made, kept and dropped by many threads at once."""
    import threading

    failures = []

    def work(seed):
        r = np.random.RandomState(seed)
        for n in r.randint(2, 900, 60):
            x = r.randn(2, n)
            if not np.allclose(ccdl.fft.rfft(ccdl.from_numpy(x)).numpy(), np.fft.rfft(x), atol=1e-10):
                failures.append(n)

    threads = [threading.Thread(target=work, args=(s,)) for s in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
