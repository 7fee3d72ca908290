"""The common pattern Input -> ((Conv -> ReLU) * N -> Pool) * M -> (FC -> ReLU) * K -> FC as a builder."""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = ["conv_pattern"]


def conv_pattern(
    input_shape: Any,
    num_classes: Any,
    n: Any = 2,
    m: Any = 2,
    k: Any = 1,
    channels: Any = 16,
    hidden: Any = 128,
    kernel_size: Any = 3,
    padding: Any = "same",
    pool_size: Any = 2,
) -> Any:
    """Builds the pattern as a Sequential.

    Args:
        input_shape: (C, H, W).
        num_classes: size of the last layer.
        n: (Conv -> ReLU) repetitions before each pooling, 0 to 3 usual.
        m: pooled blocks; 0 leaves only the fully connected part.
        k: (FC -> ReLU) repetitions.
        channels: of the first block, doubled in each following one; or one number per block.
        hidden: sizes of the FC layers, one number or one per layer.
        kernel_size, padding: of the convolutions.
        pool_size: of the max pooling; 1 or None pools nothing.

    >>> import ccdl
    >>> net = ccdl.models.conv_pattern((3, 32, 32), 10)
    >>> net(ccdl.zeros(1, 3, 32, 32)).shape
    ccdl.Size([1, 10])
    """
    for name, value in (("n", n), ("m", m), ("k", k)):
        if not isinstance(value, int) or value < 0:
            raise ValueError(f"conv_pattern: {name} is {value!r}, must be a non-negative int")
    c, h, w = input_shape
    widths = [channels * 2**i for i in range(m)] if isinstance(channels, int) else list(channels)
    sizes = [hidden] * k if isinstance(hidden, int) else list(hidden)
    if len(widths) != m or len(sizes) != k:
        raise ValueError(f"conv_pattern: need {m} channels and {k} hidden sizes, got {widths} and {sizes}")
    shrink = 0 if padding == "same" else kernel_size - 1 - 2 * (0 if padding == "valid" else padding)
    layers = []
    for width in widths:
        for _ in range(n):
            layers += [nn.Conv2d(c, width, kernel_size, padding=padding), nn.ReLU()]
            c, h, w = width, h - shrink, w - shrink
        if pool_size and pool_size > 1:
            layers.append(nn.MaxPool2d(pool_size))
            h, w = h // pool_size, w // pool_size
        if min(h, w) < 1:
            raise ValueError(
                f"conv_pattern: nothing is left of the {tuple(input_shape)} input after the blocks"
            )
    layers.append(nn.Flatten())
    features = c * h * w
    for size in sizes:
        layers += [nn.Linear(features, size), nn.ReLU()]
        features = size
    layers.append(nn.Linear(features, num_classes))
    return nn.Sequential(*layers)
