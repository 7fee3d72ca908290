"""Activation checkpointing: what a part of a network computed is forgotten after the forward pass and made
again in the backward pass, so that memory grows with the parts instead of with all their layers.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from .. import _C
from ..autograd.function import Function
from ..errors import RuntimeError as CcdlRuntimeError

__all__ = [
    "CheckpointError",
    "checkpoint",
    "checkpoint_sequential",
    "get_device_states",
    "noop_context_fn",
    "set_device_states",
]


class CheckpointError(CcdlRuntimeError):
    """The second computation of a checkpointed part differs from the first."""


def noop_context_fn() -> tuple[Any, Any]:
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """(devices, states): the CUDA devices of the tensors among ``args``, nested ones included, and the state
    of the random generator of each.

    >>> import ccdl
    >>> from ccdl.utils.checkpoint import get_device_states
    >>> get_device_states(ccdl.ones(2))
    ([], [])
    """
    found: set[int] = set()

    def look(value: Any) -> None:
        if isinstance(value, _C.Tensor):
            if value.is_cuda:
                found.add(value.get_device())
        elif isinstance(value, dict):
            for part in value.values():
                look(part)
        elif isinstance(value, (tuple, list)):
            for part in value:
                look(part)

    look(args)
    from .. import cuda

    devices = sorted(found)
    return devices, [cuda.get_rng_state(device) for device in devices]


def set_device_states(devices: Any, states: Any, *, device_type: str | None = None) -> None:
    """Puts the generators of ``devices`` into the ``states`` that :func:`get_device_states` gave."""
    from .. import cuda

    for device, state in zip(devices, states):
        cuda.set_rng_state(state, device)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Callable[[], tuple[Any, Any]] = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """``function(*args, **kwargs)`` whose intermediate results are computed again in the backward pass.

    Args:
        function: a module or a function. It must compute the same again; random numbers are repeated.
        args, kwargs: its arguments (kwargs with ``use_reentrant=False`` only).
        use_reentrant: False (recommended): gradients of everything the function uses, by ``backward`` and by
            ``autograd.grad``, also twice differentiable; tensors may hide in lists and dicts. True: only
            tensors given directly as arguments count as inputs, at least one must require a gradient, and
            parameters receive theirs in a backward pass of their own.
        context_fn: two contexts, around the first and the second computation (``use_reentrant=False``).
        determinism_check: 'default' compares shapes and dtypes of both outputs, 'none' does not.
        debug, early_stop: accepted without effect.
        preserve_rng_state: repeat the random numbers.

    Returns:
        What ``function`` returns.

    Raises:
        ValueError: keyword arguments or a context with ``use_reentrant=True``.
        CheckpointError: in the backward pass, when the second output has other shapes or dtypes.

    Source: Chen et al., 2016.

    >>> import ccdl, ccdl.nn as nn
    >>> from ccdl.utils.checkpoint import checkpoint
    >>> layer, x = nn.Linear(3, 3), ccdl.ones(2, 3, requires_grad=True)
    >>> checkpoint(layer, x, use_reentrant=False).sum().backward()
    >>> x.grad.shape
    ccdl.Size([2, 3])
    """
    if not callable(function):
        raise TypeError(f"checkpoint: function is {type(function).__name__}, must be callable")
    if use_reentrant is None:
        warnings.warn(
            "ccdl.utils.checkpoint: pass use_reentrant explicitly; False is recommended, True is assumed",
            stacklevel=2,
        )
        use_reentrant = True
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"checkpoint: determinism_check must be 'default' or 'none', got {determinism_check!r}"
        )
    if use_reentrant:
        if kwargs:
            raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
        if context_fn is not noop_context_fn or debug:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return _reentrant(function, preserve_rng_state, args)
    return _recomputed(function, args, kwargs, context_fn, preserve_rng_state, determinism_check == "default")


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Runs a chain of functions in ``segments`` parts, all but the last checkpointed.

    Args:
        functions: a Sequential or a list of modules or functions.
        segments: number of parts.
        input: of the first function.
        use_reentrant: as for :func:`checkpoint`.
        kwargs: ``preserve_rng_state`` only.

    Raises:
        ValueError: other keywords, or a number of segments outside 1 to the number of functions.

    >>> import ccdl, ccdl.nn as nn
    >>> from ccdl.utils.checkpoint import checkpoint_sequential
    >>> net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> checkpoint_sequential(net, 2, ccdl.ones(4, 3), use_reentrant=False).shape
    ccdl.Size([4, 1])
    """
    if use_reentrant is None:
        warnings.warn(
            "ccdl.utils.checkpoint: pass use_reentrant explicitly; False is recommended, True is assumed",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    chain = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= max(1, len(chain)):
        raise ValueError(
            f"checkpoint_sequential: segments must be between 1 and the number of functions {len(chain)}, "
            f"got {segments}"
        )
    size = len(chain) // segments
    start = 0
    for _ in range(segments - 1):
        part = _Chain(chain[start : start + size])
        input = checkpoint(part, input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
        start += size
    return _Chain(chain[start:])(input)


class _Chain:
    """Functions one after the other."""

    def __init__(self, functions: list[Any]) -> None:
        self.functions = functions

    def __call__(self, x: Any) -> Any:
        for f in self.functions:
            x = f(x)
        return x


# --- what the second computation must find again ---


class _Modes:
    """Random generator (where wanted) and autocast as they are now; ``again()`` runs a block with them."""

    def __init__(self, preserve_rng: bool) -> None:
        self.rng = _C.get_rng_state() if preserve_rng else None
        self.autocast = [
            (kind, _C.get_autocast_dtype(kind), _C.is_autocast_enabled(kind)) for kind in ("cpu", "cuda")
        ]
        self.cache = _C.is_autocast_cache_enabled()

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        from ..amp import autocast

        present = _C.get_rng_state()
        with contextlib.ExitStack() as stack:
            for kind, dtype, enabled in self.autocast:
                if enabled != _C.is_autocast_enabled(kind) or enabled:
                    stack.enter_context(autocast(kind, dtype, enabled, self.cache))
            if self.rng is not None:
                _C.set_rng_state(self.rng)
            try:
                yield
            finally:
                if self.rng is not None:
                    _C.set_rng_state(present)


# --- tensors in nested values ---


def _flatten(value: Any, tensors: list[Any]) -> Any:
    """A copy of lists, tuples and dicts with each tensor replaced by its place in ``tensors``."""
    if isinstance(value, _C.Tensor):
        tensors.append(value)
        return _Place(len(tensors) - 1)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_flatten(v, tensors) for v in value))
    if type(value) in (list, tuple):
        return type(value)(_flatten(v, tensors) for v in value)
    if type(value) is dict:
        return {k: _flatten(v, tensors) for k, v in value.items()}
    return value


class _Place:
    def __init__(self, index: int) -> None:
        self.index = index


def _fill(value: Any, tensors: Any) -> Any:
    if isinstance(value, _Place):
        return tensors[value.index]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_fill(v, tensors) for v in value))
    if type(value) in (list, tuple):
        return type(value)(_fill(v, tensors) for v in value)
    if type(value) is dict:
        return {k: _fill(v, tensors) for k, v in value.items()}
    return value


@contextlib.contextmanager
def _grad_mode(enabled: bool) -> Iterator[None]:
    previous = _C._set_grad_enabled(enabled)
    try:
        yield
    finally:
        _C._set_grad_enabled(previous)


# --- recomputation without a backward pass of its own ---


class _Part:
    """A computation over a flat list of tensors that can be run again: ``outputs(tensors)``."""

    def __init__(self, function, args, kwargs, context, modes, check):
        self.function, self.context, self.modes, self.check = function, context, modes, check
        self.inputs: list[Any] = []
        self.form = _flatten((args, kwargs), self.inputs)
        self.used: list[Any] = []  # leaves that the function uses beside its arguments
        self.result: Any = None  # form of the first output
        self.meta: Any = None

    def run(self, tensors):
        """Flat outputs and their form."""
        args, kwargs = _fill(self.form, tensors)
        outputs: list[Any] = []
        form = _flatten(self.function(*args, **kwargs), outputs)
        return outputs, form

    def again(self, tensors):
        with _grad_mode(True), self.modes.again(), self.context:
            outputs, _ = self.run(tensors)
        if self.check:
            meta = _meta(outputs)
            if meta != self.meta:
                raise CheckpointError(
                    "checkpoint: the second computation gave outputs of other shapes or dtypes: "
                    f"{meta}, at first {self.meta}; the function must compute the same again"
                )
        return outputs


def _meta(tensors):
    return [(tuple(t.shape), str(t.dtype), str(t.device)) for t in tensors]


def _leaves(outputs, own):
    """Leaves reached from the outputs that are not among ``own``."""
    known, seen, found = {id(t) for t in own}, set(), []
    todo = [t.grad_fn for t in outputs if t.grad_fn is not None]
    while todo:
        node = todo.pop()
        if node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None and id(variable) not in known:
            known.add(id(variable))
            found.append(variable)
        todo.extend(n for n, _ in node.next_functions if n is not None)
    return found


def _fresh(tensors):
    """Leaves of the same values, cut from the graph."""
    return [t.detach().requires_grad_(t.requires_grad) for t in tensors]


def _recomputed(function, args, kwargs, context_fn, preserve, check):
    first, second = context_fn()
    part = _Part(function, args, kwargs, second, _Modes(preserve), check)
    if not _C.is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    # recorded, so that everything the function uses is known; what it kept is given back right after
    fresh = _fresh(part.inputs)
    with first:
        outputs, part.result = part.run(fresh)
    if not any(o.requires_grad for o in outputs):
        return _fill(part.result, outputs)
    part.used = _leaves(outputs, fresh)
    outputs = [o.detach() for o in outputs]
    part.meta = _meta(outputs)
    return _fill(part.result, _apply(part, part.inputs, part.used, outputs))


def _apply(part, inputs, used, outputs):
    floats = [i for i, o in enumerate(outputs) if o.is_floating_point() or o.is_complex()]
    if not floats:
        return outputs
    results = _Recompute.apply(part, [outputs[i] for i in floats], floats, len(inputs), *inputs, *used)
    results = results if isinstance(results, tuple) else (results,)
    outputs = list(outputs)
    for i, result in zip(floats, results):
        outputs[i] = result
    return outputs


class _Recompute(Function):
    """Outputs that were computed already; the gradient computes them again."""

    @staticmethod
    def forward(ctx, part, outputs, floats, count, *tensors):
        ctx.part, ctx.floats, ctx.count = part, floats, count
        ctx.save_for_backward(*tensors)
        return tuple(o.view_as(o) for o in outputs)

    @staticmethod
    def backward(ctx, *grads):
        tensors = ctx.saved_tensors
        inputs, used = list(tensors[: ctx.count]), list(tensors[ctx.count :])
        wanted = [i for i, t in enumerate(inputs) if t.requires_grad]
        part, floats, again = ctx.part, ctx.floats, _C.is_grad_enabled()

        def gradients(*flat):
            """Of the outputs times ``flat[count:]``, by inputs ``flat[:count]`` (leaves) and what is used."""
            given, arriving = flat[: len(inputs)], flat[len(inputs) :]
            outputs = part.again(given)
            pairs = [(outputs[i], g) for i, g in zip(floats, arriving) if outputs[i].requires_grad]
            targets = [given[i] for i in wanted] + used
            if not pairs:
                return [_C.zeros_like(t) for t in targets] if again else [None] * len(targets)
            found = _grad([o for o, _ in pairs], targets, [g for _, g in pairs], again)
            return [_C.zeros_like(t) if again and g is None else g for t, g in zip(targets, found)]

        if again:  # differentiable: itself a computation that is run again
            found = _recomputed(gradients, (*inputs, *grads), {}, noop_context_fn, False, False)
        else:
            found = gradients(*_fresh(inputs), *grads)
        result = [None] * len(tensors)
        for i, g in zip(wanted, found):
            result[i] = g
        result[ctx.count :] = found[len(wanted) :]
        return (None, None, None, None, *result)


def _grad(outputs, targets, grads, keep_graph):
    from ..autograd import grad

    return list(
        grad(outputs, targets, grads, retain_graph=True, create_graph=keep_graph, allow_unused=True)
    )


# --- a backward pass inside the backward pass ---


def _reentrant(function, preserve, args):
    if not _C.is_grad_enabled():
        return function(*args)
    if not any(isinstance(a, _C.Tensor) and a.requires_grad for a in args):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=3)
    return CheckpointFunction.apply(function, preserve, *args)


class CheckpointFunction(Function):
    """The form with a backward pass of its own inside the backward pass."""

    @staticmethod
    def forward(ctx: Any, function: Any, preserve: bool, *args: Any) -> Any:
        ctx.function, ctx.modes = function, _Modes(preserve)
        ctx.places = [i for i, a in enumerate(args) if isinstance(a, _C.Tensor)]
        ctx.others = [None if isinstance(a, _C.Tensor) else a for a in args]
        ctx.save_for_backward(*(args[i] for i in ctx.places))
        with _grad_mode(False):
            return function(*args)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        fresh = list(ctx.others)
        for i, t in zip(ctx.places, ctx.saved_tensors):
            fresh[i] = t.detach().requires_grad_(t.requires_grad)
        with _grad_mode(True), ctx.modes.again():
            outputs = ctx.function(*fresh)
        outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
        pairs = [
            (o, g)
            for o, g in zip(outputs, grads)
            if isinstance(o, _C.Tensor) and o.requires_grad and g is not None
        ]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        from ..autograd import backward

        backward([o for o, _ in pairs], [g for _, g in pairs])
        got = tuple(t.grad if isinstance(t, _C.Tensor) else None for t in fresh)
        return (None, None, *got)
