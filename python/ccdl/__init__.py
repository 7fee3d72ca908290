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
from ._C import Tensor, bool, device, dtype, float16, float32, float64, int8, int16, int32, int64


def _without_effect(*args, **kwargs):
    """What public code tells PyTorch's counters and compilers through ``torch._C``."""


for _name in (
    "_log_api_usage_once _jit_set_profiling_executor _jit_set_profiling_mode _jit_set_autocast_mode "
    "_jit_override_can_fuse_on_cpu _jit_override_can_fuse_on_gpu _jit_set_texpr_fuser_enabled "
    "_jit_set_nvfuser_enabled _get_tracing_state"
).split():
    setattr(_C, _name, _without_effect)
del _name


class _NoKeys:
    """PyTorch's sets of dispatch keys and guards over them, for code that names them; ccdl has no keys."""

    def __init__(self, *args, **kwargs):
        pass

    def __or__(self, other):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return None


class _AnyKey:
    def __getattr__(self, name):
        return name


class _NnNames:
    def __getattr__(self, name):
        import importlib

        return getattr(importlib.import_module("ccdl._nn_names"), name)


_C._nn = _NnNames()
_C.DispatchKeySet = _C._ExcludeDispatchKeyGuard = _C._AutoDispatchBelowAutograd = _NoKeys
_C.DispatchKey = _AnyKey()
_C._are_functorch_transforms_active = lambda: False
_C._TensorMeta = type(Tensor)
_C._LinAlgError = _C._error_classes["LinAlgError"]

half = float16
float = float32
double = float64
short = int16
int = int32
long = int64

newaxis = None

# Submodules, imported when first touched.
_SUBMODULES = frozenset(
    "__config__ _VF _dynamo _higher_order_ops _inductor _utils accelerator amp autograd backends compiler "
    "cpu cuda distributed distributions errors fft func functional futures fx hub jit library linalg "
    "models mps multiprocessing nn onnx ops optim overrides profiler quasirandom random serialization "
    "signal sparse special storage testing text torch_version train types utils version vision xpu".split()
)

# Names that live in a submodule: name -> (submodule, attribute).
_LAZY = {
    "FloatTensor": ("_legacy", "FloatTensor"),
    "DoubleTensor": ("_legacy", "DoubleTensor"),
    "HalfTensor": ("_legacy", "HalfTensor"),
    "BFloat16Tensor": ("_legacy", "BFloat16Tensor"),
    "LongTensor": ("_legacy", "LongTensor"),
    "IntTensor": ("_legacy", "IntTensor"),
    "ShortTensor": ("_legacy", "ShortTensor"),
    "CharTensor": ("_legacy", "CharTensor"),
    "ByteTensor": ("_legacy", "ByteTensor"),
    "BoolTensor": ("_legacy", "BoolTensor"),
    "no_grad": ("autograd.grad_mode", "no_grad"),
    "enable_grad": ("autograd.grad_mode", "enable_grad"),
    "set_grad_enabled": ("autograd.grad_mode", "set_grad_enabled"),
    "inference_mode": ("autograd.grad_mode", "inference_mode"),
    "autocast": ("amp.autocast_mode", "autocast"),
    "is_autocast_cpu_enabled": ("amp.autocast_mode", "is_autocast_cpu_enabled"),
    "set_autocast_cpu_enabled": ("amp.autocast_mode", "set_autocast_cpu_enabled"),
    "get_autocast_cpu_dtype": ("amp.autocast_mode", "get_autocast_cpu_dtype"),
    "set_autocast_cpu_dtype": ("amp.autocast_mode", "set_autocast_cpu_dtype"),
    "get_autocast_gpu_dtype": ("amp.autocast_mode", "get_autocast_gpu_dtype"),
    "set_autocast_gpu_dtype": ("amp.autocast_mode", "set_autocast_gpu_dtype"),
    "vmap": ("_vmap", "vmap"),
    "__version__": ("torch_version", "__version__"),
    "cond": ("_higher_order_ops.control_flow", "cond"),
    "while_loop": ("_higher_order_ops.control_flow", "while_loop"),
    "einsum": ("_contractions", "einsum"),
    "tensordot": ("_contractions", "tensordot"),
    "chain_matmul": ("_contractions", "chain_matmul"),
    "broadcast_shapes": ("_shapes", "broadcast_shapes"),
    "channel_shuffle": ("nn.functional", "channel_shuffle"),
    "cosine_similarity": ("nn.functional", "cosine_similarity"),
    "pairwise_distance": ("nn.functional", "pairwise_distance"),
    "pdist": ("nn.functional", "pdist"),
    "OutOfMemoryError": ("errors", "OutOfMemoryError"),
    "complex": ("_complex", "complex"),
    "polar": ("_complex", "polar"),
    "view_as_complex": ("_complex", "view_as_complex"),
    "view_as_real": ("_complex", "view_as_real"),
    "stft": ("_spectra", "stft"),
    "istft": ("_spectra", "istft"),
    "geqrf": ("linalg._reflectors", "geqrf"),
    "ormqr": ("linalg._reflectors", "ormqr"),
    "segment_reduce": ("_segments", "segment_reduce"),
    "histogramdd": ("_histograms", "histogramdd"),
    "sparse_coo_tensor": ("sparse", "sparse_coo_tensor"),
    "GradScaler": ("amp", "GradScaler"),
    "TypedStorage": ("storage", "TypedStorage"),
    "UntypedStorage": ("storage", "UntypedStorage"),
    "ScriptModule": ("jit", "ScriptModule"),
    "PyTorchFileReader": ("serialization", "PyTorchFileReader"),
    "save": ("serialization", "save"),
    "load": ("serialization", "load"),
    "set_printoptions": ("_tensor_str", "set_printoptions"),
    "finfo": ("_type_info", "finfo"),
    "iinfo": ("_type_info", "iinfo"),
}

_FUNCTIONS = (
    "addmv_ affine_grid_generator alpha_dropout_ bartlett_window blackman_window conj_physical_ "
    "constant_pad_nd cosine_embedding_loss ctc_loss detach_ embedding_bag empty_permuted "
    "feature_alpha_dropout_ fill fill_ frexp frobenius_norm gcd_ get_deterministic_debug_mode get_device "
    "get_num_interop_threads gradient grid_sampler hamming_window hann_window hinge_embedding_loss "
    "histogram imag index_put_ instance_norm is_deterministic_algorithms_warn_only_enabled is_distributed "
    "is_storage kaiser_window lcm_ ldexp_ lu lu_unpack margin_ranking_loss norm_except_dim nuclear_norm "
    "orgqr pca_lowrank poisson_nll_loss range resize_as_ rrelu rrelu_ scalar_tensor "
    "set_default_tensor_type set_deterministic_debug_mode set_flush_denormal set_num_interop_threads "
    "svd_lowrank triplet_margin_loss unravel_index unsafe_chunk unsafe_split unsafe_split_with_sizes "
    "vander xlogy_ zero_"
).split()
_LAZY.update((name, ("_functions", name)) for name in _FUNCTIONS)

_NATIVE = (
    "grid_sampler_2d grid_sampler_3d is_vulkan_available native_batch_norm native_channel_shuffle "
    "native_dropout native_group_norm native_layer_norm"
).split()
_LAZY.update((name, ("_native_names", name)) for name in _NATIVE)

_SYMBOLS = "_assert_async sym_float sym_int sym_ite sym_max sym_min sym_not sym_sqrt".split()
_LAZY.update((name, ("_symbols", name)) for name in _SYMBOLS)

_COPIES = (
    "alias_copy as_strided_copy as_strided_scatter detach_copy diagonal_copy expand_copy nonzero_static "
    "permute_copy select_copy slice_copy split_copy split_with_sizes_copy squeeze_copy t_copy transpose_copy "
    "unbind_copy unfold_copy unsqueeze_copy view_copy"
).split()
_LAZY.update((name, ("_copies", name)) for name in _COPIES)

_CONDITIONS = (
    "SymBool SymFloat SymInt _check _check_index _check_is_size _check_not_implemented _check_tensor_all "
    "_check_type _check_value"
).split()
_LAZY.update((name, ("_conditions", name)) for name in _CONDITIONS)

# Parts of PyTorch that ccdl leaves out, with the reason a user reads.
_ABSENT = {
    "quantization": "ccdl has no quantised tensors",
}


def __getattr__(name):
    import importlib

    if name in _LAZY:
        module, attribute = _LAZY[name]
        value = getattr(importlib.import_module("." + module, __name__), attribute)
        globals()[name] = value
        return value
    if name == "torch":  # PyTorch's package holds itself
        return importlib.import_module(__name__)
    if name in _SUBMODULES:
        return importlib.import_module("." + name, __name__)
    if name.startswith("_foreach_"):
        from . import _foreach

        if hasattr(_foreach, name):
            return getattr(_foreach, name)
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


def _assert(condition, message):
    """``assert condition, message`` as a function; a traced program would record it."""
    if isinstance(condition, Tensor):
        condition = condition.item()
    if not condition:
        raise AssertionError(message)


def spmm(input, mat2):
    """Matrix product: :func:`ccdl.mm` under the name that code with sparse graphs uses.

    >>> import ccdl
    >>> ccdl.spmm(ccdl.eye(2), ccdl.ones(2, 3)).shape
    ccdl.Size([2, 3])
    """
    return _C.mm(input, mat2)


def compile(model=None, **options):
    """Accepted for PyTorch's sake: returns the model (or function) unchanged, since ccdl runs eagerly.

    Works as a call, ``ccdl.compile(model)``, and as a decorator with or without options.
    """
    if model is None:
        return lambda target: target
    return model


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Accepted without effect: every ccdl op is deterministic at any thread count."""
    from . import _settings

    _settings._deterministic_warn_only = not not (mode and warn_only)


def are_deterministic_algorithms_enabled():
    """Always True: see :func:`use_deterministic_algorithms`."""
    return True


def set_float32_matmul_precision(precision):
    """How float32 matrices are multiplied on CUDA devices: ``"highest"`` in float32 arithmetic (the default),
    ``"high"`` and ``"medium"`` on tensor cores with operands rounded to tf32. The CPU computes in float32.

    See also ``ccdl.backends.cuda.matmul.fp32_precision``, which knows a third way.
    """
    if precision not in ("highest", "high", "medium"):
        raise ValueError(
            f"set_float32_matmul_precision: precision is {precision!r}, must be 'highest', 'high' or 'medium'"
        )
    from .backends import cuda

    cuda.matmul.fp32_precision = "ieee" if precision == "highest" else "tf32"


def get_float32_matmul_precision():
    """``"highest"`` or ``"high"``: see :func:`set_float32_matmul_precision`."""
    from .backends import cuda

    return "highest" if cuda.matmul.fp32_precision == "ieee" else "high"
