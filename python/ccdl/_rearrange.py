"""Reordering, splitting and joining dimensions by a pattern of names, as ``func.rearrange``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from . import _C

_Group = list[str]  # dimensions joined into one; "..." is any number of them, "(...)" those joined


def _parse(side: str, pattern: str) -> list[_Group]:
    groups: list[_Group] = []
    inside: _Group | None = None
    tokens = re.findall(r"\.\.\.|\(|\)|[A-Za-z_]\w*|\d+|\S", side)
    for token in tokens:
        if token == "(" and inside is None:
            inside = []
        elif token == ")" and inside is not None:
            groups.append(inside)
            inside = None
        elif token == "..." or token.isidentifier() or token == "1":
            if token == "1":
                if inside is None:
                    groups.append([])
            elif inside is None:
                groups.append([token])
            else:
                inside.append("(...)" if token == "..." else token)
        else:
            raise ValueError(f"rearrange: cannot read {token!r} in the pattern {pattern!r}")
    if inside is not None:
        raise ValueError(f"rearrange: a parenthesis is not closed in the pattern {pattern!r}")
    names = [_plain(name) for group in groups for name in group]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(
            f"rearrange: {sorted(twice)} appear more than once on a side of the pattern {pattern!r}"
        )
    return groups


def _plain(name: str) -> str:
    return "..." if name == "(...)" else name


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> _C.Tensor:
    """``tensor`` with its dimensions reordered, split and joined as ``pattern`` says (A. Rogozhnikov,
    "Einops", 2022).

    Args:
        tensor: a Tensor, or a sequence of equally shaped ones, which are stacked first.
        pattern: names of the dimensions before and after ``->``; ``(a b)`` is one dimension made of two,
            ``1`` one of size 1, ``...`` any number of dimensions.
        axes_lengths: sizes of names that the shape does not give.

    Raises:
        ValueError: a pattern that cannot be read, names on one side only, sizes that do not fit.
        TypeError: a pattern that is no text, a tensor that is none.

    >>> import ccdl
    >>> images = ccdl.randn(32, 30, 40, 3)
    >>> ccdl.func.rearrange(images, "b h w c -> b c (h w)").shape
    ccdl.Size([32, 3, 1200])
    >>> ccdl.func.rearrange(images, "b (h1 h) (w1 w) c -> (b h1 w1) h w c", h1=2, w1=2).shape
    ccdl.Size([128, 15, 20, 3])
    """
    if not isinstance(pattern, str):
        raise TypeError(f"rearrange: pattern is {type(pattern).__name__}, must be a str")
    if isinstance(tensor, Sequence) and not isinstance(tensor, str):
        tensor = _C.stack(list(tensor))
    if not isinstance(tensor, _C.Tensor):
        raise TypeError(
            f"rearrange: tensor is {type(tensor).__name__}, must be a Tensor or a sequence of them"
        )
    if pattern.count("->") != 1:
        raise ValueError(f"rearrange: the pattern {pattern!r} must have one '->'")
    left, right = (_parse(side, pattern) for side in pattern.split("->"))
    if any("(...)" in group for group in left):
        raise ValueError(
            f"rearrange: an ellipsis inside parentheses on the left of the pattern {pattern!r}"
        )
    before, after = ({_plain(n) for group in side for n in group} for side in (left, right))
    if before != after:
        raise ValueError(
            f"rearrange: {sorted(before ^ after)} are on one side only of the pattern {pattern!r}"
        )
    unknown = set(axes_lengths) - before
    if unknown:
        raise ValueError(
            f"rearrange: the sizes {sorted(unknown)} belong to no name of the pattern {pattern!r}"
        )
    shape = tuple(tensor.shape)
    rest = len(shape) - len([group for group in left if group != ["..."]])
    if rest < 0 or (rest > 0 and "..." not in before):
        raise ValueError(
            f"rearrange: the pattern {pattern!r} has {len(left)} dimensions on the left, the tensor has "
            f"{len(shape)}: {list(shape)}"
        )
    many = [f"...{i}" for i in range(rest)]
    groups: list[_Group] = []
    for group in left:
        groups.extend([name] for name in many) if group == ["..."] else groups.append(group)
    sizes: dict[str, int] = {}
    for group, size in zip(groups, shape):
        sizes.update(_sizes_of(group, size, axes_lengths, pattern))
    order = [name for group in groups for name in group]
    wanted: list[_Group] = []
    for group in right:
        if group == ["..."]:
            wanted.extend([name] for name in many)
        else:
            wanted.append([n for name in group for n in (many if name == "(...)" else [name])])
    split = tensor.reshape([sizes[name] for name in order])
    moved = split.permute([order.index(name) for group in wanted for name in group]) if order else split
    return moved.reshape([math.prod(sizes[name] for name in group) for group in wanted])


def _sizes_of(group: _Group, size: int, given: dict[str, int], pattern: str) -> dict[str, int]:
    known = {name: given[name] for name in group if name in given}
    open_names = [name for name in group if name not in given]
    if any(not isinstance(n, int) or n < 1 for n in known.values()):
        raise ValueError(f"rearrange: sizes must be positive ints, got {known}")
    product = math.prod(known.values())
    if len(open_names) > 1:
        raise ValueError(
            f"rearrange: the sizes of {open_names} are not determined by the pattern {pattern!r}"
        )
    if size % product or (not open_names and size != product):
        raise ValueError(
            f"rearrange: a dimension of size {size} cannot be ({' '.join(group)}) with the sizes {known} in "
            f"the pattern {pattern!r}"
        )
    return {**known, **dict.fromkeys(open_names, size // product)}
