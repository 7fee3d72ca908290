"""Exponential families: entropy from the log normaliser."""

from __future__ import annotations

from typing import Any

from .._C import Tensor
from .distribution import Distribution
from .utils import sum_rightmost

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """Densities ``exp(<t(x), theta> - F(theta) + k(x))`` with natural parameters theta.

    Subclasses give ``_natural_params``, ``_log_normalizer(*params)`` and ``_mean_carrier_measure`` (the
    expected k); the entropy ``F - <grad F, theta> - E k`` follows by differentiation (Nielsen and Nock,
    Entropies and cross-entropies of exponential families, 2010).
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        from ..autograd import grad
        from ..autograd.grad_mode import enable_grad

        with enable_grad():
            params = [p.detach().requires_grad_() for p in self._natural_params]
            normalizer = self._log_normalizer(*params)
            gradients = grad(normalizer.sum(), params, create_graph=True)
        result = normalizer - self._mean_carrier_measure
        for p, g in zip(params, gradients):
            result = result - sum_rightmost(p * g, len(self._event_shape))
        return result
