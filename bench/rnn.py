"""Recurrent layers: forward, and forward with backward, over (steps, batch, hidden)."""

import numpy as np

from measuring import Row, array, tensor

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(T, kind: str, hidden: int, layers: int):
    """A layer with the same weights in every library."""
    module = getattr(T.nn, kind)(hidden, hidden, layers)
    scale = hidden**-0.5
    with T.no_grad():
        for i, p in enumerate(module.parameters()):
            p.copy_(T.from_numpy(scale * np.tanh(array(*p.shape, seed=10 + i))))
    return module


def pair(kind: str, steps: int, batch: int, hidden: int, layers: int) -> list[Row]:
    flops = 2.0 * 2 * GATES[kind] * hidden * hidden * steps * batch * layers  # input and recurrent products

    def forward(T):
        module, x = layer(T, kind, hidden, layers), tensor(T, steps, batch, hidden, seed=1)

        def run():
            with T.no_grad():
                return module(x)[0]

        return run

    def both(T):
        module, x = layer(T, kind, hidden, layers), tensor(T, steps, batch, hidden, seed=1, grad=True)
        dy = tensor(T, steps, batch, hidden, seed=2)

        def run():
            x.grad = None
            for p in module.parameters():
                p.grad = None
            module(x)[0].backward(dy)
            return x.grad

        return run

    title = f"{kind} T{steps} B{batch} H{hidden}" + (f" x{layers}" if layers > 1 else "")
    return [Row(title, forward, flops=flops, tol=1e-3), Row(title + " f+b", both, flops=3 * flops, tol=1e-3)]


def cell(kind: str, batch: int, hidden: int) -> Row:
    def make(T):
        module = getattr(T.nn, kind + "Cell")(hidden, hidden)
        with T.no_grad():
            for i, p in enumerate(module.parameters()):
                p.copy_(T.from_numpy(0.1 * array(*p.shape, seed=10 + i)))
        x, h = tensor(T, batch, hidden, seed=1), tensor(T, batch, hidden, seed=2)
        state = (h, h) if kind == "LSTM" else h

        def run():
            with T.no_grad():
                return module(x, state)

        return run

    return Row(f"{kind}Cell B{batch} H{hidden}", make, flops=4.0 * GATES[kind] * hidden * hidden * batch, tol=1e-3)


SHAPES = [(64, 32, 256, 1), (64, 32, 256, 2), (128, 1, 512, 1), (256, 64, 128, 1)]
ROWS = [row for kind in GATES for shape in SHAPES for row in pair(kind, *shape)] + [
    cell("LSTM", 32, 256),
    cell("GRU", 1, 128),
]
