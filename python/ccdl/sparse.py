"""Sparse matrices of coordinates and values, as graph networks multiply them: ``ccdl.sparse_coo_tensor``.

A :class:`SparseTensor` is no ``Tensor``: it has the products, transposes and conversions listed here. The
values carry gradients through products and ``to_dense``; entries given twice are summed. Products are dense.
"""

from __future__ import annotations

from typing import Any

from . import _C, errors
from ._C import Tensor

__all__ = ["DoubleTensor", "FloatTensor", "SparseTensor", "addmm", "mm", "sparse_coo_tensor", "sum"]


def sparse_coo_tensor(
    indices: Any,
    values: Any,
    size: Any = None,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    check_invariants: Any = None,
    is_coalesced: Any = None,
) -> SparseTensor:
    """The tensor with ``values[k]`` at ``indices[:, k]`` and zero elsewhere; entries given twice are summed.

    Args:
        indices: [D, N], integers.
        values: [N], or a number for all.
        size: the D sizes; by default the smallest that holds the indices.

    Raises:
        RuntimeError: shapes that do not fit, or an index outside ``size``.

    >>> import ccdl
    >>> a = ccdl.sparse_coo_tensor([[0, 1], [1, 0]], [2.0, 3.0], (2, 2))
    >>> a @ ccdl.tensor([[1.0], [10.0]])
    tensor([[20.],
            [ 3.]])
    """
    indices = _C.as_tensor(indices, device=device)
    if indices.dtype in (_C.float32, _C.float64, _C.float16, _C.bfloat16, _C.bool) and indices.numel():
        raise errors.RuntimeError(
            f"sparse_coo_tensor: indices must be an int64 tensor, but got: {indices.dtype}"
        )
    indices = indices.to(_C.int64)
    values = _C.as_tensor(values, dtype=dtype, device=device if device is not None else indices.device)
    if indices.dim() == 1 and not indices.numel():
        indices = indices.reshape(len(size or ()), 0)
    if indices.dim() != 2:
        raise errors.RuntimeError(
            "sparse_coo_tensor: indices must have 2 dimensions, [dimensions, entries], got "
            f"{list(indices.shape)}"
        )
    if values.dim() == 0:
        values = values.expand(indices.shape[1])
    if values.dim() != 1 or values.shape[0] != indices.shape[1]:
        raise errors.RuntimeError(
            f"sparse_coo_tensor: {indices.shape[1]} entries need values [{indices.shape[1]}], got "
            f"{list(values.shape)}"
        )
    if size is None:
        if not indices.numel():
            raise errors.RuntimeError("sparse_coo_tensor: without entries, size must be given")
        size = [int(i) + 1 for i in indices.amax(1).tolist()]
    size = _C.Size([int(s) for s in size])
    if len(size) != indices.shape[0]:
        raise errors.RuntimeError(
            f"sparse_coo_tensor: number of dimensions must be {indices.shape[0]} (one per row of indices), "
            f"size is {list(size)}"
        )
    if indices.numel():
        for d, (low, high) in enumerate(zip(indices.amin(1).tolist(), indices.amax(1).tolist(), strict=True)):
            if low < 0 or high >= size[d]:
                raise errors.RuntimeError(
                    f"sparse_coo_tensor: size is inconsistent with indices: for dim {d}, size is {size[d]} "
                    f"but found index {low if low < 0 else high}"
                )
    if requires_grad:
        values = values.detach().clone().requires_grad_()
    return SparseTensor(indices, values, size)


def FloatTensor(indices: Any, values: Any, size: Any = None) -> SparseTensor:
    """The older name of :func:`sparse_coo_tensor`, with float32 values."""
    return sparse_coo_tensor(indices, values, size, dtype=_C.float32)


def DoubleTensor(indices: Any, values: Any, size: Any = None) -> SparseTensor:
    """The older name of :func:`sparse_coo_tensor`, with float64 values."""
    return sparse_coo_tensor(indices, values, size, dtype=_C.float64)


def mm(mat1: Any, mat2: Any) -> Tensor:
    """Product of a sparse [M, K] and a dense [K, N] matrix (or of two dense ones)."""
    return mat1.mm(mat2)


def addmm(mat: Tensor, mat1: Any, mat2: Tensor, *, beta: float = 1.0, alpha: float = 1.0) -> Tensor:
    """``beta mat + alpha (mat1 @ mat2)``."""
    return beta * mat + alpha * mat1.mm(mat2)


def sum(input: SparseTensor, dim: Any = None) -> Tensor:
    """Sum of all entries, or the dense sums over some dimensions."""
    return input.sum(dim)


def _from_dense(x: Tensor) -> SparseTensor:
    """``Tensor.to_sparse``: the entries that are not zero, in row-major order."""
    indices = x.nonzero().t().contiguous()
    return SparseTensor(indices, x[tuple(indices.unbind(0))], x.shape, coalesced=True)


class SparseTensor:
    """Coordinates [D, N] and values [N]; made by :func:`sparse_coo_tensor` and ``Tensor.to_sparse``."""

    __slots__ = ("_coalesced", "_held", "_places", "shape")
    _may_be_buffer = True  # modules move it with their tensors
    is_sparse = True

    def __init__(self, indices: Tensor, values: Tensor, size: Any, coalesced: bool = False) -> None:
        self._places, self._held, self.shape = indices, values, _C.Size(size)
        self._coalesced = coalesced

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        if name == "addmm" and len(args) == 3 and isinstance(args[1], cls):
            return addmm(*args, **(kwargs or {}))
        method = getattr(cls, {"multiply": "mul", "smm": "mm", "spmm": "mm"}.get(name, name), None)
        if isinstance(method, property) and len(args) == 1 and isinstance(args[0], cls):
            return getattr(args[0], name)
        if callable(method) and args and isinstance(args[0], cls):
            return method(*args, **(kwargs or {}))
        return NotImplemented

    def _with(self, values: Tensor, indices: Tensor | None = None, size: Any = None) -> SparseTensor:
        same = indices is None
        places = self._places if indices is None else indices
        return SparseTensor(places, values, size or self.shape, self._coalesced and same)

    # --- what it is ---

    @property
    def dtype(self) -> Any:
        """Type of the values."""
        return self._held.dtype

    @property
    def device(self) -> Any:
        """Where the data lives."""
        return self._held.device

    @property
    def is_cuda(self) -> bool:
        """Whether the data lies on a CUDA device."""
        return self._held.is_cuda

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to the values."""
        return self._held.requires_grad

    @property
    def grad(self) -> Any:
        """The gradient of the values as a sparse tensor, or None."""
        return None if self._held.grad is None else self._with(self._held.grad)

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    def dim(self) -> int:
        """Number of dimensions."""
        return self.ndim

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or one."""
        return self.shape if dim is None else self.shape[dim]

    def indices(self) -> Tensor:
        """Coordinates [D, N] of a coalesced tensor."""
        self._need_coalesced("indices")
        return self._places

    def values(self) -> Tensor:
        """Values [N] of a coalesced tensor."""
        self._need_coalesced("values")
        return self._held

    def _need_coalesced(self, what: str) -> None:
        if not self._coalesced:
            raise errors.RuntimeError(
                f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first"
            )

    def _indices(self) -> Tensor:
        return self._places

    def _values(self) -> Tensor:
        return self._held

    def _nnz(self) -> int:
        return self._places.shape[1]

    def is_coalesced(self) -> bool:
        """Whether the coordinates are known to be sorted and distinct."""
        return self._coalesced

    def is_floating_point(self) -> bool:
        """Whether the values are floating-point numbers."""
        return self._held.is_floating_point()

    def is_complex(self) -> bool:
        """False."""
        return False

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return (
            f"tensor(indices={self._places!r},\n       values={self._held!r},\n       "
            f"size={tuple(self.shape)}, nnz={self._nnz()}, layout=torch.sparse_coo)"
        )

    # --- conversions ---

    def _flat(self) -> Tensor:
        flat = _C.zeros(self._nnz(), dtype=_C.int64, device=self.device)
        for row, length in zip(self._places.unbind(0), self.shape, strict=True):
            flat = flat * length + row
        return flat

    def coalesce(self) -> SparseTensor:
        """Coordinates sorted, entries of the same place summed."""
        if self._coalesced:
            return self
        flat, where = _C.unique(self._flat(), return_inverse=True)
        values = _C.zeros(flat.shape[0], dtype=self.dtype, device=self.device).index_add(0, where, self._held)
        rows = []
        for length in reversed(self.shape):
            rows.append(flat % length)
            flat = _C.div(flat, length, rounding_mode="floor")
        indices = _C.stack(rows[::-1]) if rows else self._places
        return SparseTensor(indices, values, self.shape, coalesced=True)

    def to_dense(self, dtype: Any = None) -> Tensor:
        """The dense tensor."""
        count = 1
        for length in self.shape:
            count *= length
        dense = _C.zeros(count, dtype=self.dtype, device=self.device).index_add(0, self._flat(), self._held)
        return dense.reshape(self.shape).to(dtype or self.dtype)

    def to_sparse(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Itself."""
        return self

    def to(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """Another dtype or device."""
        values = self._held.to(*args, **kwargs)
        return SparseTensor(self._places.to(values.device), values, self.shape, self._coalesced)

    def type(self, dtype: Any) -> SparseTensor:
        """Another dtype."""
        return self._with(self._held.to(dtype))

    def float(self) -> SparseTensor:
        """As float32."""
        return self.to(_C.float32)

    def double(self) -> SparseTensor:
        """As float64."""
        return self.to(_C.float64)

    def cuda(self, *args: Any, **kwargs: Any) -> SparseTensor:
        """On a CUDA device."""
        values = self._held.cuda(*args, **kwargs)
        return SparseTensor(self._places.to(values.device), values, self.shape, self._coalesced)

    def cpu(self) -> SparseTensor:
        """On the CPU."""
        return SparseTensor(self._places.cpu(), self._held.cpu(), self.shape, self._coalesced)

    def clone(self) -> SparseTensor:
        """A copy."""
        return SparseTensor(self._places.clone(), self._held.clone(), self.shape, self._coalesced)

    def detach(self) -> SparseTensor:
        """Without history."""
        return self._with(self._held.detach())

    def requires_grad_(self, requires_grad: bool = True) -> SparseTensor:
        """Asks for gradients of the values."""
        self._held.requires_grad_(requires_grad)
        return self

    # --- arithmetic ---

    def t(self) -> SparseTensor:
        """The transpose of a matrix."""
        return self.transpose(0, 1) if self.ndim > 1 else self

    def transpose(self, dim0: int, dim1: int) -> SparseTensor:
        """Two dimensions swapped."""
        order = list(range(self.ndim))
        order[dim0], order[dim1] = order[dim1], order[dim0]
        size = [self.shape[d] for d in order]
        return self._with(self._held, self._places[_C.tensor(order, device=self.device)], size)

    @property
    def T(self) -> SparseTensor:
        """The transpose."""
        return self.t()

    def mm(self, mat2: Any) -> Tensor:
        """The dense product with a dense matrix [K, N] or vector [K]."""
        if isinstance(mat2, SparseTensor):
            mat2 = mat2.to_dense()
        if not isinstance(mat2, Tensor):
            raise errors.TypeError(f"mm(): argument 'mat2' must be Tensor, not {type(mat2).__name__}")
        if self.ndim != 2 or mat2.dim() not in (1, 2) or mat2.shape[0] != self.shape[1]:
            raise errors.ShapeError(
                f"mm: a sparse {list(self.shape)} and a dense {list(mat2.shape)} cannot be multiplied; the "
                "second size of the one and the first of the other must be equal"
            )
        if mat2.dtype is not self.dtype:
            raise errors.DTypeError(f"mm: expected one dtype, got {self.dtype} and {mat2.dtype}")
        rows, columns = self._places.unbind(0)
        picked = mat2[columns]
        scaled = picked * (self._held if picked.dim() == 1 else self._held.unsqueeze(1))
        out = _C.zeros((self.shape[0], *mat2.shape[1:]), dtype=self.dtype, device=self.device)
        return out.index_add(0, rows, scaled)

    matmul = mv = __matmul__ = mm

    def __rmatmul__(self, other: Tensor) -> Tensor:
        return self.t().mm(other.t()).t() if other.dim() > 1 else self.t().mm(other)

    def mul(self, other: Any) -> SparseTensor:
        """Each entry times a number, or times the entry of a dense tensor at its place."""
        if isinstance(other, SparseTensor):
            other = other.to_dense()
        if isinstance(other, Tensor) and other.dim():
            other = other.expand(self.shape)[tuple(self._places.unbind(0))]
        return self._with(self._held * other)

    __mul__ = __rmul__ = mul

    def div(self, other: Any) -> SparseTensor:
        """Each entry divided by a number."""
        return self._with(self._held / other)

    __truediv__ = div

    def __neg__(self) -> SparseTensor:
        return self._with(-self._held)

    def add(self, other: Any) -> Any:
        """The sum with another sparse tensor, or the dense sum with a dense one."""
        if not isinstance(other, SparseTensor):
            return self.to_dense() + other
        if other.shape != self.shape:
            raise errors.ShapeError(
                f"add: sparse tensors of shapes {list(self.shape)} and {list(other.shape)}"
            )
        places = _C.cat([self._places, other._places], 1)
        return SparseTensor(places, _C.cat([self._held, other._held]), self.shape).coalesce()

    __add__ = __radd__ = add

    def sum(self, dim: Any = None) -> Tensor:
        """Sum of all entries, or the dense sums over some dimensions."""
        return self._held.sum() if dim is None else self.to_dense().sum(dim)
