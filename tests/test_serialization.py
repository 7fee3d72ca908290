"""save and load: nested data, tied tensors, other programs' files, damaged and hostile files."""

from __future__ import annotations

import io
import json
import os
import struct
from collections import OrderedDict

import pytest

import ccdl
import ccdl.nn as nn
from ccdl.errors import CheckpointError

ALL = (ccdl.float32, ccdl.float64, ccdl.float16, ccdl.bfloat16, ccdl.int8, ccdl.int16, ccdl.int32, ccdl.int64,
       ccdl.uint8, ccdl.bool)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".safetensors", ".bin", ""])
def test_any_suffix(tmp_path, suffix):
    path = tmp_path / ("model" + suffix)
    ccdl.save({"w": ccdl.ones(2)}, path)
    assert same(ccdl.load(str(path))["w"], ccdl.ones(2))
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("dtype", ALL, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3)])
def test_every_dtype_and_shape(tmp_path, dtype, shape):
    x = ccdl.ones(shape).to(dtype)
    ccdl.save(x, tmp_path / "x.pt")
    assert same(ccdl.load(tmp_path / "x.pt"), x)


def test_nested_data_keeps_its_types(tmp_path):
    value = {
        "list": [1, -2.5, True, None, "text"], "tuple": (1, (2,)), 3: {None: 1, 2.5: "x", (1, 2): "y", True: 0},
        "odict": OrderedDict(b=1, a=2), "size": ccdl.Size([1, 2]), "dtype": ccdl.bfloat16, "device": ccdl.device("cpu"),
        "inf": [float("inf"), -float("inf")], "big": 2**70, "small": 5e-324, "empty": [{}, [], ()],
        "unicode": "\u00e9\u4e2d\U0001f600", "float": 0.1,
    }
    ccdl.save(value, tmp_path / "x.pt")
    got = ccdl.load(tmp_path / "x.pt")
    assert got == value and repr(got) == repr(value)
    ccdl.save(float("nan"), tmp_path / "n.pt")
    assert str(ccdl.load(tmp_path / "n.pt")) == "nan"


def test_strided_tensors_and_parameters(tmp_path):
    x = ccdl.arange(6.0).reshape(2, 3)
    p = nn.Parameter(ccdl.ones(2))
    ccdl.save({"t": x.t(), "row": x[1], "wide": ccdl.ones(1).expand(4), "p": p, "g": ccdl.ones(1, requires_grad=True)},
              tmp_path / "x.pt")
    got = ccdl.load(tmp_path / "x.pt")
    assert same(got["t"], x.t()) and same(got["row"], x[1]) and got["wide"].tolist() == [1, 1, 1, 1]
    assert isinstance(got["p"], nn.Parameter) and got["p"].requires_grad and got["g"].requires_grad


def test_tied_tensors_are_stored_once(tmp_path):
    w = ccdl.randn(1000)
    ccdl.save({"a": w, "b": [w, w.detach()], "c": w.clone()}, tmp_path / "x.pt")
    assert os.path.getsize(tmp_path / "x.pt") < 9000
    got = ccdl.load(tmp_path / "x.pt")
    assert got["a"] is got["b"][0] and got["a"] is got["b"][1] and got["c"] is not got["a"]


def test_model_and_optimizer(tmp_path):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = ccdl.optim.Adam(net.parameters())
    net(ccdl.randn(4, 2)).sum().backward()
    optimizer.step()
    ccdl.save({"model": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}, tmp_path / "x.pt")
    got = ccdl.load(tmp_path / "x.pt", map_location="cpu", weights_only=True)
    other = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    other.load_state_dict(got["model"])
    assert got["model"]._metadata["1"] == {"version": 2}
    again = ccdl.optim.Adam(other.parameters())
    again.load_state_dict(got["optimizer"])
    state, want = again.state_dict()["state"], optimizer.state_dict()["state"]
    assert all(same(state[k][n], want[k][n]) for k in want for n in want[k])


def test_colliding_names(tmp_path):
    value = {"a.b": ccdl.zeros(1), "a": {"b": ccdl.ones(1)}, "": ccdl.ones(1) * 2}
    ccdl.save(value, tmp_path / "x.pt")
    got = ccdl.load(tmp_path / "x.pt")
    assert got["a.b"].item() == 0 and got["a"]["b"].item() == 1 and got[""].item() == 2


def test_file_objects():
    buffer = io.BytesIO()
    ccdl.save([ccdl.ones(3), "x"], buffer)
    buffer.seek(0)
    tensor, text = ccdl.load(buffer)
    assert tensor.tolist() == [1, 1, 1] and text == "x"
    with pytest.raises(TypeError, match="binary"):
        ccdl.load(io.StringIO("text"))


@pytest.mark.parametrize(("value", "where"), [
    ({"a": [1, range(2)]}, "'a.1'"), ({"m": nn.ReLU()}, "'m'"), ([b"x"], "'0'"), (object(), "at the top"), ({"c": 1j}, "'c'"),
    ({"f": len}, "'f'"),
])
def test_other_things_are_refused_with_their_path(tmp_path, value, where):
    with pytest.raises(TypeError, match="cannot store") as error:
        ccdl.save(value, tmp_path / "x.pt")
    assert where in str(error.value)
    assert os.listdir(tmp_path) == []


def test_cycles_and_depth_are_refused(tmp_path):
    loop = []
    loop.append(loop)
    with pytest.raises(ValueError, match="contains itself"):
        ccdl.save(loop, tmp_path / "x.pt")
    deep = []
    for _ in range(500):
        deep = [deep]
    with pytest.raises(ValueError, match="nested deeper"):
        ccdl.save(deep, tmp_path / "x.pt")


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_plain_safetensors_file(tmp_path):
    path = write(tmp_path / "m.safetensors", {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}},
                 struct.pack("<2f", 1.5, 2.5))
    assert {k: v.tolist() for k, v in ccdl.load(path).items()} == {"w": [1.5, 2.5]}


def test_files_are_readable_by_the_safetensors_package(tmp_path):
    reader = pytest.importorskip("safetensors.numpy", reason="the extra package is not installed")
    ccdl.save(nn.Linear(2, 3).state_dict(), tmp_path / "m.safetensors")
    assert set(reader.load_file(tmp_path / "m.safetensors")) == {"weight", "bias"}


def test_every_truncation_is_refused(tmp_path):
    path = tmp_path / "x.pt"
    ccdl.save({"w": ccdl.ones(3), "n": [1, 2]}, path)
    data = path.read_bytes()
    for size in range(len(data)):
        (tmp_path / "cut.pt").write_bytes(data[:size])
        with pytest.raises(CheckpointError):
            ccdl.load(tmp_path / "cut.pt")


def test_every_changed_header_byte_is_an_error_or_loads(tmp_path):
    path = tmp_path / "x.pt"
    ccdl.save({"w": ccdl.ones(3), "n": [1, (2.5, None)]}, path)
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    for i in range(8 + size):
        for flip in (1, 0x20, 0x80):
            (tmp_path / "bad.pt").write_bytes(data[:i] + bytes([data[i] ^ flip]) + data[i + 1 :])
            try:
                ccdl.load(tmp_path / "bad.pt")
            except CheckpointError:
                pass


@pytest.mark.parametrize("tree", [
    '{"$":"tensor","v":"missing"}', '{"$":"code","v":1}', '{"v":1}', '{"$":"tuple"}', '{"$":"dict","v":[[1]]}', "[",
    '{"$":"dtype","v":"load"}', '{"$":"dict","v":[[[1],2]]}', '{"$":"size","v":["x"]}', "[" * 5000 + "]" * 5000,
    '{"$":"device","v":"nowhere"}', '{"$":"float","v":"1e5"}', '{"$":["a"],"v":1}', "",
])
def test_hostile_structure_data(tmp_path, tree):
    path = write(tmp_path / "x.pt", {"__metadata__": {"ccdl.format": "1", "ccdl.tree": tree}})
    with pytest.raises(CheckpointError):
        ccdl.load(path)


def test_later_format_is_named(tmp_path):
    path = write(tmp_path / "x.pt", {"__metadata__": {"ccdl.format": "9", "ccdl.tree": "1"}})
    with pytest.raises(CheckpointError, match="format '9'"):
        ccdl.load(path)


def test_pickle_files_are_named_and_never_opened(tmp_path):
    import pickle

    class Trap:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path / 'trap'}",)

    (tmp_path / "old.pt").write_bytes(pickle.dumps({"x": Trap()}, 2))
    (tmp_path / "zip.pt").write_bytes(b"PK\x03\x04" + bytes(100))
    for name in ("old.pt", "zip.pt"):
        with pytest.raises(CheckpointError, match="pickle"):
            ccdl.load(tmp_path / name)
    assert not (tmp_path / "trap").exists()


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(OSError):
        ccdl.load(tmp_path / "none.pt")
    with pytest.raises(OSError):
        ccdl.save(ccdl.ones(1), tmp_path / "no" / "x.pt")


def test_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "x.pt"
    ccdl.save({"w": ccdl.ones(1)}, path)
    with pytest.raises(TypeError):
        ccdl.save({"w": ccdl.zeros(1), "bad": range(3)}, path)
    assert ccdl.load(path)["w"].item() == 1


def test_arrays_sets_and_namespaces(tmp_path):
    import argparse
    import types

    np = pytest.importorskip("numpy")
    path = tmp_path / "mixed.pt"
    given = {
        "array": np.arange(6, dtype=np.int16).reshape(2, 3).T, "empty": np.zeros((0, 3)), "unsigned": np.array([2**63], dtype=np.uint64),
        "complex": np.array([1 + 2j]), "0-d": np.array(3.0), "best": np.float64(0.5), "count": np.int32(7), "flag": np.bool_(True),
        "half": np.float16(1.5), "set": {1, "a"}, "frozen": frozenset([(1, 2)]), "args": argparse.Namespace(lr=0.1, layers=[1, 2]),
        "simple": types.SimpleNamespace(x=ccdl.ones(2)), "state": np.random.RandomState(0).get_state(),
    }  # fmt: skip
    ccdl.save(given, path)
    back = ccdl.load(path)
    for name in ("array", "empty", "unsigned", "complex", "0-d"):
        assert type(back[name]) is np.ndarray and back[name].dtype == given[name].dtype and back[name].flags.writeable
        np.testing.assert_array_equal(back[name], given[name])
    for name in ("best", "count", "flag", "half", "set", "frozen", "args"):
        assert back[name] == given[name] and type(back[name]) is type(given[name])
    assert ccdl.equal(back["simple"].x, ccdl.ones(2))
    again = np.random.RandomState(1)
    again.set_state(back["state"])
    assert again.rand() == np.random.RandomState(0).rand()
    for refused in (np.array([object()]), np.array(["text"]), np.array(["2020-01-01"], dtype="datetime64[D]"), np.random.RandomState(0)):
        with pytest.raises(TypeError, match="cannot store"):
            ccdl.save({"x": refused}, path)


@pytest.mark.parametrize("node", [
    {"$": "array", "v": {"$": "tensor", "v": "x"}, "t": "|O8", "s": [1]}, {"$": "array", "v": {"$": "tensor", "v": "y"}, "t": "<f8", "s": [1]},
    {"$": "array", "v": {"$": "tensor", "v": "x"}, "t": "<f8", "s": [3]}, {"$": "scalar", "v": {"$": "tensor", "v": "x"}, "t": "<f8,<f8", "s": []},
    {"$": "namespace", "v": {"$": "dict", "v": [[1, 2]]}}, {"$": "set", "v": [[1]]}, {"$": "simplenamespace", "v": [1]},
])  # fmt: skip
def test_hostile_arrays_and_namespaces(tmp_path, node):
    path = tmp_path / "hostile.pt"
    ccdl._C._safetensors_save(str(path), {"x": ccdl.zeros(8, dtype=ccdl.uint8)}, {"ccdl.format": "1", "ccdl.tree": json.dumps(node)})
    with pytest.raises(CheckpointError):
        ccdl.load(path)
