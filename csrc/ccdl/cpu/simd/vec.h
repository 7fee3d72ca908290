// The vector type of one instruction-set level: thin always_inline helpers over the compiler's vector
// extensions. Included only by sources under simd/, which are compiled once per level with CCDL_ISA set to
// generic, v2, v3 or v4: everything lands in ccdl::cpu::<level>, nothing has external weak linkage. No STL
// beyond <cstdint>, no pool calls. vf = VL floats, vi = VL int32, vd = VL/2 doubles, vl = VL/2 int64.
// Unaligned loads everywhere. fma() is fused where the level has it (v3, v4) and a multiply and an add
// elsewhere.
#pragma once
#include <ccdl/core/dtype.h>
#include <cstdint>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#ifndef CCDL_ISA
#error "compiled per level: CCDL_ISA names the namespace"
#endif
#if defined(__AVX512F__)
#define CCDL_VB 64
#elif defined(__AVX2__)
#define CCDL_VB 32
#else
#define CCDL_VB 16
#endif
#define CCDL_SI static inline __attribute__((always_inline, unused))

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int VB = CCDL_VB;
constexpr int VL = VB / 4;  // floats per vector
constexpr int VD = VB / 8;  // doubles per vector
typedef float vf __attribute__((vector_size(VB)));
typedef int32_t vi __attribute__((vector_size(VB)));
typedef uint32_t vu __attribute__((vector_size(VB)));
typedef double vd __attribute__((vector_size(VB)));
typedef int64_t vl __attribute__((vector_size(VB)));

CCDL_SI vf set1(float x) { return x - vf{}; }  // x + 0 would lose the sign of -0
CCDL_SI vd set1(double x) { return x - vd{}; }
CCDL_SI vi set1(int32_t x) { return vi{} + x; }
CCDL_SI vf loadu(const float* p) {
  vf v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI vd loadu(const double* p) {
  vd v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI vi loadu(const int32_t* p) {
  vi v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI void storeu(float* p, vf v) { __builtin_memcpy(p, &v, VB); }
CCDL_SI void storeu(double* p, vd v) { __builtin_memcpy(p, &v, VB); }
CCDL_SI void storeu(int32_t* p, vi v) { __builtin_memcpy(p, &v, VB); }

// First n lanes (0 <= n <= VL); the others load as zero and are not stored.
CCDL_SI vf loadn(const float* p, int n) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1u), p);
#else
  vf v = {};
  __builtin_memcpy(&v, p, (unsigned)n * 4u);
  return v;
#endif
}
CCDL_SI void storen(float* p, vf v, int n) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1u), (__m512)v);
#else
  __builtin_memcpy(p, &v, (unsigned)n * 4u);
#endif
}
CCDL_SI vd loadn(const double* p, int n) {
  vd v = {};
  __builtin_memcpy(&v, p, (unsigned)n * 8u);
  return v;
}
CCDL_SI void storen(double* p, vd v, int n) { __builtin_memcpy(p, &v, (unsigned)n * 8u); }

CCDL_SI vf fma(vf a, vf b, vf c) {
#if defined(__AVX512F__)
  return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
  return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  return a * b + c;
#endif
}
CCDL_SI vd fma(vd a, vd b, vd c) {
#if defined(__AVX512F__)
  return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
#elif defined(__FMA__)
  return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
#else
  return a * b + c;
#endif
}
CCDL_SI float fma(float a, float b, float c) {
#if defined(__FMA__) || defined(__AVX512F__)
  return __builtin_fmaf(a, b, c);
#else
  return a * b + c;
#endif
}
CCDL_SI double fma(double a, double b, double c) {
#if defined(__FMA__) || defined(__AVX512F__)
  return __builtin_fma(a, b, c);
#else
  return a * b + c;
#endif
}

// Masks are what a comparison yields (all bits of a lane): select(m, a, b) = m ? a : b.
CCDL_SI vf select(vi m, vf a, vf b) { return m ? a : b; }
CCDL_SI vd select(vl m, vd a, vd b) { return m ? a : b; }
// b when either is NaN or both are zero, as the instructions do.
#if defined(__AVX512F__)
CCDL_SI vf vmax(vf a, vf b) { return (vf)_mm512_maskz_max_ps((__mmask16)-1, (__m512)a, (__m512)b); }
CCDL_SI vf vmin(vf a, vf b) { return (vf)_mm512_maskz_min_ps((__mmask16)-1, (__m512)a, (__m512)b); }
CCDL_SI vd vmax(vd a, vd b) { return (vd)_mm512_maskz_max_pd((__mmask8)-1, (__m512d)a, (__m512d)b); }
CCDL_SI vd vmin(vd a, vd b) { return (vd)_mm512_maskz_min_pd((__mmask8)-1, (__m512d)a, (__m512d)b); }
#elif defined(__AVX2__)
CCDL_SI vf vmax(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
CCDL_SI vf vmin(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
CCDL_SI vd vmax(vd a, vd b) { return (vd)_mm256_max_pd((__m256d)a, (__m256d)b); }
CCDL_SI vd vmin(vd a, vd b) { return (vd)_mm256_min_pd((__m256d)a, (__m256d)b); }
#elif defined(__SSE2__)
CCDL_SI vf vmax(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
CCDL_SI vf vmin(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
CCDL_SI vd vmax(vd a, vd b) { return (vd)_mm_max_pd((__m128d)a, (__m128d)b); }
CCDL_SI vd vmin(vd a, vd b) { return (vd)_mm_min_pd((__m128d)a, (__m128d)b); }
#else
CCDL_SI vf vmax(vf a, vf b) { return a > b ? a : b; }
CCDL_SI vf vmin(vf a, vf b) { return a < b ? a : b; }
CCDL_SI vd vmax(vd a, vd b) { return a > b ? a : b; }
CCDL_SI vd vmin(vd a, vd b) { return a < b ? a : b; }
#endif
CCDL_SI vf vabs(vf a) { return (vf)((vi)a & 0x7fffffff); }
CCDL_SI vf vsqrt(vf a) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_sqrt_ps((__mmask16)-1, (__m512)a);
#elif defined(__AVX2__)
  return (vf)_mm256_sqrt_ps((__m256)a);
#elif defined(__SSE2__)
  return (vf)_mm_sqrt_ps((__m128)a);
#else
  vf r;
  for (int i = 0; i < VL; ++i) r[i] = __builtin_sqrtf(a[i]);
  return r;
#endif
}
CCDL_SI vi to_int_nearest(vf a) {  // |a| < 2^31
#if defined(__AVX512F__)
  return (vi)_mm512_maskz_cvtps_epi32((__mmask16)-1, (__m512)a);
#elif defined(__AVX2__)
  return (vi)_mm256_cvtps_epi32((__m256)a);
#elif defined(__SSE2__)
  return (vi)_mm_cvtps_epi32((__m128)a);
#else
  vi r;
  for (int i = 0; i < VL; ++i) r[i] = (int32_t)__builtin_rintf(a[i]);
  return r;
#endif
}
CCDL_SI vf to_float(vi a) { return __builtin_convertvector(a, vf); }

// Horizontal results combine lanes in a fixed halving order.
CCDL_SI float hsum(vf v) {
  float t[VL];
  __builtin_memcpy(t, &v, VB);
  for (int h = VL / 2; h > 0; h /= 2)
    for (int i = 0; i < h; ++i) t[i] += t[i + h];
  return t[0];
}
CCDL_SI double hsum(vd v) {
  double t[VD];
  __builtin_memcpy(t, &v, VB);
  for (int h = VD / 2; h > 0; h /= 2)
    for (int i = 0; i < h; ++i) t[i] += t[i + h];
  return t[0];
}
CCDL_SI float hmax(vf v) {
  float t[VL];
  __builtin_memcpy(t, &v, VB);
  for (int h = VL / 2; h > 0; h /= 2)
    for (int i = 0; i < h; ++i) t[i] = t[i] > t[i + h] ? t[i] : t[i + h];
  return t[0];
}

// Half formats to and from float, VL elements at a time.
CCDL_SI vf load_half(const bfloat16* p) {
  typedef uint16_t h __attribute__((vector_size(VB / 2)));
  h v;
  __builtin_memcpy(&v, p, VB / 2);
  return (vf)(__builtin_convertvector(v, vu) << 16);
}
CCDL_SI void store_half(bfloat16* p, vf a) {
  typedef uint16_t h __attribute__((vector_size(VB / 2)));
  vu x = (vu)a;
  vu r = (x + 0x7fffu + ((x >> 16) & 1u)) >> 16;
  vu nan = (x >> 16) | 0x40u;
  h v = __builtin_convertvector((x & 0x7fffffffu) > 0x7f800000u ? nan : r, h);
  __builtin_memcpy(p, &v, VB / 2);
}
CCDL_SI vf load_half(const float16* p) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_cvtph_ps((__mmask16)-1, _mm256_loadu_si256((const __m256i*)p));
#elif defined(__F16C__)
  return (vf)_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p));
#else
  vf r;
  for (int i = 0; i < VL; ++i) r[i] = (float)p[i];
  return r;
#endif
}
CCDL_SI void store_half(float16* p, vf a) {
#if defined(__AVX512F__)
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtps_ph((__mmask16)-1, (__m512)a,
                                                         _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#elif defined(__F16C__)
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph((__m256)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
#else
  for (int i = 0; i < VL; ++i) p[i] = float16((float)a[i]);
#endif
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
