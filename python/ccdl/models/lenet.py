"""LeNet-5 with fully connected C3: 61,706 parameters.

[N, 1, 32, 32] -> conv 5x5 (6) -> pool -> conv 5x5 (16) -> pool -> 120 -> 84 -> classes.
Source: LeCun, Bottou, Bengio, Haffner, 1998.
"""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = ["LeNet5"]

_ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "sigmoid": nn.Sigmoid}
_POOLS = {"avg": nn.AvgPool2d, "max": nn.MaxPool2d}


class LeNet5(nn.Module):
    """LeNet-5.

    Args:
        num_classes: outputs.
        activation: 'relu', 'tanh' (the paper's) or 'sigmoid'.
        pool: 'max' or 'avg' (the paper's, without its trained scale).
        dropout: probability before the two last layers, 0 for none.

    >>> import ccdl
    >>> net = ccdl.models.LeNet5()
    >>> sum(p.numel() for p in net.parameters())
    61706
    >>> net(ccdl.zeros(2, 1, 32, 32)).shape
    ccdl.Size([2, 10])
    """

    def __init__(
        self, num_classes: int = 10, activation: str = "relu", pool: str = "max", dropout: float = 0.0
    ) -> None:
        super().__init__()
        for name, value, known in (("activation", activation, _ACTIVATIONS), ("pool", pool, _POOLS)):
            if value not in known:
                raise ValueError(f"LeNet5: {name} is {value!r}, must be one of {sorted(known)}")
        act, pooling = _ACTIVATIONS[activation], _POOLS[pool]
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5),
            act(),
            pooling(2),
            nn.Conv2d(6, 16, 5),
            act(),
            pooling(2),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120),
            act(),
            nn.Dropout(dropout),
            nn.Linear(120, 84),
            act(),
            nn.Dropout(dropout),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Any) -> Any:
        return self.classifier(self.features(x).flatten(1))
