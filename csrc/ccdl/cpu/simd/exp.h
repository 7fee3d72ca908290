// exp over vf and vd: 2^n * p(r), r = x - n ln 2 reduced in two steps, degree-6 polynomial, at most 2 ULP; NaN stays NaN.
#pragma once
#include <ccdl/cpu/simd/lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vf vexp(vf x) {
  x = vmax(set1(-104.0f), vmin(set1(89.0f), x));
  const vi n = to_int_nearest(x * 1.44269504f);
  const vf f = to_float(n);
  vf r = fma(f, set1(-0.693359375f), x);
  r = fma(f, set1(2.12194440e-4f), r);
  vf p = set1(1.3981999507e-3f);
  p = fma(p, r, set1(8.3334519073e-3f));
  p = fma(p, r, set1(4.1665795894e-2f));
  p = fma(p, r, set1(1.6666665459e-1f));
  p = fma(p, r, set1(5.0000001201e-1f));
  p = fma(p, r * r, r) + 1.0f;
#if defined(__AVX512F__)
  return (vf)_mm512_scalef_ps((__m512)p, (__m512)f);
#else
  const vi h = n >> 1;
  return p * (vf)((h + 127) << 23) * (vf)((n - h + 127) << 23);
#endif
}
CCDL_SI vd vexp(vd x) {
  for (int i = 0; i < VD; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
