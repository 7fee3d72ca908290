// conv_rows.h in bfloat16 pair instructions (level v4bf16 alone): one instruction adds two products to each
// float sum.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// out[p * out_step + j] = bias[j] + sum over r < runs and e < length of rows[r][p * step + e] * weight
// (relu), p < pixels, j < m. length is even: elements e and e + 1 of column j are one number,
// w[(r * length + e) / 2 * width + j]. width: m rounded up to whole vectors of 16, also of bias (or null).
struct ConvRowSumBf16 {
  const bfloat16* const* rows;
  int64_t runs, length, step;
  const uint32_t* w;
  int64_t width;
  const float* bias;
  bool relu;
  bfloat16* out;
  int64_t out_step, pixels, m;
};

struct ConvRowBf16Kernels {
  void (*sum)(const ConvRowSumBf16&);
};

#if defined(__x86_64__)
namespace v4bf16 {
extern const ConvRowBf16Kernels conv_rows_bf16;
}
inline const ConvRowBf16Kernels* simd_conv_rows_bf16() {
  return isa_level() == Isa::v4bf16 ? &v4bf16::conv_rows_bf16 : nullptr;
}
#else
inline const ConvRowBf16Kernels* simd_conv_rows_bf16() { return nullptr; }
#endif

}  // namespace ccdl::cpu
