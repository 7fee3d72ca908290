"""Each of several replicas reads its own part of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ... import _C, errors
from .sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler):
    """The indices of one replica among ``num_replicas``: every num_replicas-th of the (shuffled) order, from
    ``rank`` on. The order is padded from its start, or cut with ``drop_last``, so that all replicas get
    equally many.

    Args:
        dataset: anything with a length.
        num_replicas, rank: must be given, there is no process group to ask.
        shuffle: a new order per epoch, the same for all replicas: call :meth:`set_epoch` first.
        seed: of the order, equal for all replicas.

    >>> from ccdl.utils.data import DistributedSampler
    >>> list(DistributedSampler(range(5), num_replicas=2, rank=1, shuffle=False))
    [1, 3, 0]
    """

    def __init__(
        self,
        dataset: Any,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            raise errors.RuntimeError(
                "DistributedSampler: Requires distributed package to be available; give num_replicas and rank"
            )
        if not 0 <= rank < num_replicas:
            raise errors.ValueError(
                f"DistributedSampler: Invalid rank {rank}, it should be in [0, {num_replicas - 1}]"
            )
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0
        self.drop_last = drop_last
        count = len(dataset)
        self.num_samples = count // num_replicas if drop_last else math.ceil(count / num_replicas)
        self.total_size = self.num_samples * num_replicas
        self.shuffle = shuffle
        self.seed = seed

    def __iter__(self) -> Iterator[int]:
        count = len(self.dataset)
        if self.shuffle:
            generator = _C.Generator().manual_seed(self.seed + self.epoch)
            order = _C.randperm(count, generator=generator).tolist()
        else:
            order = list(range(count))
        if not self.drop_last and order:
            order = (order * math.ceil(self.total_size / count))[: self.total_size]
        return iter(order[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Chooses the order of the next pass."""
        self.epoch = epoch
