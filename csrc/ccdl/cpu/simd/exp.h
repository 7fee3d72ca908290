// exp over either lane type.
#pragma once
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/vmath_double.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vd vexp(vd x) { return dexp(x); }
CCDL_SI vf vexp_down(vf x) {  // e^x for x <= 0 and NaN
  x = vmax(set1(-106.0f), x);
  const vf n = fma(x, set1(kLog2E), set1(kRoundMagic)) - kRoundMagic;
  const vf r = fma(n, set1(-kLn2Low), fma(n, set1(-kLn2High), x));
  return scale_pow2(exp_reduced(r), n);
}
CCDL_SI vd vexp_down(vd x) { return vexp(x); }

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
