// Matrix product in bfloat16 pair instructions (level v4bf16 alone): one instruction adds two products to
// each float accumulator. Operands are seen as pairs along k, 32 bits each; a last odd element is paired with
// zero.
#pragma once
#include <ccdl/core/dtype.h>
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

struct GemmBf16Block {
  const bfloat16* a;  // packed: tiles of pack_a; else element (i, k) at a[i * a_row + k]
  int64_t a_row;
  bool a_packed;
  const uint32_t* b;  // panels of pack_b
  float* c;           // dense rows of c_row; c = sum, or with accumulate: c + sum
  int64_t c_row;
  int64_t m, n, k;
  bool accumulate;
};

struct GemmBf16Kernels {
  int mr, nr;
  void (*block)(const GemmBf16Block&);
  // B block [k, n] into zero-padded panels of nr columns: pair p of column j at dst[panel * nr * ceil(k / 2)
  // + p * nr + j]
  void (*pack_b)(uint32_t* dst, const bfloat16* b, int64_t b_k, int64_t b_column, int64_t k, int64_t n);
  // A block [m, k] of any strides into tiles of the height block() uses
  void (*pack_a)(uint32_t* dst, const bfloat16* a, int64_t a_row, int64_t a_k, int64_t m, int64_t k);
  // out[i * out_row + j] = sum_k x[i * x_row + k] y[j * y_row + k], m <= 4
  void (*dots)(const bfloat16* x, int64_t x_row, const bfloat16* y, int64_t y_row, float* out,
               int64_t out_row, int64_t m, int64_t n, int64_t k);
  // c[j] = sums[j] + bias[j], with relu what is negative as zero
  void (*add_bias)(const float* sums, const float* bias, bool relu, bfloat16* c, int64_t n);
};

#if defined(__x86_64__)
namespace v4bf16 {
extern const GemmBf16Kernels gemm_bf16;
}
inline const GemmBf16Kernels* simd_gemm_bf16() {
  return isa_level() == Isa::v4bf16 ? &v4bf16::gemm_bf16 : nullptr;
}
#else
inline const GemmBf16Kernels* simd_gemm_bf16() { return nullptr; }
#endif

}  // namespace ccdl::cpu
