"""Helpers of the distributions: broadcasting of parameters, probabilities and logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _C
from .._C import Tensor

__all__ = [
    "broadcast_all",
    "clamp_probs",
    "euler_constant",
    "lazy_property",
    "logits_to_probs",
    "probs_to_logits",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.57721566490153286060


def eps_of(dtype: Any) -> float:
    """The spacing of numbers at 1."""
    from .._type_info import finfo

    return float(finfo(dtype).eps)


def tiny_of(dtype: Any) -> float:
    """The smallest normal number."""
    from .._type_info import finfo

    return float(finfo(dtype).tiny)


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape; numbers take dtype and device of the tensors.

    >>> import ccdl
    >>> [v.shape for v in ccdl.distributions.utils.broadcast_all(1.0, ccdl.zeros(3))]
    [ccdl.Size([3]), ccdl.Size([3])]
    """
    for v in values:
        if not isinstance(v, (Tensor, int, float)):
            raise ValueError(
                "broadcast_all: Input arguments must all be instances of Number or Tensor, got "
                f"{type(v).__name__}"
            )
    tensors = [v for v in values if isinstance(v, Tensor)]
    if len(tensors) < len(values):
        dtype = tensors[0].dtype if tensors else _C.get_default_dtype()
        device = tensors[0].device if tensors else "cpu"
        values = tuple(
            v
            if isinstance(v, Tensor)
            else _C.tensor(float(v) if dtype.is_floating_point else v, dtype=dtype, device=device)
            for v in values
        )
    return tuple(_C.broadcast_tensors(*values))


def sum_rightmost(value: Any, dim: int) -> Any:
    """Sums over the last ``dim`` dimensions."""
    if dim == 0 or not isinstance(value, Tensor):
        return value
    return value.reshape(*value.shape[: value.dim() - dim], -1).sum(-1)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """Sigmoid of binary logits, else the softmax over the last dimension."""
    return _C.sigmoid(logits) if is_binary else _C.softmax(logits, -1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities at least the dtype's eps away from 0 and 1."""
    eps = eps_of(probs.dtype)
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """``log(p / (1 - p))`` of binary probabilities, else ``log p``; probabilities are clamped first."""
    clamped = clamp_probs(probs)
    if is_binary:
        return _C.log(clamped) - _C.log1p(-clamped)
    return _C.log(clamped)


class lazy_property:
    """A property computed at first use (with gradient recording on) and kept on the instance."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        self.__doc__ = wrapped.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return property(self.wrapped)
        from ..autograd.grad_mode import enable_grad

        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.name, value)
        return value


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangles [..., n, n] as vectors, row by row."""
    n = mat.shape[-1]
    if diag < -n or diag >= n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = _C.tril_indices(n, n, diag, device=mat.device).unbind(0)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """The inverse of :func:`tril_matrix_to_vec`."""
    size = vec.shape[-1]
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * size + 4 * abs(diag) * (diag + 1)) ** 0.5) / 2
    if round(n) - n > 1e-6 or n - round(n) > 1e-6:
        raise ValueError(
            f"The size of last dimension is {size} which cannot be expressed as the lower triangular part of "
            "a square D x D matrix."
        )
    n = round(n)
    rows, columns = _C.tril_indices(n, n, diag, device=vec.device).unbind(0)
    flat = vec.new_zeros(*vec.shape[:-1], n * n)
    index = (rows * n + columns).expand(vec.shape)
    return flat.scatter(-1, index, vec).reshape(*vec.shape[:-1], n, n)


def one_matrix(error: type[Exception], **matrices: Tensor | None) -> tuple[str, Tensor]:
    """The only matrix given among the forms of a covariance, with its name; ``error`` where it is not one."""
    given = [(name, value) for name, value in matrices.items() if value is not None]
    if len(given) != 1:
        raise error("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
    name, matrix = given[0]
    if matrix.dim() < 2:
        raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch dimensions")
    return name, matrix


def _standard_normal(shape: Any, dtype: Any, device: Any) -> Tensor:
    """Standard normal numbers of this shape."""
    return _C.randn(tuple(shape), dtype=dtype, device=device)


_sum_rightmost = sum_rightmost
