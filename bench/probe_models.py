"""Training steps of models drawn at random against PyTorch, the slowest ratio first: a search for cliffs, not a record.

    python bench/probe_models.py [--first SEED] [--count N] [--threads N] [--kinds cnn,mlp,...]

Each seed is a model (convolutions in one to three dims, transposed ones, perceptrons, recurrent layers, Transformers,
look-up tables, messages on graphs), a dtype or autocast, a layout and an optimiser. Both libraries take steps in turns;
the minimum counts, so that other programs matter little.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":  # random.py must not hide Python's
    sys.path[:] = [p for p in sys.path if p != __file__.rpartition("/")[0]]

import argparse
import importlib
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np


class Model(NamedTuple):
    module: Any
    shape: tuple[int, ...]  # of the input
    rows: int  # of the output
    classes: int
    text: str
    words: int = 0  # the input's, where it is whole numbers
    planes: bool = False  # whether channels_last means something


class Draws:
    def __init__(self, seed: int):
        self._numbers = np.random.default_rng(seed)

    def choice(self, of: Sequence[Any]) -> Any:
        return of[int(self._numbers.integers(len(of)))]

    def whole(self, low: int, high: int) -> int:  # high included
        return int(self._numbers.integers(low, high + 1))

    def chance(self, p: float) -> bool:
        return bool(self._numbers.random() < p)


def activation(nn: Any, r: Draws) -> Callable[[], Any]:
    name = r.choice("ReLU ReLU GELU SiLU LeakyReLU ELU Mish Hardswish Tanh ReLU6 PReLU Softplus Sigmoid".split())
    inplace = name == "ReLU" and r.chance(0.5)
    return lambda: nn.ReLU(inplace=True) if inplace else getattr(nn, name)()


def norm(nn: Any, r: Draws) -> Callable[[int], Any]:
    kind = r.choice(["batch"] * 4 + ["group", "instance", "none"])

    def make(c: int) -> Any:
        if kind == "batch":
            return nn.BatchNorm2d(c)
        if kind == "instance":
            return nn.InstanceNorm2d(c, affine=True)
        return nn.GroupNorm(4 if c % 4 == 0 else 1, c) if kind == "group" else nn.Identity()

    return make


def cnn(T: Any, r: Draws) -> Model:
    nn, n, size = T.nn, r.choice([1, 2, 4, 8, 16, 32]), r.choice([14, 16, 20, 28, 32, 48, 56, 64])
    c, width = r.choice([1, 3, 3]), r.choice([8, 12, 16, 24, 32, 40, 48, 64, 96])
    shape, act, make_norm = (n, c, size, size), activation(nn, r), norm(nn, r)
    layers, text = [], [f"cnn {n}x{c}x{size}x{size}"]
    for i in range(r.whole(2, 6)):
        k, stride = r.choice([1, 3, 3, 3, 5, 7]), r.choice([1, 1, 1, 2]) if size >= 8 else 1
        dilation, groups = r.choice([1, 1, 1, 1, 2]), r.choice([1, 1, 1, 1, 2, 4, c])
        out = c if groups == c and c > 4 else width
        if c % groups or out % groups:
            groups = 1
        pad = dilation * (k // 2)
        mode = r.choice(["zeros"] * 6 + ["reflect", "replicate", "circular"]) if pad < size else "zeros"
        layers.append(nn.Conv2d(c, out, k, stride, pad, dilation, groups, r.chance(0.5), mode))
        text.append(f"{c}>{out} k{k} s{stride} d{dilation} g{groups} {mode}")
        c, size = out, (size + 2 * pad - dilation * (k - 1) - 1) // stride + 1
        if c >= 4:
            layers.append(make_norm(c))
        layers.append(act())
        extra = r.choice(["", "", "", "MaxPool2d", "AvgPool2d", "Upsample", "Dropout2d"]) if size >= 6 else ""
        if extra:
            layers.append(nn.Upsample(scale_factor=2, mode="bilinear") if extra == "Upsample" else getattr(nn, extra)(2 if "Pool" in extra else 0.1))
            size = {"Upsample": 2 * size, "Dropout2d": size}.get(extra, size // 2)
            text.append(extra)
        if i % 2 == 1:
            width = min(256, width * r.choice([1, 2]))
    head = [nn.AdaptiveAvgPool2d(r.choice([1, 2])), nn.Flatten(), nn.LazyLinear(10)]
    return Model(nn.Sequential(*layers, *head), shape, n, 10, "; ".join(text), planes=True)


def lines(T: Any, r: Draws) -> Model:
    nn, n, length, c = T.nn, r.choice([1, 4, 8, 16, 32]), r.choice([64, 100, 256, 1000]), r.choice([1, 2, 8, 40])
    shape, act, layers, text = (n, c, length), activation(nn, r), [], [f"lines {n}x{c}x{length}"]
    for _ in range(r.whole(2, 4)):
        k, dilation, stride = r.choice([1, 2, 3, 5, 7, 15, 31]), r.choice([1, 1, 2, 4]), r.choice([1, 1, 2, 3])
        groups, pad = r.choice([1, 1, 1, c]), dilation * (k - 1) // 2
        out = c if groups > 1 else r.choice([8, 16, 32, 64, 128])
        if length + 2 * pad <= dilation * (k - 1):
            continue
        layers += [nn.Conv1d(c, out, k, stride, pad, dilation, groups), nn.BatchNorm1d(out), act()]
        text.append(f"{c}>{out} k{k} s{stride} d{dilation} g{groups}")
        c, length = out, (length + 2 * pad - dilation * (k - 1) - 1) // stride + 1
    head = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.LazyLinear(10)]
    return Model(nn.Sequential(*layers, *head), shape, n, 10, "; ".join(text))


def volumes(T: Any, r: Draws) -> Model:
    nn, n, size, depth, w = T.nn, r.choice([1, 2, 4]), r.choice([8, 12, 16]), r.choice([4, 8, 16]), r.choice([8, 16, 32])
    k: Any = r.choice([3, 3, (1, 3, 3), (3, 1, 1)])
    pad: Any = tuple(q // 2 for q in k) if isinstance(k, tuple) else 1
    model = nn.Sequential(
        nn.Conv3d(3, w, k, 1, pad), nn.BatchNorm3d(w), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(w, 2 * w, k, r.choice([1, 2]), pad),
        nn.BatchNorm3d(2 * w), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(2 * w, 10))  # fmt: skip
    return Model(model, (n, 3, depth, size, size), n, 10, f"volumes {n} {depth}x{size} w{w} k{k}")


def generator(T: Any, r: Draws) -> Model:
    nn, n, z, size, k = T.nn, r.choice([1, 4, 16, 32]), r.choice([16, 64, 100]), r.choice([4, 7]), r.choice([2, 3, 4, 5])
    widths, act = r.choice([[64, 32, 16], [128, 64, 32], [32, 16, 8], [48, 24]]), activation(nn, r)
    layers = [nn.Linear(z, widths[0] * size * size), nn.Unflatten(1, (widths[0], size, size))]
    for a, b in zip(widths, widths[1:] + [3]):
        layers += [nn.ConvTranspose2d(a, b, k, 2, (k - 1) // 2, output_padding=k % 2), nn.BatchNorm2d(b), act()]
    text = f"generator {n} z{z} {size} {widths} k{k}"
    return Model(nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10)), (n, z), n, 10, text)


def mlp(T: Any, r: Draws) -> Model:
    nn, n, d = T.nn, r.choice([4, 16, 32, 64, 100, 256, 1024]), r.choice([2, 10, 13, 64, 100, 300, 784, 1000])
    shape, act, layers, text = (n, d), activation(nn, r), [], [f"mlp {n} {d}"]
    for _ in range(r.whole(1, 5)):
        out = r.choice([7, 16, 32, 50, 64, 100, 128, 200, 256, 512])
        extra = r.choice(["Identity", "Identity", "BatchNorm1d", "LayerNorm", "Dropout", "RMSNorm"])
        layers += [nn.Linear(d, out, bias=r.chance(0.8)), getattr(nn, extra)(0.3 if extra == "Dropout" else out), act()]
        d = out
        text.append(f"{out} {extra}")
    return Model(nn.Sequential(*layers, nn.Linear(d, 10)), shape, n, 10, "; ".join(text))


def recurrent(T: Any, r: Draws) -> Model:
    nn, n, steps = T.nn, r.choice([1, 2, 8, 16, 32, 64]), r.choice([5, 16, 32, 64, 128])
    size, hidden, depth = r.choice([1, 8, 28, 32, 64, 100, 128]), r.choice([10, 20, 32, 64, 100, 128, 200, 256]), r.choice([1, 1, 2, 3])
    kind, both = r.choice(["LSTM", "GRU", "RNN"]), r.chance(0.4)
    options = {"proj_size": hidden // 2} if kind == "LSTM" and r.chance(0.25) else {}

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = getattr(nn, kind)(size, hidden, depth, batch_first=True, bidirectional=both, **options)
            self.head = nn.Linear((hidden // 2 if options else hidden) * (1 + both), 10)

        def forward(self, x):
            return self.head(self.body(x)[0][:, -1])

    return Model(Classifier(), (n, steps, size), n, 10, f"{kind} {n} T{steps} {size}>{hidden} x{depth} both {both} {options}")


def transformer(T: Any, r: Draws) -> Model:
    nn, n, steps, d, heads = T.nn, r.choice([1, 2, 4, 8, 16]), r.choice([8, 16, 32, 49, 64, 100, 128, 197]), r.choice([32, 64, 96, 128, 192]), r.choice([1, 2, 4, 8])
    words, depth, causal = r.choice([0, 100, 1000, 5000]), r.choice([1, 2]), r.chance(0.4)
    first, act, drop, wide = r.chance(0.5), r.choice(["relu", "gelu"]), r.choice([0.0, 0.1]), r.choice([1, 2, 4])

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Embedding(words, d) if words else None
            layer = nn.TransformerEncoderLayer(d, heads, d * wide, drop, act, batch_first=True, norm_first=first)
            self.body = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
            self.head = nn.Linear(d, words or 10)
            self.register_buffer("mask", T.triu(T.full((steps, steps), float("-inf")), 1))

        def forward(self, x):
            y = self.body(x if self.table is None else self.table(x), mask=self.mask if causal else None)
            return self.head(y).flatten(0, 1) if words else self.head(y.mean(1))

    text = f"transformer {n} T{steps} d{d} h{heads} x{depth} words {words} causal {causal} first {first} {act} {drop}"
    return Model(Encoder(), (n, steps) if words else (n, steps, d), n * steps if words else n, words or 10, text, words)


def tables(T: Any, r: Draws) -> Model:
    nn, n, ids, d, fields = T.nn, r.choice([16, 128, 1024]), r.choice([100, 1000, 10000]), r.choice([8, 16, 32, 64]), r.whole(2, 8)

    class Factors(nn.Module):
        def __init__(self):
            super().__init__()
            self.tables = nn.ModuleList([nn.Embedding(ids, d) for _ in range(fields)])
            self.head = nn.Sequential(nn.Linear(fields * d, 64), nn.ReLU(), nn.Linear(64, 10))

        def forward(self, x):
            rows = T.stack([table(x[:, i]) for i, table in enumerate(self.tables)], 1)
            pairs = 0.5 * (rows.sum(1) ** 2 - (rows**2).sum(1)).sum(1, keepdim=True)
            return pairs + self.head(rows.flatten(1))

    return Model(Factors(), (n, fields), n, 10, f"tables {n} of {ids} d{d} x{fields}", ids)


def graph(T: Any, r: Draws) -> Model:
    nn, n, d, h, weighted = T.nn, r.choice([34, 200, 2708]), r.choice([16, 64, 256]), r.choice([8, 16, 64]), r.chance(0.5)
    edges = np.random.default_rng(0).integers(0, n, (2, n * r.choice([3, 8])))
    source, target = (T.from_numpy(e.copy()) for e in edges)

    class Messages(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.score = nn.Linear(d, h), nn.Linear(h, 10), nn.Linear(2 * h, 1)

        def forward(self, x):
            x = self.first(x)
            sent = x[source]
            if weighted:
                w = nn.functional.leaky_relu(self.score(T.cat([sent, x[target]], 1)), 0.2).exp()
                total = T.zeros(n, 1, dtype=x.dtype).index_add(0, target, w)
                sent = sent * (w / total[target])
            return self.second(T.relu(T.zeros_like(x).index_add(0, target, sent)))

    return Model(Messages(), (n, d), n, 10, f"graph {n} edges {edges.shape[1]} {d}>{h} weighted {weighted}")


KINDS = {f.__name__: f for f in (cnn, lines, volumes, generator, mlp, recurrent, transformer, tables, graph)}
OPTIMISERS = "SGD SGD Adam AdamW RMSprop Adagrad NAdam Adadelta RAdam Adamax".split()


def build(T: Any, seed: int, kinds: list[str]) -> tuple[Callable[[], Any], str]:
    """The step of the model that belongs to the seed, and what it is."""
    r = Draws(seed)
    T.manual_seed(0)
    model = KINDS[r.choice(kinds)](T, r)
    mode = r.choice(["float32"] * 7 + ["autocast", "autocast", "float64", "bfloat16"])
    last, clip, inference = model.planes and r.chance(0.25), r.chance(0.2), r.chance(0.15)

    numbers = np.random.default_rng(seed)
    drawn = numbers.integers(0, model.words, model.shape) if model.words else numbers.standard_normal(model.shape, np.float32)
    x = T.from_numpy(drawn)
    module = model.module
    module(x)  # lazy layers
    if mode in ("float64", "bfloat16"):
        module = module.to(getattr(T, mode))
        x = x if model.words else x.to(getattr(T, mode))
    if last:
        module = module.to(memory_format=T.channels_last)
        x = x.to(memory_format=T.channels_last)
    labels = T.from_numpy(numbers.integers(0, model.classes, model.rows))
    name = r.choice(OPTIMISERS)
    optimizer = getattr(T.optim, name)(module.parameters(), lr=1e-4)
    module.train(not inference)

    def forward() -> Any:
        if inference:
            with T.no_grad():
                return module(x)
        return T.nn.functional.cross_entropy(module(x), labels)

    def step() -> Any:
        optimizer.zero_grad()
        if mode == "autocast":
            with T.autocast("cpu", dtype=T.bfloat16):
                loss = forward()
        else:
            loss = forward()
        if inference:
            return loss
        loss.backward()
        if clip:
            T.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimizer.step()
        return loss

    marks = [mode] + ["channels_last"] * last + ["no gradients" if inference else name] + ["clipped"] * clip
    return step, f"{model.text} [{', '.join(marks)}]"


def race(first: Callable[[], Any], second: Callable[[], Any], seconds: float = 0.6) -> tuple[float, float]:
    """The shortest of either, taken in turns."""
    best, begin, rounds = [float("inf")] * 2, time.perf_counter(), 0
    while rounds < 4 or time.perf_counter() - begin < seconds:
        for i, call in enumerate((first, second)):
            start = time.perf_counter()
            call()
            best[i] = min(best[i], time.perf_counter() - start)
        rounds += 1
    return best[0], best[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(KINDS))
    options = parser.parse_args()
    if unknown := set(options.kinds) - set(KINDS):
        parser.error(f"unknown kind {sorted(unknown)}; there are {', '.join(KINDS)}")
    warnings.simplefilter("ignore")
    peer, own = importlib.import_module("torch"), importlib.import_module("ccdl")
    peer.set_num_threads(options.threads), own.set_num_threads(options.threads)
    found = []
    for seed in range(options.first, options.first + options.count):
        try:
            theirs, text = build(peer, seed, options.kinds)
            theirs()
        except (RuntimeError, ValueError) as error:
            print(f"{seed}: not a model of PyTorch's: {str(error)[:100]}", flush=True)
            continue
        ours, _ = build(own, seed, options.kinds)
        a, b = race(theirs, ours)
        found.append((a / b, f"{seed:6} {a / b:6.2f}  {b * 1e3:8.3f} ms  {text}"))
        print(found[-1][1], flush=True)
    found.sort()
    print(f"\n{len(found)} models, {sum(ratio < 1 for ratio, _ in found)} slower than PyTorch; the slowest:")
    print("\n".join(text for _, text in found[:10]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
