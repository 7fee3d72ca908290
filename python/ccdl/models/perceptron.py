"""The threshold unit, the perceptron learning rule, and XOR built from AND and OR.

Unit: y = 1 if w.x + b > 0 else 0. Rule: w += rate (target - y) x, b += rate (target - y), sample by sample.
Source: McCulloch and Pitts, 1943; Rosenblatt, 1958.
"""

from __future__ import annotations

from typing import Any

from .. import _C, nn

__all__ = ["ThresholdUnit", "Perceptron", "xor_from_and_or"]


class ThresholdUnit(nn.Module):
    """``y = 1 if w.x + b > 0 else 0``: [..., n] -> [...]; no gradient.

    >>> import ccdl
    >>> unit = ccdl.models.ThresholdUnit([1., 1.], -1.5)  # AND
    >>> unit(ccdl.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]]))
    tensor([0., 0., 0., 1.])
    """

    def __init__(self, weight: Any, bias: float = 0.0) -> None:
        super().__init__()
        self.register_buffer("weight", _C.as_tensor(weight, dtype=_C.float32).clone())
        self.register_buffer("bias", _C.tensor(float(bias)))

    def forward(self, x: Any) -> Any:
        return ((x * self.weight).sum(-1) + self.bias > 0).to(x.dtype)


class Perceptron(ThresholdUnit):
    """A threshold unit that learns by the perceptron rule; starts at zero.

    >>> import ccdl
    >>> x = ccdl.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]])
    >>> ccdl.models.Perceptron(2).fit(x, ccdl.tensor([0., 1., 1., 1.]))  # OR is separable
    True
    >>> ccdl.models.Perceptron(2).fit(x, ccdl.tensor([0., 1., 1., 0.]))  # XOR is not
    False
    """

    def __init__(self, inputs: Any) -> None:
        super().__init__([0.0] * inputs)

    def fit(self, x: Any, targets: Any, rate: float = 1.0, epochs: Any = 100) -> bool:
        """Learns until a whole epoch is without error (True) or ``epochs`` are over (False).

        Args:
            x: [N, inputs].
            targets: [N] of 0 and 1.
        """
        if x.dim() != 2 or x.shape[1] != self.weight.shape[0]:
            raise ValueError(f"Perceptron.fit: x is {list(x.shape)}, must be [N, {self.weight.shape[0]}]")
        for _ in range(epochs):
            mistakes = 0
            for sample, target in zip(x, targets):
                error = float(target) - float(self(sample))
                if error:
                    mistakes += 1
                    self.weight.add_(sample * (rate * error))
                    self.bias.add_(rate * error)
            if not mistakes:
                return True
        return False


def xor_from_and_or() -> Any:
    """XOR = (x1 OR x2) AND NOT (x1 AND x2), as two layers of threshold units.

    >>> import ccdl
    >>> ccdl.models.xor_from_and_or()(ccdl.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]]))
    tensor([0., 1., 1., 0.])
    """
    return _Xor()


class _Xor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.logical_or = ThresholdUnit([1.0, 1.0], -0.5)
        self.logical_and = ThresholdUnit([1.0, 1.0], -1.5)
        self.combine = ThresholdUnit([1.0, -1.0], -0.5)

    def forward(self, x: Any) -> Any:
        return self.combine(_C.stack((self.logical_or(x), self.logical_and(x)), -1))
