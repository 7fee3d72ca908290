// Maxima with the mark of where they were found, and marks of one byte: for vectors of floats and of doubles.
#pragma once
#include <ccdl/cpu/simd/lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef uint8_t bytes __attribute__((vector_size(VL)));
typedef uint8_t bytes_double __attribute__((vector_size(VD)));

CCDL_SI void store_bytes(uint8_t* p, vi v, int n) {
  const bytes b = __builtin_convertvector(v, bytes);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  _mm_mask_storeu_epi8(p, (__mmask16)((1u << n) - 1u), (__m128i)b);
#else
  if (n == VL)
    __builtin_memcpy(p, &b, VL);
  else
    for (int k = 0; k < n; ++k) p[k] = b[k];
#endif
}
CCDL_SI void store_bytes(uint8_t* p, vl v, int n) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  _mm512_mask_cvtepi64_storeu_epi8(p, (__mmask8)((1u << n) - 1u), (__m512i)v);
#else
  const bytes_double b = __builtin_convertvector(v, bytes_double);
  if (n == VD)
    __builtin_memcpy(p, &b, VD);
  else
    for (int k = 0; k < n; ++k) p[k] = b[k];
#endif
}

// v takes over where it is larger, and where it is NaN.
template <bool kCode>
CCDL_SI void take_larger(vf v, vi code, vf& best, vi& where) {
#if defined(__AVX512F__)
  const __mmask16 take = (__mmask16)(_mm512_cmp_ps_mask((__m512)v, (__m512)best, _CMP_GT_OQ) |
                                     _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q));
  best = (vf)_mm512_mask_mov_ps((__m512)best, take, (__m512)v);
  if (kCode) where = (vi)_mm512_mask_mov_epi32((__m512i)where, take, (__m512i)code);
#else
  const vi take = (v > best) | (v != v);
  best = select(take, v, best);
  if (kCode) where = take ? code : where;
#endif
}
template <bool kCode>
CCDL_SI void take_larger(vd v, vl code, vd& best, vl& where) {
#if defined(__AVX512F__)
  const __mmask8 take = (__mmask8)(_mm512_cmp_pd_mask((__m512d)v, (__m512d)best, _CMP_GT_OQ) |
                                   _mm512_cmp_pd_mask((__m512d)v, (__m512d)v, _CMP_UNORD_Q));
  best = (vd)_mm512_mask_mov_pd((__m512d)best, take, (__m512d)v);
  if (kCode) where = (vl)_mm512_mask_mov_epi64((__m512i)where, take, (__m512i)code);
#else
  const vl take = (v > best) | (v != v);
  best = select(take, v, best);
  if (kCode) where = take ? code : where;
#endif
}

// The mean of a sum: doubles are divided, so that equal numbers give themselves.
CCDL_SI vf mean_of(vf sum, double divisor) { return sum * (float)(1.0 / divisor); }
CCDL_SI vd mean_of(vd sum, double divisor) { return sum / divisor; }

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
