"""The table of what functions and methods do to complex tensors, by name, and what its entries share.

Every entry is written in real operations on the parts, so gradients follow from theirs.
"""

from __future__ import annotations

from typing import Any

from .. import _C, errors
from .._C import Tensor
from . import ComplexTensor, as_complex, own, written

OPS: dict[str, Any] = {}
_ON_PARTS = frozenset(
    "_fused_sgd_step _fused_adam_step _fused_rule_step _amp_foreach_non_finite_check_and_unscale_".split()
)


def op(*names: str) -> Any:
    def add(function: Any) -> Any:
        for name in names:
            OPS[name] = function
        return function

    return add


def call(func: Any, args: Any, kwargs: Any) -> Any:
    """``func(*args, **kwargs)``, of which some argument is complex."""
    name = func.__name__
    if name in _ON_PARTS:
        return func(*_unwrapped(args), **_unwrapped(kwargs))
    found = OPS.get(name)
    if found is None and name.endswith("_") and not name.startswith("_") and name[:-1] in OPS:
        found = in_place(name[:-1])
    if found is None:
        raise errors.TypeError(
            f"{name}: not supported for complex tensors; compute with view_as_real(z), z.real and z.imag"
        )
    out = kwargs.pop("out", None)
    kwargs = {("dim" if k == "axis" else "keepdim" if k == "keepdims" else k): v for k, v in kwargs.items()}
    if "input" in kwargs and not args:
        args = (kwargs.pop("input"),)
    try:
        return written(out, found(*args, **kwargs))
    except AttributeError as error:  # an entry asked a real argument for parts
        if "_parts" not in str(error):
            raise
        raise errors.TypeError(f"{name}: real and complex arguments do not go together here") from error


def _unwrapped(x: Any) -> Any:
    if isinstance(x, ComplexTensor):
        return x._parts
    if isinstance(x, dict):
        return {k: _unwrapped(v) for k, v in x.items()}
    return type(x)(_unwrapped(v) for v in x) if type(x) in (list, tuple) else x


def in_place(name: str) -> Any:
    op = OPS[name]

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _C.is_grad_enabled():  # what backward needs of self must not be overwritten
            source = self.clone()
            result = op(source, *(source if a is self else a for a in args), **kwargs)
        else:
            result = op(self, *args, **kwargs)
        if not isinstance(self, ComplexTensor):
            raise errors.TypeError(
                f"{name}_: result type {result.dtype} can't be cast to the desired output type {self.dtype}"
            )
        if result.shape != self.shape:
            raise errors.ShapeError(
                f"{name}_: output with shape {list(self.shape)} doesn't match the broadcast shape "
                f"{list(result.shape)}"
            )
        return OPS["copy_"](self, result)

    return run


# --- dimensions of the complex tensor as those of its parts ---


def at(z: Any, dim: Any, more: int = 0) -> Any:
    """Dimensions counted from the front; an error names what is wrong in terms of the complex shape."""
    if isinstance(dim, (tuple, list)):
        return tuple(at(z, d, more) for d in dim)
    n = max(z.ndim + more, 1)
    if not isinstance(dim, int):
        raise errors.TypeError(f"dim must be int, not {type(dim).__name__}")
    if not -n <= dim < n:
        raise errors.IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim % n


def all_of(z: Any, dim: Any) -> Any:
    return (
        tuple(range(z.ndim))
        if dim is None or dim == ()
        else at(z, dim if isinstance(dim, (tuple, list)) else (dim,))
    )


def sizes_of(shape: Any) -> tuple[int, ...]:
    return tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape)


def each(results: Any) -> Any:
    """Several results."""
    return tuple(own(r) for r in results)


def like(x: Any, z: ComplexTensor) -> Tensor:
    """The parts of ``x`` beside ``z``."""
    return as_complex(x, z)._parts


def pair(re: Tensor, im: Tensor) -> Any:
    """The complex tensor of two parts."""
    return own(_C.stack([re, im], -1))


def is_real(x: Any) -> bool:
    """Whether x is a number or a tensor without imaginary parts."""
    return isinstance(x, (int, float)) or (isinstance(x, Tensor) and not isinstance(x, ComplexTensor))


def both(a: Any, b: Any) -> tuple[Any, Any]:
    """Two operands, one of which at least is complex, as complex ones of the result's precision."""
    if not isinstance(a, ComplexTensor) and not isinstance(b, ComplexTensor):
        a = as_complex(a)
    x = as_complex(a, b if isinstance(b, ComplexTensor) else None)
    return x, as_complex(b, a if isinstance(a, ComplexTensor) else None)
