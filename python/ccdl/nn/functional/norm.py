"""Normalisations. Statistics use the biased variance ``mean((x - mean)^2)``, as in PyTorch."""

from __future__ import annotations

from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors, flag, items, tensor

__all__ = [
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "local_response_norm",
    "normalize",
]


def batch_norm(
    input: Tensor,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` per channel (dimension 1), over all other dimensions.

    Args:
        input: [N, C, ...].
        running_mean, running_var: [C] or None; used when not training, else updated in place by
            ``(1 - momentum) running + momentum batch`` (the variance unbiased there).
        weight, bias: [C] or None.
        training: normalise by the batch's own statistics.

    Raises:
        ValueError: training with a single value per channel.

    Source: Ioffe and Szegedy, 2015.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.batch_norm(ccdl.tensor([[0.], [2.]]), None, None, training=True)
    tensor([[-1.0000],
            [ 1.0000]])
    """
    if not isinstance(input, _C.Tensor):
        tensor("batch_norm", "input", input)
    if training is not True and training is not False:
        training = flag("batch_norm", "training", training)
    if (running_mean is None) != (running_var is None):
        raise errors.ValueError(
            "batch_norm: running_mean and running_var must either both be None or neither be None"
        )
    if training:
        shape = tuple(input.shape)
        count = shape[0] if shape else 1
        for size in shape[2:]:
            count *= size
        if count == 1:
            raise errors.ValueError(
                f"Expected more than 1 value per channel when training, got input size {list(shape)}"
            )
    if input.dim() == 1 and input.numel() == 0:  # no images, no channels
        return input.clone()
    return _C.batch_norm(
        input,
        weight=weight,
        bias=bias,
        running_mean=running_mean,
        running_var=running_var,
        training=training,
        momentum=momentum,
        eps=eps,
    )


def layer_norm(
    input: Tensor, normalized_shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """``(x - mean) / sqrt(var + eps) * weight + bias`` over the last dimensions, whose sizes are
    ``normalized_shape``.

    Source: Ba et al., 2016.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.layer_norm(ccdl.tensor([[0., 2.]]), (2,))
    tensor([[-1.0000,  1.0000]])
    """
    shape = items("layer_norm", "normalized_shape", normalized_shape)
    return _C.layer_norm(input, shape, weight=weight, bias=bias, eps=eps)


def group_norm(
    input: Tensor, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Tensor:
    """Normalises each sample's channels in ``num_groups`` groups, with one weight and bias per channel.

    Raises:
        ValueError: a single sample whose groups hold one value each.

    Source: Wu and He, 2018.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.group_norm(ccdl.tensor([[[0.], [2.]]]), 1)[0, :, 0]
    tensor([-1.0000,  1.0000])
    """
    result = _C.group_norm(input, num_groups, weight=weight, bias=bias, eps=eps)
    if input.numel() == num_groups:  # one value each, which is its own mean
        raise errors.ValueError(
            f"group_norm: Expected more than 1 value per group, got input {list(input.shape)} in "
            f"{num_groups} groups"
        )
    return result


def instance_norm(
    input: Tensor,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalises every channel of every sample over its spatial dimensions; input [N, C, ...].

    With ``use_input_stats=False`` the running statistics are used instead.

    Source: Ulyanov et al., 2016.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.instance_norm(ccdl.tensor([[[0., 2.]]]))
    tensor([[[-1.0000,  1.0000]]])
    """
    optional = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    for name, value in optional.items():
        if value is not None and not isinstance(value, Tensor):
            raise errors.TypeError(
                f"instance_norm(): argument '{name}' must be Tensor, not {type(value).__name__}"
            )
    if (running_mean is None) != (running_var is None):
        raise errors.ValueError(
            "instance_norm: running_mean and running_var must either both be None or neither be None"
        )
    if input.dim() < 2:
        raise errors.ShapeError(f"instance_norm: input must be [N, C, ...], got {list(input.shape)}")
    n, c, *spatial = input.shape
    if use_input_stats:
        count = 1
        for size in spatial:
            count *= size
        if count == 1:
            raise errors.ValueError(
                f"Expected more than 1 spatial element when training, got input size {list(input.shape)}"
            )
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if running_mean is None and c > 0:
        return group_norm(input.contiguous(), c, weight, bias, eps).to(input.dtype)
    stat = _C.float32 if input.dtype.itemsize < 4 else input.dtype
    mean: Any = running_mean.to(stat).repeat(n) if running_mean is not None else None
    var: Any = running_var.to(stat).repeat(n) if running_var is not None else None
    flat = batch_norm(
        input.reshape(1, n * c, *spatial),
        mean,
        var,
        weight.repeat(n) if weight is not None else None,
        bias.repeat(n) if bias is not None else None,
        True,
        momentum,
        eps,
    )
    previous = _C._set_grad_enabled(False)
    try:
        if running_mean is not None:
            running_mean.copy_(mean.reshape(n, c).mean(0))
        if running_var is not None:
            running_var.copy_(var.reshape(n, c).mean(0))
    finally:
        _C._set_grad_enabled(previous)
    return flat.reshape(input.shape)


def rms_norm(input: Tensor, normalized_shape: Any, weight: Any = None, eps: Any = None) -> Tensor:
    """``x / sqrt(mean(x^2) + eps) * weight`` over the last dimensions; ``eps`` defaults to the dtype's
    epsilon.

    Source: Zhang and Sennrich, 2019.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.rms_norm(ccdl.tensor([[3., 4.]]), (2,))
    tensor([[0.8485, 1.1314]])
    """
    return _C.rms_norm(input, items("rms_norm", "normalized_shape", normalized_shape), weight=weight, eps=eps)


def local_response_norm(
    input: Tensor, size: Any, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Tensor:
    """``x / (k + alpha * mean of x^2 over size neighbouring channels)^beta``; input [N, C, ...], zeros
    outside.

    Source: Krizhevsky et al., 2012.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.local_response_norm(ccdl.ones(1, 2, 1), 2).shape
    ccdl.Size([1, 2, 1])
    """
    if input.dim() < 3:
        raise errors.ValueError(
            f"local_response_norm: input has {input.dim()} dimensions {list(input.shape)}, must have at "
            "least 3"
        )
    if input.numel() == 0:
        return input
    n, c, *spatial = input.shape
    square = (input * input).reshape(n, 1, c, -1)
    padded = _C.pad(square, (0, 0, size // 2, (size - 1) // 2))
    mean = _C.avg_pool2d(padded, (size, 1), (1, 1)).reshape(input.shape)
    return input / (mean * alpha + k).pow(beta)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12, out: Any = None) -> Tensor:
    """``x / max(||x||_p, eps)`` along ``dim``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.normalize(ccdl.tensor([[3., 4.]]))
    tensor([[0.6000, 0.8000]])
    """
    denominator = input.norm(p, dim, keepdim=True).clamp_min(eps).expand_as(input)
    return _C.div(input, denominator, out=out) if out is not None else input / denominator


__test__ = check_tensors(globals(), ["instance_norm", "local_response_norm", "normalize"])
