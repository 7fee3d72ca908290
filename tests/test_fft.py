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
