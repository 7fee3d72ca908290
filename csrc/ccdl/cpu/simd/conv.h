// Inner loops of convolution: gathering pixel vectors of shifted input planes into GEMM panels, and a direct kernel for
// few output channels. A vector holds `lanes` consecutive output pixels; where it reads is described once per pixel
// block, so the loops over channels and taps only add offsets and apply masks.
#pragma once
#include <cstdint>
#include <ccdl/cpu/isa.h>

namespace ccdl::cpu {

// Lanes of a vector whose sources follow each other at the source step; lane l reads at offset + l * step.
struct ConvRun {
  int64_t offset;
  uint32_t lanes;       // bit mask
};

struct ConvVector {
  int32_t first_run, runs;
  int64_t dst;          // where the vector goes: panel offset (pack) or output offset (direct)
};

template <class T> struct ConvSource {
  const T* data;
  int64_t channel;              // distance of two channel planes
  int64_t taps;
  const int64_t* tap_offset;    // [taps]
  const uint16_t* tap_mask;     // [taps][vectors]: lanes whose source lies inside the plane
  const ConvVector* vectors;
  const ConvRun* runs;
  int64_t count;                // of vectors
  int64_t step;
};

// dst[vector.dst + (k - k0) * dst_k] = pixels of channel k / taps shifted by tap k % taps, for k in [k0, k1); zero outside.
template <class T> struct ConvPack {
  ConvSource<T> source;
  int64_t k0, k1;
  T* dst;
  int64_t dst_k;
};

// dst[i * dst_row + vector.dst + lane] = sum over channels and taps of a[i * a_row + k] * pixel (+ bias[i], relu).
// Every vector has one run; lanes outside it are not stored.
template <class T> struct ConvDirect {
  ConvSource<T> source;
  int64_t channels;
  const T* a;
  int64_t a_row, m;
  T* dst;
  int64_t dst_row;
  const T* bias;
  bool relu;
};

template <class T> struct ConvTypeKernels {
  int lanes;
  bool masked;          // partial vectors cost what full ones do
  void (*pack)(const ConvPack<T>&);
  void (*direct)(const ConvDirect<T>&);
};

struct ConvKernels {
  ConvTypeKernels<float> f32;
  ConvTypeKernels<double> f64;
};
CCDL_SIMD_FAMILY(ConvKernels, conv)

template <class T> inline const ConvTypeKernels<T>& conv_kernels() {
  if constexpr (sizeof(T) == 4) return simd_conv().f32;
  else return simd_conv().f64;
}

}  // namespace ccdl::cpu
