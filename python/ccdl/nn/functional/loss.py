"""Loss functions. ``reduction`` is 'mean' (default), 'sum' or 'none'; ``size_average`` and ``reduce`` are
PyTorch's deprecated spelling of it. Targets that are class numbers are int64; an index out of range is an
IndexError."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ... import _C, errors
from ..._C import Tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _reduction(op, reduction, size_average=None, reduce=None, extra=()):
    """Validates the reduction's name, translating the deprecated pair of flags."""
    if size_average is not None or reduce is not None:
        warnings.warn("size_average and reduce are deprecated, use reduction instead", stacklevel=3)
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if reduction not in ("none", "mean", "sum", *extra):
        raise errors.ValueError(f"{op}: reduction is {reduction!r}, must be 'none', 'mean' or 'sum'")
    return reduction


def _reduce(loss, reduction):
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def _warn_broadcast(op, input, target):
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"{op}: target has size {list(target.shape)}, input {list(input.shape)}; they are broadcast, "
            "which is "
            "rarely meant; make them the same size",
            stacklevel=3,
        )


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between ``softmax(input)`` along the class dimension and the target, from logits.

    For class numbers y: ``l = -w_y log softmax(x)_y``; for probabilities q: ``l = -sum_c w_c q_c log
        softmax(x)_c``.

    Args:
        input: logits [C], [N, C] or [N, C, d1, ...].
        target: class numbers [], [N] or [N, d1, ...] (int64), or probabilities shaped like ``input``
        (floating). weight: [C] weight per class; the mean divides by the sum of the targets' weights.
        ignore_index: targets with this number give no loss and no gradient.
        reduction: 'mean', 'sum' or 'none'.
        label_smoothing: s in [0, 1]: the target becomes ``(1 - s) q + s / C``.

    Raises:
        IndexError: a class number outside [0, C). RuntimeError, ValueError: shapes or dtypes do not fit.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.cross_entropy(ccdl.zeros(2, 10), ccdl.tensor([3, 7]))
    tensor(2.3026)
    """
    reduction = _reduction("cross_entropy", reduction, size_average, reduce)
    return _C.cross_entropy(
        input,
        target,
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    ignore_index: int = -100,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood ``-w_y x_y`` of log-probabilities; arguments as :func:`cross_entropy`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.nll_loss(ccdl.tensor([[-1., -2.]]), ccdl.tensor([1]))
    tensor(2.)
    """
    reduction = _reduction("nll_loss", reduction, size_average, reduce)
    return _C.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Tensor:
    """Squared error ``(x - y)^2``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.mse_loss(ccdl.tensor([1., 2.]), ccdl.tensor([0., 0.]))
    tensor(2.5000)
    """
    reduction = _reduction("mse_loss", reduction, size_average, reduce)
    _warn_broadcast("mse_loss", input, target)
    if weight is None:
        return _C.mse_loss(input, target, reduction=reduction)
    return _weighted(_C.mse_loss(input, target, reduction="none"), weight, reduction)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    weight: Any = None,
) -> Tensor:
    """Absolute error ``|x - y|``; its gradient at 0 is 0.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.l1_loss(ccdl.tensor([1., 2.]), ccdl.tensor([0., 0.]))
    tensor(1.5000)
    """
    reduction = _reduction("l1_loss", reduction, size_average, reduce)
    _warn_broadcast("l1_loss", input, target)
    if weight is None:
        return _C.l1_loss(input, target, reduction=reduction)
    return _weighted(_C.l1_loss(input, target, reduction="none"), weight, reduction)


def _weighted(loss, weight, reduction):
    loss = loss * weight
    if reduction == "mean":
        return loss.sum() / weight.expand_as(loss).sum()
    return _reduce(loss, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """``d^2 / (2 beta)`` where ``d = |x - y| < beta``, else ``d - beta / 2``; ``beta`` 0 is :func:`l1_loss`.

    Source: Girshick, 2015.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.smooth_l1_loss(ccdl.tensor([1.]), ccdl.tensor([0.]))
    tensor(0.5000)
    """
    reduction = _reduction("smooth_l1_loss", reduction, size_average, reduce)
    _warn_broadcast("smooth_l1_loss", input, target)
    return _C.smooth_l1_loss(input, target, reduction=reduction, beta=beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Any = None
) -> Tensor:
    """``d^2 / 2`` where ``d = |x - y| <= delta``, else ``delta (d - delta / 2)``; ``delta`` must be positive.

    Source: Huber, 1964.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.huber_loss(ccdl.tensor([3.]), ccdl.tensor([0.]))
    tensor(2.5000)
    """
    reduction = _reduction("huber_loss", reduction)
    _warn_broadcast("huber_loss", input, target)
    if weight is None:
        return _C.huber_loss(input, target, reduction=reduction, delta=delta)
    return _weighted(_C.huber_loss(input, target, reduction="none", delta=delta), weight, reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``-(y log p + (1 - y) log(1 - p))`` of probabilities p in [0, 1]; each logarithm is limited to -100
    below.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.binary_cross_entropy(ccdl.tensor([0.5]), ccdl.tensor([1.]))
    tensor(0.6931)
    """
    reduction = _reduction("binary_cross_entropy", reduction, size_average, reduce)
    if tuple(target.shape) != tuple(input.shape):
        raise errors.ValueError(
            f"binary_cross_entropy: target is {list(target.shape)}, must have the input's size "
            f"{list(input.shape)}"
        )
    return _C.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Any = None,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    pos_weight: Any = None,
) -> Tensor:
    """Binary cross-entropy of ``sigmoid(input)``, computed without overflow.

    Args:
        input: logits of any shape.
        target: same shape, values in [0, 1].
        weight: factor per element (broadcast).
        pos_weight: factor on the positive term (broadcast), usually one per class.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.binary_cross_entropy_with_logits(ccdl.tensor([0.]), ccdl.tensor([1.]))
    tensor(0.6931)
    """
    reduction = _reduction("binary_cross_entropy_with_logits", reduction, size_average, reduce)
    if tuple(target.shape) != tuple(input.shape):
        raise errors.ValueError(
            f"binary_cross_entropy_with_logits: target is {list(target.shape)}, must have the input's size "
            f"{list(input.shape)}"
        )
    return _C.binary_cross_entropy_with_logits(
        input, target, weight=weight, pos_weight=pos_weight, reduction=reduction
    )


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence ``y (log y - x)`` with ``input`` x already log-probabilities.

    ``reduction='batchmean'`` divides the sum by the batch size, which is the mathematical value;
    ``log_target`` says that the target is logarithms as well.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.kl_div(ccdl.tensor([[0.5, 0.5]]).log(), ccdl.tensor([[0.5, 0.5]]), reduction="batchmean")
    tensor(0.)
    """
    reduction = _reduction("kl_div", reduction, size_average, reduce, extra=("batchmean",))
    if reduction != "batchmean":
        if reduction == "mean":
            warnings.warn(
                "kl_div: reduction='mean' divides by all elements; 'batchmean' is the divergence",
                stacklevel=2,
            )
        return _C.kl_div(input, target, reduction=reduction, log_target=log_target)
    total = _C.kl_div(input, target, reduction="sum", log_target=log_target)
    return total / input.shape[0] if input.dim() else total


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: Any = None,
    eps: float = 1e-8,
    reduce: Any = None,
    reduction: str = "mean",
) -> Tensor:
    """``exp(x) - y x`` (or ``x - y log(x + eps)`` if not ``log_input``); ``full`` adds Stirling's ``log y!``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.poisson_nll_loss(ccdl.tensor([0.]), ccdl.tensor([1.]))
    tensor(1.)
    """
    reduction = _reduction("poisson_nll_loss", reduction, size_average, reduce)
    input, target = _C._autocast("poisson_nll_loss", [input, target])
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + _C.where(target > 1, stirling, _C.zeros_like(stirling))
    return _reduce(loss, reduction)


def _whole(op: str, target: Any) -> None:
    if target.is_floating_point() or target.dtype is _C.bool:
        raise errors.DTypeError(f"{op}: target holds class numbers and must be int64, got {target.dtype}")


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """``(log v + (x - y)^2 / v) / 2`` with ``v = max(var, eps)``; ``full`` adds ``log(2 pi) / 2``.

    ``var`` has the input's size, or lacks the last dimension, or has one of them as 1; or is a number.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.gaussian_nll_loss(ccdl.tensor([1.]), ccdl.tensor([0.]), ccdl.tensor([1.]))
    tensor(0.5000)
    """
    reduction = _reduction("gaussian_nll_loss", reduction)
    if isinstance(var, (int, float)):
        var = _C.full_like(input, var)
    if tuple(var.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)
        elif var.dim() != input.dim() or sum(v for n, v in zip(input.shape, var.shape) if n != v) != 1:
            raise errors.ValueError(
                f"gaussian_nll_loss: var is {list(var.shape)}, must fit the input's size {list(input.shape)}"
            )
    if bool((var < 0).any()):
        raise errors.ValueError("gaussian_nll_loss: var has negative entries")
    value = var.detach().clamp(min=eps) - var.detach() + var  # limited below, gradient as if it were not
    loss = 0.5 * (value.log() + (input - target) ** 2 / value)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction)


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
    input1, input2, target = _C._autocast("cosine_embedding_loss", [input1, input2, target])
    dim = target.dim()
    dot = (input1 * input2).sum(dim)
    eps = 1e-12
    cosine = dot / (((input1 * input1).sum(dim) + eps) * ((input2 * input2).sum(dim) + eps)).sqrt()
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
    input, target = _C._autocast("soft_margin_loss", [input, target])
    return _reduce(_C.softplus(-target * input), reduction)


def _check_classes(op: str, input: Tensor, target: Any) -> None:
    """Floating-point scores and a tensor of class numbers."""
    if not isinstance(target, _C.Tensor):
        raise errors.TypeError(f"{op}: target must be a Tensor, got {type(target).__name__}")
    if not input.is_floating_point():
        raise errors.DTypeError(f"{op}: input must be floating point, got {input.dtype}")


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
    classes = input.shape[1]
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
    loss = target * _C.softplus(-input) + (1 - target) * _C.softplus(input)
    if weight is not None:
        loss = loss * weight
    return _reduce(loss.mean(-1), reduction)


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
    if margin <= 0:
        raise errors.ValueError(
            f"triplet_margin_with_distance_loss: margin is {margin}, must be greater than 0"
        )
    distance = distance_function or pairwise_distance
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = _C.minimum(far, distance(positive, negative))
    return _reduce((near - far + margin).clamp_min(0), reduction)


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: Any = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification loss.

    Args:
        log_probs: [T, N, C] or [T, C] log-probabilities.
        targets: [N, S] padded, or concatenated 1-d class numbers without blanks.
        input_lengths, target_lengths: [N] or sequences of ints.
        blank: the blank's class number.
        reduction: 'mean' divides each loss by its target length first.
        zero_infinity: losses without a valid alignment become 0.

    Source: Graves et al., 2006. The recursion alpha_t(s) = (alpha_{t-1}(s) + alpha_{t-1}(s-1) [+
    alpha_{t-1}(s-2)]) y_t(l'_s) over the label sequence l' with blanks between runs in the log domain, all
    samples at once.

    >>> import ccdl, ccdl.nn.functional as F
    >>> lp = ccdl.zeros(2, 1, 2) - ccdl.log(ccdl.tensor(2.))
    >>> F.ctc_loss(lp, ccdl.tensor([[1]]), [2], [1])
    tensor(0.2877)
    """
    reduction = _reduction("ctc_loss", reduction)
    (log_probs,) = _C._autocast("ctc_loss", [log_probs])
    if not isinstance(targets, _C.Tensor):
        raise errors.TypeError(f"ctc_loss: targets must be a Tensor, got {type(targets).__name__}")
    if log_probs.dim() not in (2, 3) or not log_probs.is_floating_point():
        raise errors.ShapeError(
            "ctc_loss: log_probs must be floating point of size [T, N, C] or [T, C], got "
            f"{log_probs.dtype} {list(log_probs.shape)}"
        )
    single = log_probs.dim() == 2
    if single:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.reshape(1, -1)
    steps, batch, classes = log_probs.shape
    if not 0 <= blank < classes:
        raise errors.RuntimeError(f"ctc_loss: blank is {blank}, must be in label range [0, {classes})")
    if targets.dim() not in (1, 2) or (targets.dim() == 2 and targets.shape[0] != batch):
        raise errors.ShapeError(
            f"ctc_loss: targets must be [N, S] with N = {batch}, or 1-d, got {list(targets.shape)}"
        )
    targets = targets.to(_C.int64)
    input_lengths = _lengths("input_lengths", input_lengths, batch, steps, "steps of log_probs")
    width = targets.shape[-1] if targets.dim() == 2 else targets.shape[0]
    target_lengths = _lengths("target_lengths", target_lengths, batch, width, "targets")
    if targets.dim() == 1 and sum(target_lengths) != width:
        raise errors.ShapeError(
            f"ctc_loss: target_lengths add up to {sum(target_lengths)}, targets has {width} entries"
        )
    labels, lists = [], _target_lists(targets, target_lengths)
    longest = 2 * max(target_lengths, default=0) + 1
    skip = []
    for row in lists:
        extended = [blank]
        for label in row:
            if not 0 <= label < classes or label == blank:
                raise errors.IndexError(
                    f"ctc_loss: target {label} must be in [0, {classes}) and not the blank {blank}"
                )
            extended += [label, blank]
        skip.append(
            [s >= 2 and extended[s] != blank and extended[s] != extended[s - 2] for s in range(len(extended))]
        )
        labels.append(extended + [blank] * (longest - len(extended)))
        skip[-1] += [False] * (longest - len(extended))
    losses = _ctc_recursion(log_probs, labels, skip, input_lengths, target_lengths, longest)
    if zero_infinity:
        losses = _C.where(losses == math.inf, _C.zeros_like(losses), losses)
    if reduction == "mean":
        lengths = [max(n, 1) for n in target_lengths]
        scale = _C.tensor(lengths, dtype=losses.dtype, device=losses.device)
        return (losses / scale).mean()
    if reduction == "sum":
        return losses.sum()
    return losses[0] if single else losses


def _lengths(name, lengths, batch, most, of):
    if isinstance(lengths, _C.Tensor):
        if lengths.is_floating_point():
            raise errors.DTypeError(f"ctc_loss: {name} must be integral, got {lengths.dtype}")
        values = lengths.reshape(-1).tolist()
    else:
        values = _as_list(lengths)
    if len(values) != batch:
        raise errors.RuntimeError(
            f"ctc_loss: {name} has {len(values)} entries, must have {batch}, one per sample"
        )
    for v in values:
        if not 0 <= v <= most:
            raise errors.RuntimeError(f"ctc_loss: {name} has {v}, must be from 0 to the {most} {of}")
    return [int(v) for v in values]


def _as_list(value):
    return [value] if isinstance(value, int) else list(value)


def _target_lists(targets, target_lengths):
    if targets.dim() == 2:
        return [row[:n] for row, n in zip(targets.tolist(), target_lengths)]
    flat, start, lists = targets.tolist(), 0, []
    for n in target_lengths:
        lists.append(flat[start : start + n])
        start += n
    return lists


def _ctc_recursion(log_probs, labels, skip, input_lengths, target_lengths, longest):
    """-log p(target) per sample [N]; -inf is replaced by a very small number inside, so gradients stay
    finite.
    """
    steps, batch, _ = log_probs.shape
    floor, device = -1e30, log_probs.device
    label = _C.tensor(labels, dtype=_C.int64, device=device)
    may_skip = _C.tensor(skip, dtype=_C.bool, device=device)
    emitted = log_probs.gather(2, label.unsqueeze(0).expand(steps, batch, longest))
    start = [[s < 2 and s < 2 * n + 1 for s in range(longest)] for n in target_lengths]
    low = _C.full((batch, longest), floor, dtype=log_probs.dtype, device=device)
    alpha = _C.where(_C.tensor(start, dtype=_C.bool, device=device), emitted[0], low)
    border = _C.full((batch, 2), floor, dtype=log_probs.dtype, device=device)
    active = _C.tensor(input_lengths, dtype=_C.int64, device=device).unsqueeze(1)
    for t in range(1, steps):
        padded = _C.cat((border, alpha), 1)
        one, two = padded[:, 1 : longest + 1], padded[:, :longest]
        two = _C.where(may_skip, two, low)
        following = _C.logsumexp(_C.stack((alpha, one, two)), 0) + emitted[t]
        alpha = _C.where(active > t, following, alpha)
    last = _C.tensor([[2 * n, max(2 * n - 1, 0)] for n in target_lengths], dtype=_C.int64, device=device)
    ends = alpha.gather(1, last)
    empty = _C.tensor([[False, n == 0] for n in target_lengths], dtype=_C.bool, device=device)
    ends = _C.where(empty, _C.full_like(ends, floor), ends)
    total = -_C.logsumexp(ends, 1)
    return _C.where(total > 1e29, _C.full_like(total, math.inf), total)
