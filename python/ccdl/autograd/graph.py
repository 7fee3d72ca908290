"""The recorded graph: what it keeps for backward and how, its edges, its picture."""

from __future__ import annotations

import contextlib
import functools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from .. import _C
from .grad_mode import enable_grad

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "nodes",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
    "set_override_stale_capture_stream",
    "set_warn_on_accumulate_grad_stream_mismatch",
    "to_dot",
]

Node = _C._Node

_mutation = threading.local()  # .active: in allow_mutation_on_saved_tensors
_disabled = threading.local()  # .message: why saved_tensors_hooks may not be used in this thread


class saved_tensors_hooks(contextlib.ContextDecorator):
    """Inside, every tensor an operation keeps for backward goes through ``pack_hook``, and comes back through
    ``unpack_hook`` when backward wants it: to keep it elsewhere, smaller, or to count it.

    Args:
        pack_hook: called with the tensor (without its history), must not change it; returns anything.
        unpack_hook: called with what ``pack_hook`` returned; returns a tensor of the same shape, dtype and
            device, with the same values as far as the gradient should be right.

    Pairs nest; the innermost of the thread applies. Both run without recording.

    Raises:
        TypeError: a hook is not callable, or unpack returned no tensor.
        RuntimeError: the pack hook changed its tensor; unpack returned one of another shape, dtype or device;
            inside :func:`disable_saved_tensors_hooks`.

    >>> import ccdl
    >>> kept = []
    >>> x = ccdl.ones(3, requires_grad=True)
    >>> with ccdl.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.shape) or t, lambda t: t):
    ...     y = x.exp()
    >>> kept
    [ccdl.Size([3])]
    """

    def __init__(
        self, pack_hook: Callable[[_C.Tensor], Any], unpack_hook: Callable[[Any], _C.Tensor]
    ) -> None:
        for name, hook in (("pack_hook", pack_hook), ("unpack_hook", unpack_hook)):
            if not callable(hook):
                raise TypeError(f"saved_tensors_hooks: {name} is {type(hook).__name__}, must be callable")
        self.pack_hook, self.unpack_hook = pack_hook, unpack_hook

    def __enter__(self) -> None:
        message = getattr(_disabled, "message", None)
        if message is not None:
            raise RuntimeError(message)
        _C._push_saved_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(self, *exc_info: Any) -> None:
        _C._pop_saved_hooks()


class save_on_cpu(saved_tensors_hooks):
    """Inside, what operations keep for backward waits in host memory and goes to its device when needed.

    Args:
        pin_memory: keep it in pinned memory, which copies faster.
        device_type: the device whose runtime pins; ``"cuda"``.

    >>> import ccdl
    >>> x = ccdl.ones(3, requires_grad=True)
    >>> with ccdl.autograd.graph.save_on_cpu():
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad.tolist()
    [2.0, 2.0, 2.0]
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        if device_type not in ("cuda", "cpu"):
            raise RuntimeError(f"save_on_cpu: device_type is {device_type!r}, must be 'cuda' or 'cpu'")

        def pack(x: _C.Tensor) -> tuple[_C.device, _C.Tensor]:
            if not pin_memory:
                return x.device, x.cpu()
            kept = _C.empty(x.shape, dtype=x.dtype, device="cpu", pin_memory=x.is_cuda)
            return x.device, kept.copy_(x)

        def unpack(packed: tuple[_C.device, _C.Tensor]) -> _C.Tensor:
            device, x = packed
            return x.to(device)

        super().__init__(pack, unpack)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside, :class:`saved_tensors_hooks` (also made by others) is a RuntimeError with ``error_message``.

    Raises:
        RuntimeError: hooks are already at work.

    >>> import ccdl
    >>> with ccdl.autograd.graph.disable_saved_tensors_hooks("not here"):
    ...     y = ccdl.ones(2, requires_grad=True) * 2
    """
    if not isinstance(error_message, str):
        raise TypeError(
            f"disable_saved_tensors_hooks: error_message is {type(error_message).__name__}, must be a str"
        )
    if _C._saved_hooks_depth():
        raise RuntimeError(error_message)
    before = getattr(_disabled, "message", None)
    _disabled.message = error_message
    try:
        yield
    finally:
        _disabled.message = before


class _Kept:
    """Stands for a tensor kept for backward; what it stands for is in the context."""

    __slots__ = ("__weakref__",)


class _AllowMutationOnSavedContext:
    """What :func:`allow_mutation_on_saved_tensors` knows: tensors kept as they are and those it cloned."""

    def __init__(self) -> None:
        self.original: weakref.WeakKeyDictionary[_Kept, _C.Tensor] = weakref.WeakKeyDictionary()
        self.cloned: weakref.WeakKeyDictionary[_Kept, _C.Tensor] = weakref.WeakKeyDictionary()
        self._same: weakref.WeakValueDictionary[Any, _Kept] = weakref.WeakValueDictionary()
        self._in_storage: dict[int, weakref.WeakSet[_Kept]] = {}
        self._lock = threading.RLock()

    def pack(self, tensor: _C.Tensor) -> _Kept:
        storage = tensor.untyped_storage().data_ptr()
        key = (tensor.data_ptr(), tensor._version, tuple(tensor.shape), tensor.stride(), tensor.dtype)
        with self._lock:
            kept = self._same.get(key)
            if kept is None or kept not in self.original:
                kept = self._same[key] = _Kept()
                self.original[kept] = tensor
                self._in_storage.setdefault(storage, weakref.WeakSet()).add(kept)
            return kept

    def unpack(self, kept: _Kept) -> _C.Tensor:
        with self._lock:
            found = self.cloned.get(kept)
            found = self.original.get(kept) if found is None else found
        if found is None:
            raise AssertionError(
                "Trying to backward outside of the 'allow_mutation_on_saved_tensors' context"
                "in which the graph was originally recorded."
            )
        return found

    def before_write(self, tensor: _C.Tensor) -> None:
        with self._lock:
            for kept in self._in_storage.pop(tensor.untyped_storage().data_ptr(), ()):
                if kept in self.original:
                    self.cloned[kept] = self.original.pop(kept).clone()

    def clear(self) -> None:
        with self._lock:
            for known in (self.original, self.cloned, self._same, self._in_storage):
                known.clear()


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[_AllowMutationOnSavedContext]:
    """Inside, tensors kept for backward may be written in place: they are cloned just before the first such
    write, and backward sees the values they had. Without it such a backward is an error.

    Forward and backward must both run inside, in the same thread's context. Leaves that require a gradient
    may still not be written while recording.

    Returns:
        The context's own record, ``original`` and ``cloned``, emptied at the end.

    Raises:
        RuntimeError: inside another one.
        AssertionError: backward of a graph recorded inside runs outside.

    >>> import ccdl
    >>> with ccdl.autograd.graph.allow_mutation_on_saved_tensors():
    ...     a = ccdl.ones(3, requires_grad=True)
    ...     b = a.clone()
    ...     out = (b**2).sum()
    ...     _ = b.sin_()
    ...     out.backward()
    >>> a.grad.tolist()
    [2.0, 2.0, 2.0]
    """
    if getattr(_mutation, "active", False):
        raise RuntimeError("allow_mutation_on_saved_tensors contexts cannot be nested")
    context = _AllowMutationOnSavedContext()
    with saved_tensors_hooks(context.pack, context.unpack):
        _mutation.active = True
        _C._set_before_write(context.before_write)
        try:
            yield context
        finally:
            _C._set_before_write(None)
            _mutation.active = False
            context.clear()


class GradientEdge(NamedTuple):
    """Where the gradient of a tensor flows: an output of a node of the graph."""

    node: Any
    output_nr: int
    ownership_token: Any = None


def get_gradient_edge(tensor: _C.Tensor) -> GradientEdge:
    """The edge that the gradient of ``tensor`` takes: its grad_fn, or the accumulator of a leaf.

    Raises:
        RuntimeError: the tensor does not require a gradient.

    >>> import ccdl
    >>> x = ccdl.ones(2, requires_grad=True)
    >>> ccdl.autograd.graph.get_gradient_edge(x).node.name()
    'AccumulateGrad'
    """
    if not isinstance(tensor, _C.Tensor):
        raise TypeError(f"get_gradient_edge: tensor is {type(tensor).__name__}, must be a Tensor")
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require gradients"
        )
    if tensor.grad_fn is not None:
        return GradientEdge(tensor.grad_fn, tensor.output_nr)
    with enable_grad():
        return GradientEdge(tensor.view_as(tensor).grad_fn.next_functions[0][0], 0)


def increment_version(tensor: _C.Tensor | Iterable[_C.Tensor]) -> None:
    """Says that the memory of ``tensor`` (or of several) was written from outside: graphs that kept
    it notice.

    >>> import ccdl
    >>> x = ccdl.ones(2)
    >>> ccdl.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    tensors = (tensor,) if isinstance(tensor, _C.Tensor) else tuple(tensor)
    for one in tensors:
        if not isinstance(one, _C.Tensor):
            raise TypeError(f"increment_version: got {type(one).__name__}, must be a Tensor")
        one._bump_version()


def set_warn_on_accumulate_grad_stream_mismatch(enabled: bool) -> None:
    """Accepted without effect: backward orders the streams it uses, so there is nothing to warn of.

    >>> import ccdl
    >>> ccdl.autograd.graph.set_warn_on_accumulate_grad_stream_mismatch(False)
    """
    _check_switch("set_warn_on_accumulate_grad_stream_mismatch", enabled)


def set_override_stale_capture_stream(enabled: bool) -> None:
    """Accepted without effect: nodes keep no stream; backward runs on the caller's current one.

    >>> import ccdl
    >>> ccdl.autograd.graph.set_override_stale_capture_stream(True)
    """
    _check_switch("set_override_stale_capture_stream", enabled)


def _check_switch(name: str, enabled: Any) -> None:
    if not isinstance(enabled, bool):
        raise TypeError(f"{name}: enabled is {type(enabled).__name__}, must be a bool")


class _Handles:
    """Takes several hooks out again."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self.handles = tuple(handles)

    def remove(self) -> None:
        for handle in self.handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[_C.Tensor], fn: Callable[..., None], *, mode: str = "all"
) -> Any:
    """Calls ``fn`` once per backward: with the list of all gradients when the last is there (``"all"``, None
    where nothing flows), or with the first gradient that arrives (``"any"``).

    Args:
        tensors: each must require a gradient.
        fn: what it returns is ignored.
        mode: ``"all"`` or ``"any"``.

    Returns:
        A handle with ``remove()``.

    Raises:
        ValueError: another mode.

    >>> import ccdl
    >>> a, b = ccdl.ones(1, requires_grad=True), ccdl.ones(1, requires_grad=True)
    >>> handle = ccdl.autograd.graph.register_multi_grad_hook([a, b], lambda g: print([x.item() for x in g]))
    >>> (a * 2 + b * 3).sum().backward()
    [2.0, 3.0]
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    if not callable(fn):
        raise TypeError(f"register_multi_grad_hook: fn is {type(fn).__name__}, must be callable")
    tensors = tuple(tensors)
    edges = [get_gradient_edge(t) for t in tensors]
    lock = threading.Lock()
    rounds: dict[int, list[Any]] = {}  # number of the backward -> [gradients, how many to expect, and came]

    def collect(position: int, grad: Any) -> None:
        task = _C._current_graph_task()
        with lock:
            state = rounds.get(task)
            if state is None:
                rounds.clear()
                expected = sum(map(_C._will_execute, (e.node for e in edges))) if mode == "all" else 1
                state = rounds[task] = [[None] * len(tensors), expected, 0]
            if mode == "all":
                state[0][position] = grad
            state[2] += 1
            ready = state[2] == state[1]
        if ready:
            fn(state[0] if mode == "all" else grad)

    return _Handles([t.register_hook(functools.partial(collect, i)) for i, t in enumerate(tensors)])


def nodes(tensor: Any) -> Any:
    """All graph nodes reachable from ``tensor.grad_fn``, each once, breadth first.

    >>> import ccdl
    >>> x = ccdl.ones(2, requires_grad=True)
    >>> len(ccdl.autograd.graph.nodes((x * 2).sum()))
    3
    """
    start = tensor.grad_fn
    if start is None:
        return []
    seen, order = {start}, [start]
    for node in order:
        for following, _ in node.next_functions:
            if following is not None and following not in seen:
                seen.add(following)
                order.append(following)
    return order


def to_dot(tensor: Any) -> Any:
    """The graph as text for Graphviz' ``dot``: one box per node, edges from outputs to inputs.

    >>> import ccdl
    >>> x = ccdl.ones(2, requires_grad=True)
    >>> ccdl.autograd.graph.to_dot(x * 2).splitlines()[0]
    'digraph {'
    """
    order = nodes(tensor)
    number = {node: i for i, node in enumerate(order)}
    lines = ["digraph {", "  node [shape=box];"]
    for node, i in number.items():
        label = node.name() if callable(getattr(node, "name", None)) else type(node).__name__
        lines.append(f'  n{i} [label="{label}"];')
    for node, i in number.items():
        for following, _ in node.next_functions:
            if following is not None:
                lines.append(f"  n{i} -> n{number[following]};")
    return "\n".join([*lines, "}"])
