"""Switches of gradient recording: each is a context manager and a decorator, and holds for the calling thread
only.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

from .. import _C

__all__ = ["no_grad", "enable_grad", "set_grad_enabled", "inference_mode"]


class _GradSwitch:
    """Sets the thread's grad mode to ``mode`` while active; reusable and nestable."""

    mode = True

    def __init__(self) -> None:
        self._previous: list[Any] = []

    def _fresh(self):
        return type(self)()

    def __enter__(self) -> None:
        self._previous.append(_C._set_grad_enabled(self.mode))

    def __exit__(self, *exc_info: Any) -> None:
        _C._set_grad_enabled(self._previous.pop())

    def __call__(self, target: Any) -> Any:
        if inspect.isclass(target):
            warnings.warn(
                f"{type(self).__name__}: decorating the class {target.__name__} reaches its __init__ alone, "
                "not its other methods; decorate those you mean",
                FutureWarning,
                stacklevel=2,
            )
            kind: Any = target
            kind.__init__ = self(kind.__init__)
            return target
        if inspect.isgeneratorfunction(target):
            return self._wrap_generator(target)

        @functools.wraps(target)
        def wrapper(*args, **kwargs):
            with self._fresh():
                return target(*args, **kwargs)

        return wrapper

    def _wrap_generator(self, target):
        @functools.wraps(target)
        def wrapper(*args, **kwargs):
            generator = target(*args, **kwargs)
            step, value = generator.send, None
            while True:
                try:
                    with self._fresh():
                        item = step(value)
                except StopIteration as stop:
                    return stop.value
                try:
                    step, value = generator.send, (yield item)
                except GeneratorExit:
                    with self._fresh():
                        generator.close()
                    raise
                except BaseException as error:
                    step, value = generator.throw, error

        return wrapper


class _PlainSwitch(_GradSwitch):
    """A switch without arguments: ``@no_grad`` works like ``@no_grad()``."""

    def __new__(cls, target: Any = None) -> Any:
        self = super().__new__(cls)
        if target is None:
            return self
        self._previous = []
        return self(target)

    def __init__(self, target: Any = None) -> None:
        super().__init__()


class no_grad(_PlainSwitch):
    """Ops inside record no graph: their results do not require grad.

    As context manager or decorator; for the calling thread. Factory functions called with
    ``requires_grad=True`` are not affected.

    >>> import ccdl
    >>> x = ccdl.ones(2, requires_grad=True)
    >>> with ccdl.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    mode = False


class enable_grad(_PlainSwitch):
    """Ops inside record the graph again, as the inverse of :class:`no_grad`.

    >>> import ccdl
    >>> x = ccdl.ones(2, requires_grad=True)
    >>> with ccdl.no_grad(), ccdl.enable_grad():
    ...     y = x * 2
    >>> y.requires_grad
    True
    """

    mode = True


class set_grad_enabled(_GradSwitch):
    """Sets grad mode to ``mode`` at once; as a context manager, restores the former mode at exit.

    >>> import ccdl
    >>> with ccdl.set_grad_enabled(False):
    ...     ccdl.is_grad_enabled()
    False
    """

    def __init__(self, mode: Any) -> None:
        super().__init__()
        self.mode = bool(mode)
        self._outer = _C._set_grad_enabled(self.mode)

    def _fresh(self):
        return set_grad_enabled(self.mode)

    def __call__(self, target: Any) -> Any:
        _C._set_grad_enabled(self._outer)
        return super().__call__(target)

    def __enter__(self) -> None:
        _C._set_grad_enabled(self.mode)
        self._previous.append(self._outer)


class inference_mode(_GradSwitch):
    """Like :class:`no_grad`, and results can never enter a recorded op: they are marked as inference tensors.

    >>> import ccdl
    >>> with ccdl.inference_mode():
    ...     ccdl.is_grad_enabled()
    False
    """

    def __new__(cls, mode: Any = True) -> Any:
        self = super().__new__(cls)
        if callable(mode):
            self.__init__()  # type: ignore[misc]
            return self(mode)
        return self

    def __init__(self, mode: bool = True) -> None:
        super().__init__()
        self._inference = bool(mode)

    def _fresh(self):
        return inference_mode(self._inference)

    def __enter__(self) -> None:
        grad = _C._set_grad_enabled(not self._inference)
        self._previous.append((grad, _C._set_inference_mode(self._inference)))

    def __exit__(self, *exc_info: Any) -> None:
        grad, inference = self._previous.pop()
        _C._set_inference_mode(inference)
        _C._set_grad_enabled(grad)
