"""Short-time Fourier transforms, transforms over several dimensions, and tensors of complex dtype."""

from __future__ import annotations

import pytest

import ccdl

np = pytest.importorskip("numpy")


def real(*shape, seed=0):
    return ccdl.from_numpy(np.random.RandomState(seed).randn(*shape))


def frames(x, n_fft, hop, window, center, mode="reflect"):
    """Of one signal: the frames, windowed."""
    if center:
        x = np.pad(x, n_fft // 2, mode=mode)
    left = (n_fft - len(window)) // 2
    whole = np.zeros(n_fft)
    whole[left:left + len(window)] = window
    return np.stack([x[m:m + n_fft] * whole for m in range(0, len(x) - n_fft + 1, hop)])


@pytest.mark.parametrize("n_fft,hop,win", [(16, 4, 16), (16, 5, 10), (15, 3, 15), (80, 20, 80)])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("normalized", [True, False])
def test_stft_is_the_transform_of_windowed_frames(n_fft, hop, win, center, normalized):
    x, window = real(2, 200), ccdl.hann_window(win, dtype=ccdl.float64)
    norm = "ortho" if normalized else None
    for onesided in (None, True, False):
        z = ccdl.stft(x, n_fft, hop, win, window, center, normalized=normalized, onesided=onesided, return_complex=True)
        for row in range(2):
            cut = frames(x[row].numpy(), n_fft, hop, window.numpy(), center)
            want = (np.fft.fft if onesided is False else np.fft.rfft)(cut, norm=norm).T
            np.testing.assert_allclose(z[row].numpy(), want, rtol=1e-11, atol=1e-11)
    one = x[0].stft(n_fft, hop_length=hop, win_length=win, window=window, center=center, normalized=normalized, return_complex=False)
    np.testing.assert_allclose(ccdl.view_as_complex(one).numpy(), ccdl.stft(x, n_fft, hop, win, window, center, "reflect", normalized, return_complex=True)[0].numpy())


@pytest.mark.parametrize("n_fft,hop,win", [(8, 4, 4), (8, 2, 4), (16, 5, 10), (9, 3, 4), (8, 3, 8)])
def test_stft_aligned_to_the_window(n_fft, hop, win):
    """The first window begins at the first sample: the samples of frame m are x[m hop : m hop + win]."""
    x, window = real(2, 61), ccdl.hann_window(win, dtype=ccdl.float64)
    call = dict(hop_length=hop, win_length=win, window=window, center=False, return_complex=True)
    got = ccdl.stft(x, n_fft, align_to_window=True, **call)
    left = (n_fft - win) // 2
    wanted = []
    for signal in x.numpy():
        rows = np.stack([signal[m:m + win] * window.numpy() for m in range(0, 61 - win + 1, hop)])
        wanted.append(np.fft.rfft(np.pad(rows, ((0, 0), (left, n_fft - win - left)))).T)
    np.testing.assert_allclose(got.numpy(), np.stack(wanted), rtol=1e-12, atol=1e-12)
    plain = ccdl.stft(x, n_fft, align_to_window=False, **call)
    np.testing.assert_array_equal(plain.numpy(), ccdl.stft(x, n_fft, **call).numpy())
    np.testing.assert_array_equal(x.stft(n_fft, align_to_window=True, **call).numpy(), got.numpy())
    with pytest.raises(RuntimeError, match="center"):
        ccdl.stft(x, n_fft, return_complex=True, align_to_window=True)


def test_stft_of_complex_numbers_and_other_padding():
    z = ccdl.complex(real(50), real(50, seed=1))
    got = ccdl.stft(z, 8, pad_mode="constant")
    want = np.fft.fft(frames(z.numpy(), 8, 2, np.ones(8), True, "constant")).T
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-11, atol=1e-11)
    x = ccdl.ones(1, 9)
    assert ccdl.stft(x, 4, return_complex=True).shape == (1, 3, 10) and ccdl.stft(x, 4, return_complex=False).shape == (1, 3, 10, 2)


@pytest.mark.parametrize("onesided", [True, False])
@pytest.mark.parametrize("n_fft,hop,win", [(16, 4, 16), (12, 3, 8), (15, 5, 15)])
def test_istft_undoes_stft(n_fft, hop, win, onesided):
    x, window = real(3, 120), ccdl.hamming_window(win, dtype=ccdl.float64)
    options = dict(n_fft=n_fft, hop_length=hop, win_length=win, window=window, onesided=onesided)
    for normalized in (True, False):
        z = ccdl.stft(x, normalized=normalized, return_complex=True, **options)
        back = ccdl.istft(z, normalized=normalized, length=120, **options)
        assert back.shape == x.shape
        np.testing.assert_allclose(back.numpy(), x.numpy(), rtol=1e-10, atol=1e-10)
        np.testing.assert_allclose(z[0].istft(normalized=normalized, **options).numpy(), x[0, :hop * (z.shape[-1] - 1)].numpy() if n_fft % 2 == 0
                                   else x[0, :hop * (z.shape[-1] - 1) + 1].numpy(), rtol=1e-10, atol=1e-10)  # fmt: skip
    c = ccdl.complex(x[0], x[1])
    options["onesided"] = False
    back = ccdl.istft(ccdl.stft(c, **options), length=120, return_complex=True, **options)
    np.testing.assert_allclose(back.numpy(), c.numpy(), rtol=1e-10, atol=1e-10)
    if win < n_fft:  # the last samples have no weight
        with pytest.raises(RuntimeError, match="window overlap add min"):
            ccdl.istft(z, length=140, **{**options, "onesided": onesided})
        return
    with pytest.warns(UserWarning, match="padded with zeros"):
        assert ccdl.istft(z, length=140, **{**options, "onesided": onesided})[:, -5:].abs().sum().item() == 0


def test_spectral_gradients():
    x = real(24).requires_grad_()
    window = ccdl.hann_window(8, dtype=ccdl.float64).requires_grad_()
    assert ccdl.autograd.gradcheck(lambda t, w: ccdl.stft(t, 8, 3, window=w, return_complex=False), (x, window))
    parts = real(5, 6, 2).requires_grad_()
    assert ccdl.autograd.gradcheck(lambda t: ccdl.istft(ccdl.view_as_complex(t), 8, 3, window=window.detach() + 1), (parts,))


@pytest.mark.parametrize("call,error", [
    (lambda x: ccdl.stft(x, 8), RuntimeError), (lambda x: ccdl.stft(x, 0, return_complex=True), RuntimeError), (lambda x: ccdl.stft(None, 8), TypeError),
    (lambda x: ccdl.stft(x, 90, return_complex=True, center=False), RuntimeError), (lambda x: ccdl.stft(x, 8, 0, return_complex=True), RuntimeError),
    (lambda x: ccdl.stft(x, 8, 2, 9, return_complex=True), RuntimeError), (lambda x: ccdl.stft(x, 8, window=ccdl.ones(7), return_complex=True), RuntimeError),
    (lambda x: ccdl.stft(x.long(), 8, return_complex=True), RuntimeError), (lambda x: ccdl.stft(ccdl.ones(1, 2, 3), 2, return_complex=True), RuntimeError),
    (lambda x: ccdl.istft(x, 8), RuntimeError), (lambda x: ccdl.istft(ccdl.complex(x, x), 8), RuntimeError),
    (lambda x: ccdl.istft(ccdl.stft(x, 8, return_complex=True), 7), RuntimeError), (lambda x: ccdl.stft(x, 8, window=[1.0], return_complex=True), TypeError),
    (lambda x: ccdl.istft(ccdl.stft(x, 8, return_complex=True), 8, window=ccdl.zeros(8)), RuntimeError),
])  # fmt: skip
def test_spectral_errors(call, error):
    with pytest.raises(error):
        call(ccdl.ones(80))


def test_several_dimensions():
    x = real(4, 5, 6)
    np.testing.assert_allclose(ccdl.fft.rfftn(x).numpy(), np.fft.rfftn(x.numpy()), atol=1e-12)
    np.testing.assert_allclose(ccdl.fft.rfftn(x, s=(3, 7), dim=(0, 2), norm="ortho").numpy(), np.fft.rfftn(x.numpy(), s=(3, 7), axes=(0, 2), norm="ortho"), atol=1e-12)
    z = ccdl.fft.rfftn(x)
    np.testing.assert_allclose(ccdl.fft.irfftn(z).numpy(), x.numpy(), atol=1e-12)
    np.testing.assert_allclose(ccdl.fft.irfftn(z, s=(4, 5, 5), dim=(0, 1, 2)).numpy(), np.fft.irfftn(z.numpy(), s=(4, 5, 5), axes=(0, 1, 2)), atol=1e-12)
    for norm in (None, "ortho", "forward"):
        np.testing.assert_allclose(ccdl.fft.hfft(z, 9, norm=norm).numpy(), np.fft.hfft(z.numpy(), 9, norm=norm), atol=1e-11)
        np.testing.assert_allclose(ccdl.fft.ihfft(x, norm=norm).numpy(), np.fft.ihfft(x.numpy(), norm=norm), atol=1e-12)


def test_tensors_of_complex_dtype():
    for kind, part in ((ccdl.complex64, ccdl.float32), (ccdl.cdouble, ccdl.float64)):
        assert ccdl.zeros(2, 3, dtype=kind).tolist() == [[0j] * 3] * 2 and ccdl.ones((2,), dtype=kind).tolist() == [1 + 0j] * 2
        assert ccdl.tensor([1 + 2j, 3], dtype=kind).tolist() == [1 + 2j, 3 + 0j] and ccdl.full((2,), 1j, dtype=kind).tolist() == [1j, 1j]
        z = ccdl.randn(20000, dtype=kind)
        assert z.dtype is kind and z.real.dtype is part and abs(z.abs().square().mean().item() - 1) < 0.05 and abs(z.real.std().item() - 0.5**0.5) < 0.02
        u = ccdl.rand(1000, 2, dtype=kind, requires_grad=True)
        assert u.requires_grad and 0 <= u.imag.min().item() < u.imag.max().item() < 1 and not ccdl.equal(u.real, u.imag)
        x = ccdl.ones(3)
        assert x.to(kind).dtype is kind and x.to(dtype=kind).tolist() == [1 + 0j] * 3 and x.new_zeros(2, dtype=kind).dtype is kind
        assert ccdl.zeros_like(x, dtype=kind).tolist() == [0j] * 3
    for wrong in (lambda: ccdl.randint(3, (2,), dtype=ccdl.complex64),):
        with pytest.raises(TypeError, match="complex"):
            wrong()


def test_complex_products_and_assignment():
    a, b, x = (ccdl.complex(real(3, 4, seed=s), real(3, 4, seed=s + 1)) for s in (0, 2, 4)), None, real(3, 4, seed=6)
    a, b, c = a
    for equation, operands in (("ij,ij->i", (a, b)), ("ij,kj->ik", (a, x)), ("ij,ik,il->jkl", (a, b, c)), ("ij->ji", (a,)), ("ij,ij,ij,ij->", (a, b, c, a))):
        np.testing.assert_allclose(ccdl.einsum(equation, *operands).numpy(), np.einsum(equation, *(t.numpy() for t in operands)), rtol=1e-11, atol=1e-11)
    wide, square = ccdl.complex(real(5, 3, 4, seed=7), real(5, 3, 4, seed=8)), a[:, :3]
    for equation, operands in (("ij,kj->ik", (x, a)), ("nij,jk->nik", (wide, b.transpose(0, 1))), ("jk,...ij->...ik", (b.transpose(0, 1), wide)), ("ij,nij->n", (a, wide)),
                               ("ij,jk", (square, c)), ("ii,ij->j", (square, a)), ("nij,j->", (wide, x[0])), ("i,j->ij", (a[0], b[1]))):  # fmt: skip
        got = ccdl.einsum(equation, *operands)
        np.testing.assert_allclose(got.numpy(), np.einsum(equation, *(t.numpy() for t in operands)), rtol=1e-11, atol=1e-11)
        assert ccdl.view_as_real(got).is_contiguous()
    np.testing.assert_allclose((a @ b.transpose(0, 1)).numpy(), a.numpy() @ b.numpy().T, rtol=1e-11)
    np.testing.assert_allclose(ccdl.matmul(x, b.transpose(0, 1)).numpy(), x.numpy() @ b.numpy().T, rtol=1e-11)
    for power in (1, 3, 0.5, -2):
        np.testing.assert_allclose((a**power).numpy(), a.numpy() ** power, rtol=1e-10)
    out = ccdl.zeros(3, 6, dtype=ccdl.complex128)
    out[:, :4] = a
    out[0, 5] = 2j
    want = np.zeros((3, 6), dtype=complex)
    want[:, :4], want[0, 5] = a.numpy(), 2j
    np.testing.assert_array_equal(out.numpy(), want)


def test_python_functions_of_spectra():
    """abs() as models that look for periods write it, with its gradient."""
    x = real(2, 12, 3).requires_grad_()
    spectrum = ccdl.fft.rfft(x, dim=1)
    assert (abs(spectrum) == spectrum.abs()).all() and (+spectrum).shape == spectrum.shape
    strength = abs(spectrum).mean(0).mean(-1)
    wanted = np.abs(np.fft.rfft(x.detach().numpy(), axis=1)).mean(0).mean(-1)
    np.testing.assert_allclose(strength.detach().numpy(), wanted, rtol=1e-12)
    assert strength[1:].topk(2).indices.tolist() == (-wanted[1:]).argsort()[:2].tolist()
    assert ccdl.autograd.gradcheck(lambda t: abs(ccdl.fft.rfft(t, dim=1)).mean(0), (x,))


def test_a_spectral_convolution_learns():
    weights = ccdl.randn(2, 3, 5, 2, requires_grad=True)
    x = ccdl.randn(4, 2, 16)
    z = ccdl.fft.rfft(x)
    out = ccdl.zeros(4, 3, 9, dtype=ccdl.cfloat)
    out[:, :, :5] = ccdl.einsum("bix,iox->box", z[:, :, :5], ccdl.view_as_complex(weights))
    y = ccdl.fft.irfft(out, n=16)
    y.square().mean().backward()
    assert y.shape == (4, 3, 16) and weights.grad.shape == weights.shape and weights.grad.abs().sum().item() > 0


@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
def test_hermitian_transforms_over_several_dimensions_equal_scipy(norm: str | None) -> None:
    scipy_fft = pytest.importorskip("scipy.fft", reason="SciPy is not installed")
    rng = np.random.default_rng(0)
    parts = rng.standard_normal((2, 3, 4, 5))
    z = ccdl.complex(ccdl.tensor(parts[0]), ccdl.tensor(parts[1]))
    wz = parts[0] + 1j * parts[1]
    np.testing.assert_allclose(ccdl.fft.hfftn(z, norm=norm).numpy(), scipy_fft.hfftn(wz, norm=norm), atol=1e-11)
    np.testing.assert_allclose(ccdl.fft.hfftn(z, (3, 7), (0, 2), norm).numpy(), scipy_fft.hfftn(wz, (3, 7), (0, 2), norm), atol=1e-11)
    np.testing.assert_allclose(ccdl.fft.hfft2(z, norm=norm).numpy(), scipy_fft.hfft2(wz, norm=norm), atol=1e-11)
    x = ccdl.tensor(parts[0])
    np.testing.assert_allclose(ccdl.fft.ihfftn(x, norm=norm).numpy(), scipy_fft.ihfftn(parts[0], norm=norm), atol=1e-12)
    np.testing.assert_allclose(ccdl.fft.ihfft2(x, (4, 6), norm=norm).numpy(), scipy_fft.ihfft2(parts[0], (4, 6), norm=norm), atol=1e-12)
    leaf = x.clone().requires_grad_()
    assert ccdl.autograd.gradcheck(lambda t: ccdl.fft.hfftn(ccdl.fft.ihfftn(t)), leaf)
