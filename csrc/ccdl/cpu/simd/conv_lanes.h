// Depthwise convolution with channels in the lanes: every pixel is one vector, in bordered copies of blocks
// of a vector's channels, so that taps and strides are distances between vectors.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// Pixel i of channel c lies at planes[i * pixel + c * channel], and as lane c % lanes of the vector place[i]
// of `vectors` + c / lanes * set. Either stride is 1; more than one set where channel is. Planes may be of
// halves, vectors are not.
template <class T, class S = T>
struct ConvLaneMove {
  S* planes;
  int64_t pixel, channel, channels, pixels;
  T* vectors;
  const int64_t* place;
  int64_t set;
};

// out[p * out_step] = bias + sum over t < count of src[p * step + offset[t]] * w[tap[t]] (relu); all of these
// in vectors.
template <class T>
struct ConvLaneSum {
  const T* src;
  int64_t step;
  const int64_t *offset, *tap;
  int64_t count;
  const T *w, *bias;
  bool relu;
  T* out;
  int64_t out_step, pixels;
};

// sums[t] += sum over rows and pixels of dy[r * dy_row + p] * x[r * x_row + p * step + offset[t]], in
// vectors.
template <class T>
struct ConvLaneProducts {
  const T* x;
  int64_t x_row, step;
  const int64_t* offset;
  int64_t count;
  const T* dy;
  int64_t dy_row, rows, pixels;
  T* sums;
};

template <class T>
struct ConvLaneTypeKernels {
  void (*gather)(const ConvLaneMove<T>&);   // planes to vectors; lanes behind the last channel are zero
  void (*scatter)(const ConvLaneMove<T>&);  // vectors to planes
  void (*sum)(const ConvLaneSum<T>&);
  void (*products)(const ConvLaneProducts<T>&);
};

template <class S>
struct ConvLaneHalfMoves {
  void (*gather)(const ConvLaneMove<float, S>&);
  void (*scatter)(const ConvLaneMove<float, S>&);
};

struct ConvLaneKernels {
  ConvLaneTypeKernels<float> f32;
  ConvLaneTypeKernels<double> f64;
  ConvLaneHalfMoves<float16> f16;
  ConvLaneHalfMoves<bfloat16> bf16;
};
CCDL_SIMD_FAMILY(ConvLaneKernels, conv_lanes)

template <class T>
inline const ConvLaneTypeKernels<T>& conv_lane_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_conv_lanes().f32;
  else
    return simd_conv_lanes().f64;
}

#define CCDL_CONV_LANE_MOVES(T, S, family)                                                           \
  inline void conv_gather_lanes(const ConvLaneMove<T, S>& g) { simd_conv_lanes().family.gather(g); } \
  inline void conv_scatter_lanes(const ConvLaneMove<T, S>& g) { simd_conv_lanes().family.scatter(g); }
CCDL_CONV_LANE_MOVES(float, float, f32)
CCDL_CONV_LANE_MOVES(double, double, f64)
CCDL_CONV_LANE_MOVES(float, float16, f16)
CCDL_CONV_LANE_MOVES(float, bfloat16, bf16)
#undef CCDL_CONV_LANE_MOVES

}  // namespace ccdl::cpu
