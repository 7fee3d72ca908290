"""Races of models of text, speech and other sequences: recurrent, convolutional and attention."""

from __future__ import annotations

import numpy as np

from racing import classifier, fill, inference, race, reals, stepping, whole


def encoder(T, exact):
    """nn.TransformerEncoder over padded sentences, a label each."""
    nn, F = T.nn, T.nn.functional
    drop = 0.0 if exact else 0.1

    class Labels(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.places = nn.Embedding(5000, 128), nn.Parameter(T.zeros(1, 64, 128))
            layer = nn.TransformerEncoderLayer(128, 4, 256, dropout=drop, batch_first=True)
            self.layers, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(128, 4)

        def forward(self, words, padding):
            x = self.layers(self.embed(words) + self.places, src_key_padding_mask=padding)
            return self.head(x.masked_fill(padding.unsqueeze(-1), 0.0).sum(1) / (~padding).sum(1, keepdim=True))

    model, words, y = fill(T, Labels()), whole(T, 5000, 16, 64), whole(T, 4, 16, seed=3)
    padding = T.arange(64)[None, :] >= whole(T, 65, 16, 1, seed=4, low=20)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: F.cross_entropy(model(words, padding), y))


def translation(T, exact):
    """nn.Transformer with target, padding and memory masks, and shared scores by label smoothing."""
    nn, drop = T.nn, 0.0 if exact else 0.1

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = nn.Embedding(2000, 128), nn.Embedding(2000, 128)
            self.transformer = nn.Transformer(128, 4, 2, 2, 256, drop, batch_first=True)
            self.head = nn.Linear(128, 2000)

        def forward(self, s, t, mask, padding):
            x = self.transformer(self.source(s), self.target(t), tgt_mask=mask, src_key_padding_mask=padding, memory_key_padding_mask=padding)
            return self.head(x)

    model, s, t = fill(T, Translator()), whole(T, 2000, 16, 24), whole(T, 2000, 16, 25, seed=3)
    mask = nn.Transformer.generate_square_subsequent_mask(24)
    padding = T.zeros(16, 24).masked_fill(T.arange(24)[None, :] >= whole(T, 25, 16, 1, seed=4, low=10), float("-inf"))
    smooth = nn.CrossEntropyLoss(label_smoothing=0.1)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.98), eps=1e-9),
                    lambda: smooth(model(s, t[:, :-1], mask, padding).reshape(-1, 2000), t[:, 1:].reshape(-1)))  # fmt: skip


def gpt(T, rate):
    """minGPT's blocks: masked scores by masked_fill, dropout in three places."""
    nn, F = T.nn, T.nn.functional
    width, heads, length = 128, 4, 64

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(rate))
            self.drop1, self.drop2 = nn.Dropout(rate), nn.Dropout(rate)
            self.register_buffer("mask", T.tril(T.ones(length, length)).view(1, 1, length, length))

        def forward(self, x):
            b, t, c = x.size()
            q, k, v = self.qkv(self.ln1(x)).split(c, dim=2)
            q, k, v = (s.view(b, t, heads, c // heads).transpose(1, 2) for s in (q, k, v))
            a = (q @ k.transpose(-2, -1)) * (1.0 / (c // heads) ** 0.5)
            a = F.softmax(a.masked_fill(self.mask[:, :, :t, :t] == 0, float("-inf")), dim=-1)
            y = (self.drop1(a) @ v).transpose(1, 2).contiguous().view(b, t, c)
            x = x + self.drop2(self.out(y))
            return x + self.mlp(self.ln2(x))

    class GPT(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places, self.drop = nn.Embedding(256, width), nn.Embedding(length, width), nn.Dropout(rate)
            self.blocks = nn.Sequential(*(Block() for _ in range(4)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 256, bias=False)
            self.head.weight = self.words.weight

        def forward(self, text):
            x = self.drop(self.words(text) + self.places(T.arange(text.shape[1])))
            return self.head(self.norm(self.blocks(x)))

    return GPT()


def gpt_step(T, exact):
    model, text = fill(T, gpt(T, 0.0 if exact else 0.1)), whole(T, 256, 8, 65)
    decay = [p for p in model.parameters() if p.dim() >= 2]
    rest = [p for p in model.parameters() if p.dim() < 2]
    optimizer = T.optim.AdamW([{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=3e-4, betas=(0.9, 0.95))
    loss = lambda: T.nn.functional.cross_entropy(model(text[:, :-1]).view(-1, 256), text[:, 1:].reshape(-1), ignore_index=-1)
    return stepping(optimizer, loss, lambda: T.nn.utils.clip_grad_norm_(model.parameters(), 1.0))


def generation(T, exact):
    """Eight letters chosen one after the other from a prompt of 16."""
    model, prompt = fill(T, gpt(T, 0.0)).eval(), whole(T, 256, 1, 16)

    def run():
        text = prompt
        with T.no_grad():
            for _ in range(8):
                weights = T.nn.functional.softmax(model(text)[:, -1, :] / 0.8, dim=-1)
                text = T.cat((text, T.topk(weights, k=1, dim=-1)[1]), dim=1)
        return text

    return run


def bert(T, exact):
    """Masked words out of 30000: segment embeddings, post-norm layers, scores by the embedding's weights at masked places."""
    nn, F = T.nn, T.nn.functional
    drop = 0.0 if exact else 0.1

    class Bert(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places, self.segments = nn.Embedding(30000, 128, padding_idx=0), nn.Embedding(64, 128), nn.Embedding(2, 128)
            self.norm, self.drop = nn.LayerNorm(128, eps=1e-12), nn.Dropout(drop)
            layer = nn.TransformerEncoderLayer(128, 2, 512, drop, "gelu", batch_first=True)
            self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.dense, self.last, self.bias = nn.Linear(128, 128), nn.LayerNorm(128), nn.Parameter(T.zeros(30000))

        def forward(self, words, segments, masked):
            x = self.words(words) + self.places(T.arange(64)) + self.segments(segments)
            x = self.layers(self.drop(self.norm(x)))
            return F.linear(self.last(F.gelu(self.dense(x[masked]))), self.words.weight, self.bias)

    model, words, segments = fill(T, Bert()), whole(T, 30000, 8, 64, low=1), whole(T, 2, 8, 64)
    masked = T.from_numpy(np.random.default_rng(5).random((8, 64)) < 0.15)
    y = words[masked]
    return stepping(T.optim.AdamW(model.parameters(), lr=1e-4), lambda: F.cross_entropy(model(words, segments, masked), y),
                    lambda: nn.utils.clip_grad_norm_(model.parameters(), 1.0))  # fmt: skip


def tagger(T, exact):
    """A two-way LSTM over packed sentences, a tag for each word."""
    nn, F = T.nn, T.nn.functional
    drop = 0.0 if exact else 0.3

    class Tagger(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.drop = nn.Embedding(3000, 64), nn.Dropout(drop)
            self.lstm = nn.LSTM(64, 64, num_layers=2, bidirectional=True, batch_first=True, dropout=drop)
            self.head = nn.Linear(128, 12)

        def forward(self, words, lengths):
            packed = nn.utils.rnn.pack_padded_sequence(self.drop(self.embed(words)), lengths, batch_first=True, enforce_sorted=False)
            y, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=30)
            return self.head(y)

    model, words = fill(T, Tagger()), whole(T, 3000, 16, 30)
    lengths = whole(T, 31, 16, seed=3, low=5)
    tags = whole(T, 12, 16, 30, seed=4).masked_fill(T.arange(30)[None, :] >= lengths[:, None], -100)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: F.cross_entropy(model(words, lengths).transpose(1, 2), tags, ignore_index=-100))


def seq2seq(T, exact):
    """A GRU reads 20 words, another writes 15 with additive attention, one step at a time (Bahdanau et al.)."""
    nn, F = T.nn, T.nn.functional

    class Seq2Seq(nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = nn.Embedding(500, 64), nn.Embedding(500, 64)
            self.reader, self.writer = nn.GRU(64, 128, batch_first=True), nn.GRU(64 + 128, 128, batch_first=True)
            self.wa, self.ua, self.va, self.out = nn.Linear(128, 128), nn.Linear(128, 128), nn.Linear(128, 1), nn.Linear(128, 500)

        def forward(self, source, target):
            keys, hidden = self.reader(self.source(source))
            scores = []
            for t in range(target.shape[1]):
                query = hidden.permute(1, 0, 2)
                weight = F.softmax(self.va(T.tanh(self.wa(query) + self.ua(keys))).squeeze(2).unsqueeze(1), dim=-1)
                x = T.cat((self.target(target[:, t : t + 1]), T.bmm(weight, keys)), dim=2)
                y, hidden = self.writer(x, hidden)
                scores.append(self.out(y))
            return F.log_softmax(T.cat(scores, dim=1), dim=-1)

    model, source, target = fill(T, Seq2Seq()), whole(T, 500, 16, 20), whole(T, 500, 16, 15, seed=3)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: F.nll_loss(model(source, target).view(-1, 500), target.reshape(-1)),
                    lambda: nn.utils.clip_grad_norm_(model.parameters(), 1.0))  # fmt: skip


def recurrent(kind, width, length, batch, **more):
    """The last state of a recurrent layer, classified."""

    def build(T, exact):
        nn = T.nn

        class Last(nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn = getattr(nn, kind)(28, width, batch_first=True, **more)
                self.head = nn.Linear(width, 10)

            def forward(self, x):
                return self.head(self.rnn(x)[0][:, -1, :])

        model = Last()
        return classifier(T, model, (batch, length, 28), 10, T.optim.Adam(model.parameters(), lr=1e-3))

    return build


def cells(kind):
    """A cell called in a loop, each output predicting the next value of a wave."""

    def build(T, exact):
        nn = T.nn
        first, second, head = getattr(nn, kind)(1, 51), getattr(nn, kind)(51, 51), nn.Linear(51, 1)
        model = fill(T, nn.ModuleList([first, second, head]))
        x = reals(T, 16, 41)

        def loss():
            a = b = None
            if kind == "LSTMCell":
                a, b = [(T.zeros(16, 51), T.zeros(16, 51)) for _ in range(2)]
            outputs = []
            for value in x[:, :-1].split(1, dim=1):
                a = first(value, a)
                b = second(a[0] if kind == "LSTMCell" else a, b)
                outputs.append(head(b[0] if kind == "LSTMCell" else b))
            return nn.functional.mse_loss(T.cat(outputs, dim=1), x[:, 1:])

        return stepping(T.optim.Adam(model.parameters(), lr=1e-3), loss)

    return build


def written_lstm(T, exact):
    """An LSTM written by hand from matmul, chunk and functions, as in courses."""
    nn = T.nn
    model = fill(T, nn.ModuleList([nn.Linear(32, 256), nn.Linear(64, 256), nn.Linear(64, 8)]))
    x, y = reals(T, 16, 32, 32), whole(T, 8, 16)

    def loss():
        h, c = T.zeros(16, 64), T.zeros(16, 64)
        for t in range(32):
            i, f, g, o = (model[0](x[:, t]) + model[1](h)).chunk(4, 1)
            c = T.sigmoid(f) * c + T.sigmoid(i) * T.tanh(g)
            h = T.sigmoid(o) * T.tanh(c)
        return nn.functional.cross_entropy(model[2](h), y)

    return stepping(T.optim.RMSprop(model.parameters(), lr=1e-3), loss)


def tcn(T, exact):
    """Dilated causal convolutions with residuals (Bai et al.), the padding cut off at the end."""
    nn, drop = T.nn, 0.0 if exact else 0.1

    class Block(nn.Module):
        def __init__(self, a, b, dilation):
            super().__init__()
            self.cut = 2 * dilation
            self.c1 = nn.Conv1d(a, b, 3, padding=self.cut, dilation=dilation)
            self.c2 = nn.Conv1d(b, b, 3, padding=self.cut, dilation=dilation)
            self.relu, self.drop, self.short = nn.ReLU(), nn.Dropout(drop), nn.Conv1d(a, b, 1)

        def forward(self, x):
            y = self.drop(self.relu(self.c1(x)[:, :, : -self.cut].contiguous()))
            y = self.drop(self.relu(self.c2(y)[:, :, : -self.cut].contiguous()))
            return self.relu(y + self.short(x))

    model = nn.Sequential(*(Block(a, 32, 2**i) for i, a in enumerate((1, 32, 32, 32))), nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(32, 10))
    return classifier(T, model, (16, 1, 256), 10, T.optim.Adam(model.parameters(), lr=1e-3))


def wavenet(T, exact):
    """Gated dilated convolutions with skips over quantised sound (van den Oord et al.)."""
    nn, F = T.nn, T.nn.functional

    class WaveNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.first = nn.Embedding(256, 32), nn.Conv1d(32, 32, 1)
            self.gates = nn.ModuleList([nn.Conv1d(32, 64, 2, dilation=2**i) for i in range(8)])
            self.skips = nn.ModuleList([nn.Conv1d(32, 64, 1) for _ in range(8)])
            self.rests = nn.ModuleList([nn.Conv1d(32, 32, 1) for _ in range(8)])
            self.last = nn.Sequential(nn.ReLU(), nn.Conv1d(64, 64, 1), nn.ReLU(), nn.Conv1d(64, 256, 1))

        def forward(self, text):
            x, total = self.first(self.embed(text).transpose(1, 2)), 0
            for gate, skip, rest in zip(self.gates, self.skips, self.rests):
                a, b = gate(F.pad(x, (gate.dilation[0], 0))).split(32, dim=1)
                z = T.tanh(a) * T.sigmoid(b)
                total = total + skip(z)
                x = x + rest(z)
            return self.last(total)

    model, sound = fill(T, WaveNet()), whole(T, 256, 2, 513)
    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), lambda: F.cross_entropy(model(sound[:, :-1]), sound[:, 1:]))


def text_cnn(T, exact):
    """Windows of 3, 4 and 5 words, the largest of each (Kim)."""
    nn, F = T.nn, T.nn.functional
    drop = 0.0 if exact else 0.5

    class TextCNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.drop = nn.Embedding(5000, 100), nn.Dropout(drop)
            self.convs, self.head = nn.ModuleList([nn.Conv2d(1, 64, (k, 100)) for k in (3, 4, 5)]), nn.Linear(192, 2)

        def forward(self, words):
            x = self.embed(words).unsqueeze(1)
            x = [F.relu(conv(x)).squeeze(3) for conv in self.convs]
            return self.head(self.drop(T.cat([F.max_pool1d(y, y.size(2)).squeeze(2) for y in x], 1)))

    model, words, y = fill(T, TextCNN()), whole(T, 5000, 32, 50), whole(T, 2, 32)
    return stepping(T.optim.Adadelta(model.parameters(), lr=1.0), lambda: F.cross_entropy(model(words), y))


def speech(T, exact):
    """Two convolutions over a spectrogram, a two-way GRU, letters by CTC."""
    nn, F = T.nn, T.nn.functional

    class Speech(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(nn.Conv2d(1, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.Hardtanh(0, 20), nn.Conv2d(16, 16, 3, (2, 1), 1), nn.Hardtanh(0, 20))
            self.gru, self.head = nn.GRU(16 * 10, 96, batch_first=True, bidirectional=True), nn.Linear(192, 29)

        def forward(self, x):
            x = self.conv(x)
            b, c, f, t = x.size()
            return F.log_softmax(self.head(self.gru(x.view(b, c * f, t).transpose(1, 2))[0]), dim=2)

    model, x, y = fill(T, Speech()), reals(T, 4, 1, 40, 160), whole(T, 29, 4, 20, low=1)
    frames, letters = T.full((4,), 80), whole(T, 21, 4, seed=3, low=10)
    ctc = nn.CTCLoss(blank=0, zero_infinity=True)
    return stepping(T.optim.AdamW(model.parameters(), lr=5e-4), lambda: ctc(model(x).transpose(0, 1), y, frames, letters))


def lstm_inference(T, exact):
    nn = T.nn
    return inference(T, nn.Sequential(nn.Embedding(1000, 128), nn.LSTM(128, 128, 2, batch_first=True)), whole(T, 1000, 1, 32))


def fourier_operator(T, exact):
    """Three layers that multiply the lowest eight frequencies by complex matrices (FNO, Li et al.)."""
    nn, F = T.nn, T.nn.functional

    class Spectral(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(T.zeros(16, 16, 8, 2))

        def forward(self, x):
            spectrum = T.fft.rfft(x)
            out = T.zeros(x.shape[0], 16, x.shape[-1] // 2 + 1, dtype=T.cfloat)
            out[:, :, :8] = T.einsum("bix,iox->box", spectrum[:, :, :8], T.view_as_complex(self.weight))
            return T.fft.irfft(out, n=x.shape[-1])

    lift, head = nn.Linear(2, 16), nn.Linear(16, 1)
    spectral, local = nn.ModuleList([Spectral() for _ in range(3)]), nn.ModuleList([nn.Conv1d(16, 16, 1) for _ in range(3)])
    model = fill(T, nn.ModuleList([lift, spectral, local, head]))
    x, y = reals(T, 10, 128, 2), reals(T, 10, 128, 1, seed=3)

    def loss():
        h = lift(x).permute(0, 2, 1)
        for s, w in zip(spectral, local):
            h = F.gelu(s(h) + w(h))
        return F.mse_loss(head(h.permute(0, 2, 1)), y)

    return stepping(T.optim.Adam(model.parameters(), lr=1e-3), loss)


def long_filters(T, exact):
    """Causal filters as long as the sequence, by Fourier transforms of twice the length (S4, Hyena)."""
    nn, F = T.nn, T.nn.functional
    lift, head, kernel = nn.Linear(4, 32), nn.Linear(32, 5), nn.Parameter(reals(T, 32, 200, seed=4) * 0.1)
    fill(T, lift, head)
    x, y = reals(T, 8, 200, 4), whole(T, 5, 8)

    def loss():
        u = lift(x).transpose(1, 2)
        v = T.fft.irfft(T.fft.rfft(u, n=400) * T.fft.rfft(kernel, n=400), n=400)[..., :200]
        return F.cross_entropy(head(F.gelu(v + u).mean(2)), y)

    return stepping(T.optim.Adam([*lift.parameters(), *head.parameters(), kernel], lr=1e-3), loss)


def linear_attention(T, exact):
    """Causal attention by running sums of outer products (Katharopoulos et al.)."""
    nn, F = T.nn, T.nn.functional
    embed, project, head = nn.Embedding(100, 64), nn.Linear(64, 192), nn.Linear(64, 100)
    fill(T, embed, project, head)
    words = whole(T, 100, 4, 50)

    def loss():
        q, k, v = project(embed(words)).view(4, 50, 3, 4, 16).permute(2, 0, 3, 1, 4)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        state = T.einsum("bhld,bhle->bhlde", k, v).cumsum(2)
        norm = 1 / (T.einsum("bhld,bhld->bhl", q, k.cumsum(2)) + 1e-6)
        y = T.einsum("bhld,bhlde,bhl->bhle", q, state, norm).transpose(1, 2).reshape(4, 50, 64)
        return F.cross_entropy(head(y[:, :-1]).reshape(-1, 100), words[:, 1:].reshape(-1))

    return stepping(T.optim.AdamW([*embed.parameters(), *project.parameters(), *head.parameters()], lr=1e-3), loss)


def letters_one_by_one(T, exact):
    """A GRUCell over 25 letters of one text, a loss each: calls of one row."""
    nn, F = T.nn, T.nn.functional
    model = fill(T, nn.ModuleList([nn.Embedding(60, 50), nn.GRUCell(50, 100), nn.Linear(100, 60)]))
    embed, cell, head = model
    letters = whole(T, 60, 26, 1)

    def loss():
        h, total = T.zeros(1, 100), 0.0
        for t in range(25):
            h = cell(embed(letters[t]), h)
            total = total + F.cross_entropy(head(h), letters[t + 1])
        return total

    after = lambda: nn.utils.clip_grad_norm_(model.parameters(), 5.0)
    return stepping(T.optim.Adam(model.parameters(), lr=2e-3), loss, after)


ROWS = [
    race("TransformerEncoder labels B16 L64", encoder),
    race("Transformer translation B16 L24", translation),
    race("GPT dropout AdamW B8 L64", gpt_step),
    race("BERT masked words 30000 B8 L64", bert),
    race("BiLSTM tagger packed B16 L30", tagger),
    race("GRU seq2seq attention B16", seq2seq),
    race("RNN H128 L100 B32", recurrent("RNN", 128, 100, 32)),
    race("LSTM H128x2 L28 B64", recurrent("LSTM", 128, 28, 64, num_layers=2)),
    race("GRU H64 L50 B16", recurrent("GRU", 64, 50, 16)),
    race("LSTMCell loop B16 L40", cells("LSTMCell")),
    race("GRUCell loop B16 L40", cells("GRUCell")),
    race("RNNCell loop B16 L40", cells("RNNCell")),
    race("LSTM by hand B16 L32", written_lstm),
    race("TCN B16 L256", tcn),
    race("WaveNet B2 L512", wavenet),
    race("text CNN B32 L50", text_cnn),
    race("speech CTC B4", speech),
    race("GPT generation 8 letters", generation, first=True),
    race("LSTM inference L32", lstm_inference, first=True),
    race("Fourier operator B10 L128", fourier_operator),
    race("long filters by FFT B8 L200", long_filters),
    race("linear attention B4 L50", linear_attention),
    race("letters one by one, GRUCell B1", letters_one_by_one),
]
