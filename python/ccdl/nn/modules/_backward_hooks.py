"""Full backward hooks of modules: identity nodes around forward that see the gradients pass.

The node behind the outputs runs first and notes grad_output; the node before the inputs runs last, when
grad_input is known. If no input needs a gradient, the hooks run right after the outputs' node with Nones.
"""

from __future__ import annotations

import functools
import warnings
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


def hook_last_node(module: Any, hooks: tuple[Any, ...], output: Any) -> None:
    """The older kind of hooks: they see the gradients of the node that made the (first tensor of) output."""
    while not isinstance(output, _C.Tensor):
        if isinstance(output, dict):
            output = next(v for v in output.values() if isinstance(v, _C.Tensor))
        else:
            output = output[0]
    node = output.grad_fn
    if node is not None:
        for hook in hooks:
            node.register_hook(functools.partial(hook, module))


class BackwardHooks:
    """The backward hooks around one call of a module: ``inputs`` go in, ``outputs(y)`` come out."""

    def __init__(
        self, module: Any, before: tuple[Any, ...], after: tuple[Any, ...], args: tuple[Any, ...]
    ) -> None:
        self.module, self.before, self.after, self.args = module, before, after, args
        self.grad_output: Any = None
        self.inputs_need_grad = any(isinstance(a, _C.Tensor) and a.requires_grad for a in args)
        self.inputs = args
        if self.inputs_need_grad and after:
            self.inputs = tuple(_through(self._see_inputs, args))

    def outputs(self, output: Any) -> Any:
        """``output`` behind the node that notes its gradients."""
        is_tuple = isinstance(output, tuple)
        outputs = tuple(output) if is_tuple else (output,)
        if not is_tuple and not isinstance(output, _C.Tensor):
            warnings.warn(
                "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors but "
                f"received {type(output)}",
                stacklevel=4,
            )
        if not any(isinstance(o, _C.Tensor) and o.requires_grad for o in outputs):
            return output
        passed = tuple(_through(functools.partial(self._see_outputs, outputs), outputs))
        if not is_tuple:
            return passed[0]
        return type(output)(*passed) if hasattr(output, "_fields") else passed

    def _finish(self, grad_input: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.after:
            grad_input = _replacement(hook(self.module, grad_input, self.grad_output), grad_input, "backward")
        return grad_input

    def _see_inputs(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_output is None:  # outputs did not take part in this backward
            return grads
        return _gather(self._finish(_spread(grads, self.args)), self.args)

    def _see_outputs(self, outputs: tuple[Any, ...], grads: tuple[Any, ...]) -> tuple[Any, ...]:
        grad_output = _spread(grads, outputs)
        for hook in self.before:
            grad_output = _replacement(hook(self.module, grad_output), grad_output, "backward pre-")
        self.grad_output = grad_output
        if not self.inputs_need_grad:
            self._finish((None,) * len(self.args))
        return _gather(grad_output, outputs)
