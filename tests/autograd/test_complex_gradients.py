"""Complex tensors on the device in use: values against NumPy, gradients against differences, a spectral layer that learns."""

from __future__ import annotations

from typing import Any

import pytest

import ccdl

np = pytest.importorskip("numpy")


def draws(*shape: int, seed: int = 0) -> Any:
    r = np.random.RandomState(seed)
    return r.randn(*shape) + 1j * r.randn(*shape)


CALLS: dict[str, tuple[Any, Any]] = {
    "arithmetic": (lambda x, y: (2 * x + 1j) * y - x / y + y**2 - 1 / x, lambda x, y: (2 * x + 1j) * y - x / y + y**2 - 1 / x),
    "functions": (lambda x, y: x.exp() + y.sqrt() + x.sin() * y.tanh() + x.log(), lambda x, y: np.exp(x) + np.sqrt(y) + np.sin(x) * np.tanh(y) + np.log(x)),
    "parts": (lambda x, y: x.abs() + y.angle() + x.real * y.imag, lambda x, y: abs(x) + np.angle(y) + x.real * y.imag),
    "products": (lambda x, y: x @ y.mT.conj() + ccdl.einsum("ij,kj->ik", x, y), lambda x, y: x @ y.T.conj() + np.einsum("ij,kj->ik", x, y)),
    "sums": (lambda x, y: x.sum(0) * y.mean() + x.prod(0), lambda x, y: x.sum(0) * y.mean() + x.prod(0)),
    "shapes": (lambda x, y: ccdl.cat([x.T, y.T], 1)[1:, [0, 3]].flip(0), lambda x, y: np.concatenate([x.T, y.T], 1)[1:, [0, 3]][::-1]),
    "transforms": (lambda x, y: ccdl.fft.fft(x) * ccdl.fft.ifft(y), lambda x, y: np.fft.fft(x) * np.fft.ifft(y)),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_values_and_gradients(name: str, device: str) -> None:
    call, reference = CALLS[name]
    a, b = draws(2, 3), draws(2, 3, seed=1)
    x, y = (ccdl.tensor(v).to(device).requires_grad_() for v in (a, b))
    np.testing.assert_allclose(call(x, y).detach().cpu().numpy(), reference(a, b), rtol=1e-9, atol=1e-10)
    assert ccdl.autograd.gradcheck(call, (x, y))


def test_a_spectral_layer_learns(device: str) -> None:
    w = ccdl.nn.Parameter(ccdl.zeros(1, 5, dtype=ccdl.cfloat, device=device))
    assert w.device.type == ccdl.device(device).type
    signal = ccdl.tensor(np.random.RandomState(2).randn(6, 8).astype("float32")).to(device)
    target = signal.roll(1, 1)  # a shift is a product of the spectrum with phases
    optimiser = ccdl.optim.Adam([w], 0.1)
    losses = []
    for _ in range(60):
        optimiser.zero_grad()
        loss = ((ccdl.fft.irfft(ccdl.fft.rfft(signal) * w, n=8) - target) ** 2).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    phases = np.exp(-2j * np.pi * np.arange(5) / 8)
    assert losses[-1] < 1e-2 * losses[0]
    np.testing.assert_allclose(w.detach().cpu().numpy()[0], phases, atol=0.1)
