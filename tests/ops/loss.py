"""Losses against NumPy."""

from __future__ import annotations

import numpy as np
from opcase import ErrorCase, OpCase, Sample

REDUCTIONS = ("none", "mean", "sum")


def reduce(loss, reduction):
    loss = np.asarray(loss)
    if reduction == "none":
        return loss
    with np.errstate(invalid="ignore"):
        return loss.sum() if reduction == "sum" else loss.sum() / np.float64(loss.size)


def log_softmax(x, axis):
    shifted = x - x.max(axis=axis, keepdims=True) if x.size else x
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0, log_input=False):
    axis = 0 if x.ndim == 1 else 1
    classes = x.shape[axis]
    log_p = x if log_input else log_softmax(x, axis)
    shape = [1] * x.ndim
    shape[axis] = classes
    w = (np.ones(classes) if weight is None else weight).reshape(shape)
    if target.shape == x.shape:
        q = (1 - label_smoothing) * target + label_smoothing / classes
        loss = -(w * q * log_p).sum(axis=axis)
        if reduction == "mean":
            return loss.sum() / (loss.size)
        return reduce(loss, reduction)
    used = target != ignore_index
    safe = np.where(used, target, 0)
    hot = np.moveaxis(np.eye(classes)[safe], -1, axis)
    picked = np.where(hot == 1, log_p, 0.0)
    right = -(w * picked).sum(axis=axis)
    row_weight = (w * hot).sum(axis=axis) * used
    loss = (1 - label_smoothing) * right
    if label_smoothing:
        loss = loss - label_smoothing / classes * (w * log_p).sum(axis=axis)
    loss = np.where(used, loss, 0.0)
    if reduction == "mean":
        with np.errstate(invalid="ignore", divide="ignore"):
            return loss.sum() / row_weight.sum()
    return reduce(loss, reduction)


def cross_entropy_samples(rng):
    def targets(*shape, classes):
        return rng.integers(0, classes, shape)

    for reduction in REDUCTIONS:
        for smoothing in (0.0, 0.2):
            k = dict(reduction=reduction, label_smoothing=smoothing)
            yield Sample(rng.standard_normal((4, 5)), targets(4, classes=5), **k).but(k=20)
            yield Sample(rng.standard_normal(6), targets(classes=6), **k).but(k=6)
            yield Sample(rng.standard_normal((2, 3, 4)), targets(2, 4, classes=3), **k).but(k=24)
            yield Sample(rng.standard_normal((2, 3, 2, 2)), targets(2, 2, 2, classes=3), ignore_index=1, **k).but(k=24)
            yield Sample(rng.standard_normal((5, 4)), targets(5, classes=4), weight=rng.uniform(0.5, 2, 4).astype(np.float32),
                         ignore_index=2, **k).but(k=20, dtypes=("float32",), grad=False)
        yield Sample(rng.standard_normal((0, 5)), targets(0, classes=5), reduction=reduction)
    yield Sample(rng.standard_normal((3, 17)), targets(3, classes=17)).but(k=51)
    yield Sample(20 * rng.standard_normal((3, 100)), targets(3, classes=100)).but(k=300, grad=False)
    yield Sample(rng.standard_normal((2, 4, 35)), targets(2, 35, classes=4)).but(k=280, grad=False)


def weighted_prob_samples(rng):
    for reduction in REDUCTIONS:
        for smoothing in (0.0, 0.2):
            for shape in ((4, 5), (6,), (2, 3, 4)):
                p = rng.uniform(0.1, 1, shape)
                p[..., 0] = 0.0  # a probability of 0 has a gradient too
                classes = shape[0 if len(shape) == 1 else 1]
                yield Sample(rng.standard_normal(shape), p, rng.uniform(0.5, 2, classes),
                             reduction=reduction, label_smoothing=smoothing).but(k=24)
    yield Sample(rng.standard_normal((0, 5)), np.zeros((0, 5)), np.ones(5), reduction="sum")


def prob_samples(rng):
    def probabilities(*shape):
        p = rng.uniform(0.1, 1, shape)
        return (p / p.sum(axis=0 if len(shape) == 1 else 1, keepdims=True)) if p.size else p

    for reduction in REDUCTIONS:
        for smoothing in (0.0, 0.2):
            k = dict(reduction=reduction, label_smoothing=smoothing)
            yield Sample(rng.standard_normal((4, 5)), probabilities(4, 5), **k).but(k=20)
            yield Sample(rng.standard_normal(6), probabilities(6), **k).but(k=6)
            yield Sample(rng.standard_normal((2, 3, 4)), probabilities(2, 3, 4), **k).but(k=24)
    yield Sample(rng.standard_normal((0, 5)), probabilities(0, 5), reduction="sum")


def nll_samples(rng):
    for reduction in REDUCTIONS:
        yield Sample(rng.standard_normal((4, 5)), rng.integers(0, 5, 4), reduction=reduction).but(k=4)
        yield Sample(rng.standard_normal(3), rng.integers(0, 3, ()), reduction=reduction)
        yield Sample(rng.standard_normal((2, 3, 4)), rng.integers(0, 3, (2, 4)), ignore_index=1, reduction=reduction).but(k=8)
        yield Sample(rng.standard_normal((0, 3)), rng.integers(0, 3, 0), reduction=reduction)


def class_errors(name):
    def call(T, *args, **kwargs):
        return getattr(T.nn.functional, name)(*args, **kwargs)

    return [
        ErrorCase(lambda T: call(T, T.ones(2, 3), T.tensor([0, 3])), IndexError, (name, "3", "out of bounds")),
        ErrorCase(lambda T: call(T, T.ones(2, 3), T.tensor([-1, 0])), IndexError, (name, "-1")),
        ErrorCase(lambda T: call(T, T.ones(2, 3), T.tensor([0, 1, 2])), ValueError, (name, "batch_size", "3")),
        ErrorCase(lambda T: call(T, T.ones(2, 3), T.tensor([0.0, 1.0])), RuntimeError, (name, "target", "float32")),
        ErrorCase(lambda T: call(T, T.ones(2, 3), T.tensor([0, 1]), weight=T.ones(4)), RuntimeError, (name, "weight", "4")),
        ErrorCase(lambda T: call(T, T.ones(2, 3), T.tensor([0, 1]), reduction="max"), ValueError, (name, "reduction", "max")),
    ]  # fmt: skip


def pair_samples(low=-2.0, high=2.0, kinks=(), target=(-2.0, 2.0), **options):
    """(x, y) with |x - y| away from the kinks, for every reduction."""

    def samples(rng):
        for shape in [(), (7,), (3, 5), (0, 2), (2, 17)]:
            for reduction in REDUCTIONS:
                x, y = rng.uniform(low, high, shape), rng.uniform(*target, shape)
                for kink in kinks:
                    d = np.abs(x - y)
                    x = np.where(np.abs(d - kink) < 0.05, x + 0.2, x)
                yield Sample(np.asarray(x), np.asarray(y), reduction=reduction, **options).but(k=max(x.size, 1) ** 2)

    return samples


def smooth_l1(x, y, reduction, beta=1.0):
    d = np.abs(x - y)
    return reduce(np.where(d < beta, d * d / (2 * beta), d - beta / 2), reduction)


def huber(x, y, reduction, delta=1.0):
    d = np.abs(x - y)
    return reduce(np.where(d <= delta, d * d / 2, delta * (d - delta / 2)), reduction)


def bce(x, y, reduction):
    with np.errstate(divide="ignore"):
        return reduce(-(y * np.maximum(np.log(x), -100) + (1 - y) * np.maximum(np.log1p(-x), -100)), reduction)


def bce_logits(x, y, reduction, pos_weight=None):
    p = 1.0 if pos_weight is None else pos_weight
    soft = np.log1p(np.exp(-np.abs(x))) + np.maximum(-x, 0)
    return reduce((1 - y) * x + (1 + (p - 1) * y) * soft, reduction)


def kl(x, y, reduction, log_target=False):
    if log_target:
        return reduce(np.exp(y) * (y - x), reduction)
    return reduce(np.where(y > 0, y * np.log(np.where(y > 0, y, 1)), 0) - y * x, reduction)


def margin_ranking(a, b, y, margin, reduction="mean"):
    return reduce(np.maximum(0, -y * (a - b) + margin), reduction)


def cosine_embedding(a, b, y):
    cos = (a * b).sum(-1) / np.sqrt(((a * a).sum(-1) + 1e-12) * ((b * b).sum(-1) + 1e-12))
    return np.mean(np.where(y == 1, 1 - cos, np.maximum(0, cos)))


def multi_margin(x, t):
    right = np.take_along_axis(x, t[:, None], 1)
    slack = np.maximum(0, 1 - right + x)
    np.put_along_axis(slack, t[:, None], 0, 1)
    return (slack.sum(1) / x.shape[1]).mean() if x.size else np.float64(np.nan)


F = "nn.functional."
CASES = [
    OpCase("cross_entropy", F + "cross_entropy", cross_entropy, cross_entropy_samples, simd=True,
           errors=class_errors("cross_entropy") + [
               ErrorCase(lambda T: T.nn.functional.cross_entropy(T.ones(2, 3), T.tensor([0, 1]), label_smoothing=1.5),
                         RuntimeError, ("cross_entropy", "label_smoothing", "1.5")),
               ErrorCase(lambda T: T.nn.functional.cross_entropy(T.tensor(1.0), T.tensor(0)), (ValueError, RuntimeError), ("cross_entropy",)),
           ],
           big=lambda rng: Sample(rng.standard_normal((300, 129)), rng.integers(0, 129, 300)).but(k=300)),
    OpCase("cross_entropy_probabilities", F + "cross_entropy", cross_entropy, prob_samples, simd=True, nonfinite=False,
           why="0 * inf depends on where the infinity sits; covered by cross_entropy"),
    OpCase("cross_entropy_probabilities_weight", lambda T, x, t, w, **k: T.nn.functional.cross_entropy(x, t, w, **k),
           lambda x, t, w, **k: cross_entropy(x, t, w, **k), weighted_prob_samples, nonfinite=False,
           why="0 * inf depends on where the infinity sits; covered by cross_entropy"),
    OpCase("nll_loss", F + "nll_loss", lambda x, t, **k: cross_entropy(x, t, log_input=True, **k), nll_samples,
           errors=class_errors("nll_loss")),
    OpCase("mse_loss", F + "mse_loss", lambda x, y, reduction: reduce((x - y) ** 2, reduction), pair_samples()),
    OpCase("l1_loss", F + "l1_loss", lambda x, y, reduction: reduce(np.abs(x - y), reduction), pair_samples(kinks=(0.0,))),
    OpCase("smooth_l1_loss", F + "smooth_l1_loss", smooth_l1, pair_samples(kinks=(0.5,), beta=0.5), nonfinite=False, simd=True,
           big=lambda rng: Sample(rng.standard_normal(20001), rng.standard_normal(20001), reduction="mean", beta=0.5).but(k=300),
           why="at infinity the unused branch is inf * 0 in none of the implementations alike",
           errors=[ErrorCase(lambda T: T.nn.functional.smooth_l1_loss(T.ones(2), T.ones(2), beta=-1.0), RuntimeError, ("beta", "-1"))]),
    OpCase("huber_loss", F + "huber_loss", huber, pair_samples(kinks=(0.7,), delta=0.7), nonfinite=False, simd=True,
           big=lambda rng: Sample(rng.standard_normal((3, 7001)), rng.standard_normal((3, 7001)), reduction="none", delta=0.7).but(k=300),
           why="as smooth_l1_loss",
           errors=[ErrorCase(lambda T: T.nn.functional.huber_loss(T.ones(2), T.ones(2), delta=0.0), (RuntimeError, ValueError), ("delta", "0"))]),
    OpCase("binary_cross_entropy", F + "binary_cross_entropy", bce,
           pair_samples(0.05, 0.95, target=(0.1, 0.9)), nonfinite=False, why="inputs outside [0, 1] raise",
           errors=[ErrorCase(lambda T: T.nn.functional.binary_cross_entropy(T.tensor([1.5]), T.tensor([1.0])), RuntimeError, ("between 0 and 1",))]),
    OpCase("binary_cross_entropy_with_logits", F + "binary_cross_entropy_with_logits", bce_logits,
           pair_samples(-4, 4, target=(0.0, 1.0)), nonfinite=False, why="0 * inf differs by formula"),
    OpCase("binary_cross_entropy_with_logits_pos_weight",
           lambda T, x, y, p: T.nn.functional.binary_cross_entropy_with_logits(x, y, pos_weight=p),
           lambda x, y, p: bce_logits(x, y, "mean", p),
           lambda rng: (Sample(rng.standard_normal((n, 3)), rng.uniform(0, 1, (n, 3)), rng.uniform(0.5, 2, 3)).but(k=16) for n in (4, 1)),
           torch=False, empty=False, nonfinite=False, why="PyTorch has no gradient for pos_weight; 0 * inf differs by formula"),
    OpCase("kl_div", F + "kl_div", kl, pair_samples(-3, -0.1, target=(0.1, 1.0)), nonfinite=False, why="0 * inf differs by formula"),
    OpCase("kl_div_log_target", F + "kl_div", kl, pair_samples(-3, -0.1, target=(-3.0, -0.1), log_target=True), nonfinite=False,
           why="0 * inf differs by formula"),
    OpCase("margin_ranking_loss", F + "margin_ranking_loss", margin_ranking,
           lambda rng: (Sample(rng.standard_normal(n), rng.standard_normal(n), np.sign(rng.standard_normal(n)).astype(np.float32), 0.3)
                        .but(k=16, dtypes=("float32",), grad=False) for n in (5, 0)),
           dtypes=("float32",), grad=False, nonfinite=False, why="hinge kinks; its parts are tested"),
    OpCase("cosine_embedding_loss", F + "cosine_embedding_loss", cosine_embedding,
           lambda rng: (Sample(rng.standard_normal((n, 6)), rng.standard_normal((n, 6)), np.where(np.arange(n) % 2, 1, -1)).but(k=36)
                        for n in (4, 1)),
           dtypes=("float64", "float32"), empty=False, nonfinite=False, why="the mean over no pairs is NaN"),
    OpCase("multi_margin_loss", F + "multi_margin_loss", multi_margin,
           lambda rng: (Sample(rng.standard_normal((4, 5)), rng.integers(0, 5, 4)).but(k=25) for _ in range(1)),
           dtypes=("float64", "float32"), empty=False, nonfinite=False, why="the mean over no rows is NaN"),
]  # fmt: skip
