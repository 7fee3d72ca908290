"""Python-side picture of the native signatures: what ``inspect.signature`` and pickling of functions need."""

from __future__ import annotations

import ast
import inspect
from typing import Any


def make(rows: list[tuple[str, int, str, int]]) -> inspect.Signature:
    """Builds an ``inspect.Signature`` from (name, keyword-only, default text, has default) rows."""
    params = []
    for name, kw_only, default, has_default in rows:
        kind = inspect.Parameter.KEYWORD_ONLY if kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD
        value: Any = inspect.Parameter.empty
        if has_default:
            try:
                value = ast.literal_eval(default) if default else ()
            except ValueError:
                value = float(default)
        params.append(inspect.Parameter(name, kind, default=value))
    # A required parameter may follow an optional list of sizes; inspect wants such ones keyword-only.
    seen_default = False
    for i, p in enumerate(params):
        if p.default is not inspect.Parameter.empty:
            seen_default = True
        elif seen_default and p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD:
            params[i] = p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
    params.sort(key=lambda p: p.kind)
    return inspect.Signature(params)


def find(name: str, method: int) -> Any:
    """The function or Tensor method called ``name``."""
    from ccdl import _C

    return getattr(_C.Tensor, name) if method else getattr(_C, name)
