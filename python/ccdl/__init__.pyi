# What type checkers see of ccdl: the extension's own stub plus the names that are loaded at first use.
from typing import Any, TypeVar

from . import amp as amp
from . import autograd as autograd
from . import backends as backends
from . import cli as cli
from . import cpu as cpu
from . import cuda as cuda
from . import distributions as distributions
from . import errors as errors
from . import func as func
from . import linalg as linalg
from . import models as models
from . import nn as nn
from . import optim as optim
from . import random as random
from . import serialization as serialization
from . import special as special
from . import testing as testing
from . import text as text
from . import train as train
from . import utils as utils
from . import version as version
from . import vision as vision
from ._C import *
from ._C import Tensor as Tensor
from ._C import __version__ as __version__
from ._C import bool as bool
from ._contractions import chain_matmul as chain_matmul
from ._contractions import einsum as einsum
from ._contractions import tensordot as tensordot
from ._shapes import broadcast_shapes as broadcast_shapes
from ._tensor_str import set_printoptions as set_printoptions
from ._type_info import finfo as finfo
from ._type_info import iinfo as iinfo
from .amp.autocast_mode import autocast as autocast
from .autograd.grad_mode import enable_grad as enable_grad
from .autograd.grad_mode import inference_mode as inference_mode
from .autograd.grad_mode import no_grad as no_grad
from .autograd.grad_mode import set_grad_enabled as set_grad_enabled
from .errors import OutOfMemoryError as OutOfMemoryError
from .nn.functional import channel_shuffle as channel_shuffle
from .nn.functional import cosine_similarity as cosine_similarity
from .nn.functional import pairwise_distance as pairwise_distance
from .nn.functional import pdist as pdist
from .serialization import load as load
from .serialization import save as save

_T = TypeVar("_T")

BFloat16Tensor: Any
BoolTensor: Any
ByteTensor: Any
CharTensor: Any
DoubleTensor: Any
FloatTensor: Any
HalfTensor: Any
IntTensor: Any
LongTensor: Any
ShortTensor: Any
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
