"""Shapes as tensors, for models that keep them in an exported graph."""

from __future__ import annotations

from .. import _C
from .._C import Tensor

__all__ = ["reshape_from_tensor_shape", "shape_as_tensor"]


def shape_as_tensor(x: Tensor) -> Tensor:
    """The sizes of ``x`` as an int64 tensor.

    >>> import ccdl
    >>> from ccdl.onnx.operators import shape_as_tensor
    >>> shape_as_tensor(ccdl.ones(2, 3))
    tensor([2, 3])
    """
    return _C.tensor(list(x.shape), dtype=_C.int64)


def reshape_from_tensor_shape(x: Tensor, shape: Tensor) -> Tensor:
    """``x`` with the sizes that ``shape`` holds."""
    return x.reshape(shape.tolist())
