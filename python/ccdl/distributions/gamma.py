"""The gamma distribution and relatives: exponential, chi-squared, inverse gamma, Student's t, Fisher's F."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .utils import broadcast_all, tiny_of

__all__ = ["Chi2", "Exponential", "FisherSnedecor", "Gamma", "InverseGamma", "StudentT"]


def _gamma_sample(concentration: Tensor, shape: Any) -> Tensor:
    """Standard gamma samples of a shape that the concentration broadcasts to, differentiable by it."""
    sample = _C._standard_gamma(concentration.expand(shape))
    return sample.clamp(min=tiny_of(sample.dtype))


class Gamma(ExponentialFamily):
    """The gamma distribution: density ``rate^a x^(a - 1) e^(-rate x) / Gamma(a)``, a the concentration.

    Samples are differentiable by both parameters (Figurnov, Mohamed and Mnih, Implicit reparameterization
    gradients, 2018).

    >>> import ccdl
    >>> ccdl.distributions.Gamma(2.0, 1.0).log_prob(ccdl.tensor(1.0))
    tensor(-1.)
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0.0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Gamma, batch_shape, _instance, concentration=0, rate=0)

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate.square()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        sample = _gamma_sample(self.concentration, shape) / self.rate.expand(shape)
        return sample.clamp(min=tiny_of(sample.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        value = _C.as_tensor(value, dtype=self.rate.dtype, device=self.rate.device)
        if self._validate_args:
            self._validate_sample(value)
        a, rate = self.concentration, self.rate
        return _C.xlogy(a, rate) + _C.xlogy(a - 1, value) - rate * value - _C.lgamma(a)

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return _C.igamma(self.concentration, self.rate * value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - _C.log(self.rate) + _C.lgamma(a) + (1 - a) * _C.digamma(a)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Tensor, y: Tensor) -> Tensor:  # type: ignore[override]
        return _C.lgamma(x + 1) + (x + 1) * _C.log(-y.reciprocal())


class Chi2(Gamma):
    """The chi-squared distribution: Gamma(df / 2, 1 / 2)."""

    arg_constraints = {"df": constraints.positive}
    _checked_properties = ("df",)

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * broadcast_all(df)[0], 0.5, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return super().expand(batch_shape, self._get_checked_instance(Chi2, _instance))

    @property
    def df(self) -> Tensor:
        """Degrees of freedom."""
        return self.concentration * 2


class Exponential(ExponentialFamily):
    """The exponential distribution: density ``rate e^(-rate x)``.

    >>> import ccdl
    >>> ccdl.distributions.Exponential(2.0).mean
    tensor(0.5000)
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0.0

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(Exponential, batch_shape, _instance, rate=0)

    @property
    def mean(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        return _C.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = _C.empty(shape, dtype=self.rate.dtype, device=self.rate.device).exponential_()
        return noise / self.rate

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return -_C.expm1(-self.rate * value)

    def icdf(self, value: Tensor) -> Tensor:
        return -_C.log1p(-value) / self.rate

    def entropy(self) -> Tensor:
        return 1 - _C.log(self.rate)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (-self.rate,)

    def _log_normalizer(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return -_C.log(-x)


class InverseGamma(Distribution):
    """The distribution of ``1 / g`` for g from Gamma(concentration, rate)."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(InverseGamma, batch_shape, _instance, concentration=0, rate=0)

    @property
    def mean(self) -> Tensor:
        return _C.where(self.concentration > 1, self.rate / (self.concentration - 1), math.inf)

    @property
    def mode(self) -> Tensor:
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        a = self.concentration
        return _C.where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        return self.rate / _gamma_sample(self.concentration, self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        return a * self.rate.log() - _C.lgamma(a) - (a + 1) * value.log() - self.rate / value

    def cdf(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        return _C.igammac(self.concentration, self.rate / value)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a + self.rate.log() + _C.lgamma(a) - (1 + a) * _C.digamma(a)


class StudentT(Distribution):
    """Student's t distribution with ``df`` degrees of freedom: ``loc + scale z / sqrt(c / df)``, z normal and
    c chi-squared.

    >>> import ccdl
    >>> ccdl.distributions.StudentT(3.0).variance
    tensor(3.)
    """

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        super().__init__(self.df.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(StudentT, batch_shape, _instance, df=0, loc=0, scale=0)

    @property
    def mean(self) -> Tensor:
        return _C.where(self.df > 1, self.loc, math.nan)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        heavy = _C.where(self.df > 1, math.inf, math.nan)
        finite = self.scale.square() * self.df / (self.df - 2)
        return _C.where(self.df > 2, finite, heavy.to(finite.dtype))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        z = _C.randn(shape, dtype=self.df.dtype, device=self.df.device)
        chi2 = 2 * _gamma_sample(self.df / 2, shape)
        return self.loc + self.scale * z * _C.rsqrt(chi2 / self.df)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        y, df = (value - self.loc) / self.scale, self.df
        normalizer = (
            self.scale.log()
            + 0.5 * df.log()
            + 0.5 * math.log(math.pi)
            + _C.lgamma(0.5 * df)
            - _C.lgamma(0.5 * (df + 1))
        )
        return -0.5 * (df + 1) * _C.log1p(y.square() / df) - normalizer

    def entropy(self) -> Tensor:
        df = self.df
        log_beta = _C.lgamma(0.5 * df) + math.lgamma(0.5) - _C.lgamma(0.5 * (1 + df))
        spread = 0.5 * (df + 1) * (_C.digamma(0.5 * (df + 1)) - _C.digamma(0.5 * df))
        return self.scale.log() + spread + 0.5 * df.log() + log_beta


class FisherSnedecor(Distribution):
    """Fisher's F distribution: the ratio of two chi-squared variables, each over its degrees of freedom."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        return self._expand(FisherSnedecor, batch_shape, _instance, df1=0, df2=0)

    @property
    def mean(self) -> Tensor:
        return _C.where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan)

    @property
    def mode(self) -> Tensor:
        value = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return _C.where(self.df1 > 2, value, math.nan)

    @property
    def variance(self) -> Tensor:
        a, b = self.df1, self.df2
        value = 2 * b.square() * (a + b - 2) / (a * (b - 2).square() * (b - 4))
        return _C.where(b > 4, value, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        top = _gamma_sample(self.df1 / 2, shape) / self.df1
        bottom = _gamma_sample(self.df2 / 2, shape) / self.df2
        return (top / bottom).clamp(min=tiny_of(top.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        a, b, ratio = self.df1 * 0.5, self.df2 * 0.5, self.df1 / self.df2
        log_beta = _C.lgamma(a) + _C.lgamma(b) - _C.lgamma(a + b)
        return a * ratio.log() + (a - 1) * value.log() - (a + b) * _C.log1p(ratio * value) - log_beta
