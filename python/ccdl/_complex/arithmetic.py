"""Arithmetic and elementary functions of complex tensors."""

from __future__ import annotations

import builtins
import math
from typing import Any

from .. import _C, errors
from .._C import Tensor
from . import ComplexTensor, _dtype, own
from .shapes import to, where
from .table import OPS, both, is_real, op, pair


def _times(a: Tensor, b: Tensor) -> Tensor:
    if a.device.type == "cpu" and a.device == b.device and a.dtype is b.dtype:
        return _C._complex_multiply(a, b)
    ar, ai, br, bi = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    return _C.stack([ar * br - ai * bi, ar * bi + ai * br], -1)


def _scale(x: Any, z: Any) -> Any:
    """A real factor of the parts of z."""
    if not isinstance(x, Tensor):
        return x
    if x.dtype is not _C.float64 or not x.dim():
        x = x.to(_dtype(z))
    return x.unsqueeze(-1) if x.dim() else x


def _scaled(z: Any, x: Any) -> Any:
    parts = z._parts
    if (
        isinstance(x, Tensor)
        and parts.device.type == "cpu"
        and parts.device == x.device
        and parts.dtype is x.dtype
        and x.dim()
    ):
        return own(_C._complex_scale(parts, x))
    return own(parts * _scale(x, z))


@op("mul", "multiply")
def mul(input: Any, other: Any) -> Any:
    if is_real(other) and isinstance(input, ComplexTensor):
        return _scaled(input, other)
    if is_real(input) and isinstance(other, ComplexTensor):
        return _scaled(other, input)
    a, b = both(input, other)
    return own(_times(a._parts, b._parts))


def _with_real(z: Any, x: Any) -> Any:
    """z + x: the imaginary parts stay as they are, with the signs of their zeros (branch cuts read them)."""
    if isinstance(x, Tensor):
        x = x if x.dtype is _C.float64 and x.dim() else x.to(_dtype(z))
    re = z.real + x
    im = z.imag if z.imag.dtype is re.dtype else z.imag.to(re.dtype)
    return pair(re, im.expand(re.shape))


@op("add")
def add(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    if not _same(alpha, 1):
        other = mul(other, alpha) if _is_complex(other) or _is_complex(alpha) else other * alpha
    if is_real(other) and isinstance(input, ComplexTensor):
        return _with_real(input, other)
    if is_real(input) and isinstance(other, ComplexTensor):
        return _with_real(other, input)
    a, b = both(input, other)
    return own(a._parts + b._parts)


def _is_complex(x: Any) -> bool:
    return isinstance(x, (ComplexTensor, builtins.complex))


@op("sub", "subtract")
def sub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    if _same(alpha, 1) and isinstance(other, ComplexTensor):
        if is_real(input):
            return _with_real(neg(other), input)
        a, b = both(input, other)
        return own(a._parts - b._parts)
    return add(input, other, alpha=-alpha)


@op("rsub")
def rsub(input: Any, other: Any, *, alpha: Any = 1) -> Any:
    return sub(other, input, alpha=alpha)


def _same(a: Any, b: Any) -> bool:
    return not isinstance(a, Tensor) and a == b


@op("reciprocal")
def reciprocal(z: Any) -> Any:
    """conj(z) / |z|^2, the smaller part divided by the larger first, as squares may overflow (Smith 1962)."""
    re, im = z.real, z.imag
    wide = re.abs() >= im.abs()
    large, small = _C.where(wide, re, im), _C.where(wide, im, re)
    ratio = _C.where(large == 0, small, small / _C.where(large == 0, _C.ones_like(large), large))
    lead = 1 / (large + small * ratio)
    rest = ratio * lead
    return own(_C.stack([_C.where(wide, lead, rest), -_C.where(wide, rest, lead)], -1))


@op("div", "divide", "true_divide")
def div(input: Any, other: Any, *, rounding_mode: Any = None) -> Any:
    if rounding_mode is not None:
        raise errors.RuntimeError("div: complex numbers have no rounding mode")
    if is_real(other) and isinstance(input, ComplexTensor):
        return own(input._parts / _scale(other, input))
    a, b = both(input, other)
    return own(_times(a._parts, reciprocal(b)._parts))


@op("neg", "negative")
def neg(z: Any) -> Any:
    return own(-z._parts)


@op("conj", "conj_physical")
def conj(z: Any) -> Any:
    return own(_C.stack([z.real, -z.imag], -1))


OPS["adjoint"] = lambda z: z.mH


@op("abs", "absolute")
def abs_(z: Any) -> Any:
    """The absolute value; where gradients are recorded its derivative at 0 is 0."""
    parts = z._parts
    if parts.requires_grad and _C.is_grad_enabled():
        return parts.norm(2, -1)
    return _C.hypot(parts[..., 0], parts[..., 1])


@op("abs_", "absolute_")
def absolute_in_place(z: Any) -> Any:
    raise errors.RuntimeError("abs_: in-place abs is not supported for complex tensors; use z.abs()")


@op("angle")
def angle(z: Any) -> Any:
    return _C.atan2(z.imag, z.real)


@op("sgn")
def sgn(z: Any) -> Any:
    size = abs_(z)
    return own(z._parts / _C.where(size == 0, _C.ones_like(size), size).unsqueeze(-1))


@op("square")
def square(z: Any) -> Any:
    return mul(z, z)


@op("pow")
def pow_(input: Any, exponent: Any) -> Any:
    """A power: products for small whole numbers, else exp(exponent log z)."""
    if isinstance(exponent, (int, float)) and isinstance(input, ComplexTensor):
        if exponent == int(exponent) if math.isfinite(exponent) else False:
            if -8 <= exponent <= 8:
                return _whole_power(input, int(exponent))
        if exponent == 0.5:
            return sqrt(input)
    a, b = both(input, exponent)
    result = exp(mul(b, OPS["log"](a)))
    at_zero = (a._parts == 0).all(-1)
    if not builtins.bool(at_zero.any()):
        return result
    powers = _C.where((b._parts == 0).all(-1), 1.0, 0.0).to(_dtype(result))
    fixed = own(_C.stack([powers, _C.zeros_like(powers)], -1))
    return where(at_zero, fixed.expand(result.shape), result)


def _whole_power(z: Any, n: int) -> Any:
    if n == 0:
        return mul(z, 0) + 1
    if n < 0:
        return reciprocal(_whole_power(z, -n))
    result = None
    while n:
        if n & 1:
            result = z if result is None else mul(result, z)
        n >>= 1
        z = mul(z, z) if n else z
    return result.clone() if result is z else result


@op("float_power")
def float_power(input: Any, exponent: Any) -> Any:
    wide = [to(x, _C.complex128) if isinstance(x, ComplexTensor) else x for x in (input, exponent)]
    return pow_(*wide)


@op("addcmul")
def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    return add(input, mul(mul(*both(tensor1, tensor2)), value))


@op("addcdiv")
def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: Any = 1) -> Any:
    return add(input, mul(div(*both(tensor1, tensor2)), value))


@op("lerp")
def lerp(input: Any, end: Any, weight: Any) -> Any:
    return add(input, mul(sub(end, input), weight))


# --- functions ---


def _turned(z: Any) -> Any:
    """i z."""
    return pair(-z.imag, z.real)


def _turned_back(z: Any) -> Any:
    """-i z."""
    return pair(z.imag, -z.real)


@op("exp")
def exp(z: Any) -> Any:
    size = z.real.exp()
    return pair(size * z.imag.cos(), size * z.imag.sin())


@op("sqrt")
def sqrt(z: Any) -> Any:
    """The root with a real part that is not negative: u + i y / 2u with u = sqrt((|z| + |x|) / 2) where
    x >= 0, else |y| / 2u + i u with the sign of y (whose zeros have one: the cut)."""
    re, im = z.real, z.imag
    u = ((abs_(z) + re.abs()) * 0.5).sqrt()
    q = im / (2 * _C.where(u == 0, _C.ones_like(u), u))
    side = _C.where(im.signbit(), -1.0, 1.0).to(re.dtype)
    right = re >= 0
    return pair(_C.where(right, u, q * side), _C.where(right, q, u * side))


def _functions() -> None:
    OPS["expm1"] = lambda z: pair(
        z.real.expm1() * z.imag.cos() - 2 * (z.imag / 2).sin() ** 2, z.real.exp() * z.imag.sin()
    )
    OPS["exp2"] = lambda z: exp(mul(z, math.log(2.0)))
    OPS["rsqrt"] = lambda z: reciprocal(sqrt(z))
    OPS["sin"] = lambda z: pair(z.real.sin() * z.imag.cosh(), z.real.cos() * z.imag.sinh())
    OPS["cos"] = lambda z: pair(z.real.cos() * z.imag.cosh(), -(z.real.sin() * z.imag.sinh()))
    OPS["sinh"] = lambda z: pair(z.real.sinh() * z.imag.cos(), z.real.cosh() * z.imag.sin())
    OPS["cosh"] = lambda z: pair(z.real.cosh() * z.imag.cos(), z.real.sinh() * z.imag.sin())
    OPS["tanh"] = _tanh
    OPS["tan"] = lambda z: _turned_back(_tanh(_turned(z)))
    OPS["sigmoid"] = lambda z: mul(add(_tanh(mul(z, 0.5)), 1), 0.5)
    OPS["silu"] = lambda z, inplace=False: mul(z, OPS["sigmoid"](z))


def _tanh(z: Any) -> Any:
    """(tanh x + i tan y) / (1 + i tanh x tan y), in sine and cosine so that no pole of tan is met."""
    t, c, s = z.real.tanh(), z.imag.cos(), z.imag.sin()
    size = c * c + t * t * s * s
    return pair(t / size, s * c * (1 - t * t) / size)


_functions()


@op("sinc")
def sinc(z: Any) -> Any:
    turn = mul(z, math.pi)
    zero = OPS["eq"](z, 0)
    safe = where(zero, 1, turn)
    return where(zero, 1, div(OPS["sin"](safe), safe))
