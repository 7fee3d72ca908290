"""Rules for calls that work element by element, for casts and for questions to the tensor itself."""

from __future__ import annotations

from typing import Any

from .. import _C
from .core import IN_PLACE, NoBatch, Rule, is_in_place, wrapped

_UNARY = (
    "abs absolute acos acosh angle arccos arccosh arcsin arcsinh arctan arctanh asin asinh atan atanh "
    "bitwise_not ceil celu clone conj conj_physical cos cosh deg2rad digamma elu erf erfc erfinv exp exp2 "
    "expm1 fix floor frac gelu hardshrink hardsigmoid hardswish hardtanh i0 isfinite isinf isnan isneginf "
    "isposinf isreal leaky_relu lgamma log log10 log1p log2 logical_not logit logsigmoid mish mvlgamma "
    "nan_to_num neg negative polygamma positive rad2deg real reciprocal relu relu6 resolve_conj resolve_neg "
    "round rsqrt selu sgn sigmoid sign signbit silu sin sinc sinh softplus softshrink softsign sqrt square "
    "swish tan tanh tanhshrink threshold trunc _special_entr _special_erfcx _special_i0e _special_i1 "
    "_special_i1e _special_log_ndtr _special_ndtr _special_ndtri"
).split()
_PROMOTING = (
    "add sub mul div divide multiply subtract true_divide floor_divide remainder fmod pow float_power "
    "maximum minimum fmax fmin atan2 arctan2 hypot logaddexp logaddexp2 copysign xlogy "
    "eq ne lt le gt ge not_equal less less_equal greater greater_equal "
    "bitwise_and bitwise_or bitwise_xor gcd lcm heaviside nextafter ldexp rsub _special_xlog1py "
    "_special_zeta igamma igammac"
).split()
_MORE = (
    "bitwise_left_shift bitwise_right_shift logical_and logical_or logical_xor addcmul addcdiv lerp clamp "
    "clip clamp_min clamp_max isclose where masked_fill _special_betainc"
).split()
_WRITTEN = "copy_ fill_ zero_ masked_fill_ lerp_ addcmul_ addcdiv_".split()


def pointwise(c: Any, *args: Any, **kwargs: Any) -> Any:
    """Arguments broadcast against each other: samples first, then the dimensions of one sample."""
    if kwargs.get("out") is not None:
        return NotImplemented
    writes = is_in_place(c.name)
    tensors = [a for a in args if isinstance(a, _C.Tensor)]
    named = {k: v for k, v in kwargs.items() if isinstance(v, _C.Tensor)} if kwargs else {}
    if writes and not c.holds(args[0]):
        raise NoBatch(f"{c.name} writes a value that differs between samples into a tensor they share")
    if len(tensors) == 1 and not named and c.holds(args[0]):
        result = c.func(args[0]._value, *args[1:], **kwargs)
        return args[0] if writes else wrapped(result, c.frame)
    tensors += named.values()
    rank = max(t.dim() for t in tensors)
    if writes and args[0].dim() < rank:
        return NotImplemented
    common = None
    if not writes and any(t.dtype is not tensors[0].dtype for t in tensors):
        if c.name in _PROMOTING and len(tensors) == 2:
            # numbers of a sample promote as numbers although they come as a row of all samples
            common = _C.result_type(*map(c.shown, tensors))
        elif c.name not in _BOOL_FIRST:
            return NotImplemented
        elif any(t.dtype is not tensors[1].dtype for t in tensors[1:]):
            return NotImplemented

    def brought(x: Any) -> Any:
        if not isinstance(x, _C.Tensor):
            return x
        if common is not None and x.dim() == 0 and x.dtype is not common:
            x = x.to(common)
        return c.aligned(x, rank)

    result = c.func(*[brought(a) for a in args], **{k: brought(v) for k, v in kwargs.items()})
    return args[0] if writes else wrapped(result, c.frame)


_BOOL_FIRST = frozenset(["where", "logical_and", "logical_or", "logical_xor"])


def where(c: Any, *args: Any, **kwargs: Any) -> Any:
    if len(args) < 3 or kwargs:
        return NotImplemented
    if c.func is _C.where:
        return pointwise(c, *args)
    c.func = _C.where
    return pointwise(c, args[1], args[0], args[2])


def masked_fill(c: Any, x: Any, mask: Any, value: Any) -> Any:
    """The mask broadcasts to ``x``; a value per sample is one more number to choose."""
    if isinstance(value, _C.Tensor) and c.holds(value):
        if c.name == "masked_fill_" or value.dim():
            return NotImplemented
        c.func = _C.where
        return pointwise(c, mask, value.to(x.dtype), x)
    rank = max(x.dim(), mask.dim())
    if c.name == "masked_fill_":
        if not c.holds(x):
            raise NoBatch("masked_fill_ by a mask that differs between samples")
        if mask.dim() > x.dim():
            return NotImplemented
        c.func(x._value, c.aligned(mask, rank), value)
        return x
    if c.holds(x) or mask.dim() > x.dim():
        return c.wrap(c.func(c.aligned(x, rank), c.aligned(mask, rank), value))
    return c.wrap(c.func(c.all(x), c.aligned(mask, rank), value))


def on_values(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """The call on the tensor of all samples, nothing else being a tensor of its own."""
    if not c.holds(x) or any(isinstance(a, _C.Tensor) for a in args):
        return NotImplemented
    kwargs.pop("memory_format", None)
    return c.wrap(c.func(x._value, *args, **kwargs))


def to(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    kwargs.pop("memory_format", None)
    if args and isinstance(args[0], _C.Tensor):
        other = c.shown(args[0])
        if not c.holds(x):
            return x.to(other, *args[1:], **kwargs)
        return c.wrap(x._value.to(other, *args[1:], **kwargs))
    return c.wrap(c.func(x._value, *args, **kwargs))


def type_as(c: Any, x: Any, other: Any) -> Any:
    return x.to(other.dtype)


def type_(c: Any, x: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    return c.func(x._shown) if dtype is None else c.wrap(c.func(x._value, dtype, non_blocking))


def of_the_tensor(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Sizes, strides and the like are those of one sample."""
    if not c.holds(x):
        return NotImplemented
    return c.func(x._shown, *args, **kwargs)


def of_the_values(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    return c.func(x._value, *args, **kwargs)


def same_object(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    c.func(x._value, *args, **kwargs)
    return x


def returns_self(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    return x


def read(c: Any, *args: Any, **kwargs: Any) -> Any:
    """Values as Python has them exist only where all samples are copies."""
    from .core import picked

    if not c.frame.copies:
        raise NoBatch(f"{c.name} of a value that differs between samples")
    return c.func(
        *(picked(a, c.frame, 0) for a in args), **{k: picked(v, c.frame, 0) for k, v in kwargs.items()}
    )


def like(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if any(isinstance(a, _C.Tensor) for a in args):
        return NotImplemented
    kwargs.pop("memory_format", None)
    return c.wrap(c.func(x._value, *args, **kwargs))


def new_sized(c: Any, x: Any, *size: Any, **kwargs: Any) -> Any:
    """``x.new_zeros(2, 3)`` in every sample."""
    if c.name == "new_full":
        shape, rest = size[0], size[1:]
    else:
        shape, rest = size[0] if len(size) == 1 and not isinstance(size[0], int) else size, ()
    shape = [shape] if isinstance(shape, int) else list(shape)
    return c.wrap(c.func(x._value, [c.frame.size, *shape], *rest, **kwargs))


def has_say(c: Any, x: Any) -> bool:
    return True


def result_type(c: Any, *args: Any) -> Any:
    return c.func(*map(c.shown, args))


def autocast(c: Any, op: str, tensors: Any) -> Any:
    found = c.func(op, [t._value if c.holds(t) else t for t in tensors])
    return type(found)(wrapped(y, c.frame) if c.holds(t) else y for t, y in zip(tensors, found))


def run_backward(
    c: Any, outputs: Any, weights: Any, keep: bool, create: bool, inputs: Any, unused: bool, accumulate: bool
) -> Any:
    """Samples do not meet, so one pass over all of them gives each its own derivatives, of inputs that are
    values of all samples themselves.
    """
    if inputs is None or not all(c.holds(x) for x in inputs) or not all(c.holds(y) for y in outputs):
        raise NoBatch("a derivative by a tensor that the samples share")
    ys = [c.all(y) for y in outputs]
    ws = []
    for y, w in zip(outputs, weights):
        if w is None and y.dim():
            return c.func([y._shown], [None], keep, create, [], unused, accumulate)  # raises the usual error
        ws.append(_C.ones_like(y._value) if w is None else c.all(w))
    found = c.func(ys, ws, keep, create, [c.all(x) for x in inputs], unused, accumulate)
    return c.wrap(found)


def register_hook(c: Any, x: Any, hook: Any) -> Any:
    """The hook sees the gradient of one sample, which stands for those of all."""

    def seen(g: Any) -> Any:
        found = hook(c.wrap(g))
        return None if found is None else c.all(found)

    return x._value.register_hook(seen)


def no_rule(c: Any, *args: Any, **kwargs: Any) -> Any:
    raise NoBatch(c.name)


def backward(c: Any, x: Any, gradient: Any = None, *args: Any, **kwargs: Any) -> None:
    if not c.holds(x) or args or kwargs.get("inputs") is not None or (gradient is None and x.dim()):
        raise NoBatch("backward")
    x._value.backward(_C.ones_like(x._value) if gradient is None else c.all(gradient), **kwargs)


def reaches_others(c: Any, outputs: Any, inputs: Any) -> bool:
    return c.func([c.all(y) for y in outputs], [c.all(x) for x in inputs])


RULES: dict[str, Rule] = {
    **dict.fromkeys(_UNARY, pointwise),
    **{f"{n}_": pointwise for n in (*_UNARY, *_PROMOTING, *_MORE) if hasattr(_C.Tensor, f"{n}_")},
    **dict.fromkeys(_PROMOTING, pointwise),
    **dict.fromkeys(_MORE, pointwise),
    **dict.fromkeys(_WRITTEN, pointwise),
    **dict.fromkeys(IN_PLACE, pointwise),
    **{f"__{n}__": pointwise for n in "radd rsub rmul rtruediv rfloordiv rmod rpow rand ror rxor".split()},
    "where": where,
    "masked_fill": masked_fill,
    "masked_fill_": masked_fill,
    **dict.fromkeys(
        "double float half bfloat16 int long short char byte bool contiguous detach cpu cuda alias".split(),
        on_values,
    ),
    "to": to,
    "type_as": type_as,
    "type": type_,
    **dict.fromkeys(
        "size dim ndimension numel nelement stride element_size is_contiguous is_floating_point is_complex "
        "is_signed get_device is_conj is_neg is_inference storage_offset is_pinned is_shared "
        "dim_order".split(),
        of_the_tensor,
    ),
    **dict.fromkeys(
        "_is_view _storage_id _storage_bytes data_ptr _use_count retain_grad".split(), of_the_values
    ),
    **dict.fromkeys("requires_grad_ detach_ _bump_version".split(), same_object),
    **dict.fromkeys("as_subclass share_memory_ pin_memory".split(), returns_self),
    **dict.fromkeys(
        "item tolist numpy is_nonzero equal allclose __array__ __dlpack__ __reduce_ex__ __contains__ "
        "__format__ storage untyped_storage".split(),
        read,
    ),
    **dict.fromkeys("zeros_like ones_like empty_like full_like".split(), like),
    **dict.fromkeys("new_zeros new_ones new_empty new_full".split(), new_sized),
    "_has_say": has_say,
    "_autocast": autocast,
    "result_type": result_type,
    "_run_backward": run_backward,
    "_reaches_others": reaches_others,
    "backward": backward,
    "register_hook": register_hook,
    "register_post_accumulate_grad_hook": no_rule,
    "__copy__": on_values,
}
