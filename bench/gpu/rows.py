"""What is measured: every row of the target table and every kernel family, the same data for ccdl and its peers.

A Row names its inputs (made once by PyTorch's generator, handed to ccdl through DLPack) and builds calls: ours(T, x)
and peers[name](T, x) get the library and a namespace of inputs and return the call to time. Most rows give one
builder to both. floats: elements per second limit "kind"; flops and moved (bytes) are per call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Build = Callable[[Any, SimpleNamespace], Callable[[], Any]]
SIZE = {"bf16": 2, "fp16": 2, "tf32": 4, "fp32": 4, "fp64": 8, "3xtf32": 4, "int64": 8, "int32": 4, "bool": 1}
DTYPE = {"bf16": "bfloat16", "fp16": "float16", "tf32": "float32", "fp32": "float32", "3xtf32": "float32",
         "fp64": "float64", "int64": "int64", "int32": "int32", "bool": "bool"}


@dataclasses.dataclass(frozen=True)
class Input:
    """Normal numbers, or integers below `high`. layout channels_last: the bytes are NHWC."""

    kind: str
    shape: tuple[int, ...]
    high: int = 0
    channels_last: bool = False
    grad: bool = False

    def bytes(self) -> int:
        n = SIZE[self.kind]
        for s in self.shape:
            n *= s
        return n


@dataclasses.dataclass
class Row:
    target: str
    name: str
    inputs: dict[str, Input]
    ours: Build
    peers: dict[str, Build]
    kind: str = "bf16"
    flops: float = 0.0
    moved: float = 0.0
    tol: float | None = 2e-2  # of the largest value of the peer's result; None: not comparable
    wall: bool = False  # seconds of the caller per call rather than of the device: launch costs count
    targets: dict[str, str] = dataclasses.field(default_factory=dict)  # peer -> target where it differs


def both(build: Build, peer: str) -> dict[str, Any]:
    return {"ours": build, "peers": {peer: build}}


def compiled(function: Callable[..., Any], *names: str) -> Build:
    """A torch.compile'd function of the named inputs, compiled once for all buffer sets; T is PyTorch."""
    made: list[Callable[..., Any]] = []

    def build(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        if not made:
            T._dynamo.reset()  # the rows share their source: earlier shapes must not count as recompilations
            made.append(T.compile(lambda *args: function(T, *args), dynamic=False))
        return lambda: made[0](*[getattr(x, n) for n in names])

    return build


def backward(forward: Callable[[Any, SimpleNamespace], Any], wrt: str) -> Build:
    """The gradient of forward(T, x) for the comma-separated inputs, with a random cotangent x.dy; the graph is kept."""

    def build(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        leaves = [getattr(x, n) for n in wrt.split(",")]
        y = forward(T, x)
        return lambda: T.autograd.grad([y], leaves, [x.dy], retain_graph=True)

    return build


# ---- matrix products ---------------------------------------------------------------------------------------------


def gemm(target: str, m: int, n: int, k: int, kind: str, layout: str = "NN", peer: str = "cuBLAS") -> Row:
    a = Input(kind, (k, m) if layout[0] == "T" else (m, k))
    b = Input(kind, (n, k) if layout[1] == "T" else (k, n))

    def build(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        p, q = (x.a.t() if layout[0] == "T" else x.a), (x.b.t() if layout[1] == "T" else x.b)
        return lambda: T.matmul(p, q)

    s = SIZE[kind]
    tol = {"bf16": 2e-2, "fp16": 4e-3, "tf32": 4e-3, "fp64": 1e-12}.get(kind, 1e-5)
    return Row(target, f"{target} {m}x{n}x{k} {layout}", {"a": a, "b": b}, **both(build, peer), kind=kind, tol=tol,
               flops=2.0 * m * n * k, moved=float(s * (m * k + k * n + m * n)))


RECTANGLES = [(128, 784, 256), (512, 512, 4096), (4096, 512, 512), (8192, 768, 768), (8192, 3072, 768), (256, 10, 784),
              (1024, 4096, 1024), (4096, 1024, 4096), (64, 8192, 8192), (8192, 64, 8192), (8192, 8192, 64), (2048, 1000, 512)]
MID = [(256, 256, 256), (512, 512, 512), (768, 768, 768), (1024, 1024, 1024), (1536, 1536, 1536)]
MID += [(m, n, k) for m in (256, 512, 1024, 1536) for n, k in ((768, 768), (2304, 768), (3072, 768), (768, 3072),
                                                             (1024, 256), (256, 1024), (512, 1536), (1536, 512),
                                                             (1536, 1024))][:35]
ODD = [(1023, 1025, 1027), (4095, 4097, 4093), (511, 513, 515), (2047, 2049, 100), (4096, 4100, 100), (333, 777, 555),
       (1000, 1001, 1003), (8191, 127, 8191)]
GPT = [(768, 2304), (768, 3072), (3072, 768), (4096, 4096), (4096, 11008), (11008, 4096)]


def gemm_rows() -> list[Row]:
    squares = (512, 1024, 2048, 4096, 8192)
    shapes = [(n, n, n) for n in squares] + RECTANGLES
    rows = [gemm("gemm_fp32", *s, "fp32") for s in shapes]
    rows += [gemm("gemm_3xtf32", *s, "3xtf32") for s in shapes]
    rows += [gemm("gemm_bf16", n, n, n, "bf16") for n in (2048, 4096, 8192, 16384)]
    for i, o in GPT:  # y = x w^T, dx = dy w, dw = dy^T x, as linear has them
        rows += [gemm("gemm_bf16", 8192, o, i, "bf16", "NT"), gemm("gemm_bf16", 8192, i, o, "bf16", "NN"),
                 gemm("gemm_bf16", o, i, 8192, "bf16", "TN")]
    rows += [gemm("gemm_bf16_mid", *s, "bf16", "NT") for s in dict.fromkeys(MID)]
    rows += [gemm("gemm_odd", *s, "bf16") for s in ODD]
    rows += [gemm("gemv", m, n, k, "bf16", "NT") for m in (1, 4, 16)
             for n, k in ((4096, 4096), (11008, 4096), (4096, 11008), (32000, 4096))]
    return rows


# ---- convolution and pooling -------------------------------------------------------------------------------------

# C, H, K, kernel, stride, padding
RESNET = [(64, 56, 64, 1, 1, 0), (64, 56, 64, 3, 1, 1), (64, 56, 256, 1, 1, 0), (256, 56, 64, 1, 1, 0), (256, 56, 128, 1, 1, 0),
          (128, 56, 128, 3, 2, 1), (256, 56, 512, 1, 2, 0), (128, 28, 512, 1, 1, 0), (512, 28, 128, 1, 1, 0),
          (128, 28, 128, 3, 1, 1), (512, 28, 256, 1, 1, 0), (256, 28, 256, 3, 2, 1), (512, 28, 1024, 1, 2, 0),
          (256, 14, 1024, 1, 1, 0), (1024, 14, 256, 1, 1, 0), (256, 14, 256, 3, 1, 1), (1024, 14, 512, 1, 1, 0),
          (512, 14, 512, 3, 2, 1), (1024, 14, 2048, 1, 2, 0), (512, 7, 2048, 1, 1, 0), (2048, 7, 512, 1, 1, 0),
          (512, 7, 512, 3, 1, 1)]
UNET = [(320, 64, 320, 3, 1, 1), (640, 32, 640, 3, 1, 1), (1280, 16, 1280, 3, 1, 1)]
CONVNEXT = [(96, 56, 384, 1, 1, 0), (384, 56, 96, 1, 1, 0), (768, 7, 3072, 1, 1, 0)]


def conv(target: str, what: str, n: int, shape: tuple[int, ...], kind: str = "bf16", depthwise: bool = False,
         peer: str = "cuDNN") -> Row:
    c, h, k, r, stride, pad = shape
    o = (h + 2 * pad - r) // stride + 1
    groups = c if depthwise else 1
    per = c // groups
    inputs = {"x": Input(kind, (n, c, h, h), channels_last=True, grad=what == "dgrad"),
              "w": Input(kind, (k, per, r, r), channels_last=True, grad=what == "wgrad")}
    run = lambda T, x: T.nn.functional.conv2d(x.x, x.w, None, stride, pad, 1, groups)
    if what == "fprop":
        build: Build = lambda T, x: lambda: run(T, x)
    else:
        inputs["dy"] = Input(kind, (n, k, o, o), channels_last=True)
        build = backward(run, "x" if what == "dgrad" else "w")
    s = SIZE[kind]
    return Row(target, f"{target} {what} {kind} N{n} C{c} {h}x{h} K{k} {r}x{r} s{stride}", inputs, **both(build, peer),
               kind=kind, flops=2.0 * n * o * o * k * per * r * r, tol=3e-2 if s == 2 else 1e-4,
               moved=float(s * (n * c * h * h + k * per * r * r + n * k * o * o)))


def conv1d_depthwise(n: int, c: int, length: int, r: int) -> Row:
    def build(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        return lambda: T.nn.functional.conv1d(x.x, x.w, None, 1, r // 2, 1, c)

    return Row("conv_depthwise", f"conv_depthwise conv1d fprop bf16 N{n} C{c} L{length} k{r}",
               {"x": Input("bf16", (n, c, length)), "w": Input("bf16", (c, 1, r))}, **both(build, "PyTorch"),
               flops=2.0 * n * c * length * r, moved=4.0 * n * c * length)


def conv_rows() -> list[Row]:
    three = ("fprop", "dgrad", "wgrad")
    rows = [conv("conv", w, n, s) for n in (32, 256) for s in RESNET for w in three]
    rows += [conv("conv", w, 4, s) for s in UNET for w in three] + [conv("conv", w, 32, s) for s in CONVNEXT for w in three]
    deep = [(32, 112, 32, 3, 1, 1), (144, 56, 144, 3, 2, 1), (576, 14, 576, 3, 1, 1), (960, 7, 960, 3, 1, 1),
            (240, 28, 240, 5, 1, 2), (96, 56, 96, 7, 1, 3), (192, 28, 192, 7, 1, 3), (384, 14, 384, 7, 1, 3)]
    rows += [conv("conv_depthwise", w, 64, s, depthwise=True, peer="PyTorch") for s in deep for w in three]
    rows.append(conv1d_depthwise(32, 512, 1024, 31))
    rows += [conv("conv_first", w, 64, (3, 224, 64, 7, 2, 3)) for w in ("fprop", "wgrad")]
    rows += [conv("conv_first", "fprop", 32, s, "fp32") for s in
             ((3, 224, 64, 3, 1, 1), (64, 112, 128, 3, 1, 1), (128, 56, 256, 3, 1, 1), (256, 28, 512, 3, 1, 1))]
    return rows


def pool_rows() -> list[Row]:
    runs = {"max 2x2": (lambda T, t: T.nn.functional.max_pool2d(t, 2, 2), 28),
            "max 3x3 s2": (lambda T, t: T.nn.functional.max_pool2d(t, 3, 2, 1), 28),
            "avg 2x2": (lambda T, t: T.nn.functional.avg_pool2d(t, 2, 2), 28),
            "adaptive avg 1": (lambda T, t: T.nn.functional.adaptive_avg_pool2d(t, 1), 1)}
    rows = []
    for name, (run, o) in runs.items():
        x, y = Input("bf16", (64, 256, 56, 56), channels_last=True), Input("bf16", (64, 256, o, o), channels_last=True)
        rows.append(Row("pool_forward", f"pool_forward {name} bf16", {"x": x}, moved=x.bytes() + y.bytes(),
                        **both(lambda T, x, run=run: lambda: run(T, x.x), "PyTorch")))
        rows.append(Row("pool_backward", f"pool_backward {name} bf16", {"x": dataclasses.replace(x, grad=True), "dy": y},
                        moved=x.bytes() + y.bytes(),
                        **both(backward(lambda T, x, run=run: run(T, x.x), "x"), "PyTorch")))
    return rows


# ---- recurrent and attention -------------------------------------------------------------------------------------


def rnn(target: str, cell: str, kind: str, hidden: int, batch: int, steps: int, peer: str, training: bool = False) -> Row:
    """One layer's forward pass, or the forward and backward pass of a training step: gradients of input and weights."""
    gates = 4 if cell == "LSTM" else 3

    def build(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        layer = getattr(T.nn, cell)(hidden, hidden, device=x.x.device, dtype=getattr(T, DTYPE[kind]))
        at = 0
        with T.no_grad():
            for p in layer.parameters():
                p.copy_(x.w[at : at + p.numel()].reshape(p.shape) * (0.5 / hidden**0.5))
                at += p.numel()
        leaves = [x.x, *layer.parameters()]

        def run() -> Any:
            if training:
                return T.autograd.grad([layer(x.x)[0]], leaves, [x.dy])
            with T.no_grad():
                return layer(x.x)[0]

        return run

    shape, flops = (steps, batch, hidden), 2.0 * steps * batch * hidden * gates * hidden * 2
    inputs = {"x": Input(kind, shape, grad=training), "w": Input(kind, (gates * hidden * (2 * hidden + 2),))}
    if training:
        inputs["dy"], flops = Input(kind, shape), 3 * flops
    what = " forward and backward" if training else ""
    return Row(target, f"{target} {cell} {kind} H{hidden} B{batch} T{steps}{what}", inputs, **both(build, peer), kind=kind,
               tol={"bf16": 0.1, "fp16": 5e-2}.get(kind, 1e-3), flops=flops)


def rnn_rows() -> list[Row]:
    rows = [rnn("rnn_fp16", c, "fp16", h, b, 1024, "cuDNN") for c in ("LSTM", "GRU") for h in (256, 768, 1024) for b in (1, 16, 64)]
    rows += [rnn("rnn_other", "LSTM", k, h, b, 512, "PyTorch") for k, h, b in
             (("bf16", 512, 16), ("fp32", 512, 16), ("fp32", 256, 1), ("fp32", 333, 16))]
    rows += [rnn("rnn_training", c, k, h, b, 256, "cuDNN", training=True) for c in ("LSTM", "GRU") for k, h, b in
             (("fp16", 128, 32), ("fp16", 768, 16), ("bf16", 512, 64), ("fp32", 64, 64), ("fp32", 512, 16), ("fp32", 1024, 64))]
    return rows


def sdpa(T: Any, q: Any, k: Any, v: Any, **how: Any) -> Any:
    return T.nn.functional.scaled_dot_product_attention(q, k, v, **how)


def with_backend(backend: str, build: Build) -> Build:
    """The call under one named SDPA backend, so that PyTorch can neither choose another nor fall back."""

    def wrapped(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel(getattr(SDPBackend, backend)):
            call = build(T, x)

        def run() -> Any:
            with sdpa_kernel(getattr(SDPBackend, backend)):
                return call()

        return run

    return wrapped


def attention(what: str, length: int, heads: int, dim: int, causal: bool, kv_heads: int | None = None) -> Row:
    batch = max(1, 16384 // length)
    kv = kv_heads or heads
    grad = what == "backward"
    q, k = Input("bf16", (batch, heads, length, dim), grad=grad), Input("bf16", (batch, kv, length, dim), grad=grad)
    how: dict[str, Any] = {"is_causal": causal}
    if kv != heads:
        how["enable_gqa"] = True
    inputs = {"q": q, "k": k, "v": k}
    flops = 4.0 * batch * heads * length * length * dim * (0.5 if causal else 1.0)
    if grad:
        inputs["dy"] = dataclasses.replace(q, grad=False)
        build = backward(lambda T, x: sdpa(T, x.q, x.k, x.v, **how), "q,k,v")
        target, targets, flops = "attention_backward", {"flash": "attention_backward"}, 2.5 * flops
    else:
        build = lambda T, x: lambda: sdpa(T, x.q, x.k, x.v, **how)
        target, targets = "attention_flash", {"cuDNN": "attention_cudnn"}
    mode = ("causal" if causal else "full") + (f" GQA {heads}/{kv}" if kv != heads else "")
    return Row(target, f"attention {what} d{dim} L{length} {mode}", inputs, build,
               {"flash": with_backend("FLASH_ATTENTION", build), "cuDNN": with_backend("CUDNN_ATTENTION", build)},
               flops=flops, moved=float(2 * q.bytes() + 2 * k.bytes()), targets=targets)


def attention_masked(dim: int, length: int) -> Row:
    q = Input("bf16", (2, 8, length, dim))
    bias = Input("bf16", (2, 8, length, length))
    build: Build = lambda T, x: lambda: sdpa(T, x.q, x.k, x.v, attn_mask=x.bias)
    return Row("attention_other", f"attention forward d{dim} L{length} bias", {"q": q, "k": q, "v": q, "bias": bias}, build,
               {"efficient": with_backend("EFFICIENT_ATTENTION", build)}, flops=4.0 * 16 * length * length * dim,
               moved=float(4 * q.bytes() + bias.bytes()))


def attention_decode(batch: int, keys: int, heads: int, kv_heads: int) -> Row:
    """One query per head over a long cache: the bytes of keys and values are the limit."""
    q, k = Input("bf16", (batch, heads, 1, 128)), Input("bf16", (batch, kv_heads, keys, 128))
    build: Build = lambda T, x: lambda: sdpa(T, x.q, x.k, x.v, enable_gqa=heads != kv_heads)
    return Row("attention_flash", f"attention decode d128 B{batch} S{keys} GQA {heads}/{kv_heads}", {"q": q, "k": k, "v": k},
               build, {"flash": with_backend("FLASH_ATTENTION", build)}, flops=4.0 * batch * heads * keys * 128,
               moved=float(2 * q.bytes() + 2 * k.bytes()))


def attention_rows() -> list[Row]:
    rows = [attention("forward", length, 2048 // dim, dim, causal) for dim in (64, 128, 256)
            for length in (512, 2048, 8192, 16384) for causal in (False, True)]
    rows.append(attention("forward", 4096, 32, 128, True, 8))
    rows += [attention("backward", length, 2048 // dim, dim, causal) for dim in (64, 128) for length in (2048, 8192)
             for causal in (False, True)]
    rows += [attention_decode(batch, keys, 32, 8) for batch, keys in ((1, 8192), (16, 8192), (1, 131072))]
    return rows + [attention_masked(d, 4096) for d in (40, 80, 96)]


# ---- rows of numbers ---------------------------------------------------------------------------------------------

NORM_SHAPES = [(8192, 128), (16384, 1024), (16384, 4096), (8192, 8192), (4096, 16384), (1024, 12288)]


def layer_norm(T: Any, x: Any, w: Any, b: Any) -> Any:
    return T.nn.functional.layer_norm(x, (x.shape[-1],), w, b)


def rms_norm(T: Any, x: Any, w: Any, b: Any) -> Any:
    return T.nn.functional.rms_norm(x, (x.shape[-1],), w)


def norm_rows() -> list[Row]:
    rows = []
    for name, run in (("LayerNorm", layer_norm), ("RMSNorm", rms_norm)):
        for n, c in NORM_SHAPES:
            x, w = Input("bf16", (n, c)), Input("bf16", (c,))
            build: Build = lambda T, x, run=run: lambda: run(T, x.x, x.w, x.b)
            rows.append(Row("norm_forward", f"norm_forward {name} {n}x{c} bf16", {"x": x, "w": w, "b": w}, build,
                            {"PyTorch": build, "compiled": compiled(run, "x", "w", "b")}, moved=2.0 * x.bytes(),
                            targets={"compiled": "norm_forward_best"}))
            leaf, weight = dataclasses.replace(x, grad=True), dataclasses.replace(w, grad=True)
            wrt = "x,w,b" if run is layer_norm else "x,w"
            rows.append(Row("norm_backward", f"norm_backward {name} {n}x{c} bf16",
                            {"x": leaf, "w": weight, "b": weight, "dy": x}, tol=5e-2, moved=3.0 * x.bytes(),
                            **both(backward(lambda T, x, run=run: run(T, x.x, x.w, x.b), wrt), "PyTorch")))
    return rows


def softmax_rows() -> list[Row]:
    rows = []
    softmax = lambda T, x: T.nn.functional.softmax(x, -1)
    for v in (1024, 4096, 32768, 131072, 262144):
        n = max(64, (1 << 26) // v)
        x = Input("bf16", (n, v))
        build: Build = lambda T, x: lambda: softmax(T, x.x)
        rows.append(Row("softmax", f"softmax {n}x{v} bf16", {"x": x}, build, {"PyTorch": build, "compiled": compiled(softmax, "x")},
                        moved=2.0 * x.bytes(), targets={"compiled": "softmax_best"}))
        entropy: Build = lambda T, x: lambda: T.autograd.grad(T.nn.functional.cross_entropy(x.x, x.t), x.x)
        rows.append(Row("softmax", f"cross_entropy forward+backward {n}x{v} bf16",
                        {"x": dataclasses.replace(x, grad=True), "t": Input("int64", (n,), v)}, moved=2.0 * x.bytes(), tol=5e-2,
                        **both(entropy, "PyTorch")))
    return rows


# ---- optimiser and whole steps -----------------------------------------------------------------------------------


def gpt_shapes(layers: int, width: int) -> list[tuple[int, ...]]:
    """Parameter shapes of a GPT-2 of this size."""
    block = [(width,), (width,), (3 * width, width), (3 * width,), (width, width), (width,), (width,), (width,),
             (4 * width, width), (4 * width,), (width, 4 * width), (width,)]
    return [(50257, width), (1024, width), *(s for _ in range(layers) for s in block), (width,), (width,)]


def adamw(name: str, layers: int, width: int) -> Row:
    shapes = gpt_shapes(layers, width)

    def build(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        params = [T.zeros(*s, device="cuda").requires_grad_() for s in shapes]
        for p in params:
            p.grad = T.randn(*p.shape, device="cuda")
        fused = {"fused": True} if T.__name__ == "torch" else {}
        return T.optim.AdamW(params, lr=1e-3, **fused).step

    count = sum(s[0] * (s[1] if len(s) > 1 else 1) for s in shapes)
    return Row("adamw", f"adamw {name} fp32", {}, **both(build, "fused"), kind="fp32", tol=None, moved=28.0 * count)


def mlp(T: Any) -> Any:
    nn = T.nn
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet(T: Any) -> Any:
    nn = T.nn
    return nn.Sequential(nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


def gpt2(T: Any) -> Any:
    """GPT-2's 124 M parameters; attention written with matmul and softmax."""
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.LayerNorm(768), nn.LayerNorm(768)
            self.qkv, self.out = nn.Linear(768, 2304), nn.Linear(768, 768)
            self.up, self.down = nn.Linear(768, 3072), nn.Linear(3072, 768)

        def forward(self, x: Any) -> Any:
            n, t, _ = x.shape
            q, k, v = (p.reshape(n, t, 12, 64).transpose(1, 2) for p in self.qkv(self.a(x)).split(768, 2))
            mask = T.ones(t, t, device="cuda").triu(1) * -1e9
            att = F.softmax(q @ k.transpose(2, 3) * 0.125 + mask, -1) @ v
            x = x + self.out(att.transpose(1, 2).reshape(n, t, 768))
            return x + self.down(F.gelu(self.up(self.b(x))))

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token, self.blocks = nn.Embedding(50257, 768), nn.Sequential(*[Block() for _ in range(12)])
            self.norm = nn.LayerNorm(768)

        def forward(self, ids: Any) -> Any:
            h = self.norm(self.blocks(self.token(ids)))
            return (h @ self.token.weight.t()).reshape(-1, 50257)

    return Net()


def step(name: str, make: Callable[[Any], Any], inputs: dict[str, Input]) -> Row:
    """Forward, backward and optimiser: ccdl as one captured graph, PyTorch eager and compiled with graphs."""

    def parts(T: Any, x: SimpleNamespace) -> tuple[Any, Any, Any]:
        net = make(T).to("cuda")
        fused = {"fused": True} if T.__name__ == "torch" else {}
        return net, T.optim.AdamW(net.parameters(), lr=1e-4, **fused), x

    def plain(T: Any, x: SimpleNamespace, net: Any, steps: Any, forward: Any) -> Callable[[], Any]:
        def run() -> Any:
            steps.zero_grad()
            loss = T.nn.functional.cross_entropy(forward(x.x), x.t)
            loss.backward()
            steps.step()
            return loss

        return run

    def eager(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        net, steps, _ = parts(T, x)
        return plain(T, x, net, steps, net)

    def ours(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        net, steps, _ = parts(T, x)
        return T.cuda.graph(plain(T, x, net, steps, net))

    def graphs(T: Any, x: SimpleNamespace) -> Callable[[], Any]:
        net, steps, _ = parts(T, x)
        return plain(T, x, net, steps, T.compile(net, mode="reduce-overhead"))

    return Row("step_eager", f"step {name}", inputs, ours, {"eager": eager, "compiled": graphs}, kind="fp32", tol=None,
               wall=True, targets={"compiled": "step_compiled"})


def training_rows() -> list[Row]:
    return [adamw("124M", 12, 768), adamw("1.5B", 48, 1600),
            step("MLP B64", mlp, {"x": Input("fp32", (64, 784)), "t": Input("int64", (64,), 10)}),
            step("LeNet B64", lenet, {"x": Input("fp32", (64, 1, 32, 32)), "t": Input("int64", (64,), 10)}),
            step("GPT-2 124M B4", gpt2, {"x": Input("int64", (4, 256), 50257), "t": Input("int64", (1024,), 50257)})]


# ---- the remaining families --------------------------------------------------------------------------------------


def simple(target: str, name: str, inputs: dict[str, Input], run: Callable[[Any, SimpleNamespace], Any], moved: float,
           kind: str = "fp32", tol: float | None = 1e-5) -> Row:
    return Row(target, f"{target} {name}", inputs, **both(lambda T, x: lambda: run(T, x), "PyTorch"), kind=kind, moved=moved,
               tol=tol)


def family_rows() -> list[Row]:
    n = 1 << 26
    f, h = Input("fp32", (n,)), Input("bf16", (n,))
    square, half = Input("fp32", (8192, 8192)), Input("bf16", (8192, 8192))
    table, ids = Input("bf16", (50257, 1024)), Input("int64", (65536,), 50257)
    wide = Input("int64", (8192, 1024), 8192)
    rows = [
        simple("elementwise", "add fp32", {"a": f, "b": f}, lambda T, x: x.a + x.b, 12.0 * n),
        simple("elementwise", "add bf16", {"a": h, "b": h}, lambda T, x: x.a + x.b, 6.0 * n, tol=1e-2),
        simple("elementwise", "gelu bf16", {"a": h}, lambda T, x: T.nn.functional.gelu(x.a), 4.0 * n, tol=1e-2),
        simple("elementwise", "exp fp32", {"a": f}, lambda T, x: x.a.exp(), 8.0 * n),
        simple("elementwise", "add row fp32", {"a": square, "b": Input("fp32", (8192,))}, lambda T, x: x.a + x.b, 8.0 * n),
        simple("elementwise", "where fp32", {"a": f, "b": f}, lambda T, x: T.where(x.a > 0, x.a, x.b), 14.0 * n),
        simple("reduce", "sum all fp32", {"a": f}, lambda T, x: x.a.sum(), 4.0 * n, tol=1e-3),
        simple("reduce", "sum rows fp32", {"a": square}, lambda T, x: x.a.sum(1), 4.0 * n, tol=1e-4),
        simple("reduce", "sum columns bf16", {"a": half}, lambda T, x: x.a.sum(0), 2.0 * n, tol=2e-2),
        simple("reduce", "argmax rows fp32", {"a": square}, lambda T, x: x.a.argmax(1), 4.0 * n),
        simple("reduce", "var rows fp32", {"a": square}, lambda T, x: x.a.var(1), 4.0 * n, tol=1e-4),
        simple("sort", "sort rows fp32", {"a": square}, lambda T, x: x.a.sort(1).values, 12.0 * n, tol=0.0),
        simple("sort", "topk 50 fp32", {"a": square}, lambda T, x: x.a.topk(50, 1).values, 4.0 * n, tol=0.0),
        simple("sort", "cumsum rows fp32", {"a": square}, lambda T, x: x.a.cumsum(1), 8.0 * n, tol=1e-4),
        simple("sort", "sort all int32", {"a": Input("int32", (n,), 1 << 30)}, lambda T, x: x.a.sort().values, 24.0 * n, tol=0.0),
        simple("index", "embedding bf16", {"w": table, "i": ids}, lambda T, x: T.nn.functional.embedding(x.i, x.w),
               4.0 * 65536 * 1024, tol=0.0),
        Row("index", "index embedding backward bf16", {"w": dataclasses.replace(table, grad=True), "i": ids,
                                                       "dy": Input("bf16", (65536, 1024))},
            **both(backward(lambda T, x: T.nn.functional.embedding(x.i, x.w), "w"), "PyTorch"),
            moved=2.0 * 65536 * 1024 + table.bytes(), tol=5e-2),
        simple("index", "gather fp32", {"a": square, "i": wide}, lambda T, x: x.a.gather(1, x.i), 16.0 * 8192 * 1024, tol=0.0),
        simple("index", "scatter_add fp32", {"a": square, "i": wide, "s": Input("fp32", (8192, 1024))},
               lambda T, x: x.a.scatter_add(1, x.i, x.s), 8.0 * n, tol=1e-4),
        simple("index", "index_select rows fp32", {"a": square, "i": Input("int64", (8192,), 8192)},
               lambda T, x: x.a.index_select(0, x.i), 8.0 * n, tol=0.0),
        simple("index", "masked_fill fp32", {"a": square, "m": Input("bool", (8192, 8192), 2)},
               lambda T, x: x.a.masked_fill(x.m, 0.0), 9.0 * n, tol=0.0),
        simple("random", "randn fp32", {}, lambda T, x: T.randn(n, device="cuda"), 4.0 * n, tol=None),
        simple("random", "rand fp32", {}, lambda T, x: T.rand(n, device="cuda"), 4.0 * n, tol=None),
        simple("random", "dropout bf16", {"a": h}, lambda T, x: T.nn.functional.dropout(x.a, 0.1, True), 4.0 * n, tol=None),
        simple("shape", "cast fp32 to bf16", {"a": f}, lambda T, x: x.a.to(T.bfloat16), 6.0 * n, tol=0.0),
        simple("shape", "transpose fp32", {"a": square}, lambda T, x: x.a.t().contiguous(), 8.0 * n, tol=0.0),
        simple("shape", "NCHW to NHWC bf16", {"a": Input("bf16", (64, 256, 64, 64))},
               lambda T, x: x.a.contiguous(memory_format=T.channels_last), 4.0 * n, tol=0.0),
        simple("shape", "cat fp32", {"a": square, "b": square}, lambda T, x: T.cat([x.a, x.b], 1), 16.0 * n, tol=0.0),
        simple("shape", "clone fp32", {"a": f}, lambda T, x: x.a.clone(), 8.0 * n, tol=0.0),
    ]
    for kind in ("fp64", "tf32", "fp16"):
        rows.append(gemm("gemm_fp32" if kind != "fp16" else "gemm_bf16", 4096, 4096, 4096, kind))
        rows[-1].name += f" {kind}"
    return rows


def all_rows() -> list[Row]:
    """In the order that answers most first when time runs out."""
    rows = (family_rows() + norm_rows() + softmax_rows() + training_rows() + gemm_rows() + pool_rows() + attention_rows() +
            rnn_rows() + conv_rows())
    names = [r.name for r in rows]
    assert len(set(names)) == len(names), sorted({n for n in names if names.count(n) > 1})
    return rows
