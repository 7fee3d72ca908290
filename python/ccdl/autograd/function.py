"""User-defined differentiable operations in Python."""

import functools

from .. import _C

__all__ = ["Function", "FunctionCtx", "once_differentiable", "InplaceFunction"]


class FunctionCtx:
    """What ``forward`` leaves for ``backward``; any further attribute of your own may be set on it."""

    _to_save = ()
    _saved = None
    _dirty = ()
    _constant = ()
    _materialize = True
    needs_input_grad = ()

    def save_for_backward(self, *tensors):
        """Keeps tensors (inputs or outputs; None allowed) for ``saved_tensors``, with a check against in-place change."""
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, _C.Tensor):
                raise TypeError(
                    f"save_for_backward: argument {i} is {type(t).__name__}; only tensors and None can be saved, "
                    "set anything else as an attribute of ctx"
                )
        self._to_save = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self):
        """The tensors given to :meth:`save_for_backward`, in order."""
        return self._to_save if self._saved is None else self._saved

    def mark_dirty(self, *tensors):
        """Names the inputs that ``forward`` changed in place; they must be among the outputs."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors):
        """Names the outputs that carry no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value):
        """False: ``backward`` gets None instead of zeros for outputs without gradient."""
        self._materialize = bool(value)

    def _run_backward(self, saved, grads, needs):
        self._saved = saved
        self.needs_input_grad = needs
        cls = self._function
        try:
            result = cls.backward(self, *grads)
        finally:
            self._saved = None
        if not isinstance(result, tuple):
            result = tuple(result) if isinstance(result, list) else (result,)
        if len(result) > len(needs) and all(r is None for r in result[len(needs) :]):
            result = result[: len(needs)]
        if len(result) != len(needs):
            raise RuntimeError(
                f"function {cls.__name__}Backward returned an incorrect number of gradients "
                f"(expected {len(needs)}, got {len(result)})"
            )
        for i, r in enumerate(result):
            if r is not None and not isinstance(r, _C.Tensor):
                raise RuntimeError(
                    f"function {cls.__name__}Backward returned {type(r).__name__} as gradient {i}; "
                    "expected a Tensor or None"
                )
        return result


class Function(FunctionCtx):
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

    @staticmethod
    def forward(*args, **kwargs):
        """Computes the outputs; to be written by the subclass."""
        raise NotImplementedError("Function: you must implement the forward function for a custom autograd.Function")

    @staticmethod
    def backward(ctx, *grad_outputs):
        """One gradient or None per argument of ``forward``; to be written by the subclass."""
        raise NotImplementedError("Function: you must implement the backward function for a custom autograd.Function")

    vjp = backward
    setup_context = None

    @classmethod
    def apply(cls, *args):
        """Runs ``forward`` without recording its inside, and records ``backward`` as this op's derivative."""
        ctx = FunctionCtx()
        ctx._function = cls
        inputs = tuple(a if isinstance(a, _C.Tensor) else None for a in args)
        ctx.needs_input_grad = tuple(a is not None and a.requires_grad for a in inputs)
        previous = _C._set_grad_enabled(False)
        try:
            if cls.setup_context is not None:
                outputs = cls.forward(*args)
                cls.setup_context(ctx, args, outputs)
            else:
                outputs = cls.forward(ctx, *args)
        finally:
            _C._set_grad_enabled(previous)
        if not (previous and any(ctx.needs_input_grad)):
            return outputs
        single = not isinstance(outputs, (tuple, list))
        values = (outputs,) if single else tuple(outputs)
        tensors = tuple(v if isinstance(v, _C.Tensor) else None for v in values)
        if single and tensors[0] is None:
            raise TypeError(
                f"{cls.__name__}.forward: expected to return a Tensor or a tuple of them, got {type(outputs).__name__}"
            )
        recorded = _C._record_function(
            ctx, f"{cls.__name__}Backward", inputs, tensors, tuple(ctx._dirty), tuple(ctx._constant),
            tuple(ctx._to_save), ctx._materialize,
        )  # fmt: skip
        ctx._to_save = ()
        result = tuple(r if t is not None else v for v, t, r in zip(values, tensors, recorded))
        return result[0] if single else result


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
