"""What the races of whole models share: weights and data from NumPy, the training step, the rows.

A model is a function of (T, exact): T is the library, exact leaves out what two libraries draw differently (dropout masks,
noise), so that their losses can be compared. It returns the call to time, which returns the loss or the output.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from measuring import Row, array

Call = Callable[[], Any]
STEPS = 3  # before the losses are compared


def fill(T: Any, *modules: Any) -> Any:
    """The same weights in every library, whatever the order of the parameters; returns the first module."""
    with T.no_grad():
        for i, module in enumerate(modules):
            for name, p in module.named_parameters():
                shape = tuple(p.shape)
                if len(shape) < 2:
                    values = np.full(shape, 0.0 if "bias" in name else 1.0, np.float32)
                else:
                    random = np.random.default_rng(zlib.crc32(name.encode()) + i)
                    scale = ((2.0 if len(shape) > 2 else 1.0) / np.prod(shape[1:])) ** 0.5
                    values = random.standard_normal(shape, dtype=np.float32) * np.float32(scale)
                p.copy_(T.from_numpy(values))
    return modules[0]


def reals(T: Any, *shape: int, seed: int = 1, low: float | None = None) -> Any:
    """Standard normal numbers; with low, uniform ones of [low, 1)."""
    if low is None:
        return T.from_numpy(array(*shape, seed=seed))
    return T.from_numpy(np.random.default_rng(seed).uniform(low, 1, shape).astype(np.float32))


def whole(T: Any, high: int, *shape: int, seed: int = 2, low: int = 0) -> Any:
    return T.from_numpy(np.random.default_rng(seed).integers(low, high, shape))


def stepping(optimizer: Any, loss_of: Call, after: Call | None = None) -> Call:
    """zero_grad, loss, backward, (after: clipping), step."""

    def step():
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        if after is not None:
            after()
        optimizer.step()
        return loss

    return step


def classifier(T: Any, model: Any, shape: tuple[int, ...], classes: int, optimizer: Any = None) -> Call:
    """Cross-entropy of images or rows, by SGD with momentum where no optimizer is given."""
    fill(T, model)
    optimizer = optimizer or T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    x, y = reals(T, *shape), whole(T, classes, shape[0])
    return stepping(optimizer, lambda: T.nn.functional.cross_entropy(model(x), y))


def inference(T: Any, model: Any, *inputs: Any) -> Call:
    fill(T, model).eval()

    def forward():
        with T.no_grad():
            return model(*inputs)

    return forward


def race(name: str, model: Callable[[Any, bool], Call], tol: float = 1e-3, first: bool = False) -> Row:
    """A row that compares the losses after a few steps (the first call's outputs with first=True)."""

    def after_some_steps(T: Any) -> Call:
        T.manual_seed(0)
        step = model(T, True)

        def run():
            for _ in range(0 if first else STEPS - 1):
                step()
            return step()

        return run

    def timed(T: Any) -> Call:
        T.manual_seed(0)
        return model(T, False)

    return Row(name, timed, check=after_some_steps, tol=tol)
