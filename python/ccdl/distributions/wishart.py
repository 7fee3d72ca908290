"""Distributions of matrices: Wishart, and Cholesky factors of correlations (LKJ)."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .._C import Tensor
from . import constraints
from .beta import Beta
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .gamma import Chi2
from .utils import broadcast_all, eps_of, lazy_property, one_matrix

__all__ = ["LKJCholesky", "Wishart"]


def _log_det(scale_tril: Tensor) -> Tensor:
    """Half the logarithm of the determinant of ``L L^T``."""
    return scale_tril.diagonal(0, -2, -1).log().sum(-1)


def _mvdigamma(x: Tensor, p: int) -> Tensor:
    steps = _C.arange(p, dtype=x.dtype, device=x.device) / 2
    return (x.unsqueeze(-1) - steps).digamma().sum(-1)


class Wishart(ExponentialFamily):
    """The distribution of ``sum_i x_i x_i^T`` over df normal vectors of covariance V; any real df > p - 1.

    The density of a positive definite p x p matrix is
    ``|X|^((df - p - 1) / 2) exp(-tr(V^-1 X) / 2) / (2^(df p / 2) |V|^(df / 2) Gamma_p(df / 2))``.

    Args:
        df: degrees of freedom, above p - 1.
        covariance_matrix: V, positive definite [..., p, p]; or instead precision_matrix, its inverse, or
            scale_tril, its lower Cholesky factor.

    Source: Bartlett, 1933, for samples.

    >>> import ccdl
    >>> ccdl.distributions.Wishart(ccdl.tensor(3.), ccdl.eye(2)).mean
    tensor([[3., 0.],
            [0., 3.]])
    """

    support = constraints.positive_definite
    has_rsample = True
    arg_constraints = {
        "df": constraints.positive,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }

    def __init__(
        self,
        df: Any,
        covariance_matrix: Tensor | None = None,
        precision_matrix: Tensor | None = None,
        scale_tril: Tensor | None = None,
        validate_args: bool | None = None,
    ) -> None:
        name, matrix = one_matrix(
            AssertionError,
            covariance_matrix=covariance_matrix,
            precision_matrix=precision_matrix,
            scale_tril=scale_tril,
        )
        from .._shapes import broadcast_shapes

        if not isinstance(df, Tensor):
            df = _C.tensor(float(df), dtype=matrix.dtype, device=matrix.device)
        batch_shape = broadcast_shapes(matrix.shape[:-2], df.shape)
        self.df = df.expand(batch_shape)
        p = matrix.shape[-1]
        if not bool((self.df > p - 1).all()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {p - 1}.")
        setattr(self, name, matrix.expand(*batch_shape, -1, -1))
        super().__init__(batch_shape, matrix.shape[-2:], validate_args=validate_args)
        if scale_tril is not None:
            self._unbroadcasted_scale_tril = scale_tril
        elif covariance_matrix is not None:
            self._unbroadcasted_scale_tril = _C.cholesky(covariance_matrix)
        else:
            # P = M^T M with M upper triangular after reversing rows and columns, so V = M^-1 M^-T
            flipped = _C.cholesky(matrix.flip(-2, -1)).flip(-2, -1).mT
            identity = _C.eye(p, dtype=matrix.dtype, device=matrix.device)
            self._unbroadcasted_scale_tril = _C._linalg_solve_triangular(
                flipped, identity, False, True, False
            )
        steps = _C.arange(p, dtype=self.df.dtype, device=self.df.device)
        self._chi2 = Chi2(self.df.unsqueeze(-1) - steps, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expand(
            Wishart, batch_shape, _instance, df=0, covariance_matrix=2, scale_tril=2, precision_matrix=2
        )
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        new._chi2 = self._chi2.expand(_C.Size(batch_shape) + self._event_shape[-1:])
        return new

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower Cholesky factor of V."""
        return self._unbroadcasted_scale_tril.expand(self._batch_shape + self._event_shape)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """V."""
        factor = self._unbroadcasted_scale_tril
        return (factor @ factor.mT).expand(self._batch_shape + self._event_shape)

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of V."""
        factor = self._unbroadcasted_scale_tril
        identity = _C.eye(self._event_shape[-1], dtype=factor.dtype, device=factor.device)
        return _C.cholesky_solve(identity, factor).expand(self._batch_shape + self._event_shape)

    @property
    def mean(self) -> Tensor:
        return self.df[..., None, None] * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        factor = self.df - self._event_shape[-1] - 1
        factor = _C.where(factor > 0, factor, _C.full_like(factor, math.nan))
        return factor[..., None, None] * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        v = self.covariance_matrix
        diagonal = v.diagonal(0, -2, -1)
        return self.df[..., None, None] * (v.square() + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        shape = _C.Size(sample_shape)
        factor = self._unbroadcasted_scale_tril
        spread = self._chi2.rsample(shape).clamp(min=eps_of(factor.dtype) ** 2).sqrt().diag_embed()
        below = _C.randn(
            shape + self._batch_shape + self._event_shape, dtype=factor.dtype, device=factor.device
        )
        half = factor @ (spread + below.tril(-1))
        return half @ half.mT

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        df, p = self.df, self._event_shape[-1]
        factor = self._unbroadcasted_scale_tril
        scaled = _C.cholesky_solve(value, factor.expand(value.shape[:-2] + factor.shape[-2:]))
        return (
            -df * (p * math.log(2) / 2 + _log_det(factor))
            - _C.mvlgamma(df / 2, p)
            + (df - p - 1) * _log_det(_C.cholesky(value))
            - scaled.diagonal(0, -2, -1).sum(-1) / 2
        )

    def entropy(self) -> Tensor:
        df, p = self.df, self._event_shape[-1]
        return (
            (p + 1) * (p * math.log(2) / 2 + _log_det(self._unbroadcasted_scale_tril))
            + _C.mvlgamma(df / 2, p)
            - (df - p - 1) / 2 * _mvdigamma(df / 2, p)
            + df * p / 2
        )

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, *natural_params: Tensor) -> Tensor:
        x, y = natural_params
        p = self._event_shape[-1]
        half = _log_det(_C.cholesky(-2 * x))
        return (y + (p + 1) / 2) * (p * math.log(2) - 2 * half) + _C.mvlgamma(y + (p + 1) / 2, p)

    @property
    def _mean_carrier_measure(self) -> Any:
        return 0


def kl_wishart(p: Wishart, q: Wishart) -> Tensor:
    """``KL(p || q)``."""
    n = p._event_shape[-1]
    a, b = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    ratio = _C._linalg_solve_triangular(b, a, False, True, False)
    trace = ratio.square().sum((-2, -1))
    return (
        q.df * (_log_det(b) - _log_det(a))
        + p.df / 2 * (trace - n)
        + _C.mvlgamma(q.df / 2, n)
        - _C.mvlgamma(p.df / 2, n)
        + (p.df - q.df) / 2 * _mvdigamma(p.df / 2, n)
    )


class LKJCholesky(Distribution):
    """Lower Cholesky factors L of correlation matrices with density ``|L L^T|^(concentration - 1)`` of the
    matrix: uniform for concentration 1, near the identity for large ones.

    Args:
        dim: rows of the matrices, at least 2.
        concentration: positive.

    Source: Lewandowski, Kurowicka and Joe, 2009 (the onion method).

    >>> import ccdl
    >>> factor = ccdl.distributions.LKJCholesky(3, 0.5).sample()
    >>> (factor @ factor.mT).diagonal()
    tensor([1..., 1..., 1...])
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if not isinstance(dim, int) or dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        super().__init__(self.concentration.shape, (dim, dim), validate_args=validate_args)
        like: dict[str, Any] = {"dtype": self.concentration.dtype, "device": self.concentration.device}
        offset = _C.cat([_C.zeros(1, **like), _C.arange(dim - 1, **like)])
        marginal = (self.concentration + (dim - 2) / 2).unsqueeze(-1)
        left, right = _C.broadcast_tensors(offset + 0.5, marginal - offset / 2)
        self._beta = Beta(left, right, validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        new = self._expand(LKJCholesky, batch_shape, _instance, concentration=0)
        new.dim = self.dim
        new._beta = self._beta.expand(_C.Size(batch_shape) + self._beta.batch_shape[-1:])
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        previous = _C._set_grad_enabled(False)
        try:
            square = self._beta.sample(sample_shape).unsqueeze(-1)
            shape = self._extended_shape(sample_shape)
            way = _C.randn(shape, dtype=square.dtype, device=square.device).tril(-1)
            length = way.norm(dim=-1, keepdim=True)
            w = square.sqrt() * _C.where(length > 0, way / length, _C.zeros_like(way))
            rest = (1 - w.square().sum(-1)).clamp(min=eps_of(w.dtype) ** 2)
            return w + rest.sqrt().diag_embed()
        finally:
            _C._set_grad_enabled(previous)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)
        below = value.diagonal(0, -2, -1)[..., 1:]
        steps = _C.arange(2, self.dim + 1, dtype=below.dtype, device=below.device)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - steps
        n = self.dim - 1
        alpha = self.concentration + n / 2
        constant = n / 2 * math.log(math.pi) + _C.mvlgamma(alpha - 0.5, n) - alpha.lgamma() * n
        return (order * below.log()).sum(-1) - constant
