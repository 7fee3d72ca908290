"""The cases of probe.py: what each operator is called with, on medium tensors, for either library."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

Make = Callable[[Any], Callable[[], Any]]

UNARY = """abs acos acosh asin asinh atan atanh bitwise_not ceil cos cosh erf erfc erfinv exp exp2 expm1 floor frac isfinite
isinf isnan lgamma digamma log log10 log1p log2 logical_not nan_to_num neg reciprocal relu round rsqrt sigmoid sign sin
sinh sqrt square tan tanh trunc logit sinc deg2rad positive signbit""".split()
BINARY = """add sub mul div maximum minimum fmax fmin pow atan2 fmod remainder floor_divide copysign hypot logaddexp xlogy
eq ne lt le gt ge logical_and logical_or logical_xor nextafter""".split()
INTEGER = "add sub mul floor_divide remainder fmod maximum minimum eq lt bitwise_and bitwise_or bitwise_xor div".split()
REDUCE = """sum mean prod amax amin max min argmax argmin var std norm logsumexp any all count_nonzero median nansum
nanmean aminmax""".split()
SCAN = "cumsum cumprod cummax logcumsumexp softmax log_softmax sort argsort".split()
ACTIVATION = """relu relu6 leaky_relu elu selu celu silu mish gelu softplus softsign softshrink hardshrink tanhshrink
hardtanh hardsigmoid hardswish logsigmoid sigmoid tanh normalize""".split()
LOSS = "mse_loss l1_loss smooth_l1_loss huber_loss soft_margin_loss hinge_embedding_loss poisson_nll_loss".split()
POSITIVE = {"acosh", "log", "log10", "log1p", "log2", "rsqrt", "sqrt", "lgamma", "digamma", "reciprocal", "logit", "pow"}
UNIT = {"acos", "asin", "atanh", "erfinv", "logit"}
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "": lambda x: x,
    " transposed": lambda x: x.t(),
    " every 2nd": lambda x: x[:, ::2],
    " column block": lambda x: x[:, 1:1000],
}


def array(*shape: int, seed: int = 0, name: str = "") -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    if name in POSITIVE:
        x = np.abs(x) + np.float32(1.001)
    return np.tanh(x * np.float32(0.5)).astype(np.float32) * np.float32(0.99) if name in UNIT else x


def floats(T: Any, *shape: int, seed: int = 0, name: str = "", dtype: str = "float32") -> Any:
    return T.from_numpy(array(*shape, seed=seed, name=name)).to(getattr(T, dtype))


def ints(T: Any, low: int, high: int, *shape: int, seed: int = 3, dtype: str = "int64") -> Any:
    return T.from_numpy(np.random.default_rng(seed).integers(low, high, shape)).to(getattr(T, dtype))


def call(T: Any, name: str) -> Callable[..., Any]:
    return getattr(T.nn.functional, name, None) or getattr(T, name)


def unary(name: str, layout: str, dtype: str = "float32") -> Make:
    def make(T: Any) -> Callable[[], Any]:
        x = LAYOUTS[layout](
            ints(T, -100, 100, 1024, 1024, dtype=dtype)
            if dtype.startswith(("int", "uint", "bool"))
            else floats(T, 1024, 1024, name=name, dtype=dtype)
        )
        f = getattr(T, name)
        return lambda: f(x)

    return make


def binary(name: str, kind: str, dtype: str = "float32") -> Make:
    def make(T: Any) -> Callable[[], Any]:
        if dtype.startswith(("float", "bf")):
            x, y = (floats(T, 1024, 1024, seed=s, name=name, dtype=dtype) for s in (1, 2))
        else:
            x, y = (ints(T, 1, 100, 1024, 1024, seed=s, dtype=dtype) for s in (1, 2))
        y = {
            "": lambda: y,
            " row": lambda: y[0],
            " column": lambda: y[:, :1],
            " transposed": lambda: y.t(),
            " scalar": lambda: 3,
            " 0-d": lambda: y[0, 0],
        }[kind]()
        f = getattr(T, name)
        return lambda: f(x, y)

    return make


def tensors(f: Callable[..., Any], *inputs: Callable[[Any], Any], grad: bool = False) -> Make:
    """f(T, *tensors); with grad the first tensor's gradient is taken too."""

    def make(T: Any) -> Callable[[], Any]:
        xs = [i(T) for i in inputs]
        if not grad:
            return lambda: f(T, *xs)
        xs[0].requires_grad_()
        y = f(T, *xs)
        dy = T.ones_like(y)

        def run() -> Any:
            xs[0].grad = None
            f(T, *xs).backward(dy)
            return xs[0].grad

        return run

    return make


def square_(T: Any) -> Any:
    return floats(T, 1024, 1024)


def other(T: Any) -> Any:
    return floats(T, 1024, 1024, seed=5)


def image(T: Any) -> Any:
    return floats(T, 16, 64, 32, 32)


def index(T: Any) -> Any:
    return ints(T, 0, 1024, 1024, 1024)


def rows(T: Any) -> Any:
    return ints(T, 0, 1024, 1024)


def mask(T: Any) -> Any:
    return floats(T, 1024, 1024, seed=7) > 0


def moves() -> Iterator[tuple[str, Make]]:
    """Copies, indexing, joins, conversions: what moves data."""
    s, o, i, r, m = square_, other, index, rows, mask
    yield "clone", tensors(lambda T, x: x.clone(), s)
    yield "copy transposed", tensors(lambda T, x: x.t().contiguous(), s)
    yield "copy batch transposed", tensors(lambda T, x: x.transpose(1, 2).contiguous(), lambda T: floats(T, 64, 128, 128))
    yield "copy heads", tensors(
        lambda T, x: x.view(8, 256, 8, 64).transpose(1, 2).contiguous(), lambda T: floats(T, 8, 256, 512)
    )
    yield "copy every 2nd", tensors(lambda T, x: x[:, ::2].contiguous(), s)
    yield "copy nchw->nhwc", tensors(lambda T, x: x.permute(0, 2, 3, 1).contiguous(), image)
    yield "copy nhwc->nchw", tensors(lambda T, x: x.permute(0, 3, 1, 2).contiguous(), lambda T: floats(T, 16, 32, 32, 64))
    yield "copy permuted 4d", tensors(lambda T, x: x.permute(3, 1, 0, 2).contiguous(), image)
    yield "expand contiguous", tensors(lambda T, x: x[:1].expand(1024, 1024).contiguous(), s)
    yield "expand column contiguous", tensors(lambda T, x: x[:, :1].expand(1024, 1024).contiguous(), s)
    kinds = ("float32", "float64", "float16", "bfloat16", "int64", "int32", "uint8", "bool")
    for a in kinds:
        for b in kinds:
            if a != b:
                yield f"{a}->{b}", tensors(
                    lambda T, x, b=b: x.to(getattr(T, b)), lambda T, a=a: floats(T, 1024, 1024).abs().to(getattr(T, a))
                )
    yield "bfloat16->float32 transposed", tensors(lambda T, x: x.t().float(), lambda T: floats(T, 1024, 1024, dtype="bfloat16"))
    yield "copy_ transposed", tensors(lambda T, x, y: x.copy_(y.t()), s, o)
    yield "fill_", tensors(lambda T, x: x.fill_(1.5), s)
    yield "zero_", tensors(lambda T, x: x.zero_(), s)
    yield "fill_ every 2nd", tensors(lambda T, x: x[:, ::2].fill_(1.5), s)
    yield "zeros", tensors(lambda T, x: T.zeros(1024, 1024), s)
    yield "ones", tensors(lambda T, x: T.ones(1024, 1024), s)
    yield "arange", tensors(lambda T, x: T.arange(1 << 20), s)
    yield "arange float", tensors(lambda T, x: T.arange(0, 1 << 20, dtype=T.float32), s)
    yield "linspace", tensors(lambda T, x: T.linspace(0, 1, 1 << 20), s)
    yield "eye", tensors(lambda T, x: T.eye(1024), s)
    yield "tril", tensors(lambda T, x: x.tril(), s)
    yield "triu", tensors(lambda T, x: x.triu(), s)
    yield "tril_indices", tensors(lambda T, x: T.tril_indices(700, 700), s)
    for d in (0, 1):
        yield f"flip {d}", tensors(lambda T, x, d=d: x.flip(d), s)
        yield f"roll {d}", tensors(lambda T, x, d=d: x.roll(7, d), s)
        yield f"cat {d}", tensors(lambda T, x, y, d=d: T.cat([x, y], d), s, o)
        yield f"stack {d}", tensors(lambda T, x, y, d=d: T.stack([x, y], d), s, o)
        yield f"gather {d}", tensors(lambda T, x, i, d=d: x.gather(d, i), s, i)
        yield f"scatter {d}", tensors(lambda T, x, i, y, d=d: x.scatter(d, i, y), s, i, o)
        yield f"scatter_add {d}", tensors(lambda T, x, i, y, d=d: x.scatter_add(d, i, y), s, i, o)
        yield f"index_select {d}", tensors(lambda T, x, i, d=d: x.index_select(d, i), s, r)
        yield f"index_add {d}", tensors(lambda T, x, i, y, d=d: x.index_add(d, i, y), s, r, o)
        yield f"index_copy {d}", tensors(lambda T, x, i, y, d=d: x.index_copy(d, i, y), s, r, o)
        yield f"index_fill {d}", tensors(lambda T, x, i, d=d: x.index_fill(d, i, 1.0), s, r)
        yield f"repeat_interleave {d}", tensors(lambda T, x, d=d: x.repeat_interleave(2, d), s)
        yield f"diff {d}", tensors(lambda T, x, d=d: x.diff(dim=d), s)
        yield f"unbind+stack {d}", tensors(lambda T, x, d=d: T.stack(x.unbind(d), d), lambda T: floats(T, 256, 256))
        yield f"split+cat {d}", tensors(lambda T, x, d=d: T.cat(x.split(128, d)[::-1], d), s)
    yield "cat 3 narrow 1", tensors(lambda T, x: T.cat([x, x, x], 1), lambda T: floats(T, 65536, 8))
    yield "x[mask]", tensors(lambda T, x, m: x[m], s, m)
    yield "x[rows]", tensors(lambda T, x, i: x[i], s, r)
    yield "x[:, rows]", tensors(lambda T, x, i: x[:, i], s, r)
    yield "x[i, j]", tensors(lambda T, x, i: x[i, i], s, i)
    yield "x[mask] = v", tensors(lambda T, x, m: x.__setitem__(m, 1.0), s, m)
    yield "x[rows] = y", tensors(lambda T, x, i, y: x.__setitem__(i, y), s, r, o)
    yield "masked_fill", tensors(lambda T, x, m: x.masked_fill(m, 0.0), s, m)
    yield "masked_fill row", tensors(lambda T, x, m: x.masked_fill(m[0], 0.0), s, m)
    yield "masked_select", tensors(lambda T, x, m: x.masked_select(m), s, m)
    yield "masked_scatter", tensors(lambda T, x, m, y: x.masked_scatter(m, y), s, m, o)
    yield "where", tensors(lambda T, x, m, y: T.where(m, x, y), s, m, o)
    yield "where scalar", tensors(lambda T, x, m, y: T.where(m, x, 0.0), s, m, o)
    yield "where row", tensors(lambda T, x, m, y: T.where(m[0], x, y), s, m, o)
    yield "nonzero", tensors(lambda T, m: m.nonzero(), m)
    yield "take_along_dim", tensors(lambda T, x, i: T.take_along_dim(x, i, 1), s, i)
    yield "repeat", tensors(lambda T, x: x.repeat(2, 2), s)
    yield "tile columns", tensors(lambda T, x: x.repeat(1, 1024), lambda T: floats(T, 1024, 1))
    yield "unfold 3x3", tensors(lambda T, x: T.nn.functional.unfold(x, 3, padding=1), lambda T: floats(T, 8, 16, 56, 56))
    for mode in ("constant", "reflect", "replicate", "circular"):
        yield f"pad {mode}", tensors(lambda T, x, mode=mode: T.nn.functional.pad(x, (1, 1, 1, 1), mode), image)
        yield f"pad {mode} f+b", tensors(lambda T, x, mode=mode: T.nn.functional.pad(x, (1, 1, 1, 1), mode), image, grad=True)
    for mode in ("nearest", "bilinear", "bicubic", "area"):
        yield f"interpolate {mode}", tensors(
            lambda T, x, mode=mode: T.nn.functional.interpolate(x, scale_factor=2, mode=mode), lambda T: floats(T, 8, 16, 56, 56)
        )
        yield f"interpolate {mode} f+b", tensors(
            lambda T, x, mode=mode: T.nn.functional.interpolate(x, scale_factor=2, mode=mode),
            lambda T: floats(T, 8, 16, 56, 56),
            grad=True,
        )
    yield "one_hot", tensors(lambda T, i: T.nn.functional.one_hot(i, 1000), lambda T: ints(T, 0, 1000, 1024))
    yield "bincount", tensors(lambda T, i: T.bincount(i), lambda T: ints(T, 0, 1000, 1 << 20))
    yield "bucketize", tensors(lambda T, x: T.bucketize(x, T.linspace(-3, 3, 100)), s)
    yield "histc", tensors(lambda T, x: T.histc(x, 100), s)
    yield "unique", tensors(lambda T, i: T.unique(i), lambda T: ints(T, 0, 1000, 1 << 20))
    yield "multinomial", tensors(lambda T, x: T.multinomial(x, 10), lambda T: floats(T, 64, 4096).abs())
    yield "embedding", tensors(
        lambda T, w, i: T.nn.functional.embedding(i, w), lambda T: floats(T, 32000, 256), lambda T: ints(T, 0, 32000, 32, 128)
    )
    yield "embedding f+b", tensors(
        lambda T, w, i: T.nn.functional.embedding(i, w), lambda T: floats(T, 4000, 256), lambda T: ints(T, 0, 4000, 32, 128), grad=True
    )
    for name, f in (
        ("getitem slice", lambda T, x: x[1:, 1:]),
        ("transpose contiguous", lambda T, x: x.t().contiguous()),
        ("cat", lambda T, x: T.cat([x, x], 1)),
        ("stack", lambda T, x: T.stack([x, x])),
        ("expand", lambda T, x: x[:1].expand(1024, 1024)),
        ("flip", lambda T, x: x.flip(1)),
        ("roll", lambda T, x: x.roll(3, 1)),
        ("tril", lambda T, x: x.tril()),
        ("repeat", lambda T, x: x.repeat(2, 1)),
        ("split", lambda T, x: x.split(512, 1)[0]),
    ):
        yield f"{name} f+b", tensors(f, s, grad=True)
    yield "gather f+b", tensors(lambda T, x, i: x.gather(1, i), s, i, grad=True)
    yield "index_select f+b", tensors(lambda T, x, i: x.index_select(0, i), s, r, grad=True)
    yield "x[rows] f+b", tensors(lambda T, x, i: x[i], s, r, grad=True)
    yield "x[mask] f+b", tensors(lambda T, x, m: x[m], s, m, grad=True)
    yield "masked_fill f+b", tensors(lambda T, x, m: x.masked_fill(m, 0.0), s, m, grad=True)
    yield "where f+b", tensors(lambda T, x, m, y: T.where(m, x, y), s, m, o, grad=True)
    yield "scatter_add f+b", tensors(lambda T, x, i, y: x.scatter_add(1, i, y), s, i, o, grad=True)


def elementwise(grad: bool) -> Iterator[tuple[str, Make]]:
    for name in UNARY:
        kinds = ["int64"] if name == "bitwise_not" else ["float32"]
        for dtype in kinds:
            for layout in LAYOUTS:
                yield f"{name}{layout}", unary(name, layout, dtype)
    for name in "abs neg exp tanh sqrt floor sign relu isnan sigmoid log gelu".split():
        for dtype in ("float64", "bfloat16", "float16"):
            yield f"{name} {dtype}", unary(name, "", dtype)
    for name in "abs neg sign square bitwise_not logical_not sqrt".split():
        for dtype in ("int64", "int32", "uint8"):
            if not (name == "neg" and dtype == "uint8"):
                yield f"{name} {dtype}", unary(name, "", dtype)
    for name in BINARY:
        for kind in ("", " row", " column", " transposed", " scalar", " 0-d"):
            if kind == " scalar" and name in {
                "maximum", "minimum", "fmax", "fmin", "atan2", "hypot", "logaddexp", "logical_and", "logical_or",
                "logical_xor", "nextafter",
            }:  # fmt: skip
                continue
            yield f"{name}{kind}", binary(name, kind)
    for name in "add mul div maximum pow eq lt".split():
        for dtype in ("float64", "bfloat16", "float16"):
            yield f"{name} {dtype}", binary(name, "", dtype)
            yield f"{name} {dtype} row", binary(name, " row", dtype)
            if name != "maximum":
                yield f"{name} {dtype} scalar", binary(name, " scalar", dtype)
    for name in INTEGER:
        for dtype in ("int64", "int32", "uint8"):
            yield f"{name} {dtype}", binary(name, "", dtype)
            if name not in {"maximum", "minimum"}:
                yield f"{name} {dtype} scalar", binary(name, " scalar", dtype)
    s, o = square_, other
    for name, f in (
        ("add_", lambda T, x, y: x.add_(y)),
        ("add_ alpha", lambda T, x, y: x.add_(y, alpha=0.5)),
        ("add int float", lambda T, x, y: x + y.int()),
        ("mul_ scalar", lambda T, x, y: x.mul_(1.0)),
        ("rsub", lambda T, x, y: 1.0 - x),
        ("rdiv", lambda T, x, y: 1.0 / x),
        ("pow 2", lambda T, x, y: x**2),
        ("pow 3", lambda T, x, y: x**3),
        ("pow 0.5", lambda T, x, y: x.abs() ** 0.5),
        ("pow 2.5", lambda T, x, y: x.abs() ** 2.5),
        ("rpow", lambda T, x, y: 2.0**x),
        ("clamp", lambda T, x, y: x.clamp(-1, 1)),
        ("clamp min", lambda T, x, y: x.clamp(min=0)),
        ("clamp tensor", lambda T, x, y: T.clamp(x, y - 1, y + 1)),
        ("lerp", lambda T, x, y: T.lerp(x, y, 0.3)),
        ("lerp tensor", lambda T, x, y: T.lerp(x, y, x)),
        ("addcmul", lambda T, x, y: T.addcmul(x, x, y)),
        ("addcdiv", lambda T, x, y: T.addcdiv(x, x, y)),
        ("isclose", lambda T, x, y: T.isclose(x, y)),
        ("allclose", lambda T, x, y: T.allclose(x, x)),
        ("equal", lambda T, x, y: T.equal(x, x)),
        ("mixed float64", lambda T, x, y: x + y.double()),
        ("outer", lambda T, x, y: T.outer(x[0], y[0])),
        ("chain", lambda T, x, y: ((x + y) * x - y).tanh() * 2),
        ("expand middle", lambda T, x, y: x.view(64, 16, 1024) + y[:64].view(64, 1, 1024)),
        ("channel bias", lambda T, x, y: x.view(16, 64, 32, 32) + y[0, :64].view(64, 1, 1)),
    ):
        yield name, tensors(f, s, o)
    for name in ACTIVATION:
        yield f"F.{name}", tensors(lambda T, x, n=name: call(T, n)(x), s)
    yield "F.glu", tensors(lambda T, x: T.nn.functional.glu(x), s)
    yield "F.prelu", tensors(lambda T, x, w: T.nn.functional.prelu(x, w[0, :1]), s, o)
    yield "F.gelu tanh", tensors(lambda T, x: T.nn.functional.gelu(x, approximate="tanh"), s)
    yield "F.dropout", tensors(lambda T, x: T.nn.functional.dropout(x), s)
    if not grad:
        return
    for name in UNARY:
        if name in ("bitwise_not", "isfinite", "isinf", "isnan", "logical_not", "signbit"):
            continue
        yield f"{name} f+b", tensors(
            lambda T, x, n=name: getattr(T, n)(x), lambda T, n=name: floats(T, 1024, 1024, name=n), grad=True
        )
    for name in BINARY[: BINARY.index("eq")]:
        if name in ("fmod", "floor_divide"):
            continue
        for kind in ("", " row", " column"):
            pick = {"": lambda y: y, " row": lambda y: y[0], " column": lambda y: y[:, :1]}[kind]
            yield f"{name}{kind} f+b", tensors(
                lambda T, y, x, n=name: getattr(T, n)(x, y),
                lambda T, n=name, p=pick: p(floats(T, 1024, 1024, seed=2, name=n)).contiguous(),
                lambda T, n=name: floats(T, 1024, 1024, seed=1, name=n),
                grad=True,
            )
    for name in ACTIVATION:
        yield f"F.{name} f+b", tensors(lambda T, x, n=name: call(T, n)(x), s, grad=True)
    yield "F.glu f+b", tensors(lambda T, x: T.nn.functional.glu(x), s, grad=True)
    yield "F.prelu f+b", tensors(lambda T, x, w: T.nn.functional.prelu(x, w[0, :1]), s, o, grad=True)
    for name in ("pow 2", "clamp", "lerp", "addcmul", "addcdiv"):
        f = {
            "pow 2": lambda T, x, y: x**2,
            "clamp": lambda T, x, y: x.clamp(-1, 1),
            "lerp": lambda T, x, y: T.lerp(x, y, 0.3),
            "addcmul": lambda T, x, y: T.addcmul(y, x, y),
            "addcdiv": lambda T, x, y: T.addcdiv(y, x, y),
        }[name]
        yield f"{name} f+b", tensors(f, s, o, grad=True)


def reductions(grad: bool) -> Iterator[tuple[str, Make]]:
    s = square_
    dims: list[tuple[str, tuple[Any, ...]]] = [("all", ()), ("0", (0,)), ("1", (1,))]
    for name in REDUCE:
        for label, d in dims:
            if name == "median" and label == "0":
                continue
            if name == "logsumexp" and not d:
                continue
            if name == "norm":
                d = (2, *d)
            if name == "aminmax":
                yield f"aminmax {label}", tensors(lambda T, x, d=d: T.aminmax(x, **({"dim": d[0]} if d else {})), s)
                continue
            yield f"{name} {label}", tensors(lambda T, x, n=name, d=d: getattr(x, n)(*d), s)
            if grad and name not in ("any", "all", "count_nonzero", "argmax", "argmin", "nansum", "nanmean"):
                yield f"{name} {label} f+b", tensors(
                    lambda T, x, n=name, d=d: (lambda y: y if hasattr(y, "dtype") else y[0])(getattr(x, n)(*d)), s, grad=True
                )
    for name in "sum mean amax var argmax prod any".split():
        for label, d in (("(0,2,3)", (0, 2, 3)), ("(2,3)", (2, 3)), ("1", 1), ("(1,2,3)", (1, 2, 3))):
            if name in ("argmax", "prod") and not isinstance(d, int):
                continue
            if name == "any" and not isinstance(d, int):
                continue
            yield f"{name} image {label}", tensors(lambda T, x, n=name, d=d: getattr(x, n)(d), image)
    for dtype in ("float64", "bfloat16", "float16", "int64", "int32", "uint8", "bool"):
        for name in "sum amax argmax any mean prod".split():
            if name == "mean" and not dtype.startswith(("fl", "bf")):
                continue
            for label, d in dims:
                yield f"{name} {label} {dtype}", tensors(
                    lambda T, x, n=name, d=d: getattr(x, n)(*d),
                    lambda T, t=dtype: floats(T, 1024, 1024, seed=2).abs().to(getattr(T, t)),
                )
    for label, shape in (("many rows of 10", (100000, 10)), ("10 x 100000", (10, 100000)), ("3 x 3 x 100000", (100000, 3, 3))):
        for d in range(len(shape)):
            for name in ("sum", "amax", "argmax", "var", "mean"):
                yield f"{name} {d} of {label}", tensors(
                    lambda T, x, n=name, d=d: getattr(x, n)(d), lambda T, sh=shape: floats(T, *sh)
                )
    for layout in (" transposed", " every 2nd"):
        for d in (0, 1):
            for name in ("sum", "amax", "argmax", "var"):
                yield f"{name} {d}{layout}", tensors(
                    lambda T, x, n=name, d=d: getattr(x, n)(d), lambda T, ly=layout: LAYOUTS[ly](square_(T))
                )
    for name in SCAN:
        for d in (0, 1):
            yield f"{name} {d}", tensors(lambda T, x, n=name, d=d: getattr(T, n)(x, d), s)
            if grad and name not in ("argsort", "cummax"):
                yield f"{name} {d} f+b", tensors(
                    lambda T, x, n=name, d=d: (lambda y: y if hasattr(y, "dtype") else y[0])(getattr(T, n)(x, d)), s, grad=True
                )
    long = lambda T: floats(T, 1 << 20)
    for name in ("cumsum", "cumprod", "sort", "argsort", "logcumsumexp"):
        yield f"{name} one row", tensors(lambda T, x, n=name: getattr(T, n)(x, 0), long)
    for dtype in ("int64", "int32", "uint8", "bfloat16", "float64"):
        yield f"sort {dtype}", tensors(
            lambda T, x: T.sort(x), lambda T, t=dtype: (floats(T, 256, 1024) * 100).abs().to(getattr(T, t))
        )
        yield f"cumsum {dtype}", tensors(lambda T, x: T.cumsum(x, 1), lambda T, t=dtype: floats(T, 1024, 1024).to(getattr(T, t)))
    for k in (1, 10, 100):
        yield f"topk {k}", tensors(lambda T, x, k=k: x.topk(k), s)
        yield f"topk {k} one row", tensors(lambda T, x, k=k: x.topk(k), long)
    yield "topk 10 dim 0", tensors(lambda T, x: x.topk(10, 0), s)
    yield "kthvalue", tensors(lambda T, x: x.kthvalue(100), s)
    yield "median one row", tensors(lambda T, x: x.median(), long)
    yield "quantile", tensors(lambda T, x: T.quantile(x, 0.3, 1), s)
    yield "cdist", tensors(lambda T, x: T.cdist(x[:256], x[256:512]), s)
    yield "mean f64 acc", tensors(lambda T, x: x.mean(dtype=T.float64), s)
    yield "std_mean", tensors(lambda T, x: T.std_mean(x, 1), s)
    yield "trace", tensors(lambda T, x: T.trace(x), s)
    yield "dot", tensors(lambda T, x: T.dot(x, x), long)
    yield "searchsorted", tensors(lambda T, x: T.searchsorted(T.linspace(-3, 3, 1000), x), s)
    yield "cumsum bool", tensors(lambda T, m: m.cumsum(1), mask)


def layers() -> Iterator[tuple[str, Make]]:
    s, o = square_, other
    for grad in (False, True):
        tag = " f+b" if grad else ""

        def t(f: Callable[..., Any], *inputs: Callable[[Any], Any], grad: bool = grad) -> Make:
            return tensors(f, *inputs, grad=grad)

        for name in LOSS:
            yield f"{name}{tag}", t(lambda T, x, y, n=name: call(T, n)(x, y), s, o)
            yield f"{name} none{tag}", t(lambda T, x, y, n=name: call(T, n)(x, y, reduction="none"), s, o)
        yield f"bce_with_logits{tag}", t(lambda T, x, y: T.nn.functional.binary_cross_entropy_with_logits(x, (y > 0).float()), s, o)
        yield f"bce{tag}", t(
            lambda T, x, y: T.nn.functional.binary_cross_entropy(x, (y > 0).float()), lambda T: floats(T, 1024, 1024).sigmoid(), o
        )
        yield f"kl_div{tag}", t(lambda T, x, y: T.nn.functional.kl_div(x, y, reduction="batchmean"), s, lambda T: floats(T, 1024, 1024).abs())
        yield f"nll_loss{tag}", t(lambda T, x, i: T.nn.functional.nll_loss(x, i), s, rows)
        yield f"cross_entropy{tag}", t(lambda T, x, i: T.nn.functional.cross_entropy(x, i), s, rows)
        yield f"cross_entropy smooth{tag}", t(lambda T, x, i: T.nn.functional.cross_entropy(x, i, label_smoothing=0.1), s, rows)
        yield f"cross_entropy soft{tag}", t(lambda T, x, y: T.nn.functional.cross_entropy(x, y.softmax(1)), s, o)
        yield f"cross_entropy image{tag}", t(
            lambda T, x, i: T.nn.functional.cross_entropy(x, i), lambda T: floats(T, 8, 21, 64, 64), lambda T: ints(T, 0, 21, 8, 64, 64)
        )
        yield f"cosine_similarity{tag}", t(lambda T, x, y: T.nn.functional.cosine_similarity(x, y), s, o)
        yield f"pairwise_distance{tag}", t(lambda T, x, y: T.nn.functional.pairwise_distance(x, y), s, o)
        yield f"triplet_margin_loss{tag}", t(lambda T, x, y: T.nn.functional.triplet_margin_loss(x, y, y * 2), s, o)
        yield f"multi_margin_loss{tag}", t(lambda T, x, i: T.nn.functional.multi_margin_loss(x, i), s, rows)
        for name, shape in (("layer_norm 768", (1024, 768)), ("layer_norm 64", (16384, 64)), ("layer_norm 4096", (256, 4096))):
            yield f"{name}{tag}", t(lambda T, x, n=shape[1]: T.nn.functional.layer_norm(x, (n,)), lambda T, sh=shape: floats(T, *sh))
        yield f"layer_norm bf16{tag}", t(
            lambda T, x: T.nn.functional.layer_norm(x, (768,)), lambda T: floats(T, 1024, 768, dtype="bfloat16")
        )
        yield f"rms_norm{tag}", t(lambda T, x: T.nn.functional.rms_norm(x, (1024,)), s)
        yield f"group_norm{tag}", t(lambda T, x: T.nn.functional.group_norm(x, 8), image)
        yield f"instance_norm{tag}", t(lambda T, x: T.nn.functional.instance_norm(x), image)
        yield f"batch_norm{tag}", t(lambda T, x: T.nn.functional.batch_norm(x, None, None, training=True), image)
        yield f"batch_norm 2d{tag}", t(lambda T, x: T.nn.functional.batch_norm(x, None, None, training=True), s)
        yield f"batch_norm cl{tag}", t(
            lambda T, x: T.nn.functional.batch_norm(x, None, None, training=True),
            lambda T: image(T).to(memory_format=T.channels_last),
        )
        yield f"local_response_norm{tag}", t(lambda T, x: T.nn.functional.local_response_norm(x, 5), image)
        for name, f in (
            ("max_pool2d 2", lambda T, x: T.nn.functional.max_pool2d(x, 2)),
            ("max_pool2d 3s1", lambda T, x: T.nn.functional.max_pool2d(x, 3, 1, 1)),
            ("avg_pool2d 2", lambda T, x: T.nn.functional.avg_pool2d(x, 2)),
            ("avg_pool2d 3s1", lambda T, x: T.nn.functional.avg_pool2d(x, 3, 1, 1)),
            ("adaptive_avg_pool2d 1", lambda T, x: T.nn.functional.adaptive_avg_pool2d(x, 1)),
            ("adaptive_avg_pool2d 7", lambda T, x: T.nn.functional.adaptive_avg_pool2d(x, 7)),
            ("adaptive_max_pool2d 7", lambda T, x: T.nn.functional.adaptive_max_pool2d(x, 7)),
            ("lp_pool2d", lambda T, x: T.nn.functional.lp_pool2d(x, 2, 2)),
            ("pixel_shuffle", lambda T, x: T.nn.functional.pixel_shuffle(x, 2)),
        ):
            yield f"{name}{tag}", t(f, image)
            if "pool2d" in name:
                yield f"{name} cl{tag}", t(f, lambda T: image(T).to(memory_format=T.channels_last))
        yield f"max_pool1d{tag}", t(lambda T, x: T.nn.functional.max_pool1d(x, 3, 2), lambda T: floats(T, 16, 64, 1024))
        yield f"softmax image 1{tag}", t(lambda T, x: x.softmax(1), image)
        yield f"log_softmax 10{tag}", t(lambda T, x: x.log_softmax(1), lambda T: floats(T, 100000, 10))
        yield f"softmax 10{tag}", t(lambda T, x: x.softmax(1), lambda T: floats(T, 100000, 10))
        yield f"softmax bf16{tag}", t(lambda T, x: x.softmax(1), lambda T: floats(T, 1024, 1024, dtype="bfloat16"))
        yield f"embedding_bag{tag}", t(
            lambda T, w, i: T.nn.functional.embedding_bag(i, w), lambda T: floats(T, 4000, 256), lambda T: ints(T, 0, 4000, 256, 16)
        )
    for name, f in (
        ("uniform_", lambda T, x: x.uniform_()),
        ("normal_", lambda T, x: x.normal_()),
        ("bernoulli_", lambda T, x: x.bernoulli_(0.3)),
        ("exponential_", lambda T, x: x.exponential_()),
        ("rand", lambda T, x: T.rand(1024, 1024)),
        ("randn", lambda T, x: T.randn(1024, 1024)),
        ("randint", lambda T, x: T.randint(0, 100, (1024, 1024))),
        ("randperm", lambda T, x: T.randperm(1 << 18)),
        ("randn bf16", lambda T, x: T.randn(1024, 1024, dtype=T.bfloat16)),
        ("bernoulli", lambda T, x: T.bernoulli(x.sigmoid())),
        ("random_", lambda T, x: x.random_(0, 10)),
    ):
        yield f"random {name}", tensors(f, s)
