// Products of few rows or columns with a matrix of float16 [0] or bfloat16 [1], read once and summed in
// float.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct GemmHalfKernels {
  // out[i][j] (dense, m <= 4) = sum_k x[i][k] y[j * y_row + k], x dense.
  void (*dots[2])(const float* x, const void* y, int64_t y_row, float* out, int64_t m, int64_t n, int64_t k);
  // out[i][j] (dense, m <= 4) = sum_k x[i][k] b[k * b_k + j], x dense.
  void (*streams[2])(const float* x, const void* b, int64_t b_k, float* out, int64_t m, int64_t n, int64_t k);
};
CCDL_SIMD_FAMILY(GemmHalfKernels, gemm_half)

}  // namespace ccdl::cpu
