"""The multivariate normal distribution."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .distribution import Distribution
from .utils import lazy_property, one_matrix

__all__ = ["MultivariateNormal"]


def _batch_mahalanobis(scale_tril: Tensor, difference: Tensor) -> Tensor:
    """``d^T (L L^T)^-1 d`` over the last dimension, broadcasting the others."""
    half = _C._linalg_solve_triangular(scale_tril, difference.unsqueeze(-1), False, True, False)
    return half.square().sum((-2, -1))


class MultivariateNormal(Distribution):
    """The normal distribution of vectors [..., n], by one of covariance, precision or Cholesky factor.

    The density is ``exp(-(x - loc)^T C^-1 (x - loc) / 2) / sqrt(det(2 pi C))``.

    Args:
        loc: [..., n]. covariance_matrix, precision_matrix: positive definite [..., n, n].
        scale_tril: lower triangular with positive diagonal, ``C = L L^T``.

    >>> import ccdl
    >>> ccdl.distributions.MultivariateNormal(ccdl.zeros(2), ccdl.eye(2)).log_prob(ccdl.zeros(2))
    tensor(-1.8379)
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = one_matrix(
            ValueError,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        from .._shapes import broadcast_shapes

        batch_shape = broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand(*batch_shape, -1, -1))
        self.loc = loc.expand(*batch_shape, -1)
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        if scale_tril is not None:
            self._unbroadcasted_scale_tril = scale_tril
        elif covariance_matrix is not None:
            self._unbroadcasted_scale_tril = _C.cholesky(covariance_matrix)
        else:
            # P = M^T M with M upper triangular after reversing rows and columns, so C = M^-1 M^-T
            flipped = _C.cholesky(matrix.flip(-2, -1)).flip(-2, -1).mT
            identity = _C.eye(loc.shape[-1], dtype=loc.dtype, device=loc.device)
            self._unbroadcasted_scale_tril = _C._linalg_solve_triangular(
                flipped, identity, False, True, False
            )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expand(
            MultivariateNormal,
            batch_shape,
            _instance,
            loc=1,
            covariance_matrix=2,
            scale_tril=2,
            precision_matrix=2,
        )
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factor of the covariance."""
        n = self._event_shape
        return self._unbroadcasted_scale_tril.expand(self._batch_shape + n + n)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance."""
        n, factor = self._event_shape, self._unbroadcasted_scale_tril
        return (factor @ factor.mT).expand(self._batch_shape + n + n)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance."""
        n = self._event_shape
        return _C.cholesky_inverse(self._unbroadcasted_scale_tril).expand(self._batch_shape + n + n)

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return self._unbroadcasted_scale_tril.square().sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        noise = _C.randn(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.loc + (self._unbroadcasted_scale_tril @ noise.unsqueeze(-1)).squeeze(-1)

    def _half_log_det(self) -> Tensor:
        return self._unbroadcasted_scale_tril.diagonal(0, -2, -1).log().sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        distance = _batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - self._half_log_det()

    def entropy(self) -> Tensor:
        entropy = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return entropy.expand(self._batch_shape)
