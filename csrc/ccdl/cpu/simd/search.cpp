// Binary search of four vectors of values at a time: every step gathers the middle elements and adds half the
// length where they stand before.
#include <ccdl/cpu/simd/search.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

#if CCDL_VB == 64
// Places are int32 for elements of 4 bytes and int64 for those of 8, as many as elements in a vector.
struct Floats {
  using T = float;
  using V = __m512;
  static constexpr int kN = 16;
  CCDL_SI V load(const T* p, unsigned live) { return _mm512_maskz_loadu_ps((__mmask16)live, p); }
  CCDL_SI V gather(const T* s, __m512i at) { return _mm512_i32gather_ps(at, s, 4); }
  template <bool kRight>
  CCDL_SI unsigned before(V s, V v) {
    const unsigned nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    if constexpr (kRight) return _mm512_cmp_ps_mask(s, v, _CMP_LE_OQ) | nan;
    return _mm512_cmp_ps_mask(s, v, _CMP_LT_OQ) | (nan & _mm512_cmp_ps_mask(s, s, _CMP_ORD_Q));
  }
};
struct Doubles {
  using T = double;
  using V = __m512d;
  static constexpr int kN = 8;
  CCDL_SI V load(const T* p, unsigned live) { return _mm512_maskz_loadu_pd((__mmask8)live, p); }
  CCDL_SI V gather(const T* s, __m512i at) { return _mm512_i64gather_pd(at, s, 8); }
  template <bool kRight>
  CCDL_SI unsigned before(V s, V v) {
    const unsigned nan = _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q);
    if constexpr (kRight) return _mm512_cmp_pd_mask(s, v, _CMP_LE_OQ) | nan;
    return _mm512_cmp_pd_mask(s, v, _CMP_LT_OQ) | (nan & _mm512_cmp_pd_mask(s, s, _CMP_ORD_Q));
  }
};
struct Ints {
  using T = int32_t;
  using V = __m512i;
  static constexpr int kN = 16;
  CCDL_SI V load(const T* p, unsigned live) { return _mm512_maskz_loadu_epi32((__mmask16)live, p); }
  CCDL_SI V gather(const T* s, __m512i at) { return _mm512_i32gather_epi32(at, s, 4); }
  template <bool kRight>
  CCDL_SI unsigned before(V s, V v) {
    return kRight ? _mm512_cmple_epi32_mask(s, v) : _mm512_cmplt_epi32_mask(s, v);
  }
};
struct Longs {
  using T = int64_t;
  using V = __m512i;
  static constexpr int kN = 8;
  CCDL_SI V load(const T* p, unsigned live) { return _mm512_maskz_loadu_epi64((__mmask8)live, p); }
  CCDL_SI V gather(const T* s, __m512i at) { return _mm512_i64gather_epi64(at, s, 8); }
  template <bool kRight>
  CCDL_SI unsigned before(V s, V v) {
    return kRight ? _mm512_cmple_epi64_mask(s, v) : _mm512_cmplt_epi64_mask(s, v);
  }
};

template <int kN>
CCDL_SI __m512i spread(int64_t v) {
  return kN == 16 ? _mm512_set1_epi32((int32_t)v) : _mm512_set1_epi64(v);
}
template <int kN>
CCDL_SI __m512i plus(__m512i a, __m512i b) {
  return kN == 16 ? _mm512_add_epi32(a, b) : _mm512_add_epi64(a, b);
}
template <int kN>
CCDL_SI __m512i plus_where(unsigned mask, __m512i a, __m512i b) {
  return kN == 16 ? _mm512_mask_add_epi32(a, (__mmask16)mask, a, b)
                  : _mm512_mask_add_epi64(a, (__mmask8)mask, a, b);
}
template <int kN>
CCDL_SI void put(int64_t* y, __m512i places, unsigned live) {
  if constexpr (kN == 8) {
    _mm512_mask_storeu_epi64(y, (__mmask8)live, places);
  } else {
    _mm512_mask_storeu_epi64(y, (__mmask8)live, _mm512_cvtepi32_epi64(_mm512_castsi512_si256(places)));
    _mm512_mask_storeu_epi64(y + 8, (__mmask8)(live >> 8),
                             _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(places, 1)));
  }
}

template <class E, bool kRight, int kVectors>
CCDL_SI void points(const typename E::T* s, int64_t n, const typename E::T* values, int64_t m, int64_t* y) {
  constexpr int kN = E::kN;
  for (int64_t i = 0; i < m; i += kVectors * kN) {
    typename E::V v[kVectors];
    __m512i low[kVectors];
    unsigned live[kVectors];
#pragma GCC unroll 4
    for (int k = 0; k < kVectors; ++k) {
      const int64_t left = m - i - k * kN;
      live[k] = left >= kN ? (1u << kN) - 1 : left > 0 ? (1u << left) - 1 : 0u;
      v[k] = E::load(values + i + k * kN, live[k]);
      low[k] = _mm512_setzero_si512();
    }
    for (int64_t length = n; length > 0;) {
      const int64_t half = (length + 1) / 2;
      const __m512i step = spread<kN>(half), middle = spread<kN>(half - 1);
#pragma GCC unroll 4
      for (int k = 0; k < kVectors; ++k)
        low[k] = plus_where<kN>(E::template before<kRight>(E::gather(s, plus<kN>(low[k], middle)), v[k]),
                                low[k], step);
      length -= half;
    }
#pragma GCC unroll 4
    for (int k = 0; k < kVectors; ++k) put<kN>(y + i + k * kN, low[k], live[k]);
  }
}
template <class E, bool kRight>
void points_of(const typename E::T* s, int64_t n, const typename E::T* values, int64_t m, int64_t* y) {
  if (m > 2 * E::kN) return points<E, kRight, 4>(s, n, values, m, y);
  points<E, kRight, 2>(s, n, values, m, y);
}
template <class E>
void search_in(const void* s, int64_t n, const void* values, int64_t m, bool right, int64_t* y) {
  using T = typename E::T;
  (right ? points_of<E, true> : points_of<E, false>)((const T*)s, n, (const T*)values, m, y);
}
#define CCDL_SEARCH \
  { search_in<Floats>, search_in<Doubles>, search_in<Ints>, search_in<Longs> }
#else
#define CCDL_SEARCH \
  { nullptr, nullptr, nullptr, nullptr }
#endif

}  // namespace

extern const SearchKernels search;
const SearchKernels search = {CCDL_SEARCH};

}  // namespace ccdl::cpu::CCDL_ISA
