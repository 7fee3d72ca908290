"""Text from language models: greedy, sampled or by beam search; log-probabilities.

p(x_1 ... x_t) = p(x_1) prod_i p(x_i | x_1 ... x_{i-1}) (000). A model is a callable ``model(tokens)
-> logits`` [N, L, V]; one that also has ``step(tokens, state) -> (logits [N, V], state)`` and
``reorder(state, index) -> state``, as all of ccdl.models have, sees each token once.
"""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from ..errors import ShapeError
from ..nn import functional as F

__all__ = ["filter_logits", "generate", "log_probs", "sequence_log_prob"]


class _Whole:
    """``step`` for models without: runs the whole prefix each time."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def step(self, tokens: Any, state: Any = None) -> Any:
        tokens = tokens if state is None else _C.cat([state, tokens], 1)
        logits = self.model(tokens)
        return (logits[0] if isinstance(logits, tuple) else logits)[:, -1], tokens

    @staticmethod
    def reorder(state: Any, index: Any) -> Any:
        return state.index_select(0, index)


def filter_logits(logits: Any, temperature: float = 1.0, top_k: Any = None, top_p: Any = None) -> Any:
    """Logits [..., V] over ``temperature``, with -inf for all but the ``top_k`` largest and for what lies
    outside the smallest set of tokens whose probabilities reach ``top_p``.

    Raises:
        ValueError: temperature not positive, top_k below 1, top_p outside (0, 1].

    Source: Fan et al., 2018 (top-k); Holtzman et al., 2020 (top-p).

    >>> import ccdl
    >>> from ccdl.models.generation import filter_logits
    >>> filter_logits(ccdl.tensor([0., 3., 1., 2.]), top_k=2)
    tensor([-inf, 3., -inf, 2.])
    """
    if not temperature > 0 or math.isinf(temperature):
        raise ValueError(f"generate: temperature is {temperature}, must be positive and finite")
    if top_k is not None and (not isinstance(top_k, int) or top_k < 1):
        raise ValueError(f"generate: top_k is {top_k!r}, must be an int of at least 1")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"generate: top_p is {top_p}, must be above 0 and at most 1")
    logits = logits / temperature
    size = logits.shape[-1]
    if top_k is not None and top_k < size:
        values, index = logits.topk(top_k, -1)
        logits = _C.full_like(logits, -math.inf).scatter(-1, index, values)
    if top_p is not None and top_p < 1:
        values, index = logits.sort(-1, descending=True)
        p = F.softmax(values, -1)
        before = p.cumsum(-1) - p  # a token stays if what is more likely does not reach top_p without it
        logits = _C.full_like(logits, -math.inf).scatter(
            -1, index, values.masked_fill(before >= top_p, -math.inf)
        )
    return logits


def _sample(logits, generator):
    return _C.multinomial(F.softmax(logits, -1), 1, generator=generator)


def generate(
    model: Any,
    prompt: Any,
    max_new_tokens: int,
    method: str = "greedy",
    temperature: float = 1.0,
    top_k: Any = None,
    top_p: Any = None,
    beams: int = 4,
    eos: Any = None,
    length_penalty: float = 0.0,
    state: Any = None,
    generator: Any = None,
) -> Any:
    """Continues ``prompt``.

    Args:
        model: see the head of this module; it is run in evaluation mode and put back.
        prompt: int64 [N, L], L >= 1, or [L].
        max_new_tokens: tokens to add.
        method: "greedy" (the likeliest token each time), "sample", or "beam" (the likeliest of the sequences
            found by beam search).
        temperature, top_k, top_p: of "sample", see :func:`filter_logits`.
        beams: hypotheses kept per sequence by "beam".
        eos: a token after which a sequence is finished; it is repeated to the end.
        length_penalty: "beam" ranks by log-probability / length^length_penalty.
        state: what the model's ``step`` starts from, such as an encoded source.
        generator: of the random numbers of "sample".

    Returns:
        int64 [N, L + n] or [L + n], the prompt first; n is ``max_new_tokens``, or less if all are finished.

    >>> import ccdl
    >>> from ccdl.models.generation import generate
    >>> counter = lambda tokens: ccdl.nn.functional.one_hot((tokens + 1) % 5, 5).float()
    >>> generate(counter, ccdl.tensor([3]), 4)
    tensor([3, 4, 0, 1, 2])
    """
    if method not in ("greedy", "sample", "beam"):
        raise ValueError(f"generate: method is {method!r}, must be 'greedy', 'sample' or 'beam'")
    if not isinstance(max_new_tokens, int) or max_new_tokens < 0:
        raise ValueError(f"generate: max_new_tokens is {max_new_tokens!r}, must be an int of at least 0")
    if not isinstance(prompt, _C.Tensor):
        raise TypeError(f"generate: prompt is {type(prompt).__name__}, must be a Tensor of int64")
    if prompt.dim() not in (1, 2) or not prompt.shape[-1]:
        raise ShapeError(f"generate: prompt is {list(prompt.shape)}, must be [N, L] or [L] with L >= 1")
    if method == "beam" and (not isinstance(beams, int) or beams < 1):
        raise ValueError(f"generate: beams is {beams!r}, must be an int of at least 1")
    single = prompt.dim() == 1
    tokens = prompt.unsqueeze(0) if single else prompt
    stepper = model if hasattr(model, "step") else _Whole(model)
    training = getattr(model, "training", False)
    if training:
        model.eval()
    previous = _C._set_grad_enabled(False)
    try:
        if method == "beam":
            tokens = _beam(stepper, tokens, max_new_tokens, beams, eos, length_penalty, state)
        else:
            tokens = _one_by_one(
                stepper, tokens, max_new_tokens, method, (temperature, top_k, top_p), eos, state, generator
            )
    finally:
        _C._set_grad_enabled(previous)
        if training:
            model.train()
    return tokens.squeeze(0) if single else tokens


def _one_by_one(stepper, tokens, count, method, filters, eos, state, generator):
    if method == "sample":
        filter_logits(_C.zeros(1), *filters)  # wrong settings are an error before anything is run
    parts, new = [tokens], tokens
    done = _C.zeros((tokens.shape[0], 1), dtype=_C.bool, device=tokens.device)
    for _ in range(count):
        logits, state = stepper.step(new, state)
        if method == "sample":
            new = _sample(filter_logits(logits, *filters), generator)
        else:
            new = logits.argmax(-1, keepdim=True)
        if eos is not None:
            new = new.masked_fill(done, eos)
            done = done | (new == eos)
        parts.append(new)
        if eos is not None and bool(done.all()):
            break
    return _C.cat(parts, 1)


def _beam(stepper, tokens, count, beams, eos, penalty, state):
    """Beam search over the whole batch; a finished hypothesis goes on with ``eos`` at no cost."""
    n, length = tokens.shape
    if not count:
        return tokens
    logits, state = stepper.step(tokens, state)
    size = logits.shape[-1]
    scores, first = F.log_softmax(logits, -1).topk(min(beams, size), -1)  # [N, b]
    width = scores.shape[1]
    rows = _C.arange(n, device=tokens.device).unsqueeze(1)
    state = stepper.reorder(state, rows.expand(n, width).reshape(-1))
    found = _C.cat([tokens.repeat_interleave(width, 0), first.reshape(-1, 1)], 1)
    for _ in range(count - 1):
        new = found[:, -1:]
        if eos is not None and bool((new == eos).all()):
            break
        logits, state = stepper.step(new, state)
        step = F.log_softmax(logits, -1)
        if eos is not None:
            stay = _C.full_like(step, -math.inf)
            stay[:, eos] = 0.0
            step = _C.where(new == eos, stay, step)
        total = (scores.reshape(-1, 1) + step).reshape(n, width * size)
        scores, index = total.topk(min(beams, width * size), -1)
        parent = (rows * width + index // size).reshape(-1)
        width = scores.shape[1]
        state = stepper.reorder(state, parent)
        found = _C.cat([found.index_select(0, parent), (index % size).reshape(-1, 1)], 1)
    if penalty:
        new = found[:, length:].reshape(n, width, -1)
        lengths = _C.full_like(scores, float(new.shape[2]))
        if eos is not None:  # up to and with the first eos
            ended = (new == eos).to(scores.dtype).cumsum(-1)
            lengths = lengths - (ended - 1).clamp(min=0).sign().sum(-1)
        scores = scores / lengths.pow(penalty)
    best = scores.argmax(-1)
    return found.index_select(0, rows.squeeze(1) * width + best)


def log_probs(model: Any, tokens: Any) -> Any:
    """log p(x_i | x_1 ... x_{i-1}) for i = 2 ... L: int64 [N, L] -> [N, L - 1], differentiable.

    >>> import ccdl
    >>> from ccdl.models.generation import log_probs
    >>> log_probs(lambda tokens: ccdl.zeros(*tokens.shape, 4), ccdl.tensor([[0, 3, 1]])).exp()
    tensor([[0.2500, 0.2500]])
    """
    if tokens.dim() != 2 or tokens.shape[1] < 1:
        raise ShapeError(f"log_probs: tokens is {list(tokens.shape)}, must be [N, L]")
    logits = model(tokens[:, :-1]) if tokens.shape[1] > 1 else None
    if logits is None:
        return _C.zeros((tokens.shape[0], 0), device=tokens.device)
    logits = logits[0] if isinstance(logits, tuple) else logits
    return F.log_softmax(logits, -1).gather(2, tokens[:, 1:].unsqueeze(2)).squeeze(2)


def sequence_log_prob(model: Any, tokens: Any) -> Any:
    """log p(x_2 ... x_L | x_1) = sum of the conditional log-probabilities: int64 [N, L] -> [N]."""
    return log_probs(model, tokens).sum(1)
