"""A model on several devices."""

from __future__ import annotations

from typing import Any

from ... import errors
from ..modules.module import Module

__all__ = ["replicate"]


def replicate(network: Module, devices: Any, detach: bool = False) -> list[Module]:
    """The model for the one device given; copies on several are not implemented."""
    if len(devices) != 1:
        raise errors.NotImplementedError(
            f"replicate: copies on several devices are not implemented, got {list(devices)}; name one device"
        )
    return [network]
