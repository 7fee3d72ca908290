"""The caching allocator: reuse, splitting, streams, limits, refusals, statistics, pinned memory."""

from __future__ import annotations

import threading

import pytest

import ccdl

pytestmark = pytest.mark.gpu
MB = 2**20


@pytest.fixture(autouse=True)
def clean():
    ccdl.cuda.empty_cache()
    yield
    ccdl._C._cuda_set_memory_limit(0, 0)
    ccdl._C._cuda_set_alloc_fault(0)


def empty(size, dtype=ccdl.uint8):
    return ccdl.empty(size, dtype=dtype, device="cuda")


def test_a_block_is_reused_at_once_on_its_stream():
    x = empty(1000)
    place = x.data_ptr()
    before = ccdl.cuda.memory_stats()["device_allocations"]
    del x
    for _ in range(10):
        y = empty(1000)
        assert y.data_ptr() == place
        del y
    assert ccdl.cuda.memory_stats()["device_allocations"] == before


def test_blocks_are_split_and_joined_again():
    parts = [empty(300_000) for _ in range(6)]
    assert len({p.data_ptr() for p in parts}) == 6
    reserved = ccdl.cuda.memory_reserved()
    del parts
    whole = empty(1_000_000)  # only fits where three neighbours became one
    assert ccdl.cuda.memory_reserved() == reserved
    del whole


def test_live_blocks_do_not_overlap():
    sizes = [1, 511, 512, 513, 4096, 100_000, MB - 512, MB, MB + 1, 3 * MB, 11 * MB]
    live = []
    for round_ in range(3):
        for size in sizes:
            live.append(empty(size))
        live = live[round_::2]
    spans = sorted((x.data_ptr(), x.data_ptr() + x.numel()) for x in live)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:]))
    assert all(start % 256 == 0 for start, _ in spans)


def test_statistics():
    start = ccdl.cuda.memory_allocated()
    ccdl.cuda.reset_peak_memory_stats()
    x = empty(3 * MB)
    y = empty(100)
    assert ccdl.cuda.memory_allocated() - start == 3 * MB + 512
    del x
    assert ccdl.cuda.memory_allocated() - start == 512
    assert ccdl.cuda.max_memory_allocated() - start == 3 * MB + 512
    assert ccdl.cuda.memory_reserved() >= ccdl.cuda.memory_allocated()
    stats = ccdl.cuda.memory_stats()
    assert stats["allocated_bytes.all.current"] == ccdl.cuda.memory_allocated()
    assert "MiB" in ccdl.cuda.memory_summary()
    free, total = ccdl.cuda.mem_get_info()
    assert 0 <= free <= total
    del y
    assert ccdl.cuda.memory_allocated() == start


def test_empty_cache_gives_everything_back():
    x = empty(50 * MB)
    held = ccdl.cuda.memory_reserved()
    del x
    assert ccdl.cuda.memory_reserved() == held
    ccdl.cuda.empty_cache()
    assert ccdl.cuda.memory_reserved() <= held - 50 * MB


def test_out_of_memory_is_typed_names_sizes_and_leaves_the_device_usable():
    _, total = ccdl.cuda.mem_get_info()
    with pytest.raises(MemoryError, match=r"CUDA out of memory: a request of .* on cuda:0 .*free of.*reserved"):
        empty(total + 1)
    with pytest.raises(ccdl.cuda.OutOfMemoryError):
        empty(1 << 50)
    assert (ccdl.ones(3, device="cuda") + 1).tolist() == [2.0, 2.0, 2.0]
    assert ccdl.cuda.memory_stats()["num_ooms"] >= 2


def test_limit_empties_caches_before_it_refuses():
    ccdl._C._cuda_set_memory_limit(0, ccdl.cuda.memory_reserved() + 64 * MB)
    x = empty(40 * MB)
    del x  # cached: 40 MB of the 64
    retries = ccdl.cuda.memory_stats()["num_alloc_retries"]
    y = empty(60 * MB)
    assert ccdl.cuda.memory_stats()["num_alloc_retries"] == retries + 1
    with pytest.raises(MemoryError, match="limit"):
        empty(30 * MB)
    del y
    assert empty(30 * MB).numel() == 30 * MB


def test_fraction():
    _, total = ccdl.cuda.mem_get_info()
    ccdl.cuda.set_per_process_memory_fraction(0.25)
    with pytest.raises(MemoryError, match="limit"):
        empty(total // 2)
    ccdl.cuda.set_per_process_memory_fraction(1.0)
    for bad in (-0.1, 1.5, "much"):
        with pytest.raises(ValueError, match="fraction"):
            ccdl.cuda.set_per_process_memory_fraction(bad)


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_a_refused_block_inside_an_op_leaves_everything_usable(nth):
    x = ccdl.ones(8, 8, device="cuda", requires_grad=True)
    live = ccdl.cuda.memory_allocated()
    ccdl._C._cuda_set_alloc_fault(nth)
    try:
        ((x * 2).sum(0) + 1).sum().backward()
    except MemoryError as error:
        assert "fault injection" in str(error)
    ccdl._C._cuda_set_alloc_fault(0)
    x.grad = None
    (x * 3).sum().backward()
    assert x.grad.tolist() == [[3.0] * 8] * 8
    x.grad = None
    assert ccdl.cuda.memory_allocated() == live


def test_blocks_of_another_stream_are_not_taken():
    x = empty(1000)
    place = x.data_ptr()
    del x
    with ccdl.cuda.stream(ccdl.cuda.Stream()):
        assert empty(1000).data_ptr() != place
    assert empty(1000).data_ptr() == place


def test_record_stream_keeps_a_block_until_the_other_stream_is_done():
    side = ccdl.cuda.Stream()
    for value in range(4):
        x = ccdl.full((5000,), float(value), device="cuda")
        side.wait_stream(ccdl.cuda.current_stream())
        with ccdl.cuda.stream(side):
            y = x * 1
        x.record_stream(side)
        del x
        z = ccdl.full((5000,), 99.0, device="cuda")  # must not land in x's block before y was computed
        side.synchronize()
        assert y.tolist() == [float(value)] * 5000
        assert z[0].item() == 99.0


def test_record_stream_needs_the_tensor_s_device():
    with pytest.raises(RuntimeError, match="record_stream"):
        ccdl.ones(3, device="cpu").record_stream(ccdl.cuda.current_stream())


def test_blocks_may_be_freed_by_any_thread():
    kept = [ccdl.full((1000,), float(i), device="cuda") for i in range(8)]
    live = ccdl.cuda.memory_allocated()

    def work(i):
        for _ in range(30):
            y = kept[i] + 1
            del y
        kept[i] = None

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    ccdl.cuda.synchronize()
    assert ccdl.cuda.memory_allocated() == live - 8 * 4096


def test_empty_tensors_take_no_memory():
    before = ccdl.cuda.memory_allocated()
    x = empty((0, 4))
    assert ccdl.cuda.memory_allocated() == before
    assert (x + 1).shape == (0, 4)
    assert x.cpu().tolist() == []


def test_pinned_memory_copies_without_waiting():
    host = ccdl.arange(1000, dtype=ccdl.float32, device="cpu").pin_memory()
    assert host.is_pinned()
    assert not ccdl.ones(3, device="cpu").is_pinned()
    waits = ccdl.cuda._sync_count()
    x = host.to("cuda", non_blocking=True)
    back = ccdl.empty(1000, device="cpu").pin_memory()
    back.copy_(x, non_blocking=True)
    assert ccdl.cuda._sync_count() == waits
    ccdl.cuda.synchronize()
    assert back.tolist() == list(range(1000))


def test_host_memory_may_change_once_the_copy_returned():
    host = ccdl.zeros(200_000, device="cpu")
    waits = ccdl.cuda._sync_count()
    copies = []
    for i in range(5):
        host.fill_(float(i))
        copies.append(host.to("cuda"))
    assert ccdl.cuda._sync_count() == waits
    for i, x in enumerate(copies):
        assert x.sum().item() == 200_000.0 * i
