"""Whole steps: losses, optimisers, LeNet-5."""

import numpy as np

from compare import Row, tensor


def cross_entropy(n: int, c: int) -> Row:
    def make(T):
        x, y = tensor(T, n, c, seed=1, grad=True), T.from_numpy(np.random.default_rng(2).integers(0, c, n))

        def step():
            x.grad = None
            T.nn.functional.cross_entropy(x, y).backward()
            return x.grad

        return step

    return Row(f"cross_entropy f+b {n}x{c}", make, bytes=4.0 * n * c * 3)


def adam(n: int) -> Row:
    def make(T):
        p = tensor(T, n, seed=1, grad=True)
        p.grad = tensor(T, n, seed=2)
        step = T.optim.Adam([p], lr=1e-3)
        return step.step

    return Row(f"Adam step {n}", make, bytes=4.0 * n * 7, tol=None)


def lenet(batch: int) -> Row:
    def make(T):
        T.manual_seed(0)
        nn = T.nn
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.Tanh(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, 10),
        )
        x, y = (
            tensor(T, batch, 1, 32, 32, seed=1),
            T.from_numpy(np.random.default_rng(2).integers(0, 10, batch)),
        )
        step = T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

        def train():
            step.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            step.step()
            return loss

        return train

    return Row(f"LeNet-5 training step, batch {batch}", make, tol=None)


ROWS = [cross_entropy(256, 10), cross_entropy(1024, 1000), adam(1 << 20), lenet(1), lenet(32), lenet(128)]
