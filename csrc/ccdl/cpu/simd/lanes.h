// One spelling of load, store and reduce for the four floating element types, so that a row kernel is written
// once: float, float16 and bfloat16 compute in vf (VL lanes), double in vd (VD lanes). ld/st move a full
// vector; ldn/stn the first n lanes, the others read as `fill`.
#pragma once
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
struct Lanes {
  using S = float;  // what one element is computed in
  using V = vf;
  using M = vi;
  static constexpr int kN = VL;
};
template <>
struct Lanes<double> {
  using S = double;
  using V = vd;
  using M = vl;
  static constexpr int kN = VD;
};

CCDL_SI vf ld(const float* p) { return loadu(p); }
CCDL_SI vd ld(const double* p) { return loadu(p); }
CCDL_SI vf ld(const float16* p) { return load_half(p); }
CCDL_SI vf ld(const bfloat16* p) { return load_half(p); }
CCDL_SI void st(float* p, vf v) { storeu(p, v); }
CCDL_SI void st(double* p, vd v) { storeu(p, v); }
CCDL_SI void st(float16* p, vf v) { store_half(p, v); }
CCDL_SI void st(bfloat16* p, vf v) { store_half(p, v); }

CCDL_SI vf ldn(const float* p, int n, float fill = 0) {
#if defined(__AVX512F__)
  return (vf)_mm512_mask_loadu_ps(_mm512_set1_ps(fill), (__mmask16)((1u << n) - 1u), p);
#elif defined(__AVX2__)
  const vi live = vi{0, 1, 2, 3, 4, 5, 6, 7} < n;
  return select(live, (vf)_mm256_maskload_ps(p, (__m256i)live), set1(fill));
#else
  vf v = set1(fill);
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
CCDL_SI vd ldn(const double* p, int n, double fill = 0) {
#if defined(__AVX512F__)
  return (vd)_mm512_mask_loadu_pd(_mm512_set1_pd(fill), (__mmask8)((1u << n) - 1u), p);
#else
  vd v = set1(fill);
  for (int i = 0; i < n; ++i) v[i] = p[i];
  return v;
#endif
}
template <class H>
CCDL_SI vf ldn_half(const H* p, int n, float fill) {
  H t[VL];
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  const __m256i bits = _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p);
  __builtin_memcpy(t, &bits, sizeof t);
#else
  for (int i = 0; i < VL; ++i) t[i] = i < n ? p[i] : H(0.0f);
#endif
  vi lane;
  for (int i = 0; i < VL; ++i) lane[i] = i;
  return select(lane < n, load_half(t), set1(fill));  // fill must not be rounded to the half format
}
CCDL_SI vf ldn(const float16* p, int n, float fill = 0) { return ldn_half(p, n, fill); }
CCDL_SI vf ldn(const bfloat16* p, int n, float fill = 0) { return ldn_half(p, n, fill); }
CCDL_SI void stn(float* p, vf v, int n) {
#if defined(__AVX512F__)
  storen(p, v, n);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(p, (__m256i)(vi{0, 1, 2, 3, 4, 5, 6, 7} < n), (__m256)v);
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}
CCDL_SI void stn(double* p, vd v, int n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), (__m512d)v);
#else
  for (int i = 0; i < n; ++i) p[i] = v[i];
#endif
}
template <class H>
CCDL_SI void stn_half(H* p, vf v, int n) {
  H t[VL];
  store_half(t, v);
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  __m256i bits;
  __builtin_memcpy(&bits, t, sizeof t);
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1u), bits);
#else
  for (int i = 0; i < n; ++i) p[i] = t[i];
#endif
}
CCDL_SI void stn(float16* p, vf v, int n) { stn_half(p, v, n); }
CCDL_SI void stn(bfloat16* p, vf v, int n) { stn_half(p, v, n); }

CCDL_SI vd vsqrt(vd a) {
#if defined(__AVX512F__)
  return (vd)_mm512_sqrt_pd((__m512d)a);
#elif defined(__AVX2__)
  return (vd)_mm256_sqrt_pd((__m256d)a);
#elif defined(__SSE2__)
  return (vd)_mm_sqrt_pd((__m128d)a);
#else
  vd r;
  for (int i = 0; i < VD; ++i) r[i] = __builtin_sqrt(a[i]);
  return r;
#endif
}
CCDL_SI vd vabs(vd a) { return (vd)((vl)a & 0x7fffffffffffffff); }
CCDL_SI double hmax(vd v) {
  double m = v[0];
  for (int i = 1; i < VD; ++i) m = m > v[i] ? m : v[i];
  return m;
}

// hsum in registers: adds the upper half to the lower until one lane is left, the same order and so the same
// bits.
CCDL_SI float lane_sum(vf v) {
#if CCDL_VB == 64
  v += __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7);
  v += __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3);
#elif CCDL_VB == 32
  v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7);
  v += __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3);
#else
  v += __builtin_shufflevector(v, v, 2, 3, 2, 3);
#endif
  return v[0] + v[1];
}
CCDL_SI double lane_sum(vd v) { return hsum(v); }
CCDL_SI float lane_max(vf v) {  // the same for hmax; no NaN
#if CCDL_VB == 64
  v = vmax(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  v = vmax(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7, 4, 5, 6, 7));
  v = vmax(v, __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3, 2, 3));
#elif CCDL_VB == 32
  v = vmax(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 4, 5, 6, 7));
  v = vmax(v, __builtin_shufflevector(v, v, 2, 3, 2, 3, 2, 3, 2, 3));
#else
  v = vmax(v, __builtin_shufflevector(v, v, 2, 3, 2, 3));
#endif
  return v[0] > v[1] ? v[0] : v[1];
}
CCDL_SI double lane_max(vd v) { return hmax(v); }

// One element to and from the type it is computed in.
CCDL_SI float get(const float* p) { return *p; }
CCDL_SI double get(const double* p) { return *p; }
CCDL_SI float get(const float16* p) { return (float)*p; }
CCDL_SI float get(const bfloat16* p) { return (float)*p; }
CCDL_SI void put(float* p, float v) { *p = v; }
CCDL_SI void put(double* p, double v) { *p = v; }
CCDL_SI void put(float16* p, float v) { *p = float16(v); }
CCDL_SI void put(bfloat16* p, float v) { *p = bfloat16(v); }

// Calls body(offset, count) over [0, n): count is the constant kN for full vectors, the rest at the end. With
// the count inlined, a body using at()/to() below compiles to plain loads and one masked tail.
template <class T, class F>
CCDL_SI void each_vector(int64_t n, const F& body) {
  constexpr int kN = Lanes<T>::kN;
  int64_t i = 0;
  for (; i + kN <= n; i += kN) body(i, kN);
  if (i < n) body(i, (int)(n - i));
}
template <class T>
CCDL_SI typename Lanes<T>::V at(const T* p, int count, typename Lanes<T>::S fill = 0) {
  return count == Lanes<T>::kN ? ld(p) : ldn(p, count, fill);
}
template <class T>
CCDL_SI void to(T* p, typename Lanes<T>::V v, int count) {
  if (count == Lanes<T>::kN)
    st(p, v);
  else
    stn(p, v, count);
}

// Sum and maximum over [0, n) of f(offset, count), four accumulators joined pairwise; dead lanes of the last
// vector must come back as the neutral element.
template <class T, class F>
CCDL_SI typename Lanes<T>::S sum_over(int64_t n, const F& f) {
  constexpr int kN = Lanes<T>::kN;
  typename Lanes<T>::V a = {}, b = {}, c = {}, d = {};
  int64_t i = 0;
  for (; i + 4 * kN <= n; i += 4 * kN) {
    a += f(i, kN);
    b += f(i + kN, kN);
    c += f(i + 2 * kN, kN);
    d += f(i + 3 * kN, kN);
  }
  for (; i + kN <= n; i += kN) a += f(i, kN);
  if (i < n) b += f(i, (int)(n - i));
  return lane_sum((a + b) + (c + d));
}
template <class T>
CCDL_SI typename Lanes<T>::S max_of(const T* x, int64_t n) {
  constexpr int kN = Lanes<T>::kN;
  typedef typename Lanes<T>::S S;
  const S low = -(S)__builtin_inff();
  typename Lanes<T>::V a = set1(low), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * kN <= n; i += 4 * kN) {
    a = vmax(ld(x + i), a);
    b = vmax(ld(x + i + kN), b);
    c = vmax(ld(x + i + 2 * kN), c);
    d = vmax(ld(x + i + 3 * kN), d);
  }
  for (; i + kN <= n; i += kN) a = vmax(ld(x + i), a);
  if (i < n) b = vmax(ldn(x + i, (int)(n - i), low), b);
  return lane_max(vmax(vmax(a, b), vmax(c, d)));
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
