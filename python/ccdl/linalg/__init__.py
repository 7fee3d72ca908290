"""Linear algebra under PyTorch's names: products, norms, factorisations, solvers.

Matrices are float32 or float64, batches ``[..., m, n]``; factorisations (on CUDA in double) have
gradients of any order. Where a factorisation fails (a singular matrix, a matrix that is not positive
definite, non-finite values), ``LinAlgError`` is raised, except by the ``_ex`` forms, which return a code.
Eigenvalues of non-symmetric matrices (``eig``, ``eigvals``) are complex and found on the host.
"""

from __future__ import annotations

from typing import Any

from .._norms import matrix_norm, norm, vector_norm
from ..errors import LinAlgError
from ._eigen import eig, eigvals
from ._factors import (
    cholesky,
    cholesky_ex,
    eigh,
    eigvalsh,
    householder_product,
    lu,
    lu_factor,
    lu_factor_ex,
    qr,
    svd,
    svdvals,
)
from ._products import (
    cross,
    diagonal,
    matmul,
    matrix_exp,
    matrix_power,
    multi_dot,
    vander,
    vecdot,
)
from ._solvers import (
    cond,
    det,
    inv,
    inv_ex,
    lstsq,
    lu_solve,
    matrix_rank,
    pinv,
    slogdet,
    solve,
    solve_ex,
    solve_triangular,
    tensorinv,
    tensorsolve,
)

__all__ = [
    "LinAlgError",
    "cholesky",
    "cholesky_ex",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "householder_product",
    "inv",
    "inv_ex",
    "lstsq",
    "lu",
    "lu_factor",
    "lu_factor_ex",
    "lu_solve",
    "matmul",
    "matrix_exp",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_ex",
    "solve_triangular",
    "svd",
    "svdvals",
    "tensorinv",
    "tensorsolve",
    "vander",
    "vecdot",
    "vector_norm",
]
