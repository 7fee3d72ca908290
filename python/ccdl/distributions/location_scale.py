"""Distributions with a location and a scale other than the normal one: Laplace, Cauchy, Gumbel."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .distribution import Distribution
from .utils import broadcast_all, eps_of, euler_constant, tiny_of

__all__ = ["Cauchy", "Gumbel", "Laplace"]


class _LocationScale(Distribution):
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    loc: Tensor
    scale: Tensor

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(type(self), batch_shape, _instance, loc=0, scale=0)

    @property
    def mode(self) -> Tensor:
        return self.loc

    def _uniform(self, sample_shape: Any) -> Tensor:
        """Probabilities in (0, 1), both ends excluded."""
        shape = self._extended_shape(sample_shape)
        u = _C.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
        return u.clamp(tiny_of(u.dtype), 1 - eps_of(u.dtype) / 2)

    def _standard(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return (value - self.loc) / self.scale


class Laplace(_LocationScale):
    """The Laplace distribution: density ``exp(-|x - loc| / scale) / (2 scale)``.

    >>> import ccdl
    >>> ccdl.distributions.Laplace(0.0, 1.0).cdf(ccdl.tensor(0.0))
    tensor(0.5000)
    """

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale.square()

    @property
    def stddev(self) -> Tensor:
        return 2**0.5 * self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return -self._standard(value).abs() - _C.log(2 * self.scale)

    def cdf(self, value: Tensor) -> Tensor:
        z = self._standard(value)
        return 0.5 - 0.5 * z.sign() * _C.expm1(-z.abs())

    def icdf(self, value: Tensor) -> Tensor:
        term = value - 0.5
        return self.loc - self.scale * term.sign() * _C.log1p(-2 * term.abs())

    def entropy(self) -> Tensor:
        return 1 + _C.log(2 * self.scale)


class Cauchy(_LocationScale):
    """The Cauchy distribution: density ``1 / (pi scale (1 + ((x - loc) / scale)^2))``; it has no mean.

    >>> import ccdl
    >>> ccdl.distributions.Cauchy(0.0, 1.0).icdf(ccdl.tensor(0.75))
    tensor(1.)
    """

    @property
    def mean(self) -> Tensor:
        return _C.full(self._extended_shape(), math.nan, dtype=self.loc.dtype, device=self.loc.device)

    @property
    def variance(self) -> Tensor:
        return _C.full(self._extended_shape(), math.inf, dtype=self.loc.dtype, device=self.loc.device)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        return -math.log(math.pi) - self.scale.log() - _C.log1p(self._standard(value).square())

    def cdf(self, value: Tensor) -> Tensor:
        return _C.atan(self._standard(value)) / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        return _C.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self) -> Tensor:
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(_LocationScale):
    """The Gumbel distribution: cumulative function ``exp(-exp(-(x - loc) / scale))``.

    >>> import ccdl
    >>> ccdl.distributions.Gumbel(0.0, 1.0).mean
    tensor(0.5772)
    """

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * euler_constant

    @property
    def stddev(self) -> Tensor:
        return math.pi / math.sqrt(6) * self.scale

    @property
    def variance(self) -> Tensor:
        return self.stddev.square()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        z = self._standard(value)
        return -(z + _C.exp(-z)) - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        return _C.exp(-_C.exp(-self._standard(value)))

    def icdf(self, value: Tensor) -> Tensor:
        return self.loc - self.scale * _C.log(-_C.log(value))

    def entropy(self) -> Tensor:
        return self.scale.log() + (1 + euler_constant)
