// Inner loops of pooling contiguous planes, float32 where no type is named. `rows` are the starts of the
// window's input rows for output 0; output i reads rows[r][i * stride + j], j < kernel, stride 1 or 2 (stride
// 2 needs kernel >= 2).
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int64_t kPoolMargin = 64;

struct PoolKernels {
  // code (may be null): row_code[r] + j of the first maximum, NaN wins
  void (*max_row[2])(const void* const* rows, const uint8_t* row_code, int nrows, int kernel, int stride,
                     void* y, uint8_t* code, int64_t count);  // float32, float64
  // One plane of 2x2 windows with stride 2 that all lie inside; code (may be null) as above.
  void (*max_plane_2x2)(const float* x, float* y, uint8_t* code, int64_t out_h, int64_t out_w, int64_t width);
  // One plane of 3x3 windows with stride 2 and padding 0 (all windows inside the rows) or 1. kept:
  // 2 (out_w + kPoolMargin) floats of scratch.
  void (*max_plane_3x3)(const float* x, float* y, uint8_t* code, int64_t out_h, int64_t out_w, int64_t height,
                        int64_t width, int64_t pad_h, int64_t pad_w, float* kept);
  // Gradients of a plane, overwritten: of 2x2 windows as above, and of 3x3 ones with stride 2 and padding 0
  // or
  // 1. rows: 4 ((width + 1) / 2 + kPoolMargin) floats of scratch.
  void (*scatter_plane_2x2)(const float* dy, const uint8_t* code, float* dx, int64_t out_h, int64_t out_w,
                            int64_t height, int64_t width);
  void (*scatter_plane_3x3)(const float* dy, const uint8_t* code, float* dx, int64_t out_h, int64_t out_w,
                            int64_t height, int64_t width, int64_t pad_h, int64_t pad_w, float* rows);
  // float16, bfloat16, float32, float64
  void (*mean_row[4])(const void* const* rows, int nrows, int kernel, int stride, void* y, double divisor,
                      int64_t count);
  float (*sum_run)(const float* x, int64_t n);
  // gradient of global pooling of contiguous planes of n elements: dx[p][i] = scale dy[p]
  void (*fill_planes)(const float* dy, float* dx, int64_t planes, int64_t n, float scale);
};
CCDL_SIMD_FAMILY(PoolKernels, pool)

}  // namespace ccdl::cpu
