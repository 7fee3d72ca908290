"""Whole models in PyTorch's names: training step, forward pass, peak memory, losses. The library is an argument:

    python bench/training.py --library ccdl --model LeNet-5 --threads 1     # or torch; prints JSON

Weights and data come from NumPy, the same for every library, so that the losses must agree.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

LETTERS = 65


def mlp(T):
    nn = T.nn
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10))


def lenet(T):
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))  # fmt: skip


def resnet18(T):
    """The CIFAR form: a 3x3 first convolution, no pooling before the global one."""
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, inputs: int, outputs: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(outputs)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(outputs)
            self.relu = nn.ReLU(inplace=True)
            self.shortcut = nn.Sequential()
            if stride != 1 or inputs != outputs:
                self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs))

        def forward(self, x):
            y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(y + self.shortcut(x))

    class ResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True))
            blocks, inputs = [], 64
            for outputs, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
                blocks += [Block(inputs, outputs, stride), Block(outputs, outputs, 1)]
                inputs = outputs
            self.blocks = nn.Sequential(*blocks)
            self.head = nn.Linear(512, 10)

        def forward(self, x):
            return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))

    return ResNet()


def alexnet(T):
    """The one-column form; no dropout, whose masks no two libraries share."""
    nn = T.nn
    relu = lambda: nn.ReLU(inplace=True)
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, stride=4, padding=2), relu(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), relu(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), relu(), nn.Conv2d(384, 256, 3, padding=1), relu(),
        nn.Conv2d(256, 256, 3, padding=1), relu(), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d((6, 6)), nn.Flatten(),
        nn.Linear(9216, 4096), relu(), nn.Linear(4096, 4096), relu(), nn.Linear(4096, 200))  # fmt: skip


def char_lstm(T):
    nn = T.nn

    class CharLSTM(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(LETTERS, 256)
            self.lstm = nn.LSTM(256, 256, batch_first=True)
            self.head = nn.Linear(256, LETTERS)

        def forward(self, text):
            return self.head(self.lstm(self.embed(text))[0]).reshape(-1, LETTERS)

    return CharLSTM()


def gpt_nano(T):
    nn, F = T.nn, T.nn.functional
    width, heads = 128, 4

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            b, t, _ = x.shape
            q, k, v = (s.reshape(b, t, heads, width // heads).transpose(1, 2) for s in self.qkv(self.ln1(x)).chunk(3, dim=-1))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, width))
            return x + self.down(F.gelu(self.up(self.ln2(x))))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.places = nn.Embedding(LETTERS, width), nn.Embedding(128, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(6)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, LETTERS, bias=False)

        def forward(self, text):
            x = self.tokens(text) + self.places(T.arange(text.shape[1]))
            return self.head(self.norm(self.blocks(x))).reshape(-1, LETTERS)

    return GPT()


def sgd(T, parameters):
    return T.optim.SGD(parameters, lr=0.01, momentum=0.9, weight_decay=5e-4)


def images(*shape: int, classes: int) -> Callable[[], tuple[Any, Any]]:
    def make():
        import numpy as np

        random = np.random.default_rng(1)
        return random.standard_normal(shape, dtype=np.float32), random.integers(0, classes, shape[0])

    return make


def text(batch: int, length: int) -> Callable[[], tuple[Any, Any]]:
    def make():
        import numpy as np

        letters = np.random.default_rng(1).integers(0, LETTERS, (batch, length + 1))
        return letters[:, :-1].copy(), letters[:, 1:].reshape(-1).copy()

    return make


# name: (model, data, optimiser, floating operations of a step, of a forward pass)
MODELS: dict[str, tuple[Any, Any, Any, float, float]] = {
    "MLP": (mlp, images(64, 784, classes=10), sgd, 0.105e9, 0.052e9),
    "LeNet-5": (lenet, images(64, 1, 28, 28, classes=10), sgd, 0.145e9, 0.053e9),
    "ResNet-18": (resnet18, images(32, 3, 32, 32, classes=10), sgd, 106.6e9, 35.6e9),
    "AlexNet": (alexnet, images(32, 3, 64, 64, classes=200), sgd, 18.2e9, 6.1e9),
    "char-LSTM": (char_lstm, text(32, 64), lambda T, p: T.optim.Adam(p, lr=1e-3), 6.75e9, 2.2e9),
    "GPT-nano": (gpt_nano, text(8, 128), lambda T, p: T.optim.AdamW(p, lr=1e-3), 8.5e9, 2.8e9),
}


def fill(T, model) -> None:
    """The same weights in every library: He's scale for convolutions, 1 / sqrt(fan-in) else, norms 1, biases 0."""
    import numpy as np

    random = np.random.default_rng(0)
    with T.no_grad():
        for name, p in model.named_parameters():
            if p.dim() == 1:
                values = np.full(tuple(p.shape), 0.0 if "bias" in name else 1.0, np.float32)
            else:
                fan = int(np.prod(p.shape[1:]))
                values = random.standard_normal(tuple(p.shape), dtype=np.float32) * ((2.0 if p.dim() > 2 else 1.0) / fan) ** 0.5
            p.copy_(T.from_numpy(values.astype(np.float32)))


def build(T, name: str) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """(training step, forward pass without gradients) of a model."""
    make, data, optimiser, _, _ = MODELS[name]
    T.manual_seed(0)
    model = make(T)
    fill(T, model)
    x, y = (T.from_numpy(a) for a in data())
    optimizer = optimiser(T, model.parameters())

    def step():
        optimizer.zero_grad()
        loss = T.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    def forward():
        with T.no_grad():
            return model(x)

    return step, forward


def status(key: str) -> float:
    """MB of a field of /proc/self/status: VmRSS now, VmHWM at its highest."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--library", default="ccdl", help="the module: ccdl or torch")
    parser.add_argument("--model", choices=list(MODELS), default="LeNet-5")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    options = parser.parse_args()
    T = importlib.import_module(options.library)
    import numpy  # noqa: F401  (both libraries get their data from it: part of what the import takes)

    imported = status("VmRSS")
    T.set_num_threads(options.threads)
    step, forward = build(T, options.model)
    losses, times = [], []
    for _ in range(options.steps):
        begin = time.perf_counter()
        losses.append(step().item())
        times.append(time.perf_counter() - begin)
    peak = status("VmHWM")
    begin = time.perf_counter()
    forward()
    print(json.dumps({"steps": options.steps, "peak_MB": peak, "import_MB": imported, "first_loss": losses[0], "loss": losses[-1],
                      "step_ms": sorted(times)[len(times) // 2] * 1e3,
                      "forward_ms": (time.perf_counter() - begin) * 1e3}))  # fmt: skip
    return 0


def in_a_process(name: str) -> Callable[[str, int], dict[str, float]]:
    def probe(library: str, threads: int) -> dict[str, float]:
        command = [sys.executable, __file__, "--library", library, "--model", name, "--threads", str(threads)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-300:])
        return json.loads(done.stdout)

    return probe


def rows() -> list[Any]:
    from measuring import Row

    found = []
    for name, (*_, step_flops, forward_flops) in MODELS.items():
        found += [
            Row(f"{name} step", lambda T, name=name: build(T, name)[0], flops=step_flops, tol=1e-3),
            Row(f"{name} forward", lambda T, name=name: build(T, name)[1], flops=forward_flops, tol=1e-3),
            Row(f"{name} process", None, probe=in_a_process(name)),
        ]
    return found


if __name__ == "__main__":
    sys.path[:] = [p for p in sys.path if p != __file__.rpartition("/")[0]]  # random.py must not hide Python's
    sys.exit(main())
ROWS = rows()
