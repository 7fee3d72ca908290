// Unary elementwise ops in double that have a vector form; the others run in the C library, one by one.
#include <ccdl/cpu/simd/elementwise.h>
#include <ccdl/cpu/simd/vmath_double_special.h>
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
  CCDL_SI vd exp2(vd x) { return dexp2(x); }
  CCDL_SI vd expm1(vd x) { return dexpm1(x); }
  CCDL_SI vd log1p(vd x) { return dlog1p(x); }
  CCDL_SI vd sin(vd x) { return dsin(x); }
  CCDL_SI vd cos(vd x) { return dcos(x); }
  CCDL_SI vd erf(vd x) { return derf(x); }
  CCDL_SI vd erfc(vd x) { return derfc(x); }
  CCDL_SI vd erfinv(vd x) { return derfinv(x); }
  CCDL_SI vd lgamma(vd x) { return dlgamma(x); }
  CCDL_SI vd digamma(vd x) { return ddigamma(x); }
  CCDL_SI vd trigamma(vd x) { return dtrigamma(x); }
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

// dx of dy; x or y is null where the formula does not read it
template <class Op>
bool backward(void* const* ptr, int64_t n, const ElementParams& params) {
  const functors::Params<double> p = {params.f[0], params.f[1], params.f[2]};
  double* dx = (double*)ptr[0];
  const double *x = (const double*)ptr[1], *y = (const double*)ptr[2], *dy = (const double*)ptr[3];
  for (int64_t i = 0; i < n; i += VD) {
    const int lanes = n - i < VD ? (int)(n - i) : VD;
    const vd a = x ? loadn(x + i, lanes) : vd{}, b = y ? loadn(y + i, lanes) : vd{};
    storen(dx + i, Op::template bwd<DoubleVecMath>(a, b, loadn(dy + i, lanes), p), lanes);
  }
  return false;
}

bool cube(void* const* ptr, int64_t n, const ElementParams&) {
  double* y = (double*)ptr[0];
  const double* x = (const double*)ptr[1];
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * x[i] * x[i];
  return false;
}

constexpr ElementwiseDoubleKernels all() {
  ElementwiseDoubleKernels k{};
#define CCDL_FORWARD(Name) k.fn[(int)UnaryOp::Name] = block<functors::Name>;
#define CCDL_BACKWARD(Name) k.backward[(int)UnaryOp::Name] = backward<functors::Name>;
  CCDL_FORWARD(Sqrt)
  CCDL_FORWARD(Rsqrt)
  CCDL_FORWARD(Exp)
  CCDL_FORWARD(Exp2)
  CCDL_FORWARD(Expm1)
  CCDL_FORWARD(Log)
  CCDL_FORWARD(Log1p)
  CCDL_FORWARD(Tanh)
  CCDL_FORWARD(Sigmoid)
  CCDL_FORWARD(Silu)
  CCDL_FORWARD(Sin)
  CCDL_FORWARD(Cos)
  CCDL_FORWARD(Sinc)
  CCDL_FORWARD(Logit)
  CCDL_FORWARD(Erf)
  CCDL_FORWARD(Erfc)
  CCDL_FORWARD(Erfinv)
  CCDL_FORWARD(Lgamma)
  CCDL_FORWARD(Digamma)
  CCDL_FORWARD(Trigamma)
  CCDL_FORWARD(Floor)
  CCDL_FORWARD(Ceil)
  CCDL_FORWARD(Round)
  CCDL_FORWARD(Trunc)
  CCDL_FORWARD(Sign)
  CCDL_BACKWARD(Sin)
  CCDL_BACKWARD(Cos)
  CCDL_BACKWARD(Sinc)
  CCDL_BACKWARD(Erf)
  CCDL_BACKWARD(Erfc)
  CCDL_BACKWARD(Erfinv)
  CCDL_BACKWARD(Lgamma)
  CCDL_BACKWARD(Digamma)
  CCDL_BACKWARD(Silu)
#undef CCDL_FORWARD
#undef CCDL_BACKWARD
  k.cube = cube;
  return k;
}

}  // namespace

extern constinit const ElementwiseDoubleKernels elementwise_double = all();

}  // namespace ccdl::cpu::CCDL_ISA
