"""Automatic differentiation: ``backward``, ``grad``, user-defined ``Function``, checks and higher-order
calls.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from .function import Function, FunctionCtx
from .grad_mode import enable_grad, inference_mode, no_grad, set_grad_enabled

_SUBMODULES = frozenset(("estimators", "functional", "graph", "profiler"))

__all__ = [
    "Function",
    "FunctionCtx",
    "GradcheckError",
    "Variable",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: Any) -> Any:
    if name in _SUBMODULES:
        import importlib

        return importlib.import_module("." + name, __name__)
    raise AttributeError(f"module 'ccdl.autograd' has no attribute '{name}'")


def _as_tuple(value):
    if value is None:
        return ()
    return (value,) if isinstance(value, _C.Tensor) else tuple(value)


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
    return grads


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
        tensors: a tensor or a sequence of tensors to differentiate.
        grad_tensors: the vector of the vector-Jacobian product, one per tensor; may be None for scalars.
        retain_graph: keep the graph for another backward; defaults to ``create_graph``.
        create_graph: record the backward itself, for higher derivatives.
        inputs: only these leaves receive gradient; all reachable leaves otherwise.

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
            raise RuntimeError("backward: inputs is empty; leave it out to reach every leaf")
    _C._run_backward(tensors, grads, bool(retain_graph), bool(create_graph), inputs, True, True)


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
        outputs, inputs: a tensor or sequence of tensors each.
        grad_outputs: as ``grad_tensors`` of :func:`backward`.
        retain_graph, create_graph: as in :func:`backward`.
        allow_unused: an input that does not reach the outputs gives None instead of an error.
        materialize_grads: such an input gives zeros instead of None.

    Returns:
        tuple of tensors, one per input.

    >>> import ccdl
    >>> x = ccdl.tensor(3., requires_grad=True)
    >>> ccdl.autograd.grad(x ** 2, x)
    (tensor(6.),)
    """
    if is_grads_batched:
        raise NotImplementedError(
            "grad: is_grads_batched=True is not implemented; loop over the rows instead"
        )
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads=True needs allow_unused=True or None")
    outputs, inputs = _as_tuple(outputs), _as_tuple(inputs)
    grads = _output_grads("grad", outputs, grad_outputs)
    if retain_graph is None:
        retain_graph = create_graph
    if allow_unused is None:
        allow_unused = materialize_grads
    result = _C._run_backward(
        outputs, grads, bool(retain_graph), bool(create_graph), inputs, bool(allow_unused), False
    )
    if materialize_grads:
        result = tuple(_C.zeros_like(x) if g is None else g for x, g in zip(inputs, result))
    return tuple(result)


def Variable(data: Any, requires_grad: bool = False, volatile: Any = None) -> Any:
    """Older PyTorch's wrapper; tensors need none, so this only sets ``requires_grad``."""
    return data.requires_grad_(requires_grad) if requires_grad else data


class set_detect_anomaly:
    """Accepted without effect: ccdl names the op in every backward error."""

    def __init__(self, mode: Any, check_nan: bool = True) -> None:
        self.mode = bool(mode)

    def __enter__(self) -> Any:
        return None

    def __exit__(self, *exc_info: Any) -> Any:
        return None


class detect_anomaly(set_detect_anomaly):
    """Accepted without effect: see :class:`set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True) -> None:
        super().__init__(True)


# At the end: gradcheck needs ``grad`` above, and its module must not hide the function of the same name.
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
