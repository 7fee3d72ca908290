"""Hostile calls of the kinds that crashed other frameworks in public reports (sizes that overflow, zero strides and
groups, indices and labels out of range, empty and huge shapes, lying views). Each must raise a typed error quickly,
without taking memory, and leave the engine usable.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Any

import pytest
from harness import settle

import ccdl
import ccdl.nn.functional as F
import ccdl.utils.data as data
from ccdl import nn

BIG = 2**62
MIN = -(2**63)
MAX = 2**63 - 1
x4 = lambda: ccdl.ones(2, 4, 8, 8)
w4 = lambda: ccdl.ones(6, 4, 3, 3)
i64 = lambda *v: ccdl.tensor(list(v), dtype=ccdl.int64)

R, V, I, T, M = RuntimeError, ValueError, IndexError, TypeError, MemoryError
CALLS: list[tuple[str, Callable[[], Any], tuple[type[BaseException], ...]]] = [
    # sizes and strides that overflow or lie
    ("numel overflows", lambda: ccdl.empty(BIG, BIG), (R, V)),
    ("bytes overflow", lambda: ccdl.empty(2**61, dtype=ccdl.float64), (R, V, M)),
    ("beyond memory", lambda: ccdl.empty(2**50), (M,)),
    ("zeros beyond memory", lambda: ccdl.zeros(2**60), (R, V, M)),
    ("zero beside huge", lambda: ccdl.empty(0, BIG, BIG), (R, V)),
    ("negative size", lambda: ccdl.empty(-1), (R, V)),
    ("negative sizes whose product is positive", lambda: ccdl.empty(-2, -2), (R, V)),
    ("seventeen dimensions", lambda: ccdl.empty(*[1] * 17), (R, V)),
    ("dim equal to the number of dims, softmax", lambda: ccdl.ones(2, 3).softmax(2), (I,)),
    ("dim equal to the number of dims, sum", lambda: ccdl.ones(2, 3).sum(2), (I,)),
    ("dim equal to the number of dims, select", lambda: ccdl.ones(2, 3).select(2, 0), (I,)),
    ("dim one below the range", lambda: ccdl.ones(2, 3).cumsum(-3), (I,)),
    ("as_strided beyond storage", lambda: ccdl.ones(4).as_strided((5,), (1,)), (R, V)),
    ("as_strided offset near 2^63", lambda: ccdl.ones(4).as_strided((1,), (1,), MAX), (R, V)),
    ("as_strided negative offset", lambda: ccdl.ones(4).as_strided((1,), (1,), -1), (R, V)),
    ("as_strided negative stride", lambda: ccdl.ones(4).as_strided((2,), (-1,)), (R, V)),
    ("as_strided huge stride", lambda: ccdl.ones(4).as_strided((2, 2), (MAX, MAX)), (R, V)),
    ("as_strided ranks differ", lambda: ccdl.ones(4).as_strided((2,), (1, 1)), (R, V)),
    ("expand negative", lambda: ccdl.ones(1).expand(-2), (R, V)),
    ("expand overflow then add", lambda: ccdl.ones(1).expand(BIG) + 1, (R, V, M)),
    ("expand overflow product", lambda: ccdl.ones(1, 1).expand(BIG, BIG), (R, V)),
    ("repeat overflow", lambda: ccdl.ones(4).repeat(BIG), (R, V, M)),
    ("repeat negative", lambda: ccdl.ones(4).repeat(-1), (R, V)),
    ("reshape two unknowns", lambda: ccdl.ones(4).reshape(-1, -1), (R, V)),
    ("reshape zero with unknown", lambda: ccdl.ones(0, 3).reshape(0, -1), (R, V)),
    ("reshape overflow", lambda: ccdl.ones(4).reshape(BIG, 4), (R, V)),
    ("view of a transposed tensor", lambda: ccdl.ones(2, 3).t().view(6), (R, V)),
    ("unfold larger than the dim", lambda: ccdl.ones(4).unfold(0, 5, 1), (R, V)),
    ("unfold step zero", lambda: ccdl.ones(4).unfold(0, 2, 0), (R, V)),
    ("arange step zero", lambda: ccdl.arange(0, 3, 0), (R, V)),
    ("arange to infinity", lambda: ccdl.arange(0, float("inf"), 1), (R, V)),
    ("linspace negative steps", lambda: ccdl.linspace(0, 1, -1), (R, V)),
    ("eye negative", lambda: ccdl.eye(-1), (R, V)),
    ("full of nothing", lambda: ccdl.full((2,), None), (T,)),
    # indices
    ("index out of range", lambda: ccdl.ones(3)[3], (I,)),
    ("index -2^63", lambda: ccdl.ones(3)[MIN], (I,)),
    ("index beyond int64", lambda: ccdl.ones(3)[2**64], (I, T, V, R, OverflowError)),
    ("index tensor out of range", lambda: ccdl.ones(3)[i64(0, 3)], (I,)),
    ("index tensor -2^63", lambda: ccdl.ones(3)[i64(MIN)], (I,)),
    ("assignment through a bad index tensor", lambda: ccdl.ones(3).__setitem__(i64(-4), 1.0), (I,)),
    ("mask of the wrong size", lambda: ccdl.ones(3)[ccdl.ones(4, dtype=ccdl.bool)], (I,)),
    ("slice step zero", lambda: ccdl.ones(3)[::0], (V, R)),
    ("too many indices", lambda: ccdl.ones(3)[0, 0], (I,)),
    ("float as index", lambda: ccdl.ones(3)[ccdl.ones(1)], (I, T, R)),
    ("select out of range", lambda: ccdl.ones(3).select(0, 3), (I,)),
    ("narrow beyond the end", lambda: ccdl.ones(3).narrow(0, 2, 2), (R, I, V)),
    ("narrow overflow", lambda: ccdl.ones(3).narrow(0, 1, MAX), (R, I, V)),
    ("dim out of range", lambda: ccdl.ones(3).sum(7), (I,)),
    ("dim 2^62", lambda: ccdl.ones(3).sum(BIG), (I,)),
    ("same dim twice", lambda: ccdl.ones(3, 3).sum((0, 0)), (R, V)),
    ("permute repeats", lambda: ccdl.ones(3, 3).permute(0, 0), (R, V)),
    ("gather out of range", lambda: ccdl.ones(2, 3).gather(1, i64(3).reshape(1, 1)), (I, R)),
    ("gather negative", lambda: ccdl.ones(2, 3).gather(1, i64(-1).reshape(1, 1)), (I, R)),
    ("scatter out of range", lambda: ccdl.ones(3).scatter(0, i64(3), 1.0), (I, R)),
    ("scatter_add -2^63", lambda: ccdl.ones(3).scatter_add(0, i64(MIN), ccdl.ones(1)), (I, R)),
    ("index_select out of range", lambda: ccdl.ones(3).index_select(0, i64(5)), (I,)),
    ("index_add out of range", lambda: ccdl.ones(3).index_add(0, i64(5), ccdl.ones(1)), (I, R)),
    ("embedding id out of range", lambda: F.embedding(i64(5), ccdl.ones(5, 2)), (I,)),
    ("embedding id negative", lambda: F.embedding(i64(-1), ccdl.ones(5, 2)), (I,)),
    ("one_hot class out of range", lambda: F.one_hot(i64(3), 3), (R, V, I)),
    ("one_hot negative", lambda: F.one_hot(i64(-1), 3), (R, V, I)),
    ("topk beyond the size", lambda: ccdl.ones(3).topk(4), (R, I, V)),
    ("topk negative", lambda: ccdl.ones(3).topk(-1), (R, I, V)),
    ("bincount of negatives", lambda: ccdl.bincount(i64(-1)), (R, V)),
    ("argmax of nothing", lambda: ccdl.ones(0).argmax(), (R, I, V)),
    ("max over an empty dim", lambda: ccdl.ones(2, 0).max(1), (R, I, V)),
    # labels
    ("label out of range", lambda: F.cross_entropy(ccdl.ones(2, 3), i64(0, 3)), (I,)),
    ("label negative", lambda: F.cross_entropy(ccdl.ones(2, 3), i64(0, -1)), (I,)),
    ("label -2^63", lambda: F.nll_loss(ccdl.ones(2, 3), i64(0, MIN)), (I,)),
    ("labels of another batch", lambda: F.cross_entropy(ccdl.ones(2, 3), i64(0, 1, 2)), (R, V)),
    ("multi margin label", lambda: F.multi_margin_loss(ccdl.ones(2, 3), i64(0, 9)), (I, R, V)),
    # convolution and pooling
    ("conv groups zero", lambda: F.conv2d(x4(), w4(), groups=0), (R, V)),
    ("conv groups negative", lambda: F.conv2d(x4(), w4(), groups=-1), (R, V)),
    ("conv groups do not divide", lambda: F.conv2d(x4(), w4(), groups=3), (R, V)),
    ("conv stride zero", lambda: F.conv2d(x4(), w4(), stride=0), (R, V)),
    ("conv stride negative", lambda: F.conv2d(x4(), w4(), stride=-1), (R, V)),
    ("conv dilation zero", lambda: F.conv2d(x4(), w4(), dilation=0), (R, V)),
    ("conv dilation huge", lambda: F.conv2d(x4(), w4(), dilation=BIG), (R, V)),
    ("conv padding negative", lambda: F.conv2d(x4(), w4(), padding=-1), (R, V)),
    ("conv padding huge", lambda: F.conv2d(x4(), w4(), padding=BIG), (R, V, M)),
    ("conv kernel larger than the input", lambda: F.conv2d(x4(), ccdl.ones(1, 4, 9, 9)), (R, V)),
    ("conv channel mismatch", lambda: F.conv2d(x4(), ccdl.ones(6, 3, 3, 3)), (R, V)),
    ("conv of nine dimensions", lambda: F.conv2d(ccdl.ones(*[1] * 9), w4()), (R, V)),
    ("conv bias of another size", lambda: F.conv2d(x4(), w4(), ccdl.ones(5)), (R, V)),
    ("conv empty kernel", lambda: F.conv2d(x4(), ccdl.ones(6, 4, 0, 0)), (R, V)),
    ("conv stride list of three", lambda: F.conv2d(x4(), w4(), stride=(1, 1, 1)), (R, V, T)),
    ("transposed conv output padding", lambda: F.conv_transpose2d(x4(), ccdl.ones(4, 2, 3, 3), output_padding=2), (R, V)),
    ("transposed conv stride zero", lambda: F.conv_transpose2d(x4(), ccdl.ones(4, 2, 3, 3), stride=0), (R, V)),
    ("transposed conv huge stride", lambda: F.conv_transpose2d(x4(), ccdl.ones(4, 2, 3, 3), stride=BIG), (R, V, M)),
    ("max pool stride zero", lambda: F.max_pool2d(x4(), 2, stride=0), (R, V)),
    ("max pool kernel zero", lambda: F.max_pool2d(x4(), 0), (R, V)),
    ("max pool padding beyond half", lambda: F.max_pool2d(x4(), 2, padding=2), (R, V)),
    ("max pool kernel huge", lambda: F.max_pool2d(x4(), BIG), (R, V)),
    ("max pool dilation zero", lambda: F.max_pool2d(x4(), 2, dilation=0), (R, V)),
    ("average pool divisor zero", lambda: F.avg_pool2d(x4(), 2, divisor_override=0), (R, V)),
    ("adaptive pool negative", lambda: F.adaptive_avg_pool2d(x4(), -1), (R, V)),
    ("adaptive pool beyond memory", lambda: F.adaptive_avg_pool2d(x4(), 2**40), (R, V, M)),
    ("unpool index out of range", lambda: F.max_unpool2d(ccdl.ones(1, 1, 1, 1), ccdl.full((1, 1, 1, 1), 99), 2), (R, I, V)),
    ("unpool index negative", lambda: F.max_unpool2d(ccdl.ones(1, 1, 1, 1), ccdl.full((1, 1, 1, 1), -1), 2), (R, I, V)),
    ("pad below zero size", lambda: F.pad(ccdl.ones(3), (-2, -2)), (R, V)),
    ("pad odd list", lambda: F.pad(ccdl.ones(3), (1,)), (R, V)),
    ("pad overflow", lambda: F.pad(ccdl.ones(3), (MAX, MAX)), (R, V, M)),
    ("reflect beyond the size", lambda: F.pad(ccdl.ones(1, 1, 3, 3), (3, 3, 3, 3), mode="reflect"), (R, V)),
    # shapes and dtypes that do not fit
    ("matmul mismatch", lambda: ccdl.ones(2, 3) @ ccdl.ones(2, 3), (R, V)),
    ("matmul of a number", lambda: ccdl.matmul(ccdl.tensor(1.0), ccdl.ones(3)), (R, V)),
    ("bmm of matrices", lambda: ccdl.bmm(ccdl.ones(2, 2), ccdl.ones(2, 2)), (R, V)),
    ("broadcast mismatch", lambda: ccdl.ones(2, 3) + ccdl.ones(2, 4), (R, V)),
    ("in place growing", lambda: ccdl.ones(1).add_(ccdl.ones(3)), (R, V)),
    ("float into int in place", lambda: ccdl.ones(2, dtype=ccdl.int64).add_(0.5), (R, T)),
    ("write to an expanded tensor", lambda: ccdl.ones(1).expand(3).add_(1), (R, V)),
    ("cat of different ranks", lambda: ccdl.cat([ccdl.ones(2), ccdl.ones(2, 2)]), (R, V)),
    ("cat of nothing", lambda: ccdl.cat([]), (R, V)),
    ("stack of nothing", lambda: ccdl.stack([]), (R, V)),
    ("split zero", lambda: ccdl.ones(3).split(0), (R, V)),
    ("split sizes do not add up", lambda: ccdl.ones(3).split([1, 1]), (R, V)),
    ("chunk zero", lambda: ccdl.ones(3).chunk(0), (R, V)),
    ("einsum unknown", lambda: ccdl.einsum("ij,jk->il", ccdl.ones(2, 2), ccdl.ones(2, 2)), (R, V)),
    ("einsum operands missing", lambda: ccdl.einsum("ij,jk->ik", ccdl.ones(2, 2)), (R, V)),
    ("item of many", lambda: ccdl.ones(2).item(), (R, V)),
    ("truth of many", lambda: bool(ccdl.ones(2)), (R, V)),
    ("normalised shape empty", lambda: F.layer_norm(ccdl.ones(2, 3), ()), (R, V)),
    ("normalised shape mismatch", lambda: F.layer_norm(ccdl.ones(2, 3), (4,)), (R, V)),
    ("batch norm of one value", lambda: F.batch_norm(ccdl.ones(1, 3), None, None, training=True), (R, V)),
    ("group norm indivisible", lambda: F.group_norm(ccdl.ones(2, 3), 2), (R, V)),
    ("dropout beyond one", lambda: F.dropout(ccdl.ones(2), 1.5), (R, V)),
    ("bernoulli of two", lambda: ccdl.bernoulli(ccdl.full((2,), 2.0)), (R, V)),
    ("multinomial of negatives", lambda: ccdl.multinomial(-ccdl.ones(3), 1), (R, V)),
    ("multinomial of too many", lambda: ccdl.multinomial(ccdl.ones(3), 4), (R, V)),
    ("randint empty range", lambda: ccdl.randint(3, 3, (2,)), (R, V)),
    # autograd
    ("integers requiring grad", lambda: ccdl.ones(2, dtype=ccdl.int64).requires_grad_(), (R,)),
    ("backward of nothing", lambda: ccdl.ones(1).backward(), (R,)),
    ("backward of many", lambda: ccdl.ones(2, requires_grad=True).exp().backward(), (R,)),
    ("gradient of another shape", lambda: ccdl.ones(2, requires_grad=True).exp().backward(ccdl.ones(3)), (R, V)),
    ("leaf in place", lambda: ccdl.ones(2, requires_grad=True).add_(1), (R,)),
    ("numpy of a graph", lambda: ccdl.ones(2, requires_grad=True).cpu().numpy(), (R,)),
    # counts of things that are made or repeated one by one
    ("encoder layers", lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), BIG), (V,)),
    ("decoder layers", lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 8), 10**7), (V,)),
    ("transformer layers", lambda: nn.Transformer(8, 2, num_encoder_layers=BIG, dim_feedforward=8), (V,)),
    ("recurrent layers", lambda: nn.RNN(4, 4, num_layers=BIG), (V,)),
    ("gated layers", lambda: nn.LSTM(4, 4, num_layers=2**31, proj_size=3), (V,)),
    ("residual blocks", lambda: ccdl.models.ResNet(ccdl.models.resnet.BasicBlock, [1, BIG, 1, 1]), (V,)),
    ("wide antialiased resizing", lambda: F.interpolate(ccdl.ones(1, 1, 30, 30), (3, 2**33), mode="bilinear", antialias=True), (M,)),
    ("GPT layers", lambda: ccdl.models.GPT(8, 8, num_layers=BIG), (V, T)),
    ("power iterations", lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=BIG), (V,)),
    ("power iterations of the hook", lambda: nn.utils.spectral_norm(nn.Linear(2, 2), n_power_iterations=BIG), (V,)),
    ("subspace iterations", lambda: ccdl.svd_lowrank(ccdl.ones(3, 3), 2, BIG), (V,)),
    ("loader workers", lambda: iter(data.DataLoader([1], num_workers=2**40)), (V,)),
    ("loader prefetch", lambda: iter(data.DataLoader([1], num_workers=1, prefetch_factor=2**40)), (V,)),
    ("samples mapped", lambda: ccdl.func.vmap(lambda x: x)(ccdl.ones(1).expand(2**40)), (V,)),
    ("order of the gamma function", lambda: ccdl.mvlgamma(ccdl.ones(3) * 1e13, 2**31), (V,)),
    ("combinations with repetition", lambda: ccdl.combinations(ccdl.ones(1), 2**40, True), (M,)),
    ("pairs of a million rows", lambda: F.pdist(ccdl.ones(1, 1).expand(2**20, 1)), (M,)),
    ("sampling grid", lambda: F.affine_grid(ccdl.ones(1, 2, 3), (1, 1, 2**30, 2**30)), (V, M)),
    # handles that nothing gave out
    ("stream of device -1", lambda: ccdl._C._cuda_stream_make(-1, 0), (R, V)),
    ("wait for device -1", lambda: ccdl._C._cuda_synchronize(-1), (R, V)),
    ("device beyond an int", lambda: ccdl._C._cuda_synchronize(2**32), (R, V)),
    ("reset of no graph", lambda: ccdl._C._cuda_graph_reset(1), (V,)),
    ("number of no graph", lambda: ccdl._C._cuda_graph_set_number(2**40, 0, 1.0), (V,)),
    ("count of no graph", lambda: ccdl._C._cuda_graph_set_count(-1, 3, 1), (V,)),
    ("replay of no graph", lambda: ccdl._C._cuda_graph_replay(0), (V,)),
    ("free of no event", lambda: ccdl._C._cuda_event_free(8), (V,)),
    # strange objects
    ("tensor of text", lambda: ccdl.tensor("text"), (T, V)),
    ("tensor of ragged lists", lambda: ccdl.tensor([[1.0], [1.0, 2.0]]), (T, V)),
    ("tensor of None", lambda: ccdl.tensor([None]), (T, V, R)),
    ("unknown device", lambda: ccdl.ones(2, device="tpu"), (R, V)),
    ("absent device", lambda: ccdl.ones(2, device="cuda:99"), (R,)),
    ("device index huge", lambda: ccdl.device("cuda:99999999999999999999"), (R, V)),
    ("unknown keyword", lambda: ccdl.ones(2, colour="red"), (T,)),
    ("from_dlpack of a number", lambda: ccdl.from_dlpack(3), (T, R, AttributeError, BufferError)),
]


def test_there_are_at_least_sixty() -> None:
    assert len(CALLS) >= 60
    assert len({name for name, _, _ in CALLS}) == len(CALLS)


@pytest.mark.parametrize(("call", "kinds"), [pytest.param(c, k, id=n) for n, c, k in CALLS])
def test_raises_and_stays_usable(call: Callable[[], Any], kinds: tuple[type[BaseException], ...]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    with pytest.raises(kinds) as caught:
        call()
        settle()
    seconds = time.perf_counter() - begin
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(str(caught.value)) > 10
    assert seconds < 1.0, f"took {seconds:.2f} s"  # 50 ms on an idle machine
    assert grown < 64 * 1024, f"took {grown} KiB"
    a = ccdl.arange(6, dtype=ccdl.float32).reshape(2, 3)
    assert (a @ a.t()).tolist() == [[5.0, 14.0], [14.0, 50.0]]


@pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint8"])
@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan"), 1e30, -1e30])
def test_a_number_that_an_integer_type_cannot_hold_is_refused(dtype, value):
    kind = getattr(ccdl, dtype)
    for call in (lambda: ccdl.full((2,), value, dtype=kind), lambda: ccdl.zeros(2, dtype=kind).fill_(value),
                 lambda: ccdl.full_like(ccdl.zeros(2, dtype=kind), value)):
        with pytest.raises(RuntimeError, match=f"cannot be converted to type {dtype} without overflow"):
            call()
    assert ccdl.full((1,), 5.7, dtype=kind).item() == 5


def test_edges_of_integer_types_fit():
    assert ccdl.full((1,), -(2**63), dtype=ccdl.int64).item() == -(2**63) and ccdl.full((1,), 2**63 - 1, dtype=ccdl.int64).item() == 2**63 - 1
    assert ccdl.full((1,), -128, dtype=ccdl.int8).item() == -128 and ccdl.full((1,), -1, dtype=ccdl.uint8).item() == 255
    for value, dtype in ((128, ccdl.int8), (-129, ccdl.int8), (256, ccdl.uint8), (-256, ccdl.uint8), (2**31, ccdl.int32), (-5.7, ccdl.uint8)):
        with pytest.raises(RuntimeError, match="without overflow"):
            ccdl.full((1,), value, dtype=dtype)


def test_handles_of_freed_events_are_refused():
    if not ccdl.cuda.is_available():
        assert ccdl.cuda.device_count() == 0
        return
    handle = ccdl._C._cuda_event_make(False)
    assert ccdl._C._cuda_event_query(handle)
    ccdl._C._cuda_event_free(handle)
    for call in (ccdl._C._cuda_event_free, ccdl._C._cuda_event_query, ccdl._C._cuda_event_synchronize):
        with pytest.raises(ValueError, match="handle of no live event"):
            call(handle)


def test_choices_of_more_than_there_are():
    assert ccdl.combinations(ccdl.ones(3), 2**40).shape == (0, 2**40)
    assert ccdl.combinations(ccdl.arange(4), 3).tolist() == [[0, 1, 2], [0, 1, 3], [0, 2, 3], [1, 2, 3]]
    assert ccdl.combinations(ccdl.arange(2), 3, True).tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 1], [1, 1, 1]]


def test_long_chains_of_products():
    turn = ccdl.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=ccdl.float64)
    for count in (2001, 2002):
        want = [[0.0, -1.0], [1.0, 0.0]] if count % 4 == 1 else [[-1.0, 0.0], [0.0, -1.0]]
        assert ccdl.linalg.multi_dot([turn] * count).tolist() == want
    vector = ccdl.tensor([1.0, 2.0], dtype=ccdl.float64)
    assert ccdl.linalg.multi_dot([turn] * 2001 + [vector]).tolist() == [-2.0, 1.0]
    assert ccdl.linalg.multi_dot([vector] + [turn] * 2001).tolist() == [2.0, -1.0]


def test_an_expanded_tensor_is_written_once():
    x = ccdl.ones(2, 1)
    begin = time.monotonic()
    x.unsqueeze(2).expand(2, 2**31, 2**20).fill_(3.0)
    assert x.tolist() == [[3.0], [3.0]]
    x.unsqueeze(2).expand(2, 2**31, 2**20).zero_()
    assert x.tolist() == [[0.0], [0.0]] and time.monotonic() - begin < 1
