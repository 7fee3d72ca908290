"""Products and matrices of complex tensors."""

from __future__ import annotations

import math
from typing import Any

from .. import _C, errors
from .._C import Tensor
from . import _dtype, as_complex
from .arithmetic import add, conj, mul, sub
from .reductions import sum_
from .table import OPS, at, both, is_real, op, pair

# --- products ---


def _needs(name: str, tensors: tuple[Any, ...], ranks: tuple[int, ...]) -> None:
    for t, rank in zip(tensors, ranks):
        if not isinstance(t, Tensor):
            raise errors.TypeError(f"{name}(): arguments must be Tensor, not {type(t).__name__}")
        if t.dim() != rank:
            raise errors.ShapeError(f"{name}: {rank}D tensor expected, got sizes {list(t.shape)}")


@op("mm")
def mm(input: Any, mat2: Any) -> Any:
    _needs("mm", (input, mat2), (2, 2))
    return matmul(input, mat2)


@op("bmm")
def bmm(input: Any, mat2: Any) -> Any:
    _needs("bmm", (input, mat2), (3, 3))
    if input.shape[0] != mat2.shape[0]:
        raise errors.ShapeError(
            f"bmm: batch1 and batch2 must have the same batch size, got {input.shape[0]} and {mat2.shape[0]}"
        )
    return matmul(input, mat2)


@op("mv")
def mv(input: Any, vec: Any) -> Any:
    _needs("mv", (input, vec), (2, 1))
    return matmul(input, vec)


@op("matmul")
def matmul(input: Any, other: Any) -> Any:
    a, b = input, other
    if is_real(b):
        b = b.to(_dtype(a))
        return pair(_C.matmul(a.real, b), _C.matmul(a.imag, b))
    if is_real(a):
        a = a.to(_dtype(b))
        return pair(_C.matmul(a, b.real), _C.matmul(a, b.imag))
    ar, ai, br, bi = a.real, a.imag, b.real, b.imag
    return pair(_C.matmul(ar, br) - _C.matmul(ai, bi), _C.matmul(ar, bi) + _C.matmul(ai, br))


def _same_vectors(name: str, a: Any, b: Any) -> None:
    _needs(name, (a, b), (1, 1))
    if a.shape != b.shape:
        raise errors.ShapeError(
            f"{name}: expected both vectors to have one size, got {a.shape[0]} and {b.shape[0]}"
        )


@op("dot")
def dot(input: Any, other: Any) -> Any:
    _same_vectors("dot", input, other)
    return sum_(mul(*both(input, other)))


@op("vdot")
def vdot(input: Any, other: Any) -> Any:
    _same_vectors("vdot", input, other)
    a, b = both(input, other)
    return sum_(mul(conj(a), b))


@op("inner")
def inner(input: Any, other: Any) -> Any:
    a, b = both(input, other)
    return mul(a, b) if not a.ndim or not b.ndim else matmul(a, b.transpose(-2, -1) if b.ndim > 1 else b)


@op("outer", "ger")
def outer(input: Any, vec2: Any) -> Any:
    _needs("outer", (input, vec2), (1, 1))
    a, b = both(input, vec2)
    return mul(a.unsqueeze(1), b.unsqueeze(0))


@op("kron")
def kron(input: Any, other: Any) -> Any:
    a, b = both(input, other)
    n = max(a.ndim, b.ndim)
    a, b = a.reshape(*(1,) * (n - a.ndim), *a.shape), b.reshape(*(1,) * (n - b.ndim), *b.shape)
    left = a.reshape(*(s for size in a.shape for s in (size, 1)))
    right = b.reshape(*(s for size in b.shape for s in (1, size)))
    return mul(left, right).reshape(*(x * y for x, y in zip(a.shape, b.shape, strict=True)))


@op("addmm", "baddbmm", "addmv")
def addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    a, b = both(mat1, mat2)
    return add(mul(as_complex(input, a), beta), mul(matmul(a, b), alpha))


@op("tensordot", "_tensordot")
def tensordot(a: Any, b: Any, left: Any, right: Any) -> Any:
    """Sums of products over the dimensions ``left`` of a and ``right`` of b."""
    x, y = both(a, b)
    left, right = [d % x.ndim for d in left], [d % y.ndim for d in right]
    rows, columns = [d for d in range(x.ndim) if d not in left], [d for d in range(y.ndim) if d not in right]
    shape = [x.shape[d] for d in rows] + [y.shape[d] for d in columns]
    n = math.prod(x.shape[d] for d in left)
    if [x.shape[d] for d in left] != [y.shape[d] for d in right]:
        raise errors.RuntimeError("tensordot: contracted dimensions need to match")
    x = x.permute(*rows, *left).reshape(math.prod(x.shape[d] for d in rows), n)
    y = y.permute(*right, *columns).reshape(n, math.prod(y.shape[d] for d in columns))
    return matmul(x, y).reshape(shape)


@op("_multi_dot", "chain_matmul")
def multi_dot(tensors: Any, *more: Any) -> Any:
    factors = [*tensors, *more] if isinstance(tensors, (list, tuple)) else [tensors, *more]
    result = as_complex(factors[0])
    for factor in factors[1:]:
        result = matmul(result, factor)
    return result


@op("_linalg_cross", "cross")
def cross(input: Any, other: Any, dim: int = -1) -> Any:
    a, b = both(input, other)
    x, y, z = a.unbind(dim)
    u, v, w = b.unbind(dim)
    rows = [sub(mul(y, w), mul(z, v)), sub(mul(z, u), mul(x, w)), sub(mul(x, v), mul(y, u))]
    return OPS["stack"](rows, at(a, dim))


@op("linear")
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    x = matmul(input, weight.transpose(-2, -1) if weight.ndim > 1 else weight)
    return x if bias is None else add(x, bias)


def _convolution(name: str) -> Any:
    def run(input: Any, weight: Any, bias: Any = None, *args: Any, **kwargs: Any) -> Any:
        conv = getattr(_C, name)
        a, b = both(input, weight)
        real = conv(a.real, b.real, None, *args, **kwargs) - conv(a.imag, b.imag, None, *args, **kwargs)
        imag = conv(a.real, b.imag, None, *args, **kwargs) + conv(a.imag, b.real, None, *args, **kwargs)
        y = pair(real, imag)
        return y if bias is None else add(y, bias.reshape(-1, *(1,) * (weight.ndim - 2)))

    return run


for _name in ("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"):
    OPS[_name] = _convolution(_name)


# --- matrices, through the real ones [[X, -Y], [Y, X]] of twice the size ---


def _doubled(z: Any) -> Tensor:
    x, y = z.real, z.imag
    return _C.cat([_C.cat([x, -y], -1), _C.cat([y, x], -1)], -2)


def _halved(w: Tensor, n: int, columns: int) -> Any:
    return pair(w[..., :n, :columns], w[..., n:, :columns])


@op("inverse", "inv")
def inverse(A: Any) -> Any:
    n = A.shape[-1]
    return _halved(_C.inverse(_doubled(A)), n, n)


@op("_linalg_solve")
def solve(A: Any, B: Any, left: bool = True) -> Any:
    a, b = both(A, B)
    if not left:
        return solve(a.transpose(-2, -1), b.transpose(-2, -1)).transpose(-2, -1)
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    b = b.unsqueeze(-1) if vector else b
    right = _C.cat([b.real, b.imag], -2)
    x = _halved(_C._linalg_solve(_doubled(a), right, True), a.shape[-1], b.shape[-1])
    return x.squeeze(-1) if vector else x


@op("_linalg_pinv")
def pinv(A: Any, *tolerances: Any) -> Any:
    return _halved(_C._linalg_pinv(_doubled(A), *tolerances), A.shape[-1], A.shape[-2])


@op("pinverse")
def pinverse(input: Any, rcond: float = 1e-15) -> Any:
    relative = _C.tensor(float(rcond), dtype=_C.float64, device=input.device)
    return pinv(input, None, relative, False)


@op("addr")
def addr(input: Any, vec1: Any, vec2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return add(mul(as_complex(input), beta), mul(outer(vec1, vec2), alpha))


@op("addbmm")
def addbmm(input: Any, batch1: Any, batch2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return add(mul(as_complex(input), beta), mul(sum_(matmul(*both(batch1, batch2)), 0), alpha))


@op("_linalg_svdvals")
def svdvals(A: Any) -> Any:
    """Each singular value stands twice in the doubled matrix."""
    return _C._linalg_svdvals(_doubled(A))[..., ::2]


@op("_linalg_eigvalsh")
def eigvalsh(A: Any, UPLO: str = "L") -> Any:
    """Of Hermitian matrices, of which one triangle is read; each stands twice in the doubled matrix."""
    half = A.tril(-1) if UPLO == "L" else A.triu(1)
    whole = add(add(half, half.mH), OPS["diag_embed"](as_complex(A.diagonal(0, -2, -1).real)))
    return _C._linalg_eigvalsh(_doubled(whole), "L")[..., ::2]


@op("matrix_exp")
def matrix_exp(A: Any) -> Any:
    n = A.shape[-1]
    return _halved(_C.matrix_exp(_doubled(A)), n, n)


@op("matrix_power")
def matrix_power(A: Any, n: int) -> Any:
    size = A.shape[-1]
    return _halved(_C.matrix_power(_doubled(A), n), size, size)
