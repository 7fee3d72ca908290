// Inner loops of the list passes over elements [0, n). Table index: float16, bfloat16, float32, float64.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct MultiTensorKernels {
  void (*scale[4])(void* x, int64_t n, double factor);
  void (*clamp[4])(void* x, int64_t n, double limit);
  bool (*unscale[4])(void* x, int64_t n, double factor);  // x *= factor; whether all of x was finite before
};
CCDL_SIMD_FAMILY(MultiTensorKernels, multi_tensor)

}  // namespace ccdl::cpu
