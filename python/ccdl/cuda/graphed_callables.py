"""Modules and functions whose forward and backward are recorded CUDA graphs within an eager step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _C
from ..errors import RuntimeError as CcdlRuntimeError
from .graphs import CUDAGraph, _Capture, _map

__all__ = ["make_graphed_callables"]


def _tensors(value: Any) -> list[_C.Tensor]:
    found: list[_C.Tensor] = []
    _map(value, lambda t: found.append(t) or t)  # type: ignore[func-returns-value]
    return found


class _Recorded:
    """One callable: static inputs, the forward graph with its outputs, the backward graph with its grads."""

    def __init__(self, function: Any, sample: tuple[Any, ...], warmup: int, unused: bool, pool: Any) -> None:
        self.name = getattr(function, "__name__", type(function).__name__)
        if _C._cuda_graph_capturing():
            raise CcdlRuntimeError("make_graphed_callables: inside a capture")
        parameters = list(function.parameters()) if hasattr(function, "parameters") else []
        self.inputs = [self._static(x) for x in sample]
        self.sources = (*self.inputs, *parameters)
        wanted = [t for t in self.sources if t.requires_grad]
        for _ in range(warmup):
            outputs = _tensors(function(*self.inputs))
            differentiable = [y for y in outputs if y.requires_grad]
            if differentiable and wanted:
                _gradients(differentiable, wanted, [_C.ones_like(y) for y in differentiable], unused)
        self.forward_graph, self.backward_graph = CUDAGraph(), CUDAGraph()
        with _Capture(self.forward_graph, pool):
            self.results = function(*self.inputs)
        self.outputs = _tensors(self.results)
        differentiable = [y for y in self.outputs if y.requires_grad]
        self.grad_outputs = [_C.ones_like(y.detach()) if y.requires_grad else None for y in self.outputs]
        grads: list[Any] = []
        if differentiable and wanted:
            with _Capture(self.backward_graph, self.forward_graph.pool()):
                given = [g for g in self.grad_outputs if g is not None]
                grads = list(_gradients(differentiable, wanted, given, unused))
        following = iter(grads)
        self.grads = [next(following, None) if t.requires_grad else None for t in self.sources]
        self.has_backward = bool(grads)

    @staticmethod
    def _static(x: Any) -> _C.Tensor:
        if not isinstance(x, _C.Tensor) or not x.is_cuda:
            raise TypeError(
                "make_graphed_callables: sample_args must be tensors on a CUDA device, got "
                f"{type(x).__name__}; bind other arguments with functools.partial"
            )
        return x.detach().clone().requires_grad_(x.requires_grad)

    def forward(self, *values: Any) -> tuple[Any, ...]:
        for mine, given in zip(self.inputs, values):
            if mine.shape != given.shape or mine.dtype != given.dtype or mine.device != given.device:
                raise ValueError(
                    f"{self.name}: recorded for {tuple(mine.shape)} {mine.dtype} on {mine.device}, got "
                    f"{tuple(given.shape)} {given.dtype} on {given.device}; record another with "
                    "make_graphed_callables"
                )
            if mine.data_ptr() != given.data_ptr():
                mine.detach().copy_(given.detach(), non_blocking=True)
        self.forward_graph.replay()
        return tuple(y.detach() for y in self.outputs)

    def backward(self, *grads: Any) -> tuple[Any, ...]:
        for mine, given in zip(self.grad_outputs, grads):
            if mine is None:
                continue
            if given is None:
                mine.zero_()
            else:
                mine.copy_(given, non_blocking=True)
        self.backward_graph.replay()
        return tuple(None if g is None else g.detach().clone() for g in self.grads)


def _gradients(outputs: Any, inputs: Any, grads: Any, unused: bool) -> Any:
    from ..autograd import grad

    return grad(outputs, inputs, grads, only_inputs=True, allow_unused=unused)


def _graphed(
    function: Any, sample: tuple[Any, ...], warmup: int, unused: bool, pool: Any
) -> Callable[..., Any]:
    from ..autograd import Function

    recorded = _Recorded(function, sample, warmup, unused, pool)
    parameters = recorded.sources[len(recorded.inputs) :]

    class Graphed(Function):
        @staticmethod
        def forward(ctx: Any, *values: Any) -> Any:
            results = recorded.forward(*values[: len(recorded.inputs)])
            ctx.mark_non_differentiable(*(y for y, g in zip(results, recorded.grad_outputs) if g is None))
            return results

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            if not recorded.has_backward:
                return (None,) * len(recorded.sources)
            return recorded.backward(*grads)

    def call(*values: Any) -> Any:
        if len(values) != len(recorded.inputs):
            raise TypeError(
                f"{recorded.name}: recorded for {len(recorded.inputs)} tensors, got {len(values)} arguments"
            )
        results = Graphed.apply(*values, *parameters)
        following = iter(results if isinstance(results, tuple) else (results,))
        return _map(recorded.results, lambda _: next(following))

    return call


def _either(module: Any, plain: Any, replay: Any, mode: bool) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        return replay(*args) if module.training == mode and not kwargs else plain(*args, **kwargs)

    return forward


def make_graphed_callables(
    callables: Any,
    sample_args: Any,
    num_warmup_iters: int = 3,
    allow_unused_input: bool = False,
    pool: Any = None,
) -> Any:
    """Versions of modules or functions whose forward and backward are one replay each.

    The rest of the step stays eager: losses, optimisers and whatever lies between the recorded parts. For a
    whole step :func:`ccdl.cuda.graph` is simpler and has less between the kernels.

    Args:
        callables: a module or function of tensors, or a tuple of them in the order they are called. A module
            is changed: its ``forward`` replays while it is in the mode (training or evaluation) that it was
            recorded in, else it runs as before. The module may have no hooks, and no buffers that need
            gradients.
        sample_args: for each callable a tuple of CUDA tensors of the shapes, dtypes and ``requires_grad`` of
            the later arguments.
        num_warmup_iters: runs before the recording.
        allow_unused_input: whether inputs or parameters may have no effect on the outputs.
        pool: memory shared with other graphs.

    Each backward belongs to the latest forward of its callable: call them in turn. Outputs are overwritten by
    the next forward.
    """
    if not isinstance(callables, tuple):
        if not isinstance(sample_args, tuple):
            raise TypeError("make_graphed_callables: sample_args must be a tuple of tensors")
        return make_graphed_callables(
            (callables,), (sample_args,), num_warmup_iters, allow_unused_input, pool
        )[0]
    if len(callables) != len(sample_args):
        raise ValueError(
            f"make_graphed_callables: {len(callables)} callables and {len(sample_args)} tuples of sample_args"
        )
    from ..nn import Module

    made: list[Any] = []
    for function, sample in zip(callables, sample_args):
        if isinstance(function, Module):
            if function._forward_hooks or function._forward_pre_hooks or function._backward_hooks:
                raise CcdlRuntimeError(
                    "make_graphed_callables: modules must not have hooks when they are recorded; register "
                    "them afterwards"
                )
            if any(b.requires_grad for b in function.buffers()):
                raise CcdlRuntimeError("make_graphed_callables: buffers must not require gradients")
            plain, mode = function.forward, function.training
            replay = _graphed(function, sample, num_warmup_iters, allow_unused_input, pool)

            function.forward = _either(function, plain, replay, mode)  # type: ignore[method-assign]
            made.append(function)
        else:
            made.append(_graphed(function, sample, num_warmup_iters, allow_unused_input, pool))
    return tuple(made)
