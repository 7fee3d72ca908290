"""Tensor methods that are rarely hot, written in Python; loaded by the native type at first use."""

from . import _C


def torch_function(cls, func, types, args=(), kwargs=None):
    """What a subclass of Tensor that says nothing else makes of a call: the usual, results of ``cls``."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with _C.DisableTorchFunctionSubclass():
        result = func(*args, **(kwargs or {}))
    return result if cls is _C.Tensor else _of_class(result, cls)


def _of_class(result, cls):
    if isinstance(result, _C.Tensor):
        return result if isinstance(result, cls) else result.as_subclass(cls)
    if isinstance(result, (tuple, list)) and any(isinstance(r, (_C.Tensor, tuple, list)) for r in result):
        return type(result)(_of_class(r, cls) for r in result)
    return result


def deepcopy(x, memo):
    """``copy.deepcopy`` of a leaf: own memory, same values, strides order, requires_grad and grad."""
    if id(x) in memo:
        return memo[id(x)]
    if not x.is_leaf:
        raise RuntimeError(
            "deepcopy: Only Tensors created explicitly by the user (graph leaves) support deepcopy "
            "at the moment; use x.detach().clone()"
        )
    import copy

    result = x.detach().clone()
    if type(x) is not _C.Tensor:
        result = _C.Tensor._make_subclass(type(x), result, x.requires_grad)
    elif x.requires_grad:
        result.requires_grad_()
    memo[id(x)] = result
    if x.grad is not None:
        result.grad = deepcopy(x.grad, memo)
    state = x.__dict__
    if state:
        result.__dict__.update(copy.deepcopy(state, memo))
    return result


def copy(x):
    """``copy.copy``: another tensor object over the same memory, with the same attributes."""
    if not x.is_leaf:
        result = x.detach()
    elif type(x) is _C.Tensor:
        result = x.detach().requires_grad_(x.requires_grad)
    else:
        result = _C.Tensor._make_subclass(type(x), x.detach(), x.requires_grad)
    result.__dict__.update(x.__dict__)
    return result


def _contiguous_strides(sizes):
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= max(size, 1)
    return tuple(reversed(strides))


def set_(x, source, storage_offset, size, stride):
    """``x`` made to show the memory of a tensor or of a storage, under sizes and strides of its own."""
    if source is None:
        whole = x.new_empty(0)
    elif isinstance(source, _C.Tensor):
        whole = source
    elif hasattr(source, "_flat"):
        whole = source._flat()
        if getattr(source, "dtype", None) is None:
            whole = whole.view(x.dtype)
    else:
        raise TypeError(f"set_(): argument 'source' must be Tensor or a storage, not {type(source).__name__}")
    if whole.dtype is not x.dtype:
        raise RuntimeError(f"set_: the source has dtype {whole.dtype}, the tensor {x.dtype}; they must agree")
    if size is not None:
        sizes = (size,) if isinstance(size, int) else tuple(size)
        if stride is None:
            stride = _contiguous_strides(sizes)
        strides = (stride,) if isinstance(stride, int) else tuple(stride)
        whole = whole.as_strided(sizes, strides, storage_offset or 0)
    elif storage_offset:
        whole = whole[storage_offset:]
    x.data = whole
    return x


def _rebuild(cls, data, dtype, shape, requires_grad, state, device="cpu"):
    x = _C.frombuffer(bytearray(data), dtype=dtype) if data else _C.empty(0, dtype=dtype, device="cpu")
    x = x.reshape(shape).to(device)
    if cls is not _C.Tensor:
        x = _C.Tensor._make_subclass(cls, x, requires_grad)
    elif requires_grad:
        x.requires_grad_()
    if state:
        x.__dict__.update(state)
    return x


def reduce_ex(x, protocol):
    """Pickling for transports between processes: values, dtype, shape, device, requires_grad, attributes."""
    flat = x.detach().contiguous().cpu()
    if flat.dtype is _C.bfloat16:
        flat = flat.view(_C.int16)
    data = memoryview(flat.reshape(-1)).cast("B").tobytes() if flat.numel() else b""
    requires_grad = x.requires_grad and x.is_leaf
    rest = (str(x.device),) if x.is_cuda else ()
    return _rebuild, (type(x), data, x.dtype, tuple(x.shape), requires_grad, dict(x.__dict__), *rest)


def format_(x, spec):
    """``format(x, spec)``: the number's format for a 0-d tensor, else its text."""
    if x.dim() == 0 and type(x) is _C.Tensor:
        return format(x.item(), spec)
    return object.__format__(x, spec)


def contains(x, element):
    """``element in x``: whether any value equals it."""
    if isinstance(element, (_C.Tensor, int, float, bool)):
        return bool((x == element).any())
    raise RuntimeError(
        f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element).__name__}"
    )


_TYPE_NAMES = {
    "float32": "FloatTensor",
    "float64": "DoubleTensor",
    "float16": "HalfTensor",
    "bfloat16": "BFloat16Tensor",
    "int64": "LongTensor",
    "int32": "IntTensor",
    "int16": "ShortTensor",
    "int8": "CharTensor",
    "uint8": "ByteTensor",
    "bool": "BoolTensor",
}


def type_(x, dtype, non_blocking=False):
    """``x.type()`` names the type; ``x.type(dtype)`` converts."""
    if dtype is None:
        return f"ccdl.{'cuda.' if x.is_cuda else ''}{_TYPE_NAMES[x.dtype.name]}"
    if isinstance(dtype, str):
        wanted = dtype.rsplit(".", 1)[-1]
        for name, text in _TYPE_NAMES.items():
            if text == wanted:
                return x.to(getattr(_C, name))
        raise ValueError(f"type: invalid type: '{dtype}'; use a ccdl dtype such as ccdl.float32")
    from ._legacy import _TypedConstructor

    if dtype is _C.Tensor:  # the type of a tensor made without saying which
        dtype = _C.get_default_dtype()
    elif isinstance(dtype, _TypedConstructor):
        dtype = dtype.dtype
    elif isinstance(dtype, type):
        raise ValueError(f"type: invalid type: '{dtype.__name__}'; use a ccdl dtype such as ccdl.float32")
    return x.to(dtype)


def apply_(x, function):
    """Replaces each element by ``function(element)``, in place; slow, for CPU tensors."""
    if x.requires_grad:
        raise RuntimeError("apply_: cannot call apply_ on a tensor that requires grad; use detach()")
    values = [function(v) for v in x.reshape(-1).tolist()]
    return x.copy_(_C.tensor(values, dtype=x.dtype).reshape(x.shape))


def new(x, data):
    """``x.new(data)``: data (a list or an array) as a tensor of the dtype and device of ``x``."""
    return _C.tensor(data, dtype=x.dtype, device=x.device)


def hardshrink(x, lambd):
    """``x`` where ``|x| > lambd``, else 0."""
    from .nn.functional import hardshrink as function

    return function(x, 0.5 if lambd is None else lambd)


def map_(x, other, function):
    """Replaces each element by ``function(element, element of other)``, in place; slow, for CPU tensors."""
    return _mapped("map_", (x, other), function)


def map2_(x, first, second, function):
    """:func:`map_` of three tensors."""
    return _mapped("map2_", (x, first, second), function)


def _mapped(name, tensors, function):
    x = tensors[0]
    if any(t.requires_grad for t in tensors):
        raise RuntimeError(f"{name}: cannot call {name} on a tensor that requires grad; use detach()")
    columns = [t.expand(x.shape).reshape(-1).tolist() for t in tensors]
    return x.copy_(_C.tensor([function(*row) for row in zip(*columns)], dtype=x.dtype).reshape(x.shape))


def frexp(x):
    """:func:`ccdl.frexp`."""
    from ._functions import frexp as function

    return function(x)


def histogram(x, bins, value_range, weight, density):
    """:func:`ccdl.histogram`."""
    from ._functions import histogram as function

    return function(x, bins, range=value_range, weight=weight, density=density)


def lu(x, pivot, get_infos):
    """:func:`ccdl.lu`."""
    from ._functions import lu as function

    return function(x, pivot is None or bool(pivot), bool(get_infos))


def untyped_storage(x):
    """The memory that ``x`` and its views share, in bytes."""
    from .storage import UntypedStorage

    return UntypedStorage(x)


def storage(x):
    """The memory that ``x`` and its views share, in elements of its dtype."""
    from .storage import TypedStorage

    return TypedStorage(x)


def dim_order(x):
    """The dimensions from the outermost in memory to the innermost."""
    return tuple(sorted(range(x.dim()), key=lambda d: (-x.stride(d), d)))


def nonzero_static(x, size, fill_value):
    """:func:`ccdl.nonzero` cut or filled up to ``size`` rows."""
    from ._copies import nonzero_static as function

    return function(x, size=size, fill_value=-1 if fill_value is None else fill_value)


def as_strided_scatter(x, src, size, stride, storage_offset):
    """:func:`ccdl.as_strided_scatter`."""
    from ._copies import as_strided_scatter as function

    return function(x, src, size, stride, storage_offset)


def to_sparse(x):
    """The entries that are not zero, with their coordinates: a ``ccdl.sparse.SparseTensor``."""
    from .sparse import _from_dense

    return _from_dense(x)


def stft(x, n_fft, hop_length, win_length, window, center, pad_mode, *rest):
    """:func:`ccdl.stft`."""
    from ._spectra import stft as function

    mode = "reflect" if pad_mode is None else pad_mode
    return function(x, n_fft, hop_length, win_length, window, center, mode, *rest)


def array_wrap(x, array):
    """What NumPy makes of a tensor among its operands: a tensor over the array it computed; truth values
    come as bytes."""
    from . import from_numpy

    if array.dtype == bool:
        array = array.astype("uint8")
    return from_numpy(array)
