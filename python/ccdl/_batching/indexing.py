"""Rules for indexing: by numbers, slices and tensors, gathering and scattering."""

from __future__ import annotations

from typing import Any

from .. import _C
from .core import NoBatch, Rule
from .reductions import shifted


def _entries(key: Any) -> list[Any]:
    return list(key) if isinstance(key, tuple) else [key]


def _plan(c: Any, x: Any, key: Any) -> Any:
    """The key over all samples, and where its indexed dimensions belong; None: no rule.

    The dimensions that tensors index come out together: in front, or, where nothing but those lies between
    the tensors, in their place. A tensor that differs between samples comes with the number of the sample.
    """
    entries = _entries(key)
    tensors: list[Any] = [e for e in entries if isinstance(e, (_C.Tensor, list))]
    if any(isinstance(e, list) or (isinstance(e, bool)) for e in entries):
        return None
    if not tensors:
        return (slice(None), *entries), None
    if any(t.dtype is _C.bool for t in tensors):
        if any(c.holds(t) for t in tensors):
            raise NoBatch("indexing by a mask that differs between samples")
        if len(entries) > 1:
            return None
        return (slice(None), entries[0]), None
    if any(t.dim() == 0 and not c.holds(t) for t in tensors):
        return None
    if any(e is None for e in entries) or any(isinstance(e, int) for e in entries):
        return None
    if Ellipsis in [e for e in entries if not isinstance(e, _C.Tensor)]:
        at = next(i for i, e in enumerate(entries) if e is Ellipsis)
        entries[at : at + 1] = [slice(None)] * (x.dim() - len(entries) + 1)
    places = [i for i, e in enumerate(entries) if isinstance(e, _C.Tensor)]
    adjacent = places == list(range(places[0], places[-1] + 1))
    rank = max(entries[i].dim() for i in places)
    front = places[0] if adjacent else 0
    if not any(c.holds(entries[i]) for i in places):
        # the samples lie where they were; indexed dimensions in front of them otherwise
        return (slice(None), *entries), (None if adjacent else ("samples", rank))
    rows = _C.arange(c.frame.size, device=x.device).reshape(-1, *(1,) * rank)
    whole = [c.aligned(e, rank) if isinstance(e, _C.Tensor) else e for e in entries]
    return (rows, *whole), ("indexed", rank, front) if front else None


def getitem(c: Any, x: Any, key: Any) -> Any:
    plan = _plan(c, x, key)
    if plan is None:
        return NotImplemented
    whole, moved = plan
    entries = _entries(key)
    if not c.holds(x) and len(entries) == 1:
        return c.wrap(x[entries[0]._value])
    result = c.all(x)[whole]
    if moved is not None and moved[0] == "samples":
        result = result.movedim(moved[1], 0)
    elif moved is not None:
        _, rank, front = moved
        result = result.movedim(list(range(1, 1 + rank)), list(range(1 + front, 1 + front + rank)))
    return c.wrap(result)


def setitem(c: Any, x: Any, key: Any, value: Any) -> Any:
    if not c.holds(x):
        raise NoBatch("a write of a value that differs between samples into a tensor they share")
    entries = _entries(key)
    if len(entries) == 1 and isinstance(entries[0], _C.Tensor) and entries[0].dtype is _C.bool:
        mask = entries[0]
        number = not isinstance(value, _C.Tensor)
        if mask.dim() > x.dim() or not (number or value.dim() == 0):
            return NotImplemented
        mask = c.all(mask)
        mask = mask.reshape(*mask.shape, *(1,) * (x.dim() + 1 - mask.dim()))
        if number:
            x._value.masked_fill_(mask, value)
        elif c.holds(value):
            new = value._value.to(x.dtype).reshape(-1, *(1,) * x.dim())
            x._value.copy_(_C.where(mask, new, x._value))
        else:
            x._value.masked_fill_(mask, value)
        return None
    plan = _plan(c, x, key)
    if plan is None or plan[1] is not None:
        return NotImplemented
    whole = plan[0]
    if isinstance(value, _C.Tensor) and c.holds(value):
        shown = x._shown[tuple(map(c.shown, entries))]
        if value.dim() > shown.dim():
            return NotImplemented
        value = c.aligned(value, shown.dim())
    x._value[whole] = value
    return None


def index_select(c: Any, x: Any, dim: int, index: Any, **kwargs: Any) -> Any:
    if kwargs or x.dim() == 0 or index.dim() != 1:
        return NotImplemented
    at = shifted(dim, x.dim())
    if not c.holds(index):
        return c.wrap(x._value.index_select(at, index))
    if not c.holds(x) and at == 1:
        return c.wrap(x[index._value])
    value = c.all(x)
    shape = [c.frame.size, *(1,) * x.dim()]
    shape[at] = index.shape[0]
    sizes = list(value.shape)
    sizes[at] = index.shape[0]
    low, high = index._value.min().item(), index._value.max().item()
    if low < 0 or high >= value.shape[at]:
        return NotImplemented
    return c.wrap(value.gather(at, index._value.reshape(shape).expand(sizes)))


def by_dim(c: Any, x: Any, dim: Any, index: Any, *rest: Any, **kwargs: Any) -> Any:
    """gather, scatter and the like: all tensors see all samples."""
    if kwargs.get("out") is not None or not isinstance(dim, int) or x.dim() == 0 or x.dim() != index.dim():
        return NotImplemented
    writes = c.name.endswith("_")
    if writes and not c.holds(x):
        raise NoBatch(f"{c.name} writes a value that differs between samples into a tensor they share")
    rest = tuple(c.all(r) if isinstance(r, _C.Tensor) else r for r in rest)
    kwargs = {k: c.all(v) if isinstance(v, _C.Tensor) else v for k, v in kwargs.items()}
    result = c.func(c.all(x), shifted(dim, x.dim()), c.all(index), *rest, **kwargs)
    return x if writes else c.wrap(result)


def take_along_dim(c: Any, x: Any, indices: Any, dim: Any = None, **kwargs: Any) -> Any:
    if kwargs or x.dim() != indices.dim() or x.dim() == 0:
        return NotImplemented
    if dim is None:
        return c.wrap(c.all(x).flatten(1).gather(1, c.all(indices).flatten(1)))
    return c.wrap(_C.take_along_dim(c.all(x), c.all(indices), shifted(dim, x.dim())))


def index_add(c: Any, x: Any, dim: int, index: Any, source: Any, **kwargs: Any) -> Any:
    """One index for all samples; a different one goes by scatter_add."""
    writes = c.name.endswith("_")
    if kwargs.get("out") is not None or x.dim() == 0 or (writes and not c.holds(x)):
        return NotImplemented
    at = shifted(dim, x.dim())
    if not c.holds(index):
        other = c.all(source) if isinstance(source, _C.Tensor) and source.dim() else source
        if isinstance(other, _C.Tensor) and c.holds(other):
            return NotImplemented
        result = c.func(c.all(x), at, index, other, **kwargs)
        return x if writes else c.wrap(result)
    if c.name not in ("index_add", "index_add_") or kwargs or index.dim() != 1:
        return NotImplemented
    source = c.all(source)
    shape = [c.frame.size, *(1,) * x.dim()]
    shape[at] = index.shape[0]
    spread = index._value.reshape(shape).expand(source.shape)
    if writes:
        x._value.scatter_add_(at, spread, source)
        return x
    return c.wrap(c.all(x).scatter_add(at, spread, source))


def take(c: Any, x: Any, index: Any, **kwargs: Any) -> Any:
    return x.reshape(-1)[index] if not kwargs and index.dim() else NotImplemented


def one_hot(c: Any, x: Any, num_classes: int = -1) -> Any:
    if num_classes <= 0:
        raise NoBatch("one_hot without num_classes")
    return c.wrap(_C.one_hot(x._value, num_classes))


def embedding(c: Any, weight: Any, indices: Any, padding_idx: int = -1, *rest: Any, **kwargs: Any) -> Any:
    if not c.holds(weight):
        return c.wrap(c.func(weight, indices._value, padding_idx, *rest, **kwargs))
    if any(rest) or any(kwargs.values()) or padding_idx != -1:
        return NotImplemented
    count = weight.shape[0]
    found = c.all(indices)
    low, high = found.min().item(), found.max().item()
    if low < 0 or high >= count:
        return NotImplemented
    first = (_C.arange(c.frame.size, device=found.device) * count).reshape(-1, *(1,) * indices.dim())
    return c.wrap(c.func(weight._value.reshape(-1, *weight.shape[1:]), found + first))


RULES: dict[str, Rule] = {
    "__getitem__": getitem,
    "__setitem__": setitem,
    "index_select": index_select,
    **dict.fromkeys(
        "gather scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_".split(), by_dim
    ),
    "take_along_dim": take_along_dim,
    **dict.fromkeys(
        "index_add index_add_ index_copy index_copy_ index_fill index_fill_".split(), index_add
    ),
    "take": take,
    "one_hot": one_hot,
    "embedding": embedding,
}
