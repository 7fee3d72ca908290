"""Multi-head attention from projections to output, over batches in either layout.

[L, N, E] and [N, L, E] are both split into heads as views [N, H, L, D]; nothing is transposed in memory.
Source: 000; Vaswani et al., 2017.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ... import _C
from ..._C import Tensor
from ...errors import ShapeError
from .attention import scaled_dot_product_attention
from .dropout import dropout
from .linear import linear

__all__ = ["multi_head_attention_forward"]

_OP = "multi_head_attention_forward"


def _check_mask(name, mask, shapes, batched):
    """A mask is bool or floating and has one of ``shapes``."""
    if not isinstance(mask, Tensor):
        raise TypeError(f"{_OP}: {name} is {type(mask).__name__}, must be a Tensor or None")
    if mask.dtype is not _C.bool and not mask.is_floating_point():
        raise AssertionError(f"{_OP}: {name} has dtype {mask.dtype}, must be bool or floating")
    for shape in shapes:
        if tuple(mask.shape) == shape:
            return
    wanted = " or ".join(str(list(shape)) for shape in shapes)
    ranks = (2, 3) if batched else (2,)
    kind = ShapeError if name == "attn_mask" and mask.dim() in ranks else AssertionError
    raise kind(f"{_OP}: the shape of {name} is {list(mask.shape)}, but should be {wanted}")


def _additive(mask, dtype):
    """A mask to be added to the scores: bool True (no attention) becomes -inf."""
    if mask.dtype is _C.bool:
        return _C.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(mask, -math.inf)
    return mask.to(dtype)


def _merge(attn_mask, padding, n, heads, dtype):
    """One mask [N or 1, H or 1, L or 1, S], bool (True: attend) if all parts are bool, else additive; or
    None.
    """
    parts = []
    if attn_mask is not None:
        if attn_mask.dim() == 2:
            parts.append(attn_mask[None, None])
        else:
            parts.append(attn_mask.reshape(n, heads, *attn_mask.shape[1:]))
    if padding is not None:
        parts.append(padding[:, None, None])
    if not parts:
        return None
    if all(p.dtype is _C.bool for p in parts):
        return ~(parts[0] if len(parts) == 1 else parts[0] | parts[1])
    if len(parts) == 2 and parts[0].dtype is not parts[1].dtype:
        warnings.warn(
            f"{_OP}: key_padding_mask and attn_mask have different types; use the same for both", stacklevel=4
        )
    parts = [_additive(p, dtype) for p in parts]
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]


def _extend(x, rows, dim):
    """``rows`` appended along ``dim``."""
    return _C.cat([x, rows], dim)


def _project(query, key, value, weights, bias, packed):
    """q, k, v of all heads; one product where query, key and value are the same tensor."""
    if packed is not None and key is value:
        e = packed.shape[0] // 3
        if query is key:
            return linear(query, packed, bias).unflatten(-1, (3, e)).unbind(-2)
        q = linear(query, packed[:e], None if bias is None else bias[:e])
        k, v = (
            linear(key, packed[e:], None if bias is None else bias[e:])
            .unflatten(-1, (2, packed.shape[0] // 3))
            .unbind(-2)
        )
        return q, k, v
    if packed is not None:
        weights = packed.chunk(3)
    else:
        for name, x, w in zip(("query", "key", "value"), (query, key, value), weights):
            if x.shape[-1] != w.shape[-1]:
                raise AssertionError(f"{_OP}: {name} is {list(x.shape)}, but its weight is {list(w.shape)}")
    biases = (None, None, None) if bias is None else bias.chunk(3)
    return tuple(linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases))


def _check_inputs(query, key, value, key_padding_mask, attn_mask, embed_dim, heads, batch_dim):
    for name, x in (("query", query), ("key", key), ("value", value)):
        if not isinstance(x, Tensor):
            raise TypeError(f"{_OP}: {name} is {type(x).__name__}, must be a Tensor")
    if query.dim() not in (2, 3):
        raise AssertionError(
            f"{_OP}: query has shape {list(query.shape)}, must be [L, E] or 3-dimensional with a batch"
        )
    if key.dim() != query.dim() or value.dim() != query.dim():
        raise AssertionError(
            f"{_OP}: for a {query.dim()}-D query, key and value must be {query.dim()}-D as well, "
            f"got {key.dim()}-D and {value.dim()}-D"
        )
    if query.shape[-1] != embed_dim:
        raise AssertionError(
            f"{_OP}: was expecting embedding dimension of {embed_dim}, but got {query.shape[-1]} "
            f"(query {list(query.shape)})"
        )
    if not isinstance(heads, int) or heads <= 0 or embed_dim % heads:
        raise AssertionError(f"{_OP}: embed_dim {embed_dim} not divisible by num_heads {heads}")
    if tuple(key.shape[:-1]) != tuple(value.shape[:-1]):
        raise AssertionError(
            f"{_OP}: key {list(key.shape)} and value {list(value.shape)} must agree in all but the last size"
        )
    batched = query.dim() == 3
    if batched and key.shape[batch_dim] != query.shape[batch_dim]:
        raise ShapeError(
            f"{_OP}: query {list(query.shape)} and key {list(key.shape)} must have the same batch size"
        )
    time = 1 - batch_dim if batched else 0
    length, source = query.shape[time], key.shape[time]
    n = query.shape[batch_dim] if batched else 1
    if attn_mask is not None:
        _check_mask("attn_mask", attn_mask, ((length, source), (n * heads, length, source)), batched)
    if key_padding_mask is not None:
        wanted = ((n, source),) if batched else ((source,),)
        _check_mask("key_padding_mask", key_padding_mask, wanted, batched)


def _static(name, x, n, heads, size):
    """Ready heads [N H, S, D] as [N, H, S, D]."""
    if x.dim() != 3 or x.shape[0] != n * heads or x.shape[2] != size:
        raise AssertionError(f"{_OP}: {name} has shape {list(x.shape)}, must be [{n * heads}, S, {size}]")
    return x.reshape(n, heads, x.shape[1], size)


def multi_head(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_heads: int,
    packed: Any,
    weights: Any,
    bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_weight: Tensor,
    out_bias: Any,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
    batch_dim: int = 1,
) -> Any:
    """The work of :func:`multi_head_attention_forward`, with the batch in dimension ``batch_dim`` (0 or
    1).
    """
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    _check_inputs(query, key, value, key_padding_mask, attn_mask, embed_dim, num_heads, batch_dim)
    batched = query.dim() == 3
    q, k, v = _project(query, key, value, weights, bias, packed)
    time = 1 - batch_dim
    if not batched:
        q, k, v = (x.unsqueeze(batch_dim) for x in (q, k, v))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    n, length, size = q.shape[batch_dim], q.shape[time], embed_dim // num_heads
    # the hint alone is enough where nothing else masks; appended keys are seen by every query
    causal = is_causal and key_padding_mask is None and not need_weights
    causal = causal and bias_k is None and not add_zero_attn and length == k.shape[time]
    mask = None if causal else _merge(attn_mask, key_padding_mask, n, num_heads, q.dtype)
    appended = 0
    if bias_k is not None and bias_v is not None:
        if static_k is not None or static_v is not None:
            raise AssertionError(f"{_OP}: bias_k and bias_v cannot be added to static_k and static_v")
        shape = (n, 1, embed_dim) if batch_dim == 0 else (1, n, embed_dim)
        k, v = _extend(k, bias_k.expand(shape), time), _extend(v, bias_v.expand(shape), time)
        appended += 1
    order = (0, 2, 1, 3) if batch_dim == 0 else (1, 2, 0, 3)
    q, k, v = (x.unflatten(-1, (num_heads, size)).permute(order) for x in (q, k, v))
    k = k if static_k is None else _static("static_k", static_k, n, num_heads, size)
    v = v if static_v is None else _static("static_v", static_v, n, num_heads, size)
    if add_zero_attn:
        zeros = _C.zeros((n, num_heads, 1, size), dtype=k.dtype, device=k.device)
        k, v = _extend(k, zeros, 2), _extend(v, zeros, 2)
        appended += 1
    if mask is not None and appended:
        free = _C.zeros((*mask.shape[:3], appended), dtype=mask.dtype, device=mask.device)
        mask = _extend(mask, ~free if mask.dtype is _C.bool else free, 3)
    p = None
    if need_weights:
        scores = _C.matmul(q * math.sqrt(1.0 / size), k.transpose(-2, -1))
        if mask is not None:
            scores = scores.masked_fill(~mask, -math.inf) if mask.dtype is _C.bool else scores + mask
        p = _C.softmax(scores, -1)
        p = dropout(p, dropout_p) if dropout_p > 0 else p
        y = _C.matmul(p, v)
    else:
        y = scaled_dot_product_attention(q, k, v, mask, dropout_p, causal)
    back = (0, 2, 1, 3) if batch_dim == 0 else (2, 0, 1, 3)
    y = linear(y.permute(back).flatten(-2), out_weight, out_bias)
    if p is not None and average_attn_weights:
        p = p.mean(1)
    if batched:
        return y, p
    return y.squeeze(batch_dim), p if p is None else p.squeeze(0)


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Any]:
    """MultiHead(Q, K, V) = [H_1 ... H_n] W^O with H_i = softmax(Q_i K_i^T / sqrt(D)) V_i, Q_i = Q W_i^Q etc.

    Args:
        query: [L, N, E], or [L, E] without batch.
        key, value: [S, N, E_k] and [S, N, E_v], or without N.
        embed_dim_to_check: E.
        num_heads: heads of size D = E / num_heads.
        in_proj_weight: [3 E, E], rows for q, k, v; ``in_proj_bias`` [3 E] or None.
        bias_k, bias_v: [1, 1, E], one more key and value that every query may see; or None.
        add_zero_attn: one more key and value of zeros.
        dropout_p: of the attention weights, in training.
        key_padding_mask: [N, S] ([S]); bool: True keys are not seen, floating: added to the scores.
        need_weights: also return the weights, which then have to be held in memory as a whole.
        attn_mask: [L, S] or [N * num_heads, L, S], bool or floating as above.
        use_separate_proj_weight: use ``q_proj_weight`` [E, E], ``k_proj_weight`` [E, E_k], ``v_proj_weight``
            [E, E_v] instead of ``in_proj_weight``.
        static_k, static_v: [N * num_heads, S, D], used instead of the projected ones.
        average_attn_weights: weights [N, L, S], averaged over heads; else [N, num_heads, L, S].
        is_causal: says that ``attn_mask``, which must be given, is the causal mask.

    Returns:
        output [L, N, E] and the weights or None.

    Source: 000; Vaswani et al., 2017.

    >>> import ccdl, ccdl.nn.functional as F
    >>> x, w = ccdl.ones(3, 2, 4), ccdl.zeros(12, 4)
    >>> y, p = F.multi_head_attention_forward(x, x, x, 4, 2, w, None, None, None, False, 0.0, w[:4], None)
    >>> y.shape, p[0, 0]
    (ccdl.Size([3, 2, 4]), tensor([0.3333, 0.3333, 0.3333]))
    """
    separate = (q_proj_weight, k_proj_weight, v_proj_weight)
    if use_separate_proj_weight:
        if any(w is None for w in separate):
            raise AssertionError(
                f"{_OP}: use_separate_proj_weight is True but q_proj_weight, k_proj_weight or v_proj_weight "
                "is None"
            )
    elif in_proj_weight is None:
        raise AssertionError(f"{_OP}: use_separate_proj_weight is False but in_proj_weight is None")
    return multi_head(
        query,
        key,
        value,
        embed_dim_to_check,
        num_heads,
        None if use_separate_proj_weight else in_proj_weight,
        separate,
        in_proj_bias,
        bias_k,
        bias_v,
        add_zero_attn,
        dropout_p if training else 0.0,
        out_proj_weight,
        out_proj_bias,
        key_padding_mask,
        need_weights,
        attn_mask,
        static_k,
        static_v,
        average_attn_weights,
        is_causal,
    )
