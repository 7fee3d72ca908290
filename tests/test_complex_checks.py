"""Complex tensors: what functions refuse, edges of shapes, and what takes complex numbers among others."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ccdl
from ccdl import nn

rng = np.random.default_rng(11)


def numbers(*shape: int) -> np.ndarray:
    return (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype("complex64")


M = numbers(3, 3)
V = numbers(3)
m, v, s = ccdl.from_numpy(M), ccdl.from_numpy(V), ccdl.tensor(1 + 2j)

REFUSED: dict[str, tuple[type, Callable[[], Any]]] = {
    "dot of matrices": (RuntimeError, lambda: ccdl.dot(m, m)),
    "dot of sizes": (RuntimeError, lambda: ccdl.dot(v, v[:1])),
    "dot of a number": (TypeError, lambda: ccdl.dot(v, 2)),
    "vdot of matrices": (RuntimeError, lambda: ccdl.vdot(m, m)),
    "outer of matrices": (RuntimeError, lambda: ccdl.outer(m, m)),
    "mm of a vector": (RuntimeError, lambda: ccdl.mm(m, v)),
    "mv of matrices": (RuntimeError, lambda: ccdl.mv(m, m)),
    "bmm of matrices": (RuntimeError, lambda: ccdl.bmm(m, m)),
    "bmm of batches": (RuntimeError, lambda: ccdl.bmm(m.expand(2, 3, 3), m.expand(1, 3, 3))),
    "t of three dimensions": (RuntimeError, lambda: m[None].t()),
    "trace of a vector": (RuntimeError, lambda: v.trace()),
    "fill with a vector": (RuntimeError, lambda: m.clone().fill_(v)),
    "cat of a tensor": (TypeError, lambda: ccdl.cat(m)),
    "cat of no tensor": (TypeError, lambda: ccdl.cat([m, 3])),
    "cat of an iterator": (TypeError, lambda: ccdl.cat(m, [m])),
    "cat of 0-d": (RuntimeError, lambda: ccdl.cat([s, s])),
    "in-place abs": (RuntimeError, lambda: m.clone().abs_()),
    "real dtype": (TypeError, lambda: m.to(dtype=ccdl.float32)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    kind, call = REFUSED[name]
    with pytest.raises(kind):
        call()
    np.testing.assert_array_equal(m.numpy(), M)


def test_edges_of_shapes() -> None:
    one = np.array(1 + 2j, dtype="complex64")
    for ours, numpys in ((ccdl.hstack, np.hstack), (ccdl.vstack, np.vstack), (ccdl.stack, np.stack)):
        np.testing.assert_array_equal(ours([s, s]).numpy(), numpys([one, one]))
    np.testing.assert_array_equal(ccdl.diagflat(m).numpy(), np.diagflat(M))
    np.testing.assert_array_equal(ccdl.diagflat(m, 1).numpy(), np.diagflat(M, 1))
    for conjugate in (ccdl.conj_physical_, lambda z: z.conj_physical_()):
        z = m.clone()
        assert conjugate(z) is z
        np.testing.assert_array_equal(z.numpy(), M.conj())


def test_to_by_keyword() -> None:
    assert m.to(dtype=ccdl.complex64) is m
    assert m.to(dtype=ccdl.complex128, non_blocking=True).dtype is ccdl.complex128


def test_dtypes() -> None:
    names = ["complex64", "complex128", "float64", "float32", "int64", "bool"]
    for a, b in itertools.product(names, names):
        if "complex" not in a + b:
            continue
        x, y = getattr(ccdl, a), getattr(ccdl, b)
        # NumPy widens float32 beside int64; here a complex64 stays
        wide = {"complex128", "float64"} & {a, b}
        assert ccdl.promote_types(x, y) is (ccdl.complex128 if wide else ccdl.complex64)
        assert ccdl.can_cast(x, y) == ("complex" in b)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs(search: str | None) -> None:
    goal = ccdl.from_numpy(V)
    p, x = nn.Parameter(ccdl.zeros(3, dtype=ccdl.complex64)), nn.Parameter(ccdl.ones(2))
    optimizer = ccdl.optim.LBFGS([p, x], lr=0.5 if search is None else 1, line_search_fn=search)

    def closure() -> Any:
        optimizer.zero_grad()
        loss = (p - goal).abs().pow(2).sum() + (x**2).sum()
        loss.backward()
        return loss

    for _ in range(4):
        optimizer.step(closure)
    np.testing.assert_allclose(p.detach().numpy(), V, atol=1e-3)
    np.testing.assert_allclose(x.detach().numpy(), 0, atol=1e-3)


def test_complex_scalars_of_numpy_keep_their_imaginary_parts() -> None:
    x, one = ccdl.ones(2), np.complex64(1 + 2j)
    for call in (lambda: x * one, lambda: one * x, lambda: x * complex(one)):
        np.testing.assert_array_equal(call().numpy(), np.ones(2, "float32") * one)
    refused: list[Callable[[], Any]] = [
        lambda: x.mul_(one),
        lambda: x.fill_(one),
        lambda: x.__setitem__(0, one),
        lambda: x.masked_fill(x > 0, one),
        lambda: ccdl.arange(one),
        lambda: ccdl.clamp(x, min=one),
    ]
    for call in refused:
        with pytest.raises(TypeError):
            call()
    np.testing.assert_array_equal(x.numpy(), 1)


def test_numbers_beside_real_tensors() -> None:
    x = ccdl.tensor([1.0, 4.0], dtype=ccdl.float64, requires_grad=True)
    a = x.detach().numpy()
    for got, want in [(x.add(1j), a + 1j), (ccdl.mul(x, 2j), a * 2j), (ccdl.sub(x, 1j, alpha=2), a - 2j), (x.div(2j), a / 2j), (x**1j, a**1j), (ccdl.pow(x, 0.5 + 1j), a ** (0.5 + 1j)),
                      (ccdl.where(x > 2, x, 1j), np.where(a > 2, a, 1j)), (ccdl.where(x > 2, 1j, x), np.where(a > 2, 1j, a)), (ccdl.eq(x, 1 + 0j), a == 1),
                      (x.mul(np.complex64(2j)), a * 2j), (x ** np.complex64(1j), a**1j)]:  # fmt: skip
        np.testing.assert_allclose(got.detach().numpy(), want, rtol=1e-12)
    assert ccdl.autograd.gradcheck(lambda t: t.mul(1 + 2j) + t**1j, (x,))
    for wrong in (lambda: x.detach().add_(1j), lambda: ccdl.full_like(x, 1j), lambda: ccdl.clamp(x, 1j), lambda: x.detach().fill_(1j)):
        with pytest.raises(TypeError):
            wrong()


def test_roots_have_second_derivatives_on_the_axis() -> None:
    z = ccdl.tensor([2.0 + 0j, 1 - 0j, -3 + 2j, -1 - 1j], dtype=ccdl.complex128, requires_grad=True)
    assert ccdl.autograd.gradcheck(ccdl.sqrt, (z,)) and ccdl.autograd.gradgradcheck(ccdl.sqrt, (z,))
    cut = ccdl.tensor([complex(-4.0, 0.0), complex(-4.0, -0.0)], dtype=ccdl.complex128)
    assert cut.sqrt().tolist() == [2j, -2j]
