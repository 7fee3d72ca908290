"""Fractional max pooling as modules, and local response norm under its older name."""

from __future__ import annotations

from typing import Any

from ..._C import Tensor
from ..._checks import items
from .. import functional as F
from .module import Module
from .normalization import LocalResponseNorm

__all__ = ["CrossMapLRN2d", "FractionalMaxPool2d", "FractionalMaxPool3d"]


class _FractionalMaxPool(Module):
    _n = 0
    _function: Any

    def __init__(
        self,
        kernel_size: Any,
        output_size: Any = None,
        output_ratio: Any = None,
        return_indices: bool = False,
        _random_samples: Any = None,
    ) -> None:
        super().__init__()
        name, n = type(self).__name__, self._n
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        one = isinstance(kernel_size, int)
        op = "fractional_max_pool"
        self.kernel_size = (kernel_size,) * n if one else items(op, "kernel_size", kernel_size)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = (output_size,) * n if isinstance(output_size, int) else output_size
        self.output_ratio = (output_ratio,) * n if isinstance(output_ratio, float) else output_ratio
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input: Tensor) -> Any:
        return self._function(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class FractionalMaxPool2d(_FractionalMaxPool):
    """Max pooling to any size by windows at pseudo-random places.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.FractionalMaxPool2d(3, output_ratio=0.5)(ccdl.ones(2, 3, 16, 10)).shape
    ccdl.Size([2, 3, 8, 5])
    """

    _n = 2
    _function = staticmethod(F.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """:class:`FractionalMaxPool2d` for [N, C, D, H, W]."""

    _n = 3
    _function = staticmethod(F.fractional_max_pool3d)


class CrossMapLRN2d(LocalResponseNorm):
    """:class:`LocalResponseNorm` under its older name."""
