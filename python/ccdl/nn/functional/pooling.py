"""Pooling: one value per window of the last one, two or three dimensions. Input [N, C, ...] or [C, ...].

Output size: floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1; ceil with ceil_mode, as long as
the last window starts inside the input or its left padding. Padding may be at most half the kernel.
"""

from __future__ import annotations

import math
from typing import Any

from ... import _C, errors
from ..._C import Tensor
from ..._checks import check_tensors, items
from ..._contractions import to_out

__all__ = [
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_pool1d_with_indices",
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "max_unpool1d",
    "max_unpool2d",
    "max_unpool3d",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "lp_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d_with_indices",
    "adaptive_max_pool3d_with_indices",
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
]


def _tuple(value, n):
    if isinstance(value, int):
        return (value,) * n
    if not isinstance(value, (tuple, list)) or not all(hasattr(v, "__index__") for v in value):
        raise errors.TypeError(
            f"pooling in {n}-d: a size must be an int or a tuple of {n} ints, got {value!r}"
        )
    if len(value) != n:
        raise errors.ValueError(
            f"pooling in {n}-d: a size must be an int or a tuple of {n} ints, got {value!r}"
        )
    return tuple(value)


def _is_integer(x: Any) -> bool:
    return isinstance(x, Tensor) and not x.is_floating_point() and x.dtype is not _C.bool


def _integer_max_pool(pool: Any, input: Tensor, n: int, options: Any, return_indices: bool) -> Any:
    """The values stand where their doubles are largest: whole numbers above 2^53 may tie with a neighbour."""
    _, index = pool(input.double(), *options)
    values = input.flatten(-n).gather(-1, index.flatten(-n)).reshape(index.shape)
    return (values, index) if return_indices else values


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest value of each window of the last dimension; as :func:`max_pool2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.max_pool1d(ccdl.tensor([[[1., 3., 2., 4.]]]), 2)
    tensor([[[3., 4.]]])
    """
    if _is_integer(input):
        options = kernel_size, stride, padding, dilation, ceil_mode
        return _integer_max_pool(max_pool1d_with_indices, input, 1, options, return_indices)
    if return_indices:
        return max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _C.max_pool1d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest value of each window; the gradient goes to the first position that holds it.

    Args:
        input: [N, C, H, W] or [C, H, W]; contiguous or channels_last, which the output follows.
        kernel_size, stride, padding, dilation: int or pair; ``stride`` defaults to ``kernel_size``; the
            padding counts as -inf.
        ceil_mode: round the output size up.
        return_indices: also give the flat position of each maximum within its H x W plane (int64).

    Raises:
        RuntimeError: sizes below 1, padding above half the kernel, or an output without elements.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.max_pool2d(ccdl.arange(16.).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    if _is_integer(input):
        options = kernel_size, stride, padding, dilation, ceil_mode
        return _integer_max_pool(max_pool2d_with_indices, input, 2, options, return_indices)
    if return_indices:
        return max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _C.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Largest value of each window of the last three dimensions; as :func:`max_pool2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.max_pool3d(ccdl.arange(8.).reshape(1, 1, 2, 2, 2), 2).item()
    7.0
    """
    if _is_integer(input):
        options = kernel_size, stride, padding, dilation, ceil_mode
        return _integer_max_pool(max_pool3d_with_indices, input, 3, options, return_indices)
    if return_indices:
        return max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _C.max_pool3d(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """:func:`max_pool1d` with the position of each maximum."""
    return _C.max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """:func:`max_pool2d` with the flat position of each maximum within its plane."""
    return _C.max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = True,
) -> Any:
    """:func:`max_pool3d` with the flat position of each maximum within its volume."""
    return _C.max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)


def _unpool_size(op, input, n, kernel_size, stride, padding, output_size):
    kernel_size, padding = _tuple(kernel_size, n), _tuple(padding, n)
    stride = kernel_size if stride is None else _tuple(stride, n)
    default = [
        (size - 1) * s - 2 * p + k for size, s, p, k in zip(input.shape[-n:], stride, padding, kernel_size)
    ]
    if output_size is None:
        return default
    wanted = items(op, "output_size", output_size)[-n:]
    for got, usual, s in zip(wanted, default, stride):
        if not usual - s < got < usual + s:
            raise errors.ValueError(
                f"{op}: output_size {wanted} must be within stride {list(stride)} of {default}"
            )
    return wanted


def _max_unpool(op, input, indices, n, kernel_size, stride, padding, output_size):
    if tuple(input.shape) != tuple(indices.shape):
        raise errors.RuntimeError(
            f"{op}: input {list(input.shape)} and indices {list(indices.shape)} must have equal shapes"
        )
    size = _unpool_size(op, input, n, kernel_size, stride, padding, output_size)
    unpool = (_C.max_unpool1d, _C.max_unpool2d, _C.max_unpool3d)[n - 1]
    return unpool(input, indices, tuple(size))


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts each value of ``input`` at its index in an else zero tensor; partial inverse of
    :func:`max_pool1d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> y, i = F.max_pool1d(ccdl.tensor([[[1., 3., 2., 4.]]]), 2, return_indices=True)
    >>> F.max_unpool1d(y, i, 2)
    tensor([[[0., 3., 0., 4.]]])
    """
    return _max_unpool("max_unpool1d", input, indices, 1, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts each value of ``input`` at its index in an else zero tensor; partial inverse of
    :func:`max_pool2d`.

    ``output_size`` resolves which of the input sizes with the same pooled size is meant.

    >>> import ccdl, ccdl.nn.functional as F
    >>> y, i = F.max_pool2d(ccdl.arange(4.).reshape(1, 1, 2, 2), 2, return_indices=True)
    >>> F.max_unpool2d(y, i, 2)[0, 0]
    tensor([[0., 0.],
            [0., 3.]])
    """
    return _max_unpool("max_unpool2d", input, indices, 2, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    output_size: Any = None,
) -> Tensor:
    """As :func:`max_unpool2d`, for three dimensions."""
    return _max_unpool("max_unpool3d", input, indices, 3, kernel_size, stride, padding, output_size)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean of each window of the last dimension; as :func:`avg_pool2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.avg_pool1d(ccdl.tensor([[[1., 3., 2., 4.]]]), 2)
    tensor([[[2., 3.]]])
    """
    return _C.avg_pool1d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
    *,
    out: Any = None,
) -> Tensor:
    """Mean of each window.

    Args:
        input: [N, C, H, W] or [C, H, W].
        kernel_size, stride, padding: int or pair; ``stride`` defaults to ``kernel_size``.
        count_include_pad: padded zeros count in the divisor.
        divisor_override: divide by this number instead.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.avg_pool2d(ccdl.arange(1., 10.).reshape(1, 1, 3, 3), 3).item()
    5.0
    """
    result = _C.avg_pool2d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return to_out(out, result)


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: Any = None,
    *,
    out: Any = None,
) -> Tensor:
    """Mean of each window of the last three dimensions; as :func:`avg_pool2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.avg_pool3d(ccdl.ones(1, 1, 2, 2, 2), 2).item()
    1.0
    """
    result = _C.avg_pool3d(
        input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return to_out(out, result)


def _lp_pool(average, input, n, norm_type, kernel_size, stride, ceil_mode):
    p = float(norm_type)
    if p == 0:
        raise ZeroDivisionError(f"lp_pool{n}d: norm_type is {norm_type}, must not be zero")
    if math.isinf(p):  # the largest, or the smallest, size in the window
        largest = (max_pool1d, max_pool2d, max_pool3d)[n - 1]
        size = input.abs() if p > 0 else -input.abs()
        return largest(size, kernel_size, stride, ceil_mode=ceil_mode) * (1 if p > 0 else -1)
    count = 1
    for k in _tuple(kernel_size, n):
        count *= k
    mean = average(input.pow(p), kernel_size, stride, 0, ceil_mode)
    # sign(m) relu(|m|) keeps odd powers of negative sums finite, as PyTorch has it
    return (mean.sign() * _C.relu(mean.abs())).mul(count).pow(1.0 / p)


def lp_pool1d(
    input: Tensor, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """``(sum of x^p over the window)^(1/p)`` along the last dimension.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.lp_pool1d(ccdl.tensor([[[3., 4.]]]), 2, 2)
    tensor([[[5.]]])
    """
    return _lp_pool(avg_pool1d, input, 1, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """``(sum of x^p over the window)^(1/p)`` over the last two dimensions.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.lp_pool2d(ccdl.ones(1, 1, 2, 2), 2, 2).item()
    2.0
    """
    return _lp_pool(avg_pool2d, input, 2, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: Any, kernel_size: Any, stride: Any = None, ceil_mode: bool = False
) -> Tensor:
    """``(sum of x^p over the window)^(1/p)`` over the last three dimensions."""
    return _lp_pool(avg_pool3d, input, 3, norm_type, kernel_size, stride, ceil_mode)


def _adaptive_size(input, output_size, n):
    """The output size with None replaced by the input's."""
    if isinstance(output_size, int) or not isinstance(input, Tensor):
        return (output_size,) * n
    if not isinstance(output_size, (tuple, list)):  # a tensor or an array of sizes
        output_size = items(f"adaptive pooling in {n}-d", "output_size", output_size)
    if n > 1 and input.dim() <= len(output_size):
        raise errors.ShapeError(
            f"adaptive pooling in {n}-d: Input dimension should be at least {len(output_size) + 1}, got "
            f"{list(input.shape)}"
        )
    if n == 1 and None in output_size:
        raise errors.TypeError("adaptive pooling in 1-d: argument 'output_size' must be an int, not None")
    if len(output_size) != n:
        raise errors.RuntimeError(
            f"adaptive pooling in {n}-d: output_size is {tuple(output_size)}, must be an int or {n} of them"
        )
    return tuple(i if o is None else o for o, i in zip(output_size, input.shape[-n:]))


def adaptive_max_pool1d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over windows chosen so that the last dimension becomes ``output_size``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.adaptive_max_pool1d(ccdl.tensor([[[1., 3., 2., 4.]]]), 2)
    tensor([[[3., 4.]]])
    """
    y, indices = _C.adaptive_max_pool1d(input, _adaptive_size(input, output_size, 1))
    return (y, indices) if return_indices else y


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """Maximum over windows from floor(i in / out) to ceil((i + 1) in / out), giving ``output_size``.

    Args:
        input: [N, C, H, W] or [C, H, W].
        output_size: int or pair; None keeps the input's size.
        return_indices: also give the flat position of each maximum in its plane.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.adaptive_max_pool2d(ccdl.arange(4.).reshape(1, 1, 2, 2), 1).item()
    3.0
    """
    y, indices = _C.adaptive_max_pool2d(input, _adaptive_size(input, output_size, 2))
    return (y, indices) if return_indices else y


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """As :func:`adaptive_max_pool2d`, for three dimensions."""
    y, indices = _C.adaptive_max_pool3d(input, _adaptive_size(input, output_size, 3))
    return (y, indices) if return_indices else y


def adaptive_max_pool1d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """:func:`adaptive_max_pool1d` with positions."""
    return adaptive_max_pool1d(input, output_size, True)


def adaptive_max_pool2d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """:func:`adaptive_max_pool2d` with positions."""
    return adaptive_max_pool2d(input, output_size, True)


def adaptive_max_pool3d_with_indices(input: Tensor, output_size: Any, return_indices: bool = True) -> Any:
    """:func:`adaptive_max_pool3d` with positions."""
    return adaptive_max_pool3d(input, output_size, True)


def adaptive_avg_pool1d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over windows chosen so that the last dimension becomes ``output_size``.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.adaptive_avg_pool1d(ccdl.tensor([[[1., 3., 2., 4.]]]), 2)
    tensor([[[2., 3.]]])
    """
    return _C.adaptive_avg_pool1d(input, _adaptive_size(input, output_size, 1))


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """Mean over windows from floor(i in / out) to ceil((i + 1) in / out); ``output_size`` 1 is global
    pooling.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.adaptive_avg_pool2d(ccdl.arange(4.).reshape(1, 1, 2, 2), 1).item()
    1.5
    """
    return _C.adaptive_avg_pool2d(input, _adaptive_size(input, output_size, 2))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """As :func:`adaptive_avg_pool2d`, for three dimensions."""
    return _C.adaptive_avg_pool3d(input, _adaptive_size(input, output_size, 3))


__test__ = check_tensors(globals(), ["max_unpool1d", "max_unpool2d", "max_unpool3d"])
