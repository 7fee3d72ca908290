"""autograd.Function inside vmap: its own ``vmap`` if it has one, else once per sample."""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _C
from .core import Batched, _frame_of, by_loop, tensors_in, wrapped


class VmapInfo(NamedTuple):
    """What a ``vmap`` of a Function is told: the number of samples and what random numbers do."""

    batch_size: int
    randomness: str


def apply(function: Any, args: Any) -> Any:
    frame = _frame_of(tensors_in(args, {}))
    assert frame is not None
    own = getattr(function, "vmap", None)
    if own is None or function.generate_vmap_rule:
        return by_loop(function.__name__, function.apply, args, {}, frame)
    mine = [type(a) is Batched and a._frame is frame for a in args]
    values = [a._value if m else a for a, m in zip(args, mine)]
    result, dims = own(VmapInfo(frame.size, frame.randomness), tuple(0 if m else None for m in mine), *values)
    single = not isinstance(result, tuple)
    results = (result,) if single else result
    places = dims if isinstance(dims, tuple) else (dims,) * len(results)
    found = tuple(
        wrapped(r.movedim(d, 0), frame) if isinstance(r, _C.Tensor) and d is not None else r
        for r, d in zip(results, places)
    )
    return found[0] if single else found
