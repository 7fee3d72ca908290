"""Logarithms and inverse functions of complex tensors, in forms that lose no digits near 0, near 1 and on the
cuts, whose side the sign of a zero tells (Kahan, "Branch cuts for complex elementary functions", 1987)."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .arithmetic import abs_, add, angle, exp, sqrt, sub
from .table import OPS, at, both, op, own, pair


@op("log")
def log(z: Any) -> Any:
    """The size's logarithm near 1 from |z|^2 - 1 = (a - 1)(a + 1) + b^2."""
    re, im, size = z.real.abs(), z.imag.abs(), abs_(z)
    near = (size > 0.5) & (size < 2)
    large, small = _C.maximum(re, im), _C.minimum(re, im)
    excess = _C.where(near, (large - 1) * (large + 1) + small * small, 0.0)
    far = _C.where(near, 1.0, size).log()
    return pair(_C.where(near, 0.5 * excess.log1p(), far), angle(z))


def _to_base(base: float) -> Any:
    return lambda z: own(log(z)._parts / math.log(base))


OPS["log2"], OPS["log10"] = _to_base(2.0), _to_base(10.0)


@op("log1p")
def log1p(z: Any) -> Any:
    re, im = z.real, z.imag
    near = (re.abs() < 0.5) & (im.abs() < 0.5)
    excess = _C.where(near, re * (2 + re) + im * im, 0.0)
    there = log(pair(1 + re, im))
    return pair(_C.where(near, 0.5 * excess.log1p(), there.real), there.imag)


def _roots(z: Any) -> tuple[Any, Any]:
    """sqrt(1 - z) and sqrt(1 + z), with the signs of zero imaginary parts."""
    return sqrt(pair(1 - z.real, -z.imag)), sqrt(pair(1 + z.real, z.imag))


@op("acos", "arccos")
def acos(z: Any) -> Any:
    low, high = _roots(z)
    return pair(2 * _C.atan2(low.real, high.real), (high.real * low.imag - high.imag * low.real).asinh())


@op("asin", "arcsin")
def asin(z: Any) -> Any:
    low, high = _roots(z)
    across = low.real * high.real - low.imag * high.imag
    return pair(_C.atan2(z.real, across), (low.real * high.imag - low.imag * high.real).asinh())


@op("acosh", "arccosh")
def acosh(z: Any) -> Any:
    low, high = sqrt(pair(z.real - 1, z.imag)), sqrt(pair(z.real + 1, z.imag))
    return pair((low.real * high.real + low.imag * high.imag).asinh(), 2 * _C.atan2(low.imag, high.real))


@op("asinh", "arcsinh")
def asinh(z: Any) -> Any:
    """-i asin(i z)."""
    turned = asin(pair(-z.imag, z.real))
    return pair(turned.imag, -turned.real)


@op("atanh", "arctanh")
def atanh(z: Any) -> Any:
    """log1p(4x / ((1 - x)^2 + y^2)) / 4 on the right, which atanh turns into the left, being odd."""
    left = z.real.signbit()
    re, im = z.real.abs(), _C.where(left, -z.imag, z.imag)
    size = 0.25 * (4 * re / ((1 - re) * (1 - re) + im * im)).log1p()
    turn = 0.5 * _C.atan2(2 * im, (1 - re) * (1 + re) - im * im)
    return pair(_C.where(left, -size, size), _C.where(left, -turn, turn))


@op("atan", "arctan")
def atan(z: Any) -> Any:
    """-i atanh(i z)."""
    turned = atanh(pair(-z.imag, z.real))
    return pair(turned.imag, -turned.real)


@op("logaddexp")
def logaddexp(input: Any, other: Any) -> Any:
    a, b = both(input, other)
    first = (a.real >= b.real).unsqueeze(-1)
    top, low = own(_C.where(first, a._parts, b._parts)), own(_C.where(first, b._parts, a._parts))
    return add(top, log1p(exp(sub(low, top))))


@op("logsumexp")
def logsumexp(input: Any, dim: Any, keepdim: bool = False) -> Any:
    dims = at(input, dim if isinstance(dim, (tuple, list)) else (dim,))
    top = input.real.detach().amax(dims, keepdim=True)
    top = _C.where(top.isfinite(), top, 0.0)
    total = OPS["sum"](exp(pair(input.real - top, input.imag)), dims, True)
    found = log(total)
    found = pair(found.real + top, found.imag)
    return found if keepdim else own(found._parts.squeeze(dims))


@op("logcumsumexp")
def logcumsumexp(input: Any, dim: int) -> Any:
    lines = input.unbind(dim)
    found: list[Any] = []
    for line in lines:
        found.append(logaddexp(found[-1], line) if found else line)
    return OPS["stack"](found, at(input, dim)) if found else input.clone()
