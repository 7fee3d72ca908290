// Loads and stores of passes over memory: what a kernel whose operands are not in the cache does about lines.
#pragma once
#include <ccdl/cpu/simd/lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// A load in halves, for a pass that meets its lines first: 64 bytes across the border of two lines cost a
// pass over memory far more than the second line (NumPy's large arrays begin 16 bytes past a border).
CCDL_SI vf ld_halves(const float* p) {
#if CCDL_VB == 64
  return (vf)_mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(p)), _mm256_loadu_ps(p + 8), 1);
#else
  return loadu(p);
#endif
}
CCDL_SI vd ld_halves(const double* p) {
#if CCDL_VB == 64
  return (vd)_mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(p)), _mm256_loadu_pd(p + 4), 1);
#else
  return loadu(p);
#endif
}
template <class H>
CCDL_SI vf ld_halves(const H* p) {  // half a line already
  return load_half(p);
}
template <class T>
CCDL_SI typename Lanes<T>::V at_halves(const T* p, int count, typename Lanes<T>::S fill = 0) {
  return count == Lanes<T>::kN ? ld_halves(p) : ldn(p, count, fill);
}

// Past the caches: p on a border of VB bytes, whole lines one after the other, fence_past() behind the last
// one.
template <class V>
CCDL_SI void store_past(void* p, V v) {
#if defined(__AVX512F__)
  _mm512_stream_si512((__m512i*)p, (__m512i)v);
#elif defined(__AVX2__)
  _mm256_stream_si256((__m256i*)p, (__m256i)v);
#elif defined(__SSE2__)
  _mm_stream_si128((__m128i*)p, (__m128i)v);
#else
  __builtin_memcpy(p, &v, VB);
#endif
}
CCDL_SI void fence_past() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}
CCDL_SI bool rows_on_lines(const void* p, int64_t row_bytes) {
  return (((uintptr_t)p | (uintptr_t)row_bytes) & 63) == 0;
}
// A result of T is stored past the caches lane by lane, or not at all.
template <class T>
constexpr bool kStoresPast = sizeof(T) == sizeof(typename Lanes<T>::S);
template <bool kPast, class T>
CCDL_SI void to_past(T* p, typename Lanes<T>::V v, int count) {
  if constexpr (kPast)
    store_past(p, v);
  else
    to(p, v, count);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
