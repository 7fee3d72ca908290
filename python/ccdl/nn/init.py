"""Initialisers: each fills a tensor in place, unrecorded, from ccdl's generator, and returns it.

fan_in is the number of values that feed one output (size(1) times the receptive field), fan_out that of
outputs fed.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import _C
from .._C import Tensor

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "delta_orthogonal_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "lecun_normal_",
    "lsuv_",
    "normal",
    "normal_",
    "notes_uniform_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]


class _unrecorded:
    def __enter__(self) -> None:
        self.previous = _C._set_grad_enabled(False)

    def __exit__(self, *exc_info: Any) -> None:
        _C._set_grad_enabled(self.previous)


_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: Any, param: Any = None) -> Any:
    """The factor that keeps the signal's scale through a nonlinearity; ``param`` is leaky_relu's slope.

    >>> import ccdl.nn as nn
    >>> nn.init.calculate_gain("tanh")
    1.6666666666666667
    """
    if nonlinearity == "leaky_relu":
        if param is None:
            slope = 0.01
        elif isinstance(param, (int, float)) and not isinstance(param, bool):
            slope = param
        else:
            raise ValueError(f"calculate_gain: negative_slope {param} not a valid number")
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            f"calculate_gain: nonlinearity is {nonlinearity!r}, must be 'leaky_relu' or one of "
            f"{sorted(_GAINS)}"
        )
    return _GAINS[nonlinearity]


def _fans(tensor):
    if tensor.dim() < 2:
        raise ValueError(
            "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions, got "
            f"{list(tensor.shape)}"
        )
    field = 1
    for size in tensor.shape[2:]:
        field *= size
    return tensor.shape[1] * field, tensor.shape[0] * field


_calculate_fan_in_and_fan_out = _fans


def _correct_fan(tensor, mode):
    mode = str(mode).lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _fans(tensor)
    return fan_in if mode == "fan_in" else fan_out


_calculate_correct_fan = _correct_fan


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Uniform in [a, b)."""
    with _unrecorded():
        return tensor.uniform_(a, b, generator=generator)


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Normal with the given mean and standard deviation."""
    with _unrecorded():
        return tensor.normal_(mean, std, generator=generator)


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Any = None,
) -> Any:
    """Normal limited to [a, b], by inverting the distribution function of the interval.

    >>> import ccdl, ccdl.nn as nn
    >>> nn.init.trunc_normal_(ccdl.empty(100)).abs().max().item() <= 2
    True
    """
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            "trunc_normal_: mean is more than 2 std from [a, b]; the distribution may be incorrect",
            stacklevel=2,
        )

    def phi(x):
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    with _unrecorded():
        low, high = phi((a - mean) / std), phi((b - mean) / std)
        tensor.uniform_(2 * low - 1, 2 * high - 1, generator=generator)
        tensor.erfinv_()
        return tensor.mul_(std * math.sqrt(2.0)).add_(mean).clamp_(min=a, max=b)


def constant_(tensor: Tensor, val: Any) -> Any:
    """All elements ``val``. Equal weights never break symmetry: use for biases only."""
    with _unrecorded():
        return tensor.fill_(val)


def ones_(tensor: Tensor) -> Any:
    """All elements 1."""
    return constant_(tensor, 1.0)


def zeros_(tensor: Tensor) -> Any:
    """All elements 0."""
    return constant_(tensor, 0.0)


def eye_(tensor: Tensor) -> Any:
    """Ones on the diagonal of a 2-d tensor, zeros elsewhere."""
    if tensor.dim() != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got {list(tensor.shape)}")
    with _unrecorded():
        tensor.zero_()
        tensor.diagonal().fill_(1)
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Any:
    """A convolution weight (3-5-d) that copies as many input channels as possible, in each group."""
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(f"Only tensors with 3, 4, or 5 dimensions are supported, got {list(tensor.shape)}")
    if tensor.shape[0] % groups:
        raise ValueError(f"dirac_: dim 0 ({tensor.shape[0]}) must be divisible by groups ({groups})")
    per_group = tensor.shape[0] // groups
    centre = tuple(size // 2 for size in tensor.shape[2:])
    with _unrecorded():
        tensor.zero_()
        for g in range(groups):
            for d in range(min(per_group, tensor.shape[1])):
                place = (g * per_group + d, d) + centre
                tensor[place] = 1
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform with variance ``gain^2 2 / (fan_in + fan_out)``. Source: Glorot and Bengio, 2010."""
    fan_in, fan_out = _fans(tensor)
    bound = gain * math.sqrt(6.0 / float(fan_in + fan_out))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with variance ``gain^2 2 / (fan_in + fan_out)``. Source: Glorot and Bengio, 2010."""
    fan_in, fan_out = _fans(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(fan_in + fan_out)), generator)


def lecun_normal_(tensor: Tensor, generator: Any = None) -> Any:
    """Normal with variance ``1 / fan_in``, the older form of Xavier initialisation. Source: LeCun et al.,
    1998.
    """
    return normal_(tensor, 0.0, math.sqrt(1.0 / _fans(tensor)[0]), generator)


def _is_empty(tensor):
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=3)
        return True
    return False


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """Uniform with variance ``gain^2 / fan``. Source: He et al., 2015."""
    if _is_empty(tensor):
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_correct_fan(tensor, mode))
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Any = None,
) -> Any:
    """Normal with variance ``gain^2 / fan``: 2 / fan_in for ReLU. Source: He et al., 2015."""
    if _is_empty(tensor):
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_correct_fan(tensor, mode))
    return normal_(tensor, 0.0, std, generator)


def _orthogonal_matrix(rows, cols, dtype, generator):
    """A random [rows, cols] matrix with orthonormal rows or columns (whichever are fewer): QR with positive
    diagonal of R, which makes it uniform (Haar)."""
    tall, narrow = max(rows, cols), min(rows, cols)
    gaussian = _C.empty((tall, narrow), dtype=_C.float64, device="cpu").normal_(generator=generator)
    q, r = _C._linalg_qr(gaussian, "reduced")
    diagonal = r.diagonal()
    q = q * _C.where(diagonal < 0, -1.0, 1.0).to(q.dtype)
    return (q if rows >= cols else q.t()).to(dtype)


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Any:
    """A random (semi-)orthogonal matrix of shape [size(0), rest], times ``gain``. Source: Saxe et al., 2014.

    >>> import ccdl, ccdl.nn as nn
    >>> w = nn.init.orthogonal_(ccdl.empty(3, 5))
    >>> bool(((w @ w.T - ccdl.eye(3)).abs() < 1e-5).all())
    True
    """
    if tensor.dim() < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported, got {list(tensor.shape)}")
    if tensor.numel() == 0:
        return tensor
    rows = tensor.shape[0]
    with _unrecorded():
        matrix = _orthogonal_matrix(rows, tensor.numel() // rows, tensor.dtype, generator)
        tensor.copy_(matrix.reshape(tensor.shape)).mul_(gain)
    return tensor


def delta_orthogonal_(tensor: Tensor, gain: float = 1, generator: Any = None) -> Any:
    """A convolution weight [out, in, ...] that is an orthogonal matrix at the kernel's centre and zero
    elsewhere, so that the convolution keeps norms; needs out >= in. Source: Xiao et al., 2018 (plain networks
    of 10,000 layers).
    """
    if tensor.dim() not in (3, 4, 5):
        raise ValueError(f"delta_orthogonal_: tensor is {list(tensor.shape)}, must have 3, 4 or 5 dimensions")
    out, inner = tensor.shape[:2]
    if inner > out:
        raise ValueError(f"delta_orthogonal_: in_channels ({inner}) must not exceed out_channels ({out})")
    with _unrecorded():
        tensor.zero_()
        centre = tuple((size - 1) // 2 for size in tensor.shape[2:])
        matrix = _orthogonal_matrix(out, inner, tensor.dtype, generator).to(tensor.device) * gain
        tensor[(slice(None), slice(None)) + centre] = matrix
    return tensor


def sparse_(tensor: Tensor, sparsity: Any, std: float = 0.01, generator: Any = None) -> Any:
    """Normal values with the share ``sparsity`` of each column set to zero (2-d). Source: Martens, 2010."""
    if tensor.dim() != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got {list(tensor.shape)}")
    rows, cols = tensor.shape
    zeros = math.ceil(sparsity * rows)
    with _unrecorded():
        tensor.normal_(0, std, generator=generator)
        for col in range(cols):
            picked = _C.randperm(rows, generator=generator)[:zeros]
            tensor[picked, col] = 0
    return tensor


def notes_uniform_(tensor: Tensor, generator: Any = None) -> Any:
    """Uniform in +-0.25: the initial word vectors of the notes on sentence classification."""
    return uniform_(tensor, -0.25, 0.25, generator)


def lsuv_(model: Any, input: Any, target_var: float = 1.0, tol: float = 0.1, max_iter: int = 10) -> Any:
    """Layer-sequential unit variance: orthogonal weights, then each layer's weight is scaled, in the order of
    the forward pass, until its output on ``input`` has variance ``target_var``.

    Every Linear and convolution in ``model`` is treated; biases become 0. Returns the variances reached, by
    name.

    Source: Mishkin and Matas, All you need is a good init, 2016.

    >>> import ccdl, ccdl.nn as nn
    >>> net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    >>> sorted(nn.init.lsuv_(net, ccdl.randn(64, 8)))
    ['0', '2']
    """
    from .modules.conv import _ConvNd
    from .modules.linear import Linear

    layers = {name: m for name, m in model.named_modules() if isinstance(m, (Linear, _ConvNd))}
    if not layers:
        raise ValueError("lsuv_: the model has no Linear or convolution layer")
    order: list[str] = []
    output: dict[str, Tensor] = {}

    def watch(name):
        def hook(module, inputs, result):
            if name not in order:
                order.append(name)
            output[name] = result

        return hook

    reached = {}
    with _unrecorded():
        for layer in layers.values():
            orthogonal_(layer.weight)
            if layer.bias is not None:
                layer.bias.zero_()
        handles = [m.register_forward_hook(watch(name)) for name, m in layers.items()]
        try:
            model(input)
            for name in list(order):
                for _ in range(max_iter + 1):
                    model(input)
                    reached[name] = float(output[name].var(correction=0))
                    if not math.isfinite(reached[name]) or reached[name] == 0:
                        raise ValueError(f"lsuv_: the output of layer {name!r} has variance {reached[name]}")
                    if abs(reached[name] - target_var) < tol * target_var:
                        break
                    layers[name].weight.mul_(math.sqrt(target_var / reached[name]))
        finally:
            for handle in handles:
                handle.remove()
    return reached


# Private names that public code takes: the initialisers record nothing anyway.
_no_grad_uniform_ = uniform_
_no_grad_normal_ = normal_
_no_grad_trunc_normal_ = trunc_normal_
_no_grad_fill_ = constant_
_no_grad_zero_ = zeros_


def _deprecated(function: Any) -> Any:
    """The older name of an initialiser, without the underscore."""
    name = function.__name__[:-1]

    def older(*args: Any, **kwargs: Any) -> Any:
        import warnings

        warnings.warn(
            f"nn.init.{name} is now deprecated in favor of nn.init.{name}_.", FutureWarning, stacklevel=2
        )
        return function(*args, **kwargs)

    older.__name__ = older.__qualname__ = name
    older.__doc__ = f"Deprecated: the older name of :func:`{name}_`."
    return older


uniform = _deprecated(uniform_)
normal = _deprecated(normal_)
constant = _deprecated(constant_)
eye = _deprecated(eye_)
dirac = _deprecated(dirac_)
xavier_uniform = _deprecated(xavier_uniform_)
xavier_normal = _deprecated(xavier_normal_)
kaiming_uniform = _deprecated(kaiming_uniform_)
kaiming_normal = _deprecated(kaiming_normal_)
orthogonal = _deprecated(orthogonal_)
sparse = _deprecated(sparse_)
