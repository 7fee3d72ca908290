# What type checkers see of ccdl: the extension's own stub plus the names that are loaded at first use.
from typing import Any, TypeVar

from . import autograd as autograd
from . import backends as backends
from . import cpu as cpu
from . import cuda as cuda
from . import errors as errors
from . import linalg as linalg
from . import models as models
from . import nn as nn
from . import optim as optim
from . import random as random
from . import train as train
from . import utils as utils
from . import version as version
from ._C import *
from ._C import Tensor as Tensor
from ._C import __version__ as __version__
from ._C import bool as bool
from ._C import float16 as half
from ._C import float32 as float
from ._C import float64 as double
from ._C import int16 as short
from ._C import int32 as int
from ._C import int64 as long
from ._contractions import chain_matmul as chain_matmul
from ._contractions import einsum as einsum
from ._contractions import tensordot as tensordot
from ._tensor_str import set_printoptions as set_printoptions
from ._type_info import finfo as finfo
from ._type_info import iinfo as iinfo
from .autograd.grad_mode import enable_grad as enable_grad
from .autograd.grad_mode import inference_mode as inference_mode
from .autograd.grad_mode import no_grad as no_grad
from .autograd.grad_mode import set_grad_enabled as set_grad_enabled
from .serialization import load as load
from .serialization import save as save

_T = TypeVar("_T")

e: Any
inf: Any
nan: Any
newaxis: None
pi: Any

def is_tensor(obj: Any) -> Any: ...
def typename(obj: Any) -> Any: ...
def compile(model: _T = ..., **options: Any) -> _T: ...
def use_deterministic_algorithms(mode: Any, *, warn_only: Any = ...) -> None: ...
def are_deterministic_algorithms_enabled() -> Any: ...
def set_float32_matmul_precision(precision: Any) -> None: ...
def get_float32_matmul_precision() -> Any: ...
