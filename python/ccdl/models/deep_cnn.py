"""A very deep plain convolutional network that trains without shortcuts or normalisation, from its
initialisation alone.

Source: Xiao et al., "Dynamical isometry and a mean field theory of CNNs: how to train 10,000-layer vanilla
convolutional neural networks", 2018.
"""

from __future__ import annotations

from typing import Any

from .. import nn, tanh
from .._checks import check_count
from ..nn import functional as F

__all__ = ["DeepPlainCNN"]


class DeepPlainCNN(nn.Module):
    """``depth`` delta-orthogonal 3x3 tanh convolutions of one width between a strided stem and a classifier.

    Every convolution starts as an isometry of its input, so signals and gradients keep their length through
    thousands of layers near the critical point (weight gain slightly above 1 against the slope of tanh).

    Args:
        depth: number of plain convolutions.
        num_classes: outputs.
        in_channels, width: of the images and of all convolutions; width >= in_channels.
        gain: of the delta-orthogonal initialisation.
        stem_strides: strides of the first convolutions, which shrink the image.

    Input [N, in_channels, H, W], output [N, num_classes].

    >>> import ccdl
    >>> net = ccdl.models.DeepPlainCNN(50, width=8, in_channels=1)
    >>> net(ccdl.zeros(1, 1, 16, 16)).shape
    ccdl.Size([1, 10])
    """

    def __init__(
        self,
        depth: int = 1000,
        num_classes: int = 10,
        in_channels: int = 3,
        width: int = 32,
        gain: float = 1.0,
        stem_strides: Any = (2, 2),
    ) -> None:
        super().__init__()
        if depth < 1 or width < in_channels:
            raise ValueError(
                f"DeepPlainCNN: depth is {depth}, width {width}, in_channels {in_channels}; depth must be at "
                "least 1 and width at least in_channels"
            )
        check_count("DeepPlainCNN", "depth", depth, 100_000)  # ten thousand layers is its point
        stem = []
        for i, stride in enumerate(stem_strides):
            stem.append(nn.Conv2d(in_channels if i == 0 else width, width, 3, stride=stride, padding=1))
        self.stem = nn.ModuleList(stem)
        # circular padding keeps the convolution an isometry at the border
        self.layers = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=1, padding_mode="circular") for _ in range(depth)
        )
        self.fc = nn.Linear(width, num_classes)
        for layer in [*stem, *self.layers]:
            nn.init.delta_orthogonal_(layer.weight, gain)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Any) -> Any:
        for layer in self.stem:
            x = tanh(layer(x))
        for layer in self.layers:
            x = tanh(layer(x))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))
