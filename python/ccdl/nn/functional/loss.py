"""Loss functions of one prediction and its target; those with margins are in margin_loss.py, of sequences in
ctc_loss.py. ``reduction`` is 'mean' (default), 'sum' or 'none'; ``size_average`` and ``reduce`` are
PyTorch's deprecated spelling of it. Targets that are class numbers are int64; an index out of range is an
IndexError."""

from __future__ import annotations

import math
import warnings
from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors, tensor

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cross_entropy",
    "gaussian_nll_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
]


def _reduction(op, reduction, size_average=None, reduce=None, extra=()):
    """Validates the reduction's name, translating the deprecated pair of flags."""
    if size_average is not None or reduce is not None:
        warnings.warn("size_average and reduce are deprecated, use reduction instead", stacklevel=3)
        if reduce is False:
            return "none"
        return "sum" if size_average is False else "mean"
    if not isinstance(reduction, str) or reduction not in ("none", "mean", "sum", *extra):
        raise errors.ValueError(f"{op}: reduction is {reduction!r}, must be 'none', 'mean' or 'sum'")
    return reduction


def _reduce(loss, reduction):
    if reduction == "mean":
        return loss.mean()
    return loss.sum() if reduction == "sum" else loss


def _check_fits(op: str, name: str, input: Any, **others: Any) -> None:
    """Each of ``others`` (None: left out) is a Tensor that can be broadcast together with ``input``."""
    if not isinstance(input, Tensor):
        raise errors.TypeError(
            f"{op}(): argument '{name}' (position 1) must be Tensor, not {type(input).__name__}"
        )
    for label, other in others.items():
        if other is None:
            continue
        if not isinstance(other, _C.Tensor):
            raise errors.TypeError(f"{op}: {label} must be a Tensor, got {type(other).__name__}")
        if tuple(other.shape) == tuple(input.shape):
            continue
        for back, (a, b) in enumerate(zip(reversed(input.shape), reversed(other.shape)), 1):
            if a != b and 1 not in (a, b):
                raise errors.ShapeError(
                    f"{op}: {label} {list(other.shape)} does not fit {name} {list(input.shape)}: The size of "
                    f"tensor a ({a}) must match the size of tensor b ({b}) at non-singleton dimension "
                    f"{max(input.dim(), other.dim()) - back}"
                )


def _warn_broadcast(op, input, target, weight=None):
    if not isinstance(target, _C.Tensor):
        raise errors.TypeError(f"{op}: target must be a Tensor, got {type(target).__name__}")
    if weight is not None:
        _check_fits(op, "input", input, weight=weight)
    if tuple(input.shape) != tuple(target.shape):
        warnings.warn(
            f"{op}: target has size {list(target.shape)}, input {list(input.shape)}; they are broadcast, "
            "which is "
            "rarely meant; make them the same size",
            stacklevel=3,
        )
        _check_fits(op, "input", input, target=target)


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
    both = isinstance(target, Tensor) and isinstance(input, Tensor)
    if both and target.dtype == _C.float64 and input.dtype != target.dtype:
        input = input.double()  # probabilities of double give a loss of double
        weight = None if weight is None else weight.double()
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
    _warn_broadcast("mse_loss", input, target, weight)
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
    _warn_broadcast("l1_loss", input, target, weight)
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
    _warn_broadcast("huber_loss", input, target, weight)
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
    tensor("binary_cross_entropy", "input", input), tensor("binary_cross_entropy", "target", target)
    if tuple(target.shape) != tuple(input.shape):
        raise errors.ValueError(
            f"binary_cross_entropy: Using a target size ({list(target.shape)}) that is different to the "
            f"input size ({list(input.shape)}) is not allowed: both must have the same size"
        )
    if not target.is_floating_point():
        raise errors.DTypeError(
            f"binary_cross_entropy: Found dtype {target.dtype} for target, must be floating point; "
            "convert it with .float()"
        )
    _check_fits("binary_cross_entropy", "input", input, weight=weight)
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
            f"binary_cross_entropy_with_logits: Target size ({list(target.shape)}) must be the same as input "
            f"size ({list(input.shape)})"
        )
    _check_fits("binary_cross_entropy_with_logits", "input", input, weight=weight, pos_weight=pos_weight)
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
    _check_fits("kl_div", "input", input, target=target)
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
    _check_fits("poisson_nll_loss", "input", input, target=target)
    input, target = _C._autocast("poisson_nll_loss", [input, target])
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + _C.where(target > 1, stirling, _C.zeros_like(stirling))
    return _reduce(loss, reduction)


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
    _check_fits("gaussian_nll_loss", "input", input, target=target)
    if isinstance(var, (int, float)):
        var = _C.full_like(input, var)
    if tuple(var.shape) != tuple(input.shape):
        if tuple(input.shape[:-1]) == tuple(var.shape):
            var = var.unsqueeze(-1)
        elif var.dim() != input.dim() or sum(v for n, v in zip(input.shape, var.shape) if n != v) != 1:
            raise errors.ValueError(
                f"gaussian_nll_loss: var is of incorrect size: {list(var.shape)} does not fit the input's "
                f"{list(input.shape)}"
            )
    if bool((var < 0).any()):
        raise errors.ValueError("gaussian_nll_loss: var has negative entry/entries")
    value = var.detach().clamp(min=eps) - var.detach() + var  # limited below, gradient as if it were not
    loss = 0.5 * (value.log() + (input - target) ** 2 / value)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction)


__test__ = check_tensors(globals(), ["gaussian_nll_loss", "kl_div", "poisson_nll_loss"])
