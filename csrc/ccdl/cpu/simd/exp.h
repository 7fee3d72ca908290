// exp over either lane type: vmath's vexp for vf, the C library lane by lane for vd.
#pragma once
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/vmath.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vd vexp(vd x) {
  for (int i = 0; i < VD; ++i) x[i] = __builtin_exp(x[i]);
  return x;
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
