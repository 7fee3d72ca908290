"""Names that public code reaches for around a model: lists of tensors, nested containers, other devices, compilers."""

from __future__ import annotations

import importlib
from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

import ccdl
from ccdl.utils import _pytree

Pair = namedtuple("Pair", "left right")


def lists(count=3, seed=0):
    g = ccdl.Generator().manual_seed(seed)
    return [ccdl.rand(2 + i, 3, generator=g) + 0.5 for i in range(count)]


@pytest.mark.parametrize("name", "abs exp log neg reciprocal round rsqrt sign sqrt tanh sigmoid floor".split())
def test_foreach_of_one_list(name):
    np = pytest.importorskip("numpy")
    reference = {"abs": np.abs, "exp": np.exp, "log": np.log, "neg": np.negative, "reciprocal": lambda x: 1 / x, "round": np.round,
                 "rsqrt": lambda x: x**-0.5, "sign": np.sign, "sqrt": np.sqrt, "tanh": np.tanh,
                 "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "floor": np.floor}[name]  # fmt: skip
    xs = [x.double() for x in lists()]
    results = getattr(ccdl, f"_foreach_{name}")(xs)
    assert isinstance(results, tuple)
    for x, y in zip(xs, results, strict=True):
        np.testing.assert_allclose(y.numpy(), reference(x.numpy()), rtol=1e-12)
    written = [x.clone() for x in xs]
    assert getattr(ccdl, f"_foreach_{name}_")(written) is written
    assert all(ccdl.equal(a, b) for a, b in zip(written, results, strict=True))


@pytest.mark.parametrize("name", "add sub mul div pow maximum minimum clamp_min clamp_max".split())
@pytest.mark.parametrize("kind", ["list", "number", "numbers", "tensor"])
def test_foreach_of_two_operands(name, kind):
    np = pytest.importorskip("numpy")
    reference = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "pow": np.power, "maximum": np.maximum,
                 "minimum": np.minimum, "clamp_min": np.maximum, "clamp_max": np.minimum}[name]  # fmt: skip
    xs = [x.double() for x in lists()]
    other = {"list": [y.double() for y in lists(seed=1)], "number": 0.75, "numbers": [0.25, 0.5, 2.0],
             "tensor": ccdl.tensor(0.75, dtype=ccdl.float64)}[kind]  # fmt: skip
    rows = other if isinstance(other, list) else [other] * len(xs)
    results = getattr(ccdl, f"_foreach_{name}")(xs, other)
    written = [x.clone() for x in xs]
    assert getattr(ccdl, f"_foreach_{name}_")(written, other) is written
    for x, o, y, w in zip(xs, rows, results, written, strict=True):
        expected = reference(x.numpy(), o.numpy() if isinstance(o, ccdl.Tensor) else o)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12)
        assert ccdl.equal(y, w)


def test_foreach_with_scales_and_three_lists():
    xs, ys, zs = lists(seed=1), lists(seed=2), lists(seed=3)
    for x, y, r in zip(xs, ys, ccdl._foreach_add(xs, ys, alpha=-2.0), strict=True):
        assert ccdl.allclose(r, x - 2 * y)
    for x, y, z, r in zip(xs, ys, zs, ccdl._foreach_addcdiv(xs, ys, zs, value=0.5), strict=True):
        assert ccdl.allclose(r, x + 0.5 * y / z)
    scales = [1.0, 2.0, 3.0]
    for s, x, y, z, r in zip(scales, xs, ys, zs, ccdl._foreach_addcmul(xs, ys, zs, scales), strict=True):
        assert ccdl.allclose(r, x + s * y * z)
    by_tensor = ccdl._foreach_addcmul(xs, ys, zs, ccdl.tensor(scales))
    assert all(ccdl.equal(a, b) for a, b in zip(by_tensor, ccdl._foreach_addcmul(xs, ys, zs, scales), strict=True))
    for x, y, r in zip(xs, ys, ccdl._foreach_lerp(xs, ys, 0.25), strict=True):
        assert ccdl.allclose(r, x + 0.25 * (y - x))
    assert [n.item() for n in ccdl._foreach_norm([ccdl.tensor([3.0, 4.0]), ccdl.ones(1)])] == [5.0, 1.0]
    copies = [ccdl.zeros_like(x) for x in xs]
    ccdl._foreach_copy_(copies, xs)
    assert all(ccdl.equal(a, b) for a, b in zip(copies, xs, strict=True))
    ccdl._foreach_zero_(copies)
    assert not any(c.any() for c in copies)
    assert ccdl._foreach_pow(2.0, [ccdl.tensor([3.0])])[0].tolist() == [8.0]


def test_foreach_carries_gradients():
    xs = [ccdl.ones(2, requires_grad=True), ccdl.ones(3, requires_grad=True)]
    sum(y.sum() for y in ccdl._foreach_mul(xs, 3.0)).backward()
    assert [x.grad.tolist() for x in xs] == [[3.0] * 2, [3.0] * 3]


@pytest.mark.parametrize("call, error", [
    (lambda: ccdl._foreach_add(ccdl.ones(2), 1), TypeError), (lambda: ccdl._foreach_add([], 1), RuntimeError),
    (lambda: ccdl._foreach_add([ccdl.ones(1), None], 1), TypeError), (lambda: ccdl._foreach_mul([ccdl.ones(1)], [ccdl.ones(1)] * 2), RuntimeError),
    (lambda: ccdl._foreach_mul([ccdl.ones(1)], 2, alpha=3), TypeError), (lambda: ccdl._foreach_mul_([ccdl.ones(1)], 2, alpha=3), TypeError),
    (lambda: ccdl._foreach_maximum_([ccdl.ones(1)], [ccdl.ones(2)]), RuntimeError), (lambda: ccdl._foreach_nothing, AttributeError),
])  # fmt: skip
def test_foreach_errors(call, error):
    with pytest.raises(error):
        call()


@pytest.mark.parametrize("tree", [
    3, None, [1, 2], (1, (2, [3])), {"b": 1, "a": {"c": 2}}, OrderedDict(z=1, a=2), Pair(1, [2]), deque([1, 2], maxlen=3), [], {}, [[], 1],
])  # fmt: skip
def test_trees_come_back(tree):
    leaves, spec = _pytree.tree_flatten(tree)
    assert spec.num_leaves == len(leaves) and spec == _pytree.tree_structure(tree)
    back = _pytree.tree_unflatten(leaves, spec)
    assert back == tree and type(back) is type(tree)


def test_trees_in_detail():
    counts = defaultdict(list, a=[1], b=[2, 3])
    doubled = _pytree.tree_map(lambda x: 2 * x, counts)
    assert doubled == {"a": [2], "b": [4, 6]} and doubled["new"] == []
    assert _pytree.tree_map(lambda a, b: a + b, [1, (2,)], [10, (20,)]) == [11, (22,)]
    assert _pytree.tree_map_only(int, str, [1, "x", 2.0]) == ["1", "x", 2.0]
    assert _pytree.tree_leaves([(1, 2), 3], is_leaf=lambda x: isinstance(x, tuple)) == [(1, 2), 3]
    assert _pytree.tree_any(lambda x: x > 2, [1, [3]]) and not _pytree.tree_all(lambda x: x > 2, [1, [3]])
    assert repr(_pytree.tree_structure([1])) == "TreeSpec(list, None, [*])"
    with pytest.raises(ValueError):
        _pytree.tree_map(lambda a, b: a, [1], [1, 2])
    with pytest.raises(ValueError):
        _pytree.tree_unflatten([1], _pytree.tree_structure([1, 2]))
    with pytest.raises(TypeError):
        _pytree.tree_unflatten([1], None)

    class Box:
        def __init__(self, inside):
            self.inside = inside

    _pytree.register_pytree_node(Box, lambda b: ([b.inside], None), lambda values, _: Box(values[0]))
    assert _pytree.tree_map(lambda x: x + 1, Box(1)).inside == 2


def test_the_accelerator_is_cuda_or_none():
    device = ccdl.accelerator.current_accelerator()
    assert (device is not None) == ccdl.accelerator.is_available() == ccdl.cuda.is_available()
    assert ccdl.accelerator.device_count() == ccdl.cuda.device_count()
    with ccdl.accelerator.device_index(None):
        pass
    with pytest.raises(ValueError, match="no accelerator"):
        ccdl.accelerator.set_device_index("cpu")
    if device is None:
        with pytest.raises(RuntimeError):
            ccdl.accelerator.synchronize()
    assert not ccdl.mps.is_available() and not ccdl.xpu.is_available()
    with pytest.raises(RuntimeError):
        ccdl.mps.synchronize()


def test_compilers_are_accepted_without_effect():
    assert not ccdl.compiler.is_compiling() and ccdl.compiler.list_backends() == []

    @ccdl.compiler.disable
    def one():
        return 1

    @ccdl._dynamo.disable(recursive=False)
    def two():
        return 2

    assert (one(), two()) == (1, 2)
    config = importlib.import_module("ccdl._inductor.config")
    config.triton.unique_kernel_names = False
    config.triton.unique_kernel_names = True
    importlib.import_module("ccdl._dynamo.config").suppress_errors = False
    with ccdl.compiler.set_stance("force_eager"):
        pass
    assert not importlib.import_module("ccdl._dynamo.utils").is_compile_supported("cpu") and ccdl.jit._script_if_tracing(one) is one
    with importlib.import_module("ccdl._dynamo._trace_wrapped_higher_order_op").TransformGetItemToIndex():
        assert ccdl.arange(3)[ccdl.tensor(2)].item() == 2


def test_export_is_named_and_refused():
    assert not ccdl.onnx.is_in_onnx_export() and ccdl.onnx.TrainingMode.EVAL.value == 0
    with pytest.raises(RuntimeError, match="export is not implemented"):
        ccdl.onnx.export(ccdl.nn.ReLU(), (ccdl.ones(1),), "model.onnx")
    from ccdl.jit.annotations import BroadcastingList2, List

    assert BroadcastingList2[int] == List[int]

    assert List[int] is not None


def test_what_is_told_to_the_extension_has_no_effect():
    assert ccdl._C._log_api_usage_once("model") is None and ccdl._C._get_tracing_state() is None
    ccdl._C._jit_set_profiling_mode(False)


def test_versions_compare_by_number():
    version = ccdl.torch_version.TorchVersion("1.10.2+cpu")
    assert version > "1.9.9" and version >= (1, 10) and version < "2" and version <= "1.10.2" and version == "1.10.2"
    assert version != "1.10.3" and version != "unknown" and hash(version) == hash("1.10.2+cpu")
    with pytest.raises(ValueError):
        _ = version < "unknown"


def test_small_names():
    assert ccdl.functional.einsum is ccdl.einsum
    assert ccdl.spmm(ccdl.eye(2), ccdl.ones(2, 3)).tolist() == [[1.0] * 3] * 2
    ccdl._assert(True, "fine")
    with pytest.raises(AssertionError, match="broken"):
        ccdl._assert(ccdl.tensor(False), "broken")
    x = ccdl.ones(2)
    assert x.real is x and not x.is_sparse_csr and not x.is_xla
    with ccdl.serialization.safe_globals([dict]):
        assert dict in ccdl.serialization.get_safe_globals()
    assert ccdl.serialization.get_safe_globals() == []
    assert not isinstance(ccdl.ones(1), ccdl.cuda.FloatTensor) and isinstance(ccdl.ones(1), ccdl.FloatTensor)
    from ccdl.nn.modules.transformer import _get_activation_fn, _get_clones
    from ccdl.utils.data._utils.collate import default_collate

    assert default_collate is ccdl.utils.data.default_collate and _get_activation_fn("relu") is ccdl.nn.functional.relu
    first, second = _get_clones(ccdl.nn.Linear(2, 2), 2)
    assert first.weight is not second.weight and ccdl.equal(first.weight, second.weight)


def test_a_truth_value_counts_as_a_number_where_a_float_is_asked():
    assert ccdl.nn.functional.pad(ccdl.zeros(1), (1, 0), value=True).tolist() == [1.0, 0.0]
    assert ccdl.nn.functional.pad(ccdl.zeros(1, dtype=ccdl.bool), (1, 0), value=True).tolist() == [True, False]
    assert ccdl.nn.functional.leaky_relu(ccdl.tensor([-2.0]), True).tolist() == [-2.0]
    with pytest.raises(TypeError):
        ccdl.linspace(0, 1, True)


@pytest.mark.parametrize("name, shape, per", [
    ("dropout2d", (40, 50), (40, 50)), ("dropout2d", (20, 30, 2, 2, 2), (20, 30, 1, 1, 1)), ("dropout3d", (500, 4), (500, 1)),
    ("dropout3d", (500, 4, 2), (500, 1, 1)),
])  # fmt: skip
def test_channel_dropout_of_other_dimensions_warns(name, shape, per):
    with pytest.warns(UserWarning, match=f"{len(shape)}-D input to {name}"):
        y = getattr(ccdl.nn.functional, name)(ccdl.ones(shape), 0.25)
    decisions = y.amax(tuple(d for d in range(len(shape)) if per[d] != shape[d])) if per != shape else y
    assert set(y.unique().tolist()) == {0.0, ccdl.tensor(1 / 0.75).item()}
    assert abs(decisions.count_nonzero().item() / decisions.numel() - 0.75) < 0.08
    assert ccdl.equal(y, decisions.reshape(per).expand(shape))
    with pytest.raises(RuntimeError, match="dimensions in the input"), pytest.warns(UserWarning):
        getattr(ccdl.nn.functional, name)(ccdl.tensor(1.0), 0.25)


def test_the_older_kind_of_backward_hook():
    """It sees the gradients of the node that made the output, and leaves the output as it is: in-place code goes on working."""
    seen = []
    layer = ccdl.nn.Linear(2, 3)
    handle = layer.register_backward_hook(lambda module, grad_in, grad_out: seen.append((module, len(grad_in), grad_out[0].shape)))
    y = layer(ccdl.ones(4, 2))
    ccdl.nn.functional.relu_(y).sum().backward()
    assert seen[0][0] is layer and seen[0][2] == (4, 3) and seen[0][1] >= 2
    with pytest.raises(RuntimeError, match="Cannot use both"):
        layer.register_full_backward_hook(lambda *a: None)
    handle.remove()
    layer(ccdl.ones(1, 2)).sum().backward()
    assert len(seen) == 1
    other = ccdl.nn.Linear(2, 3)
    other.register_full_backward_hook(lambda *a: None)
    with pytest.raises(RuntimeError, match="Cannot use both"):
        other.register_backward_hook(lambda *a: None)


def test_writes_through_data_are_not_counted():
    """A custom function that fills a scratch tensor through ``.data`` differentiates, as ODE solvers do; detach() still counts."""
    x = ccdl.zeros(3)
    x.data[0] = 1.0
    assert x._version == 0 and x.tolist() == [1.0, 0.0, 0.0]
    x.detach()[1] = 2.0
    assert x._version == 1

    w = ccdl.ones(2, requires_grad=True)
    y = (w * 2).exp()
    y.data[0] = 0.0
    y.sum().backward()
    assert w.grad[0] == 0.0
    z = (w * 2).exp()
    z.detach()[0] = 0.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()

    p = ccdl.ones(2, requires_grad=True)
    q = p * p
    p.data = ccdl.zeros(2)
    assert p._version == 0
    q.sum().backward()


def test_states_of_device_generators_as_reversible_layers_save_them() -> None:
    from ccdl.utils.checkpoint import get_device_states, set_device_states

    assert ccdl.cuda._initialized in (False, True)
    devices, states = get_device_states(ccdl.ones(1), {"x": [ccdl.ones(1)]})
    assert devices == [] and states == []
    set_device_states(devices, states)
    with ccdl.random.fork_rng(devices=devices, enabled=True):
        first = ccdl.rand(3)
    assert ccdl.equal(first, ccdl.rand(3))
