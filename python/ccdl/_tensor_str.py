"""Text of tensors, in PyTorch's format: ``tensor([...], dtype=..., grad_fn=<...>)``.

Floats share one format per tensor: integers as "1.", others with 4 digits, or scientific where the range is
    large.
"""

from __future__ import annotations

import math
from typing import Any

from . import _C

__all__ = ["set_printoptions", "get_printoptions"]


class _Options:
    precision = 4
    threshold = 1000
    edgeitems = 3
    linewidth = 80
    sci_mode = None


PRINT_OPTS = _options = _Options()
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: Any = None,
    threshold: Any = None,
    edgeitems: Any = None,
    linewidth: Any = None,
    profile: Any = None,
    sci_mode: Any = None,
) -> None:
    """Options of tensor printing.

    Args:
        precision: digits after the point (4).
        threshold: more elements than this are summarised (1000).
        edgeitems: elements shown at each end when summarised (3).
        linewidth: characters per line (80).
        profile: 'default', 'short' or 'full' set all of these first; another text changes nothing.
        sci_mode: always (True) or never (False) scientific; None decides per tensor.

    >>> import ccdl
    >>> ccdl.set_printoptions(precision=2)
    >>> ccdl.tensor([1.12345])
    tensor([1.12])
    >>> ccdl.set_printoptions(profile="default")
    """
    if profile is not None:
        if not isinstance(profile, str):
            raise ValueError(f"set_printoptions: profile is {profile!r}, must be one of {sorted(_PROFILES)}")
        for name, value in _PROFILES.get(profile, {}).items():  # public code says "long", which never was one
            setattr(_options, name, value)
    for name, value in (
        ("precision", precision),
        ("threshold", threshold),
        ("edgeitems", edgeitems),
        ("linewidth", linewidth),
    ):
        if value is not None:
            setattr(_options, name, value)
    _options.sci_mode = sci_mode


def get_printoptions() -> Any:
    """The options of :func:`set_printoptions` as a dict."""
    return {k: getattr(_options, k) for k in ("precision", "threshold", "edgeitems", "linewidth", "sci_mode")}


class _Format:
    """Chooses one notation and width for all values of a tensor."""

    def __init__(self, values: Any, is_float: Any) -> None:
        self.is_float = is_float
        self.integral = True
        self.scientific = False
        self.width = 1
        if not is_float:
            self.width = max([1, *(len(str(v)) for v in values)])
            return
        finite = [abs(v) for v in values if v != 0 and math.isfinite(v)]
        if finite:
            self._choose(finite)
        if _options.sci_mode is not None:
            self.scientific = _options.sci_mode
        if finite:  # zeros are never wider, but for a minus sign that is not aligned to
            self.width = max(len(self._plain(v)) for v in values if v != 0 and math.isfinite(v))

    def _choose(self, finite):
        largest, smallest = max(finite), min(finite)
        self.integral = all(v == math.ceil(v) for v in finite)
        ratio = largest / smallest if smallest else math.inf
        if self.integral:
            self.scientific = ratio > 1000.0 or largest > 1e8
        else:
            self.scientific = ratio > 1000.0 or largest > 1e8 or smallest < 1e-4

    def _plain(self, value):
        if not self.is_float:
            return str(value)
        if not math.isfinite(value):
            return str(value)
        if self.scientific:
            return f"{value:.{_options.precision}e}"
        if self.integral:
            return f"{value:.0f}."
        return f"{value:.{_options.precision}f}"

    def __call__(self, value: Any) -> Any:
        return self._plain(value).rjust(self.width)


def _edge_values(t):
    """The elements that will be shown, as a flat list."""
    if t.dim() == 0 or t.numel() <= _options.threshold:
        return t.reshape(-1).tolist()
    n = _options.edgeitems
    for d in range(t.dim()):
        size = t.shape[d]
        if size > 2 * n:
            t = _C.cat((t.narrow(d, 0, n), t.narrow(d, size - n, n)), d)
    return t.reshape(-1).tolist()


def _row(t, indent, form, summarize):
    """One line-wrapped row of a 1-d tensor."""
    per_line = max(1, int(math.floor((_options.linewidth - indent) / (form.width + 2))))
    n = _options.edgeitems
    if summarize and t.shape[0] > 2 * n:
        texts = [form(v) for v in t[:n].tolist()] + [" ..."] + [form(v) for v in t[-n:].tolist()]
    else:
        texts = [form(v) for v in t.tolist()]
    lines = [", ".join(texts[i : i + per_line]) for i in range(0, len(texts), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(t, indent, form, summarize):
    if t.dim() == 0:
        return form(t.item())
    if t.dim() == 1:
        return _row(t, indent, form, summarize)
    n = _options.edgeitems
    if summarize and t.shape[0] > 2 * n:
        parts = [_nested(t[i], indent + 1, form, summarize) for i in range(n)]
        parts.append("...")
        parts += [_nested(t[i], indent + 1, form, summarize) for i in range(t.shape[0] - n, t.shape[0])]
    else:
        parts = [_nested(t[i], indent + 1, form, summarize) for i in range(t.shape[0])]
    separator = "," + "\n" * (t.dim() - 1) + " " * (indent + 1)
    return "[" + separator.join(parts) + "]"


def _values_text(t, indent):
    if t.numel() == 0:
        return "[]"
    is_float = t.is_floating_point()
    plain = t.detach().cpu()
    if is_float and t.dtype in (_C.float16, _C.bfloat16):
        plain = plain.float()
    form = _Format(_edge_values(plain), is_float)
    if plain.dim() == 0:
        form.width = 1
    return _nested(plain, indent, form, plain.numel() > _options.threshold)


def _tensor_str(self: _C.Tensor, indent: int) -> str:
    """The values alone, lines after the first indented."""
    return _values_text(self, indent)


def _suffixes(t):
    parts = []
    if t.device.type != "cpu":
        parts.append(f"device='{t.device}'")
    if t.numel() == 0 and t.dim() != 1:
        parts.append(f"size={tuple(t.shape)}")
    default = (_C.get_default_dtype(), _C.int64, _C.bool)
    if t.dtype not in default or (t.numel() == 0 and t.dtype != default[0]):
        parts.append(f"dtype={t.dtype}")
    try:
        node = t.grad_fn
    except RuntimeError:  # a view whose history ended with a write to its base
        parts.append("grad_fn=<Invalid>")
        return parts
    if node is not None:
        name = node.name() if callable(getattr(node, "name", None)) else type(node).__name__
        parts.append(f"grad_fn=<{name.rsplit('::', 1)[-1]}>")
    elif t.requires_grad:
        parts.append("requires_grad=True")
    return parts


def _str(t):
    """The text that ``repr`` and ``str`` of a tensor give."""
    previous = _C._set_grad_enabled(False)
    try:
        prefix = "tensor(" if type(t) is _C.Tensor or not _shows_class(t) else f"{type(t).__name__}("
        indent = len(prefix)
        text = _values_text(t, indent)
        parts = _suffixes(t)
    finally:
        _C._set_grad_enabled(previous)
    out = prefix + text
    line_length = len(out) - out.rfind("\n") + 1
    for part in parts:
        if line_length + len(part) + 2 > _options.linewidth:
            out += ",\n" + " " * indent + part
            line_length = indent + len(part)
        else:
            out += ", " + part
            line_length += len(part) + 2
    return out + ")"


def _shows_class(t):
    from .nn.parameter import Buffer, Parameter

    return not isinstance(t, (Parameter, Buffer))
