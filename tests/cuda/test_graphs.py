"""CUDA graphs: captured training steps give bitwise what the plain ones give; misuse is a clear error."""

from __future__ import annotations

import gc

import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F

pytestmark = pytest.mark.gpu


def mlp():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3)), (6,)


def dropout_net():
    return nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.5), nn.Tanh(), nn.Linear(16, 3)), (6,)


def norm_net():
    return nn.Sequential(nn.Linear(6, 16), nn.LayerNorm(16), nn.GELU(), nn.Linear(16, 3)), (6,)


def lenet():
    return nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 3), nn.Tanh(),
                         nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 3)), (1, 8, 8)


OPTIMIZERS = {
    "sgd": lambda p: ccdl.optim.SGD(p, lr=0.1),
    "momentum": lambda p: ccdl.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "adam": lambda p: ccdl.optim.Adam(p, lr=0.02),
    "adamw_amsgrad": lambda p: ccdl.optim.AdamW(p, lr=0.02, weight_decay=0.1, amsgrad=True),
}
RULES = {
    "amsgrad_corrected": lambda p: ccdl.optim.Adam(p, lr=0.02, amsgrad_corrected=True),
    "adagrad": lambda p: ccdl.optim.Adagrad(p, lr=0.05, lr_decay=0.1),
    "adadelta": lambda p: ccdl.optim.Adadelta(p, lr=1.0, eps=1e-3),
    "rmsprop": lambda p: ccdl.optim.RMSprop(p, lr=0.01, momentum=0.9, centered=True, eps=1e-2),
    "adamax": lambda p: ccdl.optim.Adamax(p, lr=0.02),
    "nadam": lambda p: ccdl.optim.NAdam(p, lr=0.02),
    "radam": lambda p: ccdl.optim.RAdam(p, lr=0.02, betas=(0.9, 0.9)),
    "asgd": lambda p: ccdl.optim.ASGD(p, lr=0.05, lambd=0.1, t0=2),
    "rprop": lambda p: ccdl.optim.Rprop(p, lr=0.01),
    "lion": lambda p: ccdl.optim.Lion(p, lr=0.01, weight_decay=0.1),
    "lamb": lambda p: ccdl.optim.LAMB(p, lr=0.01, weight_decay=0.1),
    "adafactor": lambda p: ccdl.optim.Adafactor(p, lr=0.5),
}


def curve(net, optimizer, graphed, steps=7, schedule=False, clip=False):
    """Losses and parameters after some steps."""
    ccdl.manual_seed(3)
    model, shape = net()
    opt = {**OPTIMIZERS, **RULES}[optimizer](model.parameters())
    scheduler = ccdl.optim.lr_scheduler.StepLR(opt, 2, 0.5) if schedule else None

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        opt.step()
        return loss

    run = ccdl.cuda.graph(step, warmup=2) if graphed else step
    losses = []
    for i in range(steps):
        x = ccdl.randn(4, *shape)
        y = ccdl.arange(4) % 3
        losses.append(run(x, y).detach())
        if scheduler:
            scheduler.step()
    if graphed:
        assert "1 recorded" in repr(run)
    state = [v for s in opt.state.values() for v in s.values() if isinstance(v, ccdl.Tensor)]
    return [v.item() for v in losses], [p.tolist() for p in model.parameters()], [v.tolist() for v in state]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("net", [mlp, dropout_net, norm_net, lenet], ids=lambda f: f.__name__)
def test_a_captured_training_step_is_bitwise_the_plain_one(net, optimizer):
    assert curve(net, optimizer, True) == curve(net, optimizer, False)


@pytest.mark.parametrize("optimizer", RULES)
def test_every_optimizer_can_be_captured(optimizer):
    """Step counts and the numbers of the state go on from replay to replay, and so do learning rates."""
    assert curve(mlp, optimizer, True, schedule=True) == curve(mlp, optimizer, False, schedule=True)


def test_lenet5_has_the_same_loss_curve():
    def net():
        return ccdl.models.LeNet5(), (1, 32, 32)

    assert curve(net, "momentum", True, steps=4) == curve(net, "momentum", False, steps=4)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_learning_rate_schedules_and_clipping_reach_replays(optimizer):
    captured = curve(mlp, optimizer, True, steps=9, schedule=True, clip=True)
    assert captured == curve(mlp, optimizer, False, steps=9, schedule=True, clip=True)
    assert captured != curve(mlp, optimizer, False, steps=9, clip=True)


def test_replays_do_not_wait_and_launch_once():
    x = ccdl.ones(100)
    run = ccdl.cuda.graph(lambda v: (v * 2 + 1).sum(), warmup=1, copy_outputs=False)
    for _ in range(3):
        run(x)
    waits, launches = ccdl.cuda._sync_count(), ccdl.cuda._launch_count()
    for _ in range(5):
        out = run(x)
    assert ccdl.cuda._sync_count() == waits
    assert ccdl.cuda._launch_count() - launches <= 10  # the copy into the input, and the graph
    assert out.item() == 300


def test_inputs_are_copied_in_and_results_are_copies():
    run = ccdl.cuda.graph(lambda a, b, k: {"sum": [a + k * b], "k": k}, warmup=1)
    results = [run(ccdl.full((3,), float(i)), ccdl.ones(3), 2) for i in range(5)]
    assert [r["sum"][0].tolist() for r in results] == [[i + 2.0] * 3 for i in range(5)]
    assert results[-1]["k"] == 2
    assert run(ccdl.ones(3), ccdl.ones(3), 5)["sum"][0].tolist() == [6.0] * 3  # another k: another recording


def test_one_recording_per_shape():
    run = ccdl.cuda.graph(lambda x: x.sum() * 2, warmup=1)
    for n in (3, 5, 3, 5, 3, 5, 7):
        assert run(ccdl.ones(n)).item() == 2.0 * n
    assert "2 recorded" in repr(run)
    run.reset()
    assert "0 recorded" in repr(run)
    assert run(ccdl.ones(3)).item() == 6.0


def test_graph_object():
    g = ccdl.cuda.CUDAGraph()
    x = ccdl.ones(4)
    assert not ccdl.cuda.is_current_stream_capturing()
    with ccdl.cuda.graph(g):
        assert ccdl.cuda.is_current_stream_capturing()
        assert ccdl.cuda.current_stream().is_capturing()
        y = (x + 1) * 2
    assert not ccdl.cuda.is_current_stream_capturing()
    assert g.node_count >= 2
    for value in (1.0, 5.0, -3.0):
        x.fill_(value)
        g.replay()
        assert y.tolist() == [(value + 1) * 2] * 4
    with pytest.raises(RuntimeError, match="reset"), ccdl.cuda.graph(g):
        pass
    g.reset()
    with pytest.raises(RuntimeError, match="nothing was captured"):
        g.replay()
    with ccdl.cuda.graph(g):
        y = x - 1
    g.replay()
    assert y.tolist() == [-4.0] * 4


def test_memory_of_a_graph_is_its_own_until_it_dies():
    g = ccdl.cuda.CUDAGraph()
    x = ccdl.ones(1000)
    with ccdl.cuda.graph(g):
        y = (x * 2) + 1  # the product's block is free at the end, and stays the graph's
    for i in range(20):
        other = ccdl.full((1000,), float(i))
        g.replay()
        assert y.tolist() == [3.0] * 1000
        assert other.tolist() == [float(i)] * 1000
    held = ccdl.cuda.memory_reserved()
    del g, y
    gc.collect()
    ccdl.cuda.empty_cache()
    assert ccdl.cuda.memory_reserved() < held


def test_results_outlive_their_graph():
    g = ccdl.cuda.CUDAGraph()
    x = ccdl.ones(10)
    with ccdl.cuda.graph(g):
        y = x * 3
    g.replay()
    del g
    gc.collect()
    z = ccdl.zeros(10)
    assert y.tolist() == [3.0] * 10
    assert z.sum().item() == 0


def test_graphs_share_memory_on_request():
    pool = ccdl.cuda.graph_pool_handle()
    x = ccdl.ones(50_000)
    first, second = ccdl.cuda.CUDAGraph(), ccdl.cuda.CUDAGraph()
    with ccdl.cuda.graph(first, pool=pool):
        a = (x + 1).sum()
    held = ccdl.cuda.memory_reserved()
    with ccdl.cuda.graph(second, pool=first.pool()):
        b = (x * 3).sum()
    assert ccdl.cuda.memory_reserved() == held
    first.replay()
    second.replay()
    assert (a.item(), b.item()) == (100_000.0, 150_000.0)


WAITS = {
    "item": lambda x: x.sum().item(),
    "cpu": lambda x: x.cpu(),
    "nonzero": lambda x: x.nonzero(),
    "bool": lambda x: 1 if (x > 0).any() else 0,
    "print": lambda x: str(x),
    "synchronize": lambda x: ccdl.cuda.synchronize(),
    "stream": lambda x: ccdl.cuda.current_stream().synchronize(),
    "masked_select": lambda x: x[x > 0],
    "upload": lambda x: x + ccdl.tensor([1.0, 2.0, 3.0], device="cpu").to("cuda"),
    "empty_cache": lambda x: ccdl.cuda.empty_cache(),
}


@pytest.mark.parametrize("name", WAITS)
def test_waiting_inside_a_capture_is_a_clear_error(name):
    x = ccdl.ones(3)
    g = ccdl.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="while a CUDA graph is being captured"), ccdl.cuda.graph(g):
        WAITS[name](x)
    assert not ccdl.cuda.is_current_stream_capturing()
    assert (x + 1).tolist() == [2.0] * 3
    with ccdl.cuda.graph(g):  # the same object works afterwards
        y = x + 2
    g.replay()
    assert y.tolist() == [3.0] * 3


def test_the_error_names_the_op():
    x = ccdl.ones(3)
    with pytest.raises(RuntimeError, match="^nonzero: "), ccdl.cuda.graph(ccdl.cuda.CUDAGraph()):
        x.nonzero()


def test_exceptions_leave_the_capture():
    x = ccdl.ones(3)
    with pytest.raises(KeyError), ccdl.cuda.graph(ccdl.cuda.CUDAGraph()):
        x + 1
        raise KeyError("mine")
    assert (x + 1).tolist() == [2.0] * 3


def test_captures_do_not_nest():
    with pytest.raises(RuntimeError, match="nest"), ccdl.cuda.graph(ccdl.cuda.CUDAGraph()):
        with ccdl.cuda.graph(ccdl.cuda.CUDAGraph()):
            pass
    assert (ccdl.ones(2) + 1).tolist() == [2.0] * 2


def test_optimizer_state_must_exist_before_the_capture():
    w = nn.Parameter(ccdl.ones(3))
    opt = ccdl.optim.Adam([w])
    w.grad = ccdl.ones(3)
    with pytest.raises(RuntimeError, match="run a step before the capture"):
        with ccdl.cuda.graph(ccdl.cuda.CUDAGraph()):
            opt.step()
    opt.step()
    assert ccdl.isfinite(w).all().item()


def test_a_changed_optimizer_is_recorded_anew():
    w = nn.Parameter(ccdl.ones(3))
    opt = ccdl.optim.SGD([w], lr=1.0, momentum=0.5)

    def step(g):
        w.grad = g * 1
        opt.step()
        return w * 1

    plain = ccdl.ones(3)
    run, buffer = ccdl.cuda.graph(step, warmup=1), None
    for i in range(8):
        if i == 4:
            opt.param_groups[0]["momentum"] = 0.25
        momentum = 0.5 if i < 4 else 0.25
        buffer = ccdl.ones(3) if buffer is None else buffer * momentum + 1
        plain = plain - buffer
        assert run(ccdl.ones(3)).tolist() == plain.tolist()


def test_a_loaded_optimizer_state_is_recorded_anew():
    w = nn.Parameter(ccdl.ones(3))
    opt = ccdl.optim.Adam([w], lr=0.1)

    def step(g):
        w.grad = g * 1
        opt.step()
        return w * 1

    run = ccdl.cuda.graph(step, warmup=1)
    for _ in range(4):
        run(ccdl.ones(3))
    saved, start = opt.state_dict(), w.detach().clone()
    saved = {"state": {0: {k: v.clone() for k, v in saved["state"][0].items()}}, "param_groups": saved["param_groups"]}
    want = [run(ccdl.full((3,), float(i))).tolist() for i in range(3)]
    assert opt.state[w]["step"].item() == 7
    with ccdl.no_grad():
        w.copy_(start)
    opt.load_state_dict(saved)
    assert [run(ccdl.full((3,), float(i))).tolist() for i in range(3)] == want
    assert opt.state[w]["step"].item() == 7


def test_pinned_memory_is_read_by_every_replay_and_kept_for_it():
    host = ccdl.zeros(1000, device="cpu").pin_memory()
    g = ccdl.cuda.CUDAGraph()
    with ccdl.cuda.graph(g):
        y = host.to("cuda", non_blocking=True) * 2
    for value in (1.0, 4.0):
        host.fill_(value)
        g.replay()
        assert y.tolist() == [2 * value] * 1000
    del host
    other = ccdl.full((1000,), 7.0, device="cpu").pin_memory()  # not the block that replays read
    g.replay()
    assert y.tolist() == [8.0] * 1000
    assert other[0].item() == 7.0


def test_random_numbers_in_replays_continue_the_stream():
    ccdl.manual_seed(5)
    want = [ccdl.randn(6).tolist() for _ in range(6)]
    ccdl.manual_seed(5)
    got = [ccdl.randn(6).tolist()]
    g = ccdl.cuda.CUDAGraph()
    with ccdl.cuda.graph(g):
        y = ccdl.randn(6)
        z = ccdl.randn(6)
    for _ in range(2):
        g.replay()
        got += [y.tolist(), z.tolist()]
    got.append(ccdl.randn(6).tolist())
    assert got == want
    ccdl.manual_seed(5)
    g.replay()
    assert y.tolist() == want[0]


def test_faults_inside_replays_are_raised():
    x, index = ccdl.arange(5.0), ccdl.zeros(2, dtype=ccdl.int64)
    g = ccdl.cuda.CUDAGraph()
    with ccdl.cuda.graph(g):
        y = ccdl.gather(x, 0, index)
    g.replay()
    assert y.tolist() == [0.0, 0.0]
    index.fill_(9)
    g.replay()
    with pytest.raises(IndexError, match="gather: index 9"):
        y.tolist()
    index.fill_(4)
    g.replay()
    assert y.tolist() == [4.0, 4.0]


def test_replays_on_another_stream():
    x = ccdl.ones(1000)
    g = ccdl.cuda.CUDAGraph()
    with ccdl.cuda.graph(g):
        x.add_(1)
    side = ccdl.cuda.Stream()
    for _ in range(3):
        g.replay()
        with ccdl.cuda.stream(side):
            g.replay()
    side.synchronize()
    ccdl.cuda.synchronize()
    assert x.tolist() == [7.0] * 1000


def test_bad_arguments():
    with pytest.raises(TypeError, match="function or a CUDAGraph"):
        ccdl.cuda.graph(3)
    with pytest.raises(ValueError, match="warmup"):
        ccdl.cuda.graph(lambda x: x, warmup=0)
    with pytest.raises(TypeError, match="hashable"):
        ccdl.cuda.graph(lambda x: x)({1, 2})
    with pytest.raises(RuntimeError, match="pool"):
        ccdl.cuda.CUDAGraph().pool()
    with pytest.raises(RuntimeError, match="capture"):
        ccdl.cuda.CUDAGraph().capture_end()
