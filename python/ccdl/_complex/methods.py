"""The functions as methods and operators of the class."""

from __future__ import annotations

import builtins
from typing import Any

from .. import _C, errors
from .._C import Tensor
from . import ComplexTensor
from .table import OPS, in_place, op


@op("stft")
def stft(self: Any, *args: Any, **kwargs: Any) -> Any:
    from .._spectra import stft

    return stft(self, *args, **kwargs)


@op("istft")
def istft(self: Any, *args: Any, **kwargs: Any) -> Any:
    from .._spectra import istft

    return istft(self, *args, **kwargs)


_SLOTS = {
    **{name: name for name in ("add", "sub", "mul", "pow", "matmul", "eq", "ne")},
    "truediv": "div",
}
_REFUSED = "floordiv mod and or xor lshift rshift lt le gt ge".split()


def _operator(name: str, turned: bool) -> Any:
    op = in_place(name[:-1]) if name.endswith("_") else OPS[name]

    def run(self: Any, other: Any) -> Any:
        if not isinstance(other, (Tensor, int, float, builtins.complex)):
            if name in ("eq", "ne") or not hasattr(other, "__array__") or isinstance(other, type):
                return NotImplemented
            other = _C.as_tensor(other)
        return op(other, self) if turned else op(self, other)

    return run


def _refusal(name: str) -> Any:
    def refused(self: Any, other: Any) -> Any:
        raise errors.NotImplementedError(f'"{name}" is not implemented for {self.dtype}')

    return refused


def _method(name: str) -> Any:
    op = OPS[name] if name in OPS else in_place(name[:-1])

    def run(self: Any, *args: Any, **kwargs: Any) -> Any:
        return op(self, *args, **{("dim" if k == "axis" else k): v for k, v in kwargs.items()})

    run.__name__, run.__doc__ = name, f"``{name}`` of complex numbers."
    return run


def install() -> None:
    """Gives the class the functions as methods."""
    for symbol, name in _SLOTS.items():
        setattr(ComplexTensor, f"__{symbol}__", _operator(name, False))
        if symbol not in ("eq", "ne"):
            setattr(ComplexTensor, f"__r{symbol}__", _operator(name, True))
            setattr(ComplexTensor, f"__i{symbol}__", _operator(name + "_", False))
    for name in _REFUSED:
        forms = (name,) if name in ("lt", "le", "gt", "ge") else (name, "r" + name, "i" + name)
        for form in forms:
            setattr(ComplexTensor, f"__{form}__", _refusal(name))
    for name in [*dir(Tensor), "istft"]:
        known = name in OPS or (name.endswith("_") and not name.startswith("_") and name[:-1] in OPS)
        if known and name not in ComplexTensor.__dict__:
            setattr(ComplexTensor, name, _method(name))
