// Hinges of a row, for float and double. x, keep and slope are rows of n; with keep (may be null) only
// elements where it is not 0 count. result: the sum of max(0, x + shift) and how many are positive; slope
// (may be null) gains step at each of them. NaN is not positive.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct MarginKernels {
  void (*floats)(const float* x, const float* keep, int64_t n, float shift, float step, float* slope,
                 float* result);
  void (*doubles)(const double* x, const double* keep, int64_t n, double shift, double step, double* slope,
                  double* result);
};
CCDL_SIMD_FAMILY(MarginKernels, margin)

}  // namespace ccdl::cpu
