"""``ccdl.save`` and ``ccdl.load``: safetensors files that also hold nested Python data.

Tensors lie in the file under readable names; the nesting around them is JSON in the file's metadata. Nothing
is ever unpickled: loading builds only the types listed in :func:`save`. A file of another program loads as a
    dict of tensors.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import tempfile
import types
from collections import OrderedDict
from typing import Any

from . import _C
from .errors import CheckpointError

__all__ = [
    "add_safe_globals",
    "clear_safe_globals",
    "get_safe_globals",
    "load",
    "safe_globals",
    "save",
]

_FORMAT_KEY, _TREE_KEY, _FORMAT = "ccdl.format", "ccdl.tree", "1"
_MAX_DEPTH = 200
_TAG = "$"
_NAMESPACES = {argparse.Namespace: "namespace", types.SimpleNamespace: "simplenamespace"}
_NUMERIC = re.compile(r"[<>|=]?[biufc]\d{1,2}")  # NumPy's names of types of numbers


DEFAULT_PROTOCOL = 2  # of pickle; nothing is pickled
MAP_LOCATION = Any  # what load() takes as map_location: a device, its name, a function or a mapping


def save(
    obj: Any,
    f: Any,
    pickle_module: Any = None,
    pickle_protocol: Any = None,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Writes ``obj`` to a file.

    Args:
        obj: a tensor, or None, bool, int, float, str, ccdl.Size, dtype, device, NumPy arrays and scalars of
            numbers, or lists, tuples, sets, dicts, OrderedDicts, ``argparse.Namespace`` and
            ``types.SimpleNamespace`` of such things, nested.
        f: a path with any suffix, or a binary file object.
        pickle_module, pickle_protocol: accepted without effect.

    A path is written atomically: a crash leaves the old file or the new one. A tensor that occurs several
    times (tied weights) is stored once and comes back as one tensor.

    Raises:
        TypeError: anything else inside ``obj``; the message names its path.

    >>> import ccdl, io
    >>> buffer = io.BytesIO()
    >>> ccdl.save({"weight": ccdl.ones(2), "epoch": 3}, buffer)
    >>> _ = buffer.seek(0)
    >>> ccdl.load(buffer)
    {'weight': tensor([1., 1.]), 'epoch': 3}
    """
    writer = _Writer()
    tree = writer.encode(obj, "", 0)
    metadata = {_FORMAT_KEY: _FORMAT, _TREE_KEY: json.dumps(tree, allow_nan=False, separators=(",", ":"))}
    if not hasattr(f, "write"):
        _C._safetensors_save(os.fspath(f), writer.tensors, metadata)
        return
    with _temporary() as path:
        _C._safetensors_save(path, writer.tensors, metadata)
        with open(path, "rb") as file:
            f.write(file.read())


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: Any = None,
    mmap: Any = None,
    **pickle_load_args: Any,
) -> Any:
    """Reads what :func:`save` wrote, or any safetensors file as a dict name -> tensor.

    Args:
        f: a path, or a binary file object.
        map_location: a device for all tensors, a dict from device to device, or None; functions are accepted
            without effect.
        weights_only, pickle_module, mmap: accepted without effect; no code in a file is ever run.

    Raises:
        CheckpointError: a truncated, damaged, hostile or foreign file (such as PyTorch's pickle files).
    """
    if not hasattr(f, "read"):
        path = os.fspath(f)
        _refuse_foreign(path)
        return _decode_file(path, map_location)
    data = f.read()
    if isinstance(data, str):
        raise TypeError("load: the file object gives text; open it in binary mode, open(path, 'rb')")
    with _temporary() as path:
        with open(path, "wb") as file:
            file.write(data)
        _refuse_foreign(path, shown="the file object")
        return _decode_file(path, map_location)


_safe_globals: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Notes types that PyTorch's unpickler would allow; no type is ever read from a file here."""
    _safe_globals.extend(x for x in safe_globals if x not in _safe_globals)


def get_safe_globals() -> list[Any]:
    """What :func:`add_safe_globals` noted."""
    return list(_safe_globals)


def clear_safe_globals() -> None:
    """Forgets what :func:`add_safe_globals` noted."""
    _safe_globals.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list[Any]):
    """:func:`add_safe_globals` within a ``with`` block."""
    before = list(_safe_globals)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe_globals[:] = before


@contextlib.contextmanager
def _temporary():
    handle, path = tempfile.mkstemp(prefix="ccdl-", suffix=".safetensors")
    os.close(handle)
    try:
        yield path
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def _refuse_foreign(path, shown=None):
    with open(path, "rb") as file:
        head = file.read(9)
    if head[:4] == b"PK\x03\x04" or (
        head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05" and head[8:9] != b"{"
    ):
        raise CheckpointError(
            f"load: {shown or repr(path)} is a PyTorch zip or pickle file, which can run code; convert it "
            "once with "
            "safetensors.torch.save_file(state_dict, path)"
        )


class _Writer:
    """Turns nested data into JSON, collecting the tensors."""

    def __init__(self) -> None:
        self.tensors: dict[str, Any] = {}
        self._stored: dict[Any, str] = {}  # identity of the memory -> name
        self._keep: list[Any] = []
        self._open: set[int] = set()  # ids of the containers being encoded

    def encode(self, obj: Any, path: Any, depth: Any) -> Any:
        kind = type(obj)
        if obj is None or kind in (bool, int, str):
            return obj
        if kind is float:
            return obj if obj == obj and abs(obj) != float("inf") else {_TAG: "float", "v": repr(obj)}
        if isinstance(obj, _C.Tensor):
            return self._tensor(obj, path)
        if kind is _C.Size:
            return {_TAG: "size", "v": [int(s) for s in obj]}
        if kind is _C.dtype:
            return {_TAG: "dtype", "v": str(obj).rsplit(".", 1)[-1]}
        if kind is _C.device:
            return {_TAG: "device", "v": str(obj)}
        if kind in (list, tuple, dict, OrderedDict):
            return self._container(obj, kind, path, depth)
        if kind in (set, frozenset):
            return {_TAG: kind.__name__, "v": self._container(list(obj), list, path, depth)}
        if kind in (argparse.Namespace, types.SimpleNamespace):
            return {_TAG: _NAMESPACES[kind], "v": self._container(vars(obj), dict, path, depth)}
        if kind.__module__ == "numpy" and hasattr(obj, "tobytes") and _NUMERIC.fullmatch(obj.dtype.str):
            return self._array(obj, path)
        where = f"at {path!r}" if path else "at the top"
        raise TypeError(
            f"save: cannot store {kind.__module__}.{kind.__qualname__} {where}; tensors, numbers, strings, "
            "None, "
            "NumPy arrays, lists, tuples, sets, dicts and namespaces can be stored (for a module, save its "
            "state_dict())"
        )

    def _container(self, obj, kind, path, depth):
        if id(obj) in self._open:
            raise ValueError(f"save: the container at {path!r} contains itself")
        if depth > _MAX_DEPTH:
            raise ValueError(f"save: nested deeper than {_MAX_DEPTH} levels at {path[:80]!r}")
        self._open.add(id(obj))
        try:
            if kind in (list, tuple):
                items = [self.encode(v, _join(path, i), depth + 1) for i, v in enumerate(obj)]
                return items if kind is list else {_TAG: "tuple", "v": items}
            pairs = []
            for key, value in obj.items():
                if isinstance(key, _C.Tensor):
                    raise TypeError(f"save: a tensor cannot be a dict key (at {path!r})")
                pairs.append(
                    [
                        self.encode(key, f"{path}[key]", depth + 1),
                        self.encode(value, _join(path, key), depth + 1),
                    ]
                )
            result = {_TAG: "dict" if kind is dict else "odict", "v": pairs}
            extra = getattr(obj, "_metadata", None) if kind is OrderedDict else None
            if extra is not None:
                result["m"] = self.encode(dict(extra), f"{path}._metadata", depth + 1)
            return result
        finally:
            self._open.discard(id(obj))

    def _array(self, a, path):
        """Bytes in row-major order, with NumPy's name of the type: also those types that tensors lack."""
        data = a.tobytes()
        held = _C.frombuffer(bytearray(data), dtype=_C.uint8) if data else _C.empty(0, dtype=_C.uint8)
        kind = "array" if type(a).__name__ == "ndarray" else "scalar"
        return {_TAG: kind, "v": self._tensor(held, path), "t": a.dtype.str, "s": list(a.shape)}

    def _tensor(self, t, path):
        from .nn.parameter import Parameter

        held = t._parts.detach() if t.is_complex() else t  # real and imaginary parts [..., 2]
        layout = (tuple(held.shape), tuple(held.stride()))
        identity = (held.data_ptr(), str(held.dtype), *layout, str(held.device))
        name = self._stored.get(identity) if t.numel() else None
        if name is None:
            name = path or "tensor"
            number = 1
            while name in self.tensors or name == "__metadata__":
                number += 1
                name = f"{path or 'tensor'}#{number}"
            self.tensors[name] = held
            self._keep.append(held)
            self._stored[identity] = name
        leaf = {_TAG: "tensor", "v": name}
        if t.is_complex():
            leaf["c"] = True
        if isinstance(t, Parameter):
            leaf["p"] = bool(t.requires_grad)
        elif t.requires_grad and t.is_leaf:
            leaf["g"] = True
        return leaf


def _join(path, key):
    return f"{path}.{key}" if path else str(key)


def _decode_file(path, map_location):
    tensors, metadata = _C._safetensors_load(path)
    if _TREE_KEY not in metadata:
        return {name: _moved(t, map_location) for name, t in tensors.items()}
    if metadata.get(_FORMAT_KEY) != _FORMAT:
        raise CheckpointError(
            f"load: {path!r} has format {metadata.get(_FORMAT_KEY)!r}; this version of ccdl reads {_FORMAT!r}"
        )
    try:
        tree = json.loads(metadata[_TREE_KEY])
        return _Reader(tensors, map_location).decode(tree, 0)
    except CheckpointError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
        raise CheckpointError(f"load: {path!r} holds damaged structure data ({error})") from error


class _Reader:
    """Turns JSON back into nested data; anything unexpected is an error."""

    def __init__(self, tensors: Any, map_location: Any) -> None:
        self._tensors = tensors
        self._map_location = map_location
        self._made: dict[Any, Any] = {}

    def decode(self, node: Any, depth: Any) -> Any:
        if depth > 2 * _MAX_DEPTH:
            raise ValueError("nested too deeply")
        if node is None or isinstance(node, (bool, int, float, str)):
            return node
        if isinstance(node, list):
            return [self.decode(v, depth + 1) for v in node]
        kind, value = node[_TAG], node["v"]
        if kind == "tensor":
            return self._tensor(node)
        if kind == "tuple":
            return tuple(self.decode(v, depth + 1) for v in value)
        if kind in ("dict", "odict"):
            result: Any = {} if kind == "dict" else OrderedDict()
            for key, item in value:
                result[self.decode(key, depth + 1)] = self.decode(item, depth + 1)
            if kind == "odict" and "m" in node:
                result._metadata = OrderedDict(self.decode(node["m"], depth + 1))
            return result
        if kind in ("set", "frozenset"):
            return (set if kind == "set" else frozenset)(self.decode(value, depth + 1))
        if kind in _NAMESPACES.values():
            made = next(cls for cls, name in _NAMESPACES.items() if name == kind)
            return made(**self.decode(value, depth + 1))
        if kind in ("array", "scalar"):
            return self._array(node, kind)
        if kind == "float":
            return {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}[value]
        if kind == "size":
            return _C.Size([int(v) for v in value])
        if kind == "dtype":
            found = getattr(_C, str(value), None)
            if not isinstance(found, _C.dtype):
                raise ValueError(f"unknown dtype {value!r}")
            return found
        if kind == "device":
            return _C.device(str(value))
        raise ValueError(f"unknown kind {kind!r}")

    def _array(self, node, kind):
        import numpy

        if not _NUMERIC.fullmatch(node["t"]):
            raise ValueError(f"unknown type of array {node['t']!r}")
        held = self._tensors.get(node["v"]["v"])
        if held is None or held.dtype is not _C.uint8:
            raise ValueError("the bytes of an array are missing")
        flat = numpy.frombuffer(held.numpy().tobytes(), dtype=numpy.dtype(node["t"]))
        made = flat.reshape([int(s) for s in node["s"]]).copy()
        return made if kind == "array" else made[()]

    def _tensor(self, node):
        name = node["v"]
        parameter, needs_grad = node.get("p"), bool(node.get("g", False))
        key = (name, parameter, needs_grad, bool(node.get("c", False)))
        if key not in self._made:
            if name not in self._tensors:
                raise ValueError(f"tensor {name!r} is missing")
            t = _moved(self._tensors[name], self._map_location)
            if node.get("c", False):
                from ._complex import view_as_complex

                t = view_as_complex(t)
            if parameter is not None:
                from .nn.parameter import Parameter

                t = Parameter(t, requires_grad=bool(parameter))
            elif needs_grad:
                t.requires_grad_(True)
            self._made[key] = t
        return self._made[key]


def _moved(t, map_location):
    if map_location is None or callable(map_location):
        return t
    if isinstance(map_location, dict):
        target = map_location.get(str(t.device), map_location.get(t.device))
        return t if target is None else t.to(target)
    return t.to(map_location)


class PyTorchFileReader:
    """Would read the archives PyTorch saves; ccdl's files are safetensors.

    Raises:
        CheckpointError: on being made.
    """

    def __init__(self, name_or_buffer: Any) -> None:
        raise CheckpointError(
            "PyTorchFileReader: ccdl does not read PyTorch's archives; convert the file to safetensors, "
            "ccdl.load says how"
        )
