"""PyTorch's module of anomaly mode; the classes are in ``ccdl.autograd``."""

from __future__ import annotations

from . import detect_anomaly, set_detect_anomaly

__all__ = ["detect_anomaly", "set_detect_anomaly"]
