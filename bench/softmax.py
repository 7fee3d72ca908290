"""Softmax and cross-entropy, forward and forward with backward."""

import numpy as np

from measuring import Row, tensor


def pair(name: str, shape, call, tol: float = 1e-4, **extra) -> list[Row]:
    """Rows of one function of x: its value, and the gradient of x for a fixed output gradient."""
    size = 4.0 * int(np.prod(shape))

    def forward(T):
        x = tensor(T, *shape, seed=1)
        args = [make(T) for make in extra.get("args", [])]
        return lambda: call(T, x, *args)

    def both(T):
        x = tensor(T, *shape, seed=1, grad=True)
        args = [make(T) for make in extra.get("args", [])]
        y = call(T, x, *args)
        dy = tensor(T, *y.shape, seed=2)

        def run():
            x.grad = None
            call(T, x, *args).backward(dy)
            return x.grad

        return run

    title = f"{name} {'x'.join(map(str, shape))}"
    return [Row(title, forward, bytes=2 * size, tol=tol), Row(title + " f+b", both, bytes=5 * size, tol=tol)]


def probabilities(n: int, classes: int):
    return lambda T: tensor(T, n, classes, seed=3).softmax(1)


def labels(n: int, classes: int):
    return lambda T: T.from_numpy(np.random.default_rng(3).integers(0, classes, n))


ROWS = [
    *pair("softmax", (4096, 768), lambda T, x: T.softmax(x, 1)),
    *pair("log_softmax", (4096, 768), lambda T, x: T.log_softmax(x, 1)),
    *pair("softmax dim 1", (16, 64, 3136), lambda T, x: T.softmax(x, 1)),
    *pair(
        "cross_entropy",
        (1024, 32000),
        lambda T, x, t: T.nn.functional.cross_entropy(x, t),
        args=[labels(1024, 32000)],
    ),
    *pair(
        "cross_entropy",
        (1024, 1000),
        lambda T, x, t: T.nn.functional.cross_entropy(x, t),
        args=[labels(1024, 1000)],
    ),
    *pair(
        "cross_entropy", (64, 10), lambda T, x, t: T.nn.functional.cross_entropy(x, t), args=[labels(64, 10)]
    ),
    *pair(
        "cross_entropy of probabilities",
        (128, 1000),
        lambda T, x, t: T.nn.functional.cross_entropy(x, t),
        args=[probabilities(128, 1000)],
    ),
    *pair(
        "cross_entropy of bfloat16 probabilities",
        (1024, 1000),
        lambda T, x, t: T.nn.functional.cross_entropy(x.bfloat16(), t.bfloat16()),
        args=[probabilities(1024, 1000)],
        tol=3e-2,
    ),
]
