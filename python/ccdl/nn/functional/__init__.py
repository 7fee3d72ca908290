"""Functions without state: PyTorch's ``torch.nn.functional``. One file per family."""

from typing import Any

from . import (
    activation,
    attention,
    conv,
    ctc_loss,
    distance,
    dropout,
    embedding,
    fractional,
    interpolate,
    linear,
    loss,
    margin_loss,
    multihead,
    norm,
    objectives,
    padding,
    pooling,
    softmax,
    vision,
)

__all__ = []
for _family in (
    activation,
    attention,
    conv,
    ctc_loss,
    distance,
    dropout,
    embedding,
    fractional,
    interpolate,
    linear,
    loss,
    margin_loss,
    multihead,
    norm,
    objectives,
    padding,
    pooling,
    softmax,
    vision,
):
    for _name in _family.__all__:
        globals()[_name] = getattr(_family, _name)
        __all__.append(_name)
del _family, _name


def __getattr__(name: str) -> Any:
    if name == "grad":
        from .. import grad

        return grad
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
