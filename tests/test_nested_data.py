"""The dtype of a tensor made of nested numbers, arrays and tensors: that of all of them promoted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ccdl
from ccdl.utils.data import DataLoader, RandomSampler, WeightedRandomSampler, default_collate

CASES: list[tuple[Any, ccdl.dtype]] = [
    (np.float64(1), ccdl.float64),
    ([np.float64(1)], ccdl.float64),
    ([1, np.float64(2)], ccdl.float64),
    ([np.float32(1), 2.5], ccdl.float32),
    ([np.float16(1), 2.5], ccdl.float32),
    ([np.float16(1), 2], ccdl.float16),
    ([np.float16(1), np.float16(2)], ccdl.float16),
    ([np.int8(1), 2.5], ccdl.float32),
    ([np.int8(1), 2], ccdl.int64),
    ([np.int8(1), np.uint8(2)], ccdl.int16),
    ([np.int32(1), np.float32(2)], ccdl.float32),
    ([np.int64(1), np.float16(2)], ccdl.float16),
    ([True, np.float64(0.5)], ccdl.float64),
    ([[np.int16(1)], [True]], ccdl.int16),
    ([2.5], ccdl.float32),
    ([], ccdl.float32),
    ([[], []], ccdl.float32),
]


@pytest.mark.parametrize("data, dtype", CASES, ids=str)
def test_numbers(data: Any, dtype: ccdl.dtype) -> None:
    for make in (ccdl.tensor, ccdl.as_tensor):
        x = make(data)
        assert x.dtype == dtype
        np.testing.assert_array_equal(x.numpy(), np.asarray(data, dtype=np.float64))


def test_tensors_among_numbers() -> None:
    half, small = ccdl.tensor(1.0, dtype=ccdl.float16), ccdl.tensor(3, dtype=ccdl.int8)
    assert ccdl.tensor([half, half]).dtype == ccdl.float16
    assert ccdl.tensor([half, 2.5]).dtype == ccdl.float32
    assert ccdl.tensor([small, 2.5]).tolist() == [3.0, 2.5]
    assert ccdl.tensor([small, small]).dtype == ccdl.int8
    assert ccdl.tensor([half, ccdl.tensor(1.0, dtype=ccdl.bfloat16)]).dtype == ccdl.float32


def test_against_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def leaves(lib: Any) -> list[Any]:
        numbers = [2.5, 1, True, np.float64(1), np.float32(1), np.float16(1), np.int8(1), np.uint8(1), np.int64(1)]
        kinds = (lib.float32, lib.float16, lib.bfloat16, lib.int8)
        return numbers + [lib.tensor(1, dtype=kind) for kind in kinds]

    ours, theirs = leaves(ccdl), leaves(torch)
    for i in range(len(ours)):
        for j in range(len(ours)):
            expected = str(torch.tensor([theirs[i], theirs[j]]).dtype).split(".")[1]
            assert str(ccdl.tensor([ours[i], ours[j]]).dtype).split(".")[1] == expected, (ours[i], ours[j])


def test_batches_keep_the_dtype_of_numpy_numbers() -> None:
    assert default_collate([np.float64(1.5), np.float64(2)]).dtype == ccdl.float64
    assert default_collate([np.float32(1.5)]).dtype == ccdl.float32
    data = [(np.float64(i), np.int16(i)) for i in range(4)]
    a, b = next(iter(DataLoader(data, batch_size=2)))
    assert a.dtype == ccdl.float64 and b.dtype == ccdl.int16 and a.tolist() == [0.0, 1.0]


def test_samplers_draw_when_they_are_asked() -> None:
    for sampler in (RandomSampler(range(10)), WeightedRandomSampler([1.0] * 10, 5)):
        iterators, drawn = (iter(sampler), iter(sampler)), ([], [])
        for i, iterator in enumerate(iterators):
            ccdl.manual_seed(0)
            drawn[i].append(next(iterator))
        for i, iterator in enumerate(iterators):
            drawn[i].extend(iterator)
        assert drawn[0] == drawn[1]


def test_contexts_are_contexts() -> None:
    with pytest.raises(TypeError, match="multiprocessing_context option should be a valid context"):
        DataLoader([1, 2], num_workers=1, multiprocessing_context=object())


def test_debug_mode_of_determinism() -> None:
    assert ccdl.get_deterministic_debug_mode() == 0
    for given, kept in (("warn", 1), (2, 2), ("default", 0)):
        ccdl.set_deterministic_debug_mode(given)
        assert ccdl.get_deterministic_debug_mode() == kept
    with pytest.raises(RuntimeError, match="invalid value of debug_mode"):
        ccdl.set_deterministic_debug_mode("loud")
    with pytest.raises(TypeError, match="debug_mode"):
        ccdl.set_deterministic_debug_mode(1.5)  # type: ignore[arg-type]
