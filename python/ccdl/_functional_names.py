"""Names that ``torch.*`` has for functions of nn.functional and for methods of tensors."""

from __future__ import annotations

from typing import Any

from . import _C, errors
from ._C import Tensor
from ._checks import check_tensors

__all__ = [
    "addmv_",
    "affine_grid_generator",
    "alpha_dropout_",
    "conj_physical_",
    "constant_pad_nd",
    "cosine_embedding_loss",
    "ctc_loss",
    "detach_",
    "embedding_bag",
    "feature_alpha_dropout_",
    "fill",
    "fill_",
    "gcd_",
    "get_device",
    "grid_sampler",
    "hinge_embedding_loss",
    "index_put_",
    "instance_norm",
    "lcm_",
    "ldexp_",
    "margin_ranking_loss",
    "poisson_nll_loss",
    "resize_as_",
    "rrelu",
    "rrelu_",
    "triplet_margin_loss",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "xlogy_",
    "zero_",
]


def _F() -> Any:
    from .nn import functional

    return functional


_REDUCTIONS = ("none", "mean", "sum")


def _reduction(value: Any) -> str:
    return value if isinstance(value, str) else _REDUCTIONS[value]


def cosine_embedding_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: Any = 1
) -> Tensor:
    """:func:`ccdl.nn.functional.cosine_embedding_loss` with 0, 1, 2 for 'none', 'mean', 'sum'."""
    return _F().cosine_embedding_loss(input1, input2, target, margin, reduction=_reduction(reduction))


def hinge_embedding_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: Any = 1) -> Tensor:
    """:func:`ccdl.nn.functional.hinge_embedding_loss` with 0, 1, 2 for 'none', 'mean', 'sum'."""
    return _F().hinge_embedding_loss(input, target, margin, reduction=_reduction(reduction))


def margin_ranking_loss(
    input1: Tensor, input2: Tensor, target: Tensor, margin: float = 0.0, reduction: Any = 1
) -> Tensor:
    """:func:`ccdl.nn.functional.margin_ranking_loss` with 0, 1, 2 for 'none', 'mean', 'sum'."""
    return _F().margin_ranking_loss(input1, input2, target, margin, reduction=_reduction(reduction))


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: Any = 1,
) -> Tensor:
    """:func:`ccdl.nn.functional.triplet_margin_loss` with 0, 1, 2 for 'none', 'mean', 'sum'."""
    return _F().triplet_margin_loss(
        anchor, positive, negative, margin, p, eps, swap, reduction=_reduction(reduction)
    )


def poisson_nll_loss(
    input: Tensor, target: Tensor, log_input: bool, full: bool, eps: float, reduction: Any
) -> Tensor:
    """:func:`ccdl.nn.functional.poisson_nll_loss` with 0, 1, 2 for 'none', 'mean', 'sum'."""
    return _F().poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_reduction(reduction))


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: Any = 1,
    zero_infinity: bool = False,
) -> Tensor:
    """:func:`ccdl.nn.functional.ctc_loss` with 0, 1, 2 for 'none', 'mean', 'sum'."""
    return _F().ctc_loss(
        log_probs, targets, input_lengths, target_lengths, blank, _reduction(reduction), zero_infinity
    )


def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Any = None,
    include_last_offset: bool = False,
    padding_idx: Any = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(output, offset2bag, bag_size, max_indices) of :func:`ccdl.nn.functional.embedding_bag`.

    ``mode`` is 0 (sum), 1 (mean) or 2 (max). ``offset2bag`` [n] is the bag of each index, ``bag_size`` [B]
    counts the indices other than ``padding_idx``; ``max_indices`` [B, embedding_dim] are the rows that the
    maxima come from, for the other modes the same as ``bag_size``.

    >>> import ccdl
    >>> table, bags = ccdl.tensor([[1.], [3.]]), ccdl.tensor([0, 1])
    >>> [t.tolist() for t in ccdl.embedding_bag(table, ccdl.tensor([0, 1, 0]), bags, mode=2)]
    [[[1.0], [3.0]], [0, 1, 1], [1, 2], [[0], [1]]]
    """
    if isinstance(mode, bool) or not isinstance(mode, int):
        raise errors.TypeError(f"embedding_bag(): argument 'mode' must be int, not {type(mode).__name__}")
    if mode not in (0, 1, 2):
        raise errors.RuntimeError(f"embedding_bag: mode is {mode}, must be 0 (sum), 1 (mean) or 2 (max)")
    if indices.dim() != 1 or offsets.dim() != 1:
        raise errors.RuntimeError(
            f"embedding_bag: indices and offsets must be 1-d, got {list(indices.shape)} "
            f"and {list(offsets.shape)}"
        )
    y = _F().embedding_bag(
        indices, weight, offsets, scale_grad_by_freq=scale_grad_by_freq, mode=("sum", "mean", "max")[mode],
        sparse=sparse, per_sample_weights=per_sample_weights, include_last_offset=include_last_offset,
        padding_idx=padding_idx,
    )  # fmt: skip
    starts, n = offsets[: y.shape[0]].long(), indices.shape[0]
    # The last bag that starts at or before each place: of several at one place all but the last are empty.
    bag = _C.searchsorted(starts, _C.arange(n, device=indices.device), right=True) - 1
    counted = _C.ones_like(bag) if padding_idx is None else indices.ne(padding_idx % weight.shape[0]).long()
    sizes = _C.zeros_like(starts).index_add(0, bag, counted)
    if mode != 2:
        return y, bag, sizes, sizes
    rows = weight.detach().index_select(0, indices)
    best = (rows == y.detach().index_select(0, bag)) & counted.bool().unsqueeze(1)
    place = _C.arange(n, device=indices.device).unsqueeze(1).where(best, n)
    first = _C.full(y.shape, n, dtype=_C.int64, device=y.device).index_reduce(0, bag, place, "amin")
    known = _C.cat([indices.long(), indices.new_zeros(1, dtype=_C.int64)])  # an empty bag names row 0
    return y, bag, sizes, known[first]


def constant_pad_nd(input: Tensor, pad: Any, value: float = 0) -> Tensor:
    """:func:`ccdl.nn.functional.pad` with a constant."""
    return _F().pad(input, pad, "constant", float(value))


def instance_norm(
    input: Tensor,
    weight: Any,
    bias: Any,
    running_mean: Any,
    running_var: Any,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Tensor:
    """:func:`ccdl.nn.functional.instance_norm` in another order of arguments."""
    return _F().instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`ccdl.nn.functional.grid_sample` with numbers for the modes."""
    mode = ("bilinear", "nearest", "bicubic")[interpolation_mode]
    return _F().grid_sample(input, grid, mode, ("zeros", "border", "reflection")[padding_mode], align_corners)


def affine_grid_generator(theta: Tensor, size: Any, align_corners: bool) -> Tensor:
    """:func:`ccdl.nn.functional.affine_grid`."""
    return _F().affine_grid(theta, size, align_corners)


def rrelu(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """:func:`ccdl.nn.functional.rrelu`."""
    return _F().rrelu(input, lower, upper, training)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """:func:`rrelu`, in place."""
    return input.copy_(rrelu(input, lower, upper, training))


def alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """:func:`ccdl.alpha_dropout`, in place."""
    return input.copy_(_C.alpha_dropout(input, p, train))


def feature_alpha_dropout_(input: Tensor, p: float, train: bool) -> Tensor:
    """:func:`ccdl.feature_alpha_dropout`, in place."""
    return input.copy_(_C.feature_alpha_dropout(input, p, train))


def fill(input: Tensor, value: Any) -> Tensor:
    """A tensor like ``input`` full of ``value`` (a number or a 0-d tensor)."""
    everywhere = _C.ones((), dtype=_C.bool, device=input.device)
    return input.masked_fill(everywhere, value.to(input.dtype) if isinstance(value, Tensor) else value)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """:func:`ccdl.chunk`."""
    return input.chunk(chunks, dim)


def unsafe_split(tensor: Tensor, split_size: int, dim: int = 0) -> Any:
    """:func:`ccdl.split`."""
    return tensor.split(split_size, dim)


def unsafe_split_with_sizes(input: Tensor, split_sizes: Any, dim: int = 0) -> Any:
    """:func:`ccdl.split` into pieces of the given sizes."""
    return input.split(list(split_sizes), dim)


def _method(name: str) -> Any:
    def function(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return getattr(input, name)(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``input.{name}(...)``."
    return function


addmv_ = _method("addmv_")
detach_ = _method("detach_")
fill_ = _method("fill_")
gcd_ = _method("gcd_")
get_device = _method("get_device")
index_put_ = _method("index_put_")
lcm_ = _method("lcm_")
ldexp_ = _method("ldexp_")
resize_as_ = _method("resize_as_")
xlogy_ = _method("xlogy_")
zero_ = _method("zero_")


def conj_physical_(input: Tensor) -> Tensor:
    """``input``, conjugated where it is complex: real tensors are their own conjugates.

    >>> import ccdl
    >>> ccdl.conj_physical_(ccdl.tensor([1 + 2j]))
    tensor([1.-2.j])
    """
    if input.is_complex():
        input.conj_physical_()
    return input


__test__ = check_tensors(globals(), __all__)
