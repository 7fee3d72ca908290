"""Multi-head attention and Transformer layers: against NumPy, against PyTorch from copied weights, and bad calls."""

from __future__ import annotations

import copy
import itertools
import math

import pytest

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F

np = pytest.importorskip("numpy", reason="the extra package is not installed")


def numpy_of(t):
    return t.detach().cpu().numpy()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference(state, heads, q, k, v, mask=None):
    """[N, L, E] attention in float64, straight from the equations; ``mask`` [N or 1, H or 1, L, S] is added."""
    e = q.shape[-1]
    if "in_proj_weight" in state:
        weights = np.split(state["in_proj_weight"], 3)
    else:
        weights = [state[f"{x}_proj_weight"] for x in "qkv"]
    biases = np.split(state["in_proj_bias"], 3) if "in_proj_bias" in state else [0, 0, 0]
    q, k, v = (x @ w.T + b for x, w, b in zip((q, k, v), weights, biases))
    if "bias_k" in state:
        k = np.concatenate([k, np.broadcast_to(state["bias_k"], (len(k), 1, e))], 1)
        v = np.concatenate([v, np.broadcast_to(state["bias_v"], (len(v), 1, e))], 1)
    q, k, v = (x.reshape(*x.shape[:2], heads, e // heads).transpose(0, 2, 1, 3) for x in (q, k, v))
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(e // heads)
    if mask is not None:
        scores[..., : mask.shape[-1]] += mask
    p = softmax(scores)
    y = (p @ v).transpose(0, 2, 1, 3).reshape(len(q), -1, e)
    return y @ state["out_proj.weight"].T + state.get("out_proj.bias", 0), p


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"kdim": 5, "vdim": 7}, {"add_bias_kv": True}], ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
def test_multihead_against_numpy(options, batch_first, need_weights):
    rng = np.random.default_rng(0)
    ccdl.manual_seed(0)
    layer = nn.MultiheadAttention(8, 2, batch_first=batch_first, dtype=ccdl.float64, **options)
    state = {k: numpy_of(v) for k, v in layer.state_dict().items()}
    q, k, v = (rng.standard_normal((3, n, e)) for n, e in ((4, 8), (6, options.get("kdim", 8)), (6, options.get("vdim", 8))))
    padding = np.zeros((3, 6), dtype=bool)
    padding[0, 4:] = padding[2, :1] = True
    mask = np.where(padding, -np.inf, 0.0)[:, None, None]
    want, weights = reference(state, 2, q, k, v, mask)
    inputs = [ccdl.tensor(x if batch_first else x.swapaxes(0, 1).copy()) for x in (q, k, v)]
    y, p = layer(*inputs, key_padding_mask=ccdl.tensor(padding), need_weights=need_weights)
    got = numpy_of(y)
    np.testing.assert_allclose(got if batch_first else got.swapaxes(0, 1), want, rtol=1e-12, atol=1e-12)
    if need_weights:
        np.testing.assert_allclose(numpy_of(p), weights.mean(1), rtol=1e-12, atol=1e-12)
        assert bool((p[0, :, 4:6] == 0).all())
    else:
        assert p is None


@pytest.mark.host  # hundreds of small launches
def test_gradients_by_differences():
    ccdl.manual_seed(1)
    layer = nn.MultiheadAttention(4, 2, kdim=3, vdim=2, add_bias_kv=True, add_zero_attn=True, dtype=ccdl.float64)
    parameters = list(layer.parameters())
    names = [name for name, _ in layer.named_parameters()]
    inputs = [ccdl.randn(s, 2, e, dtype=ccdl.float64, requires_grad=True) for s, e in ((3, 4), (2, 3), (2, 2))]

    def run(q, k, v, *values):
        return nn_call(layer, dict(zip(names, values)), q, k, v)

    assert ccdl.autograd.gradcheck(run, (*inputs, *parameters))


def nn_call(layer, p, q, k, v):
    return F.multi_head_attention_forward(
        q, k, v, layer.embed_dim, layer.num_heads, None, p["in_proj_bias"], p["bias_k"], p["bias_v"], layer.add_zero_attn, 0.0,
        p["out_proj.weight"], p["out_proj.bias"], need_weights=False, use_separate_proj_weight=True,
        q_proj_weight=p["q_proj_weight"], k_proj_weight=p["k_proj_weight"], v_proj_weight=p["v_proj_weight"])[0]


def test_causal_mask_gives_no_gradient_to_the_future():
    ccdl.manual_seed(2)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    for causal in (False, True):
        x = ccdl.randn(2, 5, 8, requires_grad=True)
        layer(x, mask, is_causal=causal)[:, 2].sum().backward()
        assert bool((x.grad[:, 3:] == 0).all()) and bool((x.grad[:, :3] != 0).any())


def test_attention_is_permutation_equivariant():
    ccdl.manual_seed(3)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dtype=ccdl.float64).eval()
    x, order = ccdl.randn(2, 6, 8, dtype=ccdl.float64), ccdl.tensor([3, 1, 5, 0, 2, 4])
    assert ccdl.allclose(layer(x).index_select(1, order), layer(x.index_select(1, order)), atol=1e-12)


def test_dropout_and_modes():
    ccdl.manual_seed(4)
    layer = nn.MultiheadAttention(8, 2, dropout=0.5)
    x = ccdl.randn(4, 2, 8)
    _, p = layer(x, x, x, average_attn_weights=False)
    assert bool((p == 0).any()) and p.shape == (2, 2, 4, 4)
    _, p = layer.eval()(x, x, x)
    assert ccdl.allclose(p.sum(-1), ccdl.ones(2, 4), atol=1e-6)


def test_initial_values():
    ccdl.manual_seed(5)
    layer = nn.MultiheadAttention(64, 4, add_bias_kv=True)
    bound = math.sqrt(6 / (64 + 192))
    assert float(layer.in_proj_weight.detach().abs().max()) <= bound
    assert float(layer.in_proj_weight.detach().std()) == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert float(layer.in_proj_bias.detach().abs().max()) == 0 == float(layer.out_proj.bias.detach().abs().max())
    assert bool((layer.bias_k != 0).any())
    model = nn.Transformer(16, 2, 1, 1, 32)
    weight = model.decoder.layers[0].linear1.weight.detach()
    assert float(weight.abs().max()) <= math.sqrt(6 / 48) and float(weight.std()) == pytest.approx(math.sqrt(2 / 48), rel=0.1)


def test_layers_of_a_stack_are_copies():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    stack = nn.TransformerEncoder(layer, 3)
    first, second = stack.layers[0], stack.layers[1]
    assert first.linear1.weight is not second.linear1.weight is not layer.linear1.weight
    assert first.linear1.weight.tolist() == second.linear1.weight.tolist()
    assert copy.deepcopy(stack)(ccdl.ones(2, 1, 8)).shape == (2, 1, 8)
    with pytest.raises(RuntimeError, match="relu/gelu"):
        nn.TransformerEncoderLayer(8, 2, activation="tanh")
    module = nn.TransformerDecoderLayer(8, 2, 16, activation=nn.PReLU())
    assert any(name.startswith("activation") for name, _ in module.named_parameters())


def test_bad_calls():
    with pytest.raises(ValueError, match="greater than 0"):
        nn.MultiheadAttention(0, 1)
    with pytest.raises(AssertionError, match="divisible"):
        nn.MultiheadAttention(7, 2)
    layer = nn.MultiheadAttention(8, 2)
    x = ccdl.ones(4, 3, 8)
    for call, error, text in (
        (lambda: layer(x, x, x, attn_mask=ccdl.ones(3, 3)), RuntimeError, r"attn_mask is \[3, 3\], but should be \[4, 4\]"),
        (lambda: layer(x, x, x, attn_mask=ccdl.ones(4, 4, dtype=ccdl.int64)), AssertionError, "bool or floating"),
        (lambda: layer(x, x, x, key_padding_mask=ccdl.ones(4, 3)), AssertionError, r"should be \[3, 4\]"),
        (lambda: layer(x, x, x, is_causal=True), RuntimeError, "Need attn_mask"),
        (lambda: layer(x, x[0], x[0]), AssertionError, "must be 3-D"),
        (lambda: layer(x[0, 0], x, x), AssertionError, "query has shape"),
        (lambda: layer(ccdl.ones(4, 3, 6), x, x), AssertionError, "dimension of 8, but got 6"),
        (lambda: layer(x, x, x[:2]), AssertionError, "must agree"),
        (lambda: layer(x, ccdl.ones(4, 2, 8), ccdl.ones(4, 2, 8)), RuntimeError, "same batch size"),
        (lambda: layer(x, None, x), TypeError, "key is NoneType"),
        (lambda: layer(x, x, x, attn_mask=[1]), TypeError, "attn_mask is list"),
        (lambda: layer(x, ccdl.ones(4, 3, 9), x), RuntimeError, "linear"),
        (lambda: nn.MultiheadAttention(8, 2, kdim=4)(x, x, x), AssertionError, "its weight is"),
        (lambda: layer(x, x, x, attn_mask=ccdl.ones(1, 1, 4, 4)), AssertionError, "attn_mask is"),
        (lambda: nn.Transformer.generate_square_subsequent_mask(3, dtype=ccdl.int64), (RuntimeError, TypeError), "no -inf"),
        (lambda: nn.Transformer(8, 2, 1, 1, 8)(ccdl.ones(2, 3, 8), ccdl.ones(2, 4, 8)), RuntimeError, "batch number"),
        (lambda: nn.Transformer(8, 2, 1, 1, 8)(ccdl.ones(2, 3, 6), ccdl.ones(2, 3, 8)), RuntimeError, "feature number"),
    ):
        with pytest.raises(error, match=text):
            call()
    assert layer(x, x, x)[0].shape == (4, 3, 8)
    assert layer(ccdl.ones(0, 3, 8), x, x)[0].shape == (0, 3, 8)
    assert layer(ccdl.ones(4, 0, 8), ccdl.ones(4, 0, 8), ccdl.ones(4, 0, 8))[0].shape == (4, 0, 8)


# --- PyTorch from the same weights ---------------------------------------------------------------------------------------


def twins(name, *args, **options):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    ccdl.manual_seed(7)
    ours = getattr(nn, name)(*args, **options)
    theirs = getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    keys = [(k, tuple(v.shape)) for k, v in ours.state_dict().items()]
    assert keys == [(k, tuple(v.shape)) for k, v in theirs.state_dict().items()]
    rng = np.random.default_rng(3)
    values = {k: (0.3 * rng.standard_normal(s)).astype("float32") for k, s in keys}
    ours.load_state_dict({k: ccdl.tensor(v) for k, v in values.items()})
    theirs.load_state_dict({k: torch.tensor(v) for k, v in values.items()})
    return torch, ours, theirs


def compare(torch, ours, theirs, arrays, arguments=(), options=None):
    """Same outputs and same gradients of inputs and parameters; masks are passed as arrays too."""
    options = options or {}
    a = [ccdl.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]

    def convert(module, value):
        return module.tensor(value) if isinstance(value, np.ndarray) else value

    ya = ours(*a, *(convert(ccdl, v) for v in arguments), **{k: convert(ccdl, v) for k, v in options.items()})
    yb = theirs(*b, *(convert(torch, v) for v in arguments), **{k: convert(torch, v) for k, v in options.items()})
    ya, yb = (y if isinstance(y, tuple) else (y,) for y in (ya, yb))
    assert len(ya) == len(yb)
    loss_a = loss_b = 0
    for u, w in zip(ya, yb):
        if w is None:
            assert u is None
            continue
        assert tuple(u.shape) == tuple(w.shape)
        np.testing.assert_allclose(numpy_of(u), numpy_of(w), rtol=2e-4, atol=2e-5)
        scale = np.cos(np.arange(w.numel(), dtype="float32")).reshape(w.shape)
        loss_a, loss_b = loss_a + (u * ccdl.tensor(scale)).sum(), loss_b + (w * torch.tensor(scale)).sum()
    ours.zero_grad()
    theirs.zero_grad()
    loss_a.backward()
    loss_b.backward()
    for u, w in zip(a, b):
        np.testing.assert_allclose(numpy_of(u.grad), numpy_of(w.grad), rtol=1e-3, atol=1e-4)
    for (name, u), (_, w) in zip(ours.named_parameters(), theirs.named_parameters()):
        if w.grad is None:
            assert u.grad is None or not bool(u.grad.any()), name
        else:
            np.testing.assert_allclose(numpy_of(u.grad), numpy_of(w.grad), rtol=1e-3, atol=2e-4, err_msg=name)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


MHA = [{}, {"bias": False}, {"add_bias_kv": True, "add_zero_attn": True}, {"kdim": 4, "vdim": 6}, {"batch_first": True},
       {"add_zero_attn": True, "batch_first": True, "vdim": 6}]
FLOAT_MASK = np.triu(np.full((4, 5), -np.inf, dtype="float32"), 2)
BOOL_MASK = np.triu(np.ones((4, 5), dtype=bool), 2)
PADDING = np.array([[0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
MASKS = [{}, {"attn_mask": FLOAT_MASK}, {"attn_mask": BOOL_MASK}, {"attn_mask": normal(6, 4, 5, seed=5)},
         {"key_padding_mask": PADDING}, {"key_padding_mask": np.where(PADDING, -1.5, 0.5).astype("float32")},
         {"key_padding_mask": PADDING, "attn_mask": BOOL_MASK}, {"average_attn_weights": False}, {"need_weights": False},
         {"need_weights": False, "key_padding_mask": PADDING, "attn_mask": BOOL_MASK},
         {"need_weights": False, "attn_mask": FLOAT_MASK}]


@pytest.mark.parametrize("options", MHA, ids=str)
def test_multihead_equals_pytorch(options):
    torch, ours, theirs = twins("MultiheadAttention", 8, 2, **options)
    sizes = (8, options.get("kdim", 8), options.get("vdim", 8))
    shapes = [(3, n, e) if options.get("batch_first") else (n, 3, e) for n, e in zip((4, 5, 5), sizes)]
    arrays = [normal(*s, seed=i) for i, s in enumerate(shapes)]
    for masks in MASKS:
        compare(torch, ours, theirs, arrays, options=masks)
    single = [x[0] if options.get("batch_first") else x[:, 0].copy() for x in arrays]
    for masks in ({}, {"attn_mask": FLOAT_MASK}, {"attn_mask": normal(2, 4, 5)}, {"key_padding_mask": PADDING[0]},
                  {"need_weights": False}, {"average_attn_weights": False}):
        compare(torch, ours, theirs, single, options=masks)


@pytest.mark.parametrize("same", ["all", "key and value"])
def test_packed_projections_equal_pytorch(same):
    torch, ours, theirs = twins("MultiheadAttention", 8, 2)
    class Wrapped:
        def __init__(self, layer, need):
            self.layer, self.need, self.zero_grad, self.named_parameters = layer, need, layer.zero_grad, layer.named_parameters

        def __call__(self, x, memory=None):
            memory = x if memory is None else memory
            return self.layer(x, memory, memory, need_weights=self.need)

    arrays = [normal(5, 3, 8), normal(4, 3, 8, seed=1)][: 1 if same == "all" else 2]
    for need in (True, False):
        compare(torch, Wrapped(ours, need), Wrapped(theirs, need), arrays)


def test_causal_hint_equals_pytorch():
    torch, ours, theirs = twins("MultiheadAttention", 8, 2)
    mask = np.triu(np.full((4, 4), -np.inf, dtype="float32"), 1)
    arrays = [normal(4, 3, 8, seed=i) for i in range(3)]
    for need in (True, False):
        for padding in (None, PADDING[:, 1:]):
            compare(torch, ours, theirs, arrays,
                    options={"attn_mask": mask, "is_causal": True, "need_weights": need,
                             "key_padding_mask": None if padding is None else padding.copy()})


LAYER = [dict(zip(("norm_first", "batch_first", "bias", "activation"), v))
         for v in itertools.product((False, True), (False, True), (True,), ("relu", "gelu"))]
LAYER.append({"bias": False, "layer_norm_eps": 1e-2})


@pytest.mark.parametrize("options", LAYER, ids=str)
@pytest.mark.parametrize("training", [False, True])
def test_layers_equal_pytorch(options, training):
    batch_first = options.get("batch_first")
    torch, ours, theirs = twins("TransformerEncoderLayer", 8, 2, 16, 0.0, **options)
    ours.train(training)
    theirs.train(training)
    x = normal(3, 5, 8) if batch_first else normal(5, 3, 8)
    square = np.triu(np.full((5, 5), -np.inf, dtype="float32"), 1)
    for masks in ({}, {"src_mask": square}, {"src_mask": square, "is_causal": True}, {"src_key_padding_mask": PADDING},
                  {"src_key_padding_mask": PADDING, "src_mask": square == -np.inf}):
        compare(torch, ours, theirs, [x], options=masks)
    compare(torch, ours, theirs, [normal(5, 8)])
    torch, ours, theirs = twins("TransformerDecoderLayer", 8, 2, 16, 0.0, **options)
    ours.train(training)
    theirs.train(training)
    tgt = normal(3, 4, 8) if batch_first else normal(4, 3, 8)
    causal = np.triu(np.full((4, 4), -np.inf, dtype="float32"), 1)
    for masks in ({}, {"tgt_mask": causal, "tgt_is_causal": True}, {"tgt_mask": causal, "memory_key_padding_mask": PADDING},
                  {"memory_mask": FLOAT_MASK, "tgt_key_padding_mask": PADDING[:, 1:].copy()}):
        compare(torch, ours, theirs, [tgt, x], options=masks)


@pytest.mark.parametrize("options", [{}, {"norm_first": True, "batch_first": True, "activation": "gelu"}], ids=str)
def test_transformer_equals_pytorch(options):
    torch, ours, theirs = twins("Transformer", 8, 2, 2, 2, 16, 0.0, **options)
    arrays = [normal(5, 3, 8), normal(4, 3, 8, seed=1)]
    if options.get("batch_first"):
        arrays = [x.swapaxes(0, 1).copy() for x in arrays]
    causal = numpy_of(nn.Transformer.generate_square_subsequent_mask(4))
    np.testing.assert_array_equal(causal, numpy_of(torch.nn.Transformer.generate_square_subsequent_mask(4)))
    for masks in ({}, {"tgt_mask": causal}, {"tgt_mask": causal, "tgt_is_causal": True, "src_key_padding_mask": PADDING,
                                             "memory_key_padding_mask": PADDING}):
        compare(torch, ours, theirs, arrays, options=masks)
    encoder_options = {k: v for k, v in options.items() if k != "activation"}
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, **encoder_options)
    stack = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8))
    other = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, **encoder_options), 2,
                                        norm=torch.nn.LayerNorm(8), enable_nested_tensor=False)
    other.load_state_dict({k: torch.tensor(numpy_of(v)) for k, v in stack.state_dict().items()})
    square = np.triu(np.ones((5, 5), dtype=bool), 1)
    for masks in ({}, {"mask": square}, {"mask": square, "is_causal": True}, {"src_key_padding_mask": PADDING}):
        compare(torch, stack, other, arrays[:1], options=masks)


@pytest.mark.parametrize("norm", [False, True])
def test_padded_outputs_in_evaluation_equal_pytorch(norm):
    """Without gradients PyTorch's encoder leaves zeros at padded positions; with them it does not."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    ours = nn.TransformerEncoder(layer, 2, norm=nn.LayerNorm(8) if norm else None).eval()
    theirs = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2,
                                         norm=torch.nn.LayerNorm(8) if norm else None).eval()
    theirs.load_state_dict({k: torch.tensor(numpy_of(v)) for k, v in ours.state_dict().items()})
    x = normal(3, 5, 8)
    middle = np.array([[0, 1, 0, 0, 1], [0, 0, 0, 0, 0], [0, 0, 0, 1, 1]], dtype=bool)
    square = np.triu(np.ones((5, 5), dtype=bool), 1)
    for padding in (PADDING, middle):
        for mask in (None, square):
            def run(module, model):
                return numpy_of(model(module.tensor(x), None if mask is None else module.tensor(mask),
                                      src_key_padding_mask=module.tensor(padding)))

            with ccdl.no_grad(), torch.no_grad():
                got, want = run(ccdl, ours), run(torch, theirs)
            np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)
            zero = padding is PADDING and mask is None
            assert bool((got[padding] == 0).all()) == zero
            np.testing.assert_allclose(run(ccdl, ours), run(torch, theirs), rtol=2e-4, atol=2e-5)
    assert not nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 1).use_nested_tensor
