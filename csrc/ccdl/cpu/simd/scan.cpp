// Scans within vectors: log2(lanes) shifts and joins make the prefixes of one vector, the carry joins all of
// them, and only that last join waits for the vector before. Floats and the half formats run in double, whose
// range takes any product of eight floats; doubles themselves are joined one after another, four at a time in
// flight.
#include <ccdl/cpu/simd/scan.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef float vh __attribute__((vector_size(VB / 2)));
typedef uint64_t vw __attribute__((vector_size(VB)));  // integers wrap

struct Add {
  static constexpr double kId = 0;
  template <class V>
  CCDL_SI V join(V a, V b) {
    return a + b;
  }
};
struct Mul {
  static constexpr double kId = 1;
  template <class V>
  CCDL_SI V join(V a, V b) {
    return a * b;
  }
};

template <class Op, int s, class V>
CCDL_SI V shifted_join(V v) {
  vl pick;
  for (int l = 0; l < VD; ++l) pick[l] = l < s ? VD : l - s;  // VD: the identity
  V id{};
  id = id + (decltype(v[0] + v[0]))Op::kId;
  return Op::join(__builtin_shuffle(v, id, pick), v);
}
template <class Op, class V>
CCDL_SI V prefixes(V v) {
  v = shifted_join<Op, 1>(v);
#if CCDL_VB >= 32
  v = shifted_join<Op, 2>(v);
#endif
#if CCDL_VB >= 64
  v = shifted_join<Op, 4>(v);
#endif
  return v;
}
template <class V>
CCDL_SI V last_of(V v) {
  vl pick = {};
  pick = pick + (VD - 1);
  return __builtin_shuffle(v, pick);
}

CCDL_SI vd load(const float* p) {
  vh v;
  __builtin_memcpy(&v, p, VB / 2);
  return __builtin_convertvector(v, vd);
}
CCDL_SI vd load(const double* p) { return loadu(p); }
CCDL_SI void store(double* p, vd v) { storeu(p, v); }
CCDL_SI void store(float* p, vd v) {
  const vh h = __builtin_convertvector(v, vh);
  __builtin_memcpy(p, &h, VB / 2);
}
CCDL_SI vw load(const uint64_t* p) {
  vw v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI void store(uint64_t* p, vw v) { __builtin_memcpy(p, &v, VB); }

template <class Op, class T, class V, class A>
void run(const void* xv, void* yv, int64_t n, void* carryv) {
  const T* x = (const T*)xv;
  T* y = (T*)yv;
  A total = *(A*)carryv;
  V carry{};
  carry = carry + total;
  int64_t i = 0;
  if (y) {
    for (; i + VD <= n; i += VD) {
      const V p = prefixes<Op>(load(x + i));
      store(y + i, Op::join(carry, p));
      carry = Op::join(carry, last_of(p));
    }
  } else {
    for (; i + VD <= n; i += VD) carry = Op::join(carry, last_of(prefixes<Op>(load(x + i))));
  }
  total = carry[0];
  for (; i < n; ++i) {
    V a{}, b{};
    a[0] = total, b[0] = (A)x[i];
    total = Op::join(a, b)[0];
    if (y) y[i] = (T)total;
  }
  *(A*)carryv = total;
}

template <class Op, class H>
void run_half(const void* xv, void* yv, int64_t n, void* carry) {
  constexpr int kPiece = 512;
  const H* x = (const H*)xv;
  H* y = (H*)yv;
  float t[kPiece];
  for (int64_t b = 0; b < n; b += kPiece) {
    const int m = n - b < kPiece ? (int)(n - b) : kPiece;
    int i = 0;
    for (; i + VL <= m; i += VL) storeu(t + i, load_half(x + b + i));
    for (; i < m; ++i) t[i] = (float)x[b + i];
    run<Op, float, vd, double>(t, y ? t : nullptr, m, carry);
    if (!y) continue;
    for (i = 0; i + VL <= m; i += VL) store_half(y + b + i, loadu(t + i));
    for (; i < m; ++i) y[b + i] = H(t[i]);
  }
}

template <class Op, class T, class V>
void columns(void* xv, int64_t n, int64_t step, int64_t width) {
  for (int64_t j = 0; j < width; j += VD) {
    T* x = (T*)xv + j;
    V total = load(x);
    for (int64_t i = 1; i < n; ++i) {
      x += step;
      total = Op::join(total, load(x));
      store(x, total);
    }
  }
}

// VL columns of a half format, in double.
template <class H>
CCDL_SI void load_wide(const H* p, vd* v) {
  const vf all = load_half(p);
  vh half[2];
  __builtin_memcpy(half, &all, VB);
  v[0] = __builtin_convertvector(half[0], vd);
  v[1] = __builtin_convertvector(half[1], vd);
}
template <class Op, class H>
void columns_half(void* xv, int64_t n, int64_t step, int64_t width) {
  for (int64_t j = 0; j < width; j += VL) {
    H* x = (H*)xv + j;
    vd total[2], v[2];
    load_wide(x, total);
    for (int64_t i = 1; i < n; ++i) {
      x += step;
      load_wide(x, v);
      vh half[2];
      for (int k = 0; k < 2; ++k) {
        total[k] = Op::join(total[k], v[k]);
        half[k] = __builtin_convertvector(total[k], vh);
      }
      vf all;
      __builtin_memcpy(&all, half, VB);
      store_half(x, all);
    }
  }
}

// Extremes with their places, VD elements at a time; NaN is beyond everything and the last of equals counts,
// so that the join of two ranges is a choice between their results.
CCDL_SI vl load(const int64_t* p) {
  vl v;
  __builtin_memcpy(&v, p, VB);
  return v;
}
CCDL_SI void store(int64_t* p, vl v) { __builtin_memcpy(p, &v, VB); }
template <class V, class T>
CCDL_SI V load_some(const T* p, int n) {
  if (n == VD) return load(p);
#if defined(__AVX512F__)
  const __mmask8 live = (__mmask8)((1u << n) - 1u);
  if constexpr (sizeof(T) == 8)
    return (V)_mm512_maskz_loadu_epi64(live, p);
  else
    return (V)_mm512_maskz_cvtps_pd((__mmask8)-1, _mm256_maskz_loadu_ps(live, p));
#else
  T t[VD] = {};
  for (int i = 0; i < n; ++i) t[i] = p[i];
  return load(t);
#endif
}
template <class V, class T>
CCDL_SI void store_some(T* p, V v, int n) {
  if (n == VD) return store(p, v);
#if defined(__AVX512F__)
  const __mmask8 live = (__mmask8)((1u << n) - 1u);
  if constexpr (sizeof(T) == 8)
    _mm512_mask_storeu_epi64(p, live, (__m512i)v);
  else
    _mm256_mask_storeu_ps(p, live, _mm512_maskz_cvtpd_ps((__mmask8)-1, (__m512d)v));
#else
  T t[VD];
  store(t, v);
  for (int i = 0; i < n; ++i) p[i] = t[i];
#endif
}

// Masks stay in their own registers where there are some.
#if defined(__AVX512F__)
typedef __mmask8 ExtremeMask;
template <bool kLargest>
CCDL_SI __mmask8 takes_over(vd v, vd best) {
  const __mmask8 real = _mm512_cmp_pd_mask((__m512d)best, (__m512d)best, _CMP_ORD_Q);
  const __mmask8 beyond =
      _mm512_mask_cmp_pd_mask(real, (__m512d)v, (__m512d)best, kLargest ? _CMP_GE_OQ : _CMP_LE_OQ);
  return (__mmask8)(beyond | _mm512_cmp_pd_mask((__m512d)v, (__m512d)v, _CMP_UNORD_Q));
}
template <bool kLargest>
CCDL_SI __mmask8 takes_over(vl v, vl best) {
  return kLargest ? _mm512_cmpge_epi64_mask((__m512i)v, (__m512i)best)
                  : _mm512_cmple_epi64_mask((__m512i)v, (__m512i)best);
}
template <class V>
CCDL_SI V choose(__mmask8 m, V a, V b) {
  return (V)_mm512_mask_blend_epi64(m, (__m512i)b, (__m512i)a);
}
CCDL_SI bool any_lane(__mmask8 m) { return m != 0; }
CCDL_SI __mmask8 first_lanes(int n) { return (__mmask8)((1u << n) - 1u); }
#else
typedef vl ExtremeMask;
template <bool kLargest, class V>
CCDL_SI vl takes_over(V v, V best) {
  return (v != v) | ((best == best) & (kLargest ? v >= best : v <= best));
}
template <class V>
CCDL_SI V choose(vl m, V a, V b) {
  return m ? a : b;
}
CCDL_SI bool any_lane(vl m) {
  int64_t all = 0;
  for (int l = 0; l < VD; ++l) all |= m[l];
  return all != 0;
}
CCDL_SI vl first_lanes(int n) {
  vl lane;
  for (int l = 0; l < VD; ++l) lane[l] = l;
  return lane < n;
}
#endif
template <bool kLargest, int s, class V>
CCDL_SI void extreme_step(V& v, vl& at) {
  vl pick;
  for (int l = 0; l < VD; ++l) pick[l] = l < s ? l : l - s;
  const V before = __builtin_shuffle(v, pick);
  const vl place = __builtin_shuffle(at, pick);
  const ExtremeMask kept = takes_over<kLargest>(v, before) | first_lanes(s);
  v = choose(kept, v, before);
  at = choose(kept, at, place);
}
template <bool kLargest, class T, class V>
void extreme_rows(const void* xv, int64_t xs, void* yv, int64_t ys, int64_t* index, int64_t is, int64_t n,
                  int64_t rows) {
  constexpr int kBlock = 4;
  const T* x = (const T*)xv;
  T* y = (T*)yv;
  vl lane;
  for (int l = 0; l < VD; ++l) lane[l] = l;
  for (int64_t r = 0; r < rows; ++r, x += xs, y += ys, index += is) {
    V best{};
    best = best + (decltype(best[0] + best[0]))x[0];
    vl at = {};
    const auto take = [&](int64_t i, int count) __attribute__((always_inline)) {
      V v = load_some<V>(x + i, count);
      vl place = lane + i;
      extreme_step<kLargest, 1>(v, place);
#if CCDL_VB >= 32
      extreme_step<kLargest, 2>(v, place);
#endif
#if CCDL_VB >= 64
      extreme_step<kLargest, 4>(v, place);
#endif
      const ExtremeMask over = takes_over<kLargest>(v, best);
      v = choose(over, v, best);
      place = choose(over, place, at);
      store_some(y + i, v, count);
      store_some(index + i, place, count);
      best = last_of(v);
      at = last_of(place);
    };
    int64_t i = 0;
    for (; i + kBlock * VD <= n; i += kBlock * VD) {
      if (i >= kBlock * VD) {  // a new extreme becomes rare
        ExtremeMask any{};
        for (int u = 0; u < kBlock; ++u) any |= takes_over<kLargest>(load_some<V>(x + i + u * VD, VD), best);
        if (!any_lane(any)) {
          for (int u = 0; u < kBlock; ++u) store_some(y + i + u * VD, best, VD);
          for (int u = 0; u < kBlock; ++u) store_some(index + i + u * VD, at, VD);
          continue;
        }
      }
      for (int u = 0; u < kBlock; ++u) take(i + u * VD, VD);
    }
    for (; i + VD <= n; i += VD) take(i, VD);
    if (i < n) take(i, (int)(n - i));
  }
}
template <bool kLargest, int U, class T, class V>
CCDL_SI void extreme_columns_of(const T* x, int64_t xs, T* y, int64_t ys, int64_t* index, int64_t is,
                                int64_t n) {
  V best[U];
  vl at[U] = {};
  for (int u = 0; u < U; ++u) best[u] = load(x + u * VD);
  for (int64_t i = 0; i < n; ++i, x += xs, y += ys, index += is)
#pragma GCC unroll 4
    for (int u = 0; u < U; ++u) {
      const V v = load(x + u * VD);
      const ExtremeMask over = takes_over<kLargest>(v, best[u]);
      best[u] = choose(over, v, best[u]);
      at[u] = choose(over, vl{} + i, at[u]);
      store(y + u * VD, best[u]);
      store(index + u * VD, at[u]);
    }
}
template <bool kLargest, class T, class V>
int64_t extreme_columns(const void* xv, int64_t xs, void* yv, int64_t ys, int64_t* index, int64_t is,
                        int64_t n, int64_t lanes) {
  const T* x = (const T*)xv;
  T* y = (T*)yv;
  int64_t j = 0;
  for (; j + 4 * VD <= lanes; j += 4 * VD)
    extreme_columns_of<kLargest, 4, T, V>(x + j, xs, y + j, ys, index + j, is, n);
  for (; j + VD <= lanes; j += VD)
    extreme_columns_of<kLargest, 1, T, V>(x + j, xs, y + j, ys, index + j, is, n);
  return j;
}

#define CCDL_EXTREMES(f, kLargest)                                                           \
  {                                                                                          \
    nullptr, nullptr, nullptr, nullptr, nullptr, f<kLargest, int64_t, vl>, nullptr, nullptr, \
        f<kLargest, float, vd>, f<kLargest, double, vd>                                      \
  }
#define CCDL_SCAN_COLUMNS(Op)                                                                          \
  {                                                                                                    \
    nullptr, nullptr, nullptr, nullptr, nullptr, columns<Op, uint64_t, vw>, columns_half<Op, float16>, \
        columns_half<Op, bfloat16>, columns<Op, float, vd>, columns<Op, double, vd>                    \
  }
#define CCDL_SCANS(Op, Doubles)                                                                          \
  {                                                                                                      \
    nullptr, nullptr, nullptr, nullptr, nullptr, run<Op, uint64_t, vw, uint64_t>, run_half<Op, float16>, \
        run_half<Op, bfloat16>, run<Op, float, vd, double>, Doubles                                      \
  }

}  // namespace

extern const ScanKernels scan = {
    CCDL_SCANS(Add, (run<Add, double, vd, double>)),
    CCDL_SCANS(Mul, nullptr),
    CCDL_SCAN_COLUMNS(Add),
    CCDL_SCAN_COLUMNS(Mul),
    {CCDL_EXTREMES(extreme_rows, false), CCDL_EXTREMES(extreme_rows, true)},
    {CCDL_EXTREMES(extreme_columns, false), CCDL_EXTREMES(extreme_columns, true)}};

}  // namespace ccdl::cpu::CCDL_ISA
