"""Layer, rms, batch and group normalisation, forward and forward with backward."""

from measuring import tensor
from softmax import pair


def vector(n: int, value: float):
    return lambda T: (T.ones(n) * value).requires_grad_()


def batch_norm(T, x, w, b):
    return T.nn.functional.batch_norm(x, None, None, w, b, training=True)


ROWS = [
    *pair(
        "layer_norm",
        (4096, 768),
        lambda T, x, w, b: T.nn.functional.layer_norm(x, (768,), w, b),
        args=[vector(768, 1.5), vector(768, 0.5)],
        tol=1e-3,
    ),
    *pair(
        "rms_norm",
        (4096, 768),
        lambda T, x, w: T.nn.functional.rms_norm(x, (768,), w),
        args=[vector(768, 1.5)],
        tol=1e-3,
    ),
    *pair(
        "batch_norm train", (16, 64, 56, 56), batch_norm, args=[vector(64, 1.5), vector(64, 0.5)], tol=1e-3
    ),
    *pair("batch_norm train", (64, 512), batch_norm, args=[vector(512, 1.5), vector(512, 0.5)], tol=1e-3),
    *pair(
        "batch_norm eval",
        (16, 64, 56, 56),
        lambda T, x, m, v: T.nn.functional.batch_norm(x, m, v),
        args=[lambda T: tensor(T, 64, seed=4), lambda T: tensor(T, 64, seed=5) ** 2 + 1],
        tol=1e-3,
    ),
    *pair(
        "group_norm 8",
        (16, 64, 28, 28),
        lambda T, x, w, b: T.nn.functional.group_norm(x, 8, w, b),
        args=[vector(64, 1.5), vector(64, 0.5)],
        tol=1e-3,
    ),
]
