"""Whether a tensor stands for one without data: never."""

from __future__ import annotations

from typing import Any

from .. import errors

__all__ = ["FakeTensor", "FakeTensorMode", "is_fake"]


class FakeTensor:
    """None are made, so that ``isinstance`` is False."""


class FakeTensorMode:
    """Would make tensors without data.

    Raises:
        NotImplementedError: on being made.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise errors.NotImplementedError(
            "FakeTensorMode: operators compute, they do not tell shapes alone; call them on small tensors"
        )


def is_fake(x: Any) -> bool:
    """False: every tensor has data."""
    return False
