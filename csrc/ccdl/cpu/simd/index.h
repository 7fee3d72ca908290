// Inner loops of the indexed moves, one table per instruction-set level.
#pragma once
#include <ccdl/cpu/isa.h>

#include <cstdint>

namespace ccdl::cpu {

struct IndexKernels {
  // Whether one of n indices is below -lift or above last.
  bool (*outside)(const int64_t* at, int64_t n, int64_t lift, int64_t last);
  // y[i] = x[at[i]], elements of 1 << k bytes, for i < n up to the first at[i] outside [0, size): its
  // position, or -1.
  int64_t (*gather[4])(const void* x, const int64_t* at, int64_t size, void* y, int64_t n);
  // The same for rows of n; steps in elements, the position counts through the rows.
  int64_t (*gather_rows[4])(const void* x, int64_t x_step, const int64_t* at, int64_t at_step, int64_t size,
                            void* y, int64_t y_step, int64_t n, int64_t rows);
  // Rows of `bytes`: y + i * y_step = table + index[i * index_stride] * step, steps in bytes, for i < n up to
  // the first index outside [0, size) (with wrap from -size on): its position, or -1. The row `ahead` later
  // is asked for on the way, unless ahead is 0.
  int64_t (*get_rows)(const void* table, int64_t step, const int64_t* index, int64_t index_stride,
                      int64_t size, bool wrap, void* y, int64_t y_step, int64_t bytes, int64_t n,
                      int64_t ahead);
  // The other way; of several rows for one place the last one stays.
  int64_t (*put_rows)(void* table, int64_t step, const int64_t* index, int64_t index_stride, int64_t size,
                      bool wrap, const void* x, int64_t x_step, int64_t bytes, int64_t n);
  // Rows begin to end of n arrays whose rows have bytes[i] each, side by side; y is where the first one goes.
  void (*join_rows)(const void* const* from, const int64_t* bytes, int64_t n, void* y, int64_t begin,
                    int64_t end);
  // y[i] += x[i].
  void (*add_float)(float* y, const float* x, int64_t n);
  void (*add_double)(double* y, const double* x, int64_t n);
  // y[j] = sum over k < count, in that order, of w[k] * x[at[k] * stride + j], over divisor, for j < n; by
  // LookupType. Computed in float (double for doubles), which is what w holds; w null: all 1.
  // at[k] is valid for k < known, which may be more: rows are asked for ahead (known 0: none is). With
  // past_caches the stores may go around them (then finish_stores() before another thread reads).
  void (*sum_rows[4])(const void* x, int64_t stride, const int64_t* at, const void* w, int64_t count,
                      int64_t known, double divisor, void* y, int64_t n, bool past_caches);
  // y[j] = the largest x[at[k] * stride + j] over k < count (at least 1), row[j] (may be null) = its at[k];
  // the first of several, NaN wins.
  void (*max_rows[4])(const void* x, int64_t stride, const int64_t* at, int64_t count, void* y, int64_t* row,
                      int64_t n);
  // Sum of x[j] * y[j].
  double (*dot_rows[4])(const void* x, const void* y, int64_t n);
  // Zeros that go around the caches.
  void (*clear)(void* y, int64_t bytes);
  void (*finish_stores)();
};
enum LookupType : int { kLookupFloat, kLookupDouble, kLookupHalf, kLookupBFloat16 };

CCDL_SIMD_FAMILY(IndexKernels, index)

}  // namespace ccdl::cpu
