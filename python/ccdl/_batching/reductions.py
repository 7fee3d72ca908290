"""Rules for calls along dimensions: sums, extremes, orders, running sums, the softmax family."""

from __future__ import annotations

from typing import Any

from .. import _C
from .core import Rule
from .elementwise import pointwise


def shifted(dim: int, rank: int) -> int:
    """A dimension of one sample as one of all samples."""
    if not -max(rank, 1) <= dim < max(rank, 1):
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-max(rank, 1)}, {max(rank, 1) - 1}], but "
            f"got {dim})"
        )
    return dim % max(rank, 1) + 1


def _renamed(kwargs: dict[str, Any]) -> None:
    for other, name in (("axis", "dim"), ("keepdims", "keepdim")):
        if other in kwargs:
            kwargs[name] = kwargs.pop(other)


def _takes(c: Any, args: Any, kwargs: Any) -> bool:
    return (
        bool(args)
        and c.holds(args[0])
        and kwargs.get("out") is None
        and not any(isinstance(a, _C.Tensor) for a in (*args[1:], *kwargs.values()))
    )


def along(place: int, default: Any, name: str = "dim") -> Rule:
    """A call that keeps the dimensions, with its dimension at ``place``."""

    def rule(c: Any, *args: Any, **kwargs: Any) -> Any:
        _renamed(kwargs)
        if not _takes(c, args, kwargs):
            return NotImplemented
        x = args[0]
        rest = list(args[1:])
        if len(rest) >= place:
            dim = rest[place - 1]
        elif name in kwargs:
            dim = kwargs[name]
        else:
            dim = default
        if not isinstance(dim, int):
            return NotImplemented
        dim = shifted(dim, x.dim())
        if len(rest) >= place:
            rest[place - 1] = dim
        else:
            kwargs[name] = dim
        value = x._value if x.dim() else x._value.unsqueeze(1)
        result = c.func(value, *rest, **kwargs)
        if not x.dim():
            if isinstance(result, _C.Tensor):
                result = result.squeeze(1)
            else:
                return NotImplemented
        return c.wrap(result)

    return rule


def _over(c: Any, x: Any, dim: Any, lists: bool, keepdim: bool) -> Any:
    """The value and the dimension to reduce."""
    rank = x.dim()
    if dim is None or (isinstance(dim, (tuple, list)) and not len(dim)):
        if rank == 0:
            return x._value.unsqueeze(1), 1
        if keepdim and rank > 1:
            return (x._value, list(range(1, rank + 1))) if lists else None
        return (x._value if rank == 1 else x._value.flatten(1)), 1
    if isinstance(dim, int):
        return (x._value if rank else x._value.unsqueeze(1)), shifted(dim, rank)
    return (x._value if rank else x._value.unsqueeze(1)), [shifted(d, rank) for d in dim]


def reduced(place: int = 1, lists: bool = True, over_all: str = "", pair: bool = False) -> Rule:
    """A call that removes dimensions: those at ``place`` of the arguments, all for None. Without a
    dimension it is ``over_all``, where that differs; ``pair``: then the first of two results.
    """

    def rule(c: Any, *args: Any, **kwargs: Any) -> Any:
        _renamed(kwargs)
        if over_all and len(args) > 1 and isinstance(args[1], _C.Tensor):
            return pointwise(c, *args, **kwargs)
        if not _takes(c, args, kwargs):
            return NotImplemented
        x, rest = args[0], list(args[1:])
        if place == 1 and rest and isinstance(rest[0], bool):  # std(x, unbiased)
            kwargs["correction"] = int(rest.pop(0))
        if "unbiased" in kwargs:
            kwargs["correction"] = int(kwargs.pop("unbiased"))
        if c.name in _DEVIATIONS and len(rest) > 1:
            kwargs["correction"] = int(rest[1])
            if len(rest) > 2:
                kwargs["keepdim"] = rest[2]
            rest = rest[:1]
        given = len(rest) >= place
        dim = rest[place - 1] if given else kwargs.pop("dim", None)
        after = rest[place:] if given else []
        keepdim = bool(after[0] if after else kwargs.get("keepdim", False))
        found = _over(c, x, dim, lists, keepdim)
        if found is None or (keepdim and x.dim() == 0):
            return NotImplemented
        value, at = found
        func = c.func
        if dim is None and over_all:
            func = getattr(_C, over_all)
        if dim is None and c.name == "quantile" and not isinstance(rest[0], float):
            return NotImplemented
        if given:
            result = func(value, *rest[: place - 1], at, *after, **kwargs)
        else:
            result = func(value, *rest, dim=at, **kwargs)
        return c.wrap(result[0] if pair and dim is None else result)

    return rule


_DEVIATIONS = frozenset(["std", "var", "std_mean", "var_mean"])


def quantile(c: Any, x: Any, q: Any, *args: Any, **kwargs: Any) -> Any:
    if not isinstance(q, float):
        return NotImplemented
    return _quantile(c, x, q, *args, **kwargs)


_quantile = reduced(2, lists=False)


def flip(c: Any, x: Any, *dims: Any, **kwargs: Any) -> Any:
    if not c.holds(x) or (kwargs and "dims" not in kwargs):
        return NotImplemented
    if kwargs:
        dims = (kwargs["dims"],)
    if len(dims) == 1 and not isinstance(dims[0], int):
        dims = tuple(dims[0])
    return c.wrap(x._value.flip([shifted(d, x.dim()) for d in dims]))


def roll(c: Any, x: Any, shifts: Any, dims: Any = None) -> Any:
    if not c.holds(x) or x.dim() == 0:
        return NotImplemented
    if dims is None or (not isinstance(dims, int) and not len(dims)):
        return c.wrap(x._value.flatten(1).roll(shifts, 1).reshape(x._value.shape))
    dims = [dims] if isinstance(dims, int) else dims
    return c.wrap(x._value.roll(shifts, [shifted(d, x.dim()) for d in dims]))


def trace(c: Any, x: Any) -> Any:
    return c.wrap(x._value.diagonal(0, 1, 2).sum(-1)) if x.dim() == 2 else NotImplemented


def kthvalue(c: Any, *args: Any, **kwargs: Any) -> Any:
    _renamed(kwargs)
    if len(args) < 3 and "dim" not in kwargs:
        kwargs["dim"] = -1
    return reduced(2, lists=False)(c, *args, **kwargs)


RULES: dict[str, Rule] = {
    **dict.fromkeys(
        "sum mean amax amin all any nansum nanmean count_nonzero std var std_mean var_mean".split(), reduced()
    ),
    "logsumexp": reduced(),
    "max": reduced(lists=False, over_all="amax"),
    "min": reduced(lists=False, over_all="amin"),
    **dict.fromkeys("median nanmedian".split(), reduced(lists=False, pair=True)),
    **dict.fromkeys("argmax argmin prod".split(), reduced(lists=False)),
    "_vector_norm": reduced(2),
    "norm": reduced(2),
    "quantile": quantile,
    "nanquantile": quantile,
    **dict.fromkeys(
        "softmax log_softmax cumsum cumprod logcumsumexp cummax cummin".split(), along(1, None)
    ),
    **dict.fromkeys("sort argsort glu".split(), along(1, -1)),
    "msort": lambda c, x: c.wrap(_C.sort(x._value, 1)[0]) if x.dim() else NotImplemented,
    "topk": along(2, -1),
    "kthvalue": kthvalue,
    "diff": along(2, -1),
    "renorm": along(2, None),
    "flip": flip,
    "roll": roll,
    "trace": trace,
}
