"""Table look-up."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors, whole

__all__ = ["embedding", "embedding_bag", "one_hot"]

_MODES = ("sum", "mean", "max")


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


def _padding_row(op, padding_idx, weight, error):
    if padding_idx is None:
        return -1
    padding_idx = whole(op, "padding_idx", padding_idx)
    if not -weight.shape[0] <= padding_idx < weight.shape[0]:
        raise error(
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
        AssertionError: ``padding_idx`` out of range.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.embedding(ccdl.tensor([1]), ccdl.tensor([[0., 0.], [1., 2.]]))
    tensor([[1., 2.]])
    """
    row = _padding_row("embedding", padding_idx, weight, AssertionError)
    if max_norm is not None:
        _renorm(weight, input, max_norm, norm_type)
    return _C.embedding(weight, input, padding_idx=row, scale_grad_by_freq=scale_grad_by_freq)


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
    """Sum, mean or maximum of the embeddings of each bag: y[b] = reduce of weight[i] over i in bag b.

    One kernel: the embeddings of the look-ups are never stored. An empty bag gives zeros; of equal maxima
    the first one gets the gradient; NaN wins a maximum.

    Args:
        input: int64 or int32 ids, [B, n] bags of equal size, or 1-d concatenated bags.
        weight: [num_embeddings, embedding_dim], floating point.
        offsets: [B] start of each bag in a 1-d ``input``, the first 0 and none decreasing; with
            ``include_last_offset`` [B + 1], the last being the end of the last bag.
        max_norm, norm_type: rows used are first scaled in place to at most this norm.
        scale_grad_by_freq: divide each row's gradient by its count in the batch; not with 'max'.
        mode: 'sum', 'mean' or 'max'.
        sparse: accepted without effect, the gradient is dense; not with mode 'max'.
        per_sample_weights: shaped like ``input``, multiply the embeddings; only with mode 'sum'.
        padding_idx: entries with this id do not count, and its row receives no gradient.

    Raises:
        IndexError: an id out of range.
        RuntimeError: offsets that do not start at 0, decrease or exceed the input; a wrong dtype.
        ValueError: shapes or options that do not fit together.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.embedding_bag(ccdl.tensor([0, 1, 1]), ccdl.tensor([[1.], [3.]]), ccdl.tensor([0, 1]), mode="sum")
    tensor([[1.],
            [6.]])
    """
    if per_sample_weights is not None and tuple(per_sample_weights.shape) != tuple(input.shape):
        raise errors.ValueError(
            "embedding_bag: per_sample_weights must have the same shape as the input "
            f"({list(input.shape)}), got {list(per_sample_weights.shape)}"
        )
    if weight.dim() != 2:
        raise errors.ValueError(f"embedding_bag: weight has to be 2-d, got {list(weight.shape)}")
    if mode not in _MODES:
        raise errors.ValueError(f"embedding_bag: mode is {mode!r}, must be 'sum', 'mean' or 'max'")
    if mode == "max" and (scale_grad_by_freq or sparse):
        name = "scale_grad_by_freq" if scale_grad_by_freq else "sparse"
        raise errors.ValueError(f"embedding_bag: mode 'max' does not support {name}=True")
    if per_sample_weights is not None and mode != "sum":
        raise errors.NotImplementedError(
            "embedding_bag: per_sample_weights was not None; it is only supported for mode='sum' "
            f"(got mode={mode!r})"
        )
    row = _padding_row("embedding_bag", padding_idx, weight, errors.RuntimeError)
    if max_norm is not None:
        _renorm(weight, input, max_norm, norm_type)
    return _C._embedding_bag(
        weight,
        input,
        offsets,
        mode=_MODES.index(mode),
        per_sample_weights=per_sample_weights,
        include_last_offset=include_last_offset,
        padding_idx=row,
        scale_grad_by_freq=scale_grad_by_freq,
    )


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


__test__ = check_tensors(globals(), ["embedding_bag"])
