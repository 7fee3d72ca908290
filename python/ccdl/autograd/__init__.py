"""Automatic differentiation: ``backward``, ``grad``, user-defined ``Function``, checks and higher-order
calls.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from .function import Function, FunctionCtx
from .grad_mode import (
    enable_grad,
    enforce_grad_layout_policy,
    inference_mode,
    is_multithreading_enabled,
    no_grad,
    set_grad_enabled,
    set_multithreading_enabled,
)

_SUBMODULES = frozenset(("estimators", "forward_ad", "functional", "graph", "profiler", "profiler_util"))

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "enforce_grad_layout_policy",
    "forward_ad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_multithreading_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
    "set_multithreading_enabled",
]


def __getattr__(name: Any) -> Any:
    if name in _SUBMODULES:
        import importlib

        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'ccdl.autograd' has no attribute '{name}'")


def _as_tuple(value):
    if value is None:
        return ()
    return (value,) if isinstance(value, _C.Tensor) or _is_edge(value) else tuple(value)


def _is_edge(value):
    return isinstance(value, tuple) and len(value) > 1 and isinstance(value[0], _C._Node)


def _runner(outputs, inputs):
    """What runs from tensors to tensors, or between edges of the graph where there is one."""
    if any(map(_is_edge, outputs)) or any(map(_is_edge, inputs or ())):
        return _C._run_between
    return _C._run_backward


def _output_grads(op, outputs, grads):
    """Starting gradients of the outputs: ones for scalars where none is given."""
    if grads is None:
        grads = (None,) * len(outputs)
    elif isinstance(grads, _C.Tensor):
        grads = (grads,)
    else:
        grads = tuple(grads)
    if len(grads) != len(outputs):
        raise RuntimeError(
            f"{op}: got {len(outputs)} outputs and {len(grads)} gradients, must be equally many"
        )
    for y, g in zip(outputs, grads):
        if g is None and isinstance(y, _C.Tensor) and y.is_complex() and y.requires_grad:
            raise RuntimeError(
                f"{op}: grad can be implicitly created only for real scalar outputs but got {y.dtype}"
            )
    return grads


def _real(grads):
    """Gradients of complex outputs as the pairs the engine computes with."""
    return tuple(g._parts if isinstance(g, _C.Tensor) and g.is_complex() else g for g in grads)


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Any = None,
) -> None:
    """Accumulates into the leaves' ``.grad`` the gradient of ``sum_k <grad_tensors_k, tensors_k>``.

    Args:
        tensors: a tensor or a sequence of tensors to differentiate; a
            :class:`~ccdl.autograd.graph.GradientEdge` stands for the tensor it was made from.
        grad_tensors: the vector of the vector-Jacobian product, one per tensor; may be None for scalars.
        retain_graph: keep the graph for another backward; defaults to ``create_graph``.
        create_graph: record the backward itself, for higher derivatives.
        inputs: only these leaves (or edges of leaves) receive gradient; all reachable leaves otherwise.

    Raises:
        RuntimeError: a non-scalar output without gradient, shapes that differ, or a graph already freed.

    >>> import ccdl
    >>> x = ccdl.tensor([1., 2.], requires_grad=True)
    >>> ccdl.autograd.backward((x * x).sum())
    >>> x.grad
    tensor([2., 4.])
    """
    if grad_tensors is None:
        grad_tensors = grad_variables
    tensors = _as_tuple(tensors)
    grads = _output_grads("backward", tensors, grad_tensors)
    if retain_graph is None:
        retain_graph = create_graph
    if inputs is not None:
        inputs = _as_tuple(inputs)
        if not inputs:
            raise RuntimeError(
                "backward: `inputs` argument to backward() cannot be empty; leave it out to reach every leaf"
            )
    run = _runner(tensors, inputs)
    if run is _C._run_between:
        inputs = inputs or ()
    run(tensors, _real(grads), bool(retain_graph), bool(create_graph), inputs, True, True)


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: Any = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """Returns the gradients of ``sum_k <grad_outputs_k, outputs_k>`` with respect to ``inputs``; ``.grad``
    stays.

    Args:
        outputs, inputs: a tensor or sequence of tensors each; a
            :class:`~ccdl.autograd.graph.GradientEdge` stands for the tensor it was made from.
        grad_outputs: as ``grad_tensors`` of :func:`backward`.
        retain_graph, create_graph: as in :func:`backward`.
        allow_unused: an input that does not reach the outputs gives None instead of an error.
        materialize_grads: such an input gives zeros instead of None.
        is_grads_batched: ``grad_outputs`` have one dimension in front: one pass per row, results stacked.

    Returns:
        tuple of tensors, one per input.

    >>> import ccdl
    >>> x = ccdl.tensor(3., requires_grad=True)
    >>> ccdl.autograd.grad(x ** 2, x)
    (tensor(6.),)
    """
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if is_grads_batched:
        rest = (create_graph, only_inputs, allow_unused, False, materialize_grads)
        return _batched_grad(outputs, inputs, grad_outputs, retain_graph, *rest)
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    grads = _output_grads("grad", outputs, grad_outputs)
    if retain_graph is None:
        retain_graph = create_graph
    if allow_unused is None:
        allow_unused = materialize_grads
    if not inputs:
        raise RuntimeError("grad: requires non-empty inputs; got nothing to differentiate with respect to")
    result = _runner(outputs, inputs)(
        outputs, _real(grads), bool(retain_graph), bool(create_graph), inputs, bool(allow_unused), False
    )
    if any(isinstance(x, _C.Tensor) and x.is_complex() for x in inputs):
        from .._complex import ComplexTensor

        result = tuple(
            ComplexTensor(g) if g is not None and isinstance(x, _C.Tensor) and x.is_complex() else g
            for x, g in zip(inputs, result)
        )
    if materialize_grads:
        if any(g is None and _is_edge(x) for x, g in zip(inputs, result)):
            raise RuntimeError(
                "grad: materialize_grads cannot be used when the given input is a GradientEdge, whose sizes "
                "are not known; pass the tensor"
            )
        result = tuple(
            _C.zeros_like(x, requires_grad=bool(create_graph)) if g is None else g
            for x, g in zip(inputs, result)
        )
    return tuple(result)


def _batched_grad(outputs, inputs, grad_outputs, retain_graph, create_graph, *rest):
    """One pass per row of the gradients, whose results are stacked."""
    outputs = _as_tuple(outputs)
    grads = _output_grads("grad", outputs, grad_outputs)
    rows = {g.shape[0] if g.dim() else None for g in grads if g is not None}
    if len(rows) != 1 or None in rows or 0 in rows:
        raise RuntimeError(
            "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the batch "
            "dimension: grad needs grad_outputs with one common first dimension, got "
            f"{[None if g is None else tuple(g.shape) for g in grads]}"
        )
    (count,) = rows
    for i, (y, g) in enumerate(zip(outputs, grads)):
        if g is not None and g.shape[1:] != y.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output as the "
                f"batch dimension: grad_output[{i}] has the shape {list(g.shape)}, its rows must have "
                f"that of output[{i}], {list(y.shape)}"
            )
    results = []
    for i in range(count):
        row = [None if g is None else g[i] for g in grads]
        keep = retain_graph if i == count - 1 else True
        results.append(grad(outputs, inputs, row, keep, create_graph, *rest))
    return tuple(None if column[0] is None else _C.stack(column) for column in zip(*results))


class _VariableMeta(type):
    """Every tensor is an instance of Variable."""

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _C.Tensor)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(subclass, _C.Tensor)


class Variable(metaclass=_VariableMeta):
    """Older PyTorch's wrapper: ``Variable(x)`` is a leaf over the memory of ``x``, without its history.

    Raises:
        TypeError: ``data`` is no Tensor.

    >>> import ccdl
    >>> x = ccdl.autograd.Variable(ccdl.ones(2), requires_grad=True)
    >>> isinstance(x, ccdl.autograd.Variable), x.requires_grad
    (True, True)
    """

    def __new__(cls, data: Any = None, requires_grad: bool = False, volatile: Any = None) -> Any:
        if data is None:
            data = _C.tensor([])
        if not isinstance(data, _C.Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        return data.detach().requires_grad_(bool(requires_grad))

    class _execution_engine:
        """What code for distributed training asks of PyTorch's engine."""

        @staticmethod
        def queue_callback(callback: Any) -> None:
            """Runs ``callback()`` at the end of the backward that is going on.

            Raises:
                RuntimeError: no backward is going on on this thread.
            """
            _C._queue_callback(callback)


class set_detect_anomaly:
    """Anomaly mode at once, and as a context manager: a backward whose result is NaN is an error.

    The error names the node that made the NaN; ``check_nan=False`` looks at nothing. For all threads, until
    it is set again. Every result is read, so a backward is slower by its passes over memory.

    Raises:
        RuntimeError: in a backward, when a node returns NaN.

    >>> import ccdl
    >>> x = ccdl.zeros(1, requires_grad=True)
    >>> with ccdl.autograd.set_detect_anomaly(True):
    ...     try:
    ...         (x.sqrt() * 0).backward()
    ...     except RuntimeError as error:
    ...         print(error)
    backward: Function 'SqrtBackward' returned nan values in its 0th output.
    """

    def __init__(self, mode: Any, check_nan: bool = True) -> None:
        self.mode = bool(mode)
        self._before = _C.is_anomaly_enabled(), _C.is_anomaly_check_nan_enabled()
        _C._set_anomaly(self.mode, bool(check_nan))

    def __enter__(self) -> Any:
        return None

    def __exit__(self, *exc_info: Any) -> Any:
        _C._set_anomaly(*self._before)


class detect_anomaly:
    """Context manager of anomaly mode: see :class:`set_detect_anomaly`.

    >>> import ccdl
    >>> with ccdl.autograd.detect_anomaly():
    ...     ccdl.ones(1, requires_grad=True).sum().backward()
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = bool(check_nan)

    def __enter__(self) -> None:
        self._before = _C.is_anomaly_enabled(), _C.is_anomaly_check_nan_enabled()
        _C._set_anomaly(True, self.check_nan)

    def __exit__(self, *exc_info: Any) -> Any:
        _C._set_anomaly(*self._before)


# At the end: gradcheck needs ``grad`` above, and its module must not hide the function of the same name.
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
