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
    name = f"The {what}s given to {op}" if what != "v" else f"The v given to {op}"
    if what == "output":
        name = f"The outputs of the user-provided function given to {op}"
    rule = f"{name} must be either a Tensor or a tuple of Tensors but"
    if not isinstance(value, (tuple, list)):
        raise TypeError(f"{rule} the given {what} has type {type(value).__name__}")
    value = tuple(value)
    for index, item in enumerate(value):
        if not isinstance(item, _C.Tensor):
            raise TypeError(f"{rule} the value at index {index} has type {type(item).__name__}")
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
                raise RuntimeError(
                    f"Output {index} of the user-provided function does not require gradients. The outputs "
                    f"must be computed in a differentiable manner from the input in strict mode of {op}."
                )
    return outputs, single


def _fill(grads, inputs, op, strict, what="The output of the user-provided function"):
    filled = []
    for index, (g, x) in enumerate(zip(grads, inputs)):
        if g is None:
            if strict:
                raise RuntimeError(
                    f"{what} is independent of input {index}. This is not allowed in strict mode of {op}."
                    if what
                    else "The jacobian of the user-provided function with respect to input "
                    f"{index} is independent of the inputs. This is not allowed in strict mode of {op}."
                )
            g = _C.zeros_like(x)
        filled.append(g)
    return tuple(filled)


def _depending(values, create_graph, strict, op):
    """``values``, which in strict mode under create_graph have to be differentiable again."""
    for index, value in enumerate(values if strict and create_graph else ()):
        if not value.requires_grad:
            raise RuntimeError(
                f"The jacobian of the user-provided function is independent of input {index}. This is not "
                f"allowed in strict mode of {op} when create_graph=True."
            )
    return values


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
            where = "user-provided function returns"
            if what == "input":
                where = "input to the user-provided function is"
            raise RuntimeError(
                f"{op}: The vector v can only be None if the {where} a single Tensor with a single element"
            )
        return tuple(_C.ones_like(x) for x in like)
    v, _ = _pack(v, op, "v")
    if len(v) != len(like):
        if len(like) == 1:
            raise RuntimeError(f"{op}: The given v should contain a single Tensor. It has {len(v)}.")
        raise RuntimeError(
            f"{op}: v is a tuple of invalid length: should be {len(like)}, one per {what}, but got {len(v)}."
        )
    for index, (a, b) in enumerate(zip(v, like)):
        if tuple(a.shape) != tuple(b.shape):
            which = f"Entry {index} in v" if len(like) > 1 else "v"
            raise RuntimeError(
                f"{op}: {which} has invalid size: should be torch.Size({list(b.shape)}), that of its {what}, "
                f"but got torch.Size({list(a.shape)})."
            )
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
        _depending(product, create_graph, strict, "vjp")
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
        _depending(product, create_graph, strict, "jvp")
    return (
        _unpack(_finish(outputs, create_graph), single_out),
        _unpack(_finish(product, create_graph), single_out),
    )


def _scalar(func, inputs, op, strict):
    outputs, single = _call(func, inputs, op, strict)
    got = [list(y.shape) for y in outputs]
    if not single:
        raise RuntimeError(f"The function given to {op} should return a single Tensor, got shapes {got}")
    if outputs[0].numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {op} should contain a single element, "
            f"got shape {got[0]}"
        )
    return outputs[0]


def vhp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), v^T H) of a scalar function; ``v`` has the inputs' shapes.

    >>> import ccdl
    >>> x = ccdl.tensor([1., 2.])
    >>> ccdl.autograd.functional.vhp(lambda t: (t ** 3).sum(), x, ccdl.ones(2))[1]
    tensor([ 6., 12.])
    """
    return _hessian_product("vhp", func, inputs, v, create_graph, strict)


def hvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(func(inputs), H v) of a scalar function. H is symmetric, so this is :func:`vhp` under its other name.

    >>> import ccdl
    >>> x = ccdl.tensor([1., 2.])
    >>> ccdl.autograd.functional.hvp(lambda t: (t ** 3).sum(), x, ccdl.ones(2))[1]
    tensor([ 6., 12.])
    """
    return _hessian_product("hvp", func, inputs, v, create_graph, strict)


def _hessian_product(op, func, inputs, v, create_graph, strict):
    with _recording():
        inputs, single_in = _pack(inputs, op, "input")
        v = _check_vectors(v, inputs, op, "input")
        inputs = _prepare(inputs, create_graph)
        output = _scalar(func, inputs, op, strict)
        first = _fill(_safe_grad((output,), inputs, (_C.ones_like(output),), True), inputs, op, strict)
        product = _fill(_safe_grad(first, inputs, v, create_graph), inputs, op, strict, None)
        _depending(product, create_graph, strict, op)
    return _finish((output,), create_graph)[0], _unpack(_finish(product, create_graph), single_in)


def _jacobian_rows(y, inputs, create_graph, strict, op, what):
    """Per input the stacked gradients of each entry of ``y``: shape y.shape + x.shape."""
    flat = y.reshape(-1)
    rows = [[] for _ in inputs]
    for j in range(flat.numel()):
        if y.requires_grad:
            grads = _grad(flat[j], inputs, retain_graph=True, create_graph=create_graph, allow_unused=True)
        else:
            grads = (None,) * len(inputs)
        filled = _fill(grads, inputs, op, strict, what)
        for k, g in enumerate(_depending(filled, create_graph, strict, op)):
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
    _check_strict("jacobian", strict, vectorize)
    with _recording():
        inputs, single_in = _pack(inputs, "jacobian", "input")
        inputs = _prepare(inputs, create_graph)
        outputs, single_out = _call(func, inputs, "jacobian", strict)
        table = []
        for index, y in enumerate(outputs):
            what = f"Output {index} of the user-provided function"
            row = _finish(_jacobian_rows(y, inputs, create_graph, strict, "jacobian", what), create_graph)
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
    _check_strict("hessian", strict, vectorize)
    with _recording():
        inputs, single_in = _pack(inputs, "hessian", "input")
        inputs = _prepare(inputs, create_graph)
        output = _scalar(func, inputs, "hessian", strict)
        first = _safe_grad((output,), inputs, (_C.ones_like(output),), True)
        first = _fill(first, inputs, "hessian", strict, None)
        table = tuple(
            _unpack(
                _finish(_jacobian_rows(g, inputs, create_graph, strict, "hessian", None), create_graph),
                single_in,
            )
            for g in first
        )
    return _unpack(table, single_in)


def _check_strict(op, strict, vectorize):
    if strict and vectorize:
        raise RuntimeError(
            f"{op}: `strict=True` and `vectorize=True` are not supported together; set one of them to False"
        )


def _recording():
    from .grad_mode import enable_grad

    return enable_grad()
