"""ccdl: a deep-learning engine with PyTorch's names.

    import ccdl as torch
    import ccdl.nn as nn
    import ccdl.nn.functional as F

Importing ccdl loads the native module ``ccdl._C`` and nothing else: submodules (``nn``, ``optim``, ``utils``,
``autograd``, ...) and the few functions written in Python are loaded at first use. ``docs/compat.md`` says
for every name of PyTorch whether it works, is accepted without effect, or raises a clear error.
"""

from math import e, inf, nan, pi

from . import _C
from ._C import *
from ._C import Tensor, __version__, bool, device, dtype, float16, float32, float64, int8, int16, int32, int64

half = float16
float = float32
double = float64
short = int16
int = int32
long = int64

newaxis = None

# Submodules, imported when first touched.
_SUBMODULES = frozenset(
    "amp autograd backends cpu cuda distributions errors fft interpret linalg models nn onnx optim overrides "
    "random serialization special testing train types utils version vision".split()
)

# Names that live in a submodule: name -> (submodule, attribute).
_LAZY = {
    "no_grad": ("autograd.grad_mode", "no_grad"),
    "enable_grad": ("autograd.grad_mode", "enable_grad"),
    "set_grad_enabled": ("autograd.grad_mode", "set_grad_enabled"),
    "inference_mode": ("autograd.grad_mode", "inference_mode"),
    "einsum": ("_contractions", "einsum"),
    "tensordot": ("_contractions", "tensordot"),
    "chain_matmul": ("_contractions", "chain_matmul"),
    "save": ("serialization", "save"),
    "load": ("serialization", "load"),
    "set_printoptions": ("_tensor_str", "set_printoptions"),
    "finfo": ("_type_info", "finfo"),
    "iinfo": ("_type_info", "iinfo"),
    "autocast": ("amp", "autocast"),
}

# Parts of PyTorch that ccdl leaves out, with the reason a user reads.
_ABSENT = {
    "jit": "ccdl runs eagerly and has no TorchScript; remove the jit calls",
    "fx": "ccdl has no symbolic tracer",
    "sparse": "ccdl has no sparse tensors",
    "quantization": "ccdl has no quantised tensors",
    "hub": "ccdl does not download code; build the model and load its weights from a safetensors file",
    "complex64": "complex dtypes are reserved and not implemented",
    "complex128": "complex dtypes are reserved and not implemented",
    "FloatTensor": "use ccdl.tensor(data, dtype=ccdl.float32)",
    "DoubleTensor": "use ccdl.tensor(data, dtype=ccdl.float64)",
    "LongTensor": "use ccdl.tensor(data, dtype=ccdl.int64)",
    "IntTensor": "use ccdl.tensor(data, dtype=ccdl.int32)",
    "BoolTensor": "use ccdl.tensor(data, dtype=ccdl.bool)",
    "ByteTensor": "use ccdl.tensor(data, dtype=ccdl.uint8)",
}


def __getattr__(name):
    import importlib

    if name in _LAZY:
        module, attribute = _LAZY[name]
        value = getattr(importlib.import_module("." + module, __name__), attribute)
        globals()[name] = value
        return value
    if name in _SUBMODULES:
        try:
            return importlib.import_module("." + name, __name__)
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    hint = f": {_ABSENT[name]}" if name in _ABSENT else ""
    raise AttributeError(f"module 'ccdl' has no attribute '{name}'{hint}")


def __dir__():
    return sorted(set(globals()) | set(_LAZY) | _SUBMODULES)


def is_tensor(obj):
    """True if ``obj`` is a :class:`ccdl.Tensor` (or an instance of a subclass)."""
    return isinstance(obj, Tensor)


def typename(obj):
    """The dotted name of an object's type, for messages.

    >>> import ccdl
    >>> ccdl.typename(ccdl.ones(2))
    'ccdl.Tensor'
    """
    if isinstance(obj, Tensor) and type(obj) is Tensor:
        return "ccdl.Tensor"
    kind = obj if isinstance(obj, type) else type(obj)
    module = kind.__module__
    return kind.__qualname__ if module in ("builtins", None) else f"{module}.{kind.__qualname__}"


def compile(model=None, **options):
    """Accepted for PyTorch's sake: returns the model (or function) unchanged, since ccdl runs eagerly.

    Works as a call, ``ccdl.compile(model)``, and as a decorator with or without options.
    """
    if model is None:
        return lambda target: target
    return model


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Accepted without effect: every ccdl op is deterministic at any thread count."""


def are_deterministic_algorithms_enabled():
    """Always True: see :func:`use_deterministic_algorithms`."""
    return True


def set_float32_matmul_precision(precision):
    """Accepted without effect on CPU, where float32 products are always exact float32 (``"highest"``)."""
    if precision not in ("highest", "high", "medium"):
        raise ValueError(
            f"set_float32_matmul_precision: precision is {precision!r}, must be 'highest', 'high' or 'medium'"
        )


def get_float32_matmul_precision():
    """Always ``"highest"``: see :func:`set_float32_matmul_precision`."""
    return "highest"
