"""The typed constructors of older code: ``ccdl.FloatTensor([1., 2.])``, ``ccdl.LongTensor(2, 3)``."""

from typing import Any

from . import _C

_DTYPES = {
    "FloatTensor": _C.float32,
    "DoubleTensor": _C.float64,
    "HalfTensor": _C.float16,
    "BFloat16Tensor": _C.bfloat16,
    "LongTensor": _C.int64,
    "IntTensor": _C.int32,
    "ShortTensor": _C.int16,
    "CharTensor": _C.int8,
    "ByteTensor": _C.uint8,
    "BoolTensor": _C.bool,
}


class _TypedConstructor(type):
    dtype: Any
    device: Any

    def __instancecheck__(cls, obj: Any) -> bool:
        if not isinstance(obj, _C.Tensor):
            return False
        return obj.dtype is cls.dtype and obj.device.type == (cls.device or "cpu")

    def __call__(cls, *args: Any) -> Any:
        """Sizes give uninitialised memory; one sequence, array or tensor gives its values."""
        if not args:
            return _C.empty(0, dtype=cls.dtype, device=cls.device)
        if all(isinstance(a, int) for a in args) or isinstance(args[0], _C.Size):
            return _C.empty(*args, dtype=cls.dtype, device=cls.device)
        if len(args) > 1:
            raise TypeError(f"{cls.__name__}: takes sizes or one data argument, got {len(args)} arguments")
        return _C.tensor(args[0], dtype=cls.dtype, device=cls.device)


def _make(name: str, dtype: Any, device: str | None) -> Any:
    where = f" on the {device} device" if device else ""
    members = {"dtype": dtype, "device": device, "__doc__": f"Makes {dtype} tensors{where}."}
    return _TypedConstructor(name, (), members)


for _name, _dtype in _DTYPES.items():
    globals()[_name] = _make(_name, _dtype, None)

cuda_types = {_name: _make(_name, _dtype, "cuda") for _name, _dtype in _DTYPES.items()}
