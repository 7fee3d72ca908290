"""Numerical gradient checker: central differences against the analytic Jacobian, entry by entry.

For f: R^n -> R^m the numerical column i is (f(x + eps e_i) - f(x - eps e_i)) / (2 eps), error O(eps^2); the
analytic row j is the vector-Jacobian product with e_j. Use float64 inputs: at eps 1e-6 float32 has no digits
left.
"""

from __future__ import annotations

import warnings
from typing import Any

from .. import _C
from . import grad as _grad

__all__ = ["gradcheck", "gradgradcheck", "GradcheckError"]


class GradcheckError(RuntimeError):
    """The analytic and the numerical gradient differ, or the function cannot be checked."""


def _tensors(value):
    if isinstance(value, _C.Tensor):
        return (value,)
    return tuple(v for v in value if isinstance(v, _C.Tensor))


def _outputs(value, what):
    """The outputs of a checked function: anything else than tensors could not be compared."""
    for v in value if isinstance(value, (tuple, list)) else (value,):
        if not isinstance(v, _C.Tensor):
            raise TypeError(f"{what}: func must return a Tensor or a tuple of them, got {type(v).__name__}")
    return _tensors(value)


def _differentiable_outputs(value):
    return tuple(t for t in _tensors(value) if t.requires_grad)


def _check_inputs(inputs):
    checked = [x for x in _tensors(inputs) if x.requires_grad]
    if not checked:
        raise ValueError("gradcheck: none of the inputs requires grad")
    for index, x in enumerate(checked):
        if x.dtype != _C.float64:
            warnings.warn(
                f"gradcheck: input {index} is {x.dtype}; use float64, other precisions fail by rounding",
                stacklevel=3,
            )
        if any(size > 1 and step == 0 for size, step in zip(x.shape, x.stride())):
            raise RuntimeError(
                f"gradcheck: input {index} has stride {tuple(x.stride())} (overlapping memory); pass "
                "x.contiguous()"
            )
    return checked


def _perturbed_outputs(function, inputs, positions):
    result = function(*inputs)
    outputs = _tensors(result)
    return [outputs[p].detach().clone() for p in positions]


def _numerical_jacobians(function, inputs, x, positions, eps):
    """One [numel(x), numel(y)] list of float64 columns per output, by central differences on ``x`` in
    place.
    """
    data = x.detach()
    columns = [[] for _ in positions]
    for index in _indices(x.shape):
        original = data[index].item()
        previous = _C._set_grad_enabled(False)
        try:
            data[index] = original + eps
        finally:
            _C._set_grad_enabled(previous)
        plus = _perturbed_outputs(function, inputs, positions)
        previous = _C._set_grad_enabled(False)
        try:
            data[index] = original - eps
        finally:
            _C._set_grad_enabled(previous)
        minus = _perturbed_outputs(function, inputs, positions)
        previous = _C._set_grad_enabled(False)
        try:
            data[index] = original
        finally:
            _C._set_grad_enabled(previous)
        for k, (a, b) in enumerate(zip(plus, minus)):
            columns[k].append(((a - b) / (2 * eps)).reshape(-1).tolist())
    return columns


def _indices(shape):
    index = [0] * len(shape)
    total = 1
    for size in shape:
        total *= size
    for _ in range(total):
        yield tuple(index)
        for d in reversed(range(len(shape))):
            index[d] += 1
            if index[d] < shape[d]:
                break
            index[d] = 0


def _analytic_rows(output, inputs):
    """For each input a list (one per output entry) of the flattened vector-Jacobian product with that
    entry.
    """
    rows = [[] for _ in inputs]
    for index in _indices(output.shape):
        seed = _C.zeros_like(output)
        seed[index] = 1
        grads = _grad(output, inputs, seed, retain_graph=True, allow_unused=True)
        for k, (x, g) in enumerate(zip(inputs, grads)):
            if g is not None and tuple(g.shape) != tuple(x.shape):
                raise GradcheckError(
                    f"gradcheck: the gradient of input {k} has shape {list(g.shape)}, the input has "
                    f"{list(x.shape)}"
                )
            rows[k].append(g.detach().reshape(-1).tolist() if g is not None else [0.0] * x.numel())
    return rows


def _close(a, b, atol, rtol):
    if a != a or b != b:
        return a != a and b != b
    return abs(a - b) <= atol + rtol * abs(b)


def _compare(k_in, k_out, analytic, numerical, x, y, atol, rtol, what):
    worst = None
    for i in range(len(numerical)):
        for j in range(len(analytic)):
            a, n = analytic[j][i], numerical[i][j]
            if not _close(a, n, atol, rtol):
                error = abs(a - n)
                if worst is None or not error <= worst[0]:
                    worst = (error, i, j, a, n)
    if worst is not None:
        error, i, j, a, n = worst
        raise GradcheckError(
            f"{what}: d output {k_out}[{j}] / d input {k_in}[{i}] is {a!r} analytically and {n!r} by central "
            f"differences (difference {error:.3e}, atol {atol}, rtol {rtol}; input {list(x.shape)}, output "
            f"{list(y.shape)})"
        )


def _any_complex(values):
    return any(isinstance(v, _C.Tensor) and v.is_complex() for v in values)


def _over_reals(function, inputs):
    """The function of real and imaginary parts of complex inputs, which returns parts of complex outputs."""
    kinds = [isinstance(x, _C.Tensor) and x.is_complex() for x in inputs]
    from .._complex import view_as_complex

    def parts(value):
        if isinstance(value, (tuple, list)):
            return tuple(parts(v) for v in value)
        return value._parts if isinstance(value, _C.Tensor) and value.is_complex() else value

    def of_parts(*args):
        return parts(function(*(view_as_complex(a) if kind else a for a, kind in zip(args, kinds))))

    leaves = []
    for x, kind in zip(inputs, kinds):
        leaves.append(x.detach()._parts.requires_grad_(x.requires_grad) if kind else x)
    return of_parts, tuple(leaves)


def _gradcheck(function, inputs, eps, atol, rtol, check_undefined_grad, nondet_tol, what):
    inputs = (inputs,) if isinstance(inputs, _C.Tensor) else tuple(inputs)
    if _any_complex(inputs):
        function, inputs = _over_reals(function, inputs)
    checked = _check_inputs(inputs)
    result = function(*inputs)
    all_outputs = _outputs(result, what)
    if _any_complex(all_outputs):
        function, inputs = _over_reals(function, inputs)
        return _gradcheck(function, inputs, eps, atol, rtol, check_undefined_grad, nondet_tol, what)
    positions = [i for i, y in enumerate(all_outputs) if y.requires_grad]
    if not positions:
        for x in checked:
            for columns in _numerical_jacobians(function, inputs, x, range(len(all_outputs)), eps):
                if any(value != 0 for column in columns for value in column):
                    raise GradcheckError(
                        f"{what}: no output requires grad, but the outputs depend on the inputs"
                    )
        return True
    outputs = [all_outputs[p] for p in positions]
    analytic = [_analytic_rows(y, checked) for y in outputs]
    again = [_analytic_rows(y, checked) for y in outputs]
    for first, second in zip(analytic, again):
        for rows_a, rows_b in zip(first, second):
            for a, b in zip(rows_a, rows_b):
                if any(not _close(p, q, nondet_tol, 0.0) for p, q in zip(a, b)):
                    raise GradcheckError(f"{what}: backward is not deterministic: two runs differ")
    for k_in, x in enumerate(checked):
        numerical = _numerical_jacobians(function, inputs, x, positions, eps)
        for k_out, y in enumerate(outputs):
            _compare(k_in, k_out, analytic[k_out][k_in], numerical[k_out], x, y, atol, rtol, what)
    return True


def gradcheck(
    func: Any,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: Any = None,
) -> Any:
    """Checks ``func``'s gradients at ``inputs`` against central differences.

    Args:
        func: takes the inputs, returns a tensor or a tuple of tensors; must be a pure function of them.
        inputs: tensor or tuple; those with ``requires_grad=True`` are checked, and should be float64.
        eps: step of the differences.
        atol, rtol: an entry passes if ``|analytic - numerical| <= atol + rtol * |numerical|``.
        raise_exception: raise :class:`GradcheckError` with the worst entry, or return False.
        nondet_tol: largest allowed difference between two runs of backward.
        check_forward_ad, check_batched_grad, fast_mode, masked: accepted without effect.

    Returns:
        True if all entries agree.

    Source: two-sided difference quotient, error eps^2 f'''/6.

    >>> import ccdl
    >>> x = ccdl.rand(3, dtype=ccdl.float64, requires_grad=True)
    >>> ccdl.autograd.gradcheck(ccdl.sin, (x,))
    True
    """
    try:
        return _gradcheck(func, inputs, eps, atol, rtol, check_undefined_grad, nondet_tol, "gradcheck")
    except GradcheckError:
        if raise_exception:
            raise
        return False


def gradgradcheck(
    func: Any,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> Any:
    """Checks second derivatives: gradcheck of (inputs, grad_outputs) -> gradients of ``func``.

    ``grad_outputs`` defaults to random tensors like the outputs; the other arguments are those of
    :func:`gradcheck`.

    >>> import ccdl
    >>> x = ccdl.rand(3, dtype=ccdl.float64, requires_grad=True)
    >>> ccdl.autograd.gradgradcheck(ccdl.sin, (x,))
    True
    """
    inputs = (inputs,) if isinstance(inputs, _C.Tensor) else tuple(inputs)
    outputs = _differentiable_outputs(func(*inputs))
    if grad_outputs is None:
        seeds = tuple(_C.randn(y.shape, dtype=y.dtype, device=y.device).requires_grad_(True) for y in outputs)
    else:
        seeds = _tensors(grad_outputs)
    count = len(inputs)

    def gradients(*args):
        xs, gs = args[:count], args[count:]
        ys = _differentiable_outputs(func(*xs))
        wanted = [x for x in xs if isinstance(x, _C.Tensor) and x.requires_grad]
        found = _grad(ys, wanted, gs, create_graph=True, allow_unused=True)
        return tuple(g for g in found if g is not None and g.requires_grad)

    try:
        return _gradcheck(
            gradients, inputs + seeds, eps, atol, rtol, check_undefined_grad, nondet_tol, "gradgradcheck"
        )
    except GradcheckError:
        if raise_exception:
            raise
        return False
