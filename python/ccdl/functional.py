"""Functions of many tensors, under the module name that older code imports them by."""

from ._C import (
    atleast_1d,
    atleast_2d,
    atleast_3d,
    block_diag,
    broadcast_tensors,
    cartesian_prod,
    cdist,
    meshgrid,
    norm,
    split,
    unique,
    unique_consecutive,
)
from ._contractions import chain_matmul, einsum, tensordot
from ._functions import lu, unravel_index
from ._shapes import broadcast_shapes

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "block_diag",
    "broadcast_shapes",
    "broadcast_tensors",
    "cartesian_prod",
    "cdist",
    "chain_matmul",
    "einsum",
    "lu",
    "meshgrid",
    "norm",
    "split",
    "tensordot",
    "unique",
    "unique_consecutive",
    "unravel_index",
]
