"""Table look-up."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor

__all__ = ["embedding", "embedding_bag", "one_hot"]


def _renorm(weight, rows, max_norm, norm_type):
    """Scales the named rows of ``weight`` in place to at most ``max_norm``."""
    if isinstance(max_norm, str) or not hasattr(max_norm, "__float__"):
        raise errors.TypeError(f"embedding: max_norm is {type(max_norm).__name__}, must be a number")
    previous = _C._set_grad_enabled(False)
    try:
        index = _C.unique(rows.reshape(-1))
        picked = weight.index_select(0, index)
        norms = picked.norm(norm_type, 1, keepdim=True)
        scale = _C.where(norms > max_norm, max_norm / (norms + 1e-7), _C.ones_like(norms))
        weight.index_copy_(0, index, picked * scale)
    finally:
        _C._set_grad_enabled(previous)


def _padding_row(op, padding_idx, weight):
    if padding_idx is None:
        return -1
    if not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise ValueError(
            f"{op}: padding_idx is {padding_idx}, must be within num_embeddings {weight.shape[0]}"
        )
    return padding_idx % weight.shape[0]


def embedding(
    input: Tensor,
    weight: Any,
    padding_idx: Any = None,
    max_norm: Any = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of ``weight`` named by ``input``: [*] -> [*, embedding_dim].

    Args:
        input: int64 or int32 ids in [0, num_embeddings).
        weight: [num_embeddings, embedding_dim].
        padding_idx: this row receives no gradient.
        max_norm: rows used are first scaled in place to at most this ``norm_type``-norm.
        scale_grad_by_freq: divide each row's gradient by its count in the batch.
        sparse: accepted without effect; the gradient is dense.

    Raises:
        IndexError: an id out of range.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.embedding(ccdl.tensor([1]), ccdl.tensor([[0., 0.], [1., 2.]]))
    tensor([[1., 2.]])
    """
    row = _padding_row("embedding", padding_idx, weight)
    if max_norm is not None:
        _renorm(weight, input, max_norm, norm_type)
    return _C.embedding(weight, input, padding_idx=row, scale_grad_by_freq=scale_grad_by_freq)


def _bags(input, offsets, include_last_offset, per_sample_weights):
    """Concatenated bags as [bags, longest] indices into ``input`` and the mask of real entries."""
    total = input.shape[0]
    starts = offsets.tolist()
    if include_last_offset:
        ends = starts[1:]
        starts = starts[:-1]
    else:
        ends = starts[1:] + [total]
    if starts and starts[0] != 0:
        raise ValueError(f"embedding_bag: offsets[0] is {starts[0]}, must be 0")
    if any(e < s for s, e in zip(starts, ends)) or (ends and ends[-1] > total):
        raise ValueError(f"embedding_bag: offsets must not decrease nor exceed the {total} entries of input")
    longest = max((e - s for s, e in zip(starts, ends)), default=0)
    shape = (len(starts), longest)
    if ends and ends[-1] == total == longest * len(starts):  # bags of equal size, in order
        return _C.arange(total).reshape(shape), None
    position = [[s + j if s + j < e else 0 for j in range(longest)] for s, e in zip(starts, ends)]
    mask = [[s + j < e for j in range(longest)] for s, e in zip(starts, ends)]
    return (
        _C.tensor(position, dtype=_C.int64).reshape(shape),
        _C.tensor(mask, dtype=_C.bool).reshape(shape),
    )


def embedding_bag(
    input: Tensor,
    weight: Any,
    offsets: Any = None,
    max_norm: Any = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: Any = None,
) -> Tensor:
    """Sum, mean or maximum of the embeddings of each bag; an empty bag gives zeros.

    Args:
        input: [B, n] bags of equal size, or 1-d concatenated bags.
        weight: [num_embeddings, embedding_dim].
        offsets: [B] start of each bag in a 1-d ``input``; with ``include_last_offset`` one more, the end.
        mode: 'sum', 'mean' or 'max'.
        per_sample_weights: shaped like ``input``; only with mode 'sum'.
        padding_idx: entries with this id do not count.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.embedding_bag(ccdl.tensor([0, 1, 1]), ccdl.tensor([[1.], [3.]]), ccdl.tensor([0, 1]), mode="sum")
    tensor([[1.],
            [6.]])
    """
    if mode not in ("sum", "mean", "max"):
        raise ValueError(f"embedding_bag: mode is {mode!r}, must be 'sum', 'mean' or 'max'")
    if per_sample_weights is not None:
        if mode != "sum":
            raise NotImplementedError(f"embedding_bag: per_sample_weights needs mode='sum', got {mode!r}")
        if tuple(per_sample_weights.shape) != tuple(input.shape):
            raise ValueError(
                f"embedding_bag: per_sample_weights is {list(per_sample_weights.shape)}, "
                f"must have the input's size {list(input.shape)}"
            )
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("embedding_bag: offsets must be None for a 2-d input")
        ids, mask = input, None  # every entry counts
    elif input.dim() == 1:
        if offsets is None or offsets.dim() != 1:
            raise ValueError("embedding_bag: a 1-d input needs 1-d offsets")
        position, mask = _bags(input, offsets, include_last_offset, per_sample_weights)
        ids = input[position] if input.shape[0] else position
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights[position]
    else:
        raise ValueError(f"embedding_bag: input has {input.dim()} dimensions, must have 1 or 2")
    if padding_idx is not None:
        real = ids != _padding_row("embedding_bag", padding_idx, weight)
        mask = real if mask is None else mask & real
    rows = embedding(ids, weight, padding_idx, max_norm, norm_type, scale_grad_by_freq)
    return _reduce_bags(rows, None if mask is None else mask.unsqueeze(2), mode, per_sample_weights)


def _reduce_bags(rows, mask, mode, per_sample_weights):
    if rows.shape[1] == 0:
        return rows.sum(1)
    if mask is None:
        if per_sample_weights is not None:
            return (rows * per_sample_weights.unsqueeze(2)).sum(1)
        return rows.amax(1) if mode == "max" else getattr(rows, mode)(1)
    if mode == "max":
        lowest = _C.full_like(rows, float("-inf"))
        best = _C.where(mask, rows, lowest).amax(1)
        return _C.where(mask.any(1), best, _C.zeros_like(best))
    kept = _C.where(mask, rows, _C.zeros_like(rows))
    if per_sample_weights is not None:
        kept = kept * per_sample_weights.unsqueeze(2)
    total = kept.sum(1)
    if mode == "mean":
        return total / mask.to(rows.dtype).sum(1).clamp(min=1)
    return total


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """int64 tensor [*, num_classes] that is 1 at each index; the largest index + 1 if ``num_classes`` is -1.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.one_hot(ccdl.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    if num_classes < -1:
        raise errors.RuntimeError(
            f"one_hot: num_classes is {num_classes}, must be -1 or more than every class"
        )
    return _C.one_hot(tensor, num_classes)
