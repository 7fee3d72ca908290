// Convolution on bordered copies, where a tap is a fixed distance and no load needs a mask for the border:
// output channels times vectors of pixels wherever those lie, and weight gradients over pixels in the rows of
// such a copy.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// A vector of output pixels: where it reads without a tap, where it goes, how many of its lanes are stored.
struct ConvSpot {
  int64_t src, dst, lanes;
};

// dst[i * dst_row + spot.dst + l] = sum over t < k of a(i, t) * src[spot.src + offset[t] + l] (+ dst's own
// where `add`, + bias[i], relu), i < m. a: tiles of `rows` rows, tile at a + i0 * k, in it element (t, i) at
// t * height + i.
template <class T>
struct ConvStrips {
  const T* src;
  const int64_t* offset;
  int64_t k;
  const T* a;
  int64_t m, rows;
  const ConvSpot* spots;
  int64_t count;
  T* dst;
  int64_t dst_row;
  const T* bias;
  bool relu, add;
};

// sums[(i * k + t) * lanes + l] += dy[i * dy_row + spot.dst + l] * x[spot.src + offset[t] + l] over the lanes
// of all spots.
template <class T>
struct ConvStripWeight {
  const T* x;
  const int64_t* offset;
  int64_t k;
  const T* dy;
  int64_t dy_row, m;
  const ConvSpot* spots;
  int64_t count;
  T* sums;
};

template <class T>
struct ConvStripTypeKernels {
  int64_t (*rows)(int64_t m);  // height of the tiles of a
  void (*sweep)(const ConvStrips<T>&);
  void (*weight)(const ConvStripWeight<T>&);
};

struct ConvStripKernels {
  ConvStripTypeKernels<float> f32;
  ConvStripTypeKernels<double> f64;
};
CCDL_SIMD_FAMILY(ConvStripKernels, conv_strips)

template <class T>
inline const ConvStripTypeKernels<T>& conv_strip_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_conv_strips().f32;
  else
    return simd_conv_strips().f64;
}

}  // namespace ccdl::cpu
