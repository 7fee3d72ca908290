"""Where public code looks for the functions that make batches and know their worker."""

from . import collate, worker

__all__ = ["collate", "worker"]
