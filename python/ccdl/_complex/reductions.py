"""Comparison, reductions and norms of complex tensors."""

from __future__ import annotations

import builtins
from typing import Any

from .. import _C, errors
from .._C import Tensor
from . import ComplexTensor, _dtype, as_complex, own
from .arithmetic import abs_, mul, sub
from .shapes import to
from .table import OPS, all_of, at, both, op


def _beside(a: Any, b: Any) -> tuple[Tensor, Tensor]:
    x, y = both(a, b)
    return x._parts, y._parts


@op("eq")
def eq(input: Any, other: Any) -> Any:
    a, b = _beside(input, other)
    return (a == b).all(-1)


@op("ne", "not_equal")
def ne(input: Any, other: Any) -> Any:
    a, b = _beside(input, other)
    return (a != b).any(-1)


@op("equal")
def equal(input: Any, other: Any) -> bool:
    if input.dtype is not other.dtype:
        raise errors.RuntimeError(f"equal: expected both of one dtype, got {input.dtype} and {other.dtype}")
    return input.shape == other.shape and builtins.bool(eq(input, other).all())


@op("isclose")
def isclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    a, b = both(input, other)
    near = abs_(sub(a, b).detach()) <= atol + rtol * abs_(b.detach())
    near = near | eq(a, b)
    return near | (OPS["isnan"](a) & OPS["isnan"](b)) if equal_nan else near


@op("allclose")
def allclose(input: Any, other: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    return builtins.bool(isclose(input, other, rtol, atol, equal_nan).all())


OPS["isnan"] = lambda z: z._parts.isnan().any(-1)
OPS["isinf"] = lambda z: z._parts.isinf().any(-1)
OPS["isfinite"] = lambda z: z._parts.isfinite().all(-1)
OPS["isreal"] = lambda z: z.imag == 0
OPS["nonzero"] = lambda z, as_tuple=False: ne(z, 0).nonzero(as_tuple=as_tuple)
OPS["argwhere"] = lambda z: ne(z, 0).argwhere()
OPS["count_nonzero"] = lambda z, dim=None: ne(z, 0).count_nonzero(dim)
OPS["any"] = lambda z, *a, **k: ne(z, 0).any(*a, **k)
OPS["all"] = lambda z, *a, **k: ne(z, 0).all(*a, **k)
OPS["logical_not"] = lambda z: eq(z, 0)
OPS["logical_and"] = lambda a, b: ne(a, 0) & ne(b, 0)
OPS["logical_or"] = lambda a, b: ne(a, 0) | ne(b, 0)
OPS["logical_xor"] = lambda a, b: ne(a, 0) ^ ne(b, 0)
OPS["bool"] = lambda z: ne(z, 0)
OPS["nan_to_num"] = lambda z, *a, **k: own(z._parts.nan_to_num(*a, **k))


# --- reductions ---


@op("sum")
def sum_(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    z = input if dtype is None else to(input, dtype)
    dims = all_of(z, dim)
    return own(z._parts.sum(dims, keepdim=keepdim) if dims else z._parts.clone())


@op("nansum")
def nansum(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    return sum_(own(_C.where(OPS["isnan"](input).unsqueeze(-1), 0.0, input._parts)), dim, keepdim)


@op("mean")
def mean(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    total = sum_(input, dim, keepdim, dtype=dtype)
    return own(total._parts / (input.numel() / max(total.numel(), 1)))


@op("prod")
def prod(input: Any, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """Products of halves, so that their number of steps is the logarithm of the length."""
    z = input.reshape(-1) if dim is None else input.movedim(dim, 0)
    if not z.shape[0]:
        return _ones(input, z.shape[1:])
    while z.shape[0] > 1:
        n = z.shape[0] // 2
        rest = [z[2 * n :]] if z.shape[0] % 2 else []
        z = mul(z[:n], z[n : 2 * n])
        z = OPS["cat"]([z, *rest]) if rest else z
    z = z[0]
    return z.unsqueeze(at(input, dim)) if keepdim and dim is not None else z


def _ones(like: Any, shape: Any) -> Any:
    return as_complex(_C.ones(*shape, dtype=_dtype(like), device=like.device))


@op("cumprod")
def cumprod(input: Any, dim: int, *, dtype: Any = None) -> Any:
    lines = input.unbind(dim)
    found: list[Any] = []
    for line in lines:
        found.append(mul(found[-1], line) if found else line)
    return OPS["stack"](found, at(input, dim)) if found else input.clone()


@op("var")
def var(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    """Variance of the real parts plus that of the imaginary ones."""
    if isinstance(dim, builtins.bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    if not input.ndim:
        return var(input.reshape(1), 0, correction=correction)
    dims = all_of(input, dim)
    return _C.var(input._parts, dims, correction=correction, keepdim=keepdim).sum(-1)


@op("std")
def std(*args: Any, **kwargs: Any) -> Any:
    return var(*args, **kwargs).sqrt()


@op("var_mean")
def var_mean(
    input: Any, dim: Any = None, unbiased: Any = None, keepdim: bool = False, *, correction: Any = None
) -> Any:
    if isinstance(dim, builtins.bool):
        dim, unbiased = None, dim
    spread = var(input, dim, unbiased, keepdim, correction=correction)
    return spread, OPS["mean"](input, dim, keepdim)


@op("std_mean")
def std_mean(*args: Any, **kwargs: Any) -> Any:
    spread, middle = var_mean(*args, **kwargs)
    return spread.sqrt(), middle


@op("norm", "vector_norm", "matrix_norm", "_vector_norm")
def norm(
    input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False, *, dtype: Any = None, ord: Any = None
) -> Any:
    """The norm of the absolute values."""
    order = p if ord is None else ord
    if order in ("nuc",):
        raise errors.NotImplementedError("norm: the nuclear norm of complex matrices is not supported")
    order = 2 if order in ("fro", None) else order
    return (
        _C.norm(abs_(input), order, dim, keepdim)
        if dim is not None
        else _C.norm(abs_(input).reshape(-1), order)
    )


@op("_total_norm")
def _total_norm(tensors: Any, order: Any) -> Any:
    return _C._total_norm([abs_(t) if isinstance(t, ComplexTensor) else t for t in tensors], order)


@op("_clip_by_norm_")
def _clip_by_norm_(grads: Any, total: Any, limit: Any) -> None:
    _C._clip_by_norm_([g._parts if isinstance(g, ComplexTensor) else g for g in grads], total, limit)


@op("dist")
def dist(input: Any, other: Any, p: Any = 2) -> Any:
    return norm(sub(input, other), p)


@op("diff")
def diff(input: Any, n: int = 1, dim: int = -1, prepend: Any = None, append: Any = None) -> Any:
    ends = [t for t in (prepend, input, append) if t is not None]
    z = OPS["cat"](ends, dim) if len(ends) > 1 else input
    for _ in range(n):
        size = z.shape[dim]
        z = sub(z.narrow(dim, 1, max(size - 1, 0)), z.narrow(dim, 0, max(size - 1, 0)))
    return z


@op("l1_loss")
def l1_loss(input: Any, target: Any, *, reduction: str = "mean") -> Any:
    size = abs_(sub(*both(input, target)))
    return size.mean() if reduction == "mean" else size.sum() if reduction == "sum" else size


def _steps(y: Any, x: Any, dx: Any, dim: int) -> Any:
    """The areas between neighbours along ``dim``."""
    n = max(y.shape[dim] - 1, 0)
    height = OPS["add"](y.narrow(dim, 0, n), y.narrow(dim, min(1, y.shape[dim]), n))
    if x is None:
        return mul(height, (1 if dx is None else dx) / 2)
    width = x.narrow(dim if x.ndim > 1 else 0, 1, n) - x.narrow(dim if x.ndim > 1 else 0, 0, n)
    shape = [-1 if d == at(y, dim) else 1 for d in range(y.ndim)]
    return mul(height, (width if x.ndim > 1 else width.reshape(shape)) / 2)


@op("trapezoid", "trapz")
def trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    return sum_(_steps(y, x, dx, dim), dim)


@op("cumulative_trapezoid")
def cumulative_trapezoid(y: Any, x: Any = None, *, dx: Any = None, dim: int = -1) -> Any:
    return OPS["cumsum"](_steps(y, x, dx, dim), dim)


@op("cov")
def cov(input: Any, *, correction: int = 1, fweights: Any = None, aweights: Any = None) -> Any:
    """E[(x - m) (x - m)^H] of variables in rows."""
    if input.ndim > 2:
        raise errors.RuntimeError(f"cov(): expected input to have two or fewer dimensions, got {input.ndim}")
    if fweights is not None or aweights is not None:
        raise errors.NotImplementedError("cov: weights beside complex numbers are not supported")
    z = input if input.ndim == 2 else input.reshape(1, -1)
    rest = sub(z, OPS["mean"](z, 1, True))
    found = OPS["matmul"](rest, rest.mH)
    result = own(found._parts / max(z.shape[1] - correction, 0))
    return result if input.ndim == 2 else result.reshape(())


@op("corrcoef")
def corrcoef(input: Any) -> Any:
    c = cov(input)
    if not c.ndim:
        return OPS["div"](c, c)
    size = c.diagonal(0, 0, 1).real.sqrt()
    return OPS["div"](OPS["div"](c, as_complex(size.unsqueeze(1))), as_complex(size.unsqueeze(0)))
