"""ONNX's names, so that scripts that may export can be imported; exporting is not implemented."""

from __future__ import annotations

import enum
from typing import Any, NoReturn

from .. import errors

__all__ = [
    "OperatorExportTypes",
    "TrainingMode",
    "export",
    "is_in_onnx_export",
    "register_custom_op_symbolic",
]


class TrainingMode(enum.Enum):
    """In which mode a model would be exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


class OperatorExportTypes(enum.Enum):
    """How operators would be written."""

    ONNX = 0
    ONNX_ATEN = 1
    ONNX_ATEN_FALLBACK = 2


def is_in_onnx_export() -> bool:
    """Always False."""
    return False


def export(model: Any, args: Any = (), f: Any = None, **options: Any) -> NoReturn:
    """Raises RuntimeError: there is no export; save the weights with :func:`ccdl.save`."""
    raise errors.RuntimeError(
        "onnx.export: export is not implemented; save the weights, ccdl.save(model.state_dict(), path)"
    )


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Accepted without effect: how an operator would be exported."""
