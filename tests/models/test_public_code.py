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


MODELS = [residual_net, variational_autoencoder, small_gpt]
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
