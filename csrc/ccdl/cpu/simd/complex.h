// Inner loop of complex products. Table index: float32, float64.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct ComplexKernels {
  // y[j] = a[j step_a] b[j step_b], or with the conjugate of b; steps in elements, 2 where numbers lie side
  // by side
  void (*multiply[2])(const void* a, int64_t step_a, const void* b, int64_t step_b, void* y, int64_t count,
                      bool conjugate);
  // y[j] = a[j step_a] r[j step_r]
  void (*scale[2])(const void* a, int64_t step_a, const void* r, int64_t step_r, void* y, int64_t count);
};
CCDL_SIMD_FAMILY(ComplexKernels, complex)

}  // namespace ccdl::cpu
