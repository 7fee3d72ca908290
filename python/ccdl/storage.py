"""The memory behind tensors: its address and size, for code that asks which tensors share it."""

from __future__ import annotations

from typing import Any

from . import _C

__all__ = ["TypedStorage", "UntypedStorage"]


class UntypedStorage:
    """The bytes that a tensor and all its views share.

    >>> import ccdl
    >>> x = ccdl.zeros(2, 3)
    >>> x.untyped_storage().nbytes()
    24
    >>> x[1].untyped_storage().data_ptr() == x.data_ptr()
    True
    """

    _unit = 1

    def __init__(self, tensor: _C.Tensor) -> None:
        self._tensor = tensor.detach()

    @property
    def device(self) -> Any:
        """Where the memory is."""
        return self._tensor.device

    @property
    def is_cuda(self) -> bool:
        """Whether that is a CUDA device."""
        return bool(self._tensor.is_cuda)

    def data_ptr(self) -> int:
        """The address of the first byte."""
        x = self._tensor
        return int(x.data_ptr()) - x.storage_offset() * x.element_size()

    def nbytes(self) -> int:
        """The size in bytes."""
        return int(self._tensor._storage_bytes())

    def element_size(self) -> int:
        """Bytes per element: 1."""
        return self._unit

    def size(self) -> int:
        """The number of elements."""
        return self.nbytes() // self._unit

    def __len__(self) -> int:
        return self.size()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, UntypedStorage) and self.data_ptr() == other.data_ptr()

    def __hash__(self) -> int:
        return hash(self.data_ptr())

    def _flat(self) -> _C.Tensor:
        x = self._tensor
        return x.as_strided((self.nbytes() // x.element_size(),), (1,), 0)

    def tolist(self) -> list[Any]:
        """The bytes."""
        return list(self._flat().contiguous().cpu().numpy().tobytes())


class TypedStorage(UntypedStorage):
    """The elements of one dtype that a tensor and all its views share.

    >>> import ccdl
    >>> list(ccdl.arange(4)[1:].storage())
    [0, 1, 2, 3]
    """

    def __init__(self, tensor: _C.Tensor) -> None:
        super().__init__(tensor)
        self._unit = tensor.element_size()

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        return self._tensor.dtype

    def tolist(self) -> list[Any]:
        """The elements."""
        values: list[Any] = self._flat().tolist()
        return values

    def __getitem__(self, index: Any) -> Any:
        return self.tolist()[index]

    def untyped(self) -> UntypedStorage:
        """The same memory in bytes."""
        return UntypedStorage(self._tensor)
