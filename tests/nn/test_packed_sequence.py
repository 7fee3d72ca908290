"""Packed and padded sequences into one another, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import ccdl
from ccdl.nn.utils import rnn as sequences

BATCHES = [[3, 2, 2, 1], [4], [1, 1, 1], [5, 5, 5]]


def items(lengths, *shape, dtype=ccdl.float64):
    ccdl.manual_seed(sum(lengths))
    return [ccdl.randn(n, *shape, dtype=dtype) for n in lengths]


def rows(t):
    return t.detach().cpu().numpy()


@pytest.mark.parametrize("lengths", [*BATCHES, [2, 5, 1, 3], [1, 2, 3]])
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_there_and_back(lengths, shape):
    given = items(lengths, *shape)
    packed = sequences.pack_sequence(given, enforce_sorted=False)
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    want = [rows(given[i])[t] for t in range(max(lengths)) for i in order if t < lengths[i]]
    np.testing.assert_array_equal(rows(packed.data), np.stack(want))
    assert packed.batch_sizes.tolist() == [sum(n > t for n in lengths) for t in range(max(lengths))]
    assert packed.batch_sizes.device.type == "cpu" and packed.batch_sizes.dtype == ccdl.int64
    for back, original in zip(sequences.unpack_sequence(packed), given, strict=True):
        np.testing.assert_array_equal(rows(back), rows(original))
    for first in (False, True):
        padded, counts = sequences.pad_packed_sequence(packed, batch_first=first, padding_value=7.0, total_length=6)
        assert counts.tolist() == lengths
        again = sequences.pad_sequence([*given, ccdl.zeros(6, *shape, dtype=ccdl.float64)], first, 7.0)
        np.testing.assert_array_equal(rows(padded), rows(again[:-1] if first else again[:, :-1]))
        twice = sequences.pack_padded_sequence(padded, counts, batch_first=first, enforce_sorted=False)
        np.testing.assert_array_equal(rows(twice.data), rows(packed.data))


@pytest.mark.parametrize("lengths", BATCHES)
def test_against_pytorch(lengths):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    x = np.random.default_rng(0).standard_normal((len(lengths), max(lengths), 3))
    found = []
    for lib in (ccdl, torch):
        utils = lib.nn.utils.rnn
        t = lib.tensor(x, requires_grad=True)
        packed = utils.pack_padded_sequence(t, lengths, batch_first=True)
        padded, counts = utils.pad_packed_sequence(packed, padding_value=1.5)
        weight = lib.tensor(np.arange(float(padded.numel())).reshape(padded.shape))
        (grad,) = lib.autograd.grad((padded * weight).sum(), [t])
        found.append([packed.data, packed.batch_sizes, padded, counts, grad])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(rows(ours), rows(theirs))


def test_fields_and_conversions():
    packed = sequences.pack_sequence(items([1, 3], 2), enforce_sorted=False)
    data, batch_sizes, order, inverse = packed
    assert data is packed.data and batch_sizes is packed.batch_sizes
    assert order.tolist() == [1, 0] and inverse.tolist() == [1, 0]
    assert isinstance(packed, tuple) and packed._fields == ("data", "batch_sizes", "sorted_indices", "unsorted_indices")
    assert packed.to(ccdl.float64) is packed and packed.double() is packed
    for name, dtype in (("float", ccdl.float32), ("half", ccdl.float16), ("bfloat16", ccdl.bfloat16), ("long", ccdl.int64),
                        ("int", ccdl.int32), ("short", ccdl.int16), ("char", ccdl.int8), ("byte", ccdl.uint8)):
        other = getattr(packed, name)()
        assert type(other) is sequences.PackedSequence and other.data.dtype == dtype
        assert other.sorted_indices.tolist() == [1, 0]
    assert packed.cpu().data.device.type == "cpu" and packed.is_cuda == packed.data.is_cuda
    assert not packed.is_pinned() or packed.data.is_pinned()
    made = sequences.PackedSequence((data, batch_sizes))
    assert made.data is data and made.sorted_indices is None and made.unsorted_indices is None
    assert sequences.invert_permutation(None) is None
    plain = sequences.pack_sequence(items([3, 1], 2))
    assert plain.sorted_indices is None and plain.unsorted_indices is None


def test_padding_side():
    given = [ccdl.tensor([1, 2, 3]), ccdl.tensor([4])]
    left = sequences.pad_sequence(given, batch_first=True, padding_value=9, padding_side="left")
    assert left.tolist() == [[1, 2, 3], [9, 9, 4]]
    assert sequences.pad_sequence(ccdl.ones(2, 3)).shape == (3, 2)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 3, 2), [4, 0, 0]), RuntimeError, "greater than 0.*0"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 3, 2), [4, 2, -1]), RuntimeError, "greater than 0.*-1"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 3, 2), [1, 2, 4]), RuntimeError, "enforce_sorted"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 3, 2), [5, 2, 1]), RuntimeError, "4 steps.*5"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 3, 2), [2, 1]), RuntimeError, "2 .batch_size=3"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 3, 2), ccdl.ones(1, 3, device="cpu")), RuntimeError, "1D CPU"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 0, 2), []), RuntimeError, "empty"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(0, 3, 2), [1, 1, 1]), RuntimeError, "empty"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4), [4]), RuntimeError, "batch dimension"),
    (lambda: sequences.pack_padded_sequence([1, 2], [2]), TypeError, "list"),
    (lambda: sequences.pack_padded_sequence(ccdl.zeros(4, 3, 2), None), TypeError, "None"),
    (lambda: sequences.pad_packed_sequence(sequences.pack_sequence(items([3])), total_length=2), ValueError, "total_length=2"),
    (lambda: sequences.pad_sequence([]), RuntimeError, "empty"),
    (lambda: sequences.pad_sequence(3), RuntimeError, "iterable"),
    (lambda: sequences.pad_sequence([ccdl.zeros(2, 3), ccdl.zeros(2, 4)]), RuntimeError, r"\[2, 4\]"),
    (lambda: sequences.pad_sequence([ccdl.zeros(2)], padding_side="up"), RuntimeError, "up"),
    (lambda: sequences.pad_sequence([1, 2]), TypeError, "int"),
    (lambda: sequences.pack_sequence(items([1, 3])), RuntimeError, "enforce_sorted"),
    (lambda: sequences.unpad_sequence(ccdl.zeros(3, 2), ccdl.tensor([3])), ValueError, "1 lengths"),
    (lambda: sequences.PackedSequence(ccdl.zeros(3)), TypeError, "batch_sizes"),
])
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
