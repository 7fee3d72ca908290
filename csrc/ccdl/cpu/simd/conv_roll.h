// Depthwise convolution along rows with channels in the lanes, taps and pixels adjacent: a pixel is loaded
// once for all taps of a row.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>
#include <ccdl/cpu/simd/conv.h>
#include <cstdint>

namespace ccdl::cpu {

// out[p * out_step + c] = bias[c] + sum over rows r and t < taps of src[r.source + (p * stride + t) * step +
// c]
// * weight(c, r, t) (relu) where low <= p * stride + t < high; elsewhere nothing is read. Vector i of
// channels begins at channel i * lanes, the last one so that it ends with the channels; weight: lane of the
// vector at w[i * w_set + r.weight + t * w_tap]. Sums in float, bias may be null. taps 3, 5 or 7, stride 1 or
// 2, pixels
// >= 7, channels >= lanes.
template <class S>
struct ConvRoll {
  int64_t taps, stride;
  const ConvTap* rows;
  int64_t count;
  const S* src;
  int64_t step, low, high;
  const float* w;
  int64_t w_tap, w_set;
  const float* bias;
  bool relu;
  S* out;
  int64_t out_step, pixels, channels;
  const S* ahead;  // what the caller reads next, fetched meanwhile
  int64_t ahead_count;
};

struct ConvRollKernels {
  int lanes;
  void (*f32)(const ConvRoll<float>&);
  void (*bf16)(const ConvRoll<bfloat16>&);
  // As row_products of conv.h, of bfloat16 into float.
  void (*bf16_products)(const bfloat16* a, int64_t a_step, const bfloat16* b, int64_t b_step, int64_t pixels,
                        float* sums, int64_t channels);
};
CCDL_SIMD_FAMILY(ConvRollKernels, conv_roll)

inline void conv_roll(const ConvRoll<float>& g) { simd_conv_roll().f32(g); }
inline void conv_roll(const ConvRoll<bfloat16>& g) { simd_conv_roll().bf16(g); }

// Whether a row of adjacent taps can be rolled over.
inline bool conv_rolls(int64_t taps, int64_t stride, int64_t dilation, int64_t pixels) {
  return (taps == 3 || taps == 5 || taps == 7) && (stride == 1 || stride == 2) && dilation == 1 &&
         pixels >= 7;
}

}  // namespace ccdl::cpu
