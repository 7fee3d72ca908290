"""Sequence models as PyTorch users write them: the library is the only thing exchanged, the losses stay the same."""

from __future__ import annotations

import copy
import math

import pytest

import ccdl

np = pytest.importorskip("numpy", reason="the extra package is not installed")
V, L, N = 13, 10, 4  # vocabulary, length, batch


def gpt_by_hand(torch):
    """Causal mask as a buffer, heads by view and transpose, masked_fill, tied weights, apply(init)."""
    nn, F = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self, d, heads):
            super().__init__()
            assert d % heads == 0
            self.key, self.query, self.value = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
            self.attn_drop, self.resid_drop = nn.Dropout(0.0), nn.Dropout(0.0)
            self.proj = nn.Linear(d, d)
            self.register_buffer("mask", torch.tril(torch.ones(L, L)).view(1, 1, L, L))
            self.n_head = heads

        def forward(self, x, layer_past=None):
            B, T, C = x.size()
            k = self.key(x).view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            q = self.query(x).view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            v = self.value(x).view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.mask[:, :, :T, :T] == 0, float("-inf"))
            y = self.attn_drop(F.softmax(att, dim=-1)) @ v
            y = y.transpose(1, 2).contiguous().view(B, T, C)
            return self.resid_drop(self.proj(y))

    class Block(nn.Module):
        def __init__(self, d, heads):
            super().__init__()
            self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.attn = Attention(d, heads)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d), nn.Dropout(0.0))

        def forward(self, x):
            x = x + self.attn(self.ln1(x))
            return x + self.mlp(self.ln2(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer = nn.ModuleDict(dict(
                wte=nn.Embedding(V, 16), wpe=nn.Embedding(L, 16), drop=nn.Dropout(0.0),
                h=nn.ModuleList([Block(16, 2) for _ in range(2)]), ln_f=nn.LayerNorm(16)))
            self.lm_head = nn.Linear(16, V, bias=False)
            self.transformer.wte.weight = self.lm_head.weight
            self.apply(self._init_weights)

        def _init_weights(self, module):
            if isinstance(module, (nn.Linear, nn.Embedding)):
                module.weight.data.normal_(mean=0.0, std=0.1)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    module.bias.data.zero_()
            elif isinstance(module, nn.LayerNorm):
                module.bias.data.zero_()
                module.weight.data.fill_(1.0)

        def forward(self, idx):
            b, t = idx.size()
            pos = torch.arange(0, t, dtype=torch.long, device=idx.device).unsqueeze(0)
            x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(pos))
            for block in self.transformer.h:
                x = block(x)
            return self.lm_head(self.transformer.ln_f(x))

    return Net()


def gpt_with_sdpa(torch):
    """One projection for q, k, v split by size, scaled_dot_product_attention, RMS norm, SwiGLU, rotary by halves."""
    nn, F = torch.nn, torch.nn.functional

    class RMSNorm(nn.Module):
        def __init__(self, d, eps=1e-6):
            super().__init__()
            self.eps, self.weight = eps, nn.Parameter(torch.ones(d))

        def forward(self, x):
            return (x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)).type_as(x) * self.weight

    def rotate(x):
        a, b = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2:]
        return torch.cat((-b, a), dim=-1)

    class Block(nn.Module):
        def __init__(self, d, heads):
            super().__init__()
            self.heads, self.norm1, self.norm2 = heads, RMSNorm(d), RMSNorm(d)
            self.c_attn, self.c_proj = nn.Linear(d, 3 * d, bias=False), nn.Linear(d, d, bias=False)
            self.w1, self.w2, self.w3 = (nn.Linear(a, b, bias=False) for a, b in ((d, 24), (24, d), (d, 24)))

        def forward(self, x, cos, sin):
            B, T, C = x.shape
            q, k, v = self.c_attn(self.norm1(x)).split(C, dim=2)
            q, k, v = (t.view(B, T, self.heads, C // self.heads).transpose(1, 2) for t in (q, k, v))
            q, k = q * cos + rotate(q) * sin, k * cos + rotate(k) * sin
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=True)
            x = x + self.c_proj(y.transpose(1, 2).contiguous().view(B, T, C))
            h = self.norm2(x)
            return x + self.w2(F.silu(self.w1(h)) * self.w3(h))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.norm, self.head = nn.Embedding(V, 16), RMSNorm(16), nn.Linear(16, V, bias=False)
            self.layers = nn.ModuleList(Block(16, 2) for _ in range(2))
            inv = 1.0 / (10000 ** (torch.arange(0, 8, 2).float() / 8))
            angle = torch.outer(torch.arange(L).float(), inv)
            angle = torch.cat((angle, angle), dim=-1)
            self.register_buffer("cos", angle.cos()[None, None], persistent=False)
            self.register_buffer("sin", angle.sin()[None, None], persistent=False)

        def forward(self, idx):
            T = idx.shape[1]
            h = self.embed(idx)
            for layer in self.layers:
                h = layer(h, self.cos[:, :, :T], self.sin[:, :, :T])
            return self.head(self.norm(h)).float()

    return Net()


def encoder_language_model(torch):
    """PositionalEncoding module with a persistent buffer [max_len, 1, d], nn.TransformerEncoder, time first."""
    nn = torch.nn

    class PositionalEncoding(nn.Module):
        def __init__(self, d_model, dropout=0.0, max_len=50):
            super().__init__()
            self.dropout = nn.Dropout(p=dropout)
            position = torch.arange(max_len).unsqueeze(1)
            div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
            pe = torch.zeros(max_len, 1, d_model)
            pe[:, 0, 0::2] = torch.sin(position * div_term)
            pe[:, 0, 1::2] = torch.cos(position * div_term)
            self.register_buffer("pe", pe)

        def forward(self, x):
            x = x + self.pe[: x.size(0)]
            return self.dropout(x)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.model_type, self.d_model = "Transformer", 16
            self.pos_encoder = PositionalEncoding(16)
            layer = nn.TransformerEncoderLayer(16, 2, 32, 0.0)
            self.transformer_encoder = nn.TransformerEncoder(layer, 2)
            self.embedding, self.linear = nn.Embedding(V, 16), nn.Linear(16, V)
            self.embedding.weight.data.uniform_(-0.1, 0.1)
            self.linear.bias.data.zero_()

        def forward(self, src, src_mask=None):
            src = self.embedding(src.t()) * math.sqrt(self.d_model)
            src = self.pos_encoder(src)
            if src_mask is None:
                src_mask = nn.Transformer.generate_square_subsequent_mask(len(src)).to(src.device)
            return self.linear(self.transformer_encoder(src, src_mask)).transpose(0, 1)

    return Net()


def translation_transformer(torch):
    """nn.Transformer between token embeddings, with padding and causal masks made as in the tutorials."""
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer = nn.Transformer(d_model=16, nhead=2, num_encoder_layers=1, num_decoder_layers=2,
                                              dim_feedforward=32, dropout=0.0, batch_first=True, norm_first=True,
                                              activation="gelu")
            self.generator, self.tok = nn.Linear(16, V), nn.Embedding(V, 16, padding_idx=0)
            for p in self.parameters():
                if p.dim() > 1:
                    nn.init.xavier_uniform_(p)

        def forward(self, idx):
            src, tgt = idx.flip(1), idx
            size = tgt.shape[1]
            mask = (torch.triu(torch.ones((size, size), device=idx.device)) == 1).transpose(0, 1)
            mask = mask.float().masked_fill(mask == 0, float("-inf")).masked_fill(mask == 1, 0.0)
            src_mask = torch.zeros((size, size), device=idx.device).type(torch.bool)
            pad = src == 0
            out = self.transformer(self.tok(src), self.tok(tgt), src_mask, mask, None, pad, None, pad)
            return self.generator(out)

    return Net()


def attention_seq2seq(torch):
    """GRU encoder and a decoder that attends step by step, teacher-forced in a Python loop."""
    nn, F = torch.nn, torch.nn.functional

    class BahdanauAttention(nn.Module):
        def __init__(self, hidden):
            super().__init__()
            self.Wa, self.Ua, self.Va = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)

        def forward(self, query, keys):
            scores = self.Va(torch.tanh(self.Wa(query) + self.Ua(keys)))
            weights = F.softmax(scores.squeeze(2).unsqueeze(1), dim=-1)
            return torch.bmm(weights, keys), weights

    class Net(nn.Module):
        def __init__(self, hidden=16):
            super().__init__()
            self.embedding, self.dropout = nn.Embedding(V, hidden), nn.Dropout(0.0)
            self.encoder = nn.GRU(hidden, hidden, batch_first=True)
            self.attention = BahdanauAttention(hidden)
            self.gru, self.out = nn.GRU(2 * hidden, hidden, batch_first=True), nn.Linear(hidden, V)

        def forward(self, idx):
            keys, hidden = self.encoder(self.dropout(self.embedding(idx)))
            token = torch.empty(idx.size(0), 1, dtype=torch.long, device=idx.device).fill_(1)
            outputs, attentions = [], []
            for i in range(idx.size(1)):
                context, weights = self.attention(hidden.permute(1, 0, 2), keys)
                out, hidden = self.gru(torch.cat((self.embedding(token), context), dim=2), hidden)
                outputs.append(self.out(out))
                attentions.append(weights)
                token = idx[:, i].unsqueeze(1)
            return F.log_softmax(torch.cat(outputs, dim=1), dim=-1)

    return Net()


def annotated_transformer(torch):
    """Clones by deepcopy, own LayerNorm with std, sublayer connections, heads by chained views, einsum once."""
    nn = torch.nn

    def clones(module, n):
        return nn.ModuleList([copy.deepcopy(module) for _ in range(n)])

    class LayerNorm(nn.Module):
        def __init__(self, features, eps=1e-6):
            super().__init__()
            self.a_2, self.b_2, self.eps = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features)), eps

        def forward(self, x):
            mean, std = x.mean(-1, keepdim=True), x.std(-1, keepdim=True)
            return self.a_2 * (x - mean) / (std + self.eps) + self.b_2

    class MultiHeadedAttention(nn.Module):
        def __init__(self, h, d_model):
            super().__init__()
            self.d_k, self.h, self.linears, self.attn = d_model // h, h, clones(nn.Linear(d_model, d_model), 4), None

        def forward(self, query, key, value, mask=None):
            if mask is not None:
                mask = mask.unsqueeze(1)
            n = query.size(0)
            query, key, value = [lin(x).view(n, -1, self.h, self.d_k).transpose(1, 2)
                                 for lin, x in zip(self.linears, (query, key, value))]
            scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(self.d_k)
            if mask is not None:
                scores = scores.masked_fill(mask == 0, -1e9)
            self.attn = scores.softmax(dim=-1)
            x = torch.einsum("bhij,bhjd->bihd", self.attn, value).reshape(n, -1, self.h * self.d_k)
            return self.linears[-1](x)

    class Layer(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.self_attn, self.norms = MultiHeadedAttention(2, d), clones(LayerNorm(d), 2)
            self.ff = nn.Sequential(nn.Linear(d, 32), nn.ReLU(), nn.Linear(32, d))

        def forward(self, x, mask):
            y = self.norms[0](x)
            x = x + self.self_attn(y, y, y, mask)
            return x + self.ff(self.norms[1](x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.lut, self.layers, self.norm, self.proj = nn.Embedding(V, 16), clones(Layer(16), 2), LayerNorm(16), nn.Linear(16, V)

        def forward(self, idx):
            size = idx.size(-1)
            subsequent = torch.triu(torch.ones((1, size, size)), diagonal=1).type(torch.uint8) == 0
            mask = (idx != 0).unsqueeze(-2) & subsequent.to(idx.device)
            x = self.lut(idx) * math.sqrt(16)
            for layer in self.layers:
                x = layer(x, mask)
            return torch.log_softmax(self.proj(self.norm(x)), dim=-1)

    return Net()


def packed_tagger(torch):
    """Bidirectional LSTM over packed sequences, tags of every position."""
    nn = torch.nn
    rnn = torch.nn.utils.rnn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.word_embeddings = nn.Embedding(V, 8, padding_idx=0)
            self.lstm = nn.LSTM(8, 8, num_layers=2, bidirectional=True, batch_first=True, dropout=0.0)
            self.hidden2tag = nn.Linear(16, V)

        def forward(self, idx):
            lengths = torch.tensor([idx.size(1) - i for i in range(idx.size(0))])
            packed = rnn.pack_padded_sequence(self.word_embeddings(idx), lengths.cpu(), batch_first=True, enforce_sorted=False)
            out, (h_n, c_n) = self.lstm(packed)
            out, _ = rnn.pad_packed_sequence(out, batch_first=True, total_length=idx.size(1))
            return self.hidden2tag(out) + 0 * (h_n.sum() + c_n.sum())

    return Net()


def vision_transformer(torch):
    """Patches, class token, learned positions, nn.MultiheadAttention with its weights; tokens stand in for pixels."""
    nn = torch.nn

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(d, eps=1e-6), nn.LayerNorm(d, eps=1e-6)
            self.self_attention = nn.MultiheadAttention(d, 2, dropout=0.0, batch_first=True)
            self.mlp = nn.Sequential(nn.Linear(d, 32), nn.GELU(), nn.Dropout(0.0), nn.Linear(32, d), nn.Dropout(0.0))

        def forward(self, x):
            y = self.ln_1(x)
            y, _ = self.self_attention(y, y, y, need_weights=False)
            x = x + y
            return x + self.mlp(self.ln_2(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv_proj = nn.Conv2d(1, 16, kernel_size=5, stride=5)
            self.class_token = nn.Parameter(torch.zeros(1, 1, 16))
            self.pos_embedding = nn.Parameter(torch.empty(1, 5, 16).normal_(std=0.02))
            self.layers = nn.Sequential(Block(16), Block(16))
            self.ln, self.head = nn.LayerNorm(16), nn.Linear(16, L * V)

        def forward(self, idx):
            n = idx.shape[0]
            image = (idx.float().unsqueeze(2) * idx.float().unsqueeze(1) / V**2).unsqueeze(1)
            x = self.conv_proj(image).reshape(n, 16, 4).permute(0, 2, 1)
            x = torch.cat([self.class_token.expand(n, -1, -1), x], dim=1) + self.pos_embedding
            return self.head(self.ln(self.layers(x))[:, 0]).view(n, L, V)

    return Net()


MODELS = [gpt_by_hand, gpt_with_sdpa, encoder_language_model, translation_transformer, attention_seq2seq,
          annotated_transformer, packed_tagger, vision_transformer]


def tokens():
    idx = np.random.default_rng(0).integers(1, V, (N, L))
    idx[1, 0] = idx[3, :2] = 0  # as sources these are flipped: padding at the end
    return idx


def losses(torch, net, idx, steps=6):
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3, betas=(0.9, 0.95), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / 3))
    target = torch.roll(idx, -1, dims=1)
    found = []
    for _ in range(steps):
        logits = net(idx)
        loss = torch.nn.functional.cross_entropy(logits.view(-1, logits.size(-1)) if logits.is_contiguous()
                                                 else logits.reshape(-1, logits.size(-1)), target.view(-1), ignore_index=-1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        found.append(loss.item())
    return found


@pytest.mark.host
@pytest.mark.parametrize("make", MODELS)
def test_the_loss_falls(make):
    ccdl.manual_seed(0)
    found = losses(ccdl, make(ccdl), ccdl.tensor(tokens()), 25)
    assert all(map(math.isfinite, found)) and found[-1] < 0.97 * found[0]


@pytest.mark.parametrize("make", MODELS)
def test_training_follows_pytorch(make):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ccdl.manual_seed(0)
    ours, theirs = make(ccdl), make(torch)
    assert str(ours) == str(theirs) or make in (gpt_with_sdpa, annotated_transformer)
    theirs.load_state_dict({k: torch.from_numpy(v.cpu().numpy().copy()) for k, v in ours.state_dict().items()})
    ours.eval()
    theirs.eval()
    with ccdl.no_grad(), torch.no_grad():
        np.testing.assert_allclose(ours(ccdl.tensor(tokens())).cpu().numpy(), theirs(torch.tensor(tokens())).numpy(),
                                   rtol=1e-4, atol=1e-4)
    ours.train()
    theirs.train()
    a, b = losses(ccdl, ours, ccdl.tensor(tokens())), losses(torch, theirs, torch.tensor(tokens()))
    assert a == pytest.approx(b, rel=2e-3) and a[0] == pytest.approx(b[0], rel=1e-5)
