// What the float reductions map and join, on vectors and on single numbers; same rules of inclusion as vec.h.
#pragma once
#include <ccdl/cpu/simd/vmath_double_binary.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef float vhf __attribute__((vector_size(VB / 2)));  // as many floats as vd has doubles

// The compiler converts a vector of 64 bytes in halves; the instruction takes it whole.
CCDL_SI vd widen(vhf v) {
#if defined(__AVX512F__)
  return (vd)_mm512_maskz_cvtps_pd((__mmask8)-1, (__m256)v);
#elif defined(__AVX2__)
  return (vd)_mm256_cvtps_pd((__m128)v);
#else
  return __builtin_convertvector(v, vd);
#endif
}
CCDL_SI vd load_wide(const float* p) {
  vhf v;
  __builtin_memcpy(&v, p, VB / 2);
  return widen(v);
}
// The arithmetic vector of E from elements T.
CCDL_SI vf load_as(const float* p, float) { return loadu(p); }
CCDL_SI vf load_as(const float16* p, float) { return load_half(p); }
CCDL_SI vf load_as(const bfloat16* p, float) { return load_half(p); }
CCDL_SI vd load_as(const float* p, double) { return load_wide(p); }
CCDL_SI vd load_as(const double* p, double) { return loadu(p); }
#if CCDL_VB == 64
typedef uint16_t PartOfHalves __attribute__((vector_size(VB / 2)));
// The first n elements, the other lanes zero; nothing behind them is read.
CCDL_SI vf load_part(const float* p, float, int n) { return loadn(p, n); }
CCDL_SI vf load_part(const float16* p, float, int n) {
  return (vf)_mm512_maskz_cvtph_ps((__mmask16)-1, _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p));
}
CCDL_SI vf load_part(const bfloat16* p, float, int n) {
  const __m256i v = _mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p);
  return (vf)(__builtin_convertvector((PartOfHalves)v, vu) << 16);
}
CCDL_SI vd load_part(const float* p, double, int n) {
  return (vd)_mm512_maskz_cvtps_pd((__mmask8)-1, _mm256_maskz_loadu_ps((__mmask8)((1u << n) - 1u), p));
}
CCDL_SI vd load_part(const double* p, double, int n) {
  return (vd)_mm512_maskz_loadu_pd((__mmask8)((1u << n) - 1u), p);
}
CCDL_SI void store_part(double* p, vd v, int n) {
  _mm512_mask_storeu_pd(p, (__mmask8)((1u << n) - 1u), (__m512d)v);
}
#endif
template <class T>
constexpr bool kIsInt = false;
template <>
constexpr bool kIsInt<int64_t> = true;
template <bool wide, class T>
struct Arith {
  using type = float;
};
template <>
struct Arith<false, double> {
  using type = double;
};
template <class T>
struct Arith<true, T> {
  using type = double;
};
template <class T>
struct Lanes;
template <>
struct Lanes<float> {
  using Vec = vf;
  static constexpr int n = VL;
};
template <>
struct Lanes<double> {
  using Vec = vd;
  static constexpr int n = VD;
};

// exp for finite or infinite doubles, NaN kept, results below 2^-1022 flushed to zero; error about 1 ulp.
CCDL_SI vd exp_vd(vd x) {
  const vd magic = set1(6755399441055744.0);  // 1.5 * 2^52: rounds to an integer kept in the low bits
  vd t = fma(select(x > -708.0, x, set1(-708.0)), set1(1.4426950408889634), magic);
  vd k = t - magic;
  vd r = fma(k, set1(-6.93147180369123816490e-01), x);
  r = fma(k, set1(-1.90821492927058770002e-10), r);
  static constexpr double coef[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
      1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
  vd y = set1(coef[0]);
  for (int i = 1; i < 14; ++i) y = fma(y, r, set1(coef[i]));
  y = (vd)((vl)y + ((vl)t << 52));
  y = select(x > -708.0, y, vd{});
  y = select(x > 709.0, set1(__builtin_inf()), y);
  return select(x == x, y, x);
}
CCDL_SI double exp_vd(double x) { return __builtin_exp(x); }
__attribute__((noinline)) vd pow_vd(vd x, vd p) { return dpow(x, p); }
CCDL_SI double pow_vd(double x, double p) { return __builtin_pow(x, p); }
// Of -0 too: (-0)^-1 is -inf, which would meet the inf of a 0.
CCDL_SI vd without_sign(vd x) { return dabs(x); }
CCDL_SI double without_sign(double x) { return __builtin_fabs(x); }

// The larger (smaller) of two, NaN when either is NaN. The max instructions return their second operand when
// one is NaN, so only a NaN in the first needs a look.
#if defined(__AVX512F__)
CCDL_SI vf max_nan(vf a, vf b) {
  return (vf)_mm512_mask_mov_ps(_mm512_max_ps((__m512)a, (__m512)b),
                                _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q), (__m512)a);
}
CCDL_SI vf min_nan(vf a, vf b) {
  return (vf)_mm512_mask_mov_ps(_mm512_min_ps((__m512)a, (__m512)b),
                                _mm512_cmp_ps_mask((__m512)a, (__m512)a, _CMP_UNORD_Q), (__m512)a);
}
CCDL_SI vd max_nan(vd a, vd b) {
  return (vd)_mm512_mask_mov_pd(_mm512_max_pd((__m512d)a, (__m512d)b),
                                _mm512_cmp_pd_mask((__m512d)a, (__m512d)a, _CMP_UNORD_Q), (__m512d)a);
}
CCDL_SI vd min_nan(vd a, vd b) {
  return (vd)_mm512_mask_mov_pd(_mm512_min_pd((__m512d)a, (__m512d)b),
                                _mm512_cmp_pd_mask((__m512d)a, (__m512d)a, _CMP_UNORD_Q), (__m512d)a);
}
#elif defined(__AVX2__)
CCDL_SI vf max_nan(vf a, vf b) {
  return (vf)_mm256_blendv_ps(_mm256_max_ps((__m256)a, (__m256)b), (__m256)a,
                              _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q));
}
CCDL_SI vf min_nan(vf a, vf b) {
  return (vf)_mm256_blendv_ps(_mm256_min_ps((__m256)a, (__m256)b), (__m256)a,
                              _mm256_cmp_ps((__m256)a, (__m256)a, _CMP_UNORD_Q));
}
CCDL_SI vd max_nan(vd a, vd b) {
  return (vd)_mm256_blendv_pd(_mm256_max_pd((__m256d)a, (__m256d)b), (__m256d)a,
                              _mm256_cmp_pd((__m256d)a, (__m256d)a, _CMP_UNORD_Q));
}
CCDL_SI vd min_nan(vd a, vd b) {
  return (vd)_mm256_blendv_pd(_mm256_min_pd((__m256d)a, (__m256d)b), (__m256d)a,
                              _mm256_cmp_pd((__m256d)a, (__m256d)a, _CMP_UNORD_Q));
}
#else
CCDL_SI vf max_nan(vf a, vf b) {
  const vf m = b > a ? b : a;
  return b != b ? b : m;
}
CCDL_SI vf min_nan(vf a, vf b) {
  const vf m = b < a ? b : a;
  return b != b ? b : m;
}
CCDL_SI vd max_nan(vd a, vd b) {
  const vd m = b > a ? b : a;
  return b != b ? b : m;
}
CCDL_SI vd min_nan(vd a, vd b) {
  const vd m = b < a ? b : a;
  return b != b ? b : m;
}
#endif
#if defined(__SSE2__)  // without branches: the data decides them
CCDL_SI float first_if_nan(float a, __m128 m) {
  const __m128 v = _mm_set_ss(a), nan = _mm_cmpunord_ss(v, v);
  return _mm_cvtss_f32(_mm_or_ps(_mm_and_ps(nan, v), _mm_andnot_ps(nan, m)));
}
CCDL_SI float max_nan(float a, float b) { return first_if_nan(a, _mm_max_ss(_mm_set_ss(a), _mm_set_ss(b))); }
CCDL_SI float min_nan(float a, float b) { return first_if_nan(a, _mm_min_ss(_mm_set_ss(a), _mm_set_ss(b))); }
CCDL_SI double first_if_nan(double a, __m128d m) {
  const __m128d v = _mm_set_sd(a), nan = _mm_cmpunord_sd(v, v);
  return _mm_cvtsd_f64(_mm_or_pd(_mm_and_pd(nan, v), _mm_andnot_pd(nan, m)));
}
CCDL_SI double max_nan(double a, double b) {
  return first_if_nan(a, _mm_max_sd(_mm_set_sd(a), _mm_set_sd(b)));
}
CCDL_SI double min_nan(double a, double b) {
  return first_if_nan(a, _mm_min_sd(_mm_set_sd(a), _mm_set_sd(b)));
}
#else
CCDL_SI float max_nan(float a, float b) { return ((b > a) | (b != b)) ? b : a; }
CCDL_SI float min_nan(float a, float b) { return ((b < a) | (b != b)) ? b : a; }
CCDL_SI double max_nan(double a, double b) { return ((b > a) | (b != b)) ? b : a; }
CCDL_SI double min_nan(double a, double b) { return ((b < a) | (b != b)) ? b : a; }
#endif

// An operation maps an element (with parameter c) and joins two partial results; V is a vector or a scalar.
// kWide: elements become double before map. kCostly: short rows are mapped side by side.
struct SumOp {
  static constexpr bool kWide = false, kCostly = false;
  static constexpr double kId = 0;
  template <class V>
  CCDL_SI V map(V x, V) {
    return x;
  }
  template <class V>
  CCDL_SI V join(V a, V b) {
    return a + b;
  }
};
struct SumDOp : SumOp {
  static constexpr bool kWide = true;
};
struct NanSumOp : SumOp {
  template <class V>
  CCDL_SI V map(V x, V) {
    return x == x ? x : V{};
  }
};
struct SumAbsOp : SumOp {
  template <class V>
  CCDL_SI V map(V x, V) {
    return x < V{} ? -x : x;
  }
};
struct SumSqOp : SumDOp {
  template <class V>
  CCDL_SI V map(V x, V) {
    return x * x;
  }
};
struct SqDiffOp : SumDOp {
  template <class V>
  CCDL_SI V map(V x, V c) {
    return (x - c) * (x - c);
  }
};
struct SumPowOp : SumDOp {
  static constexpr bool kCostly = true;
  template <class V>
  CCDL_SI V map(V x, V c) {
    return pow_vd(without_sign(x), c);
  }
};
struct SumExpOp : SumDOp {
  static constexpr bool kCostly = true;
  template <class V>
  CCDL_SI V map(V x, V c) {
    return exp_vd(x - c);
  }
};
struct ProdOp {
  static constexpr bool kWide = true, kCostly = false;
  static constexpr double kId = 1;
  template <class V>
  CCDL_SI V map(V x, V) {
    return x;
  }
  template <class V>
  CCDL_SI V join(V a, V b) {
    return a * b;
  }
};
struct MaxOp {
  static constexpr bool kWide = false, kCostly = false;
  static constexpr double kId = -__builtin_inf();
  template <class V>
  CCDL_SI V map(V x, V) {
    return x;
  }
  template <class V>
  CCDL_SI V join(V a, V b) {
    return max_nan(a, b);
  }
};
struct MinOp {
  static constexpr bool kWide = false, kCostly = false;
  static constexpr double kId = __builtin_inf();
  template <class V>
  CCDL_SI V map(V x, V) {
    return x;
  }
  template <class V>
  CCDL_SI V join(V a, V b) {
    return min_nan(a, b);
  }
};
struct MaxAbsOp : MaxOp {
  template <class V>
  CCDL_SI V map(V x, V) {
    return x < V{} ? -x : x;
  }
};
struct MinAbsOp : MinOp {
  template <class V>
  CCDL_SI V map(V x, V) {
    return x < V{} ? -x : x;
  }
};

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
