// Inner loops of convolution: gathering pixel vectors of shifted input planes into GEMM panels, and a direct
// kernel for few output channels. A vector holds `lanes` consecutive output pixels; where it reads is
// described once per pixel block, so the loops over channels and taps only add offsets and apply masks.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// Lanes of a vector whose sources follow each other at the source step; lane l reads at offset + l * step.
struct ConvRun {
  int64_t offset;
  uint32_t lanes;  // bit mask
};

// Lanes whose sources lie within two vectors' span: element index[l] behind offset, increasing over the used
// lanes.
struct ConvWindow {
  int64_t offset;
  uint32_t elements;  // bit mask of the elements that are read
  uint32_t lanes;     // of the lanes in use, the lowest ones
  int32_t index[16];
};

struct ConvVector {
  int32_t first_run, runs;
  int32_t window;  // index of a ConvWindow, or -1: read run by run
  int64_t dst;     // where the vector goes: panel offset (pack), output offset (direct), dy offset (weight)
};

template <class T>
struct ConvSource {
  const T* data;
  int64_t channel;  // distance of two channel planes
  int64_t taps;
  const int64_t* tap_offset;  // [taps]
  const uint16_t* tap_mask;   // [taps][vectors]: lanes whose source lies inside the plane
  const ConvVector* vectors;
  const ConvRun* runs;
  const ConvWindow* windows;
  int64_t count;  // of vectors
  int64_t step;
  // Null, or every vector is read as a window: [taps][vectors], the elements inside the plane.
  const uint32_t* tap_elements;
};

// dst[vector.dst + (k - k0) * dst_k] = pixels of channel k / taps shifted by tap k % taps, for k in [k0, k1);
// zero outside.
template <class T>
struct ConvPack {
  ConvSource<T> source;
  int64_t k0, k1;
  T* dst;
  int64_t dst_k;
};

// dst[i * dst_row + vector.dst + lane] = sum over channels and taps of a[i * a_row + k] * pixel (+ bias[i],
// relu). Every vector has one run, or every vector a window; lanes outside are not stored.
template <class T>
struct ConvDirect {
  ConvSource<T> source;
  int64_t channels;
  const T* a;
  int64_t a_row, m;
  T* dst;
  int64_t dst_row;
  const T* bias;
  bool relu;
};

// sums[(i * depth + k) * lanes + l] += dy[i * dy_row + vector.dst + l] * pixel (channel and tap k), over all
// vectors. Every vector has one run, or every vector a window.
template <class T>
struct ConvWeight {
  ConvSource<T> source;
  int64_t depth;  // channels * taps
  const T* dy;
  int64_t dy_row, m;
  T* sums;
};

// A pixel read through a tap, in elements: `source` from the image's begin, `weight` from the weights'.
struct ConvTap {
  int64_t source, weight;
};

// out[p * out_step + c] = bias[c] + sum over taps of src[p * step + source + c] * w[weight + c] (relu), p <
// pixels; bias may be null.
template <class T>
struct ConvTapSum {
  const T* src;
  int64_t step;
  const ConvTap* taps;
  int64_t count;
  const T *w, *bias;
  bool relu;
  T* out;
  int64_t out_step, pixels, channels;
  const T* ahead;  // what the caller reads next, fetched meanwhile
  int64_t ahead_count;
};

// Four rows of a plane: out[i * out_row + x] = bias + sum over r < rows and t < columns of
// src[(i + r) * row + x + offset[t]] * w[tap[r] + t] (relu), x < n; whole vectors, also behind n.
template <class T>
struct ConvPlaneRows {
  const T* src;
  int64_t row;
  const int64_t* tap;
  int64_t rows;
  const int64_t* offset;
  int64_t columns;
  const T* w;
  T bias;
  bool relu;
  T* out;
  int64_t out_row, n;
};

template <class T>
struct ConvTypeKernels {
  int lanes;
  bool masked;  // partial vectors cost what full ones do, windows are read
  void (*pack)(const ConvPack<T>&);
  void (*direct)(const ConvDirect<T>&);
  void (*weight)(const ConvWeight<T>&);
  void (*sum_lanes)(const T* sums, int64_t n, T* out);  // out[i] = sum of sums[i * lanes + l]
  void (*tap_sum)(const ConvTapSum<T>&);
  void (*plane_rows)(const ConvPlaneRows<T>&);
  // sums[c] += sum over pixels p of a[p * a_step + c] * b[p * b_step + c]
  void (*row_products)(const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t pixels, T* sums,
                       int64_t channels);
};

struct ConvKernels {
  ConvTypeKernels<float> f32;
  ConvTypeKernels<double> f64;
};
CCDL_SIMD_FAMILY(ConvKernels, conv)

template <class T>
inline const ConvTypeKernels<T>& conv_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_conv().f32;
  else
    return simd_conv().f64;
}

}  // namespace ccdl::cpu
