"""Training recipes behind ``ccdl train NAME``, and the pieces they are made of."""

from __future__ import annotations

from typing import Any

__all__ = ["RECIPES", "Trainer", "recipe"]

_IMAGES = "on handwritten digits, IDX files, CIFAR-10 binaries or pictures"
RECIPES = {
    "alexnet": f"AlexNet {_IMAGES}",
    "charlm": "language model of characters (RNN, LSTM, GRU, Transformer) on English prose",
    "degradation": "plain against residual networks, 20 against 56 layers",
    "densenet": f"a small DenseNet {_IMAGES}",
    "googlenet": f"GoogLeNet {_IMAGES}",
    "gpt": "decoder-only Transformer over byte pairs on English prose",
    "hello": "three recurrent units learn to spell",
    "lenet": f"LeNet-5 {_IMAGES}",
    "plain20": f"ResNet-20 without shortcuts {_IMAGES}",
    "plain56": f"ResNet-56 without shortcuts {_IMAGES}",
    "resnet18": f"ResNet-18, CIFAR form, {_IMAGES}",
    "resnet20": f"ResNet-20 {_IMAGES}",
    "resnet56": f"ResNet-56 {_IMAGES}",
    "reverse": "strings copied and reversed by encoder-decoders with and without attention",
    "sentiment": "text classifiers beside a bag-of-words regression",
    "vgg": f"VGG-11 with batch normalisation {_IMAGES}",
}
_NETWORKS = frozenset(
    "alexnet densenet googlenet lenet plain20 plain56 resnet18 resnet20 resnet56 vgg".split()
)


def recipe(name: Any) -> Any:
    """The module of the recipe ``name``, with ``add_arguments(parser)`` and ``run(arguments)``."""
    import importlib

    if name not in RECIPES:
        raise ValueError(f"train: unknown recipe {name!r}; there are {', '.join(sorted(RECIPES))}")
    return importlib.import_module("." + ("images" if name in _NETWORKS else name), __name__)


def __getattr__(name: str) -> Any:
    if name == "Trainer":
        from .trainer import Trainer

        return Trainer
    if name in ("calibration", "diagnostics", "sanity", "transfer"):
        import importlib

        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'ccdl.train' has no attribute '{name}'")
