"""Draws every schedule of ccdl.optim.lr_scheduler: python docs/plot_schedules.py [schedules.png] (needs matplotlib)."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from typing import Any

import ccdl
from ccdl.optim import lr_scheduler as S

STEPS = 60
ERRORS = [1.0 / (1 + 0.2 * t) + (0.15 if t % 9 == 8 else 0.0) for t in range(STEPS)]  # what metric schedules see
SCHEDULES: dict[str, Callable[[Any], Any]] = {
    "LambdaLR": lambda o: S.LambdaLR(o, lambda t: 1 / (1 + 0.1 * t)),
    "MultiplicativeLR": lambda o: S.MultiplicativeLR(o, lambda t: 0.97),
    "StepLR": lambda o: S.StepLR(o, 15, 0.5),
    "MultiStepLR": lambda o: S.MultiStepLR(o, [10, 40], 0.3),
    "ConstantLR": lambda o: S.ConstantLR(o, 0.3, 20),
    "LinearLR": lambda o: S.LinearLR(o, 0.1, 1.0, 30),
    "ExponentialLR": lambda o: S.ExponentialLR(o, 0.95),
    "ExponentialDecayLR": lambda o: S.ExponentialDecayLR(o, 0.1),
    "PolynomialLR": lambda o: S.PolynomialLR(o, 60, 2.0),
    "CosineAnnealingLR": lambda o: S.CosineAnnealingLR(o, 60),
    "CosineAnnealingWarmRestarts": lambda o: S.CosineAnnealingWarmRestarts(o, 10, 2),
    "CyclicLR": lambda o: S.CyclicLR(o, 0.1, 1.0, 10),
    "CyclicLR triangular2": lambda o: S.CyclicLR(o, 0.1, 1.0, 10, mode="triangular2"),
    "CyclicLR exp_range": lambda o: S.CyclicLR(o, 0.1, 1.0, 10, mode="exp_range", gamma=0.97),
    "OneCycleLR": lambda o: S.OneCycleLR(o, 1.0, 60),
    "OneCycleLR three phases": lambda o: S.OneCycleLR(o, 1.0, 60, three_phase=True, anneal_strategy="linear"),
    "NoamLR": lambda o: S.NoamLR(o, 1, 15),
    "WarmupLR, then cosine": lambda o: S.WarmupLR(o, 10, 0.1, after=S.CosineAnnealingLR(o, 50)),
    "SequentialLR": lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, 15), S.ExponentialLR(o, 0.95)], [15]),
    "ChainedScheduler": lambda o: S.ChainedScheduler([S.ConstantLR(o, 0.3, 15), S.ExponentialLR(o, 0.97)]),
    "ReduceLROnPlateau": lambda o: S.ReduceLROnPlateau(o, factor=0.5, patience=0),
    "NewBobLR": lambda o: S.NewBobLR(o),
}


def rates(make: Callable[[Any], Any], steps: int = STEPS) -> list[float]:
    """Learning rate before each of the steps, from 1."""
    optimizer = ccdl.optim.SGD([ccdl.nn.Parameter(ccdl.ones(1))], lr=1.0, momentum=0.9)
    schedule, seen = make(optimizer), []
    for t in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule.step(*([ERRORS[t]] if getattr(schedule, "needs_metric", False) else []))
    return seen


def main(path: str = "schedules.png") -> None:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SystemExit("plot_schedules: needs matplotlib; install it with: pip install matplotlib") from None
    columns = 4
    rows = -(-len(SCHEDULES) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.2 * rows), layout="constrained")
    for axes, (name, make) in zip(figure.subplots(rows, columns).flat, SCHEDULES.items()):
        axes.plot(rates(make), drawstyle="steps-post")
        axes.set_title(name, fontsize=9)
        axes.set_ylim(0, 1.05)
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main(*sys.argv[1:2])
