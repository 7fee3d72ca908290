// Products of matrices, vectors and tensors. Operands must share one dtype; transposed and expanded operands
// are passed to the kernel by their strides, without copies.
#pragma once
#include <ccdl/ops/op.h>

namespace ccdl::ops {

Tensor matmul(const Tensor& a, const Tensor& b);  // 1-d, 2-d and broadcast batches as PyTorch's matmul
Tensor mm(const Tensor& a, const Tensor& b);      // [m, k] x [k, n]
Tensor bmm(const Tensor& a, const Tensor& b);     // [b, m, k] x [b, k, n]
Tensor mv(const Tensor& a, const Tensor& x);
Tensor dot(const Tensor& a, const Tensor& b);
Tensor outer(const Tensor& a, const Tensor& b);
Tensor inner(const Tensor& a, const Tensor& b);  // over the last dims
// beta * input + alpha * product; input broadcasts; beta == 0 ignores its values.
Tensor addmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1);
Tensor baddbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1);
Tensor addbmm(const Tensor& input, const Tensor& a, const Tensor& b, Scalar beta = 1, Scalar alpha = 1);
Tensor addmv(const Tensor& input, const Tensor& a, const Tensor& x, Scalar beta = 1, Scalar alpha = 1);
Tensor addr(const Tensor& input, const Tensor& x, const Tensor& y, Scalar beta = 1, Scalar alpha = 1);
// x [..., in], w [out, in] or [in], bias [out] or undefined.
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {});
// y[n, o] = x1[n, i] w[o, i, j] x2[n, j] + bias[o]
Tensor bilinear(const Tensor& x1, const Tensor& x2, const Tensor& w, const Tensor& bias = {});

Tensor tensordot(const Tensor& a, const Tensor& b, IntSpan dims_a, IntSpan dims_b);
Tensor einsum(const std::string& equation, const TensorList& operands);
Tensor multi_dot(const TensorList& matrices);  // cheapest order of multiplication
Tensor kron(const Tensor& a, const Tensor& b);
Tensor trace(const Tensor& x);
Tensor matrix_power(const Tensor& x, int64_t n);

}  // namespace ccdl::ops
