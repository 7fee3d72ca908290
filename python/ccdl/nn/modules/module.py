"""Module: the base of all layers and models. A tree of named children, parameters, buffers and hooks."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from sys import modules as _imported
from typing import Any

from ... import _C
from ..parameter import Buffer, Parameter
from ._hooks import (
    GLOBAL,
    HookMethods,
    RemovableHandle,
    register_module_backward_hook,
    register_module_buffer_registration_hook,
    register_module_forward_hook,
    register_module_forward_pre_hook,
    register_module_full_backward_hook,
    register_module_full_backward_pre_hook,
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
    registered,
)
from ._state import StateMethods, changed
from ._state import _IncompatibleKeys as _IncompatibleKeys

__all__ = [
    "Module",
    "RemovableHandle",
    "register_module_backward_hook",
    "register_module_buffer_registration_hook",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
    "register_module_module_registration_hook",
    "register_module_parameter_registration_hook",
]

_Tensor = _C.Tensor

globals().update(GLOBAL.tables)
GLOBAL.tables = globals()


def _indent(text, spaces):
    first, *rest = text.split("\n")
    return "\n".join([first, *(" " * spaces + line for line in rest)])


def _not_implemented_forward(self, *args, **kwargs):
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


def _know_tensors_in_einops():
    from ...utils import einops

    if einops._backend is None:
        einops.register()


def _moves_along(value, persistent):
    """Sparse tensors go with a module to a device; ``state_dict`` has no place for them. Classes
    with ``__torch_function__`` look after themselves."""
    along = getattr(type(value), "_may_be_buffer", False)
    return not persistent if along else hasattr(value, "__torch_function__")


class Module(HookMethods, StateMethods):
    """Base class of all neural-network modules.

    Assigning a Parameter, Module or Buffer as attribute registers it under that name; ``forward`` holds the
    computation and is reached by calling the module, which runs the hooks around it.

    >>> import ccdl
    >>> import ccdl.nn as nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(4, 2)
    ...     def forward(self, x):
    ...         return self.fc(x).relu()
    >>> sorted(Net().state_dict())
    ['fc.bias', 'fc.weight']
    """

    dump_patches = False
    _version = 1
    training: bool
    call_super_init = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            raise TypeError(f"{type(self).__name__}.__init__() got unexpected arguments {args or kwargs}")
        if "einops" in _imported:
            _know_tensors_in_einops()
        own = self.__dict__
        own["training"] = True
        own["_parameters"] = {}
        own["_buffers"] = {}
        own["_non_persistent_buffers_set"] = set()
        own["_modules"] = {}
        own["_hooked"] = False
        own["_forward_pre_hooks"] = OrderedDict()
        own["_forward_pre_hooks_with_kwargs"] = OrderedDict()
        own["_forward_hooks"] = OrderedDict()
        own["_forward_hooks_with_kwargs"] = OrderedDict()
        own["_forward_hooks_always_called"] = OrderedDict()
        own["_backward_pre_hooks"] = OrderedDict()
        own["_backward_hooks"] = OrderedDict()
        own["_is_full_backward_hook"] = None
        own["_state_dict_hooks"] = OrderedDict()
        own["_state_dict_pre_hooks"] = OrderedDict()
        own["_load_state_dict_pre_hooks"] = OrderedDict()
        own["_load_state_dict_post_hooks"] = OrderedDict()
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward = _not_implemented_forward

    # --- calling ---

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self._hooked and not GLOBAL.on_call:
            return self.forward(*args, **kwargs)
        return self._call_with_hooks(args, kwargs)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        return self.__call__(*args, **kwargs)

    # --- attributes ---

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        for table in ("_parameters", "_buffers", "_modules"):
            found = own.get(table)
            if found is not None and name in found:
                return found[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        parameters = own.get("_parameters")
        if isinstance(value, Parameter):
            if parameters is None:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, own, "_buffers", "_modules")
            self._non_persistent_buffers_set.discard(name)
            self.register_parameter(name, value)
            return
        if parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' (nn.Parameter or None "
                    "expected)"
                )
            parameters[name] = None
            return
        modules = own.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, own, "_parameters", "_buffers")
            modules[name] = registered(GLOBAL.module, self, name, value)
            return
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' (nn.Module or None "
                    "expected)"
                )
            modules[name] = None
            return
        buffers = own.get("_buffers")
        if isinstance(value, Buffer):
            if buffers is None:
                raise AttributeError("cannot assign buffer before Module.__init__() call")
            self.register_buffer(name, value, *(() if value.persistent else (False,)))
            return
        if buffers is not None and name in buffers:
            persistent = name not in self._non_persistent_buffers_set
            if value is not None and not isinstance(value, _Tensor) and not _moves_along(value, persistent):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as buffer '{name}' (Tensor or None expected)"
                )
            buffers[name] = value
            return
        object.__setattr__(self, name, value)

    @staticmethod
    def _forget(name, own, *tables):
        own.pop(name, None)
        for table in tables:
            own[table].pop(name, None)

    def __delattr__(self, name: str) -> None:
        if name in self._parameters:
            del self._parameters[name]
        elif name in self._buffers:
            del self._buffers[name]
            self._non_persistent_buffers_set.discard(name)
        elif name in self._modules:
            del self._modules[name]
        else:
            object.__delattr__(self, name)

    def __dir__(self) -> Any:
        names = set(dir(type(self))) | set(self.__dict__)
        names |= set(self._parameters) | set(self._modules) | set(self._buffers)
        return sorted(n for n in names if not n[:1].isdigit())

    def _check_new_name(self, kind, name, table):
        if table not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"attribute '{name}' already exists")

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Adds a tensor that belongs to the module's state but is no parameter; None reserves the name.

        ``persistent=False`` leaves it out of ``state_dict``.
        """
        self._check_new_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, _Tensor) and not _moves_along(tensor, persistent):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._buffers[name] = registered(GLOBAL.buffer, self, name, tensor)
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Any) -> None:
        """Adds a parameter under ``name``; None reserves the name."""
        self._check_new_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (nn.Parameter or "
                "None required)"
            )
        if param is not None and param.grad_fn is not None:
            raise ValueError(
                f"Cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                "explicitly"
            )
        self._parameters[name] = param if param is None else registered(GLOBAL.parameter, self, name, param)

    def add_module(self, name: str, module: Any) -> None:
        """Adds a child module under ``name``; None reserves the name."""
        if not isinstance(module, Module) and module is not None:
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_new_name("module", name, "_modules")
        self._modules[name] = registered(GLOBAL.module, self, name, module)

    def register_module(self, name: str, module: Any) -> None:
        """Another name of :meth:`add_module`."""
        self.add_module(name, module)

    def get_submodule(self, target: Any) -> Any:
        """The module at the dotted path ``target``; the module itself for ``""``."""
        module = self
        for part in target.split(".") if target else ():
            if not hasattr(module, part):
                raise AttributeError(f"{type(module).__name__} has no attribute `{part}`")
            module = getattr(module, part)
            if not isinstance(module, Module):
                raise AttributeError(f"`{part}` is not an nn.Module")
        return module

    def set_submodule(self, target: Any, module: Any, strict: bool = False) -> None:
        """Replaces (or adds, unless ``strict``) the module at the dotted path ``target``."""
        if not target or not isinstance(module, Module):
            raise ValueError(f"set_submodule: target is {target!r}, must not be empty, and module a Module")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if not isinstance(getattr(parent, name, None if strict else module), Module):
            raise AttributeError(f"{type(parent).__name__} has no submodule `{name}`")
        setattr(parent, name, module)

    def get_parameter(self, target: Any) -> Any:
        """The parameter at the dotted path ``target``."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        found = getattr(module, name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: Any) -> Any:
        """The buffer at the dotted path ``target``."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return module._buffers[name]

    # --- walking the tree ---

    def named_modules(
        self, memo: Any = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[Any]:
        """(dotted name, module) of this module and all below, each once unless ``remove_duplicate`` is
        False.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(
                    memo, prefix + ("." if prefix else "") + name, remove_duplicate
                )

    def modules(self, remove_duplicate: bool = True) -> Iterator[Any]:
        """This module and all below, each once unless ``remove_duplicate`` is False."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_children(self) -> Iterator[Any]:
        """(name, module) of the direct children."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Any]:
        """The direct children."""
        for _, module in self.named_children():
            yield module

    def _named_members(self, get_members, prefix="", recurse=True, remove_duplicate=True):
        seen = set()
        modules = (
            self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
            if recurse
            else [(prefix, self)]
        )
        for path, module in modules:
            for name, value in get_members(module):
                if value is None or id(value) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(value))
                yield path + ("." if path else "") + name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[Any]:
        """(dotted name, parameter), shared ones once."""
        yield from self._named_members(lambda m: m._parameters.items(), prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The parameters, shared ones once: what an optimiser takes."""
        kind = type(self)
        if recurse and kind.named_parameters is _NAMED[0] and kind.named_modules is _NAMED[1]:
            yield from self._plain_parameters()
            return
        for _, value in self.named_parameters(recurse=recurse):
            yield value

    def _plain_parameters(self):
        """The parameters in the order of ``named_parameters``, without the work of naming them."""
        modules, seen, stack = set(), set(), [self]
        while stack:
            module = stack.pop()
            if module in modules:
                continue
            if type(module).named_modules is not _NAMED[1]:  # its own idea of what is below
                below = [m for _, m in module.named_modules(modules)]
            else:
                modules.add(module)
                below = [module]
                stack.extend([m for m in reversed(module._modules.values()) if m is not None])
            for each in below:
                for value in each._parameters.values():
                    if value is not None and id(value) not in seen:
                        seen.add(id(value))
                        yield value

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[Any]:
        """(dotted name, buffer), shared ones once."""
        yield from self._named_members(lambda m: m._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Any]:
        """The buffers, shared ones once."""
        for _, value in self.named_buffers(recurse=recurse):
            yield value

    # --- conversion and mode ---

    def _apply(self, fn, recurse=True):
        """Replaces the memory of every parameter, gradient and buffer ``t`` by ``fn(t)``; identities are
        kept.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        previous = _C._set_grad_enabled(False)
        try:
            for name, param in self._parameters.items():
                if param is not None:
                    self._parameters[name] = changed(param, fn)
            for name, buffer in self._buffers.items():
                if buffer is not None:
                    self._buffers[name] = fn(buffer)
        finally:
            _C._set_grad_enabled(previous)
        return self

    def apply(self, fn: Any) -> Any:
        """Calls ``fn(module)`` on every module below and then on this one; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Moves or converts in place: ``to(device)``, ``to(dtype)``, ``to(device, dtype)``, ``to(tensor)``,
        ``to(memory_format=...)``. Only floating tensors change dtype. Returns self."""
        device, dtype, non_blocking, memory_format = _parse_to(args, kwargs)

        def convert(t):
            options = {}
            if device is not None:
                options["device"] = device
            if dtype is not None and (t.is_floating_point() or (t.is_complex() and dtype.is_complex)):
                options["dtype"] = dtype
            if memory_format is not None and t.dim() in (4, 5):
                options["memory_format"] = memory_format
            return t.to(non_blocking=non_blocking, **options) if options else t

        return self._apply(convert)

    def type(self, dst_type: Any) -> Any:
        """Converts all parameters and buffers to ``dst_type``."""
        return self._apply(lambda t: t.to(dst_type))

    def float(self) -> Any:
        """Converts floating parameters and buffers to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self) -> Any:
        """Converts floating parameters and buffers to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self) -> Any:
        """Converts floating parameters and buffers to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self) -> Any:
        """Converts floating parameters and buffers to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)

    def cpu(self) -> Any:
        """Moves parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Any:
        """Moves parameters and buffers to a CUDA device; an error where there is none."""
        target = "cuda" if device is None else (f"cuda:{device}" if isinstance(device, int) else device)
        return self._apply(lambda t: t.to(target))

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Moves without copying: new memory on ``device``, values undefined."""
        return self._apply(lambda t: _C.empty_like(t, device=device), recurse)

    def train(self, mode: bool = True) -> Any:
        """Sets training mode here and below (dropout active, batch norm from the batch); returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Any:
        """Sets evaluation mode here and below; returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Sets ``requires_grad`` of all parameters; returns self."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops (or fills with zeros) the gradients of all parameters."""
        kind = type(self)
        if set_to_none and kind.parameters is _PARAMETERS and kind.named_parameters is _NAMED[0]:
            return self._drop_gradients()
        for param in self.parameters():
            if set_to_none:
                param.grad = None
            elif param.grad is not None:
                param.grad = _C.zeros_like(param.grad)

    def _drop_gradients(self):
        stack, known = [self], {self}
        for module in stack:  # which grows
            if type(module).named_modules is not _NAMED[1]:  # its own idea of what is below
                for param in module.parameters():
                    param.grad = None
                continue
            for param in module._parameters.values():
                if param is not None:
                    param.grad = None
            for below in module._modules.values():
                if below is not None and below not in known:
                    known.add(below)
                    stack.append(below)

    def share_memory(self) -> Any:
        """Without effect, worker threads share memory anyway; an error where a parameter has no shape yet."""
        for tensor in (*self.parameters(), *self.buffers()):
            tensor.share_memory_()
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Accepted without effect: ccdl runs eagerly."""

    def __getstate__(self) -> Any:
        return self.__dict__.copy()

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)

    # --- text ---

    def _get_name(self):
        return type(self).__name__

    def extra_repr(self) -> str:
        """Override to add text to the module's line in ``repr``."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        children = [f"({name}): " + _indent(repr(module), 2) for name, module in self._modules.items()]
        head = self._get_name() + "("
        if not children and len(lines) <= 1:
            return head + (lines[0] if lines else "") + ")"
        return head + "\n  " + "\n  ".join(lines + children) + "\n)"


# Unless a subclass has its own.
_NAMED = (Module.named_parameters, Module.named_modules)
_PARAMETERS = Module.parameters


def _parse_to(args, kwargs):
    """(device, dtype, non_blocking, memory_format) of PyTorch's forms of ``to``."""
    kwargs = dict(kwargs)
    device, dtype = kwargs.pop("device", None), kwargs.pop("dtype", None)
    non_blocking, memory_format = kwargs.pop("non_blocking", False), kwargs.pop("memory_format", None)
    other = kwargs.pop("tensor", None)
    other = kwargs.pop("other", other)
    if kwargs.pop("copy", False):
        raise RuntimeError("Module.to does not accept copy argument: it converts the module in place")
    if kwargs:
        raise TypeError(f"to: got unexpected keyword {next(iter(kwargs))!r}")
    for at, value in enumerate(args):
        if isinstance(value, _C.dtype):
            dtype = value
        elif isinstance(value, bool):
            if at == 0 or (at == 1 and not isinstance(args[0], (_C.dtype, _Tensor))):
                raise TypeError(f"to: argument {at + 1} is a bool, must be a device, a dtype or a Tensor")
            non_blocking = value
        elif isinstance(value, _Tensor):
            other = value
        elif isinstance(value, int):
            device = f"cuda:{value}"
        elif isinstance(value, (str, _C.device)):
            device = value
        elif value is not None:
            raise TypeError(f"to: got {type(value).__name__}, must be a device, a dtype or a Tensor")
    if other is not None:
        device, dtype = other.device, other.dtype
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise TypeError(f"nn.Module.to only accepts floating point or complex dtypes, but got dtype={dtype}")
    return device, dtype, non_blocking, memory_format
