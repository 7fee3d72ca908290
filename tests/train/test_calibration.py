"""Reliability, expected calibration error and temperature scaling."""

from __future__ import annotations

import math

import numpy as np
import pytest

import ccdl
import ccdl.nn.functional as F
from ccdl.train.calibration import (
    TemperatureScaling,
    expected_calibration_error,
    plot_reliability,
    reliability,
)


def sample(n: int, sharpness: float) -> tuple[ccdl.Tensor, ccdl.Tensor]:
    """Logits whose softmax is exactly right at sharpness 1, and labels drawn from it."""
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((n, 4)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (rng.random((n, 1)) > p.cumsum(1)).sum(1)
    return ccdl.tensor(logits * sharpness), ccdl.tensor(labels)


def numpy_ece(p: np.ndarray, y: np.ndarray, bins: int) -> float:
    confidence, right = p.max(1), p.argmax(1) == y
    total = 0.0
    for m in range(bins):
        inside = (confidence > m / bins) & (confidence <= (m + 1) / bins)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return total


def test_error_against_numpy() -> None:
    logits, y = sample(5000, 3.0)
    p = F.softmax(logits, 1)
    for bins in (1, 10, 15):
        want = numpy_ece(p.numpy(), y.numpy(), bins)
        assert abs(expected_calibration_error(p, y, bins) - want) < 1e-6
        table = reliability(p, y, bins)
        assert int(table.counts.sum()) == 5000 and table.edges.shape == (bins + 1,)
    sure = ccdl.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert expected_calibration_error(sure, ccdl.tensor([0, 1])) == 0 and expected_calibration_error(sure, ccdl.tensor([1, 0])) == 1


def test_temperature_is_recovered_and_keeps_the_classes() -> None:
    logits, y = sample(20000, 3.0)
    scale = TemperatureScaling().fit(logits, y)
    assert abs(scale.temperature - 3) < 0.1
    before, after = F.softmax(logits, 1), F.softmax(scale(logits), 1).detach()
    assert (before.argmax(1) == after.argmax(1)).all()
    assert expected_calibration_error(before, y) > 0.15 and expected_calibration_error(after, y) < 0.02
    losses = [F.cross_entropy(logits / (scale.temperature * f), y).item() for f in (0.99, 1.0, 1.01)]
    assert losses[1] == min(losses)
    assert abs(TemperatureScaling().fit(*sample(20000, 1.0)).temperature - 1) < 0.05


def test_wrong_calls() -> None:
    with pytest.raises(ValueError, match="temperature"):
        TemperatureScaling(0.0)
    with pytest.raises(RuntimeError, match="reliability"):
        reliability(ccdl.ones(3), ccdl.tensor([0]))
    with pytest.raises(ValueError, match="bins"):
        reliability(ccdl.ones(1, 2), ccdl.tensor([0]), 0)
    assert math.isnan(reliability(ccdl.tensor([[0.9, 0.1]]), ccdl.tensor([0]), 2).accuracy[0].item())


def test_picture(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="the extra package is not installed")
    logits, y = sample(500, 2.0)
    p = F.softmax(logits, 1)
    path = tmp_path / "reliability.png"
    assert plot_reliability(p, y, path) == expected_calibration_error(p, y)
    assert path.read_bytes().startswith(b"\x89PNG")
