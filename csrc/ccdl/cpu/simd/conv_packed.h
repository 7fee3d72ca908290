// Convolution of groups of 2, 4 or 8 channels to as many, channels innermost, several groups to a vector: a
// pixel is one vector, in copies of a vector's channels, so that taps and strides are distances between
// vectors.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// out[p * out_step] = bias + sum over t < count and j < each of spread(x[p * step + offset[t]], j) *
// w[t * each + j] (relu), p < pixels; spread(v, j) lane l = v lane l / each * each + j. x, offset and step in
// vectors, out_step in elements; of each result `channels` lanes are written.
template <class T>
struct ConvPackedSum {
  int64_t each;
  const T* x;
  int64_t step;
  const int64_t* offset;
  int64_t count;
  const T *w, *bias;
  bool relu;
  T* out;
  int64_t out_step, pixels, channels;
};

// sums[t * each + j] += sum over rows r and pixels p of x[r * x_row + p * step + offset[t]] *
// spread(dy[r * dy_row + p * dy_step], j); x in vectors, dy in elements, of which `channels` are read.
template <class T>
struct ConvPackedProducts {
  int64_t each;
  const T* x;
  int64_t x_row, step;
  const int64_t* offset;
  int64_t count;
  const T* dy;
  int64_t dy_row, dy_step, rows, pixels, channels;
  T* sums;
};

template <class T>
struct ConvPackedTypeKernels {
  int lanes;
  void (*sum)(const ConvPackedSum<T>&);
  void (*products)(const ConvPackedProducts<T>&);
};

struct ConvPackedKernels {
  ConvPackedTypeKernels<float> f32;
  ConvPackedTypeKernels<double> f64;
};
CCDL_SIMD_FAMILY(ConvPackedKernels, conv_packed)

template <class T>
inline const ConvPackedTypeKernels<T>& conv_packed_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_conv_packed().f32;
  else
    return simd_conv_packed().f64;
}

}  // namespace ccdl::cpu
