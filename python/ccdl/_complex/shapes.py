"""Shapes, joining, indexing by number and copies of complex tensors."""

from __future__ import annotations

import builtins
import math
from typing import Any

from .. import _C, errors
from .._C import Tensor
from . import _DTYPES, _REAL, ComplexTensor, _dtype, as_complex, own
from .table import OPS, all_of, at, each, in_place, like, op, pair, sizes_of


def _whole(index: Tensor) -> Tensor:
    """An index or mask per element as one per part."""
    return index.unsqueeze(-1).expand(*index.shape, 2)


def _at_most_2d(name: str, z: Any) -> Any:
    if z.ndim > 2:
        raise errors.ShapeError(f"{name}: expects a tensor with <= 2 dimensions, but self is {z.ndim}D")
    return z


def _matrix(name: str, z: Any) -> Any:
    if z.ndim != 2:
        raise errors.ShapeError(f"{name}: expected a matrix, but got tensor with dim {z.ndim}")
    return z


def _shapes() -> None:
    def on_parts(names: str, change: Any) -> None:
        for name in names.split():
            OPS[name] = lambda z, *a, **k: own(change(as_complex(z)._parts, as_complex(z), *a, **k))

    on_parts(
        "view",
        lambda p, z, *s: p.view(*sizes_of(s), 2) if not isinstance(s[0], _C.dtype) else _viewed(p, s[0]),
    )
    on_parts("reshape", lambda p, z, *s, shape=None: p.reshape(*(sizes_of(s) if shape is None else shape), 2))
    on_parts("view_as reshape_as", lambda p, z, other: p.reshape(*other.shape, 2))
    on_parts(
        "expand broadcast_to",
        lambda p, z, *s, size=None, implicit=False: p.expand(*(sizes_of(s) if size is None else size), 2),
    )
    on_parts("expand_as", lambda p, z, other: p.expand(*other.shape, 2))
    on_parts(
        "permute",
        lambda p, z, *d, dims=None: p.permute(*at(z, sizes_of(d) if dims is None else dims), z.ndim),
    )
    on_parts("transpose swapaxes swapdims", lambda p, z, dim0, dim1: p.transpose(at(z, dim0), at(z, dim1)))
    on_parts("t", lambda p, z: p.transpose(0, 1) if _at_most_2d("t", z).ndim == 2 else p)
    on_parts(
        "movedim moveaxis", lambda p, z, source, destination: p.movedim(at(z, source), at(z, destination))
    )
    on_parts("unsqueeze", lambda p, z, dim: p.unsqueeze(at(z, dim, 1)))
    on_parts("squeeze", lambda p, z, dim=None: _squeezed(p, z, dim))
    on_parts(
        "flatten",
        lambda p, z, start_dim=0, end_dim=-1: (
            p.flatten(at(z, start_dim), at(z, end_dim)) if z.ndim else p.reshape(1, 2)
        ),
    )
    on_parts("ravel", lambda p, z: p.reshape(-1, 2))
    on_parts("unflatten", lambda p, z, dim, sizes: p.unflatten(at(z, dim), sizes))
    on_parts("narrow", lambda p, z, dim, start, length: p.narrow(at(z, dim), start, length))
    on_parts("select", lambda p, z, dim, index: p.select(at(z, dim), index))
    on_parts("index_select", lambda p, z, dim, index: p.index_select(at(z, dim), index))
    on_parts("gather", lambda p, z, dim, index, sparse_grad=False: p.gather(at(z, dim), _whole(index)))
    on_parts("take_along_dim", lambda p, z, indices, dim: p.take_along_dim(_whole(indices), at(z, dim)))
    on_parts("take", lambda p, z, index: p.reshape(-1, 2)[index])
    on_parts(
        "masked_select", lambda p, z, mask: p[mask.expand(z.shape)] if mask.shape != z.shape else p[mask]
    )
    on_parts(
        "roll",
        lambda p, z, shifts, dims=None: (
            p.roll(shifts, at(z, dims))
            if dims not in (None, ())
            else p.reshape(-1, 2).roll(shifts, 0).reshape(p.shape)
        ),
    )
    on_parts("flip", lambda p, z, *d, dims=None: p.flip(at(z, sizes_of(d) if dims is None else dims)))
    on_parts("fliplr", lambda p, z: p.flip(1))
    on_parts("flipud", lambda p, z: p.flip(0))
    on_parts("rot90", lambda p, z, k=1, dims=(0, 1): p.rot90(k, at(z, dims)))
    on_parts("repeat", lambda p, z, *s: p.repeat(*sizes_of(s), 1))
    on_parts("tile", lambda p, z, *s, dims=None: p.tile((*(sizes_of(s) if dims is None else dims), 1)))
    on_parts(
        "repeat_interleave",
        lambda p, z, repeats, dim=None, output_size=None: (
            p.reshape(-1, 2).repeat_interleave(repeats, 0)
            if dim is None
            else p.repeat_interleave(repeats, at(z, dim))
        ),
    )
    on_parts(
        "unfold", lambda p, z, dimension, size, step: p.unfold(at(z, dimension), size, step).transpose(-1, -2)
    )
    on_parts(
        "diagonal",
        lambda p, z, offset=0, dim1=0, dim2=1: p.diagonal(offset, at(z, dim1), at(z, dim2)).transpose(-1, -2),
    )
    on_parts("tril", lambda p, z, diagonal=0: p.movedim(-1, 0).tril(diagonal).movedim(0, -1))
    on_parts("triu", lambda p, z, diagonal=0: p.movedim(-1, 0).triu(diagonal).movedim(0, -1))
    on_parts(
        "diag_embed",
        lambda p, z, *a, **k: _C.stack([z.real.diag_embed(*a, **k), z.imag.diag_embed(*a, **k)], -1),
    )
    on_parts(
        "diag", lambda p, z, diagonal=0: _C.stack([z.real.diag(diagonal), z.imag.diag(diagonal)], -1)
    )
    on_parts(
        "diagflat", lambda p, z, offset=0: _C.stack([part.diagflat(offset) for part in (z.real, z.imag)], -1)
    )
    on_parts("clone", lambda p, z, **k: p.clone())
    on_parts("contiguous", lambda p, z, **k: p.contiguous())
    on_parts("cumsum", lambda p, z, dim, dtype=None: p.cumsum(at(z, dim)))
    on_parts(
        "index_add",
        lambda p, z, dim, index, source, alpha=1: p.index_add(
            at(z, dim), index, like(source, z), alpha=alpha
        ),
    )
    on_parts("index_copy", lambda p, z, dim, index, source: p.index_copy(at(z, dim), index, like(source, z)))
    on_parts(
        "scatter",
        lambda p, z, dim, index, src: p.scatter(
            at(z, dim),
            _whole(index),
            like(src, z) if isinstance(src, Tensor) and src.ndim else like(src, z).expand(*index.shape, 2),
        ),
    )
    on_parts(
        "scatter_add", lambda p, z, dim, index, src: p.scatter_add(at(z, dim), _whole(index), like(src, z))
    )
    on_parts("masked_fill", lambda p, z, mask, value: _C.where(mask.unsqueeze(-1), like(value, z), p))
    on_parts(
        "masked_scatter", lambda p, z, mask, source: p.masked_scatter(mask.unsqueeze(-1), like(source, z))
    )
    on_parts(
        "index_put",
        lambda p, z, indices, values, accumulate=False: p.index_put(indices, like(values, z), accumulate),
    )
    on_parts(
        "index_fill",
        lambda p, z, dim, index, value: p.index_copy(
            at(z, dim), index, like(value, z).expand(p.index_select(at(z, dim), index).shape)
        ),
    )
    on_parts(
        "select_scatter", lambda p, z, src, dim, index: p.select_scatter(like(src, z), at(z, dim), index)
    )
    on_parts(
        "slice_scatter",
        lambda p, z, src, dim=0, start=None, end=None, step=1: p.slice_scatter(
            like(src, z), at(z, dim), start, end, step
        ),
    )
    on_parts("trace", lambda p, z: _matrix("trace", z)._parts.diagonal(0, 0, 1).sum(-1))
    on_parts("cpu", lambda p, z: p.cpu())
    on_parts("cuda", lambda p, z, *a, **k: p.cuda(*a, **k))
    on_parts("positive resolve_conj resolve_neg alias", lambda p, z: p)
    on_parts(
        "dropout",
        lambda p, z, p_=0.5, training=True, inplace=False, **k: (
            p * _C.dropout(_C.ones_like(p[..., 0]), k.get("p", p_), training).unsqueeze(-1)
        ),
    )

    def several(names: str, change: Any) -> None:
        for name in names.split():
            OPS[name] = lambda z, *a, **k: each(change(z._parts, z, *a, **k))

    several("chunk unsafe_chunk", lambda p, z, chunks, dim=0: p.chunk(chunks, at(z, dim)))
    several(
        "split unsafe_split split_with_sizes",
        lambda p, z, size=None, dim=0, split_size=None, split_size_or_sections=None: p.split(
            size if size is not None else split_size if split_size is not None else split_size_or_sections,
            at(z, dim),
        ),
    )
    several("tensor_split", lambda p, z, sections, dim=0: p.tensor_split(sections, at(z, dim)))
    several("unbind", lambda p, z, dim=0: p.unbind(at(z, dim)))
    several("hsplit", lambda p, z, sections: p.tensor_split(sections, 1 if z.ndim > 1 else 0))
    several("vsplit", lambda p, z, sections: p.tensor_split(sections, 0))


def _viewed(p: Tensor, dtype: Any) -> Tensor:
    if _DTYPES[p.dtype] is not dtype:
        raise errors.TypeError(f"view: complex numbers can be viewed as their own dtype only, not {dtype}")
    return p


def _squeezed(p: Tensor, z: ComplexTensor, dim: Any) -> Tensor:
    if dim is None:
        dim = tuple(range(z.ndim))
    for d in sorted(all_of(z, dim) if z.ndim else (), reverse=True):
        p = p.squeeze(d)
    return p


_shapes()


def _joined(name: str) -> Any:
    def join(tensors: Any, dim: int = 0) -> Any:
        if not isinstance(tensors, (tuple, list)):
            raise errors.TypeError(
                f"{name}(): argument 'tensors' (position 1) must be tuple of Tensors, not "
                f"{type(tensors).__name__}"
            )
        for place, t in enumerate(tensors):
            if not isinstance(t, Tensor):
                raise errors.TypeError(
                    f"{name}: expected Tensor as element {place} in argument 0, but got {type(t).__name__}"
                )
        if not isinstance(dim, int):
            raise errors.TypeError(f"{name}(): argument 'dim' must be int, not {type(dim).__name__}")
        if name in ("hstack", "vstack"):
            tensors = [OPS["atleast_1d"](t) for t in tensors]
        elif name == "cat" and not all(t.dim() for t in tensors):
            raise errors.ShapeError("cat: zero-dimensional tensors cannot be concatenated; use stack")
        first = next(t for t in tensors if isinstance(t, ComplexTensor))
        parts = [like(t, first) for t in tensors]
        if name == "stack":
            return own(_C.stack(parts, at(first, dim, 1)))
        if name == "hstack":
            dim = 1 if first.ndim > 1 else 0
        return own(
            _C.cat(
                [p.reshape(1, *p.shape) if name == "vstack" and p.dim() == 2 else p for p in parts],
                at(first, dim),
            )
        )

    return join


for _name in ("cat", "concat", "concatenate", "stack", "hstack", "vstack"):
    OPS[_name] = _joined(_name if _name in ("stack", "hstack", "vstack") else "cat")


@op("broadcast_tensors")
def broadcast_tensors(*tensors: Any) -> Any:
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    from .._shapes import broadcast_shapes

    shape = broadcast_shapes(*(t.shape for t in tensors))
    return tuple(t.expand(shape) for t in tensors)


def _at_least(n: int) -> Any:
    def widen(*tensors: Any) -> Any:
        if len(tensors) != 1 or isinstance(tensors[0], (list, tuple)):
            return tuple(widen(t) for t in (tensors[0] if len(tensors) == 1 else tensors))
        z = tensors[0]
        shapes = {0: (1,) * n, 1: (1, z.numel(), 1)[: n if n != 1 else None] if n > 1 else tuple(z.shape)}
        return z.reshape(shapes[z.ndim]) if z.ndim < 2 else z if z.ndim >= n else z.unsqueeze(-1)

    return widen


for _n in (1, 2, 3):
    OPS[f"atleast_{_n}d"] = _at_least(_n)


@op("meshgrid")
def meshgrid(*tensors: Any, indexing: str = "ij") -> Any:
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    grids = _C.meshgrid([_C.arange(t.numel()) for t in tensors], indexing=indexing)
    return tuple(as_complex(t).reshape(-1)[g] for t, g in zip(tensors, grids, strict=True))


@op("block_diag")
def block_diag(*tensors: Any) -> Any:
    pairs = [as_complex(t) for t in tensors]
    return pair(_C.block_diag(*(z.real for z in pairs)), _C.block_diag(*(z.imag for z in pairs)))


@op("where")
def where(condition: Any, input: Any, other: Any) -> Any:
    beside = input if isinstance(input, ComplexTensor) else other
    return own(_C.where(condition.unsqueeze(-1), like(input, beside), like(other, beside)))


@op("pad")
def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    if mode == "constant":
        value = 0 if value is None else value
        return own(
            _C.stack(
                [_C.pad(input.real, pad, mode, value.real), _C.pad(input.imag, pad, mode, value.imag)], -1
            )
        )
    return own(_C.stack([_C.pad(part, pad, mode) for part in (input.real, input.imag)], -1))


# --- copies and kinds ---


@op("to")
def to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """Another device or dtype; a complex tensor stays complex."""
    if args and isinstance(args[0], Tensor):
        other = args[0]
        if (
            isinstance(self, ComplexTensor)
            and not isinstance(other, ComplexTensor)
            and other.dtype is not _dtype(self)
        ):
            raise errors.TypeError("to: a complex tensor stays complex; take .real or .abs() first")
        args = (other.device, other.dtype, *args[1:])
        if not isinstance(self, ComplexTensor):
            from .make import of_complex_dtype

            return of_complex_dtype(_C.Tensor.to, (), (self, *args), kwargs)
    given = [a for a in (*args, kwargs.get("dtype")) if isinstance(a, _C.dtype)]
    swap: Any = [_REAL.get(a, a) if isinstance(a, _C.dtype) else a for a in args]
    if kwargs.get("dtype") is not None:
        kwargs = {**kwargs, "dtype": _REAL.get(kwargs["dtype"], kwargs["dtype"])}
    if any(a not in _REAL for a in given):
        raise errors.TypeError("to: a complex tensor stays complex; take .real or .abs() first")
    kwargs.pop("memory_format", None)
    before = self._parts
    after = before.to(*swap, **kwargs)
    return self if after is before else own(after)


@op("type", "type_as")
def type_(self: Any, dtype: Any = None) -> Any:
    if dtype is None:
        return "torch.ComplexFloatTensor" if self.dtype is _C.complex64 else "torch.ComplexDoubleTensor"
    return to(self, dtype)


@op("copy_")
def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    if not isinstance(self, ComplexTensor):
        raise errors.TypeError(
            f"copy_: complex numbers do not fit in a tensor of {self.dtype}; take .real or .abs()"
        )
    if isinstance(src, Tensor) and not isinstance(src, ComplexTensor):
        src = as_complex(src)
    self._parts.copy_(like(src, self))
    return self


@op("zero_")
def zero_(self: Any) -> Any:
    self._parts.zero_()
    return self


@op("fill_")
def fill_(self: Any, value: Any) -> Any:
    if isinstance(value, Tensor) and value.dim():
        raise errors.ShapeError(
            f"fill_: only supports 0-dimension value tensor but got tensor with {value.dim()} dimensions"
        )
    self._parts.copy_(like(value, self).expand(*self.shape, 2))
    return self


@op("fill")
def fill(self: Any, value: Any) -> Any:
    return fill_(self.clone(), value)


@op("normal_")
def normal_(self: Any, mean: float = 0, std: float = 1, *, generator: Any = None) -> Any:
    """Parts of variance std^2 / 2 around the mean."""
    self._parts.normal_(0, std / math.sqrt(2), generator=generator)
    return self.add_(mean) if mean else self


@op("uniform_")
def uniform_(self: Any, a: float = 0, b: float = 1, *, generator: Any = None) -> Any:
    """Both parts uniform in [a, b)."""
    self._parts.uniform_(a, b, generator=generator)
    return self


@op("resize_")
def resize_(self: Any, *sizes: Any) -> Any:
    self._parts.resize_(*sizes_of(sizes), 2)
    Tensor.data.__set__(self, self._parts.new_empty(*sizes_of(sizes), 2))  # type: ignore[attr-defined]
    return self


@op("set_")
def set_(self: Any, source: Any) -> Any:
    self.data = source
    return self


@op("detach_")
def detach_(self: Any) -> Any:
    Tensor.requires_grad.__set__(self, False)  # type: ignore[attr-defined]
    return self


@op("is_complex", "is_nonzero")
def is_complex(z: Any) -> bool:
    return True


OPS["is_nonzero"] = lambda z: builtins.bool(z.item())
OPS["is_floating_point"] = lambda z: False
OPS["is_same_size"] = lambda a, b: a.shape == b.shape
OPS["numel"] = lambda z: z.numel()
OPS["is_conj"] = OPS["is_neg"] = lambda z: False
OPS["real"] = lambda z: z.real
OPS["imag"] = lambda z: z.imag
OPS["detach"] = lambda z: z.detach()
OPS["view_as_real"] = lambda z: z._parts
OPS["result_type"] = lambda a, b: _DTYPES[
    (
        as_complex(a, b if isinstance(b, ComplexTensor) else None)._parts.new_empty(2)
        + as_complex(b, a if isinstance(a, ComplexTensor) else None)._parts.new_empty(2)
    ).dtype
]


# --- embedding, indexing by number ---


@op("embedding")
def embedding(weight: Any, input: Any, padding_idx: Any = None, *args: Any, **kwargs: Any) -> Any:
    flat = _C.embedding(weight._parts.reshape(weight.shape[0], -1), input, padding_idx, *args, **kwargs)
    return own(flat.reshape(*input.shape, *weight.shape[1:], 2))


for _name in (
    "index_add index_copy scatter scatter_add index_put masked_fill masked_scatter index_fill".split()
):
    OPS[_name + "_"] = in_place(_name)


@op("put")
def put(input: Any, index: Any, source: Any, accumulate: bool = False) -> Any:
    flat, values = input._parts.reshape(-1, 2), like(source, input).reshape(-1, 2)
    return own(flat.index_put((index.reshape(-1),), values, accumulate).reshape(input._parts.shape))


@op("diagonal_scatter")
def diagonal_scatter(input: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    columns = like(src, input).movedim(-1, -2)
    return own(input._parts.diagonal_scatter(columns, offset, at(input, dim1), at(input, dim2)))


@op("combinations")
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    return input[_C.combinations(_C.arange(input.shape[0], device=input.device), r, with_replacement)]


@op("cartesian_prod")
def cartesian_prod(*tensors: Any) -> Any:
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    if len(tensors) == 1:
        return tensors[0]
    return OPS["stack"]([grid.reshape(-1) for grid in meshgrid(*tensors)], 1)
