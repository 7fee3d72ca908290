"""Complex tensors: a subclass of Tensor whose memory holds pairs of real numbers.

A :class:`ComplexTensor` [...] is a real tensor [..., 2] of real and imaginary parts under another class. No
op of the library sees the pairs by mistake: functions and methods come here through ``__torch_function__``,
and what ``table.OPS`` does not know is an error. Gradients are PyTorch's, dL/dRe + i dL/dIm: what the parts'
own gradients are.
"""

from __future__ import annotations

import builtins
from typing import Any

from .. import _C, errors
from .._C import Tensor

__all__ = ["ComplexTensor", "complex", "polar", "view_as_complex", "view_as_real"]

_DTYPES = {_C.float32: _C.complex64, _C.float64: _C.complex128}
_REAL = {kind: part for part, kind in _DTYPES.items()}


def _pair(op: str, a: Any, b: Any, first: str, second: str) -> tuple[Tensor, Tensor]:
    for name, t in ((first, a), (second, b)):
        if not isinstance(t, Tensor):
            raise errors.TypeError(f"{op}(): argument '{name}' must be Tensor, not {type(t).__name__}")
        if t.dtype not in _DTYPES:
            raise errors.DTypeError(f"{op}: {name} is {t.dtype}; expected both inputs to be Float or Double")
    if a.dtype is not b.dtype:
        raise errors.DTypeError(f"{op}: {first} is {a.dtype} and {second} is {b.dtype}; give one dtype")
    a, b = _C.broadcast_tensors([a, b])
    return a, b


def complex(real: Tensor, imag: Tensor, *, out: Any = None) -> ComplexTensor:
    """``real + i imag``, of float32 or float64 tensors that broadcast.

    >>> import ccdl
    >>> z = ccdl.complex(ccdl.tensor([3.0]), ccdl.tensor([4.0]))
    >>> z, z.abs()
    (tensor([3.+4.j]), tensor([5.]))
    """
    real, imag = _pair("complex", real, imag, "real", "imag")
    return written(out, own(_C.stack([real, imag], -1)))


def polar(abs: Tensor, angle: Tensor, *, out: Any = None) -> ComplexTensor:
    """``abs (cos(angle) + i sin(angle))``.

    >>> import ccdl
    >>> ccdl.view_as_real(ccdl.polar(ccdl.ones(1), ccdl.zeros(1)))
    tensor([[1., 0.]])
    """
    size, angle = _pair("polar", abs, angle, "abs", "angle")
    return written(out, own(_C.stack([size * angle.cos(), size * angle.sin()], -1)))


def view_as_complex(input: Tensor) -> ComplexTensor:
    """The complex numbers [...] with the parts ``input`` [..., 2]; the memory is shared.

    Raises:
        RuntimeError: the last dimension is not 2, or the dtype not float32 or float64.
    """
    if not isinstance(input, Tensor) or isinstance(input, ComplexTensor):
        raise errors.TypeError(
            f"view_as_complex(): argument 'self' must be a real Tensor, not {type(input).__name__}"
        )
    if input.dtype not in _DTYPES:
        raise errors.DTypeError(
            f"view_as_complex: only float32 and float64 tensors are supported, got {input.dtype}; use "
            ".float()"
        )
    if input.dim() == 0 or input.shape[-1] != 2:
        raise errors.ShapeError(
            f"view_as_complex: Tensor must have a last dimension of size 2, got {list(input.shape)}"
        )
    return ComplexTensor(input)


def view_as_real(input: ComplexTensor) -> Tensor:
    """The real tensor [..., 2] of a complex one [...]; the memory is shared."""
    if not isinstance(input, ComplexTensor):
        kind = "a tensor of real numbers" if isinstance(input, Tensor) else type(input).__name__
        raise errors.RuntimeError(f"view_as_real is only supported for complex tensors, got {kind}")
    return input._parts


def _one_value(parts: Any) -> None:
    """Inside vmap values of all samples cannot be pairs: the function runs sample by sample."""
    if type(parts) is not Tensor and _C._batched_among((parts,)):
        from .._batching.core import NoBatch

        raise NoBatch("complex numbers")


def own(parts: Tensor) -> Any:
    """A real tensor [..., 2] that nothing else refers to, as the complex one it becomes."""
    _one_value(parts)
    if _shape(parts)[-1] != 2:
        raise errors.ShapeError(f"complex tensors are pairs [..., 2], not {list(_shape(parts))}")
    parts.__class__ = ComplexTensor  # type: ignore[assignment]
    return parts


def written(out: Any, result: Any) -> Any:
    """``result``, in ``out`` where that is given."""
    if out is None:
        return result
    if not isinstance(out, Tensor):
        raise errors.TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if isinstance(result, ComplexTensor) and not isinstance(out, ComplexTensor):
        raise errors.TypeError(f"out is {out.dtype}, and the result is complex; give a complex out")
    if out.shape != result.shape:
        out.resize_(result.shape)
    return out.copy_(result)


class ComplexTensor(Tensor):
    """A tensor of complex numbers; made by :func:`ccdl.complex`, :func:`ccdl.polar`,
    :func:`ccdl.view_as_complex`, from Python's complex numbers and from ``dtype=ccdl.complex64``."""

    def __new__(cls, parts: Tensor) -> Any:
        if not isinstance(parts, Tensor):
            raise errors.TypeError(
                f"{cls.__name__}: parts must be Tensor [..., 2], not {type(parts).__name__}; use ccdl.tensor"
            )
        _one_value(parts)
        return parts.as_subclass(cls)  # type: ignore[arg-type]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _table.call(func, args, kwargs or {})

    # --- what it is ---

    @property
    def _parts(self) -> Tensor:
        """Real and imaginary parts [..., 2], a view."""
        return Tensor.as_subclass(self, Tensor)  # type: ignore[arg-type]

    @property
    def shape(self) -> Any:
        """Sizes as ccdl.Size."""
        return _C.Size(_shape(self)[:-1])

    @property
    def dtype(self) -> Any:
        """``ccdl.complex64`` or ``ccdl.complex128``."""
        return _DTYPES[_dtype(self)]

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(_shape(self)) - 1

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return 8 if _dtype(self) is _C.float32 else 16

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.itemsize

    @property
    def real(self) -> Tensor:
        """The real parts, a view."""
        return self._parts[..., 0]

    @real.setter
    def real(self, value: Any) -> None:
        self._parts[..., 0] = value

    @property
    def imag(self) -> Tensor:
        """The imaginary parts, a view."""
        return self._parts[..., 1]

    @imag.setter
    def imag(self, value: Any) -> None:
        self._parts[..., 1] = value

    @property
    def T(self) -> Any:
        """All dimensions reversed."""
        return self.permute(*range(self.ndim - 1, -1, -1))

    @property
    def mT(self) -> Any:
        """Last two dimensions swapped."""
        return self.transpose(-2, -1)

    @property
    def mH(self) -> Any:
        """Last two dimensions swapped, conjugated."""
        return self.transpose(-2, -1).conj()

    @property
    def H(self) -> Any:
        """Conjugate transpose of a matrix."""
        if self.ndim not in (0, 2):
            raise errors.RuntimeError(
                f"tensor.H is only supported on matrices (2-D tensors). Got {self.ndim}-D tensor"
            )
        return self.mH if self.ndim else self.conj()

    @property
    def _base(self) -> Any:
        base = Tensor._base.__get__(self)  # type: ignore[attr-defined]
        return base if base is None or isinstance(base, ComplexTensor) else ComplexTensor(base)

    @property
    def data(self) -> Any:
        """The same memory without history."""
        return own(_data.__get__(self))

    @data.setter
    def data(self, value: Any) -> None:
        if not isinstance(value, ComplexTensor):
            raise errors.TypeError(f"data: must be set to a complex Tensor, not {_named(value)}")
        _data.__set__(self, value._parts)

    @property
    def grad(self) -> Any:
        """Accumulated gradient of a leaf, or None."""
        found = _grad.__get__(self)
        return found if found is None or isinstance(found, ComplexTensor) else own(found)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and not isinstance(value, ComplexTensor):
            raise errors.TypeError(
                f"grad: assigned grad must be a complex Tensor or None, got {_named(value)}"
            )
        _grad.__set__(self, None if value is None else value._parts)

    @grad.deleter
    def grad(self) -> None:
        _grad.__set__(self, None)

    _grad = grad

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or one."""
        return self.shape if dim is None else self.shape[dim]

    def stride(self, dim: int | None = None) -> Any:
        """Steps in elements."""
        steps = tuple(s // 2 for s in self._parts.stride()[:-1])
        return steps if dim is None else steps[dim]

    def storage_offset(self) -> int:
        """Where the first element lies, in elements."""
        return self._parts.storage_offset() // 2

    def numel(self) -> int:
        """Number of elements."""
        return self._parts.numel() // 2

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.itemsize

    def is_complex(self) -> bool:
        """True."""
        return True

    def is_floating_point(self) -> bool:
        """False."""
        return False

    def is_signed(self) -> bool:
        """True."""
        return True

    def is_conj(self) -> bool:
        """False: conjugates are computed."""
        return False

    is_neg = is_inference = is_pinned = is_shared = is_conj

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether elements lie in row-major order, or as ``memory_format`` says."""
        if memory_format not in (_C.channels_last, _C.channels_last_3d):
            return self._parts.is_contiguous()
        ndim, apart = self.dim(), 1
        if ndim != (4 if memory_format is _C.channels_last else 5):
            return False
        for d in (1, *range(ndim - 1, 1, -1), 0):
            if self.shape[d] != 1 and self.stride(d) != apart:
                return False
            apart *= self.shape[d]
        return True

    def get_device(self) -> int:
        """Index of the CUDA device, -1 on the CPU."""
        return self._parts.get_device()

    def data_ptr(self) -> int:
        """Address of the first element."""
        return self._parts.data_ptr()

    def __len__(self) -> int:
        if not self.ndim:
            raise errors.TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __bool__(self) -> bool:
        return bool(self.item())

    def __complex__(self) -> Any:
        return self.item()

    def __float__(self) -> float:
        raise errors.TypeError("a complex number has no float; take .real or .abs()")

    def __int__(self) -> int:
        raise errors.TypeError("a complex number has no int; take .real or .abs()")

    __index__ = __int__

    def __hash__(self) -> int:
        return id(self)

    def __iter__(self) -> Any:
        if not self.ndim:
            raise errors.TypeError("iteration over a 0-d tensor")
        return iter([self[i] for i in range(len(self))])

    def __reversed__(self) -> Any:
        return self.flip(0)

    def __contains__(self, element: Any) -> bool:
        return builtins.bool((self == element).any())

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return _text.text(self)

    def __format__(self, spec: str) -> str:
        return (
            format(self.item(), spec)
            if not self.ndim and spec
            else repr(self)
            if self.ndim
            else str(self.item())
        )

    def tolist(self) -> Any:
        """Python's complex numbers, nested like the tensor."""

        def join(re: Any, im: Any) -> Any:
            if isinstance(re, list):
                return [join(a, b) for a, b in zip(re, im, strict=True)]
            return builtins.complex(re, im)

        return join(self.real.tolist(), self.imag.tolist())

    def item(self) -> Any:
        """The one element."""
        return builtins.complex(self.real.item(), self.imag.item())

    def numpy(self, *, force: bool = False) -> Any:
        """A NumPy array of complex numbers that shares the memory where it is contiguous."""
        parts = self._parts
        parts = parts.detach().cpu() if force else parts
        if parts.stride(-1) != 1 or any(s % 2 for s in parts.stride()[:-1]):
            parts = parts.contiguous()
        return parts.numpy().view("complex64" if parts.dtype is _C.float32 else "complex128")[..., 0]

    def __array__(self, dtype: Any = None, *args: Any, **kwargs: Any) -> Any:
        found = self.numpy()
        return found if dtype is None else found.astype(dtype)

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        from .._tensor_methods import array_wrap

        return array_wrap(self, array)

    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any:
        raise errors.TypeError("__dlpack__: complex tensors are not exchanged; hand over view_as_real(z)")

    def __copy__(self) -> Any:
        from .._tensor_methods import copy

        return copy(self)

    def __deepcopy__(self, memo: Any) -> Any:
        from .._tensor_methods import deepcopy

        return deepcopy(self, memo)

    def __reduce_ex__(self, protocol: Any) -> Any:
        parts = self.detach()._parts
        return _rebuilt, (parts, self.requires_grad and self.is_leaf, dict(self.__dict__))

    # --- history ---

    def detach(self) -> Any:
        """Without history."""
        return own(self._parts.detach())

    def backward(
        self, gradient: Any = None, retain_graph: Any = None, create_graph: bool = False, inputs: Any = None
    ) -> None:
        """:func:`ccdl.autograd.backward` of this tensor, whose gradient must be given."""
        from ..autograd import backward

        backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def register_hook(self, hook: Any) -> Any:
        """``hook(grad)`` when the gradient of this tensor is computed; it may return another one."""

        def of_parts(parts: Tensor) -> Any:
            changed = hook(ComplexTensor(parts))
            return changed._parts if isinstance(changed, ComplexTensor) else changed

        return Tensor.register_hook(self, of_parts)

    # --- elements ---

    def __getitem__(self, index: Any) -> Any:
        return own(self._parts[_of_parts(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, (Tensor, int, float, builtins.complex)):
            value = _C.tensor(value)
        self._parts[_of_parts(index)] = as_complex(value, self)._parts

    # --- operators that Tensor has as slots ---

    def __neg__(self) -> Any:
        return own(-self._parts)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self.abs()

    def __invert__(self) -> Any:
        raise errors.TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")


_shape = Tensor.__dict__["shape"].__get__
_dtype = Tensor.__dict__["dtype"].__get__
_data = Tensor.__dict__["data"]
_grad = Tensor.__dict__["grad"]


def _named(value: Any) -> str:
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def _rebuilt(parts: Tensor, requires_grad: bool, attributes: dict[str, Any]) -> ComplexTensor:
    result = own(parts).requires_grad_(requires_grad)
    result.__dict__.update(attributes)
    return result


def _of_parts(index: Any) -> Any:
    """An index of the complex tensor as one of its parts."""
    index = index if isinstance(index, tuple) else (index,)
    if any(isinstance(i, ComplexTensor) for i in index):
        raise errors.IndexError(
            "tensors used as indices must be long, int, byte or bool tensors, got complex"
        )
    if not any(i is Ellipsis for i in index):
        index = (*index, Ellipsis)
    return (*index, slice(None))


def as_complex(x: Any, like: ComplexTensor | None = None) -> Any:
    """``x``, a complex or real tensor or a Python number, as a complex tensor.

    Beside ``like`` real numbers take its precision, but a tensor of doubles with dimensions keeps its own.
    """
    if isinstance(x, ComplexTensor):
        return x
    if isinstance(x, Tensor):
        if like is None:
            x = x if x.dtype in _DTYPES else x.to(_C.get_default_dtype())
        elif x.dtype is not _C.float64 or not x.dim():
            x = x.to(_dtype(like))
        return own(_C.stack([x, _C.zeros_like(x)], -1))
    if isinstance(x, (int, float, builtins.complex)) or hasattr(type(x), "__complex__"):
        x = builtins.complex(x)
        dtype = _C.get_default_dtype() if like is None else _dtype(like)
        device = None if like is None else like.device
        return own(_C.tensor([x.real, x.imag], dtype=dtype, device=device))
    raise errors.TypeError(f"a complex tensor takes tensors and numbers, not {type(x).__name__}")


_C._pair_class(ComplexTensor)
from . import arithmetic, factors, inverse, linalg, make, methods, reductions, shapes
from . import table as _table
from . import text as _text

methods.install()
of_complex_dtype, of_complex_data = make.of_complex_dtype, make.of_complex_data
of_complex_number = make.of_complex_number
