"""PyTorch's choice of attention kernels, accepted without effect (ccdl has one kernel), and causal biases."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator
from typing import Any

from ...backends import cuda as _switches
from . import bias, flex_attention

__all__ = ["SDPBackend", "WARN_FOR_UNFUSED_KERNELS", "bias", "flex_attention", "sdpa_kernel"]

WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(enum.IntEnum):
    """PyTorch's names for its attention implementations.

    >>> from ccdl.nn.attention import SDPBackend
    >>> SDPBackend.FLASH_ATTENTION.name
    'FLASH_ATTENTION'
    """

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __str__(self) -> str:
        return f"SDPBackend.{self.name}"


_NAMES = {
    "flash": SDPBackend.FLASH_ATTENTION,
    "mem_efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
}


def _cur_sdpa_kernel_backends(with_priority: bool = False) -> list[SDPBackend]:
    return [
        backend
        for name, backend in _NAMES.items()
        if getattr(_switches, f"{name}_sdp_enabled")()
    ]


@contextlib.contextmanager
def sdpa_kernel(backends: Any, set_priority: bool = False) -> Iterator[Any]:
    """Accepted without effect: attention inside the block runs on ccdl's kernel whatever is asked for.

    The switches of :mod:`ccdl.backends.cuda` show the choice inside the block.

    Args:
        backends: an :class:`SDPBackend` or a list of them.
        set_priority: without effect.

    Raises:
        AssertionError: ``backends`` is neither.

    >>> import ccdl, ccdl.nn.functional as F
    >>> from ccdl.nn.attention import SDPBackend, sdpa_kernel
    >>> x = ccdl.ones(1, 1, 2, 4)
    >>> with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
    ...     F.scaled_dot_product_attention(x, x, x).sum()
    tensor(8.)
    """
    if not isinstance(backends, (list, SDPBackend)):
        raise AssertionError(
            "Backend must be an instance of SDPBackend or a list of SDPBackend instances, "
            f"got {type(backends).__name__}"
        )
    chosen = [backends] if isinstance(backends, SDPBackend) else backends
    before = dict(_switches._sdp)
    _switches._sdp.update({name: backend in chosen for name, backend in _NAMES.items()})
    try:
        yield {}
    finally:
        _switches._sdp.update(before)
