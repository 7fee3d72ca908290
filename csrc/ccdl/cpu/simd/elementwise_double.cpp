// Unary elementwise ops in double that have a vector form; the others run in the C library, one by one.
#include <ccdl/cpu/simd/elementwise.h>
#include <ccdl/cpu/simd/vmath_double.h>
#include <ccdl/kernels/elementwise_functors.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

struct DoubleVecMath {
  using S = double;
  static constexpr double k(double c) { return c; }
  static constexpr double inf() { return __builtin_inf(); }
  static constexpr double nan() { return __builtin_nan(""); }
  CCDL_SI vd sel(vl m, vd a, vd b) { return m ? a : b; }
  CCDL_SI vd sel(vl m, double a, vd b) { return m ? set1(a) : b; }
  CCDL_SI vd sel(vl m, vd a, double b) { return m ? a : set1(b); }
  CCDL_SI vd sel(vl m, double a, double b) { return m ? set1(a) : set1(b); }
  CCDL_SI vd abs(vd x) { return dabs(x); }
  CCDL_SI vd sqrt(vd x) { return sqrt_double(x); }
  CCDL_SI vd exp(vd x) { return dexp(x); }
  CCDL_SI vd log(vd x) { return dlog(x); }
  CCDL_SI vd tanh(vd x) { return dtanh(x); }
  CCDL_SI vd sigmoid(vd x) { return dsigmoid(x); }
  CCDL_SI vd floor(vd x) { return dfloor(x); }
  CCDL_SI vd ceil(vd x) { return dceil(x); }
  CCDL_SI vd trunc(vd x) { return dtrunc(x); }
  CCDL_SI vd round_even(vd x) { return dround_even(x); }
};

template <class Op>
bool block(void* const* ptr, int64_t n, const ElementParams& params) {
  const functors::Params<double> p = {params.f[0], params.f[1], params.f[2]};
  double* y = (double*)ptr[0];
  const double* x = (const double*)ptr[1];
  int64_t i = 0;
  for (; i + VD <= n; i += VD) storeu(y + i, Op::template fwd<DoubleVecMath>(loadu(x + i), p));
  if (i < n) storen(y + i, Op::template fwd<DoubleVecMath>(loadn(x + i, (int)(n - i)), p), (int)(n - i));
  return false;
}

bool cube(void* const* ptr, int64_t n, const ElementParams&) {
  double* y = (double*)ptr[0];
  const double* x = (const double*)ptr[1];
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * x[i] * x[i];
  return false;
}

}  // namespace

extern const ElementwiseDoubleKernels elementwise_double = {
    block<functors::Sqrt>,
    block<functors::Rsqrt>,
    block<functors::Exp>,
    block<functors::Log>,
    block<functors::Tanh>,
    block<functors::Sigmoid>,
    block<functors::Silu>,
    block<functors::Floor>,
    block<functors::Ceil>,
    block<functors::Round>,
    block<functors::Trunc>,
    block<functors::Sign>,
    cube,
};

}  // namespace ccdl::cpu::CCDL_ISA
