"""Gradients of convolutions as functions: with respect to the input or to the weight, of which only the size
is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import _C
from .._C import Tensor
from ..autograd import enable_grad, grad
from . import functional as F

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]

_Ints = int | Sequence[int]


def _derivative(conv: Callable[..., Tensor], size: Sequence[int], grad_output: Tensor, call: Any) -> Tensor:
    """The convolution is linear in each argument, so where it is differentiated does not matter."""
    recording = _C.is_grad_enabled()
    with enable_grad():
        point = grad_output.new_zeros(size).requires_grad_()
        return grad(call(conv, point), point, grad_output, create_graph=recording)[0]


def _input(conv, input_size, weight, grad_output, *options):
    if input_size is None:
        raise ValueError("grad.conv_input requires specifying an input_size")
    return _derivative(conv, input_size, grad_output, lambda f, x: f(x, weight, None, *options))


def _weight(conv, input, weight_size, grad_output, *options):
    return _derivative(conv, weight_size, grad_output, lambda f, w: f(input, w, None, *options))


def conv1d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: _Ints = 1,
    padding: _Ints = 0,
    dilation: _Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`~ccdl.nn.functional.conv1d` with respect to an input of the size ``input_size``.

    >>> import ccdl
    >>> ccdl.nn.grad.conv1d_input((1, 1, 3), ccdl.tensor([[[1., 2.]]]), ccdl.ones(1, 1, 2))
    tensor([[[1., 3., 2.]]])
    """
    return _input(F.conv1d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv1d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: _Ints = 1,
    padding: _Ints = 0,
    dilation: _Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`~ccdl.nn.functional.conv1d` with respect to a weight of the size ``weight_size``.

    >>> import ccdl
    >>> ccdl.nn.grad.conv1d_weight(ccdl.tensor([[[1., 2., 3.]]]), (1, 1, 2), ccdl.ones(1, 1, 2))
    tensor([[[3., 5.]]])
    """
    return _weight(F.conv1d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv2d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: _Ints = 1,
    padding: _Ints = 0,
    dilation: _Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`~ccdl.nn.functional.conv2d` with respect to an input of the size ``input_size``.

    >>> import ccdl
    >>> ccdl.nn.grad.conv2d_input((1, 1, 2, 2), ccdl.ones(1, 1, 1, 1), ccdl.ones(1, 1, 2, 2)).sum()
    tensor(4.)
    """
    return _input(F.conv2d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv2d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: _Ints = 1,
    padding: _Ints = 0,
    dilation: _Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`~ccdl.nn.functional.conv2d` with respect to a weight of the size ``weight_size``.

    >>> import ccdl
    >>> ccdl.nn.grad.conv2d_weight(ccdl.ones(1, 1, 3, 3), (1, 1, 2, 2), ccdl.ones(1, 1, 2, 2)).sum()
    tensor(16.)
    """
    return _weight(F.conv2d, input, weight_size, grad_output, stride, padding, dilation, groups)


def conv3d_input(
    input_size: Sequence[int],
    weight: Tensor,
    grad_output: Tensor,
    stride: _Ints = 1,
    padding: _Ints = 0,
    dilation: _Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`~ccdl.nn.functional.conv3d` with respect to an input of the size ``input_size``.

    >>> import ccdl
    >>> weight, grad = ccdl.ones(1, 1, 1, 1, 1), ccdl.ones(1, 1, 2, 2, 2)
    >>> ccdl.nn.grad.conv3d_input((1, 1, 2, 2, 2), weight, grad).sum()
    tensor(8.)
    """
    return _input(F.conv3d, input_size, weight, grad_output, stride, padding, dilation, groups)


def conv3d_weight(
    input: Tensor,
    weight_size: Sequence[int],
    grad_output: Tensor,
    stride: _Ints = 1,
    padding: _Ints = 0,
    dilation: _Ints = 1,
    groups: int = 1,
) -> Tensor:
    """Gradient of :func:`~ccdl.nn.functional.conv3d` with respect to a weight of the size ``weight_size``.

    >>> import ccdl
    >>> ccdl.nn.grad.conv3d_weight(ccdl.ones(1, 1, 2, 2, 2), (1, 1, 1, 1, 1), ccdl.ones(1, 1, 2, 2, 2)).sum()
    tensor(8.)
    """
    return _weight(F.conv3d, input, weight_size, grad_output, stride, padding, dilation, groups)
