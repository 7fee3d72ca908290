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
  // y[j] = sum over k < count, in that order, of w[k] * x[at[k] * stride + j], over divisor, for j < n; by
  // LookupType. Computed in float (double for doubles), which is what w holds; w null: all 1. With
  // past_caches the stores may go around them (then finish_stores() before another thread reads).
  void (*sum_rows[4])(const void* x, int64_t stride, const int64_t* at, const void* w, int64_t count,
                      double divisor, void* y, int64_t n, bool past_caches);
  // Zeros that go around the caches.
  void (*clear)(void* y, int64_t bytes);
  void (*finish_stores)();
};
enum LookupType : int { kLookupFloat, kLookupDouble, kLookupHalf, kLookupBFloat16 };

CCDL_SIMD_FAMILY(IndexKernels, index)

}  // namespace ccdl::cpu
