// Online softmax of attention (Milakov and Gimelshein, 2018): per tile of keys a row's maximum, exp and sum,
// and the factor that brings what was accumulated to the new maximum. A row without any key so far keeps the
// maximum -inf; exp then takes 0 in its place, so that -inf scores give 0 and NaN stays NaN.
#include <ccdl/cpu/simd/attention.h>
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/vmath.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;
template <class T>
constexpr T kLow = -(T)__builtin_inff();

// e^x for x that is at most a little above 0, NaN kept: 2^n 2^f with n the nearest integer to x log2(e);
// minimax polynomials on [-1/2, 1/2], exact at 0, relative error 2e-9 and 3e-18.
CCDL_SI vf weight(vf x) {
  x = vmax(set1(-105.0f), x);
  const vf y = x * kLog2E;
#if defined(__AVX512F__)
  const vf n = vround_even(y);
#else
  const vf n = (y + kRoundMagic) - kRoundMagic;
#endif
  const vf f = fma(x, set1(kLog2E), -n);
  vf p = fma(set1(0.0001535335398f), f, set1(0.001339887494f));
  p = fma(p, f, set1(0.009618437394f));
  p = fma(p, f, set1(0.0555033247f));
  p = fma(p, f, set1(0.2402264791f));
  p = fma(p, f, set1(0.6931472029f));
  return scale_pow2(fma(p, f, set1(1.0f)), n);
}
CCDL_SI vd weight(vd x) {
  constexpr double kLog2EDouble = 1.4426950408889634074, kMagic = 6755399441055744.0;  // 1.5 * 2^52
  x = vmax(set1(-760.0), x);
  const vd shifted = x * kLog2EDouble + kMagic, n = shifted - kMagic;
  // ln2 in two pieces, the first exact for the n that occur
  const vd r = fma(n, set1(-1.90821492927058770002e-10), fma(n, set1(-6.93147180369123816490e-01), x));
  const double c[] = {
      1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
      1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1.0,         1.0};
  vd p = set1(c[0]);
  for (int i = 1; i < 14; ++i) p = fma(p, r, set1(c[i]));
  const vl i = (vl)shifted - (vl)set1(kMagic), half = i >> 1;  // in two steps, for results below 2^-1022
  return p * (vd)((half + 1023) << 52) * (vd)((i - half + 1023) << 52);
}
CCDL_SI float weight(float x) { return weight(set1(x))[0]; }
CCDL_SI double weight(double x) { return weight(set1(x))[0]; }

// Lanes that may attend: all bits set where the byte is not zero.
typedef uint8_t BytesF __attribute__((vector_size(VL)));
typedef uint8_t BytesD __attribute__((vector_size(VD)));
template <class B, class M>
CCDL_SI M bytes_set(const uint8_t* p, int count) {
  constexpr int kN = sizeof(B);
  B b = {};
  if (count == kN)
    __builtin_memcpy(&b, p, kN);
  else
    for (int i = 0; i < kN; ++i) b[i] = i < count ? p[i] : 0;
  return __builtin_convertvector(b, M) != 0;
}
template <class T>
CCDL_SI typename Lanes<T>::M may_attend(const uint8_t* p, int count) {
  if constexpr (sizeof(T) == 4)
    return bytes_set<BytesF, vi>(p, count);
  else
    return bytes_set<BytesD, vl>(p, count);
}

enum MaskKind { kNone, kBool, kAdded };

template <class T, int Mask>
CCDL_SI Vec<T> masked(Vec<T> s, const void* mask, int64_t i, int count) {
  if (Mask == kBool)
    return select(may_attend<T>(static_cast<const uint8_t*>(mask) + i, count), s, set1(kLow<T>));
  if (Mask == kAdded) {  // -inf hides the key, whatever its score is
    const Vec<T> m = at(static_cast<const T*>(mask) + i, count);
    return select(m == set1(kLow<T>), m, s + m);
  }
  return s;
}

// The largest score of the row, NaN passed over; masked scores are stored back.
template <class T, int Mask>
CCDL_SI T row_max(T* s, int64_t n, const void* mask) {
  constexpr int kN = Lanes<T>::kN;
  const auto load = [&](int64_t i, int count) __attribute__((always_inline)) {
    const Vec<T> v = masked<T, Mask>(at(s + i, count, kLow<T>), mask, i, count);
    if (Mask != kNone) to(s + i, v, count);
    return v;
  };
  Vec<T> a = set1(kLow<T>), b = a, c = a, d = a;
  int64_t i = 0;
  for (; i + 4 * kN <= n; i += 4 * kN) {
    a = vmax(load(i, kN), a);
    b = vmax(load(i + kN, kN), b);
    c = vmax(load(i + 2 * kN, kN), c);
    d = vmax(load(i + 3 * kN, kN), d);
  }
  for (; i + kN <= n; i += kN) a = vmax(load(i, kN), a);
  if (i < n) b = vmax(load(i, (int)(n - i)), b);
  return lane_max(vmax(vmax(a, b), vmax(c, d)));
}

template <class T, int Mask>
__attribute__((noinline)) void forward_rows(const AttentionTile<T>& t, T* max, T* sum, T* out, int64_t e,
                                            bool first) {
  for (int64_t r = 0; r < t.rows; ++r) {
    T* s = t.s + r * t.ld;
    const int64_t n = t.limit[r];
    if (n > 0) {
      const T before = max[r], tile_max = row_max<T, Mask>(s, n, Mask == kNone ? nullptr : t.mask[r]);
      const T after = tile_max > before ? tile_max : before, shift = after == kLow<T> ? T(0) : after;
      const Vec<T> m = set1(shift);
      const T tile_sum = sum_over<T>(
          n, [&](int64_t i, int count) __attribute__((always_inline)) {
            const Vec<T> p = weight(at(s + i, count, kLow<T>) - m);
            to(s + i, p, count);
            return p;
          });
      const T factor = before == after ? T(1) : weight(before - shift);
      max[r] = after;
      sum[r] = sum[r] * factor + tile_sum;
      if (!first && factor != T(1)) {
        const Vec<T> f = set1(factor);
        T* o = out + r * e;
        each_vector<T>(
            e, [&](int64_t i, int count)
                   __attribute__((always_inline)) { to(o + i, at(o + i, count) * f, count); });
      }
      if (t.keep != nullptr) {
        const T* keep = t.keep + r * t.ld;
        each_vector<T>(
            n, [&](int64_t i, int count) __attribute__((always_inline)) {
              to(s + i, at(s + i, count) * at(keep + i, count), count);
            });
      }
    }
    for (int64_t i = n; i < t.n; ++i) s[i] = T(0);
  }
}

template <class T>
void forward_step(const AttentionTile<T>& t, T* max, T* sum, T* out, int64_t e, bool first) {
  if (t.mask == nullptr)
    forward_rows<T, kNone>(t, max, sum, out, e, first);
  else if (t.mask_adds)
    forward_rows<T, kAdded>(t, max, sum, out, e, first);
  else
    forward_rows<T, kBool>(t, max, sum, out, e, first);
}

// p = exp(scale s + mask - lse), ds = p (keep dp - delta); a row without a key has lse = -inf and no
// gradient.
template <class T, int Mask>
__attribute__((noinline)) void backward_rows(const AttentionTile<T>& t, T* dp_tile, T scale, const T* lse,
                                             const T* delta) {
  const Vec<T> c = set1(scale);
  for (int64_t r = 0; r < t.rows; ++r) {
    T* s = t.s + r * t.ld;
    T* dp = dp_tile + r * t.ld;
    const T* keep = t.keep == nullptr ? nullptr : t.keep + r * t.ld;
    const void* mask = Mask == kNone ? nullptr : t.mask[r];
    const int64_t n = lse[r] == kLow<T> ? 0 : t.limit[r];
    const Vec<T> l = set1(lse[r]), d = set1(delta[r]);
    each_vector<T>(
        n, [&](int64_t i, int count) __attribute__((always_inline)) {
          // the mask before lse: the sum of the two may be far from either
          Vec<T> x = masked<T, Mask>(at(s + i, count) * c, mask, i, count) - l;
          const Vec<T> p = weight(x);
          Vec<T> g = at(dp + i, count), kept = p;
          if (keep != nullptr) {
            const Vec<T> f = at(keep + i, count);
            g *= f;
            kept *= f;
          }
          g = p * (g - d) * c;
          if (Mask != kNone) g = select(x == set1(kLow<T>), Vec<T>{}, g);
          to(s + i, kept, count);
          to(dp + i, g, count);
        });
    for (int64_t i = n; i < t.n; ++i) s[i] = dp[i] = T(0);
  }
}

template <class T>
void backward_step(const AttentionTile<T>& t, T* dp, T scale, const T* lse, const T* delta) {
  if (t.mask == nullptr)
    backward_rows<T, kNone>(t, dp, scale, lse, delta);
  else if (t.mask_adds)
    backward_rows<T, kAdded>(t, dp, scale, lse, delta);
  else
    backward_rows<T, kBool>(t, dp, scale, lse, delta);
}

template <class T>
void keep(const uint32_t* words, int64_t n, uint32_t threshold, T factor, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = (words[i] >> 8) >= threshold ? factor : T(0);
}

template <class T>
void scaled(const T* src, T factor, T* dst, int64_t n) {
  const Vec<T> f = set1(factor);
  each_vector<T>(
      n, [&](int64_t i, int count)
             __attribute__((always_inline)) { to(dst + i, at(src + i, count) * f, count); });
}

template <class T>
void add(const T* src, T* dst, int64_t n) {
  each_vector<T>(
      n, [&](int64_t i, int count)
             __attribute__((always_inline)) { to(dst + i, at(dst + i, count) + at(src + i, count), count); });
}

template <class T>
void store(const void* px, double factor, void* py, int64_t n) {
  typedef typename Lanes<T>::S S;
  const S* x = static_cast<const S*>(px);
  T* y = static_cast<T*>(py);
  const Vec<T> f = set1((S)factor);
  each_vector<T>(
      n, [&](int64_t i, int count)
             __attribute__((always_inline)) { to(y + i, at(x + i, count) * f, count); });
}

template <class T>
double dot(const void* px, const void* py, int64_t n) {
  const T* x = static_cast<const T*>(px);
  const T* y = static_cast<const T*>(py);
  return sum_over<T>(
      n, [&](int64_t i, int count)
             __attribute__((always_inline)) { return at(x + i, count) * at(y + i, count); });
}

template <class T>
constexpr AttentionTypeKernels<T> kernels() {
  return {forward_step<T>, backward_step<T>, keep<T>, scaled<T>, add<T>};
}

}  // namespace

extern const AttentionKernels attention;
const AttentionKernels attention = {
    kernels<float>(),
    kernels<double>(),
    {store<float16>, store<bfloat16>, store<float>, store<double>},
    {dot<float16>, dot<bfloat16>, dot<float>, dot<double>},
};

}  // namespace ccdl::cpu::CCDL_ISA
