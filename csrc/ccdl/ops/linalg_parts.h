// What the files of the linalg family share: checks, double-precision copies for the kernels, transposes.
#pragma once
#include <ccdl/ops/create.h>
#include <ccdl/ops/elementwise.h>
#include <ccdl/ops/linalg.h>
#include <ccdl/ops/matmul.h>
#include <ccdl/ops/reduce.h>
#include <ccdl/ops/shape.h>
#include <ccdl/ops/view.h>

namespace ccdl::ops::dense_algebra {

void check_matrix(const char* op, const Tensor& a, const char* name = "A");
void check_square(const char* op, const Tensor& a, const char* name = "A");
void check_same_dtype(const char* op, const Tensor& a, const Tensor& b);

inline Tensor mT(const Tensor& x) { return transpose(x, -2, -1); }
inline Dims batch_of(const Tensor& a) { return Dims(a.sizes().begin(), a.sizes().end() - 2); }
inline Dims with(const Dims& batch, std::initializer_list<int64_t> rest) {
  Dims d = batch;
  for (int64_t r : rest) d.push_back(r);
  return d;
}

// A contiguous copy [batch, m, n] in the dtype of the kernels, to overwrite; never recorded.
Tensor working_copy(const Tensor& a);
// The other way: to sizes and dtype of the result.
Tensor finished(const Tensor& x, const Dims& sizes, DType dtype);
// The transposed matrices over the same memory, without history: results with columns in order, as PyTorch's.
Tensor turned(const Tensor& x);
DType work_dtype(const Tensor& a);
bool whole(const Tensor& a);  // the kernels take matrices of any size
Tensor work_space(const Tensor& like, std::initializer_list<int64_t> sizes);
Tensor codes(const Tensor& like, std::initializer_list<int64_t> sizes);  // Int32

// Raises LinAlgError naming the first batch element whose info is not 0; text(info) says what happened.
void check_info(const char* op, const Tensor& info, const std::function<std::string(int64_t)>& text);

// Blocked forms over the kernels, on working copies [batch, ...] in place.
void factor_cholesky(const Tensor& at, const Tensor& info);
void factor_lu(const Tensor& a, const Tensor& pivots, const Tensor& info);
void solve_triangle(const Tensor& t, const Tensor& x, bool upper, bool unit);

}  // namespace ccdl::ops::dense_algebra
