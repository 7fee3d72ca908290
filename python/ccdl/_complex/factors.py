"""Factorisations of complex matrices.

Reflections H = I - tau v v^H make the off-diagonal entries real (LAPACK's zlarfg), after which eigenvalue and
singular value problems are solved as real ones; triangular ones as real ones of blocks [[x, -y], [y, x]].
Gradients: Giles 2008, "Collected matrix derivative results", with ^H for ^T.
"""

from __future__ import annotations

from typing import Any

from .. import _C, errors
from .._C import Tensor
from ..autograd import Function, no_grad
from . import _dtype, as_complex
from .arithmetic import add, conj, div, mul, sub
from .linalg import matmul
from .table import OPS, both, op, own, pair

# --- pieces ---


def _eye(like: Any, n: int, columns: int) -> Any:
    one = _C.eye(n, columns, dtype=_dtype(like), device=like.device)
    return as_complex(one.expand(*like.shape[:-2], n, columns))


def _blocks(z: Any) -> Tensor:
    """[..., m, n] as the real matrix [..., 2m, 2n] of blocks [[x, -y], [y, x]]."""
    x, y = z.real, z.imag
    wide = _C.stack([_C.stack([x, -y], -1), _C.stack([y, x], -1)], -3)
    return wide.reshape(*z.shape[:-2], 2 * z.shape[-2], 2 * z.shape[-1])


def _unblocked(w: Tensor) -> Any:
    return pair(w[..., 0::2, 0::2], w[..., 1::2, 0::2])


def _diagonal(A: Any) -> Any:
    return OPS["diagonal"](A, 0, -2, -1)


def _cat(parts: Any, dim: int) -> Any:
    return OPS["cat"](parts, dim)


def _reflector(x: Any) -> tuple[Any, Any, Tensor]:
    """(v, tau, beta) of columns x [..., n, 1] with (I - tau v v^H)^H x = beta e_1, v_1 = 1 and beta real."""
    alpha = x[..., :1, :]
    size = _C.norm(x._parts.flatten(-3), 2, -1).reshape(alpha.shape)
    tail = x._parts[..., 1:, :, :].abs().flatten(-3).sum(-1).reshape(alpha.shape)
    still = (tail == 0) & (alpha.imag == 0)
    beta = _C.where(alpha.real.signbit(), size, -size)
    safe = _C.where(still, 1.0, beta)
    tau = own(_C.where(still.unsqueeze(-1), 0.0, div(sub(beta, alpha), safe)._parts))
    lead = own(_C.where(still.unsqueeze(-1), as_complex(_C.ones_like(beta))._parts, sub(alpha, beta)._parts))
    v = _cat([as_complex(_C.ones_like(beta)), div(x[..., 1:, :], lead)], -2)
    return v, tau, _C.where(still, alpha.real, beta)


def _reflected(A: Any, v: Any, tau: Any) -> Any:
    """(I - tau v v^H) A."""
    return sub(A, mul(tau, matmul(v, matmul(v.mH, A))))


def _product(reflectors: Any, like: Any, n: int, columns: int, skip: int = 0) -> Any:
    """The first columns of H_1 H_2 ..., the i-th of which leaves the first i + skip rows alone."""
    Q = _eye(like, n, columns)
    for i in range(len(reflectors) - 1, -1, -1):
        v, tau = reflectors[i]
        top, rest = Q[..., : i + skip, :], Q[..., i + skip :, :]
        Q = _cat([top, _reflected(rest, v, tau)], -2)
    return Q


def _detached(A: Any) -> Any:
    return own(A.detach()._parts.clone())


def _scaled(A: Any) -> tuple[Any, Tensor]:
    """A over a power of two near its largest entry, and that power [..., 1, 1]: no square is out of range."""
    if not A.numel():
        return A, _C.ones((*A.shape[:-2], 1, 1), dtype=_dtype(A), device=A.device)
    largest = A._parts.abs().amax((-3, -2, -1)).unsqueeze(-1).unsqueeze(-1)
    usual = (largest > 0) & largest.isfinite()
    power = _C.exp2(_C.where(usual, largest, 1.0).log2().floor())
    return div(A, power), power


# --- QR ---


def _triangularised(A: Any) -> tuple[Any, Any]:
    """The reflectors and R [..., k, n] of A."""
    m, n = A.shape[-2:]
    rest, rows, found = A, [], []
    for i in range(min(m, n)):
        v, tau, beta = _reflector(rest[..., :1])
        found.append((v, tau))
        after = _reflected(rest[..., 1:], v, conj(tau))
        row = [as_complex(beta), after[..., :1, :]]
        rows.append(_cat([_eye(A, 1, i) * 0, *row] if i else row, -1))
        rest = after[..., 1:, :]
    return found, _cat(rows, -2) if rows else A[..., :0, :]


class _QR(Function):
    """M = gR R^H - Q^H gQ; gA = (gQ + Q (triu(M) + triu(M)^H, its diagonal real and once)) R^-H."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, q: Tensor, r: Tensor, differentiable: bool) -> Any:
        ctx.differentiable = differentiable
        q, r = q.clone(), r.clone()
        ctx.save_for_backward(q, r)
        return q, r

    @staticmethod
    def backward(ctx: Any, gq: Tensor, gr: Tensor) -> Any:
        if not ctx.differentiable:
            raise errors.RuntimeError("linalg.qr: the derivative is of mode='reduced' only")
        q, r = (own(t.clone()) for t in ctx.saved_tensors)
        gq, gr = own(gq.clone()), own(gr.clone())
        upper = OPS["triu"](sub(matmul(gr, r.mH), matmul(q.mH, gq)))
        whole = add(upper, upper.mH)
        diagonal = OPS["diag_embed"](as_complex(_diagonal(upper).real))
        g = add(gq, matmul(q, sub(whole, diagonal)))
        g = solve_triangular(r.mH, g, False, False, False)
        return g._parts, None, None, None


def _qr(A: Any, mode: str) -> tuple[Any, Any]:
    m, n = A.shape[-2:]
    k = min(m, n)
    with no_grad():
        whole, power = _scaled(_detached(A))
        found, R = _triangularised(whole)
        Q = _product(found, R, m, m if mode == "complete" else k)
        R = mul(R, power)
        if mode == "complete" and m > n:
            R = _cat([R, _eye(R, m - n, n) * 0], -2)
    if not (A.requires_grad and _C.is_grad_enabled()):
        return Q, R
    plain = mode == "reduced" or (mode == "complete" and m <= n)
    if plain and m < n:
        Q, first = _qr(A[..., :m], "reduced")
        return Q, _cat([first, matmul(Q.mH, A[..., m:])], -1)
    q, r = _QR.apply(A._parts, Q._parts, R._parts, plain)
    return own(q), own(r)


@op("_linalg_qr")
def qr(A: Any, mode: str = "reduced") -> Any:
    _matrices("linalg.qr", A)
    if mode not in ("reduced", "complete", "r"):
        raise errors.RuntimeError(
            f"linalg.qr: qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), "
            "'r', or 'complete'"
        )
    Q, R = _qr(A, mode)
    return _named("linalg_qr", (A.new_empty(0) if mode == "r" else Q, R))


OPS["qr"] = lambda input, some=True: qr(input, "reduced" if some else "complete")


def _matrices(name: str, A: Any, square: bool = False) -> None:
    if A.ndim < 2:
        raise errors.RuntimeError(f"{name}: The input tensor A must have at least 2 dimensions, got {A.ndim}")
    if square and A.shape[-1] != A.shape[-2]:
        raise errors.RuntimeError(
            f"{name}: A must be batches of square matrices, but they are {A.shape[-2]} by {A.shape[-1]} "
            "matrices"
        )


def _named(kind: str, values: tuple[Any, ...]) -> Any:
    """The result type of the real op of this name."""
    sample = _C.eye(1)
    found = {
        "linalg_qr": lambda: _C._linalg_qr(sample, "reduced"),
        "linalg_svd": lambda: _C._linalg_svd(sample, False),
        "linalg_eigh": lambda: _C._linalg_eigh(sample, "L"),
        "linalg_lu": lambda: _C._linalg_lu(sample),
        "linalg_lu_factor": lambda: _C._linalg_lu_factor(sample),
        "linalg_slogdet": lambda: _C._linalg_slogdet(sample),
        "linalg_cholesky_ex": lambda: _C._linalg_cholesky_ex(sample, False),
        "linalg_inv_ex": lambda: _C._linalg_inv_ex(sample),
    }[kind]()
    return type(found)(values)


@op("_linalg_geqrf")
def geqrf(A: Any) -> Any:
    m, n = A.shape[-2:]
    with no_grad():
        found, R = _triangularised(_detached(A))
        columns = [_cat([_eye(A, i + 1, 1) * 0, v[..., 1:, :]], -2) for i, (v, _) in enumerate(found)]
        low = _cat(columns, -1) if columns else A[..., :0]
        if n > m:
            low = _cat([low, _eye(A, m, n - m) * 0], -1)
        if m > n:
            R = _cat([R, _eye(A, m - n, n) * 0], -2)
        tau = _cat([t.squeeze(-1) for _, t in found], -1) if found else A[..., 0]
    return add(low, R), tau


@op("_linalg_householder_product")
def householder_product(A: Any, tau: Any) -> Any:
    m, n = A.shape[-2:]
    one = as_complex(_C.ones(*A.shape[:-2], 1, 1, dtype=_dtype(A), device=A.device))
    found = []
    for i in range(tau.shape[-1]):
        v = _cat([one, A[..., i + 1 :, i : i + 1]], -2)
        found.append((v, tau[..., i : i + 1].unsqueeze(-1)))
    return _product(found, A, m, n)


# --- eigenvalues, singular values ---


class _Eigh(Function):
    """gA = V (V^H gV / (w_j - w_i) off the diagonal, gw on it) V^H."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, w: Tensor, v: Tensor) -> Any:
        w, v = w.clone(), v.clone()
        ctx.save_for_backward(w, v)
        return w, v

    @staticmethod
    def backward(ctx: Any, gw: Tensor, gv: Tensor) -> Any:
        w, V = ctx.saved_tensors[0], own(ctx.saved_tensors[1].clone())
        gap = w.unsqueeze(-2) - w.unsqueeze(-1)
        eye = _C.eye(w.shape[-1], dtype=w.dtype, device=w.device)
        inner = matmul(V.mH, own(gv.clone()))
        inner = mul(inner, (1 - eye) / (gap + eye))
        inner = add(inner, as_complex(_C.diag_embed(gw)))
        return matmul(matmul(V, inner), V.mH)._parts, None, None


def _tridiagonalised(A: Any) -> tuple[Any, Any]:
    """(Q, T) with A = Q T Q^H and T real."""
    n = A.shape[-1]
    rest, found, main, side = A, [], [], []
    for i in range(n):
        main.append(rest[..., 0, 0].real)
        if i == n - 1:
            break
        v, tau, beta = _reflector(rest[..., 1:, :1])
        found.append((v, tau))
        side.append(beta[..., 0, 0])
        rest = _reflected(rest[..., 1:, 1:], v, conj(tau))
        rest = _reflected(rest.mH, v, conj(tau)).mH
    T = _C.diag_embed(_C.stack(main, -1))
    if side:
        off = _C.diag_embed(_C.stack(side, -1), -1)
        T = T + off + off.mT
    return _product(found, A, n, n, skip=1), T


@op("_linalg_eigh")
def eigh(A: Any, UPLO: str = "L") -> Any:
    _matrices("linalg.eigh", A, square=True)
    if UPLO.upper() not in ("L", "U"):
        raise errors.ValueError(f"linalg.eigh: UPLO must be 'L' or 'U', got {UPLO!r}")
    half = OPS["tril"](A, -1) if UPLO.upper() == "L" else OPS["triu"](A, 1)
    with no_grad():
        part = _detached(half)
        middle = OPS["diag_embed"](as_complex(_diagonal(A).detach().real.clone()))
        if not A.shape[-1]:
            w, V = _C.zeros(tuple(A.shape[:-1]), dtype=_dtype(A)), part
        else:
            whole, power = _scaled(add(add(part, part.mH), middle))
            Q, T = _tridiagonalised(whole)
            w, U = _C._linalg_eigh(T, "L")
            w = w * power[..., 0]
            V = matmul(Q, U)
    if A.requires_grad and _C.is_grad_enabled():
        w, v = _Eigh.apply(A._parts, w, V._parts)
        V = own(v)
    return _named("linalg_eigh", (w, V))


class _SVD(Function):
    """With E_ij = s_j^2 - s_i^2 and the differences X, Y of U^H gU and of V^H gV from their adjoints, over E,
    gA = U (X S + S Y + gS + the imaginary diagonal of U^H gU over S) V^H, and what is outside of U and V."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, u: Tensor, s: Tensor, vh: Tensor) -> Any:
        u, s, vh = u.clone(), s.clone(), vh.clone()
        ctx.save_for_backward(u, s, vh)
        return u, s, vh

    @staticmethod
    def backward(ctx: Any, gu: Tensor, gs: Tensor, gvh: Tensor) -> Any:
        u, s, vh = ctx.saved_tensors
        U, Vh = own(u.clone()), own(vh.clone())
        gU, gV = own(gu.clone()), own(gvh.clone()).mH
        eye = _C.eye(s.shape[-1], dtype=s.dtype, device=s.device)
        square = s * s
        E = (1 - eye) / (square.unsqueeze(-2) - square.unsqueeze(-1) + eye)
        X, Y = matmul(U.mH, gU), matmul(Vh, gV)
        inner = mul(mul(sub(X, X.mH), E), s.unsqueeze(-2))
        inner = add(inner, mul(mul(sub(Y, Y.mH), E), s.unsqueeze(-1)))
        turn = _diagonal(X).imag / s
        inner = add(inner, OPS["diag_embed"](pair(gs, turn)))
        g = matmul(matmul(U, inner), Vh)
        if U.shape[-2] > s.shape[-1]:
            over = mul(gU, 1 / s.unsqueeze(-2))
            g = add(g, matmul(sub(over, matmul(U, matmul(U.mH, over))), Vh))
        if Vh.shape[-1] > s.shape[-1]:
            over = mul(gV, 1 / s.unsqueeze(-2)).mH
            g = add(g, matmul(U, sub(over, matmul(matmul(over, Vh.mH), Vh))))
        return g._parts, None, None, None


def _bidiagonalised(A: Any) -> tuple[Any, Any, Any]:
    """The reflectors of both sides and the real upper bidiagonal matrix of A [..., m, n], m >= n."""
    n = A.shape[-1]
    rest, left, right, main, side = A, [], [], [], []
    for i in range(n):
        v, tau, beta = _reflector(rest[..., :1])
        left.append((v, tau))
        main.append(beta[..., 0, 0])
        if i == n - 1:
            break
        rest = _reflected(rest[..., 1:], v, conj(tau))
        v, tau, beta = _reflector(rest[..., :1, :].mH)
        right.append((v, tau))
        side.append(beta[..., 0, 0])
        rest = _reflected(rest[..., 1:, :].mH, v, conj(tau)).mH
    B = _C.diag_embed(_C.stack(main, -1))
    return left, right, B + _C.diag_embed(_C.stack(side, -1), 1) if side else B


def _svd(A: Any, full: bool) -> tuple[Any, Any, Any]:
    m, n = A.shape[-2:]
    if m < n:
        U, S, Vh = _svd(A.mH, full)
        return Vh.mH, S, U.mH
    if not n:
        return _eye(A, m, m if full else 0), _C.zeros((*A.shape[:-2], 0), dtype=_dtype(A)), _eye(A, 0, 0)
    left, right, B = _bidiagonalised(A)
    u, S, vh = _C._linalg_svd(B, True)
    Q = _product(left, A, m, m if full else n)
    U = matmul(Q[..., :n], u)
    U = _cat([U, Q[..., n:]], -1) if full and m > n else U
    return U, S, matmul(vh, _product(right, A, n, n, skip=1).mH)


@op("_linalg_svd")
def svd(A: Any, full_matrices: bool = True) -> Any:
    _matrices("linalg.svd", A)
    k = min(A.shape[-2:])
    with no_grad():
        whole, power = _scaled(_detached(A))
        U, S, Vh = _svd(whole, full_matrices)
        S = S * power[..., 0]
    if A.requires_grad and _C.is_grad_enabled():
        u, S, vh = _SVD.apply(A._parts, U[..., :k]._parts, S, Vh[..., :k, :]._parts)
        U = _cat([own(u), U[..., k:]], -1) if U.shape[-1] > k else own(u)
        Vh = _cat([own(vh), Vh[..., k:, :]], -2) if Vh.shape[-2] > k else own(vh)
    return _named("linalg_svd", (U, S, Vh))


@op("svd")
def old_svd(input: Any, some: bool = True, compute_uv: bool = True) -> Any:
    U, S, Vh = svd(input, not some)
    if not compute_uv:
        U, Vh = mul(U, 0), mul(Vh, 0)
    return type(_C.svd(_C.eye(1)))((U, S, Vh.mH))


# --- Cholesky, triangular systems ---


@op("_linalg_cholesky_ex")
def cholesky_ex(A: Any, upper: bool = False) -> Any:
    _matrices("linalg.cholesky", A, square=True)
    lower = A.mH if upper else A
    found, info = _C._linalg_cholesky_ex(_blocks(lower), False)
    low = _unblocked(found)
    return _named("linalg_cholesky_ex", (low.mH if upper else low, (info + 1) // 2))


@op("cholesky")
def cholesky(A: Any, upper: bool = False) -> Any:
    low, info = cholesky_ex(A, upper)
    for place, code in enumerate(info.reshape(-1).tolist()):
        if code:
            batch = f"(Batch element {place}): " if A.ndim > 2 else ""
            raise errors.LinAlgError(
                f"linalg.cholesky: {batch}The factorization could not be completed because the input is not "
                f"positive-definite (the leading minor of order {code} is not positive-definite)."
            )
    return low


@op("cholesky_solve")
def cholesky_solve(input: Any, input2: Any, upper: bool = False) -> Any:
    B, low = both(input, input2)
    low = low.mH if upper else low
    return solve_triangular(low.mH, solve_triangular(low, B, False), True)


@op("cholesky_inverse")
def cholesky_inverse(input: Any, upper: bool = False) -> Any:
    return cholesky_solve(_eye(input, input.shape[-1], input.shape[-1]), input, upper)


@op("_linalg_solve_triangular")
def solve_triangular(A: Any, B: Any, upper: bool, left: bool = True, unitriangular: bool = False) -> Any:
    """Rows are divided by the diagonal, after which the real matrix of blocks is triangular as well."""
    a, b = both(A, B)
    if not left:
        return solve_triangular(a.mT, b.mT, not upper, True, unitriangular).mT
    n = a.shape[-1]
    if not unitriangular:
        diagonal = _diagonal(a).unsqueeze(-1)
        a, b = div(a, diagonal), div(b, diagonal)
    strict = OPS["triu"](a, 1) if upper else OPS["tril"](a, -1)
    right = _C.stack([b.real, b.imag], -2).reshape(*b.shape[:-2], 2 * b.shape[-2], b.shape[-1])
    x = _C._linalg_solve_triangular(_blocks(add(strict, _eye(a, n, n))), right, upper, True, True)
    return pair(x[..., 0::2, :], x[..., 1::2, :])


@op("triangular_solve")
def triangular_solve(
    input: Any, A: Any, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> Any:
    a = A.mT if transpose else A
    return solve_triangular(a, input, upper != transpose, True, unitriangular), A.clone()


@op("_linalg_inv_ex")
def inv_ex(A: Any) -> Any:
    _matrices("linalg.inv", A, square=True)
    found, info = _C._linalg_inv_ex(_blocks(A))
    return _named("linalg_inv_ex", (_unblocked(found), (info + 1) // 2))


# --- LU ---


def _eliminated(A: Any) -> tuple[Any, Tensor, Tensor, Tensor]:
    """(packed L and U, the row each row came from, pivots, info), rows chosen by |x| + |y|."""
    m, n = A.shape[-2:]
    x, y = A.real.clone(), A.imag.clone()
    batch = A.shape[:-2]
    order = _C.arange(m, device=A.device).expand(*batch, m).clone()
    info = _C.zeros(tuple(batch), dtype=_C.int32, device=A.device)
    pivots = []
    for i in range(min(m, n)):
        place = (x[..., i:, i].abs() + y[..., i:, i].abs()).argmax(-1, keepdim=True) + i
        pivots.append(place)
        swap = _C.arange(m, device=A.device).expand(*batch, m).clone()
        swap[..., i : i + 1] = place
        swap.scatter_(-1, place, i)
        order = order.gather(-1, swap)
        rows = swap.unsqueeze(-1).expand(*batch, m, n)
        x, y = x.gather(-2, rows), y.gather(-2, rows)
        none = (x[..., i, i] == 0) & (y[..., i, i] == 0)
        info = _C.where(none & (info == 0), i + 1, info)
        head = pair(_C.where(none, 1.0, x[..., i, i]), y[..., i, i]).unsqueeze(-1)
        factor = div(pair(x[..., i + 1 :, i], y[..., i + 1 :, i]), head)
        x[..., i + 1 :, i], y[..., i + 1 :, i] = factor.real, factor.imag
        step = mul(factor.unsqueeze(-1), pair(x[..., i, i + 1 :], y[..., i, i + 1 :]).unsqueeze(-2))
        x[..., i + 1 :, i + 1 :] -= step.real
        y[..., i + 1 :, i + 1 :] -= step.imag
    chosen = _C.cat(pivots, -1) if pivots else _C.zeros((*batch, 0), dtype=_C.int64, device=A.device)
    return pair(x, y), order, (chosen + 1).to(_C.int32), info.to(_C.int32)


class _LU(Function):
    """gA = L^-H (tril(L^H gL, -1) + triu(gU U^H)) U^-H of square matrices whose rows are in order."""

    @staticmethod
    def forward(ctx: Any, parts: Tensor, low: Tensor, up: Tensor) -> Any:
        low, up = low.clone(), up.clone()
        ctx.save_for_backward(low, up)
        return low, up

    @staticmethod
    def backward(ctx: Any, glow: Tensor, gup: Tensor) -> Any:
        L, U = (own(t.clone()) for t in ctx.saved_tensors)
        if L.shape[-2] != U.shape[-1]:
            raise errors.NotImplementedError(
                "linalg.lu: the derivative of complex matrices that are not square is not supported"
            )
        inner = OPS["tril"](matmul(L.mH, own(glow.clone())), -1)
        inner = add(inner, OPS["triu"](matmul(own(gup.clone()), U.mH)))
        inner = solve_triangular(L.mH, inner, True, True, True)
        return solve_triangular(U.mH, inner, False, False, False)._parts, None, None


def _lu(A: Any) -> tuple[Any, Any, Tensor, Tensor, Tensor]:
    """(L, U, order, pivots, info)."""
    _matrices("linalg.lu", A)
    m, n = A.shape[-2:]
    k = min(m, n)
    with no_grad():
        packed, order, pivots, info = _eliminated(A.detach())
        L = add(OPS["tril"](packed[..., :k], -1), _eye(packed, m, k))
        U = OPS["triu"](packed[..., :k, :])
    if A.requires_grad and _C.is_grad_enabled():
        rows = order.unsqueeze(-1).unsqueeze(-1).expand(*A.shape, 2)
        low, up = _LU.apply(A._parts.gather(-3, rows), L._parts, U._parts)
        L, U = own(low), own(up)
    return L, U, order, pivots, info


@op("_linalg_lu")
def lu(A: Any) -> Any:
    L, U, order, _, _ = _lu(A)
    P = _one_hot(order, A.shape[-2])
    return _named("linalg_lu", (as_complex(P.mT.to(_dtype(A))), L, U))


def _one_hot(order: Tensor, n: int) -> Tensor:
    return order.unsqueeze(-1) == _C.arange(n, device=order.device)


@op("_linalg_lu_factor")
def lu_factor(A: Any) -> Any:
    L, U, _, pivots, info = _lu(A)
    m, n = A.shape[-2:]
    low = OPS["tril"](L, -1)
    low = _cat([low, _eye(A, m, n - m) * 0], -1) if n > m else low
    up = _cat([U, _eye(A, m - n, n) * 0], -2) if m > n else U
    return _named("linalg_lu_factor", (add(low, up), pivots, info))


def _signed_diagonal(A: Any, name: str) -> tuple[Any, Tensor]:
    _matrices(name, A, square=True)
    _, U, _, pivots, _ = _lu(A)
    places = _C.arange(1, A.shape[-1] + 1, device=A.device)
    return _diagonal(U), 1 - 2 * ((pivots != places).sum(-1) % 2).to(_dtype(A))


@op("det")
def det(A: Any) -> Any:
    diagonal, sign = _signed_diagonal(A, "linalg.det")
    return mul(OPS["prod"](diagonal, -1), sign)


@op("_linalg_slogdet", "slogdet")
def slogdet(A: Any) -> Any:
    diagonal, sign = _signed_diagonal(A, "linalg.slogdet")
    size = diagonal.abs()
    turns = div(diagonal, as_complex(_C.where(size == 0, 1.0, size)))
    return _named("linalg_slogdet", (mul(OPS["prod"](turns, -1), sign), size.log().sum(-1)))


@op("logdet")
def logdet(A: Any) -> Any:
    sign, size = slogdet(A)
    return add(OPS["log"](sign), size)


@op("_linalg_lu_solve")
def lu_solve(LU: Any, pivots: Tensor, B: Any, left: bool = True, adjoint: bool = False) -> Any:
    a, b = both(LU, B)
    if not left:
        return lu_solve(a, pivots, b.mH, True, not adjoint).mH
    order = _row_order(pivots, a.shape[-1])
    if adjoint:
        y = solve_triangular(a.mH, b, False)
        y = solve_triangular(a.mH, y, True, True, True)
        return _gathered(y, order.argsort(-1))
    return solve_triangular(a, solve_triangular(a, _gathered(b, order), False, True, True), True)


OPS["lu_solve"] = lambda input, data, pivots: lu_solve(data, pivots, input)


def _row_order(pivots: Tensor, n: int) -> Tensor:
    order = _C.arange(n, device=pivots.device).expand(*pivots.shape[:-1], n).clone()
    for i in range(pivots.shape[-1]):
        place = pivots[..., i : i + 1].to(_C.int64) - 1
        here, there = order[..., i : i + 1].clone(), order.gather(-1, place)
        order.scatter_(-1, place, here)
        order[..., i : i + 1] = there
    return order


def _gathered(b: Any, order: Tensor) -> Any:
    shape = _C.broadcast_tensors([b.real.sum((-2, -1)), order.sum(-1)])[0].shape
    parts = b._parts.expand(*shape, *b._parts.shape[-3:])
    rows = order.expand(*shape, order.shape[-1]).unsqueeze(-1).unsqueeze(-1).expand(parts.shape)
    return own(parts.gather(-3, rows))
