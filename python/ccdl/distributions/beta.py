"""Distributions on the unit interval and the simplex: beta, Dirichlet, Kumaraswamy, continuous Bernoulli."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .gamma import _gamma_sample
from .utils import (
    broadcast_all,
    clamp_probs,
    eps_of,
    euler_constant,
    lazy_property,
    logits_to_probs,
    probs_to_logits,
    tiny_of,
)

__all__ = ["Beta", "ContinuousBernoulli", "Dirichlet", "Kumaraswamy"]


class Dirichlet(ExponentialFamily):
    """The Dirichlet distribution over probability vectors: density ``prod x_i^(a_i - 1) / B(a)``, a [..., K].

    A sample is a vector of gamma variables over its sum, differentiable by the concentration.

    >>> import ccdl
    >>> ccdl.distributions.Dirichlet(ccdl.tensor([1., 1., 2.])).mean
    tensor([0.2500, 0.2500, 0.5000])
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True
    _mean_carrier_measure = 0.0

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Dirichlet, batch_shape, _instance, concentration=1)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        above = (self.concentration - 1).clamp(min=0.0)
        mode = above / above.sum(-1, True)
        flat = (self.concentration < 1).all(-1, keepdim=True)
        corner = _C.zeros_like(mode).scatter(-1, self.concentration.argmax(-1, keepdim=True), 1.0)
        return _C.where(flat, corner, mode)

    @property
    def variance(self) -> Tensor:
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.square() * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        sample = _gamma_sample(self.concentration, self._extended_shape(sample_shape))
        return sample / sample.sum(-1, True)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        return _C.xlogy(a - 1, value).sum(-1) + _C.lgamma(a.sum(-1)) - _C.lgamma(a).sum(-1)

    def entropy(self) -> Tensor:
        a, k = self.concentration, self.concentration.shape[-1]
        total = a.sum(-1)
        log_beta = _C.lgamma(a).sum(-1) - _C.lgamma(total)
        return log_beta - (k - total) * _C.digamma(total) - ((a - 1) * _C.digamma(a)).sum(-1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration - 1,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return _C.lgamma(x + 1).sum(-1) - _C.lgamma((x + 1).sum(-1))


class Beta(ExponentialFamily):
    """The beta distribution: density ``x^(a - 1) (1 - x)^(b - 1) / B(a, b)``, a and b the two concentrations.

    >>> import ccdl
    >>> ccdl.distributions.Beta(2.0, 6.0).mean
    tensor(0.2500)
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0.0

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Beta, batch_shape, _instance, concentration1=0, concentration0=0)

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        return Dirichlet(_C.stack([self.concentration1, self.concentration0], -1), False).mode[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.square() * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        one, zero = _gamma_sample(self.concentration1, shape), _gamma_sample(self.concentration0, shape)
        return one / (one + zero)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        log_beta = _C.lgamma(a) + _C.lgamma(b) - _C.lgamma(a + b)
        return _C.xlogy(a - 1, value) + _C.xlogy(b - 1, 1 - value) - log_beta

    def cdf(self, value: Tensor) -> Tensor:
        """The regularised incomplete beta function; its gradient is by ``value`` only."""
        if self._validate_args:
            self._validate_sample(value)
        return _C._special_betainc(self.concentration1, self.concentration0, value)

    def entropy(self) -> Tensor:
        return Dirichlet(_C.stack([self.concentration1, self.concentration0], -1), False).entropy()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return _C.lgamma(x) + _C.lgamma(y) - _C.lgamma(x + y)


class Kumaraswamy(Distribution):
    """Kumaraswamy's distribution: cumulative function ``1 - (1 - x^a)^b`` on the unit interval."""

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        super().__init__(self.concentration1.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Kumaraswamy, batch_shape, _instance, concentration1=0, concentration0=0)

    def _moment(self, n: int) -> Tensor:
        a, b = 1 + n / self.concentration1, self.concentration0
        return b * _C.exp(_C.lgamma(a) + _C.lgamma(b) - _C.lgamma(a + b))

    @property
    def mean(self) -> Tensor:
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        inside = (a >= 1) & (b >= 1) & ~((a == 1) & (b == 1))
        value = _C.exp((_C.log(a - 1) - _C.log(a * b - 1)) / a)
        return _C.where(inside, value, math.nan)

    @property
    def variance(self) -> Tensor:
        return self._moment(2) - self._moment(1).square()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        u = _C.rand(shape, dtype=self.concentration1.dtype, device=self.concentration1.device)
        return self.icdf(u.clamp(tiny_of(u.dtype), 1 - eps_of(u.dtype) / 2))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a, b = self.concentration1, self.concentration0
        return a.log() + b.log() + _C.xlogy(a - 1, value) + (b - 1) * _C.log1p(-value.pow(a))

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return 1 - (1 - value.pow(self.concentration1)).pow(self.concentration0)

    def icdf(self, value: Tensor) -> Tensor:
        return (-_C.expm1(_C.log1p(-value) / self.concentration0)).pow(1 / self.concentration1)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        harmonic = _C.digamma(b + 1) + euler_constant
        return 1 - 1 / b + (1 - 1 / a) * harmonic - a.log() - b.log()


class ContinuousBernoulli(Distribution):
    """The continuous Bernoulli distribution: density ``C(p) p^x (1 - p)^(1 - x)`` on the unit interval.

    Near p = 1/2 (between ``lims``) the normaliser is replaced by its Taylor polynomial. Loaiza-Ganem and
    Cunningham, The continuous Bernoulli (2019).
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: Any = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            (self.probs,) = broadcast_all(probs)
            if (
                validate_args is not None
                and validate_args
                and not bool(((self.probs >= 0) & (self.probs <= 1)).all())
            ):
                raise ValueError("The parameter probs has invalid values")
            self.probs = clamp_probs(self.probs)
            shape = self.probs.shape
        else:
            (self.logits,) = broadcast_all(logits)
            shape = self.logits.shape
        self._lims = lims
        super().__init__(shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expand(ContinuousBernoulli, batch_shape, _instance, probs=0, logits=0)
        new._lims = self._lims
        return new

    @lazy_property
    def logits(self) -> Tensor:
        """Log-odds."""
        return probs_to_logits(self.probs, True)

    @lazy_property
    def probs(self) -> Tensor:
        """The parameter p."""
        return clamp_probs(logits_to_probs(self.logits, True))

    def _outside(self) -> Tensor:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self) -> Tensor:
        return _C.where(self._outside(), self.probs, self._lims[0])

    def _log_normalizer(self) -> Tensor:
        cut = self._cut_probs()
        exact = _C.log(_C.abs(_C.log1p(-cut) - cut.log())) - _C.log(_C.abs(1 - 2 * cut))
        x = (self.probs - 0.5).square()
        return _C.where(self._outside(), exact, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self) -> Tensor:
        cut = self._cut_probs()
        exact = cut / (2 * cut - 1) + 1 / (_C.log1p(-cut) - cut.log())
        x = self.probs - 0.5
        return _C.where(self._outside(), exact, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.square()) * x)

    @property
    def variance(self) -> Tensor:
        cut = self._cut_probs()
        exact = cut * (cut - 1) / (1 - 2 * cut).square() + (_C.log1p(-cut) - cut.log()).square().reciprocal()
        x = (self.probs - 0.5).square()
        return _C.where(self._outside(), exact, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return self.icdf(_C.rand(shape, dtype=self.probs.dtype, device=self.probs.device))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits = self.logits
        return value * logits - _C.logaddexp(logits, _C.zeros_like(logits)) + self._log_normalizer()

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        cut = self._cut_probs()
        exact = (cut.pow(value) * (1 - cut).pow(1 - value) + cut - 1) / (2 * cut - 1)
        return _C.where(self._outside(), exact, value).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        cut = self._cut_probs()
        exact = (_C.log1p(-cut + value * (2 * cut - 1)) - _C.log1p(-cut)) / (cut.log() - _C.log1p(-cut))
        return _C.where(self._outside(), exact, value)

    def entropy(self) -> Tensor:
        log1p_probs = _C.log1p(-self.probs)
        return self.mean * (log1p_probs - self.probs.log()) - self._log_normalizer() - log1p_probs
