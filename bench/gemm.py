"""Matrix products: square, skinny, transposed, one row, double, bfloat16."""

from compare import Row, array, tensor


def product(m: int, k: int, n: int, layout: str = "NN", dtype: str = "float32") -> Row:
    def make(T):
        a = tensor(T, *((k, m) if layout[0] == "T" else (m, k)), seed=1).to(getattr(T, dtype))
        b = tensor(T, *((n, k) if layout[1] == "T" else (k, n)), seed=2).to(getattr(T, dtype))
        a, b = (a.t() if layout[0] == "T" else a), (b.t() if layout[1] == "T" else b)
        return lambda: T.matmul(a, b)

    def reference():
        a, b = array(m, k, seed=1).astype(dtype), array(k, n, seed=2).astype(dtype)
        return lambda: a @ b

    plain = layout == "NN" and dtype != "bfloat16"
    return Row(
        f"{m}x{k}x{n} {layout} {dtype}",
        make,
        reference if plain else None,
        flops=2.0 * m * k * n,
        tol=1e-4 if dtype != "bfloat16" else None,
    )


def linear_one() -> Row:
    def make(T):
        x, w, b = tensor(T, 1, 1024, seed=1), tensor(T, 1024, 1024, seed=2), tensor(T, 1024, seed=3)
        return lambda: T.nn.functional.linear(x, w, b)

    return Row("linear 1x1024x1024", make, flops=2.0 * 1024 * 1024)


ROWS = [product(n, n, n) for n in (64, 128, 256, 512, 1024)] + [
    product(128, 784, 256),
    product(64, 512, 10),
    product(512, 512, 512, "NT"),
    product(512, 512, 512, "TN"),
    product(512, 512, 512, "TT"),
    product(512, 512, 512, "NN", "float64"),
    product(1024, 1024, 1024, "NN", "bfloat16"),
    linear_one(),
]
