"""Another path to :mod:`ccdl.utils.data.worker`."""

from ..worker import WorkerInfo, get_worker_info

__all__ = ["WorkerInfo", "get_worker_info"]
