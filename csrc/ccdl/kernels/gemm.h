// Matrix products. C [B, M, N] = activation(alpha * A [B, M, K] x B [B, K, N] + beta * C + bias), overwriting
// C.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

enum class Activation : int32_t { None, Relu };

// Applied once to the finished element (i, j) of every batch: bias has C's dtype and is read at
// bias[i * row_stride + j * column_stride]; at most one of the strides is non-zero. Null: no bias.
struct GemmEpilogue {
  const void* bias = nullptr;
  int64_t row_stride = 0;
  int64_t column_stride = 0;
  Activation activation = Activation::None;
};

}  // namespace ccdl

// a, b, c are 3-d of one dtype (any but bool). a and b: any strides, 0 included. c: unit column stride, rows
// and batches at any non-overlapping stride. beta == 0 never reads C. Integers wrap (alpha and beta must be
// integers and no bias); float16 and bfloat16 accumulate in float and round once. K == 0 gives beta * C. No
// workspace.
#define CCDL_GEMM_CONTRACT                                                          \
  void gemm(const View& a, const View& b, const View& c, double alpha, double beta, \
            const GemmEpilogue& epilogue);
namespace ccdl::cpu {
CCDL_GEMM_CONTRACT
}
namespace ccdl::cu {
CCDL_GEMM_CONTRACT
}
#undef CCDL_GEMM_CONTRACT
