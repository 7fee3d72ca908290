// Convolution with channels innermost on rows that need no mask for their borders: pixels times vectors of
// output channels, the pixels read where they lie.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// out[p * out_step + j] = bias[j] + sum over r < runs and e < length of rows[r][p * step + e] *
// w[(r * length + e) * width + j] (relu), p < pixels, j < m. width: m rounded up to whole vectors, also of
// bias (or null).
template <class T>
struct ConvRowSum {
  const T* const* rows;
  int64_t runs, length, step;
  const T* w;
  int64_t width;
  const T* bias;
  bool relu;
  T* out;
  int64_t out_step, pixels, m;
  // Memory the caller reads or writes next, so many elements, fetched meanwhile.
  const T* ahead[2] = {nullptr, nullptr};
  int64_t ahead_count[2] = {0, 0};
};

// sums[i * width + e] += sum over rows r and pixels p of dy[r * dy_row + p * m + i] * x[r * x_row + p * step
// + e], i < m, e < width, whole vectors: x is read to the end of the last one.
template <class T>
struct ConvRowProducts {
  const T* x;
  int64_t x_row, step;
  const T* dy;
  int64_t dy_row, m, rows, pixels;
  int64_t width;
  T* sums;
};

template <class T>
struct ConvRowTypeKernels {
  int lanes;
  void (*sum)(const ConvRowSum<T>&);
  void (*products)(const ConvRowProducts<T>&);
};

struct ConvRowKernels {
  ConvRowTypeKernels<float> f32;
  ConvRowTypeKernels<double> f64;
};
CCDL_SIMD_FAMILY(ConvRowKernels, conv_rows)

template <class T>
inline const ConvRowTypeKernels<T>& conv_row_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_conv_rows().f32;
  else
    return simd_conv_rows().f64;
}

}  // namespace ccdl::cpu
