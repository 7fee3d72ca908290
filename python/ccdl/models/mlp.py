"""Multi-layer perceptron; a net without hidden layer is (multinomial) logistic regression."""

from __future__ import annotations

from typing import Any

from .. import nn

__all__ = ["MLP"]


class MLP(nn.Sequential):
    """Linear layers of the given sizes with an activation between them.

    Args:
        sizes: (inputs, hidden..., outputs).
        activation: module class between layers.
        flatten: flatten the input's dimensions after the first.

    >>> import ccdl
    >>> sum(p.numel() for p in ccdl.models.MLP((3, 4, 4, 1)).parameters())
    41
    """

    def __init__(self, sizes: Any, activation: Any = nn.ReLU, flatten: bool = False) -> None:
        sizes = tuple(sizes)
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes is {sizes}, must hold at least inputs and outputs")
        layers = [nn.Flatten()] if flatten else []
        for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
            if i:
                layers.append(activation())
            layers.append(nn.Linear(inputs, outputs))
        super().__init__(*layers)
