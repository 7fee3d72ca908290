"""Parametrised weights, weight and spectral norm in both forms, pruning, folded batch norm, functional calls."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl import func
from ccdl.nn.utils import parametrizations, parametrize, prune


class Symmetric(nn.Module):
    def forward(self, x):
        return x.triu() + x.triu(1).T

    def right_inverse(self, a):
        return a.triu()


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x

    def right_inverse(self, y):
        return y / 2


def array(t):
    return t.detach().cpu().numpy()


def test_registering_reading_assigning_and_removing():
    ccdl.manual_seed(0)
    layer = nn.Linear(3, 3)
    start = layer.weight
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert type(layer).__name__ == "ParametrizedLinear" and isinstance(layer, nn.Linear)
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    assert parametrize.is_parametrized(layer) and parametrize.is_parametrized(layer, "weight")
    assert not parametrize.is_parametrized(layer, "bias") and not parametrize.is_parametrized(nn.Linear(1, 1))
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is start  # an optimiser that holds it goes on
    w = array(layer.weight)
    assert (w == w.T).all() and (np.triu(w) == np.triu(array(start))).all()
    layer(ccdl.ones(2, 3)).sum().backward()
    assert start.grad is not None and array(start.grad)[2, 0] == 0  # the lower half is not used
    layer.weight = ccdl.tensor([[1.0, 2, 3], [2, 4, 5], [3, 5, 6]])
    assert layer.weight.tolist() == [[1, 2, 3], [2, 4, 5], [3, 5, 6]]
    parametrize.register_parametrization(layer, "weight", Twice())
    assert layer.weight[0].tolist() == [2, 4, 6] and len(layer.parametrizations.weight) == 2
    layer.weight = ccdl.eye(3)
    assert layer.weight.tolist() == ccdl.eye(3).tolist() and layer.parametrizations.weight.original[0, 0].item() == 0.5
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear and layer.weight is start and layer.weight.tolist() == ccdl.eye(3).tolist()
    assert list(layer.state_dict()) == ["bias", "weight"] or list(layer.state_dict()) == ["weight", "bias"]
    parametrize.register_parametrization(layer, "weight", Twice())
    parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    assert layer.weight[0, 0].item() == 0.5
    parametrize.register_parametrization(nn.BatchNorm1d(2), "running_mean", Twice())  # buffers too


@pytest.mark.host  # a whole training
def test_training_goes_through_the_parametrization():
    ccdl.manual_seed(1)
    layer = parametrize.register_parametrization(nn.Linear(3, 3, bias=False), "weight", Symmetric())
    optimizer = ccdl.optim.SGD(layer.parameters(), lr=0.1)
    target = ccdl.tensor([[2.0, 1, 0], [1, 3, -1], [0, -1, 1]])
    x = ccdl.randn(64, 3)
    for _ in range(200):
        optimizer.zero_grad()
        F.mse_loss(layer(x), x @ target).backward()
        optimizer.step()
    np.testing.assert_allclose(array(layer.weight), target.cpu().numpy(), atol=1e-2)


def test_cached_values():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Twice())
    assert layer.weight is not layer.weight
    with parametrize.cached():
        first = layer.weight
        with parametrize.cached():
            assert layer.weight is first
        assert layer.weight is first
    assert layer.weight is not first


def test_copies_are_apart_and_pickles_refused():
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Twice())
    other = copy.deepcopy(layer)
    parametrize.remove_parametrizations(layer, "weight")
    assert parametrize.is_parametrized(other) and other.weight.tolist() == layer.weight.tolist()
    other.parametrizations.weight.original.data.zero_()
    assert other.weight.abs().sum().item() == 0 and layer.weight.abs().sum().item() > 0
    with pytest.raises(RuntimeError, match="state_dict"):
        pickle.dumps(other)


def test_bad_parametrizations():
    class Flat(nn.Module):
        def forward(self, x):
            return x.flatten()

    class Wide(nn.Module):
        def forward(self, x):
            return x.double()

    class No(nn.Module):
        def forward(self, x):
            return 3

    for part, text in ((Flat(), "shape"), (Wide(), "dtype"), (No(), "must return a tensor")):
        with pytest.raises(ValueError, match=text):
            parametrize.register_parametrization(nn.Linear(2, 3), "weight", part)
        layer = parametrize.register_parametrization(nn.Linear(2, 3), "weight", Twice())
        with pytest.raises(ValueError, match=text):
            parametrize.register_parametrization(layer, "weight", part)
        assert layer.weight.shape == (3, 2)
    layer = parametrize.register_parametrization(nn.Linear(2, 3), "weight", Flat(), unsafe=True)
    assert layer.weight.shape == (6,)
    with pytest.raises(RuntimeError, match="right_inverse"):
        layer.weight = ccdl.ones(6)
    with pytest.raises(ValueError, match="does not have a parameter"):
        parametrize.register_parametrization(nn.Linear(2, 3), "w", Twice())
    with pytest.raises(ValueError, match="does not have a parametrization"):
        parametrize.remove_parametrizations(nn.Linear(2, 3), "weight")
    with pytest.raises(ValueError, match="sequence"):
        parametrize.remove_parametrizations(parametrizations.weight_norm(nn.Linear(2, 3)), "weight", leave_parametrized=False)


def test_transfer():
    source = parametrizations.weight_norm(nn.Linear(2, 3))
    target = parametrize.transfer_parametrizations_and_params(source, nn.Linear(2, 3))
    assert target.weight.tolist() == source.weight.tolist()
    assert target.parametrizations.weight.original0 is source.parametrizations.weight.original0


# --- weight norm -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dim", [0, 1, -1, None])
@pytest.mark.parametrize("form", ["new", "old"])
def test_weight_norm(form, dim):
    """w = g v / ||v||: unchanged at first; with g and v of one's own the NumPy formula."""
    ccdl.manual_seed(0)
    layer = nn.Conv2d(3, 4, 2)
    before = array(layer.weight).copy()
    layer = (parametrizations.weight_norm if form == "new" else nn.utils.weight_norm)(layer, dim=dim)
    if form == "new":
        g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
    else:
        g, v = layer.weight_g, layer.weight_v
    np.testing.assert_allclose(array(layer.weight), before, rtol=1e-6)
    g.data.mul_(3.0)
    v.data.normal_()
    x = ccdl.randn(1, 3, 5, 5)
    layer(x).sum().backward()
    vv = array(v)
    axes = tuple(range(4)) if dim in (-1, None) else tuple(d for d in range(4) if d != dim)
    np.testing.assert_allclose(array(layer.weight), array(g) * vv / np.sqrt((vv**2).sum(axes, keepdims=dim not in (-1, None))), rtol=1e-5)
    # the direction's gradient is orthogonal to it
    assert abs((v.grad * v.detach()).sum().item()) < 1e-3
    assert g.grad.shape == g.shape


def test_weight_norm_state_dicts_both_ways():
    ccdl.manual_seed(0)
    old, new = nn.utils.weight_norm(nn.Linear(3, 4)), parametrizations.weight_norm(nn.Linear(3, 4))
    assert set(old.state_dict()) == {"bias", "weight_g", "weight_v"}
    assert set(new.state_dict()) == {"bias", "parametrizations.weight.original0", "parametrizations.weight.original1"}
    new.load_state_dict(old.state_dict())
    x = ccdl.randn(2, 3)
    np.testing.assert_allclose(array(new(x)), array(old(x)), rtol=1e-5)
    weight = array(old.weight)
    assert nn.utils.remove_weight_norm(old) is old and isinstance(old.weight, nn.Parameter)
    np.testing.assert_allclose(array(old.weight), weight, rtol=1e-6)
    assert not old._forward_pre_hooks
    for bad in (lambda: nn.utils.remove_weight_norm(old), lambda: nn.utils.remove_spectral_norm(old)):
        with pytest.raises(ValueError, match="not found"):
            bad()
    with pytest.raises(RuntimeError, match="two weight_norm"):
        nn.utils.weight_norm(nn.utils.weight_norm(nn.Linear(2, 2)))
    with pytest.raises(ValueError, match="no parameter"):
        parametrizations.weight_norm(nn.Linear(2, 2), "w")


# --- spectral norm ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: nn.Linear(6, 4), lambda: nn.Conv2d(3, 5, 2), lambda: nn.ConvTranspose2d(3, 5, 2)],
                         ids=["linear", "conv", "transposed"])
@pytest.mark.parametrize("form", ["new", "old"])
def test_spectral_norm(form, make):
    ccdl.manual_seed(0)
    layer = make()
    before = array(layer.weight).copy()
    layer = (parametrizations.spectral_norm if form == "new" else nn.utils.spectral_norm)(layer, n_power_iterations=60)
    x = ccdl.randn(2, 6) if before.ndim == 2 else ccdl.randn(1, 3, 4, 4)
    out = layer(x)
    out.sum().backward()
    matrix = before.transpose(1, 0, 2, 3).reshape(5, -1) if isinstance(layer, nn.ConvTranspose2d) else before.reshape(before.shape[0], -1)
    sigma = np.linalg.svd(matrix, compute_uv=False)[0]
    np.testing.assert_allclose(array(layer.weight), before / sigma, rtol=1e-4, atol=1e-6)
    layer.eval()
    u = layer.parametrizations.weight[0]._u if form == "new" else layer.weight_u
    kept = u.tolist()
    layer(x)
    assert u.tolist() == kept  # no iterations in evaluation
    if form == "old":
        assert {"weight_orig", "weight_u", "weight_v"} <= set(layer.state_dict())
        nn.utils.remove_spectral_norm(layer)
    else:
        parametrize.remove_parametrizations(layer, "weight")
    np.testing.assert_allclose(array(layer.weight), before / sigma, rtol=1e-4, atol=1e-6)


def test_spectral_norm_gradient_is_that_of_w_over_u_w_v():
    ccdl.manual_seed(3)
    layer = parametrizations.spectral_norm(nn.Linear(4, 3, bias=False).double(), n_power_iterations=40).eval()
    part = layer.parametrizations.weight
    u, v = part[0]._u.clone(), part[0]._v.clone()
    assert ccdl.autograd.gradcheck(part[0], (part.original.detach().requires_grad_(),))
    w = part.original
    np.testing.assert_allclose(array(layer.weight), array(w) / (u @ w.detach() @ v).item(), rtol=1e-12)
    with pytest.raises(ValueError, match="n_power_iterations"):
        parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)
    with pytest.raises(IndexError, match="out of range"):
        parametrizations.spectral_norm(nn.Linear(2, 2), dim=2)


# --- orthogonal ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6)])
@pytest.mark.parametrize("base", [True, False])
def test_orthogonal(kind, shape, base):
    ccdl.manual_seed(0)
    layer = nn.Linear(shape[1], shape[0], bias=False).double()
    parametrizations.orthogonal(layer, orthogonal_map=kind, use_trivialization=base)

    def error():
        w = array(layer.weight)
        gram = w @ w.T if shape[0] < shape[1] else w.T @ w
        return np.abs(gram - np.eye(min(shape))).max()

    assert error() < 1e-12
    optimizer = ccdl.optim.Adam(layer.parameters(), lr=0.05)
    x, y = ccdl.randn(8, shape[1], dtype=ccdl.float64), ccdl.randn(8, shape[0], dtype=ccdl.float64)
    first = None
    for _ in range(10):
        optimizer.zero_grad()
        loss = F.mse_loss(layer(x), y)
        first = loss.item() if first is None else first
        loss.backward()
        optimizer.step()
    assert loss.item() < first and error() < 1e-10
    q, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((max(shape), min(shape))))
    q = q.T if shape[0] < shape[1] else q
    if base or kind == "householder":
        layer.weight = ccdl.tensor(q)
        np.testing.assert_allclose(array(layer.weight), q, atol=1e-12)
    else:
        with pytest.raises(NotImplementedError, match="trivialization"):
            layer.weight = ccdl.tensor(q)


def test_bad_orthogonal():
    for make, text in ((lambda: parametrizations.orthogonal(nn.Linear(2, 2), "bias"), "dimensions"),
                       (lambda: parametrizations.orthogonal(nn.Linear(2, 2), "w"), "no parameter"),
                       (lambda: parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map="qr"), "orthogonal_map")):
        with pytest.raises(ValueError, match=text):
            make()
    layer = parametrizations.orthogonal(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="shape"):
        layer.weight = ccdl.ones(3, 3)


def test_parametrizations_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    theirs_of = torch.nn.utils.parametrizations
    rng = np.random.default_rng(0)
    for name, options in (("weight_norm", {}), ("spectral_norm", {"n_power_iterations": 3}),
                          ("orthogonal", {"orthogonal_map": "cayley"}), ("orthogonal", {"orthogonal_map": "matrix_exp"}),
                          ("orthogonal", {"orthogonal_map": "householder", "use_trivialization": False})):
        ours = getattr(parametrizations, name)(nn.Linear(4, 6).double(), **options)
        theirs = getattr(theirs_of, name)(torch.nn.Linear(4, 6).double(), **options)
        state = {k: v.numpy() for k, v in theirs.state_dict().items()}
        assert list(state) == list(ours.state_dict()), name
        ours.load_state_dict({k: ccdl.tensor(v) for k, v in state.items()})
        x = rng.standard_normal((3, 4))
        a, b = ours(ccdl.tensor(x)), theirs(torch.tensor(x))
        np.testing.assert_allclose(array(a), b.detach().numpy(), rtol=1e-9, atol=1e-12, err_msg=name)
        a.square().sum().backward()
        b.square().sum().backward()
        for p, q in zip(ours.parameters(), theirs.parameters()):
            np.testing.assert_allclose(array(p.grad), q.grad.numpy(), rtol=1e-7, atol=1e-9, err_msg=name)


# --- pruning ---------------------------------------------------------------------------------------------------------


def pruned_layer():
    layer = nn.Linear(4, 3)
    layer.weight.data.copy_(ccdl.tensor([[1.0, -6.0, 2.0, 0.1], [0.2, 3.0, -0.3, 4.0], [-5.0, 0.4, 0.5, 7.0]]))
    return layer


def test_l1_unstructured_and_removal():
    layer = pruned_layer()
    original = layer.weight
    assert prune.l1_unstructured(layer, "weight", 0.5) is layer
    assert layer.weight.tolist() == [[0, -6, 2, 0], [0, 3, 0, 4], [-5, 0, 0, 7]]
    assert set(layer.state_dict()) == {"bias", "weight_orig", "weight_mask"} and layer.weight_orig is original
    assert prune.is_pruned(nn.Sequential(layer)) and not prune.is_pruned(nn.Linear(1, 1))
    layer(ccdl.ones(1, 4)).sum().backward()
    assert original.grad.tolist() == layer.weight_mask.tolist()  # pruned weights get no gradient
    optimizer = ccdl.optim.SGD(layer.parameters(), lr=1.0)
    optimizer.step()
    layer(ccdl.ones(1, 4))
    assert (array(layer.weight) == 0).sum() == 6
    prune.remove(layer, "weight")
    assert layer.weight is original and set(layer.state_dict()) == {"weight", "bias"} and not prune.is_pruned(layer)
    assert (array(layer.weight) == 0).sum() == 6
    with pytest.raises(ValueError, match="has to be pruned"):
        prune.remove(layer, "weight")


def test_pruning_again_chooses_among_what_is_left():
    layer = pruned_layer()
    prune.l1_unstructured(layer, "weight", 4)
    prune.l1_unstructured(layer, "weight", 0.5)  # of the eight left
    assert (array(layer.weight) == 0).sum() == 8
    prune.ln_structured(layer, "weight", 1, n=1, dim=0)
    assert (array(layer.weight).any(1)).sum() == 2
    (hook,) = layer._forward_pre_hooks.values()
    assert isinstance(hook, prune.PruningContainer) and len(hook) == 3
    prune.custom_from_mask(layer, "weight", ccdl.zeros(3, 4))
    assert layer.weight.abs().sum().item() == 0
    prune.remove(layer, "weight")


def test_structured_random_and_global():
    layer = pruned_layer()
    prune.ln_structured(layer, "weight", 0.25, n=2, dim=1)  # norms of columns: 5.1, 6.7, 2.1, 8.1
    assert array(layer.weight)[:, 2].tolist() == [0, 0, 0] and (array(layer.weight) == 0).sum() == 3
    layer = pruned_layer()
    prune.random_structured(layer, "weight", 2, dim=0)
    assert sorted(array(layer.weight).any(1).tolist()) == [False, False, True]
    layer = pruned_layer()
    prune.random_unstructured(layer, "weight", 5)
    assert (array(layer.weight) == 0).sum() == 5
    net = nn.Sequential(pruned_layer(), nn.Linear(3, 2))
    net[1].weight.data.fill_(0.25)
    prune.global_unstructured([(net[0], "weight"), (net[1], "weight")], prune.L1Unstructured, amount=8)
    assert (array(net[0].weight) == 0).sum() == 2 and (array(net[1].weight) == 0).all()
    layer = prune.identity(pruned_layer(), "bias")
    assert layer.bias_mask.tolist() == [1, 1, 1]
    scores = ccdl.arange(12.0).reshape(3, 4)
    layer = prune.l1_unstructured(pruned_layer(), "weight", 3, importance_scores=scores)
    assert array(layer.weight)[0, :3].tolist() == [0, 0, 0]
    assert prune.L1Unstructured(2).prune(ccdl.tensor([3.0, -1.0, 2.0])).tolist() == [3, 0, 0]


def test_bad_pruning():
    layer = pruned_layer()
    for make, kind in ((lambda: prune.l1_unstructured(layer, "weight", 1.5), ValueError),
                       (lambda: prune.l1_unstructured(layer, "weight", -1), ValueError),
                       (lambda: prune.l1_unstructured(layer, "weight", 13), ValueError),
                       (lambda: prune.l1_unstructured(layer, "weight", "half"), TypeError),
                       (lambda: prune.ln_structured(layer, "bias", 1, 2, 0), ValueError),
                       (lambda: prune.ln_structured(layer, "weight", 1, 2, 3), IndexError),
                       (lambda: prune.global_unstructured([(layer, "weight")], prune.LnStructured, amount=1, n=1), TypeError),
                       (lambda: prune.l1_unstructured(layer, "weight", 1, importance_scores=ccdl.ones(2)), AssertionError)):
        with pytest.raises(kind):
            make()
        assert set(layer.state_dict()) == {"weight", "bias"}
    assert layer(ccdl.ones(1, 4)).shape == (1, 3)


# --- folded batch norm, skipped initialisation, functional calls -------------------------------------------------------


@pytest.mark.parametrize("make", [
    lambda: (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), (2, 3, 9)), lambda: (nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), (2, 3, 7, 7)),
    lambda: (nn.Conv2d(4, 4, 3, groups=2), nn.BatchNorm2d(4, affine=False), (2, 4, 7, 7)),
    lambda: (nn.ConvTranspose2d(3, 4, 3), nn.BatchNorm2d(4), (2, 3, 5, 5)), lambda: (nn.Linear(3, 4), nn.BatchNorm1d(4), (6, 3)),
], ids=["conv1d", "conv2d", "grouped", "transposed", "linear"])
def test_folded_batch_norm(make):
    ccdl.manual_seed(0)
    layer, bn, shape = make()
    x = ccdl.randn(*shape)
    for _ in range(3):
        bn(layer(x * 2 + 1))
    if bn.affine:
        bn.weight.data.uniform_(0.5, 2.0)
        bn.bias.data.normal_()
    layer.eval(), bn.eval()
    if isinstance(layer, nn.Linear):
        fused = nn.utils.fuse_linear_bn_eval(layer, bn)
    else:
        fused = nn.utils.fuse_conv_bn_eval(layer, bn, transpose=isinstance(layer, nn.ConvTranspose2d))
    np.testing.assert_allclose(array(fused(x)), array(bn(layer(x))), rtol=1e-4, atol=1e-5)
    assert isinstance(fused.weight, nn.Parameter) and fused is not layer
    with pytest.raises(AssertionError, match="eval"):
        nn.utils.fuse_conv_bn_eval(layer, bn.train())


def test_skip_init():
    layer = nn.utils.skip_init(nn.Linear, 5, 3, bias=False)
    assert type(layer) is nn.Linear and layer.weight.shape == (3, 5) and layer.bias is None
    state = ccdl.get_rng_state()
    nn.utils.skip_init(nn.Conv2d, 3, 4, 3)
    assert bool((ccdl.get_rng_state() == state).all())  # no random numbers were drawn
    for bad in (3, nn.ReLU, nn.functional.relu):
        with pytest.raises(RuntimeError):
            nn.utils.skip_init(bad)


def test_functional_call():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    w = ccdl.ones(2, 3, requires_grad=True)
    kept = [p.tolist() for p in net.parameters()]
    x = ccdl.tensor([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
    mean = ccdl.zeros(2)
    net.eval()
    out = func.functional_call(net, ({"0.weight": w, "0.bias": ccdl.zeros(2)}, {"1.running_mean": mean}), x)
    np.testing.assert_allclose(array(out), np.array([[6.0, 6.0], [1.0, 1.0]]) / np.sqrt(1 + 1e-5), rtol=1e-6)
    out.sum().backward()
    assert w.grad is not None and net[0].weight.grad is None
    assert [p.tolist() for p in net.parameters()] == kept and isinstance(net[0].weight, nn.Parameter)
    net.train()
    func.functional_call(net, {"1.running_mean": mean}, (x,))
    assert mean.tolist() != [0.0, 0.0] and net[1].running_mean.tolist() == [0.0, 0.0]  # written where it was given
    with pytest.raises(RuntimeError, match="Missing key"):
        func.functional_call(net, {"0.weight": w}, x, strict=True)
    with pytest.raises(RuntimeError, match="Unexpected key"):
        func.functional_call(net, {**dict(net.named_parameters()), **dict(net.named_buffers()), "no": w}, x, strict=True)
    with pytest.raises(ValueError, match="multiple dictionaries"):
        func.functional_call(net, [{"0.weight": w}, {"0.weight": w}], x)
    with pytest.raises(TypeError, match="0.weight"):
        func.functional_call(net, {"0.weight": 3}, x)
    for bad in (3, [3]):
        with pytest.raises(ValueError, match="parameter_and_buffer_dicts"):
            func.functional_call(net, bad, x)
    with pytest.raises(RuntimeError):
        func.functional_call(net, {"0.weight": ccdl.ones(2, 9)}, x)
    assert [p.tolist() for p in net.parameters()] == kept  # also after an error
    assert nn.utils.stateless.functional_call(net.eval(), {"0.weight": w.detach()}, x).shape == (2, 2)


def test_functional_call_ties_and_parametrized_weights():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x))

    net, eye = Tied(), ccdl.eye(2)
    x = ccdl.tensor([[3.0, 4.0]])
    assert func.functional_call(net, {"a.weight": eye * 2}, x).tolist() == [[12.0, 16.0]]
    net.b.weight.data.copy_(eye)
    assert func.functional_call(net, {"a.weight": eye * 2}, x, tie_weights=False).tolist() == [[6.0, 8.0]]
    with pytest.raises(ValueError, match="tied"):
        func.functional_call(net, {"a.weight": eye, "b.weight": eye * 2}, x)
    layer = parametrize.register_parametrization(nn.Linear(2, 2, bias=False), "weight", Twice())
    assert func.functional_call(layer, {"parametrizations.weight.original": eye}, x).tolist() == [[6.0, 8.0]]


def test_stacked_states():
    models = [nn.Linear(2, 3) for _ in range(4)]
    parameters, buffers = func.stack_module_state(models)
    assert parameters["weight"].shape == (4, 3, 2) and parameters["weight"].requires_grad and buffers == {}
    out = func.functional_call(models[0], {k: v[2] for k, v in parameters.items()}, ccdl.ones(1, 2))
    assert out.tolist() == models[2](ccdl.ones(1, 2)).tolist()
    for bad in ([], [nn.Linear(1, 1), nn.ReLU()], [nn.Linear(1, 1), nn.Linear(1, 1).eval()]):
        with pytest.raises(RuntimeError, match="stack_module_state"):
            func.stack_module_state(bad)
