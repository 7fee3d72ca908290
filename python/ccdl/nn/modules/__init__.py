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
