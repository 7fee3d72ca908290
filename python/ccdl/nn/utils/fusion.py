"""Batch norm in evaluation mode folded into the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from ... import _C
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval", "fuse_linear_bn_weights"]


def _fold(
    weight: Any, bias: Any, mean: Any, var: Any, eps: float, gamma: Any, beta: Any, shape: list[int]
) -> tuple[Any, Any]:
    """``w gamma / sqrt(var + eps)`` and ``(b - mean) gamma / sqrt(var + eps) + beta``."""
    previous = _C._set_grad_enabled(False)
    try:
        bias = _C.zeros_like(mean) if bias is None else bias
        scale = (var + eps).rsqrt()
        scale = scale if gamma is None else scale * gamma
        beta = _C.zeros_like(mean) if beta is None else beta
        new_weight = (weight * scale.reshape(shape)).to(weight.dtype)
        new_bias = ((bias - mean) * scale + beta).to(bias.dtype)
    finally:
        _C._set_grad_enabled(previous)
    return Parameter(new_weight, weight.requires_grad), Parameter(new_bias, bias.requires_grad)


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Any, Any]:
    """Weight and bias of a convolution with a batch norm folded in; ``transpose`` for transposed ones."""
    shape = [1, -1] if transpose else [-1, 1]
    return _fold(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape + [1] * (conv_w.dim() - 2))


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A convolution that computes ``bn(conv(x))`` in evaluation mode.

    Raises:
        AssertionError: a layer in training mode, or a batch norm without running statistics.

    >>> import ccdl, ccdl.nn as nn
    >>> conv, bn = nn.Conv2d(3, 4, 3).eval(), nn.BatchNorm2d(4).eval()
    >>> x = ccdl.randn(1, 3, 8, 8)
    >>> ccdl.allclose(nn.utils.fuse_conv_bn_eval(conv, bn)(x), bn(conv(x)), atol=1e-5)
    True
    """
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Any, Any]:
    """Weight and bias of a linear layer with a batch norm folded in."""
    return _fold(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A linear layer that computes ``bn(linear(x))`` in evaluation mode.

    Raises:
        AssertionError: a layer in training mode, or numbers of features that do not fit.
    """
    _check(linear, bn)
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"{linear.out_features} and {bn.num_features}"
        )
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused


def _check(layer: Any, bn: Any) -> None:
    if layer.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("Expected bn.running_mean and bn.running_var to not be None")
