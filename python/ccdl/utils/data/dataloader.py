"""DataLoader: batches of a data set, fetched in this thread or ahead of time by worker threads or processes.

Batch k goes to worker k % num_workers and batches are handed out in order, so order and content depend on the
seed and the epoch alone, never on timing or on the number of workers.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from ... import _C
from ..._checks import check_count
from .collate import default_collate, default_convert, pin_memory
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed
from .worker import Exhausted, IterableFetcher, MapFetcher, WorkerError, worker_loop

__all__ = ["DataLoader"]


class _InfiniteSampler:
    def __iter__(self) -> Iterator[Any]:
        return itertools.repeat(None)


class DataLoader:
    """Iterates over ``dataset`` in batches.

    Args:
        dataset: indexable or :class:`IterableDataset`.
        batch_size: samples per batch; None turns batching off.
        shuffle: random order, new each epoch.
        sampler, batch_sampler: orders of your own instead.
        num_workers: 0 fetches in this thread.
        collate_fn: makes a batch from a list of samples.
        pin_memory: batches arrive in page-locked memory, where there is a CUDA device.
        drop_last: leave out a last, smaller batch.
        timeout: seconds to wait for a worker, 0 for ever.
        worker_init_fn: called with the worker's id in each worker.
        multiprocessing_context: a context or its name ('fork', 'spawn', 'forkserver') makes workers
        processes. generator: source of the epoch's seeds; the global generator if None.
        prefetch_factor: batches fetched ahead per worker (2).
        persistent_workers: keep workers between epochs.
        in_order: accepted; batches are always in order.
        worker_type: 'thread' (default) or 'process'. Threads share memory and start at once; processes suit
            data sets whose Python code is slow.

    While a sample is fetched, random numbers come from a generator seeded by (epoch seed, sample index).

    Raises:
        the worker's own exception with its traceback; RuntimeError for a worker process that died or a
        timeout.

    >>> import ccdl
    >>> from ccdl.utils.data import DataLoader, TensorDataset
    >>> [batch[0].tolist() for batch in DataLoader(TensorDataset(ccdl.arange(5)), batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: Any = None,
        sampler: Any = None,
        batch_sampler: Any = None,
        num_workers: int = 0,
        collate_fn: Any = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: Any = 0,
        worker_init_fn: Any = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: Any = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
        worker_type: Any = None,
    ) -> None:
        _check_options(num_workers, timeout, prefetch_factor, persistent_workers, worker_type)
        if isinstance(multiprocessing_context, str):
            import multiprocessing

            methods = multiprocessing.get_all_start_methods()
            if multiprocessing_context not in methods:
                raise ValueError(
                    f"multiprocessing_context option should specify a valid start method in {methods!r}, but "
                    f"got multiprocessing_context={multiprocessing_context!r}"
                )
        elif multiprocessing_context is not None and not hasattr(multiprocessing_context, "get_start_method"):
            raise TypeError(
                "multiprocessing_context option should be a valid context object or a string specifying the "
                f"start method, but got multiprocessing_context={multiprocessing_context!r}"
            )
        if multiprocessing_context is not None and num_workers == 0:
            raise ValueError(
                "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but "
                f"got num_workers={num_workers}"
            )
        if collate_fn is not None and not callable(collate_fn):
            raise TypeError(f"DataLoader: collate_fn is {type(collate_fn).__name__}, must be callable")
        self.dataset = dataset
        self.num_workers = num_workers
        self.prefetch_factor = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self.worker_type = worker_type or ("process" if multiprocessing_context is not None else "thread")
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError(
                "DataLoader with IterableDataset: expected unspecified shuffle, sampler and batch_sampler "
                "option"
            )
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and "
                    "drop_last"
                )
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError(
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last"
            )
        if sampler is None:
            if self._iterable:
                sampler = _InfiniteSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        if collate_fn is None:
            collate_fn = default_collate if self._auto_collation else default_convert
        self.collate_fn = collate_fn
        self._pool: Any = None
        self._fixed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _FIXED and getattr(self, "_fixed", False):
            raise ValueError(f"{name} attribute should not be set after DataLoader is initialized")
        object.__setattr__(self, name, value)

    def __class_getitem__(cls, item: Any) -> Any:
        return cls

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.batch_sampler if self._auto_collation else self.sampler

    def __len__(self) -> int:
        if not self._iterable:
            return len(self._index_sampler)
        length = len(self.dataset)
        if self.batch_size is None:
            return length
        return length // self.batch_size if self.drop_last else -(-length // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        batches = self._batches(draw_seed(self.generator))
        return map(pin_memory, batches) if self.pin_memory and _C._cuda_device_count() else batches

    def _batches(self, seed):
        if self.num_workers == 0:
            return _SingleIterator(self, seed)
        if not self.persistent_workers:
            return _WorkerIterator(self, _Pool(self), seed, owns_pool=True)
        if self._pool is None or self._pool.closed:
            self._pool = _Pool(self)
        return _WorkerIterator(self, self._pool, seed, owns_pool=False)

    def _fetcher_type(self):
        return IterableFetcher if self._iterable else MapFetcher


_FIXED = frozenset(("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"))


def _check_options(num_workers, timeout, prefetch_factor, persistent_workers, worker_type):
    if not isinstance(num_workers, int):
        raise TypeError(f"DataLoader: num_workers is {type(num_workers).__name__}, must be an int")
    if num_workers < 0:
        raise ValueError(f"num_workers option should be non-negative; got {num_workers}")
    check_count("DataLoader", "num_workers", num_workers, 1024)
    check_count("DataLoader", "prefetch_factor", prefetch_factor, 65536)
    if timeout < 0:
        raise ValueError(f"timeout option should be non-negative; got {timeout}")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing (num_workers > 0)"
        )
    if prefetch_factor is not None and prefetch_factor <= 0:
        raise ValueError(f"prefetch_factor option should be positive; got {prefetch_factor}")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    if worker_type not in (None, "thread", "process"):
        raise ValueError(f"worker_type is {worker_type!r}, must be 'thread' or 'process'")


class _BaseDataLoaderIter:
    """What iterates over a loader."""


class _SingleIterator(_BaseDataLoaderIter):
    """Fetches in the calling thread."""

    def __init__(self, loader: Any, seed: Any) -> None:
        self._indices = iter(loader._index_sampler)
        self._fetcher = loader._fetcher_type()(
            loader.dataset, loader._auto_collation, loader.collate_fn, loader.drop_last, seed
        )
        self._loader = loader

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def __next__(self) -> Any:
        return self._fetcher.fetch(next(self._indices))


class _Pool:
    """The workers of a loader and their queues."""

    def __init__(self, loader: Any) -> None:
        self.is_process = loader.worker_type == "process"
        self.size = loader.num_workers
        self.epoch = 0
        self.closed = False
        settings = (
            loader.dataset,
            loader._fetcher_type(),
            loader._auto_collation,
            loader.collate_fn,
            loader.drop_last,
            loader.worker_init_fn,
            loader.num_workers,
        )
        if self.is_process:
            import multiprocessing

            context = loader.multiprocessing_context
            if context is None or isinstance(context, str):
                context = multiprocessing.get_context(context)
            make_queue, make_worker = context.Queue, context.Process
        else:
            make_queue, make_worker = queue.SimpleQueue, threading.Thread
        self.results = make_queue()
        self.tasks = [make_queue() for _ in range(self.size)]
        self.workers = [
            make_worker(
                target=worker_loop,
                args=(settings, i, self.tasks[i], self.results, self.is_process),
                daemon=True,
            )
            for i in range(self.size)
        ]
        for worker in self.workers:
            worker.start()
        self._finalizer = weakref.finalize(self, _stop, self.workers, self.tasks, self.is_process)

    def start_epoch(self, seed: Any) -> Any:
        """Begins a new epoch in every worker; tasks left over from the last are skipped."""
        self.epoch += 1
        for tasks in self.tasks:
            tasks.put(("epoch", self.epoch, seed))
        return self.epoch

    def dead_workers(self) -> Any:
        """Ids, pids and exit codes of worker processes that are gone."""
        if not self.is_process:
            return []
        return [(i, w.pid, w.exitcode) for i, w in enumerate(self.workers) if not w.is_alive()]

    def close(self) -> None:
        """Ends the workers."""
        if not self.closed:
            self.closed = True
            self._finalizer()


def _stop(workers, tasks, is_process):
    for q in tasks:
        try:
            q.put(None)
        except (OSError, ValueError):
            pass
    if not is_process:
        return  # daemon threads see the None and end by themselves
    deadline = time.monotonic() + 2.0
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))
        if worker.is_alive():
            worker.terminate()
            worker.join(1.0)
    for q in tasks:
        q.cancel_join_thread()
        q.close()


class _WorkerIterator(_BaseDataLoaderIter):
    """Keeps ``prefetch_factor`` batches per worker under way and hands them out in order."""

    def __init__(self, loader: Any, pool: Any, seed: Any, owns_pool: Any) -> None:
        self._loader, self._pool, self._owns_pool = loader, pool, owns_pool
        self._indices = iter(loader._index_sampler)
        self._epoch = pool.start_epoch(seed)
        self._sent = 0
        self._next = 0
        self._ready: dict[int, Any] = {}
        self._ended: set[int] = set()
        self._owner: dict[int, int] = {}
        self._workers = itertools.cycle(range(pool.size))
        for _ in range(loader.prefetch_factor * pool.size):
            self._send()

    def __iter__(self) -> Iterator[Any]:
        return self

    def __len__(self) -> int:
        return len(self._loader)

    def _send(self):
        """Gives the next batch's indices to the next worker whose stream has not ended."""
        for _ in range(self._pool.size):
            worker = next(self._workers)
            if worker not in self._ended:
                break
        else:
            return
        try:
            indices = next(self._indices)
        except StopIteration:
            return
        self._pool.tasks[worker].put(("batch", self._epoch, self._sent, indices))
        self._owner[self._sent] = worker
        self._sent += 1

    def _receive(self):
        """Waits for one result; notices dead processes, the time limit and Ctrl-C."""
        limit = self._loader.timeout
        deadline = time.monotonic() + limit if limit else None
        while True:
            wait = 0.5 if deadline is None else min(0.5, max(0.0, deadline - time.monotonic()))
            try:
                return self._pool.results.get(timeout=wait)
            except queue.Empty:
                pass
            dead = self._pool.dead_workers()
            if dead:
                self._shut_down(force=True)
                text = ", ".join(f"worker {i} (pid {pid}, exit code {code})" for i, pid, code in dead)
                raise RuntimeError(f"DataLoader: {text} exited unexpectedly")
            if deadline is not None and time.monotonic() >= deadline:
                self._shut_down(force=True)
                raise RuntimeError(f"DataLoader timed out after {limit} seconds")

    def __next__(self) -> Any:
        try:
            return self._take()
        except StopIteration:
            self._shut_down()
            raise
        except BaseException:
            self._shut_down(force=True)
            raise

    def _take(self):
        while self._next < self._sent:
            while self._next not in self._ready:
                epoch, position, worker, data = self._receive()
                if epoch == self._epoch:
                    self._ready[position] = data
            data = self._ready.pop(self._next)
            worker = self._owner.pop(self._next)
            self._next += 1
            if isinstance(data, Exhausted):
                self._ended.add(worker)
                self._send()
                continue
            self._send()
            if isinstance(data, WorkerError):
                data.reraise()
            return data
        raise StopIteration

    def _shut_down(self, force=False):
        if self._owns_pool or force:
            self._pool.close()

    def __del__(self) -> None:
        if getattr(self, "_owns_pool", False):
            self._pool.close()


_SingleProcessDataLoaderIter = _SingleIterator
_MultiProcessingDataLoaderIter = _WorkerIterator
