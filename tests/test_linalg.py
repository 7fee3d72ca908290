"""Dense linear algebra as accurate as LAPACK's: residuals and orthogonality of the factors in units of the dtype's eps,
over matrices that are graded, clustered, singular, at the ends of the range of numbers; failures by name; the same
bits for any number of threads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.linalg

import ccdl

DTYPES = (np.float32, np.float64)
EMPTY = np.zeros((0, 0))


def orthogonal(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def glued(rng: np.random.Generator, n: int) -> np.ndarray:
    """Wilkinson's matrices in a row, weakly coupled: pairs of eigenvalues far closer than eps."""
    d = np.abs(np.arange(n) % 21 - 10.0)
    e = np.where(np.arange(1, n) % 21 == 0, 1e-8, 1.0)
    return np.diag(d) + np.diag(e, 1) + np.diag(e, -1)


KINDS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "normal": lambda rng, n: rng.standard_normal((n, n)),
    "zero": lambda rng, n: np.zeros((n, n)),
    "identity": lambda rng, n: np.eye(n),
    "ones": lambda rng, n: np.ones((n, n)),
    "rank 3": lambda rng, n: rng.standard_normal((n, 3)) @ rng.standard_normal((3, n)),
    "graded values": lambda rng, n: orthogonal(rng, n) * np.logspace(0, -18, n) @ orthogonal(rng, n),
    "graded rows": lambda rng, n: np.logspace(-18, 0, n)[:, None] * rng.standard_normal((n, n)),
    "cluster": lambda rng, n: orthogonal(rng, n) * np.r_[np.ones(n // 2), 1 + 1e-12 * np.arange(n - n // 2)] @ orthogonal(rng, n),
    "wide range": lambda rng, n: rng.standard_normal((n, n)) * 10.0 ** rng.uniform(-30, 0, (n, n)),
    "sparse": lambda rng, n: rng.standard_normal((n, n)) * (rng.random((n, n)) < 0.05),
    "permutation": lambda rng, n: np.eye(n)[rng.permutation(n)],
    "bidiagonal of 0 and 1": lambda rng, n: np.diag(rng.integers(0, 2, n)) + np.diag(rng.integers(0, 2, n - 1), 1) + 0.0,
    "second differences": lambda rng, n: 2 * np.eye(n) - np.eye(n, k=1) - np.eye(n, k=-1),
    "glued": glued,
    "Kahan": lambda rng, n: np.diag(np.cos(1.2) ** np.arange(n)) @ (np.eye(n) - np.sin(1.2) * np.triu(np.ones((n, n)), 1)),
    "Hilbert": lambda rng, n: 1 / (np.arange(n)[:, None] + np.arange(n) + 1.0),
    "huge": lambda rng, n: rng.uniform(-1, 1, (n, n)),  # scaled below
    "tiny": lambda rng, n: rng.uniform(-1, 1, (n, n)),
}


def matrix(kind: str, n: int, dtype: type) -> np.ndarray:
    x = KINDS[kind](np.random.default_rng(n), n)
    limits = np.finfo(dtype)
    if kind == "huge":
        x = x * (float(limits.max) / (2 * n))
    if kind == "tiny":
        x = x * (float(limits.tiny) * 1e4)
    return x.astype(dtype)


def in_eps(error: np.ndarray, scale: float, dtype: type) -> float:
    worst = float(np.abs(error).max()) if error.size else 0.0
    assert not np.isnan(worst)
    return worst / (scale or 1.0) / float(np.finfo(dtype).eps)


def numbers(*tensors: ccdl.Tensor) -> list[np.ndarray]:
    return [t.numpy().astype(np.float64) for t in tensors]


def bound(n: int) -> float:
    return 20.0 + n


def normalised(x: np.ndarray, dtype: type) -> tuple[np.ndarray, float]:
    """x over a power of two, in float64, so that products with it stay in range."""
    most = float(np.abs(x).max()) if x.size else 0.0
    scale = 2.0 ** np.floor(np.log2(most)) if most else 1.0
    return x.astype(np.float64) / scale, scale


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 29, 150])
@pytest.mark.parametrize("kind", KINDS)
def test_singular_values_and_vectors(kind: str, n: int, dtype: type) -> None:
    a = matrix(kind, n, dtype)
    x, scale = normalised(a, dtype)
    u, s, vh = numbers(*ccdl.linalg.svd(ccdl.from_numpy(a), full_matrices=False))
    (values,) = numbers(ccdl.linalg.svdvals(ccdl.from_numpy(a)))
    expected = np.linalg.svd(x, compute_uv=False)
    s, values = s / scale, values / scale
    norm = expected[0]
    assert (np.diff(s) <= 0).all() and (s >= 0).all() and (values >= 0).all()
    assert in_eps((u * s) @ vh - x, norm, dtype) < bound(n)
    assert in_eps(u.T @ u - np.eye(n), 1, dtype) < bound(n)
    assert in_eps(vh @ vh.T - np.eye(n), 1, dtype) < bound(n)
    assert in_eps(s - expected, norm, dtype) < bound(n)
    assert in_eps(values - expected, norm, dtype) < bound(n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [5, 29, 150])
@pytest.mark.parametrize("kind", KINDS)
def test_eigenvalues_and_vectors(kind: str, n: int, dtype: type) -> None:
    a = matrix(kind, n, dtype)
    a = a / 2 + a.T / 2
    x, scale = normalised(a, dtype)
    w, v = numbers(*ccdl.linalg.eigh(ccdl.from_numpy(a)))
    (values,) = numbers(ccdl.linalg.eigvalsh(ccdl.from_numpy(a)))
    expected = np.linalg.eigvalsh(x)
    w, values = w / scale, values / scale
    norm = np.abs(expected).max()
    assert (np.diff(w) >= 0).all()
    assert in_eps((v * w) @ v.T - x, norm, dtype) < bound(n)
    assert in_eps(v.T @ v - np.eye(n), 1, dtype) < bound(n)
    assert in_eps(w - expected, norm, dtype) < bound(n)
    assert in_eps(values - expected, norm, dtype) < bound(n)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(7, 7), (150, 150), (140, 97), (97, 140)])
def test_factors_multiply_to_the_matrix(kind: str, shape: tuple[int, int], dtype: type) -> None:
    m, n = shape
    a = matrix(kind, max(shape), dtype)[:m, :n].copy()
    x, scale = normalised(a, dtype)
    norm = np.linalg.norm(x) or 1.0
    q, r = numbers(*ccdl.linalg.qr(ccdl.from_numpy(a)))
    assert in_eps(q @ (r / scale) - x, norm, dtype) < bound(m)
    assert in_eps(q.T @ q - np.eye(q.shape[1]), 1, dtype) < bound(m)
    assert (np.tril(r, -1) == 0).all()
    p, low, up = numbers(*ccdl.linalg.lu(ccdl.from_numpy(a)))
    assert (np.abs(low) <= 1).all() and (np.tril(up, -1) == 0).all()
    growth = float(np.abs(up / scale).max()) if up.size else 0.0
    assert in_eps(p @ low @ (up / scale) - x, max(norm, growth), dtype) < bound(m)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 3, 4, 17, 63, 64, 65, 130, 200])
def test_solutions_are_backward_stable(n: int, dtype: type) -> None:
    rng = np.random.default_rng(n)
    a = (rng.standard_normal((n, n)) * np.logspace(0, -4, n)).astype(dtype)
    b = rng.standard_normal((n, 9)).astype(dtype)
    norm = np.linalg.norm(a.astype(np.float64))
    for right in (b, b[:, :1]):
        (x,) = numbers(ccdl.linalg.solve(ccdl.from_numpy(a), ccdl.from_numpy(right.copy())))
        assert in_eps(a.astype(np.float64) @ x - right, norm * np.linalg.norm(x) + 1, dtype) < bound(n)
    for upper in (False, True):
        t = (np.triu(a) if upper else np.tril(a)) + 2 * np.eye(n, dtype=dtype)
        for given in (ccdl.from_numpy(t), ccdl.from_numpy(t.T.copy()).mT):
            for right in (b, b[:, :1]):
                (x,) = numbers(ccdl.linalg.solve_triangular(given, ccdl.from_numpy(right.copy()), upper=upper))
                assert in_eps(t.astype(np.float64) @ x - right, np.linalg.norm(t) * np.linalg.norm(x) + 1, dtype) < bound(n)
    spd = (a @ a.T + np.eye(n)).astype(dtype)
    (low,) = numbers(ccdl.linalg.cholesky(ccdl.from_numpy(spd)))
    assert in_eps(low @ low.T - spd, np.linalg.norm(spd), dtype) < bound(n)
    assert (np.triu(low, 1) == 0).all()


def test_only_the_named_triangle_is_read() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((40, 40))
    a = a @ a.T + np.eye(40)
    for upper in (False, True):
        half = np.where(np.triu(np.ones_like(a), 0 if upper else 1) == upper, a, np.nan)
        np.testing.assert_allclose(ccdl.linalg.cholesky(ccdl.from_numpy(half), upper=upper).numpy(), np.linalg.cholesky(a).T if upper else np.linalg.cholesky(a),
                                   rtol=1e-9, atol=1e-9)
        w = ccdl.linalg.eigvalsh(ccdl.from_numpy(half), UPLO="U" if upper else "L").numpy()
        np.testing.assert_allclose(w, np.linalg.eigvalsh(a), rtol=1e-11)
        v = ccdl.linalg.eigh(ccdl.from_numpy(half), UPLO="U" if upper else "L")[1].numpy()
        np.testing.assert_allclose(v * w @ v.T, a, atol=1e-11)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [2, 20, 90])
def test_values_that_are_not_finite(bad: float, n: int) -> None:
    a = np.eye(n)
    a[n - 1, n // 2] = a[n // 2, n - 1] = bad
    x = ccdl.from_numpy(a)
    for call in (ccdl.linalg.eigh, ccdl.linalg.eigvalsh, ccdl.linalg.svd, ccdl.linalg.svdvals, ccdl.linalg.pinv, ccdl.linalg.cholesky):
        with pytest.raises(ccdl.linalg.LinAlgError):
            call(x)
    with pytest.raises(ccdl.linalg.LinAlgError, match="Batch element 1"):
        ccdl.linalg.eigh(ccdl.stack([ccdl.eye(n, dtype=ccdl.float64), x]))
    with pytest.raises(ccdl.linalg.LinAlgError, match="Batch element 1"):
        ccdl.linalg.svdvals(ccdl.stack([ccdl.eye(n, dtype=ccdl.float64), x]))
    for result in (ccdl.linalg.qr(x)[1], ccdl.linalg.solve_ex(x, x)[0], ccdl.linalg.lu(x)[2]):  # as PyTorch: they show it
        assert not bool(result.isfinite().all())


def test_singular_matrices_are_named() -> None:
    good, flat = ccdl.eye(40, dtype=ccdl.float64), ccdl.eye(40, dtype=ccdl.float64)
    flat[30, 30] = 0
    for n in (40, 100):
        good, flat = ccdl.eye(n), ccdl.eye(n)
        flat[n - 10, n - 10] = 0
        batch = ccdl.stack([good, good, flat])
        with pytest.raises(ccdl.linalg.LinAlgError, match=f"Batch element 2.*element {n - 9} is zero"):
            ccdl.linalg.inv(batch)
        with pytest.raises(ccdl.linalg.LinAlgError, match="Batch element 2"):
            ccdl.linalg.solve(batch, batch)
        with pytest.raises(ccdl.linalg.LinAlgError, match=f"Batch element 2.*order {n - 9}"):
            ccdl.linalg.cholesky(batch)
        assert ccdl.linalg.inv_ex(batch)[1].tolist() == [0, 0, n - 9]
        assert ccdl.linalg.det(batch).tolist() == [1, 1, 0]
        assert ccdl.linalg.slogdet(batch)[1].tolist() == [0, 0, float("-inf")]


def test_empty_matrices_and_batches() -> None:
    for shape in ((0, 0), (3, 0, 0), (0, 4, 4)):
        x = ccdl.zeros(*shape)
        batch, n = shape[:-2], shape[-1]
        assert ccdl.linalg.eigvalsh(x).shape == (*batch, n) and ccdl.linalg.eigh(x)[1].shape == shape
        assert ccdl.linalg.svdvals(x).shape == (*batch, n) and ccdl.linalg.inv(x).shape == shape
        assert ccdl.linalg.cholesky(x).shape == shape and ccdl.linalg.qr(x)[0].shape == shape
        assert ccdl.linalg.matrix_exp(x).shape == shape and ccdl.linalg.det(x).tolist() == np.linalg.det(np.zeros(shape)).tolist()
    for m, n in ((0, 3), (3, 0)):
        u, s, vh = ccdl.linalg.svd(ccdl.zeros(m, n))
        assert (u.shape, s.shape, vh.shape) == ((m, m), (0,), (n, n))
        np.testing.assert_array_equal(u.numpy(), np.eye(m))
        np.testing.assert_array_equal(vh.numpy(), np.eye(n))


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (9, 9), (4, 40, 12)])
def test_least_squares_of_regular_and_of_flat_matrices(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal(shape), rng.standard_normal((*shape[:-1], 3))
    flat = a.copy()
    flat[..., -1] = flat[..., 0]  # one column twice: the shortest of many solutions
    for x in (a, flat):
        got = ccdl.linalg.lstsq(ccdl.from_numpy(x), ccdl.from_numpy(b))
        np.testing.assert_allclose(got.solution.numpy(), np.linalg.pinv(x, rcond=1e-12) @ b, atol=1e-10)
        assert (got.rank.numpy() == np.linalg.matrix_rank(x)).all()
    leaf = ccdl.from_numpy(a).requires_grad_()
    target = ccdl.from_numpy(b).requires_grad_()
    assert ccdl.autograd.gradcheck(lambda p, q: ccdl.linalg.lstsq(p, q).solution, (leaf, target))


@pytest.mark.parametrize("norm", [1e-9, 1e-4, 0.03, 0.2, 0.9, 4.0, 30.0])
@pytest.mark.parametrize("dtype", DTYPES)
def test_exponential_at_every_degree(norm: float, dtype: type) -> None:
    import scipy.linalg

    x = np.random.default_rng(0).standard_normal((3, 12, 12))
    x = (x * (norm / np.abs(x).sum(-2).max(-1))[:, None, None]).astype(dtype)
    expected = scipy.linalg.expm(x.astype(np.float64))
    (got,) = numbers(ccdl.linalg.matrix_exp(ccdl.from_numpy(x)))
    assert in_eps(got - expected, float(np.abs(expected).max()), dtype) < 50 * max(1.0, norm)


def test_the_same_bits_for_any_number_of_threads() -> None:
    before = ccdl.get_num_threads()
    rng = np.random.default_rng(3)
    a = rng.standard_normal((210, 210))
    batch = rng.standard_normal((40, 20, 20)).astype(np.float32)

    def results() -> list[bytes]:
        parts: list[ccdl.Tensor] = []
        for x in (ccdl.from_numpy(a), ccdl.from_numpy(batch)):
            spd = x @ x.mT + 30 * ccdl.eye(x.shape[-1], dtype=x.dtype)
            parts += [ccdl.linalg.cholesky(spd), ccdl.linalg.inv(spd), ccdl.linalg.solve(x, spd), *ccdl.linalg.qr(x), *ccdl.linalg.eigh(spd), *ccdl.linalg.svd(x)]
        return [p.contiguous().numpy().tobytes() for p in parts]

    try:
        ccdl.set_num_threads(1)
        one = results()
        ccdl.set_num_threads(2)
        assert results() == one
    finally:
        ccdl.set_num_threads(before)


def test_general_eigenvalues_are_numpys() -> None:
    r = np.random.default_rng(3)
    for a in (r.standard_normal((4, 4)), r.standard_normal((2, 3, 3)), r.standard_normal((3, 3)) + 1j * r.standard_normal((3, 3))):
        x = ccdl.from_numpy(a)
        values, vectors = ccdl.linalg.eig(x)
        assert values.dtype is vectors.dtype is ccdl.complex128
        np.testing.assert_allclose(np.sort_complex(values.numpy()), np.sort_complex(np.linalg.eigvals(a)), rtol=1e-10, atol=1e-12)
        whole = x if x.is_complex() else x + 0j
        assert ccdl.allclose(whole @ vectors, vectors * values.unsqueeze(-2)) and ccdl.allclose(vectors.abs().square().sum(-2), ccdl.ones(1, dtype=ccdl.float64))
        leaf = x.requires_grad_()
        # sums that do not depend on the order of the values or the vectors' phases
        assert ccdl.autograd.gradcheck(lambda t: ccdl.linalg.eigvals(t).abs().square().sum(), (leaf,))
        assert ccdl.autograd.gradcheck(lambda t: (ccdl.linalg.eig(t)[1].abs() ** 4).sum(), (leaf,))
        assert ccdl.autograd.gradgradcheck(lambda t: ccdl.linalg.eigvals(t).abs().square().sum(), (leaf,))
    assert ccdl.linalg.eigvals(ccdl.eye(2)).dtype is ccdl.complex64
    for wrong in (ccdl.ones(2, 3), ccdl.ones(2), ccdl.ones(2, 2, dtype=ccdl.int64), ccdl.full((2, 2), float("nan"))):
        with pytest.raises(RuntimeError, match="linalg.eig"):
            ccdl.linalg.eig(wrong)


def test_strides_of_results_are_those_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.random.default_rng(0).standard_normal((4, 4))
    x = x @ x.T + np.eye(4)
    ours, theirs = ccdl.from_numpy(x), torch.from_numpy(x)
    for call in (lambda T, a: T.linalg.cholesky(a), lambda T, a: T.linalg.qr(a)[0], lambda T, a: T.linalg.qr(a)[1], lambda T, a: T.linalg.eigh(a)[1],
                 lambda T, a: T.linalg.svd(a)[0]):
        assert call(ccdl, ours).stride() == call(torch, theirs).stride()


def test_lu_results_have_field_names() -> None:
    a = ccdl.tensor([[1.0, 2.0], [3.0, 5.0]])
    for x in (a, a.clone().requires_grad_()):
        factors, full = ccdl.linalg.lu_factor(x), ccdl.linalg.lu_factor_ex(x)
        assert factors.LU is factors[0] and factors.pivots is factors[1] and len(factors) == 2
        assert full.LU is full[0] and full.pivots is full[1] and full.info is full[2] and len(full) == 3
        parts = ccdl.lu_unpack(factors.LU, factors.pivots)
        np.testing.assert_allclose((parts.P @ parts.L @ parts.U).detach().numpy(), a.numpy(), rtol=1e-6)


def test_norms_of_empty_matrices() -> None:
    """The largest of no sums or singular values is 0, the smallest an error; as PyTorch."""
    for shape in ((0, 0), (0, 3), (3, 0), (2, 0, 0)):
        x = ccdl.zeros(shape)
        for order in (float("inf"), 1, 2, "fro", "nuc"):
            assert ccdl.linalg.matrix_norm(x, order).tolist() == ([0.0, 0.0] if len(shape) == 3 else 0.0)
            assert ccdl.linalg.matrix_norm(x, order, keepdim=True).shape == (*shape[:-2], 1, 1)
        with pytest.raises(IndexError):
            ccdl.linalg.matrix_norm(x, -2)
    assert ccdl.linalg.norm(ccdl.zeros(0, 0), float("inf")).item() == 0
    assert ccdl.linalg.norm(ccdl.zeros(0, 3), -1).item() == 0
    with pytest.raises(IndexError):
        ccdl.linalg.norm(ccdl.zeros(0, 0), -1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_small_matrices_side_by_side(dtype: str) -> None:
    """Matrices up to 8 x 8 of a batch are factorised one to a lane: every order, batches around a vector's length."""
    rng, tol = np.random.default_rng(0), 1e-5 if dtype == "float32" else 1e-12
    for n in range(1, 10):
        for batch in (2, 3, 15, 16, 17, 100):
            a = rng.standard_normal((batch, n, n))
            a = (a @ a.swapaxes(1, 2) + n * np.eye(n)).astype(dtype)
            assert np.allclose(ccdl.linalg.cholesky(ccdl.from_numpy(a)).numpy(), np.linalg.cholesky(a.astype(float)), rtol=tol, atol=tol), (n, batch)
            a = rng.standard_normal((batch, n, n)).astype(dtype)
            lu, pivots = ccdl.linalg.lu_factor(ccdl.from_numpy(a))
            for one, got, rows in zip(a, lu.numpy(), pivots.numpy(), strict=True):
                want, order = scipy.linalg.lu_factor(one.astype(float))
                assert np.array_equal(rows, order + 1) and np.allclose(got, want, rtol=100 * tol, atol=100 * tol), (n, batch)
    a = np.zeros((5, 3, 3), dtype=dtype)
    a[0], a[1, 0, 1], a[2] = np.eye(3), 1, [[1, 2, 3], [1, 2, 4], [1, 2, 5]]
    a[3, 2] = np.nan
    assert ccdl.linalg.lu_factor_ex(ccdl.from_numpy(a))[2].numpy()[[0, 1, 2, 4]].tolist() == [0, 1, 2, 1]
    assert ccdl.linalg.det(ccdl.from_numpy(a)).numpy()[[0, 1, 2, 4]].tolist() == [1, 0, 0, 0]
    a = np.stack([np.eye(3, dtype=dtype)] * 20)
    a[7, 1, 1], a[11, 2, 2], a[13, 0, 0], a[14, 0, 0], a[14, 2, 2] = -1, np.nan, 0, -1, -1
    assert np.flatnonzero(ccdl.linalg.cholesky_ex(ccdl.from_numpy(a))[1].numpy()).tolist() == [7, 11, 13, 14]
    assert ccdl.linalg.cholesky_ex(ccdl.from_numpy(a))[1].numpy()[[7, 11, 13, 14]].tolist() == [2, 3, 1, 1]


def test_gradients_of_composites_have_no_history_unless_asked_for():
    a, tau = ccdl.rand(4, 3, dtype=ccdl.float64, requires_grad=True), ccdl.rand(3, dtype=ccdl.float64, requires_grad=True)
    for create in (False, True):
        grads = ccdl.autograd.grad(ccdl.linalg.householder_product(a, tau).sum(), (a, tau), create_graph=create)
        assert [g.requires_grad for g in grads] == [create, create]
