"""Elementwise losses, forward and forward with backward."""

from measuring import tensor
from softmax import pair


def target(T):
    return tensor(T, 1024, 1024, seed=7).sigmoid()


def labels(T):
    return (tensor(T, 256, seed=7).abs() * 100).long()


def listed(T):  # three classes a row
    several = (tensor(T, 256, 1000, seed=7).abs() * 100).long()
    several[:, 3:] = -1
    return several


ROWS = [
    *pair("multi_margin_loss", (256, 1000), lambda T, x, t: T.nn.functional.multi_margin_loss(x, t), args=[labels]),
    *pair("multilabel_margin_loss", (256, 1000), lambda T, x, t: T.nn.functional.multilabel_margin_loss(x, t), args=[listed]),
    *pair("mse_loss", (1024, 1024), lambda T, x, t: T.nn.functional.mse_loss(x, t), args=[target]),
    *pair(
        "bce_with_logits",
        (1024, 1024),
        lambda T, x, t: T.nn.functional.binary_cross_entropy_with_logits(x, t),
        args=[target],
    ),
    *(
        row
        for name in ("smooth_l1_loss", "huber_loss")
        for row in pair(name, (1024, 1024), lambda T, x, t, n=name: getattr(T.nn.functional, n)(x, t), args=[target])
    ),
]
