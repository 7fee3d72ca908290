"""Kullback-Leibler divergences, by a table of pairs of classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import _C
from .._C import Tensor
from .beta import Beta, ContinuousBernoulli, Dirichlet
from .binary import Bernoulli, Binomial, Geometric
from .categorical import Categorical, OneHotCategorical
from .distribution import Distribution
from .gamma import Exponential, Gamma
from .independent import Independent
from .location_scale import Gumbel, Laplace
from .multivariate_normal import MultivariateNormal, _batch_mahalanobis
from .normal import Normal
from .poisson import Poisson
from .transformed_distribution import HalfNormal, LogNormal, Pareto, TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant, sum_rightmost
from .wishart import Wishart, kl_wishart

__all__ = ["kl_divergence", "register_kl"]

_TABLE: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Decorator: the function computes KL(p || q) for these classes and their subclasses."""
    for t in (type_p, type_q):
        if not isinstance(t, type):  # classes of other libraries with a way of their own are as good
            raise TypeError(f"Expected type_p and type_q to be Distribution subclasses but got {t}")

    def decorate(function: Any) -> Any:
        _TABLE[type_p, type_q] = function
        return function

    return decorate


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """``KL(p || q) = E_p[log p - log q]``, in closed form, over the batch.

    Raises:
        NotImplementedError: no formula is registered for the two classes.

    >>> import ccdl
    >>> D = ccdl.distributions
    >>> D.kl_divergence(D.Normal(0.0, 1.0), D.Normal(1.0, 1.0))
    tensor(0.5000)
    """
    found = [pair for pair in _TABLE if isinstance(p, pair[0]) and isinstance(q, pair[1])]
    if not found:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
        )

    def distance(pair: tuple[type, type]) -> tuple[int, int]:
        return type(p).__mro__.index(pair[0]), type(q).__mro__.index(pair[1])

    return _TABLE[min(found, key=distance)](p, q)


def _infinite(like: Tensor) -> Tensor:
    return _C.full_like(like, math.inf)


def _x_log_x(x: Tensor) -> Tensor:
    return _C.xlogy(x, x)


@register_kl(Normal, Normal)
def _normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).square()
    distance = ((p.loc - q.loc) / q.scale).square()
    return 0.5 * (ratio + distance - 1 - ratio.log())


@register_kl(LogNormal, LogNormal)
@register_kl(HalfNormal, HalfNormal)
def _same_transform(p: Any, q: Any) -> Tensor:
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError("KL of transformed distributions needs equal transforms and event shapes")
    extra = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), extra)


@register_kl(Independent, Independent)
def _independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError("KL of Independent needs equal reinterpreted_batch_ndims")
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "KL-divergence between two Multivariate Normals with different event shapes cannot be computed"
        )
    half = _C._linalg_solve_triangular(
        q._unbroadcasted_scale_tril, p._unbroadcasted_scale_tril, False, True, False
    )
    trace = half.square().sum((-2, -1))
    distance = _batch_mahalanobis(q._unbroadcasted_scale_tril, q.loc - p.loc)
    return q._half_log_det() - p._half_log_det() + 0.5 * (trace + distance - p.event_shape[0])


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    def softplus(x: Tensor) -> Tensor:
        return x.clamp(min=0) + _C.log1p(_C.exp(-x.abs()))

    first = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    first = _C.where(q.probs == 0, math.inf, first)
    first = _C.where(p.probs == 0, 0.0, first)
    second = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    second = _C.where(q.probs == 1, math.inf, second)
    return first + _C.where(p.probs == 1, 0.0, second)


@register_kl(Binomial, Binomial)
def _binomial(p: Binomial, q: Binomial) -> Tensor:
    if bool((p.total_count < q.total_count).any()):
        raise NotImplementedError(
            "KL between Binomials where q.total_count > p.total_count is not implemented"
        )
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return _C.where(p.total_count > q.total_count, math.inf, kl)


@register_kl(Categorical, Categorical)
def _categorical(p: Categorical, q: Categorical) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t = _C.where(q.probs == 0, math.inf, t)
    return _C.where(p.probs == 0, 0.0, t).sum(-1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical(p._categorical, q._categorical)


@register_kl(Geometric, Geometric)
def _geometric(p: Geometric, q: Geometric) -> Tensor:
    return -p.entropy() - _C.log1p(-q.probs) / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Exponential, Exponential)
def _exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Gamma, Gamma)
def _gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    first = b * (p.rate / q.rate).log()
    second = _C.lgamma(b) - _C.lgamma(a)
    third = (a - b) * _C.digamma(a)
    return first + second + third + (q.rate - p.rate) * (a / p.rate)


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    return _gamma(Gamma(_C.ones_like(p.rate), p.rate, False), q)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return _gamma(p, Gamma(_C.ones_like(q.rate), q.rate, False))


@register_kl(Beta, Beta)
def _beta(p: Beta, q: Beta) -> Tensor:
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    norm_q = _C.lgamma(q.concentration1) + _C.lgamma(q.concentration0) + _C.lgamma(total_p)
    norm_p = _C.lgamma(p.concentration1) + _C.lgamma(p.concentration0) + _C.lgamma(total_q)
    ones = (p.concentration1 - q.concentration1) * _C.digamma(p.concentration1)
    zeros = (p.concentration0 - q.concentration0) * _C.digamma(p.concentration0)
    return norm_q - norm_p + ones + zeros + (total_q - total_p) * _C.digamma(total_p)


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    first = _C.lgamma(a.sum(-1)) - _C.lgamma(b.sum(-1))
    second = (_C.lgamma(a) - _C.lgamma(b)).sum(-1)
    expected = _C.digamma(a) - _C.digamma(a.sum(-1)).unsqueeze(-1)
    return first - second + ((a - b) * expected).sum(-1)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    first = p.mean * (p.logits - q.logits)
    second = p._log_normalizer() + _C.log1p(-p.probs)
    return first + second - q._log_normalizer() - _C.log1p(-q.probs)


@register_kl(Laplace, Laplace)
def _laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * _C.exp(-distance / p.scale) - 1


@register_kl(Gumbel, Gumbel)
def _gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    ratio = p.scale / q.scale
    first, second = q.loc / q.scale, p.loc / q.scale
    t = second - first
    return (
        -ratio.log()
        - first
        + second
        + ratio * euler_constant
        + _C.exp(-t + _C.lgamma(1 + ratio))
        - (1 + euler_constant)
    )


@register_kl(Uniform, Uniform)
def _uniform(p: Uniform, q: Uniform) -> Tensor:
    value = ((q.high - q.low) / (p.high - p.low)).log()
    return _C.where((q.low > p.low) | (q.high < p.high), math.inf, value)


@register_kl(Uniform, Normal)
def _uniform_normal(p: Uniform, q: Normal) -> Tensor:
    width = p.high - p.low
    distance = ((p.high + p.low - 2 * q.loc) / 2).square()
    return (math.sqrt(2 * math.pi) * q.scale / width).log() + (width.square() / 12 + distance) / (
        2 * q.scale.square()
    )


@register_kl(Normal, Uniform)
@register_kl(Laplace, Uniform)
@register_kl(Gumbel, Uniform)
def _beyond_uniform(p: Any, q: Uniform) -> Tensor:
    return _infinite(p.loc + q.low)


@register_kl(Pareto, Pareto)
def _pareto(p: Pareto, q: Pareto) -> Tensor:
    scale_ratio, alpha_ratio = p.scale / q.scale, q.alpha / p.alpha
    value = q.alpha * scale_ratio.log() - alpha_ratio.log() + alpha_ratio - 1
    return _C.where(p.scale < q.scale, math.inf, value)


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    z = (p.loc - q.loc) / p.scale
    mean_distance = p.scale * (
        math.sqrt(2 / math.pi) * _C.exp(-0.5 * z.square()) + z * _C.erf(z / math.sqrt(2))
    )
    return _C.log(2 * q.scale) + mean_distance / q.scale - p.entropy()


@register_kl(Laplace, Normal)
def _laplace_normal(p: Laplace, q: Normal) -> Tensor:
    spread = (2 * p.scale.square() + (p.loc - q.loc).square()) / (2 * q.scale.square())
    return 0.5 * math.log(2 * math.pi) + q.scale.log() + spread - p.entropy()


register_kl(Wishart, Wishart)(kl_wishart)
