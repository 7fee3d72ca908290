"""Full backward hooks of modules: identity nodes around forward that see the gradients pass.

The node behind the outputs runs first and notes grad_output; the node before the inputs runs last, when
grad_input is known. If no input needs a gradient, the hooks run right after the outputs' node with Nones.
"""

from __future__ import annotations

from typing import Any

from ... import _C


def _make_tap():
    from ...autograd.function import Function

    class Tap(Function):
        """Identity whose backward calls ``see(grads)``; what it returns goes on."""

        @staticmethod
        def forward(ctx, see, *tensors):
            ctx.see = see
            ctx.set_materialize_grads(False)
            return tuple(t.view_as(t) for t in tensors)

        @staticmethod
        def backward(ctx, *grads):
            return (None, *ctx.see(grads))

    return Tap


_tap = None


def _through(see, values):
    """Passes the tensors among ``values`` that have a gradient through one tap; returns the new list."""
    global _tap
    if _tap is None:
        _tap = _make_tap()
    places = [i for i, v in enumerate(values) if isinstance(v, _C.Tensor)]
    if not places:
        return values
    passed = _tap.apply(see, *(values[i] for i in places))
    passed = passed if isinstance(passed, tuple) else (passed,)
    values = list(values)
    for i, t in zip(places, passed):
        values[i] = t
    return values


def _spread(grads, values):
    """Gradients of the tensors, placed among all values, None elsewhere."""
    found = iter(grads)
    return tuple(next(found) if isinstance(v, _C.Tensor) else None for v in values)


def _gather(grads, values):
    return tuple(g for g, v in zip(grads, values) if isinstance(v, _C.Tensor))


def _replacement(result, current, what):
    if result is None:
        return current
    result = result if isinstance(result, tuple) else (result,)
    if len(result) != len(current):
        raise RuntimeError(f"{what} hook returned {len(result)} gradients, must return {len(current)}")
    return result


def run_with_backward_hooks(module: Any, args: Any, kwargs: Any) -> Any:
    """``module.forward`` with the module's backward hooks attached."""
    if not _C.is_grad_enabled():
        return module.forward(*args, **kwargs)
    state: dict[str, Any] = {}
    inputs_need_grad = any(isinstance(a, _C.Tensor) and a.requires_grad for a in args)

    def finish(grad_input, count):
        for hook in tuple(module._backward_hooks.values()):
            result = hook(module, grad_input, state["grad_output"])
            grad_input = _replacement(result, grad_input, "backward")
        return grad_input

    def see_inputs(grads):
        if "grad_output" not in state:  # outputs did not take part in this backward
            return grads
        return _gather(finish(_spread(grads, args), len(args)), args)

    if inputs_need_grad and module._backward_hooks:
        new_args = tuple(_through(see_inputs, args))
    else:
        new_args = args
    output = module.forward(*new_args, **kwargs)
    is_tuple = isinstance(output, tuple)
    outputs = tuple(output) if is_tuple else (output,)
    if not any(isinstance(o, _C.Tensor) and o.requires_grad for o in outputs):
        return output

    def see_outputs(grads):
        grad_output = _spread(grads, outputs)
        for hook in tuple(module._backward_pre_hooks.values()):
            grad_output = _replacement(hook(module, grad_output), grad_output, "backward pre-")
        state["grad_output"] = grad_output
        if not inputs_need_grad:
            finish((None,) * len(args), len(args))
        return _gather(grad_output, outputs)

    passed = tuple(_through(see_outputs, outputs))
    if not is_tuple:
        return passed[0]
    return type(output)(*passed) if hasattr(output, "_fields") else passed
