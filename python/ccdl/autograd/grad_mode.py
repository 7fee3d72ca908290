"""Switches of gradient recording: each is a context manager and a decorator, and holds for the calling thread
only.
"""

from __future__ import annotations

import functools
import inspect
import threading
import warnings
from typing import Any

from .. import _C

__all__ = [
    "enable_grad",
    "enforce_grad_layout_policy",
    "inference_mode",
    "is_multithreading_enabled",
    "no_grad",
    "set_grad_enabled",
    "set_multithreading_enabled",
]

_dual_levels: list[Any] = []  # those of forward_ad that are open


class _Asked(threading.local):
    mode = True  # what the switches below say while a dual level is open


_asked = _Asked()


def _set_grad_enabled(mode: bool) -> bool:
    """The mode before. Within a dual level recording goes on whatever is asked for: tangents need it."""
    if not _dual_levels:
        return _C._set_grad_enabled(mode)
    previous, _asked.mode = _asked.mode, mode
    return previous


class _GradSwitch:
    """Sets the thread's grad mode to ``mode`` while active; reusable and nestable."""

    mode = True

    def __init__(self) -> None:
        self._previous: list[Any] = []

    def _fresh(self):
        return type(self)()

    def clone(self) -> Any:
        """Another switch to the same mode."""
        return self._fresh()

    def __enter__(self) -> None:
        self._previous.append(_set_grad_enabled(self.mode))

    def __exit__(self, *exc_info: Any) -> None:
        _set_grad_enabled(self._previous.pop())

    def __call__(self, target: Any) -> Any:
        if inspect.isclass(target):
            warnings.warn(
                f"Decorating classes is deprecated: {type(self).__name__} of the class {target.__name__} "
                "reaches its __init__ alone, not its other methods; decorate those you mean",
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
        self = object.__new__(cls)
        self._previous = []
        return self if target is None else self(target)

    def __init__(self, target: Any = None) -> None:
        pass


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
        self._outer = _set_grad_enabled(self.mode)

    def _fresh(self):
        return set_grad_enabled(self.mode)

    def __call__(self, target: Any) -> Any:
        _set_grad_enabled(self._outer)
        return super().__call__(target)

    def __enter__(self) -> None:
        _set_grad_enabled(self.mode)
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


class _StateSwitch:
    """A thread's state that changes nothing here: set at once, restored at the end of a ``with``."""

    _states = threading.local()

    def __init__(self, mode: bool) -> None:
        self.mode = bool(mode)
        self.prev = self._get()
        self._set(self.mode)

    @classmethod
    def _get(cls) -> bool:
        return getattr(cls._states, cls.__name__, True)

    @classmethod
    def _set(cls, mode: bool) -> None:
        setattr(cls._states, cls.__name__, mode)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc_info: Any) -> None:
        self._set(self.prev)

    def __call__(self, target: Any) -> Any:
        self._set(self.prev)

        @functools.wraps(target)
        def wrapper(*args, **kwargs):
            with self.clone():
                return target(*args, **kwargs)

        return wrapper

    def clone(self) -> Any:
        """Another switch to the same mode."""
        return type(self)(self.mode)


class set_multithreading_enabled(_StateSwitch):
    """Accepted without effect: backward always runs on the thread that calls it.

    >>> import ccdl
    >>> with ccdl.autograd.set_multithreading_enabled(False):
    ...     ccdl.autograd.is_multithreading_enabled()
    False
    """

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)


class enforce_grad_layout_policy(_StateSwitch):
    """Accepted without effect: a gradient nobody else holds becomes ``.grad`` as it is.

    >>> import ccdl
    >>> with ccdl.autograd.enforce_grad_layout_policy(False):
    ...     pass
    """

    def __init__(self, enable: bool = True) -> None:
        super().__init__(enable)


def is_multithreading_enabled() -> bool:
    """What :class:`set_multithreading_enabled` was given in this thread; True at first.

    >>> import ccdl
    >>> ccdl.autograd.is_multithreading_enabled()
    True
    """
    return set_multithreading_enabled._get()
