"""Optimiser steps; the peer runs its default and its fused form."""

import dataclasses

from measuring import Row, tensor


def step(name: str, sizes, make_optimizer, fused: bool = False) -> Row:
    elements = sum(sizes)

    def make(T):
        params = [tensor(T, n, seed=i, grad=True) for i, n in enumerate(sizes)]
        for i, p in enumerate(params):
            p.grad = tensor(T, p.numel(), seed=100 + i)
        options = {"fused": True} if fused and T.__name__ == "torch" else {}
        optimizer = make_optimizer(T, params, options)

        def run():
            optimizer.step()
            return params[0]

        return run

    kind = " (peer fused)" if fused else ""
    return Row(f"{name} {len(sizes)} x {sizes[0]}{kind}", make, bytes=4.0 * elements * 7, tol=None)


def adam(T, params, options):
    return T.optim.Adam(params, lr=1e-3, **options)


def sgd(T, params, options):
    return T.optim.SGD(params, lr=1e-3, momentum=0.9, **options)


def clip(sizes) -> Row:
    """Norm of all gradients and scaling by it: two passes, three accesses of 4 bytes per element."""

    def make(T):
        params = [tensor(T, n, seed=i, grad=True) for i, n in enumerate(sizes)]
        for i, p in enumerate(params):
            p.grad = tensor(T, p.numel(), seed=100 + i)
        return lambda: T.nn.utils.clip_grad_norm_(params, 1e-3)

    return Row(f"clip_grad_norm {len(sizes)} x {sizes[0]}", make, bytes=4.0 * sum(sizes) * 3, tol=None)


def matrices(name: str, shapes, **options) -> Row:
    """An optimiser that looks at the shape of its parameters."""
    elements = sum(a * b for a, b in shapes)

    def make(T):
        params = [tensor(T, a, b, seed=i, grad=True) for i, (a, b) in enumerate(shapes)]
        for i, p in enumerate(params):
            p.grad = tensor(T, *p.shape, seed=100 + i)
        optimizer = getattr(T.optim, name)(params, lr=1e-3, **options)

        def run():
            optimizer.step()
            return params[0]

        return run

    a, b = shapes[0]
    return Row(f"{name} {len(shapes)} x {a}x{b}", make, bytes=4.0 * elements * 7, tol=None)


def lbfgs(sizes) -> Row:
    """Twenty inner steps on a quadratic; history of ten."""

    def make(T):
        params = [tensor(T, n, seed=i, grad=True) for i, n in enumerate(sizes)]
        optimizer = T.optim.LBFGS(params, lr=1e-3, history_size=10, tolerance_grad=0, tolerance_change=0)

        def closure():
            optimizer.zero_grad()
            loss = sum(p.square().sum() for p in params)
            loss.backward()
            return loss

        def run():
            optimizer.step(closure)
            return params[0]

        return run

    return Row(f"LBFGS {len(sizes)} x {sizes[0]}", make, bytes=4.0 * sum(sizes) * 20 * 25, tol=None)


def alone(name: str, **options):
    """Rows of an optimiser that the peer does not have."""
    return [dataclasses.replace(row, torch=False) for row in rule(name, **options)]


def rule(name: str, **options):
    """Rows of an optimiser by its name: one large tensor and many small ones."""

    def make(T, params, extra):
        return getattr(T.optim, name)(params, lr=1e-3, **options)

    return [step(name, [10_000_000], make), step(name, [1000] * 60, make)]


ROWS = [
    step("Adam", [10_000_000], adam),
    step("Adam", [10_000_000], adam, fused=True),
    step("Adam", [100_000_000], adam),
    step("Adam", [100_000_000], adam, fused=True),
    step("Adam", [1 << 20], adam),
    step("Adam", [1000] * 60, adam),
    step("Adam", [1000] * 60, adam, fused=True),
    step("SGD momentum", [10_000_000], sgd),
    step("SGD momentum", [10_000_000], sgd, fused=True),
    step("SGD momentum", [1000] * 60, sgd),
    step("SGD momentum", [1000] * 60, sgd, fused=True),
    clip([10_000_000]),
    clip([1000] * 60),
    *rule("Adagrad"),
    *rule("Adadelta"),
    *rule("RMSprop", momentum=0.9, centered=True),
    *rule("Adamax"),
    *rule("NAdam"),
    *rule("RAdam"),
    *rule("ASGD"),
    *rule("Rprop"),
    *rule("Adafactor"),
    matrices("Adafactor", [(1000, 2000)]),
    matrices("Adafactor", [(32, 64)] * 60),
    *alone("Lion"),
    *alone("LAMB"),
    lbfgs([1_000_000]),
    lbfgs([1000] * 60),
    matrices("Muon", [(512, 512)]),
    matrices("Muon", [(64, 32)] * 30),
]
