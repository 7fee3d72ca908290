"""User-defined differentiable operations in Python, over the engine's node for Python functions."""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

from .. import _C
from .grad_mode import _dual_levels, no_grad

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]


class FunctionCtx:
    """What ``forward`` leaves for ``backward``. Attributes of your own may be set freely; tensors belong into
    :meth:`save_for_backward`, which checks them against in-place change and makes no reference cycle."""

    def __init__(self, function: Any, args: Any) -> None:
        self._function = function
        self._tensor_places = tuple(i for i, a in enumerate(args) if isinstance(a, _C.Tensor))
        self._argument_count = len(args)
        self.needs_input_grad = tuple(isinstance(a, _C.Tensor) and a.requires_grad for a in args)
        self._to_save = ()
        self._saved_places = ()
        self._saved = None
        self._dirty = ()
        self._constant = ()
        self._materialize = True
        self._for_forward: Any = ()
        self._complex_outputs: Any = frozenset()
        self._complex_saved: Any = frozenset()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps inputs, outputs or other tensors (or None) for backward."""
        for t in tensors:
            if t is None or isinstance(t, _C.Tensor) or getattr(type(t), "_may_be_buffer", False):
                continue
            raise TypeError(f"save_for_backward can only save variables, but got {type(t).__name__}")
        self._to_save = tensors

    def save_for_forward(self, *tensors: Any) -> None:
        """Keeps tensors (or None) for ``jvp``, where they are ``saved_tensors``."""
        for t in tensors:
            if t is not None and not isinstance(t, _C.Tensor):
                raise TypeError(
                    "save_for_forward expects all arguments to be tensors; you should save non-tensors as "
                    f"attributes on ctx, got {type(t).__name__}"
                )
        self._for_forward = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Names the inputs that forward changed in place; they must be returned."""
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Names the outputs that have no gradient."""
        self._constant = tensors

    def set_materialize_grads(self, value: Any) -> None:
        """Whether missing output gradients arrive as zeros (default) or as None."""
        self._materialize = bool(value)

    @property
    def saved_tensors(self) -> Any:
        """What :meth:`save_for_backward` kept; available in backward."""
        if self._saved is None:
            return self._to_save
        return self._saved

    @property
    def saved_variables(self) -> Any:
        """The older name of :attr:`saved_tensors`."""
        import warnings

        text = "'saved_variables' is deprecated; use 'saved_tensors'"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return self.saved_tensors

    def _run_backward(self, saved, grads, needs):
        """Called by the engine: one gradient or None per tensor argument of forward."""
        self._saved = self._place(saved)
        flags = [False] * self._argument_count
        for place, need in zip(self._tensor_places, needs):
            flags[place] = bool(need)
        self.needs_input_grad = tuple(flags)
        if self._complex_outputs or self._complex_saved:
            from .._complex import ComplexTensor

            kept = list(self._saved)
            for i in self._complex_saved:
                kept[i] = kept[i] if kept[i].is_complex() else ComplexTensor(kept[i])
            self._saved = tuple(kept)
            grads = [
                ComplexTensor(g) if g is not None and i in self._complex_outputs else g
                for i, g in enumerate(grads)
            ]
        try:
            result = self._function._backward_of()(self, *self._spread(grads))
        finally:
            self._saved = ()
        return self._checked(result)

    def _place(self, saved):
        found = iter(saved)
        return tuple(next(found) if place is True else place for place in self._saved_places)

    def _spread(self, grads):
        found = iter(grads)
        return [next(found) if is_tensor else None for is_tensor in self._output_places]

    def _checked(self, result):
        name = self._function.__name__ + "Backward"
        result = result if isinstance(result, tuple) else (result,)
        count = self._argument_count
        if len(result) > count and all(r is None for r in result[count:]):
            result = result[:count]
        if len(result) != count:
            raise RuntimeError(
                f"function {name} returned an incorrect number of gradients (expected {count}, got "
                f"{len(result)})"
            )
        for i, r in enumerate(result):
            if r is None:
                continue
            if not isinstance(r, _C.Tensor):
                raise RuntimeError(
                    f"function {name} returned {type(r).__name__} as gradient {i}; must be a Tensor or None"
                )
            if i not in self._tensor_places:
                raise RuntimeError(
                    f"function {name} returned a gradient different from None at position {i + 1}, but the "
                    "corresponding forward input was not a Tensor"
                )
        return tuple(
            r._parts if isinstance(r, _C.Tensor) and r.is_complex() else r
            for r in (result[i] for i in self._tensor_places)
        )


class Function:
    """Base of user-defined ops: write ``forward`` and ``backward`` as static methods, call ``apply``.

    Two forms are accepted, as in PyTorch::

        forward(ctx, *args)                                  # ctx filled while computing
        forward(*args); setup_context(ctx, inputs, output)   # computing and saving apart

    ``backward(ctx, *grad_outputs)`` returns one gradient (or None) per argument of ``forward``.
    The context offers ``save_for_backward(*tensors)``, ``saved_tensors`` (checked against in-place change),
    ``mark_dirty``, ``mark_non_differentiable``, ``set_materialize_grads(bool)``, ``needs_input_grad``, and
    any attribute of your own. Ops inside ``backward`` are recorded under ``create_graph=True``, so a backward
    made of differentiable ops can be differentiated again.

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

    generate_vmap_rule = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        warnings.warn(
            f"{type(self)} should not be instantiated: methods of autograd functions are static; use "
            f"{type(self).__name__}.apply(...)",
            DeprecationWarning,
            stacklevel=2,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(
            "Legacy autograd function with non-static forward method is deprecated. Please use new-style "
            f"autograd function with static forward method: {type(self).__name__}.apply(...)"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the outputs; called without recording."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> Any:
        """Fills ``ctx`` after a ``forward`` without ``ctx``."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Turns output gradients into input gradients."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function to use "
            "it with "
            "backward mode AD."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Turns tangents of the arguments (None where there is none) into those of the outputs; see
        :mod:`ccdl.autograd.forward_ad`. Without it they come from ``backward``."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def _backward_of(cls):
        if cls.vjp is Function.vjp:
            return cls.backward
        if cls.backward is not Function.backward:
            raise RuntimeError(
                f"{cls.__name__}: Implementing both 'backward' and 'vjp' for a custom Function is not "
                "allowed; write one"
            )
        return cls.vjp

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Runs ``forward`` and records the op if an argument requires grad."""
        if _C._batched_among(args):
            from .._batching.custom import apply

            return apply(cls, args)
        ctx = FunctionCtx(cls, args)
        recording = _C._set_grad_enabled(False)
        try:
            if cls.setup_context is not Function.setup_context:
                if cls.forward.__defaults__:
                    args = _with_defaults(cls.forward, args)
                    ctx = FunctionCtx(cls, args)
                output = cls.forward(*args)
                cls.setup_context(ctx, args, output)
            else:
                output = cls.forward(ctx, *args)
        finally:
            _C._set_grad_enabled(recording)
        if _dual_levels and cls.jvp is not Function.jvp and not ctx._dirty:
            tangents = _tangents_of(args)
            if tangents is not None:
                return _with_tangents(cls, ctx, tangents, output)
        if not (recording and any(ctx.needs_input_grad)):
            return output
        return _record(cls, ctx, args, output)

    @staticmethod
    def clone(*args: Any) -> Any:
        raise RuntimeError("Function has no clone")


def _tangents_of(args):
    """The tangents beside the arguments; None if there is none, or if a gradient is asked for as well, which
    ``backward`` gives together with the tangents."""
    from .forward_ad import unpack_dual

    tangents = []
    for a in args:
        if not (isinstance(a, _C.Tensor) and a.requires_grad):
            tangents.append(None)
            continue
        primal, tangent = unpack_dual(a)
        if primal.requires_grad or tangent is not None and tangent.requires_grad:
            return None
        tangents.append(tangent)
    return None if all(t is None for t in tangents) else tangents


def _with_tangents(cls, ctx, tangents, output):
    from .forward_ad import make_dual

    single = not isinstance(output, tuple)
    outputs = (output,) if single else output
    ctx._saved = ctx._for_forward
    with no_grad():
        found = cls.jvp(ctx, *tangents)
    found = found if isinstance(found, tuple) else (found,)
    if len(found) != len(outputs):
        raise RuntimeError(
            f"{cls.__name__}: jvp returned an incorrect number of forward gradients (expected "
            f"{len(outputs)}, got {len(found)})"
        )
    results = []
    for i, (y, t) in enumerate(zip(outputs, found)):
        constant = not isinstance(y, _C.Tensor) or any(y is c for c in ctx._constant)
        if t is not None and constant:
            raise RuntimeError(
                f"{cls.__name__}: jvp returned a forward gradient at position {i}, but the corresponding "
                "forward output is not a differentiable Tensor. You should return None at that position "
                "instead."
            )
        results.append(y if t is None else make_dual(y.detach(), t.detach()))
    return results[0] if single else tuple(results)


def _with_defaults(forward, args):
    """``args`` and the defaults of the parameters behind them."""
    bound = inspect.signature(forward).bind(*args)
    bound.apply_defaults()
    return bound.args


def _record(cls, ctx, args, output):
    """Hangs the node of ``ctx`` behind the output tensors."""
    single = not isinstance(output, tuple)
    outputs = (output,) if single else output
    ctx._output_places = tuple(isinstance(o, _C.Tensor) for o in outputs)
    tensors = [o for o in outputs if isinstance(o, _C.Tensor)]
    constant = list(ctx._constant) + [o for o in tensors if not (o.is_floating_point() or o.is_complex())]
    ctx._complex_outputs = frozenset(i for i, o in enumerate(tensors) if o.is_complex())
    ctx._complex_saved = frozenset(
        i for i, t in enumerate(ctx._to_save) if isinstance(t, _C.Tensor) and t.is_complex()
    )
    # True where a tensor was; None and sparse tensors stand for themselves
    ctx._saved_places = tuple(True if isinstance(t, _C.Tensor) else t for t in ctx._to_save)
    saved = [t for t in ctx._to_save if isinstance(t, _C.Tensor)]
    ctx._to_save = ()
    inputs = [args[i] for i in ctx._tensor_places]
    recorded = _C._record_function(
        ctx, cls.__name__ + "Backward", inputs, tensors, list(ctx._dirty), constant, saved, ctx._materialize
    )
    if ctx._complex_outputs:
        from .._complex import ComplexTensor

        recorded = [
            ComplexTensor(o) if i in ctx._complex_outputs and not o.is_complex() else o
            for i, o in enumerate(recorded)
        ]
    ctx._dirty = ctx._constant = ()
    found = iter(recorded)
    results = tuple(next(found) if is_tensor else o for is_tensor, o in zip(ctx._output_places, outputs))
    return results[0] if single else results


InplaceFunction = Function


def once_differentiable(backward: Any) -> Any:
    """Decorates a ``backward`` that must not be differentiated again: a second derivative raises
    RuntimeError.

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
        anchor = next(g for g in grads if isinstance(g, _C.Tensor) and g.requires_grad)
        marked = iter(_DerivativeRefused.apply(anchor, *tensors)) if tensors else iter(())
        outputs = tuple(next(marked) if isinstance(o, _C.Tensor) else o for o in outputs)
        return outputs[0] if single else outputs

    return wrapper


class _DerivativeRefused(Function):
    """Passes values on, with a graph edge whose traversal is an error."""

    @staticmethod
    def forward(ctx: Any, anchor: Any, *tensors: Any) -> Any:
        return tuple(t.clone() for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
