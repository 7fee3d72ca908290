"""Rules for calls that move, cut, join and repeat: shapes of one sample, the samples in front."""

from __future__ import annotations

from typing import Any

from .. import _C
from .core import NoBatch, Rule
from .reductions import shifted


def _sizes(given: Any) -> list[int]:
    """f(2, 3) and f((2, 3))"""
    if len(given) == 1 and not isinstance(given[0], int):
        given = given[0]
    return [int(s) for s in given]


def reshape(c: Any, x: Any, *shape: Any, **kwargs: Any) -> Any:
    if kwargs:
        shape = (kwargs.get("shape", kwargs.get("size")),)
    if len(shape) == 1 and isinstance(shape[0], _C.dtype):
        return c.wrap(c.func(x._value, shape[0])) if x.dim() else NotImplemented
    sizes = _sizes(shape)
    if -1 in sizes and x.numel() == 0:
        return NotImplemented
    return c.wrap(c.func(x._value, [c.frame.size, *sizes]))


def reshape_as(c: Any, x: Any, other: Any) -> Any:
    sizes = list(other.shape)
    return c.wrap(getattr(x._value, c.name[:-3])([c.frame.size, *sizes])) if c.holds(x) else x.reshape(sizes)


def expand(c: Any, x: Any, *sizes: Any, **kwargs: Any) -> Any:
    if kwargs or not c.holds(x):
        return NotImplemented
    wanted = _sizes(sizes)
    if len(wanted) < x.dim():
        return NotImplemented
    value = c.aligned(x, len(wanted))
    return c.wrap(value.expand([c.frame.size, *wanted]))


def expand_as(c: Any, x: Any, other: Any) -> Any:
    return x.expand(*other.shape)


def permute(c: Any, x: Any, *dims: Any, **kwargs: Any) -> Any:
    order = _sizes(dims if dims else (kwargs["dims"],))
    return c.wrap(x._value.permute([0, *(shifted(d, x.dim()) for d in order)]))


def transpose(c: Any, x: Any, a: int, b: int) -> Any:
    if x.dim() == 0:
        return NotImplemented
    return c.wrap(x._value.transpose(shifted(a, x.dim()), shifted(b, x.dim())))


def movedim(c: Any, x: Any, a: Any, b: Any) -> Any:
    a, b = ([d] if isinstance(d, int) else list(d) for d in (a, b))
    return c.wrap(x._value.movedim([shifted(d, x.dim()) for d in a], [shifted(d, x.dim()) for d in b]))


def t(c: Any, x: Any) -> Any:
    if x.dim() > 2:
        return NotImplemented
    return c.wrap(x._value.transpose(1, 2)) if x.dim() == 2 else x.view_as(x)


def adjoint(c: Any, x: Any) -> Any:
    return c.wrap(x._value.transpose(-2, -1)) if x.dim() >= 2 else NotImplemented


def squeeze(c: Any, x: Any, dim: Any = None) -> Any:
    if x.dim() == 0:
        return x
    if dim is None:
        dims = [d for d in range(x.dim()) if x.shape[d] == 1]
    else:
        dims = [dim] if isinstance(dim, int) else list(dim)
    return c.wrap(x._value.squeeze([shifted(d, x.dim()) for d in dims])) if dims else x.view_as(x)


def unsqueeze(c: Any, x: Any, dim: int) -> Any:
    return c.wrap(x._value.unsqueeze(shifted(dim, x.dim() + 1)))


def flatten(c: Any, x: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    value = x._value if x.dim() else x._value.unsqueeze(1)
    return c.wrap(value.flatten(shifted(start_dim, x.dim()), shifted(end_dim, x.dim())))


def ravel(c: Any, x: Any) -> Any:
    return x.reshape(-1)


def unflatten(c: Any, x: Any, dim: int, sizes: Any) -> Any:
    return c.wrap(x._value.unflatten(shifted(dim, x.dim()), sizes))


def cut(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """split, chunk and the like: the dimension comes second, the first by default."""
    rest = list(args)
    if not c.holds(x) or x.dim() == 0 or (rest and isinstance(rest[0], _C.Tensor)):
        return NotImplemented
    dim = shifted(rest.pop(1) if len(rest) > 1 else kwargs.pop("dim", 0), x.dim())
    return c.wrap(c.func(x._value, *rest, dim=dim, **kwargs))


def unbind(c: Any, x: Any, dim: int = 0) -> Any:
    return c.wrap(x._value.unbind(shifted(dim, x.dim()))) if x.dim() else NotImplemented


def select(c: Any, x: Any, dim: int, index: int) -> Any:
    if isinstance(index, _C.Tensor) or not x.dim():
        return NotImplemented
    return c.wrap(x._value.select(shifted(dim, x.dim()), index))


def narrow(c: Any, x: Any, dim: int, start: Any, length: int) -> Any:
    if isinstance(start, _C.Tensor):
        return NotImplemented
    return c.wrap(x._value.narrow(shifted(dim, x.dim()), start, length))


def unfold(c: Any, x: Any, dimension: int, size: int, step: int) -> Any:
    return c.wrap(x._value.unfold(shifted(dimension, x.dim()), size, step)) if x.dim() else NotImplemented


def _same_type(tensors: Any) -> bool:
    return all(t.dtype is tensors[0].dtype for t in tensors)


def cat(c: Any, tensors: Any, dim: int = 0, **kwargs: Any) -> Any:
    if "axis" in kwargs:
        dim = kwargs.pop("axis")
    rank = max(t.dim() for t in tensors)
    if kwargs or rank == 0 or any(t.dim() != rank for t in tensors):
        return NotImplemented
    return c.wrap(_C.cat([c.all(t) for t in tensors], shifted(dim, rank)))


def stack(c: Any, tensors: Any, dim: int = 0, **kwargs: Any) -> Any:
    if "axis" in kwargs:
        dim = kwargs.pop("axis")
    if kwargs or any(t.shape != tensors[0].shape for t in tensors):
        return NotImplemented
    return c.wrap(_C.stack([c.all(t) for t in tensors], shifted(dim, tensors[0].dim() + 1)))


def stacks(c: Any, *tensors: Any, **kwargs: Any) -> Any:
    """hstack, vstack and dstack by cat."""
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    if kwargs or not all(isinstance(t, _C.Tensor) for t in tensors):
        return NotImplemented
    if c.name == "hstack":
        parts = [t.reshape(1) if t.dim() == 0 else t for t in tensors]
        return _C.cat(parts, 0 if parts[0].dim() == 1 else 1)
    if c.name in ("vstack", "row_stack"):
        return _C.cat([t.reshape(1, -1) if t.dim() < 2 else t for t in tensors], 0)
    if c.name == "column_stack":
        return _C.cat([t.reshape(-1, 1) if t.dim() < 2 else t for t in tensors], 1)
    return NotImplemented


def atleast(c: Any, *tensors: Any) -> Any:
    if len(tensors) != 1 or not isinstance(tensors[0], _C.Tensor):
        return NotImplemented
    x, rank = tensors[0], int(c.name[-2])
    if x.dim() >= rank:
        return x
    if rank == 3 and x.dim() == 2:
        return x.unsqueeze(-1)
    if rank == 3:
        return x.reshape(1, -1, 1)
    return x.reshape(*(1,) * (rank - 1), -1) if rank > 1 else x.reshape(1)


def repeat(c: Any, x: Any, *counts: Any, **kwargs: Any) -> Any:
    times = _sizes(counts if counts else (kwargs.get("repeats", kwargs.get("dims")),))
    if c.name == "tile":
        times = [1] * (x.dim() - len(times)) + times
    if len(times) < x.dim():
        return NotImplemented
    return c.wrap(c.aligned(x, len(times)).repeat([1, *times]))


def repeat_interleave(c: Any, x: Any, repeats: Any, dim: Any = None, **kwargs: Any) -> Any:
    if kwargs or not isinstance(repeats, int) or not c.holds(x):
        return NotImplemented
    if dim is None:
        return c.wrap(x._value.reshape(c.frame.size, -1).repeat_interleave(repeats, 1))
    return c.wrap(x._value.repeat_interleave(repeats, shifted(dim, x.dim())))


def diagonal(c: Any, x: Any, offset: int = 0, dim1: Any = None, dim2: Any = None) -> Any:
    first = 0 if c.name == "diagonal" else -2
    dim1, dim2 = first if dim1 is None else dim1, (1 if first == 0 else -1) if dim2 is None else dim2
    rank = x.dim() + (c.name == "diag_embed")
    return c.wrap(c.func(x._value, offset, shifted(dim1, rank), shifted(dim2, rank)))


def diag(c: Any, x: Any, diagonal: int = 0) -> Any:
    if x.dim() == 1:
        return c.wrap(_C.diag_embed(x._value, diagonal))
    return c.wrap(_C.diagonal(x._value, diagonal, 1, 2)) if x.dim() == 2 else NotImplemented


def triangle(c: Any, x: Any, diagonal: int = 0) -> Any:
    return c.wrap(c.func(x._value, diagonal)) if x.dim() >= 2 else NotImplemented


def rot90(c: Any, x: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    return c.wrap(_C.rot90(x._value, k, [shifted(d, x.dim()) for d in dims]))


def flips(c: Any, x: Any) -> Any:
    return x.flip(1 if c.name == "fliplr" else 0)


def broadcast_to(c: Any, x: Any, size: Any) -> Any:
    return x.expand(*_sizes((size,)))


def broadcast_tensors(c: Any, *tensors: Any) -> Any:
    if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)):
        tensors = tuple(tensors[0])
    rank = max(t.dim() for t in tensors)
    values = [c.all(t) for t in tensors]
    values = [v.reshape(c.frame.size, *(1,) * (rank - v.dim() + 1), *v.shape[1:]) for v in values]
    return c.wrap(_C.broadcast_tensors(*values))


def reshaped_in_place(c: Any, x: Any, *dims: Any) -> Any:
    """The value itself takes the new form, and what the tensor shows."""
    if not c.holds(x):
        return NotImplemented
    raise NoBatch(f"{c.name} changes the shape in place")


RULES: dict[str, Rule] = {
    **dict.fromkeys("reshape view".split(), reshape),
    **dict.fromkeys("reshape_as view_as".split(), reshape_as),
    "expand": expand,
    "expand_as": expand_as,
    "permute": permute,
    **dict.fromkeys("transpose swapaxes swapdims".split(), transpose),
    **dict.fromkeys("movedim moveaxis".split(), movedim),
    "t": t,
    "adjoint": adjoint,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "flatten": flatten,
    "ravel": ravel,
    "unflatten": unflatten,
    **dict.fromkeys(
        "split split_with_sizes chunk tensor_split unsafe_split unsafe_chunk unsafe_split_with_sizes".split(),
        cut,
    ),
    "unbind": unbind,
    "select": select,
    "narrow": narrow,
    "unfold": unfold,
    **dict.fromkeys("cat concat concatenate".split(), cat),
    "stack": stack,
    **dict.fromkeys("hstack vstack row_stack column_stack".split(), stacks),
    **dict.fromkeys("atleast_1d atleast_2d atleast_3d".split(), atleast),
    **dict.fromkeys("repeat tile".split(), repeat),
    "repeat_interleave": repeat_interleave,
    **dict.fromkeys("diagonal diag_embed".split(), diagonal),
    "diag": diag,
    **dict.fromkeys("tril triu".split(), triangle),
    "rot90": rot90,
    **dict.fromkeys("fliplr flipud".split(), flips),
    "broadcast_to": broadcast_to,
    "broadcast_tensors": broadcast_tensors,
    **dict.fromkeys(
        "unsqueeze_ squeeze_ t_ transpose_ swapaxes_ swapdims_ resize_ resize_as_ set_ as_strided_".split(),
        reshaped_in_place,
    ),
}
