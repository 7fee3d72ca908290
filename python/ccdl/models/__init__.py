"""Ready models."""

from __future__ import annotations

from typing import Any

__all__ = ["LeNet5", "MLP", "Perceptron", "ThresholdUnit", "conv_pattern", "xor_from_and_or"]

_WHERE = {
    "LeNet5": "lenet",
    "MLP": "mlp",
    "Perceptron": "perceptron",
    "ThresholdUnit": "perceptron",
    "xor_from_and_or": "perceptron",
    "conv_pattern": "pattern",
}


def __getattr__(name: Any) -> Any:
    import importlib

    if name in _WHERE:
        return getattr(importlib.import_module("." + _WHERE[name], __name__), name)
    if name in _WHERE.values():
        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'ccdl.models' has no attribute '{name}'")
