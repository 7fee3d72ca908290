"""Hidden Markov model over discrete symbols: forward algorithm, Viterbi path, gradient of the log-likelihood.

States z_t with p(z_1) = pi, p(z_t | z_{t-1}) = A, p(x_t | z_t) = B, all softmax of free parameters, so that
log p(x) is differentiable: the probabilistic neighbour of 004's recurrent net Y_t, h_t = f(h_{t-1}, X_t).
Source: Rabiner, 1989.
"""

from __future__ import annotations

from typing import Any

from .. import _C, nn
from ..errors import ShapeError
from ..nn import functional as F
from ..nn import init

__all__ = ["HMM"]


class HMM(nn.Module):
    """A hidden Markov model.

    Args:
        num_states: K.
        num_symbols: V.

    ``initial`` [K], ``transition`` [K, K] (from, to) and ``emission`` [K, V] are logits, normal at the
    start. ``forward(x)`` is :meth:`log_prob`. Sequences are int64 [N, T]; ``lengths`` [N] (>= 1) says how
    much of each counts.

    >>> import ccdl
    >>> ccdl.models.HMM(2, 4).log_prob(ccdl.zeros(3, 5, dtype=ccdl.int64)).shape
    ccdl.Size([3])
    """

    def __init__(self, num_states: int, num_symbols: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        if num_states < 1 or num_symbols < 1:
            raise ValueError(
                f"HMM: num_states is {num_states} and num_symbols {num_symbols}, must be positive"
            )
        self.num_states, self.num_symbols = num_states, num_symbols

        def normal(*shape):
            return nn.Parameter(init.normal_(_C.empty(shape, device=device, dtype=dtype)))

        self.initial = normal(num_states)
        self.transition = normal(num_states, num_states)
        self.emission = normal(num_states, num_symbols)

    @classmethod
    def from_probabilities(cls, initial: Any, transition: Any, emission: Any, dtype: Any = None) -> HMM:
        """A model with these tables of probabilities, of at least 1e-30; rows must sum to 1."""
        names = ("initial", "transition", "emission")
        dtype = dtype or _C.get_default_dtype()
        tables = [_C.as_tensor(t, dtype=dtype) for t in (initial, transition, emission)]
        for name, t in zip(names, tables):
            if bool((t < 0).any()) or not _C.allclose(t.sum(-1), _C.ones_like(t.sum(-1)), atol=1e-4):
                raise ValueError(
                    f"HMM: {name} must hold probabilities that sum to 1 along the last dimension"
                )
        model = cls(tables[0].shape[0], tables[2].shape[1], dtype=tables[0].dtype)
        model.load_state_dict({n: t.clamp(min=1e-30).log() for n, t in zip(names, tables)})
        return model

    def _check(self, x, lengths):
        if x.dim() != 2 or not x.shape[1]:
            raise ShapeError(f"HMM: x is {list(x.shape)}, must be [N, T] with T >= 1")
        if lengths is None:
            return None
        lengths = _C.as_tensor(lengths, device=x.device)
        fits = tuple(lengths.shape) == (x.shape[0],)
        if not fits or bool(((lengths < 1) | (lengths > x.shape[1])).any()):
            raise ValueError(f"HMM: lengths must be {x.shape[0]} ints from 1 to {x.shape[1]}")
        return lengths

    def _tables(self, x):
        """log pi [K], log A [K, K], log p(x_t | z) [N, T, K]."""
        initial, transition, emission = (
            F.log_softmax(t, -1) for t in (self.initial, self.transition, self.emission)
        )
        return initial, transition, F.embedding(x, emission.t())

    def forward(self, x: Any, lengths: Any = None) -> Any:
        return self.log_prob(x, lengths)

    def log_prob(self, x: Any, lengths: Any = None) -> Any:
        """log p(x), [N]: a_1 = pi B_x1, a_t = (a_{t-1} A) B_xt, p(x) = sum a_T, in logarithms."""
        lengths = self._check(x, lengths)
        initial, transition, seen = self._tables(x)
        a = initial + seen[:, 0]
        for t in range(1, x.shape[1]):
            new = _C.logsumexp(a.unsqueeze(2) + transition, 1) + seen[:, t]
            a = new if lengths is None else _C.where((lengths > t).unsqueeze(1), new, a)
        return _C.logsumexp(a, 1)

    def viterbi(self, x: Any, lengths: Any = None) -> tuple[Any, Any]:
        """The likeliest states z [N, T] (0 beyond ``lengths``) and log p(z, x) [N]."""
        lengths = self._check(x, lengths)
        previous = _C._set_grad_enabled(False)
        try:
            initial, transition, seen = self._tables(x)
            best, back = initial + seen[:, 0], []
            stay = _C.arange(self.num_states, device=x.device).expand(x.shape[0], self.num_states)
            for t in range(1, x.shape[1]):
                value, parent = (best.unsqueeze(2) + transition).max(1)
                value = value + seen[:, t]
                if lengths is not None:
                    go = (lengths > t).unsqueeze(1)
                    value, parent = _C.where(go, value, best), _C.where(go, parent, stay)
                best = value
                back.append(parent)
            score, state = best.max(1)
            path = [state]
            for parent in reversed(back):
                path.append(parent.gather(1, path[-1].unsqueeze(1)).squeeze(1))
            states = _C.stack(path[::-1], 1)
            if lengths is not None:
                beyond = _C.arange(x.shape[1], device=x.device) >= lengths.unsqueeze(1)
                states = states.masked_fill(beyond, 0)
            return states, score
        finally:
            _C._set_grad_enabled(previous)

    def posterior(self, x: Any) -> Any:
        """p(z_t | x), [N, T, K]: the gradient of log p(x) with respect to log p(x_t | z_t)."""
        self._check(x, None)
        previous = _C._set_grad_enabled(True)
        try:
            initial, transition, seen = (t.detach() for t in self._tables(x))
            seen.requires_grad_()
            a = initial + seen[:, 0]
            for t in range(1, x.shape[1]):
                a = _C.logsumexp(a.unsqueeze(2) + transition, 1) + seen[:, t]
            _C.logsumexp(a, 1).sum().backward()
            return seen.grad
        finally:
            _C._set_grad_enabled(previous)

    def sample(self, count: int, length: int, generator: Any = None) -> tuple[Any, Any]:
        """Draws symbols [count, length] and the states behind them."""
        previous = _C._set_grad_enabled(False)
        try:
            p0, a, b = (F.softmax(t, -1) for t in (self.initial, self.transition, self.emission))
            state = _C.multinomial(p0, count, replacement=True, generator=generator)
            states, symbols = [], []
            for t in range(length):
                if t:
                    state = _C.multinomial(a[state], 1, generator=generator).squeeze(1)
                states.append(state)
                symbols.append(_C.multinomial(b[state], 1, generator=generator).squeeze(1))
            return _C.stack(symbols, 1), _C.stack(states, 1)
        finally:
            _C._set_grad_enabled(previous)

    def extra_repr(self) -> str:
        return f"num_states={self.num_states}, num_symbols={self.num_symbols}"
