"""Random numbers and dropout; outputs of different libraries cannot agree, so only their cost is compared."""

from measuring import Row, tensor

N = 1_000_000


def fill(name: str, call, bytes: float = 4.0 * N) -> Row:
    def make(T):
        x = T.empty(N)
        return lambda: call(T, x)

    return Row(f"{name} {N}", make, bytes=bytes, tol=None)


def dropout(size: int, backward: bool) -> Row:
    def make(T):
        x = tensor(T, size, grad=backward)

        def forward():
            return T.nn.functional.dropout(x, 0.5)

        def both():
            x.grad = None
            forward().sum().backward()
            return x.grad

        return both if backward else forward

    name = f"dropout f+b {size}" if backward else f"dropout {size}"
    return Row(name, make, bytes=8.0 * size * (2 if backward else 1), tol=None)


ROWS = [
    fill("uniform_", lambda T, x: x.uniform_()),
    fill("normal_", lambda T, x: x.normal_()),
    fill("bernoulli_", lambda T, x: x.bernoulli_(0.3)),
    fill("exponential_", lambda T, x: x.exponential_()),
    fill("randn float64", lambda T, x: T.randn(N, dtype=T.float64), 8.0 * N),
    fill("randint", lambda T, x: T.randint(0, 1000, (N,)), 8.0 * N),
    fill("randperm", lambda T, x: T.randperm(N), 8.0 * N),
    fill("poisson of 3", lambda T, x: T.poisson(T.full((N,), 3.0)), 8.0 * N),
    fill("poisson of 30", lambda T, x: T.poisson(T.full((N,), 30.0)), 8.0 * N),
    fill("gamma of 2", lambda T, x: T.distributions.Gamma(T.full((N,), 2.0), 1.0).sample(), 8.0 * N),
    fill("multinomial 64x1000", lambda T, x: T.multinomial(T.ones(64, 1000), 10, True), 256e3),
    dropout(N, False),
    dropout(N, True),
    dropout(64 * 500, True),
]
