"""Causal biases that say which corner of the scores they are aligned to."""

from __future__ import annotations

import enum
from typing import Any

from ... import _C
from ..._C import Tensor

__all__ = ["CausalBias", "CausalVariant", "causal_lower_right", "causal_upper_left"]


class CausalVariant(enum.IntEnum):
    """Which corner of the ``[L, S]`` scores the triangle touches.

    >>> from ccdl.nn.attention.bias import CausalVariant
    >>> CausalVariant.UPPER_LEFT.name
    'UPPER_LEFT'
    """

    UPPER_LEFT = 1
    LOWER_RIGHT = 2


class CausalBias:
    """An ``attn_mask`` for :func:`~ccdl.nn.functional.scaled_dot_product_attention` that is never stored.

    ``UPPER_LEFT`` lets query i see keys 0 ... i, ``LOWER_RIGHT`` keys 0 ... i + seq_len_kv - seq_len_q. The
    two are the same for equal lengths. Unlike PyTorch's, it is no tensor.

    Raises:
        AssertionError: ``variant`` is no :class:`CausalVariant`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> from ccdl.nn.attention.bias import causal_lower_right
    >>> q, k = ccdl.zeros(1, 1, 1, 4), ccdl.zeros(1, 1, 2, 4)
    >>> v = ccdl.tensor([[1.], [3.]]).reshape(1, 1, 2, 1)
    >>> F.scaled_dot_product_attention(q, k, v, attn_mask=causal_lower_right(1, 2)).item()
    2.0
    """

    def __init__(self, variant: CausalVariant, seq_len_q: int, seq_len_kv: int) -> None:
        if not isinstance(variant, CausalVariant):
            raise AssertionError(f"variant must be a CausalVariant, got {type(variant).__name__}")
        self.variant = variant
        self.seq_len_q = seq_len_q
        self.seq_len_kv = seq_len_kv

    @property
    def shape(self) -> tuple[int, int]:
        return (self.seq_len_q, self.seq_len_kv)

    def __repr__(self) -> str:
        return f"CausalBias(variant={self.variant.name}, shape={self.shape})"

    def _materialize(self, device: Any = None) -> Tensor:
        """The bool mask ``[seq_len_q, seq_len_kv]``: True where a query may attend."""
        offset = self.seq_len_kv - self.seq_len_q if self.variant == CausalVariant.LOWER_RIGHT else 0
        ones = _C.ones(self.seq_len_q, self.seq_len_kv, dtype=_C.bool, device=device)
        return ones.tril(diagonal=offset)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        dropout_p: float,
        is_causal: bool,
        scale: float | None,
        enable_gqa: bool,
    ) -> Tensor:
        if is_causal:
            raise ValueError(
                "scaled_dot_product_attention: CausalBias should not be used with is_causal=True"
            )
        if (query.size(-2), key.size(-2)) != self.shape:
            raise ValueError(
                f"scaled_dot_product_attention: the CausalBias is for lengths {self.shape}, got query "
                f"{list(query.shape)} and key {list(key.shape)}"
            )
        out, _ = _C._attention(
            query, key, value, None, dropout_p, True, scale=scale, enable_gqa=enable_gqa,
            lower_right=self.variant == CausalVariant.LOWER_RIGHT,
        )  # fmt: skip
        return out


def causal_upper_left(*size: int) -> CausalBias:
    """The bias in which query i sees keys 0 ... i of ``[seq_len_q, seq_len_kv]``.

    >>> from ccdl.nn.attention.bias import causal_upper_left
    >>> causal_upper_left(2, 3)
    CausalBias(variant=UPPER_LEFT, shape=(2, 3))
    """
    return CausalBias(CausalVariant.UPPER_LEFT, *_two(size))


def causal_lower_right(*size: int) -> CausalBias:
    """The bias in which the last query sees the last key of ``[seq_len_q, seq_len_kv]``.

    >>> from ccdl.nn.attention.bias import causal_lower_right
    >>> causal_lower_right(2, 3)
    CausalBias(variant=LOWER_RIGHT, shape=(2, 3))
    """
    return CausalBias(CausalVariant.LOWER_RIGHT, *_two(size))


def _two(size: Any) -> tuple[int, int]:
    if len(size) != 2:
        raise AssertionError(f"a causal bias has 2 lengths, got {len(size)}")
    return int(size[0]), int(size[1])
