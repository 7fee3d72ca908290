// Inner loops of the elementwise losses: [loss][dtype], dtypes float16, bfloat16, float32, float64.
// delta and scale are those of the Huber loss.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct LossKernels {
  void (*each[3][4])(const void* x, const void* t, void* y, int64_t n, double delta, double scale);
  double (*sum[3][4])(const void* x, const void* t, int64_t n, double delta, double scale);
  // dy null: the factor g for all
  void (*backward[3][4])(const void* x, const void* t, const void* dy, double g, void* dx, int64_t n,
                         double delta, double scale);
};
CCDL_SIMD_FAMILY(LossKernels, loss)

}  // namespace ccdl::cpu
