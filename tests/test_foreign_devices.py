"""Devices that programs only compare with: their names are values, tensors on them a clear error."""

import copy
import pickle

import pytest

import ccdl

FOREIGN = ["meta", "mps", "xpu", "hpu", "npu", "mtia", "ipu", "xla"]


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_device_is_a_value(kind):
    device = ccdl.device(kind)
    assert device.type == kind and device.index is None
    assert str(device) == kind and repr(device) == f"device(type='{kind}')"
    assert device == ccdl.device(kind) and hash(device) == hash(ccdl.device(kind))
    assert {ccdl.device(other) for other in FOREIGN} - {device} == {
        ccdl.device(other) for other in FOREIGN if other != kind
    }
    assert device != ccdl.device("cpu") and device != ccdl.zeros(1).device and device != ccdl.device("cuda")
    assert pickle.loads(pickle.dumps(device)) == device == copy.deepcopy(device)
    numbered = ccdl.device(kind, 1)
    assert numbered == ccdl.device(f"{kind}:1") != device and numbered.index == 1
    assert str(numbered) == f"{kind}:1" and repr(numbered) == f"device(type='{kind}', index=1)"
    assert ccdl.device(device) is device


@pytest.mark.parametrize("kind", FOREIGN)
def test_tensors_on_a_foreign_device_are_an_error(kind):
    x, layer = ccdl.ones(2), ccdl.nn.Linear(2, 2)
    for call in [
        lambda: ccdl.zeros(2, device=kind),
        lambda: ccdl.zeros(2, device=ccdl.device(kind)),
        lambda: ccdl.tensor([1.0], device=kind),
        lambda: x.to(kind),
        lambda: x.to(ccdl.device(kind)),
        lambda: layer.to(kind),
        lambda: ccdl.nn.Linear(2, 2, device=kind),
        lambda: ccdl.Generator(device=kind),
    ]:
        with pytest.raises(NotImplementedError, match=f"no tensors on '{kind}'"):
            call()
    with pytest.raises(NotImplementedError, match="only on cpu and cuda"), ccdl.device(kind):
        pass
    assert ccdl.zeros(1).device == ccdl.device("cpu") and layer(x).shape == (2,)


def test_unknown_kinds_stay_errors():
    for text in ["gpu", "", "meta2", "CPU", "cuda:x", "meta:x", "meta:-1"]:
        with pytest.raises(RuntimeError):
            ccdl.device(text)
    with pytest.raises(RuntimeError):
        ccdl.device("meta:1", 2)
    with pytest.raises(TypeError):
        ccdl.device(1.5)
