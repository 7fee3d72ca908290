"""``ccdl.ops.<namespace>.<operator>``: what ``ccdl.library`` registers, and ``ops.aten`` for ccdl's own.

An operator is reached by its namespace and name, its overloads as attributes of it. Compiled extensions of
PyTorch cannot be loaded.
"""

from __future__ import annotations

from typing import Any

from . import errors

__all__ = ["load_library", "loaded_libraries"]

loaded_libraries: set[str] = set()  # always empty; PyTorch has the set here

_namespaces: dict[str, Any] = {}


class Packet:
    """One operator with its overloads; calling it calls the first one."""

    def __init__(self, namespace: str, name: str) -> None:
        self._namespace = namespace
        self.__name__ = name
        self._overloads: dict[str, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return next(iter(self._overloads.values()))(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_overloads"][name]
        except KeyError:
            raise AttributeError(
                f"The underlying op of '{self.__dict__.get('_namespace')}.{self.__dict__.get('__name__')}' "
                f"has no overload name '{name}'"
            ) from None

    def overloads(self) -> list[str]:
        """The names of the overloads."""
        return list(self._overloads)

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self._namespace}.{self.__name__}')>"


class _Own(Packet):
    """An operator of ccdl: every overload name leads to the one function, which tells overloads apart."""

    def __init__(self, name: str, function: Any) -> None:
        super().__init__("aten", name)
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__dict__["_function"]


class Namespace:
    """The operators of one library."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"'_OpNamespace' '{self.name}' object has no attribute '{name}'")


def _index(self: Any, indices: Any) -> Any:
    return self[tuple(slice(None) if i is None else i for i in indices)]


# Operators whose internal name differs from the function's.
_INTERNAL = {
    "sym_size": ("Tensor", "size"),
    "_to_copy": ("Tensor", "to"),
    "_pin_memory": ("Tensor", "pin_memory"),
    "alias": ("Tensor", "view_as"),
    "slice": ("", "slice_copy"),
    "_sparse_addmm": ("sparse", "addmm"),
    "_sparse_mm_reduce_impl": ("sparse", "mm"),
}


class _Aten(Namespace):
    """ccdl's own functions under PyTorch's internal names."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        import ccdl

        if name == "index":
            setattr(self, name, _Own(name, _index))
            return vars(self)[name]
        known = _INTERNAL.get(name)
        if known is not None:
            home = ccdl.sparse if known[0] == "sparse" else ccdl.Tensor if known[0] == "Tensor" else ccdl
            packet = _Own(name, getattr(home, known[1]))
            setattr(self, name, packet)
            return packet
        for home in (ccdl, ccdl.nn.functional, ccdl._C, ccdl.Tensor):
            function = getattr(home, name, None)
            if callable(function) and not isinstance(function, type):
                packet = _Own(name, function)
                setattr(self, name, packet)
                return packet
        return super().__getattr__(name)


def packet(namespace: str, name: str) -> Packet:
    """The operator of this name, made where there is none."""
    home = __getattr__(namespace)
    found = vars(home).get(name)
    if found is None:
        found = Packet(namespace, name)
        setattr(home, name, found)
    return found


def load_library(path: Any) -> None:
    """Always an OSError: libraries built for PyTorch hold code for PyTorch's tensors."""
    raise errors.FileError(
        f"ops.load_library: {path!r} is built for PyTorch and cannot be loaded by ccdl; register the "
        "operator in Python with ccdl.library.custom_op, or build it against ccdl"
    )


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    if name not in _namespaces:
        _namespaces[name] = _Aten(name) if name == "aten" else Namespace(name)
    return _namespaces[name]
