// Row work of attention between its matrix products, for float and double tiles of scores; the rows that
// leave or enter in a half format have tables indexed float16, bfloat16, float32, float64 (float_index).
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

// Scores of `rows` queries against n neighbouring keys.
template <class C>
struct AttentionTile {
  C* s;
  int64_t ld, rows, n;
  const int64_t* limit;     // row r sees keys [0, limit[r]) of the tile
  const void* const* mask;  // per row: uint8 (may attend) or C (added) for the tile's keys; null: no mask
  bool mask_adds;
  const C* keep;  // dropout factors [rows, ld], or null
};

template <class C>
struct AttentionTypeKernels {
  // s = scores in, keep * exp(score - max) out (0 past the limit); max, sum and out rows of width e brought
  // to the new maximum. first: out holds nothing yet.
  void (*forward_step)(const AttentionTile<C>& t, C* max, C* sum, C* out, int64_t e, bool first);
  // s = q k in, keep * p out; dp = dout v in, scale * ds out (both 0 past the limit), p = exp(scale q k +
  // mask - lse).
  void (*backward_step)(const AttentionTile<C>& t, C* dp, C scale, const C* lse, const C* delta);
  // y[i] = word kept ? factor : 0
  void (*keep)(const uint32_t* words, int64_t n, uint32_t threshold, C factor, C* y);
  // dst = factor * src; dst += src
  void (*scaled)(const C* src, C factor, C* dst, int64_t n);
  void (*add)(const C* src, C* dst, int64_t n);
};

struct AttentionKernels {
  AttentionTypeKernels<float> f32;
  AttentionTypeKernels<double> f64;
  // y[i] = x[i] * factor, rounded to the storage type; the C row x may be y itself where the types agree.
  void (*store[4])(const void* x, double factor, void* y, int64_t n);
  double (*dot[4])(const void* x, const void* y, int64_t n);
};
CCDL_SIMD_FAMILY(AttentionKernels, attention)

template <class C>
inline const AttentionTypeKernels<C>& attention_kernels() {
  if constexpr (sizeof(C) == 4)
    return simd_attention().f32;
  else
    return simd_attention().f64;
}

}  // namespace ccdl::cpu
