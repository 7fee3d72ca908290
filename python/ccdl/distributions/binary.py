"""Distributions with a binary probability: Bernoulli, binomial, negative binomial, geometric."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .distribution import Distribution
from .gamma import _gamma_sample
from .utils import broadcast_all, eps_of, lazy_property, logits_to_probs, probs_to_logits, tiny_of

__all__ = ["Bernoulli", "Binomial", "Geometric", "NegativeBinomial"]


def _softplus(x: Tensor) -> Tensor:
    """``log(1 + e^x)``, exact for large |x|."""
    return x.clamp(min=0) + _C.log1p(_C.exp(-x.abs()))


class _Binary(Distribution):
    """Holds ``probs`` or ``logits``, whichever was given; the other one is computed at first use."""

    def _set(self, probs: Any, logits: Any, *others: Any) -> tuple[Tensor, ...]:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        tensors = broadcast_all(*others, logits if probs is None else probs)
        if probs is None:
            self.logits = tensors[-1]
        else:
            self.probs = tensors[-1]
        return tensors[:-1]

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.__dict__["logits"]

    @lazy_property
    def logits(self) -> Tensor:
        """Log-odds."""
        return probs_to_logits(self.probs, True)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities of success."""
        return logits_to_probs(self.logits, True)

    @property
    def param_shape(self) -> Any:
        """The shape of the parameter that was given."""
        return self._param.shape


class Bernoulli(_Binary):
    """1 with probability ``probs = sigmoid(logits)``, else 0.

    >>> import ccdl
    >>> ccdl.distributions.Bernoulli(0.25).log_prob(ccdl.tensor(1.0))
    tensor(-1.3863)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Bernoulli, batch_shape, _instance, probs=0, logits=0)

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        mode = (self.probs >= 0.5).to(self.probs.dtype)
        return _C.where(self.probs == 0.5, math.nan, mode)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        return _C.bernoulli(self.probs.detach().expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return logits * value - _softplus(logits)

    def entropy(self) -> Tensor:
        return _softplus(self.logits) - self.logits * self.probs

    def enumerate_support(self, expand: bool = True) -> Tensor:
        values = _C.arange(2, dtype=self._param.dtype, device=self._param.device)
        values = values.reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class Geometric(_Binary):
    """The number of failures before the first success: ``P(k) = (1 - p)^k p``.

    >>> import ccdl
    >>> ccdl.distributions.Geometric(0.25).mean
    tensor(3.)
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._set(probs, logits)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            raise ValueError(
                f"Expected parameter probs of distribution {self!r} to be positive but found "
                f"invalid values:\n{self.probs}"
            )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Geometric, batch_shape, _instance, probs=0, logits=0)

    @property
    def mean(self) -> Tensor:
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        return _C.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        probs = self.probs.detach()
        u = _C.rand(self._extended_shape(sample_shape), dtype=probs.dtype, device=probs.device)
        u = u.clamp(min=tiny_of(u.dtype))
        return (u.log() / _C.log1p(-probs)).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        certain = (probs == 1) & (value == 0)
        return value * _C.log1p(-_C.where(certain, 0.0, probs)) + probs.log()

    def entropy(self) -> Tensor:
        return (_softplus(self.logits) - self.logits * self.probs) / self.probs


class Binomial(_Binary):
    """The number of successes of ``total_count`` independent trials.

    >>> import ccdl
    >>> ccdl.distributions.Binomial(4, 0.5).log_prob(ccdl.tensor(2.0)).exp()
    tensor(0.3750)
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (total,) = self._set(probs, logits, total_count)
        self.total_count = total.to(self._param.dtype)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Binomial, batch_shape, _instance, total_count=0, probs=0, logits=0)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        return _C.binomial(self.total_count.detach().expand(shape), self.probs.detach().expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        log_choose = _C.lgamma(n + 1) - _C.lgamma(value + 1) - _C.lgamma(n - value + 1)
        return log_choose + value * self.logits - n * _softplus(self.logits)

    def cdf(self, value: Tensor) -> Tensor:
        """``P(X <= value)``, by the incomplete beta function; its gradient is by ``probs``."""
        if self._validate_args:
            self._validate_sample(value)
        value, n = broadcast_all(value, self.total_count)
        below = value < n
        tail = _C._special_betainc(_C.where(below, n - value, 1.0), value.clamp(min=0) + 1, 1 - self.probs)
        return _C.where(below, tail, 1.0)

    def entropy(self) -> Tensor:
        count = int(self.total_count.max())
        if not bool((self.total_count == count).all()):
            raise NotImplementedError("Inhomogeneous total count not supported by `entropy`.")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(_C.exp(log_prob) * log_prob).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        count = int(self.total_count.max())
        if not bool((self.total_count == count).all()):
            raise NotImplementedError("Inhomogeneous total count not supported by `enumerate_support`.")
        values = _C.arange(1 + count, dtype=self._param.dtype, device=self._param.device)
        values = values.reshape(-1, *[1] * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values


class NegativeBinomial(_Binary):
    """The number of successes (each with probability ``probs``) before ``total_count`` failures."""

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        (total,) = self._set(probs, logits, total_count)
        self.total_count = total.to(self._param.dtype)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(NegativeBinomial, batch_shape, _instance, total_count=0, probs=0, logits=0)

    @property
    def mean(self) -> Tensor:
        return self.total_count * _C.exp(self.logits)

    @property
    def mode(self) -> Tensor:
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.mean / _C.sigmoid(-self.logits)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Poisson with a gamma-distributed rate."""
        from ..autograd.grad_mode import no_grad

        with no_grad():
            rate = _gamma_sample(self.total_count, self._extended_shape(sample_shape)) * _C.exp(self.logits)
            return _C.poisson(rate)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        unnormalised = -n * _softplus(self.logits) - value * _softplus(-self.logits)
        log_norm = -_C.lgamma(n + value) + _C.lgamma(1.0 + value) + _C.lgamma(n)
        return unnormalised - _C.where(n + value == 0.0, 0.0, log_norm)


def clamped_uniform(shape: Any, like: Tensor) -> Tensor:
    """Uniform numbers away from 0 and 1, as logits of them stay finite."""
    u = _C.rand(shape, dtype=like.dtype, device=like.device)
    return u.clamp(eps_of(u.dtype), 1 - eps_of(u.dtype))
