"""Matrix products: square, skinny, transposed, one row, double, bfloat16."""

from measuring import Row, array, tensor


def product(m: int, k: int, n: int, layout: str = "NN", dtype: str = "float32") -> Row:
    """A transposed layout is held against ccdl's own NN too."""

    def build(T, layout: str):
        a = tensor(T, *((k, m) if layout[0] == "T" else (m, k)), seed=1).to(getattr(T, dtype))
        b = tensor(T, *((n, k) if layout[1] == "T" else (k, n)), seed=2).to(getattr(T, dtype))
        a, b = (a.t() if layout[0] == "T" else a), (b.t() if layout[1] == "T" else b)
        return lambda: T.matmul(a, b)

    def make(T):
        return build(T, layout)

    def own(T):
        return build(T, "NN")

    def reference():
        a, b = array(m, k, seed=1).astype(dtype), array(k, n, seed=2).astype(dtype)
        return lambda: a @ b

    plain = layout == "NN" and dtype != "bfloat16"
    return Row(
        f"{m}x{k}x{n} {layout} {dtype}",
        make,
        reference if plain else None,
        flops=2.0 * m * k * n,
        bytes=(2.0 if dtype == "bfloat16" else 8.0 if dtype == "float64" else 4.0) * (m * k + k * n + m * n),
        own=own if layout != "NN" else None,
        tol=1e-4 if dtype != "bfloat16" else None,
    )


def vector(name: str, m: int, n: int, call, dtype: str) -> Row:
    def make(T):
        a, x, y = (tensor(T, *shape, seed=k).to(getattr(T, dtype)) for k, shape in enumerate(((m, n), (n,), (m,))))
        return lambda: call(T, a, x, y)

    return Row(f"{name} {m}x{n} {dtype}", make, flops=2.0 * m * n, bytes=(4.0 if dtype == "float32" else 2.0) * m * n, tol=None)


VECTORS = {"mv": lambda T, a, x, y: T.mv(a, x), "mv turned": lambda T, a, x, y: T.mv(a.t(), y), "vecmat": lambda T, a, x, y: y @ a,
           "dot": lambda T, a, x, y: T.dot(x, x), "outer": lambda T, a, x, y: T.outer(y, x)}  # fmt: skip


def linear_one() -> Row:
    def make(T):
        x, w, b = tensor(T, 1, 1024, seed=1), tensor(T, 1024, 1024, seed=2), tensor(T, 1024, seed=3)
        return lambda: T.nn.functional.linear(x, w, b)

    return Row("linear 1x1024x1024", make, flops=2.0 * 1024 * 1024, bytes=4.0 * 1024 * 1024)


SHAPES = [(128, 128, 128), (512, 512, 512), (1024, 1024, 1024), (128, 784, 256), (64, 512, 10)]
ROWS = [
    *(product(n, n, n) for n in (64, 128, 256, 512, 1024, 2048)),
    product(128, 784, 256),
    product(64, 512, 10),
    *(product(*shape, layout) for shape in SHAPES for layout in ("NT", "TN", "TT")),
    product(512, 512, 512, "NN", "float64"),
    product(1024, 1024, 1024, "NN", "bfloat16"),
    linear_one(),
    *(vector(name, *shape, call, dtype) for name, call in VECTORS.items() for dtype in ("float32", "float16", "bfloat16")
      for shape in ((1000, 1000), (8, 4096))),
]
