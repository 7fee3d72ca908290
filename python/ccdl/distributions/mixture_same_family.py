"""Mixtures of distributions of one family."""

from __future__ import annotations

from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .categorical import Categorical
from .distribution import Distribution

__all__ = ["MixtureSameFamily"]


class MixtureSameFamily(Distribution):
    """A mixture: a categorical choice among the last batch dimension of ``component_distribution``.

    >>> import ccdl
    >>> D = ccdl.distributions
    >>> mix = D.MixtureSameFamily(D.Categorical(ccdl.ones(2)), D.Normal(ccdl.tensor([-1.0, 1.0]), 1.0))
    >>> mix.variance
    tensor(2.)
    """

    arg_constraints: Any = {}
    has_rsample = False

    def __init__(
        self,
        mixture_distribution: Categorical,
        component_distribution: Distribution,
        validate_args: bool | None = None,
    ) -> None:
        self._mixture_distribution = mixture_distribution
        self._component_distribution = component_distribution
        if not isinstance(mixture_distribution, Categorical):
            raise ValueError(
                " The Mixture distribution needs to be an  instance of ccdl.distributions.Categorical"
            )
        if not isinstance(component_distribution, Distribution):
            raise ValueError(
                "The Component distribution need to be an instance of ccdl.distributions.Distribution"
            )
        batch, components = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        for i, j in zip(reversed(batch), reversed(components)):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"`mixture_distribution.batch_shape` ({tuple(batch)}) is not compatible with "
                    f"`component_distribution.batch_shape` ({tuple(components)})"
                )
        count, chosen = mixture_distribution.param_shape[-1], component_distribution.batch_shape[-1]
        if count != chosen:
            raise ValueError(
                f"`mixture_distribution component` ({count}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({chosen})"
            )
        self._num_component = count
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(components, component_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expand(MixtureSameFamily, batch_shape, _instance)
        batch = _C.Size(batch_shape)
        new._component_distribution = self._component_distribution.expand(
            batch + _C.Size((self._num_component,))
        )
        new._mixture_distribution = self._mixture_distribution.expand(batch)
        new._num_component = self._num_component
        new._event_ndims = self._event_ndims
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        return self._component_distribution.support

    @property
    def mixture_distribution(self) -> Categorical:
        """The choice."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Distribution:
        """The components, along the last batch dimension."""
        return self._component_distribution

    def _weights(self) -> Tensor:
        probs = self._mixture_distribution.probs
        return probs.reshape(*probs.shape, *[1] * self._event_ndims)

    @property
    def mean(self) -> Tensor:
        return (self._weights() * self._component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        dim = -1 - self._event_ndims
        weights, component = self._weights(), self._component_distribution
        within = (weights * component.variance).sum(dim)
        between = (weights * (component.mean - self.mean.unsqueeze(dim)).square()).sum(dim)
        return within + between

    def cdf(self, value: Tensor) -> Tensor:
        cdf = self._component_distribution.cdf(value.unsqueeze(-1 - self._event_ndims))
        return (cdf * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        log_prob = self._component_distribution.log_prob(value.unsqueeze(-1 - self._event_ndims))
        log_mix = _C.log_softmax(self._mixture_distribution.logits, -1)
        return _C.logsumexp(log_prob + log_mix, -1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        from ..autograd.grad_mode import no_grad

        with no_grad():
            dim = -1 - self._event_ndims
            chosen = self._mixture_distribution.sample(sample_shape)
            components = self._component_distribution.sample(sample_shape)
            index = chosen.reshape(*chosen.shape, *[1] * (self._event_ndims + 1))
            shape = list(components.shape)
            shape[dim] = 1
            return components.gather(dim, index.expand(shape)).squeeze(dim)

    def __repr__(self) -> str:
        return f"MixtureSameFamily({self._mixture_distribution!r}, {self._component_distribution!r})"
