"""Optimisers and schedules: groups, state in PyTorch's format, hooks, bad input, PyTorch's values where installed."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F
from ccdl import optim

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "maximize": True}),
    ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6}),
    ("AdamW", {"lr": 0.05, "amsgrad": True, "maximize": True}),
    ("Adagrad", {"lr": 0.1}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "maximize": True}),
    ("Adadelta", {"lr": 1.0}),
    ("Adadelta", {"lr": 0.5, "rho": 0.8, "eps": 1e-3, "weight_decay": 0.1, "maximize": True}),
    ("RMSprop", {"lr": 0.01}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.9, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "alpha": 0.5, "centered": True, "momentum": 0.5, "eps": 1e-2, "maximize": True}),
    ("RMSprop", {"lr": 0.01, "centered": True, "eps": 0.1}),
    ("Adamax", {"lr": 0.05}),
    ("Adamax", {"lr": 0.05, "betas": (0.5, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.05}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "momentum_decay": 0.1, "maximize": True}),
    ("NAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("RAdam", {"lr": 0.05}),
    ("RAdam", {"lr": 0.05, "betas": (0.8, 0.9), "weight_decay": 0.1, "maximize": True}),
    ("RAdam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("ASGD", {"lr": 0.05}),
    ("ASGD", {"lr": 0.05, "lambd": 0.1, "alpha": 0.5, "t0": 2, "weight_decay": 0.1, "maximize": True}),
    ("Rprop", {"lr": 0.01}),
    ("Rprop", {"lr": 0.01, "etas": (0.3, 1.5), "step_sizes": (1e-3, 0.05), "maximize": True}),
]
OURS = [
    ("SGD", {"lr": 0.1, "momentum": 0.9, "averaged_momentum": True}),
    ("Adam", {"lr": 0.05, "amsgrad_corrected": True, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.01, "eps": 1e-2, "eps_inside_sqrt": True}),
    ("Lion", {"lr": 0.01, "weight_decay": 0.5}),
    ("LAMB", {"lr": 0.05}),
    ("LAMB", {"lr": 0.05, "weight_decay": 0.1, "maximize": True, "max_trust_ratio": 1.5}),
]
MATRIX_ONLY = [
    ("Adafactor", {"lr": 0.05}),
    ("Adafactor", {"lr": 0.1, "beta2_decay": -0.5, "eps": (1e-4, 0.1), "d": 2.0, "weight_decay": 0.1, "maximize": True}),
]


def problem(dtype=ccdl.float64):
    ccdl.manual_seed(3)
    w = nn.Parameter(ccdl.randn(4, 3, dtype=dtype))
    b = nn.Parameter(ccdl.randn(3, dtype=dtype))
    x, y = ccdl.randn(8, 4, dtype=dtype), ccdl.randn(8, 3, dtype=dtype)
    return [w, b], lambda: ((x @ w + b - y) ** 2).mean()


def steps(optimizer, loss, count):
    for _ in range(count):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS + MATRIX_ONLY, ids=lambda v: str(v))
def test_against_pytorch(name, options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import numpy as np

    rng = np.random.default_rng(0)
    start = [rng.standard_normal((4, 3)), rng.standard_normal(3)]
    grads = [[rng.standard_normal(s.shape) for s in start] for _ in range(30)]
    ours = [nn.Parameter(ccdl.tensor(s)) for s in start]
    theirs = [torch.nn.Parameter(torch.tensor(s)) for s in start]
    a, b = getattr(optim, name)(ours, **options), getattr(torch.optim, name)(theirs, **options)
    for row in grads:
        for p, q, g in zip(ours, theirs, row):
            p.grad, q.grad = ccdl.tensor(g), torch.tensor(g)
        a.step()
        b.step()
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.detach().cpu().numpy(), q.detach().cpu().numpy(), rtol=1e-10, atol=1e-12)
    assert set(a.state_dict()["param_groups"][0]) == set(b.state_dict()["param_groups"][0])
    mine, other = a.state_dict()["state"], b.state_dict()["state"]
    assert mine.keys() == other.keys() and all(mine[k].keys() == other[k].keys() for k in mine)
    assert repr(a) == repr(b)


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS + OURS, ids=lambda v: str(v))
def test_fused_step_equals_recorded_step(name, options):
    """The plain form that ``differentiable=True`` records is the second oracle of the fused kernel."""
    results = []
    for differentiable in (False, True):
        params, loss = problem()
        optimizer = getattr(optim, name)(params, **options)
        if differentiable:
            for group in optimizer.param_groups:
                group["differentiable"] = True
        for _ in range(5):
            optimizer.zero_grad()
            loss().backward()
            with ccdl.no_grad():
                optimizer.step()
        results.append([p.detach().clone() for p in params])
    assert all(ccdl.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(*results))


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS + OURS + MATRIX_ONLY, ids=lambda v: str(v))
def test_resume_from_state_dict_is_exact(name, options):
    params, loss = problem(ccdl.float32)
    optimizer = getattr(optim, name)(params, **options)
    steps(optimizer, loss, 3)
    saved, state = [p.detach().clone() for p in params], optimizer.state_dict()
    state = {"state": {k: {n: v.clone() if isinstance(v, ccdl.Tensor) else v for n, v in s.items()}
                       for k, s in state["state"].items()}, "param_groups": state["param_groups"]}
    steps(optimizer, loss, 4)
    again, loss_again = problem(ccdl.float32)
    with ccdl.no_grad():
        for p, v in zip(again, saved):
            p.copy_(v)
    other = getattr(optim, name)(again, **dict(options, lr=99.0))
    other.load_state_dict(state)
    assert other.param_groups[0]["lr"] == options["lr"]
    steps(other, loss_again, 4)
    assert all(bool((a == b).all()) for a, b in zip(params, again))


def test_learning_rate_may_be_a_tensor():
    for name in ("SGD", "Adam"):
        ends = []
        for lr in (0.1, ccdl.tensor(0.1, dtype=ccdl.float64)):
            params, loss = problem()
            steps(getattr(optim, name)(params, lr=lr), loss, 3)
            ends.append(params[0].tolist())
        assert ends[0] == ends[1]


def test_groups_and_defaults():
    a, b, c = (nn.Parameter(ccdl.ones(1)) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 1.0}], lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": [c], "lr": 0.01})
    assert [g["lr"] for g in optimizer.param_groups] == [0.1, 1.0, 0.01]
    assert all(g["momentum"] == 0.9 for g in optimizer.param_groups)
    for p in (a, b, c):
        p.grad = ccdl.ones(1)
    optimizer.step()
    assert [round(p.item(), 6) for p in (a, b, c)] == [0.9, 0.0, 0.99]
    assert optimizer.state_dict()["param_groups"][2]["params"] == [2]
    named = optim.SGD(nn.Linear(1, 1).named_parameters(), lr=0.1)
    assert named.param_groups[0]["param_names"] == ["weight", "bias"]


def test_parameters_without_gradient_are_left_alone():
    a, b = nn.Parameter(ccdl.ones(1)), nn.Parameter(ccdl.ones(1))
    a.grad = ccdl.ones(1)
    optimizer = optim.Adam([a, b], lr=0.1)
    optimizer.step()
    assert b.item() == 1.0 and b not in optimizer.state
    optimizer.zero_grad()
    assert a.grad is None
    a.grad = ccdl.ones(1)
    optimizer.zero_grad(set_to_none=False)
    assert a.grad.item() == 0.0


def test_closure_and_hooks():
    params, loss = problem()
    optimizer = optim.SGD(params, lr=0.1)
    log = []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: log.append("pre"))
    handle = optimizer.register_step_post_hook(lambda o, args, kwargs: log.append("post"))

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    with ccdl.no_grad():
        first = optimizer.step(closure)
    handle.remove()
    second = optimizer.step(closure)
    assert float(second) < float(first) and log == ["pre", "post", "pre"]
    optimizer.register_state_dict_post_hook(lambda o, state: dict(state, extra=1))
    assert optimizer.state_dict()["extra"] == 1


def test_version_counter_sees_the_step():
    params, loss = problem()
    kept = (params[0] ** 2).sum()
    optimizer = optim.SGD(params, lr=0.1)
    steps(optimizer, loss, 1)
    with pytest.raises(RuntimeError, match="modified|version"):
        kept.backward()


def test_bad_input():
    p = nn.Parameter(ccdl.ones(1))
    for make, kind, text in (
        (lambda: optim.SGD([p], lr=-1), ValueError, "learning rate"),
        (lambda: optim.SGD([p], lr=1, momentum=-1), ValueError, "momentum"),
        (lambda: optim.SGD([p], lr=1, nesterov=True), ValueError, "Nesterov"),
        (lambda: optim.Adam([p], betas=(1.0, 0.9)), ValueError, "beta parameter at index 0"),
        (lambda: optim.Adam([p], eps=-1), ValueError, "epsilon"),
        (lambda: optim.AdamW([p], weight_decay=-1), ValueError, "weight_decay"),
        (lambda: optim.SGD([], lr=1), ValueError, "empty parameter list"),
        (lambda: optim.SGD(p, lr=1), TypeError, "iterable of Tensors"),
        (lambda: optim.SGD([3], lr=1), TypeError, "can only optimize Tensors"),
        (lambda: optim.SGD([p * 2], lr=1), ValueError, "non-leaf"),
        (lambda: optim.SGD([{"params": [p]}, {"params": [p]}], lr=1), ValueError, "more than one"),
    ):
        with pytest.raises(kind, match=text):
            make()
    with pytest.raises(ValueError, match="number of parameter groups"):
        optim.SGD([p], lr=1).load_state_dict({"state": {}, "param_groups": []})
    with pytest.raises(ValueError, match="doesn't match the size"):
        optim.SGD([p], lr=1).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]})


def test_notes_nesterov_and_momentum_examples():
    """L = 1.5 w^2, w0 = 1, lr .1, beta .9: look-ahead weights .43 -.0581 -.348173 -.426467; and PyTorch's momentum on
    the gradients 1, .1, .5, -.3."""
    w = nn.Parameter(ccdl.tensor([1.0], dtype=ccdl.float64))
    optimizer = optim.SGD([w], lr=0.1, momentum=0.9, nesterov=True)
    seen = []
    for _ in range(4):
        optimizer.zero_grad()
        (1.5 * w * w).sum().backward()
        optimizer.step()
        seen.append(w.item())
    assert seen == pytest.approx([0.43, -0.0581, -0.348173, -0.426467], abs=1e-6)
    for options, want in (({"dampening": 0.9}, [0.9, 0.809, 0.7221, 0.64689]),):
        w = nn.Parameter(ccdl.tensor([1.0], dtype=ccdl.float64))
        optimizer = optim.SGD([w], lr=0.1, momentum=0.9, **options)
        seen = []
        for g in (1, 0.1, 0.5, -0.3):
            w.grad = ccdl.tensor([float(g)], dtype=ccdl.float64)
            optimizer.step()
            seen.append(w.item())
        assert seen == pytest.approx(want, abs=1e-9)


def test_amsgrad_example_of_the_notes():
    w = nn.Parameter(ccdl.tensor([1.0], dtype=ccdl.float64))
    optimizer = optim.Adam([w], lr=0.1, betas=(0.9, 0.9), eps=1e-8, amsgrad=True)
    seen = []
    for g in (1, 0.1, 0.5, -0.3):
        w.grad = ccdl.tensor([float(g)], dtype=ccdl.float64)
        optimizer.step()
        seen.append(w.item())
    assert seen == pytest.approx([0.9, 0.827452, 0.745199, 0.695130], abs=1e-6)


# --- nn.utils --------------------------------------------------------------------------------------------------------


def test_clipping():
    params = [nn.Parameter(ccdl.zeros(2)), nn.Parameter(ccdl.zeros(1)), nn.Parameter(ccdl.zeros(1))]
    params[0].grad, params[1].grad = ccdl.tensor([3.0, 0.0]), ccdl.tensor([4.0])
    total = nn.utils.clip_grad_norm_(params, 1.0)
    assert total.item() == 5.0
    assert nn.utils.get_total_norm([p.grad for p in params[:2]]).item() == pytest.approx(1.0, abs=1e-5)
    assert nn.utils.clip_grad_norm_(params, 10.0, norm_type=math.inf).item() == pytest.approx(0.8, abs=1e-5)
    nn.utils.clip_grad_value_(params, 0.25)
    assert params[1].grad.tolist() == [0.25]
    params[0].grad = ccdl.tensor([math.nan, 0.0])
    with pytest.raises(RuntimeError, match="non-finite"):
        nn.utils.clip_grad_norm_(params, 1.0, error_if_nonfinite=True)


def test_parameters_to_vector_and_back():
    net = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(net.parameters())
    nn.utils.vector_to_parameters(vector.detach() * 2, net.parameters())
    assert ccdl.allclose(nn.utils.parameters_to_vector(net.parameters()), vector.detach() * 2)
    assert net.weight.requires_grad and net.weight.is_leaf


def test_sparse_adam_moves_the_rows_that_have_a_gradient():
    """Against the rule in NumPy row by row, and PyTorch's sparse embedding where it is installed."""
    rng = np.random.default_rng(0)
    start, batches = rng.standard_normal((6, 3)), [[1, 4, 4], [0, 1], [4], [1, 5]]
    table = nn.Parameter(ccdl.tensor(start))
    optimizer = ccdl.optim.SparseAdam([table], lr=0.1, betas=(0.8, 0.9), eps=1e-6)
    p, m, v = start.copy(), np.zeros((6, 3)), np.zeros((6, 3))
    for t, rows in enumerate(batches, 1):
        optimizer.zero_grad()
        F.embedding(ccdl.tensor(rows), table).square().sum().backward()
        optimizer.step()
        g = np.zeros((6, 3))
        np.add.at(g, rows, 2 * p[rows])
        for r in set(rows):
            m[r] = 0.8 * m[r] + 0.2 * g[r]
            v[r] = 0.9 * v[r] + 0.1 * g[r] ** 2
            p[r] -= 0.1 * np.sqrt(1 - 0.9**t) / (1 - 0.8**t) * m[r] / (np.sqrt(v[r]) + 1e-6)
        np.testing.assert_allclose(table.detach().cpu().numpy(), p, rtol=1e-12)
    assert optimizer.state_dict()["state"][0]["step"] == 4 and (p[2:4] == start[2:4]).all()
    bias = nn.Parameter(ccdl.zeros(3))
    bias.grad = ccdl.tensor([0.0, 1.0, 0.0])
    ccdl.optim.SparseAdam([bias], lr=0.5).step()
    assert bias.tolist() == pytest.approx([0.0, -0.5, 0.0])
    for options, text in (({"lr": 0.0}, "learning rate"), ({"eps": 0.0}, "epsilon"), ({"betas": (1.0, 0.9)}, "index 0"), ({"betas": (0.9, -0.1)}, "index 1")):
        with pytest.raises(ValueError, match=text):
            ccdl.optim.SparseAdam([table], **options)


def test_sparse_adam_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ends = []
    for T in (ccdl, torch):
        table = T.nn.Embedding(5, 2, sparse=True)
        with T.no_grad():
            table.weight.copy_(T.arange(10.0).reshape(5, 2))
        optimizer = T.optim.SparseAdam(table.parameters(), lr=0.3, maximize=True)
        for rows in ([0, 2], [2, 2, 3], [0]):
            optimizer.zero_grad()
            (table(T.tensor(rows)) * 0.7).sum().backward()
            optimizer.step()
        ends.append(table.weight.tolist())
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-6)


ALL = ["ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LAMB", "LBFGS", "Lion", "Muon", "NAdam", "RAdam", "RMSprop",
       "Rprop", "SGD", "SparseAdam"]
WRONG = {
    "lr": [-1.0, math.nan], "betas": [(1.0, 0.9), (0.9, 1.0), (-0.1, 0.9), (0.9, math.nan)], "eps": [-1.0], "weight_decay": [-1.0],
    "momentum": [-1.0], "alpha": [-1.0], "rho": [1.5, -1.0], "lr_decay": [-1.0], "etas": [(1.2, 0.5)], "momentum_decay": [-1.0],
    "beta2_decay": [0.1], "d": [0.5], "ns_steps": [100], "max_trust_ratio": [0.0], "initial_accumulator_value": [-1.0],
}


@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_refuses_wrong_options_and_parameters(name):
    make = getattr(optim, name)
    known = set(inspect.signature(make.__init__).parameters)
    p = nn.Parameter(ccdl.ones(2, 2))
    tried = 0
    for option, values in WRONG.items():
        for value in values if option in known else ():
            if (name, option) in {("Adafactor", "eps"), ("Muon", "eps"), ("ASGD", "alpha")}:  # a pair; a floor; an exponent
                continue
            with pytest.raises(ValueError):
                make([p], **{option: value})
            tried += 1
    assert tried >= 2
    for params, kind, text in (
        ([], ValueError, "empty parameter list"), (p, TypeError, "iterable of Tensors"), ([3], TypeError, "can only optimize Tensors"),
        ([p * 2], ValueError, "non-leaf"), ([{"params": {p}}], TypeError, "set"),
        ([("w", p), nn.Parameter(ccdl.ones(1, 1))], ValueError, "names"),
    ):
        with pytest.raises(kind, match=text):
            make(params)
    with pytest.raises(TypeError):
        make([p], no_such_option=1)
    if name != "LBFGS":  # one group only
        with pytest.raises(ValueError, match="more than one|one parameter group"):
            make([{"params": [p]}, {"params": [p]}])
        optimizer = make([p])
        p.grad = ccdl.ones(2, 2)
        optimizer.step()  # still fine
        assert p.isfinite().all()


def test_a_parameter_given_twice_is_updated_twice_after_a_warning():
    p, q = nn.Parameter(ccdl.tensor([1.0, -2.0])), nn.Parameter(ccdl.tensor([4.0]))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        plain = optim.SGD([p, q, p], lr=0.1)
    calls = []

    def closure():
        calls.append(1)
        plain.zero_grad()
        loss = (p * p).sum() + 3 * q.sum()
        loss.backward()
        return loss

    assert plain.step(closure).item() == 17.0 and len(calls) == 1
    np.testing.assert_allclose(p.detach().cpu().numpy(), [1 - 2 * 0.2, -2 + 2 * 0.4], rtol=1e-6)
    assert abs(q.item() - 3.7) < 1e-6 and len(plain.param_groups[0]["params"]) == 3
    with pytest.raises(ValueError, match="more than one parameter group"):
        plain.add_param_group({"params": [p]})

    w, g = np.linspace(-1, 1, 7), np.linspace(0.5, 2, 7)
    r = nn.Parameter(ccdl.tensor(w))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        adam = optim.Adam([r, r], lr=0.01)
    m, v = np.zeros(7), np.zeros(7)
    for t in range(1, 7):  # three steps, each of two updates with the same gradient
        if t % 2:
            r.grad = ccdl.tensor(g)
            adam.step()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        w = w - 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(r.detach().cpu().numpy(), w, rtol=1e-12)
    assert adam.state[r]["step"].item() == 6
