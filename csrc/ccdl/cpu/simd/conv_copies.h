// Copies of rows of planes in another order: channels of a pixel side by side, and the columns of one residue
// of a stride together.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

template <class T>
struct ConvCopyTypeKernels {
  // out[i * channels + c] = src[c * plane + i], i < n; what lies less than a vector behind is overwritten.
  void (*interleave)(const T* src, int64_t plane, int64_t channels, int64_t n, T* out);
  // out[i * step + e] = src[i * src_step + e], e < length, then as many zeros, i < n.
  void (*spread)(const T* src, int64_t src_step, int64_t length, int64_t zeros, int64_t n, T* out,
                 int64_t step);
  // out[r * out_row + i] = src[i * step + r], i < n, r < rows <= step; may read src[n * step - 1].
  void (*split)(const T* src, int64_t step, int64_t rows, int64_t n, T* out, int64_t out_row);
};

struct ConvCopyKernels {
  ConvCopyTypeKernels<float> f32;
  ConvCopyTypeKernels<double> f64;
};
CCDL_SIMD_FAMILY(ConvCopyKernels, conv_copies)

template <class T>
inline const ConvCopyTypeKernels<T>& conv_copy_kernels() {
  if constexpr (sizeof(T) == 4)
    return simd_conv_copies().f32;
  else
    return simd_conv_copies().f64;
}

}  // namespace ccdl::cpu
