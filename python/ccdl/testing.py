"""Comparison for tests."""

from __future__ import annotations

from typing import Any

from . import _C

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

# dtype -> (rtol, atol), PyTorch's defaults
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: Any = None,
    atol: Any = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Any = None,
) -> None:
    """Raises AssertionError unless ``|actual - expected| <= atol + rtol |expected|`` everywhere.

    Tensors, numbers, and sequences or mappings of them; shapes and dtypes must agree. Tolerances default by
    dtype.

    >>> import ccdl
    >>> ccdl.testing.assert_close(ccdl.ones(2), ccdl.ones(2) + 1e-7)
    """
    _compare(actual, expected, rtol, atol, equal_nan, check_dtype, msg, "")


def _fail(msg, text, where):
    full = text + (f" (at {where})" if where else "")
    if callable(msg):
        msg = msg(full)
    raise AssertionError(msg or full)


def _compare(a, b, rtol, atol, equal_nan, check_dtype, msg, where):
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            _fail(msg, f"The keys of the mappings do not match: {list(a)} and {list(b)}", where)
        for key in a:
            _compare(a[key], b[key], rtol, atol, equal_nan, check_dtype, msg, f"{where}[{key!r}]")
        return
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            _fail(msg, f"The length of the sequences mismatch: {len(a)} != {len(b)}", where)
        for i, (x, y) in enumerate(zip(a, b)):
            _compare(x, y, rtol, atol, equal_nan, check_dtype, msg, f"{where}[{i}]")
        return
    if not isinstance(a, _C.Tensor) and not isinstance(b, _C.Tensor):
        check_dtype = False
        kind = _C.float64 if isinstance(a, float) or isinstance(b, float) else None
        a, b = _C.as_tensor(a, dtype=kind), _C.as_tensor(b, dtype=kind)
    elif not (isinstance(a, _C.Tensor) and isinstance(b, _C.Tensor)):
        _fail(msg, f"Cannot compare {type(a).__name__} with {type(b).__name__}", where)
    _compare_tensors(a.detach(), b.detach(), rtol, atol, equal_nan, check_dtype, msg, where)


def _compare_tensors(a, b, rtol, atol, equal_nan, check_dtype, msg, where):
    if tuple(a.shape) != tuple(b.shape):
        _fail(
            msg, f"The values for attribute 'shape' do not match: {list(a.shape)} != {list(b.shape)}.", where
        )
    if check_dtype and a.dtype != b.dtype:
        _fail(msg, f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}.", where)
    if rtol is None or atol is None:
        pairs = [_TOLERANCES.get(str(t.dtype).rsplit(".", 1)[-1], (0.0, 0.0)) for t in (a, b)]
        rtol = max(p[0] for p in pairs) if rtol is None else rtol
        atol = max(p[1] for p in pairs) if atol is None else atol
    x, y = a.to(_C.float64), b.to(_C.float64)
    close = _C.isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)
    wrong = int((~close).sum())
    if a.numel() and not a.is_floating_point() and not b.is_floating_point() and rtol == 0 and atol == 0:
        wrong = int((a != b).sum())
    if wrong:
        largest = float((x - y).abs().max())
        _fail(
            msg,
            f"Tensor-likes are not close!\n\nMismatched elements: {wrong} / {a.numel()} "
            f"({100 * wrong / a.numel():.1f}%)\nGreatest absolute difference: {largest} "
            f"(up to {atol} allowed, rtol {rtol})",
            where,
        )


def assert_allclose(
    actual: Any, expected: Any, rtol: Any = None, atol: Any = None, equal_nan: bool = True, msg: Any = ""
) -> None:
    """The older name of :func:`assert_close`: dtypes may differ, NaN equals NaN."""
    if not isinstance(actual, _C.Tensor):
        actual = _C.tensor(actual)
    if not isinstance(expected, _C.Tensor):
        expected = _C.tensor(expected, dtype=actual.dtype)
    assert_close(
        actual,
        expected,
        rtol=rtol,
        atol=atol,
        equal_nan=equal_nan,
        check_dtype=False,
        check_device=True,
        msg=msg or None,
    )


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = None,
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> _C.Tensor:
    """A tensor of uniform random values in [low, high): by default [-9, 9) for floating dtypes, [-9, 10) for
    signed and [0, 10) for unsigned integers, {0, 1} for bool.

    Args:
        noncontiguous: every second element of twice as wide a tensor (where there is more than one element).
        exclude_zero: zeros become the dtype's smallest normal number, or 1.

    >>> import ccdl
    >>> ccdl.testing.make_tensor(2, 3, dtype=ccdl.float32, low=0, high=1).shape
    ccdl.Size([2, 3])
    """
    size = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    floating = dtype.is_floating_point
    whole = {"uint8": (0, 10), "bool": (0, 2)}.get(dtype.name, (-9, 10))
    first, last = (-9, 9) if floating else whole
    low, high = first if low is None else low, last if high is None else high
    if low != low or high != high:
        raise ValueError(f"make_tensor: low and high cannot be NaN, got {low} and {high}")
    if not low < high and not (floating and low == high):
        raise ValueError(f"make_tensor: low must be less than high, got {low} >= {high}")
    if noncontiguous and memory_format is not None:
        raise ValueError("make_tensor: noncontiguous and memory_format exclude each other")
    apart = noncontiguous and _C.Size(size).numel() > 1
    full = (*size[:-1], 2 * size[-1]) if apart and size else size
    if floating:
        x = _C.empty(full, dtype=_C.float64, device=device).uniform_(low, high).to(dtype)
    else:
        x = _C.randint(int(low), int(high), full, device=device).to(dtype)
    if apart:
        x = x[..., ::2]
    if memory_format is not None:
        x = x.to(memory_format=memory_format)
    if exclude_zero:
        least = 1.0 if not floating else 2.0**-14 if dtype.name == "float16" else 2.0**-126
        x.masked_fill_(x == 0, least)
    if requires_grad:
        x.requires_grad_()
    return x
