"""A context in which PyTorch's tracer may index with tensors; ccdl always may."""

from __future__ import annotations

from typing import Any

__all__ = ["TransformGetItemToIndex"]


class TransformGetItemToIndex:
    """Does nothing: indexing with tensors needs no help.

    >>> import ccdl
    >>> with ccdl._dynamo._trace_wrapped_higher_order_op.TransformGetItemToIndex():
    ...     ccdl.arange(3)[ccdl.tensor(1)]
    tensor(1)
    """

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exception: Any) -> None:
        return None
