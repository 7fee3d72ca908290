"""Functions of ``torch.*`` that are compositions of others: gradients on grids, ranges and indices, older
names of factorisations. Windows, settings and names of functional forms and methods have files of their own.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from . import _C, errors
from ._C import Tensor
from ._checks import check_count, check_tensors, items
from ._contractions import _write
from ._functional_names import (
    addmv_,
    affine_grid_generator,
    alpha_dropout_,
    conj_physical_,
    constant_pad_nd,
    cosine_embedding_loss,
    ctc_loss,
    detach_,
    embedding_bag,
    feature_alpha_dropout_,
    fill,
    fill_,
    gcd_,
    get_device,
    grid_sampler,
    hinge_embedding_loss,
    index_put_,
    instance_norm,
    lcm_,
    ldexp_,
    margin_ranking_loss,
    poisson_nll_loss,
    resize_as_,
    rrelu,
    rrelu_,
    triplet_margin_loss,
    unsafe_chunk,
    unsafe_split,
    unsafe_split_with_sizes,
    xlogy_,
    zero_,
)
from ._settings import (
    get_deterministic_debug_mode,
    get_num_interop_threads,
    is_deterministic_algorithms_warn_only_enabled,
    set_default_tensor_type,
    set_deterministic_debug_mode,
    set_flush_denormal,
    set_num_interop_threads,
)
from ._windows import (
    _options,
    bartlett_window,
    blackman_window,
    hamming_window,
    hann_window,
    kaiser_window,
)

__all__ = [
    "addmv_",
    "affine_grid_generator",
    "alpha_dropout_",
    "bartlett_window",
    "blackman_window",
    "conj_physical_",
    "constant_pad_nd",
    "cosine_embedding_loss",
    "ctc_loss",
    "detach_",
    "embedding_bag",
    "empty_permuted",
    "feature_alpha_dropout_",
    "fill",
    "fill_",
    "frexp",
    "frobenius_norm",
    "get_deterministic_debug_mode",
    "gcd_",
    "get_device",
    "get_num_interop_threads",
    "gradient",
    "grid_sampler",
    "hamming_window",
    "hann_window",
    "hinge_embedding_loss",
    "histogram",
    "imag",
    "index_put_",
    "instance_norm",
    "is_deterministic_algorithms_warn_only_enabled",
    "is_distributed",
    "is_storage",
    "kaiser_window",
    "lcm_",
    "ldexp_",
    "lu",
    "lu_unpack",
    "margin_ranking_loss",
    "norm_except_dim",
    "nuclear_norm",
    "orgqr",
    "pca_lowrank",
    "poisson_nll_loss",
    "range",
    "resize_as_",
    "rrelu",
    "rrelu_",
    "scalar_tensor",
    "set_default_tensor_type",
    "set_deterministic_debug_mode",
    "set_flush_denormal",
    "set_num_interop_threads",
    "svd_lowrank",
    "triplet_margin_loss",
    "unravel_index",
    "unsafe_chunk",
    "unsafe_split",
    "unsafe_split_with_sizes",
    "vander",
    "xlogy_",
    "zero_",
]


class _Frexp(NamedTuple):
    mantissa: Tensor
    exponent: Tensor


class _Histogram(NamedTuple):
    hist: Tensor
    bin_edges: Tensor


_Frexp.__name__, _Histogram.__name__ = "frexp", "histogram"


def _out(out: Tensor | None, result: Tensor) -> Tensor:
    return result if out is None else _write(out, result)


# --- numbers, ranges, indices ---


def scalar_tensor(s: Any, **options: Any) -> Tensor:
    """A 0-d tensor of the default dtype (or ``dtype``) holding ``s``."""
    made = _options(**options)
    dtype = made["dtype"] or _C.get_default_dtype()
    result = _C.tensor(s, dtype=dtype, device=made["device"])
    return result.requires_grad_(made["requires_grad"])


def range(
    start: Any = 0, end: Any = None, step: Any = 1, *, out: Tensor | None = None, **options: Any
) -> Tensor:
    """``start, start + step, ..., end`` inclusive, in the default dtype; :func:`arange` is the usual form."""
    import warnings

    warnings.warn("range is deprecated: its end is inclusive; use arange", stacklevel=2)
    if end is None:
        start, end = 0, start
    if step == 0:
        raise errors.RuntimeError("range: step must be nonzero")
    if (end - start) / step < 0:
        raise errors.RuntimeError(
            f"range: upper bound and lower bound inconsistent with step sign: {start}, {end}, {step}"
        )
    made = _options(**options)
    count = math.floor((end - start) / step) + 1
    steps = _C.arange(count, dtype=_C.float64, device=made["device"]) * step + start
    result = steps.to(made["dtype"] or _C.get_default_dtype())
    if out is not None and out.numel() == count:  # any shape of as many elements is filled as it is
        result = result.reshape(out.shape)
    return _out(out, result).requires_grad_(made["requires_grad"])


def empty_permuted(size: Any, physical_layout: Any, **options: Any) -> Tensor:
    """Uninitialised memory of ``size`` whose dimensions lie in memory in the order ``physical_layout``."""
    size = items("empty_permuted", "size", size)
    order = [int(d) for d in items("empty_permuted", "physical_layout", physical_layout)]
    if sorted(order) != [*_indices(len(size))]:
        raise errors.RuntimeError(
            f"empty_permuted: physical_layout must be a permutation of the dimensions of {size}, got "
            f"{tuple(order)}"
        )
    made = _options(**options)
    base = _C.empty([size[d] for d in order], dtype=made["dtype"], device=made["device"])
    back = [order.index(d) for d in _indices(len(size))]
    return base.permute(back).requires_grad_(made["requires_grad"])


def _indices(n: int) -> Any:
    import builtins

    return builtins.range(n)


def unravel_index(indices: Tensor, shape: Any) -> tuple[Tensor, ...]:
    """Coordinates of flat ``indices`` in an array of ``shape``, one tensor per dimension.

    Raises:
        TypeError: indices are not integers.
        ValueError: an index is not an element of the array.

    >>> import ccdl
    >>> ccdl.unravel_index(ccdl.tensor([4, 1]), (2, 3))
    (tensor([1, 0]), tensor([1, 1]))
    """
    if not isinstance(indices, Tensor):
        raise errors.TypeError(
            f"unravel_index: expected 'indices' to be a Tensor but got {type(indices).__name__}"
        )
    if indices.is_floating_point() or indices.dtype is _C.bool:
        raise errors.TypeError(
            f"unravel_index: expected 'indices' to be integer dtype, but got {indices.dtype}"
        )
    if not isinstance(shape, (int, list, tuple)) or (
        isinstance(shape, (list, tuple)) and not all(isinstance(s, int) for s in shape)
    ):
        raise errors.TypeError(
            f"unravel_index: expected 'shape' to be int or sequence of ints, but got {shape!r}"
        )
    sizes = [shape] if isinstance(shape, int) else list(shape)
    if any(s < 0 for s in sizes):
        raise errors.ValueError(f"unravel_index: 'shape' cannot have negative values, but got {tuple(sizes)}")
    total = math.prod(sizes)
    if indices.numel() and not (0 <= int(indices.min()) and int(indices.max()) < total):
        raise errors.ValueError(f"unravel_index: an index is out of range for shape {tuple(sizes)}")
    parts = []
    rest = indices.long()
    for size in reversed(sizes):
        parts.append(rest % max(size, 1))
        rest = rest // max(size, 1)
    return tuple(reversed(parts))


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The Vandermonde matrix [n, N] of a vector: powers falling from N - 1 to 0, or rising.

    >>> import ccdl
    >>> ccdl.vander(ccdl.tensor([1., 2., 3.]))
    tensor([[1., 1., 1.],
            [4., 2., 1.],
            [9., 3., 1.]])
    """
    if x.dim() != 1:
        raise errors.RuntimeError(f"vander: x must be a one-dimensional tensor, got {list(x.shape)}")
    columns = x.shape[0] if N is None else N
    if columns < 0:
        raise errors.RuntimeError(f"vander: N must be non-negative, got {N}")
    x = x if x.is_floating_point() else x.to(_C.int64)
    if columns == 0:
        return x.new_empty(x.shape[0], 0)
    ones = _C.ones_like(x).unsqueeze(1)
    powers = (
        _C.cat([ones, x.unsqueeze(1).expand(x.shape[0], columns - 1).cumprod(1)], 1) if columns > 1 else ones
    )
    return powers if increasing else powers.flip(1)


def frexp(input: Tensor, *, out: Any = None) -> tuple[Tensor, Tensor]:
    """(mantissa, exponent) with ``input = mantissa 2^exponent`` and mantissa 0 or in +-[0.5, 1).

    >>> import ccdl
    >>> ccdl.frexp(ccdl.tensor([0., 3., -0.25]))
    frexp(mantissa=tensor([ 0.0000,  0.7500, -0.5000]), exponent=tensor([ 0,  2, -1], dtype=ccdl.int32))
    """
    if not input.is_floating_point():
        raise errors.RuntimeError(f"frexp: only supports floating point tensors, got {input.dtype}")
    x = input.detach().double()
    finite = _C.isfinite(x) & (x != 0)
    size = _C.where(finite, x.abs(), 1.0)
    exponent = size.log2().floor() + 1
    half = (exponent / 2).floor()  # in two steps: 2^exponent itself may overflow
    mantissa = size * _C.exp2(-half) * _C.exp2(half - exponent)
    exponent = _C.where(mantissa >= 1, exponent + 1, _C.where(mantissa < 0.5, exponent - 1, exponent))
    half = (exponent / 2).floor()
    scale = _C.where(finite, _C.exp2(-half), 1.0), _C.where(finite, _C.exp2(half - exponent), 1.0)
    mantissa = (input.double() * scale[0] * scale[1]).to(input.dtype)
    exponent = _C.where(finite, exponent, 0.0).to(_C.int32)
    if out is not None:
        mantissa, exponent = _write(out[0], mantissa), _write(out[1], exponent)
    return _Frexp(mantissa, exponent)


def gradient(input: Tensor, *, spacing: Any = 1, dim: Any = None, edge_order: int = 1) -> tuple[Tensor, ...]:
    """Numerical derivatives along dimensions: central differences of second order inside, one-sided ones of
    order ``edge_order`` at the ends; :func:`numpy.gradient`.

    Args:
        spacing: a number, numbers per dimension, or tensors of coordinates per dimension.

    >>> import ccdl
    >>> ccdl.gradient(ccdl.tensor([1., 2., 4., 7.]))
    (tensor([1.0000, 1.5000, 2.5000, 3.0000]),)
    """
    if edge_order not in (1, 2):
        raise errors.RuntimeError(f"gradient: only supports edge_order=1 and edge_order=2, got {edge_order}")
    wanted = (dim,) if isinstance(dim, int) else dim
    dims = list(_indices(input.dim()) if wanted is None else items("gradient", "dim", wanted))
    for d in dims:
        if not -input.dim() <= d < input.dim():
            raise errors.IndexError(
                "gradient: Dimension out of range (expected to be in range of "
                f"[{-input.dim()}, {input.dim() - 1}], but got {d})"
            )
    if len({d % max(input.dim(), 1) for d in dims}) < len(dims):
        raise errors.RuntimeError(f"gradient: a dimension appears multiple times in dim={dim}")
    if input.dtype in (_C.bool, _C.uint8):
        raise errors.RuntimeError(
            f"gradient: differences of {input.dtype} are not defined; convert input first"
        )
    if isinstance(spacing, Tensor) and not spacing.dim():
        spacing = spacing.item()
    spacing = 1 if spacing is None else spacing
    if isinstance(spacing, (int, float)):
        steps: list[Any] = [spacing] * len(dims)
    else:
        steps = list(items("gradient", "spacing", spacing))
    if len(steps) != len(dims):
        raise errors.RuntimeError(
            f"gradient: expected spacing to be a number or to have one entry per dimension, got {len(steps)} "
            f"for {len(dims)} dimensions"
        )
    x = input if input.is_floating_point() else input.to(_C.get_default_dtype())
    return tuple(_gradient_along(x, d % x.dim(), h, edge_order) for d, h in zip(dims, steps))


def _gradient_along(x: Tensor, d: int, h: Any, edge_order: int) -> Tensor:
    n = x.shape[d]
    if n < edge_order + 1:
        raise errors.RuntimeError(f"gradient: each dimension size must be at least edge_order+1, got {n}")
    y = x.movedim(d, -1)
    if isinstance(h, Tensor) and h.dim():
        gaps = h.to(y.dtype).diff()
    else:
        gaps = _C.full((n - 1,), float(h), dtype=y.dtype, device=y.device)
    slopes = y.diff(dim=-1) / gaps
    left, right = gaps[:-1], gaps[1:]
    even = not (isinstance(h, Tensor) and h.dim())
    # at equal steps the middle value takes no part, so an infinite one stays where it is
    if even:
        inside = (y[..., 2:] - y[..., :-2]) / (2 * float(h))
    else:
        inside = (slopes[..., :-1] * right + slopes[..., 1:] * left) / (left + right)
    if edge_order == 1:
        first, last = slopes[..., :1], slopes[..., -1:]
    else:  # the parabola through the three points at the end
        bend = (slopes[..., 1:] - slopes[..., :-1]) / (left + right)
        first = slopes[..., :1] - bend[..., :1] * gaps[:1]
        last = slopes[..., -1:] + bend[..., -1:] * gaps[-1:]
    return _C.cat([first, inside, last], -1).movedim(-1, d)


def histogram(
    input: Tensor,
    bins: Any,
    *,
    range: Any = None,
    weight: Tensor | None = None,
    density: bool = False,
    out: Any = None,
) -> tuple[Tensor, Tensor]:
    """(hist, bin_edges): counts (or sums of ``weight``) of the values per bin; the last bin includes its end.

    Args:
        bins: number of equal bins between ``range`` (least and largest value by default), or a
            tensor of edges.
        density: divide by the total and by the bin's width.

    >>> import ccdl
    >>> ccdl.histogram(ccdl.tensor([1., 2., 1.]), bins=2, range=(0., 3.))
    histogram(hist=tensor([2., 1.]), bin_edges=tensor([0.0000, 1.5000, 3.0000]))
    """
    if weight is not None and not isinstance(weight, Tensor):
        raise errors.TypeError(f"histogram(): argument 'weight' must be Tensor, not {type(weight).__name__}")
    x = input.detach().reshape(-1)
    if not x.is_floating_point():
        raise errors.RuntimeError(f"histogram: needs a floating point tensor, got {input.dtype}")
    if isinstance(bins, Tensor):
        edges = bins.to(x.dtype)
    else:
        if bins < 1:
            raise errors.RuntimeError(f"histogram: bins must be > 0, but got {bins}")
        if range is not None:
            low, high = range
        else:
            low, high = (float(x.min()), float(x.max())) if x.numel() else (0.0, 0.0)
        if not (math.isfinite(low) and math.isfinite(high)):
            raise errors.RuntimeError(f"histogram: the range [{low}, {high}] is not finite; pass range=")
        if low == high:
            low, high = (low - 0.5, high + 0.5) if x.numel() else (low, high + 1)
        edges = _C.linspace(low, high, bins + 1, dtype=x.dtype, device=x.device)
    count = edges.numel() - 1
    # Places count from 1; below the first edge is 0, above the last one count + 1. The last edge itself
    # belongs to the last bin, so values are compared with the number after it: after inf comes NaN.
    last, bounds = edges[-1:], edges.clone()
    bounds[-1:] = _C.where(last == math.inf, math.nan, _C.nextafter(last, _C.full_like(last, math.inf)))
    place = _C.searchsorted(bounds, x, right=True)
    amounts = None if weight is None else weight.detach().reshape(-1).to(x.dtype)
    hist = _C.bincount(place, amounts, count + 2)[1 : count + 1].to(x.dtype)
    if density:
        hist = hist / hist.sum() / edges.diff()
    if out is not None:
        hist, edges = _write(out[0], hist), _write(out[1], edges)
    return _Histogram(hist, edges)


def imag(input: Any) -> Tensor:
    """The imaginary parts of a complex tensor; RuntimeError for a real one."""
    if isinstance(input, _C.Tensor) and input.is_complex():
        return input.imag  # type: ignore[attr-defined]
    if not isinstance(input, Tensor):
        raise errors.TypeError(f"imag(): argument 'input' must be Tensor, not {type(input).__name__}")
    raise errors.RuntimeError("imag is not implemented for tensors with non-complex dtypes.")


# --- norms and factorisations under older names ---


def frobenius_norm(input: Tensor, dim: Any, keepdim: bool = False, *, out: Tensor | None = None) -> Tensor:
    """The root of the sum of squares over ``dim``."""
    return _out(out, input.norm(2, dim, keepdim=keepdim))


def nuclear_norm(
    input: Tensor, dim: Any = (-2, -1), keepdim: bool = False, *, out: Tensor | None = None
) -> Tensor:
    """The sum of the singular values of the matrices in ``dim``."""
    from ._norms import matrix_norm

    return _out(out, matrix_norm(input, "nuc", dim, keepdim))


def norm_except_dim(v: Tensor, pow: int = 2, dim: int = 0) -> Tensor:
    """The norm over all dimensions but ``dim``, kept with size 1; over all for ``dim=-1``."""
    if dim == -1:
        return v.norm(pow)
    return v.norm(pow, [d for d in _indices(v.dim()) if d != dim % v.dim()], keepdim=True)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """(LU, pivots) of :func:`ccdl.linalg.lu_factor`, and the info codes with ``get_infos``."""
    from .linalg import lu_factor_ex

    result = lu_factor_ex(A, pivot=pivot)
    return result if get_infos else tuple(result)[:2]


class _LuUnpack(tuple):
    """The result of :func:`lu_unpack`, with field names."""

    P = property(lambda self: self[0])
    L = property(lambda self: self[1])
    U = property(lambda self: self[2])

    def __new__(cls, *parts: Tensor) -> Any:
        return super().__new__(cls, parts)


def lu_unpack(
    LU_data: Tensor,
    LU_pivots: Tensor,
    unpack_data: bool = True,
    unpack_pivots: bool = True,
    *,
    out: Any = None,
) -> Any:
    """(P, L, U) from the packed factors of :func:`lu`; empty tensors for what is not asked for."""
    if LU_data.dim() < 2:
        raise errors.ShapeError(f"lu_unpack: LU_data must be at least 2-d, got {list(LU_data.shape)}")
    m, n = LU_data.shape[-2:]
    k = min(m, n)
    if unpack_pivots:
        if LU_pivots.dtype != _C.int32:
            raise errors.DTypeError(
                f"lu_unpack: LU_pivots must be int32, as lu_factor gives them, got {LU_pivots.dtype}"
            )
        if tuple(LU_pivots.shape) != (*LU_data.shape[:-2], k):
            raise errors.ShapeError(
                f"lu_unpack: LU_pivots must be {[*LU_data.shape[:-2], k]} for LU_data {list(LU_data.shape)}, "
                f"got {list(LU_pivots.shape)}"
            )
        if LU_pivots.numel() and not 1 <= int(LU_pivots.min()) <= int(LU_pivots.max()) <= m:
            raise errors.RuntimeError(
                f"lu_unpack: pivots must be between 1 and {m} inclusive; are they those of lu_factor?"
            )
    empty = LU_data.new_empty(0)
    p, low, up = empty, empty, empty
    if unpack_data:
        low = LU_data[..., :k].tril(-1) + _C.eye(m, k, dtype=LU_data.dtype, device=LU_data.device)
        up = LU_data[..., :k, :].triu()
    if unpack_pivots:
        eye = _C.eye(m, dtype=LU_data.dtype, device=LU_data.device).expand(*LU_data.shape[:-2], m, m)
        zeros = LU_data.new_zeros(*LU_data.shape[:-2], m, m)
        unit = zeros + eye  # lower factor of a solve that only swaps rows back
        p = _C._linalg_lu_solve(unit, LU_pivots, eye, True, False).mT
    return _LuUnpack(p, low, up)


def orgqr(input: Tensor, tau: Tensor) -> Tensor:
    """:func:`ccdl.linalg.householder_product`."""
    from .linalg import householder_product

    return householder_product(input, tau)


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> Any:
    """(U, S, V) of the best rank-q approximation of ``A`` (less ``M``), by random projection and ``niter``
    power iterations. Source: Halko, Martinsson and Tropp, Finding structure with randomness, 2009."""
    check_count("svd_lowrank", "niter", niter, 10_000)
    q = min(6, *A.shape[-2:]) if q is None else q
    B = A if M is None else A - M
    wide = B.shape[-2] < B.shape[-1]
    X = B.mT if wide else B
    start = _C.randn(*X.shape[:-2], X.shape[-1], q, dtype=A.dtype, device=A.device)
    Q = _C._linalg_qr(X @ start, "reduced")[0]
    for _ in _indices(niter or 0):
        Q = _C._linalg_qr(X @ _C._linalg_qr(X.mT @ Q, "reduced")[0], "reduced")[0]
    u, s, vh = _C._linalg_svd(Q.mT @ X, False)
    u, v = Q @ u, vh.mT
    return (v, s, u) if wide else (u, s, v)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """(U, S, V) of the first q principal components of the rows of ``A``."""
    q = min(6, *A.shape[-2:]) if q is None else q
    if not 0 <= q <= min(A.shape[-2:]):
        raise errors.ValueError(f"pca_lowrank: q(={q}) must be between 0 and min(m, n)={min(A.shape[-2:])}")
    centred = A - A.mean(-2, keepdim=True) if center else A
    return svd_lowrank(centred, q, niter)


# --- settings ---


def is_distributed(input: Tensor) -> bool:
    """False."""
    return False


def is_storage(obj: Any) -> bool:
    """False: there are no storage objects."""
    return False


__test__ = check_tensors(globals(), __all__)
