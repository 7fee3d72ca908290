"""Jacobians, Hessians and products with them, all by reverse mode.

jvp uses the double-backward trick: u -> J^T u is linear in u, so the gradient of <J^T u, v> with respect to u
    is J v.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from . import grad as _grad

__all__ = ["jacobian", "hessian", "vjp", "jvp", "vhp", "hvp"]


def _pack(value, op, what):
    if isinstance(value, _C.Tensor):
        return (value,), True
    value = tuple(value)
    for index, item in enumerate(value):
        if not isinstance(item, _C.Tensor):
            raise TypeError(f"{op}: {what} {index} is {type(item).__name__}, must be a Tensor")
    return value, False


def _prepare(inputs, create_graph):
    """Fresh inputs that require grad; linked to the caller's graph under create_graph."""
    if create_graph:
        return tuple(x.view_as(x) if x.requires_grad else x.detach().requires_grad_(True) for x in inputs)
    return tuple(x.detach().requires_grad_(True) for x in inputs)


def _finish(values, create_graph):
    return values if create_graph else tuple(v.detach() for v in values)


def _unpack(values, single):
    return values[0] if single else tuple(values)


def _call(func, inputs, op, strict):
    outputs, single = _pack(func(*inputs), op, "output")
    if strict:
        for index, y in enumerate(outputs):
            if not y.requires_grad:
                raise RuntimeError(f"{op}: strict=True, but output {index} does not depend on the inputs")
    return outputs, single


def _fill(grads, inputs, op, strict):
    filled = []
    for index, (g, x) in enumerate(zip(grads, inputs)):
        if g is None:
            if strict:
                raise RuntimeError(f"{op}: strict=True, but the outputs do not depend on input {index}")
            g = _C.zeros_like(x)
        filled.append(g)
    return tuple(filled)


def _safe_grad(outputs, inputs, seeds, create_graph):
    """grad over those outputs that have a graph; None everywhere if none has."""
    pairs = [(y, s) for y, s in zip(outputs, seeds) if y.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    ys, ss = zip(*pairs)
    return _grad(ys, inputs, ss, create_graph=create_graph, retain_graph=True, allow_unused=True)


def _check_vectors(v, like, op, what):
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(f"{op}: v may be left out only for a single {what} with one element")
        return tuple(_C.ones_like(x) for x in like)
    v, _ = _pack(v, op, "v")
    if len(v) != len(like):
        raise RuntimeError(f"{op}: v has {len(v)} tensors, must have {len(like)}, one per {what}")
    for index, (a, b) in enumerate(zip(v, like)):
        if tuple(a.shape) != tuple(b.shape):
            raise RuntimeError(f"{op}: v[{index}] has shape {list(a.shape)}, its {what} has {list(b.shape)}")
    return v


def vjp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), v^T J): the vector-Jacobian product; ``v`` has the outputs' shapes.

    >>> import ccdl
    >>> x = ccdl.tensor([1., 2.])
    >>> ccdl.autograd.functional.vjp(lambda t: t * t, x, ccdl.ones(2))[1]
    tensor([2., 4.])
    """
    with _recording():
        inputs, single_in = _pack(inputs, "vjp", "input")
        inputs = _prepare(inputs, create_graph)
        outputs, single_out = _call(func, inputs, "vjp", strict)
        v = _check_vectors(v, outputs, "vjp", "output")
        product = _fill(_safe_grad(outputs, inputs, v, create_graph), inputs, "vjp", strict)
    return (
        _unpack(_finish(outputs, create_graph), single_out),
        _unpack(_finish(product, create_graph), single_in),
    )


def jvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), J v): the Jacobian-vector product; ``v`` has the inputs' shapes.

    >>> import ccdl
    >>> x = ccdl.tensor([1., 2.])
    >>> ccdl.autograd.functional.jvp(lambda t: t * t, x, ccdl.tensor([1., 0.]))[1]
    tensor([2., 0.])
    """
    with _recording():
        inputs, _ = _pack(inputs, "jvp", "input")
        v = _check_vectors(v, inputs, "jvp", "input")
        inputs = _prepare(inputs, create_graph)
        outputs, single_out = _call(func, inputs, "jvp", strict)
        dual = tuple(_C.zeros_like(y).requires_grad_(True) for y in outputs)
        pulled = _safe_grad(outputs, inputs, dual, True)
        pulled = _fill(pulled, inputs, "jvp", strict)
        product = _fill(_safe_grad(pulled, dual, v, create_graph), outputs, "jvp", False)
    return (
        _unpack(_finish(outputs, create_graph), single_out),
        _unpack(_finish(product, create_graph), single_out),
    )


def _scalar(func, inputs, op, strict):
    outputs, single = _call(func, inputs, op, strict)
    if not single or outputs[0].numel() != 1:
        got = [list(y.shape) for y in outputs]
        raise RuntimeError(f"{op}: func must return one tensor with a single element, got shapes {got}")
    return outputs[0]


def vhp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), v^T H) of a scalar function; ``v`` has the inputs' shapes.

    >>> import ccdl
    >>> x = ccdl.tensor([1., 2.])
    >>> ccdl.autograd.functional.vhp(lambda t: (t ** 3).sum(), x, ccdl.ones(2))[1]
    tensor([ 6., 12.])
    """
    with _recording():
        inputs, single_in = _pack(inputs, "vhp", "input")
        v = _check_vectors(v, inputs, "vhp", "input")
        inputs = _prepare(inputs, create_graph)
        output = _scalar(func, inputs, "vhp", strict)
        first = _fill(_safe_grad((output,), inputs, (_C.ones_like(output),), True), inputs, "vhp", strict)
        product = _fill(_safe_grad(first, inputs, v, create_graph), inputs, "vhp", strict)
    return _finish((output,), create_graph)[0], _unpack(_finish(product, create_graph), single_in)


def hvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), H v) of a scalar function. H is symmetric, so this is :func:`vhp` under its other name.

    >>> import ccdl
    >>> x = ccdl.tensor([1., 2.])
    >>> ccdl.autograd.functional.hvp(lambda t: (t ** 3).sum(), x, ccdl.ones(2))[1]
    tensor([ 6., 12.])
    """
    return vhp(func, inputs, v, create_graph, strict)


def _jacobian_rows(y, inputs, create_graph, strict, op):
    """Per input the stacked gradients of each entry of ``y``: shape y.shape + x.shape."""
    flat = y.reshape(-1)
    rows = [[] for _ in inputs]
    for j in range(flat.numel()):
        if y.requires_grad:
            grads = _grad(flat[j], inputs, retain_graph=True, create_graph=create_graph, allow_unused=True)
        else:
            grads = (None,) * len(inputs)
        for k, g in enumerate(_fill(grads, inputs, op, strict)):
            rows[k].append(g)
    shape = tuple(y.shape)
    return tuple(
        _C.stack(r).reshape(shape + tuple(x.shape)) if r else _C.zeros(shape + tuple(x.shape), dtype=x.dtype)
        for r, x in zip(rows, inputs)
    )


def jacobian(
    func: Any,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian: a tensor of shape output.shape + input.shape, or a (nested) tuple of them for tuples.

    Args:
        func: takes the inputs, returns a tensor or a tuple of tensors.
        inputs: tensor or tuple of tensors.
        create_graph: the result can be differentiated further.
        strict: an output that does not depend on an input is an error instead of zeros.
        vectorize, strategy: accepted without effect ("forward-mode" is computed by reverse mode).

    >>> import ccdl
    >>> ccdl.autograd.functional.jacobian(lambda t: t * t, ccdl.tensor([1., 2.]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    with _recording():
        inputs, single_in = _pack(inputs, "jacobian", "input")
        inputs = _prepare(inputs, create_graph)
        outputs, single_out = _call(func, inputs, "jacobian", strict)
        table = []
        for y in outputs:
            row = _finish(_jacobian_rows(y, inputs, create_graph, strict, "jacobian"), create_graph)
            table.append(_unpack(row, single_in))
    return _unpack(table, single_out)


def hessian(
    func: Any,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """The Hessian of a scalar function: shape input.shape + input.shape, or a tuple of tuples for tuples.

    >>> import ccdl
    >>> ccdl.autograd.functional.hessian(lambda t: (t ** 3).sum(), ccdl.tensor([1., 2.]))
    tensor([[ 6.,  0.],
            [ 0., 12.]])
    """
    with _recording():
        inputs, single_in = _pack(inputs, "hessian", "input")
        inputs = _prepare(inputs, create_graph)
        output = _scalar(func, inputs, "hessian", strict)
        first = _fill(_safe_grad((output,), inputs, (_C.ones_like(output),), True), inputs, "hessian", strict)
        table = tuple(
            _unpack(
                _finish(_jacobian_rows(g, inputs, create_graph, strict, "hessian"), create_graph), single_in
            )
            for g in first
        )
    return _unpack(table, single_in)


def _recording():
    from .grad_mode import enable_grad

    return enable_grad()
