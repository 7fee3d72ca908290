"""Modules without their initial values."""

from __future__ import annotations

import inspect
from typing import Any

from ..modules.module import Module

__all__ = ["skip_init"]


def skip_init(module_cls: Any, *args: Any, **kwargs: Any) -> Any:
    """A module whose parameters are allocated but not initialised, for values that are loaded right after.

    Args:
        module_cls: a Module class whose constructor takes ``device``.
        args, kwargs: of the constructor.

    Raises:
        RuntimeError: no Module class, or a constructor without ``device``.

    >>> import ccdl.nn as nn
    >>> nn.utils.skip_init(nn.Linear, 5, 1)
    Linear(in_features=5, out_features=1, bias=True)
    """
    if not (inspect.isclass(module_cls) and issubclass(module_cls, Module)):
        raise RuntimeError(f"Expected a Module; got {module_cls}")
    if "device" not in inspect.signature(module_cls).parameters:
        raise RuntimeError("Module must support a 'device' arg to skip initialization")
    plain = type(module_cls.__name__, (module_cls,), {"reset_parameters": lambda self: None})
    module = plain(*args, **kwargs)
    module.__class__ = module_cls
    return module
