"""Connectionist temporal classification: sequences whose alignment with their labels is unknown."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor
from .loss import _reduction

__all__ = ["ctc_loss"]


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
    alpha_{t-1}(s-2)]) y_t(l'_s) over the label sequence l' with blanks between runs in the log domain.

    The gradient given to ``log_probs`` is the loss' derivative, 0 for a sample without an alignment.

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
    dtype = log_probs.dtype
    if dtype not in (_C.float32, _C.float64):
        log_probs = log_probs.float()
    losses = _C._ctc_loss(log_probs, targets, input_lengths, target_lengths, int(blank), bool(zero_infinity))
    losses = losses.to(dtype)
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
