"""Comparison for tests."""

from __future__ import annotations

from typing import Any

from . import _C

__all__ = ["assert_close"]

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
