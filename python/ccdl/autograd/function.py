"""User-defined differentiable operations in Python."""

import functools

from .. import _C

__all__ = ["Function", "FunctionCtx", "once_differentiable", "InplaceFunction"]


class Function(_C._FunctionBase):
    """Base of user-defined ops: write ``forward`` and ``backward`` as static methods, call ``apply``.

    Two forms are accepted, as in PyTorch::

        forward(ctx, *args)                                  # ctx filled while computing
        forward(*args); setup_context(ctx, inputs, output)   # computing and saving apart

    ``backward(ctx, *grad_outputs)`` returns one gradient (or None) per argument of ``forward``.
    The context offers ``save_for_backward(*tensors)``, ``saved_tensors`` (checked against in-place change),
    ``mark_dirty``, ``mark_non_differentiable``, ``set_materialize_grads(bool)``, ``needs_input_grad``, and any
    attribute of your own. Ops inside ``backward`` are recorded under ``create_graph=True``, so a backward made of
    differentiable ops can be differentiated again.

    >>> import ccdl
    >>> class Square(ccdl.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad
    >>> x = ccdl.tensor(3., requires_grad=True)
    >>> Square.apply(x).backward()
    >>> x.grad
    tensor(6.)
    """


FunctionCtx = Function
InplaceFunction = Function


def once_differentiable(backward):
    """Decorates a ``backward`` that must not be differentiated again: a second derivative raises RuntimeError.

    The function runs without recording, so it may use NumPy or in-place writes freely.
    """

    @functools.wraps(backward)
    def wrapper(ctx, *grads):
        recording = _C.is_grad_enabled() and any(isinstance(g, _C.Tensor) and g.requires_grad for g in grads)
        previous = _C._set_grad_enabled(False)
        try:
            outputs = backward(ctx, *grads)
        finally:
            _C._set_grad_enabled(previous)
        if not recording:
            return outputs
        single = not isinstance(outputs, tuple)
        outputs = (outputs,) if single else outputs
        tensors = [o for o in outputs if isinstance(o, _C.Tensor)]
        marked = iter(_DerivativeRefused.apply(grads[0], *tensors)) if tensors else iter(())
        outputs = tuple(next(marked) if isinstance(o, _C.Tensor) else o for o in outputs)
        return outputs[0] if single else outputs

    return wrapper


class _DerivativeRefused(Function):
    """Passes values on, with a graph edge whose traversal is an error."""

    @staticmethod
    def forward(ctx, anchor, *tensors):
        return tuple(t.clone() for t in tensors)

    @staticmethod
    def backward(ctx, *grads):
        raise RuntimeError("once_differentiable: this function's backward cannot be differentiated a second time")
