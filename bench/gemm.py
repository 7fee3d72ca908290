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
]
