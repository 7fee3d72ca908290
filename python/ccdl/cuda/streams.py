"""Streams (queues of work of one device) and events (points in them)."""

from typing import Any

from .. import _C
from .devices import _index, _require

__all__ = [
    "Event",
    "ExternalStream",
    "Stream",
    "StreamContext",
    "current_stream",
    "default_stream",
    "set_stream",
    "stream",
]


class Stream:
    """A queue of work of one device. Work of different streams runs in any order unless an event orders it.

    Args:
        device: where; the current device by default.
        priority: below 0 for a queue that is served first.

    A tensor made on one stream and used on another must be announced by ``tensor.record_stream(stream)``
    before it is dropped, or its memory may be handed out again too early.
    """

    def __init__(self, device: Any = None, priority: int = 0) -> None:
        self.device_index = _index("Stream", device)
        self.priority = -1 if priority < 0 else 0
        self.cuda_stream = _C._cuda_stream_make(self.device_index, priority)

    @classmethod
    def _from(cls, device_index: int, handle: int) -> "Stream":
        self = cls.__new__(cls)
        self.device_index, self.cuda_stream, self.priority = device_index, handle, 0
        return self

    @property
    def device(self) -> _C.device:
        return _C.device("cuda", self.device_index)

    @property
    def stream_id(self) -> int:
        return self.cuda_stream

    @staticmethod
    def priority_range() -> tuple[int, int]:
        """(least, greatest) priority."""
        return 0, -1

    def query(self) -> bool:
        """Whether everything queued so far is done."""
        return _C._cuda_stream_query(self.device_index, self.cuda_stream)

    def synchronize(self) -> None:
        """Waits until everything queued so far is done; raises what kernels reported meanwhile."""
        _C._cuda_stream_synchronize(self.device_index, self.cuda_stream)

    def wait_event(self, event: "Event") -> None:
        """What is queued here from now on waits for ``event``."""
        event.wait(self)

    def wait_stream(self, stream: "Stream") -> None:
        """What is queued here from now on waits for everything that is queued on ``stream`` now."""
        self.wait_event(stream.record_event())

    def record_event(self, event: "Event | None" = None) -> "Event":
        """Marks this point of the queue; returns the event."""
        event = Event() if event is None else event
        event.record(self)
        return event

    def is_capturing(self) -> bool:
        """Whether work queued here goes into a graph."""
        return _C._cuda_stream_is_capturing(self.device_index, self.cuda_stream)

    def __enter__(self) -> "Stream | None":
        self._context = StreamContext(self)
        return self._context.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._context.__exit__(*exception)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stream):
            return NotImplemented
        return (self.device_index, self.cuda_stream) == (other.device_index, other.cuda_stream)

    def __hash__(self) -> int:
        return hash((self.device_index, self.cuda_stream))

    def __repr__(self) -> str:
        return f"<ccdl.cuda.Stream device=cuda:{self.device_index} cuda_stream={self.cuda_stream:#x}>"


class ExternalStream(Stream):
    """A stream of another library, by its address (``cudaStream_t``); it must outlive its use here."""

    def __init__(self, stream_ptr: int, device: Any = None) -> None:
        self.device_index, self.cuda_stream, self.priority = (
            _index("ExternalStream", device),
            int(stream_ptr),
            0,
        )


class Event:
    """A point in a stream.

    Args:
        enable_timing: lets :meth:`elapsed_time` measure between two events.
        blocking, interprocess: accepted without effect.
    """

    def __init__(
        self,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
        external: bool = False,
    ) -> None:
        self._handle = 0
        _require("Event")
        self.enable_timing = bool(enable_timing)
        self._handle = _C._cuda_event_make(self.enable_timing)

    def __del__(self) -> None:
        handle, self._handle = getattr(self, "_handle", 0), 0
        if handle:
            _C._cuda_event_free(handle)

    @property
    def cuda_event(self) -> int:
        return _C._cuda_event_handle(self._handle)

    def record(self, stream: Stream | None = None) -> None:
        """Moves the event to the present end of ``stream``, by default of the current one."""
        stream = current_stream() if stream is None else stream
        _C._cuda_event_record(self._handle, stream.device_index, stream.cuda_stream)

    def wait(self, stream: Stream | None = None) -> None:
        """What is queued on ``stream`` from now on waits for the event."""
        stream = current_stream() if stream is None else stream
        _C._cuda_event_wait(self._handle, stream.device_index, stream.cuda_stream)

    def query(self) -> bool:
        """Whether the event has happened; true as well when it was never recorded."""
        return _C._cuda_event_query(self._handle)

    def synchronize(self) -> None:
        """Waits for the event; raises what kernels reported meanwhile."""
        _C._cuda_event_synchronize(self._handle)

    def elapsed_time(self, end_event: "Event") -> float:
        """Milliseconds of device time from this event to ``end_event``; both must have happened."""
        return _C._cuda_event_elapsed(self._handle, end_event._handle)

    def __repr__(self) -> str:
        return f"<ccdl.cuda.Event {self._handle:#x}>"


def current_stream(device: Any = None) -> Stream:
    """The stream that work of this thread goes to."""
    index = _index("current_stream", device)
    return Stream._from(index, _C._cuda_stream_current(index))


def default_stream(device: Any = None) -> Stream:
    """The stream that work goes to unless told otherwise."""
    return Stream._from(_index("default_stream", device), 0)


def set_stream(stream: Stream | None) -> None:
    """Sends this thread's work to ``stream``, and makes its device the current one; None changes nothing."""
    if stream is not None:
        _C._cuda_stream_set(stream.device_index, stream.cuda_stream)
        _C._cuda_set_device(stream.device_index)


class StreamContext:
    """Context in which this thread's work goes to ``stream``; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> "Stream | None":
        s = self.stream
        if s is not None:
            self._before = _C._cuda_current_device(), _C._cuda_stream_current(s.device_index)
            set_stream(s)
        return s

    def __exit__(self, *exception: Any) -> None:
        s = self.stream
        if s is not None:
            device, handle = self._before
            _C._cuda_stream_set(s.device_index, handle)
            _C._cuda_set_device(device)


def stream(stream: Stream | None) -> StreamContext:
    """``with ccdl.cuda.stream(s):`` sends the work of the block to ``s``."""
    return StreamContext(stream)
