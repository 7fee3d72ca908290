"""The profiler under its older name; see :mod:`ccdl.profiler`."""

from __future__ import annotations

from typing import Any

from .._profiler_events import EventList, FunctionEvent, FunctionEventAvg
from ..profiler import emit_nvtx, record_function
from ..profiler import profile as _Profile

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "emit_nvtx", "profile", "record_function"]


class profile(_Profile):
    """Collects ops and ranges from its ``with`` on: the older form of :class:`ccdl.profiler.profile`.

    Args:
        enabled: without it nothing is recorded.

    >>> import ccdl
    >>> with ccdl.autograd.profiler.profile() as p:
    ...     y = ccdl.ones(2).exp()
    >>> [(event.name, event.count) for event in p.function_events]
    [('aten::ones', 1), ('aten::exp', 1)]
    """

    def __init__(self, enabled: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.enabled = bool(enabled)

    def start(self) -> None:
        """Begins to collect, if enabled."""
        if self.enabled:
            super().start()

    def stop(self) -> None:
        """Ends."""
        if self.enabled:
            super().stop()

    @property
    def function_events(self) -> EventList:
        """Every op and range in the order they began."""
        return self.events()

    @property
    def self_cpu_time_total(self) -> float:
        """All time spent in ops and ranges, in us."""
        return self.events().self_cpu_time_total

    def table(self, *args: Any, **options: Any) -> str:
        """The single events as text: see :meth:`EventList.table`."""
        return self.events().table(*args, **options)

    def total_average(self) -> FunctionEventAvg:
        """The sum over all events."""
        return self.events().total_average()

    def __str__(self) -> str:
        return self.events().table() if self.enabled else "<unfinished profiler>"
