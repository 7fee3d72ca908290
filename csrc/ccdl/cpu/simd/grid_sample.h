// Samples of one block of at most kGridBlock points, all channels. Table indices: float16, bfloat16, float32,
// float64; 2-d, 3-d; the mode (bicubic in 2-d alone).
#pragma once
#include <ccdl/cpu/isa.h>
#include <ccdl/kernels/grid_sample.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int kGridBlock = 64;

// One image: sizes with the fastest dimension first, elements of a channel of x and of y.
struct GridImage {
  int dims;
  int64_t size[3], channels, plane, points;
  GridSampleOptions options;
};

struct GridSampleKernels {
  // grid: the block's coordinates; y, dy: the block's first point in channel 0; n points
  void (*forward[4][2][3])(const GridImage& s, const void* x, const void* grid, void* y, int64_t n);
  // sums (float, or double for float64): channel 0 of dx, added to
  void (*backward_input[4][2][3])(const GridImage& s, const void* grid, const void* dy, void* sums,
                                  int64_t n);
  void (*backward_grid[4][2][3])(const GridImage& s, const void* x, const void* grid, const void* dy,
                                 void* dgrid, int64_t n);
};
CCDL_SIMD_FAMILY(GridSampleKernels, grid_sample_kernels)

}  // namespace ccdl::cpu
