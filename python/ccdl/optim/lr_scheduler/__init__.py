"""Learning-rate schedules: call ``scheduler.step()`` after ``optimizer.step()``, usually once per epoch.

Schedules multiply the present rate, so several may act on one optimiser; ``step(epoch)`` uses the closed form
instead.
"""

from .base import LRScheduler
from .batch import BatchSizeGrowth, scale_with_batch_size
from .composed import ChainedScheduler, SequentialLR, WarmupLR
from .cyclic import CyclicLR, OneCycleLR
from .decay import (
    ConstantLR,
    CosineAnnealingLR,
    CosineAnnealingWarmRestarts,
    ExponentialDecayLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    MultiplicativeLR,
    MultiStepLR,
    NoamLR,
    PolynomialLR,
    StepLR,
)
from .plateau import NewBobLR, ReduceLROnPlateau

_LRScheduler = LRScheduler  # its name in older code

__all__ = [
    "BatchSizeGrowth",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialDecayLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "NewBobLR",
    "NoamLR",
    "OneCycleLR",
    "PolynomialLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "WarmupLR",
    "scale_with_batch_size",
]
