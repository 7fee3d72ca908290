// Dense linear algebra on batches of matrices [..., m, n] of float32 or float64, on CUDA computed in double;
// gradients are compositions of products and triangular solves, so they can be differentiated
// again.
#pragma once
#include <optional>
#include <string>

#include <ccdl/ops/op.h>

namespace ccdl::ops {

// Results of the two-part ops: {factor, info (Int32 [...])}. info is 0 where it worked.
TensorList linalg_cholesky_ex(const Tensor& a, bool upper);
TensorList linalg_inv_ex(const char* op, const Tensor& a);
TensorList linalg_solve_ex(const char* op, const Tensor& a, const Tensor& b, bool left);
// Raises LinAlgError where an info is not 0.
Tensor linalg_cholesky(const char* op, const Tensor& a, bool upper);
Tensor linalg_inv(const char* op, const Tensor& a);
Tensor linalg_solve(const char* op, const Tensor& a, const Tensor& b, bool left);

Tensor linalg_solve_triangular(const char* op, const Tensor& a, const Tensor& b, bool upper, bool left,
                               bool unit);
TensorList linalg_slogdet(const char* op, const Tensor& a);  // sign, log |det|
Tensor linalg_det(const char* op, const Tensor& a);
TensorList linalg_lu(const char* op, const Tensor& a);         // P, L, U with A = P L U
TensorList linalg_lu_factor(const char* op, const Tensor& a);  // LU packed, pivots from 1 (Int32), info
Tensor linalg_swap_rows(const Tensor& x, const Tensor& pivots, bool inverse);    // pivots from 1
TensorList linalg_qr(const char* op, const Tensor& a, const std::string& mode);  // Q, R
// The first n columns of H_1 H_2 ... of a [.., m, n] and tau [.., k], k <= n <= m; checked by the caller.
Tensor linalg_householder_product(const Tensor& a, const Tensor& tau);
TensorList linalg_geqrf(const Tensor& a);  // R over the reflectors, tau
TensorList linalg_eigh(const char* op, const Tensor& a, const std::string& uplo);  // w, V
Tensor linalg_eigvalsh(const char* op, const Tensor& a, const std::string& uplo);
TensorList linalg_svd(const char* op, const Tensor& a, bool full);  // U, S, Vh
Tensor linalg_svdvals(const char* op, const Tensor& a);
Tensor linalg_pinv(const char* op, const Tensor& a, const Tensor& atol, const Tensor& rtol, bool hermitian);
Tensor linalg_matrix_exp(const char* op, const Tensor& a);
Tensor linalg_cross(const char* op, const Tensor& a, const Tensor& b, int64_t dim);

}  // namespace ccdl::ops
