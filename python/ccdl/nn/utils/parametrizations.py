"""Weight norm, spectral norm and orthogonal weights as parametrisations."""

from __future__ import annotations

from typing import Any

from ... import _C, linalg
from ..._checks import check_count
from ..._type_info import finfo
from .. import functional as F
from ..modules.module import Module
from . import parametrize
from .parametrize import _has, _no_grad

__all__ = ["orthogonal", "spectral_norm", "weight_norm"]


def norm_except_dim(v: Any, pow: int = 2, dim: int = 0) -> Any:
    """The norm of each slice along ``dim`` (kept as size-1 dimensions), or of everything for -1."""
    if dim == -1:
        return v.norm(pow)
    others = [d for d in range(v.dim()) if d != dim % v.dim()]
    return v.norm(pow, others, keepdim=True) if others else v.abs()


def scaled_weight(v: Any, g: Any, dim: int) -> Any:
    """``g v / ||v||``."""
    return v * (g / norm_except_dim(v, 2, dim))


class _WeightNorm(Module):
    def __init__(self, dim: int | None = 0) -> None:
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g: Any, weight_v: Any) -> Any:
        return scaled_weight(weight_v, weight_g, self.dim)

    def right_inverse(self, weight: Any) -> Any:
        return norm_except_dim(weight, 2, self.dim), weight


def weight_norm(module: Any, name: str = "weight", dim: int = 0) -> Any:
    """The weight as length times direction: ``w = g v / ||v||``, with one g per slice along ``dim``.

    ``module.parametrizations.<name>.original0`` is g, ``original1`` is v. State dicts of the older form
    (``<name>_g``, ``<name>_v``) can be loaded.

    Raises:
        ValueError: no such tensor.

    Source: Salimans and Kingma, 2016.

    >>> import ccdl.nn as nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(3, 4))
    >>> layer.parametrizations.weight.original0.shape
    ccdl.Size([4, 1])
    """
    _has(module, name)
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def older_keys(state_dict: Any, prefix: str, *others: Any) -> None:
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(key in state_dict for key in old):
            for i, key in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(key)

    module._register_load_state_dict_pre_hook(older_keys)
    return module


class _SpectralNorm(Module):
    def __init__(self, weight: Any, n_power_iterations: int = 1, dim: int = 0, eps: float = 1e-12) -> None:
        super().__init__()
        if not -weight.dim() <= dim < weight.dim():
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-weight.dim()}, {weight.dim() - 1}] "
                f"but got {dim})"
            )
        check_count("spectral_norm", "n_power_iterations", n_power_iterations, 100_000)
        if n_power_iterations <= 0:
            raise ValueError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.dim = dim % weight.dim()
        self.eps = eps
        if weight.dim() > 1:
            self.n_power_iterations = n_power_iterations
            matrix = weight_matrix(weight, self.dim).detach()
            u, v = (matrix.new_empty(n).normal_(0, 1) for n in matrix.shape)
            self.register_buffer("_u", F.normalize(u, dim=0, eps=eps))
            self.register_buffer("_v", F.normalize(v, dim=0, eps=eps))
            _no_grad(power_iterations, matrix, self._u, self._v, 15, eps)

    def forward(self, weight: Any) -> Any:
        if weight.dim() == 1:
            return F.normalize(weight, dim=0, eps=self.eps)
        matrix = weight_matrix(weight, self.dim)
        if self.training:
            _no_grad(power_iterations, matrix.detach(), self._u, self._v, self.n_power_iterations, self.eps)
        # copies: later iterations write into the buffers
        return weight / self._u.clone().dot(matrix.mv(self._v.clone()))

    def right_inverse(self, value: Any) -> Any:
        return value


def weight_matrix(weight: Any, dim: int) -> Any:
    """``dim`` first, the rest flattened."""
    if dim != 0:
        weight = weight.permute(dim, *(d for d in range(weight.dim()) if d != dim))
    return weight.flatten(1)


def power_iterations(matrix: Any, u: Any, v: Any, count: int, eps: float) -> None:
    """Moves u and v towards the singular vectors of the largest singular value, in place."""
    for _ in range(count):
        u.copy_(F.normalize(matrix.mv(v), dim=0, eps=eps))
        v.copy_(F.normalize(matrix.T.mv(u), dim=0, eps=eps))


def default_dim(module: Any) -> int:
    """Where the outputs of a layer's weight are: dimension 1 of transposed convolutions, else 0."""
    return 1 if "ConvTranspose" in "".join(c.__name__ for c in type(module).__mro__) else 0


def spectral_norm(
    module: Any, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Any:
    """The weight divided by its largest singular value, which power iterations follow, some per forward pass
    in training mode.

    Args:
        module: with the weight; seen as a matrix of ``dim`` against the rest.
        name: of the weight.
        n_power_iterations: per forward pass.
        eps: lower limit of norms.
        dim: 1 for transposed convolutions, else 0, when left out.

    Raises:
        ValueError: no such tensor or no iterations.
        IndexError: no such dimension.

    Source: Miyato et al., 2018.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.utils.parametrizations.spectral_norm(nn.Linear(20, 40), n_power_iterations=50)
    >>> abs(ccdl.linalg.svdvals(layer.weight)[0].item() - 1) < 0.02
    True
    """
    weight = _has(module, name)
    dim = default_dim(module) if dim is None else dim
    return parametrize.register_parametrization(
        module, name, _SpectralNorm(weight, n_power_iterations, dim, eps)
    )


class _Orthogonal(Module):
    base: Any

    def __init__(self, weight: Any, orthogonal_map: str, *, use_trivialization: bool = True) -> None:
        super().__init__()
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X: Any) -> Any:
        wide = X.size(-2) < X.size(-1)
        X = X.mT if wide else X
        n, k = X.size(-2), X.size(-1)
        if self.orthogonal_map == "householder":
            A = X.tril(-1)
            tau = 2.0 / (1.0 + (A * A).sum(-2))
            signs = X.diagonal(dim1=-2, dim2=-1).detach().trunc()
            Q = linalg.householder_product(A, tau) * signs.unsqueeze(-2)
        else:
            A = X.tril()
            if n != k:
                A = _C.cat([A, A.new_zeros((*A.shape[:-1], n - k))], -1)
            A = A - A.mT
            if self.orthogonal_map == "matrix_exp":
                Q = linalg.matrix_exp(A)
            else:
                eye = _C.eye(n, dtype=A.dtype, device=A.device)
                Q = linalg.solve(eye - 0.5 * A, eye + 0.5 * A)
            Q = Q[..., :k]
        if hasattr(self, "base"):
            Q = self.base @ Q
        return Q.mT if wide else Q

    def right_inverse(self, Q: Any) -> Any:
        if Q.shape != self.shape:
            raise ValueError(
                f"Expected a matrix or batch of matrices of shape {self.shape}. Got a tensor of shape "
                f"{Q.shape}."
            )
        return _no_grad(self._inverse, Q.detach())

    def _inverse(self, Q: Any) -> Any:
        given, wide = Q, Q.size(-2) < Q.size(-1)
        Q = Q.mT if wide else Q
        n, k = Q.size(-2), Q.size(-1)
        if not hasattr(self, "base"):
            if self.orthogonal_map != "householder":
                raise NotImplementedError(
                    "It is not possible to assign to the matrix exponential or the Cayley parametrizations "
                    "when use_trivialization=False."
                )
            A = reflectors(Q)
            return A.mT if wide else A
        if n != k:
            Q = _C.cat([Q, Q.new_empty((*Q.shape[:-1], n - k)).normal_()], -1)
        if n != k or not _is_orthogonal(Q):
            Q = _made_orthogonal(Q)
        self.base = Q.clone()
        return -_C.eye(*given.shape[-2:], dtype=Q.dtype, device=Q.device).expand(given.shape).clone()


def _is_orthogonal(Q: Any) -> bool:
    eye = _C.eye(Q.size(-1), dtype=Q.dtype, device=Q.device).expand(Q.shape)
    return _C.allclose(Q.mT @ Q, eye, atol=10.0 * Q.size(-2) * finfo(Q.dtype).eps)


def _made_orthogonal(A: Any) -> Any:
    """Q of A = QR with a positive diagonal of R."""
    Q, R = linalg.qr(A)
    return Q * R.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def reflectors(Q: Any) -> Any:
    """Householder vectors below the diagonal and signs on it: what the householder form makes Q from."""
    A, signs = Q.clone(), []
    n, k = Q.size(-2), Q.size(-1)
    for j in range(k):
        x = A[..., j:, j].clone()
        head = x[..., :1]
        sign = _C.where(head >= 0, _C.ones_like(head), -_C.ones_like(head))
        length = x.norm(dim=-1, keepdim=True)
        pivot = head + sign * length  # never 0 unless the column is
        v = _C.cat([_C.ones_like(head), x[..., 1:] / pivot], -1)
        tau = 2.0 / (v * v).sum(-1, keepdim=True)
        rest = A[..., j:, j:]
        rest.sub_(tau.unsqueeze(-1) * v.unsqueeze(-1) * (v.unsqueeze(-2) @ rest))
        A[..., j + 1 :, j] = v[..., 1:]
        signs.append(-sign)
    diagonal = _C.cat(signs, -1)
    eye = _C.eye(n, k, dtype=Q.dtype, device=Q.device)
    return A.tril(-1) + eye * diagonal.unsqueeze(-2)


def orthogonal(
    module: Any, name: str = "weight", orthogonal_map: str | None = None, *, use_trivialization: bool = True
) -> Any:
    """The weight as a matrix with orthonormal columns (rows, where it is wide), whatever the optimiser does.

    Args:
        module: with the weight, a matrix or a batch of matrices.
        name: of the weight.
        orthogonal_map: 'matrix_exp' (``exp(A)``, A skew-symmetric), 'cayley'
            (``(I - A/2)^-1 (I + A/2)``) or 'householder' (a product of reflections); the first for square
            matrices and the last for others when left out.
        use_trivialization: start from a base Q_0 that can be set: ``Q = Q_0 map(X)``.

    Raises:
        ValueError: no such tensor, fewer than two dimensions, or an unknown map.

    Source: Lezcano-Casado and Martinez-Rubio, 2019.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.utils.parametrizations.orthogonal(nn.Linear(3, 5))
    >>> ccdl.allclose(layer.weight.T @ layer.weight, ccdl.eye(3), atol=1e-5)
    True
    """
    weight = _has(module, name)
    if weight.dim() < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.dim()} dimensions."
        )
    if orthogonal_map is None:
        orthogonal_map = "matrix_exp" if weight.size(-2) == weight.size(-1) else "householder"
    if orthogonal_map not in ("matrix_exp", "cayley", "householder"):
        raise ValueError(
            'orthogonal_map has to be one of "matrix_exp", "cayley", "householder". Got: '
            f"{orthogonal_map}"
        )
    part = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, part, unsafe=True)
