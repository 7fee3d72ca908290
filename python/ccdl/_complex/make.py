"""Complex tensors from data and from a complex ``dtype``."""

from __future__ import annotations

from typing import Any

from .. import _C, errors
from .._C import Tensor
from . import _DTYPES, _REAL, ComplexTensor, _dtype, as_complex, own
from .shapes import to
from .table import OPS


def from_data(
    name: str, data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Any:
    """What ``tensor`` and its like make of data that holds complex numbers; ``from_numpy`` shares memory."""
    if dtype is not None and dtype not in _REAL:
        raise errors.TypeError(f"{name}: complex numbers do not fit in {dtype}; take their real parts")
    if isinstance(data, ComplexTensor):
        result = data if name != "tensor" else data.detach().clone()
        result = result if dtype is None else to(result, dtype)
    elif not isinstance(data, (list, tuple, complex)) or hasattr(data, "dtype"):
        import numpy

        array = numpy.asarray(data)
        if array.dtype.kind != "c" or array.dtype.itemsize not in (8, 16):
            raise errors.TypeError(f"{name}: can't convert data of {array.dtype}")
        shared = _of_array(array)
        result = shared if name in ("from_numpy", "as_tensor", "asarray") else shared.clone()
        result = result if dtype is None else to(result, dtype)
        if device is None and name != "from_numpy":
            device = _C.get_default_device()
    else:
        part = _C.get_default_dtype() if dtype is None else _REAL[dtype]
        halves = [_C.tensor(_numbers(data, which), dtype=part) for which in ("real", "imag")]
        result = own(_C.stack(halves, -1))
    if device is not None:
        result = to(result, device)
    return result.requires_grad_() if requires_grad else result


def of_complex_data(func: Any, args: Any, kwargs: Any) -> Any:
    """``tensor``, ``as_tensor``, ``asarray``, ``from_numpy`` or ``new_tensor`` of complex data."""
    name = func.__name__
    rest = list(args[1:] if name == "new_tensor" else args)
    data = rest.pop(0) if rest else kwargs.get("data", kwargs.get("obj"))
    dtype = kwargs.get("dtype", rest[0] if rest else None)
    device = kwargs.get("device", rest[1] if len(rest) > 1 else None)
    if name == "new_tensor" and device is None:
        device = args[0].device
    if name not in ("tensor", "as_tensor", "asarray", "from_numpy", "new_tensor"):
        raise errors.TypeError(f"{name}: complex data is not accepted; make a tensor of it first")
    return from_data(name, data, dtype, device, bool(kwargs.get("requires_grad", False)))


_BESIDE_NUMBERS = frozenset(
    "add sub subtract mul multiply div divide true_divide rsub pow float_power where eq ne not_equal".split()
)


def of_complex_number(func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """A call of real tensors with a complex number of Python, whose result is complex."""
    from .table import call

    if func.__name__ not in _BESIDE_NUMBERS:
        return NotImplemented
    kept = 1 if func.__name__ == "where" else 0
    rest = (as_complex(a) if isinstance(a, Tensor) else a for a in args[kept:])
    return call(func, (*args[:kept], *rest), kwargs)


def _of_array(array: Any) -> ComplexTensor:
    from numpy.lib.stride_tricks import as_strided

    half = array.dtype.itemsize // 2
    pairs = as_strided(array.real, (*array.shape, 2), (*array.strides, half))
    return ComplexTensor(_C.from_numpy(pairs))


def _numbers(data: Any, part: str) -> Any:
    """One part of nested lists of numbers."""
    if isinstance(data, (list, tuple)):
        return [_numbers(item, part) for item in data]
    if isinstance(data, ComplexTensor):
        return getattr(data, part).tolist()
    if isinstance(data, Tensor):
        data = data.tolist()
        return data if part == "real" else _numbers(data, part)
    if hasattr(data, "ndim") and data.ndim:
        return getattr(data, part).tolist()
    return getattr(data, part)


_OF_NUMBERS = "tensor as_tensor asarray full new_full full_like new_tensor scalar_tensor".split()
_REAL_VALUED = (
    "zeros ones empty eye arange linspace zeros_like ones_like empty_like new_zeros new_ones new_empty type "
    "empty_strided logspace"
).split()


def of_complex_dtype(func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """What a function makes of a complex ``dtype``: zeros, ones, random numbers, real tensors converted.

    Uniform numbers have uniform parts; normal ones have variance 1, 1/2 in each part.
    """
    name = func.__name__
    if name in ("promote_types", "can_cast"):
        return _of_types(name, *args, **kwargs)
    if any(isinstance(a, ComplexTensor) for a in args[:1]):
        return _like(func, args, kwargs)
    if name in ("to", "type"):
        real = [_REAL.get(a, a) if isinstance(a, _C.dtype) else a for a in args]
        kwargs = {k: _REAL.get(v, v) if isinstance(v, _C.dtype) else v for k, v in kwargs.items()}
        return as_complex(func(*real, **kwargs))
    if name in ("sum", "mean", "cumsum", "prod", "cumprod"):
        dtype = kwargs.pop("dtype")
        return OPS[name](of_complex_dtype(Tensor.to, types, (args[0], dtype), {}), *args[1:], **kwargs)
    dtype = kwargs.pop("dtype", None)
    dtype = next((a for a in args if isinstance(a, _C.dtype)), dtype)
    return _made(func, [a for a in args if not isinstance(a, _C.dtype)], kwargs, dtype)


def _of_types(name: str, a: Any, b: Any) -> Any:
    """``promote_types`` and ``can_cast`` of dtypes, one of which at least is complex."""
    if name == "can_cast":
        return b in _REAL
    double = _C.float64
    parts = [_REAL.get(t, t) for t in (a, b)]
    return _DTYPES[double if double in parts else _C.float32]


def _made(func: Any, args: list[Any], kwargs: Any, dtype: Any) -> Any:
    name, part = func.__name__, _REAL[dtype]
    wants_grad = kwargs.pop("requires_grad", False)
    out = kwargs.pop("out", None)
    if name in ("rand", "randn", "rand_like", "randn_like"):
        parts = _C.stack([func(*args, dtype=part, **kwargs) for _ in range(2)], -1)
        result = own(parts * 0.5**0.5 if name.startswith("randn") else parts)
    elif name in _OF_NUMBERS:
        place = {"full": 1, "new_tensor": 1, "full_like": 1, "new_full": 2}.get(name, 0)
        key = "fill_value" if "full" in name else {"scalar_tensor": "s", "asarray": "obj"}.get(name, "data")
        if len(args) <= place and key not in kwargs:
            raise errors.TypeError(f"{name}() missing required argument '{key}'")
        value = args[place] if len(args) > place else kwargs.pop(key)
        if "full" not in name and _holds_complex(value):
            result = from_data(name, value, dtype, kwargs.get("device"))
        elif "full" not in name:
            real = value.to(part) if isinstance(value, Tensor) else _C.tensor(value, dtype=part)
            result = as_complex(real if kwargs.get("device") is None else real.to(kwargs["device"]))
        else:
            value = value.item() if isinstance(value, Tensor) else value
            given = args[:place]
            halves = [func(*given, v, dtype=part, **kwargs) for v in (value.real, value.imag)]
            result = own(_C.stack(halves, -1))
    elif name in _REAL_VALUED:
        result = as_complex(func(*args, dtype=part, **kwargs))
    else:
        raise errors.TypeError(f"{name}: complex dtypes are not supported here")
    if wants_grad:
        result = result.detach().requires_grad_()
    return result if out is None else out.copy_(result)


def _holds_complex(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_holds_complex(v) for v in value)
    return (
        isinstance(value, (complex, ComplexTensor))
        or getattr(getattr(value, "dtype", None), "kind", "") == "c"
    )


def _like(func: Any, args: Any, kwargs: Any) -> Any:
    """``zeros_like(z)``, ``z.new_zeros(2)`` and the others: complex like z unless another dtype is given."""
    z, rest = args[0], list(args[1:])
    name = func.__name__
    dtype = kwargs.pop("dtype", None)
    for place, value in enumerate(rest):
        if isinstance(value, _C.dtype):
            dtype = rest.pop(place)
            break
    kwargs.pop("memory_format", None)
    pattern = z._parts.detach()[..., 0]
    if name.endswith("_like") and kwargs.get("device") is None:
        kwargs.pop("device", None)
    if dtype is not None and dtype not in _REAL:
        return func(pattern, *rest, dtype=dtype, **kwargs)
    return _made(func, [pattern, *rest], kwargs, _DTYPES[_dtype(z)] if dtype is None else dtype)


for _name in (
    "new_zeros new_ones new_empty new_full new_tensor zeros_like ones_like empty_like rand_like randn_like "
    "full_like"
).split():
    _func = getattr(_C, _name, None) or getattr(Tensor, _name)
    OPS[_name] = lambda z, *a, _func=_func, **k: _like(_func, (z, *a), k)
    if hasattr(Tensor, _name):
        setattr(ComplexTensor, _name, OPS[_name])
