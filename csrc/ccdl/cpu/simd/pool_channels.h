// Inner loops of pooling for every type. Table index: float16, bfloat16, float32, float64; sums are double
// for float64 and else float.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// The points of one window that lie inside the input, and the mark each one carries.
struct PoolWalk {
  int64_t count[3], step[3];  // per dimension: points, and elements from one to the next
  int64_t mark, mark_step[3];
};

struct PoolChannelKernels {
  // Channels innermost: y[c] = the largest of x[point + c], marks of the first maximum (either may be null;
  // less than 2^31), NaN wins. No points: -inf and the first mark.
  void (*maxima[4])(const void* x, const PoolWalk& w, void* y, int64_t* position, uint8_t* code,
                    int64_t channels);
  void (*means[4])(const void* x, const PoolWalk& w, void* y, double divisor, int64_t channels);
  // y[i] (float or double) = sum of rows[r][i]
  void (*columns[4])(const void* const* rows, int64_t count, void* y, int64_t n);
  // Contiguous planes of n elements: y[p] = their mean
  void (*plane_means[4])(const void* x, void* y, int64_t planes, int64_t n);
};
CCDL_SIMD_FAMILY(PoolChannelKernels, pool_channels)

}  // namespace ccdl::cpu
