"""How far to believe probabilities: reliability diagram, expected calibration error, temperature scaling.

Source: Guo et al., On calibration of modern neural networks, 2017.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from .. import _C, nn
from .._C import Tensor
from ..nn import functional as F

__all__ = [
    "Reliability",
    "TemperatureScaling",
    "expected_calibration_error",
    "plot_reliability",
    "reliability",
]


class Reliability(NamedTuple):
    """One entry per bin of confidence: its borders, how many predictions fell in, their mean confidence and
    their accuracy (NaN in empty bins)."""

    edges: Tensor
    counts: Tensor
    confidence: Tensor
    accuracy: Tensor


def reliability(probs: Tensor, target: Tensor, bins: int = 15) -> Reliability:
    """The reliability diagram: predictions binned by confidence, ``((m - 1) / bins, m / bins]``.

    Args:
        probs: class probabilities [N, K]. target: class numbers [N]. bins: number of equal bins.

    >>> import ccdl
    >>> from ccdl.train.calibration import reliability
    >>> reliability(ccdl.tensor([[0.8, 0.2], [0.3, 0.7]]), ccdl.tensor([0, 0]), bins=2).accuracy
    tensor([   nan, 0.5000])
    """
    if probs.dim() != 2 or tuple(target.shape) != (probs.shape[0],):
        raise RuntimeError(
            f"reliability: probs must be [N, K] and target [N], got {list(probs.shape)} and "
            f"{list(target.shape)}"
        )
    if bins < 1:
        raise ValueError(f"reliability: bins must be at least 1, got {bins}")
    confidence, predicted = probs.detach().double().max(1)
    right = (predicted == target).double()
    edges = _C.linspace(0, 1, bins + 1, dtype=_C.float64, device=probs.device)
    place = _C.bucketize(confidence, edges[1:]).clamp(max=bins - 1)
    zero = _C.zeros(bins, dtype=_C.float64, device=probs.device)
    count = zero.index_add(0, place, _C.ones_like(confidence))
    mean = zero.index_add(0, place, confidence) / count
    accuracy = zero.index_add(0, place, right) / count
    return Reliability(edges.float(), count.long(), mean.float(), accuracy.float())


def expected_calibration_error(probs: Tensor, target: Tensor, bins: int = 15) -> float:
    """``ECE = sum over bins of n_m / N |accuracy_m - confidence_m|``: 0 when 80 % confidence is right 80 % of
    the time.

    >>> import ccdl
    >>> from ccdl.train.calibration import expected_calibration_error
    >>> round(expected_calibration_error(ccdl.tensor([[0.8, 0.2], [0.3, 0.7]]), ccdl.tensor([0, 0]), 2), 6)
    0.25
    """
    table = reliability(probs, target, bins)
    filled = table.counts > 0
    share = table.counts[filled].double() / max(int(table.counts.sum()), 1)
    gap = (table.accuracy[filled].double() - table.confidence[filled].double()).abs()
    return float((share * gap).sum())


class TemperatureScaling(nn.Module):
    """Divides logits by one number, fitted on held-out data; the predicted classes stay as they are.

    >>> import ccdl
    >>> from ccdl.train.calibration import TemperatureScaling
    >>> scale = TemperatureScaling().fit(ccdl.tensor([[4., 0.], [4., 0.], [4., 0.]]), ccdl.tensor([0, 0, 1]))
    >>> round(float(scale(ccdl.tensor([[4., 0.]])).softmax(1)[0, 0]), 4)
    0.6667
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"TemperatureScaling: temperature must be positive, got {temperature}")
        self.log_temperature = nn.Parameter(_C.tensor(float(temperature)).log())

    @property
    def temperature(self) -> float:
        """The divisor."""
        return float(self.log_temperature.detach().exp())

    def forward(self, logits: Tensor) -> Tensor:
        return logits / self.log_temperature.exp().to(logits.dtype)

    def fit(self, logits: Tensor, target: Tensor, steps: int = 50) -> TemperatureScaling:
        """Minimises the cross-entropy of ``logits / T`` by Newton's method on log T."""
        from ..autograd import grad
        from ..autograd.grad_mode import enable_grad

        logits = logits.detach().double()
        value = self.log_temperature.detach().double()
        for _ in range(steps):
            with enable_grad():
                point = value.clone().requires_grad_()
                loss = F.cross_entropy(logits / point.exp(), target)
                (slope,) = grad(loss, point, create_graph=True)
                (bend,) = grad(slope, point)
            slope = slope.detach()
            step = slope / bend if float(bend) > 1e-12 else slope.sign()
            value = value - step.clamp(-1.0, 1.0)
            if abs(float(step)) < 1e-10:
                break
        self.log_temperature.data.copy_(value)
        return self


def plot_reliability(probs: Tensor, target: Tensor, path: Any, bins: int = 15) -> float:
    """Writes the reliability diagram as a picture (by matplotlib) and returns the calibration error."""
    try:
        from matplotlib.figure import Figure
    except ImportError as missing:
        raise ImportError("plot_reliability needs matplotlib: pip install matplotlib") from missing
    table = reliability(probs, target, bins)
    error = expected_calibration_error(probs, target, bins)
    figure = Figure(figsize=(4, 4))
    axes = figure.add_subplot()
    middles = [(i + 0.5) / bins for i in range(bins)]
    heights = [0.0 if value != value else value for value in table.accuracy.tolist()]
    axes.bar(middles, heights, 1 / bins, edgecolor="black", label=f"accuracy (ECE {error:.3f})")
    axes.plot([0, 1], [0, 1], "--", color="gray", label="perfect")
    axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    axes.legend()
    figure.savefig(path)
    return error
