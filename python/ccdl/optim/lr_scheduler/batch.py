"""Batch size and learning rate: scaling one with the other, growing the batch instead of a decay."""

from __future__ import annotations

from typing import Any

from .base import get_lr, set_lr, set_momentum

__all__ = ["BatchSizeGrowth", "scale_with_batch_size"]


def scale_with_batch_size(
    optimizer: Any, batch_size: int, base_batch_size: int, rule: str = "linear", momentum: str = "keep"
) -> float:
    """Adapts the optimiser's rates to a batch ``k = batch_size / base_batch_size`` times as large.

    Args:
        optimizer: its groups' ``lr`` (and ``initial_lr``), and ``momentum`` or first beta, are changed.
        batch_size, base_batch_size: new size and the one that the rates were tuned for.
        rule: 'linear' multiplies the rate by k, 'sqrt' by sqrt(k), 'keep' leaves it.
        momentum: 'keep' leaves it; 'noise' sets ``m' = 1 - (1 - m) / k``: batch and ``1 / (1 - m)`` grow
            together, which keeps the noise of the steps at an equal rate (use with rule='keep');
            'samples' sets ``m' = m^k``, the average then reaches back over as many samples as before.

    Returns:
        k.

    Raises:
        ValueError: sizes below 1, an unknown rule, or a momentum that would leave [0, 1).

    Source: Goyal et al., 2017 (linear); Smith et al., 2018 (momentum).

    >>> import ccdl, ccdl.nn as nn
    >>> optimizer = ccdl.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.1, momentum=0.9)
    >>> ccdl.optim.lr_scheduler.scale_with_batch_size(optimizer, 256, 64)
    4.0
    >>> optimizer.param_groups[0]["lr"]
    0.4
    """
    if batch_size < 1 or base_batch_size < 1:
        raise ValueError(
            f"scale_with_batch_size: sizes must be at least 1, got {batch_size} and {base_batch_size}"
        )
    k = batch_size / base_batch_size
    if rule not in ("linear", "sqrt", "keep"):
        raise ValueError(f"scale_with_batch_size: rule must be 'linear', 'sqrt' or 'keep', got {rule!r}")
    if momentum not in ("keep", "noise", "samples"):
        raise ValueError(
            f"scale_with_batch_size: momentum must be 'keep', 'noise' or 'samples', got {momentum!r}"
        )
    factor = {"linear": k, "sqrt": k**0.5, "keep": 1.0}[rule]
    for group in optimizer.param_groups:
        set_lr(group, get_lr(group) * factor)
        if "initial_lr" in group:
            group["initial_lr"] = get_lr(group, "initial_lr") * factor
        if momentum != "keep":
            m = group["betas"][0] if "betas" in group else group["momentum"]
            new = 1 - (1 - m) / k if momentum == "noise" else m**k
            if not 0 <= new < 1:
                raise ValueError(
                    f"scale_with_batch_size: momentum {m} would become {new} for a batch {k} times as large"
                )
            set_momentum(group, new)
    return k


class BatchSizeGrowth:
    """Multiplies the loader's batch size by ``factor`` at each of the epochs ``milestones``, where a step
    schedule would divide the rate; once ``max_batch_size`` is reached the rate is divided instead.

    The noise of the steps falls alike, with fewer updates.

    Args:
        loader: a DataLoader (or BatchSampler) with a ``batch_size``.
        milestones: epochs.
        factor: integer of at least 2.
        max_batch_size: None for no limit.
        optimizer: whose rate falls once the batch may not grow.

    Raises:
        ValueError: a factor below 2, or a limit without an optimiser.

    Source: Smith et al., 2018.

    >>> import ccdl
    >>> from ccdl.utils.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(ccdl.arange(64)), batch_size=4)
    >>> growth = ccdl.optim.lr_scheduler.BatchSizeGrowth(loader, milestones=[1, 2], factor=4)
    >>> growth.step(); len(loader), growth.batch_size
    (4, 16)
    """

    def __init__(
        self,
        loader: Any,
        milestones: Any,
        factor: int = 2,
        max_batch_size: int | None = None,
        optimizer: Any = None,
    ) -> None:
        if int(factor) != factor or factor < 2:
            raise ValueError(f"BatchSizeGrowth: factor must be an integer of at least 2, got {factor}")
        if max_batch_size is not None and optimizer is None:
            raise ValueError("BatchSizeGrowth: max_batch_size needs the optimizer whose rate falls instead")
        self.sampler = getattr(loader, "batch_sampler", None) or loader
        if getattr(self.sampler, "batch_size", None) is None:
            raise ValueError("BatchSizeGrowth: the loader has no batch size")
        self.loader = loader
        self.milestones = sorted(milestones)
        self.factor = int(factor)
        self.max_batch_size = max_batch_size
        self.optimizer = optimizer
        self.last_epoch = 0

    @property
    def batch_size(self) -> int:
        """The present batch size."""
        return self.sampler.batch_size

    def step(self) -> None:
        """Moves on by one epoch."""
        self.last_epoch += 1
        for _ in range(self.milestones.count(self.last_epoch)):
            grown = self.batch_size * self.factor
            if self.max_batch_size is None or grown <= self.max_batch_size:
                self._set(grown)
            else:
                for group in self.optimizer.param_groups:
                    set_lr(group, get_lr(group) / self.factor)

    def _set(self, size: int) -> None:
        self.sampler.batch_size = size
        if self.loader is not self.sampler and getattr(self.loader, "batch_size", None) is not None:
            object.__setattr__(self.loader, "batch_size", size)  # a loader keeps its own otherwise

    def state_dict(self) -> dict[str, Any]:
        """Epoch and batch size."""
        return {"last_epoch": self.last_epoch, "batch_size": self.batch_size}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes what :meth:`state_dict` gave."""
        self.last_epoch = state_dict["last_epoch"]
        self._set(state_dict["batch_size"])
