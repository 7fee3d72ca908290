// Inner loops of the reductions. Float sums run in eight vectors of float lanes over blocks of 2048 elements
// (16 additions a lane at 512 bits) whose totals are added in double; squares, variances and exponentials
// convert to double at once. Columns add eight rows in a tree in float, then go to the double accumulators.
#include <ccdl/cpu/simd/reduce.h>
#include <ccdl/cpu/simd/reduce_integer.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

typedef float vh __attribute__((vector_size(VB / 2)));  // as many floats as vd has doubles

CCDL_SI vd load_wide(const float* p) {
  vh v;
  __builtin_memcpy(&v, p, VB / 2);
  return __builtin_convertvector(v, vd);
}
// The arithmetic vector of E from elements T.
CCDL_SI vf load_as(const float* p, float) { return loadu(p); }
CCDL_SI vf load_as(const float16* p, float) { return load_half(p); }
CCDL_SI vf load_as(const bfloat16* p, float) { return load_half(p); }
CCDL_SI vd load_as(const float* p, double) { return load_wide(p); }
CCDL_SI vd load_as(const double* p, double) { return loadu(p); }
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
CCDL_SI vd pow_vd(vd x, vd p) {
  for (int i = 0; i < VD; ++i) x[i] = __builtin_pow(x[i], p[i]);
  return x;
}
CCDL_SI double pow_vd(double x, double p) { return __builtin_pow(x, p); }

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
// kWide: elements become double before map.
struct SumOp {
  static constexpr bool kWide = false;
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
  template <class V>
  CCDL_SI V map(V x, V c) {
    return pow_vd(x < V{} ? -x : x, c);
  }
};
struct SumExpOp : SumDOp {
  template <class V>
  CCDL_SI V map(V x, V c) {
    return exp_vd(x - c);
  }
};
struct ProdOp {
  static constexpr bool kWide = true;
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
  static constexpr bool kWide = false;
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
  static constexpr bool kWide = false;
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

// Total of n contiguous elements, n at most one block; E is the arithmetic type (float, or double when wide).
template <class Op, class E, class T>
CCDL_SI E block_total(const T* x, int64_t n, double c) {
  using V = typename Lanes<E>::Vec;
  constexpr int L = Lanes<E>::n;
  const V cv = V{} + (E)c;
  E total = (E)Op::kId;
  int64_t i = 0;
  if (n >= L) {
    const V id = V{} + (E)Op::kId;
    V a[8];
    for (int k = 0; k < 8; ++k) a[k] = id;
    for (; i + 8 * L <= n; i += 8 * L)
#pragma GCC unroll 8
      for (int k = 0; k < 8; ++k) a[k] = Op::join(a[k], Op::map(load_as(x + i + k * L, E{}), cv));
    for (; i + L <= n; i += L) a[0] = Op::join(a[0], Op::map(load_as(x + i, E{}), cv));
    for (int h = 4; h > 0; h /= 2)
      for (int k = 0; k < h; ++k) a[k] = Op::join(a[k], a[k + h]);
    E t[L];
    __builtin_memcpy(t, &a[0], VB);
    for (int h = L / 2; h > 0; h /= 2)
      for (int k = 0; k < h; ++k) t[k] = Op::join(t[k], t[k + h]);
    total = t[0];
  }
  for (; i < n; ++i) total = Op::join(total, Op::map((E)x[i], (E)c));
  return total;
}

template <class Op, class T>
CCDL_SI void row_float_inline(const void* xv, int64_t n, const double* c, void* accv) {
  using E = typename Arith<Op::kWide, T>::type;
  const T* x = static_cast<const T*>(xv);
  double* acc = static_cast<double*>(accv);
  const double c0 = c ? *c : 0.0;
  while (n > 0) {
    const int64_t m = n < 2048 ? n : 2048;
    *acc = Op::join(*acc, (double)block_total<Op, E, T>(x, m, c0));
    x += m;
    n -= m;
  }
}
template <class Op, class T>
void row_float(const void* x, int64_t n, const double* c, void* acc) {
  row_float_inline<Op, T>(x, n, c, acc);
}

// One vector of columns over R rows, joined in a tree.
template <class Op, class E, class T, int R>
CCDL_SI typename Lanes<E>::Vec col_tree(const T* x, int64_t rs, typename Lanes<E>::Vec cv) {
  typename Lanes<E>::Vec a[R];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) a[r] = Op::map(load_as(x + r * rs, E{}), cv);
#pragma GCC unroll 3
  for (int h = R / 2; h > 0; h /= 2)
#pragma GCC unroll 4
    for (int r = 0; r < h; ++r) a[r] = Op::join(a[r], a[r + h]);
  return a[0];
}

template <class Op, class T, int R>
CCDL_SI void col_rows(const T* x, int64_t rs, int64_t cols, const double* c, double* acc) {
  int64_t j = 0;
  if constexpr (Op::kWide || sizeof(T) == 8) {
    for (; j + VD <= cols; j += VD) {
      const vd cv = c ? loadu(c + j) : vd{};
      storeu(acc + j, Op::join(loadu(acc + j), col_tree<Op, double, T, R>(x + j, rs, cv)));
    }
  } else {
    for (; j + VL <= cols; j += VL) {
      const vf s = col_tree<Op, float, T, R>(x + j, rs, vf{});
      float t[VL];
      __builtin_memcpy(t, &s, VB);
      storeu(acc + j, Op::join(loadu(acc + j), load_wide(t)));
      storeu(acc + j + VD, Op::join(loadu(acc + j + VD), load_wide(t + VD)));
    }
  }
  for (; j < cols; ++j)
    for (int r = 0; r < R; ++r)
      acc[j] =
          Op::join(acc[j], Op::map((double)(typename Arith<false, T>::type)x[r * rs + j], c ? c[j] : 0.0));
}

template <class Op, class T>
void col_float(const void* xv, int64_t rows, int64_t rs, int64_t cols, const double* c, void* accv) {
  const T* x = static_cast<const T*>(xv);
  double* acc = static_cast<double*>(accv);
  for (; rows >= 8; rows -= 8, x += 8 * rs) col_rows<Op, T, 8>(x, rs, cols, c, acc);
  if (rows >= 4) col_rows<Op, T, 4>(x, rs, cols, c, acc), rows -= 4, x += 4 * rs;
  if (rows >= 2) col_rows<Op, T, 2>(x, rs, cols, c, acc), rows -= 2, x += 2 * rs;
  for (; rows > 0; --rows, x += rs) col_rows<Op, T, 1>(x, rs, cols, c, acc);
}

template <class Op, class T>
void short_rows_float(const void* xv, int64_t rows, int64_t rs, int64_t n, const double* c, void* accv) {
  using E = typename Arith<Op::kWide, T>::type;
  const T* x = static_cast<const T*>(xv);
  double* acc = static_cast<double*>(accv);
  if (n >= 16) {
    for (int64_t r = 0; r < rows; ++r, x += rs) row_float_inline<Op, T>(x, n, c ? c + r : nullptr, acc + r);
    return;
  }
  for (int64_t r = 0; r < rows; ++r, x += rs) {
    const E cr = c ? (E)c[r] : E{};
    E total = Op::map((E)x[0], cr);
    for (int64_t i = 1; i < n; ++i) total = Op::join(total, Op::map((E)x[i], cr));
    acc[r] = Op::join(acc[r], (double)total);
  }
}

// b beats a: larger (or smaller), or NaN against a number.
template <bool kLargest, class T>
CCDL_SI bool beats(T b, T a) {
  return (kLargest ? b > a : b < a) | ((b != b) & (a == a));
}
template <bool kLargest, class T>
struct ArgOp {
  using Op = MaxOp;
};
template <class T>
struct ArgOp<false, T> {
  using Op = MinOp;
};

template <bool kLargest, class T>
CCDL_SI T block_best(const T* x, int64_t n) {
  if constexpr (kIsInt<T>) {
    T best = x[0];
    for (int64_t i = 1; i < n; ++i) best = (kLargest ? x[i] > best : x[i] < best) ? x[i] : best;
    return best;
  } else {
    return block_total<typename ArgOp<kLargest, T>::Op, T, T>(x, n, 0.0);
  }
}
template <bool kLargest, class T, class Acc>
void arg_row(const void* xv, int64_t n, int64_t base, void* bestv, int64_t* idx) {
  const T* x = static_cast<const T*>(xv);
  Acc best = *static_cast<Acc*>(bestv);
  for (int64_t i = 0; i < n; i += 512) {
    const int64_t m = n - i < 512 ? n - i : 512;
    const T b = block_best<kLargest, T>(x + i, m);
    if (!(beats<kLargest, Acc>((Acc)b, best) || *idx < 0)) continue;
    const bool nan = b != b;
    const auto found = [&](int64_t at) __attribute__((always_inline)) {
      return (x[at] == b) | (nan & (x[at] != x[at]));
    };
    int64_t k = 0;
    for (; k + 32 <= m; k += 32) {
      int any = 0;
      for (int64_t j = 0; j < 32; ++j) any |= found(i + k + j);
      if (any) break;
    }
    while (!found(i + k)) ++k;
    best = (Acc)b;
    *idx = base + i + k;
  }
  *static_cast<Acc*>(bestv) = best;
}
template <bool kLargest, class T, class Acc>
void arg_col(const void* xv, int64_t rows, int64_t rs, int64_t cols, int64_t base, void* bestv,
             int64_t* __restrict idx) {
  const T* x = static_cast<const T*>(xv);
  Acc* __restrict best = static_cast<Acc*>(bestv);
  for (int64_t r = 0; r < rows; ++r, x += rs)
    for (int64_t j = 0; j < cols; ++j) {
      const Acc v = (Acc)x[j], b = best[j];
      const bool better = beats<kLargest, Acc>(v, b) | (idx[j] < 0);
      best[j] = better ? v : b;
      idx[j] = better ? base + r : idx[j];
    }
}

template <bool kLargest, class T, class Acc>
void arg_short_rows(const void* xv, int64_t rows, int64_t rs, int64_t n, int64_t base, void* bestv,
                    int64_t* idx) {
  const T* x = static_cast<const T*>(xv);
  Acc* best = static_cast<Acc*>(bestv);
  if (n >= 16) {
    for (int64_t r = 0; r < rows; ++r, x += rs) arg_row<kLargest, T, Acc>(x, n, base, best + r, idx + r);
    return;
  }
  for (int64_t r = 0; r < rows; ++r, x += rs) {
    T b = x[0];
    for (int64_t i = 1; i < n; ++i) b = beats<kLargest, T>(x[i], b) ? x[i] : b;
    int64_t at = 0;
    const bool nan = b != b;
    for (int64_t i = n - 1; i >= 0; --i) at = ((x[i] == b) | (nan & (x[i] != x[i]))) ? i : at;
    if (idx[r] >= 0 && !beats<kLargest, Acc>((Acc)b, best[r])) continue;
    best[r] = (Acc)b;
    idx[r] = base + at;
  }
}

template <class T, class O>
CCDL_SI void pack_as(const void* xv, int64_t stride, int64_t n, void* out) {
  const T* __restrict x = static_cast<const T*>(xv);
  O* __restrict y = static_cast<O*>(out);
  if (stride == 1) {
    for (int64_t i = 0; i < n; ++i) y[i] = (O)x[i];
  } else if (stride == 2) {
    for (int64_t i = 0; i < n; ++i) y[i] = (O)x[i * 2];
  } else {
    for (int64_t i = 0; i < n; ++i) y[i] = (O)x[i * stride];
  }
}
template <class T>
CCDL_SI void pack_half(const void* xv, int64_t stride, int64_t n, void* out) {
  const T* x = static_cast<const T*>(xv);
  float* y = static_cast<float*>(out);
  int64_t i = 0;
  if (stride == 1)
    for (; i + VL <= n; i += VL) storeu(y + i, load_half(x + i));
  for (; i < n; ++i) y[i] = (float)x[i * stride];
}
void pack(DType t, const void* x, int64_t stride, int64_t n, void* out) {
  switch (t) {
    case DType::Bool:
    case DType::UInt8:
      return pack_as<uint8_t, int64_t>(x, stride, n, out);
    case DType::Int8:
      return pack_as<int8_t, int64_t>(x, stride, n, out);
    case DType::Int16:
      return pack_as<int16_t, int64_t>(x, stride, n, out);
    case DType::Int32:
      return pack_as<int32_t, int64_t>(x, stride, n, out);
    case DType::Int64:
      return pack_as<int64_t, int64_t>(x, stride, n, out);
    case DType::Float16:
      return pack_half<float16>(x, stride, n, out);
    case DType::BFloat16:
      return pack_half<bfloat16>(x, stride, n, out);
    case DType::Float32:
      return pack_as<float, float>(x, stride, n, out);
    default:
      return pack_as<double, double>(x, stride, n, out);
  }
}

}  // namespace

#define CCDL_RED_HALVES(fn, Op) fn##_float<Op, float16>, fn##_float<Op, bfloat16>
#define CCDL_RED_NONE nullptr, nullptr, nullptr, nullptr
#define CCDL_RED_SMALL(fn, Op) \
  fn##_int<Op, uint8_t>, fn##_int<Op, int8_t>, fn##_int<Op, int16_t>, fn##_int<Op, int32_t>
#define CCDL_RED_NARROW(fn, Op) \
  { fn##_float<Op, float>, fn##_float<Op, double>, nullptr, CCDL_RED_HALVES(fn, Op), CCDL_RED_NONE }
#define CCDL_RED_FLOAT(fn, Op) \
  { fn##_float<Op, float>, fn##_float<Op, double>, nullptr, nullptr, nullptr, CCDL_RED_NONE }
#define CCDL_RED_BOTH(fn, Op, IntOp)                                                                  \
  {                                                                                                   \
    fn##_float<Op, float>, fn##_float<Op, double>, fn##_int<IntOp, int64_t>, CCDL_RED_HALVES(fn, Op), \
        CCDL_RED_SMALL(fn, IntOp)                                                                     \
  }
#define CCDL_RED_PROD(fn, Op, IntOp)                                                           \
  {                                                                                            \
    fn##_float<Op, float>, fn##_float<Op, double>, fn##_int<IntOp, int64_t>, nullptr, nullptr, \
        CCDL_RED_SMALL(fn, IntOp)                                                              \
  }
#define CCDL_RED_COUNT(fn, Op, ByteOp)                                                  \
  {                                                                                     \
    fn##_int<Op, float>, fn##_int<Op, double>, fn##_int<Op, int64_t>, nullptr, nullptr, \
        fn##_int<ByteOp, uint8_t>, nullptr, nullptr, fn##_int<Op, int32_t>              \
  }
#define CCDL_RED_TABLE(fn)                                                                             \
  {                                                                                                    \
    CCDL_RED_BOTH(fn, SumOp, ISum), CCDL_RED_FLOAT(fn, SumDOp), CCDL_RED_NARROW(fn, NanSumOp),         \
        CCDL_RED_NARROW(fn, SumAbsOp), CCDL_RED_FLOAT(fn, SumSqOp), CCDL_RED_FLOAT(fn, SqDiffOp),      \
        CCDL_RED_FLOAT(fn, SumPowOp), CCDL_RED_FLOAT(fn, SumExpOp), CCDL_RED_PROD(fn, ProdOp, IProd),  \
        CCDL_RED_BOTH(fn, MaxOp, IMax), CCDL_RED_BOTH(fn, MinOp, IMin), CCDL_RED_NARROW(fn, MaxAbsOp), \
        CCDL_RED_NARROW(fn, MinAbsOp), CCDL_RED_COUNT(fn, CountOp, CountOp),                           \
        CCDL_RED_COUNT(fn, AnyOp, AnyByte), CCDL_RED_COUNT(fn, AllOp, AllByte)                         \
  }
#define CCDL_ARG_TABLE(fn, largest) \
  { fn<largest, float, double>, fn<largest, double, double>, fn<largest, int64_t, int64_t> }

const ReduceKernels reduce = {
    CCDL_RED_TABLE(row),
    CCDL_RED_TABLE(col),
    CCDL_RED_TABLE(short_rows),
    row_byte<false>,
    row_byte<true>,
    {CCDL_ARG_TABLE(arg_row, false), CCDL_ARG_TABLE(arg_row, true)},
    {CCDL_ARG_TABLE(arg_col, false), CCDL_ARG_TABLE(arg_col, true)},
    {CCDL_ARG_TABLE(arg_short_rows, false), CCDL_ARG_TABLE(arg_short_rows, true)},
    pack,
};

}  // namespace ccdl::cpu::CCDL_ISA
