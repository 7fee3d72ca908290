"""Names by which frameworks built on PyTorch load: present, and honest about what is not done."""

from __future__ import annotations

import collections
import importlib

import numpy as np
import pytest

import ccdl


def test_places_of_classes():
    distributed = importlib.import_module("ccdl.nn.parallel.distributed")
    assert distributed.DistributedDataParallel is ccdl.nn.parallel.DistributedDataParallel
    assert importlib.import_module("ccdl.nn.parallel.data_parallel").DataParallel is ccdl.nn.DataParallel
    assert isinstance(ccdl.Tensor, ccdl._C._TensorMeta) and issubclass(ccdl.ScriptModule, ccdl.nn.Module)
    assert not isinstance(ccdl.nn.ReLU(), importlib.import_module("ccdl._dynamo").OptimizedModule)
    assert ccdl.jit.interface(ccdl.nn.ReLU) is ccdl.nn.ReLU and not ccdl.profiler.kineto_available()
    linear = importlib.import_module("ccdl.nn.modules.linear").NonDynamicallyQuantizableLinear
    assert type(ccdl.nn.MultiheadAttention(4, 2).out_proj) is linear and issubclass(linear, ccdl.nn.Linear)
    scaler = importlib.import_module("ccdl.cuda.amp.grad_scaler")
    modes = importlib.import_module("ccdl.cuda.amp.autocast_mode")
    assert scaler.GradScaler is ccdl.cuda.amp.GradScaler and modes.autocast is ccdl.cuda.amp.autocast
    with pytest.raises(ccdl._C._LinAlgError):
        ccdl.linalg.inv(ccdl.zeros(2, 2))
    text = importlib.import_module("ccdl._tensor_str")
    assert text._tensor_str(ccdl.ones(2), indent=0) == "[1., 1.]" and text.PRINT_OPTS.threshold == 1000


def test_what_is_not_done_says_so():
    fake = importlib.import_module("ccdl._subclasses.fake_tensor")
    assert not fake.is_fake(ccdl.ones(1)) and not isinstance(ccdl.ones(1), fake.FakeTensor)
    with pytest.raises(NotImplementedError, match="shapes"):
        fake.FakeTensorMode()
    with pytest.raises(ccdl.errors.CheckpointError, match="safetensors"):
        ccdl.PyTorchFileReader("x.pt")
    counter = importlib.import_module("ccdl.utils.flop_counter").FlopCounterMode(display=False)
    assert counter.get_flop_counts() == {} and counter.get_total_flops() == 0
    with pytest.raises(NotImplementedError, match="profiler"):
        counter.__enter__()
    rpc = ccdl.distributed.rpc
    assert not rpc.is_available()
    for call in (rpc.init_rpc, rpc.rpc_async, rpc.rpc_sync, rpc.remote, rpc.shutdown, rpc.RRef):
        with pytest.raises(RuntimeError, match="is_available"):
            call("name")


def test_internal_operators():
    aten = ccdl.ops.aten
    x = ccdl.arange(12.0).view(3, 4)
    want = np.arange(12.0).reshape(3, 4)
    rows, columns = np.array([2, 0]), np.array([1, 1])
    np.testing.assert_array_equal(aten.index.Tensor(x, [ccdl.tensor(rows), None]).numpy(), want[rows])
    np.testing.assert_array_equal(aten.index.Tensor(x, [ccdl.tensor(rows), ccdl.tensor(columns)]).numpy(), want[rows, columns])
    assert aten._to_copy.default(x, dtype=ccdl.int64).dtype == ccdl.int64 and aten.index.Tensor is aten.index.Tensor
    np.testing.assert_array_equal(aten.slice.Tensor(x, 1, 1, 3).numpy(), want[:, 1:3])
    with pytest.raises(AttributeError, match="no_such"):
        _ = aten.no_such


def test_arguments_of_to():
    parse = ccdl._C._nn._parse_to
    assert parse("cpu", ccdl.float64) == (ccdl.device("cpu"), ccdl.float64, False, None)
    assert parse(ccdl.float16, non_blocking=True)[:3] == (None, ccdl.float16, True)
    with pytest.raises(TypeError, match="floating point"):
        parse(ccdl.int64)
    assert ccdl._C._nn.gelu is ccdl.nn.functional.gelu


def test_containers_by_their_keys():
    pytree = importlib.import_module("ccdl.utils._pytree")
    Pair = collections.namedtuple("Pair", "a b")
    for tree, key in (([1, 2], list), (Pair(1, 2), collections.namedtuple), ({"x": 1}, dict)):
        assert pytree._get_node_type(tree) is key
        node = pytree.SUPPORTED_NODES[key]
        children, rest = node.flatten_fn(tree)
        assert node.unflatten_fn(list(children), rest) == tree
        spec = pytree.TreeSpec(key, rest, [pytree.LeafSpec() for _ in children])
        assert pytree.tree_unflatten(list(children), spec) == tree
    assert pytree._get_node_type(3) not in pytree.SUPPORTED_NODES


def test_pinned_memory_of_nested_data():
    pin = importlib.import_module("ccdl.utils.data._utils.pin_memory").pin_memory
    Pair = collections.namedtuple("Pair", "a b")

    class Batch:
        def pin_memory(self):
            return "pinned"

    got = pin({"x": [Batch(), "text"], "y": Pair(Batch(), 3)})
    assert got == {"x": ["pinned", "text"], "y": Pair("pinned", 3)}


def test_divergence_of_classes_of_other_libraries():
    class Other:  # a distribution by its own account
        pass

    @ccdl.distributions.register_kl(Other, Other)
    def of_others(p, q):
        return 7.0

    assert ccdl.distributions.kl_divergence(Other(), Other()) == 7.0
    with pytest.raises(TypeError, match="Distribution"):
        ccdl.distributions.register_kl(3, Other)
