"""Which blocks of the matrix of scores a mask touches, as lists of block numbers per row and per column."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

from ... import _C
from ..._C import Tensor

_FIELDS = (
    "kv_num_blocks kv_indices full_kv_num_blocks full_kv_indices q_num_blocks q_indices full_q_num_blocks "
    "full_q_indices"
).split()


def noop_mask(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    """The mask function that allows every key.

    >>> import ccdl
    >>> from ccdl.nn.attention.flex_attention import noop_mask
    >>> zero = ccdl.tensor(0)
    >>> noop_mask(zero, zero, zero, zero)
    tensor(True)
    """
    return batch.new_ones((), dtype=_C.bool)


def _sliced(batch: Tensor, head: Tensor, token_q: Tensor, token_kv: Tensor) -> Tensor:
    raise RuntimeError(
        "BlockMask: a sliced block mask has no mask function, since positions count anew; "
        "set .mask_mod to one for the slice"
    )


def _broken_into_blocks(mask: Tensor, size: tuple[int, ...], separate: bool) -> tuple[Tensor, Tensor | None]:
    """Which blocks of ``mask [B, H, Q, KV]`` have allowed positions (and, apart, which are all allowed)."""
    batch, heads, queries, keys = mask.shape
    rows, columns = -(-queries // size[0]), -(-keys // size[1])
    padded = mask.new_zeros(batch, heads, rows * size[0], columns * size[1], dtype=_C.int32)
    padded[:, :, :queries, :keys] = mask.int()
    count = padded.reshape(batch, heads, rows, size[0], columns, size[1]).sum(dim=(3, 5))
    if not separate:
        return count > 0, None
    full = count == size[0] * size[1]
    return (count > 0) & ~full, full


def _blocks_of(dense: Tensor) -> tuple[Tensor, Tensor]:
    """How many blocks of each row are marked, and their numbers, followed by those of the others."""
    order = dense.int().argsort(dim=-1, descending=True, stable=True)
    return dense.sum(-1).int(), order.int().contiguous()


def _dense(count: Tensor, indices: Tensor) -> Tensor:
    """The marks [..., rows, columns] that :func:`_blocks_of` lists, as int32."""
    columns = _C.arange(indices.shape[-1], device=indices.device)
    listed = (columns < count.unsqueeze(-1)).int()
    return _C.zeros_like(listed).scatter(-1, indices.long(), listed)


def _check_lists(
    count: Tensor, indices: Tensor, full_count: Tensor | None, full_indices: Tensor | None
) -> None:
    if indices.dim() < 2:
        raise RuntimeError(
            f"BlockMask: kv_indices must have at least 2 dimensions, got {list(indices.shape)}"
        )
    if (full_count is None) != (full_indices is None):
        raise AssertionError("BlockMask: give both full_kv_num_blocks and full_kv_indices, or neither")
    for number, table in ((count, indices), (full_count, full_indices)):
        if number is not None and table is not None and number.shape != table.shape[:-1]:
            raise RuntimeError(
                f"BlockMask: the numbers of blocks {list(number.shape)} must be one for each row of the "
                f"indices {list(table.shape)}"
            )


class BlockMask:
    """A mask of attention as lists of the blocks that hold allowed positions.

    ``kv_indices[b, h, i, :kv_num_blocks[b, h, i]]`` are the blocks of keys that the i-th block of queries
    reads and in which ``mask_mod`` decides; ``full_kv_*`` are those allowed as a whole, ``q_*`` the same per
    block of keys.
    ccdl computes attention from ``mask_mod`` alone. Make one with
    :func:`~ccdl.nn.attention.flex_attention.create_block_mask` or :meth:`from_kv_blocks`.

    >>> from ccdl.nn.attention.flex_attention import create_block_mask
    >>> mask = create_block_mask(lambda b, h, q, kv: q >= kv, None, None, 512, 512, device="cpu")
    >>> mask.shape, mask.sparsity()
    ((1, 1, 512, 512), 37.5)
    """

    def __init__(
        self,
        seq_lengths: tuple[int, int],
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None,
        full_kv_indices: Tensor | None,
        q_num_blocks: Tensor | None,
        q_indices: Tensor | None,
        full_q_num_blocks: Tensor | None,
        full_q_indices: Tensor | None,
        BLOCK_SIZE: tuple[int, int] = (128, 128),
        mask_mod: Callable[..., Any] = noop_mask,
    ) -> None:
        _check_lists(kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices)
        if (full_q_num_blocks is None) != (full_q_indices is None):
            raise AssertionError("BlockMask: give both full_q_num_blocks and full_q_indices, or neither")
        self.seq_lengths = seq_lengths
        self.kv_num_blocks = kv_num_blocks
        self.kv_indices = kv_indices
        self.full_kv_num_blocks = full_kv_num_blocks
        self.full_kv_indices = full_kv_indices
        self.q_num_blocks = q_num_blocks
        self.q_indices = q_indices
        self.full_q_num_blocks = full_q_num_blocks
        self.full_q_indices = full_q_indices
        self.BLOCK_SIZE = BLOCK_SIZE
        self.mask_mod = mask_mod

    @classmethod
    def from_kv_blocks(
        cls,
        kv_num_blocks: Tensor,
        kv_indices: Tensor,
        full_kv_num_blocks: Tensor | None = None,
        full_kv_indices: Tensor | None = None,
        BLOCK_SIZE: int | tuple[int, ...] = 128,
        mask_mod: Callable[..., Any] | None = None,
        seq_lengths: tuple[int, int] | None = None,
        compute_q_blocks: bool = True,
    ) -> BlockMask:
        """A mask from the lists per block of queries; those per block of keys are computed.

        >>> import ccdl
        >>> from ccdl.nn.attention.flex_attention import BlockMask
        >>> count, index = ccdl.tensor([[[1, 2]]]).int(), ccdl.tensor([[[[0, 1], [0, 1]]]]).int()
        >>> BlockMask.from_kv_blocks(count, index).q_num_blocks
        tensor([[[2, 1]]], dtype=ccdl.int32)
        """
        _check_lists(kv_num_blocks, kv_indices, full_kv_num_blocks, full_kv_indices)
        size = (BLOCK_SIZE, BLOCK_SIZE) if isinstance(BLOCK_SIZE, int) else tuple(BLOCK_SIZE)
        if seq_lengths is None:
            seq_lengths = (kv_indices.shape[-2] * size[0], kv_indices.shape[-1] * size[1])
        q_num_blocks = q_indices = full_q_num_blocks = full_q_indices = None
        if compute_q_blocks:
            q_num_blocks, q_indices = _blocks_of(_dense(kv_num_blocks, kv_indices).transpose(-2, -1))
            if full_kv_num_blocks is not None and full_kv_indices is not None:
                full = _dense(full_kv_num_blocks, full_kv_indices)
                full_q_num_blocks, full_q_indices = _blocks_of(full.transpose(-2, -1))
        return cls(
            seq_lengths,
            kv_num_blocks,
            kv_indices,
            full_kv_num_blocks,
            full_kv_indices,
            q_num_blocks,
            q_indices,
            full_q_num_blocks,
            full_q_indices,
            BLOCK_SIZE=(size[0], size[1]),
            mask_mod=mask_mod or noop_mask,
        )

    def as_tuple(self, flatten: bool = True) -> tuple[Any, ...]:
        """All parts in the order of the constructor; ``flatten`` spreads the pairs."""
        lengths = self.seq_lengths if flatten else (self.seq_lengths,)
        size = self.BLOCK_SIZE if flatten else (self.BLOCK_SIZE,)
        return (*lengths, *(getattr(self, name) for name in _FIELDS), *size, self.mask_mod)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.kv_indices.shape[:-2], *self.seq_lengths)

    def numel(self) -> int:
        """The number of positions, allowed or not."""
        return math.prod(self.shape)

    def sparsity(self) -> float:
        """The share of positions in no listed block, in percent."""
        listed = int(self.kv_num_blocks.sum())
        if self.full_kv_num_blocks is not None:
            listed += int(self.full_kv_num_blocks.sum())
        return 100 * (1 - listed * self.BLOCK_SIZE[0] * self.BLOCK_SIZE[1] / self.numel())

    def to_dense(self) -> Tensor:
        """The listed blocks as ones of an int32 tensor ``[..., query blocks, key blocks]``."""
        marks = _dense(self.kv_num_blocks, self.kv_indices)
        if self.full_kv_num_blocks is not None and self.full_kv_indices is not None:
            marks = marks | _dense(self.full_kv_num_blocks, self.full_kv_indices)
        return marks

    def to(self, device: Any) -> BlockMask:
        """The same mask with its lists on ``device``."""
        lists = {name: getattr(self, name) for name in _FIELDS}
        moved: dict[str, Any] = {name: t if t is None else t.to(device) for name, t in lists.items()}
        return BlockMask(self.seq_lengths, **moved, BLOCK_SIZE=self.BLOCK_SIZE, mask_mod=self.mask_mod)

    def _adjust(self, new_q_len: int, new_kv_len: int) -> BlockMask:
        rows, columns = -(-new_q_len // self.BLOCK_SIZE[0]), -(-new_kv_len // self.BLOCK_SIZE[1])

        def cut(count: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
            return _blocks_of(_dense(count, indices)[..., :rows, :columns])

        count, indices = cut(self.kv_num_blocks, self.kv_indices)
        full_count = full_indices = None
        if self.full_kv_num_blocks is not None and self.full_kv_indices is not None:
            full_count, full_indices = cut(self.full_kv_num_blocks, self.full_kv_indices)
        return BlockMask.from_kv_blocks(
            count,
            indices,
            full_count,
            full_indices,
            BLOCK_SIZE=self.BLOCK_SIZE,
            mask_mod=self.mask_mod,
            seq_lengths=(new_q_len, new_kv_len),
            compute_q_blocks=self.q_indices is not None,
        )

    def __getitem__(self, index: Any) -> BlockMask:
        index = index if isinstance(index, tuple) else (index,)
        padded = (*index, slice(None), slice(None), slice(None))[:3]
        kept = tuple(
            (slice(i, i + 1) if i >= 0 else slice(i + size, i + size + 1)) if isinstance(i, int) else i
            for i, size in zip(padded, self.kv_num_blocks.shape, strict=False)
        )
        full_count, full_indices = self.full_kv_num_blocks, self.full_kv_indices
        return BlockMask.from_kv_blocks(
            self.kv_num_blocks[kept],
            self.kv_indices[kept],
            None if full_count is None else full_count[kept],
            None if full_indices is None else full_indices[kept],
            BLOCK_SIZE=self.BLOCK_SIZE,
            mask_mod=_sliced,
            seq_lengths=self.seq_lengths,
            compute_q_blocks=self.q_indices is not None,
        )

    def to_string(self, grid_size: int | tuple[int, int] = (20, 20), limit: int = 4) -> str:
        """The listed blocks drawn as squares, at most ``grid_size`` (-1: all) of them, of ``limit`` masks."""
        dense = self.to_dense()
        rows, columns = dense.shape[-2:]
        if grid_size == -1:
            grid_size = (rows, columns)
        height, width = (grid_size, grid_size) if isinstance(grid_size, int) else grid_size
        step, across = max(1, -(-rows // height)), max(1, -(-columns // width))
        pictures = []
        for number, position in enumerate(itertools.product(*map(range, dense.shape[:-2]))):
            if number == limit:
                pictures += ["...", "To print out more, set BlockMask.to_string(limit=N)"]
                break
            picture = f"{position}\n"
            for row in range(0, rows, step):
                for column in range(0, columns, across):
                    share = dense[position][row : row + step, column : column + across].float().mean().item()
                    picture += {0: " ", 1: "█"}.get(share, "░") * 2
                picture += "\n"
            pictures.append(picture)
        return "\n".join(pictures)

    def __str__(self) -> str:
        picture = self.to_string().strip()
        return f"BlockMask(shape={self.shape}, sparsity={self.sparsity():.2f}%, \n{picture}\n)"

    def __repr__(self) -> str:
        sizes = {name: getattr(self, name) for name in _FIELDS}
        lines = [f"{name}={None if tensor is None else tensor.shape}" for name, tensor in sizes.items()]
        lines += [f"BLOCK_SIZE={self.BLOCK_SIZE}", f"shape={self.shape}", f"sparsity={self.sparsity():.2f}%"]
        lines += [f"mask_mod={getattr(self.mask_mod, '__name__', self.mask_mod)}"]
        return "BlockMask(\n    " + ",\n    ".join(lines) + "\n)"
