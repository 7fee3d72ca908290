"""Losses with a margin: of pairs, triplets and classes. ``reduction`` as in loss.py."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors
from .loss import _check_fits, _reduce, _reduction

__all__ = [
    "cosine_embedding_loss",
    "hinge_embedding_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _whole(op: str, target: Any) -> None:
    if target.is_floating_point() or target.dtype is _C.bool:
        raise errors.DTypeError(f"{op}: target holds class numbers and must be int64, got {target.dtype}")


def _check_classes(op: str, input: Tensor, target: Any) -> None:
    """Floating-point scores and a tensor of class numbers."""
    if not isinstance(target, _C.Tensor):
        raise errors.TypeError(f"{op}: target must be a Tensor, got {type(target).__name__}")
    if not input.is_floating_point():
        raise errors.DTypeError(f"{op}: input must be floating point, got {input.dtype}")


def _check_labels(op: str, target: Any, classes: int, least: int) -> None:
    """Class numbers on the host are looked at here; on a device the kernels that read them do."""
    if target.is_cuda or not target.numel():
        return
    low, high = int(target.min().item()), int(target.max().item())
    if low < least or high >= classes:
        worst = low if low < least else high
        raise errors.IndexError(f"{op}: target {worst} is out of bounds, must be in [{least}, {classes})")


def _on_host(input: Tensor, target: Tensor, weight: Any) -> bool:
    """Whether the kernel of the host takes these."""
    if input.is_cuda or target.is_cuda or target.dtype is not _C.int64:
        return False
    return weight is None or not (weight.is_cuda or weight.requires_grad or weight.dtype is not input.dtype)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``x`` where y = 1, ``max(0, margin - x)`` where y = -1.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.hinge_embedding_loss(ccdl.tensor([0.25]), ccdl.tensor([-1.]))
    tensor(0.7500)
    """
    reduction = _reduction("hinge_embedding_loss", reduction, size_average, reduce)
    _check_fits("hinge_embedding_loss", "input", input, target=target)
    input, target = _C._autocast("hinge_embedding_loss", [input, target])
    zero = _C.zeros_like(input)
    loss = _C.where(target != 1, (margin - input).clamp_min(0), zero) + _C.where(target != -1, input, zero)
    return _reduce(loss, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, -y (x1 - x2) + margin)``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.margin_ranking_loss(ccdl.tensor([1.]), ccdl.tensor([2.]), ccdl.tensor([1.]))
    tensor(1.)
    """
    reduction = _reduction("margin_ranking_loss", reduction, size_average, reduce)
    input1, input2, target = _C._autocast("margin_ranking_loss", [input1, input2, target])
    if not input1.dim() == input2.dim() == target.dim():
        raise errors.ShapeError(
            "margin_ranking_loss: all inputs must have the same number of dimensions, got input1 "
            f"{list(input1.shape)}, input2 {list(input2.shape)}, target {list(target.shape)}"
        )
    _check_fits("margin_ranking_loss", "input1", input1, input2=input2, target=target)
    return _reduce((-target * (input1 - input2) + margin).clamp_min(0), reduction)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``1 - cos(x1, x2)`` where y = 1, ``max(0, cos - margin)`` where y = -1.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.cosine_embedding_loss(ccdl.ones(1, 2), ccdl.ones(1, 2), ccdl.tensor([-1.]))
    tensor(1.)
    """
    reduction = _reduction("cosine_embedding_loss", reduction, size_average, reduce)
    _check_fits("cosine_embedding_loss", "input1", input1, input2=input2)
    if input1.dim() != target.dim() + 1 or input2.dim() != target.dim() + 1 or target.dim() > 1:
        n = target.dim()
        rule = "0D or 1D target tensor expected"
        if n < 2:
            rule = f"{n}D target tensor expects {n + 1}D input tensors"
        raise errors.ShapeError(
            f"cosine_embedding_loss: {rule}, but found sizes {list(input1.shape)}, {list(input2.shape)} and "
            f"target {list(target.shape)}"
        )
    input1, input2, target = _C._autocast("cosine_embedding_loss", [input1, input2, target])
    dim = target.dim()
    dot = (input1 * input2).sum(dim)
    eps = 1e-12
    cosine = dot / (((input1 * input1).sum(dim) + eps) * ((input2 * input2).sum(dim) + eps)).sqrt()
    _check_fits("cosine_embedding_loss", "the similarities", cosine, target=target)
    zero = _C.zeros_like(cosine)
    loss = _C.where(target == 1, 1 - cosine, zero) + _C.where(
        target == -1, (cosine - margin).clamp_min(0), zero
    )
    return _reduce(loss, reduction)


def soft_margin_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """``log(1 + exp(-y x))`` with y in {-1, 1}.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.soft_margin_loss(ccdl.tensor([0.]), ccdl.tensor([1.]))
    tensor(0.6931)
    """
    reduction = _reduction("soft_margin_loss", reduction, size_average, reduce)
    _check_fits("soft_margin_loss", "input", input, target=target)
    input, target = _C._autocast("soft_margin_loss", [input, target])
    loss = _C.softplus(-target * input)
    if not input.is_floating_point():
        raise errors.DTypeError(
            f"soft_margin_loss: result type {loss.dtype} can't be cast to the desired output type "
            f"{input.dtype}; input must be floating point, convert it with .float()"
        )
    return _reduce(loss.to(input.dtype), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: float = 1,
    margin: float = 1.0,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Multi-class hinge: ``sum_{j != y} max(0, w_y (margin - x_y + x_j))^p / C``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.multi_margin_loss(ccdl.tensor([[0., 0.]]), ccdl.tensor([0]))
    tensor(0.5000)
    """
    reduction = _reduction("multi_margin_loss", reduction, size_average, reduce)
    (input,) = _C._autocast("multi_margin_loss", [input])
    if p not in (1, 2):
        raise errors.ValueError(f"multi_margin_loss: p is {p}, must be 1 or 2")
    _check_classes("multi_margin_loss", input, target)
    scalar, single = input.dim() == 0, input.dim() <= 1
    _whole("multi_margin_loss", target)
    if single:
        input, target = input.reshape(1, -1), target.reshape(1)
    if input.dim() != 2 or input.shape[1] == 0 or target.dim() != 1 or target.shape[0] != input.shape[0]:
        raise errors.ShapeError(
            "multi_margin_loss: expected input [C] or [N, C] with C > 0 and one label per row, got input "
            f"{list(input.shape)} and target {list(target.shape)}"
        )
    if weight is not None and tuple(weight.shape) != (input.shape[1],):
        raise errors.ShapeError(
            f"multi_margin_loss: weight must have one entry per class [{input.shape[1]}], got "
            f"{list(weight.shape)}"
        )
    if p == 1 and _on_host(input, target, weight):
        loss = _C._margin_rows(input, target, weight, float(margin))
        return _reduce(loss[0] if (single or scalar) and reduction == "none" else loss, reduction)
    _check_labels("multi_margin_loss", target, input.shape[1], 0)
    right = input.gather(1, target.unsqueeze(1))
    slack = (margin - right + input).clamp_min(0)
    if p == 2:
        slack = slack * slack
    if weight is not None:
        slack = slack * weight[target].unsqueeze(1)
    others = _C.ones_like(input).scatter(1, target.unsqueeze(1), 0.0)
    loss = (slack * others).sum(1) / input.shape[1]
    return _reduce(loss[0] if (single or scalar) and reduction == "none" else loss, reduction)


def multilabel_margin_loss(
    input: Tensor, target: Tensor, size_average: Any = None, reduce: Any = None, reduction: str = "mean"
) -> Tensor:
    """``sum_{j in targets, i not in targets} max(0, 1 - (x_j - x_i)) / C``; each row of ``target`` lists its
    classes and ends at the first -1.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.multilabel_margin_loss(ccdl.tensor([[0.1, 0.2, 0.4, 0.8]]), ccdl.tensor([[3, 0, -1, 1]]))
    tensor(0.8500)
    """
    reduction = _reduction("multilabel_margin_loss", reduction, size_average, reduce)
    (input,) = _C._autocast("multilabel_margin_loss", [input])
    _check_classes("multilabel_margin_loss", input, target)
    single = input.dim() <= 1
    _whole("multilabel_margin_loss", target)
    if single:
        input, target = input.reshape(1, -1), target.reshape(1, -1)
    if input.dim() != 2 or input.shape[1] == 0 or tuple(target.shape) != tuple(input.shape):
        raise errors.ShapeError(
            "multilabel_margin_loss: expected input [C] or [N, C] with C > 0 and a target of its size, got "
            f"input {list(input.shape)} and target {list(target.shape)}"
        )
    if _on_host(input, target, None):
        loss = _C._margin_rows(input, target)
        return _reduce(loss[0] if single and reduction == "none" else loss, reduction)
    classes = input.shape[1]
    _check_labels("multilabel_margin_loss", target, classes, -1)
    listed = ((target < 0).to(_C.int64).cumsum(1) == 0).to(input.dtype)
    safe = target.clamp(min=0)
    member = _C.zeros_like(input).scatter_add(1, safe, listed).clamp(max=1)
    scores = input.gather(1, safe)
    gap = (1 - (scores.unsqueeze(2) - input.unsqueeze(1))).clamp_min(0)
    gap = gap * listed.unsqueeze(2) * (1 - member).unsqueeze(1)
    loss = gap.sum((1, 2)) / classes
    return _reduce(loss[0] if single and reduction == "none" else loss, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the classes (last dimension) of the binary cross-entropy from logits.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.multilabel_soft_margin_loss(ccdl.zeros(1, 2), ccdl.ones(1, 2))
    tensor(0.6931)
    """
    reduction = _reduction("multilabel_soft_margin_loss", reduction, size_average, reduce)
    _check_fits("multilabel_soft_margin_loss", "input", input, target=target, weight=weight)
    if not input.dim():
        raise errors.IndexError(
            "multilabel_soft_margin_loss: input must have a dimension of classes, got 0-d"
        )
    loss = target * _C.softplus(-input) + (1 - target) * _C.softplus(input)
    if weight is not None:
        loss = loss * weight
    return _reduce(loss.mean(-1), reduction)


def _check_triplet(op: str, anchor: Any, positive: Any, negative: Any, margin: float) -> None:
    if margin <= 0:
        raise errors.ValueError(f"{op}: margin is {margin}, must be greater than 0")
    _check_fits(op, "anchor", anchor, positive=positive, negative=negative)
    if not anchor.dim() == positive.dim() == negative.dim():
        raise errors.ShapeError(
            f"{op}: The anchor, positive, and negative tensors are expected to have the same number of "
            f"dimensions, but got: anchor {anchor.dim()}D, positive {positive.dim()}D, and negative "
            f"{negative.dim()}D inputs"
        )


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``max(0, d(a, p) - d(a, n) + margin)`` with the p-norm distance; ``swap`` uses the nearer of d(a, n),
    d(p, n).

    Source: Balntas et al., 2016.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.triplet_margin_loss(ccdl.zeros(1, 2), ccdl.zeros(1, 2), ccdl.zeros(1, 2))
    tensor(1.)
    """
    from .distance import pairwise_distance

    reduction = _reduction("triplet_margin_loss", reduction, size_average, reduce)
    _check_triplet("triplet_margin_loss", anchor, positive, negative, margin)
    anchor, positive, negative = _C._autocast("triplet_margin_loss", [anchor, positive, negative])
    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=lambda a, b: pairwise_distance(a, b, p, eps),
        margin=margin,
        swap=swap,
        reduction=reduction,
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Any = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """:func:`triplet_margin_loss` with a distance of your own (the 2-norm if left out)."""
    from .distance import pairwise_distance

    reduction = _reduction("triplet_margin_with_distance_loss", reduction)
    _check_triplet("triplet_margin_with_distance_loss", anchor, positive, negative, margin)
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _C.minimum(far, distance(positive, negative))
    return _reduce((near - far + margin).clamp_min(0), reduction)


__test__ = check_tensors(globals(), __all__)
