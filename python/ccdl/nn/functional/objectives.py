"""Losses of the lecture notes that PyTorch lacks. ``reduction`` is 'mean' (default), 'sum' or 'none'."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors
from .loss import _check_fits, _reduce, _reduction

__all__ = [
    "asymmetric_huber_loss",
    "entropy",
    "half_sum_squares_loss",
    "nt_xent_loss",
    "quantile_loss",
    "squared_emd_loss",
]


def half_sum_squares_loss(input: Tensor, target: Tensor) -> Tensor:
    """``1/2 sum (input - target)^2``: the notes' squared error, whose gradient is ``input - target``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.half_sum_squares_loss(ccdl.tensor([1., 2.]), ccdl.tensor([0., 0.]))
    tensor(2.5000)
    """
    return (input - target).square().sum() * 0.5


def entropy(probs: Tensor, dim: int = -1) -> Tensor:
    """``H(p) = -sum p log p`` along ``dim``, with ``0 log 0 = 0``, in nats.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.entropy(ccdl.tensor([0.5, 0.5]))
    tensor(0.6931)
    """
    return _C._special_entr(probs).sum(dim)


def quantile_loss(input: Tensor, target: Tensor, q: Any = 0.5, reduction: str = "mean") -> Tensor:
    """The pinball loss ``max(q (t - x), (q - 1) (t - x))``: its minimum is the q-quantile of the target.

    ``q`` is a number or a tensor that broadcasts (several quantiles at once), between 0 and 1.

    Source: Koenker and Bassett, Regression quantiles, 1978.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.quantile_loss(ccdl.tensor([0., 0.]), ccdl.tensor([1., -1.]), 0.9, reduction="none")
    tensor([0.9000, 0.1000])
    """
    outside = bool(((q < 0) | (q > 1)).any()) if isinstance(q, Tensor) else not 0 <= q <= 1
    if outside:
        raise errors.ValueError(f"quantile_loss: q is {q}, must be between 0 and 1")
    reduction = _reduction("quantile_loss", reduction)
    _check_fits("quantile_loss", "input", input, target=target)
    error = target - input
    return _reduce(_C.maximum(q * error, (q - 1) * error), reduction)


def asymmetric_huber_loss(
    input: Tensor, target: Tensor, delta_below: float = 1.0, delta_above: float = 1.0, reduction: str = "mean"
) -> Tensor:
    """Huber's loss with a width of its own on each side: quadratic while ``-delta_below <= input - target <=
    delta_above``, linear with the slope reached there outside.

    With equal widths it is :func:`huber_loss`; unequal ones punish errors of one sign more.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.asymmetric_huber_loss(ccdl.tensor([3., -3.]), ccdl.zeros(2), 0.5, 2.0, reduction="none")
    tensor([4.0000, 1.3750])
    """
    if delta_below <= 0 or delta_above <= 0:
        raise errors.ValueError(
            f"asymmetric_huber_loss: delta_below and delta_above must be positive, got {delta_below} and "
            f"{delta_above}"
        )
    reduction = _reduction("asymmetric_huber_loss", reduction)
    _check_fits("asymmetric_huber_loss", "input", input, target=target)
    error = input - target
    delta = _C.where(error < 0, delta_below, delta_above).to(error.dtype)
    size = error.abs()
    return _reduce(_C.where(size <= delta, 0.5 * error.square(), delta * (size - 0.5 * delta)), reduction)


def squared_emd_loss(probs: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """The squared earth mover's distance ``sum_k (CDF_k(p) - CDF_k(t))^2`` of distributions over ordered
    classes: putting mass two classes off costs more than one class off.

    Args:
        probs: probabilities [N, K] (or [K]), for instance a softmax.
        target: class numbers [N] (int64), or probabilities of the shape of ``probs``.

    Source: Hou, Yu and Samaras, Squared earth mover's distance-based loss, 2016.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.squared_emd_loss(ccdl.tensor([0.4, 0.3, 0.3]), ccdl.tensor(0))
    tensor(0.4500)
    """
    reduction = _reduction("squared_emd_loss", reduction)
    if not target.is_floating_point():
        if tuple(target.shape) != tuple(probs.shape[:-1]):
            raise errors.ShapeError(
                f"squared_emd_loss: class numbers must have the shape {list(probs.shape[:-1])}, got "
                f"{list(target.shape)}"
            )
        from .embedding import one_hot
        from .margin_loss import _check_labels

        _check_labels("squared_emd_loss", target, probs.shape[-1], 0)
        target = one_hot(target, probs.shape[-1]).to(probs.dtype)
    elif target.shape != probs.shape:
        raise errors.ShapeError(
            f"squared_emd_loss: probabilities must have the shape {list(probs.shape)}, got "
            f"{list(target.shape)}"
        )
    return _reduce((probs - target).cumsum(-1).square().sum(-1), reduction)


def nt_xent_loss(z1: Tensor, z2: Tensor, temperature: float = 0.5, reduction: str = "mean") -> Tensor:
    """The contrastive loss of SimCLR for two views ``z1``, ``z2`` [N, D] of the same N samples:
    ``-log(exp(s(i, j) / T) / sum over k != i of exp(s(i, k) / T))`` over all 2 N rows, s the cosine
    similarity and j the other view of i.

    Source: Chen et al., A simple framework for contrastive learning of visual representations, 2020.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.nt_xent_loss(ccdl.eye(2), ccdl.eye(2), temperature=1.0)
    tensor(0.5514)
    """
    if z1.dim() != 2 or z1.shape != z2.shape:
        raise errors.ShapeError(
            f"nt_xent_loss: the views must be two matrices of one shape, got {list(z1.shape)} and "
            f"{list(z2.shape)}"
        )
    if temperature <= 0:
        raise errors.ValueError(f"nt_xent_loss: temperature must be positive, got {temperature}")
    reduction = _reduction("nt_xent_loss", reduction)
    n = z1.shape[0]
    z = _C.cat([z1, z2])
    z = z / z.norm(2, 1, keepdim=True).clamp_min(1e-12)
    scores = z @ z.t() / temperature
    itself = _C.eye(2 * n, dtype=_C.bool, device=z.device)
    scores = scores.masked_fill(itself, float("-inf"))
    partner = _C.arange(2 * n, device=z.device).roll(n)
    loss = scores.logsumexp(1) - scores.gather(1, partner.unsqueeze(1)).squeeze(1)
    return _reduce(loss, reduction)


__test__ = check_tensors(globals(), __all__)
