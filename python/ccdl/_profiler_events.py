"""What a profiler recorded: single events, their nesting, sums per name and the table of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from .errors import ValueError as CcdlValueError

__all__ = ["EventList", "FunctionEvent", "FunctionEventAvg"]

_UNITS = {"s": 1e6, "ms": 1e3, "us": 1.0}


def _format_time(microseconds: float, unit: str | None = None) -> str:
    if unit is None:
        unit = "s" if microseconds >= 1e6 else "ms" if microseconds >= 1e3 else "us"
    if unit not in _UNITS:
        raise CcdlValueError(f"table: time_unit is {unit!r}, must be 's', 'ms' or 'us'")
    return f"{microseconds / _UNITS[unit]:.3f}{unit}"


class _Times:
    """What single events and their sums have in common; times are in microseconds."""

    count: int
    cpu_time_total: float
    self_cpu_time_total: float
    # Of the host alone: there is nothing else to tell.
    device_time_total = self_device_time_total = device_time = 0.0
    cuda_time_total = self_cuda_time_total = cuda_time = 0.0
    cpu_memory_usage = self_cpu_memory_usage = device_memory_usage = self_device_memory_usage = 0
    flops = 0
    node_id = -1
    is_async = is_remote = is_legacy = False
    use_device = None

    @property
    def cpu_time(self) -> float:
        return self.cpu_time_total / self.count if self.count else 0.0

    @property
    def cpu_time_str(self) -> str:
        return _format_time(self.cpu_time)

    @property
    def cpu_time_total_str(self) -> str:
        return _format_time(self.cpu_time_total)

    @property
    def self_cpu_time_total_str(self) -> str:
        return _format_time(self.self_cpu_time_total)


class Interval:
    """``start`` and ``end`` in microseconds."""

    def __init__(self, start: float, end: float) -> None:
        self.start, self.end = start, end

    def elapsed_us(self) -> float:
        """The time between the two."""
        return self.end - self.start


class FunctionEvent(_Times):
    """One op or range: ``name``, ``time_range``, ``thread``, ``cpu_parent``, ``cpu_children``."""

    count = 1

    def __init__(self, id: int, name: str, thread: int, start_us: float, end_us: float) -> None:
        self.id, self.name, self.thread = id, name, thread
        self.time_range = Interval(start_us, end_us)
        self.cpu_parent: FunctionEvent | None = None
        self.cpu_children: list[FunctionEvent] = []
        self.input_shapes: Any = ()
        self.stack: Any = []

    @property
    def key(self) -> str:
        return self.name

    @property
    def cpu_time_total(self) -> float:  # type: ignore[override]
        return self.time_range.elapsed_us()

    @property
    def self_cpu_time_total(self) -> float:  # type: ignore[override]
        return self.cpu_time_total - sum(child.cpu_time_total for child in self.cpu_children)

    def __repr__(self) -> str:
        return (
            f"<FunctionEvent id={self.id} name={self.name} cpu_time={self.cpu_time_str} thread={self.thread}>"
        )


class FunctionEventAvg(_Times):
    """All events of a name: ``key``, ``count``, ``cpu_time_total`` and ``cpu_time`` (mean), in us."""

    def __init__(self, key: str | None = None) -> None:
        self.key = key
        self.count, self.cpu_time_total, self.self_cpu_time_total = 0, 0.0, 0.0
        self.input_shapes: Any = None
        self.stack: Any = []
        self.cpu_parent: FunctionEvent | None = None

    def add(self, other: FunctionEvent | FunctionEventAvg) -> FunctionEventAvg:
        """Adds the times of an event or of another sum."""
        if self.key is None:
            self.key = other.key
            self.cpu_parent = other.cpu_parent
        self.count += other.count
        self.cpu_time_total += other.cpu_time_total
        self.self_cpu_time_total += other.self_cpu_time_total
        return self

    __iadd__ = add

    def __repr__(self) -> str:
        return (
            f"<FunctionEventAvg key={self.key} self_cpu_time={self.self_cpu_time_total_str} "
            f"cpu_time={self.cpu_time_str}>"
        )


class EventList(list[Any]):
    """Events, or sums of them, with the table of both."""

    @classmethod
    def of_times(cls, times: Iterable[tuple[str, int, int, int]]) -> EventList:
        """Events of (name, start, end, thread) in ns, each hung under the one that encloses it."""
        ordered = sorted(times, key=lambda t: (t[1], -t[2]))
        first = ordered[0][1] if ordered else 0
        events = cls()
        open_events: dict[int, list[FunctionEvent]] = {}
        for i, (name, start, end, thread) in enumerate(ordered):
            event = FunctionEvent(i, name, thread, (start - first) / 1000, (end - first) / 1000)
            stack = open_events.setdefault(thread, [])
            while stack and stack[-1].time_range.end < event.time_range.end:
                stack.pop()
            if stack:
                event.cpu_parent = stack[-1]
                stack[-1].cpu_children.append(event)
            stack.append(event)
            events.append(event)
        return events

    @property
    def self_cpu_time_total(self) -> float:
        return sum(event.self_cpu_time_total for event in self)

    def key_averages(
        self, group_by_input_shapes: bool = False, group_by_stack_n: int = 0, **options: Any
    ) -> EventList:
        """One :class:`FunctionEventAvg` per name, in the order of first appearance."""
        rows: dict[str, FunctionEventAvg] = {}
        for event in self:
            rows.setdefault(event.key, FunctionEventAvg()).add(event)
        return EventList(rows.values())

    def total_average(self) -> FunctionEventAvg:
        """The sum over all, under the key ``Total``."""
        total = FunctionEventAvg("Total")
        for event in self:
            total.add(event)
        return total

    def table(
        self,
        sort_by: str | None = None,
        row_limit: int = 100,
        max_src_column_width: int = 75,
        max_name_column_width: int | None = 55,
        max_shapes_column_width: int = 80,
        header: str | None = None,
        top_level_events_only: bool = False,
        time_unit: str | None = None,
    ) -> str:
        """The rows as text.

        Args:
            sort_by: the name of a number of the rows, such as ``"cpu_time_total"`` or ``"count"``: the
                largest come first. In the order of the list without it.
            row_limit: as many rows at most; -1: all.
            time_unit: ``"s"``, ``"ms"`` or ``"us"``; what suits each time by default.
        """
        if not self:
            return ""
        rows = list(self)
        if sort_by is not None:
            rows.sort(key=lambda row: getattr(row, sort_by), reverse=True)
        if top_level_events_only:
            rows = [row for row in rows if row.cpu_parent is None]
        total = self.self_cpu_time_total
        shown = rows if row_limit < 0 else rows[:row_limit]
        widest = max(len(row.key) for row in self) + 4
        width = widest if max_name_column_width is None else min(widest, max_name_column_width)
        titles = ["Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls"]
        lines = [[_cut("Name", width), *titles]]
        for row in shown:
            lines.append(
                [
                    _cut(row.key, width),
                    _share(row.self_cpu_time_total, total),
                    _format_time(row.self_cpu_time_total, time_unit),
                    _share(row.cpu_time_total, total),
                    _format_time(row.cpu_time_total, time_unit),
                    _format_time(row.cpu_time, time_unit),
                    str(row.count),
                ]
            )
        widths = [width] + [12] * len(titles)
        rule = "  ".join("-" * w for w in widths) + "  "
        text = ["  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths)) + "  " for line in lines]
        above = [] if header is None else ["=" * len(rule), header]
        text = [*above, rule, text[0], rule, *text[1:], rule]
        return "\n".join([*text, f"Self CPU time total: {_format_time(total, time_unit)}", ""])

    def __str__(self) -> str:
        return self.table()

    def export_chrome_trace(self, path: str, metadata: dict[str, Any] | None = None) -> None:
        """Writes the events in the format of Chrome's trace viewer."""
        events = [
            {
                "name": event.name,
                "ph": "X",
                "ts": event.time_range.start,
                "dur": event.time_range.elapsed_us(),
                "pid": 0,
                "tid": event.thread,
            }
            for event in self
        ]
        with open(path, "w") as file:
            json.dump({**(metadata or {}), "traceEvents": events}, file)


def _cut(name: str, width: int) -> str:
    return name if len(name) < width - 3 else name[: width - 3] + "..."


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.2f}%" if whole else "NaN"
