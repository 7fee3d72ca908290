"""Ordinary PyTorch model code runs after changing its import, and trains to PyTorch's losses where it is installed."""

from __future__ import annotations

import copy
import math

import pytest

import ccdl


def residual_net(torch):
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, inputs, planes, stride=1):
            super(Block, self).__init__()  # noqa: UP008
            self.conv1 = nn.Conv2d(inputs, planes, kernel_size=3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(planes)
            self.conv2 = nn.Conv2d(planes, planes, kernel_size=3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(planes)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != planes:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, planes, 1, stride, bias=False), nn.BatchNorm2d(planes))

        def forward(self, x):
            out = F.relu(self.bn1(self.conv1(x)))
            out = self.bn2(self.conv2(out))
            out += self.shortcut(x)
            return F.relu(out)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, 1, 1, bias=False)
            self.bn = nn.BatchNorm2d(8)
            self.layers = nn.Sequential(Block(8, 8), Block(8, 16, 2))
            self.linear = nn.Linear(16, 4)
            for m in self.modules():
                if isinstance(m, nn.Conv2d):
                    nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                elif isinstance(m, (nn.BatchNorm2d, nn.GroupNorm)):
                    nn.init.constant_(m.weight, 1)
                    nn.init.constant_(m.bias, 0)

        def forward(self, x):
            out = self.layers(F.relu(self.bn(self.stem(x))))
            out = F.avg_pool2d(out, out.size()[3])
            return self.linear(out.view(out.size(0), -1))

    return Net(), (4, 3, 8, 8), 4


def variational_autoencoder(torch):
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc1, self.mu, self.logvar = nn.Linear(64, 20), nn.Linear(20, 4), nn.Linear(20, 4)
            self.fc3, self.fc4 = nn.Linear(4, 20), nn.Linear(20, 64)

        def forward(self, x):
            h = F.relu(self.fc1(x.view(-1, 64)))
            mu, logvar = self.mu(h), self.logvar(h)
            z = mu + torch.exp(0.5 * logvar)
            self.divergence = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
            return torch.log_softmax(torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), dim=1) + 1e-3 * self.divergence

    return Net(), (4, 1, 8, 8), 64


def small_gpt(torch):
    nn, F = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.norm = nn.LayerNorm(width)
            self.qkv = nn.Linear(width, 3 * width)
            self.out = nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            self.register_buffer("mask", torch.tril(torch.ones(16, 16)).view(1, 1, 16, 16))

        def forward(self, x):
            B, T, C = x.size()
            q, k, v = self.qkv(self.norm(x)).split(C, dim=2)
            q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = F.softmax(att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf")), dim=-1)
            x = x + self.out((att @ v).transpose(1, 2).contiguous().view(B, T, C))
            return x + self.mlp(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(20, 16)
            self.position = nn.Parameter(torch.zeros(1, 16, 16))
            self.blocks = nn.Sequential(*[Attention(16, 2) for _ in range(2)])
            self.head = nn.Linear(16, 20, bias=False)
            self.head.weight = self.embed.weight
            self.apply(self._init)

        @staticmethod
        def _init(m):
            if isinstance(m, (nn.Linear, nn.Embedding)):
                torch.nn.init.normal_(m.weight, mean=0.0, std=0.2)

        def forward(self, ids):
            return self.head(self.blocks(self.embed(ids) + self.position[:, : ids.size(1)])).mean(1)

    return Net(), None, 20


def selective_scan(torch):
    nn, F = torch.nn, torch.nn.functional

    class Net(nn.Module):
        def __init__(self, width=8, states=4, rank=2):
            super().__init__()
            inner = 2 * width
            self.inner, self.states, self.rank = inner, states, rank
            self.embed = nn.Embedding(20, width)
            self.in_proj = nn.Linear(width, inner * 2, bias=False)
            self.conv1d = nn.Conv1d(inner, inner, kernel_size=4, groups=inner, padding=3)
            self.x_proj = nn.Linear(inner, rank + states * 2, bias=False)
            self.dt_proj = nn.Linear(rank, inner)
            self.A_log = nn.Parameter(torch.log(torch.arange(1, states + 1, dtype=torch.float32).repeat(inner, 1)))
            self.D = nn.Parameter(torch.ones(inner))
            self.A_log._no_weight_decay = True
            self.out_proj = nn.Linear(inner, 20, bias=False)

        def forward(self, ids):
            x = self.embed(ids)
            length = x.shape[1]
            x, gate = self.in_proj(x).split(split_size=[self.inner, self.inner], dim=-1)
            x = F.silu(self.conv1d(x.transpose(1, 2))[:, :, :length].transpose(1, 2))
            delta, b, c = self.x_proj(x).split(split_size=[self.rank, self.states, self.states], dim=-1)
            delta = F.softplus(self.dt_proj(delta))
            decay = torch.exp(torch.einsum("bld,dn->bldn", delta, -torch.exp(self.A_log.float())))
            driven = torch.einsum("bld,bln,bld->bldn", delta, b, x)
            state, outputs = torch.zeros((x.size(0), self.inner, self.states), device=x.device), []
            for i in range(length):
                state = decay[:, i] * state + driven[:, i]
                outputs.append(torch.einsum("bdn,bn->bd", state, c[:, i, :]))
            y = torch.stack(outputs, dim=1) + x * self.D.float()
            return self.out_proj(y * F.silu(gate)).mean(1)

    return Net(), None, 20


MODELS = [residual_net, variational_autoencoder, small_gpt, selective_scan]
STEPS = {"SGD": {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4}, "AdamW": {"lr": 1e-2}}


def batch(shape, classes):
    import numpy as np

    rng = np.random.default_rng(0)
    x = rng.integers(0, 20, (4, 16)) if shape is None else rng.standard_normal(shape).astype("float32")
    return x, rng.integers(0, classes, 4)


def losses(torch, net, x, y, optimizer, options):
    steps = getattr(torch.optim, optimizer)(net.parameters(), **options)
    schedule = torch.optim.lr_scheduler.StepLR(steps, 3, gamma=0.5)
    criterion, seen = torch.nn.CrossEntropyLoss(), []
    net.train()
    for _ in range(6):
        steps.zero_grad()
        loss = criterion(net(x), y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        steps.step()
        schedule.step()
        seen.append(loss.item())
    return seen


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("optimizer", STEPS)
def test_training_follows_pytorch(make, optimizer):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ours, shape, classes = make(ccdl)
    theirs = make(torch)[0]
    theirs.load_state_dict({k: torch.from_numpy(v.cpu().numpy().copy()) for k, v in ours.state_dict().items()})
    x, y = batch(shape, classes)
    a = losses(ccdl, ours, ccdl.tensor(x), ccdl.tensor(y), optimizer, STEPS[optimizer])
    b = losses(torch, theirs, torch.tensor(x), torch.tensor(y), optimizer, STEPS[optimizer])
    assert a == pytest.approx(b, rel=2e-3)
    assert a[0] == pytest.approx(b[0], rel=1e-5) and a[-1] < a[0]


@pytest.mark.parametrize("make", MODELS)
def test_save_load_copy_and_average(make, tmp_path):
    net, shape, classes = make(ccdl)
    x = ccdl.tensor(batch(shape, classes)[0])
    ccdl.save({"net": net.state_dict(), "best": 0.5}, tmp_path / "c.pth")
    again = make(ccdl)[0]
    again.load_state_dict(ccdl.load(tmp_path / "c.pth", map_location=ccdl.device("cpu"))["net"])
    net.eval()
    again.eval()
    with ccdl.no_grad():
        assert ccdl.equal(net(x), again(x))
        average = copy.deepcopy(net)
        for p, q in zip(average.parameters(), again.parameters()):
            p.data.mul_(0.9).add_(q.data, alpha=0.1)
        ccdl.testing.assert_close(average(x), net(x), rtol=1e-4, atol=1e-4)


def rectified(torch):
    """An optimiser as older repositories write it: positional factors in add_ and addcmul_, p.data throughout."""

    class Old(torch.optim.Optimizer):
        def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
            super(Old, self).__init__(params, dict(lr=lr, betas=betas, eps=eps))  # noqa: UP008

        def __setstate__(self, state):
            super(Old, self).__setstate__(state)  # noqa: UP008

        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    grad, state, (beta1, beta2) = p.grad.data.float(), self.state[p], group["betas"]
                    if len(state) == 0:
                        state["step"] = 0
                        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p.data), torch.zeros_like(p.data)
                    state["exp_avg_sq"].mul_(beta2).addcmul_(1 - beta2, grad, grad)
                    state["exp_avg"].mul_(beta1).add_(1 - beta1, grad)
                    state["step"] += 1
                    p.data.addcdiv_(-group["lr"], state["exp_avg"], state["exp_avg_sq"].sqrt().add_(group["eps"]))

    class Lookahead(torch.optim.Optimizer):  # calls no __init__ of its base, as published
        def __init__(self, inner, alpha=0.5):
            self.optimizer, self.alpha, self.param_groups, self.state = inner, alpha, inner.param_groups, {}

        def zero_grad(self):
            self.optimizer.zero_grad()

        def step(self, closure=None):
            self.optimizer.step(closure)
            for p in self.param_groups[0]["params"]:
                slow = self.state.setdefault(p, p.data.clone())
                slow += (p.data - slow) * self.alpha
                p.data.copy_(slow)

    return lambda parameters: Lookahead(Old(parameters, lr=0.05))


@pytest.mark.filterwarnings("ignore:This overload:UserWarning")
def test_older_optimizers_follow_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    seen = []
    for library in (ccdl, torch):
        p = library.nn.Parameter(library.tensor([[1.0, -2.0], [0.5, 3.0]]))
        optimizer = rectified(library)([p])
        for _ in range(5):
            optimizer.zero_grad()
            (p**2).sum().backward()
            optimizer.step()
        seen.append([v for row in p.tolist() for v in row])
    assert seen[0] == pytest.approx(seen[1], rel=1e-5)
