"""VGG 11, 13, 16 and 19, with and without batch normalisation; ``state_dict`` keys as torchvision's.

Source: Simonyan, Zisserman, 2015.
"""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = ["VGG", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn"]

# Convolutions of the five blocks; their channels are 64, 128, 256, 512, 512.
_BLOCKS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


class VGG(nn.Module):
    """VGG with 3x3 convolutions in five blocks, each followed by 2x2 max pooling, and three linear layers.

    Args:
        depth: 11, 13, 16 or 19 (layers with weights).
        num_classes: outputs.
        batch_norm: normalise after every convolution.
        dropout: probability between the linear layers.
        init_weights: He-normal convolutions (fan out), normal linear layers of deviation 0.01.
        small_images: for images of about 32x32: one linear layer after global average pooling.

    Input [N, 3, H, W] with H, W >= 32 (224 in the paper), output [N, num_classes].

    >>> import ccdl
    >>> sum(p.numel() for p in ccdl.models.VGG(16).parameters())
    138357544
    """

    def __init__(
        self,
        depth: int = 16,
        num_classes: int = 1000,
        batch_norm: bool = False,
        dropout: float = 0.5,
        init_weights: bool = True,
        small_images: bool = False,
    ) -> None:
        super().__init__()
        if depth not in _BLOCKS:
            raise ValueError(f"VGG: depth is {depth!r}, must be one of {sorted(_BLOCKS)}")
        layers: list[nn.Module] = []
        channels = 3
        for count, width in zip(_BLOCKS[depth], (64, 128, 256, 512, 512)):
            for _ in range(count):
                layers.append(nn.Conv2d(channels, width, kernel_size=3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(width))
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1) if small_images else (7, 7))
        if small_images:
            self.classifier = nn.Sequential(nn.Dropout(p=dropout), nn.Linear(512, num_classes))
        else:
            self.classifier = nn.Sequential(
                nn.Linear(512 * 7 * 7, 4096),
                nn.ReLU(True),
                nn.Dropout(p=dropout),
                nn.Linear(4096, 4096),
                nn.ReLU(True),
                nn.Dropout(p=dropout),
                nn.Linear(4096, num_classes),
            )
        if init_weights:
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                    nn.init.zeros_(m.bias)
                elif isinstance(m, nn.Linear):
                    nn.init.normal_(m.weight, 0, 0.01)
                    nn.init.zeros_(m.bias)

    def forward(self, x: Any) -> Any:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg11(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-11: 132,863,336 parameters."""
    return VGG(11, num_classes, **options)


def vgg11_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-11 with batch normalisation: 132,868,840 parameters."""
    return VGG(11, num_classes, batch_norm=True, **options)


def vgg13(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-13: 133,047,848 parameters."""
    return VGG(13, num_classes, **options)


def vgg13_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-13 with batch normalisation: 133,053,736 parameters."""
    return VGG(13, num_classes, batch_norm=True, **options)


def vgg16(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-16: 138,357,544 parameters."""
    return VGG(16, num_classes, **options)


def vgg16_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-16 with batch normalisation: 138,365,992 parameters."""
    return VGG(16, num_classes, batch_norm=True, **options)


def vgg19(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-19: 143,667,240 parameters."""
    return VGG(19, num_classes, **options)


def vgg19_bn(num_classes: int = 1000, **options: Any) -> VGG:
    """VGG-19 with batch normalisation: 143,678,248 parameters."""
    return VGG(19, num_classes, batch_norm=True, **options)
