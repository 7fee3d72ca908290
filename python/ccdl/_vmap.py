"""vmap: a function of one sample, mapped over a batch dimension.

The function runs once, on values that stand for those of all samples (``_batching``). What needs one value
per sample in Python, as ``if x > 0`` and ``x.item()`` do, or writes such a value into a tensor that the
samples share, has the function run once per sample instead, and the results stacked.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from . import _C
from ._checks import check_count
from .errors import RuntimeError as CcdlRuntimeError

__all__ = ["vmap"]


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """``func``, mapped over one dimension of its tensors: the batched function takes and returns tensors with
    that dimension more.

    Args:
        func: takes tensors, also nested in lists, tuples and dicts, and returns the like.
        in_dims: the mapped dimension of every input, None for one that all samples share: one for all, or
            nested like the positional arguments (or like their outer levels). Keyword arguments are shared.
        out_dims: where the mapped dimension goes in every output; None for outputs that no input decides.
        randomness: 'different' random numbers per sample, the 'same' for all, or 'error'.
        chunk_size: at most so many samples at once, None for all.

    The function runs once for all samples. Only where Python itself needs a number of one sample
    (``if x > 0``, ``x.item()``, a mask that differs between samples as index), or where the function writes
    into a tensor that the samples share, it runs again, sample by sample. A call without a rule for all
    samples is a loop of its own.

    Raises:
        ValueError: dims that do not fit the inputs or outputs, unequal sizes, no tensor to map over, an
            output that is no tensor.
        RuntimeError: random numbers drawn although randomness is 'error'; an unknown randomness; running
            statistics of a batch norm in training that the samples share.
        IndexError: an out dimension out of range.

    >>> import ccdl
    >>> ccdl.vmap(ccdl.dot, in_dims=(0, None))(ccdl.eye(2), ccdl.tensor([3., 4.]))
    tensor([3., 4.])
    """
    if randomness not in ("error", "different", "same"):
        raise CcdlRuntimeError(
            f"Only allowed values for randomness are 'error', 'different', or 'same'. Got {randomness}"
        )
    if chunk_size is not None and not chunk_size > 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")

    @functools.wraps(func)
    def mapped(*args: Any, **kwargs: Any) -> Any:
        name = getattr(func, "__name__", type(func).__name__)
        dims = _dims_of_inputs(name, in_dims, args)
        leaves = list(_leaves(args))
        size = _batch_size(leaves, dims)
        if size == 0:
            return _stacked(name, _run(func, args, kwargs, leaves, dims, size, randomness), out_dims, size)
        if chunk_size is None or chunk_size >= size:
            return _mapped(name, func, args, kwargs, leaves, dims, size, out_dims, randomness)
        parts = []
        for start in range(0, size, chunk_size):
            count = min(chunk_size, size - start)
            mine = [x if d is None else x.narrow(d, start, count) for x, d in zip(leaves, dims)]
            parts.append(_mapped(name, func, args, kwargs, mine, dims, count, out_dims, randomness))
        return _joined(parts, out_dims)

    return mapped


def _leaves(value: Any) -> Iterator[Any]:
    """What nested lists, tuples and dicts hold, in order."""
    if isinstance(value, dict):
        for key in value:
            yield from _leaves(value[key])
    elif isinstance(value, (list, tuple)) and not isinstance(value, _C.Size):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _filled(shape: Any, leaves: Iterator[Any]) -> Any:
    """Containers like ``shape`` with other leaves."""
    if isinstance(shape, dict):
        return type(shape)((key, _filled(shape[key], leaves)) for key in shape)
    if isinstance(shape, (list, tuple)) and not isinstance(shape, _C.Size):
        parts = [_filled(item, leaves) for item in shape]
        return type(shape)(*parts) if hasattr(shape, "_fields") else type(shape)(parts)
    return next(leaves)


def _spread(dims: Any, value: Any, fail: Callable[[], Any]) -> list[Any]:
    """One entry of ``dims`` per leaf of ``value``; an entry stands for everything below it."""
    if dims is None or (isinstance(dims, int) and not isinstance(dims, bool)):
        return [dims] * sum(1 for _ in _leaves(value))
    if isinstance(dims, dict) and isinstance(value, dict) and set(dims) == set(value):
        return [d for key in value for d in _spread(dims[key], value[key], fail)]
    fits = isinstance(dims, (list, tuple)) and isinstance(value, (list, tuple))
    if not fits or len(dims) != len(value):
        raise fail()
    return [d for part, item in zip(dims, value) for d in _spread(part, item, fail)]


def _dims_of_inputs(name: str, in_dims: Any, args: tuple[Any, ...]) -> list[Any]:
    call = f"vmap({name}, in_dims={in_dims}, ...)(<inputs>)"
    if not isinstance(in_dims, (int, list, tuple)) or isinstance(in_dims, bool):
        raise ValueError(
            f"{call}: expected `in_dims` to be int or a (potentially nested) tuple matching the structure of "
            f"inputs, got: {type(in_dims)}."
        )
    if not args:
        raise ValueError(
            f"vmap({name})(<inputs>): got no inputs. Maybe you forgot to add inputs, or you are trying to "
            "vmap over a function with no inputs. The latter is unsupported."
        )
    dims = _spread(
        in_dims,
        args,
        lambda: ValueError(
            f"{call}: in_dims is not compatible with the structure of `inputs`. in_dims is {in_dims!r}, "
            f"there are {len(args)} inputs of types {[type(a).__name__ for a in args]}"
        ),
    )
    result: list[Any] = []
    for dim, leaf in zip(dims, _leaves(args)):
        if dim is None:
            result.append(None)
            continue
        if not isinstance(leaf, _C.Tensor):
            raise ValueError(
                f"{call}: Got in_dim={dim} for an input but the input is of type {type(leaf)}. We cannot "
                "vmap over non-Tensor arguments, please use None as the respective in_dim"
            )
        if not -leaf.dim() <= dim < leaf.dim():
            raise ValueError(
                f"{call}: Got in_dim={dim} for some input, but that input is a Tensor of dimensionality "
                f"{leaf.dim()} so expected in_dim to satisfy -{leaf.dim()} <= in_dim < {leaf.dim()}."
            )
        result.append(dim % leaf.dim())
    return result


def _batch_size(leaves: list[Any], dims: list[Any]) -> int:
    sizes = [leaf.shape[dim] for leaf, dim in zip(leaves, dims) if dim is not None]
    if not sizes:
        raise ValueError("vmap: Expected at least one Tensor to vmap over")
    if len(set(sizes)) > 1:
        raise ValueError(
            "vmap: Expected all tensors to have the same size in the mapped dimension, got sizes "
            f"{sizes} for the mapped dimension"
        )
    check_count("vmap", "the mapped size", sizes[0], 10_000_000)
    return sizes[0]


def _mapped(name, func, args, kwargs, leaves, dims, size, out_dims, randomness):
    """All samples at once, or, where that cannot be, one after the other."""
    from ._batching.core import Frame, NoBatch, Refused, entered, wrapped

    start = _Random()
    frame = Frame(size, randomness)
    try:
        with entered(frame):
            first = [x if d is None else x.movedim(d, 0) if d else x for x, d in zip(leaves, dims)]
            given = [x if d is None else wrapped(x, frame) for x, d in zip(first, dims)]
            result = func(*_filled(args, iter(given)), **kwargs)
        if randomness == "error" and start.moved():
            raise Refused(_REFUSED)
    except Refused:
        start.restore()
        raise
    except NoBatch:
        start.restore()
        results = _run(func, args, kwargs, leaves, dims, size, randomness)
        return _stacked(name, results, out_dims, size)
    return _taken_out(name, result, out_dims, frame)


def _taken_out(name: str, result: Any, out_dims: Any, frame: Any) -> Any:
    """Values of all samples as tensors, the samples where ``out_dims`` has them."""
    leaves = list(_leaves(result))
    found = []
    for x, dim in zip(leaves, _dims_of_outputs(name, result, leaves, out_dims)):
        mine = getattr(x, "_frame", None) is frame
        if dim is None:
            if mine:
                raise ValueError(
                    f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None"
                )
            found.append(x)
            continue
        value = x._value if mine else x.unsqueeze(0).expand(frame.size, *x.shape)
        place = _place(dim, x.dim())
        found.append(value.movedim(0, place) if place else value)
    return _filled(result, iter(found))


def _joined(parts: list[Any], out_dims: Any) -> Any:
    """Results of the chunks, one after the other along their out dimensions."""
    rows = [list(_leaves(part)) for part in parts]
    single = isinstance(parts[0], _C.Tensor) and isinstance(out_dims, (list, tuple)) and len(out_dims) == 1
    dims = _spread(out_dims[0] if single else out_dims, parts[0], RuntimeError)
    found = [c[0] if d is None else _C.cat(list(c), d) for c, d in zip(zip(*rows), dims)]
    return _filled(parts[0], iter(found))


_REFUSED = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
    "'different' randomness flags on vmap or perform the randomness operation out of vmap"
)


class _Random:
    """The generators of the CPU and of the current CUDA device: what they were, and whether they moved."""

    def __init__(self) -> None:
        self.cpu = _C.get_rng_state()
        self.cuda: _C.Tensor | None = None
        if _C._cuda_device_count():
            from . import cuda

            self.cuda = cuda.get_rng_state()

    def moved(self) -> bool:
        now = _Random()
        same = _C.equal(now.cpu, self.cpu)
        return not (same and (self.cuda is None or now.cuda is None or _C.equal(now.cuda, self.cuda)))

    def restore(self) -> None:
        _C.set_rng_state(self.cpu)
        if self.cuda is not None:
            from . import cuda

            cuda.set_rng_state(self.cuda)


def _run(func, args, kwargs, leaves, dims, size, randomness):
    """Results of all samples; of a batch without samples, that of zeros, in a list of its own."""
    start = _Random() if randomness != "different" or size == 0 else None
    results = []
    for i in range(max(size, 1)):
        if start is not None and i:
            start.restore()
        if size:
            picked = [x if d is None else x.select(d, i) for x, d in zip(leaves, dims)]
        else:
            picked = [x if d is None else _without(x, d) for x, d in zip(leaves, dims)]
        results.append(func(*_filled(args, iter(picked)), **kwargs))
        if randomness == "error" and not i and start is not None and start.moved():
            start.restore()
            raise CcdlRuntimeError(_REFUSED)
    if start is not None and not size:
        start.restore()
    return results


def _without(x: Any, dim: int) -> Any:
    return x.new_zeros([*x.shape[:dim], *x.shape[dim + 1 :]])


def _place(dim: int, rank: int) -> int:
    if not -rank - 1 <= dim <= rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank - 1}, {rank}], but got {dim})"
        )
    return dim % (rank + 1)


def _dims_of_outputs(name: str, first: Any, leaves: list[Any], out_dims: Any) -> list[Any]:
    for leaf in leaves:
        if not isinstance(leaf, _C.Tensor):
            raise ValueError(
                f"vmap({name}, ...): `{name}` must only return Tensors, got type {type(leaf)}. Did you mean "
                "to set out_dims= to None for output?"
            )
    if not (out_dims is None or isinstance(out_dims, (int, list, tuple, dict))) or isinstance(out_dims, bool):
        raise ValueError(
            f"vmap({name}, ..., out_dims={out_dims}): `out_dims` must be an int, None or a python collection "
            "of ints representing where in the outputs the vmapped dimension should appear."
        )
    if isinstance(first, _C.Tensor) and isinstance(out_dims, (list, tuple)) and len(out_dims) == 1:
        out_dims = out_dims[0]
    return _spread(
        out_dims,
        first,
        lambda: ValueError(
            f"vmap({name}, ..., out_dims={out_dims})(<inputs>): out_dims is not compatible with the "
            f"structure of `outputs`. out_dims is {out_dims!r}, the output is a {type(first).__name__} of "
            f"{len(leaves)} tensors"
        ),
    )


def _stacked(name: str, results: list[Any], out_dims: Any, size: int) -> Any:
    first = results[0]
    rows = [list(_leaves(result)) for result in results]
    dims = _dims_of_outputs(name, first, rows[0], out_dims)
    joined = []
    for column, dim in zip(zip(*rows), dims):
        x = column[0]
        if dim is None:
            if not all(_same(x, other) for other in column[1:]):
                raise ValueError(
                    f"vmap({name}, ...): `{name}` can not return a BatchedTensor when out_dim is None"
                )
            joined.append(x)
            continue
        place = _place(dim, x.dim())
        if size:
            joined.append(_C.stack(list(column), place))
        else:
            joined.append(x.new_zeros([*x.shape[:place], 0, *x.shape[place:]]))
    return _filled(first, iter(joined))


def _same(a: Any, b: Any) -> bool:
    return a is b or (a.shape == b.shape and _C.equal(a, b))
