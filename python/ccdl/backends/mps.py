"""A backend that ccdl does not use."""

__all__ = ["is_available", "is_built"]


def is_available():
    """Always False."""
    return False


def is_built():
    """Always False."""
    return False
