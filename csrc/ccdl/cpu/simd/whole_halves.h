// Whole vectors of bfloat16 to and from float by one conversion of 16 lanes, which the compiler's own
// conversion of a vector takes in two halves and joins; all else as lanes.h.
#pragma once
#include <ccdl/cpu/simd/lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
CCDL_SI typename Lanes<T>::V ld_whole(const T* p) {
  return ld(p);
}
template <class T>
CCDL_SI void st_whole(T* p, typename Lanes<T>::V v) {
  st(p, v);
}
#if defined(__AVX512F__)
CCDL_SI vf ld_whole(const bfloat16* p) {
  return (vf)((vu)_mm512_maskz_cvtepu16_epi32((__mmask16)-1, _mm256_loadu_si256((const __m256i*)p)) << 16);
}
CCDL_SI void st_whole(bfloat16* p, vf v) {
  const vu x = (vu)v, r = (x + 0x7fffu + ((x >> 16) & 1u)) >> 16;
  const __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
  const __m512i y = _mm512_mask_mov_epi32((__m512i)r, nan, (__m512i)((x >> 16) | 0x40u));
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtepi32_epi16((__mmask16)-1, y));
}
#endif

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
