"""Training recipes behind ``ccdl train NAME``, and the pieces they are made of."""

from __future__ import annotations

from typing import Any

__all__ = ["RECIPES", "Trainer", "recipe"]

RECIPES = {
    "charlm": "language model of characters (RNN, LSTM, GRU, Transformer) on English prose",
    "gpt": "decoder-only Transformer over byte pairs on English prose",
    "hello": "three recurrent units learn to spell",
    "lenet": "LeNet-5 on handwritten digits (scikit-learn's, or MNIST IDX files)",
    "reverse": "strings copied and reversed by encoder-decoders with and without attention",
    "sentiment": "text classifiers beside a bag-of-words regression",
}


def recipe(name: Any) -> Any:
    """The module of the recipe ``name``, with ``add_arguments(parser)`` and ``run(arguments)``."""
    import importlib

    if name not in RECIPES:
        raise ValueError(f"train: unknown recipe {name!r}; there are {', '.join(sorted(RECIPES))}")
    return importlib.import_module("." + name, __name__)


def __getattr__(name: str) -> Any:
    if name == "Trainer":
        from .trainer import Trainer

        return Trainer
    raise AttributeError(f"module 'ccdl.train' has no attribute '{name}'")
