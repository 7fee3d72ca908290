"""Layers: constructor arguments, defaults and state-dict keys as in PyTorch, shapes, and values where cheap."""

from __future__ import annotations

import inspect
import math
import warnings

import numpy as np
import pytest
from harness import settle

import ccdl
import ccdl.nn as nn
import ccdl.nn.functional as F

# name, constructor arguments, input shapes, output shape
LAYERS = [
    ("Linear", (4, 3), [(2, 4)], (2, 3)),
    ("Linear", (4, 3, False), [(5, 2, 4)], (5, 2, 3)),
    ("Bilinear", (2, 3, 4), [(5, 2), (5, 3)], (5, 4)),
    ("Identity", (), [(2, 3)], (2, 3)),
    ("Flatten", (), [(2, 3, 4)], (2, 12)),
    ("Unflatten", (1, (2, 3)), [(4, 6)], (4, 2, 3)),
    ("Conv1d", (2, 4, 3), [(5, 2, 9)], (5, 4, 7)),
    ("Conv2d", (2, 4, 3), [(5, 2, 9, 8)], (5, 4, 7, 6)),
    ("Conv2d", (2, 4, (3, 2), 2, 1), [(5, 2, 9, 8)], (5, 4, 5, 5)),
    ("Conv3d", (2, 4, 3), [(1, 2, 5, 5, 5)], (1, 4, 3, 3, 3)),
    ("ConvTranspose1d", (2, 4, 3, 2), [(1, 2, 5)], (1, 4, 11)),
    ("ConvTranspose2d", (2, 4, 4, 2, 1), [(1, 2, 5, 5)], (1, 4, 10, 10)),
    ("ConvTranspose3d", (2, 4, 2, 2), [(1, 2, 2, 2, 2)], (1, 4, 4, 4, 4)),
    ("MaxPool1d", (2,), [(1, 2, 6)], (1, 2, 3)),
    ("MaxPool2d", (3, 2), [(1, 2, 7, 7)], (1, 2, 3, 3)),
    ("MaxPool3d", (2,), [(1, 2, 4, 4, 4)], (1, 2, 2, 2, 2)),
    ("AvgPool1d", (2,), [(1, 2, 6)], (1, 2, 3)),
    ("AvgPool2d", (2,), [(1, 2, 6, 6)], (1, 2, 3, 3)),
    ("AvgPool3d", (2,), [(1, 2, 4, 4, 4)], (1, 2, 2, 2, 2)),
    ("LPPool1d", (2, 3), [(1, 2, 6)], (1, 2, 2)),
    ("LPPool2d", (2, 3), [(1, 2, 6, 6)], (1, 2, 2, 2)),
    ("AdaptiveMaxPool1d", (3,), [(1, 2, 7)], (1, 2, 3)),
    ("AdaptiveMaxPool2d", (3,), [(1, 2, 7, 8)], (1, 2, 3, 3)),
    ("AdaptiveAvgPool1d", (3,), [(1, 2, 7)], (1, 2, 3)),
    ("AdaptiveAvgPool2d", ((3, None),), [(1, 2, 7, 8)], (1, 2, 3, 8)),
    ("AdaptiveAvgPool3d", (1,), [(1, 2, 4, 4, 4)], (1, 2, 1, 1, 1)),
    *[(name, (), [(3, 4)], (3, 4)) for name in (
        "ReLU", "ReLU6", "ELU", "SELU", "CELU", "SiLU", "Mish", "GELU", "Softplus", "Softsign", "Softshrink",
        "Hardshrink", "Tanhshrink", "Hardtanh", "Hardsigmoid", "Hardswish", "LogSigmoid", "Sigmoid", "Tanh",
        "LeakyReLU", "PReLU", "RReLU", "Dropout", "AlphaDropout")],
    ("Threshold", (0.1, 20.0), [(3, 4)], (3, 4)),
    ("GLU", (), [(3, 4)], (3, 2)),
    ("Softmax", (1,), [(3, 4)], (3, 4)),
    ("Softmin", (1,), [(3, 4)], (3, 4)),
    ("LogSoftmax", (1,), [(3, 4)], (3, 4)),
    ("Softmax2d", (), [(2, 3, 4, 4)], (2, 3, 4, 4)),
    ("Dropout1d", (), [(2, 3, 4)], (2, 3, 4)),
    ("Dropout2d", (), [(2, 3, 4, 4)], (2, 3, 4, 4)),
    ("Dropout3d", (), [(2, 3, 2, 2, 2)], (2, 3, 2, 2, 2)),
    ("FeatureAlphaDropout", (), [(2, 3, 4)], (2, 3, 4)),
    ("BatchNorm1d", (3,), [(4, 3)], (4, 3)),
    ("BatchNorm2d", (3,), [(4, 3, 2, 2)], (4, 3, 2, 2)),
    ("BatchNorm3d", (3,), [(4, 3, 2, 2, 2)], (4, 3, 2, 2, 2)),
    ("InstanceNorm1d", (3,), [(4, 3, 5)], (4, 3, 5)),
    ("InstanceNorm2d", (3,), [(4, 3, 2, 2)], (4, 3, 2, 2)),
    ("LayerNorm", (4,), [(2, 4)], (2, 4)),
    ("GroupNorm", (2, 4), [(2, 4, 3)], (2, 4, 3)),
    ("RMSNorm", (4,), [(2, 4)], (2, 4)),
    ("LocalResponseNorm", (2,), [(2, 4, 3, 3)], (2, 4, 3, 3)),
    ("ZeroPad2d", (1,), [(1, 1, 2, 2)], (1, 1, 4, 4)),
    ("ConstantPad1d", (1, 3.5), [(1, 1, 2)], (1, 1, 4)),
    ("ReflectionPad1d", (1,), [(1, 1, 3)], (1, 1, 5)),
    ("ReflectionPad2d", (1,), [(1, 1, 3, 3)], (1, 1, 5, 5)),
    ("ReplicationPad2d", ((1, 0, 2, 0),), [(1, 1, 3, 3)], (1, 1, 5, 4)),
    ("CircularPad2d", (1,), [(1, 1, 3, 3)], (1, 1, 5, 5)),
    ("Upsample", (None, 2), [(1, 1, 2, 2)], (1, 1, 4, 4)),
    ("UpsamplingBilinear2d", (None, 2), [(1, 1, 2, 2)], (1, 1, 4, 4)),
    ("PixelShuffle", (2,), [(1, 8, 2, 2)], (1, 2, 4, 4)),
    ("PixelUnshuffle", (2,), [(1, 2, 4, 4)], (1, 8, 2, 2)),
    ("ChannelShuffle", (2,), [(1, 4, 2, 2)], (1, 4, 2, 2)),
    ("Unfold", (2,), [(1, 2, 3, 3)], (1, 8, 4)),
    ("Fold", ((3, 3), 2), [(1, 8, 4)], (1, 2, 3, 3)),
    ("CosineSimilarity", (), [(2, 3), (2, 3)], (2,)),
    ("PairwiseDistance", (), [(2, 3), (2, 3)], (2,)),
]
LOSSES = ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss", "BCEWithLogitsLoss", "SoftMarginLoss", "PoissonNLLLoss",
          "MultiLabelSoftMarginLoss")


def ids(case):
    return f"{case[0]}{list(case[1])}"


@pytest.mark.parametrize("case", LAYERS, ids=ids)
def test_shape_and_gradient(case):
    name, args, shapes, out = case
    layer = getattr(nn, name)(*args)
    inputs = [ccdl.randn(*s, requires_grad=True) for s in shapes]
    y = layer(*inputs)
    assert tuple(y.shape) == out
    y.sum().backward()
    assert all(x.grad is not None and x.grad.shape == x.shape for x in inputs)
    assert all(p.grad is not None for p in layer.parameters())


def numpy_of(t):
    return t.detach().cpu().numpy()


@pytest.mark.parametrize("case", LAYERS, ids=ids)
def test_equal_to_pytorch(case):
    """Same text, same state keys, and in evaluation mode the same values and input gradients."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import numpy as np

    name, args, shapes, _ = case
    ours, theirs = getattr(nn, name)(*args).eval(), getattr(torch.nn, name)(*args).eval()
    assert repr(ours) == repr(theirs)
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()]
    theirs.load_state_dict({k: torch.from_numpy(numpy_of(v).copy()) for k, v in ours.state_dict().items()})
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype("float32") for s in shapes]
    a = [ccdl.tensor(x, requires_grad=True) for x in arrays]
    b = [torch.tensor(x, requires_grad=True) for x in arrays]
    ya, yb = ours(*a), theirs(*b)
    np.testing.assert_allclose(numpy_of(ya), numpy_of(yb), rtol=1e-5, atol=2e-5)
    ya.square().sum().backward()
    yb.square().sum().backward()
    for x, y in zip(a, b):
        np.testing.assert_allclose(numpy_of(x.grad), numpy_of(y.grad), rtol=1e-4, atol=1e-4)


def parameters_of(cls):
    parameters = inspect.signature(cls).parameters.values()  # a function as default is compared by its name
    return [(p.name, p.default.__name__ if inspect.isfunction(p.default) else p.default, p.kind) for p in parameters]


def test_constructors_equal_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    wrong = []
    for name in nn.__all__:
        ours, theirs = getattr(nn, name), getattr(torch.nn, name, None)
        if name in ("RNN", "LSTM", "GRU"):  # PyTorch's take *args, **kwargs; test_rnn.py compares them by use
            continue
        want = parameters_of(theirs) if inspect.isclass(theirs) else None
        got = parameters_of(ours) if inspect.isclass(ours) else None
        if name == "GRUCell" and got is not None:  # the second form of the reset gate is ours
            got = [p for p in got if "reset_after" not in str(p)]
        if inspect.isclass(ours) and inspect.isclass(theirs) and got != want:
            wrong.append(f"{name}: {inspect.signature(ours)} against {inspect.signature(theirs)}")
    assert not wrong, "\n".join(wrong)


def test_functional_signatures_equal_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    wrong = []
    for name in F.__all__:
        theirs = getattr(torch.nn.functional, name, None)
        try:
            want = [p.name for p in inspect.signature(theirs).parameters.values()]
        except (TypeError, ValueError):
            continue
        got = [p.name for p in inspect.signature(getattr(F, name)).parameters.values()]
        if want != ["args", "kwargs"] and got != want:
            wrong.append(f"{name}: {got} against {want}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_losses_against_pytorch(name, reduction):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import numpy as np

    rng = np.random.default_rng(1)
    x, t = rng.standard_normal((4, 3)).astype("float32"), (rng.random((4, 3)) > 0.5).astype("float32")
    a, b = ccdl.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    la = getattr(nn, name)(reduction=reduction)(a, ccdl.tensor(t))
    lb = getattr(torch.nn, name)(reduction=reduction)(b, torch.tensor(t))
    np.testing.assert_allclose(numpy_of(la), numpy_of(lb), rtol=1e-5, atol=1e-6)
    la.sum().backward()
    lb.sum().backward()
    np.testing.assert_allclose(numpy_of(a.grad), numpy_of(b.grad), rtol=1e-5, atol=1e-6)


def test_composite_losses_against_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import numpy as np

    rng = np.random.default_rng(2)
    x, y, z = (rng.standard_normal((5, 4)).astype("float32") for _ in range(3))
    sign = np.where(rng.random(5) > 0.5, 1.0, -1.0).astype("float32")
    label = rng.integers(0, 4, 5)
    many = np.array([[1, 3, -1, 0], [0, -1, 2, 2], [2, 1, 0, 3], [-1, 1, 1, 1], [3, -1, -1, -1]])
    cases = {
        "cosine_embedding_loss": (x, y, sign),
        "margin_ranking_loss": (x[:, 0], y[:, 0], sign, 0.3),
        "hinge_embedding_loss": (x[:, 0], sign),
        "triplet_margin_loss": (x, y, z),
        "multi_margin_loss": (x, label),
        "multilabel_margin_loss": (x, many),
        "gaussian_nll_loss": (x, y, np.abs(z) + 0.1),
        "poisson_nll_loss": (x, np.abs(y), True, True),
    }
    for name, args in cases.items():
        def convert(module, value):
            return module.tensor(value) if isinstance(value, np.ndarray) else value

        ours = getattr(F, name)(*(convert(ccdl, v) for v in args))
        theirs = getattr(torch.nn.functional, name)(*(convert(torch, v) for v in args))
        assert float(ours) == pytest.approx(float(theirs), rel=2e-5), name


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ctc_against_pytorch(reduction):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    import numpy as np

    rng = np.random.default_rng(3)
    scores = rng.standard_normal((12, 4, 6))
    targets = rng.integers(1, 6, (4, 5))
    targets[1, 1] = targets[1, 0]
    lengths, sizes = [12, 10, 11, 7], [5, 4, 0, 3]
    a, b = ccdl.tensor(scores, requires_grad=True), torch.tensor(scores, requires_grad=True)
    la = F.ctc_loss(F.log_softmax(a, -1), ccdl.tensor(targets), lengths, sizes, reduction=reduction)
    lb = torch.nn.functional.ctc_loss(
        torch.log_softmax(b, -1), torch.tensor(targets), torch.tensor(lengths), torch.tensor(sizes), reduction=reduction)
    np.testing.assert_allclose(numpy_of(la), numpy_of(lb), rtol=1e-9)
    la.sum().backward()
    lb.sum().backward()
    np.testing.assert_allclose(numpy_of(a.grad), numpy_of(b.grad), atol=1e-9)


def test_initial_values():
    ccdl.manual_seed(0)
    layer = nn.Linear(100, 200)
    assert float(layer.weight.detach().abs().max()) <= 0.1 and float(layer.bias.detach().abs().max()) <= 0.1
    assert float(layer.weight.detach().std()) == pytest.approx(0.1 / math.sqrt(3), rel=0.05)
    conv = nn.Conv2d(4, 8, 5)
    assert float(conv.weight.detach().abs().max()) <= 0.1 + 1e-6
    assert nn.BatchNorm2d(3).weight.tolist() == [1, 1, 1]
    assert float(nn.Embedding(1000, 20).weight.detach().std()) == pytest.approx(1.0, rel=0.05)
    assert nn.Embedding(3, 2, padding_idx=1).weight[1].tolist() == [0, 0]
    ccdl.manual_seed(5)
    a = nn.Linear(3, 3)
    ccdl.manual_seed(5)
    assert nn.Linear(3, 3).weight.tolist() == a.weight.tolist()


def test_padding_modes_and_same():
    import numpy as np

    x = ccdl.arange(12.0).reshape(1, 1, 3, 4)
    for mode, numpy_mode in (("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        conv = nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode, bias=False)
        padded = np.pad(x[0, 0].cpu().numpy(), 1, mode=numpy_mode)
        want = F.conv2d(ccdl.tensor(padded).reshape(1, 1, 5, 6), conv.weight)
        assert ccdl.allclose(conv(x), want, atol=1e-5), mode
    assert nn.Conv2d(1, 1, (4, 3), padding="same")(x).shape == x.shape
    assert nn.Conv2d(1, 1, 4, padding="same", padding_mode="reflect")(x).shape == x.shape
    assert nn.Conv2d(1, 1, 3, padding="valid")(x).shape == (1, 1, 1, 2)
    with pytest.raises(ValueError, match="strided"):
        nn.Conv2d(1, 1, 3, stride=2, padding="same")
    with pytest.raises(ValueError, match="divisible by groups"):
        nn.Conv2d(3, 4, 1, groups=2)
    with pytest.raises(ValueError, match="padding_mode"):
        nn.Conv2d(1, 1, 1, padding_mode="mirror")


def test_transposed_output_size():
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2)
    x = ccdl.ones(1, 1, 4, 4)
    assert layer(x).shape == (1, 1, 9, 9)
    assert layer(x, output_size=(10, 9)).shape == (1, 1, 10, 9)
    with pytest.raises(ValueError, match="not reachable"):
        layer(x, output_size=(12, 9))


def test_batch_norm_statistics():
    norm = nn.BatchNorm1d(2, momentum=0.5)
    x = ccdl.tensor([[1.0, 2.0], [3.0, 6.0]])
    norm(x)
    assert norm.running_mean.tolist() == [1.0, 2.0]
    assert norm.running_var.tolist() == pytest.approx([0.5 + 0.5 * 2, 0.5 + 0.5 * 8])
    assert int(norm.num_batches_tracked) == 1
    average = nn.BatchNorm1d(2, momentum=None)
    average(x)
    average(x + 2)
    assert average.running_mean.tolist() == pytest.approx([3.0, 5.0])
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        norm(x[:1])
    with pytest.raises(ValueError, match="expected 2D or 3D"):
        norm(ccdl.ones(1, 2, 3, 4))
    assert norm.eval()(x[:1]).shape == (1, 2)


def test_dropout_modes():
    ccdl.manual_seed(1)
    x = ccdl.ones(10000)
    y = nn.Dropout(0.3)(x)
    values = set(y.tolist())
    assert len(values) == 2 and 0.0 in values and max(values) == pytest.approx(1 / 0.7)
    assert float(y.mean()) == pytest.approx(1.0, abs=0.05)
    assert nn.Dropout(0.3).eval()(x).tolist() == x.tolist()
    channels = nn.Dropout2d(0.5)(ccdl.ones(4, 50, 3, 3)).flatten(2)
    assert bool(((channels == 0).all(2) | (channels == 2).all(2)).all())
    normal = ccdl.randn(20000)
    kept = nn.AlphaDropout(0.2)(normal)
    assert float(kept.mean()) == pytest.approx(0, abs=0.05) and float(kept.std()) == pytest.approx(1, abs=0.05)
    with pytest.raises(ValueError, match="between 0 and 1"):
        nn.Dropout(1.5)


def test_embedding_options():
    table = ccdl.arange(6.0).reshape(3, 2)
    frozen = nn.Embedding.from_pretrained(table)
    assert not frozen.weight.requires_grad and frozen(ccdl.tensor([2])).tolist() == [[4.0, 5.0]]
    padded = nn.Embedding.from_pretrained(table.clone(), freeze=False, padding_idx=0)
    padded(ccdl.tensor([0, 1, 1])).sum().backward()
    assert padded.weight.grad.tolist() == [[0, 0], [2, 2], [0, 0]]
    limited = nn.Embedding.from_pretrained(table.clone(), max_norm=1.0)
    limited(ccdl.tensor([1, 2]))
    assert limited.weight.norm(dim=1).tolist() == pytest.approx([1.0, 1.0, 1.0], abs=1e-4)
    with pytest.raises(IndexError):
        frozen(ccdl.tensor([3]))
        settle()
    with pytest.raises(AssertionError, match="padding_idx"):
        nn.Embedding(3, 2, padding_idx=3)
    with pytest.raises(AssertionError, match="embedding: padding_idx is -4, must be within num_embeddings 3"):
        F.embedding(ccdl.tensor([1]), table, padding_idx=-4)


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bag(mode):
    table = ccdl.tensor([[1.0, 5.0], [2.0, 4.0], [3.0, 3.0]])
    bag = nn.EmbeddingBag.from_pretrained(table, mode=mode)
    rows = [[0, 1], [], [2, 2, 0]]
    want = []
    for row in rows:
        values = [table[i].tolist() for i in row]
        columns = list(zip(*values)) or [(), ()]
        pick = {"sum": sum, "mean": lambda c: sum(c) / len(c) if c else 0, "max": lambda c: max(c, default=0)}[mode]
        want.append([pick(c) for c in columns])
    got = bag(ccdl.tensor([0, 1, 2, 2, 0]), ccdl.tensor([0, 2, 2]))
    assert got.tolist() == [pytest.approx(w) for w in want]
    assert bag(ccdl.tensor([[0, 1]])).tolist() == [pytest.approx(want[0])]
    # bags of equal size need no mask; with entries after the last bag the sizes may only seem equal
    ids = ccdl.tensor([0, 1, 2, 2])
    assert bag(ids, ccdl.tensor([0, 2])).tolist() == bag(ids.reshape(2, 2)).tolist()
    got = F.embedding_bag(ids, table, ccdl.tensor([0, 2, 3]), mode=mode, include_last_offset=True)
    assert got.tolist() == [pytest.approx(want[0]), [3.0, 3.0]]


def test_embedding_bag_gradients_of_ties_counts_and_norms():
    table = ccdl.tensor([[1.0, 5.0], [1.0, 4.0], [3.0, 3.0], [9.0, 9.0]], requires_grad=True)
    F.embedding_bag(ccdl.tensor([[0, 1], [1, 0]]), table, mode="max").sum().backward()
    assert table.grad.tolist() == [[1, 2], [1, 0], [0, 0], [0, 0]]  # the first of equal maxima gets the gradient
    ids, offsets = ccdl.tensor([0, 1, 1, 2, 3]), ccdl.tensor([0, 3, 3, 4])
    for mode, want in [("sum", [1, 1, 1, 0]), ("mean", [1 / 3, 1 / 3, 1, 0])]:
        for graph in (False, True):
            table.grad = None
            y = F.embedding_bag(ids, table, offsets, mode=mode, scale_grad_by_freq=True, include_last_offset=True)
            (g,) = ccdl.autograd.grad(y.sum(), table, create_graph=graph)
            assert g[:, 0].tolist() == pytest.approx(want)
    limited = nn.EmbeddingBag.from_pretrained(table.detach().clone(), max_norm=1.0, mode="sum")
    limited(ccdl.tensor([[0, 1]]))
    assert limited.weight.norm(dim=1).tolist() == pytest.approx([1, 1, 18**0.5, 162**0.5], abs=1e-4)
    assert F.embedding_bag(ccdl.zeros(2, 0, dtype=ccdl.int64), table).tolist() == [[0, 0], [0, 0]]
    empty = F.embedding_bag(ids, table, ccdl.zeros(0, dtype=ccdl.int64), mode="sum")
    table.grad = None
    empty.sum().backward()
    assert empty.shape == (0, 2) and not table.grad.any()


def test_lazy_linear():
    layer = nn.LazyLinear(3)
    assert layer(ccdl.ones(2, 5)).shape == (2, 3)
    assert type(layer) is nn.Linear and layer.in_features == 5 and type(layer.weight) is nn.Parameter


def test_inplace_activations():
    for name in ("ReLU", "ELU", "SELU", "CELU", "SiLU", "Mish", "Hardtanh", "Hardswish", "Hardsigmoid", "LeakyReLU",
                 "ReLU6"):
        x = ccdl.randn(20)
        plain = getattr(nn, name)()(x)
        y = x.clone()
        assert getattr(nn, name)(inplace=True)(y) is y
        assert ccdl.allclose(y, plain), name


def test_max_unpool_inverts_max_pool():
    x = ccdl.randn(2, 3, 5, 6)
    y, where = nn.MaxPool2d(2, return_indices=True)(x)
    back = nn.MaxUnpool2d(2)(y, where, output_size=x.shape[2:])
    assert back.shape == x.shape
    assert ccdl.allclose(F.max_pool2d(back, 2).clamp(min=0), y.clamp(min=0))


# --- properties that layers must have --------------------------------------------------------------------------------


def test_linear_layers_without_activation_are_one_linear_layer():
    a, b = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
    x = ccdl.randn(7, 4, dtype=ccdl.float64)
    weight = b.weight @ a.weight
    bias = b.weight @ a.bias + b.bias
    assert ccdl.allclose(b(a(x)), F.linear(x, weight, bias))


def test_multi_channel_convolution_is_a_sum_of_one_channel_ones():
    x, w = ccdl.randn(2, 3, 6, 6, dtype=ccdl.float64), ccdl.randn(4, 3, 3, 3, dtype=ccdl.float64)
    parts = sum(F.conv2d(x[:, c : c + 1], w[:, c : c + 1]) for c in range(3))
    assert ccdl.allclose(F.conv2d(x, w), parts)


def test_convolution_is_shift_equivariant_and_global_max_invariant():
    x = ccdl.zeros(1, 1, 12, 12, dtype=ccdl.float64)
    x[:, :, 3:6, 3:6] = ccdl.randn(3, 3, dtype=ccdl.float64)
    w = ccdl.randn(2, 1, 3, 3, dtype=ccdl.float64)
    shifted = x.roll((2, 1), (2, 3))
    assert ccdl.allclose(F.conv2d(shifted, w, padding=1), F.conv2d(x, w, padding=1).roll((2, 1), (2, 3)))
    a = F.adaptive_max_pool2d(F.conv2d(x, w, padding=1), 1)
    b = F.adaptive_max_pool2d(F.conv2d(shifted, w, padding=1), 1)
    assert ccdl.allclose(a, b)


def test_deprecated_reduction_flags_warn():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert nn.MSELoss(size_average=False).reduction == "sum"
    assert seen
    with pytest.raises(ValueError, match="reduction"):
        F.mse_loss(ccdl.ones(1), ccdl.ones(1), reduction="average")


def test_grid_sample_positions_that_are_no_numbers_count_as_outside():
    x = ccdl.ones(1, 1, 3, 3)
    grid = ccdl.tensor([[[[float("nan"), 0.0], [float("inf"), 0.0], [1e30, -1e30], [0.0, 0.0]]]])
    for mode in ("bilinear", "nearest", "bicubic"):
        assert F.grid_sample(x, grid, mode, align_corners=False)[0, 0, 0].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("mode", ["bilinear", "nearest", "bicubic"])
def test_grid_sample_kernel_and_composite_agree_with_their_gradients(mode):
    from ccdl import _C

    rng = np.random.default_rng(3)
    for shape, out in (((3, 7, 6, 5), (9, 10)), ((2, 5, 3, 4, 6), (3, 5, 6))):
        if len(shape) == 5 and mode == "bicubic":
            continue
        x = rng.standard_normal(shape)
        grid = rng.uniform(-1.4, 1.4, (shape[0], *out, len(out)))
        weight = ccdl.tensor(rng.standard_normal((*shape[:2], *out)))
        for padding in ("zeros", "border", "reflection"):
            for align in (False, True):
                found = []
                for op in (_C.grid_sample, _C._grid_sample_composite):
                    a, b = ccdl.tensor(x, requires_grad=True), ccdl.tensor(grid, requires_grad=True)
                    y = op(a, b, mode, padding, align)
                    (y * weight).sum().backward()
                    found.append((y, a.grad, b.grad))
                for mine, theirs in zip(*found):
                    np.testing.assert_allclose(mine.detach().cpu().numpy(), theirs.detach().cpu().numpy(), rtol=1e-9, atol=1e-11)


def test_grid_sample_gradient_of_the_input_is_the_same_at_any_thread_count():
    x = ccdl.randn(1, 6, 9, 9, requires_grad=True)
    grid = ccdl.rand(1, 40, 40, 2) * 2.4 - 1.2
    found, before = [], ccdl.get_num_threads()
    try:
        for threads in (1, 3):
            ccdl.set_num_threads(threads)
            x.grad = None
            F.grid_sample(x, grid, align_corners=False).square().sum().backward()
            found.append(x.grad.tolist())
    finally:
        ccdl.set_num_threads(before)
    assert found[0] == found[1]


def test_affine_grid_of_a_shift_and_a_rotation():
    x = ccdl.arange(9.0).reshape(1, 1, 3, 3)
    shift = ccdl.tensor([[[1.0, 0.0, 2 / 3], [0.0, 1.0, 0.0]]])
    moved = F.grid_sample(x, F.affine_grid(shift, x.shape, align_corners=False), align_corners=False)
    assert ccdl.allclose(moved[0, 0], ccdl.tensor([[1.0, 2, 0], [4, 5, 0], [7, 8, 0]]), atol=1e-5)
    turn = ccdl.tensor([[[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]])
    turned = F.grid_sample(x, F.affine_grid(turn, x.shape, align_corners=True), align_corners=True)
    assert ccdl.allclose(turned[0, 0], ccdl.rot90(x[0, 0], -1), atol=1e-5)


LENGTHS = {"input_lengths": [5, 5], "target_lengths": [2, 2]}


@pytest.mark.parametrize(("change", "kind", "text"), [
    ({"blank": 4}, RuntimeError, "blank is 4.*label range"), ({"blank": -1}, RuntimeError, "blank is -1"),
    ({"input_lengths": [6, 5]}, RuntimeError, "input_lengths has 6.*5 steps"), ({"input_lengths": [-1, 5]}, RuntimeError, "input_lengths has -1"),
    ({"input_lengths": [5]}, RuntimeError, "input_lengths has 1 entries, must have 2"),
    ({"target_lengths": [3, 2]}, RuntimeError, "target_lengths has 3"), ({"target_lengths": [2, -1]}, RuntimeError, "target_lengths has -1"),
    ({"targets": [[1, 2]]}, RuntimeError, r"targets must be \[N, S\]"), ({"targets": [1, 2, 1]}, RuntimeError, "add up to 4"),
    ({"targets": [[1, 4], [1, 2]]}, IndexError, "target 4"), ({"targets": [[1, 0], [1, 2]]}, IndexError, "target 0"),
    ({"targets": None}, TypeError, "targets must be a Tensor"), ({"log_probs": (4,)}, RuntimeError, "log_probs must be"),
    ({"input_lengths": ccdl.tensor([5.0, 5.0], device="cpu")}, RuntimeError, "integral"), ({"reduction": "x"}, ValueError, "reduction"),
])
def test_ctc_refuses_what_it_cannot_align(change, kind, text):
    call = {**LENGTHS, "targets": [[1, 2], [1, 3]], "log_probs": (5, 2, 4), **change}
    log_probs, targets = ccdl.rand(*call.pop("log_probs")).log_softmax(-1), call.pop("targets")
    with pytest.raises(kind, match=text):
        F.ctc_loss(log_probs, None if targets is None else ccdl.tensor(targets), **call)
    assert F.ctc_loss(ccdl.rand(5, 2, 4).log_softmax(-1), ccdl.tensor([[1, 2], [1, 3]]), **LENGTHS).isfinite()


@pytest.mark.parametrize(("call", "kind", "text"), [
    (lambda x, y: F.multi_margin_loss(x, y[:1]), RuntimeError, "one label per row"),
    (lambda x, y: F.multi_margin_loss(x, y.float()), RuntimeError, "class numbers"),
    (lambda x, y: F.multi_margin_loss(x, None), TypeError, "'target' .*must be Tensor"),
    (lambda x, y: F.multi_margin_loss(x, y, weight=ccdl.ones(3)), RuntimeError, "weight must have one entry per class"),
    (lambda x, y: F.multi_margin_loss(x, y, p=3), ValueError, "p is 3"),
    (lambda x, y: F.multi_margin_loss(x.long(), y), RuntimeError, "floating point"),
    (lambda x, y: F.multi_margin_loss(x.unsqueeze(0), y), RuntimeError, r"\[C\] or \[N, C\]"),
    (lambda x, y: F.multi_margin_loss(x, y + 4), IndexError, "out of (bounds|range)"),
    (lambda x, y: F.multilabel_margin_loss(x, y), RuntimeError, "a target of its size"),
    (lambda x, y: F.multilabel_margin_loss(x, x), RuntimeError, "class numbers"),
    (lambda x, y: F.multilabel_margin_loss(x, x.long() + 9), IndexError, "out of (bounds|range)"),
    (lambda x, y: F.margin_ranking_loss(x[0], x[0], x), RuntimeError, "same number of dimensions"),
])
def test_margin_losses_refuse_what_does_not_fit(call, kind, text):
    x, y = ccdl.rand(2, 4), ccdl.tensor([0, 3])
    with pytest.raises(kind, match=text):
        call(x, y)
        settle()
    assert F.multi_margin_loss(x, y).isfinite() and F.multilabel_margin_loss(x, ccdl.tensor([[0, -1, 0, 0], [1, 2, -1, 0]])).isfinite()
