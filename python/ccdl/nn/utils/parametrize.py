"""Parametrised tensors: a module's weight computed from other tensors each time it is read.

The module gets a class of its own, ``Parametrized<Class>``, on which the tensor's name is a property; the
tensors trained instead live in ``module.parametrizations.<name>.original`` (or ``original0``, ...).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

from ... import _C
from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "transfer_parametrizations_and_params",
    "type_before_parametrizations",
]

_depth = 0
_values: dict[tuple[int, str], Any] = {}


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside the block every parametrised tensor is computed once.

    >>> import ccdl.nn as nn
    >>> import ccdl.nn.utils.parametrize as P
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    >>> with P.cached():
    ...     layer.weight is layer.weight
    True
    """
    global _depth
    _depth += 1
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            _values.clear()


def _no_grad(f: Any, *args: Any) -> Any:
    previous = _C._set_grad_enabled(False)
    try:
        return f(*args)
    finally:
        _C._set_grad_enabled(previous)


def _register(module: Any, name: str, tensor: Any) -> None:
    if isinstance(tensor, Parameter):
        module.register_parameter(name, tensor)
    else:
        module.register_buffer(name, tensor)


def _put(tensor: Any, value: Any) -> None:
    """``tensor`` stays the same object and takes the memory of ``value``."""
    tensor.data = value.detach().clone() if value is tensor else value.detach()


def _check_like(what: str, value: Any, like: Any) -> None:
    if not isinstance(value, _C.Tensor):
        raise ValueError(f"A parametrization must return a tensor. Got {type(value).__name__}.")
    if value.dtype != like.dtype:
        raise ValueError(
            "Registering a parametrization may not change the dtype of the tensor, unless the `unsafe` flag "
            f"is enabled.\n{what}.dtype: {like.dtype}\nparametrized dtype: {value.dtype}"
        )
    if value.shape != like.shape:
        raise ValueError(
            "Registering a parametrization may not change the shape of the tensor, unless the `unsafe` flag "
            f"is enabled.\n{what}.shape: {tuple(like.shape)}\nparametrized shape: {tuple(value.shape)}"
        )


class ParametrizationList(ModuleList):
    """The parametrisations of one tensor, applied in order, and the tensors they start from.

    Args:
        modules: one or more parametrisations; ``right_inverse`` where they have it gives the originals.
        original: the parameter or buffer as it was.
        unsafe: the result may have another shape or dtype.
    """

    def __init__(self, modules: Any, original: Any, unsafe: bool = False) -> None:
        if len(modules) == 0:
            raise ValueError("ParametrizationList requires one or more modules.")
        super().__init__(modules)
        self.unsafe = unsafe
        shape, dtype, device = original.shape, original.dtype, original.device
        reference = original.detach()
        new: Any = original
        for module in reversed(list(self)):
            if hasattr(module, "right_inverse"):
                with contextlib.suppress(NotImplementedError):
                    new = _no_grad(module.right_inverse, new)
        if not isinstance(new, (_C.Tensor, Sequence)):
            raise ValueError(
                "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). Got "
                f"{type(new).__name__}"
            )
        self.is_tensor = isinstance(new, _C.Tensor)
        self.ntensors = 1 if self.is_tensor else len(new)
        if self.is_tensor:
            single: Any = new
            for what, mine, theirs in (("dtype", dtype, single.dtype), ("device", device, single.device)):
                if mine != theirs:
                    raise ValueError(
                        f"When `right_inverse` outputs one tensor, it may not change the {what}.\n"
                        f"original.{what}: {mine}\nright_inverse(original).{what}: {theirs}"
                    )
            if new is not original:
                _put(original, new)
            _register(self, "original", original)
        else:
            for i, part in enumerate(new):
                if not isinstance(part, _C.Tensor):
                    raise ValueError(
                        "'right_inverse' must return a Tensor or a Sequence of tensors (list, tuple...). "
                        f"Got element {i} of the sequence with type {type(part).__name__}."
                    )
                part = part.detach().clone() if part is original else part.detach()
                if isinstance(original, Parameter):
                    part = Parameter(part, original.requires_grad)
                _register(self, f"original{i}", part)
        if not unsafe:
            value = self()
            _check_like("unparametrized", value, reference)
            assert value.shape == shape

    def right_inverse(self, value: Any) -> None:
        """Sets the originals so that the parametrised tensor becomes ``value``."""
        for module in reversed(list(self)):
            if not hasattr(module, "right_inverse"):
                raise RuntimeError(
                    f"parametrization {type(module).__name__} does not implement right_inverse."
                )
            value = _no_grad(module.right_inverse, value)
        if self.is_tensor:
            if not isinstance(value, _C.Tensor):
                raise ValueError(f"`right_inverse` should return a tensor. Got {type(value).__name__}")
            value = [value]
        elif not isinstance(value, Sequence):
            raise ValueError(
                f"'right_inverse' must return a sequence of tensors. Got {type(value).__name__}."
            )
        elif len(value) != self.ntensors:
            raise ValueError(
                "'right_inverse' must return a sequence of tensors of length "
                f"{self.ntensors}. Got a sequence of length {len(value)}."
            )
        for i, (own, new) in enumerate(zip(self._originals(), value)):
            if not isinstance(new, _C.Tensor):
                raise ValueError(
                    f"'right_inverse' must return a sequence of tensors. Got element {i} of type "
                    f"{type(new).__name__}."
                )
            if own.dtype != new.dtype:
                raise ValueError(
                    f"Tensor {i} returned by `right_inverse` has dtype {new.dtype} while the original has "
                    f"dtype {own.dtype}"
                )
            _put(own, new.clone())

    def _originals(self) -> list[Any]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def forward(self) -> Any:
        """The parametrised tensor."""
        modules = list(self)
        value = modules[0](*self._originals())
        for module in modules[1:]:
            value = module(value)
        return value


def _parametrized_class(base: Any) -> Any:
    """A subclass that carries the properties of one module."""

    def __deepcopy__(self: Any, memo: Any) -> Any:  # a copy must not share the properties
        if id(self) in memo:
            return memo[id(self)]
        new = base.__new__(base)
        memo[id(self)] = new
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        new.__class__ = _parametrized_class(base)
        for name in new.parametrizations:
            _add_property(new, name)
        return new

    def __getstate__(self: Any) -> Any:
        raise RuntimeError(
            "Serialization of parametrized modules is only supported through state_dict(): save that, and "
            "register the parametrizations again before loading it"
        )

    members = {"__deepcopy__": __deepcopy__, "__getstate__": __getstate__, "__doc__": base.__doc__}
    return type("Parametrized" + base.__name__, (base,), members)


def _add_property(module: Any, name: str) -> None:
    def read(self: Any) -> Any:
        if not _depth:
            return self.parametrizations[name]()
        key = (id(self), name)
        if key not in _values:
            _values[key] = self.parametrizations[name]()
        return _values[key]

    def write(self: Any, value: Any) -> None:
        self.parametrizations[name].right_inverse(value)

    setattr(type(module), name, property(read, write))


def register_parametrization(
    module: Any, tensor_name: str, parametrization: Any, *, unsafe: bool = False
) -> Any:
    """Computes ``module.<tensor_name>`` by ``parametrization`` from now on.

    Args:
        module: a module with that parameter or buffer; several parametrisations of one tensor are applied one
            after the other.
        tensor_name: its name.
        parametrization: a module; ``right_inverse(value)`` allows assigning to the tensor, and may return
            several tensors for the first parametrisation, whose ``forward`` then takes them.
        unsafe: allow another shape or dtype.

    Returns:
        The module.

    Raises:
        ValueError: no such tensor, or a result of another shape or dtype.

    >>> import ccdl, ccdl.nn as nn
    >>> class Symmetric(nn.Module):
    ...     def forward(self, x):
    ...         return x.triu() + x.triu(1).T
    >>> layer = nn.Linear(3, 3)
    >>> _ = nn.utils.parametrize.register_parametrization(layer, "weight", Symmetric())
    >>> bool((layer.weight == layer.weight.T).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        parts = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            _check_like(f"module.{tensor_name}", after, before)
            if hasattr(parametrization, "right_inverse"):
                with contextlib.suppress(NotImplementedError):
                    _check_like(f"module.{tensor_name}", parametrization.right_inverse(after), before)
        parts.append(parametrization)
        parts.unsafe = parts.unsafe or unsafe
    elif tensor_name in module._buffers or tensor_name in module._parameters:
        original = getattr(module, tensor_name)
        parts = ParametrizationList([parametrization], original, unsafe=unsafe)
        delattr(module, tensor_name)
        if not is_parametrized(module):
            module.__class__ = _parametrized_class(type(module))
            module.parametrizations = ModuleDict()
        _add_property(module, tensor_name)
        module.parametrizations[tensor_name] = parts
    else:
        raise ValueError(
            f"Module '{module}' does not have a parameter, a buffer, or a parametrized element with name "
            f"'{tensor_name}'"
        )
    return module


def is_parametrized(module: Any, tensor_name: str | None = None) -> bool:
    """Whether the module has a parametrised tensor, or this one."""
    found = module.__dict__.get("_modules", {}).get("parametrizations")
    if not isinstance(found, ModuleDict):
        return False
    return len(found) > 0 if tensor_name is None else tensor_name in found


def remove_parametrizations(module: Any, tensor_name: str, leave_parametrized: bool = True) -> Any:
    """Makes the tensor a plain one again, with its present value (or the original's).

    Raises:
        ValueError: it has no parametrisation, or the original is several tensors and is asked for.

    >>> import ccdl, ccdl.nn as nn
    >>> layer = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    >>> type(nn.utils.parametrize.remove_parametrizations(layer, "weight")).__name__
    'Linear'
    """
    if not is_parametrized(module, tensor_name):
        raise ValueError(f"Module {module} does not have a parametrization on {tensor_name}")
    parts = module.parametrizations[tensor_name]
    if not parts.is_tensor and not leave_parametrized:
        raise ValueError(
            "Cannot leave unparametrized (`leave_parametrized=False`) a tensor that is parametrized in terms "
            "of a sequence of tensors."
        )
    if parts.is_tensor:
        tensor = parts.original
        if leave_parametrized:
            _put(tensor, _no_grad(parts))
    else:
        value = parts()
        tensor = Parameter(value) if value.requires_grad else value
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    _register(module, tensor_name, tensor)
    if len(module.parametrizations) == 0:
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
    return module


def type_before_parametrizations(module: Any) -> type:
    """The module's class without the parametrised subclass."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


def transfer_parametrizations_and_params(
    from_module: Any, to_module: Any, tensor_name: str | None = None
) -> Any:
    """Gives ``to_module`` the parametrisations (and originals) of ``from_module``, of one tensor or all."""
    if is_parametrized(from_module):
        for name in list(from_module.parametrizations) if tensor_name is None else [tensor_name]:
            source = from_module.parametrizations[name]
            if not hasattr(to_module, name):
                setattr(to_module, name, Parameter(getattr(from_module, name).detach().clone()))
            for part in source:
                register_parametrization(to_module, name, part, unsafe=source.unsafe)
            target = to_module.parametrizations[name]
            for key in ["original"] if source.is_tensor else [f"original{i}" for i in range(source.ntensors)]:
                setattr(target, key, getattr(source, key))
    return to_module


def _has(module: Module, name: str) -> Any:
    tensor = getattr(module, name, None)
    if not isinstance(tensor, _C.Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return tensor
