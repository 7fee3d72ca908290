"""Checks to run before a long training: each gives a :class:`Check` that says what was expected, what came,
and what to look at when it failed. Models are copied; the one given is not trained.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .. import _C

__all__ = [
    "Check",
    "advise",
    "check_batch_leak",
    "check_initial_loss",
    "check_input_dependence",
    "check_overfit_batch",
    "run_checks",
]


@dataclasses.dataclass
class Check:
    """The result of one check; true when it passed."""

    name: str
    passed: bool
    value: float
    expected: str
    advice: str = ""
    losses: list[float] = dataclasses.field(default_factory=list)

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        text = f"{'ok  ' if self.passed else 'FAIL'} {self.name}: {self.value:.4g}, expected {self.expected}"
        return text if self.passed else f"{text}\n     {self.advice}"


def _cross_entropy(output: Any, target: Any) -> Any:
    from ..nn.functional import cross_entropy

    return cross_entropy(output, target)


def check_initial_loss(
    model: Any, batch: Any, criterion: Any = None, classes: int | None = None, tolerance: float = 0.3
) -> Check:
    """A classifier that knows nothing has cross-entropy ``ln C``.

    Args:
        model: freshly initialised.
        batch: ``(input, target)``.
        criterion: ``criterion(output, target)``, cross-entropy when left out.
        classes: C, the output's size when left out.
        tolerance: allowed difference, relative to ln C.

    >>> import ccdl, ccdl.nn as nn
    >>> _ = ccdl.manual_seed(0)
    >>> batch = (ccdl.randn(64, 5), ccdl.arange(64) % 10)
    >>> bool(ccdl.train.sanity.check_initial_loss(nn.Linear(5, 10), batch))
    True
    """
    inputs, target = batch[0], batch[1]
    model = copy.deepcopy(model)
    previous = _C._set_grad_enabled(False)
    try:
        output = model(inputs)
        loss = float((criterion or _cross_entropy)(output, target))
    finally:
        _C._set_grad_enabled(previous)
    count = output.size(1) if classes is None else classes
    want = math.log(count)
    passed = math.isfinite(loss) and abs(loss - want) <= tolerance * want
    return Check(
        "initial loss",
        passed,
        loss,
        f"ln {count} = {want:.4g} within {tolerance:.0%}",
        "higher: the initial outputs are too large (initialise the last layer smaller) or the inputs are not "
        "normalised; lower: the target may be visible in the input; check also that the model returns "
        "logits, not probabilities, and that labels run from 0 to C - 1",
    )


def _train(
    model: Any, batches: Iterable[Any], criterion: Any, optimizer: Any, steps: int, prepare: Any = None
) -> list[float]:
    """Losses of ``steps`` updates on batches taken in turn."""
    losses: list[float] = []
    stored = [(b[0], b[1]) for b in batches]
    if not stored:
        raise ValueError("sanity: no batches")
    for i in range(steps):
        inputs, target = stored[i % len(stored)]
        optimizer.zero_grad()
        loss = criterion(model(inputs if prepare is None else prepare(inputs)), target)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
        if not math.isfinite(losses[-1]):
            break
    return losses


def _optimizer(model: Any, make: Callable[[Any], Any] | None) -> Any:
    from ..optim import Adam

    parameters = [p for p in model.parameters() if p.requires_grad]
    return Adam(parameters, lr=1e-2) if make is None else make(parameters)


def check_overfit_batch(
    model: Any,
    batch: Any,
    criterion: Any = None,
    optimizer: Callable[[Any], Any] | None = None,
    steps: int = 200,
    target: float = 0.05,
) -> Check:
    """Every model with enough parameters can learn one small batch by heart.

    Args:
        model: a copy of it is trained.
        batch: ``(input, target)``, a few samples.
        criterion: cross-entropy when left out.
        optimizer: ``optimizer(parameters)`` makes one; Adam with rate 0.01 when left out.
        steps: updates.
        target: the loss to reach.

    >>> import ccdl, ccdl.nn as nn
    >>> _ = ccdl.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3))
    >>> bool(ccdl.train.sanity.check_overfit_batch(net, (ccdl.randn(8, 6), ccdl.arange(8) % 3)))
    True
    """
    model = copy.deepcopy(model)
    losses = _train(model, [batch], criterion or _cross_entropy, _optimizer(model, optimizer), steps)
    best = min((v for v in losses if math.isfinite(v)), default=math.inf)
    return Check(
        "overfit one batch",
        math.isfinite(losses[-1]) and best <= target,
        losses[-1],
        f"at most {target:g} within {steps} steps",
        f"the model cannot learn one batch by heart: {advise(losses)[1]}; check that inputs and labels "
        "belong together, that gradients reach the first layer, that the optimiser has all parameters, and "
        "take regularisation (dropout, weight decay, augmentation) away",
        losses,
    )


def check_input_dependence(
    model: Any,
    batches: Iterable[Any],
    criterion: Any = None,
    optimizer: Callable[[Any], Any] | None = None,
    steps: int = 100,
    margin: float = 0.05,
) -> Check:
    """Training on the inputs must do better than training on zeros in their place (the input-independent
    baseline); otherwise the model does not use its input.

    Args:
        model: two copies of it are trained alike.
        batches: ``(input, target)`` pairs.
        criterion, optimizer, steps: as for :func:`check_overfit_batch`.
        margin: how much lower the loss must be, relative to the baseline.

    >>> import ccdl, ccdl.nn as nn
    >>> _ = ccdl.manual_seed(0)
    >>> x = ccdl.randn(64, 4)
    >>> bool(ccdl.train.sanity.check_input_dependence(nn.Linear(4, 2), [(x, (x[:, 0] > 0).long())]))
    True
    """
    stored = list(batches)
    ends = []
    losses: list[float] = []
    for prepare in (None, _C.zeros_like):
        trained = copy.deepcopy(model)
        rng = _C.get_rng_state()
        losses = _train(
            trained, stored, criterion or _cross_entropy, _optimizer(trained, optimizer), steps, prepare
        )
        _C.set_rng_state(rng)
        tail = losses[-max(1, len(stored)) :]
        ends.append(sum(tail) / len(tail))
    real, baseline = ends
    return Check(
        "input-independent baseline",
        math.isfinite(real) and real < baseline * (1 - margin),
        real,
        f"below {1 - margin:g} of the loss on zero inputs, {baseline:.4g}",
        "the inputs do not help: check that they vary, that they belong to the labels, and that the network "
        "passes them on (dead units, a vanishing gradient, a wrong reshape)",
        losses,
    )


def check_batch_leak(model: Any, inputs: Any, training: bool = False) -> Check:
    """The output of one sample must not depend on the other samples of the batch.

    The gradient of output i with respect to all inputs is computed for a few i; anything outside sample i
    is a leak, such as a ``view`` or ``transpose`` that mixes batch and feature dimensions. Batch norm in
    training mode leaks by design, so evaluation mode is the default.

    Args:
        model: is not changed.
        inputs: a floating batch of at least two samples.
        training: check in training mode.

    Raises:
        ValueError: integer inputs or a single sample.

    >>> import ccdl, ccdl.nn as nn
    >>> bool(ccdl.train.sanity.check_batch_leak(nn.Linear(4, 2), ccdl.randn(3, 4)))
    True
    >>> print(ccdl.train.sanity.check_batch_leak(nn.Softmax(dim=0), ccdl.randn(3, 4)))
    FAIL leak across the batch...
    """
    if not inputs.is_floating_point() or inputs.dim() < 1 or inputs.size(0) < 2:
        raise ValueError("check_batch_leak: needs a floating batch of at least two samples")
    model = copy.deepcopy(model).train(training)
    x = inputs.detach().clone().requires_grad_()
    n = x.size(0)
    worst = 0.0
    for i in sorted({0, n // 2, n - 1}):
        output = model(x)
        if output.dim() < 1 or output.size(0) != n:
            raise ValueError(
                f"check_batch_leak: the output has size {tuple(output.shape)} for a batch of {n}; its first "
                "dimension must be the batch"
            )
        weights = _C.rand_like(output[i]) + 0.5  # a plain sum may hide a leak, as that of a softmax does
        from ..autograd import grad

        (g,) = grad((output[i] * weights).sum(), x, allow_unused=True)
        if g is not None:
            others = g.abs().reshape(n, -1).amax(1)
            others[i] = 0
            worst = max(worst, float(others.max()))
    return Check(
        "leak across the batch",
        worst == 0.0,
        worst,
        "no gradient from one sample's output to another's input",
        "samples are mixed: look for view, reshape or transpose across the batch dimension, softmax or "
        "normalisation over dimension 0, and (in training mode) batch norm",
    )


def advise(losses: Sequence[float], patience: int = 20) -> tuple[str, str]:
    """Judges a curve of losses: ``(verdict, advice)``.

    Verdicts: 'diverged' (not finite, or far above the start), 'never falls', 'rises' (fell, then rose well
    above its best), 'stalls' (no new best for ``patience`` points), 'falls'.

    >>> import ccdl
    >>> ccdl.train.sanity.advise([2.3, 2.3, 2.31, 2.29, 2.3])[0]
    'never falls'
    """
    values = [float(v) for v in losses]
    if not values:
        raise ValueError("advise: no losses")
    start = values[0]
    lower = "decrease the learning rate by a factor of 10"
    if not all(math.isfinite(v) for v in values) or max(values[-3:]) > 3 * abs(start) + 1e-12:
        return "diverged", f"the loss diverged: {lower}, clip the gradients, use warm-up"
    best = min(values)
    where = values.index(best)
    head = sum(values[: max(1, len(values) // 10)]) / max(1, len(values) // 10)
    tail = sum(values[-max(1, len(values) // 5) :]) / max(1, len(values) // 5)
    scale = max(abs(start), 1e-12)
    if head - tail < 0.02 * scale and head - best < 0.05 * scale:
        return "never falls", (
            f"the loss never falls: {lower}; if that does not help increase it, and check labels, "
            "initialisation and that gradients are not zero"
        )
    if tail - best > 0.2 * max(head - best, 1e-12):
        return "rises", f"the loss fell and rises again: {lower} or use a schedule; stop at the best epoch"
    if len(values) - 1 - where >= patience:
        return "stalls", f"no new best for {len(values) - 1 - where} points: decay the learning rate"
    return "falls", "the loss falls: train on"


def run_checks(
    model: Any,
    batches: Iterable[Any],
    criterion: Any = None,
    optimizer: Callable[[Any], Any] | None = None,
    classes: int | None = None,
    samples: int = 8,
    steps: int = 200,
) -> list[Check]:
    """All checks that apply, on ``(input, target)`` batches; print them one per line.

    The initial loss is checked for integer targets (classification), the leak for floating inputs.

    >>> import ccdl, ccdl.nn as nn
    >>> _ = ccdl.manual_seed(0)
    >>> x = ccdl.randn(64, 6); y = (x[:, 0] > 0).long()
    >>> net = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 2))
    >>> all(ccdl.train.sanity.run_checks(net, [(x, y)]))
    True
    """
    stored = list(batches)
    if not stored:
        raise ValueError("run_checks: no batches")
    inputs, target = stored[0][0], stored[0][1]
    small = (inputs[:samples], target[:samples])
    checks = []
    if not target.is_floating_point() and (criterion is None or classes is not None):
        checks.append(check_initial_loss(model, stored[0], criterion, classes))
    checks.append(check_overfit_batch(model, small, criterion, optimizer, steps))
    checks.append(check_input_dependence(model, stored, criterion, optimizer, steps))
    if inputs.is_floating_point() and inputs.size(0) > 1:
        checks.append(check_batch_leak(model, small[0]))
    return checks
