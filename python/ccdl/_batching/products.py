"""Rules for products of matrices, linear layers and solvers.

A weight that all samples share but have gradients of their own by (its values lie expanded, with stride 0
along the samples) is multiplied once; only its gradient has the samples' dimension.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd.function import Function
from .core import Batched, Rule


class SharedProduct(Function):
    """y = x w (or x w^T) per sample, x [B, M, K], w the same for all b: one product of B M rows.
    dx = dy w^T, dw[b] = x[b]^T dy[b].
    """

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, transposed: bool) -> Any:
        ctx.save_for_backward(x, w)
        ctx.transposed = transposed
        one = w.select(0, 0)
        if transposed:
            return _C.linear(x, one)
        return _C.matmul(x.reshape(-1, x.shape[-1]), one).reshape(*x.shape[:-1], one.shape[-1])

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        dx = dw = None
        if ctx.needs_input_grad[0]:
            dx = SharedProduct.apply(g, w, not ctx.transposed)
        if ctx.needs_input_grad[1]:
            left, right = (g, x) if ctx.transposed else (x, g)
            if x.shape[1] == 1:
                dw = left.transpose(1, 2) * right
            else:
                dw = _C.bmm(left.transpose(1, 2), right)
        return dx, dw, None


def is_shared(value: Any) -> bool:
    """Whether all samples of a value are the same memory."""
    return type(value) is not Batched and value.shape[0] > 1 and value.stride(0) == 0


def product(x: Any, w: Any, transposed: bool) -> Any:
    """[B, M, K] times [B, K, N] (or [B, N, K] transposed)."""
    if is_shared(w):
        return SharedProduct.apply(x, w, transposed)
    return _C.bmm(x, w.transpose(1, 2) if transposed else w)


def linear(c: Any, x: Any, w: Any, b: Any = None) -> Any:
    if not c.holds(w):
        if b is not None and c.holds(b):
            y = c.all(c.func(x, w)) if not c.holds(x) else c.func(x._value, w)
            return c.wrap(y + c.aligned(b, y.dim() - 1))
        return c.wrap(c.func(x._value, w, b))
    if w.dim() != 2 or x.dim() == 0:
        return NotImplemented
    value = c.all(x)
    if not c.holds(x) and not is_shared(w._value) and not w.requires_grad and x.dim() == 2:
        # one product with the weights side by side
        y = _C.linear(x, w._value.flatten(0, 1)).reshape(x.shape[0], c.frame.size, -1).transpose(0, 1)
    else:
        rows = value.reshape(c.frame.size, -1, value.shape[-1])
        y = product(rows, w._value, True)
        if y.dim() != value.dim() or y.shape[1] != value.shape[1]:
            y = y.reshape(*value.shape[:-1], y.shape[-1])
    if b is not None:
        y = y + c.aligned(b, y.dim() - 1)
    return c.wrap(y)


def matmul(c: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    if kwargs.get("out") is not None or a.dim() == 0 or b.dim() == 0:
        return NotImplemented
    if a.dim() == 1 and b.dim() == 1:
        return c.wrap((c.aligned(a, 1) * c.aligned(b, 1)).sum(-1))
    if a.dim() == 1:
        return matmul(c, a.unsqueeze(0), b).squeeze(-2)
    if b.dim() == 1:
        if a.dim() == 2 and not c.holds(a):
            return c.wrap(_C.linear(b._value, a))
        return matmul(c, a, b.unsqueeze(-1)).squeeze(-1)
    if b.dim() == 2 and not c.holds(b):
        return c.wrap(_C.matmul(a._value, b))
    if a.dim() == 2 and b.dim() == 2:
        if c.holds(a) and c.holds(b):
            return c.wrap(product(a._value, b._value, False))
        if not c.holds(a) and not b.requires_grad and not a.requires_grad:
            return c.wrap(_C.matmul(a, b._value))
    rank = max(a.dim(), b.dim())
    return c.wrap(_C.matmul(c.aligned(a, rank), c.aligned(b, rank)))


def ranked(first: int, second: int) -> Rule:
    """matmul under a name that asks for the dimensions of its arguments."""

    def rule(c: Any, a: Any, b: Any, **kwargs: Any) -> Any:
        if a.dim() != first or b.dim() != second or a.dtype is not b.dtype:
            return NotImplemented
        return matmul(c, a, b, **kwargs)

    return rule


def inner(c: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    if kwargs or a.dim() == 0 or b.dim() == 0:
        return NotImplemented
    if b.dim() == 1:
        return a @ b
    return b @ a if a.dim() == 1 else NotImplemented


def outer(c: Any, a: Any, b: Any, **kwargs: Any) -> Any:
    if kwargs or a.dim() != 1 or b.dim() != 1:
        return NotImplemented
    return a.unsqueeze(1) * b.unsqueeze(0)


def added(c: Any, x: Any, a: Any, b: Any, *, beta: Any = 1, alpha: Any = 1, out: Any = None) -> Any:
    """beta x + alpha (a b)"""
    ranks = _ADDED[c.name]
    if out is not None or (a.dim(), b.dim()) != ranks:
        return NotImplemented
    y = a.unsqueeze(1) * b.unsqueeze(0) if c.name == "addr" else a @ b
    if c.name == "addbmm":
        y = y.sum(0)
    y = y if alpha == 1 else y * alpha
    return y if beta == 0 else y + (x if beta == 1 else x * beta)


_ADDED = {"addmm": (2, 2), "addmv": (2, 1), "addr": (1, 1), "baddbmm": (3, 3), "addbmm": (3, 3)}


def einsum(c: Any, equation: str, operands: Any) -> Any:
    """One letter more, for the samples, in the operands that differ and in the result."""
    text = equation.replace(" ", "")
    free = next((letter for letter in _LETTERS if letter not in text), None)
    if free is None:
        return NotImplemented
    left, arrow, right = text.partition("->")
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        right = ("..." if "..." in left else "") + "".join(
            sorted(s for s in set(letters) if letters.count(s) == 1)
        )
    terms = left.split(",")
    if len(terms) != len(operands):
        return NotImplemented
    terms = [free + term if c.holds(x) else term for term, x in zip(terms, operands)]
    values = [x._value if c.holds(x) else x for x in operands]
    return c.wrap(_C._einsum(f"{','.join(terms)}->{free}{right}", values))


_LETTERS = "zyxwvutsrqponmlkjihgfedcbaZYXWVUTSRQPONMLKJIHGFEDCBA"


def tensordot(c: Any, a: Any, b: Any, dims_a: Any, dims_b: Any) -> Any:
    if len(dims_a) != len(dims_b) or a.dim() + b.dim() > 50:
        return NotImplemented
    letters = iter(_LETTERS[:50])
    first = [next(letters) for _ in range(a.dim())]
    second = [next(letters) for _ in range(b.dim())]
    for p, q in zip(dims_a, dims_b):
        if a.shape[p] != b.shape[q]:
            return NotImplemented
        second[q] = first[p]
    summed = {first[p] for p in dims_a}
    result = [s for s in (*first, *second) if s not in summed]
    return einsum(c, f"{''.join(first)},{''.join(second)}->{''.join(result)}", [a, b])


def bilinear(c: Any, x: Any, y: Any, w: Any, b: Any = None) -> Any:
    z = _C._einsum("...i,kij,...j->...k", [x, w, y])
    return z if b is None else z + b


def solver(*ranks: int, same: bool = True) -> Rule:
    """A call on matrices with any dimensions in front: those of the samples come before them."""

    def rule(c: Any, *args: Any, **kwargs: Any) -> Any:
        if any(v is not None for v in kwargs.values()) and kwargs.get("out") is not None:
            return NotImplemented
        tensors = [a for a in args if isinstance(a, _C.Tensor)]
        named = any(isinstance(v, _C.Tensor) for v in kwargs.values())
        if named or len(tensors) != len(ranks) or any(t.dim() < r for t, r in zip(tensors, ranks)):
            return NotImplemented
        leading = [t.dim() - r for t, r in zip(tensors, ranks)]
        if same and len(set(leading)) > 1:
            return NotImplemented
        return c.wrap(c.func(*[c.all(a) if isinstance(a, _C.Tensor) else a for a in args], **kwargs))

    return rule


def solve(c: Any, a: Any, b: Any, left: bool) -> Any:
    """A right side of one dimension less than the matrix is a vector."""
    if a.dim() < 2 or b.dim() not in (a.dim(), a.dim() - 1) or (b.dim() == a.dim() - 1 and not left):
        return NotImplemented
    if b.dim() == a.dim():
        return c.wrap(c.func(c.all(a), c.all(b), left))
    if b.dim() > 1:
        return NotImplemented
    result = c.func(c.all(a), c.all(b).unsqueeze(-1), left)
    if isinstance(result, tuple):
        return NotImplemented
    return c.wrap(result.squeeze(-1))


def cdist(c: Any, a: Any, b: Any, *args: Any, **kwargs: Any) -> Any:
    return c.wrap(c.func(c.all(a), c.all(b), *args, **kwargs)) if a.dim() == b.dim() else NotImplemented


def cross(c: Any, a: Any, b: Any, dim: Any = None, **kwargs: Any) -> Any:
    if kwargs or a.dim() != b.dim() or a.dim() == 0:
        return NotImplemented
    if dim is None:
        dim = next((i for i in range(a.dim()) if a.shape[i] == 3), None)
    if dim is None or a.shape[dim] != 3:
        return NotImplemented
    return c.wrap(c.func(c.all(a), c.all(b), dim % a.dim() + 1))


RULES: dict[str, Rule] = {
    "linear": linear,
    "matmul": matmul,
    "__matmul__": matmul,
    "mm": ranked(2, 2),
    "mv": ranked(2, 1),
    "bmm": ranked(3, 3),
    "dot": ranked(1, 1),
    "vdot": ranked(1, 1),
    "inner": inner,
    "outer": outer,
    "ger": outer,
    **dict.fromkeys(_ADDED, added),
    "_einsum": einsum,
    "_tensordot": tensordot,
    "bilinear": bilinear,
    **dict.fromkeys(
        "_linalg_cholesky_ex _linalg_eigh _linalg_eigvalsh _linalg_inv_ex _linalg_lu _linalg_lu_factor "
        "_linalg_qr _linalg_slogdet _linalg_svd _linalg_svdvals det inverse logdet slogdet matrix_exp "
        "matrix_power cholesky svd qr pinverse".split(),
        solver(2),
    ),
    **dict.fromkeys("_linalg_solve _linalg_solve_ex".split(), solve),
    "_linalg_solve_triangular": solver(2, 2),
    "cholesky_solve": solver(2, 2),
    "cdist": cdist,
    "cross": cross,
    "_linalg_cross": cross,
}
