"""Operators of one's own under a name: ``custom_op`` and the older ``Library``, ``define`` and ``impl``.

An operator has a kernel per device (or one for all), a gradient where one is registered, and is also reached
as ``ccdl.ops.<namespace>.<name>``. Kernels for shapes alone (``register_fake``) are accepted, never called.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from . import _C, errors, ops
from .autograd.function import Function

__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "impl",
    "impl_abstract",
    "infer_schema",
    "register_autograd",
    "register_fake",
    "register_kernel",
    "register_vmap",
]

_EVERY = ("", "CompositeExplicitAutograd", "CompositeImplicitAutograd", "default")
_WITH_GRADIENT = ("Autograd", "AutogradCPU", "AutogradCUDA")
_NEVER = ("Meta", "FuncTorchBatched", "AutocastCPU", "AutocastCUDA", "BackendSelect", "MPS", "XPU", "HPU")


def _devices(kinds: Any) -> list[str]:
    return ["default"] if kinds is None else [kinds] if isinstance(kinds, str) else list(kinds)


def _split(qualname: str, op: str) -> tuple[str, str, str]:
    """Namespace, name and overload of ``namespace::name[.overload]``."""
    found = re.fullmatch(r"(\w+)::(\w+)(?:\.(\w+))?", qualname) if isinstance(qualname, str) else None
    if found is None:
        raise errors.ValueError(
            f"{op}: expected the operator's name as 'namespace::name', got {qualname!r}"
        )
    return found[1], found[2], found[3] or "default"


class CustomOpDef:
    """One operator: what ``custom_op`` makes of a function and ``ops.<namespace>.<name>.default`` is."""

    def __init__(self, qualname: str, schema: str = "", function: Any = None) -> None:
        namespace, name, overload = _split(qualname, "library")
        self._namespace, self._name, self._qualname = namespace, name, f"{namespace}::{name}"
        self._schema = schema
        self._order, self._defaults = _arguments(schema)
        self._kernels: dict[str, Callable[..., Any]] = {}
        self._backward: Any = None
        self._setup_context: Any = None
        ops.packet(namespace, name)._overloads[overload] = self
        if function is not None:
            functools.update_wrapper(self, function)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def name(self) -> str:
        """``namespace::name``."""
        return self._qualname

    def register_kernel(self, device_types: Any, fn: Any = None, /) -> Any:
        """The kernel for these devices (a name, several, or None for all); a decorator without ``fn``."""

        def keep(function: Any) -> Any:
            for kind in _devices(device_types):
                self._keep(function, kind)
            return function

        return keep if fn is None else keep(fn)

    def _keep(self, function: Any, key: str) -> None:
        if key in _EVERY:
            key = ""
        elif key in _WITH_GRADIENT:
            key = "autograd"
        elif key.lower() not in ("cpu", "cuda"):
            if key in _NEVER or key.lower() in ("meta", "mps", "xpu", "hpu"):
                return
            raise errors.ValueError(f"{self._qualname}: unknown device or dispatch key {key!r}")
        self._kernels[key.lower()] = function

    def register_fake(self, fn: Any, /) -> Any:
        """Accepted without effect: nothing asks for shapes alone."""
        return fn

    register_vmap = register_torch_dispatch = register_fake

    def register_autograd(self, backward: Any, /, *, setup_context: Any = None) -> None:
        """``backward(ctx, *grads)`` gives gradients, ``setup_context(ctx, inputs, output)`` saves for it."""
        if not callable(backward):
            raise errors.TypeError(f"register_autograd: backward must be callable, got {backward!r}")
        self._backward, self._setup_context = backward, setup_context

    def _kernel(self, tensors: list[_C.Tensor]) -> Callable[..., Any]:
        kind = tensors[0].device.type if tensors else "cpu"
        for key in (kind, ""):
            if key in self._kernels:
                return self._kernels[key]
        raise errors.NotImplementedError(
            f"Could not run '{self._qualname}' with arguments from the '{kind.upper()}' backend: no kernel "
            f"is registered for it (there are {sorted(self._kernels) or 'none'})"
        )

    def _bind(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Keyword arguments and defaults of the schema in their places; those after ``*`` stay keywords."""
        if not self._order:
            return args, kwargs
        positional = [name for name, keyword in self._order if not keyword]
        if len(args) > len(positional):
            raise errors.TypeError(
                f"{self._qualname}() expected at most {len(positional)} argument(s) but received {len(args)}"
            )
        given = {**dict(zip(positional, args, strict=False)), **kwargs}
        for name, keyword in self._order:
            if name not in given and name not in self._defaults:
                raise errors.TypeError(f"{self._qualname}() is missing value for argument '{name}'")
            if keyword and name not in given:
                given[name] = self._defaults[name]
        unknown = set(given) - {name for name, _ in self._order}
        if unknown:
            raise errors.TypeError(f"{self._qualname}() got unexpected keyword argument '{min(unknown)}'")
        full = tuple(given.get(n, self._defaults.get(n)) for n in positional)
        return full, {name: given[name] for name, keyword in self._order if keyword}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self._bind(args, kwargs)
        tensors = [a for a in _flat([args, kwargs]) if isinstance(a, _C.Tensor)]
        if "autograd" in self._kernels:
            return self._kernels["autograd"](*args, **kwargs)
        kernel = self._kernel(tensors)
        if not (_C.is_grad_enabled() and any(t.requires_grad for t in tensors)):
            return kernel(*args, **kwargs)
        return self._node(kernel, kwargs).apply(*args)

    def _node(self, kernel: Callable[..., Any], kwargs: dict[str, Any]) -> Any:
        outer = self

        class Node(Function):
            @staticmethod
            def forward(ctx: Any, *args: Any) -> Any:
                output = kernel(*args, **kwargs)
                if outer._setup_context is not None:
                    extra = {"keyword_only_inputs": kwargs} if kwargs else {}
                    outer._setup_context(ctx=ctx, inputs=args, output=output, **extra)
                return tuple(output) if isinstance(output, list) else output

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                if outer._backward is None:
                    raise RuntimeError(
                        f"Trying to backward through {outer._qualname} but no autograd formula was "
                        "registered. Please use register_autograd to add one."
                    )
                return outer._backward(ctx, *grads)

        Node.__name__ = Node.__qualname__ = f"{self._name}"
        return Node


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from _flat(item)
    else:
        yield value


def _arguments(schema: str) -> tuple[list[tuple[str, bool]], dict[str, Any]]:
    """(name, keyword only) of each argument of ``(Tensor x, *, int k=3) -> Tensor``, and the defaults."""
    inner = re.match(r"[^(]*\((.*)\)\s*->", schema, re.S)
    order: list[tuple[str, bool]] = []
    defaults: dict[str, Any] = {}
    keyword = False
    for part in re.split(r",(?![^\[(]*[\])])", inner[1]) if inner else []:
        part = part.strip()
        if part == "*":
            keyword = True
        elif part:
            head, equals, default = part.partition("=")
            name = head.split()[-1]
            order.append((name, keyword))
            if equals:
                try:
                    defaults[name] = ast.literal_eval(default.strip())
                except (ValueError, SyntaxError):
                    defaults[name] = {"true": True, "false": False}.get(default.strip().lower())
    return order, defaults


_KINDS = {
    **{name: name for name in ("Tensor", "float", "bool", "str")},
    "int": "SymInt", "Number": "Scalar", "dtype": "ScalarType", "device": "Device",
}


def _kind(annotation: Any) -> str:
    """The word of schemas for a type: ``Tensor``, ``SymInt[]``, ``Tensor?``, ..."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    text = str(annotation) if not isinstance(annotation, type) and not isinstance(annotation, str) else text
    text = re.sub(r"\b(?:\w+\.)+(?=\w)", "", text).strip()
    for pattern, ending in (
        (r"Optional\[(.*)\]", "?"),
        (r"(.*?)\s*\|\s*None", "?"),
        (r"(?:Sequence|List|list)\[(.*)\]", "[]"),
    ):
        found = re.fullmatch(pattern, text)
        if found:
            return _kind(found[1]) + ending
    if re.fullmatch(r"Union\[int, float(, bool)?\]|int \| float", text):
        return "Scalar"
    if text not in _KINDS:
        raise errors.ValueError(f"infer_schema(func): unsupported type {annotation!r}")
    return _KINDS[text]


def infer_schema(prototype_function: Any, /, *, mutates_args: Any, op_name: str | None = None) -> str:
    """The schema of a function with annotations.

    >>> import ccdl
    >>> def scale(x: ccdl.Tensor, by: float = 2.0) -> ccdl.Tensor: ...
    >>> ccdl.library.infer_schema(scale, mutates_args=())
    '(Tensor x, float by=2.) -> Tensor'
    """
    parts: list[str] = []
    signature = inspect.signature(prototype_function)
    for index, parameter in enumerate(signature.parameters.values()):
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise errors.ValueError(
                "infer_schema(func): We do not support positional-only args, varargs, or varkwargs."
            )
        if parameter.annotation is parameter.empty:
            raise errors.ValueError(
                f"infer_schema(func): Parameter {parameter.name} must have a type annotation."
            )
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in parts:
            parts.append("*")
        kind = _kind(parameter.annotation)
        if mutates_args == "unknown" or parameter.name in mutates_args:
            kind = re.sub("Tensor", f"Tensor(a{index}!)", kind, count=1)
        text = f"{kind} {parameter.name}"
        if parameter.default is not parameter.empty:
            value = parameter.default
            shown = f'"{value}"' if isinstance(value, str) else re.sub(r"\.0$", ".", str(value))
            text += f"={shown}"
        parts.append(text)
    result = signature.return_annotation
    if result is None or result == "None":
        returns = "()"
    elif result is signature.empty:
        raise errors.ValueError("infer_schema(func): No return type annotation was provided.")
    else:
        several = re.fullmatch(
            r"(?:typing\.)?[Tt]uple\[(.*)\]", result if isinstance(result, str) else str(result)
        )
        returns = (
            "(" + ", ".join(_kind(part.strip()) for part in several[1].split(",")) + ")"
            if several
            else _kind(result)
        )
    return f"{op_name or ''}({', '.join(parts)}) -> {returns}"


def custom_op(
    name: str,
    fn: Any = None,
    /,
    *,
    mutates_args: Any,
    device_types: Any = None,
    schema: str | None = None,
    tags: Any = None,
) -> Any:
    """An operator ``namespace::name`` from a function; a decorator without ``fn``.

    Args:
        mutates_args: names of the arguments that the function writes; for the schema alone.
        device_types: the devices the function is for, a name or several; None: all.

    >>> import ccdl
    >>> @ccdl.library.custom_op("readme::cube", mutates_args=())
    ... def cube(x: ccdl.Tensor) -> ccdl.Tensor:
    ...     return x * x * x
    >>> cube.register_autograd(lambda ctx, g: 3 * ctx.saved_tensors[0] ** 2 * g,
    ...                        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))
    >>> x = ccdl.tensor([2.0], requires_grad=True)
    >>> ccdl.ops.readme.cube(x).backward()
    >>> x.grad
    tensor([12.])
    """

    def make(function: Any) -> CustomOpDef:
        text = infer_schema(function, mutates_args=mutates_args) if schema is None else schema
        made = CustomOpDef(name, text, function)
        made.register_kernel(device_types, function)
        return made

    return make if fn is None else make(fn)


def _find(op: Any, caller: str) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    if isinstance(op, ops.Packet):
        return next(iter(op._overloads.values()))
    namespace, name, overload = _split(op, caller)
    found = vars(getattr(ops, namespace)).get(name)
    if found is None or overload not in found._overloads:
        raise RuntimeError(f"{caller}: operator {op} does not exist; define it first")
    return found._overloads[overload]


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """An operator without kernels: ``define("mine::add", "(Tensor a, Tensor b) -> Tensor")``."""
    CustomOpDef(qualname, schema)


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """A kernel of an operator for some devices; a decorator without ``func``."""
    return _find(op, "register_kernel").register_kernel(device_types, func)


def impl(qualname: Any, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """A kernel of a defined operator for devices or dispatch keys; a decorator without ``func``."""
    if isinstance(qualname, Library):  # the old form: impl(lib, name, key)
        library, name, key = qualname, types, func if func is not None else ""

        def keep(function: Any) -> Any:
            library.impl(name, function, key)
            return function

        return keep
    return _find(qualname, "impl").register_kernel(types, func)


def register_fake(
    op: Any, func: Any = None, /, *, lib: Any = None, allow_override: bool = True, _stacklevel: int = 1
) -> Any:
    """Accepted without effect: nothing asks for shapes alone. A decorator without ``func``."""
    return (lambda function: function) if func is None else func


impl_abstract = register_fake


def register_vmap(op: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Accepted without effect: inside ``vmap`` an operator of one's own runs sample by sample."""
    return (lambda function: function) if func is None else func


def register_autograd(op: Any, backward: Any, /, *, setup_context: Any = None, lib: Any = None) -> None:
    """The gradient of an operator, as in ``CustomOpDef.register_autograd``."""
    _find(op, "register_autograd").register_autograd(backward, setup_context=setup_context)


class Library:
    """A namespace to define operators in (``kind`` "DEF" or "FRAGMENT") or to give them kernels ("IMPL")."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("DEF", "FRAGMENT", "IMPL"):
            raise errors.ValueError(f"Unsupported library kind: {kind}")
        if ns == "aten" and kind != "IMPL":
            raise errors.ValueError(
                "aten is a reserved namespace. Please try creating a library with another name."
            )
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """An operator from ``name(arguments) -> result``; its name comes back."""
        name = schema.split("(", 1)[0].strip()
        CustomOpDef(f"{self.ns}::{name}", schema)
        return name

    def impl(self, op_name: Any, fn: Any, dispatch_key: str = "", **options: Any) -> None:
        """The kernel of an operator for a dispatch key ("CPU", "CUDA", "CompositeImplicitAutograd", ...)."""
        op = (
            op_name
            if isinstance(op_name, (CustomOpDef, ops.Packet))
            else f"{self.ns}::{str(op_name).split('::')[-1]}"
        )
        _find(op, "Library.impl").register_kernel(dispatch_key or self.dispatch_key or "default", fn)
