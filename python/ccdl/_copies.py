"""Views as copies: ``f_copy(x, ...)`` is ``f(x, ...)`` in memory of its own; a few other compositions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import _C, errors
from ._C import Tensor
from ._checks import check_tensors, items
from ._contractions import _write

__all__ = [
    "alias_copy",
    "as_strided_copy",
    "as_strided_scatter",
    "detach_copy",
    "diagonal_copy",
    "expand_copy",
    "nonzero_static",
    "permute_copy",
    "select_copy",
    "slice_copy",
    "split_copy",
    "split_with_sizes_copy",
    "squeeze_copy",
    "t_copy",
    "transpose_copy",
    "unbind_copy",
    "unfold_copy",
    "unsqueeze_copy",
    "view_copy",
]


def _copy(name: str, view: Callable[..., Any]) -> Callable[..., Any]:
    def function(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        if not isinstance(input, Tensor):
            raise TypeError(f"{name}(): argument 'input' must be Tensor, not {type(input).__name__}")
        result = view(input, *args, **kwargs)
        if isinstance(result, Tensor):
            return result.clone(memory_format=_C.contiguous_format) if out is None else _write(out, result)
        if out is None:
            return tuple(r.clone(memory_format=_C.contiguous_format) for r in result)
        for o, r in zip(out, result):
            _write(o, r)
        return None

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"The same as without ``_copy``, in memory of its own (``{name}``)."
    return function


def _slice(
    x: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Tensor:
    if not -x.dim() <= dim < x.dim():
        raise errors.IndexError(f"slice_copy: dimension {dim} is out of range for a {x.dim()}-d tensor")
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


alias_copy = _copy("alias_copy", lambda x: x)
as_strided_copy = _copy("as_strided_copy", _C.as_strided)
detach_copy = _copy("detach_copy", _C.detach)
diagonal_copy = _copy("diagonal_copy", _C.diagonal)
expand_copy = _copy("expand_copy", lambda x, size, *, implicit=False: x.expand(size))
permute_copy = _copy("permute_copy", _C.permute)
select_copy = _copy("select_copy", _C.select)
slice_copy = _copy("slice_copy", _slice)
split_copy = _copy("split_copy", lambda x, split_size, dim=0: x.split(split_size, dim))
split_with_sizes_copy = _copy("split_with_sizes_copy", _C.split_with_sizes)
squeeze_copy = _copy("squeeze_copy", _C.squeeze)
t_copy = _copy("t_copy", _C.t)
transpose_copy = _copy("transpose_copy", _C.transpose)
unbind_copy = _copy("unbind_copy", _C.unbind)
unfold_copy = _copy("unfold_copy", lambda x, dimension, size, step: x.unfold(dimension, size, step))
unsqueeze_copy = _copy("unsqueeze_copy", _C.unsqueeze)
view_copy = _copy("view_copy", lambda x, size: x.view(size))


def as_strided_scatter(
    input: Tensor, src: Tensor, size: Any, stride: Any, storage_offset: int | None = None
) -> Tensor:
    """``input`` with ``src`` in place of the elements that ``input.as_strided(size, stride, storage_offset)``
    shows.

    >>> import ccdl
    >>> ccdl.as_strided_scatter(ccdl.zeros(2, 2), ccdl.ones(2), (2,), (3,))
    tensor([[1., 0.],
            [0., 1.]])
    """
    size = items("as_strided_scatter", "size", size)
    if tuple(src.shape) != size:
        raise errors.ShapeError(
            f"as_strided_scatter: expected src to have a size equal to the slice of input, {size}, "
            f"got {tuple(src.shape)}"
        )
    offset = input.storage_offset() if storage_offset is None else storage_offset
    result = input.clone(memory_format=_C.contiguous_format if input.is_contiguous() else _C.preserve_format)
    result.as_strided(size, stride, offset - input.storage_offset()).copy_(src)
    return result


def nonzero_static(input: Tensor, *, size: int, fill_value: int = -1, out: Tensor | None = None) -> Tensor:
    """The indices of nonzero elements, cut or filled up to ``size`` rows: the shape is known beforehand.

    >>> import ccdl
    >>> ccdl.nonzero_static(ccdl.tensor([0, 3, 0]), size=2)
    tensor([[ 1],
            [-1]])
    """
    if size < 0:
        raise errors.RuntimeError(f"nonzero_static: size must be non-negative, got {size}")
    found = _C.nonzero(input)[:size]
    rest = _C.full((size - found.shape[0], input.dim()), fill_value, dtype=_C.int64, device=input.device)
    result = _C.cat([found, rest], 0) if input.dim() else found.new_empty(size, 0)
    return result if out is None else _write(out, result)


__test__ = check_tensors(globals(), __all__)
