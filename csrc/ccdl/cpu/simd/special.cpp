// Modified Bessel functions, scaled erfc, normal quantile and log of the normal distribution, incomplete
// gamma functions: the formulas of special_series.h over the double vector. Floats are widened.
#include <ccdl/cpu/simd/special.h>
#include <ccdl/cpu/simd/vmath_double_binary.h>
#include <ccdl/kernels/zeta_terms.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vd load_wide(const double* p) { return loadu(p); }
CCDL_SI vd load_wide(const float* p) {
  vhf h;
  __builtin_memcpy(&h, p, VB / 2);
  return __builtin_convertvector(h, vd);
}
CCDL_SI void store_wide(double* p, vd v) { storeu(p, v); }
CCDL_SI void store_wide(float* p, vd v) {
  const vhf h = __builtin_convertvector(v, vhf);
  __builtin_memcpy(p, &h, VB / 2);
}

template <class T, class F>
CCDL_SI void each(const T* x, T* y, int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + VD <= n; i += VD) store_wide(y + i, f(load_wide(x + i)));
  if (i == n) return;
  T in[VD] = {}, out[VD];
  for (int64_t k = i; k < n; ++k) in[k - i] = x[k];
  store_wide(out, f(load_wide(in)));
  for (int64_t k = i; k < n; ++k) y[k] = out[k - i];
}

constexpr double kNear[2][28] = {{CCDL_BESSEL_NEAR0}, {CCDL_BESSEL_NEAR1}};
constexpr double kFar[2][24] = {{CCDL_BESSEL_FAR0}, {CCDL_BESSEL_FAR1}};

// e^-|x| I_order(|x|)
template <int kOrder>
CCDL_SI vd bessel_scaled(vd x) {
  const vd a = dabs(x), t = vmin(set1(8.0), a) * 0.25 - 1.0;
  vd r = dpolynomial(kNear[kOrder], t);
  if (kOrder == 1) r = r * a;
  const vl far = a > 8.0;
  if (any_lane(far)) {
    const vd s = 16.0 / vmax(set1(8.0), a) - 1.0;
    const vd p = dpolynomial(kFar[kOrder], s);
    r = select(far, p / sqrt_double(a), r);
  }
  if (kOrder == 1) r = dwith_sign(r, x);
  return select(x == x, r, x);
}
template <bool kShort, int kOrder>
CCDL_SI vd bessel(vd x) {
  const vd r = bessel_scaled<kOrder>(x), a = dabs(x);
  if (kShort) {  // e^|x| is finite in double wherever the result is in float
    const vd y = r * dexp<9>(vmin(set1(200.0), a));
    return select(a == __builtin_inf(), kOrder == 1 ? x : a, y);
  }
  const vd half = dexp(a * 0.5);  // e^|x| alone would overflow too early
  return select(a == __builtin_inf(), kOrder == 1 ? x : a, r * half * half);
}

CCDL_SI vd erfcx(vd x) {
  const vd a = dabs(x), y = derfcx_positive(vmin(set1(1e300), a));
  const vd r = select(a > 1e300, 0.56418958354775628695 / a, y);
  const vl negative = x < 0.0;
  return select(x == x, any_lane(negative) ? select(negative, 2.0 * dexp(a * a) - r, r) : r, x);
}

CCDL_SI vd log_ndtr(vd x) {
  const vd t = x * 0.70710678118654752440, a = dabs(t), e = derfcx_positive(vmin(set1(1e150), a));
  const vd tail = exp_minus_square(vmin(set1(39.0), a)) * e;
  const vd erfc = select(t < 0.0, 2.0 - tail, tail);
  vd r = dlog1p(erfc * -0.5);
  const vl low = x < -1.0;
  if (any_lane(low)) r = select(low, dlog(e * 0.5) - t * t, r);
  return select(x == x, r, x);
}

// gamma_prefix() of special_series.h for 0 < a <= 1e5, 0 < x < inf
CCDL_SI vd prefix(vd a, vd x) {
  const vl small = a < 20.0;
  vd r{};
  if (any_lane(small)) {
    const vd b = vmin(set1(20.0), a);
    r = dexp(b * dlog(x) - x - dlgamma_positive(b + 1.0));
  }
  const vl large = (vl)(small == 0);
  if (any_lane(large)) {
    static constexpr double c[] = {1.0 / 12, -1.0 / 360, 1.0 / 1260, -1.0 / 1680};
    const vd b = vmax(set1(20.0), a), mu = (x - b) / b, z = 1.0 / (b * b);
    const vd p =
        dexp(b * (dlog1p(mu) - mu) - dpolynomial(c, z) / b) / (2.5066282746310005024 * sqrt_double(b));
    r = select(large, p, r);
  }
  return r;
}
template <bool kShort>
CCDL_SI vd incomplete(vd a, vd x, bool upper, double (*lane)(double, double)) {
  constexpr double kLimit = kShort ? 1e-10 : 2.2e-17, kClose = kShort ? 1e-10 : 2.2e-16;
  const vl usual = (a > 0.0) & (a <= 1e5) & (x > 0.0) & (x < __builtin_inf());
  const vd A = select(usual, a, set1(1.0)), X = select(usual, x, set1(1.0)), front = prefix(A, X);
  const vl below = X < A + 1.0;
  vd r{};
  if (any_lane(below)) {  // the series (8.7.1)
    const vd v = select(below, X, vd{});
    vd term = set1(1.0), sum = term, d = A;
    for (int k = 1; k < 20000; ++k) {
      d = d + 1.0;
      term = term * (v / d);
      sum = sum + term;
      if (!any_lane((vl)(term >= sum * kLimit))) break;
    }
    const vd p = front * sum;
    r = upper ? 1.0 - p : p;
  }
  const vl above = (vl)(below == 0);
  if (any_lane(above)) {  // the continued fraction (8.9.2), by its numerators and denominators
    const vd s = select(above, A, set1(1.0)), v = select(above, X, set1(3.0));
    vd b = v + 1.0 - s, p0 = vd{}, q0 = set1(1.0), p1 = set1(1.0), q1 = b;
    for (int k = 1; k < 20000; ++k) {
      const vd an = (s - (double)k) * (double)k;
      b = b + 2.0;
      const vd p2 = fma(b, p1, an * p0), q2 = fma(b, q1, an * q0);
      const vl apart = (vl)(dabs(p2 * q1 - p1 * q2) > dabs(p2 * q1) * kClose);
      const vd scale = select(dabs(q2) > 1e100, set1(1e-100), set1(1.0));
      p0 = p1 * scale, q0 = q1 * scale, p1 = p2 * scale, q1 = q2 * scale;
      if (!any_lane(apart)) break;
    }
    const vd q = front * A * (p1 / q1);
    r = select(below, r, upper ? q : 1.0 - q);
  }
  const vl rare = (vl)(usual == 0);
  if (any_lane(rare))
    for (int i = 0; i < VD; ++i)
      if (rare[i]) r[i] = lane(a[i], x[i]);
  return r;
}

// special::zeta() for x > 1, q > 0
CCDL_SI vd zeta_of(vd x, vd q) {
  static constexpr double b[] = CCDL_ZETA_TERMS;
  constexpr double kEps = 2.220446049250313e-16;
  vd sum{}, Q = q;
  vl least = vl{}, active = (q < 12.0) | (q < x);
  while (any_lane(active)) {
    const vd power = dpow(Q, -x);
    sum = select(active, sum + power, sum);
    least = least | (active & (power < sum * kEps));
    Q = select(active, Q + 1.0, Q);
    active = ((Q < 12.0) | (Q < x)) & (vl)(least == 0);
  }
  const vd head = dpow(Q, -x), inverse = 1.0 / Q;
  sum = sum + fma(head, Q / (x - 1.0), head * 0.5);
  vd factor = x * head * inverse;
  vl done = vl{};
  for (int j = 0; j < 10; ++j) {
    const vd term = factor * b[j];
    sum = select(done, sum, sum + term);
    done = done | least | (vl)((dabs(term) >= sum * kEps) == 0);
    if (!any_lane((vl)(done == 0))) break;
    factor = factor * ((x + (2.0 * j + 1.0)) * inverse) * ((x + (2.0 * j + 2.0)) * inverse);
  }
  return sum;
}
CCDL_SI vd zeta_or_polygamma(vd x, vd q, bool polygamma, double (*lane)(double, double)) {
  const vd order = x, s = polygamma ? x + 1.0 : x;
  const vl usual =
      (s > 1.0) & (s < 1e6) & (q > 0.0) & (q < 1e15) & (polygamma ? (vl)(order >= 2.0) : vl{} - 1);
  vd r{};
  if (any_lane(usual)) {
    const vd S = select(usual, s, set1(2.0)), Q = select(usual, q, set1(12.0));
    r = zeta_of(S, Q);
    if (polygamma) {  // (-1)^(order + 1) order! zeta(order + 1, q)
      const vd half = order * 0.5;
      r = r * dexp(dlgamma_positive(S));
      r = select(dtrunc(half) == half, -r, r);
    }
  }
  const vl rare = (vl)(usual == 0);
  if (any_lane(rare))
    for (int i = 0; i < VD; ++i)
      if (rare[i]) r[i] = lane(x[i], q[i]);
  return r;
}

template <class T>
constexpr bool kIsShort = sizeof(T) == 4;
// clang-format off
#define CCDL_EACH(name, call)                                                      \
  template <class T>                                                               \
  void name(const T* x, T* y, int64_t n) {                                         \
    each(x, y, n, [](vd v) __attribute__((always_inline)) { return call(v); });    \
  }
// clang-format on
CCDL_EACH(run_i0, (bessel<kIsShort<T>, 0>))
CCDL_EACH(run_i0e, bessel_scaled<0>)
CCDL_EACH(run_i1, (bessel<kIsShort<T>, 1>))
CCDL_EACH(run_i1e, bessel_scaled<1>)
CCDL_EACH(run_erfcx, erfcx)
CCDL_EACH(run_ndtri, dndtri)
CCDL_EACH(run_log_ndtr, log_ndtr)
#undef CCDL_EACH

template <class T, class F>
CCDL_SI void each(const T* a, const T* x, T* y, int64_t n, const F& f) {
  for (int64_t i = 0; i < n; i += VD) {
    T p[VD] = {}, q[VD] = {}, out[VD];
    const int64_t m = n - i < VD ? n - i : VD;
    for (int64_t k = 0; k < VD; ++k) p[k] = q[k] = (T)2;  // lanes beyond the end
    __builtin_memcpy(p, a + i, (uint64_t)m * sizeof(T));
    __builtin_memcpy(q, x + i, (uint64_t)m * sizeof(T));
    store_wide(out, f(load_wide(p), load_wide(q)));
    __builtin_memcpy(y + i, out, (uint64_t)m * sizeof(T));
  }
}
template <class T>
void run_gammainc(const T* a, const T* x, T* y, int64_t n, bool upper, double (*lane)(double, double)) {
  each(
      a, x, y, n, [&](vd p, vd q) __attribute__((always_inline)) {
        return incomplete<kIsShort<T>>(p, q, upper, lane);
      });
}
template <class T>
void run_zeta(const T* x, const T* q, T* y, int64_t n, bool polygamma, double (*lane)(double, double)) {
  each(
      x, q, y,
      n, [&](vd s, vd t) __attribute__((always_inline)) { return zeta_or_polygamma(s, t, polygamma, lane); });
}

template <class T>
constexpr SpecialKernelsOf<T> all() {
  return {run_i0<T>,    run_i0e<T>,      run_i1<T>,       run_i1e<T>, run_erfcx<T>,
          run_ndtri<T>, run_log_ndtr<T>, run_gammainc<T>, run_zeta<T>};
}

}  // namespace

extern constinit const SpecialKernels special = {all<float>(), all<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
