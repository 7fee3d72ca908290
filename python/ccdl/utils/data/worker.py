"""What runs inside a loader worker, be it a thread or a process.

Randomness: while a sample is fetched, the thread's default generator is one seeded by (epoch seed, sample
index), so random augmentation does not depend on the number or the kind of workers.
"""

from __future__ import annotations

import threading
import traceback
import zlib
from typing import Any

from ... import _C
from .collate import default_collate
from .dataset import Subset, TensorDataset
from .sampler import seeded_generator

__all__ = ["WorkerInfo", "get_worker_info", "sample_generator"]

_local = threading.local()
_MASK = (1 << 64) - 1


class WorkerInfo:
    """About the present worker: ``id``, ``num_workers``, ``seed``, ``dataset``."""

    def __init__(self, id: Any, num_workers: Any, seed: Any, dataset: Any) -> None:
        self.id = id
        self.num_workers = num_workers
        self.seed = seed
        self.dataset = dataset

    def __repr__(self) -> str:
        return (
            f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, "
            f"dataset={self.dataset!r})"
        )


def get_worker_info() -> Any:
    """The :class:`WorkerInfo` inside a loader worker, None elsewhere."""
    return getattr(_local, "info", None)


def sample_generator() -> Any:
    """The generator of the sample being fetched, seeded by (epoch seed, sample index); None outside a loader.

    Use it for random augmentation: ``ccdl.rand(2, generator=ccdl.utils.data.sample_generator())``.
    """
    seed = getattr(_local, "sample_seed", None)
    if seed is None:
        return None
    if getattr(_local, "generator", None) is None:
        _local.generator = seeded_generator(seed)
    return _local.generator


def mix(seed: Any, value: Any) -> Any:
    """A 63-bit hash of two integers (two rounds of splitmix64)."""
    x = seed & _MASK
    for part in (value & _MASK, 0x9E3779B97F4A7C15):
        x = (x + part + 0x9E3779B97F4A7C15) & _MASK
        x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
        x ^= x >> 31
    return x >> 1


class _SampleRandomness:
    """Context in which random numbers belong to one sample."""

    def __init__(self, seed: Any, index: Any) -> None:
        key = index if isinstance(index, int) else zlib.crc32(repr(index).encode())
        self.seed = mix(seed, key)

    def __enter__(self) -> None:
        _local.sample_seed, _local.generator = self.seed, None
        self.previous = _C._set_thread_generator(sample_generator())

    def __exit__(self, *exc_info: Any) -> None:
        _C._set_thread_generator(self.previous)
        _local.sample_seed = _local.generator = None


class MapFetcher:
    """Fetches the samples at given indices and collates them."""

    def __init__(self, dataset: Any, auto_collation: Any, collate_fn: Any, drop_last: Any, seed: Any) -> None:
        self.dataset = dataset
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.seed = seed

    def fetch(self, indices: Any) -> Any:
        """One batch, or one sample when batching is off."""
        if not self.auto_collation:
            with _SampleRandomness(self.seed, indices):
                return self.collate_fn(self.dataset[indices])
        if self.collate_fn is default_collate:
            gathered = _gathered(self.dataset, indices)
            if gathered is not None:
                return gathered
        many = getattr(self.dataset, "__getitems__", None)
        if callable(many) and not isinstance(self.dataset, Subset):
            with _SampleRandomness(self.seed, indices[0] if indices else 0):
                return self.collate_fn(many(indices))
        samples = []
        for index in indices:
            with _SampleRandomness(self.seed, index):
                samples.append(self.dataset[index])
        return self.collate_fn(samples)


def _gathered(dataset, indices):
    """The collated batch of tensor rows without visiting samples one by one, or None if that is not
    possible.
    """
    while type(dataset) is Subset:
        indices = [dataset.indices[i] for i in indices]
        dataset = dataset.dataset
    if type(dataset) is TensorDataset and all(type(i) is int for i in indices):
        return dataset._collated(indices)
    return None


class IterableFetcher:
    """Takes the next samples of a stream and collates them; the indices only say how many."""

    def __init__(self, dataset: Any, auto_collation: Any, collate_fn: Any, drop_last: Any, seed: Any) -> None:
        info = get_worker_info()
        self.seed = mix(seed, info.id if info else 0)
        with _SampleRandomness(self.seed, 0):
            self.iterator = iter(dataset)
        self.auto_collation = auto_collation
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.taken = 0

    def _next(self):
        self.taken += 1
        with _SampleRandomness(self.seed, self.taken):
            return next(self.iterator)

    def fetch(self, indices: Any) -> Any:
        """One batch; StopIteration at the end."""
        if not self.auto_collation:
            return self.collate_fn(self._next())
        samples = []
        for _ in indices:
            try:
                samples.append(self._next())
            except StopIteration:
                break
        if not samples or (self.drop_last and len(samples) < len(indices)):
            raise StopIteration
        return self.collate_fn(samples)


class Exhausted:
    """A worker's stream has ended."""


class WorkerError:
    """An exception from a worker: the object itself between threads, its text between processes."""

    def __init__(self, error: Any, where: Any, keep: Any) -> None:
        self.error = error if keep else None
        self.kind = type(error)
        self.text = f"Caught {self.kind.__name__} in DataLoader worker {where}.\nOriginal " + "".join(
            traceback.format_exception(type(error), error, error.__traceback__)
        )

    def __reduce__(self) -> Any:
        try:
            import pickle

            pickle.dumps(self.kind)
            kind = self.kind
        except Exception:
            kind = RuntimeError
        return _rebuild_error, (kind, self.text)

    def reraise(self) -> Any:
        """Raises the worker's exception here, with the worker's traceback."""
        if self.error is not None:
            raise self.error
        try:
            error = self.kind(self.text)
        except Exception:
            error = RuntimeError(self.text)
        raise error


def _rebuild_error(kind, text):
    result = WorkerError.__new__(WorkerError)
    result.error, result.kind, result.text = None, kind, text
    return result


def worker_loop(settings: Any, worker_id: Any, tasks: Any, results: Any, is_process: Any) -> None:
    """Serves tasks ("epoch", number, seed) and ("batch", number, position, indices) until None arrives."""
    dataset, fetcher_type, auto_collation, collate_fn, drop_last, init_fn, num_workers = settings
    where = f"{'process' if is_process else 'thread'} {worker_id}"
    if is_process:
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    _C._set_thread_serial(True)  # the cores belong to the training loop
    fetcher: Any = None
    failure, epoch, ended, initialised = None, None, False, False
    while True:
        task = tasks.get()
        if task is None:
            return
        try:
            if task[0] == "epoch":
                _, epoch, seed = task
                failure, ended = None, False
                _local.info = WorkerInfo(worker_id, num_workers, seed + worker_id, dataset)
                if is_process:
                    _C.manual_seed(mix(seed, worker_id))
                if not initialised:
                    initialised = True
                    if init_fn is not None:
                        init_fn(worker_id)
                fetcher = fetcher_type(dataset, auto_collation, collate_fn, drop_last, seed)
                continue
        except Exception as error:
            failure = WorkerError(error, where, not is_process)
            continue
        _, number, position, indices = task
        if number != epoch:
            continue
        if failure is not None:
            results.put((number, position, worker_id, failure))
            continue
        if ended:
            results.put((number, position, worker_id, Exhausted()))
            continue
        try:
            data = fetcher.fetch(indices)
        except StopIteration:
            ended = True
            data = Exhausted()
        except Exception as error:
            data = WorkerError(error, where, not is_process)
        results.put((number, position, worker_id, data))
        del data, task
