"""A backend that ccdl does not use."""

__all__ = ["is_available"]


def is_available():
    """Always False."""
    return False
