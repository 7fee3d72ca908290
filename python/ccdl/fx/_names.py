"""Names of steps and globals: valid, unused, and telling what they stand for."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Any

__all__ = ["Namespace", "snake_case"]

_KNOWN = {"inf", "nan", "torch", "ccdl", "device", "NoneType"}  # what generated code means by these


def snake_case(text: str) -> str:
    """``CamelCase`` as ``camel_case``."""
    return re.sub(r"(?<=[^A-Z_.])([A-Z])", r"_\1", text).lower()


class Namespace:
    """Gives every object a name of its own."""

    def __init__(self) -> None:
        self._taken: dict[str, Any] = {}
        self._counts: dict[str, int] = {}
        self._of: dict[int, str] = {}

    def create_name(self, candidate: str, obj: Any = None) -> str:
        """A free name near ``candidate``; the same one for the same ``obj``."""
        if obj is not None and id(obj) in self._of:
            return self._of[id(obj)]
        name = re.sub(r"\W", "_", candidate, flags=re.ASCII) or "_unnamed"
        if name[0].isdigit():
            name = f"_{name}"
        found = re.fullmatch(r"(.*)_(\d+)", name)
        base, number = (found[1], int(found[2])) if found else (name, None)
        if number is None and self._counts.get(name):
            number = self._counts[name]
            name = f"{base}_{number}"
        number = number or 0
        while name in self._taken or self._is_reserved(name, obj):
            number += 1
            name = f"{base}_{number}"
        self._counts[base] = max(number, self._counts.get(base, 0))
        self._taken[name] = obj
        if obj is not None:
            self._of[id(obj)] = name
        return name

    def _is_reserved(self, name: str, obj: Any) -> bool:
        if keyword.iskeyword(name) or name in _KNOWN:
            return True
        known = getattr(builtins, name, self)
        return known is not self and known is not obj
