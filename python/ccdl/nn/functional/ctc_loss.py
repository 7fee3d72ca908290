"""Connectionist temporal classification: sequences whose alignment with their labels is unknown."""

from __future__ import annotations

import math
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
    emitted = emitted.unbind(0)
    alpha = _C.where(_C.tensor(start, dtype=_C.bool, device=device), emitted[0], low)
    border = _C.full((batch, 2), floor, dtype=log_probs.dtype, device=device)
    active = _C.tensor(input_lengths, dtype=_C.int64, device=device).unsqueeze(1)
    shortest = min(input_lengths, default=0)
    for t in range(1, steps):
        padded = _C.cat((border, alpha), 1)
        one, two = padded[:, 1 : longest + 1], padded[:, :longest]
        two = _C.where(may_skip, two, low)
        following = _C.logsumexp(_C.stack((alpha, one, two)), 0) + emitted[t]
        alpha = following if t < shortest else _C.where(active > t, following, alpha)
    last = _C.tensor([[2 * n, max(2 * n - 1, 0)] for n in target_lengths], dtype=_C.int64, device=device)
    ends = alpha.gather(1, last)
    empty = _C.tensor([[False, n == 0] for n in target_lengths], dtype=_C.bool, device=device)
    ends = _C.where(empty, _C.full_like(ends, floor), ends)
    total = -_C.logsumexp(ends, 1)
    return _C.where(total > 1e29, _C.full_like(total, math.inf), total)
