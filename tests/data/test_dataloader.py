"""Data sets, samplers, collation and the loader with threads and processes."""

from __future__ import annotations

import collections
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import ccdl
from ccdl.utils.data import (
    BatchSampler,
    ChainDataset,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    StackDataset,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    get_worker_info,
    random_split,
    sample_generator,
)

KINDS = [
    {},
    {"num_workers": 1},
    {"num_workers": 3},
    {"num_workers": 2, "persistent_workers": True},
    {"num_workers": 2, "worker_type": "process", "multiprocessing_context": "fork"},
]


class Numbers(Dataset):
    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return i, ccdl.rand(2, generator=sample_generator()), ccdl.rand(1)


class Stream(IterableDataset):
    def __iter__(self):
        info = get_worker_info()
        start, step = (0, 1) if info is None else (info.id, info.num_workers)
        yield from range(start, 20, step)


class Failing(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        if i == 5:
            raise KeyError("sample five")
        return i


class Dying(Failing):
    def __getitem__(self, i):
        if i == 5:
            os._exit(3)
        return i


class Slow(Failing):
    def __getitem__(self, i):
        time.sleep(5)
        return i


def epochs(loader, count=2):
    return [[(a.tolist(), b.tolist(), c.tolist()) for a, b, c in loader] for _ in range(count)]


@pytest.mark.parametrize("options", KINDS[1:], ids=str)
def test_order_and_randomness_do_not_depend_on_workers(options):
    ccdl.manual_seed(3)
    want = epochs(DataLoader(Numbers(), 4, shuffle=True))
    ccdl.manual_seed(3)
    loader = DataLoader(Numbers(), 4, shuffle=True, **options)
    assert epochs(loader) == want
    assert want[0] != want[1]
    assert sorted(i for batch in want[0] for i in batch[0]) == list(range(23))


def test_generator_decides():
    def run(seed):
        g = ccdl.Generator()
        g.manual_seed(seed)
        return epochs(DataLoader(Numbers(), 4, shuffle=True, generator=g), 1)

    assert run(1) == run(1) != run(2)


def test_fetching_samples_leaves_the_global_generator_alone():
    ccdl.manual_seed(1)
    iterator = iter(DataLoader(Numbers(), 4))
    state = ccdl.get_rng_state().tolist()
    list(iterator)
    assert ccdl.get_rng_state().tolist() == state


def test_batches():
    data = TensorDataset(ccdl.arange(7), ccdl.arange(7) * 2)
    assert len(DataLoader(data, 3)) == 3 and len(DataLoader(data, 3, drop_last=True)) == 2
    batches = list(DataLoader(data, 3))
    assert [b[0].tolist() for b in batches] == [[0, 1, 2], [3, 4, 5], [6]] and isinstance(batches[0], list)
    assert batches[1][1].tolist() == [6, 8, 10]
    assert len(list(DataLoader(data, 3, drop_last=True))) == 2
    assert [x[0].item() for x in DataLoader(data, batch_size=None)] == list(range(7))
    chosen = DataLoader(data, batch_sampler=[[0, 6], [3]])
    assert [b[0].tolist() for b in chosen] == [[0, 6], [3]] and len(chosen) == 2
    assert [b[0].tolist() for b in DataLoader(Subset(data, [5, 1]), 2)] == [[5, 1]]
    pairs = DataLoader(data, 2, collate_fn=lambda samples: len(samples))
    assert list(pairs) == [2, 2, 2, 1]
    assert [b.tolist() for b in DataLoader([1.5, 2.5], 2)] == [[1.5, 2.5]]


@pytest.mark.parametrize("workers", [0, 2, 3])
def test_streams(workers):
    batches = [b.tolist() for b in DataLoader(Stream(), 3, num_workers=workers)]
    assert sorted(x for b in batches for x in b) == list(range(20))
    full = [b.tolist() for b in DataLoader(Stream(), 3, num_workers=workers, drop_last=True)]
    assert all(len(b) == 3 for b in full)
    assert [b.tolist() for b in DataLoader(Stream(), 3, num_workers=workers)] == batches
    with pytest.raises(ValueError, match="IterableDataset"):
        DataLoader(Stream(), shuffle=True)


@pytest.mark.parametrize("options", KINDS, ids=str)
def test_worker_exceptions_arrive_with_their_traceback(options):
    loader = DataLoader(Failing(), 2, **options)
    with pytest.raises(KeyError) as error:
        list(loader)
    assert "sample five" in str(error.value)
    lines = [str(entry) for entry in error.traceback] + [str(error.value)]
    assert any("__getitem__" in line or "Failing" in line for line in lines)
    with pytest.raises(KeyError):
        list(loader)  # and the loader stays usable


def test_dead_process_is_noticed():
    with pytest.raises(RuntimeError, match=r"exit code 3"):
        list(DataLoader(Dying(), 2, num_workers=2, worker_type="process", multiprocessing_context="fork"))


def test_killed_process_is_noticed():
    loader = DataLoader(Slow(), 1, num_workers=1, worker_type="process", multiprocessing_context="fork")
    iterator = iter(loader)
    threading.Timer(0.3, lambda: os.kill(iterator._pool.workers[0].pid, signal.SIGKILL)).start()
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        next(iterator)
    assert time.monotonic() - begin < 5


def test_timeout():
    begin = time.monotonic()
    with pytest.raises(RuntimeError, match="timed out after 0.3 seconds"):
        list(DataLoader(Slow(), 1, num_workers=1, timeout=0.3))
    assert time.monotonic() - begin < 3


def test_worker_init_and_info():
    seen = []

    class Who(Dataset):
        def __len__(self):
            return 4

        def __getitem__(self, i):
            info = get_worker_info()
            return info.id, info.num_workers

    loader = DataLoader(Who(), 1, num_workers=2, worker_init_fn=seen.append)
    assert [(a.item(), b.item()) for a, b in loader] == [(0, 2), (1, 2), (0, 2), (1, 2)]
    assert sorted(seen) == [0, 1] and get_worker_info() is None


def test_worker_init_failure_is_reported():
    def bad(worker):
        raise ValueError("no init")

    with pytest.raises(ValueError, match="no init"):
        list(DataLoader(Numbers(), 2, num_workers=2, worker_init_fn=bad))


def test_leaving_early_ends_the_threads():
    before = threading.active_count()
    for _ in range(5):
        for _batch in DataLoader(Numbers(200), 2, num_workers=2):
            break
    deadline = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert threading.active_count() <= before


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_ctrl_c_is_clean(kind):
    script = textwrap.dedent(f"""
        import time
        from ccdl.utils.data import DataLoader, Dataset
        class Slow(Dataset):
            def __len__(self): return 1000
            def __getitem__(self, i): time.sleep(0.05); return i
        print("ready", flush=True)
        try:
            for _ in DataLoader(Slow(), 4, num_workers=2, worker_type={kind!r}): pass
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """)
    child = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.6)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert "interrupted" in out and "Fatal" not in err and child.returncode == 0, err


def test_bad_options():
    data = Numbers()
    for options, text in (
        ({"num_workers": -1}, "num_workers"),
        ({"timeout": -1}, "timeout"),
        ({"prefetch_factor": 2}, "prefetch_factor"),
        ({"num_workers": 1, "prefetch_factor": 0}, "prefetch_factor"),
        ({"persistent_workers": True}, "persistent_workers"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": None, "drop_last": True}, "auto-batching"),
        ({"shuffle": True, "sampler": SequentialSampler(data)}, "mutually exclusive"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "mutually exclusive"),
        ({"worker_type": "fiber"}, "worker_type"),
    ):
        with pytest.raises(ValueError, match=text):
            DataLoader(data, **options)


# --- data sets and samplers ------------------------------------------------------------------------------------------


def test_datasets():
    both = ConcatDataset([range(3), range(10, 12)])
    assert len(both) == 5 and [both[i] for i in (0, 3, -1)] == [0, 10, 11]
    with pytest.raises(IndexError):
        both[5]
    stacked = StackDataset(a=range(3), b=range(5, 8))
    assert stacked[1] == {"a": 1, "b": 6} and StackDataset(range(2), range(2))[1] == (1, 1)
    with pytest.raises(ValueError, match="Size mismatch"):
        StackDataset(range(2), range(3))
    assert list(ChainDataset([Stream(), Stream()])) == list(range(20)) * 2
    with pytest.raises(AssertionError, match="Size mismatch"):
        TensorDataset(ccdl.ones(2), ccdl.ones(3))
    assert isinstance(Numbers() + Numbers(), ConcatDataset)
    with pytest.raises(NotImplementedError):
        Dataset()[0]


def test_random_split():
    g = ccdl.Generator()
    g.manual_seed(1)
    parts = random_split(range(10), [7, 3], generator=g)
    assert sorted([*parts[0], *parts[1]]) == list(range(10))
    g.manual_seed(1)
    assert list(random_split(range(10), [7, 3], generator=g)[0]) == list(parts[0])
    assert [len(p) for p in random_split(range(11), [0.5, 0.3, 0.2])] == [6, 3, 2]
    with pytest.raises(ValueError, match="Sum of input lengths"):
        random_split(range(10), [7, 4])


def test_samplers():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]
    sampler = RandomSampler(range(100))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(100)) and first != second
    assert len(list(RandomSampler(range(5), num_samples=12))) == 12
    drawn = list(RandomSampler(range(5), replacement=True, num_samples=200))
    assert set(drawn) == set(range(5))
    endless = RandomSampler(range(5), replacement=True, num_samples=10**10)
    assert len(endless) == 10**10 and set(itertools.islice(endless, 10_000)) == set(range(5))
    assert next(iter(DataLoader(range(5), sampler=endless, batch_size=3))).shape == (3,)
    assert sorted(SubsetRandomSampler([3, 1, 7])) == [1, 3, 7]
    counts = collections.Counter(WeightedRandomSampler([0.0, 1.0, 3.0], 4000))
    assert counts[0] == 0 and counts[2] / counts[1] == pytest.approx(3, rel=0.2)
    assert sorted(WeightedRandomSampler([1, 1, 1], 3, replacement=False)) == [0, 1, 2]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]] and len(BatchSampler(range(5), 2, False)) == 3
    for make in (lambda: RandomSampler(range(3), num_samples=-1), lambda: BatchSampler(range(3), 0, False),
                 lambda: WeightedRandomSampler([1.0], 0)):
        with pytest.raises(ValueError):
            make()


def test_collate():
    import numpy as np

    Point = collections.namedtuple("Point", "x y")
    batch = default_collate([
        {"t": ccdl.ones(2), "n": np.zeros(3, "float32"), "i": 1, "f": 0.5, "s": "a", "p": Point(1, 2), "l": [1, (2.0,)]},
        {"t": ccdl.zeros(2), "n": np.ones(3, "float32"), "i": 2, "f": 1.5, "s": "b", "p": Point(3, 4), "l": [3, (4.0,)]},
    ])
    assert batch["t"].tolist() == [[1, 1], [0, 0]] and batch["n"].dtype == ccdl.float32
    assert batch["i"].dtype == ccdl.int64 and batch["f"].dtype == ccdl.float64 and batch["s"] == ["a", "b"]
    assert isinstance(batch["p"], Point) and batch["p"].x.tolist() == [1, 3]
    assert batch["l"][0].tolist() == [1, 3] and batch["l"][1][0].tolist() == [2.0, 4.0]
    assert default_collate([np.float32(1), np.float32(2)]).dtype == ccdl.float32
    with pytest.raises(RuntimeError, match="equal size"):
        default_collate([[1], [1, 2]])
    with pytest.raises(TypeError, match="found object"):
        default_collate([object()])


def test_what_a_loader_was_made_of_is_fixed():
    loader = DataLoader(list(range(4)), 2)
    for name in ("batch_size", "sampler", "batch_sampler", "drop_last", "dataset", "persistent_workers"):
        with pytest.raises(ValueError, match=name):
            setattr(loader, name, None)
    loader.collate_fn = tuple
    assert list(loader) == [(0, 1), (2, 3)]
    with pytest.raises(ValueError, match="num_workers > 0"):
        DataLoader([1], multiprocessing_context="fork")


def test_stacked_sets_fetch_many_samples_at_once():
    class Many:
        def __len__(self):
            return 4

        def __getitem__(self, i):
            raise AssertionError("asked one by one")

        def __getitems__(self, indices):
            return [10 * i for i in indices]

    stacked = ccdl.utils.data.StackDataset(Many(), [1, 2, 3, 4])
    assert stacked.__getitems__([0, 3]) == [(0, 1), (30, 4)]
    named = ccdl.utils.data.StackDataset(x=[1, 2, 3, 4], y=Many())
    assert named.__getitems__([1]) == [{"x": 2, "y": 10}]
    assert [b.tolist() for b in next(iter(DataLoader(stacked, 2)))] == [[0, 10], [1, 2]]
    Many.__getitems__ = lambda self, indices: [0]
    with pytest.raises(ValueError, match="Expected 2, got 1"):
        stacked.__getitems__([0, 1])
