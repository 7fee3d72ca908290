"""The figures ccdl is held to on a CPU: per benchmark the first version's (v1), what is ahead of every peer, and the
machine's limit. A ratio is PyTorch's time over ccdl's, against the better state of malloc ("default": as it is; "own":
another call of ccdl over this one); "seconds" and figures of processes (startup.py) are upper bounds."""

from __future__ import annotations

import dataclasses

Bounds = tuple[float | None, float | None, float | None]
OPERATORS, CALLS, MODELS = "Operators", "Calls, start and size", "Training steps"


@dataclasses.dataclass(frozen=True)
class Target:
    title: str
    name: str  # family/row
    one: Bounds  # v1, ahead, limit on one thread
    two: Bounds | None = None  # on more threads, where they differ
    kind: str = "ratio"  # "default", "own", "seconds"
    figure: str = ""  # of the row's probe
    threads: tuple[int, ...] = ()  # all that are measured
    section: str = OPERATORS

    @property
    def family(self) -> str:
        return self.name.partition("/")[0]

    @property
    def row(self) -> str:
        return self.name.partition("/")[2]

    @property
    def lower(self) -> bool:
        """Whether less is better."""
        return self.kind == "seconds" or bool(self.figure)

    def bounds(self, threads: int) -> Bounds:
        return self.two if threads > 1 and self.two else self.one


def both(title: str, name: str, forward: Bounds, backward: Bounds) -> list[Target]:
    return [Target(title, name, forward), Target(f"{title}, f+b", f"{name} f+b", backward)]


def layouts() -> list[Target]:
    """Transposed operands against the same product without: as fast, to 10 % and to 5 %."""
    shapes = ("128x128x128", "512x512x512", "1024x1024x1024", "128x784x256", "64x512x10")
    return [Target(f"GEMM {shape} {kind} against NN", f"gemm/{shape} {kind} float32", (0.9, 0.95, None), kind="own")
            for shape in shapes for kind in ("NT", "TN", "TT")]  # fmt: skip


def step(title: str, row: str, bounds: Bounds) -> list[Target]:
    return [Target(f"{title}, step", f"training/{row} step", bounds, section=MODELS),
            Target(f"{title}, forward", f"training/{row} forward", (None, None, None), section=MODELS)]  # fmt: skip


NONE: Bounds = (None, None, None)
CONV3 = ("16,64,56->64", "16,128,28->128", "16,256,14->256", "16,512,7->512")
TARGETS = [
    Target("GEMM 64", "gemm/64x64x64 NN float32", (1.8, 2.4, 3.0)),
    Target("GEMM 128", "gemm/128x128x128 NN float32", (1.8, 2.4, 2.5)),
    *(Target(f"GEMM {n}", f"gemm/{n}x{n}x{n} NN float32", (1.9, 2.2, 2.4)) for n in (256, 512, 1024)),
    Target("GEMM 2048", "gemm/2048x2048x2048 NN float32", (1.6, 2.1, 2.4)),
    Target("GEMM 128x784x256", "gemm/128x784x256 NN float32", (1.8, 2.3, 2.4)),
    Target("GEMM 64x512x10", "gemm/64x512x10 NN float32", (3, 5, 8)),
    Target("linear 1x1024x1024", "gemm/linear 1x1024x1024", (1.1, 1.4, 2), (1.5, 2.5, 4)),
    *layouts(),
    Target("GEMM bf16 1024", "gemm/1024x1024x1024 NN bfloat16", (0, 0.95, 1.05)),
    *(Target(f"conv 3x3 {c}", f"conv/conv {c} k3 s1", (0.85, 1.05, 1.15)) for c in CONV3),
    *(Target(f"conv 3x3 {c}, f+b", f"conv/conv {c} k3 s1 f+b", (0.8, 1.05, 1.2)) for c in CONV3),
    *both("conv 3x3 s2 128@56", "conv/conv 16,128,56->128 k3 s2", (0.6, 1.0, 1.4), (0.6, 1.0, 1.5)),
    *both("conv stem 7x7 s2", "conv/conv 16,3,224->64 k7 s2", (0.9, 1.3, 1.5), (1.2, 2.2, 3.0)),
    *both("conv 1x1 256->64@56", "conv/conv 16,256,56->64 k1 s1", (1.0, 1.3, 1.9), (1.0, 1.5, 2.1)),
    *both("conv 1x1 64->256@56", "conv/conv 16,64,56->256 k1 s1", (1.3, 1.7, 1.9), (1.0, 1.5, 2.0)),
    *both("conv LeNet 1", "conv/conv 128,1,28->6 k5 s1", (2, 3.2, 5), (3, 6, 15)),
    *(Target(f"conv 3x3 {c} against channels_last", f"conv/conv {c} k3 s1 peer channels_last", (0.75, 1.0, 1.05)) for c in CONV3),
    *both("max-pool 3x3 s2 16x64x112", "pool/max_pool 3x3s2 16x64x112x112", (6, 15, 40), (5, 12, 25)),
    Target("max-pool 2x2 64x6x28", "pool/max_pool 2x2 64x6x28x28", (8, 25, 60)),
    *both("global avg-pool 16x2048x7", "pool/global avg_pool 16x2048x7x7", (1.0, 1.3, 2), (2, 4, 6)),
    *both("batch-norm 16x64x56, training", "norm/batch_norm train 16x64x56x56", (3, 5, 8), (2, 3, 4)),
    *both("layer-norm 4096x768", "norm/layer_norm 4096x768", (1.2, 1.8, 2.8), (1.0, 1.5, 2.2)),
    *both("softmax 4096x768", "softmax/softmax 4096x768", (1.5, 2.8, 4.5), (1.3, 2, 3)),
    Target("cross-entropy 1024x32000, f+b", "softmax/cross_entropy 1024x32000 f+b", (1.5, 3, 4)),
    Target("cross-entropy 64x10, f+b", "softmax/cross_entropy 64x10 f+b", (2, 5, 12)),
    Target("gelu 4096x3072, f+b", "elementwise/gelu 4096x3072 f+b", (1.1, 2, 3)),
    *both("tanh 4096x3072", "elementwise/tanh 4096x3072", (4, 8, 14), (3, 5, 8)),
    Target("exp 1M in cache", "elementwise/exp 1048576", (3, 6, 7)),
    Target("tanh 1M in cache", "elementwise/tanh 1048576", (5, 10, 16)),
    Target("erf 1M in cache", "elementwise/erf 1048576", (3, 5, 8)),
    *both("LSTM 256x2 T64 B32", "rnn/LSTM T64 B32 H256 x2", (0.8, 1.05, 1.13), (0.8, 1.1, 1.2)),
    *both("GRU 256x2 T64 B32", "rnn/GRU T64 B32 H256 x2", (1.4, 2.3, 2.9), (1.3, 2.2, 2.9)),
    *both("attention 4x8x1024x64", "attention/sdpa 4x8x1024x64", (1.6, 2.2, 2.7), (1.3, 2.1, 2.7)),
    *both("attention 4x8x1024x64 causal", "attention/sdpa causal 4x8x1024x64", (1.8, 2.8, 4), (1.4, 2.6, 4)),
    *both("attention 4x8x128x64", "attention/sdpa 4x8x128x64", (1.5, 2.3, 3.1), (1.3, 2.1, 3.0)),
    *both("embedding 32000x512, 32x128", "index/embedding 32000x512", (1.0, 1.5, 2), (1.0, 2, 3)),
    Target("Adam 10M", "optim/Adam 1 x 10000000", (2.5, 2.9, 3)),
    Target("Adam 10M against fused", "optim/Adam 1 x 10000000 (peer fused)", (0.9, 1.0, 1.0)),
    Target("Adam 100M", "optim/Adam 1 x 100000000", (2.5, 3.1, 3.2)),
    Target("Adam 100M against fused", "optim/Adam 1 x 100000000 (peer fused)", (0.85, 1.0, 1.0)),
    Target("chain of 5 ops, 1M", "elementwise/chain of 5 1048576", (1.1, 1.6, 2)),
    Target("chain of 5 ops, 8M", "elementwise/chain of 5 8388608", (1.0, 1.2, 1.2)),
    Target("a+b 16M", "elementwise/a+b 16777216", (0.95, 1.2, 1.25)),
    Target("a+b 16M against default malloc", "elementwise/a+b 16777216", (5, 6.5, 7), kind="default"),
    Target("sum 16M", "reduce/sum 16777216", (0.95, 1.0, 1.05)),
    Target("sum(0) 4096x4096", "reduce/sum(0) 4096x4096", (2, 4, 4.5)),
    Target("transpose copy 4096x4096", "elementwise/transpose copy 4096x4096", (1.5, 3.5, 5)),
    Target("a+b, 4 elements", "overhead/a+b", (400e-9, 200e-9, 90e-9), kind="seconds", section=CALLS),
    Target("a+b recording", "overhead/a+b recording", (600e-9, 300e-9, 150e-9), kind="seconds", section=CALLS),
    *(Target(title, f"overhead/{title}", (2, 4, 10), section=CALLS)
      for title in ("a+2.0", "a[1]", "a.sum(0)", "(a*b).sum().backward()")),  # fmt: skip
    Target("1M add after 20 ms of idleness", "overhead/a+b 1048576 after 20 ms", (350e-6, 200e-6, 110e-6), kind="seconds",
           threads=(2,), section=CALLS),  # fmt: skip
    Target("import, own modules", "startup/import", (120, 40, 15), figure="total_ms", section=CALLS),
    Target("import, beyond starting Python", "startup/import", NONE, figure="wall_ms", section=CALLS),
    Target("resident after import", "startup/import", (60, 30, 15), figure="resident_MB", section=CALLS),
    Target("installed size", "startup/size", (40, 12, 3), figure="installed_MB", section=CALLS),
    *step("MLP 784-512-10 B64 SGD-m", "MLP", (1.3, 2.0, 2.6)),
    *step("LeNet-5 B64 SGD-m", "LeNet-5", (1.8, 3.5, 6)),
    *step("ResNet-18 CIFAR B32 SGD-m", "ResNet-18", (0.85, 1.2, 1.45)),
    *step("AlexNet 64x64 B32 SGD-m", "AlexNet", NONE),
    *step("char-LSTM H256 T64 B32 Adam", "char-LSTM", (0.85, 1.15, 1.35)),
    *step("GPT-nano 6x128 T128 B8 AdamW", "GPT-nano", (1.3, 2.1, 3.0)),
]
MEASURED_BESIDE = [f"training/{m} process" for m in ("MLP", "LeNet-5", "ResNet-18", "AlexNet", "char-LSTM", "GPT-nano")]


def rows() -> list[tuple[str, str]]:
    names = dict.fromkeys([t.name for t in TARGETS] + MEASURED_BESIDE)
    return [(family, row) for family, _, row in (name.partition("/") for name in names)]
