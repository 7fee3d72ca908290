// Functions the C library lacks or that need more than a formula, in double: normal quantile, inverse error
// function, digamma, trigamma. Host and device; always inlined, so that the header can be part of sources of
// every instruction-set level.
#pragma once
#include <ccdl/core/dtype.h>

#if defined(__CUDACC__)
#define CCDL_MATH(f) ::f
#else
#define CCDL_MATH(f) __builtin_##f
#endif

// (1 + 2 x) e^(x^2) erfc(x) in powers of (x - 3.75) / (x + 3.75), x >= 0; used by erfcx() in
// special_series.h.
// clang-format off
#define CCDL_ERFCX_SERIES \
  1.2375126308378275, -0.14024059858554702, 0.0035854154854644297, 0.08227673849015102, -0.10880393014174887, \
  0.09230432116019827, -0.05869339858963664, 0.028362277421516525, -0.009746579558030587, 0.0017556258324140865, \
  0.0002937136655987335, -0.0002901539792509416, 5.1649098866588696e-05, 2.2383911908287962e-05, -1.1444146177691465e-05, \
  -9.728492999244162e-07, 1.7516375577745255e-06, -5.8263229109651784e-08, -2.586684168466926e-07, 2.429017487074002e-08, \
  3.867527806161844e-08, -4.389542449788124e-09, -5.173970360868031e-09, 5.458090121909175e-10, 4.2514411063829625e-10, \
  -3.754634848643597e-11
// The series of bessel_scaled() in special_series.h
#define CCDL_BESSEL_NEAR0 \
  0.20700192122398667, -0.11300432688620536, 0.09451562853996409, -0.08904344136077755, 0.08734341617467443, \
  -0.08496338091541732, 0.07927522592888984, -0.06954119563168235, 0.05677703172971468, -0.0429859492954222, \
  0.030177914344596494, -0.019682655791721182, 0.011960065876823142, -0.006792394790940051, 0.003617168752907873, \
  -0.0018119030567637056, 0.0008562116300006979, -0.00038286526498299526, 0.0001625842597608375, -6.556805964401791e-05, \
  2.498583900595597e-05, -9.183742586936203e-06, 3.4092773809228405e-06, -1.142045323881917e-06, 2.697917392412236e-07, \
  -8.591406444264668e-08, 5.7558980244552295e-08, -1.6316042856792757e-08
#define CCDL_BESSEL_FAR0 \
  0.4021765094450081, 0.0033605519836677504, 0.00013621607438984735, 1.1143033800708978e-05, 1.4838476651250266e-06, \
  2.973596046562712e-07, 8.872034383314144e-08, 3.932889375114634e-08, 2.1566251453104354e-08, 7.534355843803342e-09, \
  -6.849338188286771e-09, -1.3326094405766389e-08, -5.03810648790328e-09, 7.335968710816156e-09, 6.560138746917051e-09, \
  -3.1346276429240816e-09, -4.575553424534966e-09, 1.1050558794424366e-09, 2.1968921378828948e-09, -2.803381997887009e-10, \
  -6.633287112547059e-10, 3.62935522971875e-11, 9.365086892818145e-11, 0.0
#define CCDL_BESSEL_NEAR1 \
  0.04468770987560883, -0.061124338029666284, 0.06805759990951268, -0.06848260620582691, 0.06376740371333643, \
  -0.055280039226991644, 0.04467457262306667, -0.03367135552108536, 0.02368601693352639, -0.015571309243980052, \
  0.009583962344356725, -0.005534567847563678, 0.003005761416447221, -0.00153887456203039, 0.0007445158727006065, \
  -0.0003411760289073331, 0.00014841259927108295, -6.142360299099794e-05, 2.42486684188831e-05, -9.136543922789093e-06, \
  3.2758438130588964e-06, -1.1327072698408053e-06, 3.9094375480236725e-07, -1.2424759932738304e-07, 2.987385645901576e-08, \
  -8.984420960424589e-09, 5.2131237878886215e-09, -1.41695079121077e-09
#define CCDL_BESSEL_FAR1 \
  0.38939845902587233, -0.009749577193235635, -0.0002192357638317243, -1.5038547209501858e-05, -1.8349102358955385e-06, \
  -3.4838534380376333e-07, -1.000109565963654e-07, -4.313196489977733e-08, -2.339250374801858e-08, -8.409182040442918e-09, \
  6.840138997706959e-09, 1.3958551001385956e-08, 5.593370101790607e-09, -7.444441477197272e-09, -6.983839624895859e-09, \
  3.086886736722728e-09, 4.810597405089936e-09, -1.0594544160443186e-09, -2.297004161885195e-09, 2.6340771095136576e-10, \
  6.917089294193781e-10, -3.365431853180194e-11, -9.752397204138148e-11, 0.0
// Wichura's rational functions of normal_quantile()
#define CCDL_QUANTILE_UP0 \
  3.3871328727963666080e0, 1.3314166789178437745e+2, 1.9715909503065514427e+3, 1.3731693765509461125e+4, \
  4.5921953931549871457e+4, 6.7265770927008700853e+4, 3.3430575583588128105e+4, 2.5090809287301226727e+3
#define CCDL_QUANTILE_DOWN0 \
  1.0, 4.2313330701600911252e+1, 6.8718700749205790830e+2, 5.3941960214247511077e+3, \
  2.1213794301586595867e+4, 3.9307895800092710610e+4, 2.8729085735721942674e+4, 5.2264952788528545610e+3
#define CCDL_QUANTILE_UP1 \
  1.42343711074968357734e0, 4.63033784615654529590e0, 5.76949722146069140550e0, 3.64784832476320460504e0, \
  1.27045825245236838258e0, 2.41780725177450611770e-1, 2.27238449892691845833e-2, 7.74545014278341407640e-4
#define CCDL_QUANTILE_DOWN1 \
  1.0, 2.05319162663775882187e0, 1.67638483018380384940e0, 6.89767334985100004550e-1, \
  1.48103976427480074590e-1, 1.51986665636164571966e-2, 5.47593808499534494600e-4, 1.05075007164441684324e-9
#define CCDL_QUANTILE_UP2 \
  6.65790464350110377720e0, 5.46378491116411436990e0, 1.78482653991729133580e0, 2.96560571828504891230e-1, \
  2.65321895265761230930e-2, 1.24266094738807843860e-3, 2.71155556874348757815e-5, 2.01033439929228813265e-7
#define CCDL_QUANTILE_DOWN2 \
  1.0, 5.99832206555887937690e-1, 1.36929880922735805310e-1, 1.48753612908506148525e-2, \
  7.86869131145613259100e-4, 1.84631831751005468180e-5, 1.42151175831644588870e-7, 2.04426310338993978564e-15
// clang-format on

namespace ccdl::special {

constexpr double kPi = 3.14159265358979323846;

// c[0] + c[1] t + ..., even and odd powers apart, which halves the chain of dependent operations.
template <int N>
CCDL_HD CCDL_INLINE double polynomial(const double (&c)[N], double t) {
  static_assert(N % 2 == 0);
  const double s = t * t;
  double odd = c[N - 1], even = c[N - 2];
  for (int i = N - 3; i > 0; i -= 2) {
    odd = odd * s + c[i];
    even = even * s + c[i - 1];
  }
  return odd * t + even;
}

// The normal quantile of 1/2 + q, where `tail` = 1/2 - |q| is given apart because it keeps the digits near 0
// and 1. Wichura, Algorithm AS 241 (1988), PPND16: three rational functions, relative error 1e-16.
CCDL_HD CCDL_INLINE double normal_quantile(double q, double tail) {
  if (q <= 0.425 && q >= -0.425) {
    const double r = 0.180625 - q * q;
    const double up[] = {CCDL_QUANTILE_UP0};
    const double down[] = {CCDL_QUANTILE_DOWN0};
    return q * polynomial(up, r) / polynomial(down, r);
  }
  double r = CCDL_MATH(sqrt)(-CCDL_MATH(log)(tail)), y;
  if (r <= 5) {
    const double up[] = {CCDL_QUANTILE_UP1};
    const double down[] = {CCDL_QUANTILE_DOWN1};
    r -= 1.6;
    y = polynomial(up, r) / polynomial(down, r);
  } else {
    const double up[] = {CCDL_QUANTILE_UP2};
    const double down[] = {CCDL_QUANTILE_DOWN2};
    r -= 5;
    y = polynomial(up, r) / polynomial(down, r);
  }
  return q < 0 ? -y : y;
}

CCDL_HD CCDL_INLINE double erfinv(double x) {
  const double a = x < 0 ? -x : x;
  if (!(a < 1)) return a == 1 ? x * __builtin_inf() : __builtin_nan("");
  return 0.70710678118654752440 * normal_quantile(0.5 * x, 0.5 * (1 - a));
}

CCDL_HD CCDL_INLINE double frac_of(double x) { return x - CCDL_MATH(floor)(x); }

// Reflection below 0, recurrence up to 10, then the asymptotic series.
CCDL_HD CCDL_INLINE double digamma(double x) {
  if (x == 0) return -CCDL_MATH(copysign)(__builtin_inf(), x);
  double r = 0;
  if (x < 0) {
    const double f = frac_of(x);
    if (f == 0 || x - x != 0) return __builtin_nan("");
    r = -kPi / CCDL_MATH(tan)(kPi * f);
    x = 1 - x;
  }
  while (x < 10) {
    r -= 1 / x;
    x += 1;
  }
  const double z = 1 / (x * x);
  const double series =
      z *
      (1.0 / 12 -
       z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
  return r + CCDL_MATH(log)(x) - 0.5 / x - series;
}

CCDL_HD CCDL_INLINE double trigamma(double x) {
  if (x - x != 0) return x > 0 ? 0 : __builtin_nan("");
  double r = 0, sign = 1;
  if (x <= 0) {
    const double f = frac_of(x);
    if (f == 0) return __builtin_inf();
    const double s = CCDL_MATH(sin)(kPi * f);
    r = kPi * kPi / (s * s);
    sign = -1;
    x = 1 - x;
  }
  double t = 0;
  while (x < 10) {
    t += 1 / (x * x);
    x += 1;
  }
  const double z = 1 / (x * x);
  t +=
      1 / x + 0.5 * z +
      z / x *
          (1.0 / 6 - z * (1.0 / 30 -
                          z * (1.0 / 42 - z * (1.0 / 30 - z * (5.0 / 66 - z * (691.0 / 2730 - z * 7 / 6))))));
  return r + sign * t;
}

}  // namespace ccdl::special
