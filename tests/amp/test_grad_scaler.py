"""GradScaler: the sequence of scales against a transcription in Python, skipped steps, misuse, state, PyTorch."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F


def scaler_of(device, **options):
    return ccdl.amp.GradScaler(device, **options)


def expected_scales(overflows, init, growth, backoff, interval):
    """The published rule: Micikevicius et al. 2018, section 3.2, with PyTorch's counter."""
    scale, count, seen = np.float32(init), 0, []
    for overflow in overflows:
        if overflow:
            scale, count = np.float32(scale * np.float32(backoff)), 0
        else:
            count += 1
            if count == interval:
                scale, count = np.float32(scale * np.float32(growth)), 0
        seen.append((float(scale), count))
    return seen


class Quadratic:
    """loss = sum(w * x); the gradient is x, which the test chooses."""

    def __init__(self, optimizer, T=ccdl, **options):
        self.T = T
        self.w = T.ones(3, requires_grad=True)
        self.optimizer = getattr(T.optim, optimizer)([self.w], **options)

    def step(self, scaler, x):
        self.optimizer.zero_grad()
        scaler.scale((self.w * self.T.tensor(x)).sum()).backward()
        result = scaler.step(self.optimizer)
        scaler.update()
        return result


OVERFLOWS = [False, False, True, False, False, False, False, True, True, False, False, False, False, False]


def test_scale_sequence(device):
    scaler = scaler_of(device, init_scale=1024.0, growth_factor=3.0, backoff_factor=0.25, growth_interval=3)
    task = Quadratic("SGD", lr=0.125)
    want = expected_scales(OVERFLOWS, 1024.0, 3.0, 0.25, 3)
    weights = np.ones(3, np.float32)
    assert scaler.get_scale() == 1024.0
    for overflow, (scale, count) in zip(OVERFLOWS, want):
        x = [1.0, float("inf") if overflow else -2.0, 0.5]
        task.step(scaler, x)
        if not overflow:
            weights -= np.float32(0.125) * np.array(x, np.float32)
        assert scaler.get_scale() == scale and scaler.state_dict()["_growth_tracker"] == count
        np.testing.assert_array_equal(task.w.detach().cpu().numpy(), weights)


OPTIMIZERS = {
    "SGD": dict(lr=0.1),
    "SGD momentum": dict(lr=0.1, momentum=0.9, dampening=0.5),
    "Adam": dict(lr=0.1),
    "AdamW": dict(lr=0.1, amsgrad=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("first", [False, True])
def test_skipped_steps_leave_no_trace(name, first, device):
    """Steps that overflow change neither weights nor moments nor the step count, also when the first one does."""
    kind, options = name.partition(" ")[0], OPTIMIZERS[name]
    scaler = scaler_of(device, init_scale=8.0, growth_interval=2)
    with_overflow, plain = Quadratic(kind, **options), Quadratic(kind, **options)
    rng = np.random.default_rng(0)
    for overflow in [first, False, True, True, False, False, True, False]:
        x = rng.standard_normal(3).astype(np.float32).tolist()
        with_overflow.step(scaler, [float("nan"), *x[1:]] if overflow else x)
        if not overflow:
            plain.optimizer.zero_grad()
            (plain.w * ccdl.tensor(x)).sum().backward()
            plain.optimizer.step()
    np.testing.assert_allclose(with_overflow.w.detach().cpu().numpy(), plain.w.detach().cpu().numpy(), rtol=1e-6)
    a, b = with_overflow.optimizer.state_dict()["state"], plain.optimizer.state_dict()["state"]
    assert a.keys() == b.keys()
    for key in a:
        for entry in a[key]:
            np.testing.assert_allclose(a[key][entry].cpu().numpy(), b[key][entry].cpu().numpy(), rtol=1e-5, atol=1e-9)


def test_unscale_then_clip(device):
    scaler = scaler_of(device, init_scale=256.0)
    task = Quadratic("SGD", lr=1.0)
    scaler.scale((task.w * ccdl.tensor([3.0, 4.0, 0.0])).sum()).backward()
    np.testing.assert_array_equal(task.w.grad.cpu().numpy(), [768.0, 1024.0, 0.0])
    scaler.unscale_(task.optimizer)
    np.testing.assert_array_equal(task.w.grad.cpu().numpy(), [3.0, 4.0, 0.0])
    assert nn.utils.clip_grad_norm_([task.w], 1.0).item() == 5.0
    scaler.step(task.optimizer)
    scaler.update()
    np.testing.assert_allclose(task.w.detach().cpu().numpy(), [0.4, 0.2, 1.0], rtol=1e-5)


def test_two_optimizers_one_overflow(device):
    scaler = scaler_of(device, init_scale=4.0)
    a, b = Quadratic("SGD", lr=1.0), Quadratic("SGD", lr=1.0)
    losses = scaler.scale([(a.w * 2).sum(), (b.w * float("inf")).sum()])
    for loss in losses:
        loss.backward()
    scaler.step(a.optimizer)
    scaler.step(b.optimizer)
    scaler.update()
    assert a.w.tolist() == [-1.0] * 3 and b.w.tolist() == [1.0] * 3 and scaler.get_scale() == 2.0


def test_iterables_keep_their_type(device):
    scaler = scaler_of(device, init_scale=2.0)
    x = ccdl.ones(2)
    assert isinstance(scaler.scale((x, [x])), tuple) and scaler.scale((x, [x]))[1][0].tolist() == [2.0, 2.0]
    assert [t.tolist() for t in scaler.scale(t for t in (x, x))] == [[2.0, 2.0]] * 2
    with pytest.raises(ValueError, match="outputs must be"):
        scaler.scale(3)


def test_order_of_calls_is_checked(device):
    scaler = scaler_of(device)
    task = Quadratic("SGD", lr=0.1)
    with pytest.raises(AssertionError, match="scale"):
        scaler.step(task.optimizer)
    with pytest.raises(AssertionError, match="scale"):
        scaler.update()
    scaler.scale((task.w * 2).sum()).backward()
    with pytest.raises(AssertionError, match="No inf checks"):
        scaler.update()
    with pytest.raises(RuntimeError, match="Closure"):
        scaler.step(task.optimizer, closure=lambda: None)
    scaler.unscale_(task.optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.unscale_(task.optimizer)
    scaler.step(task.optimizer)
    with pytest.raises(RuntimeError, match="already been called"):
        scaler.step(task.optimizer)
    with pytest.raises(RuntimeError, match="after step"):
        scaler.unscale_(task.optimizer)
    scaler.update()
    half = ccdl.ones(2, dtype=ccdl.float16, requires_grad=True)
    optimizer = ccdl.optim.SGD([half], lr=0.1)
    scaler.scale((half * 2).float().sum()).backward()
    with pytest.raises(ValueError, match="FP16"):
        scaler.step(optimizer)
    unused = ccdl.optim.SGD([ccdl.ones(1, requires_grad=True)], lr=0.1)
    with pytest.raises(AssertionError, match="No inf checks"):
        scaler_of(device).scale(ccdl.ones(1)) is None or _step_without_gradients(device, unused)


def _step_without_gradients(device, optimizer):
    scaler = scaler_of(device)
    scaler.scale(ccdl.ones(1))
    scaler.step(optimizer)


def test_bad_options(device):
    with pytest.raises(AssertionError, match="growth"):
        scaler_of(device, growth_factor=1.0)
    with pytest.raises(AssertionError, match="backoff"):
        scaler_of(device, backoff_factor=1.0)


def test_disabled(device):
    scaler = scaler_of(device, enabled=False)
    task = Quadratic("SGD", lr=0.5)
    loss = (task.w * 2).sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(task.optimizer)
    scaler.step(task.optimizer)
    scaler.update()
    assert task.w.tolist() == [0.0] * 3 and scaler.get_scale() == 1.0 and scaler.state_dict() == {}
    assert not scaler.is_enabled()


def test_new_scale_state_and_pickle(device):
    scaler = scaler_of(device, init_scale=16.0, growth_interval=5)
    task = Quadratic("SGD", lr=0.1)
    task.step(scaler, [1.0, 1.0, 1.0])
    saved = scaler.state_dict()
    assert saved == {"scale": 16.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 5,
                     "_growth_tracker": 1}
    other = scaler_of(device)
    other.load_state_dict(saved)
    for again in (other, pickle.loads(pickle.dumps(scaler)), copy.deepcopy(scaler)):
        assert again.state_dict() == saved
        again.scale(ccdl.ones(1))
        assert again.state_dict() == saved
    scaler.update(32.0)
    assert scaler.get_scale() == 32.0
    scaler.update(ccdl.tensor(4.0))
    assert scaler.get_scale() == 4.0
    with pytest.raises(AssertionError, match="new_scale"):
        scaler.update(ccdl.ones(2))
    with pytest.raises(RuntimeError, match="empty"):
        scaler.load_state_dict({})
    for name, value in (("growth_factor", 4.0), ("backoff_factor", 0.1), ("growth_interval", 7)):
        getattr(scaler, f"set_{name}")(value)
        assert getattr(scaler, f"get_{name}")() == value


@pytest.mark.host
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_as_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    kind, options = name.partition(" ")[0], OPTIMIZERS[name]
    ours, theirs = Quadratic(kind, **options), Quadratic(kind, torch, **options)
    settings = dict(init_scale=64.0, growth_interval=2, growth_factor=2.0, backoff_factor=0.5)
    a, b = ccdl.amp.GradScaler("cpu", **settings), torch.amp.GradScaler("cpu", **settings)
    rng = np.random.default_rng(1)
    for overflow in OVERFLOWS:
        x = rng.standard_normal(3).astype(np.float32).tolist()
        x[1] = float("-inf") if overflow else x[1]
        ours.step(a, x)
        theirs.step(b, x)
        assert a.state_dict() == b.state_dict()
    np.testing.assert_allclose(ours.w.detach().numpy(), theirs.w.detach().numpy(), rtol=2e-6)


class Recording(ccdl.optim.Optimizer):
    """An optimiser of one's own, which knows nothing of scalers."""

    def __init__(self, params):
        super().__init__(params, {})
        self.steps = 0

    def step(self, closure=None):
        self.steps += 1
        return self.steps


class OwnStep(ccdl.optim.Adam):
    """A step of one's own on top of Adam's, which does not know the flag either."""

    def step(self, closure=None):
        with ccdl.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad)


def test_a_changed_step_is_left_out_as_well(device):
    scaler, w = scaler_of(device), ccdl.ones(2, requires_grad=True)
    optimizer = OwnStep([w])
    for factor in (float("nan"), 0.25):
        w.grad = None
        scaler.scale((w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert w.tolist() == [0.75, 0.75]


class Aware(ccdl.optim.Optimizer):
    """An optimiser that follows PyTorch's protocol for steps that know the flag."""

    _step_supports_amp_scaling = True

    def step(self, closure=None):
        self.seen = (self.grad_scale, self.found_inf.item(), self.param_groups[0]["params"][0].grad.tolist())


def test_optimizers_that_take_the_flag(device):
    scaler, w = scaler_of(device, init_scale=4.0), ccdl.ones(1, requires_grad=True)
    optimizer = Aware([w], {})
    for factor in (3.0, float("inf")):
        w.grad = None
        scaler.scale((w * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        assert optimizer.seen == (None, float(factor == float("inf")), [factor])
    assert not hasattr(optimizer, "found_inf")


def test_optimizers_of_ones_own(device):
    scaler = scaler_of(device)
    w = ccdl.ones(1, requires_grad=True)
    optimizer = Recording([w])
    results = []
    for factor in (1.0, float("inf"), 2.0):
        w.grad = None
        scaler.scale((w * factor).sum()).backward()
        results.append(scaler.step(optimizer))
        scaler.update()
    assert results == [1, None, 2] and optimizer.steps == 2


def train(precision, device, steps):
    ccdl.manual_seed(0)
    rng = np.random.default_rng(3)
    x = ccdl.tensor(rng.standard_normal((32, 10)).astype(np.float32))
    y = ccdl.tensor(rng.standard_normal((32, 1)).astype(np.float32))
    model = nn.Sequential(nn.Linear(10, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = ccdl.optim.AdamW(model.parameters(), lr=1e-2)
    scaler = scaler_of(device, init_scale=2.0**24, growth_interval=10, enabled=precision == "float16")
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        with ccdl.autocast(device, dtype=ccdl.float16, enabled=precision == "float16"):
            loss = F.mse_loss(model(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses, scaler


def test_float16_training_with_scaling_and_clipping(device):
    """From a scale that overflows first; the final loss lies within 10 % or 0.02 of the one in float32."""
    steps = 60 if device == "cpu" else 25
    full, _ = train("float32", device, steps)
    low, scaler = train("float16", device, steps)
    assert scaler.get_scale() < 2.0**24
    skipped = sum(a == b for a, b in zip(low, low[1:]))
    assert 1 <= skipped <= 12, "a few steps overflow until the scale fits"
    assert full[-1] < 0.8 * full[0]
    assert abs(low[-1] - full[-1 - skipped]) < 0.1 * full[-1 - skipped] + 0.02
