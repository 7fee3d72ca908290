"""Fractional max pooling: windows of a fixed size at pseudo-random places. Source: Graham, 2014."""

from __future__ import annotations

import math
from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors, items

__all__ = [
    "fractional_max_pool2d",
    "fractional_max_pool2d_with_indices",
    "fractional_max_pool3d",
    "fractional_max_pool3d_with_indices",
]


def _sizes(op: str, value: Any, n: int) -> tuple[int, ...]:
    sizes = (value,) * n if isinstance(value, int) else items(op, "size", value)
    if len(sizes) != n or any(s < 1 for s in sizes):
        raise errors.RuntimeError(
            f"{op}: kernel_size and output_size must either be a single int or a tuple of {n} positive ints, "
            f"got {value}"
        )
    return sizes


def _starts(samples: Tensor, size: int, out: int, kernel: int) -> Tensor:
    """First positions of the windows [..., out] for the samples [...] in [0, 1)."""
    if out == 1:
        return _C.full((*samples.shape, 1), size - kernel, dtype=_C.int64, device=samples.device)
    alpha = (size - kernel) / (out - 1)
    steps = _C.arange(out - 1, dtype=samples.dtype, device=samples.device)
    shifted = samples.unsqueeze(-1)
    inner = ((steps + shifted) * alpha).floor() - (shifted * alpha).floor()
    last = _C.full((*samples.shape, 1), float(size - kernel), dtype=samples.dtype, device=samples.device)
    return _C.cat([inner, last], -1).long()


def _fractional(
    op: str, n: int, input: Tensor, kernel_size: Any, output_size: Any, output_ratio: Any, samples: Any
) -> tuple[Tensor, Tensor]:
    if input.dim() not in (n + 1, n + 2):
        raise errors.RuntimeError(f"{op}: expected {n + 1}D or {n + 2}D input, got {list(input.shape)}")
    if output_size is None and output_ratio is None:
        raise errors.ValueError(f"{op} requires specifying either an output_size or an output_ratio")
    x = input if input.dim() == n + 2 else input.unsqueeze(0)
    kernel = _sizes(op, kernel_size, n)
    if output_size is None:
        one = isinstance(output_ratio, float)
        ratios = (output_ratio,) * n if one else items(op, "output_ratio", output_ratio)
        if len(ratios) != n:
            raise errors.ValueError(
                f"{op} requires output_ratio to either be a single Int or tuple of Ints. (a float "
                f"or {n} of them; got {output_ratio})"
            )
        if any(not 0 < r < 1 for r in ratios):
            raise errors.ValueError(f"{op}: output_ratio must be between 0 and 1 (got {output_ratio})")
        output_size = [int(s * r) for s, r in zip(x.shape[-n:], ratios)]
    out = _sizes(op, output_size, n)
    for name, size, k, o in zip(("time", "height", "width")[-n:], x.shape[-n:], kernel, out):
        if o + k - 1 > size:
            raise errors.RuntimeError(
                f"{op}: pool size ({k}) and output size ({o}) too large relative to input {name} ({size}) of "
                f"{list(input.shape)}: output + kernel - 1 may not exceed it"
            )
    count, channels = x.shape[:2]
    if samples is None:
        samples = _C.rand(count, channels, n, dtype=x.dtype, device=x.device)
    elif tuple(samples.shape) != (count, channels, n):
        raise errors.RuntimeError(
            f"{op}: Expect _random_samples to have shape [{count}, {channels}, {n}], got "
            f"{list(samples.shape)}"
        )
    # Position of every element of every window in the flattened input: [N, C, o1, .., on, k1, .., kn]
    position: Any = 0
    for d in range(n):
        # PyTorch's order of the samples: width, height; but depth, height, width
        first = _starts(samples[..., 1 - d if n == 2 else d], x.shape[2 + d], out[d], kernel[d])
        places = first.unsqueeze(-1) + _C.arange(kernel[d], device=x.device)  # [N, C, o, k]
        shape = [count, channels] + [1] * (2 * n)
        shape[2 + d], shape[2 + n + d] = out[d], kernel[d]
        position = position * x.shape[2 + d] + places.reshape(shape)
    windows = math.prod(kernel)
    flat = position.reshape(count, channels, math.prod(out) * windows)
    values = x.flatten(2).gather(2, flat).reshape(count, channels, *out, windows)
    best, at = values.max(-1)
    index = flat.reshape(count, channels, *out, windows).gather(-1, at.unsqueeze(-1)).squeeze(-1)
    if input.dim() == n + 1:
        return best.squeeze(0), index.squeeze(0)
    return best, index


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """:func:`fractional_max_pool2d` and the flat position of each maximum."""
    return _fractional(
        "fractional_max_pool2d", 2, input, kernel_size, output_size, output_ratio, _random_samples
    )


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """Max pooling of [N, C, H, W] to any size, by windows of ``kernel_size`` at pseudo-random places that
    advance by the (fractional) ratio of the sizes.

    Args:
        output_size: int or pair; or output_ratio: share of the input's size, in (0, 1).
        _random_samples: numbers in [0, 1) [N, C, 2] that place the windows; drawn when None.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.fractional_max_pool2d(ccdl.ones(1, 1, 9, 9), 2, output_ratio=(0.7, 0.5)).shape
    ccdl.Size([1, 1, 6, 4])
    """
    result = fractional_max_pool2d_with_indices(
        input, kernel_size, output_size, output_ratio, True, _random_samples
    )
    return result if return_indices else result[0]


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """:func:`fractional_max_pool3d` and the flat position of each maximum."""
    return _fractional(
        "fractional_max_pool3d", 3, input, kernel_size, output_size, output_ratio, _random_samples
    )


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Any,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Any = None,
) -> Any:
    """:func:`fractional_max_pool2d` for [N, C, D, H, W].

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.fractional_max_pool3d(ccdl.ones(1, 1, 5, 5, 5), 2, output_size=3).shape
    ccdl.Size([1, 1, 3, 3, 3])
    """
    result = fractional_max_pool3d_with_indices(
        input, kernel_size, output_size, output_ratio, True, _random_samples
    )
    return result if return_indices else result[0]


__test__ = check_tensors(globals(), __all__)
