"""Branches and loops that PyTorch's compiler records: here Python runs them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._C import Tensor

__all__ = ["cond", "while_loop"]


def _truth(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, Tensor) and value.numel() == 1:
        return bool(value)
    what = f"a tensor of shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise RuntimeError(f"{name} must be a bool or a tensor with one element, got {what}")


def cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Any = ()) -> Any:
    """``true_fn(*operands)`` where ``pred`` is true, else ``false_fn(*operands)``; only one of them runs.

    Raises:
        RuntimeError: ``pred`` is no bool or tensor of one element, a branch is not callable, or ``operands``
            is no tuple or list.

    >>> import ccdl
    >>> ccdl.cond(ccdl.tensor(True), lambda x: x + 1, lambda x: x - 1, (ccdl.ones(2),))
    tensor([2., 2.])
    """
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError(
            "cond: expect both branches to be callable, "
            f"got {type(true_fn).__name__} and {type(false_fn).__name__}"
        )
    if not isinstance(operands, (tuple, list)):
        raise RuntimeError(f"cond: expect operands to be a tuple or list, got {type(operands).__name__}")
    return (true_fn if _truth("cond: pred", pred) else false_fn)(*operands)


def while_loop(cond_fn: Callable[..., Any], body_fn: Callable[..., Any], carried_inputs: Any) -> Any:
    """Calls ``carried = body_fn(*carried)`` as long as ``cond_fn(*carried)`` is true; a tuple comes back.

    Raises:
        RuntimeError: a function is not callable, ``carried_inputs`` is no tuple or list, ``cond_fn`` gives no
            bool or tensor of one element, or ``body_fn`` another number of values than it got.

    >>> import ccdl
    >>> ccdl.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * 2), (ccdl.tensor(0), ccdl.tensor(1)))
    (tensor(3), tensor(8))
    """
    if not callable(cond_fn) or not callable(body_fn):
        raise RuntimeError(
            f"while_loop: expect functions, got {type(cond_fn).__name__} and {type(body_fn).__name__}"
        )
    if not isinstance(carried_inputs, (tuple, list)):
        raise RuntimeError(
            f"while_loop: expect carried_inputs to be a tuple or list, got {type(carried_inputs).__name__}"
        )
    carried = tuple(carried_inputs)
    while _truth("while_loop: the value of cond_fn", cond_fn(*carried)):
        after = body_fn(*carried)
        after = tuple(after) if isinstance(after, (tuple, list)) else (after,)
        if len(after) != len(carried):
            raise RuntimeError(
                f"while_loop: body_fn must give {len(carried)} values, as many as it got, got {len(after)}"
            )
        carried = after
    return carried
