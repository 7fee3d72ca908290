"""Wall-clock times of named ranges under the names of PyTorch's profiler.

``record_function`` ranges entered while a :class:`profile` is active are counted and timed; single ops are
not.
"""

from __future__ import annotations

import contextlib
import enum
import json
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

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
        self._start = time.perf_counter_ns()
        return self

    def __exit__(self, *exc: Any) -> None:
        end = time.perf_counter_ns()
        for profiler in _active:
            profiler._add(self.name, self._start, end)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with record_function(self.name, self.args):
                return function(*args, **kwargs)

        return wrapper


class _Average:
    """All ranges of a name: ``key``, ``count``, ``cpu_time_total`` and ``cpu_time`` (mean), in us."""

    def __init__(self, key: str) -> None:
        self.key, self.count, self.cpu_time_total = key, 0, 0.0

    @property
    def cpu_time(self) -> float:
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def self_cpu_time_total(self) -> float:
        return self.cpu_time_total


class _Averages(list[_Average]):
    def table(self, sort_by: str | None = None, row_limit: int = 100, **options: Any) -> str:
        """The ranges as text, the longest first."""
        rows = sorted(self, key=lambda r: -(r.count if sort_by == "count" else r.cpu_time_total))[:row_limit]
        width = max([4, *(len(r.key) for r in rows)])
        lines = [f"{'Name':<{width}}  {'CPU total (us)':>16}  {'CPU time avg (us)':>18}  {'# of Calls':>10}"]
        lines += [
            f"{r.key:<{width}}  {r.cpu_time_total:>16.3f}  {r.cpu_time:>18.3f}  {r.count:>10}" for r in rows
        ]
        return "\n".join(lines) + "\n"


class profile:
    """Collects the ranges entered while it is active; ``step()`` follows the ``schedule``.

    Args:
        schedule: a function of the step number, see :func:`schedule`; all steps are recorded without one.
        on_trace_ready: called with the profiler when a recorded cycle ends.
    """

    def __init__(
        self,
        *,
        activities: Any = None,
        schedule: Callable[[int], ProfilerAction] | None = None,
        on_trace_ready: Callable[[profile], Any] | None = None,
        **options: Any,
    ) -> None:
        self._schedule, self._ready = schedule, on_trace_ready
        self.step_num = 0
        self._events: list[tuple[str, int, int]] = []
        self._action = ProfilerAction.RECORD if schedule is None else schedule(0)

    def _add(self, name: str, start: int, end: int) -> None:
        if self._action in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE):
            self._events.append((name, start, end))

    def start(self) -> None:
        """Begins to collect."""
        _active.append(self)

    def stop(self) -> None:
        """Ends; ``on_trace_ready`` is called if something was recorded."""
        with contextlib.suppress(ValueError):
            _active.remove(self)
        if self._ready is not None and self._events:
            self._ready(self)

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: Any) -> None:
        self.stop()

    def step(self) -> None:
        """Marks the end of a training step."""
        if self._action is ProfilerAction.RECORD_AND_SAVE and self._ready is not None:
            self._ready(self)
            self._events = []
        self.step_num += 1
        if self._schedule is not None:
            self._action = self._schedule(self.step_num)

    def key_averages(
        self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **options: Any
    ) -> _Averages:
        """One row per name; ``.table()`` shows them."""
        rows: dict[str, _Average] = {}
        for name, start, end in self._events:
            row = rows.setdefault(name, _Average(name))
            row.count += 1
            row.cpu_time_total += (end - start) / 1000
        return _Averages(rows.values())

    def export_chrome_trace(self, path: str) -> None:
        """Writes the ranges in the format of Chrome's trace viewer."""
        events = [
            {"name": n, "ph": "X", "ts": a / 1000, "dur": (b - a) / 1000, "pid": 0, "tid": 0}
            for n, a, b in self._events
        ]
        with open(path, "w") as file:
            json.dump({"traceEvents": events}, file)


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
