"""NumPy and DLPack exchange on the host: shared memory, copies on request, and what is refused."""

from __future__ import annotations

import gc

import numpy as np
import pytest

import ccdl


def test_numpy_shares_memory_both_ways() -> None:
    a = np.arange(6.0).reshape(2, 3)
    t = ccdl.from_numpy(a)
    t[0, 0] = 7.0
    assert a[0, 0] == 7.0
    t.numpy()[1, 2] = 9.0
    assert t[1, 2].item() == 9.0


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
def test_dlpack_round_trip_with_numpy(dtype: str) -> None:
    t = ccdl.arange(6).to(getattr(ccdl, dtype)).reshape(2, 3).t()
    a = np.from_dlpack(t)
    assert a.strides == tuple(s * a.itemsize for s in t.stride()) and a.tolist() == t.tolist()
    back = ccdl.from_dlpack(a)
    assert back.data_ptr() == t.data_ptr() and back.stride() == t.stride() and back.dtype == t.dtype


def test_from_dlpack_device_and_copy() -> None:
    a = np.arange(3.0)
    shared, copied = ccdl.from_dlpack(a, device="cpu", copy=False), ccdl.from_dlpack(a, copy=True)
    a[0] = 5.0
    assert shared[0].item() == 5.0 and copied[0].item() == 0.0
    with pytest.raises((TypeError, BufferError)):
        ccdl.from_dlpack(3)


def test_from_dlpack_to_a_device() -> None:
    if not ccdl.cuda.is_available():
        with pytest.raises(RuntimeError, match="cuda"):
            ccdl.from_dlpack(np.arange(3.0), device="cuda")
        return
    moved = ccdl.from_dlpack(np.arange(3.0), device="cuda")
    assert moved.is_cuda and moved.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="copy"):
        ccdl.from_dlpack(np.arange(3.0), device="cuda", copy=False)


def test_bfloat16_goes_by_dlpack() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    t = ccdl.tensor([1.5, -2.0], dtype=ccdl.bfloat16)
    other = torch.from_dlpack(t)
    assert other.dtype == torch.bfloat16 and other.tolist() == [1.5, -2.0]
    assert ccdl.from_dlpack(other).tolist() == [1.5, -2.0]
    with pytest.raises(TypeError, match="float"):
        t.numpy()


@pytest.mark.parametrize("look", [lambda x: x.numpy(), memoryview, np.asarray, np.from_dlpack])
def test_memory_that_others_see_keeps_its_place(look):
    x = ccdl.ones(4)
    seen = look(x)
    with pytest.raises(RuntimeError, match="not resizable"):
        x.resize_(100_000)
    x.data = ccdl.zeros(5)
    others = [ccdl.full((4,), 7.0) for _ in range(20)]
    assert np.asarray(seen).tolist() == [1.0] * 4 and len(others) == 20
    y = ccdl.ones(4)
    seen = look(y)
    del seen
    gc.collect()
    assert y.resize_(100_000).shape == (100_000,)


def test_sequences_without_an_end():
    class Within:
        def __len__(self):
            return 5

        def __getitem__(self, index):
            return self

    class Endless(Within):
        def __getitem__(self, index):
            return 1.5

    class Failing(Within):
        def __getitem__(self, index):
            raise KeyError("on purpose")

    with pytest.raises(ValueError, match="at most 16 dimensions"):
        ccdl.tensor(Within())
    assert ccdl.tensor(Endless()).tolist() == [1.5] * 5
    with pytest.raises(KeyError, match="on purpose"):
        ccdl.tensor(Failing())


@pytest.mark.parametrize("value", [np.datetime64("2020-01-01"), np.timedelta64(3, "s")])
def test_dates_are_no_numbers(value):
    with pytest.raises(TypeError):
        ccdl.tensor(value)
    with pytest.raises(TypeError):
        ccdl.tensor([value, value])
    with pytest.raises(TypeError):
        ccdl.tensor(np.array([value]))
