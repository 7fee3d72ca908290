"""Rules for convolutions, pooling, norms, attention, recurrent cells and losses.

Layers know one batch dimension: the samples are folded into it, and where a weight differs between samples,
into the channels, as groups.
"""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd.function import Function
from .core import REFUSED, NoBatch, Refused, Rule
from .products import is_shared

_BATCH_NORM = (
    "Batch norm got a batched tensor as input while the running_mean or running_var, which will be updated "
    "in place, were not batched.\nIf you are using modules and do not need eval mode, please use "
    "`ccdl.func.replace_all_batch_norm_modules_`, or construct the norms with track_running_stats=False."
)


def _pair(v: Any) -> tuple[int, int]:
    return (v, v) if isinstance(v, int) else (tuple(v) * 2)[:2]  # type: ignore[return-value]


class SharedConv2d(Function):
    """Images x [B N, C, H, W] through one filter w[0], w [B, O, C, kh, kw] the same for all b: dw[b] sums
    over the images of sample b, as a product of dy [O, L] with the unfolded x [C kh kw, L].
    """

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, stride: Any, padding: Any, dilation: Any) -> Any:
        ctx.save_for_backward(x, w)
        ctx.form = stride, padding, dilation
        return _C.conv2d(x, w.select(0, 0), None, stride, padding, dilation)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = ctx.saved_tensors
        stride, padding, dilation = ctx.form
        dx = dw = None
        size = w.shape[0]
        if ctx.needs_input_grad[0]:
            extra = [
                x.shape[d + 2]
                - ((g.shape[d + 2] - 1) * stride[d] - 2 * padding[d] + dilation[d] * (w.shape[d + 3] - 1) + 1)
                for d in (0, 1)
            ]
            if _C.is_grad_enabled():  # differentiable by the filters of all samples
                folded = _C.conv_transpose2d(
                    _side_by_side(g.unflatten(0, (size, -1))), w.flatten(0, 1), None, stride, padding, extra,
                    size, dilation,
                )
                dx = _apart(folded, size).flatten(0, 1)
            else:
                dx = _C.conv_transpose2d(g, w.select(0, 0), None, stride, padding, extra, 1, dilation)
        if ctx.needs_input_grad[1]:
            columns = _C.im2col(x, w.shape[3:], dilation, padding, stride).unflatten(0, (size, -1))
            g = g.flatten(2).unflatten(0, (size, -1))
            if columns.shape[1] == 1:
                dw = _C.bmm(g.squeeze(1), columns.squeeze(1).transpose(1, 2))
            else:
                dw = _C.matmul(g, columns.transpose(2, 3)).sum(1)
            dw = dw.reshape(w.shape)
        return dx, dw, None, None, None


def _side_by_side(value: Any) -> Any:
    """[B, N, C, ...] as [N, B C, ...]"""
    return value.transpose(0, 1).flatten(1, 2)


def _apart(y: Any, size: int) -> Any:
    """[N, B O, ...] as [B, N, O, ...]"""
    return y.unflatten(1, (size, -1)).transpose(0, 1)


def conv(c: Any, x: Any, w: Any, b: Any = None, *rest: Any, **kwargs: Any) -> Any:
    space, turned = int(c.name[-2]), "transpose" in c.name
    names = ("stride", "padding", "output_padding", "groups", "dilation") if turned else _CONV
    form: dict[str, Any] = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
    if turned:
        form["output_padding"] = 0
    form.update(zip(names, rest))
    form.update(kwargs)
    if x.dim() not in (space + 1, space + 2) or w.dim() != space + 2:
        return NotImplemented
    size, single = c.frame.size, x.dim() == space + 1
    apart = b is not None and (c.holds(b) or c.holds(w))
    if not c.holds(w):
        value = x._value if c.holds(x) else x
        folds = c.holds(x) and not single
        y = c.func(value.flatten(0, 1) if folds else value, w, None if apart else b, **form)
        y = y.unflatten(0, (size, -1)) if folds else y
        if not c.holds(x):
            y = c.all(y)
    else:
        value = c.all(x).unsqueeze(1) if single else c.all(x)
        groups = form.pop("groups")
        plain = not turned and groups == 1 and not isinstance(form["padding"], str)
        if plain and space in (1, 2) and is_shared(w._value):
            y = _shared(value, w._value, space, form)
        elif plain and not c.holds(x) and not w.requires_grad and not x.requires_grad:
            y = _apart(c.func(value.select(0, 0), w._value.flatten(0, 1), None, groups=1, **form), size)
        else:
            y = c.func(_side_by_side(value), w._value.flatten(0, 1), None, groups=size * groups, **form)
            y = _apart(y, size)
        y = y.squeeze(1) if single else y
    if apart:
        offset = b._value if c.holds(b) else b.unsqueeze(0)
        y = y + offset.reshape(offset.shape[0], *(() if single else (1,)), -1, *(1,) * space)
    return c.wrap(y)


_CONV = ("stride", "padding", "dilation", "groups")


def _shared(value: Any, w: Any, space: int, form: dict[str, Any]) -> Any:
    images = value.flatten(0, 1)
    sizes = [form[n] for n in ("stride", "padding", "dilation")]
    if space == 1:
        ones = [v if isinstance(v, int) else v[0] for v in sizes]
        s, p, d = (1, ones[0]), (0, ones[1]), (1, ones[2])
        y = SharedConv2d.apply(images.unsqueeze(2), w.unsqueeze(3), s, p, d).squeeze(2)
    else:
        y = SharedConv2d.apply(images, w, *map(_pair, sizes))
    return y.unflatten(0, (value.shape[0], -1))


def folded(space: int) -> Rule:
    """A call on images [N, C, ...] or one image [C, ...]: samples become images."""

    def rule(c: Any, x: Any, *rest: Any, **kwargs: Any) -> Any:
        if any(isinstance(r, _C.Tensor) for r in (*rest, *kwargs.values())):
            return NotImplemented
        rank = x.dim() - (space or _space(c.name))
        if rank == 1:
            return c.wrap(c.func(x._value, *rest, **kwargs))
        if rank != 2:
            return NotImplemented
        result = c.func(x._value.flatten(0, 1), *rest, **kwargs)
        size = c.frame.size
        if isinstance(result, tuple):
            return tuple(c.wrap(r.unflatten(0, (size, -1))) for r in result)
        return c.wrap(result.unflatten(0, (size, -1)))

    return rule


def _space(name: str) -> int:
    return next(int(s) for s in name if s.isdigit())


def interpolate(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    if x.dim() < 3:
        return NotImplemented
    return c.wrap(c.func(x._value.flatten(0, 1), *args, **kwargs).unflatten(0, (c.frame.size, -1)))


def pad(c: Any, x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    if len(pad) > 2 * x.dim():
        return NotImplemented
    if mode == "constant":
        return c.wrap(c.func(x._value, pad, mode, value))
    space = len(pad) // 2
    if x.dim() == space + 2:
        return c.wrap(c.func(x._value.flatten(0, 1), pad, mode, value).unflatten(0, (c.frame.size, -1)))
    return c.wrap(c.func(x._value, pad, mode, value)) if x.dim() == space + 1 else NotImplemented


def pixel(c: Any, x: Any, factor: int) -> Any:
    return c.wrap(c.func(x._value, factor)) if x.dim() >= 3 else NotImplemented


def grid_sample(c: Any, x: Any, grid: Any, *args: Any, **kwargs: Any) -> Any:
    y = c.func(c.all(x).flatten(0, 1), c.all(grid).flatten(0, 1), *args, **kwargs)
    return c.wrap(y.unflatten(0, (c.frame.size, -1)))


def _affine(y: Any, weight: Any, bias: Any) -> Any:
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


def layer_norm(
    c: Any, x: Any, shape: Any, weight: Any = None, bias: Any = None, *rest: Any, **kw: Any
) -> Any:
    if c.holds(x) and not any(p is not None and c.holds(p) for p in (weight, bias)):
        return c.wrap(c.func(x._value, shape, weight, bias, *rest, **kw))
    y = c.func(x._value if c.holds(x) else x, shape, None, None, *rest, **kw)
    y = c.wrap(y) if c.holds(x) else y
    return _affine(y, weight, bias)


def rms_norm(c: Any, x: Any, shape: Any, weight: Any = None, eps: Any = None) -> Any:
    if c.holds(x) and not (weight is not None and c.holds(weight)):
        return c.wrap(c.func(x._value, shape, weight, eps))
    y = c.wrap(c.func(x._value, shape, None, eps)) if c.holds(x) else c.func(x, shape, None, eps)
    return _affine(y, weight, None)


def group_norm(
    c: Any, x: Any, groups: int, weight: Any = None, bias: Any = None, *rest: Any, **kw: Any
) -> Any:
    if x.dim() < 2:
        return NotImplemented
    shared = not any(p is not None and c.holds(p) for p in (weight, bias))
    if not c.holds(x):
        y = c.func(x, groups, None, None, *rest, **kw)
    else:
        given = (weight, bias) if shared else (None, None)
        y = c.func(x._value.flatten(0, 1), groups, *given, *rest, **kw)
        y = c.wrap(y.unflatten(0, (c.frame.size, -1)))
        if shared:
            return y
    form = (-1, *(1,) * (x.dim() - 2))
    weight, bias = (None if p is None else p.reshape(form) for p in (weight, bias))
    return _affine(y, weight, bias)


def batch_norm(
    c: Any, x: Any, weight: Any = None, bias: Any = None, running_mean: Any = None, running_var: Any = None,
    training: bool = False, momentum: Any = 0.1, *rest: Any, **kwargs: Any,
) -> Any:
    """Samples become channels, each with statistics of its own."""
    if x.dim() < 2:
        return NotImplemented
    if training and c.frame.copies:  # the statistics moved when the function ran for its outputs
        running_mean, running_var = (s if c.holds(s) else None for s in (running_mean, running_var))
    if training and any(s is not None and not c.holds(s) for s in (running_mean, running_var)):
        raise Refused(_BATCH_NORM)
    size = c.frame.size
    value = _side_by_side(c.all(x))
    given_ones = (weight, bias, running_mean, running_var)
    flat: list[Any] = [None if p is None else c.all(p).flatten(0, 1) for p in given_ones]
    y = c.func(value, *flat, training, momentum, *rest, **kwargs)
    for given, used in zip((running_mean, running_var), flat[2:]):
        if training and given is not None and used.data_ptr() != given._value.data_ptr():
            given._value.copy_(used.reshape(given._value.shape))
    return c.wrap(_apart(y, size))


def attention(
    c: Any,
    q: Any,
    k: Any,
    v: Any,
    mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **kw: Any,
) -> Any:
    """Leading dimensions of all operands become one."""
    if dropout_p > 0 and c.frame.randomness == "same":
        raise NoBatch("dropout of attention, the same for all samples")
    if dropout_p > 0 and c.frame.randomness == "error":
        raise Refused(REFUSED)
    rank = max(q.dim(), k.dim(), v.dim())
    if min(q.dim(), k.dim(), v.dim()) != rank or rank < 2 or c.name == "_attention":
        return NotImplemented
    lead = list(q.shape[:-2])
    if kw.get("enable_gqa") or list(k.shape[:-2]) != lead or list(v.shape[:-2]) != lead:
        if rank != 4 or mask is not None:
            return NotImplemented
        values = [c.all(t).flatten(0, 1) for t in (q, k, v)]
        y = c.func(*values, None, dropout_p, is_causal, **kw)
        return c.wrap(y.unflatten(0, (c.frame.size, -1)))
    values = [c.all(t) for t in (q, k, v)]
    if rank == 4:
        values = [t.flatten(0, 1) for t in values]
    elif rank > 4:
        values = [t.flatten(0, rank - 3) for t in values]
    if mask is not None:
        if mask.dim() > rank:
            return NotImplemented
        if c.holds(mask) or (rank >= 4 and mask.dim() > 3):
            full = c.aligned(mask, rank) if c.holds(mask) else mask
            full = full.expand(c.frame.size, *lead, *mask.shape[-2:]) if mask.dim() >= 2 else None
            if full is None:
                return NotImplemented
            mask = full.reshape(*values[0].shape[:-2], *mask.shape[-2:])
    y = c.func(*values, mask, dropout_p, is_causal, **kw)
    return c.wrap(y.reshape(c.frame.size, *lead, *y.shape[-2:]))


# ---- recurrent cells and layers ----


def _held(c: Any, *parts: Any) -> bool:
    return any(p is not None and c.holds(p) for p in parts)


def cell(
    c: Any, x: Any, hx: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, *rest: Any
) -> Any:
    states = list(hx) if isinstance(hx, (tuple, list)) else [hx]
    size = c.frame.size
    if not _held(c, w_ih, w_hh, b_ih, b_hh):
        if x.dim() == 1:
            values = [c.all(t) for t in (x, *states)]
        else:
            values = [c.all(t).flatten(0, 1) for t in (x, *states)]
        state = values[1:] if isinstance(hx, (tuple, list)) else values[1]
        result = c.func(values[0], state, w_ih, w_hh, b_ih, b_hh, *rest)
        several = isinstance(result, tuple)
        found = [
            r if x.dim() == 1 else r.unflatten(0, (size, -1)) for r in (result if several else (result,))
        ]
        return tuple(c.wrap(r) for r in found) if several else c.wrap(found[0])
    h = states[0]
    a, b = _C.linear(x, w_ih, b_ih), _C.linear(h, w_hh, b_hh)
    if c.name == "lstm_cell":
        i, f, g, o = (a + b).chunk(4, -1)
        new = f.sigmoid() * states[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * new.tanh(), new
    if c.name == "gru_cell":
        if rest and not rest[0]:
            return NotImplemented
        (ra, za, na), (rb, zb, nb) = a.chunk(3, -1), b.chunk(3, -1)
        z = (za + zb).sigmoid()
        n = (na + (ra + rb).sigmoid() * nb).tanh()
        return n + z * (h - n)
    return (a + b).tanh() if c.name == "rnn_tanh_cell" else (a + b).relu()


def recurrent(c: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """Samples become sequences of one batch, where they share the weights."""
    names = ("hx", "params", "has_biases", "num_layers", "dropout", "train", "bidirectional", "batch_first")
    form = dict(zip(names, args))
    drops = form.get("train") and form.get("dropout")
    if drops and c.frame.randomness != "different":
        raise NoBatch("dropout between recurrent layers")
    if kwargs or len(args) < len(names) or x.dim() != 3 or not c.holds(x) or _held(c, *form["params"]):
        return NotImplemented
    hx, at = form["hx"], 0 if form["batch_first"] else 1
    states = None if hx is None else list(hx) if isinstance(hx, (tuple, list)) else [hx]
    size = c.frame.size

    def together(v: Any, dim: int) -> Any:
        return v.movedim(0, dim).flatten(dim, dim + 1)

    if states is not None:
        states = [together(c.all(s), 1) for s in states]
    given = states if states is None or isinstance(hx, (tuple, list)) else states[0]
    y, *last = c.func(together(x._value, at), given, *args[1:])
    y = y.unflatten(at, (size, -1)).movedim(at, 0)
    return tuple(c.wrap(r) for r in (y, *(s.unflatten(1, (size, -1)).movedim(1, 0) for s in last)))


# ---- losses ----


def _reduce(c: Any, each: Any, reduction: str) -> Any:
    """``each``: losses per element of all samples."""
    if reduction == "none" or each.dim() == 1:
        return c.wrap(each)
    each = each.flatten(1)
    return c.wrap(each.sum(1) if reduction == "sum" else each.mean(1))


def loss(c: Any, x: Any, target: Any, *args: Any, **kwargs: Any) -> Any:
    reduction = kwargs.pop("reduction", "mean")
    if reduction not in ("none", "mean", "sum"):
        return NotImplemented
    rank = max(x.dim(), target.dim())
    if x.shape != target.shape and any(t.dim() for t in (x, target)) and min(x.dim(), target.dim()) == 0:
        return NotImplemented
    if c.name == "binary_cross_entropy" and x.shape != target.shape:
        return NotImplemented

    def brought(v: Any) -> Any:
        return c.aligned(v, rank) if isinstance(v, _C.Tensor) else v

    if not isinstance(args[2] if len(args) > 2 else "", str):
        return NotImplemented
    if len(args) > 2:
        reduction, args = args[2], args[:2]
        if reduction not in ("none", "mean", "sum"):
            return NotImplemented
    values = [brought(x), brought(target)]
    if values[0].shape != values[1].shape:
        values = list(_C.broadcast_tensors(*values))
    rest = [brought(a) for a in args]
    named = {k: brought(v) for k, v in kwargs.items()}
    return _reduce(c, c.func(*values, *rest, reduction="none", **named), reduction)


def kl_div(c: Any, x: Any, target: Any, reduction: Any = "none", **kwargs: Any) -> Any:
    if reduction not in ("none", "mean", "sum", "batchmean") or x.shape != target.shape:
        return NotImplemented
    each = c.func(c.all(x), c.all(target), "none", **kwargs)
    if reduction == "batchmean":
        return c.wrap(each.flatten(1).sum(1) / x.shape[0]) if x.dim() else NotImplemented
    return _reduce(c, each, reduction)


def class_loss(
    c: Any, x: Any, target: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
    **kwargs: Any,
) -> Any:
    """cross_entropy and nll_loss: the mean is over the weights of the classes met."""
    if reduction not in ("none", "mean", "sum") or (weight is not None and c.holds(weight)) or x.dim() == 0:
        return NotImplemented
    size, probabilities = c.frame.size, target.is_floating_point()
    wanted = x.shape if probabilities else (x.shape[:1] + x.shape[2:] if x.dim() > 1 else ())
    if tuple(target.shape) != tuple(wanted):
        return NotImplemented
    a, t = c.all(x), c.all(target)
    if x.dim() > 1:
        a, t = a.flatten(0, 1), t.flatten(0, 1)
    if reduction != "none" and x.dim() > 1 and x.shape[0] == 0:
        return NotImplemented
    each = c.func(a, t, weight=weight, ignore_index=ignore_index, reduction="none", **kwargs)
    form = target.shape if not probabilities else x.shape[:1] + x.shape[2:] if x.dim() > 1 else ()
    each = each.reshape(size, *form)
    if reduction == "none":
        return c.wrap(each)
    each = each.reshape(size, -1)
    total = each.sum(1)
    if reduction == "sum":
        return c.wrap(total)
    if probabilities:
        return c.wrap(total / each.shape[1])
    kept = t.reshape(size, -1) != ignore_index
    if weight is None:
        return c.wrap(total / kept.sum(1))
    each_weight = weight[_C.where(kept, t.reshape(size, -1), 0)] * kept
    return c.wrap(total / each_weight.sum(1))


def prelu(c: Any, x: Any, weight: Any) -> Any:
    if weight.numel() > 1 and x.dim() < 2:
        return NotImplemented
    form = (1,) * max(x.dim(), 1) if weight.numel() == 1 else (1, -1, *(1,) * (x.dim() - 2))
    w = weight.reshape(form) if x.dim() else weight.reshape(())
    return _C.where(x > 0, x, w * x)


RULES: dict[str, Rule] = {
    **{f"conv{t}{n}d": conv for t in ("", "_transpose") for n in (1, 2, 3)},
    **{
        f"{k}_pool{n}d": folded(n)
        for k in ("avg", "max", "adaptive_avg", "adaptive_max")
        for n in (1, 2, 3)
    },
    **{f"max_pool{n}d_with_indices": folded(n) for n in (1, 2, 3)},
    "im2col": folded(2),
    "interpolate": interpolate,
    "pad": pad,
    "pixel_shuffle": pixel,
    "pixel_unshuffle": pixel,
    "grid_sample": grid_sample,
    "layer_norm": layer_norm,
    "rms_norm": rms_norm,
    "group_norm": group_norm,
    "batch_norm": batch_norm,
    "scaled_dot_product_attention": attention,
    "_attention": attention,
    **dict.fromkeys("lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell".split(), cell),
    **dict.fromkeys("lstm gru rnn_tanh rnn_relu".split(), recurrent),
    **dict.fromkeys(
        "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy "
        "binary_cross_entropy_with_logits".split(),
        loss,
    ),
    "kl_div": kl_div,
    "cross_entropy": class_loss,
    "nll_loss": class_loss,
    "prelu": prelu,
}
