"""Activation functions against NumPy and SciPy."""

from __future__ import annotations

import numpy as np
import scipy.special as sp
from opcase import FLOATS, INTS, ErrorCase, OpCase, Sample, unary_samples

SELU_SCALE, SELU_ALPHA = 1.0507009873554804934, 1.6732632423543772848


def softplus(x, beta=1.0, threshold=20.0):
    return np.where(x * beta > threshold, x, np.logaddexp(0, x * beta) / beta)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


def hard(x, low, high):
    return np.where(np.isnan(x), x, np.clip(x, low, high))


def gelu_tanh(x):
    return x * sp.expit(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))


def glu(x, dim=-1):
    a, b = np.split(x, 2, axis=dim)
    return a * sp.expit(b)


def prelu(x, w):
    shape = [1] * x.ndim
    if w.size > 1:
        shape[1 if x.ndim > 1 else 0] = w.size
    w = w.reshape(shape if x.ndim else ())
    return np.where(x > 0, x, w * x)


def act(name, ref, op=None, away=(), low=-4.0, high=4.0, inplace=None, dtypes=FLOATS, samples=None, **kwargs):
    marks = {k: kwargs.pop(k) for k in ("errors", "tol", "why", "nonfinite", "torch", "gradgrad", "big", "result", "strides") if k in kwargs}
    marks.setdefault("strides", True)
    return OpCase(
        name, op or f"nn.functional.{name}", ref, samples or unary_samples(low, high, away, **kwargs), dtypes=dtypes,
        inplace=inplace, simd=True, **marks)


def big(rng):
    return Sample(rng.standard_normal(200_000))


def prelu_samples(rng):
    for shape, n in [((2, 3), 1), ((2, 3), 3), ((2, 3, 4), 3), ((5,), 1), ((0, 3), 3), ((4, 17, 3, 2), 17), ((), 1), ((3, 2, 1, 2, 2), 2),
                     ((2, 3, 70), 3), ((300, 5), 5), ((3, 2, 129, 130), 2), ((3, 2, 129, 130), 1), ((2, 20000), 20000)]:
        x = rng.standard_normal(shape) * 2
        x = np.where(np.abs(x) < 0.05, 0.3, x)
        yield Sample(x, rng.uniform(0.1, 0.5, n)).but(grad=x.size <= 64)


def glu_samples(rng):
    for shape, dim in [((4,), -1), ((2, 6), 1), ((6, 3), 0), ((2, 4, 3), 1), ((0, 4), -1), ((3, 66), -1)]:
        x = rng.standard_normal(shape)
        yield Sample(x, dim).but(grad=x.size <= 64)


CASES = [
    act("relu", lambda x: np.maximum(x, 0), "relu", away=(0,), inplace="relu_", dtypes=FLOATS + INTS, big=big,
        errors=[ErrorCase(lambda T: T.relu(T.ones(2, dtype=T.bool)), RuntimeError, ("relu", "bool"))]),
    act("relu6", lambda x: hard(x, 0, 6), away=(0, 6), low=-3, high=9),
    act("leaky_relu", lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x), away=(0,), negative_slope=0.2),
    act("elu", elu, away=(0,), alpha=1.3),
    act("elu_default", elu, "nn.functional.elu", away=(0,)),
    act("selu", lambda x: SELU_SCALE * elu(x, SELU_ALPHA), away=(0,)),
    act("celu", lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0) / alpha)), away=(0,), alpha=0.7,
        torch=False, strides=False,
        why="PyTorch rounds 1 / alpha to float32",
        errors=[ErrorCase(lambda T: T.nn.functional.celu(T.ones(2), 0.0), RuntimeError, ("celu", "alpha", "0"))]),
    act("silu", lambda x: x * sp.expit(x), nonfinite=False, why="-inf times 0 is NaN in one order and 0 in the limit"),
    act("mish", lambda x: x * np.tanh(np.logaddexp(0, x)), low=-8, high=25, nonfinite=False,
        why="-inf times 0 is NaN in one order and 0 in the limit"),
    act("gelu", lambda x: x * 0.5 * (1 + sp.erf(x / np.sqrt(2))), nonfinite=False, big=big,
        why="-inf times 0 is NaN in one order and 0 in the limit",
        errors=[ErrorCase(lambda T: T.nn.functional.gelu(T.ones(2), approximate="cube"), RuntimeError, ("gelu", "cube", "tanh"))]),
    act("gelu_tanh", lambda x, approximate: gelu_tanh(x), "nn.functional.gelu", approximate="tanh", nonfinite=False,
        why="-inf times 0 is NaN in one order and 0 in the limit"),
    act("gelu_sigmoid", lambda x: x * sp.expit(1.702 * x), lambda T, x: T.nn.functional.gelu(x, approximate="sigmoid"),
        torch=lambda T, x: x * T.sigmoid(1.702 * x), nonfinite=False, why="-inf times 0 is NaN in one order and 0 in the limit"),
    act("softplus", softplus, low=-6, high=8, away=(2,), beta=1.5, threshold=3.0),
    act("softplus_default", softplus, "nn.functional.softplus", low=-30, high=30, away=(20,)),
    act("logsigmoid", lambda x: -np.logaddexp(0, -x), low=-30, high=30, strides=False),
    act("softsign", lambda x: x / (1 + np.abs(x)), away=(0,), nonfinite=False, why="inf / inf"),
    act("softshrink", lambda x, lambd=0.5: np.where(x > lambd, x - lambd, np.where(x < -lambd, x + lambd, x * 0)),
        away=(-0.5, 0.5), nonfinite=False, why="inf times 0 in the reference",
        errors=[ErrorCase(lambda T: T.nn.functional.softshrink(T.ones(2), -1.0), RuntimeError, ("softshrink", "lambda", "-1"))]),
    act("hardshrink", lambda x, lambd=0.5: np.where(np.abs(x) <= lambd, 0, x), away=(-0.5, 0.5)),
    act("tanhshrink", lambda x: x - np.tanh(x), away=(0,), tol={"float16": (1e-3, 1e-3)}),
    OpCase("hardtanh", lambda T, x: T.nn.functional.hardtanh(x, -0.7, 1.2), lambda x: hard(x, -0.7, 1.2),
           unary_samples(-3, 3, (-0.7, 1.2)), strides=True, simd=True),
    act("hardsigmoid", lambda x: hard(x + 3, 0, 6) / 6, away=(-3, 3), low=-5, high=5, torch=False, strides=False,
        why="PyTorch rounds 1 / 6 to float32"),
    act("hardswish", lambda x: x * hard(x + 3, 0, 6) / 6, away=(-3, 3), low=-5, high=5, nonfinite=False,
        why="-inf times 0 in the reference"),
    OpCase("threshold", lambda T, x: T.nn.functional.threshold(x, 0.3, -2.0), lambda x: np.where(x <= 0.3, -2.0, x),
           unary_samples(-3, 3, (0.3,)), strides=True, simd=True),
    OpCase("swish", lambda T, x: T._C.swish(x, 1.5), lambda x: x * sp.expit(1.5 * x), unary_samples(-4, 4),
           torch=lambda T, x: x * T.sigmoid(1.5 * x), nonfinite=False,
           why="-inf times 0 is NaN in one order and 0 in the limit"),
    OpCase("prelu", "nn.functional.prelu", prelu, prelu_samples, simd=True,
           errors=[ErrorCase(lambda T: T.nn.functional.prelu(T.ones(2, 3), T.ones(2)), RuntimeError, ("prelu", "2", "3"))]),
    OpCase("glu", "nn.functional.glu", glu, glu_samples,
           errors=[ErrorCase(lambda T: T.nn.functional.glu(T.ones(3)), RuntimeError, ("glu", "3", "even"))]),
    OpCase("leaky_relu_inplace", lambda T, x: T.nn.functional.leaky_relu(x.clone(), 0.1, inplace=True),
           lambda x: np.where(x > 0, x, 0.1 * x), unary_samples(-3, 3, (0,))),
]
