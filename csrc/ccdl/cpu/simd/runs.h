// Where runs of equal elements begin. Table index: dtype.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct RunsKernels {
  // The starts in ascending order, room for n of them; NaN equals nothing. Returns how many.
  int64_t (*starts[kNumDTypes])(const void* x, int64_t n, int64_t* to);
  // The number of the run of every element.
  void (*numbers[kNumDTypes])(const void* x, int64_t n, int64_t* to);
};
CCDL_SIMD_FAMILY(RunsKernels, runs)

}  // namespace ccdl::cpu
