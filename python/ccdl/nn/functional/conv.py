"""Convolutions. As everywhere in the field, these are cross-correlations: the kernel is not flipped.

Output size per dimension: floor((in + 2 padding - dilation (kernel - 1) - 1) / stride) + 1.
"""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "unfold",
    "fold",
]


def conv1d(
    input: Tensor,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """1-d cross-correlation. Input [N, C, L] or [C, L]; weight [out, C / groups, k]; otherwise as
    :func:`conv2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.conv1d(ccdl.tensor([[[1., 2., 3.]]]), ccdl.ones(1, 1, 2))
    tensor([[[3., 5.]]])
    """
    return _C.conv1d(input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Tensor,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """2-d cross-correlation: ``y[n,o,i,j] = b[o] + sum_{c,r,s} w[o,c,r,s] x[n,c, i*stride+r*dilation-pad,
    ...]``.

    Args:
        input: [N, C, H, W] or [C, H, W]; contiguous or channels_last, which the output follows.
        weight: [out, C / groups, kH, kW].
        bias: [out] or None.
        stride, dilation: int or pair, at least 1.
        padding: int or pair of zeros on each side, ``"valid"`` (none) or ``"same"`` (output as large as the
            input; stride 1 only).
        groups: channels are split into this many independent groups; must divide C and out.

    Returns:
        [N, out, H', W'] with H' = floor((H + 2 padding - dilation (kH - 1) - 1) / stride) + 1.

    Raises:
        RuntimeError: channels, groups, ranks or dtypes do not fit, or the kernel is larger than the padded
            input.

    Source: LeCun et al., 1998. Flip the weight's last two dimensions for the mathematical convolution.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.conv2d(ccdl.ones(1, 1, 3, 3), ccdl.ones(1, 1, 2, 2))
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return _C.conv2d(input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Tensor,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """3-d cross-correlation. Input [N, C, D, H, W] or [C, D, H, W]; weight [out, C / groups, kD, kH, kW].

    Otherwise as :func:`conv2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.conv3d(ccdl.ones(1, 1, 2, 2, 2), ccdl.ones(1, 1, 2, 2, 2)).item()
    8.0
    """
    return _C.conv3d(input, weight, bias, stride, padding, dilation, groups)


def conv_transpose1d(
    input: Tensor,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """1-d transposed convolution. Input [N, C, L]; weight [C, out / groups, k]; as :func:`conv_transpose2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.conv_transpose1d(ccdl.tensor([[[1., 2.]]]), ccdl.ones(1, 1, 2))
    tensor([[[1., 3., 2.]]])
    """
    return _C.conv_transpose1d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Tensor,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """2-d transposed convolution: the gradient of :func:`conv2d` with respect to its input, as a forward op.

    Args:
        input: [N, C, H, W] or [C, H, W].
        weight: [C, out / groups, kH, kW].
        output_padding: extra size at one side of the output; must be smaller than stride or dilation.

    Returns:
        [N, out, H', W'] with H' = (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.conv_transpose2d(ccdl.ones(1, 1, 1, 1), ccdl.ones(1, 1, 2, 2)).shape
    ccdl.Size([1, 1, 2, 2])
    """
    return _C.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Tensor,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Tensor:
    """3-d transposed convolution. Input [N, C, D, H, W]; weight [C, out / groups, kD, kH, kW].

    Otherwise as :func:`conv_transpose2d`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.conv_transpose3d(ccdl.ones(1, 1, 1, 1, 1), ccdl.ones(1, 1, 2, 2, 2)).shape
    ccdl.Size([1, 1, 2, 2, 2])
    """
    return _C.conv_transpose3d(input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """:func:`conv1d` with the channels last: input [T, N, C_in], weight [k, C_in, C_out] -> [T', N, C_out].

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.conv_tbc(ccdl.ones(4, 1, 2), ccdl.ones(3, 2, 5), ccdl.zeros(5), pad=1).shape
    ccdl.Size([4, 1, 5])
    """
    for name, given in (("input", input), ("weight", weight)):
        if given.dim() != 3:
            raise RuntimeError(f"conv_tbc: {name} must have 3 dims, got {list(given.shape)}")
    y = _C.conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return y.permute(2, 0, 1).contiguous()


def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Tensor:
    """Every patch the kernel sees, as a column: [N, C, H, W] -> [N, C kH kW, L] with L positions.

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.unfold(ccdl.ones(1, 1, 3, 3), 2).shape
    ccdl.Size([1, 4, 4])
    """
    return _C.im2col(input, _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride))


def fold(
    input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Tensor:
    """Adds columns of patches back into an image, the transpose of :func:`unfold`: [N, C kH kW, L] -> [N, C,
    H, W].

    >>> import ccdl, ccdl.nn.functional as F
    >>> F.fold(ccdl.ones(1, 4, 4), (3, 3), 2)[0, 0, 1, 1].item()
    4.0
    """
    return _C.col2im(
        input, _pair(output_size), _pair(kernel_size), _pair(dilation), _pair(padding), _pair(stride)
    )


def _pair(value):
    return (value, value) if isinstance(value, int) else value
