// Weighted sums along one dimension, out[o] = sum over e in [starts[o], starts[o + 1]) of weight[e]
// in[index[e]]: rows of neighbours, or lines of single elements. Table index: float16, bfloat16, float32,
// float64; weights are double for float64 and else float.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

constexpr int64_t kResampleSegment = 128;  // outputs of a line that are made from one panel of inputs

struct ResampleTable {
  int64_t n_in, n_out;
  const int64_t *starts, *index;
  const void* weight;
  const int64_t* spans;  // per segment: the first input it reads, and the end
};

struct ResampleKernels {
  // x [n_in, inner] and y [n_out, inner], outputs [begin, end)
  void (*rows[4])(const ResampleTable& t, const void* x, int64_t inner, int64_t begin, int64_t end, void* y);
  // x [rows, n_in] and y [rows, n_out]; panel: room for 64 bytes an input of the longest span
  void (*lines[4])(const ResampleTable& t, const void* x, int64_t rows, void* panel, void* y);
};
CCDL_SIMD_FAMILY(ResampleKernels, resample)

}  // namespace ccdl::cpu
