"""How big a model is: layers, output shapes, neurons, weights, biases, operations and receptive fields.

Counted as lecture note 001 does: neurons are the units of layers with weights (one for each output value of a
linear layer, of a convolution one for each position and channel).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from .. import nn, no_grad, zeros

__all__ = ["LayerRow", "Summary", "receptive_field", "summary"]

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_POOLS = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)
_GLOBAL = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)


class LayerRow:
    """One call of a layer without children.

    Attributes:
        name, kind: dotted name and class name.
        output_shape: of the (first) result, batch included.
        neurons: units with weights, per sample.
        weights, biases: learnable parameters, counted where the layer is first called.
        flops: floating-point operations per sample, a multiplication and an addition being two.
        receptive_field: input positions that one output position sees, per spatial dimension, or None.
        trainable: whether any parameter takes gradients.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name, self.kind = name, kind
        self.output_shape: tuple[int, ...] = ()
        self.neurons = self.weights = self.biases = self.flops = 0
        self.receptive_field: tuple[int, ...] | None = None
        self.trainable = False

    @property
    def parameters(self) -> int:
        """Weights and biases together."""
        return self.weights + self.biases


class Summary:
    """What :func:`summary` returns; ``str()`` of it is the table, iteration gives the rows."""

    def __init__(self, title: str, rows: list[LayerRow], trainable: int, buffers: int, total: int) -> None:
        self.title, self.rows = title, rows
        self.trainable_parameters, self.buffer_elements, self.total_parameters = trainable, buffers, total

    def __iter__(self) -> Iterator[LayerRow]:
        return iter(self.rows)

    @property
    def neurons(self) -> int:
        return sum(r.neurons for r in self.rows)

    @property
    def weights(self) -> int:
        return sum(r.weights for r in self.rows)

    @property
    def biases(self) -> int:
        return sum(r.biases for r in self.rows)

    @property
    def flops(self) -> int:
        return sum(r.flops for r in self.rows)

    def __str__(self) -> str:
        head = ("layer", "output shape", "neurons", "weights", "biases", "FLOPs", "receptive field")
        table: list[tuple[str, ...]] = [head]
        for r in self.rows:
            field = "-" if r.receptive_field is None else "x".join(map(str, r.receptive_field))
            numbers = (r.neurons, r.weights, r.biases, r.flops)
            label = f"{r.name} ({r.kind})" if r.name else r.kind
            table.append((label, str(list(r.output_shape)), *(f"{n:,}" for n in numbers), field))
        widths = [max(len(row[i]) for row in table) for i in range(len(head))]
        lines = []
        for row in table:
            cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
            lines.append("  ".join(cells).rstrip())
        rule = "-" * max(map(len, lines))
        frozen = self.total_parameters - self.trainable_parameters
        split = f"trainable {self.trainable_parameters:,}, frozen {frozen:,}"
        foot = [
            f"parameters {self.total_parameters:,} ({split})",
            f"neurons {self.neurons:,}   weights {self.weights:,}   biases {self.biases:,}",
            f"FLOPs per sample {self.flops:,}   buffers {self.buffer_elements:,}",
        ]
        return "\n".join([self.title, rule, lines[0], rule, *lines[1:], rule, *foot])

    __repr__ = __str__


def _tuple(value: Any, n: int) -> tuple[int, ...]:
    return (value,) * n if isinstance(value, int) else tuple(value)


def _first_tensor(value: Any) -> Any:
    while isinstance(value, (tuple, list)) and value:
        value = value[0]
    if isinstance(value, dict) and value:
        return _first_tensor(next(iter(value.values())))
    return value if hasattr(value, "shape") else None


def _window(layer: nn.Module, n: int) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """(effective window, stride) of a layer over n spatial dimensions; None: it does not move over space."""
    if isinstance(layer, (*_CONVS, *_POOLS)):
        kernel = _tuple(layer.kernel_size, n)
        dilation = _tuple(getattr(layer, "dilation", 1), n)
        stride = _tuple(layer.kernel_size if layer.stride is None else layer.stride, n)
        return tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilation)), stride
    return None


def _flops(layer: nn.Module, x: Any, y: Any) -> int:
    """Of one sample; layers without a rule count one operation per output value if they compute at all."""
    values = math.prod(y.shape[1:])
    if isinstance(layer, nn.Linear):
        return values * (2 * layer.in_features - (layer.bias is None))
    if isinstance(layer, _CONVS):
        depth = layer.in_channels // layer.groups * math.prod(layer.kernel_size)
        return values * (2 * depth - (layer.bias is None))
    if isinstance(layer, _TRANSPOSED):
        depth = layer.out_channels // layer.groups * math.prod(layer.kernel_size)
        return 2 * math.prod(x.shape[1:]) * depth + (values if layer.bias is not None else 0)
    if isinstance(layer, _POOLS):
        return values * math.prod(_tuple(layer.kernel_size, y.dim() - 2))
    if isinstance(layer, _GLOBAL):
        return math.prod(x.shape[1:])
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
        return 2 * values  # folded into a scale and a shift
    if isinstance(layer, (nn.LayerNorm, nn.GroupNorm)):
        return 8 * values
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4, "PeepholeLSTM": 4}.get(type(layer).__name__)
    if gates is not None:  # a product with every weight at every step
        steps = x.shape[1] if getattr(layer, "batch_first", False) or x.dim() == 2 else x.shape[0]
        return 2 * steps * sum(p.numel() for p in layer.parameters())
    if isinstance(layer, (nn.Identity, nn.Flatten, nn.Unflatten, nn.Dropout, nn.Dropout2d, nn.Embedding)):
        return 0
    return values


class _Fields:
    """Receptive field and step of tensors along the pass: r' = r + (k - 1) j, j' = j s per dimension."""

    def __init__(self, dims: int) -> None:
        self.dims = dims
        self.widest = ((1,) * dims, (1,) * dims)  # so far: what sums and joins of tensors see

    def step(self, layer: nn.Module, x: Any, y: Any, input_size: tuple[int, ...]) -> tuple[int, ...] | None:
        if self.dims == 0 or x is None:
            return None
        field, jump = getattr(x, "_ccdl_field", self.widest)
        window = _window(layer, self.dims) if x.dim() == self.dims + 2 else None
        if window is not None:
            field = tuple(r + (k - 1) * j for r, k, j in zip(field, window[0], jump))
            jump = tuple(j * s for j, s in zip(jump, window[1]))
        elif isinstance(layer, (*_GLOBAL, nn.Linear)):
            field = input_size
        if field > self.widest[0]:
            self.widest = (field, jump)
        y._ccdl_field = (field, jump)
        return tuple(min(f, s) for f, s in zip(field, input_size))


def summary(
    model: nn.Module, input_size: Any = None, input_data: Any = None, batch_size: int = 1, title: str = ""
) -> Summary:
    """Runs the model once without gradients, in evaluation mode, and reports on every layer it called.

    Args:
        model: any module.
        input_size: shape of one input without the batch, or a list of shapes for several inputs.
        input_data: the inputs themselves instead (a tensor, or a tuple of them); batch first.
        batch_size: of the zeros made from ``input_size``.
        title: first line of the table.

    Receptive fields follow r' = r + (k - 1) j, j' = j s through convolutions and poolings; where tensors are
    added or joined between layers the widest one counts. Parameters used twice are counted once.

    Raises:
        ValueError: neither or both of input_size and input_data.

    >>> import ccdl
    >>> from ccdl.train.summary import summary
    >>> net = ccdl.nn.Sequential(ccdl.nn.Linear(3, 4), ccdl.nn.ReLU(), ccdl.nn.Linear(4, 2))
    >>> report = summary(net, (3,))
    >>> report.neurons, report.weights, report.biases, report.total_parameters
    (6, 20, 6, 26)
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"summary: model is {type(model).__name__}, must be a Module")
    if (input_size is None) == (input_data is None):
        raise ValueError(
            f"summary: give either input_size or input_data, got input_size={input_size!r} and "
            f"input_data={'None' if input_data is None else 'data'}"
        )
    if input_data is None:
        several = len(input_size) > 0 and isinstance(input_size[0], (tuple, list))
        device = next((p.device for p in model.parameters()), "cpu")
        shapes = input_size if several else [input_size]
        inputs = tuple(zeros(batch_size, *shape, device=device) for shape in shapes)
    else:
        inputs = tuple(input_data) if isinstance(input_data, (tuple, list)) else (input_data,)
    first = _first_tensor(inputs)
    space = tuple(first.shape[2:]) if first is not None and first.dim() > 2 else ()
    fields = _Fields(len(space))
    rows: list[LayerRow] = []
    counted: set[int] = set()

    def hook_for(name: str) -> Any:
        def hook(layer: nn.Module, args: Any, result: Any) -> None:
            y, x = _first_tensor(result), _first_tensor(args)
            if y is None:
                return
            row = LayerRow(name, type(layer).__name__)
            row.output_shape = tuple(y.shape)
            for key, p in layer.named_parameters(recurse=False):
                row.trainable = row.trainable or p.requires_grad
                if id(p) in counted:
                    continue
                counted.add(id(p))
                if "bias" in key:
                    row.biases += p.numel()
                else:
                    row.weights += p.numel()
            if isinstance(layer, (nn.Linear, *_CONVS, *_TRANSPOSED)):
                row.neurons = math.prod(y.shape[1:])
            if x is not None:
                row.flops = _flops(layer, x, y)
            row.receptive_field = fields.step(layer, x, y, space)
            rows.append(row)

        return hook

    handles = []
    for name, module in model.named_modules():
        own = any(True for _ in module.named_parameters(recurse=False))
        if own or not any(True for _ in module.children()):
            handles.append(module.register_forward_hook(hook_for(name)))
    modes = [(m, m.training) for m in model.modules()]
    try:
        model.eval()
        with no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for m, mode in modes:
            m.training = mode
    parameters = list(model.parameters())
    return Summary(
        title or type(model).__name__,
        rows,
        sum(p.numel() for p in parameters if p.requires_grad),
        sum(b.numel() for b in model.buffers()),
        sum(p.numel() for p in parameters),
    )


def receptive_field(model: nn.Module, input_size: Any) -> tuple[int, ...]:
    """Input positions that one position of the last convolution or pooling sees, per spatial dimension.

    >>> import ccdl
    >>> from ccdl.train.summary import receptive_field
    >>> net = ccdl.nn.Sequential(ccdl.nn.Conv2d(1, 1, 3), ccdl.nn.Conv2d(1, 1, 3), ccdl.nn.MaxPool2d(2))
    >>> receptive_field(net, (1, 32, 32))
    (6, 6)
    """
    rows = [r for r in summary(model, input_size) if r.receptive_field and len(r.output_shape) > 2]
    if not rows:
        raise ValueError(f"receptive_field: no layer of {type(model).__name__} moves over space")
    found = rows[-1].receptive_field
    assert found is not None
    return found
