"""Results that come later: :class:`Future`, ``collect_all`` and ``wait_all``."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from . import errors

__all__ = ["Future", "collect_all", "wait_all"]

T = TypeVar("T")


class Future(Generic[T]):
    """A value or an error that one thread sets and others wait for.

    >>> import ccdl
    >>> future = ccdl.futures.Future()
    >>> twice = future.then(lambda done: 2 * done.value())
    >>> future.set_result(21)
    >>> twice.wait()
    42
    """

    def __init__(self, *, devices: Any = None) -> None:
        self._ready = threading.Event()
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[Future[T]], Any]] = []
        self._result: Any = None
        self._error: BaseException | None = None

    def done(self) -> bool:
        """Whether a value or an error is there."""
        return self._ready.is_set()

    def wait(self) -> T:
        """Blocks until it is done; the value, or raises the error."""
        self._ready.wait()
        return self.value()

    def value(self) -> T:
        """The value of a future that is done, or raises its error.

        Raises:
            RuntimeError: it is not done.
        """
        if not self.done():
            raise errors.RuntimeError("Future.value: the future is not done; call wait()")
        if self._error is not None:
            raise self._error
        return self._result

    def _finish(self, result: Any, error: BaseException | None) -> None:
        with self._lock:
            if self.done():
                raise errors.RuntimeError("Future can only be marked completed once")
            self._result, self._error = result, error
            self._ready.set()
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def set_result(self, result: T) -> None:
        """Makes it done with this value and runs the callbacks.

        Raises:
            RuntimeError: it is done already.
        """
        self._finish(result, None)

    def set_exception(self, result: BaseException) -> None:
        """Makes it done with this error, which ``wait`` and ``value`` raise."""
        if not isinstance(result, BaseException):
            raise errors.TypeError(f"{result} is of type {type(result)}, not an Exception.")
        self._finish(None, result)

    def add_done_callback(self, callback: Callable[[Future[T]], Any]) -> None:
        """Calls ``callback(self)`` once it is done, at once if it is."""
        with self._lock:
            if not self.done():
                self._callbacks.append(callback)
                return
        callback(self)

    def then(self, callback: Callable[[Future[T]], Any]) -> Future[Any]:
        """A future of ``callback(self)``; its error, if it raises one."""
        after: Future[Any] = Future()

        def run(done: Future[T]) -> None:
            try:
                result = callback(done)
            except Exception as error:
                after.set_exception(error)
            else:
                after.set_result(result)

        self.add_done_callback(run)
        return after


def collect_all(futures: list[Future[Any]]) -> Future[list[Future[Any]]]:
    """A future of the list itself, done once all of them are.

    >>> import ccdl
    >>> one = ccdl.futures.Future()
    >>> one.set_result(1)
    >>> [f.value() for f in ccdl.futures.collect_all([one]).wait()]
    [1]
    """
    futures = list(futures)
    together: Future[list[Future[Any]]] = Future()
    lock, left = threading.Lock(), [len(futures)]

    def count(_: Future[Any]) -> None:
        with lock:
            left[0] -= 1
            last = left[0] == 0
        if last:
            together.set_result(futures)

    if not futures:
        together.set_result(futures)
    for future in futures:
        future.add_done_callback(count)
    return together


def wait_all(futures: list[Future[Any]]) -> list[Any]:
    """The values of all, once all are done; raises the first error."""
    return [future.value() for future in collect_all(futures).wait()]
