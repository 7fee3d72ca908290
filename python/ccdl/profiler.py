"""Wall-clock times of ops and named ranges under the names of PyTorch's profiler.

Ops called from Python, nodes of a backward pass and ``record_function`` ranges are counted and timed on the
host while a :class:`profile` is active. A CUDA op's time is that of its launch.
"""

from __future__ import annotations

import contextlib
import enum
import json
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from . import _C
from ._profiler_events import EventList

__all__ = [
    "ProfilerAction",
    "ProfilerActivity",
    "profile",
    "record_function",
    "schedule",
    "tensorboard_trace_handler",
]

_active: list[profile] = []


class ProfilerActivity(enum.Enum):
    """What is watched; ranges are timed on the host whichever is asked for."""

    CPU = "cpu"
    CUDA = "cuda"
    XPU = "xpu"


class ProfilerAction(enum.Enum):
    """What a :func:`schedule` says about a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


class record_function:
    """A named range, as a context or a decorator.

    >>> from ccdl.profiler import profile, record_function
    >>> with profile() as p:
    ...     with record_function("forward"):
    ...         pass
    >>> [(row.key, row.count) for row in p.key_averages()]
    [('forward', 1)]
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        self._start = time.monotonic_ns()
        return self

    def __exit__(self, *exc: Any) -> None:
        end = time.monotonic_ns()
        if _active:
            thread = _C._timing_thread()
            for profiler in _active:
                profiler._add(self.name, self._start, end, thread)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return wrapper


class profile:
    """Collects ops, backward nodes and named ranges while it is active; ``step()`` follows the ``schedule``.

    An op ``y = ccdl.exp(x)`` appears as ``aten::exp``, a node of the graph under its name (``ExpBackward``).

    Args:
        activities, record_shapes, profile_memory, with_stack, with_flops, with_modules: accepted; host times
            are taken whatever they say.
        schedule: a function of the step number, see :func:`schedule`; all steps are recorded without one.
        on_trace_ready: called with the profiler when a recorded cycle ends.

    >>> import ccdl
    >>> with ccdl.profiler.profile() as p:
    ...     y = ccdl.exp(ccdl.ones(2))
    >>> [event.name for event in p.events()]
    ['aten::ones', 'aten::exp']
    """

    def __init__(
        self,
        *,
        activities: Any = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        record_shapes: bool = False,
        profile_memory: bool = False,
        with_stack: bool = False,
        with_flops: bool = False,
        with_modules: bool = False,
        **options: Any,
    ) -> None:
        self._schedule, self._ready = schedule, on_trace_ready
        self.step_num = 0
        self.profile_memory = profile_memory
        self._metadata: dict[str, Any] = {}
        self._times: list[tuple[str, int, int, int]] = []
        self._action = ProfilerAction.RECORD if schedule is None else schedule(0)

    def _add(self, name: str, start: int, end: int, thread: int) -> None:
        if self._action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            self._times.append((name, start, end, thread))

    def start(self) -> None:
        """Begins to collect."""
        _collect()
        _active.append(self)
        _C._set_op_timing(True)

    def stop(self) -> None:
        """Ends; ``on_trace_ready`` is called if something was recorded."""
        _collect()
        with contextlib.suppress(ValueError):
            _active.remove(self)
        _C._set_op_timing(bool(_active))
        if self._ready is not None and self._times:
            self._ready(self)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def step(self) -> None:
        """Marks the end of a training step."""
        _collect()
        if self._action is ProfilerAction.RECORD_AND_SAVE and self._ready is not None:
            self._ready(self)
            self._times = []
        self.step_num += 1
        if self._schedule is not None:
            self._action = self._schedule(self.step_num)

    def events(self) -> EventList:
        """Every op and range in the order they began: see :class:`~ccdl._profiler_events.FunctionEvent`."""
        _collect()
        return EventList.of_times(self._times)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **options: Any
    ) -> EventList:
        """One row per name; ``.table()`` shows them."""
        return self.events().key_averages()

    def add_metadata(self, key: str, value: str) -> None:
        """Text that :meth:`export_chrome_trace` writes with the trace."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """The same for a value written as JSON."""
        self._metadata[key] = json.loads(value)

    def export_chrome_trace(self, path: str) -> None:
        """Writes the ranges in the format of Chrome's trace viewer."""
        self.events().export_chrome_trace(path, self._metadata)


def _collect() -> None:
    """Hands what the engine has timed to the profilers at work."""
    for name, start, end, thread, backward in _C._take_op_times():
        if not backward and (name.startswith("_") or name in _QUESTIONS):
            continue
        label = name if backward else "aten::" + _OPERATORS.get(name, name)
        for profiler in _active:
            profiler._add(label, start, end, thread)


# They look at a tensor and compute nothing.
_QUESTIONS = frozenset(
    "data_ptr dim element_size get_device is_complex is_contiguous is_floating_point is_grad_enabled "
    "is_inference ndimension numel register_hook requires_grad_ retain_grad size storage_offset "
    "stride".split()
)

# Ops called through operators: x += y is add_.
_OPERATORS = {
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "shl": "bitwise_left_shift",
    "shr": "bitwise_right_shift",
    "iadd": "add_",
    "isub": "sub_",
    "imul": "mul_",
    "idiv": "div_",
    "ifloordiv": "floor_divide_",
    "imod": "remainder_",
    "iand": "bitwise_and_",
    "ior": "bitwise_or_",
    "ixor": "bitwise_xor_",
    "ishl": "bitwise_left_shift_",
    "ishr": "bitwise_right_shift_",
}


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, **options: Any
) -> Callable[[int], ProfilerAction]:
    """Cycles of ``wait`` idle steps, ``warmup`` ones and ``active`` recorded ones; ``repeat`` of them (0: no
    end)."""

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        length = wait + warmup + active
        if step < 0 or (repeat > 0 and step // length >= repeat):
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Any:
    """For ``on_trace_ready``: writes each trace into the folder."""

    def handler(profiler: profile) -> None:
        import os

        os.makedirs(dir_name, exist_ok=True)
        name = f"{worker_name or 'worker'}.{time.time_ns()}.pt.trace.json"
        profiler.export_chrome_trace(os.path.join(dir_name, name))

    return handler


@contextlib.contextmanager
def emit_nvtx(enabled: bool = True, record_shapes: bool = False) -> Iterator[None]:
    """Accepted without effect."""
    yield


def kineto_available() -> bool:
    """False: times are taken by the library itself."""
    return False
