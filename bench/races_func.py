"""Races of function transforms: gradients per sample, ensembles, Jacobians and Hessians of small networks."""

from __future__ import annotations

from racing import fill, race, reals, whole


def per_sample(make, shape, classes=10):
    """Gradients of the loss by all parameters, one per sample."""

    def build(T, exact):
        model = fill(T, make(T.nn))
        parameters = {k: v.detach() for k, v in model.named_parameters()}
        x, y = reals(T, *shape), whole(T, classes, shape[0])

        def loss(p, sample, label):
            output = T.func.functional_call(model, p, (sample.unsqueeze(0),))
            return T.nn.functional.cross_entropy(output, label.unsqueeze(0))

        each = T.func.vmap(T.func.grad(loss), in_dims=(None, 0, 0))
        return lambda: summed(T, each(parameters, x, y).values())

    return build


def summed(T, tensors):
    """Squares of the results, so that they can be compared."""
    return sum((t * t).sum() for t in tensors)


def mlp(nn):
    return nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def cnn(nn):
    first = [nn.Conv2d(1, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(800, 10))


def ensemble(gradients):
    """Ten MLPs with their parameters stacked, on one batch."""

    def build(T, exact):
        nn = T.nn
        models = [nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 10)) for _ in range(10)]
        fill(T, *models)
        parameters, buffers = T.func.stack_module_state(models)
        parameters = {k: v.detach() for k, v in parameters.items()}
        x, y = reals(T, 64, 32), whole(T, 10, 64)

        def output(p, b):
            return T.func.functional_call(models[0], (p, b), (x,))

        if not gradients:
            run = T.vmap(output)
            return lambda: run(parameters, buffers)
        run = T.vmap(T.func.grad(lambda p, b: T.nn.functional.cross_entropy(output(p, b), y)))
        return lambda: summed(T, run(parameters, buffers).values())

    return build


def derivative(kind, outputs, batch=0):
    """A transform of a network 16-32-outputs by its input."""

    def build(T, exact):
        nn = T.nn
        model = fill(T, nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, outputs)))
        parameters = {k: v.detach() for k, v in model.named_parameters()}

        def f(x):
            y = T.func.functional_call(model, parameters, (x,))
            return y.sum() if outputs == 1 else y

        run = getattr(T.func, kind)(f)
        if batch:
            run = T.vmap(run)
        x = reals(T, batch, 16) if batch else reals(T, 16)
        return lambda: run(x)

    return build


ROWS = [
    race("gradients per sample MLP B64", per_sample(mlp, (64, 784))),
    race("gradients per sample CNN B64", per_sample(cnn, (64, 1, 28, 28))),
    race("ensemble of 10 MLPs", ensemble(False)),
    race("ensemble of 10 MLPs, gradients", ensemble(True)),
    race("jacrev 16-32-10", derivative("jacrev", 10)),
    race("jacfwd 16-32-10", derivative("jacfwd", 10)),
    race("hessian 16-32-1", derivative("hessian", 1)),
    race("jacrev 16-32-10 mapped B64", derivative("jacrev", 10, 64)),
    race("hessian 16-32-1 mapped B64", derivative("hessian", 1, 64)),
]
