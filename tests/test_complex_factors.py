"""Factorisations of complex matrices against NumPy and SciPy, and their gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg

import ccdl
from ccdl import linalg
from ccdl.autograd import gradcheck, gradgradcheck

rng = np.random.default_rng(3)


def numbers(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def adjoint(a: np.ndarray) -> np.ndarray:
    return a.conj().swapaxes(-1, -2)


MATRICES: dict[str, np.ndarray] = {
    "square": numbers(4, 4), "tall": numbers(5, 3), "wide": numbers(3, 5), "batch": numbers(3, 2, 5, 4), "larger": numbers(40, 30),
    "unit": np.eye(4) + 0j, "zero": np.zeros((4, 3), complex), "unitary": np.linalg.qr(numbers(5, 5))[0], "rank 1": np.outer(numbers(4), numbers(3)),
    "one column": numbers(4, 1), "one row": numbers(1, 4), "one": numbers(1, 1), "real": rng.standard_normal((4, 4)) + 0j, "diagonal": np.diag(numbers(4)),
    "upper": np.triu(numbers(4, 4)), "no rows": np.zeros((0, 3), complex), "no matrices": np.zeros((0, 3, 3), complex),
    "tiny": numbers(4, 4) * 1e-160, "huge": numbers(4, 4) * 1e150,
}  # fmt: skip


def close(found: Any, wanted: np.ndarray, size: float, atol: float = 1e-11) -> None:
    found = np.asarray(found)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found / size, wanted / size, rtol=0, atol=atol)


def parts(name: str) -> tuple[np.ndarray, Any, float]:
    a = MATRICES[name]
    return a, ccdl.tensor(a), float(np.abs(a).max(initial=0)) or 1.0


@pytest.mark.parametrize("full", (False, True))
@pytest.mark.parametrize("name", MATRICES)
def test_singular_values_and_vectors(name: str, full: bool) -> None:
    a, z, size = parts(name)
    U, S, Vh = (np.asarray(t) for t in linalg.svd(z, full))
    wanted = np.linalg.svd(a, full_matrices=full)
    assert [t.shape for t in (U, S, Vh)] == [t.shape for t in wanted]
    close(S, wanted[1], size)
    k = S.shape[-1]
    close(U[..., :k] * S[..., None, :] @ Vh[..., :k, :], a, size)
    close(adjoint(U) @ U, np.broadcast_to(np.eye(U.shape[-1]), (*U.shape[:-2], U.shape[-1], U.shape[-1])), 1)
    close(Vh @ adjoint(Vh), np.broadcast_to(np.eye(Vh.shape[-2]), (*Vh.shape[:-2], Vh.shape[-2], Vh.shape[-2])), 1)


@pytest.mark.parametrize("mode", ("reduced", "complete"))
@pytest.mark.parametrize("name", MATRICES)
def test_orthogonal_times_triangular_with_lapacks_signs(name: str, mode: str) -> None:
    a, z, size = parts(name)
    Q, R = linalg.qr(z, mode)
    q, r = np.linalg.qr(a, mode)
    close(R, r, size)
    close(np.asarray(Q) @ np.asarray(R), a, size)
    close(adjoint(np.asarray(Q)) @ np.asarray(Q), adjoint(q) @ q, 1)
    assert linalg.qr(z, "r")[0].numel() == 0


@pytest.mark.parametrize("name", [n for n, a in MATRICES.items() if a.shape[-1] == a.shape[-2]])
def test_hermitian_eigenvalues_and_vectors(name: str) -> None:
    a, _, size = parts(name)
    h = a + adjoint(a)
    for triangle, other in (("L", np.triu(np.ones(h.shape[-2:]), 1)), ("U", np.tril(np.ones(h.shape[-2:]), -1))):
        given = np.where(other.astype(bool), 7 * size, h)  # the other triangle is not read
        w, V = (np.asarray(t) for t in linalg.eigh(ccdl.tensor(given), triangle))
        close(w, np.linalg.eigvalsh(h), size)
        close(V * w[..., None, :] @ adjoint(V), h, size)


@pytest.mark.parametrize("name", MATRICES)
def test_elimination(name: str) -> None:
    a, z, size = parts(name)
    P, L, U = (np.asarray(t) for t in linalg.lu(z))
    close(P @ L @ U, a, size)
    if a.ndim == 2 and a.size and name not in ("tiny", "huge", "rank 1"):  # where pivots do not tie
        for found, wanted in zip((P, L, U), scipy.linalg.lu(a), strict=True):
            close(found, wanted, size)
    if a.shape[-1] == a.shape[-2] and name not in ("tiny", "huge"):
        close(linalg.det(z), np.linalg.det(a), 1)
        sign, size_log = linalg.slogdet(z)
        wanted_sign, wanted_log = np.linalg.slogdet(a)
        close(sign, wanted_sign, 1)
        close(size_log, wanted_log, 1)


A, B = numbers(2, 4, 4), numbers(2, 4, 2)
H = A @ adjoint(A) + np.eye(4)
a, b, h = ccdl.tensor(A), ccdl.tensor(B), ccdl.tensor(H)
LOW = np.linalg.cholesky(H)

VALUES: dict[str, tuple[Callable[[], Any], np.ndarray]] = {
    "cholesky": (lambda: linalg.cholesky(h), LOW),
    "cholesky upper": (lambda: linalg.cholesky(h, upper=True), adjoint(LOW)),
    "cholesky_ex": (lambda: linalg.cholesky_ex(h)[0], LOW),
    "cholesky_solve": (lambda: ccdl.cholesky_solve(b, linalg.cholesky(h)), np.linalg.solve(H, B)),
    "cholesky_inverse": (lambda: ccdl.cholesky_inverse(linalg.cholesky(h, upper=True), True), np.linalg.inv(H)),
    "solve_triangular": (lambda: linalg.solve_triangular(a, b, upper=True), np.linalg.solve(np.triu(A), B)),
    "solve_triangular unit": (lambda: linalg.solve_triangular(a, b, upper=False, unitriangular=True), np.linalg.solve(np.tril(A, -1) + np.eye(4), B)),
    "solve_triangular right": (lambda: linalg.solve_triangular(a, b.mT, upper=False, left=False), B.swapaxes(-1, -2) @ np.linalg.inv(np.tril(A))),
    "triangular_solve": (lambda: ccdl.triangular_solve(b, a, transpose=True)[0], np.linalg.solve(np.triu(A).swapaxes(-1, -2), B)),
    "lu_solve": (lambda: linalg.lu_solve(*linalg.lu_factor(a), b), np.linalg.solve(A, B)),
    "lu_solve adjoint": (lambda: linalg.lu_solve(*linalg.lu_factor(a), b, adjoint=True), np.linalg.solve(adjoint(A), B)),
    "lu_solve right": (lambda: linalg.lu_solve(*linalg.lu_factor(a), b.mT, left=False), B.swapaxes(-1, -2) @ np.linalg.inv(A)),
    "inv_ex": (lambda: linalg.inv_ex(a)[0], np.linalg.inv(A)),
    "logdet": (lambda: ccdl.logdet(h), np.linalg.slogdet(H)[1] + 0j),
    "norm 2": (lambda: linalg.matrix_norm(a, 2), np.linalg.norm(A, 2, (-2, -1))),
    "norm -2": (lambda: linalg.matrix_norm(a, -2), np.linalg.norm(A, -2, (-2, -1))),
    "norm nuc": (lambda: linalg.matrix_norm(a, "nuc"), np.linalg.norm(A, "nuc", (-2, -1))),
    "householder_product": (lambda: linalg.householder_product(*ccdl.geqrf(ccdl.tensor(A[:, :, :3]))), np.linalg.qr(A[:, :, :3])[0]),
    "vecdot": (lambda: linalg.vecdot(a, a), np.vecdot(A, A)),
    "vander": (lambda: linalg.vander(ccdl.tensor(A[0, 0]), N=3), np.vander(A[0, 0], 3, increasing=True)),
    "addr": (lambda: ccdl.addr(a[0], a[0, 0], a[0, 1], beta=2, alpha=3), 2 * A[0] + 3 * np.outer(A[0, 0], A[0, 1])),
    "addbmm": (lambda: ccdl.addbmm(a[0], a, a), A[0] + (A @ A).sum(0)),
    "lstsq": (lambda: linalg.lstsq(ccdl.tensor(A[:, :, :3]), b)[0], np.linalg.pinv(A[:, :, :3]) @ B),
    "pinverse": (lambda: ccdl.pinverse(a), np.linalg.pinv(A)),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
def test_values(name: str) -> None:
    call, wanted = VALUES[name]
    close(call(), wanted, 1)


def hermitian(z: Any) -> Any:
    return (z + z.mH) / 2


def positive(z: Any) -> Any:
    return z @ z.mH + 2 * ccdl.eye(3)


def rebuilt(factors: tuple[Any, ...]) -> Any:
    U, S, Vh = factors
    return U @ ccdl.diag_embed(ccdl.complex(S * S, 0 * S)) @ Vh


def of_vectors(pair: Any) -> Any:
    w, V = pair
    return rebuilt((V, w, V.mH))


SQUARE, TALL, WIDE, RIGHT = numbers(2, 3, 3), numbers(4, 3), numbers(3, 4), ccdl.tensor(numbers(2, 3, 2))
GRADIENTS: dict[str, tuple[Callable[[Any], Any], np.ndarray]] = {
    "det": (linalg.det, SQUARE), "slogdet": (linalg.slogdet, SQUARE), "logdet": (lambda z: ccdl.logdet(positive(z)), SQUARE),
    "cholesky": (lambda z: linalg.cholesky(positive(z)), SQUARE), "cholesky upper": (lambda z: linalg.cholesky(positive(z), upper=True), SQUARE),
    "qr": (linalg.qr, TALL), "qr of wide": (linalg.qr, WIDE), "qr complete of wide": (lambda z: linalg.qr(z, "complete"), WIDE),
    "eigh": (lambda z: linalg.eigh(hermitian(z))[0], SQUARE), "eigh vectors": (lambda z: of_vectors(linalg.eigh(hermitian(z))), SQUARE),
    "eigh sizes": (lambda z: linalg.eigh(hermitian(z))[1].abs(), SQUARE),
    "svd": (lambda z: linalg.svd(z)[1], TALL), "svd sizes": (lambda z: linalg.svd(z, False)[0].abs(), TALL), "svd sizes of wide": (lambda z: linalg.svd(z)[2][..., :3, :].abs(), WIDE),
    "svd product": (lambda z: rebuilt(linalg.svd(z, False)), TALL), "svd product of wide": (lambda z: rebuilt(linalg.svd(z, False)), WIDE),
    "lu": (lambda z: linalg.lu(z)[1:], SQUARE), "lu_factor": (lambda z: linalg.lu_factor(z)[0], SQUARE), "inv_ex": (lambda z: linalg.inv_ex(z)[0], SQUARE),
    "lu_solve": (lambda z: linalg.lu_solve(*linalg.lu_factor(z), RIGHT), SQUARE), "solve_triangular": (lambda z: linalg.solve_triangular(z, RIGHT, upper=True), SQUARE),
    "nuclear norm": (lambda z: linalg.norm(z, "nuc"), TALL), "spectral norm": (lambda z: linalg.norm(z, 2), TALL),
}  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients(name: str) -> None:
    function, value = GRADIENTS[name]
    z = ccdl.tensor(value, requires_grad=True)
    assert gradcheck(function, (z,)) and gradgradcheck(function, (z,))


def test_refused() -> None:
    with pytest.raises(linalg.LinAlgError, match="leading minor of order 2"):
        linalg.cholesky(ccdl.tensor(np.diag([1.0, -1.0, 1.0]) + 0j))
    assert linalg.cholesky_ex(ccdl.tensor(np.diag([1.0, -1.0, 1.0]) + 0j))[1].item() == 2
    with pytest.raises(RuntimeError, match="square"):
        linalg.eigh(ccdl.tensor(TALL))
    with pytest.raises(RuntimeError, match="unrecognized mode"):
        linalg.qr(ccdl.tensor(TALL), "thin")
    with pytest.raises(ValueError, match="UPLO"):
        linalg.eigh(ccdl.tensor(SQUARE), "X")
    with pytest.raises(RuntimeError, match="reduced"):
        linalg.qr(ccdl.tensor(TALL, requires_grad=True), "complete")[0].abs().sum().backward()
    with pytest.raises(NotImplementedError, match="square"):
        linalg.lu(ccdl.tensor(TALL, requires_grad=True))[1].abs().sum().backward()


def test_single_precision() -> None:
    z = ccdl.tensor(TALL.astype("complex64"))
    U, S, Vh = linalg.svd(z, False)
    assert U.dtype is Vh.dtype is ccdl.complex64 and S.dtype is ccdl.float32
    np.testing.assert_allclose(np.asarray(S), np.linalg.svd(TALL)[1], rtol=1e-6)
    assert linalg.eigh(hermitian(ccdl.tensor(SQUARE.astype("complex64"))))[1].dtype is ccdl.complex64
