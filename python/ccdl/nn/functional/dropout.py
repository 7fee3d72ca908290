"""Dropout family, inverted form: kept values are scaled by 1 / (1 - p) in training, evaluation is the
identity.

The masks come from the counter-based generator, so one seed gives the same masks at any thread count.
"""

from __future__ import annotations

import warnings

from ... import _C
from ..._C import Tensor
from ..._checks import check_tensors, number

__all__ = [
    "alpha_dropout",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "feature_alpha_dropout",
]


def _check(op, p):
    if type(p) is not float:
        number(op, "p", p)
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"{op}: p is {p}, must be in [0, 1]")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros each element with probability ``p`` and scales the others by ``1 / (1 - p)``.

    Source: Srivastava et al., 2014.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.dropout(ccdl.ones(3), 0.5, training=False)
    tensor([1., 1., 1.])
    """
    _check("dropout", p)
    return _C.dropout_(input, p, training) if inplace else _C.dropout(input, p, training)


def _warn_of_dims(op, input, meant):
    warnings.warn(
        f"{op}: Received a {input.dim()}-D input to {op}, which is meant for {meant} inputs: one decision "
        "per entry of the leading dimensions; use dropout for single elements",
        stacklevel=3,
    )


def _feature_dropout(op, input, p, training, inplace, channel_dim):
    """Dropout of whole channels: one decision per leading index up to and including ``channel_dim``."""
    _check(op, p)
    if input.dim() <= channel_dim:
        raise RuntimeError(
            f"{op}: Feature dropout requires at least {channel_dim + 1} dimensions in the input, got "
            f"shape {list(input.shape)}"
        )
    if not training or p == 0.0:
        return input
    shape = tuple(input.shape[: channel_dim + 1]) + (1,) * (input.dim() - channel_dim - 1)
    mask = _C.dropout(_C.ones(shape, dtype=input.dtype, device=input.device), p, True)
    return input.mul_(mask) if inplace else input * mask


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros whole channels of [N, C, L] or [C, L].

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.dropout1d(ccdl.ones(1, 2, 3), 1.0).sum().item()
    0.0
    """
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input")
    return _feature_dropout("dropout1d", input, p, training, inplace, input.dim() - 2)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros whole channels of [N, C, H, W]; one decision per sample and channel.

    Source: Tompson et al., 2015.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.dropout2d(ccdl.ones(1, 2, 3, 3), 1.0).sum().item()
    0.0
    """
    if input.dim() not in (3, 4):
        _warn_of_dims("dropout2d", input, "3-D or 4-D")
    return _feature_dropout("dropout2d", input, p, training, inplace, 1)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zeros whole channels of [N, C, D, H, W] or [C, D, H, W]."""
    if input.dim() not in (4, 5):
        _warn_of_dims("dropout3d", input, "4-D or 5-D")
    return _feature_dropout("dropout3d", input, p, training, inplace, 1 if input.dim() == 5 else 0)


_ALPHA = 1.7580993408473766  # -scale * alpha of SELU: its value at minus infinity


def _alpha_dropout(op, input, p, training, inplace, mask_shape):
    """Sets dropped elements to SELU's negative limit, then scales and shifts to keep mean 0 and variance
    1.
    """
    _check(op, p)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return input.mul_(0.0) if inplace else input * 0.0
    a = 1.0 / ((_ALPHA * _ALPHA * p + 1.0) * (1.0 - p)) ** 0.5
    keep = _C.dropout(_C.ones(mask_shape, dtype=input.dtype, device=input.device), p, True) * (1.0 - p)
    shift = (keep - 1.0) * (_ALPHA * a) + _ALPHA * a * p
    if inplace:
        return input.mul_(keep * a).add_(shift)
    return input * (keep * a) + shift


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout for SELU networks: keeps mean and variance of a standard normal input.

    Source: Klambauer et al., 2017.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.alpha_dropout(ccdl.ones(2), 0.5)
    tensor([1., 1.])
    """
    return _alpha_dropout("alpha_dropout", input, p, training, inplace, tuple(input.shape))


def feature_alpha_dropout(
    input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False
) -> Tensor:
    """:func:`alpha_dropout` of whole channels of [N, C, ...]."""
    shape = tuple(input.shape[:2]) + (1,) * (input.dim() - 2)
    return _alpha_dropout("feature_alpha_dropout", input, p, training, inplace, shape)


__test__ = check_tensors(globals(), [n for n in __all__ if n != "dropout"])
