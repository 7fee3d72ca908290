"""vmap and Jacobians where complex numbers occur, and what a Jacobian's second run leaves alone."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ccdl
from ccdl import Tensor, nn

rng = np.random.default_rng(7)
A = rng.standard_normal((3, 4)).astype("float32")
C = (rng.standard_normal((3, 4)) + 1j * rng.standard_normal((3, 4))).astype("complex64")
S = (rng.standard_normal(4) + 1j * rng.standard_normal(4)).astype("complex64")
SHARED = ccdl.from_numpy(S)

CASES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "fft": (lambda a, c: ccdl.fft.fft(a), lambda a, c: np.fft.fft(a)),
    "rfft_abs": (lambda a, c: ccdl.fft.rfft(a).abs(), lambda a, c: abs(np.fft.rfft(a))),
    "complex": (lambda a, c: ccdl.complex(a, 2 * a), lambda a, c: a + 2j * a),
    "polar": (lambda a, c: ccdl.polar(a.abs(), a), lambda a, c: abs(a) * np.exp(1j * a)),
    "view_as_complex": (
        lambda a, c: ccdl.view_as_complex(a.reshape(2, 2)),
        lambda a, c: a.reshape(2, 2)[:, 0] + 1j * a.reshape(2, 2)[:, 1],
    ),
    "product": (lambda a, c: c * SHARED + a, lambda a, c: c * S + a),
    "shared_left": (lambda a, c: SHARED + a, lambda a, c: S + a),
    "shared_only": (lambda a, c: SHARED * 2, lambda a, c: S * 2),
    "stack": (lambda a, c: ccdl.stack([SHARED, a]), lambda a, c: np.stack([S, a])),
    "einsum": (lambda a, c: ccdl.einsum("i,i->", a, SHARED), lambda a, c: a @ S),
    "where": (lambda a, c: ccdl.where(a > 0, SHARED, c), lambda a, c: np.where(a > 0, S, c)),
    "index": (lambda a, c: SHARED[(a > 0).long()], lambda a, c: S[(a > 0).astype(int)]),
    "dtype": (lambda a, c: a.to(ccdl.complex64), lambda a, c: a.astype("complex64")),
    "nested": (lambda a, c: ccdl.vmap(ccdl.complex)(a, a), lambda a, c: a + 1j * a),
}


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_values(name: str, dim: int) -> None:
    function, reference = CASES[name]
    a, c = (ccdl.from_numpy(np.ascontiguousarray(np.moveaxis(x, 0, dim))) for x in (A, C))
    want = np.stack([reference(x, y) for x, y in zip(A, C)])
    for out, chunk in ((0, None), (0, 2), (-1, None)):
        got = ccdl.vmap(function, in_dims=dim, out_dims=out, chunk_size=chunk)(a, c)
        assert got.is_complex() == np.iscomplexobj(want)
        np.testing.assert_allclose(got.numpy(), np.moveaxis(want, 0, out), rtol=1e-5, atol=1e-5)


def test_jacobian_through_complex_numbers() -> None:
    def power(x: Any) -> Any:
        z = ccdl.fft.rfft(x)
        return (z * z.conj()).real

    x = ccdl.from_numpy(A[0].astype("float64"))
    jacobian = ccdl.func.jacrev(power)(x).numpy()
    step = 1e-6
    for k in range(4):
        e = np.zeros(4)
        e[k] = step
        high, low = (power(x + ccdl.from_numpy(s * e)).numpy() for s in (1, -1))
        np.testing.assert_allclose(jacobian[:, k], (high - low) / (2 * step), rtol=1e-6, atol=1e-6)


def test_classes_of_pairs_are_checked() -> None:
    kind = type(SHARED)
    for wrong in (ccdl.ones(3), ccdl.tensor(1.0), ccdl.ones(3, 2).long(), ccdl.ones(3, 2).half()):
        with pytest.raises(TypeError, match=r"float32 or float64 \[..., 2\]"):
            wrong.as_subclass(kind)
    for none in (None, np.ones((2, 2)), [1.0, 2.0]):
        with pytest.raises(TypeError, match="parts must be Tensor"):
            kind(none)

    class Mine(Tensor):
        pass

    with pytest.raises(TypeError, match="complex"):
        SHARED.as_subclass(Mine)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_jacobians_move_running_statistics_once(momentum: float | None) -> None:
    x = ccdl.tensor(rng.standard_normal((4, 3)).astype("float32"))
    for shared in (False, True):  # whether the copies reach the layer
        layer, once = nn.BatchNorm1d(3, momentum=momentum), nn.BatchNorm1d(3, momentum=momentum)
        once(x)

        def run(y: Any) -> Any:
            return (layer(x) * y).sum(0) if shared else layer(y).pow(3).sum(0)

        jacobian = ccdl.func.jacrev(run)(x)
        for name, want in once.named_buffers():
            np.testing.assert_allclose(getattr(layer, name).cpu().numpy(), want.cpu().numpy(), rtol=1e-6)
        z = x.clone().requires_grad_()
        rows = [ccdl.autograd.grad(run(z)[i], z)[0].cpu().numpy() for i in range(3)]
        np.testing.assert_allclose(jacobian.detach().cpu().numpy(), np.stack(rows), rtol=1e-4, atol=1e-5)


def test_the_handler_of_random_numbers_is_kept() -> None:
    def handler(func: Any, args: Any, kwargs: Any) -> Any:
        ccdl._C._set_random_handler(None)
        gc.collect()
        return "mine"

    before = ccdl._C._set_random_handler(handler)
    try:
        assert before is None and sys.getrefcount(handler) > 2
        del handler
        gc.collect()
        assert ccdl.rand(2) == "mine"
    finally:
        ccdl._C._set_random_handler(None)
    assert ccdl.rand(2).shape == (2,)
