"""A backend that ccdl does not use."""

__all__ = ["enabled", "is_available"]

enabled = False


def is_available():
    """Always False."""
    return False
