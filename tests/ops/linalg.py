"""Dense linear algebra. Factors are checked by what they multiply to, and by NumPy's where they are unique."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from opcase import FULL_FLOATS, ErrorCase, OpCase, Sample

R = RuntimeError
SQUARE = [(1, 1), (2, 2), (3, 3), (5, 5), (2, 4, 4), (2, 1, 3, 3), (0, 3, 3), (0, 0), (2, 0, 0), (33, 33), (200, 200)]
TALL = [(3, 3), (5, 3), (1, 1), (2, 4, 2), (0, 3, 2), (9, 1), (70, 20), (130, 101)]
WIDE = [(3, 5), (1, 4), (2, 2, 3), (20, 70), (97, 120)]


def regular(rng, shape):
    """Well conditioned: a random matrix plus a multiple of the identity."""
    return rng.standard_normal(shape) + 2 * np.sqrt(shape[-1]) * np.eye(shape[-1])


def matrices(shapes, draw=lambda rng, s: rng.standard_normal(s), **kwargs):
    def samples(rng):
        for s in shapes:
            x = np.asarray(draw(rng, s))
            yield Sample(x, **kwargs).but(k=max(1, x.size), grad=x.size <= 64, nonfinite=False, layouts=x.size < 500)

    return samples


def systems(rng):
    for a, b in [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 1)), ((2, 3, 3), (2, 3)), ((3, 3), (4, 3, 2)), ((0, 3, 3), (0, 3, 2)), ((4, 1, 2, 2), (3, 2, 2)),
                 ((1, 1), (1, 1)), ((150, 150), (150, 20)), ((2, 2), (2, 0))]:
        x, y = regular(rng, a), rng.standard_normal(b)
        yield Sample(x, y).but(k=a[-1] ** 2, grad=x.size <= 64, nonfinite=False)


def np_solve(a, b):
    if b.ndim == 1 or (a.ndim - 1 == b.ndim and a.shape[:-1] == b.shape):
        return np.linalg.solve(a, b[..., None])[..., 0]
    return np.linalg.solve(a, b)


def triangles(rng):
    for upper in (False, True):
        for a, b in [((3, 3), (3, 2)), ((2, 3, 3), (3, 1)), ((1, 1), (1, 4)), ((0, 2, 2), (0, 2, 3)), ((150, 150), (150, 20))]:
            x = regular(rng, a)
            for unit in (False, True):
                x2 = x / 20 if unit else x
                yield Sample(x2, rng.standard_normal(b), upper=upper, unitriangular=unit).but(k=a[-1] ** 2, grad=x.size <= 64, nonfinite=False)


def np_triangular(a, b, upper, unitriangular):
    t = np.triu(a) if upper else np.tril(a)
    if unitriangular:
        i = np.arange(a.shape[-1])
        t[..., i, i] = 1
    return np.linalg.solve(t, np.broadcast_to(b, t.shape[:-2] + b.shape[-2:]))


def symmetric(T, x):
    return x @ x.mT + T.eye(x.shape[-1], dtype=x.dtype, device=x.device)


def np_symmetric(x):
    return x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1])


def qr_parts(T, x, mode):
    q, r = T.linalg.qr(x, mode)
    return q @ r, q.mT @ q, r.triu() - r, q.abs(), r.abs()


def np_qr_parts(x, mode):
    q, r = np.linalg.qr(x, mode)
    return x, np.swapaxes(q, -1, -2) @ q, 0 * r, np.abs(q), np.abs(r)


def svd_parts(T, x, full):
    u, s, vh = T.linalg.svd(x, full_matrices=full)
    k = s.shape[-1]
    return (u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], u.mT @ u, vh @ vh.mT, s


def np_svd_parts(x, full):
    u, s, vh = np.linalg.svd(x, full_matrices=full)
    eye = np.eye
    return (x, np.broadcast_to(eye(u.shape[-1]), x.shape[:-2] + 2 * u.shape[-1:]),
            np.broadcast_to(eye(vh.shape[-2]), x.shape[:-2] + 2 * (vh.shape[-2],)), s)


def eigh_parts(T, x):
    w, v = T.linalg.eigh(symmetric(T, x))
    return w, (v * w.unsqueeze(-2)) @ v.mT, v.abs()


def np_eigh_parts(x):
    w, v = np.linalg.eigh(np_symmetric(x))
    return w, np_symmetric(x), np.abs(v)


def np_lu(x):
    flat = x.reshape(-1, *x.shape[-2:])
    m, n = x.shape[-2:]
    k = min(m, n)
    parts = [scipy.linalg.lu(f) if f.size else (np.eye(m), np.zeros((m, k)), np.zeros((k, n))) for f in flat]
    shapes = ((m, m), (m, k), (k, n))
    return tuple(np.array([p[i] for p in parts]).reshape(*x.shape[:-2], *s) if len(flat) else np.zeros((*x.shape[:-2], *s))
                 for i, s in enumerate(shapes))


def lu_round(T, a, b):
    lu, pivots = T.linalg.lu_factor(a)
    solved = T.linalg.lu_solve(lu, pivots, b)
    return solved, T.linalg.lu_solve(lu, pivots, b, adjoint=True), T.linalg.lu_solve(lu, pivots, b.mT, left=False)


def np_lu_round(a, b):
    at, bt = np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)
    return np.linalg.solve(a, b), np.linalg.solve(at, b), np.swapaxes(np.linalg.solve(at, b), -1, -2) + 0 * bt


def lu_systems(rng):
    for a, b in [((3, 3), (3, 2)), ((2, 3, 3), (2, 3, 1)), ((1, 1), (1, 1)), ((0, 3, 3), (0, 3, 2)), ((120, 120), (120, 9))]:
        yield Sample(regular(rng, a), rng.standard_normal(b)).but(k=a[-1] ** 2, grad=np.prod(a) <= 64, nonfinite=False)


def least_squares(rng):
    for a, b in [((5, 3), (5, 2)), ((3, 5), (3, 2)), ((4, 4), (4, 1)), ((5, 3), (5,)), ((30, 8), (30, 3))]:
        yield Sample(rng.standard_normal(a), rng.standard_normal(b)).but(k=a[0] * 20, nonfinite=False, grad=a[0] < 10)
    yield Sample(rng.standard_normal((5, 2)) @ rng.standard_normal((2, 3)), rng.standard_normal((5, 2))).but(
        k=1000, nonfinite=False, grad=False, layouts=False, dtypes=("float64",))


def pairs(rng):
    for a, b, dim in [((3,), (3,), -1), ((4, 3), (4, 3), -1), ((3, 4), (3, 4), 0), ((4, 3), (1, 3), 1), ((0, 3), (0, 3), -1), ((2, 3, 5), (2, 3, 5), 1)]:
        yield Sample(rng.standard_normal(a), rng.standard_normal(b), dim=dim).but(nonfinite=False)


def vectors(rng):
    for s, n in [((4,), None), ((2, 3), None), ((3,), 5), ((0, 3), 2)]:
        yield Sample(rng.standard_normal(s), N=n)


def square_errors(name, call=None):
    call = call or (lambda T, a: getattr(T.linalg, name)(a))
    return [ErrorCase(lambda T: call(T, T.ones(2, 3)), R, (name, "square", "2 by 3")),
            ErrorCase(lambda T: call(T, T.ones(3)), R, (name, "at least 2 dimensions")),
            ErrorCase(lambda T: call(T, T.ones(2, 2, dtype=T.int64)), R, (name, "floating point"))]


def reflectors(rng):
    for shape, k in [((3, 3), 3), ((5, 3), 3), ((5, 3), 2), ((4, 2), 0), ((2, 4, 3), 3), ((0, 4, 3), 2), ((1, 1), 1), ((60, 40), 40)]:
        a, tau = rng.standard_normal(shape), rng.uniform(0, 1.5, (*shape[:-2], k))
        yield Sample(a, tau).but(k=a.size, grad=a.size <= 64 and k > 0, nonfinite=False)


def np_householder_product(a, tau):
    result = np.broadcast_to(np.eye(*a.shape[-2:]), a.shape)
    for i in range(tau.shape[-1] - 1, -1, -1):
        v = np.tril(a, -1)[..., i : i + 1] + np.eye(*a.shape[-2:])[:, i : i + 1]
        result = result - tau[..., i : i + 1, None] * v @ (np.swapaxes(v, -1, -2) @ result)
    return result


SETTINGS = {"dtypes": FULL_FLOATS, "nonfinite": False, "layouts": ("transposed", "sliced")}


def norm_case(order):
    return OpCase(f"linalg_matrix_norm_{order}", lambda T, x: T.linalg.matrix_norm(x, order), ref=lambda x: np.linalg.norm(x, order, axis=(-2, -1)),
                  samples=matrices([(3, 3), (5, 3), (2, 3, 4), (0, 3, 2)]), **SETTINGS)


CASES = [
    OpCase("linalg_cholesky", lambda T, x: T.linalg.cholesky(symmetric(T, x)), lambda x: np.linalg.cholesky(np_symmetric(x)),
           matrices([s for s in SQUARE if s != (200, 200)]), simd=True, **SETTINGS, errors=[
               *square_errors("cholesky"),
               ErrorCase(lambda T: T.linalg.cholesky(-T.eye(2)), R, ("linalg.cholesky", "not positive-definite", "order 1")),
               ErrorCase(lambda T: T.linalg.cholesky(T.stack([T.eye(3), -T.eye(3)])), R, ("Batch element 1", "order 1")),
               ErrorCase(lambda T: T.linalg.cholesky(T.full((2, 2), float("nan"))), R, ("not positive-definite",))]),
    OpCase("linalg_cholesky_upper", lambda T, x: T.linalg.cholesky(symmetric(T, x), upper=True),
           lambda x: np.swapaxes(np.linalg.cholesky(np_symmetric(x)), -1, -2), matrices([(3, 3), (0, 2, 2), (250, 250)]), **SETTINGS),
    OpCase("linalg_inv", "linalg.inv", np.linalg.inv, matrices(SQUARE, regular), out=True, **SETTINGS, errors=[
        *square_errors("inv"), ErrorCase(lambda T: T.linalg.inv(T.zeros(2, 2)), R, ("linalg.inv", "element 1 is zero", "singular"))]),
    OpCase("linalg_solve", "linalg.solve", np_solve, systems, out=True, simd=True, **SETTINGS, errors=[
        *square_errors("solve", lambda T, a: T.linalg.solve(a, a)),
        ErrorCase(lambda T: T.linalg.solve(T.ones(2, 2), T.ones(2, 1)), R, ("linalg.solve", "singular")),
        ErrorCase(lambda T: T.linalg.solve(T.ones(3, 2, 2), T.ones(3, 2, 1)), R, ("Batch element 0", "singular")),
        ErrorCase(lambda T: T.linalg.solve(T.eye(2), T.ones(3, 1)), R, ("linalg.solve", "AX = B", "2x2 and 3x1")),
        ErrorCase(lambda T: T.linalg.solve(T.eye(2), T.ones(2, 1, dtype=T.float64)), R, ("linalg.solve", "same dtype"))]),
    OpCase("linalg_solve_right", lambda T, a, b: T.linalg.solve(a, b, left=False),
           lambda a, b: np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2),
           lambda rng: iter([Sample(regular(rng, (3, 3)), rng.standard_normal((2, 3))), Sample(regular(rng, (0, 3, 3)), rng.standard_normal((0, 2, 3)))]),
           **SETTINGS),
    OpCase("linalg_solve_triangular", "linalg.solve_triangular", np_triangular, triangles, out=True, simd=True, **SETTINGS, errors=[
        ErrorCase(lambda T: T.linalg.solve_triangular(T.eye(2), T.ones(3, 1), upper=True), R, ("solve_triangular", "AX = B", "2x2 and 3x1")),
        ErrorCase(lambda T: T.linalg.solve_triangular(T.eye(2), T.ones(2), upper=True), R, ("solve_triangular", "B", "at least 2 dimensions"))]),
    OpCase("linalg_householder_product", "linalg.householder_product", np_householder_product, reflectors, out=True, **SETTINGS, errors=[
        ErrorCase(lambda T: T.linalg.householder_product(T.ones(2, 3), T.ones(2)), R, ("householder_product", "input.shape[-2]")),
        ErrorCase(lambda T: T.linalg.householder_product(T.ones(2, 3, 2), T.ones(2)), R, ("householder_product", "batch dimensions of tau"))]),
    OpCase("linalg_det", "linalg.det", np.linalg.det, matrices([s for s in SQUARE if s[-1] < 30], lambda rng, s: rng.standard_normal(s)), out=True, **SETTINGS,
           errors=square_errors("det")),
    OpCase("linalg_slogdet", lambda T, x: T.linalg.slogdet(x)[0].detach() * T.linalg.slogdet(x)[1], lambda x: np.prod(np.linalg.slogdet(x), 0), matrices(SQUARE, regular), grad=True, **SETTINGS),
    OpCase("logdet", "logdet", lambda x: np.linalg.slogdet(x)[1], matrices([(2, 2), (2, 3, 3), (0, 2, 2)], regular), **SETTINGS),
    OpCase("linalg_lu", lambda T, x: tuple(T.linalg.lu(x))[1:], lambda x: np_lu(x)[1:], matrices([*TALL, *WIDE, (110, 130), (130, 110)]), simd=True, **SETTINGS),
    OpCase("linalg_lu_solve", lu_round, np_lu_round, lu_systems, **SETTINGS, errors=[
        ErrorCase(lambda T: T.linalg.lu_factor(T.zeros(2, 2)), R, ("linalg.lu_factor", "U[1,1] is zero"))]),
    OpCase("linalg_qr", lambda T, x: qr_parts(T, x, "reduced"), lambda x: np_qr_parts(x, "reduced"), matrices([*TALL, *WIDE]), simd=True, **SETTINGS, errors=[
        ErrorCase(lambda T: T.linalg.qr(T.ones(2, 2), mode="x"), R, ("qr", "'x'", "'reduced'")),
        ErrorCase(lambda T: T.linalg.qr(T.ones(2)), R, ("qr", "at least 2 dimensions")),
        ErrorCase(lambda T: T.linalg.qr(T.ones(2, 2, requires_grad=True), mode="r").R.sum().backward(), R, ("mode='r'",))]),
    OpCase("linalg_qr_complete", lambda T, x: qr_parts(T, x.detach(), "complete"), lambda x: np_qr_parts(x, "complete"), matrices(TALL), grad=False, **SETTINGS),
    OpCase("linalg_svd", lambda T, x: svd_parts(T, x, False), lambda x: np_svd_parts(x, False), matrices([*TALL, *WIDE]), simd=True, **SETTINGS, errors=[
        ErrorCase(lambda T: T.linalg.svd(T.full((2, 2), float("nan"))), R, ("linalg.svd", "non-finite"))]),
    OpCase("linalg_svd_full", lambda T, x: svd_parts(T, x.detach(), True), lambda x: np_svd_parts(x, True), matrices([*TALL, *WIDE]), grad=False, **SETTINGS),
    OpCase("linalg_svdvals", "linalg.svdvals", lambda x: np.linalg.svd(x, compute_uv=False), matrices([*TALL, *WIDE]), simd=True, **SETTINGS),
    OpCase("linalg_eigh", eigh_parts, np_eigh_parts, matrices([s for s in SQUARE if s[-1] < 100]), simd=True, **SETTINGS, errors=[
        *square_errors("eigh"), ErrorCase(lambda T: T.linalg.eigh(T.eye(2), UPLO="x"), R, ("UPLO", "x"))]),
    OpCase("linalg_eigvalsh", lambda T, x: T.linalg.eigvalsh(x + x.mT, UPLO="U"), lambda x: np.linalg.eigvalsh(x + np.swapaxes(x, -1, -2), "U"),
           matrices([(3, 3), (2, 4, 4), (0, 2, 2), (24, 24), (25, 25), (97, 97), (150, 150)]),
           simd=True, **SETTINGS),
    OpCase("linalg_pinv", "linalg.pinv", np.linalg.pinv, matrices([(3, 3), (5, 3), (3, 5), (2, 4, 2), (0, 3, 2), (1, 1)]), **SETTINGS, errors=[
        ErrorCase(lambda T: T.linalg.pinv(T.ones(2)), R, ("pinv", "2"))]),
    OpCase("linalg_lstsq", lambda T, a, b: T.linalg.lstsq(a, b)[0], lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0], least_squares, empty=False,
           torch=lambda T, a, b: T.linalg.lstsq(a, b.unsqueeze(-1) if b.dim() == 1 else b, driver="gelsd")[0].reshape(-1 if b.dim() == 1 else (a.shape[-1], b.shape[-1]))
           if b.dim() > 1 else T.linalg.lstsq(a, b.unsqueeze(-1), driver="gelsd")[0].squeeze(-1),
           why="the default driver of PyTorch has no gradient for wide matrices; no empty systems", **SETTINGS, errors=[
               ErrorCase(lambda T: T.linalg.lstsq(T.ones(3, 2), T.ones(4, 1)), R, ("linalg.lstsq", "(-2)"))]),
    OpCase("linalg_matrix_rank", "linalg.matrix_rank", np.linalg.matrix_rank, matrices([(3, 3), (5, 3), (2, 2, 4), (0, 2, 2)]), grad=False, result="int64", **SETTINGS),
    OpCase("linalg_cond", "linalg.cond", np.linalg.cond, matrices([(3, 3), (2, 4, 4), (0, 2, 2)], regular), **SETTINGS),
    OpCase("linalg_matrix_exp", "linalg.matrix_exp", lambda x: scipy.linalg.expm(x) if x.size else x, matrices([(2, 2), (3, 3), (2, 3, 3), (0, 0), (1, 1)]), **SETTINGS,
           errors=square_errors("matrix_exp")),
    OpCase("linalg_matrix_power_negative", lambda T, x: T.linalg.matrix_power(x, -3), lambda x: np.linalg.matrix_power(x, -3),
           matrices([(2, 2), (2, 3, 3), (0, 2, 2)], regular), **SETTINGS,
           errors=[ErrorCase(lambda T: T.linalg.matrix_power(T.zeros(2, 2), -1), R, ("linalg.inv", "singular"))]),
    OpCase("linalg_cross", "linalg.cross", lambda a, b, dim: np.moveaxis(np.cross(np.moveaxis(a, dim, -1), np.moveaxis(b, dim, -1)), -1, dim), pairs,
           dtypes=FULL_FLOATS, out=True, nonfinite=False, errors=[
               ErrorCase(lambda T: T.linalg.cross(T.ones(2, 2), T.ones(2, 2)), R, ("linalg.cross", "length 3", "2 and 2")),
               ErrorCase(lambda T: T.cross(T.ones(2, 2), T.ones(2, 2)), R, ("no dimension of size 3",))]),
    OpCase("linalg_vander", "linalg.vander", lambda x, N: x[..., None] ** np.arange(N or x.shape[-1]), vectors,
           dtypes=FULL_FLOATS, nonfinite=False, errors=[ErrorCase(lambda T: T.linalg.vander(T.ones(3), N=1), R, ("N must be greater than 1",))]),
    OpCase("cholesky_solve", lambda T, a, b: T.cholesky_solve(b, T.linalg.cholesky(symmetric(T, a))), lambda a, b: np.linalg.solve(np_symmetric(a), b), lu_systems,
           **SETTINGS),
    OpCase("cholesky_inverse", lambda T, a: T.cholesky_inverse(T.linalg.cholesky(symmetric(T, a), upper=True), upper=True),
           lambda a: np.linalg.inv(np_symmetric(a)), matrices([(3, 3), (2, 2, 2), (0, 2, 2)], regular), **SETTINGS),
    norm_case("nuc"), norm_case(2), norm_case(-2),
]
