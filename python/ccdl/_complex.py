"""Complex numbers as pairs of real ones: what rotary position encodings and small spectra need of them.

A :class:`ComplexTensor` holds a real tensor [..., 2] of real and imaginary parts and is no ``Tensor``: it has
the arithmetic, indexing and shape methods listed here, and gradients flow through all of them.
"""

from __future__ import annotations

from typing import Any

from . import _C, errors
from ._C import Tensor

__all__ = ["ComplexTensor", "complex", "polar", "view_as_complex", "view_as_real"]

_DTYPES = {_C.float32: _C.complex64, _C.float64: _C.complex128}
_REAL = {kind: part for part, kind in _DTYPES.items()}


def _pair(op: str, a: Any, b: Any, first: str, second: str) -> tuple[Tensor, Tensor]:
    for name, t in ((first, a), (second, b)):
        if not isinstance(t, Tensor):
            raise errors.TypeError(f"{op}(): argument '{name}' must be Tensor, not {type(t).__name__}")
        if t.dtype not in _DTYPES:
            raise errors.DTypeError(
                f"{op}: {name} is {t.dtype}; expected both inputs to be Float or Double"
            )
    if a.dtype is not b.dtype:
        raise errors.DTypeError(f"{op}: {first} is {a.dtype} and {second} is {b.dtype}; give one dtype")
    a, b = _C.broadcast_tensors([a, b])
    return a, b


def complex(real: Tensor, imag: Tensor) -> ComplexTensor:
    """``real + i imag``, of float32 or float64 tensors that broadcast.

    >>> import ccdl
    >>> z = ccdl.complex(ccdl.tensor([3.0]), ccdl.tensor([4.0]))
    >>> z.abs()
    tensor([5.])
    """
    real, imag = _pair("complex", real, imag, "real", "imag")
    return ComplexTensor(_C.stack([real, imag], -1))


def polar(abs: Tensor, angle: Tensor) -> ComplexTensor:
    """``abs (cos(angle) + i sin(angle))``.

    >>> import ccdl
    >>> ccdl.view_as_real(ccdl.polar(ccdl.ones(1), ccdl.zeros(1)))
    tensor([[1., 0.]])
    """
    size, angle = _pair("polar", abs, angle, "abs", "angle")
    return ComplexTensor(_C.stack([size * angle.cos(), size * angle.sin()], -1))


def view_as_complex(input: Tensor) -> ComplexTensor:
    """The complex numbers [...] with the parts ``input`` [..., 2]; the memory is shared.

    Raises:
        RuntimeError: the last dimension is not 2, or the dtype not float32 or float64.
    """
    if not isinstance(input, Tensor):
        raise errors.TypeError(
            f"view_as_complex(): argument 'self' must be Tensor, not {type(input).__name__}"
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


def _times(a: Tensor, b: Tensor) -> Tensor:
    if a.device.type == "cpu" and a.device == b.device and a.dtype is b.dtype:
        return _C._complex_multiply(a, b)
    ar, ai, br, bi = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    return _C.stack([ar * br - ai * bi, ar * bi + ai * br], -1)


class ComplexTensor:
    """Complex numbers [...] held as a real tensor [..., 2]; made by :func:`ccdl.polar`, :func:`ccdl.complex`
    and :func:`ccdl.view_as_complex`."""

    __slots__ = ("_parts",)
    _may_be_buffer = True  # modules move it with their tensors
    is_sparse = False

    def __init__(self, parts: Tensor) -> None:
        self._parts = parts

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        kwargs = kwargs or {}
        if name in ("cat", "concat", "concatenate", "stack"):
            parts = [z._parts if isinstance(z, cls) else as_complex(z)._parts for z in args[0]]
            dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
            return cls(getattr(_C, name)(parts, dim - 1 if dim < 0 else dim))
        method = getattr(cls, name, None)
        if isinstance(method, property) and len(args) == 1 and isinstance(args[0], cls):
            return getattr(args[0], name)
        if callable(method) and args and isinstance(args[0], cls):
            return method(*args, **kwargs)
        if args and isinstance(args[0], Tensor) and name in _SWAPPED and len(args) > 1:
            return getattr(as_complex(args[0]), name)(*args[1:], **kwargs)
        return NotImplemented

    # --- what it is ---

    @property
    def shape(self) -> Any:
        """Sizes as ccdl.Size."""
        return _C.Size(self._parts.shape[:-1])

    @property
    def dtype(self) -> Any:
        """``ccdl.complex64`` or ``ccdl.complex128``."""
        return _DTYPES[self._parts.dtype]

    @property
    def device(self) -> Any:
        """Where the data lives."""
        return self._parts.device

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self._parts.dim() - 1

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to it."""
        return self._parts.requires_grad

    @property
    def real(self) -> Tensor:
        """The real parts, a view."""
        return self._parts[..., 0]

    @property
    def imag(self) -> Tensor:
        """The imaginary parts, a view."""
        return self._parts[..., 1]

    @property
    def is_cuda(self) -> bool:
        """Whether the data lies on a CUDA device."""
        return self._parts.is_cuda

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or one."""
        return self.shape if dim is None else self.shape[dim]

    def numel(self) -> int:
        """Number of elements."""
        return self._parts.numel() // 2

    def is_complex(self) -> bool:
        """True."""
        return True

    def is_floating_point(self) -> bool:
        """False."""
        return False

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __repr__(self) -> str:
        return f"complex({self.real!r}, {self.imag!r})"

    def tolist(self) -> Any:
        """Python's complex numbers, nested like the tensor."""
        import builtins

        def join(re: Any, im: Any) -> Any:
            if isinstance(re, list):
                return [join(a, b) for a, b in zip(re, im, strict=True)]
            return builtins.complex(re, im)

        return join(self.real.tolist(), self.imag.tolist())

    def item(self) -> Any:
        """The one element."""
        import builtins

        return builtins.complex(self.real.item(), self.imag.item())

    def numpy(self) -> Any:
        """A NumPy array of complex numbers that shares the memory where it is contiguous."""
        parts = self._parts.contiguous().numpy()
        return parts.view("complex64" if self.dtype is _C.complex64 else "complex128")[..., 0]

    # --- copies, devices, history ---

    def to(self, *args: Any, **kwargs: Any) -> ComplexTensor:
        """Another device, or another complex dtype; a real dtype is refused."""
        swap: Any = [_REAL.get(a, a) if isinstance(a, _C.dtype) else a for a in args]
        if "dtype" in kwargs and kwargs["dtype"] is not None:
            kwargs = {**kwargs, "dtype": _REAL.get(kwargs["dtype"], kwargs["dtype"])}
        given = [a for a in (*args, kwargs.get("dtype")) if isinstance(a, _C.dtype)]
        if any(a not in _REAL and a not in _REAL.values() for a in given) or any(a in _DTYPES for a in args):
            raise errors.TypeError("to: a complex tensor stays complex; take .real or .abs() first")
        return ComplexTensor(self._parts.to(*swap, **kwargs))

    def cuda(self, *args: Any, **kwargs: Any) -> ComplexTensor:
        """On a CUDA device."""
        return ComplexTensor(self._parts.cuda(*args, **kwargs))

    def cpu(self) -> ComplexTensor:
        """On the CPU."""
        return ComplexTensor(self._parts.cpu())

    def clone(self) -> ComplexTensor:
        """A copy."""
        return ComplexTensor(self._parts.clone())

    def detach(self) -> ComplexTensor:
        """Without history."""
        return ComplexTensor(self._parts.detach())

    def contiguous(self) -> ComplexTensor:
        """Elements in row-major order."""
        return ComplexTensor(self._parts.contiguous())

    # --- arithmetic ---

    def mul(self, other: Any) -> ComplexTensor:
        """Product with a complex or real tensor or number."""
        if isinstance(other, (int, float)):
            return ComplexTensor(self._parts * other)
        if isinstance(other, Tensor) and other.dtype in _DTYPES:
            return ComplexTensor(self._parts * other.unsqueeze(-1))
        return ComplexTensor(_times(self._parts, as_complex(other, self)._parts))

    def add(self, other: Any) -> ComplexTensor:
        """Sum."""
        return ComplexTensor(self._parts + as_complex(other, self)._parts)

    def sub(self, other: Any) -> ComplexTensor:
        """Difference."""
        return ComplexTensor(self._parts - as_complex(other, self)._parts)

    def div(self, other: Any) -> ComplexTensor:
        """Quotient."""
        if isinstance(other, (int, float)):
            return ComplexTensor(self._parts / other)
        other = as_complex(other, self)
        size = (other._parts * other._parts).sum(-1, keepdim=True)
        return ComplexTensor(_times(self._parts, other.conj()._parts) / size)

    __mul__ = __rmul__ = mul
    __add__ = __radd__ = add
    __sub__ = sub
    __truediv__ = div

    def __rsub__(self, other: Any) -> ComplexTensor:
        return as_complex(other, self).sub(self)

    def __rtruediv__(self, other: Any) -> ComplexTensor:
        return as_complex(other, self).div(self)

    def __neg__(self) -> ComplexTensor:
        return ComplexTensor(-self._parts)

    def conj(self) -> ComplexTensor:
        """The conjugate."""
        return ComplexTensor(_C.stack([self.real, -self.imag], -1))

    def abs(self) -> Tensor:
        """The absolute value."""
        return self._parts.norm(2, -1)

    __abs__ = abs

    def __pos__(self) -> ComplexTensor:
        return self

    def angle(self) -> Tensor:
        """The angle, in (-pi, pi]."""
        return _C.atan2(self.imag, self.real)

    def exp(self) -> ComplexTensor:
        """e to the power of each element."""
        return polar(self.real.exp(), self.imag)

    def pow(self, exponent: Any) -> ComplexTensor:
        """A power: products for small whole numbers, else exp(exponent log z)."""
        if isinstance(exponent, int) and 0 < exponent <= 8:
            result = self
            for _ in range(exponent - 1):
                result = result.mul(self)
            return result
        log = ComplexTensor(_C.stack([self.abs().log(), self.angle()], -1))
        return log.mul(exponent).exp()

    __pow__ = pow

    def square(self) -> ComplexTensor:
        """z z."""
        return self.mul(self)

    def matmul(self, other: Any) -> ComplexTensor:
        """The matrix product, as for real tensors."""
        b = as_complex(other, self)
        real = _C.matmul(self.real, b.real) - _C.matmul(self.imag, b.imag)
        imag = _C.matmul(self.real, b.imag) + _C.matmul(self.imag, b.real)
        return ComplexTensor(_C.stack([real, imag], -1))

    __matmul__ = mm = bmm = matmul

    def __rmatmul__(self, other: Any) -> ComplexTensor:
        return as_complex(other, self).matmul(self)

    def sum(self, dim: Any = None, keepdim: bool = False) -> ComplexTensor:
        """Sum over all or some dimensions."""
        dims = tuple(range(self.ndim)) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
        return ComplexTensor(self._parts.sum(tuple(_shifted(self, d) for d in dims), keepdim=keepdim))

    def mean(self, dim: Any = None, keepdim: bool = False) -> ComplexTensor:
        """Mean over all or some dimensions."""
        total = self.sum(dim, keepdim)
        return total.div(self.numel() / max(total.numel(), 1))

    # --- shapes ---

    def __getitem__(self, index: Any) -> ComplexTensor:
        index = index if isinstance(index, tuple) else (index,)
        if not any(i is Ellipsis for i in index):
            index = (*index, Ellipsis)
        whole = (*index, slice(None))
        return ComplexTensor(self._parts[whole])

    def __setitem__(self, index: Any, value: Any) -> None:
        index = index if isinstance(index, tuple) else (index,)
        if not any(i is Ellipsis for i in index):
            index = (*index, Ellipsis)
        whole = (*index, slice(None))
        self._parts[whole] = as_complex(value, self)._parts

    def istft(self, *args: Any, **kwargs: Any) -> Any:
        """:func:`ccdl.istft`."""
        from ._spectra import istft

        return istft(self, *args, **kwargs)

    def stft(self, *args: Any, **kwargs: Any) -> Any:
        """:func:`ccdl.stft`."""
        from ._spectra import stft

        return stft(self, *args, **kwargs)

    def view(self, *shape: Any) -> ComplexTensor:
        """Another shape of the same memory."""
        return ComplexTensor(self._parts.view(*_sizes(shape), 2))

    def reshape(self, *shape: Any) -> ComplexTensor:
        """Another shape."""
        return ComplexTensor(self._parts.reshape(*_sizes(shape), 2))

    def expand(self, *shape: Any) -> ComplexTensor:
        """Dimensions of size 1 repeated without a copy."""
        return ComplexTensor(self._parts.expand(*_sizes(shape), 2))

    def permute(self, *dims: Any) -> ComplexTensor:
        """Dimensions in another order."""
        order = [_shifted(self, d) for d in _sizes(dims)]
        return ComplexTensor(self._parts.permute(*order, self.ndim))

    def transpose(self, dim0: int, dim1: int) -> ComplexTensor:
        """Two dimensions swapped."""
        return ComplexTensor(self._parts.transpose(_shifted(self, dim0), _shifted(self, dim1)))

    def unsqueeze(self, dim: int) -> ComplexTensor:
        """A dimension of size 1 more."""
        return ComplexTensor(self._parts.unsqueeze(dim - 1 if dim < 0 else dim))

    def squeeze(self, dim: int) -> ComplexTensor:
        """Without a dimension of size 1."""
        return ComplexTensor(self._parts.squeeze(_shifted(self, dim)))

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> ComplexTensor:
        """Some dimensions as one."""
        if not self.ndim:
            return self.reshape(1)
        return ComplexTensor(self._parts.flatten(_shifted(self, start_dim), _shifted(self, end_dim)))


_SWAPPED = ("mul", "multiply", "add", "sub", "div", "matmul")


def _sizes(shape: Any) -> tuple[int, ...]:
    return tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else tuple(shape)


def _shifted(z: ComplexTensor, dim: int) -> int:
    """``dim`` counted from the front; an error names what is wrong in terms of the complex shape."""
    n = max(z.ndim, 1)
    if not -n <= dim < n:
        raise errors.IndexError(
            f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
        )
    return dim + n if dim < 0 else dim


def as_complex(x: Any, like: ComplexTensor | None = None) -> ComplexTensor:
    """``x``, a complex or real tensor or a Python number, as a complex tensor."""
    import builtins

    if isinstance(x, ComplexTensor):
        return x
    if isinstance(x, Tensor):
        x = x if x.dtype in _DTYPES else x.float()
        return ComplexTensor(_C.stack([x, _C.zeros_like(x)], -1))
    if like is not None and isinstance(x, (int, float, builtins.complex)):
        parts = _C.tensor([x.real, x.imag], dtype=like._parts.dtype, device=like.device)
        return ComplexTensor(parts)
    raise errors.TypeError(f"a complex tensor takes tensors and numbers, not {type(x).__name__}")


def _numbers(data: Any, part: str) -> Any:
    """One part of nested lists of numbers."""
    if isinstance(data, (list, tuple)):
        return [_numbers(item, part) for item in data]
    return getattr(data, part) if not isinstance(data, Tensor) else data.item() if part == "real" else 0.0


def of_complex_dtype(func: Any, types: Any, args: Any, kwargs: Any) -> ComplexTensor:
    """What a function makes of a complex ``dtype``: zeros, ones, random numbers, real tensors converted.

    Uniform numbers have uniform parts; normal ones have variance 1, 1/2 in each part.
    """
    name = func.__name__
    real_args = [_REAL.get(a, a) if isinstance(a, _C.dtype) else a for a in args]
    kwargs = {k: _REAL.get(v, v) if isinstance(v, _C.dtype) else v for k, v in kwargs.items()}
    wants_grad = kwargs.pop("requires_grad", False)

    def call(*given: Any, **options: Any) -> Tensor:
        part = func(*given, **options)
        return part if isinstance(part, Tensor) else as_complex(part)._parts

    if name in ("rand", "randn", "rand_like", "randn_like"):
        like = [a._parts[..., 0] if isinstance(a, ComplexTensor) else a for a in real_args]
        parts = _C.stack([call(*like, **kwargs), call(*like, **kwargs)], -1)
        result = ComplexTensor(parts * 0.5**0.5 if name.startswith("randn") else parts)
    elif name in _OF_NUMBERS:
        if args and isinstance(args[0], ComplexTensor):
            return args[0].to(*(a for a in args[1:] if isinstance(a, _C.dtype)), **kwargs)
        place = 1 if name in ("full", "new_full", "full_like", "new_tensor") else 0
        place = 2 if name == "new_full" else place
        key = "fill_value" if "full" in name else "data"
        if len(real_args) > place and isinstance(real_args[place], Tensor):
            result = as_complex(call(*real_args, **kwargs))
        else:
            halves = []
            for part in ("real", "imag"):
                given, options = list(real_args), dict(kwargs)
                if len(given) > place:
                    given[place] = _numbers(given[place], part)
                else:
                    options[key] = _numbers(options[key], part)
                halves.append(call(*given, **options))
            result = ComplexTensor(_C.stack(halves, -1))
    elif name in _REAL_VALUED:
        like = [a._parts[..., 0] if isinstance(a, ComplexTensor) else a for a in real_args]
        result = as_complex(call(*like, **kwargs))
    else:
        raise errors.TypeError(
            f"{name}: complex dtypes are not supported here; complex numbers are pairs of real ones in ccdl "
            "(ccdl.complex, ccdl.view_as_complex)"
        )
    if wants_grad:
        result = ComplexTensor(result._parts.detach().requires_grad_())
    return result


_OF_NUMBERS = "tensor as_tensor asarray full new_full full_like new_tensor scalar_tensor".split()
_REAL_VALUED = (
    "zeros ones empty eye arange linspace zeros_like ones_like empty_like new_zeros new_ones new_empty to "
    "type"
).split()
