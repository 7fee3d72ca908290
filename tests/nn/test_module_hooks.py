"""Hooks common to all modules, and the order in which hooks run."""

import warnings

import pytest

import ccdl
import ccdl.nn as nn


def test_global_forward_hooks_with_kwargs_and_always():
    from ccdl.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

    class Scale(nn.Module):
        def forward(self, x, factor=1):
            if factor == 0:
                raise ValueError("zero")
            return x * factor

    net, log = Scale(), []
    with register_module_forward_hook(lambda m, a, k, out: log.append((k["factor"], out)), with_kwargs=True, always_call=True), \
         register_module_forward_pre_hook(lambda m, a: (a[0] + 1,)):
        assert net(ccdl.ones(1), factor=3).item() == 6 and log[0][0] == 3
        with pytest.raises(ValueError, match="zero"):
            net(ccdl.ones(1), factor=0)
        assert log[1] == (0, None)
    assert net(ccdl.ones(1), factor=3).item() == 3 and len(log) == 2
    net.register_forward_hook(lambda m, a, out: {}["absent"], always_call=True)
    with pytest.warns(UserWarning, match="silenced"), pytest.raises(ValueError, match="zero"):
        net(ccdl.ones(1), factor=0)


def test_global_backward_hooks():
    from ccdl.nn.modules import module as hooks

    ccdl.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    x = ccdl.randn(4, 3, requires_grad=True)
    net(x).sum().backward()
    want = x.grad.clone()
    log = []
    net[0].register_full_backward_hook(lambda m, gi, go: log.append("own"))
    with hooks.register_module_full_backward_hook(lambda m, gi, go: log.append(type(m).__name__)), \
         hooks.register_module_full_backward_pre_hook(lambda m, go: (go[0] * 2,)):
        x.grad = None
        net(x).sum().backward()
    assert log == ["ReLU", "Linear", "own", "Sequential"]
    assert ccdl.allclose(x.grad, want * 8)  # each of three modules doubled
    log.clear()
    older = []
    with hooks.register_module_backward_hook(lambda m, gi, go: older.append((type(m).__name__, len(go)))):
        x.grad = None
        net(x).sum().backward()
        with pytest.raises(RuntimeError, match="Cannot use both"):
            hooks.register_module_full_backward_hook(print)
    assert log == ["own"] and older == [("ReLU", 1), ("Sequential", 1), ("Linear", 1)] and ccdl.equal(x.grad, want)
    with pytest.raises(TypeError, match="callable"):
        hooks.register_module_full_backward_hook(3)
    log.clear()
    net(x).sum().backward()
    assert log == ["own"]


def test_output_hooks_come_after_forward_hooks():
    """What a forward hook makes of the output is what the backward hooks see the gradient of."""
    net, seen = nn.Identity(), []
    net.register_full_backward_hook(lambda m, gi, go: seen.append((gi[0].item(), go[0].item())))
    net.register_forward_hook(lambda m, a, out: out * 3)
    x = ccdl.ones(1, requires_grad=True)
    net(x).sum().backward()
    assert seen == [(3.0, 1.0)]

    class Dicts(nn.Module):
        def forward(self, x):
            return {"y": x}

    net = Dicts()
    net.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.warns(UserWarning, match="Tensor or a tuple of Tensors"):
        net(x)


def test_registration_hooks():
    from ccdl.nn.modules import module as hooks

    log = []
    note = lambda kind: lambda m, name, value: log.append((kind, name))
    with hooks.register_module_parameter_registration_hook(note("p")), hooks.register_module_buffer_registration_hook(note("b")), \
         hooks.register_module_module_registration_hook(note("m")):
        net = nn.Sequential(nn.BatchNorm1d(2))
    assert {("p", "weight"), ("p", "bias"), ("b", "running_mean"), ("m", "0")} <= set(log)
    with hooks.register_module_parameter_registration_hook(lambda m, name, p: nn.Parameter(p.double())), \
         hooks.register_module_module_registration_hook(lambda m, name, child: nn.Tanh() if isinstance(child, nn.ReLU) else None):
        other = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        other.last = nn.ReLU()
    assert other[0].weight.dtype == ccdl.float64 and isinstance(other[1], nn.Tanh) and isinstance(other.last, nn.Tanh)
    assert isinstance(nn.Sequential(nn.ReLU())[0], nn.ReLU) and len(net) == 1


def test_global_hooks_as_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def run(lib):
        m = lib.nn.modules.module
        net = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.Sigmoid(), lib.nn.Linear(3, 1))
        log = []
        with m.register_module_forward_pre_hook(lambda mod, a: log.append(("pre", type(mod).__name__))), \
             m.register_module_forward_hook(lambda mod, a, o: log.append(("post", type(mod).__name__, tuple(o.shape)))), \
             m.register_module_full_backward_hook(lambda mod, gi, go: log.append(("back", type(mod).__name__, [g is None for g in gi]))), \
             m.register_module_full_backward_pre_hook(lambda mod, go: log.append(("back pre", type(mod).__name__))):
            net(lib.ones(4, 2)).sum().backward()
            net(lib.ones(4, 2, requires_grad=True)).sum().backward()
        return log

    assert run(ccdl) == run(torch)


def test_older_backward_hooks_warn_where_they_do_not_see_the_inputs_gradients():
    class Made(nn.Module):
        def __init__(self, function):
            super().__init__()
            self.forward = function
            self.register_backward_hook(lambda *args: None)

    a, b = ccdl.rand(2, requires_grad=True), ccdl.rand(2, requires_grad=True)
    for function, args, text in (
        (lambda m: m[0].clone(), ([a],), "does not take as input"),
        (lambda x, y: [x.clone(), y.clone()], (a, b), "does not return"),
        (lambda x, y: (x.clone(), y.clone()), (a, b), "different autograd Nodes"),
        (lambda x: x.clone().clone(), (a,), "multiple autograd Nodes"),
    ):
        with pytest.warns(FutureWarning, match=text):
            Made(function)(*args)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Made(lambda x: x * 2)(a)


def test_inputs_without_gradients_stay_without_and_cannot_be_given_one():
    seen = []

    class Pair(nn.Module):
        def forward(self, x, y):
            seen.append((x.requires_grad, y.requires_grad))
            return x * y

    net = Pair()
    net.register_full_backward_hook(lambda m, gi, go: seen.append([g is None for g in gi]))
    net(ccdl.ones(2, requires_grad=True), ccdl.ones(2)).sum().backward()
    assert seen == [(True, False), [False, True]]
    layer = nn.Linear(2, 2)
    layer.register_full_backward_hook(lambda m, gi, go: (ccdl.ones(1),))
    with pytest.raises(RuntimeError, match="no input requires gradient"):
        layer(ccdl.ones(1, 2)).sum().backward()


def test_hooks_of_all_modules_can_be_dropped_by_exchanging_their_table():
    from collections import OrderedDict

    from ccdl.nn.modules import module as hooks

    seen = []
    handle = hooks.register_module_forward_hook(lambda *args: seen.append(1))
    assert handle.id in handle.hooks_dict_ref()
    nn.ReLU()(ccdl.ones(1))
    hooks._global_forward_hooks = OrderedDict()
    nn.ReLU()(ccdl.ones(1))
    assert seen == [1]


def test_hooks_of_loading_do_not_keep_their_module():
    import copy
    import gc
    import weakref

    net = nn.Linear(1, 1)
    net.register_load_state_dict_pre_hook(lambda module, *args: setattr(module, "loaded", True))
    twin = copy.deepcopy(net)
    twin.load_state_dict(net.state_dict())
    assert twin.loaded and not hasattr(net, "loaded")
    gc.disable()
    try:
        alive = weakref.ref(net)
        del net
        assert alive() is None
    finally:
        gc.enable()
