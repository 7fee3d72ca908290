"""The profiler under its older name; see :mod:`ccdl.profiler`."""

from __future__ import annotations

from ..profiler import emit_nvtx, profile, record_function

__all__ = ["emit_nvtx", "profile", "record_function"]
