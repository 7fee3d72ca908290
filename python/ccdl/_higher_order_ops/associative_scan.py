"""All prefixes of a sequence under an associative function, in a logarithmic number of steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _C
from .._C import Tensor
from ..utils._pytree import tree_flatten, tree_unflatten

__all__ = ["associative_scan"]


def _prefixes(
    combine: Callable[[list[Tensor], list[Tensor]], list[Tensor]], xs: list[Tensor]
) -> list[Tensor]:
    """The scan over axis 0: prefixes of pairs, then the elements between (Blelloch 1990)."""
    length = xs[0].shape[0]
    if length < 2:
        return xs
    pairs = combine([x[:-1:2] for x in xs], [x[1::2] for x in xs])
    odd = _prefixes(combine, pairs)  # prefixes that end at 1, 3, 5 ...
    between = [x[2::2] for x in xs]
    even = combine([p[: b.shape[0]] for p, b in zip(odd, between, strict=True)], between)
    scanned = []
    for x, e, o in zip(xs, even, odd, strict=True):
        e = _C.cat([x[:1], e])
        if e.shape[0] > o.shape[0]:
            middle = _C.stack([e[:-1], o], dim=1).flatten(0, 1)
            scanned.append(_C.cat([middle, e[-1:]]))
        else:
            scanned.append(_C.stack([e, o], dim=1).flatten(0, 1))
    return scanned


def associative_scan(
    combine_fn: Callable[[Any, Any], Any],
    xs: Any,
    dim: int,
    reverse: bool = False,
    combine_mode: str = "pointwise",
) -> Any:
    """y_i = combine_fn(y_{i-1}, x_i) along ``dim``, with y_0 = x_0, for an associative ``combine_fn``.

    ``xs`` is a tensor or a nest of tensors that agree in size along ``dim``, the result the same nest.
    Gradients flow through ``combine_fn``, which gets about half of the positions at once.

    Args:
        combine_fn: takes two nests like ``xs`` of any size along ``dim`` and gives one.
        reverse: scan from the end.
        combine_mode: "pointwise" or "generic"; without effect.

    Raises:
        ValueError: no tensors, sizes along ``dim`` that differ, no function, or an unknown mode.

    Source: Blelloch 1990, Prefix sums and their applications.

    >>> import ccdl
    >>> from ccdl._higher_order_ops.associative_scan import associative_scan
    >>> associative_scan(lambda a, b: a * b, ccdl.arange(1, 6), dim=0)
    tensor([  1,   2,   6,  24, 120])
    """
    if not callable(combine_fn):
        raise ValueError(f"associative_scan: combine_fn must be callable, got {type(combine_fn).__name__}")
    if combine_mode not in ("pointwise", "generic"):
        raise ValueError(
            f"associative_scan: combine_mode must be 'pointwise' or 'generic', got {combine_mode!r}"
        )
    leaves, spec = tree_flatten(xs)
    if not leaves or not all(isinstance(leaf, Tensor) for leaf in leaves):
        raise ValueError(f"associative_scan: xs must hold tensors, got {[type(x).__name__ for x in leaves]}")
    if len({leaf.shape[dim] for leaf in leaves}) != 1:
        raise ValueError(
            f"associative_scan: all tensors must have one size along dim {dim}, "
            f"got {[list(leaf.shape) for leaf in leaves]}"
        )

    def combine(a: list[Tensor], b: list[Tensor]) -> list[Tensor]:
        if a[0].shape[0] == 0:
            return b
        left, right = ([x.movedim(0, dim) for x in side] for side in (a, b))
        values, _ = tree_flatten(combine_fn(tree_unflatten(left, spec), tree_unflatten(right, spec)))
        return [value.movedim(dim, 0) for value in values]

    front = [leaf.movedim(dim, 0) for leaf in leaves]
    if reverse:
        front = [leaf.flip(0) for leaf in front]
    scanned = _prefixes(combine, front)
    if reverse:
        scanned = [leaf.flip(0) for leaf in scanned]
    return tree_unflatten([leaf.movedim(0, dim) for leaf in scanned], spec)
