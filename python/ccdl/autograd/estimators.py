"""Gradients that are chosen rather than derived: guided ReLU, straight-through, score-function and pathwise
estimators.

Score function: grad E[r(x)] = E[r(x) grad log p(x)]; needs no gradient of r, has high variance, a baseline
lowers it. Pathwise: x = mean + std * noise moves the randomness out, so that the gradient passes through the
    sample itself.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from .function import Function

__all__ = [
    "guided_relu",
    "pathwise_normal",
    "score_function_loss",
    "straight_through",
    "straight_through_round",
    "straight_through_sign",
    "straight_through_threshold",
]


class _GuidedReLU(Function):
    # dx = dy where x > 0 and dy > 0, else 0
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        (x,) = ctx.saved_tensors
        return _C.where((x > 0) & (dy > 0), dy, _C.zeros_like(dy))


def guided_relu(input: Any) -> Any:
    """ReLU whose backward lets only positive gradients through, for guided backpropagation.

    Source: Springenberg et al., 2015.

    >>> import ccdl
    >>> from ccdl.autograd.estimators import guided_relu
    >>> x = ccdl.tensor([-1., 2., 3.], requires_grad=True)
    >>> guided_relu(x).backward(ccdl.tensor([1., 1., -1.]))
    >>> x.grad
    tensor([0., 1., 0.])
    """
    return _GuidedReLU.apply(input)


class _StraightThrough(Function):
    # y = value, dx = dy
    @staticmethod
    def forward(ctx: Any, x: Any, value: Any) -> Any:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, dy: Any) -> Any:
        return dy, None


def straight_through(input: Any, value: Any) -> Any:
    """``value`` in forward, the identity's gradient with respect to ``input`` in backward.

    Args:
        input: what receives the gradient.
        value: a tensor of the same shape, or a function of ``input``.

    Raises:
        RuntimeError: the shapes differ.

    Source: Hinton, 2012; Bengio et al., 2013.

    >>> import ccdl
    >>> from ccdl.autograd.estimators import straight_through
    >>> x = ccdl.tensor([0.3, 1.8], requires_grad=True)
    >>> y = straight_through(x, ccdl.round)
    >>> y.sum().backward()
    >>> x.grad
    tensor([1., 1.])
    """
    if callable(value) and not isinstance(value, _C.Tensor):
        previous = _C._set_grad_enabled(False)
        try:
            value = value(input)
        finally:
            _C._set_grad_enabled(previous)
    if tuple(value.shape) != tuple(input.shape):
        raise RuntimeError(
            f"straight_through: value is {list(value.shape)}, must have the input's size {list(input.shape)}"
        )
    return _StraightThrough.apply(input, value.detach().to(input.dtype))


def straight_through_round(input: Any) -> Any:
    """Rounds in forward; the gradient passes unchanged."""
    return straight_through(input, _C.round)


def straight_through_sign(input: Any, limit: float = 1.0) -> Any:
    """The sign in forward; the gradient passes where ``|x| <= limit`` (None: everywhere).

    Source: Courbariaux et al., 2016 (binarised networks).
    """
    return straight_through(input if limit is None else input.clamp(-limit, limit), _C.sign)


def straight_through_threshold(input: Any, threshold: float = 0.0) -> Any:
    """1 above ``threshold`` and 0 elsewhere in forward; the gradient passes unchanged."""
    return straight_through(input, lambda x: (x > threshold).to(x.dtype))


def score_function_loss(log_prob: Any, reward: Any, baseline: Any = None) -> Any:
    """The REINFORCE surrogate ``-mean(log_prob * (reward - baseline))``.

    Its gradient estimates the negative gradient of the expected reward, so minimising it raises the reward.

    Args:
        log_prob: log-probability of each drawn sample, differentiable.
        reward: reward of each sample; no gradient is taken through it.
        baseline: number or tensor subtracted from the reward; ``"mean"`` takes the other samples' mean, which
            leaves the estimate unbiased.

    Source: Williams, 1992.

    >>> import ccdl
    >>> from ccdl.autograd.estimators import score_function_loss
    >>> logits = ccdl.zeros(2, requires_grad=True)
    >>> score_function_loss(ccdl.log_softmax(logits, 0), ccdl.tensor([1., 0.])).backward()
    >>> logits.grad
    tensor([-0.2500,  0.2500])
    """
    reward = reward.detach() if isinstance(reward, _C.Tensor) else _C.as_tensor(reward, dtype=log_prob.dtype)
    if tuple(reward.shape) != tuple(log_prob.shape):
        raise RuntimeError(
            f"score_function_loss: reward is {list(reward.shape)}, must have the size of log_prob "
            f"{list(log_prob.shape)}"
        )
    if isinstance(baseline, str):
        if baseline != "mean":
            raise ValueError(
                f"score_function_loss: baseline is {baseline!r}, must be 'mean', a number or a tensor"
            )
        count = reward.numel()
        if count < 2:
            raise ValueError("score_function_loss: baseline 'mean' needs at least two samples")
        reward = (reward - reward.mean()) * (count / (count - 1))  # r_i minus the mean of the others
    elif baseline is not None:
        reward = reward - (baseline.detach() if isinstance(baseline, _C.Tensor) else baseline)
    return -(log_prob * reward).mean()


def pathwise_normal(mean: Any, std: Any, generator: Any = None) -> Any:
    """A normal sample ``mean + std * noise`` that is differentiable in ``mean`` and ``std``.

    Source: Kingma and Welling, 2014 (the reparameterisation trick).

    >>> import ccdl
    >>> from ccdl.autograd.estimators import pathwise_normal
    >>> mean = ccdl.zeros(3, requires_grad=True)
    >>> pathwise_normal(mean, ccdl.ones(3)).sum().backward()
    >>> mean.grad
    tensor([1., 1., 1.])
    """
    mean, std = _C.broadcast_tensors(mean, std)
    noise = _C.randn(tuple(mean.shape), dtype=mean.dtype, device=mean.device, generator=generator)
    return mean + std * noise
