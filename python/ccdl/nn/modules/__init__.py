"""Layers, losses and containers; ``ccdl.nn`` re-exports all of them."""

from . import (
    activation,
    adaptive,
    attention,
    container,
    conv,
    dropout,
    fractional,
    image,
    lazy,
    linear,
    local,
    loss,
    module,
    normalization,
    objectives,
    padding,
    pooling,
    position,
    rnn,
    shortcut,
    soft_attention,
    sparse,
    transformer,
)
from .module import Module

__all__ = ["Module"]
for _family in (
    activation,
    adaptive,
    attention,
    container,
    conv,
    dropout,
    fractional,
    image,
    lazy,
    linear,
    local,
    loss,
    normalization,
    objectives,
    padding,
    pooling,
    position,
    rnn,
    shortcut,
    soft_attention,
    sparse,
    transformer,
):
    for _name in _family.__all__:
        globals()[_name] = getattr(_family, _name)
        __all__.append(_name)
del _family, _name

# PyTorch's files that hold what other files hold here.
_FILES = "batchnorm channelshuffle distance flatten fold instancenorm pixelshuffle upsampling utils".split()


def __getattr__(name: str) -> object:
    if name in _FILES:
        import importlib

        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'ccdl.nn.modules' has no attribute '{name}'")
