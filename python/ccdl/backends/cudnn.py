"""Switches of a library that ccdl does not use; every flag may be set and has no effect."""

import contextlib

__all__ = ["flags", "is_available", "set_flags", "version"]

enabled = False
benchmark = False
benchmark_limit = None
deterministic = True
allow_tf32 = False


def is_available():
    """Always False."""
    return False


def version():
    """Always None."""
    return None


def set_flags(**values):
    """Accepted without effect."""


@contextlib.contextmanager
def flags(**values):
    """Accepted without effect."""
    yield
