"""Schedules: PyTorch's values where installed, closed forms, the notes' rules, state, batch sizes, the range finder."""

from __future__ import annotations

import importlib.util
import inspect
import math
import re
import warnings
from pathlib import Path

import pytest

import ccdl
import ccdl.nn as nn
from ccdl import optim
from ccdl.optim import lr_scheduler
from ccdl.utils.data import DataLoader, TensorDataset

SCHEDULES = {
    "step": lambda L, o: L.StepLR(o, 5),
    "multistep": lambda L, o: L.MultiStepLR(o, [3, 9, 9]),
    "exponential": lambda L, o: L.ExponentialLR(o, 0.9),
    "cosine": lambda L, o: L.CosineAnnealingLR(o, 30, 0.01),
    "lambda": lambda L, o: L.LambdaLR(o, lambda e: 0.9**e),
    "multiplicative": lambda L, o: L.MultiplicativeLR(o, lambda e: 0.95),
    "constant": lambda L, o: L.ConstantLR(o),
    "linear": lambda L, o: L.LinearLR(o),
    "polynomial": lambda L, o: L.PolynomialLR(o, 10, 2),
    "restarts": lambda L, o: L.CosineAnnealingWarmRestarts(o, 5, 2),
    "onecycle": lambda L, o: L.OneCycleLR(o, 1.0, 40),
    "onecycle3": lambda L, o: L.OneCycleLR(o, 1.0, 40, three_phase=True, anneal_strategy="linear"),
    "cyclic": lambda L, o: L.CyclicLR(o, 0.01, 0.5, 4, 7),
    "cyclic2": lambda L, o: L.CyclicLR(o, 0.01, 0.5, 4, mode="triangular2", base_momentum=0.7),
    "cyclic_exp": lambda L, o: L.CyclicLR(o, 0.01, 0.5, 4, mode="exp_range", gamma=0.9, cycle_momentum=False),
    "cyclic_own": lambda L, o: L.CyclicLR(o, 0.01, 0.5, 4, scale_fn=lambda x: 0.5**x, scale_mode="iterations"),
    "chained": lambda L, o: L.ChainedScheduler(
        [L.ConstantLR(o, 0.1, 4), L.ExponentialLR(o, 0.9), L.CosineAnnealingLR(o, 7), L.PolynomialLR(o, 40)]),
    "cosine_long": lambda L, o: L.CosineAnnealingLR(o, 4, 0.01),
    "restarts1": lambda L, o: L.CosineAnnealingWarmRestarts(o, 7, eta_min=0.1),
    "nested": lambda L, o: L.SequentialLR(
        o, [L.LinearLR(o, total_iters=4), L.ChainedScheduler([L.StepLR(o, 2), L.ExponentialLR(o, 0.99)]),
            L.CosineAnnealingLR(o, 9)], [4, 11]),
    "sequential": lambda L, o: L.SequentialLR(o, [L.LinearLR(o, total_iters=4), L.ExponentialLR(o, 0.9)], [4]),
}


def rates(library, module, make, count=30):
    p = module.nn.Parameter(module.ones(1))
    optimizer = module.optim.SGD([p], lr=0.5, momentum=0.9)
    scheduler = make(library, optimizer)
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(count):
        optimizer.step()
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
        assert scheduler.get_last_lr() == [seen[-1]]
        seen.append(optimizer.param_groups[0]["momentum"])
    return seen


@pytest.mark.parametrize("name", [n for n in SCHEDULES if n != "nested"])  # PyTorch's cannot hold a chained one
def test_schedules_against_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = rates(torch.optim.lr_scheduler, torch, SCHEDULES[name])
    assert rates(lr_scheduler, ccdl, SCHEDULES[name]) == pytest.approx(want, rel=1e-12)


def test_closed_forms():
    linear = [0.5 * (1 / 3 + 2 / 3 * t / 4) for t in range(4)]
    chained = [0.5 * 0.1 ** (t // 2) * 0.99**t for t in range(7)]
    cosine = [0.25 * (1 + math.cos(math.pi * t / 9)) for t in range(4)]
    assert rates(lr_scheduler, ccdl, SCHEDULES["nested"], 14)[:1] == pytest.approx([0.5 / 3])
    assert rates(lr_scheduler, ccdl, SCHEDULES["nested"], 14)[1::2] == pytest.approx((linear + chained + cosine)[1:])
    assert rates(lr_scheduler, ccdl, SCHEDULES["exponential"], 9)[-2] == pytest.approx(0.5 * 0.9**9)
    assert rates(lr_scheduler, ccdl, SCHEDULES["step"], 12)[-2] == pytest.approx(0.5 * 0.01)
    middle = rates(lr_scheduler, ccdl, SCHEDULES["cosine"], 15)[-2]
    assert middle == pytest.approx(0.01 + 0.49 * (1 + math.cos(math.pi / 2)) / 2)


def test_plateau():
    p = nn.Parameter(ccdl.ones(1))
    optimizer = optim.SGD([p], lr=1.0)
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    seen = []
    for error in (1.0, 1.2, 1.1):
        scheduler.step(error)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == [1.0, 0.5, 0.25]
    best = lr_scheduler.ReduceLROnPlateau(optimizer, mode="max", threshold_mode="abs", threshold=0.1)
    assert best.is_better(1.2, 1.0) and not best.is_better(1.05, 1.0)
    with pytest.raises(ValueError, match="Factor"):
        lr_scheduler.ReduceLROnPlateau(optimizer, factor=1.0)
    for low in (0.0, [0.0]):  # a group that comes later
        scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0, min_lr=low)
        optimizer.add_param_group({"params": [nn.Parameter(ccdl.ones(1))], "lr": 4.0})
        scheduler.step(1.0)
        if isinstance(low, list):
            with pytest.raises(RuntimeError, match="min_lrs"):
                scheduler.step(2.0)
        else:
            scheduler.step(2.0)
            assert optimizer.param_groups[1]["lr"] == 2.0
        optimizer.param_groups.pop()


def test_scheduler_state():
    p = nn.Parameter(ccdl.ones(1))
    a = optim.SGD([p], lr=1.0)
    first = lr_scheduler.ExponentialLR(a, 0.5)
    a.step()
    first.step()
    b = optim.SGD([p], lr=1.0)
    second = lr_scheduler.ExponentialLR(b, 0.5)
    b.load_state_dict(a.state_dict())
    second.load_state_dict(first.state_dict())
    first.step()
    second.step()
    assert a.param_groups[0]["lr"] == b.param_groups[0]["lr"] == 0.25
    with pytest.raises(TypeError, match="is not an Optimizer"):
        lr_scheduler.StepLR(3, 1)


def test_every_schedule_resumes_from_its_state():
    """Rates after loading go on as if nothing had happened, for every schedule."""
    for name, make in SCHEDULES.items():
        p = nn.Parameter(ccdl.ones(1))

        def walk(optimizer, scheduler, count, seen):
            for _ in range(count):
                optimizer.step()
                scheduler.step()
                seen.append(optimizer.param_groups[0]["lr"])

        def start(p=p, make=make):
            optimizer = optim.SGD([p], lr=0.5, momentum=0.9)
            return optimizer, make(lr_scheduler, optimizer)

        whole, first = [], []
        walk(*start(), 12, whole)
        one = start()
        walk(*one, 5, first)
        two = start()
        two[0].load_state_dict(one[0].state_dict())
        two[1].load_state_dict(one[1].state_dict())
        walk(*two, 7, first)
        assert first == pytest.approx(whole, rel=1e-12), name


@pytest.mark.parametrize("name", ["step", "multistep", "constant", "linear", "exponential", "polynomial", "cosine"])
def test_recursion_equals_closed_form(name):
    optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=0.5)
    scheduler = SCHEDULES[name](lr_scheduler, optimizer)
    for epoch in range(1, 30):
        optimizer.step()
        scheduler.step()
        assert scheduler.get_last_lr() == pytest.approx(scheduler._get_closed_form_lr(), rel=1e-10, abs=1e-15), epoch


def test_fractional_epochs_of_warm_restarts():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    seen = []
    for T in (ccdl, torch):
        optimizer = T.optim.SGD([T.nn.Parameter(T.ones(1))], lr=1.0)
        scheduler = T.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, 2, 0.01)
        row = []
        for i in range(80):
            scheduler.step(i / 5)
            row.append(scheduler.get_last_lr()[0])
        seen.append(row)
    assert seen[0] == pytest.approx(seen[1], rel=1e-9)


def test_exponential_of_the_notes_is_gamma_exp_minus_rate():
    optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=0.3)
    scheduler = lr_scheduler.ExponentialDecayLR(optimizer, 0.2)
    for epoch in range(1, 11):
        optimizer.step()
        scheduler.step()
        assert scheduler.get_last_lr()[0] == pytest.approx(0.3 * math.exp(-0.2 * epoch), rel=1e-12)
    assert scheduler.gamma == math.exp(-0.2)


def test_new_bob_and_plateau_on_the_same_errors():
    """Errors 1.0 1.2 1.1: new-bob looks at the epoch before and halves once, plateau at the best and halves twice."""
    def run(make, errors, lr=1.0):
        optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=lr)
        scheduler, seen = make(optimizer), []
        for error in errors:
            scheduler.step(error)
            seen.append(optimizer.param_groups[0]["lr"])
        return seen

    errors = [1.0, 1.2, 1.1]
    assert run(lr_scheduler.NewBobLR, errors) == [1.0, 0.5, 0.5]
    assert run(lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=0.5, patience=0), errors) == [1.0, 0.5, 0.25]
    assert run(lambda o: lr_scheduler.NewBobLR(o, ramp=True), errors) == [1.0, 0.5, 0.25]
    assert run(lambda o: lr_scheduler.NewBobLR(o, threshold=0.1), [1.0, 0.95, 0.8]) == [1.0, 0.5, 0.5]
    assert run(lambda o: lr_scheduler.NewBobLR(o, mode="max"), [0.5, 0.6, 0.4]) == [1.0, 1.0, 0.5]
    assert run(lambda o: lr_scheduler.NewBobLR(o, min_lr=0.4), [1, 2, 3, 4]) == [1.0, 0.5, 0.4, 0.4]
    assert run(lr_scheduler.NewBobLR, [1.0, math.nan, 1.0]) == [1.0, 0.5, 0.25]
    for bad in ({"factor": 1.0}, {"factor": 0.0}, {"mode": "up"}, {"min_lr": [0.1, 0.2]}):
        with pytest.raises(ValueError):
            lr_scheduler.NewBobLR(optim.SGD([nn.Parameter(ccdl.ones(1))], lr=1.0), **bad)
    with pytest.raises(TypeError, match="Optimizer"):
        lr_scheduler.NewBobLR(3)


def test_warmup_then_another_schedule():
    optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=2.0)
    after = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=0)
    warm = lr_scheduler.WarmupLR(optimizer, 4, 0.0625, "exponential", after)
    seen = [optimizer.param_groups[0]["lr"]]
    for error in (9.0, 9.0, 9.0, 9.0, 1.0, 2.0):
        optimizer.step()
        warm.step(error)
        seen.append(optimizer.param_groups[0]["lr"])
    assert seen == pytest.approx([0.125, 0.25, 0.5, 1.0, 2.0, 2.0, 1.0])
    assert warm.needs_metric
    for bad in ({"warmup_steps": 0}, {"start_factor": 0.0}, {"mode": "cubic"}):
        with pytest.raises(ValueError, match="WarmupLR"):
            lr_scheduler.WarmupLR(optimizer, **{"warmup_steps": 2, **bad})
    with pytest.raises(ValueError, match="another optimizer"):
        lr_scheduler.WarmupLR(optim.SGD([nn.Parameter(ccdl.ones(1))], lr=1.0), 3, after=after)


def test_noam_rises_linearly_and_falls_like_the_inverse_root():
    optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=1.0)
    scheduler = lr_scheduler.NoamLR(optimizer, 64, 10)
    seen = [scheduler.get_last_lr()[0]]
    for _ in range(39):
        optimizer.step()
        scheduler.step()
        seen.append(scheduler.get_last_lr()[0])
    assert seen[4] == pytest.approx(5 * seen[0])
    assert max(seen) == seen[9] == pytest.approx(64**-0.5 * 10**-0.5)
    assert seen[39] == pytest.approx(seen[9] / 2)


def test_scaling_with_the_batch_size():
    def fresh(kind=optim.SGD):
        return kind([nn.Parameter(ccdl.ones(1))], lr=0.1, **({"momentum": 0.9} if kind is optim.SGD else {}))

    scale = lr_scheduler.scale_with_batch_size
    optimizer = fresh()
    scheduler = lr_scheduler.ExponentialLR(optimizer, 0.5)
    assert scale(optimizer, 256, 64) == 4.0
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.4) and optimizer.param_groups[0]["initial_lr"] == pytest.approx(0.4)
    assert scheduler.get_last_lr() == [0.1]
    optimizer = fresh()
    scale(optimizer, 256, 64, "sqrt", "samples")
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.2)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.9**4)
    optimizer = fresh()
    scale(optimizer, 256, 64, "keep", "noise")  # B / (1 / (1 - m)) stays: 64 x 0.1 = 256 x 0.025
    assert (1 - optimizer.param_groups[0]["momentum"]) * 256 == pytest.approx(0.1 * 64)
    adam = fresh(optim.Adam)
    scale(adam, 128, 64, "linear", "noise")
    assert adam.param_groups[0]["betas"] == pytest.approx((0.95, 0.999))
    with pytest.raises(ValueError, match="would become"):
        scale(fresh(), 4, 64, "keep", "noise")
    for bad in ((0, 1), (1, 0), (1, 1, "cubic"), (1, 1, "keep", "much")):
        with pytest.raises(ValueError, match="scale_with_batch_size"):
            scale(fresh(), *bad)


def test_growing_the_batch_instead_of_decaying():
    loader = DataLoader(TensorDataset(ccdl.arange(64)), batch_size=4)
    optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=0.8)
    growth = lr_scheduler.BatchSizeGrowth(loader, [1, 3, 4], 4, max_batch_size=20, optimizer=optimizer)
    seen = []
    for _ in range(4):
        growth.step()
        seen.append((growth.batch_size, len(list(loader)), len(loader), optimizer.param_groups[0]["lr"]))
    assert seen == [(16, 4, 4, 0.8), (16, 4, 4, 0.8), (16, 4, 4, 0.2), (16, 4, 4, 0.05)]
    other = lr_scheduler.BatchSizeGrowth(DataLoader(TensorDataset(ccdl.arange(64)), batch_size=4), [1, 3], 4)
    other.load_state_dict(growth.state_dict())
    assert other.batch_size == 16 and other.last_epoch == 4
    for bad in (dict(factor=1), dict(factor=1.5), dict(max_batch_size=8)):
        with pytest.raises(ValueError, match="BatchSizeGrowth"):
            lr_scheduler.BatchSizeGrowth(loader, [1], **bad)
    with pytest.raises(ValueError, match="no batch size"):
        lr_scheduler.BatchSizeGrowth(DataLoader(TensorDataset(ccdl.arange(4)), batch_size=None), [1])


def test_order_of_steps_is_warned_about():
    optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=1.0)
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        scheduler.step()
    optimizer = optim.SGD([nn.Parameter(ccdl.ones(1))], lr=1.0)
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.step()
        scheduler.step()


def test_bad_schedules():
    p = nn.Parameter(ccdl.ones(1))
    sgd, other = optim.SGD([p], lr=1.0, momentum=0.5), optim.SGD([p], lr=1.0)
    a, b = lr_scheduler.StepLR(sgd, 2), lr_scheduler.StepLR(other, 2)
    plateau = lr_scheduler.ReduceLROnPlateau(sgd)
    for make, kind, text in (
        (lambda: lr_scheduler.CyclicLR(sgd, 0.1, 1.0, mode="square"), ValueError, "mode"),
        (lambda: lr_scheduler.CyclicLR(sgd, [0.1, 0.2], 1.0), ValueError, "same length"),
        (lambda: lr_scheduler.CyclicLR(optim.Adagrad([p]), 0.1, 1.0), ValueError, "momentum or beta1"),
        (lambda: lr_scheduler.CyclicLR(3, 0.1, 1.0), TypeError, "Optimizer"),
        (lambda: lr_scheduler.ChainedScheduler([]), ValueError, "at least one"),
        (lambda: lr_scheduler.ChainedScheduler([a, b]), ValueError, "same optimizer"),
        (lambda: lr_scheduler.ChainedScheduler([a, plateau]), ValueError, "ReduceLROnPlateau"),
        (lambda: lr_scheduler.SequentialLR(sgd, [a, plateau], [1]), ValueError, "ReduceLROnPlateau"),
        (lambda: lr_scheduler.SequentialLR(sgd, [a, a], []), ValueError, "milestones"),
        (lambda: lr_scheduler.SequentialLR(sgd, [], []), ValueError, "at least one"),
        (lambda: lr_scheduler.SequentialLR(sgd, [a, b], [1]), ValueError, "given optimizer"),
        (lambda: lr_scheduler.NoamLR(sgd, 0, 10), ValueError, "positive"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(sgd, 0), ValueError, "T_0"),
        (lambda: lr_scheduler.StepLR(optim.SGD([p], lr=1.0), 1, last_epoch=3), KeyError, "initial_lr"),
        (lambda: lr_scheduler.ConstantLR(sgd, 2.0), ValueError, "factor"),
        (lambda: lr_scheduler.LinearLR(sgd, 0.0), ValueError, "factor"),
        (lambda: lr_scheduler.LinearLR(sgd, 0.5, -1), ValueError, "factor"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(sgd, 1, 0), ValueError, "T_mult"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(sgd, 1.5), ValueError, "T_0"),
        (lambda: lr_scheduler.OneCycleLR(sgd, 1.0), ValueError, "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(sgd, 1.0, -1), ValueError, "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(sgd, 1.0, 10, pct_start=2.0), ValueError, "pct_start"),
        (lambda: lr_scheduler.OneCycleLR(sgd, 1.0, 10, anneal_strategy="x"), ValueError, "anneal_strategy"),
        (lambda: lr_scheduler.ReduceLROnPlateau(sgd, "x"), ValueError, "mode x"),
        (lambda: lr_scheduler.ReduceLROnPlateau(sgd, factor=1.5), ValueError, "[Ff]actor"),
        (lambda: lr_scheduler.ReduceLROnPlateau(sgd, threshold_mode="x"), ValueError, "threshold mode x"),
        (lambda: lr_scheduler.LambdaLR(sgd, []), ValueError, "lr_lambda"),
        *[(lambda make=make, a=a: make(3, *a), TypeError, "Optimizer") for make, a in (
            (lr_scheduler.StepLR, (1,)), (lr_scheduler.MultiStepLR, ([1],)), (lr_scheduler.ConstantLR, ()), (lr_scheduler.LinearLR, ()),
            (lr_scheduler.ExponentialLR, (0.9,)), (lr_scheduler.PolynomialLR, ()), (lr_scheduler.CosineAnnealingLR, (5,)),
            (lr_scheduler.CosineAnnealingWarmRestarts, (5,)), (lr_scheduler.OneCycleLR, (1.0, 10)), (lr_scheduler.ReduceLROnPlateau, ()),
            (lr_scheduler.NewBobLR, ()), (lr_scheduler.WarmupLR, (3,)))],
    ):
        with pytest.raises(kind, match=text):
            make()


# --- range finder ----------------------------------------------------------------------------------------------------


def finder(lr=1.0):
    ccdl.manual_seed(1)
    x = ccdl.randn(64, 4)
    y = x @ ccdl.tensor([[1.0], [-2.0], [0.5], [3.0]])
    model = nn.Linear(4, 1)
    optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.5)
    loader = DataLoader(TensorDataset(x, y), batch_size=16)
    return model, optimizer, loader, optim.LRFinder(model, optimizer, nn.MSELoss())


def test_range_finder_finds_a_rate_that_trains_and_restores_everything():
    model, optimizer, loader, found = finder()
    x, y = next(iter(loader))
    nn.MSELoss()(model(x), y).backward()
    optimizer.step()
    weights, state = model.weight.tolist(), optimizer.state[model.weight]["momentum_buffer"].tolist()
    rng = ccdl.get_rng_state()
    history = found.range_test(loader, 1e-5, 100.0, 80)
    assert model.weight.tolist() == weights and optimizer.param_groups[0]["lr"] == 1.0
    assert optimizer.state[model.weight]["momentum_buffer"].tolist() == state
    assert bool((ccdl.get_rng_state() == rng).all()) and model.training
    assert found.diverged and len(history["lr"]) < 80
    ratios = [b / a for a, b in zip(history["lr"], history["lr"][1:])]
    assert ratios == pytest.approx([ratios[0]] * len(ratios))
    rate = found.suggestion()
    assert 1e-3 < rate < 1.0
    optimizer.param_groups[0]["lr"] = rate
    first = None
    for _ in range(20):
        for x, y in loader:
            optimizer.zero_grad()
            loss = nn.MSELoss()(model(x), y)
            first = loss.item() if first is None else first
            loss.backward()
            optimizer.step()
    assert loss.item() < 0.1 * first


def test_range_finder_options_and_errors():
    model, optimizer, loader, found = finder()
    history = found.range_test(loader, 0.001, 0.011, 11, mode="linear", smooth=0.0, accumulation_steps=2)
    assert history["lr"] == pytest.approx([0.001 * (i + 1) for i in range(11)]) and history["loss"] == found.raw
    own = optim.LRFinder(model, optimizer)
    own.range_test(loader, 1e-3, 1e-2, 5, loss_fn=lambda batch: nn.MSELoss()(model(batch[0]), batch[1]))
    assert len(own.raw) == 5
    for bad in (dict(start_lr=0), dict(start_lr=2, end_lr=1), dict(num_iter=1), dict(mode="log"), dict(smooth=1.0),
                dict(accumulation_steps=0), dict(loader=[])):
        with pytest.raises(ValueError, match="LRFinder"):
            found.range_test(**{"loader": loader, **bad})
    with pytest.raises(ValueError, match="criterion"):
        own.range_test(loader)
    with pytest.raises(ValueError, match="at least 3"):
        optim.LRFinder(model, optimizer).suggestion()


def test_range_finder_plot(tmp_path):
    pytest.importorskip("matplotlib", reason="the extra package is not installed")
    _, _, loader, found = finder()
    found.range_test(loader, 1e-4, 1.0, 10)
    found.plot(tmp_path / "lr.png")
    assert (tmp_path / "lr.png").stat().st_size > 1000
    assert found.plot().get_xscale() == "log"


# --- the page --------------------------------------------------------------------------------------------------------

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_runs():
    page = (DOCS / "schedules.md").read_text()
    names = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(compile(block, "docs/schedules.md", "exec"), names)
    assert names["growth"].batch_size == 64 and names["optimizer"].param_groups[0]["momentum"] == pytest.approx(0.95)


def test_the_page_and_the_plots_name_every_schedule(tmp_path):
    spec = importlib.util.spec_from_file_location("plot_schedules", DOCS / "plot_schedules.py")
    plots = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plots)
    classes = {n for n in lr_scheduler.__all__ if inspect.isclass(getattr(lr_scheduler, n))} - {"LRScheduler", "BatchSizeGrowth"}
    drawn = {re.match(r"\w+", n)[0] for n in plots.SCHEDULES}
    assert classes == drawn
    page = (DOCS / "schedules.md").read_text()
    assert all(f"`{n}`" in page for n in classes)
    for make in plots.SCHEDULES.values():
        seen = plots.rates(make, 12)
        assert len(seen) == 12 and all(0 <= r <= 1 + 1e-12 for r in seen)
    pytest.importorskip("matplotlib", reason="the extra package is not installed")
    plots.main(str(tmp_path / "all.png"))
    assert (tmp_path / "all.png").stat().st_size > 10000


def test_an_overridden_step_is_warned_about():
    optimizer = ccdl.optim.SGD([ccdl.ones(1, requires_grad=True)], lr=0.1)
    schedule = ccdl.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    step = optimizer.step
    optimizer.step = lambda: step()
    optimizer.step()
    with pytest.warns(UserWarning, match=r"`optimizer.step\(\)` has been overridden.*how-to-adjust-learning-rate"):
        schedule.step()
    with pytest.warns(UserWarning, match=r"Detected call of.*how-to-adjust-learning-rate"):
        ccdl.optim.lr_scheduler.ExponentialLR(ccdl.optim.SGD([ccdl.ones(1, requires_grad=True)], lr=0.1), 0.9).step()
