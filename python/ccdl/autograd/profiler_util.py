"""Where PyTorch keeps the events of its profiler; see :mod:`ccdl._profiler_events`."""

from __future__ import annotations

from .._profiler_events import EventList, FunctionEvent, FunctionEventAvg, Interval

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg", "Interval"]
