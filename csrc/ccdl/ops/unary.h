// Elementwise functions of one tensor. Integers are converted to the default float type where the function
// needs it.
#pragma once
#include <optional>

#include <ccdl/kernels/elementwise.h>
#include <ccdl/ops/op.h>

namespace ccdl::ops {

// Any op of the kernel's table, with its parameters; records its derivative (fused, and as a composite under
// create_graph).
Tensor unary(const char* name, UnaryOp op, const Tensor& x, double p0 = 0, double p1 = 0, double p2 = 0);
// Parameters given as they are: integer ones with all their bits.
Tensor unary(const char* name, UnaryOp op, const Tensor& x, const ElementParams& p);
// The same written into x.
Tensor unary_(const char* name, UnaryOp op, const Tensor& x, double p0 = 0, double p1 = 0, double p2 = 0);
Tensor unary_(const char* name, UnaryOp op, const Tensor& x, const ElementParams& p);

Tensor inplace_unary(const char* name, Tensor (*f)(const Tensor&), const Tensor& x);  // x = f(x)
// out = f(x), straight into out's memory where that is possible
Tensor out_unary(const char* name, Tensor (*f)(const Tensor&), const Tensor& x, const Tensor& out);

// clang-format off
#define CCDL_UNARY_FUNCTIONS(X)                                                                                 \
  X(neg, Neg) X(abs, Abs) X(sign, Sign) X(square, Square) X(sqrt, Sqrt) X(rsqrt, Rsqrt)                        \
  X(reciprocal, Reciprocal) X(exp, Exp) X(exp2, Exp2) X(expm1, Expm1) X(log, Log) X(log2, Log2)               \
  X(log10, Log10) X(log1p, Log1p) X(sin, Sin) X(cos, Cos) X(tan, Tan) X(asin, Asin) X(acos, Acos)             \
  X(atan, Atan) X(sinh, Sinh) X(cosh, Cosh) X(tanh, Tanh) X(asinh, Asinh) X(acosh, Acosh) X(atanh, Atanh)     \
  X(sigmoid, Sigmoid) X(erf, Erf) X(erfc, Erfc) X(erfinv, Erfinv) X(lgamma, Lgamma) X(digamma, Digamma)       \
  X(trigamma, Trigamma) X(floor, Floor) X(ceil, Ceil) X(round, Round) X(trunc, Trunc) X(frac, Frac)           \
  X(sinc, Sinc) X(bitwise_not, BitwiseNot) X(logical_not, LogicalNot) X(isnan, IsNan) X(isinf, IsInf)         \
  X(isfinite, IsFinite) X(isposinf, IsPosInf) X(isneginf, IsNegInf) X(signbit, SignBit)
// clang-format on

#define CCDL_X(name, Op) Tensor name(const Tensor& x);
CCDL_UNARY_FUNCTIONS(CCDL_X)
#undef CCDL_X

Tensor positive(const Tensor& x);                          // x itself; not for bool
Tensor round_decimals(const Tensor& x, int64_t decimals);  // half to even at 10^-decimals
Tensor logit(const Tensor& x, std::optional<double> eps = std::nullopt);
// nullopt: 0, and the largest and smallest finite value of the dtype.
Tensor nan_to_num(const Tensor& x, std::optional<double> nan, std::optional<double> posinf,
                  std::optional<double> neginf);
Tensor deg2rad(const Tensor& x);
Tensor rad2deg(const Tensor& x);
Tensor polygamma(int64_t n,
                 const Tensor& x);  // n >= 0; trigamma() above has no derivative, polygamma(1, x) has

}  // namespace ccdl::ops
