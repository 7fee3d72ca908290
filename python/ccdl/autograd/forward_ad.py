"""Derivatives along a direction carried beside the values: dual tensors.

ccdl differentiates in reverse; the tangent of a result comes from two reverse passes over what was recorded
between :func:`make_dual` and :func:`unpack_dual`: v -> J'v is linear, and the derivative of <J'v, t> by v is
Jt (J. Townsend, "A new trick for calculating Jacobian vector products", 2017). So the operations in between
are recorded, under :class:`ccdl.no_grad` too: what :func:`unpack_dual` returns there has no history.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

from .. import _C
from ..errors import RuntimeError as CcdlRuntimeError
from .function import Function
from .grad_mode import _asked, _dual_levels, enable_grad

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]


class _Dual(NamedTuple):
    value: _C.Tensor  # what the caller got
    node: Any  # its grad_fn then: another one after a write in place
    start: _C.Tensor  # its history begins here
    primal: _C.Tensor
    tangent: _C.Tensor


class _Start(Function):
    """The identity from a leaf to a tensor of the same memory that may be written in place."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return grads[0]


_levels: list[dict[int, _Dual]] = _dual_levels
_before: list[bool] = []  # grad mode outside of each level


def enter_dual_level() -> int:
    """Begins a level of dual tensors and returns its number; see :class:`dual_level`.

    Raises:
        RuntimeError: a level is open: they do not nest.

    >>> import ccdl.autograd.forward_ad as fwAD
    >>> fwAD.enter_dual_level()
    0
    >>> fwAD.exit_dual_level()
    """
    if _levels:
        raise CcdlRuntimeError("Nested forward mode AD is not supported at the moment")
    _asked.mode = _C._set_grad_enabled(True)
    _before.append(_asked.mode)
    _levels.append({})
    return len(_levels) - 1


def exit_dual_level(*, level: int | None = None) -> None:
    """Ends the level: its tangents are forgotten.

    Raises:
        RuntimeError: no level is open, or ``level`` is not the open one.

    >>> import ccdl.autograd.forward_ad as fwAD
    >>> level = fwAD.enter_dual_level()
    >>> fwAD.exit_dual_level(level=level)
    """
    if not _levels or level not in (None, len(_levels) - 1):
        raise CcdlRuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not "
            "supported."
        )
    _levels.pop()
    _C._set_grad_enabled(_before.pop())


def make_dual(tensor: _C.Tensor, tangent: _C.Tensor, *, level: int | None = None) -> _C.Tensor:
    """``tensor`` with ``tangent`` beside it: results computed from it know their derivative along that.

    Args:
        tensor: floating point.
        tangent: of the same sizes.
        level: the open one by default.

    Raises:
        RuntimeError: no level is open; the sizes differ; one of the two has a tangent already.
        ValueError: one of the two is not of floating point.

    >>> import ccdl
    >>> import ccdl.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(ccdl.tensor([2.0]), ccdl.tensor([1.0]))
    ...     y = x * x * x
    ...     fwAD.unpack_dual(y).tangent
    tensor([12.])
    """
    for name, x in (("tensor", tensor), ("tangent", tangent)):
        if not isinstance(x, _C.Tensor):
            raise TypeError(f"make_dual: {name} is {type(x).__name__}, must be a Tensor")
    table = _table(level)
    if table is None:
        raise CcdlRuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to "
            "enter_dual_level() first."
        )
    for name, x in (("primal", tensor), ("tangent", tangent)):
        if not x.is_floating_point():
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {x.dtype}")
    if tensor.shape != tangent.shape:
        raise CcdlRuntimeError(
            "make_dual: Trying to set a forward gradient that has a different size than that of the original "
            "Tensor, this is not supported. Tensor is of size "
            f"{list(tensor.shape)} while the given forward gradient is of size {list(tangent.shape)}."
        )
    for name, x in (("primal", tensor), ("tangent", tangent)):
        if table and unpack_dual(x, level=level).tangent is not None:
            raise CcdlRuntimeError(
                f"make_dual: the {name} already has a forward gradient at the same level; take it apart with "
                "unpack_dual() first"
            )
    with enable_grad():
        if tensor.requires_grad:
            start = value = tensor.view_as(tensor)
        else:
            start = value = tensor.detach().requires_grad_()
            if not (_C._batched_among((tensor,)) or tensor.is_inference()):
                value = _Start.apply(start)
    table[id(value)] = _Dual(value, value.grad_fn, start, tensor, tangent)
    return value


class UnpackedDualTensor(NamedTuple):
    """Value and tangent of a dual tensor; the tangent of one that depends on none is None.

    >>> import ccdl.autograd.forward_ad as fwAD
    >>> fwAD.UnpackedDualTensor._fields
    ('primal', 'tangent')
    """

    primal: Any
    tangent: Any


def unpack_dual(tensor: _C.Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """``(primal, tangent)`` of ``tensor``; the tangent is None where it depends on no dual tensor.

    Where no input requires a gradient of its own the two carry no history.

    >>> import ccdl
    >>> import ccdl.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(ccdl.tensor([1.0, 2.0]), ccdl.tensor([1.0, 0.0]))
    ...     primal, tangent = fwAD.unpack_dual((x * x).sum())
    >>> primal, tangent
    (tensor(5.), tensor(2.))
    """
    if not isinstance(tensor, _C.Tensor):
        raise TypeError(f"unpack_dual: tensor is {type(tensor).__name__}, must be a Tensor")
    table = _table(level)
    if not table:
        return UnpackedDualTensor(tensor, None)
    if id(tensor) in table and tensor.grad_fn is table[id(tensor)].node:
        dual = table[id(tensor)]
        return UnpackedDualTensor(dual.primal.view_as(dual.primal), dual.tangent)
    if tensor.grad_fn is None:
        return UnpackedDualTensor(tensor, None)
    duals = list(table.values())
    inputs = tuple(d.start for d in duals)
    recording = _asked.mode
    with enable_grad():
        direction = _C.zeros_like(tensor).requires_grad_()
        pulled = _C._run_backward((tensor,), (direction,), True, True, inputs, True, False)
        used = [(g, d) for g, d in zip(pulled, duals) if g is not None]
        outside = recording and _requires_outside(tensor, inputs)
        if not used:
            return UnpackedDualTensor(tensor, None)
        tracked = outside or recording and any(d.tangent.requires_grad for _, d in used)
        reached = [(g, d.tangent.to(g.dtype)) for g, d in used if g.requires_grad]
        tangent = None
        if reached:
            values, tangents = zip(*reached)
            (tangent,) = _C._run_backward(values, tangents, True, tracked, (direction,), True, False)
        if tangent is None:
            tangent = _C.zeros_like(tensor)
    primal = tensor if outside else tensor.detach()
    return UnpackedDualTensor(primal, tangent if tracked else tangent.detach())


class dual_level:
    """The context in which dual tensors are made and unpacked; also a decorator. Levels do not nest.

    >>> import ccdl
    >>> import ccdl.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(ccdl.tensor(3.0), ccdl.tensor(1.0))
    ...     fwAD.unpack_dual(x.exp().log()).tangent
    tensor(1.)
    """

    def __enter__(self) -> int:
        return enter_dual_level()

    def __exit__(self, *exc_info: Any) -> None:
        exit_dual_level()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isclass(function):
            raise TypeError(
                f"dual_level: cannot decorate the class {function.__name__}; decorate its methods instead"
            )

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with dual_level():
                return function(*args, **kwargs)

        return wrapper


def __getattr__(name: str) -> Any:
    if name == "_current_level":  # -1: none is open
        return len(_levels) - 1
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _table(level: int | None) -> dict[int, _Dual] | None:
    number = len(_levels) - 1 if level is None else level
    return _levels[number] if 0 <= number < len(_levels) else None


def _requires_outside(tensor: _C.Tensor, inputs: tuple[_C.Tensor, ...]) -> bool:
    """Whether ``tensor`` leads to a leaf that requires a gradient of its own and not as a dual."""
    own = {id(x) for x in inputs}
    start = tensor.grad_fn
    seen, stack = {start}, [start]
    while stack:
        for node, _ in stack.pop().next_functions:
            if node is None or node in seen:
                continue
            seen.add(node)
            if node.name() == "AccumulateGrad" and id(node.variable) not in own:
                return True
            stack.append(node)
    return False
