// Inner loops of the indexed moves, one table per instruction-set level.
#pragma once
#include <ccdl/cpu/isa.h>

#include <cstdint>

namespace ccdl::cpu {

struct IndexKernels {
  // y[i] = x[at[i]], elements of 1 << k bytes, for i < n up to the first at[i] outside [0, size): its
  // position, or -1.
  int64_t (*gather[4])(const void* x, const int64_t* at, int64_t size, void* y, int64_t n);
  // y[i] += x[i].
  void (*add_float)(float* y, const float* x, int64_t n);
  void (*add_double)(double* y, const double* x, int64_t n);
};
CCDL_SIMD_FAMILY(IndexKernels, index)

}  // namespace ccdl::cpu
