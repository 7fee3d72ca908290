"""nn.Module: registration, walking, state, hooks, text, copying."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections import OrderedDict

import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.norm = nn.BatchNorm2d(2)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(8, 3))
        self.register_buffer("scale", ccdl.ones(1))
        self.register_buffer("cache", ccdl.zeros(1), persistent=False)
        self.free = nn.Parameter(ccdl.zeros(2))

    def forward(self, x):
        return self.head(self.norm(self.conv(x))) * self.scale


def same(a, b):
    return a.shape == b.shape and bool((a == b).all())


def test_names_in_order_of_registration():
    names = ["free", "conv.weight", "conv.bias", "norm.weight", "norm.bias", "head.1.weight", "head.1.bias"]
    net = Net()
    assert [n for n, _ in net.named_parameters()] == names
    assert [n for n, _ in net.named_buffers()] == [
        "scale", "cache", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"]
    assert [n for n, _ in net.named_children()] == ["conv", "norm", "head"]
    assert [n for n, _ in net.named_modules()] == ["", "conv", "norm", "head", "head.0", "head.1"]
    assert "cache" not in net.state_dict()


def test_shared_parameters_are_listed_once():
    a = nn.Linear(2, 2)
    net = nn.ModuleList([a, a])
    assert len(list(net.parameters())) == 2
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    net[1].weight = a.weight
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_identity_of_parameters_survives():
    net = nn.Linear(2, 2)
    weight = net.weight
    net.double()
    assert net.weight is weight and weight.dtype == ccdl.float64
    net(ccdl.ones(1, 2, dtype=ccdl.float64)).sum().backward()
    assert weight.grad is weight.grad
    net.float()
    assert weight.grad.dtype == ccdl.float32
    net.load_state_dict({"weight": ccdl.ones(2, 2), "bias": ccdl.zeros(2)})
    assert net.weight is weight and weight.tolist() == [[1, 1], [1, 1]]


def test_assignment_rules():
    net = Net()
    with pytest.raises(TypeError, match="cannot assign 'Tensor' as parameter 'free'"):
        net.free = ccdl.ones(2)
    with pytest.raises(TypeError, match="as child module 'conv'"):
        net.conv = 3
    with pytest.raises(TypeError, match="as buffer 'scale'"):
        net.scale = 3
    net.scale = ccdl.zeros(1)
    assert net._buffers["scale"].item() == 0
    net.free = None
    assert "free" not in dict(net.named_parameters())
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("forward", ccdl.ones(1))
    with pytest.raises(KeyError, match=r'contain "\."'):
        net.register_parameter("a.b", nn.Parameter(ccdl.ones(1)))
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        net.nothing
    del net.conv
    assert not hasattr(net, "conv")

    class NoInit(nn.Module):
        def __init__(self):
            self.weight = nn.Parameter(ccdl.ones(1))

    with pytest.raises(AttributeError, match="before Module.__init__"):
        NoInit()


def test_forward_is_required():
    with pytest.raises(NotImplementedError, match='Module \\[Module\\] is missing the required "forward"'):
        nn.Module()(1)


def test_submodule_paths():
    net = Net()
    assert net.get_submodule("head.1") is net.head[1]
    assert net.get_submodule("") is net
    assert net.get_parameter("head.1.weight") is net.head[1].weight
    assert net.get_buffer("norm.running_mean") is net.norm.running_mean
    with pytest.raises(AttributeError, match="no attribute `9`"):
        net.get_submodule("head.9")
    net.set_submodule("head.1", nn.Identity())
    assert isinstance(net.head[1], nn.Identity)


def test_train_eval_apply_requires_grad_zero_grad():
    net = Net()
    assert net.eval() is net and not any(m.training for m in net.modules())
    net.train()
    seen = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen[-1] == "Net" and seen[0] == "Conv2d"
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    net.requires_grad_()
    net(ccdl.randn(2, 1, 4, 4)).sum().backward()
    assert net.conv.weight.grad is not None
    net.zero_grad(set_to_none=False)
    assert float(net.conv.weight.grad.abs().sum()) == 0
    net.zero_grad()
    assert net.conv.weight.grad is None
    with pytest.raises(ValueError, match="boolean"):
        net.train(1)


def test_to_forms():
    net = Net()
    for call in (lambda: net.to(ccdl.float64), lambda: net.to(dtype=ccdl.float64), lambda: net.to("cpu", ccdl.float64),
                 lambda: net.to(ccdl.ones(1, dtype=ccdl.float64))):
        net.float()
        assert call() is net and net.conv.weight.dtype == ccdl.float64
    assert net.norm.num_batches_tracked.dtype == ccdl.int64
    with pytest.raises(TypeError, match="floating point"):
        net.to(ccdl.int64)
    net.half()
    assert net.conv.weight.dtype == ccdl.float16
    net.bfloat16()
    assert net.conv.weight.dtype == ccdl.bfloat16


# --- state -----------------------------------------------------------------------------------------------------------


def test_state_dict_round_trip_and_metadata():
    a, b = Net(), Net()
    state = a.state_dict()
    assert isinstance(state, OrderedDict)
    assert state._metadata["norm"] == {"version": 2} and state._metadata[""] == {"version": 1}
    assert not state["conv.weight"].requires_grad
    assert a.state_dict(keep_vars=True)["conv.weight"] is a.conv.weight
    assert list(a.state_dict(prefix="x."))[0] == "x.free"
    result = b.load_state_dict(state)
    assert str(result) == "<All keys matched successfully>"
    assert all(same(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values()))


def test_one_error_lists_everything():
    net = Net()
    state = net.state_dict()
    del state["conv.bias"]
    state["extra"] = ccdl.ones(1)
    state["head.1.weight"] = ccdl.ones(3, 9)
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    assert "Error(s) in loading state_dict for Net" in text
    assert 'Missing key(s) in state_dict: "conv.bias"' in text
    assert 'Unexpected key(s) in state_dict: "extra"' in text
    assert "size mismatch for head.1.weight" in text and "[3, 9]" in text and "[3, 8]" in text
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict(state, strict=False)
    del state["head.1.weight"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["conv.bias", "head.1.weight"] and result.unexpected_keys == ["extra"]
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])
    with pytest.raises(RuntimeError, match="expected torch.Tensor or Tensor-like object from checkpoint but received .*int"):
        nn.Linear(1, 1).load_state_dict({"weight": 3, "bias": ccdl.ones(1)})


def test_assign_takes_the_tensors():
    net = nn.Linear(2, 1)
    weight = ccdl.ones(1, 2)
    net.load_state_dict({"weight": weight, "bias": ccdl.zeros(1)}, assign=True)
    assert isinstance(net.weight, nn.Parameter) and net.weight.requires_grad
    assert net.weight.data_ptr() == weight.data_ptr()


def test_old_batch_norm_state_has_no_counter():
    net = nn.BatchNorm1d(2)
    state = {k: v for k, v in net.state_dict().items() if k != "num_batches_tracked"}
    net.load_state_dict(state)


def test_extra_state_and_hooks_of_state():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return ccdl.tensor(self.count)

        def set_extra_state(self, state):
            self.count = int(state)

    a, b = Counted(), Counted()
    a.count = 5
    b.load_state_dict(a.state_dict())
    assert b.count == 5
    net = nn.Linear(1, 1)
    net.register_state_dict_post_hook(lambda module, state, prefix, meta: state.pop(prefix + "bias"))
    with pytest.raises(RuntimeError, match="return None"):
        net.state_dict()
    net = nn.Linear(1, 1)
    log = []
    net.register_state_dict_pre_hook(lambda module, prefix, keep: log.append("pre"))
    net.register_load_state_dict_pre_hook(lambda module, state, *rest: state.pop("old", None))
    net.register_load_state_dict_post_hook(lambda module, keys: keys.missing_keys.clear())
    state = net.state_dict()
    state["old"] = ccdl.ones(1)
    del state["bias"]
    assert log == ["pre"]
    net.load_state_dict(state)


# --- hooks -----------------------------------------------------------------------------------------------------------


def test_forward_hooks():
    net = nn.Linear(2, 1)
    log = []
    pre = net.register_forward_pre_hook(lambda m, args: (args[0] * 0,))
    post = net.register_forward_hook(lambda m, args, out: log.append(args[0].sum().item()) or out + 1)
    y = net(ccdl.ones(1, 2))
    assert log == [0.0] and y.item() == pytest.approx(net.bias.item() + 1)
    pre.remove()
    post.remove()
    assert same(net(ccdl.ones(1, 2)), F.linear(ccdl.ones(1, 2), net.weight, net.bias))


def test_hooks_with_kwargs_order_and_always():
    class Scale(nn.Module):
        def forward(self, x, factor=1):
            if factor == 0:
                raise ValueError("zero")
            return x * factor

    net, log = Scale(), []
    net.register_forward_pre_hook(lambda m, a, k: (a, {"factor": k["factor"] + 1}), with_kwargs=True)
    net.register_forward_hook(lambda m, a, k, out: log.append(k["factor"]), with_kwargs=True, always_call=True)
    net.register_forward_hook(lambda m, a, out: log.append("first"), prepend=True)
    assert net(ccdl.ones(1), factor=2).item() == 3 and log == ["first", 3]
    with pytest.raises(ValueError, match="zero"):
        net(ccdl.ones(1), factor=-1)
    assert log[-1] == 0


def test_global_forward_hook():
    from ccdl.nn.modules.module import register_module_forward_hook

    log = []
    with register_module_forward_hook(lambda m, a, out: log.append(type(m).__name__)):
        nn.Sequential(nn.ReLU(), nn.Tanh())(ccdl.ones(1))
    nn.ReLU()(ccdl.ones(1))
    assert log == ["ReLU", "Tanh", "Sequential"]


def test_full_backward_hooks():
    net = nn.Linear(3, 2)
    log = []
    net.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
    handle = net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)) or (None if gi[0] is None else (gi[0] * 10,)))
    x = ccdl.ones(4, 3, requires_grad=True)
    net(x).sum().backward()
    (gi,), (go,) = log[0]
    assert go.tolist() == [[2.0, 2.0]] * 4 and gi.shape == (4, 3)
    assert ccdl.allclose(x.grad, gi * 10)
    assert net.bias.grad.tolist() == [8.0, 8.0]
    log.clear()
    net(ccdl.ones(4, 3)).sum().backward()
    assert log[0][0] == (None,)
    handle.remove()
    net(x).sum().backward()
    assert len(log) == 1


# --- text, copies ----------------------------------------------------------------------------------------------------


def test_repr():
    net = nn.Sequential(OrderedDict(first=nn.Linear(2, 3), second=nn.Sequential(nn.ReLU(), nn.Dropout(0.1))))
    assert repr(net) == (
        "Sequential(\n"
        "  (first): Linear(in_features=2, out_features=3, bias=True)\n"
        "  (second): Sequential(\n"
        "    (0): ReLU()\n"
        "    (1): Dropout(p=0.1, inplace=False)\n"
        "  )\n"
        ")")
    assert repr(nn.ModuleList([nn.ReLU(), nn.ReLU(), nn.Tanh()])) == (
        "ModuleList(\n  (0-1): 2 x ReLU()\n  (2): Tanh()\n)")
    assert repr(nn.Identity()) == "Identity()"


def test_deepcopy_and_pickle():
    net = Net()
    net.head[1].weight.grad = ccdl.ones(3, 8)
    tied = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    tied[1].weight = tied[0].weight
    for clone in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert [n for n, _ in clone.named_parameters()] == [n for n, _ in net.named_parameters()]
        assert all(same(a, b) and a is not b for a, b in zip(clone.parameters(), net.parameters()))
        assert isinstance(clone.free, nn.Parameter) and clone.free.requires_grad
        x = ccdl.randn(2, 1, 4, 4)
        assert same(clone.eval()(x), net.eval()(x))
    again = copy.deepcopy(tied)
    assert again[0].weight is again[1].weight and again[0].weight is not tied[0].weight


def test_exceptions_name_the_users_line_first():
    class Bad(nn.Module):
        def forward(self, x):
            return x.no_such_method()

    with pytest.raises(AttributeError) as error:
        Bad()(ccdl.ones(1))
    assert "no_such_method" in str(error.traceback[-1].statement)


# --- parameters and containers ---------------------------------------------------------------------------------------


def test_parameter():
    p = nn.Parameter(ccdl.ones(2))
    assert isinstance(p, ccdl.Tensor) and p.is_leaf and p.requires_grad
    assert type(p * 2) is ccdl.Tensor
    assert not nn.Parameter(ccdl.ones(2), requires_grad=False).requires_grad
    assert repr(p).startswith("Parameter containing:\ntensor([1., 1.]") and repr(p).endswith("requires_grad=True)")
    with pytest.raises(TypeError, match="data is list"):
        nn.Parameter([1.0])


def test_sequential_list_operations():
    net = nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid())
    assert len(net) == 3 and isinstance(net[-1], nn.Sigmoid) and isinstance(net[:2], nn.Sequential)
    net.append(nn.Identity()).insert(0, nn.Flatten())
    assert [type(m).__name__ for m in net] == ["Flatten", "ReLU", "Tanh", "Sigmoid", "Identity"]
    del net[0]
    assert list(net._modules) == ["0", "1", "2", "3"]
    assert isinstance(net.pop(0), nn.ReLU)
    net[0] = nn.ELU()
    assert isinstance(net[0], nn.ELU)
    assert len(net + nn.Sequential(nn.ReLU())) == 4 and len(net * 2) == 6
    net.extend([nn.ReLU()])
    with pytest.raises(IndexError):
        net[10]
    with pytest.raises(ValueError):
        net * 0


def test_module_list_and_dict():
    layers = nn.ModuleList([nn.Linear(1, 1)])
    layers.append(nn.ReLU())
    layers.extend([nn.Tanh()])
    layers += [nn.Sigmoid()]
    layers.insert(1, nn.ELU())
    assert [type(m).__name__ for m in layers] == ["Linear", "ELU", "ReLU", "Tanh", "Sigmoid"]
    assert isinstance(layers[1:3], nn.ModuleList) and len(layers[1:3]) == 2
    with pytest.raises(NotImplementedError):
        layers(1)
    table = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    table["c"] = nn.Tanh()
    table.update([("d", nn.ELU())])
    assert list(table) == ["a", "b", "c", "d"] and "a" in table and len(table) == 4
    assert isinstance(table.pop("a"), nn.ReLU)
    del table["c"]
    assert list(table.keys()) == ["b", "d"] and "b.weight" in table.state_dict()


def test_parameter_list_and_dict():
    values = nn.ParameterList([ccdl.ones(2), nn.Parameter(ccdl.zeros(3))])
    values.append(ccdl.ones(1))
    assert len(values) == 3 and all(isinstance(p, nn.Parameter) for p in values)
    assert list(values.state_dict()) == ["0", "1", "2"] and values[-1].shape == (1,)
    assert "(0): Parameter containing: [" in repr(values)
    table = nn.ParameterDict({"w": ccdl.ones(2)})
    table["v"] = nn.Parameter(ccdl.zeros(1))
    assert list(table.keys()) == ["w", "v"] and list(table.state_dict()) == ["w", "v"]
    assert table.pop("w").shape == (2,) and "w" not in table
    assert table.get("w") is None


def test_buffer_class():
    net = nn.Module()
    net.a = nn.Buffer(ccdl.ones(1))
    net.b = nn.Buffer(ccdl.ones(1), persistent=False)
    assert [n for n, _ in net.named_buffers()] == ["a", "b"] and list(net.state_dict()) == ["a"]


def test_repr_and_keys_equal_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def build(n):
        return n.Sequential(n.Conv2d(1, 6, 5, padding="same"), n.BatchNorm2d(6), n.LeakyReLU(0.2), n.MaxPool2d(2),
                            n.ModuleList([n.Linear(2, 2), n.Linear(2, 2)]), n.Embedding(5, 2, padding_idx=0),
                            n.LayerNorm((3, 4)), n.GroupNorm(2, 4), n.ConvTranspose2d(2, 3, 3, output_padding=1, stride=2))

    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    names = {n for n in dir(torch.nn.Module) if not n.startswith("_") and inspect.isfunction(getattr(torch.nn.Module, n))}
    assert not {n for n in names if not hasattr(nn.Module, n)} - {"ipu", "xpu", "mtia"}


def test_modules_with_and_without_duplicates():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(net.modules())) == 3
    assert [type(m).__name__ for m in net.modules(remove_duplicate=False)] == ["Sequential", "Linear", "ReLU", "Linear"]


def test_global_hooks_see_every_module():
    seen = []
    net = nn.Sequential(nn.Linear(2, 2), nn.Tanh())
    module = nn.modules.module
    handles = [
        module.register_module_forward_pre_hook(lambda m, args: seen.append(("before", type(m).__name__))),
        module.register_module_forward_hook(
            lambda m, args, kwargs, out: seen.append(("after", type(m).__name__, len(kwargs))), with_kwargs=True
        ),
        module.register_module_full_backward_pre_hook(lambda m, g: seen.append(("pre", type(m).__name__))),
        module.register_module_full_backward_hook(lambda m, gi, go: seen.append(("back", type(m).__name__))),
    ]
    net(ccdl.ones(1, 2, requires_grad=True)).sum().backward()
    assert seen[0] == ("before", "Sequential") and ("after", "Tanh", 0) in seen
    assert [s[1] for s in seen if s[0] == "back"][:2] == ["Tanh", "Linear"]
    assert sum(s[0] == "pre" for s in seen) == 3
    for handle in handles:
        handle.remove()
    seen.clear()
    net(ccdl.ones(1, 2)).sum().backward()
    assert not seen


def test_global_hook_that_is_always_called():
    class Failing(nn.Module):
        def forward(self, x):
            raise ArithmeticError("on purpose")

    seen = []
    module = nn.modules.module
    with module.register_module_forward_hook(lambda m, a, out: seen.append(out), always_call=True):
        with pytest.raises(ArithmeticError):
            Failing()(1)
    assert seen == [None]


def test_registration_hooks():
    names = []
    module = nn.modules.module
    with (
        module.register_module_parameter_registration_hook(lambda m, name, p: names.append(name)),
        module.register_module_buffer_registration_hook(lambda m, name, b: None if b is None else b + 1),
        module.register_module_module_registration_hook(lambda m, name, sub: nn.Identity()),
    ):
        linear = nn.Linear(1, 1)
        holder = nn.Module()
        holder.register_buffer("mean", ccdl.zeros(1))
        holder.child = linear
        holder.add_module("other", linear)
    assert names == ["weight", "bias"] and holder.mean.item() == 1
    assert type(holder.child) is nn.Identity and type(holder.other) is nn.Identity


@pytest.mark.parametrize(
    ("lazy", "whole", "shape"),
    [
        (lambda: nn.LazyLinear(2), lambda: nn.Linear(5, 2), (3, 5)),
        (lambda: nn.LazyConv1d(4, 3, groups=2), lambda: nn.Conv1d(6, 4, 3, groups=2), (1, 6, 5)),
        (lambda: nn.LazyConvTranspose1d(4, 3), lambda: nn.ConvTranspose1d(6, 4, 3), (1, 6, 5)),
        (lambda: nn.LazyBatchNorm1d(), lambda: nn.BatchNorm1d(5), (3, 5)),
        (lambda: nn.LazyBatchNorm1d(affine=False), lambda: nn.BatchNorm1d(5, affine=False), (3, 5)),
    ],
)
def test_lazy_modules_copy_travel_and_load(lazy, whole, shape):
    for twin in (copy.deepcopy(lazy()), pickle.loads(pickle.dumps(lazy()))):
        assert twin.has_uninitialized_params() and twin(ccdl.ones(shape)).shape == whole()(ccdl.ones(shape)).shape
    reference, loaded = whole(), lazy()
    loaded.load_state_dict(reference.state_dict())
    assert not loaded.has_uninitialized_params()
    x = ccdl.randn(shape)
    assert ccdl.equal(loaded(x), reference(x)) and repr(loaded) == repr(reference)


class _Chosen(nn.Module):
    """Shows only one of its two layers, as wrappers of public code do."""

    def __init__(self):
        super().__init__()
        self.shown, self.hidden = nn.Linear(2, 3), nn.Linear(2, 3)

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        memo = set() if memo is None else memo
        if self not in memo:
            memo.add(self)
            yield prefix, self
            yield from self.shown.named_modules(memo, prefix + ("." if prefix else "") + "shown", remove_duplicate)


class _Renamed(nn.Sequential):
    def named_parameters(self, *args, **kwargs):
        yield "only", next(iter(super().named_parameters(*args, **kwargs)))[1]


def test_parameters_follow_named_parameters():
    shared = nn.Linear(2, 2)
    cyclic = nn.Sequential(nn.Linear(1, 1))
    cyclic.add_module("again", cyclic[0])
    tied = nn.Sequential(shared, nn.ReLU(), nn.Sequential(shared, nn.Linear(2, 1, bias=False)))
    tied[2][1].weight = shared.weight
    for net in (tied, cyclic, nn.Sequential(_Chosen(), nn.Linear(3, 1)), _Renamed(nn.Linear(2, 2)), nn.Module(), nn.Sequential(_Renamed(nn.Linear(2, 2))),
                nn.TransformerEncoderLayer(4, 2)):  # fmt: skip
        want = [p for _, p in net.named_parameters()]
        got = list(net.parameters())
        assert len(got) == len(want) and all(a is b for a, b in zip(got, want))
        everything = [p for m in nn.Module.modules(net) for p in m._parameters.values() if p is not None]
        for p in everything:
            p.grad = ccdl.ones_like(p)
        net.zero_grad()
        assert all(p.grad is None for p in got)
        for p in got:
            p.grad = ccdl.ones_like(p)
        net.zero_grad(set_to_none=False)
        assert all(float(p.grad.sum()) == 0 for p in got)
    chosen = _Chosen()
    hidden = chosen.hidden.weight
    hidden.grad = ccdl.ones_like(hidden)
    nn.Sequential(chosen).zero_grad()
    assert hidden.grad is not None


def test_arguments_of_to_and_insert() -> None:
    layer = nn.Linear(2, 3)
    assert layer.to(tensor=ccdl.zeros(2, 2, dtype=ccdl.float64)).weight.dtype == ccdl.float64
    assert layer.to(other=ccdl.zeros(2, 2)).weight.dtype == ccdl.float32
    with pytest.raises(RuntimeError, match="copy"):
        layer.to("cpu", copy=True)
    with pytest.raises(AssertionError, match="insert: module should be of type"):
        nn.Sequential(layer).insert(0, [layer])
    pool = nn.FractionalMaxPool2d(kernel_size=[2, 1], output_ratio=[0.5, 0.5, 0.6])
    with pytest.raises(ValueError, match="requires output_ratio to either be a single Int or tuple of Ints."):
        pool(ccdl.rand(2, 3, 10, 8))


def test_events_are_where_pytorch_keeps_them() -> None:
    from ccdl.autograd.profiler_util import FunctionEvent, FunctionEventAvg

    average = FunctionEventAvg()
    for start in (0.0, 5.0):
        average.add(FunctionEvent(0, "foo", 0, start, start + 3.0))
    assert (average.key, average.count, average.cpu_time_total, average.cpu_time) == ("foo", 2, 6.0, 3.0)


def test_buffers_of_other_kinds_and_signatures() -> None:
    class Plain(nn.Linear):
        def register_buffer(self, name: str, tensor: object) -> None:  # an older signature
            super().register_buffer(name, tensor)

    class Wrapped:
        __torch_function__ = None

    layer = Plain(2, 2)
    layer.mean = nn.Buffer(ccdl.zeros(2))
    assert list(layer.state_dict()) == ["weight", "bias", "mean"]
    module = nn.Module()
    module.mean = nn.Buffer(ccdl.zeros(2), persistent=False)
    assert not module.state_dict()
    module.mean = nn.Buffer(ccdl.ones(2))  # the newest one's word counts
    assert list(module.state_dict()) == ["mean"]
    module.count = 5
    with pytest.raises(KeyError, match="already exists"):
        module.count = nn.Buffer(ccdl.ones(2))
    first, second = Wrapped(), Wrapped()
    module.register_buffer("other", first)
    module.other = second
    assert module.other is second is module.get_buffer("other")
