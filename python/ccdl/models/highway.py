"""The highway network: tens of gated layers of one width.

Source: Srivastava, Greff and Schmidhuber, "Training very deep networks", 2015.
"""

from __future__ import annotations

from typing import Any

from .. import nn
from ..nn import functional as F

__all__ = ["HighwayNet"]


class HighwayNet(nn.Module):
    """A linear layer to ``width``, ``depth`` highway layers ``y = T(x) H(x) + (1 - T(x)) x``, a linear layer
    to the classes.

    Args:
        in_features: of an input once flattened.
        num_classes: outputs.
        width: of every highway layer.
        depth: number of highway layers.
        gate_bias: of the transform gates at the start; the more negative, the deeper the net that still
            passes its input on.
        activation: inside H.

    Input [N, ...] of in_features numbers each, output [N, num_classes].

    >>> import ccdl
    >>> net = ccdl.models.HighwayNet(64, 10, width=16, depth=20)
    >>> net(ccdl.zeros(2, 8, 8)).shape
    ccdl.Size([2, 10])
    """

    def __init__(
        self,
        in_features: int,
        num_classes: int = 10,
        width: int = 50,
        depth: int = 10,
        gate_bias: float = -2.0,
        activation: Any = F.relu,
    ) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("num_classes", num_classes), ("width", width)):
            if value < 1:
                raise ValueError(f"HighwayNet: {name} is {value}, must be at least 1")
        self.stem = nn.Linear(in_features, width)
        self.layers = nn.Highway(width, depth, activation, gate_bias)
        self.fc = nn.Linear(width, num_classes)
        self.activation = activation

    def forward(self, x: Any) -> Any:
        return self.fc(self.layers(self.activation(self.stem(x.flatten(1)))))
