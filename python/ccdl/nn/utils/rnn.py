"""Sequences of different lengths: padded tensors, packed ones, and lists, into one another.

A packed sequence holds the elements of all sequences step by step, without padding: first every sequence's
element 0 (longest sequence first), then element 1 of those that have one, and so on; ``batch_sizes[t]`` says
how many have an element t.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ... import _C
from ..._C import Tensor

__all__ = [
    "PackedSequence",
    "invert_permutation",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpack_sequence",
    "unpad_sequence",
]


class _Fields(NamedTuple):
    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None
    unsorted_indices: Tensor | None


class PackedSequence(_Fields):
    """Sequences packed by time; made by :func:`pack_padded_sequence` and :func:`pack_sequence`.

    Attributes:
        data: [N, ...], N the sum of all lengths.
        batch_sizes: int64 on the CPU, one entry per step, never growing.
        sorted_indices: where each packed sequence was in the caller's batch; None when it was sorted already.
        unsorted_indices: the inverse permutation.

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import pack_sequence
    >>> p = pack_sequence([ccdl.tensor([1, 2, 3]), ccdl.tensor([4, 5])])
    >>> p.data, p.batch_sizes
    (tensor([1, 4, 2, 5, 3]), tensor([2, 2, 1]))
    """

    __slots__ = ()

    def __new__(
        cls,
        data: Any,
        batch_sizes: Tensor | None = None,
        sorted_indices: Tensor | None = None,
        unsorted_indices: Tensor | None = None,
    ) -> PackedSequence:
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise TypeError("PackedSequence: batch_sizes is missing")
            data, batch_sizes = data
        if batch_sizes.device.type != "cpu":
            raise ValueError(
                "PackedSequence: batch_sizes should always be on CPU, got a tensor on "
                f"{batch_sizes.device}; packed sequences come from pack_sequence and pack_padded_sequence"
            )
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def _with(self, data: Tensor) -> PackedSequence:
        """The same sequences with other data; the permutations follow it to its device."""
        if data is self.data:
            return self
        order, inverse = self.sorted_indices, self.unsorted_indices
        if order is not None and inverse is not None:
            order, inverse = order.to(data.device), inverse.to(data.device)
        return type(self)(data, self.batch_sizes, order, inverse)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """``data.to(...)`` with the permutations on the same device; itself when nothing changes."""
        return self._with(self.data.to(*args, **kwargs))

    def cuda(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """On a CUDA device; arguments as ``Tensor.cuda``."""
        return self._with(self.data.cuda(*args, **kwargs))

    def cpu(self) -> PackedSequence:
        """In host memory."""
        return self._with(self.data.cpu())

    def pin_memory(self) -> PackedSequence:
        """In page-locked host memory."""
        return self._with(self.data.pin_memory())

    def double(self) -> PackedSequence:
        """As float64."""
        return self.to(_C.float64)

    def float(self) -> PackedSequence:
        """As float32."""
        return self.to(_C.float32)

    def half(self) -> PackedSequence:
        """As float16."""
        return self.to(_C.float16)

    def bfloat16(self) -> PackedSequence:
        """As bfloat16."""
        return self.to(_C.bfloat16)

    def long(self) -> PackedSequence:
        """As int64."""
        return self.to(_C.int64)

    def int(self) -> PackedSequence:
        """As int32."""
        return self.to(_C.int32)

    def short(self) -> PackedSequence:
        """As int16."""
        return self.to(_C.int16)

    def char(self) -> PackedSequence:
        """As int8."""
        return self.to(_C.int8)

    def byte(self) -> PackedSequence:
        """As uint8."""
        return self.to(_C.uint8)

    @property
    def is_cuda(self) -> bool:
        """True when the data is on a CUDA device."""
        return self.data.is_cuda

    def is_pinned(self) -> bool:
        """True when the data is in page-locked memory."""
        return self.data.is_pinned()


def invert_permutation(permutation: Tensor | None) -> Tensor | None:
    """The permutation that undoes ``permutation`` (1-d int64); None for None.

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import invert_permutation
    >>> invert_permutation(ccdl.tensor([2, 0, 1]))
    tensor([1, 2, 0])
    """
    if permutation is None:
        return None
    places = _C.arange(permutation.numel(), dtype=permutation.dtype, device=permutation.device)
    return _C.empty_like(permutation).scatter_(0, permutation, places)


def _checked_lengths(input: Tensor, lengths: Any, batch_first: bool) -> Tensor:
    op = "pack_padded_sequence"
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}: input must be a Tensor, got {type(input).__name__}")
    if input.dim() < 2:
        raise RuntimeError(f"{op}: input must have a time and a batch dimension, got {list(input.shape)}")
    if not isinstance(lengths, Tensor):
        lengths = _C.tensor([int(n) for n in lengths], dtype=_C.int64, device="cpu")
    lengths = lengths.to(_C.int64)
    if lengths.dim() != 1 or lengths.device.type != "cpu":
        raise RuntimeError(
            f"{op}: 'lengths' argument should be a 1D CPU int64 tensor, got {list(lengths.shape)} on "
            f"{lengths.device}"
        )
    batch, steps = input.shape[0 if batch_first else 1], input.shape[1 if batch_first else 0]
    if not input.numel():
        raise RuntimeError(f"{op}: Cannot pack empty tensors, got input {list(input.shape)}")
    if lengths.numel() != batch:
        raise RuntimeError(
            f"{op}: Expected `len(lengths)` to be equal to batch_size, but got {lengths.numel()} "
            f"(batch_size={batch})"
        )
    shortest, longest = int(lengths.min()), int(lengths.max())
    if shortest <= 0:
        raise RuntimeError(
            f"{op}: Length of all samples has to be greater than 0, but found an element in 'lengths' that "
            f"is <= 0: {shortest}"
        )
    if longest > steps:
        raise RuntimeError(f"{op}: lengths must not exceed the {steps} steps of input, got {longest}")
    return lengths


def pack_padded_sequence(
    input: Tensor, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """A padded batch without its padding.

    Args:
        input: [T, B, ...], or [B, T, ...] with ``batch_first``.
        lengths: B positive ints, list or CPU tensor, at most T.
        batch_first: batch dimension first.
        enforce_sorted: lengths must come in decreasing order; False sorts them and remembers the order.

    Raises:
        RuntimeError: lengths that are not positive, too long, not one per sequence, or not sorted.

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import pack_padded_sequence
    >>> x = ccdl.tensor([[1, 2, 0], [3, 0, 0], [4, 5, 6]])
    >>> p = pack_padded_sequence(x, [2, 1, 3], batch_first=True, enforce_sorted=False)
    >>> p.data, p.sorted_indices
    (tensor([4, 1, 3, 5, 2, 6]), tensor([2, 0, 1]))
    """
    lengths = _checked_lengths(input, lengths, batch_first)
    sorted_indices = None
    if enforce_sorted:
        if lengths.numel() > 1 and bool((lengths[1:] > lengths[:-1]).any()):
            raise RuntimeError(
                "pack_padded_sequence: `lengths` array must be sorted in decreasing order when "
                "`enforce_sorted` is True; pass enforce_sorted=False"
            )
    else:
        lengths, order = _C.sort(lengths, descending=True, stable=True)
        sorted_indices = order.to(input.device)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if batch_first:
        input = input.transpose(0, 1)
    steps, batch = int(lengths[0]), lengths.numel()
    live = _C.arange(steps, device="cpu").unsqueeze(1) < lengths
    batch_sizes = live.sum(1)
    rows = input[:steps].reshape(steps * batch, *input.shape[2:])
    if int(lengths[-1]) < steps:
        rows = rows.index_select(0, live.reshape(-1).nonzero().squeeze(1).to(input.device))
    return PackedSequence(rows, batch_sizes, sorted_indices, None)


def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The padded batch and its lengths, in the order of the caller's original batch.

    Args:
        sequence: a packed sequence.
        batch_first: result [B, T, ...] instead of [T, B, ...].
        padding_value: fills what no sequence reaches.
        total_length: T of the result, at least the longest length.

    Raises:
        ValueError: total_length below the longest length.

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import pack_sequence, pad_packed_sequence
    >>> p = pack_sequence([ccdl.tensor([1, 2]), ccdl.tensor([3])])
    >>> pad_packed_sequence(p, batch_first=True, padding_value=-1)
    (tensor([[ 1,  2],
            [ 3, -1]]), tensor([2, 1]))
    """
    if not isinstance(sequence, PackedSequence):
        raise TypeError(
            f"pad_packed_sequence: sequence is {type(sequence).__name__}, must be a PackedSequence"
        )
    data, batch_sizes = sequence.data, sequence.batch_sizes
    longest = batch_sizes.numel()
    total = longest if total_length is None else total_length
    if total < longest:
        raise ValueError(
            "pad_packed_sequence: Expected total_length to be at least the length of the longest sequence in "
            f"input, but got total_length={total} and max sequence length being {longest}"
        )
    batch = int(batch_sizes[0])
    live = _C.arange(batch, device="cpu") < batch_sizes.unsqueeze(1)
    lengths = live.sum(0)
    if data.shape[0] == longest * batch:
        padded = data
    else:
        places = live.reshape(-1).nonzero().squeeze(1).to(data.device)
        padded = data.new_full((longest * batch, *data.shape[1:]), padding_value)
        padded = padded.index_copy(0, places, data)
    padded = padded.reshape(longest, batch, *data.shape[1:])
    if total > longest:
        rest = data.new_full((total - longest, batch, *data.shape[1:]), padding_value)
        padded = _C.cat([padded, rest], 0)
    if batch_first:
        padded = padded.transpose(0, 1)
    if sequence.unsorted_indices is not None:
        padded = padded.index_select(0 if batch_first else 1, sequence.unsorted_indices)
        lengths = lengths[sequence.unsorted_indices.cpu()]
    return padded, lengths


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Tensor:
    """A list of sequences [L_i, ...] as one padded tensor [T, B, ...] (or [B, T, ...]), T the longest length.

    Args:
        sequences: tensors that agree in all dimensions but the first.
        batch_first: result [B, T, ...].
        padding_value: fills the rest.
        padding_side: 'right' pads behind the sequences, 'left' before them.

    Raises:
        RuntimeError: nothing to pad, trailing dimensions that differ, an unknown side.

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import pad_sequence
    >>> pad_sequence([ccdl.tensor([1, 2, 3]), ccdl.tensor([4])], batch_first=True)
    tensor([[1, 2, 3],
            [4, 0, 0]])
    """
    if not isinstance(sequences, Iterable):
        raise RuntimeError(
            f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}"
        )
    items = list(sequences)
    if not items:
        raise RuntimeError("pad_sequence: received an empty list of sequences")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"pad_sequence: padding_side must be 'left' or 'right', got {padding_side!r}")
    for i, item in enumerate(items):
        if not isinstance(item, Tensor):
            raise TypeError(f"pad_sequence: sequence {i} must be a Tensor, got {type(item).__name__}")
        if item.dim() == 0 or item.shape[1:] != items[0].shape[1:]:
            raise RuntimeError(
                f"pad_sequence: sequence {i} has shape {list(item.shape)}, all must agree with "
                f"{list(items[0].shape)} in everything but the first dimension"
            )
    longest = max(item.shape[0] for item in items)
    padded = []
    for item in items:
        if item.shape[0] < longest:
            rest = item.new_full((longest - item.shape[0], *item.shape[1:]), padding_value)
            item = _C.cat([item, rest] if padding_side == "right" else [rest, item], 0)
        padded.append(item)
    return _C.stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch as a list of tensors [L_i, ...].

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import unpad_sequence
    >>> unpad_sequence(ccdl.tensor([[1, 2, 3], [4, 0, 0]]), ccdl.tensor([3, 1]), batch_first=True)
    [tensor([1, 2, 3]), tensor([4])]
    """
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    counts = [int(n) for n in lengths]
    if len(counts) != padded_sequences.shape[0]:
        raise ValueError(
            f"unpad_sequence: {len(counts)} lengths for a batch of {padded_sequences.shape[0]} sequences"
        )
    return [sequence[:n] for sequence, n in zip(padded_sequences, counts)]


def pack_sequence(sequences: list[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """A list of sequences [L_i, ...] packed by time; in decreasing order of length unless
    ``enforce_sorted=False``.

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import pack_sequence
    >>> pack_sequence([ccdl.tensor([1, 2, 3]), ccdl.tensor([4])]).data
    tensor([1, 4, 2, 3])
    """
    items = list(sequences)
    padded = pad_sequence(items)
    return pack_padded_sequence(padded, [item.shape[0] for item in items], enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The sequences of a packed sequence as a list, in the caller's original order.

    >>> import ccdl
    >>> from ccdl.nn.utils.rnn import pack_sequence, unpack_sequence
    >>> unpack_sequence(pack_sequence([ccdl.tensor([1, 2]), ccdl.tensor([3])]))
    [tensor([1, 2]), tensor([3])]
    """
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
