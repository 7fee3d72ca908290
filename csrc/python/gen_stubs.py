"""Writes _C.pyi from the typed signatures that the extension itself was built from.

    python gen_stubs.py path/to/_C.so output/_C.pyi

Every op row of the binding carries its signature ("name(Tensor input, int dim=0) -> Tensor"); the module
hands them out as _signatures() -> [(kind, name, signature)]. What has no signature (properties, slots,
classes) is listed below.
"""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from types import ModuleType

TYPES = {
    "Tensor": "_Tensor",
    "Scalar": "_Number",
    "Number": "_Tensor | _Number",
    "Operand": "_Tensor",
    "int": "_int",
    "float": "_float",
    "bool": "_bool",
    "str": "_str",
    "dtype": "_dtype",
    "device": "_device | _str | _int",
    "Generator": "_Generator",
    "memory_format": "_memory_format",
    "layout": "_layout",
    "object": "Any",
    "Tensor[]": "Sequence[_Tensor]",
    "Tensor?[]": "Sequence[_Tensor | None]",
    "int[]": "Sequence[_int]",
    "float[]": "Sequence[_float]",
    "bool[]": "Sequence[_bool]",
    "None": "None",
    "Size": "Size",
    "()": "None",
    "list": "list[Any]",
    "tuple": "tuple[Any, ...]",
}
RETURNS = dict(
    TYPES,
    **{
        "Tensor[]": "tuple[_Tensor, ...]",
        "int[]": "Size",
        "Scalar": "_Number",
        "Number": "_Number",
        "device": "_device",
        "object": "Any",
    },
)

HEADER = """# Generated at build time from the signatures of the extension. Do not edit.
import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any, final, overload

_int = builtins.int
_float = builtins.float
_bool = builtins.bool
_str = builtins.str
_Number = builtins.int | builtins.float | builtins.bool

"""

PROPERTIES = {
    "shape": "Size",
    "dtype": "_dtype",
    "device": "_device",
    "grad": "_Tensor | None",
    "requires_grad": "_bool",
    "is_leaf": "_bool",
    "grad_fn": "Any",
    "ndim": "_int",
    "T": "Tensor",
    "mT": "Tensor",
    "H": "Tensor",
    "mH": "Tensor",
    "data": "Tensor",
    "itemsize": "_int",
    "nbytes": "_int",
    "_version": "_int",
    "is_cuda": "_bool",
    "output_nr": "_int",
    "layout": "_layout",
    "_base": "_Tensor | None",
    "is_sparse": "_bool",
    "is_quantized": "_bool",
    "retains_grad": "_bool",
    "name": "_str | None",
}
SETTABLE = ("grad", "requires_grad", "data")
BINARY = ("add sub mul truediv floordiv mod pow matmul and or xor lshift rshift").split()
COMPARE = ("eq ne lt le gt ge").split()


def split_arguments(text: str) -> list[str]:
    parts, depth, quote, current = [], 0, "", ""
    for c in text:
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in "[(":
            depth += 1
        elif c in "])":
            depth -= 1
        elif c == "," and depth == 0:
            parts.append(current.strip())
            current = ""
            continue
        current += c
    return parts + ([current.strip()] if current.strip() else [])


def argument_type(kind: str) -> str:
    optional = kind.endswith("?")
    kind = kind.rstrip("?")
    sized = re.fullmatch(r"(int|float|bool)\[\d+\]", kind)
    found = f"_{sized[1]} | Sequence[_{sized[1]}]" if sized else TYPES.get(kind, "Any")
    return f"{found} | None" if optional else found


def return_type(text: str) -> str:
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        parts = split_arguments(text[1:-1])
        return f"tuple[{', '.join(return_type(p.split()[0]) for p in parts)}]" if parts else "None"
    optional = text.endswith("?")
    found = RETURNS.get(text.rstrip("?"), "Any")
    return f"{found} | None" if optional else found


def parameters(text: str, method: bool) -> list[list[str]]:
    """The parameter lists of one signature: one, or two where a leading int list also takes separate ints."""
    lists: list[list[str]] = [[]]
    star = False
    for position, part in enumerate(split_arguments(text)):
        if part == "*":
            if not star:
                for one in lists:
                    if not any(p.startswith("*") for p in one):
                        one.append("*")
            star = True
            continue
        declaration, _, default = (p.strip() for p in part.partition("="))
        kind, _, name = declaration.rpartition(" ")
        kind = kind.strip()
        name += "_" if keyword.iskeyword(name) else ""
        if method and position == 0:
            lists[0].append("self")
            continue
        if kind.endswith("*"):
            kind = kind.rstrip("*").strip()
            base = re.sub(r"\[\d*\]\??$", "", kind)
            lists = [[*lists[0], f"{name}: {argument_type(kind)}"], [*lists[0], f"*{name}: _{base}"]]
            continue
        text_default = f" = {default}" if default else ""
        if (
            default
            and default not in ("None", "True", "False")
            and not re.fullmatch(r"-?[\d.e+-]+|'[^']*'", default)
        ):
            text_default = " = ..."
        for one in lists:
            one.append(f"{name}: {argument_type(kind)}{text_default}")
    return lists


def render(name: str, rows: list[str], method: bool, indent: str) -> str:
    variants: list[str] = []
    for row in rows:
        match = re.fullmatch(r"[\w.]+\((.*)\)\s*->\s*(.*)", row, re.S)
        if match is None:
            raise SystemExit(f"not a signature: {row!r}")
        for params in parameters(match[1], method):
            line = f"def {name}({', '.join(params)}) -> {return_type(match[2])}: ..."
            if line not in variants:
                variants.append(line)
    if len(variants) == 1:
        return indent + variants[0] + "\n"
    return "".join(f"{indent}@overload\n{indent}{line}\n" for line in variants)


def tensor_class(module: ModuleType, rows: dict[str, list[str]]) -> str:
    tensor = module.Tensor
    out = "class Tensor:\n    def __init__(self, *args: Any, **kwargs: Any) -> None: ...\n"
    for name in sorted(
        n
        for n, v in vars(tensor).items()
        if type(v).__name__ in ("getset_descriptor", "member_descriptor", "property")
    ):
        if name.startswith("__"):
            continue
        kind = PROPERTIES.get(name, "Any")
        out += f"    @property\n    def {name}(self) -> {kind}: ...\n"
        if name in SETTABLE:
            out += f"    @{name}.setter\n    def {name}(self, value: {kind}) -> None: ...\n"
    for op in BINARY:
        for prefix in ("", "r"):
            if hasattr(tensor, f"__{prefix}{op}__"):
                out += f"    def __{prefix}{op}__(self, other: Tensor | _Number) -> Tensor: ...\n"
        if f"__i{op}__" in vars(tensor):
            out += f"    def __i{op}__(self, other: Tensor | _Number) -> Tensor: ...\n"
    for op in COMPARE:
        ignore = "  # type: ignore[override]" if op in ("eq", "ne") else ""
        out += f"    def __{op}__(self, other: Any) -> Tensor: ...{ignore}\n"
    out += "    def __hash__(self) -> _int: ...\n"
    for op in ("neg", "pos", "abs", "invert"):
        if hasattr(tensor, f"__{op}__"):
            out += f"    def __{op}__(self) -> Tensor: ...\n"
    for op, kind in (
        ("bool", "_bool"),
        ("int", "_int"),
        ("float", "_float"),
        ("index", "_int"),
        ("len", "_int"),
    ):
        out += f"    def __{op}__(self) -> {kind}: ...\n"
    out += "    def __iter__(self) -> Iterator[Tensor]: ...\n"
    out += "    def __contains__(self, value: Any) -> _bool: ...\n"
    out += "    def __getitem__(self, index: Any) -> Tensor: ...\n"
    out += "    def __setitem__(self, index: Any, value: Any) -> None: ...\n"
    out += "    def __dlpack__(self, stream: Any = ..., **kwargs: Any) -> Any: ...\n"
    out += "    def __dlpack_device__(self) -> tuple[_int, _int]: ...\n"
    for name in sorted(rows):
        if f"    def {name}(" not in out and name not in PROPERTIES:  # operators are written above
            out += render(name, rows[name], True, "    ")
    known = set(rows) | set(PROPERTIES)
    for name, value in sorted(vars(tensor).items()):
        if (
            name not in known
            and not name.startswith("__")
            and callable(value)
            and type(value).__name__ != "getset_descriptor"
        ):
            out += f"    def {name}(self, *args: Any, **kwargs: Any) -> Any: ...\n"
    return out


def opaque_class(name: str, kind: type) -> str:
    final = "" if kind.__flags__ & (1 << 10) else "@final\n"  # Py_TPFLAGS_BASETYPE
    base = "(tuple[_int, ...])" if issubclass(kind, tuple) else ""
    out = f"{final}class {name}{base}:\n    def __init__(self, *args: Any, **kwargs: Any) -> None: ...\n"
    for member, value in sorted(vars(kind).items()):
        if member.startswith("__"):
            continue
        if type(value).__name__ in ("getset_descriptor", "member_descriptor", "property"):
            out += f"    @property\n    def {member}(self) -> Any: ...\n"
        elif callable(value):
            out += f"    def {member}(self, *args: Any, **kwargs: Any) -> Any: ...\n"
    return out


def generate(module: ModuleType) -> str:
    functions: dict[str, list[str]] = {}
    methods: dict[str, list[str]] = {}
    for kind, name, signature in module._signatures():
        (methods if kind == "method" else functions).setdefault(name, []).append(signature)
    out = HEADER
    constants, classes, rest = "", "", ""
    for name, value in sorted(vars(module).items()):
        if name.startswith("__") and name != "__version__" or name in functions or name == "Tensor":
            continue
        if isinstance(value, type):
            classes += opaque_class(name, value) + "\n"
        elif callable(value):
            rest += f"def {name}(*args: Any, **kwargs: Any) -> Any: ...\n"
        elif not isinstance(value, ModuleType):
            kind = type(value).__name__
            plain = {"str": "_str", "int": "_int", "float": "_float", "bool": "_bool"}.get(kind, kind)
            constants += (
                f"{name}: {plain if isinstance(vars(module).get(kind), type) or plain != kind else 'Any'}\n"
            )
    aliases = "".join(
        f"_{n} = {n}\n"
        for n in ("Tensor", "dtype", "device", "Generator", "memory_format", "layout")
        if isinstance(vars(module).get(n), type)
    )
    body = "".join(render(name, rows, False, "") for name, rows in sorted(functions.items()))
    return out + classes + tensor_class(module, methods) + "\n" + aliases + constants + "\n" + body + rest


def main() -> None:
    source, target = sys.argv[1:3]
    spec = importlib.util.spec_from_file_location("ccdl._C", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    text = generate(module)
    with open(target, "w", encoding="utf-8") as f:
        f.write(text)


if __name__ == "__main__":
    main()
