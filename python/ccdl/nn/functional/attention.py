"""Scaled dot-product attention that never holds the matrix of scores."""

from __future__ import annotations

from typing import Any

from ... import _C
from ..._C import Tensor
from ..._checks import flag, one_of

__all__ = ["attention", "scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(scale * query key^T + mask) value``, softmax over the keys.

    The scores are made tile by tile and made again for the backward pass, so memory grows with the lengths,
    not with their product.

    Args:
        query: floating ``[..., H, L, E]``; leading dimensions of the three inputs broadcast.
        key: ``[..., H, S, E]``, of the same dtype.
        value: ``[..., H, S, Ev]``, of the same dtype.
        attn_mask: broadcastable to ``[..., H, L, S]``. Bool: True where a query may attend. Floating (the
            dtype of ``query`` or float32): added to the scores. Also a
            :class:`~ccdl.nn.attention.bias.CausalBias`. A query that may attend to nothing gives zeros and
            has no gradient.
        dropout_p: fraction of the weights that are dropped, always (pass 0.0 outside training); what stays is
            scaled by ``1 / (1 - dropout_p)``.
        is_causal: query i sees keys 0 ... i only. Not together with ``attn_mask``.
        scale: factor of the scores, ``1 / sqrt(E)`` when None.
        enable_gqa: key and value have fewer heads than query, each shared by neighbouring query heads.

    Returns:
        ``[..., H, L, Ev]``, stored like ``query``: for a query that is ``[B, L, H, E]`` transposed,
        ``out.transpose(1, 2).reshape(B, L, H * Ev)`` copies nothing.

    Raises:
        RuntimeError: shapes or dtypes that do not fit, ``dropout_p`` outside [0, 1], a mask together with
            ``is_causal``.

    Source: Vaswani et al., 2017; computed as in Dao, FlashAttention-2, 2023.

    >>> import ccdl, ccdl.nn.functional as F
    >>> q = ccdl.zeros(1, 1, 2, 4)
    >>> v = ccdl.tensor([[1.], [3.]]).reshape(1, 1, 2, 1)
    >>> F.scaled_dot_product_attention(q, q, v, is_causal=True).flatten()
    tensor([1., 2.])
    """
    if attn_mask is not None and not isinstance(attn_mask, Tensor):
        from ..attention.bias import CausalBias

        if isinstance(attn_mask, CausalBias):
            return attn_mask._attend(query, key, value, dropout_p, is_causal, scale, enable_gqa)
    return _C.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    causal_alignment: str = "upper_left",
    key_lengths: Tensor | None = None,
    return_lse: bool = False,
) -> Any:
    """:func:`scaled_dot_product_attention` with what PyTorch has no argument for.

    Args:
        causal_alignment: with ``is_causal``, ``"upper_left"`` lets query i see keys 0 ... i,
            ``"lower_right"`` keys 0 ... i + S - L: the last query sees every key, as when new queries follow
            a cache of keys.
        key_lengths: int64 ``[B]``, one per batch entry (the leading dimension of 3-d and 4-d inputs): keys
            from there on are not seen. Larger values mean all keys, negative ones none.
        return_lse: also return ``log sum_j exp(score_j)`` as ``[..., H, L]``, float32 (float64 for float64)
            and -inf for a query without keys; two results over disjoint keys can be joined with it.

    The other arguments and errors are those of :func:`scaled_dot_product_attention`.

    >>> import ccdl, ccdl.nn.functional as F
    >>> q, kv = ccdl.zeros(1, 1, 1, 4), ccdl.zeros(1, 1, 3, 4)
    >>> out, lse = F.attention(q, kv, kv, key_lengths=ccdl.tensor([2]), return_lse=True)
    >>> lse.exp()
    tensor([[[2.]]])
    """
    one_of("attention", "causal_alignment", causal_alignment, ("upper_left", "lower_right"))
    out, lse = _C._attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa,
        lower_right=causal_alignment == "lower_right", key_lengths=key_lengths,
    )  # fmt: skip
    return (out, lse) if flag("attention", "return_lse", return_lse) else out
