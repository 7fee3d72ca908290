"""Where the random numbers of a transform come from, and composition."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

from ... import _C
from ...utils.data.sampler import seeded_generator
from ...utils.data.worker import mix

__all__ = ["Compose", "Lambda", "RandomApply", "RandomTransform", "as_batch"]


def as_batch(op: str, images: Any) -> tuple[Any, bool]:
    """(images as [N, C, H, W], whether a batch came in)."""
    if not isinstance(images, _C.Tensor) or images.dim() not in (3, 4):
        got = list(images.shape) if isinstance(images, _C.Tensor) else type(images).__name__
        raise ValueError(f"{op}: images must be a tensor [C, H, W] or [N, C, H, W], got {got}")
    return (images, True) if images.dim() == 4 else (images.unsqueeze(0), False)


def pair(op: str, name: str, size: Any) -> tuple[int, int]:
    """(height, width) of an int or a pair of ints, all at least 1."""
    found = (size, size) if isinstance(size, int) else tuple(size)
    if len(found) == 1:
        found = found * 2
    if len(found) != 2 or not all(isinstance(s, int) and s >= 1 for s in found):
        raise ValueError(f"{op}: {name} is {size!r}, must be an int or a pair of ints, at least 1")
    return found


def span(
    op: str, name: str, value: Any, centre: float | None, low: float | None = None
) -> tuple[float, float]:
    """(from, to) of a pair, or of a number v: (centre - v, centre + v), not below ``low``."""
    if isinstance(value, (int, float)):
        if centre is None or value < 0:
            raise ValueError(f"{op}: {name} is {value!r}, must be a pair, or a number that is not negative")
        found = (centre - value, centre + value)
    else:
        found = tuple(float(v) for v in value)  # type: ignore[assignment]
    if len(found) != 2 or found[0] > found[1] or (low is not None and found[1] < low):
        raise ValueError(f"{op}: {name} is {value!r}, must be (from, to) with from <= to")
    return (found[0] if low is None else max(low, found[0]), found[1])


class RandomTransform:
    """Base of the random transforms: ``numbers`` uniforms in [0, 1) per sample decide what happens to it.

    Subclasses set ``numbers`` and write ``apply(images [N, C, H, W], u [N, numbers])``.

    Args:
        seed: of the numbers drawn for a batch with ``index``; each kind of transform has its own stream.
    """

    numbers = 1

    def __init__(self, seed: int = 0) -> None:
        self.seed, self.epoch = seed, 0
        self._table: Any = None

    def set_epoch(self, epoch: int) -> None:
        """Another epoch, other numbers for every sample."""
        self.epoch, self._table = epoch, None

    def draw(self, count: int, index: Any = None) -> Any:
        """[count, numbers] uniforms: from the global (or the sample's) generator, or those of samples
        ``index``."""
        if index is None:
            return _C.rand(count, self.numbers)
        index = _C.tensor(index, device="cpu") if not isinstance(index, _C.Tensor) else index.cpu()
        if index.shape != (count,):
            raise ValueError(
                f"{type(self).__name__}: index must name the {count} samples of the batch, got "
                f"{list(index.shape)}"
            )
        rows = int(index.max().item()) + 1 if count else 0
        if self._table is None or self._table.shape[0] < rows:
            # a longer table starts like a shorter one: element i depends on seed and position only
            stream = mix(mix(self.seed, zlib.crc32(type(self).__name__.encode())), self.epoch)
            made = seeded_generator(stream)
            self._table = _C.rand(max(rows, 1024), self.numbers, generator=made, device="cpu")
        return self._table.index_select(0, index)

    def apply(self, images: Any, u: Any) -> Any:
        raise NotImplementedError

    def __call__(self, images: Any, index: Any = None) -> Any:
        batch, several = as_batch(type(self).__name__, images)
        u = self.draw(batch.shape[0], index).to(batch.device)
        found = self.apply(batch, u)
        return found if several else found.squeeze(0)

    def __repr__(self) -> str:
        shown = {k: v for k, v in vars(self).items() if not k.startswith("_") and k not in ("seed", "epoch")}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


class Compose:
    """The transforms one after another; ``index`` and ``set_epoch`` reach all that know them.

    >>> import ccdl
    >>> from ccdl.vision import transforms as T
    >>> flow = T.Compose([T.RandomCrop(4, padding=1), T.RandomHorizontalFlip()])
    >>> flow(ccdl.rand(2, 3, 4, 4), index=ccdl.tensor([7, 3])).shape
    ccdl.Size([2, 3, 4, 4])
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        if not isinstance(transforms, (list, tuple)) or not all(callable(t) for t in transforms):
            raise TypeError(f"Compose: transforms is {transforms!r}, must be a list of transforms")
        self.transforms = list(transforms)

    def set_epoch(self, epoch: int) -> None:
        for t in self.transforms:
            if hasattr(t, "set_epoch"):
                t.set_epoch(epoch)

    def __call__(self, images: Any, index: Any = None) -> Any:
        for t in self.transforms:
            random = isinstance(t, (RandomTransform, Compose, RandomApply))
            images = t(images, index=index) if random and index is not None else t(images)
        return images

    def __repr__(self) -> str:
        return f"Compose({self.transforms!r})"


class Lambda:
    """Any function as a transform."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function

    def __call__(self, images: Any) -> Any:
        return self.function(images)


class RandomApply(RandomTransform):
    """Applies ``transforms`` to each sample with probability ``p``; they must keep the image's shape.

    >>> import ccdl
    >>> from ccdl.vision import transforms as T
    >>> T.RandomApply([T.GaussianBlur(3)], p=0.5)(ccdl.rand(4, 1, 8, 8)).shape
    ccdl.Size([4, 1, 8, 8])
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5, seed: int = 0) -> None:
        super().__init__(seed)
        self.transforms, self.p = Compose(transforms), probability("RandomApply", p)

    def set_epoch(self, epoch: int) -> None:
        super().set_epoch(epoch)
        self.transforms.set_epoch(epoch)

    def __call__(self, images: Any, index: Any = None) -> Any:
        batch, several = as_batch("RandomApply", images)
        chosen = self.draw(batch.shape[0], index).to(batch.device)[:, 0] < self.p
        changed = self.transforms(batch, index=index)
        if changed.shape != batch.shape:
            raise ValueError(
                f"RandomApply: {self.transforms} turns {list(batch.shape)} into {list(changed.shape)}; "
                "the shape must stay"
            )
        found = _C.where(chosen.reshape(-1, 1, 1, 1), changed, batch)
        return found if several else found.squeeze(0)


def probability(op: str, p: float) -> float:
    """``p`` itself if it is one."""
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p is {p!r}, must be a probability between 0 and 1")
    return float(p)
