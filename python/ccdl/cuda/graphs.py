"""CUDA graphs: the kernels of a function, recorded once and queued again by one call.

What changes between replays lives on the device and is written there before each: the position of the
random generator, the learning rates and the step counts of optimisers. Everything else that is not a tensor
is fixed at the capture.
"""

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any, overload

from .. import _C
from ..errors import RuntimeError as CcdlRuntimeError
from .devices import _index

__all__ = ["CUDAGraph", "GraphedStep", "graph", "graph_pool_handle", "is_current_stream_capturing"]

_captures = threading.local()


class _Stale(Exception):
    """An optimiser changed in a way that a captured graph cannot follow."""


class _Pool:
    """Memory that several graphs share, which then must not be replayed at the same time."""

    def __init__(self, owner: "CUDAGraph | None" = None) -> None:
        self.owner = owner


class CUDAGraph:
    """A sequence of kernels with fixed arguments: capture once, :meth:`replay` often.

    Everything the capture allocates stays at its address as long as the graph; results are read from the
    same tensors after each replay, inputs are written into the same tensors before. Captured optimiser steps
    follow changes of ``lr`` and count their steps.
    """

    def __init__(self, keep_graph: bool = False) -> None:
        self._handle = 0
        _index("CUDAGraph")
        self._handle = _C._cuda_graph_make()
        self._steps: list[_Step] = []
        self._pool: _Pool | None = None
        self._captured, self._replays = False, 0

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", 0), 0
        if handle:
            _C._cuda_graph_free(handle)

    def capture_begin(
        self, pool: "_Pool | CUDAGraph | None" = None, capture_error_mode: str = "global"
    ) -> None:
        """From here on work of this thread is recorded instead of run."""
        if isinstance(pool, CUDAGraph):
            pool = pool.pool()
        share = pool.owner._handle if pool is not None and pool.owner is not None else 0
        self._steps, self._replays = [], 0
        gc.collect()  # nothing may be given back to the driver meanwhile
        _C._cuda_graph_begin(self._handle, _index("CUDAGraph"), share)
        if pool is not None and pool.owner is None:
            pool.owner = self
        self._pool = pool if share else None  # never its own owner
        self._captured = True
        self._collected = gc.isenabled()
        gc.disable()
        _captures.graph = self

    def _left(self) -> None:
        _captures.graph = None
        if self._collected:
            gc.enable()

    def capture_end(self) -> None:
        """Ends the recording; the graph can be replayed."""
        if getattr(_captures, "graph", None) is not self:
            raise CcdlRuntimeError("CUDAGraph.capture_end: this thread does not capture this graph")
        self._left()
        _C._cuda_graph_end(self._handle)

    def _abandon(self) -> None:
        if getattr(_captures, "graph", None) is self:
            self._left()
        _C._cuda_graph_abandon(self._handle)
        self._steps = []

    def replay(self) -> None:
        """Queues all recorded work on the current stream."""
        for step in self._steps:
            step.check()
        for step in self._steps:
            step.advance(self._replays)
        _C._cuda_graph_replay(self._handle)
        self._replays += 1

    def reset(self) -> None:
        """Forgets the recording and gives its memory back."""
        self._steps = []
        _C._cuda_graph_reset(self._handle)

    def pool(self) -> _Pool:
        """The graph's memory, for ``pool=`` of another capture."""
        if not self._captured:
            raise CcdlRuntimeError("CUDAGraph.pool: nothing was captured")
        return _Pool(self) if self._pool is None else self._pool

    @property
    def node_count(self) -> int:
        """Number of recorded kernels, copies and fills."""
        return _C._cuda_graph_nodes(self._handle)


class _Step:
    """One captured optimiser step: its learning rate and count on the device."""

    def __init__(
        self,
        owner: CUDAGraph,
        optimizer: Any,
        group: dict[str, Any],
        params: list[_C.Tensor],
        scalars: tuple[float, ...],
    ) -> None:
        handle = owner._handle
        self.handle, self.optimizer, self.group = handle, optimizer, group
        self.states = [optimizer.state[p] for p in params]  # kept: the graph holds their addresses
        self.options, self.generation = self._options(), optimizer._generation
        self.steps = [s["step"] for s in self.states if "step" in s]
        self.first = self._count()
        self.lr = _C._cuda_graph_add_number(handle, _float(group["lr"]))
        self.count = _C._cuda_graph_add_count(handle, 0)
        self.scalars = [_C._cuda_graph_add_number(handle, value) for value in scalars]
        self.values = scalars

    def _options(self) -> dict[str, Any]:
        return {k: v for k, v in self.group.items() if k not in ("params", "lr", "initial_lr")}

    def _count(self) -> int:
        return int(self.steps[0].item()) if self.steps else 0

    def check(self) -> None:
        if self.optimizer._generation != self.generation or self._options() != self.options:
            raise _Stale(
                "CUDAGraph.replay: the optimizer's state or options other than lr changed since the capture; "
                "capture again"
            )

    def advance(self, replays: int) -> None:
        if replays and self.steps:
            counts = _C._count_steps(self.steps)
            if self.scalars:  # the same for all of these parameters
                self.values = self.optimizer._move_scalars(self.group, self.states, counts)[0]
        counted = self._count() - self.first if self.steps else replays
        _C._cuda_graph_set_number(self.handle, self.lr, _float(self.group["lr"]))
        _C._cuda_graph_set_count(self.handle, self.count, counted)
        for place, value in zip(self.scalars, self.values):
            _C._cuda_graph_set_number(self.handle, place, value)


def _float(value: Any) -> float:
    return float(value.item() if isinstance(value, _C.Tensor) else value)


def _step_scalars(
    optimizer: Any, group: dict[str, Any], params: list[_C.Tensor], scalars: tuple[float, ...] = ()
) -> dict[str, int]:
    """Keywords that make a fused optimiser step read lr, count and further numbers of its state from the
    device, during a capture.
    """
    graph = getattr(_captures, "graph", None)
    if graph is None:
        return {}
    step = _Step(graph, optimizer, group, params, scalars)
    graph._steps.append(step)
    more = {f"device_scalar{i}": place for i, place in enumerate(step.scalars)}
    return {"device_lr": step.lr, "device_step": step.count, **more}


def is_current_stream_capturing() -> bool:
    """Whether this thread records a graph."""
    return _C._cuda_graph_capturing() != 0


def graph_pool_handle() -> _Pool:
    """Memory for several captures to share by ``pool=``."""
    return _Pool()


class _Capture:
    """``with ccdl.cuda.graph(g):`` records the block into ``g``."""

    def __init__(self, graph: CUDAGraph, pool: "_Pool | CUDAGraph | None") -> None:
        self.graph, self.pool = graph, pool

    def __enter__(self) -> None:
        self.graph.capture_begin(self.pool)

    def __exit__(self, kind: Any, *exception: Any) -> None:
        if kind is None:
            self.graph.capture_end()
        else:
            self.graph._abandon()


class _Recording:
    """One signature of a graphed step: runs so far, then the graph with its static inputs and outputs."""

    def __init__(self) -> None:
        self.runs = 0
        self.graph: CUDAGraph | None = None
        self.inputs: list[_C.Tensor] = []
        self.outputs: Any = None


class GraphedStep:
    """A function whose calls are replays of its recorded kernels; made by :func:`graph`."""

    def __init__(
        self,
        function: Callable[..., Any],
        warmup: int = 3,
        pool: "_Pool | CUDAGraph | None" = None,
        copy_outputs: bool = True,
    ) -> None:
        if not callable(function):
            raise TypeError(
                f"ccdl.cuda.graph: expected a function or a CUDAGraph, got {type(function).__name__}"
            )
        if warmup < 1:
            raise ValueError(
                f"ccdl.cuda.graph: warmup must be at least 1, got {warmup}: the first call makes state"
            )
        _index("graph")
        self.function, self.warmup, self.copy_outputs = function, warmup, copy_outputs
        self._pool = pool
        self._recordings: dict[Any, _Recording] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tensors: list[_C.Tensor] = []
        kinds: list[Any] = []
        key = (_flatten((args, kwargs), tensors, kinds), tuple(kinds))
        recording = self._recordings.get(key)
        if recording is None:
            recording = self._recordings[key] = _Recording()
        if recording.runs < self.warmup:
            recording.runs += 1
            return self.function(*args, **kwargs)
        if recording.graph is None:
            self._capture(recording, args, kwargs, tensors)
        try:
            return self._replay(recording, tensors)
        except _Stale:
            self._capture(recording, args, kwargs, tensors)
            return self._replay(recording, tensors)

    def _capture(self, recording: _Recording, args: Any, kwargs: Any, tensors: list[_C.Tensor]) -> None:
        recording.graph = recording.outputs = None
        static = [t.detach().clone().requires_grad_(t.requires_grad) for t in tensors]
        args, kwargs = _rebuild((args, kwargs), iter(static))
        graph = CUDAGraph()
        with _Capture(graph, self._pool):
            outputs = self.function(*args, **kwargs)
        recording.graph, recording.inputs, recording.outputs = graph, static, outputs

    def _replay(self, recording: _Recording, tensors: list[_C.Tensor]) -> Any:
        previous = _C._set_grad_enabled(False)
        try:
            for mine, given in zip(recording.inputs, tensors):
                mine.copy_(given, non_blocking=True)
            assert recording.graph is not None
            recording.graph.replay()
            if not self.copy_outputs:
                return recording.outputs
            return _map(recording.outputs, lambda t: t.detach().clone())
        finally:
            _C._set_grad_enabled(previous)

    def reset(self) -> None:
        """Forgets all recordings; the next calls warm up and record again."""
        self._recordings = {}

    def __repr__(self) -> str:
        recorded = sum(r.graph is not None for r in self._recordings.values())
        name = getattr(self.function, "__name__", self.function)
        return f"<ccdl.cuda.GraphedStep of {name}, {recorded} recorded>"


def _flatten(value: Any, tensors: list[_C.Tensor], kinds: list[Any]) -> Any:
    """Collects tensors and what decides the recording; the rest must be hashable."""
    if isinstance(value, _C.Tensor):
        if not value.is_cuda:
            raise TypeError(
                "ccdl.cuda.graph: a tensor argument is on the CPU, whose value a recorded step would keep; "
                "move it to the device, or pass a Python number (a new number is recorded anew)"
            )
        tensors.append(value)
        kinds.append((tuple(value.shape), value.stride(), value.dtype, value.device, value.requires_grad))
        return "tensor"
    if isinstance(value, (list, tuple)):
        return (type(value).__name__, *(_flatten(v, tensors, kinds) for v in value))
    if isinstance(value, dict):
        return ("dict", *((k, _flatten(v, tensors, kinds)) for k, v in value.items()))
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            "ccdl.cuda.graph: arguments must be tensors, lists, tuples, dicts or hashable, got "
            f"{type(value).__name__}"
        ) from None
    return ("value", type(value).__name__, value)


def _map(value: Any, f: Callable[[_C.Tensor], _C.Tensor]) -> Any:
    if isinstance(value, _C.Tensor):
        return f(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_map(v, f) for v in value))
    if isinstance(value, (list, tuple)):
        return type(value)(_map(v, f) for v in value)
    if isinstance(value, dict):
        return {k: _map(v, f) for k, v in value.items()}
    return value


def _rebuild(value: Any, static: Iterator[_C.Tensor]) -> Any:
    return _map(value, lambda t: next(static))


@overload
def graph(
    target: CUDAGraph, pool: Any = None, stream: Any = None, capture_error_mode: str = "global"
) -> _Capture: ...
@overload
def graph(
    target: Callable[..., Any], pool: Any = None, *, warmup: int = 3, copy_outputs: bool = True
) -> GraphedStep: ...
def graph(
    target: Any,
    pool: Any = None,
    stream: Any = None,
    capture_error_mode: str = "global",
    *,
    warmup: int = 3,
    copy_outputs: bool = True,
) -> Any:
    """Records kernels: of the block in ``with ccdl.cuda.graph(g):`` for a :class:`CUDAGraph` ``g``, or of a
    function.

    ``step = ccdl.cuda.graph(step_fn)`` gives a function of the same arguments. Its first ``warmup`` calls for
    each set of argument shapes run ``step_fn`` as it is; the next one records it, and from then on a call
    copies the tensors into the recorded inputs and replays: forward, backward, clipping and optimiser step
    without any Python or launch cost between. The results are bitwise those of calling ``step_fn``. Inside
    ``step_fn`` nothing may wait for the device (``.item()``, ``.cpu()``, ``nonzero``, printing): that raises
    an error naming the op.

    Args:
        target: a CUDAGraph, or a function.
        pool: memory shared with other graphs, from :func:`graph_pool_handle` or ``CUDAGraph.pool()``.
        stream, capture_error_mode: accepted without effect; captures use a stream of their own.
        warmup: calls before the recording, at least one: state such as momentum buffers must exist.
        copy_outputs: return copies of the results; False returns the graph's own tensors, which the next call
            overwrites.
    """
    if isinstance(target, CUDAGraph):
        return _Capture(target, pool)
    return GraphedStep(target, warmup, pool, copy_outputs)
