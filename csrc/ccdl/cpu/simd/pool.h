// Inner loops of float32 pooling. `rows` are the starts of the window's input rows for output 0; output i
// reads rows[r][i * stride + j], j < kernel, stride 1 or 2 (stride 2 needs kernel >= 2). With kernel 1 and
// stride 1 the rows are the points of one channels-last window and outputs run over channels.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct PoolKernels {
  // code (may be null): row_code[r] + j of the first maximum, NaN wins
  void (*max_row)(const float* const* rows, const uint8_t* row_code, int nrows, int kernel, int stride,
                  float* y, uint8_t* code, int64_t count);
  // gradient of one output row of 2x2 windows with stride 2: both input rows (2 count elements each) are
  // overwritten
  void (*scatter_row_2x2)(const float* dy, const uint8_t* code, float* row0, float* row1, int64_t count);
  void (*sum_row)(const float* const* rows, int nrows, int kernel, int stride, float* y, float scale,
                  int64_t count);
  float (*sum_run)(const float* x, int64_t n);
  // global pooling of contiguous planes of n elements: y[p] = scale sum x[p], and its gradient dx[p][i] =
  // scale dy[p]
  void (*sum_planes)(const float* x, float* y, int64_t planes, int64_t n, float scale);
  void (*fill_planes)(const float* dy, float* dx, int64_t planes, int64_t n, float scale);
};
CCDL_SIMD_FAMILY(PoolKernels, pool)

}  // namespace ccdl::cpu
