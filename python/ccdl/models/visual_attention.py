"""Nets that look: captions by soft attention, classification by hard glimpses that learn by REINFORCE.

Soft: x_att = a x, all differentiable. Hard: x_att = x[a], learnt by -log p(a) (reward - baseline).
Source: 003; Xu et al., 2015; Mnih et al., 2014; Williams, 1992.
"""

from __future__ import annotations

from typing import Any

from .. import _C, nn
from ..autograd.estimators import score_function_loss
from ..errors import ShapeError
from ..nn import functional as F

__all__ = ["Captioner", "GlimpseClassifier"]


class Captioner(nn.Module):
    """Describes a feature map word by word: each word looks at the map through soft attention.

    s_t = GRU([y_{t-1}, sum_p a_tp x_p], s_{t-1}), logits = W [s_t, context, y_{t-1}]; s_0 from the mean of x.

    Args:
        feature_dim: C, channels of the map.
        vocab_size: words.
        embed_dim, hidden_size: of the words and the state.

    ``forward(x, words, need_weights=False)``: x [N, C, H, W], words int64 [N, T] from the start token on; the
    logits [N, T, V] are of the words after each, the weights [N, T, H, W]. ``generate(model, start, n,
    state=model.start(x))`` writes a caption.

    >>> import ccdl
    >>> model = ccdl.models.Captioner(feature_dim=4, vocab_size=9)
    >>> model(ccdl.ones(2, 4, 3, 3), ccdl.ones(2, 5, dtype=ccdl.int64)).shape
    ccdl.Size([2, 5, 9])
    """

    def __init__(
        self, feature_dim: int, vocab_size: int, embed_dim: int = 32, hidden_size: int = 64
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocab_size, embed_dim)
        self.bridge = nn.Linear(feature_dim, hidden_size)
        self.attention = nn.SoftVisualAttention(feature_dim, hidden_size, hidden_size)
        self.cell = nn.GRUCell(embed_dim + feature_dim, hidden_size)
        self.head = nn.Linear(hidden_size + feature_dim + embed_dim, vocab_size)

    def start(self, x: Any) -> Any:
        """The state a caption begins from: (s, x)."""
        if x.dim() != 4:
            raise ShapeError(f"Captioner: x is {list(x.shape)}, must be [N, C, H, W]")
        return self.bridge(x.mean((2, 3))).tanh(), x

    def forward(self, x: Any, words: Any, need_weights: bool = False) -> Any:
        logits, _, weights = self._write(words, self.start(x))
        return (logits, weights) if need_weights else logits

    def _write(self, words, state):
        s, x = state
        logits, weights = [], []
        for y in self.words(words).unbind(1):
            seen, a = self.attention(x, s)
            context = seen.sum((2, 3))
            s = self.cell(_C.cat([y, context], 1), s)
            logits.append(self.head(_C.cat([s, context, y], 1)))
            weights.append(a)
        return _C.stack(logits, 1), (s, x), _C.stack(weights, 1)

    def step(self, tokens: Any, state: Any) -> Any:
        """Logits [N, V] of the word after ``tokens`` [N, L], and the state."""
        logits, state, _ = self._write(tokens, state)
        return logits[:, -1], state

    @staticmethod
    def reorder(state: Any, index: Any) -> Any:
        """The state with image ``index[i]`` in place i."""
        return tuple(s.index_select(0, index) for s in state)


class GlimpseClassifier(nn.Module):
    """The recurrent attention model: looks a few times at small patches, then names the class.

    Args:
        num_classes: classes.
        size: of a patch, in pixels.
        glimpses: looks per image; the first is at the centre.
        channels: of the images.
        hidden_size: of the state.
        std: deviation of the positions in training.
        scales: patches per look, each twice as wide.

    ``forward(images)`` returns the logits [N, classes]; :meth:`loss` what to minimise.

    Source: 003; Mnih et al., 2014.

    >>> import ccdl
    >>> model = ccdl.models.GlimpseClassifier(num_classes=3, size=4)
    >>> model(ccdl.ones(2, 1, 12, 12)).shape
    ccdl.Size([2, 3])
    """

    def __init__(
        self,
        num_classes: int,
        size: int,
        glimpses: int = 3,
        channels: int = 1,
        hidden_size: int = 64,
        std: float = 0.15,
        scales: int = 1,
    ) -> None:
        super().__init__()
        if glimpses < 1:
            raise ValueError(f"GlimpseClassifier: glimpses is {glimpses}, must be at least 1")
        self.glimpses, self.hidden_size = glimpses, hidden_size
        self.glimpse = nn.HardGlimpse(size, std, scales)
        self.what = nn.Linear(channels * scales * size * size, hidden_size)
        self.where = nn.Linear(2, hidden_size)
        self.cell = nn.GRUCell(hidden_size, hidden_size)
        self.locator = nn.Linear(hidden_size, 2)
        self.baseline = nn.Linear(hidden_size, 1)
        self.classifier = nn.Linear(hidden_size, num_classes)

    def look(self, images: Any) -> tuple[Any, Any, Any, Any]:
        """(logits [N, classes], log-probabilities and baselines [N, T - 1], positions [N, T, 2]).

        The position of a look depends on the state before it; no gradient passes from the positions into it.
        """
        n = images.shape[0]
        h = _C.zeros((n, self.hidden_size), dtype=images.dtype, device=images.device)
        mean = _C.zeros((n, 2), dtype=images.dtype, device=images.device)
        log_probs, baselines, positions = [], [], []
        for i in range(self.glimpses):
            if i:
                patch, where, log_prob = self.glimpse(images, mean)
                log_probs.append(log_prob)
            else:
                where = mean
                patch = self._centre(images, mean)
            positions.append(where)
            h = self.cell(F.relu(self.what(patch.flatten(1)) + self.where(where)), h)
            if i + 1 < self.glimpses:
                mean = self.locator(h.detach()).tanh()
                baselines.append(self.baseline(h.detach()).squeeze(1))
        empty = _C.zeros((n, 0), dtype=images.dtype, device=images.device)
        logits = self.classifier(h)
        if not log_probs:
            return logits, empty, empty, _C.stack(positions, 1)
        return logits, _C.stack(log_probs, 1), _C.stack(baselines, 1), _C.stack(positions, 1)

    def _centre(self, images, mean):
        """The first look: at the middle, not drawn."""
        was_training = self.glimpse.training
        self.glimpse.training = False
        try:
            return self.glimpse(images, mean)[0]
        finally:
            self.glimpse.training = was_training

    def forward(self, images: Any) -> Any:
        return self.look(images)[0]

    def loss(self, images: Any, targets: Any) -> tuple[Any, Any]:
        """Cross-entropy + REINFORCE with reward 1 for a right answer + squared error of the baseline; and the
        logits.
        """
        logits, log_probs, baselines, _ = self.look(images)
        loss = F.cross_entropy(logits, targets)
        if log_probs.shape[1]:
            reward = (logits.detach().argmax(1) == targets).to(logits.dtype).unsqueeze(1)
            reward = reward.expand(log_probs.shape)
            loss = loss + score_function_loss(log_probs, reward, baselines) + F.mse_loss(baselines, reward)
        return loss, logits
