"""Attention with a function of the caller's on the scores or on the positions, run eagerly."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

from ... import _C
from ..._C import Tensor
from ...autograd import no_grad
from ._block_mask import BlockMask, _blocks_of, _broken_into_blocks, noop_mask

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "FlexKernelOptions",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]

_DEFAULT_SPARSE_BLOCK_SIZE = 128
_score_mod_signature = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]
_mask_mod_signature = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class FlexKernelOptions(TypedDict, total=False):
    """Names of PyTorch's kernel options; all are accepted without effect.

    >>> from ccdl.nn.attention.flex_attention import FlexKernelOptions
    >>> FlexKernelOptions(BLOCK_M=64)
    {'BLOCK_M': 64}
    """

    num_warps: int
    num_stages: int
    BLOCK_M: int
    BLOCK_N: int
    PRESCALE_QK: bool
    ROWS_GUARANTEED_SAFE: bool
    BLOCKS_ARE_CONTIGUOUS: bool
    FORCE_USE_FLEX_ATTENTION: bool
    USE_TMA: bool
    BACKEND: str


class AuxRequest(NamedTuple):
    """What :func:`flex_attention` returns beside its output.

    >>> from ccdl.nn.attention.flex_attention import AuxRequest
    >>> AuxRequest(lse=True)
    AuxRequest(lse=True, max_scores=False)
    """

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """The parts asked for by an :class:`AuxRequest`; the others are None.

    >>> from ccdl.nn.attention.flex_attention import AuxOutput
    >>> AuxOutput().lse is None
    True
    """

    lse: Tensor | None = None
    max_scores: Tensor | None = None


def _positional_arguments(mod_fn: Callable[..., Any]) -> int:
    count = sum(
        parameter.default is inspect.Parameter.empty
        and parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        for parameter in inspect.signature(mod_fn).parameters.values()
    )
    if count not in (4, 5):
        raise AssertionError(
            f"create_mask: mod_fn must take (b, h, q_idx, kv_idx) or (score, b, h, q_idx, kv_idx), "
            f"got a function of {count} positional arguments"
        )
    return count


def _samples(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Positions that show whether a function may be called with whole tensors: corners and some between."""
    corners = itertools.product(*(sorted({0, size - 1}) for size in shape))
    between = [tuple((7 * i + 3 * axis + 1) % size for axis, size in enumerate(shape)) for i in range(8)]
    return list(dict.fromkeys([*corners, *between]))


def _evaluate(
    function: Callable[..., Any], scores: Tensor | None, shape: tuple[int, ...], device: Any
) -> Tensor:
    """``function`` at every position (b, h, q, kv); it is defined for single positions, 0-d tensors.

    Functions of elementwise operators and look-ups give the same in one call with index tensors that
    broadcast. Whether this one does is looked at in some positions; if not, it is called for each.
    """
    axes = [_C.arange(size, device=device) for size in shape]

    def at(position: tuple[int, ...]) -> Any:
        indices = [axis[i] for axis, i in zip(axes, position, strict=True)]
        return function(*indices) if scores is None else function(scores[position], *indices)

    def whole() -> Tensor:
        grid = [axis.reshape([-1 if i == j else 1 for j in range(4)]) for i, axis in enumerate(axes)]
        values = function(*grid) if scores is None else function(scores, *grid)
        return _C.broadcast_to(_C.as_tensor(values, device=device), shape)

    if 0 in shape:
        return _C.zeros(shape, dtype=_C.bool, device=device) if scores is None else scores
    try:
        values = whole()
    except Exception:  # whatever it is, the call at a single position decides
        values = None
    if values is not None:
        with no_grad():
            if all(_same(values[position], at(position)) for position in _samples(shape)):
                return values
    single = [_C.as_tensor(at(position), device=device) for position in itertools.product(*map(range, shape))]
    return _C.stack(single).reshape(shape)


def _same(value: Tensor, expected: Any) -> bool:
    expected = _C.as_tensor(expected, device=value.device)
    if expected.numel() != 1:
        return False
    a, b = value.item(), expected.item()
    return a == b or (a != a and b != b) or math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-6)


def create_mask(
    mod_fn: Callable[..., Any], B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None
) -> Tensor:
    """The bool mask ``[B, H, Q_LEN, KV_LEN]`` of a mask or score function: True where a query may attend.

    Args:
        mod_fn: ``(b, h, q_idx, kv_idx) -> bool``, or ``(score, b, h, q_idx, kv_idx) -> score``, whose mask is
            where it does not give minus infinity.
        B: batch size; None is 1.
        H: number of heads; None is 1.
        Q_LEN: number of queries.
        KV_LEN: number of keys.
        device: where the positions and the mask live; by default the accelerator where there is one.

    Raises:
        AssertionError: ``mod_fn`` takes neither four nor five arguments.

    >>> from ccdl.nn.attention.flex_attention import create_mask
    >>> create_mask(lambda b, h, q, kv: q >= kv, None, None, 2, 3, device="cpu")
    tensor([[[[ True, False, False],
              [ True,  True, False]]]])
    """
    device = _device(device)
    shape = (1 if B is None else B, 1 if H is None else H, Q_LEN, KV_LEN)
    if _positional_arguments(mod_fn) == 4:
        return _evaluate(mod_fn, None, shape, device)
    return ~_evaluate(mod_fn, _C.zeros(shape, device=device), shape, device).isneginf()


def _device(device: Any) -> Any:
    if device is not None:
        return device
    from ... import accelerator

    return accelerator.current_accelerator() or "cpu"


def create_block_mask(
    mask_mod: Callable[..., Any],
    B: int | None,
    H: int | None,
    Q_LEN: int,
    KV_LEN: int,
    device: Any = None,
    BLOCK_SIZE: int | tuple[int, int] = _DEFAULT_SPARSE_BLOCK_SIZE,
    _compile: bool = False,
    separate_full_blocks: bool = True,
    compute_dq_write_order: bool = False,
    dq_kv_order: bool = True,
) -> BlockMask:
    """A :class:`BlockMask` of the positions where ``mask_mod(b, h, q_idx, kv_idx)`` is true.

    Args:
        mask_mod: called with int64 positions, gives a bool tensor.
        B: batch size; None where the mask is the same for all.
        H: number of heads; None where the mask is the same for all.
        Q_LEN: number of queries.
        KV_LEN: number of keys.
        device: where the mask lives; by default the accelerator where there is one.
        BLOCK_SIZE: the size of a block, or (queries, keys).
        separate_full_blocks: list blocks without a masked position apart.

    ``_compile``, ``compute_dq_write_order`` and ``dq_kv_order`` are for PyTorch's compiler: no effect.

    Raises:
        AssertionError: ``mask_mod`` takes other than four arguments.

    >>> from ccdl.nn.attention.flex_attention import create_block_mask
    >>> create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 256, 256, device="cpu").kv_num_blocks
    tensor([[[1, 1]]], dtype=ccdl.int32)
    """
    if _positional_arguments(mask_mod) != 4:
        raise AssertionError(
            f"create_block_mask: mask_mod must take (b, h, q_idx, kv_idx), got {inspect.signature(mask_mod)}"
        )
    size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
    mask = create_mask(mask_mod, B, H, Q_LEN, KV_LEN, device)
    partial, full = _broken_into_blocks(mask, size, separate_full_blocks)
    count, indices = _blocks_of(partial)
    full_count, full_indices = (None, None) if full is None else _blocks_of(full)
    return BlockMask.from_kv_blocks(
        count,
        indices,
        full_count,
        full_indices,
        BLOCK_SIZE=size,
        mask_mod=mask_mod,
        seq_lengths=(Q_LEN, KV_LEN),
    )


def or_masks(*mask_mods: Callable[..., Any]) -> Callable[..., Any]:
    """A mask function that is true where one of ``mask_mods`` is.

    Raises:
        RuntimeError: one of them is not callable.

    >>> from ccdl.nn.attention.flex_attention import create_mask, or_masks
    >>> mask = or_masks(lambda b, h, q, kv: q == kv, lambda b, h, q, kv: kv < 1)
    >>> create_mask(mask, None, None, 3, 3, device="cpu").int().tolist()
    [[[[1, 0, 0], [1, 1, 0], [1, 0, 1]]]]
    """
    return _joined("or_masks", mask_mods, False, lambda a, b: a | b)


def and_masks(*mask_mods: Callable[..., Any]) -> Callable[..., Any]:
    """A mask function that is true where all of ``mask_mods`` are.

    Raises:
        RuntimeError: one of them is not callable.

    >>> from ccdl.nn.attention.flex_attention import and_masks, create_mask
    >>> mask = and_masks(lambda b, h, q, kv: q >= kv, lambda b, h, q, kv: q - kv < 2)
    >>> create_mask(mask, None, None, 3, 3, device="cpu").int().tolist()
    [[[[1, 0, 0], [1, 1, 0], [0, 1, 1]]]]
    """
    return _joined("and_masks", mask_mods, True, lambda a, b: a & b)


def _joined(
    name: str, mask_mods: tuple[Callable[..., Any], ...], start: bool, join: Callable[..., Any]
) -> Callable[..., Any]:
    if not all(callable(mask_mod) for mask_mod in mask_mods):
        raise RuntimeError(f"{name}: all inputs should be callable mask functions: {mask_mods}")

    def mask(b: Tensor, h: Tensor, q_idx: Tensor, kv_idx: Tensor) -> Tensor:
        value = b.new_full((), start, dtype=_C.bool)
        for mask_mod in mask_mods:
            value = join(value, mask_mod(b, h, q_idx, kv_idx))
        return value

    return mask


def _check(query: Tensor, key: Tensor, value: Tensor, block_mask: Any, enable_gqa: bool) -> None:
    shapes = f"(query {list(query.shape)}, key {list(key.shape)}, value {list(value.shape)})"
    if query.device != key.device or query.device != value.device:
        raise ValueError(
            "flex_attention: expected query, key, and value to have the same device type, "
            f"got {query.device}, {key.device} and {value.device}"
        )
    if query.dtype != key.dtype or query.dtype != value.dtype:
        raise ValueError(
            "flex_attention: expected query, key, and value to have the same dtype, "
            f"got {query.dtype}, {key.dtype} and {value.dtype}"
        )
    if not query.is_floating_point():
        raise ValueError(
            f"flex_attention: expected floating point tensors, got {query.dtype}; convert with .float()"
        )
    if query.dim() != 4 or key.dim() != 4 or value.dim() != 4:
        raise NotImplementedError(f"flex_attention: query, key, and value must be 4D tensors {shapes}")
    if query.shape[-1] != key.shape[-1]:
        raise ValueError(f"flex_attention: query and key must have the same embedding dimension {shapes}")
    if key.shape[:3] != value.shape[:3]:
        raise ValueError(f"flex_attention: key and value must agree in batch, heads and length {shapes}")
    if query.shape[0] != key.shape[0] and not (query.shape[0] > 1 and key.shape[0] == 1):
        raise RuntimeError(f"flex_attention: batch sizes of query and key must broadcast {shapes}")
    heads, kv_heads = query.shape[1], key.shape[1]
    if heads != kv_heads and not enable_gqa:
        raise ValueError(
            "flex_attention: expect query and key/value to have the same number of heads, "
            f"got {heads} and {kv_heads}. Try setting enable_gqa=True for GQA."
        )
    if kv_heads == 0 or heads % kv_heads:
        raise ValueError(
            f"flex_attention: the {heads} heads of query must be a multiple of the {kv_heads} heads of key"
        )
    if block_mask is None:
        return
    if not isinstance(block_mask, BlockMask):
        raise TypeError(
            f"flex_attention: block_mask must be a BlockMask, got {type(block_mask).__name__}; "
            "create_block_mask makes one"
        )
    if block_mask.shape[-2] < query.shape[2] or block_mask.shape[-1] < key.shape[2]:
        raise ValueError(
            f"flex_attention: block_mask was created for block_mask.shape={tuple(block_mask.shape)} but got "
            f"q_len={query.shape[2]} and kv_len={key.shape[2]}; create a new block mask for these"
        )
    for axis, (have, need) in enumerate(zip(block_mask.shape[:-2], query.shape[:2], strict=False)):
        if have not in (1, need):
            raise ValueError(
                f"flex_attention: block_mask was created for {have} {('samples', 'heads')[axis]}, "
                f"query has {need}"
            )


def flex_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Any] | None = None,
    block_mask: BlockMask | None = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: FlexKernelOptions | None = None,
    *,
    return_aux: AuxRequest | None = None,
) -> Any:
    """Attention whose scores pass through a function: softmax(score_mod(scale q k^T)) v over allowed keys.

    ``query`` is ``[B, Hq, L, E]``, ``key`` ``[B or 1, Hkv, S, E]``, ``value`` ``[B or 1, Hkv, S, Ev]``,
    all of one floating dtype; the output is ``[B, Hq, L, Ev]``. The matrix of scores is made, in float32
    (float64 for float64). A query without an allowed key gives zeros.

    Args:
        score_mod: ``(score, b, h, q_idx, kv_idx) -> score``, written for one position; what it captures is
            differentiated too. Operators and look-ups run once on whole tensors, other functions once per
            position.
        block_mask: from :func:`create_block_mask`; its mask function says which keys are allowed.
        scale: by default 1 / sqrt(E).
        enable_gqa: allow Hq to be a multiple of Hkv; query head h reads key head h // (Hq / Hkv).
        return_lse: also return the logarithm of the sum of exponentials, ``[B, Hq, L]``.
        kernel_options: accepted without effect.
        return_aux: which further parts to return, as an :class:`AuxOutput`.

    Raises:
        ValueError: dtypes, devices, embedding sizes or heads that do not fit, or a block mask too short.
        NotImplementedError: a tensor that is not 4-dimensional.
        TypeError: ``block_mask`` is no BlockMask.

    Source: Dong et al. 2024, arXiv:2412.05496.

    >>> import ccdl
    >>> from ccdl.nn.attention.flex_attention import create_block_mask, flex_attention
    >>> q, v = ccdl.zeros(1, 1, 2, 4), ccdl.tensor([[1.0], [3.0]]).reshape(1, 1, 2, 1)
    >>> causal = create_block_mask(lambda b, h, i, j: i >= j, None, None, 2, 2, device="cpu")
    >>> flex_attention(q, q, v, block_mask=causal).flatten().tolist()
    [1.0, 2.0]
    """
    _check(query, key, value, block_mask, enable_gqa)
    scale = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    shape = (*query.shape[:3], key.shape[2])
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    precision = _C.float64 if query.dtype == _C.float64 else _C.float32
    scores = (query.to(precision) @ key.to(precision).transpose(-2, -1)) * scale
    if score_mod is not None:
        scores = _evaluate(score_mod, scores, shape, query.device).to(precision)
    if block_mask is not None and block_mask.mask_mod is not noop_mask:
        allowed = _evaluate(block_mask.mask_mod, None, shape, query.device).bool()
        scores = scores.masked_fill(~allowed, -math.inf)
    empty = (scores == -math.inf).all(dim=-1, keepdim=True)
    weights = scores.masked_fill(empty, 0.0).softmax(-1).masked_fill(empty, 0.0)
    output = weights.to(query.dtype) @ value
    if return_aux is None and not return_lse:
        return output
    lse = maximum = None
    if return_lse or (return_aux is not None and return_aux.lse):
        lse = scores.masked_fill(empty, 0.0).logsumexp(-1).masked_fill(empty.squeeze(-1), -math.inf)
    if return_aux is not None and return_aux.max_scores:
        maximum = scores.amax(-1)
    return (output, lse) if return_aux is None else (output, AuxOutput(lse, maximum))
