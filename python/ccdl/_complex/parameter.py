"""Parameters and buffers of complex numbers: of both classes, ``nn.Parameter`` and :class:`ComplexTensor`."""

from __future__ import annotations

from typing import Any

from .._C import Tensor
from ..nn.parameter import Buffer, Parameter
from . import ComplexTensor


class ComplexParameter(ComplexTensor, Parameter):  # type: ignore[misc]
    """What ``nn.Parameter`` makes of a complex tensor."""

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Any:
        return parameter(data, requires_grad)

    __deepcopy__ = Parameter.__deepcopy__

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _parameter_again, (self.detach(), self.requires_grad, dict(self.__dict__))


class ComplexBuffer(ComplexTensor, Buffer):
    """What ``nn.Buffer`` makes of a complex tensor."""

    def __new__(cls, data: Any = None, *, persistent: bool = True) -> Any:
        return buffer(data, persistent)

    __deepcopy__ = Buffer.__deepcopy__

    def __reduce_ex__(self, protocol: Any) -> Any:
        return buffer, (self.detach(), self.persistent)


def parameter(data: Any, requires_grad: bool) -> Any:
    """A leaf over the memory of ``data``."""
    return Tensor._make_subclass(ComplexParameter, data._parts, requires_grad)  # type: ignore[arg-type]


def buffer(data: Any, persistent: bool) -> Any:
    """A buffer over the memory of ``data``."""
    result: Any = Tensor._make_subclass(ComplexBuffer, data._parts, False)  # type: ignore[arg-type]
    result.persistent = persistent
    return result


def _parameter_again(data: ComplexTensor, requires_grad: bool, attributes: dict[str, Any]) -> Any:
    result = parameter(data, requires_grad)
    result.__dict__.update(attributes)
    return result
