"""Names that ``torch.*`` has for the parts of layers: normalisations with their statistics, dropout with its
mask, samplers.
"""

from __future__ import annotations

from typing import Any

from . import _C, errors
from ._C import Tensor
from ._checks import check_tensors

__all__ = [
    "grid_sampler_2d",
    "grid_sampler_3d",
    "is_vulkan_available",
    "native_batch_norm",
    "native_channel_shuffle",
    "native_dropout",
    "native_group_norm",
    "native_layer_norm",
]


def is_vulkan_available() -> bool:
    """Always False."""
    return False


def grid_sampler_2d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`ccdl.nn.functional.grid_sample` of [N, C, H, W] with the modes as numbers."""
    from ._functional_names import grid_sampler

    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """:func:`ccdl.nn.functional.grid_sample` of [N, C, D, H, W] with the modes as numbers."""
    from ._functional_names import grid_sampler

    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """:func:`ccdl.nn.functional.channel_shuffle`."""
    from .nn.functional import channel_shuffle

    return channel_shuffle(input, groups)


def native_dropout(input: Tensor, p: float, train: bool | None) -> tuple[Tensor, Tensor]:
    """(output, mask): dropout that scales in training, and which elements were kept.

    >>> import ccdl
    >>> ccdl.native_dropout(ccdl.ones(2), 0.5, False)
    (tensor([1., 1.]), tensor([True, True]))
    """
    if train is not None and not train or input.numel() == 0:
        return input.clone(), _C.ones_like(input, dtype=_C.bool)
    if not 0 <= p <= 1:
        raise errors.RuntimeError(f"native_dropout: p has to be between 0 and 1, but got {p}")
    mask = _C.bernoulli(_C.full_like(input.detach(), 1 - p)).to(_C.bool)
    return input * mask * (0.0 if p == 1 else 1 / (1 - p)), mask


def _moments(x: Tensor, dims: list[int], eps: float) -> tuple[Tensor, Tensor]:
    """Mean and 1 / sqrt(variance + eps) over dims, kept with size 1; at least in float32."""
    wide = x.float() if x.dtype in (_C.float16, _C.bfloat16) else x
    var, mean = _C.var_mean(wide, dims, correction=0, keepdim=True)
    return mean, (var + eps).rsqrt()


def native_layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(output, mean, rstd) of layer normalisation; the statistics keep the normalised dimensions with size 1.

    >>> import ccdl
    >>> y, mean, rstd = ccdl.native_layer_norm(ccdl.tensor([[1., 3.]]), [2], None, None, 0.0)
    >>> mean, rstd
    (tensor([[2.]]), tensor([[1.]]))
    """
    y = _C.layer_norm(input, normalized_shape, weight, bias, eps)
    mean, rstd = _moments(input.detach(), list(range(input.dim() - len(normalized_shape), input.dim())), eps)
    return y, mean.to(input.dtype), rstd.to(input.dtype)


def native_group_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    N: int,
    C: int,
    HxW: int,
    group: int,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(output, mean, rstd) of group normalisation of N images of C channels and HxW places.

    The statistics are [N, group].
    """
    if group < 1 or C % group or input.numel() != N * C * HxW:
        raise errors.ShapeError(
            f"native_group_norm: Expected N * C * HxW = {N} * {C} * {HxW} elements, C divisible by {group}, "
            f"got input {list(input.shape)}"
        )
    y = _C.group_norm(input.reshape(N, C, HxW), group, weight, bias, eps).reshape(input.shape)
    mean, rstd = _moments(input.reshape(N, group, C // group * HxW), [2], eps)
    return y, mean.squeeze(2).to(input.dtype), rstd.squeeze(2).to(input.dtype)


def native_batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(output, mean, rstd) of batch normalisation; the statistics are the batch's, empty outside training."""
    y = _C.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)
    if not training:
        return y, input.new_empty(0), input.new_empty(0)
    mean, rstd = _moments(input.detach(), [0, *range(2, input.dim())], eps)
    dtype = next((t.dtype for t in (weight, bias, running_mean) if t is not None), input.dtype)
    return y, mean.reshape(-1).to(dtype), rstd.reshape(-1).to(dtype)


__test__ = check_tensors(globals(), __all__)
