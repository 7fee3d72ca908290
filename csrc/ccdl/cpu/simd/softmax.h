// Inner loops of softmax. Table index: float16, bfloat16, float32, float64 (float_index in
// cpu/float_index.h).
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct SoftmaxKernels {
  // rows contiguous rows of n; past: dx passes the caches by
  void (*forward[4])(const void* x, void* y, int64_t rows, int64_t n, bool log);
  void (*backward[4])(const void* y, const void* dy, void* dx, int64_t rows, int64_t n, bool log, bool past);
  // columns [begin, end) of one [n, inner] slab, softmax over n
  void (*forward_inner[4])(const void* x, void* y, int64_t n, int64_t inner, int64_t begin, int64_t end,
                           bool log);
  void (*backward_inner[4])(const void* y, const void* dy, void* dx, int64_t n, int64_t inner, int64_t begin,
                            int64_t end, bool log);
  // y[c] = max + log(sum(exp(x - max))) of columns [0, columns) of [n, inner]; an infinite maximum counts as
  // 0 in the exponent
  void (*log_sum_exp[4])(const void* x, void* y, int64_t n, int64_t inner, int64_t columns);
};
CCDL_SIMD_FAMILY(SoftmaxKernels, softmax)

}  // namespace ccdl::cpu
