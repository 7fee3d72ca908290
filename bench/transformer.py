"""Transformers: multi-head attention, encoder layers forward and backward, training steps of a GPT and of nn.Transformer."""

import numpy as np

from measuring import Row, array, tensor


def fill(T, module):
    """The same weights in every library: 1 / sqrt(columns) for matrices, near PyTorch's start for the rest."""
    with T.no_grad():
        for i, p in enumerate(module.parameters()):
            values = array(*p.shape, seed=10 + i)
            p.copy_(T.from_numpy(values * p.shape[-1] ** -0.5 if p.dim() > 1 else 1 + 0.1 * values))
    return module


def both(title: str, build, flops: float) -> list[Row]:
    """Forward without gradients, and forward with backward."""

    def forward(T):
        call, _, _ = build(T)

        def run():
            with T.no_grad():
                return call()

        return run

    def backward(T):
        call, module, dy = build(T)

        def run():
            for p in module.parameters():
                p.grad = None
            y = call()
            y.backward(dy)
            return y

        return run

    return [Row(title, forward, flops=flops, tol=2e-3), Row(title + " f+b", backward, flops=3 * flops, tol=2e-3)]


def layer(batch: int, length: int, width: int, heads: int, causal: bool, norm_first: bool) -> list[Row]:
    def build(T):
        module = fill(T, T.nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, batch_first=True, norm_first=norm_first,
                                                      activation="gelu"))
        x, dy = tensor(T, batch, length, width, seed=1), tensor(T, batch, length, width, seed=2)
        mask = T.nn.Transformer.generate_square_subsequent_mask(length) if causal else None
        return lambda: module(x, mask, is_causal=causal), module, dy

    products = 24.0 * batch * length * width * width
    scores = 4.0 * batch * length * length * width / (2 if causal else 1)
    title = f"encoder layer B{batch} L{length} E{width} H{heads}" + (" causal" if causal else "")
    return both(title, build, products + scores)


def attention(batch: int, length: int, width: int, heads: int, weights: bool) -> list[Row]:
    def build(T):
        module = fill(T, T.nn.MultiheadAttention(width, heads, batch_first=True))
        x, dy = tensor(T, batch, length, width, seed=1), tensor(T, batch, length, width, seed=2)
        return lambda: module(x, x, x, need_weights=weights)[0], module, dy

    flops = 8.0 * batch * length * width * width + 4.0 * batch * length * length * width
    title = f"multi-head B{batch} L{length} E{width} H{heads}" + (" with weights" if weights else "")
    return both(title, build, flops)


def gpt_step(batch: int, length: int, width: int, heads: int, layers: int, words: int) -> Row:
    """Embedding, causal pre-norm layers, output, cross-entropy, clipping, AdamW: one training step."""

    def make(T):
        T.manual_seed(0)
        nn = T.nn
        embed, head = nn.Embedding(words, width), nn.Linear(width, words)
        block = nn.TransformerEncoderLayer(width, heads, 4 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        stack = nn.TransformerEncoder(block, layers, enable_nested_tensor=False)
        parameters = [*embed.parameters(), *stack.parameters(), *head.parameters()]
        optimiser = T.optim.AdamW(parameters, lr=1e-4)
        text = T.from_numpy(np.random.default_rng(3).integers(0, words, (batch, length + 1)))
        mask = nn.Transformer.generate_square_subsequent_mask(length)

        def train():
            optimiser.zero_grad()
            scores = head(stack(embed(text[:, :-1]), mask, is_causal=True))
            loss = nn.functional.cross_entropy(scores.reshape(-1, words), text[:, 1:].reshape(-1))
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            return loss

        return train

    return Row(f"GPT step B{batch} L{length} E{width} x{layers}", make, tol=None)


def translation_step(batch: int, length: int, width: int) -> Row:
    def make(T):
        T.manual_seed(0)
        model = T.nn.Transformer(width, 4, 2, 2, 4 * width, 0.0, batch_first=True)
        optimiser = T.optim.Adam(model.parameters(), lr=1e-4)
        source, target = tensor(T, batch, length, width, seed=1), tensor(T, batch, length, width, seed=2)
        mask = T.nn.Transformer.generate_square_subsequent_mask(length)

        def train():
            optimiser.zero_grad()
            loss = T.nn.functional.mse_loss(model(source, target, tgt_mask=mask), target)
            loss.backward()
            optimiser.step()
            return loss

        return train

    return Row(f"Transformer step B{batch} L{length} E{width}", make, tol=None)


ROWS = [
    *attention(8, 32, 64, 4, False),
    *attention(8, 32, 64, 4, True),
    *attention(4, 256, 256, 8, False),
    *layer(2, 8, 16, 2, False, False),
    *layer(8, 32, 64, 4, False, False),
    *layer(8, 128, 256, 8, True, True),
    gpt_step(16, 64, 128, 4, 2, 65),
    translation_step(8, 20, 64),
]
