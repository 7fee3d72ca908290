"""Elementwise losses, forward and forward with backward."""

from measuring import tensor
from softmax import pair


def target(T):
    return tensor(T, 1024, 1024, seed=7).sigmoid()


ROWS = [
    *pair("mse_loss", (1024, 1024), lambda T, x, t: T.nn.functional.mse_loss(x, t), args=[target]),
    *pair(
        "bce_with_logits",
        (1024, 1024),
        lambda T, x, t: T.nn.functional.binary_cross_entropy_with_logits(x, t),
        args=[target],
    ),
]
