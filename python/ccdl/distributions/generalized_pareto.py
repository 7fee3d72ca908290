"""The generalised Pareto distribution: what exceeds a threshold, in the limit."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, eps_of

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """``P(X > x) = (1 + c z)^(-1 / c)`` with ``z = (x - loc) / scale >= 0``, ``exp(-z)`` for c = 0; for c < 0
    up to ``z = -1 / c``.

    Args:
        loc: lower end of the support. scale: positive. concentration: c, any real number.

    Source: Pickands, 1975.

    >>> import ccdl
    >>> ccdl.distributions.GeneralizedPareto(0., 2., 0.).mean
    tensor(2.)
    """

    arg_constraints = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "concentration": constraints.real,
    }
    has_rsample = True

    def __init__(
        self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None
    ) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(GeneralizedPareto, batch_shape, _instance, loc=0, scale=0, concentration=0)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """[loc, infinity), or bounded for a negative concentration."""
        exponential, c = self._shape()
        top = _C.where(~exponential & (c < 0), self.loc - self.scale / c, _C.full_like(c, math.inf))
        return constraints.interval(self.loc, top)

    def _shape(self) -> tuple[Tensor, Tensor]:
        """Where c counts as 0, and c with ones there."""
        zero = self.concentration.abs() < eps_of(self.concentration.dtype)
        return zero, _C.where(zero, _C.ones_like(self.concentration), self.concentration)

    def log_survival_function(self, value: Tensor) -> Tensor:
        """``log P(X > value)``."""
        if self._validate_args:
            self._validate_sample(value)
        exponential, c = self._shape()
        z = (value - self.loc) / self.scale
        return _C.where(exponential, -z, -(c * z).log1p() / c)

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_survival_function(value) * (1 + self.concentration) - self.scale.log()

    def log_cdf(self, value: Tensor) -> Tensor:
        """``log P(X <= value)``."""
        return (-self.log_survival_function(value).exp()).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        return -self.log_survival_function(value).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        exponential, c = self._shape()
        rest = (-value).log1p()
        return self.loc + self.scale * _C.where(exponential, -rest, (-c * rest).expm1() / c)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(_C.rand(shape, dtype=self.loc.dtype, device=self.loc.device))

    @property
    def mean(self) -> Tensor:
        c = self.concentration
        return _C.where(c < 1, self.loc + self.scale / (1 - c), _C.full_like(c, math.nan))

    @property
    def variance(self) -> Tensor:
        c = self.concentration
        spread = self.scale.square() / ((1 - c).square() * (1 - 2 * c))
        return _C.where(c < 0.5, spread, _C.full_like(c, math.nan))

    @property
    def mode(self) -> Tensor:
        return self.loc

    def entropy(self) -> Tensor:
        return self.scale.log() + self.concentration + 1
