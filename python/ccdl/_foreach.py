"""``ccdl._foreach_*``: one elementwise operation over lists of tensors, as optimisers for PyTorch call it.

Each name exists with and without a trailing underscore: the plain one gives a new list, the other writes its
first list in place and returns it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _C, errors

_UNARY = (
    "abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 log1p log2 neg "
    "reciprocal round rsqrt sigmoid sign sin sinh sqrt tan tanh trunc"
).split()
_BINARY = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "div": "div",
    "pow": "pow",
    "maximum": "maximum",
    "minimum": "minimum",
    "clamp_min": "clamp_min",
    "clamp_max": "clamp_max",
}


def _is_list(x: Any) -> bool:
    return isinstance(x, (list, tuple))


def _first(name: str, tensors: Any) -> list[_C.Tensor]:
    if not _is_list(tensors) or not all(isinstance(t, _C.Tensor) for t in tensors):
        raise errors.TypeError(f"{name}: argument 'self' must be a tuple of Tensors, not {_shown(tensors)}")
    if not tensors:
        raise errors.RuntimeError(f"{name}: Tensor list must have at least one tensor.")
    return list(tensors)


def _shown(x: Any) -> str:
    return f"a {type(x).__name__} of {len(x)}" if _is_list(x) else type(x).__name__


def _spread(name: str, other: Any, count: int) -> list[Any]:
    """One operand per tensor: a list gives its entries, one number or tensor is there for all."""
    if not _is_list(other):
        return [other] * count
    if len(other) != count:
        raise errors.RuntimeError(
            f"{name}: Tensor lists must have the same number of tensors, got {count} and {len(other)}"
        )
    return list(other)


def _write(name: str, tensors: list[_C.Tensor], results: list[_C.Tensor]) -> None:
    for t, r in zip(tensors, results, strict=True):
        if r.shape != t.shape:
            raise errors.ShapeError(
                f"{name}: the result has shape {list(r.shape)}, the tensor written to {list(t.shape)}"
            )
        t.copy_(r)


def _unary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def new(self: Any) -> tuple[_C.Tensor, ...]:
        return tuple(getattr(t, name)() for t in _first(f"_foreach_{name}", self))

    def inplace(self: Any) -> Any:
        for t in _first(f"_foreach_{name}_", self):
            getattr(t, name + "_")()
        return self

    return new, inplace


def _limit(op: str, t: _C.Tensor, value: Any) -> _C.Tensor:
    if isinstance(value, _C.Tensor):
        return getattr(t, "maximum" if op in ("maximum", "clamp_min") else "minimum")(value)
    return getattr(t, "clamp_min" if op in ("maximum", "clamp_min") else "clamp_max")(value)


def _one(op: str, t: Any, value: Any, alpha: Any) -> _C.Tensor:
    if op in ("maximum", "minimum", "clamp_min", "clamp_max"):
        return _limit(op, t, value)
    if op in ("add", "sub") and alpha != 1:
        return getattr(t, op)(value, alpha=alpha)
    return t**value if op == "pow" else getattr(t, op)(value)


def _binary(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    op = _BINARY[name]
    takes_alpha = name in ("add", "sub")

    def rows(label: str, self: Any, other: Any, alpha: Any) -> tuple[list[_C.Tensor], list[_C.Tensor]]:
        if alpha != 1 and not takes_alpha:
            raise errors.TypeError(f"{label}: got an unexpected keyword argument 'alpha'")
        if name == "pow" and isinstance(self, (int, float)) and _is_list(other):
            return [], [self**t for t in _first(label, other)]
        tensors = _first(label, self)
        values = _spread(label, other, len(tensors))
        return tensors, [_one(op, t, v, alpha) for t, v in zip(tensors, values, strict=True)]

    def new(self: Any, other: Any, *, alpha: Any = 1) -> tuple[_C.Tensor, ...]:
        return tuple(rows(f"_foreach_{name}", self, other, alpha)[1])

    def inplace(self: Any, other: Any, *, alpha: Any = 1) -> Any:
        label = f"_foreach_{name}_"
        if name not in ("add", "sub", "mul", "div"):
            _write(label, *rows(label, self, other, alpha))
            return self
        if alpha != 1 and not takes_alpha:
            raise errors.TypeError(f"{label}: got an unexpected keyword argument 'alpha'")
        tensors = _first(label, self)
        scale = {"alpha": alpha} if takes_alpha else {}
        for t, v in zip(tensors, _spread(label, other, len(tensors)), strict=True):
            getattr(t, name + "_")(v, **scale)
        return self

    return new, inplace


def _fused(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def rows(label: str, self: Any, tensor1: Any, tensor2: Any, value: Any) -> list[_C.Tensor]:
        tensors = _first(label, self)
        firsts = _spread(label, _first(label, tensor1), len(tensors))
        seconds = _spread(label, _first(label, tensor2), len(tensors))
        values = list(value.unbind()) if isinstance(value, _C.Tensor) and value.dim() else value
        values = _spread(label, values, len(tensors))
        numbers = [v.item() if isinstance(v, _C.Tensor) else v for v in values]
        columns = zip(tensors, firsts, seconds, numbers, strict=True)
        return [getattr(t, name)(a, b, value=v) for t, a, b, v in columns]

    def new(self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> tuple[_C.Tensor, ...]:
        return tuple(rows(f"_foreach_{name}", self, tensor1, tensor2, value))

    def inplace(self: Any, tensor1: Any, tensor2: Any, value: Any = 1) -> Any:
        _write(f"_foreach_{name}_", list(self), rows(f"_foreach_{name}_", self, tensor1, tensor2, value))
        return self

    return new, inplace


def _lerp_rows(label: str, self: Any, tensors1: Any, weight: Any) -> list[_C.Tensor]:
    starts = _first(label, self)
    ends = _spread(label, _first(label, tensors1), len(starts))
    weights = _spread(label, weight, len(starts))
    return [a.lerp(b, w) for a, b, w in zip(starts, ends, weights, strict=True)]


def _foreach_lerp(self: Any, tensors1: Any, weight: Any) -> tuple[_C.Tensor, ...]:
    return tuple(_lerp_rows("_foreach_lerp", self, tensors1, weight))


def _foreach_lerp_(self: Any, tensors1: Any, weight: Any) -> Any:
    _write("_foreach_lerp_", list(self), _lerp_rows("_foreach_lerp_", self, tensors1, weight))
    return self


def _foreach_norm(self: Any, ord: Any = 2, dtype: Any = None) -> tuple[_C.Tensor, ...]:
    from .linalg import vector_norm

    return tuple(vector_norm(t, ord, dtype=dtype) for t in _first("_foreach_norm", self))


def _foreach_max(self: Any) -> tuple[_C.Tensor, ...]:
    return tuple(t.max() for t in _first("_foreach_max", self))


def _foreach_clone(self: Any, *, memory_format: Any = None) -> tuple[_C.Tensor, ...]:
    return tuple(t.clone() for t in _first("_foreach_clone", self))


def _foreach_zero_(self: Any) -> Any:
    for t in _first("_foreach_zero_", self):
        t.zero_()
    return self


def _foreach_copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    tensors = _first("_foreach_copy_", self)
    sources = _spread("_foreach_copy_", _first("_foreach_copy_", src), len(tensors))
    for t, s in zip(tensors, sources, strict=True):
        t.copy_(s, non_blocking=non_blocking)
    return self


def _make() -> None:
    made = {name: _unary(name) for name in _UNARY}
    made |= {name: _binary(name) for name in _BINARY}
    made |= {name: _fused(name) for name in ("addcmul", "addcdiv")}
    for name, pair in made.items():
        for function, ending in zip(pair, ("", "_"), strict=True):
            function.__name__ = function.__qualname__ = f"_foreach_{name}{ending}"
            globals()[function.__name__] = function


_make()
