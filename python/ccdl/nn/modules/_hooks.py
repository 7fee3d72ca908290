"""Hooks of modules: tables and handles, those common to all modules, and the part of Module that registers
and runs them.
"""

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict
from itertools import count
from typing import Any

from ... import _C
from ._backward_hooks import BackwardHooks, hook_last_node

__all__ = [
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

_hook_ids = count()


def _table(name: str) -> Any:
    return property(lambda self: self.tables[name])


class _Global:
    """Hooks common to all modules, by kind. The tables are module-level names of nn.modules.module, as in
    PyTorch, where programs exchange them to drop all hooks."""

    def __init__(self) -> None:
        self.tables: dict[str, Any] = {
            "_global_forward_pre_hooks": OrderedDict(),
            "_global_forward_hooks": OrderedDict(),
            "_global_forward_hooks_with_kwargs": OrderedDict(),
            "_global_forward_hooks_always_called": OrderedDict(),
            "_global_backward_pre_hooks": OrderedDict(),
            "_global_backward_hooks": OrderedDict(),
            "_global_is_full_backward_hook": None,
        }
        self.parameter: OrderedDict[int, Any] = OrderedDict()
        self.buffer: OrderedDict[int, Any] = OrderedDict()
        self.module: OrderedDict[int, Any] = OrderedDict()
        self.on_call: set[int] = set()  # ids of those that a call has to look at

    forward_pre = _table("_global_forward_pre_hooks")
    forward = _table("_global_forward_hooks")
    forward_with_kwargs = _table("_global_forward_hooks_with_kwargs")
    forward_always = _table("_global_forward_hooks_always_called")
    backward_pre = _table("_global_backward_pre_hooks")
    backward = _table("_global_backward_hooks")
    backward_is_full = _table("_global_is_full_backward_hook")


GLOBAL = _Global()


class RemovableHandle:
    """Handle of a registered hook: ``remove()`` takes it out again; as context manager, at exit."""

    __slots__ = ("id", "_tables", "__weakref__")

    def __init__(self, *tables: Any) -> None:
        self.id = next(_hook_ids)
        self._tables = tables

    @property
    def hooks_dict_ref(self) -> Any:
        """A function that returns the table of the hook, as PyTorch's weak reference to it does."""
        return lambda: self._tables[0]

    def remove(self) -> None:
        for table in self._tables:
            if isinstance(table, set):
                table.discard(self.id)
            else:
                table.pop(self.id, None)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *exc_info: Any) -> None:
        self.remove()


def _add_hook(table, hook, prepend=False, *more):
    handle = RemovableHandle(table, *more)
    table[handle.id] = hook
    if prepend:
        table.move_to_end(handle.id, last=False)
    return handle


def _add_global(table, hook, *more):
    if not callable(hook):
        raise TypeError(f"register_module hook: hook is {type(hook).__name__}, must be callable")
    handle = _add_hook(table, hook, False, GLOBAL.on_call, *more)
    if all(table is not other for other in (GLOBAL.parameter, GLOBAL.buffer, GLOBAL.module)):
        GLOBAL.on_call.add(handle.id)
    return handle


def registered(hooks: OrderedDict[int, Any], module: Any, name: str, value: Any) -> Any:
    """What the registration hooks make of ``value``."""
    for hook in tuple(hooks.values()):
        result = hook(module, name, value)
        value = value if result is None else result
    return value


def register_module_forward_pre_hook(hook: Any) -> Any:
    """Registers ``hook(module, args)`` to run before every module's forward."""
    return _add_global(GLOBAL.forward_pre, hook)


def register_module_forward_hook(hook: Any, *, with_kwargs: bool = False, always_call: bool = False) -> Any:
    """Registers ``hook(module, args, output)`` to run after every module's forward. ``with_kwargs``:
    ``hook(module, args, kwargs, output)``; ``always_call``: also after an exception.

    >>> import ccdl
    >>> import ccdl.nn as nn
    >>> from ccdl.nn.modules.module import register_module_forward_hook
    >>> with register_module_forward_hook(lambda module, args, output: print(type(module).__name__)):
    ...     y = nn.Sequential(nn.ReLU(), nn.Tanh())(ccdl.ones(1))
    ReLU
    Tanh
    Sequential
    """
    handle = _add_global(GLOBAL.forward, hook, GLOBAL.forward_with_kwargs, GLOBAL.forward_always)
    if with_kwargs:
        GLOBAL.forward_with_kwargs[handle.id] = True
    if always_call:
        GLOBAL.forward_always[handle.id] = True
    return handle


def register_module_full_backward_pre_hook(hook: Any) -> Any:
    """Registers ``hook(module, grad_output)`` to run before every module's backward; it may return replaced
    gradients. Runs before the module's own hooks.
    """
    return _add_global(GLOBAL.backward_pre, hook)


def register_module_full_backward_hook(hook: Any) -> Any:
    """Registers ``hook(module, grad_input, grad_output)`` to run when the gradients of any module's inputs
    are known; it may return replaced ``grad_input``. Runs before the module's own hooks.

    >>> import ccdl
    >>> import ccdl.nn as nn
    >>> from ccdl.nn.modules.module import register_module_full_backward_hook
    >>> def report(module, grad_input, grad_output):
    ...     print(type(module).__name__, grad_output[0].shape)
    >>> with register_module_full_backward_hook(report):
    ...     nn.Sequential(nn.Linear(3, 2), nn.ReLU())(ccdl.ones(1, 3, requires_grad=True)).sum().backward()
    ReLU ccdl.Size([1, 2])
    Linear ccdl.Size([1, 2])
    Sequential ccdl.Size([1, 2])
    """
    return _add_global_backward(hook, full=True)


def register_module_backward_hook(hook: Any) -> Any:
    """PyTorch's older kind, for every module: see :meth:`Module.register_backward_hook`."""
    return _add_global_backward(hook, full=False)


def _add_global_backward(hook: Any, full: bool) -> Any:
    if GLOBAL.backward and GLOBAL.backward_is_full is not full:
        raise RuntimeError(
            "Cannot use both regular backward hooks and full backward hooks as a global Module hook. Please "
            "use only one of them."
        )
    handle = _add_global(GLOBAL.backward, hook)
    GLOBAL.tables["_global_is_full_backward_hook"] = full
    return handle


def register_module_parameter_registration_hook(hook: Any) -> Any:
    """Registers ``hook(module, name, parameter)`` to run whenever a module gets a parameter; it may return
    another one to take instead.
    """
    return _add_global(GLOBAL.parameter, hook)


def register_module_buffer_registration_hook(hook: Any) -> Any:
    """Registers ``hook(module, name, buffer)`` to run whenever a module gets a buffer; it may return another
    one to take instead.
    """
    return _add_global(GLOBAL.buffer, hook)


def register_module_module_registration_hook(hook: Any) -> Any:
    """Registers ``hook(module, name, child)`` to run whenever a module gets a child; it may return another
    one to take instead.
    """
    return _add_global(GLOBAL.module, hook)


class _BoundHook:
    """``hook(module, ...)`` of a module that holds this: no strong reference back to it."""

    def __init__(self, hook: Any, module: Any) -> None:
        self.__setstate__((hook, module))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.hook(self.module(), *args, **kwargs)

    def __getstate__(self) -> Any:
        return self.hook, self.module()

    def __setstate__(self, state: Any) -> None:
        self.hook, module = state
        self.module = weakref.ref(module)
        functools.update_wrapper(self, self.hook, updated=())


def _in_place_only(hook):
    @functools.wraps(hook)
    def checked(*args):
        if hook(*args) is not None:
            raise RuntimeError("state_dict post-hook must return None: it edits the dict in place")

    if hasattr(hook, "__dict__"):
        hook._from_public_api = True
    return checked


class HookMethods:
    """Methods of Module that register hooks and run them around forward."""

    _hooked: bool
    _forward_pre_hooks: OrderedDict[int, Any]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, Any]
    _forward_hooks: OrderedDict[int, Any]
    _forward_hooks_with_kwargs: OrderedDict[int, Any]
    _forward_hooks_always_called: OrderedDict[int, Any]
    _backward_pre_hooks: OrderedDict[int, Any]
    _backward_hooks: OrderedDict[int, Any]
    _is_full_backward_hook: bool | None
    _state_dict_hooks: dict[int, Any]
    _state_dict_pre_hooks: dict[int, Any]
    _load_state_dict_pre_hooks: dict[int, Any]
    _load_state_dict_post_hooks: dict[int, Any]
    forward: Any

    def _call_with_hooks(self, args, kwargs):
        called = set()
        output = None
        try:
            for key, hook in (*GLOBAL.forward_pre.items(), *self._forward_pre_hooks.items()):
                if key in self._forward_pre_hooks_with_kwargs:
                    result = hook(self, args, kwargs)
                    if result is not None:
                        if not (isinstance(result, tuple) and len(result) == 2):
                            raise RuntimeError(
                                "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but "
                                f"got {result}."
                            )
                        args, kwargs = result
                else:
                    result = hook(self, args)
                    if result is not None:
                        args = result if isinstance(result, tuple) else (result,)
            around = None
            before = (*GLOBAL.backward_pre.values(), *self._backward_pre_hooks.values())
            older: tuple[Any, ...] = ()
            after: tuple[Any, ...] = ()
            for full, table in (
                (GLOBAL.backward_is_full, GLOBAL.backward),
                (self._is_full_backward_hook, self._backward_hooks),
            ):
                if full:
                    after += tuple(table.values())
                else:
                    older += tuple(table.values())
            if (before or after) and _C.is_grad_enabled():
                around = BackwardHooks(self, before, after, args)
                args = around.inputs
            output = self.forward(*args, **kwargs)
            for key, hook in self._all_forward_hooks():
                called.add(key)
                result = self._run_forward_hook(key, hook, args, kwargs, output)
                output = output if result is None else result
            if older and _C.is_grad_enabled():
                hook_last_node(self, older, args, output)
            return output if around is None else around.outputs(output)
        except Exception:
            for key, hook in self._all_forward_hooks():
                if key in called or key not in (*self._forward_hooks_always_called, *GLOBAL.forward_always):
                    continue
                try:
                    self._run_forward_hook(key, hook, args, kwargs, output)
                except Exception as error:
                    warnings.warn(
                        "module forward hook with ``always_call=True`` raised an exception that was silenced "
                        f"as another error was raised in forward: {error}",
                        stacklevel=2,
                    )
            raise

    def _all_forward_hooks(self):
        return (*GLOBAL.forward.items(), *self._forward_hooks.items())

    def _run_forward_hook(self, key, hook, args, kwargs, output):
        if key in self._forward_hooks_with_kwargs or key in GLOBAL.forward_with_kwargs:
            return hook(self, args, kwargs, output)
        return hook(self, args, output)

    def register_forward_pre_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False
    ) -> Any:
        """``hook(module, args)`` before forward; may return replaced args. With ``with_kwargs``:
        ``hook(module, args, kwargs)`` returning a pair."""
        self._hooked = True
        handle = _add_hook(self._forward_pre_hooks, hook, prepend, self._forward_pre_hooks_with_kwargs)
        if with_kwargs:
            self._forward_pre_hooks_with_kwargs[handle.id] = True
        return handle

    def register_forward_hook(
        self, hook: Any, *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> Any:
        """``hook(module, args, output)`` after forward; may return a replaced output. ``always_call``: also
        after an exception."""
        self._hooked = True
        handle = _add_hook(
            self._forward_hooks,
            hook,
            prepend,
            self._forward_hooks_with_kwargs,
            self._forward_hooks_always_called,
        )
        if with_kwargs:
            self._forward_hooks_with_kwargs[handle.id] = True
        if always_call:
            self._forward_hooks_always_called[handle.id] = True
        return handle

    def register_full_backward_pre_hook(self, hook: Any, prepend: bool = False) -> Any:
        """``hook(module, grad_output)`` before the module's backward; may return replaced gradients."""
        self._hooked = True
        return _add_hook(self._backward_pre_hooks, hook, prepend)

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> Any:
        """``hook(module, grad_input, grad_output)`` once the gradients of the inputs are known; may return
        replaced ``grad_input``. Tuples have one entry per positional tensor argument or output."""
        self._set_kind_of_backward_hooks(full=True)
        return _add_hook(self._backward_hooks, hook, prepend)

    def register_backward_hook(self, hook: Any) -> Any:
        """PyTorch's older kind: ``hook(module, grad_input, grad_output)`` after the backward of the one op
        that made the output; ``grad_input`` are the gradients of that op's inputs, such as weight and bias.
        The output stays as it is. A module has hooks of one kind."""
        self._set_kind_of_backward_hooks(full=False)
        return _add_hook(self._backward_hooks, hook)

    def _set_kind_of_backward_hooks(self, full):
        if self._is_full_backward_hook is (not full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. Please "
                "use only one of them."
            )
        self._is_full_backward_hook = full
        self._hooked = True

    def register_state_dict_pre_hook(self, hook: Any) -> Any:
        """``hook(module, prefix, keep_vars)`` before ``state_dict`` collects."""
        return _add_hook(self._state_dict_pre_hooks, hook)

    def register_state_dict_post_hook(self, hook: Any) -> Any:
        """``hook(module, state_dict, prefix, local_metadata)`` after ``state_dict`` collected; edits it in
        place.
        """
        return _add_hook(self._state_dict_hooks, _in_place_only(hook))

    def _register_state_dict_hook(self, hook):
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously "
                "registered via register_state_dict_post_hook"
            )
        return _add_hook(self._state_dict_hooks, hook)

    def register_load_state_dict_pre_hook(self, hook: Any) -> Any:
        """``hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs)`` before this module takes its values."""
        return _add_hook(self._load_state_dict_pre_hooks, _BoundHook(hook, self))

    def _register_load_state_dict_pre_hook(self, hook, with_module=False):
        return _add_hook(
            self._load_state_dict_pre_hooks, _BoundHook(hook, self) if with_module else hook
        )

    def register_load_state_dict_post_hook(self, hook: Any) -> Any:
        """``hook(module, incompatible_keys)`` after loading; may edit the two lists."""
        return _add_hook(self._load_state_dict_post_hooks, hook)
