# What type checkers see of ccdl: the extension's own stub plus the names that are loaded at first use.
from typing import Any, TypeVar

from . import accelerator as accelerator
from . import amp as amp
from . import autograd as autograd
from . import backends as backends
from . import cli as cli
from . import compiler as compiler
from . import cpu as cpu
from . import cuda as cuda
from . import distributed as distributed
from . import distributions as distributions
from . import errors as errors
from . import fft as fft
from . import func as func
from . import functional as functional
from . import futures as futures
from . import fx as fx
from . import hub as hub
from . import jit as jit
from . import library as library
from . import linalg as linalg
from . import models as models
from . import mps as mps
from . import multiprocessing as multiprocessing
from . import nn as nn
from . import onnx as onnx
from . import ops as ops
from . import optim as optim
from . import overrides as overrides
from . import profiler as profiler
from . import quasirandom as quasirandom
from . import random as random
from . import serialization as serialization
from . import signal as signal
from . import sparse as sparse
from . import special as special
from . import storage as storage
from . import testing as testing
from . import text as text
from . import torch_version as torch_version
from . import train as train
from . import types as types
from . import utils as utils
from . import version as version
from . import vision as vision
from . import xpu as xpu
from ._C import *
from ._C import Tensor as Tensor
from ._C import __version__ as __version__
from ._C import bool as bool
from ._complex import complex as complex
from ._complex import polar as polar
from ._complex import view_as_complex as view_as_complex
from ._complex import view_as_real as view_as_real
from ._conditions import SymBool as SymBool
from ._conditions import SymFloat as SymFloat
from ._conditions import SymInt as SymInt
from ._contractions import chain_matmul as chain_matmul
from ._contractions import einsum as einsum
from ._contractions import tensordot as tensordot
from ._copies import alias_copy as alias_copy
from ._copies import as_strided_copy as as_strided_copy
from ._copies import as_strided_scatter as as_strided_scatter
from ._copies import detach_copy as detach_copy
from ._copies import diagonal_copy as diagonal_copy
from ._copies import expand_copy as expand_copy
from ._copies import nonzero_static as nonzero_static
from ._copies import permute_copy as permute_copy
from ._copies import select_copy as select_copy
from ._copies import slice_copy as slice_copy
from ._copies import split_copy as split_copy
from ._copies import split_with_sizes_copy as split_with_sizes_copy
from ._copies import squeeze_copy as squeeze_copy
from ._copies import t_copy as t_copy
from ._copies import transpose_copy as transpose_copy
from ._copies import unbind_copy as unbind_copy
from ._copies import unfold_copy as unfold_copy
from ._copies import unsqueeze_copy as unsqueeze_copy
from ._copies import view_copy as view_copy
from ._functions import addmv_ as addmv_
from ._functions import affine_grid_generator as affine_grid_generator
from ._functions import alpha_dropout_ as alpha_dropout_
from ._functions import bartlett_window as bartlett_window
from ._functions import blackman_window as blackman_window
from ._functions import conj_physical_ as conj_physical_
from ._functions import constant_pad_nd as constant_pad_nd
from ._functions import cosine_embedding_loss as cosine_embedding_loss
from ._functions import ctc_loss as ctc_loss
from ._functions import detach_ as detach_
from ._functions import embedding_bag as embedding_bag
from ._functions import empty_permuted as empty_permuted
from ._functions import feature_alpha_dropout_ as feature_alpha_dropout_
from ._functions import fill as fill
from ._functions import fill_ as fill_
from ._functions import frexp as frexp
from ._functions import frobenius_norm as frobenius_norm
from ._functions import gcd_ as gcd_
from ._functions import get_deterministic_debug_mode as get_deterministic_debug_mode
from ._functions import get_device as get_device
from ._functions import get_num_interop_threads as get_num_interop_threads
from ._functions import gradient as gradient
from ._functions import grid_sampler as grid_sampler
from ._functions import hamming_window as hamming_window
from ._functions import hann_window as hann_window
from ._functions import hinge_embedding_loss as hinge_embedding_loss
from ._functions import histogram as histogram
from ._functions import imag as imag
from ._functions import index_put_ as index_put_
from ._functions import instance_norm as instance_norm
from ._functions import (
    is_deterministic_algorithms_warn_only_enabled as is_deterministic_algorithms_warn_only_enabled,
)
from ._functions import is_distributed as is_distributed
from ._functions import is_storage as is_storage
from ._functions import kaiser_window as kaiser_window
from ._functions import lcm_ as lcm_
from ._functions import ldexp_ as ldexp_
from ._functions import lu as lu
from ._functions import lu_unpack as lu_unpack
from ._functions import margin_ranking_loss as margin_ranking_loss
from ._functions import norm_except_dim as norm_except_dim
from ._functions import nuclear_norm as nuclear_norm
from ._functions import orgqr as orgqr
from ._functions import pca_lowrank as pca_lowrank
from ._functions import poisson_nll_loss as poisson_nll_loss
from ._functions import range as range
from ._functions import resize_as_ as resize_as_
from ._functions import rrelu as rrelu
from ._functions import rrelu_ as rrelu_
from ._functions import scalar_tensor as scalar_tensor
from ._functions import set_default_tensor_type as set_default_tensor_type
from ._functions import set_deterministic_debug_mode as set_deterministic_debug_mode
from ._functions import set_flush_denormal as set_flush_denormal
from ._functions import set_num_interop_threads as set_num_interop_threads
from ._functions import svd_lowrank as svd_lowrank
from ._functions import triplet_margin_loss as triplet_margin_loss
from ._functions import unravel_index as unravel_index
from ._functions import unsafe_chunk as unsafe_chunk
from ._functions import unsafe_split as unsafe_split
from ._functions import unsafe_split_with_sizes as unsafe_split_with_sizes
from ._functions import vander as vander
from ._functions import xlogy_ as xlogy_
from ._functions import zero_ as zero_
from ._higher_order_ops.control_flow import cond as cond
from ._higher_order_ops.control_flow import while_loop as while_loop
from ._histograms import histogramdd as histogramdd
from ._native_names import grid_sampler_2d as grid_sampler_2d
from ._native_names import grid_sampler_3d as grid_sampler_3d
from ._native_names import is_vulkan_available as is_vulkan_available
from ._native_names import native_batch_norm as native_batch_norm
from ._native_names import native_channel_shuffle as native_channel_shuffle
from ._native_names import native_dropout as native_dropout
from ._native_names import native_group_norm as native_group_norm
from ._native_names import native_layer_norm as native_layer_norm
from ._segments import segment_reduce as segment_reduce
from ._shapes import broadcast_shapes as broadcast_shapes
from ._spectra import istft as istft
from ._spectra import stft as stft
from ._symbols import sym_float as sym_float
from ._symbols import sym_int as sym_int
from ._symbols import sym_ite as sym_ite
from ._symbols import sym_max as sym_max
from ._symbols import sym_min as sym_min
from ._symbols import sym_not as sym_not
from ._symbols import sym_sqrt as sym_sqrt
from ._tensor_str import set_printoptions as set_printoptions
from ._type_info import finfo as finfo
from ._type_info import iinfo as iinfo
from ._vmap import vmap as vmap
from .amp import GradScaler as GradScaler
from .amp.autocast_mode import autocast as autocast
from .amp.autocast_mode import get_autocast_cpu_dtype as get_autocast_cpu_dtype
from .amp.autocast_mode import get_autocast_gpu_dtype as get_autocast_gpu_dtype
from .amp.autocast_mode import is_autocast_cpu_enabled as is_autocast_cpu_enabled
from .amp.autocast_mode import set_autocast_cpu_dtype as set_autocast_cpu_dtype
from .amp.autocast_mode import set_autocast_cpu_enabled as set_autocast_cpu_enabled
from .amp.autocast_mode import set_autocast_gpu_dtype as set_autocast_gpu_dtype
from .autograd.grad_mode import enable_grad as enable_grad
from .autograd.grad_mode import inference_mode as inference_mode
from .autograd.grad_mode import no_grad as no_grad
from .autograd.grad_mode import set_grad_enabled as set_grad_enabled
from .errors import OutOfMemoryError as OutOfMemoryError
from .linalg._reflectors import geqrf as geqrf
from .linalg._reflectors import ormqr as ormqr
from .nn.functional import channel_shuffle as channel_shuffle
from .nn.functional import cosine_similarity as cosine_similarity
from .nn.functional import pairwise_distance as pairwise_distance
from .nn.functional import pdist as pdist
from .serialization import PyTorchFileReader as PyTorchFileReader
from .serialization import load as load
from .serialization import save as save
from .sparse import sparse_coo_tensor as sparse_coo_tensor
from .storage import TypedStorage as TypedStorage
from .storage import UntypedStorage as UntypedStorage

_T = TypeVar("_T")

ScriptModule = nn.Module

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

def spmm(input: Tensor, mat2: Tensor) -> Tensor: ...
