"""The processor."""

from .. import _C

__all__ = ["get_cpu_capability"]


def get_cpu_capability():
    """The instruction-set level whose kernels run."""
    return _C._isa_level()
