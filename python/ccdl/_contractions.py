"""Contractions over named or listed dimensions; the work is done by the native matrix products."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

from . import _C, errors

__all__ = ["einsum", "tensordot", "chain_matmul"]

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _subscripts(labels):
    """A list of integers 0-51 and at most one Ellipsis as subscript text."""
    text = ""
    for label in labels:
        if label is Ellipsis:
            text += "..."
        elif isinstance(label, int) and 0 <= label < len(_LETTERS):
            text += _LETTERS[label]
        else:
            raise ValueError(
                f"einsum: subscript {label!r} in the list form must be an integer from 0 to 51 or Ellipsis"
            )
    return text


def einsum(equation: Any, *operands: Any) -> Any:
    """Sum of products over named dimensions (Einstein's convention), with ellipsis for broadcast dimensions.

    Args:
        equation: "ij,jk->ik": one group of letters per operand; dimensions whose letter is missing behind the
            arrow are summed. Without arrow, the letters that appear once are kept in alphabetical order. A
            letter repeated in one operand takes its diagonal. "..." stands for further dimensions, broadcast
            from the right.
        operands: one tensor per group (or one list of them). The list form
            ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` names dimensions by integers 0-51 and ``...``.

    Operands are contracted from left to right by batched matrix products.

    Raises:
        RuntimeError: the equation does not fit the operands, or sizes do not broadcast.
        ValueError: a subscript of the list form is not an integer from 0 to 51 or Ellipsis.

    >>> import ccdl
    >>> ccdl.einsum("i,j->ij", ccdl.tensor([1., 2.]), ccdl.tensor([3., 4.]))
    tensor([[3., 4.],
            [6., 8.]])
    """
    if isinstance(equation, str):
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = tuple(operands[0])
        return _contracted(equation, list(operands))
    arguments = (equation, *operands)
    pairs = len(arguments) // 2
    left = ",".join(_subscripts(labels) for labels in arguments[1 : 2 * pairs : 2])
    right = "->" + _subscripts(arguments[-1]) if len(arguments) % 2 else ""
    return _contracted(left + right, list(arguments[0 : 2 * pairs : 2]))


def _contracted(equation: str, operands: list[Any]) -> Any:
    """Of real tensors at once; of complex ones part by part, as sums of products are linear in each."""
    if not any(hasattr(x, "_parts") for x in operands):
        return _C._einsum(equation, operands)
    from ._complex import ComplexTensor

    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(operands) == len(terms) == 2 and arrow:
        free = [c for c in _LETTERS if c not in equation]
        if len(free) > 1:
            return ComplexTensor(_pairwise(terms, right, operands, *free[:2]).contiguous())
    sums: list[Any] = [None, None]
    choices = [(x.real, x.imag) if isinstance(x, ComplexTensor) else (x,) for x in operands]
    for picked in itertools.product(*(range(len(parts)) for parts in choices)):
        turns = sum(picked)  # factors of i
        term = _C._einsum(equation, [parts[k] for parts, k in zip(choices, picked, strict=True)])
        term = -term if turns % 4 in (2, 3) else term
        sums[turns % 2] = term if sums[turns % 2] is None else sums[turns % 2] + term
    return ComplexTensor(_C.stack(sums, -1))


def _pairwise(terms: list[str], right: str, operands: list[Any], row: str, column: str) -> _C.Tensor:
    """Two operands as one contraction of real tensors: the smaller one becomes the matrices of its numbers,
    [[re, im], [-im, re]], by which pairs (re, im) are multiplied."""
    from ._complex import ComplexTensor

    numbers = [isinstance(x, ComplexTensor) for x in operands]
    if not all(numbers):
        k = numbers.index(True)
        real = [x._parts if i == k else x for i, x in enumerate(operands)]
        terms = [t + row if i == k else t for i, t in enumerate(terms)]
        return _C._einsum(f"{','.join(terms)}->{right}{row}", real)
    small = int(operands[1].numel() <= operands[0].numel())
    parts = operands[small]._parts
    real = [x._parts for x in operands]
    real[small] = _C.stack([parts, _C.stack([-parts[..., 1], parts[..., 0]], -1)], -2)
    terms = [t + row + column if i == small else t + row for i, t in enumerate(terms)]
    return _C._einsum(f"{','.join(terms)}->{right}{column}", real)


def tensordot(a: Any, b: Any, dims: Any = 2, out: Any = None) -> Any:
    """Sum of products over ``dims``: the last ``dims`` dimensions of a with the first of b, or two lists.

    >>> import ccdl
    >>> ccdl.tensordot(ccdl.ones(2, 3, 4), ccdl.ones(3, 4, 5), 2).shape
    ccdl.Size([2, 5])
    """
    for name, value in (("a", a), ("b", b)):
        if not isinstance(value, _C.Tensor):
            raise errors.TypeError(
                f"tensordot(): argument '{name}' must be Tensor, not {type(value).__name__}"
            )
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot: expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(
                f"tensordot: expects dims <= both ranks, got dims={dims} for {a.dim()}D and {b.dim()}D"
            )
        left, right = list(range(a.dim() - dims, a.dim())), list(range(dims))
    else:
        left, right = ([d] if isinstance(d, int) else [int(i) for i in d] for d in dims)
    for p, q in zip(left, right):  # a dimension of one meets the other's sum
        p, q = p % max(a.dim(), 1), q % max(b.dim(), 1)
        if p < a.dim() and q < b.dim() and a.shape[p] != b.shape[q] and 1 in (a.shape[p], b.shape[q]):
            if a.shape[p] == 1:
                b = b.sum(q, keepdim=True, dtype=b.dtype)
            else:
                a = a.sum(p, keepdim=True, dtype=a.dtype)
    result = _C._tensordot(a, b, left, right)
    return result if out is None else _write(out, result)


def chain_matmul(*matrices: Any, out: Any = None) -> Any:
    """The product of matrices in the cheapest order; the older name of :func:`ccdl.linalg.multi_dot`.

    >>> import ccdl
    >>> ccdl.chain_matmul(ccdl.ones(2, 3), ccdl.ones(3, 4), ccdl.ones(4, 1))
    tensor([[12.],
            [12.]])
    """
    if len(matrices) == 1 and not isinstance(matrices[0], (list, tuple)):
        result = matrices[0]
    else:
        result = _C._multi_dot(list(matrices[0] if len(matrices) == 1 else matrices))
    return result if out is None else _write(out, result)


def to_out(out: Any, result: Any) -> Any:
    """The result itself, or written into ``out``."""
    return result if out is None else _write(out, result)


def _write(out, result):
    """out= of the functions written in Python: resized and overwritten; no gradient flows through it."""
    if not isinstance(out, _C.Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if _C.is_grad_enabled() and (out.requires_grad or result.requires_grad):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of the "
            "arguments requires grad; use the returned value"
        )
    if not _C.can_cast(result.dtype, out.dtype):
        raise errors.DTypeError(
            f"result type {result.dtype} can't be cast to the desired output type {out.dtype} of out="
        )
    if out.numel() and out.shape != result.shape:
        warnings.warn(
            "An output with one or more elements was resized since it had "
            f"shape {list(out.shape)}, which does not "
            f"match the required output shape {list(result.shape)}. Give out= that shape, or none with "
            "out.resize_(0)",
            stacklevel=3,
        )
    out.resize_(result.shape)
    return out.copy_(result)
