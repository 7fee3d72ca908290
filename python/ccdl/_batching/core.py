"""Values inside vmap: one tensor holds the values of all samples along its first dimension, and every call on
it is answered by a rule for all samples at once, or, where there is none, by a loop of that call alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from .. import _C


class NoBatch(BaseException):
    """A value of all samples is used where one is needed: the function has to run sample by sample."""


class Refused(RuntimeError):
    """What vmap cannot do for samples that differ, an error of the caller's."""


class Frame:
    """One running vmap: how many samples, what random numbers do, and whether all samples are copies."""

    __slots__ = ("copies", "randomness", "size")

    def __init__(self, size: int, randomness: str, copies: bool = False) -> None:
        self.size = size
        self.randomness = randomness
        self.copies = copies


class _Running(threading.local):
    def __init__(self) -> None:
        self.frames: list[Frame] = []


running = _Running()
looped: dict[str, int] = {}  # calls answered by a loop, by name

Rule = Callable[..., Any]
RULES: dict[str, Rule] = {}


class Call:
    """The call a rule answers: its name, what was called and the vmap concerned."""

    __slots__ = ("frame", "func", "name")

    def __init__(self, name: str, func: Any, frame: Frame) -> None:
        self.name = name
        self.func = func
        self.frame = frame

    def holds(self, x: Any) -> bool:
        return type(x) is Batched and x._frame is self.frame

    def wrap(self, result: Any) -> Any:
        return wrapped(result, self.frame)

    def shown(self, x: Any) -> Any:
        """A tensor of the sizes and dtype of one sample."""
        return x._shown if self.holds(x) else x

    def all(self, x: Any) -> Any:
        """``x`` with the samples first: its values, or the shared tensor seen once per sample."""
        if self.holds(x):
            return x._value
        return x.unsqueeze(0).expand(self.frame.size, *x.shape)

    def aligned(self, x: Any, rank: int) -> Any:
        """Values of ``x`` to be broadcast against others of ``rank`` dimensions per sample."""
        if not self.holds(x):
            return x
        missing = rank - x.dim()
        return x._value if missing <= 0 else x._value.reshape(self.frame.size, *(1,) * missing, *x.shape)


def _needs_one(x: Any, name: str, func: Any) -> Any:
    """A Python value of ``x``, which only exists where all samples are copies."""
    if not x._frame.copies:
        raise NoBatch(f"{name} of a value that differs between samples")
    return func(x._value.select(0, 0))


class Batched(_C.Tensor):
    """The value of a tensor in every sample of a vmap. Sizes are those of one sample."""

    _value: Any
    _frame: Frame
    _shown: Any

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return dispatch(func.__name__, func, args, kwargs or {})

    def __bool__(self) -> bool:
        return _needs_one(self, "bool", bool)

    def __float__(self) -> float:
        return _needs_one(self, "float", float)

    def __int__(self) -> int:
        return _needs_one(self, "int", int)

    def __index__(self) -> int:
        return _needs_one(self, "index", lambda x: x.__index__())

    def __contains__(self, element: Any) -> bool:
        return _needs_one(self, "in", lambda x: element in x)

    def __repr__(self) -> str:
        return f"BatchedTensor(bdim=0, value={self._value!r})"

    def __hash__(self) -> int:
        return id(self) >> 4

    def __setitem__(self, key: Any, value: Any) -> None:
        dispatch("__setitem__", _C.Tensor.__setitem__, (self, key, value), {})

    def __deepcopy__(self, memo: Any) -> Any:
        return wrapped(self._value.detach().clone(), self._frame)

    @property
    def requires_grad(self) -> bool:
        return self._value.requires_grad

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        self._value.requires_grad = on

    @property
    def grad(self) -> Any:
        found = self._value.grad
        return None if found is None else wrapped(found, self._frame)

    @grad.setter
    def grad(self, value: Any) -> None:
        if value is not None and not (type(value) is Batched and value._frame is self._frame):
            raise NoBatch("grad of a value that differs between samples")
        self._value.grad = None if value is None else value._value

    grad_fn = property(lambda self: self._value.grad_fn)
    is_leaf = property(lambda self: self._value.is_leaf)
    retains_grad = property(lambda self: self._value.retains_grad)
    _version = property(lambda self: self._value._version)
    output_nr = property(lambda self: self._value.output_nr)
    T = property(lambda self: self.permute(*range(self.dim() - 1, -1, -1)))
    mT = property(lambda self: self.transpose(-2, -1))
    mH = property(lambda self: self.transpose(-2, -1))
    H = property(lambda self: self.transpose(-2, -1) if self.dim() else self)
    real = property(lambda self: self)

    @property
    def data(self) -> Any:
        return wrapped(self._value.data, self._frame)

    @data.setter
    def data(self, value: Any) -> None:
        raise NoBatch("data of a value that differs between samples")


def _in_place(name: str) -> Callable[..., Any]:
    operator = getattr(_C.Tensor, name)

    def write(self: Any, other: Any) -> Any:
        if not isinstance(other, (_C.Tensor, bool, int, float)):
            return NotImplemented
        return dispatch(name, operator, (self, other), {})

    return write


IN_PLACE = tuple(
    f"__i{name}__"
    for name in "add sub mul truediv floordiv mod pow and or xor lshift rshift".split()
)
for _name in IN_PLACE:
    setattr(Batched, _name, _in_place(_name))


_make: Any = _C.Tensor._make_subclass


def wrapped(result: Any, frame: Frame) -> Any:
    """Tensors, also in tuples and lists, as values of all samples."""
    if isinstance(result, _C.Tensor):
        if result.dtype.is_complex:
            raise NoBatch("complex numbers")
        base = result._shown if type(result) is Batched else result.detach()
        shown = base.select(0, 0)
        x: Any = _make(Batched, shown)
        x._value, x._frame, x._shown = result, frame, shown
        return x
    if isinstance(result, (tuple, list)):
        return _like(result, [wrapped(r, frame) for r in result])
    return result


def _like(container: Any, items: list[Any]) -> Any:
    kind = type(container)
    if kind is tuple or kind is list:
        return kind(items)
    return kind(*items) if hasattr(kind, "_make") else kind(items)


def _walk(value: Any, found: list[Any]) -> None:
    if isinstance(value, _C.Tensor):
        found.append(value)
    elif isinstance(value, (tuple, list)):
        for item in value:
            _walk(item, found)


def tensors_in(args: Any, kwargs: Any) -> list[Any]:
    found: list[Any] = []
    _walk(args, found)
    if kwargs:
        _walk(list(kwargs.values()), found)
    return found


def _frame_of(found: list[Any]) -> Frame | None:
    """The innermost vmap whose values are among the tensors."""
    mine = {id(x._frame): x._frame for x in found if type(x) is Batched}
    if len(mine) == 1:
        return next(iter(mine.values()))
    for frame in reversed(running.frames):
        if id(frame) in mine:
            return frame
    return next(iter(mine.values()), None)


def dispatch(name: str, func: Any, args: Any, kwargs: Any) -> Any:
    """A call with values inside vmap: by its rule, else by a loop over the samples of this call."""
    if name in DRAWING and running.frames:
        return random_call(func, args, kwargs)
    frame = None
    for x in args:  # the usual: a value of the only vmap
        if type(x) is Batched:
            frame = x._frame
            break
    if frame is None or len(running.frames) > 1:
        frame = _frame_of(tensors_in(args, kwargs))
    if frame is None:
        return func(*args, **kwargs)
    if _C._complex_among(args, kwargs):  # no rule knows of pairs
        raise NoBatch(f"{name} of complex numbers")
    rule = RULES.get(name)
    if rule is not None:
        try:
            if args or "input" not in kwargs:
                result = rule(Call(name, func, frame), *args, **kwargs)
            else:
                rest = dict(kwargs)
                result = rule(Call(name, func, frame), rest.pop("input"), **rest)
            if result is not NotImplemented:
                return result
        except Refused:
            raise
        except Exception:  # the loop raises the error of one sample, or has the answer
            if name in NEVER_LOOPED:
                raise
    return by_loop(name, func, args, kwargs, frame)


def picked(value: Any, frame: Frame, i: int) -> Any:
    """Sample ``i`` of nested arguments."""
    if type(value) is Batched:
        return value._value.select(0, i) if value._frame is frame else value
    if isinstance(value, (tuple, list)) and not isinstance(value, _C.Size):
        return _like(value, [picked(v, frame, i) for v in value])
    return value


def is_in_place(name: str) -> bool:
    return (name.endswith("_") and not name.endswith("__")) or name in IN_PLACE or name == "__setitem__"


def by_loop(name: str, func: Any, args: Any, kwargs: Any, frame: Frame) -> Any:
    """The call once per sample, results stacked."""
    target = args[0] if args and is_in_place(name) else kwargs.get("out")
    if target is not None:
        targets = target if isinstance(target, (tuple, list)) else (target,)
        if not all(type(t) is Batched and t._frame is frame for t in targets):
            raise NoBatch(f"{name} writes a value that differs between samples into a tensor they share")
    results = []
    for i in range(frame.size):
        mine = [picked(a, frame, i) for a in args]
        named = {k: picked(v, frame, i) for k, v in kwargs.items()}
        results.append(func(*mine, **named))
    looped[name] = looped.get(name, 0) + 1
    return target if target is not None else stacked(results, frame)


def stacked(results: list[Any], frame: Frame) -> Any:
    first = results[0]
    if isinstance(first, _C.Tensor):
        if not all(
            isinstance(r, _C.Tensor) and r.shape == first.shape and r.dtype is first.dtype for r in results
        ):
            raise NoBatch("results of the samples differ in their sizes")
        return wrapped(_C.stack(results), frame)
    if isinstance(first, (tuple, list)) and not isinstance(first, _C.Size):
        if not all(isinstance(r, (tuple, list)) and len(r) == len(first) for r in results):
            raise NoBatch("results of the samples differ in their number")
        return _like(first, [stacked(list(column), frame) for column in zip(*results)])
    if not all(type(r) is type(first) and r == first for r in results):
        raise NoBatch("results of the samples differ and are no tensors")
    return first


# ---- random numbers ----

_FILLS = ("bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_".split())
_DROPS = "dropout dropout_ alpha_dropout feature_dropout feature_dropout_ feature_alpha_dropout".split()
_EACH = frozenset([*_FILLS, "dropout", "dropout_", "alpha_dropout", "bernoulli", "rand_like", "randn_like"])
DRAWING = frozenset(
    [*_FILLS, *_DROPS]
    + "rand randn randint randperm normal rand_like randn_like randint_like bernoulli multinomial".split()
    + ["poisson", "binomial", "_standard_gamma"]
)
REFUSED = (
    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
    "'different' randomness flags on vmap or perform the randomness operation out of vmap"
)


def _draws_nothing(name: str, args: Any, kwargs: Any) -> bool:
    if name not in _DROPS:
        return False
    p = args[1] if len(args) > 1 else kwargs.get("p", 0.5)
    train = args[2] if len(args) > 2 else kwargs.get("train", "dropout" in name and "alpha" not in name)
    return not train or p == 0


def _state() -> Any:
    from .._vmap import _Random

    return _Random()


def random_call(func: Any, args: Any, kwargs: Any) -> Any:
    """A call that draws random numbers inside the innermost running vmap."""
    name = func.__name__
    frame = running.frames.pop()
    _C._set_random_handler(random_call if running.frames else None)
    try:
        values = [x for x in tensors_in(args, kwargs) if type(x) is Batched and x._frame is frame]
        quiet = _draws_nothing(name, args, kwargs)
        if not quiet and frame.randomness == "error":
            raise Refused(REFUSED)
        if not values and (quiet or frame.randomness == "same"):
            return func(*args, **kwargs)
        if is_in_place(name) and not (values and values[0] is args[0]):
            raise NoBatch(f"{name} writes into a tensor that the samples share")
        alone = len(values) == 1 and values[0] is (args[0] if args else None)
        if alone and (quiet or (name in _EACH and frame.randomness == "different")):
            result = func(args[0]._value, *args[1:], **kwargs)
            return args[0] if is_in_place(name) else wrapped(result, frame)
        state = _state() if frame.randomness == "same" else None
        results = []
        for i in range(frame.size):
            if state is not None:
                state.restore()
            mine = [picked(a, frame, i) for a in args]
            results.append(func(*mine, **{k: picked(v, frame, i) for k, v in kwargs.items()}))
        return args[0] if is_in_place(name) else stacked(results, frame)
    finally:
        running.frames.append(frame)
        _C._set_random_handler(random_call)


class entered:
    """Runs a function inside one vmap more."""

    def __init__(self, frame: Frame) -> None:
        self.frame = frame

    def __enter__(self) -> Frame:
        running.frames.append(self.frame)
        _C._set_random_handler(random_call)
        return self.frame

    def __exit__(self, *_: Any) -> None:
        running.frames.pop()
        _C._set_random_handler(random_call if running.frames else None)


def expanded(x: Any) -> Any:
    """``x`` as a value of all running vmaps, innermost outside: what derivatives are taken by, so that every
    sample has a derivative of its own.
    """
    return _expanded(x, running.frames[::-1])


def _expanded(x: Any, frames: list[Frame]) -> Any:
    if not frames:
        return x
    frame, rest = frames[0], frames[1:]
    if type(x) is Batched and x._frame is frame:
        inner = _expanded(x._value, rest)
        return x if inner is x._value else wrapped(inner, frame)
    inner = _expanded(x, rest)
    return wrapped(inner.unsqueeze(0).expand(frame.size, *inner.shape), frame)


NEVER_LOOPED = frozenset(["_run_backward", "_reaches_others", "backward", "_has_say"])

_C._set_batched_class(Batched, NoBatch)
