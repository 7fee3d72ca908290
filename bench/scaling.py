"""How the cost grows: products from 16 to 4096, batches of 1 to 512, sequences of 64 to 8192, 1 to 100 million
parameters. Each row is a point of a curve, named "curve = x"; compare.py --set scaling draws them."""

from __future__ import annotations

import numpy as np

from attention import rows as attention
from gemm import product
from measuring import Row, tensor
from training import fill, lenet


def named(row: Row, name: str) -> Row:
    row.name = name
    return row


def trained(T, model, x, y, optimizer):
    def step():
        optimizer.zero_grad()
        loss = T.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def batch(size: int) -> Row:
    def make(T):
        model = lenet(T)
        fill(T, model)
        y = T.from_numpy(np.random.default_rng(2).integers(0, 10, size))
        optimizer = T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        return trained(T, model, tensor(T, size, 1, 28, 28, seed=1), y, optimizer)

    return Row(f"LeNet-5 step, batch = {size}", make, flops=0.145e9 * size / 64, tol=1e-3)


def parameters(millions: int) -> Row:
    width = int((millions * 1e6 / 4) ** 0.5)  # four square layers

    def make(T):
        nn = T.nn
        model = nn.Sequential(*(layer for _ in range(4) for layer in (nn.Linear(width, width), nn.ReLU())))
        fill(T, model)
        y = T.from_numpy(np.random.default_rng(2).integers(0, width, 32))
        optimizer = T.optim.AdamW(model.parameters(), lr=1e-4)
        return trained(T, model, tensor(T, 32, width, seed=1), y, optimizer)

    return Row(f"MLP step with AdamW, million parameters = {millions}", make, flops=6e6 * 32 * millions, tol=1e-3)


ROWS = [
    *(named(product(n, n, n), f"GEMM n = {n}") for n in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)),
    *(batch(n) for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)),
    *(named(attention(1, 8, n, 64, causal=True)[1], f"causal attention f+b, length = {n}")
      for n in (64, 128, 256, 512, 1024, 2048, 4096, 8192)),  # fmt: skip
    *(parameters(n) for n in (1, 3, 10, 30, 100)),
]
