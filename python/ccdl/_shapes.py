"""Shape arithmetic without tensors."""

from __future__ import annotations

from typing import Any

from . import _C

__all__ = ["broadcast_shapes"]


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that tensors of the given shapes broadcast to.

    Raises:
        RuntimeError: sizes that differ and are not 1.

    >>> import ccdl
    >>> ccdl.broadcast_shapes((2, 1), (3,))
    ccdl.Size([2, 3])
    """
    for shape in shapes:
        entries = shape if isinstance(shape, (tuple, list)) else (shape,)
        if not all(hasattr(size, "__index__") and not isinstance(size, bool) for size in entries):
            raise RuntimeError(
                "broadcast_shapes: input shapes should be ints, tuples of ints or "
                f"lists of ints, got {shape!r}"
            )
    tuples = [tuple(s) if isinstance(s, (tuple, list)) else (int(s),) for s in shapes]
    result = [1] * max((len(s) for s in tuples), default=0)
    for shape in tuples:
        for i, size in enumerate(reversed(shape), 1):
            if size < 0:
                raise RuntimeError(f"broadcast_shapes: sizes must not be negative, got {shape}")
            if size != 1:
                if result[-i] not in (1, size):
                    raise RuntimeError(
                        f"broadcast_shapes: {' and '.join(map(str, shapes))} cannot be broadcast: "
                        f"sizes {result[-i]} and {size} meet at dimension -{i}"
                    )
                result[-i] = size
    return _C.Size(result)
