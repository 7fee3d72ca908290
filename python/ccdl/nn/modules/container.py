"""Containers of modules and parameters."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice
from typing import Any

from ... import _C
from ..parameter import Parameter
from .module import Module, _indent

__all__ = ["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"]


class _Numbered(Module):
    """Shared list operations over children named "0", "1", ..."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def __bool__(self) -> bool:
        return True

    def __dir__(self) -> Any:
        return [name for name in super().__dir__() if not name.isdigit()]

    def _key(self, index):
        """The name of the child at ``index``, negative from the end."""
        size = len(self)
        index = operator.index(index)
        if not -size <= index < size:
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {size} modules")
        return next(islice(self._modules, index % size, None))

    def _replace_all(self, modules):
        self._modules.clear()
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def __setitem__(self, index: Any, module: Any) -> None:
        setattr(self, self._key(index), module)

    def __delitem__(self, index: Any) -> None:
        keys = list(self._modules)
        doomed = set(keys[index] if isinstance(index, slice) else [self._key(index)])
        self._replace_all([self._modules[k] for k in keys if k not in doomed])

    def insert(self, index: Any, module: Any) -> Any:
        """Puts ``module`` before position ``index``."""
        modules = list(self._modules.values())
        if not -len(modules) <= index <= len(modules):
            raise IndexError(
                f"{type(self).__name__}.insert: index {index} is out of range for {len(modules)} modules"
            )
        if not isinstance(module, Module):
            raise AssertionError(
                f"{type(self).__name__}.insert: module should be of type: {Module}, but is "
                f"{type(module).__name__}"
            )
        modules.insert(index, module)
        self._replace_all(modules)
        return self

    def append(self, module: Any) -> Any:
        """Adds ``module`` at the end; returns self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Any) -> Any:
        """Adds all ``modules`` at the end; returns self."""
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index: Any = -1) -> Any:
        """Removes and returns the module at ``index``."""
        module = self[index]  # type: ignore[index]
        del self[index]  # type: ignore[attr-defined]
        return module


class Sequential(_Numbered):
    """Modules called one after the other, each on the output of the one before.

    Takes modules, or one OrderedDict of named modules.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU())(ccdl.ones(1, 2)).shape
    ccdl.Size([1, 3])
    """

    def __init__(self, *args: Any) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            for name, module in args[0].items():
                self.add_module(name, module)
        else:
            for i, module in enumerate(args):
                self.add_module(str(i), module)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return self._modules[self._key(index)]

    def __delitem__(self, index: Any) -> None:
        keys = list(self._modules)
        for key in keys[index] if isinstance(index, slice) else [self._key(index)]:
            del self._modules[key]
        if all(key.isdigit() for key in self._modules):
            self._replace_all(list(self._modules.values()))

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential: can add only Sequential, got {type(other).__name__}")
        return type(self)(*self, *other)

    def __iadd__(self, other: Any) -> Any:
        if not isinstance(other, Sequential):
            raise ValueError(f"Sequential: can add only Sequential, got {type(other).__name__}")
        return self.extend(other)

    def __mul__(self, times: Any) -> Any:
        if not isinstance(times, int):
            raise TypeError(f"Sequential: can be multiplied by int, got {type(times).__name__}")
        if times <= 0:
            raise ValueError(f"Sequential: the factor is {times}, must be positive")
        return type(self)(*(list(self) * times))

    __rmul__ = __mul__

    def __imul__(self, times: Any) -> Any:
        if not isinstance(times, int):
            raise TypeError(f"Sequential: can be multiplied by int, got {type(times).__name__}")
        if times <= 0:
            raise ValueError(f"Sequential: the factor is {times}, must be positive")
        return self.extend(list(self) * (times - 1))

    def forward(self, input: Any) -> Any:
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules that are all registered; has no forward.

    >>> import ccdl.nn as nn
    >>> len(nn.ModuleList([nn.Linear(2, 2) for _ in range(3)]))
    3
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[self._key(index)]

    def __add__(self, other: Any) -> Any:
        return type(self)([*self, *other])

    def __iadd__(self, other: Any) -> Any:
        return self.extend(other)

    def insert(self, index: Any, module: Any) -> None:
        """Puts ``module`` before position ``index``."""
        modules = list(self._modules.values())
        modules.insert(index, module)
        self._replace_all(modules)

    def extend(self, modules: Any) -> Any:
        """Adds all ``modules`` at the end; returns self."""
        if not hasattr(modules, "__iter__"):
            raise TypeError(
                f"ModuleList.extend: got {type(modules).__name__}, must be an iterable of modules"
            )
        return super().extend(modules)

    def __repr__(self) -> str:
        """Runs of equal children are folded into one line, ``(0-2): 3 x ...``."""
        texts = [repr(module) for module in self]
        if not texts:
            return self._get_name() + "()"
        runs: list[Any] = []
        for i, text in enumerate(texts):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = []
        for first, last, text in runs:
            body = _indent(text, 2)
            lines.append(
                f"({first}): {body}" if first == last else f"({first}-{last}): {last - first + 1} x {body}"
            )
        return self._get_name() + "(\n  " + "\n  ".join(lines) + "\n)"


def _pairs(op, values):
    if hasattr(values, "items"):
        return list(values.items())
    if not hasattr(values, "__iter__"):
        raise TypeError(f"{op}: got {type(values).__name__}, must be a mapping or an iterable of pairs")
    pairs = []
    for i, item in enumerate(values):
        item = tuple(item)
        if len(item) != 2:
            raise ValueError(f"{op}: element {i} has length {len(item)}, must be a pair")
        pairs.append(item)
    return pairs


class ModuleDict(Module):
    """A dictionary of modules that are all registered; has no forward.

    >>> import ccdl.nn as nn
    >>> list(nn.ModuleDict({"a": nn.ReLU()}).keys())
    ['a']
    """

    def __init__(self, modules: Any = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: Any) -> Any:
        return self._modules[key]

    def __setitem__(self, key: Any, module: Any) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: Any) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules)

    def __contains__(self, key: Any) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Removes all."""
        self._modules.clear()

    def pop(self, key: Any) -> Any:
        """Removes and returns the module under ``key``."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def items(self) -> Any:
        """(name, module) pairs."""
        return self._modules.items()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Any) -> None:
        """Adds the entries of a mapping or an iterable of pairs."""
        for key, module in _pairs("ModuleDict.update", modules):
            self[key] = module


def _as_parameter(value):
    """Plain tensors become parameters; everything else stays."""
    if isinstance(value, _C.Tensor) and not isinstance(value, Parameter):
        return Parameter(value)
    return value


def _describe(value):
    if not isinstance(value, _C.Tensor):
        return f"Object of type: {type(value).__name__}"
    kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
    size = "x".join(str(s) for s in value.shape)
    device = "" if value.device.type == "cpu" else f" ({value.device})"
    return f"{kind} containing: [{str(value.dtype)} of size {size}{device}]"


class ParameterList(Module):
    """A list of parameters that are all registered; tensors given become parameters.

    >>> import ccdl, ccdl.nn as nn
    >>> len(nn.ParameterList([ccdl.ones(2), ccdl.ones(3)]))
    2
    """

    def __init__(self, values: Any = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _key(self, index):
        index = operator.index(index)
        if not -self._size <= index < self._size:
            raise IndexError(f"ParameterList: index {index} is out of range for {self._size} parameters")
        return str(index % self._size)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)([self[i] for i in range(*index.indices(self._size))])
        return getattr(self, self._key(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        setattr(self, self._key(index), _as_parameter(value))

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(self._size))

    def __iadd__(self, values: Any) -> Any:
        return self.extend(values)

    def __dir__(self) -> Any:
        return [name for name in super().__dir__() if not name.isdigit()]

    def append(self, value: Any) -> Any:
        """Adds ``value`` at the end; returns self."""
        self._size += 1
        setattr(self, str(self._size - 1), _as_parameter(value))
        return self

    def extend(self, values: Any) -> Any:
        """Adds all ``values`` at the end; returns self."""
        if isinstance(values, _C.Tensor) or not hasattr(values, "__iter__"):
            raise TypeError(
                f"ParameterList.extend: got {type(values).__name__}, must be an iterable of tensors"
            )
        for value in values:
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"  ({i}): {_describe(value)}" for i, value in enumerate(self))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterList should not be called.")


class ParameterDict(Module):
    """A dictionary of parameters that are all registered; tensors given become parameters.

    >>> import ccdl, ccdl.nn as nn
    >>> list(nn.ParameterDict({"w": ccdl.ones(2)}).keys())
    ['w']
    """

    def __init__(self, parameters: Any = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def __getitem__(self, key: Any) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: Any) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._keys)

    def __reversed__(self) -> Any:
        return reversed(list(self._keys))

    def __contains__(self, key: Any) -> bool:
        return key in self._keys

    def keys(self) -> Any:
        """The names."""
        return self._keys.keys()

    def values(self) -> Any:
        """The parameters."""
        return [self[k] for k in self._keys]

    def items(self) -> Any:
        """(name, parameter) pairs."""
        return [(k, self[k]) for k in self._keys]

    def get(self, key: Any, default: Any = None) -> Any:
        """The parameter under ``key``, or ``default``."""
        return self[key] if key in self._keys else default

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The parameter under ``key``, set to ``default`` first if there is none."""
        if key not in self._keys:
            self[key] = default
        return self[key]

    def pop(self, key: Any) -> Any:
        """Removes and returns the parameter under ``key``."""
        value = self[key]
        del self[key]
        return value

    def popitem(self) -> Any:
        """Removes and returns the last (name, parameter)."""
        key = next(reversed(self._keys))
        return key, self.pop(key)

    def clear(self) -> None:
        """Removes all."""
        for key in list(self._keys):
            del self[key]

    def copy(self) -> Any:
        """A new dictionary of the same parameters."""
        return type(self)(OrderedDict(self.items()))

    def fromkeys(self, keys: Any, default: Any = None) -> Any:
        """A new dictionary with ``default`` under each key."""
        return type(self)((k, default) for k in keys)

    def update(self, parameters: Any) -> None:
        """Adds the entries of a mapping or an iterable of pairs."""
        for key, value in _pairs("ParameterDict.update", parameters):
            self[key] = value

    def __or__(self, other: Any) -> Any:
        result = self.copy()
        result.update(other)
        return result

    def __ior__(self, other: Any) -> Any:
        self.update(other)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"  ({key}): {_describe(value)}" for key, value in self.items())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ParameterDict should not be called.")
