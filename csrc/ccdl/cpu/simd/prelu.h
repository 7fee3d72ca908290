// Gradients of prelu over runs and rows: [dtype], dtypes float16, bfloat16, float32, float64.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct PreluKernels {
  // n elements of one channel; returns their part of dw
  double (*run[4])(const void* x, const void* dy, void* dx, int64_t n, double w);
  // `rows` rows of `width` elements; w and dw hold one number per column in the type of the arithmetic, dw is
  // added to
  void (*rows[4])(const void* x, const void* dy, void* dx, int64_t rows, int64_t width, const void* w,
                  void* dw);
};
CCDL_SIMD_FAMILY(PreluKernels, prelu)

}  // namespace ccdl::cpu
