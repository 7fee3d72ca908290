"""Files under attack from outside: kill -9 while saving, full and forbidden places, failing allocations."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import ccdl

WRITER = """
import sys, ccdl
path = sys.argv[1]
tensors = [{"x": ccdl.full((400_000,), float(i)), "y": ccdl.full((1000,), i)} for i in range(2)]
print("ready", flush=True)
i = 0
while True:
    ccdl._C._safetensors_save(path, tensors[i % 2], {"round": str(i)})
    i += 1
"""


def save(path: Path | str, tensors: dict[str, ccdl.Tensor], metadata: dict[str, str] | None = None) -> None:
    ccdl._C._safetensors_save(path, tensors, metadata)


def load(path: Path | str) -> tuple[dict[str, ccdl.Tensor], dict[str, str]]:
    return ccdl._C._safetensors_load(path)


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if "tmp" in p.name]


def test_round_trip_of_every_dtype(tmp_path: Path) -> None:
    names = "bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64".split()
    tensors = {n: ccdl.arange(6).reshape(2, 3).to(getattr(ccdl, n)) for n in names}
    tensors |= {"0-d": ccdl.tensor(3.5), "empty": ccdl.zeros(0, 4), "strided": ccdl.arange(12.0).reshape(3, 4).t()}
    path = tmp_path / "a.safetensors"
    save(path, tensors, {"k": "v\u00e9\n\"", "": "empty key"})
    back, metadata = load(path)
    assert list(back) == list(tensors) and metadata == {"k": "v\u00e9\n\"", "": "empty key"}
    for name, x in tensors.items():
        assert back[name].dtype == x.dtype and back[name].shape == x.shape and ccdl.equal(back[name], x), name
    save(str(path), {})
    assert load(str(path)) == ({}, {})


def test_arguments(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with pytest.raises(TypeError, match="'x' must be a tensor, got int"):
        save(path, {"x": 3})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="metadata value"):
        save(path, {}, {"k": 3})  # type: ignore[dict-item]
    with pytest.raises(ValueError, match="__metadata__"):
        save(path, {"__metadata__": ccdl.ones(1)})
    with pytest.raises(TypeError):
        save(5, {})  # type: ignore[arg-type]
    with pytest.raises(OSError, match="no/such"):
        save("/no/such/folder/file", {})
    with pytest.raises(OSError, match="missing"):
        load(tmp_path / "missing")
    with pytest.raises(OSError, match="regular file"):
        load(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_cut_short_while_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save(path, {"x": ccdl.ones(1000)})
    whole = path.read_bytes()
    for size in (0, 7, 8, 20, len(whole) - 4000, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(RuntimeError, match="safetensors"):
            load(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(RuntimeError, match="cover"):
        load(path)


def test_kill_during_save_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    chance = random.Random(1)
    last = -1
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None and child.stdout.readline().strip() == "ready"
        time.sleep(0.005 + 0.05 * chance.random())
        child.send_signal(signal.SIGKILL)
        child.wait()
        if not path.exists():
            continue
        tensors, metadata = load(path)
        last = int(metadata["round"])
        assert tensors["x"].amin() == tensors["x"].amax() == last % 2 == tensors["y"].amax()
    assert last >= 0
    save(path, {"x": ccdl.ones(3)})
    assert leftovers(tmp_path) == []


def test_a_full_disk_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, {"x": ccdl.ones(10)})
    old = path.read_bytes()
    code = f"""
import resource, signal, ccdl
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    ccdl._C._safetensors_save({str(path)!r}, {{"x": ccdl.ones(1_000_000)}})
except OSError as e:
    print("refused", e)
ccdl._C._safetensors_save({str(tmp_path / "small")!r}, {{"x": ccdl.ones(10)}})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("refused"), done.stderr
    assert path.read_bytes() == old and leftovers(tmp_path) == []
    assert (tmp_path / "small").exists()


def test_permissions_and_links_survive(tmp_path: Path) -> None:
    target, link = tmp_path / "real", tmp_path / "link"
    save(target, {"x": ccdl.ones(1)})
    os.chmod(target, 0o640)
    link.symlink_to(target)
    save(link, {"x": ccdl.ones(2)})
    assert link.is_symlink() and load(target)[0]["x"].shape == (2,)
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_stray_file_of_a_living_process_is_left_alone(tmp_path: Path) -> None:
    alive = tmp_path / f".model.ccdl-tmp-{os.getpid()}-77"
    alive.write_bytes(b"x")
    save(tmp_path / "model", {"x": ccdl.ones(1)})
    assert alive.exists()


def test_hostile_sizes_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a"
    before = ccdl._C._memory_stats()["reserved_bytes"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for header in ('{"x":{"dtype":"F32","shape":[4000000000],"data_offsets":[0,16000000000]}}',
                   '{"x":{"dtype":"U8","shape":[0,9223372036854775807],"data_offsets":[0,0]}' * 2):
        path.write_bytes(len(header).to_bytes(8, "little") + header.encode())
        with pytest.raises(RuntimeError):
            load(path)
    for length in (2**63, 2**40, 10**8 + 1, 10**8):
        path.write_bytes(length.to_bytes(8, "little") + b"{}")
        with pytest.raises(RuntimeError, match="header"):
            load(path)
    assert ccdl._C._memory_stats()["reserved_bytes"] == before
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 1024


TOKENS = [b'"', b"{", b"}", b"[", b"]", b",", b":", b"0", b"-1", b"9223372036854775807", b"18446744073709551616",
          b"1e3", b"\\u0000", b"\\ud83d\\ude00", b"\xff", b"null", b'"F64"', b'"__metadata__"', b" ", b"[[[[",
          b"data_offsets"]


def mutated(golden: bytes, chance: random.Random) -> bytes:
    """The file with a few tokens, bytes or pieces of its header replaced, removed or repeated."""
    s = bytearray(golden)
    header = int.from_bytes(golden[:8], "little")
    for _ in range(chance.randint(1, 4)):
        at = 8 + chance.randrange(header)
        kind = chance.random()
        if kind < 0.4:
            s[at : at + chance.randint(0, 3)] = chance.choice(TOKENS)
        elif kind < 0.7 and at < len(s):
            s[at] = chance.randrange(256)
        elif kind < 0.85:
            del s[at : at + chance.randint(1, 30)]
        else:
            piece = 8 + chance.randrange(header)
            s[at:at] = s[piece : piece + chance.randint(1, 60)]
    if chance.random() < 0.8:  # mostly with an honest length, so that the parser is reached
        s[:8] = max(len(s) - (len(golden) - header), 0).to_bytes(8, "little")
    return bytes(s)


def test_mutated_files_load_or_are_refused(tmp_path: Path) -> None:
    """CCDL_FUZZ=<count> runs more of them."""
    path = tmp_path / "a"
    save(path, {"a": ccdl.ones(2, 3), "b\u00e9": ccdl.ones(4, dtype=ccdl.bool), "c": ccdl.zeros(0, 5), "d": ccdl.arange(9)},
         {"m": "x", "n": '{"k": 1}'})
    golden = path.read_bytes()
    chance = random.Random(5)
    refused = 0
    count = int(os.environ.get("CCDL_FUZZ", "500"))
    for _ in range(count):
        path.write_bytes(mutated(golden, chance))
        try:
            load(path)
        except (RuntimeError, ValueError):
            refused += 1
    assert 0.9 * count < refused < count


def test_every_allocation_may_fail(tmp_path: Path) -> None:
    """The k-th allocation of a piece of work fails, for every k: a MemoryError, nothing leaks, then all is well."""
    path = tmp_path / "a"
    save(path, {"x": ccdl.ones(100, 100), "y": ccdl.ones(7)})

    def work() -> float:
        x = load(path)[0]["x"].requires_grad_()
        y = ((x @ x).relu().reshape(-1)[:50] * 2.0).softmax(0).sum() + (x.t() + 1).exp().mean()
        y.backward()
        save(path, {"x": x.detach(), "y": x.grad})
        return y.item()

    want = work()
    allocated = ccdl._C._memory_stats()["allocated_bytes"]
    for k in range(1, 500):
        ccdl._C._set_alloc_fault(k)
        try:
            got = work()
            ccdl._C._set_alloc_fault(0)
            assert got == want
            break
        except MemoryError:
            pass
    else:
        raise AssertionError("the work never got through")
    assert k > 5
    assert ccdl._C._memory_stats()["allocated_bytes"] <= allocated + 4096
    assert work() == want


def test_memory_limit(tmp_path: Path) -> None:
    ccdl._C._empty_cache()
    used = ccdl._C._memory_stats()["reserved_bytes"]
    try:
        ccdl.cpu.set_memory_limit(used + (8 << 20))
        with pytest.raises(MemoryError, match="limit"):
            ccdl.empty(8 << 20)
        assert ccdl.ones(1 << 20).sum().item() == 1 << 20
    finally:
        ccdl.cpu.set_memory_limit(0)
    assert ccdl.empty(8 << 20).numel() == 8 << 20
    with pytest.raises(ValueError):
        ccdl.cpu.set_memory_limit(-1)
    assert ccdl.cpu.memory_allocated() >= 0 and "limit" in ccdl.cpu.memory_summary()
