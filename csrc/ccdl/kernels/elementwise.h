// Elementwise maths. Every operand is a View already broadcast to the output's sizes (stride 0 where
// broadcast); any strides, outputs do not overlap themselves, an output may be exactly the same view as an
// input, results are overwritten. Arithmetic happens in one of three compute types: float (for float32 and
// both half formats), double (float64), int64 (all integers and bool); stores wrap to the integer width, bool
// stores "is not zero". Operands of other dtypes are converted on load. Formulas and derivatives stand side
// by side in elementwise_functors.h.
#pragma once
#include <ccdl/core/view.h>

namespace ccdl {

// clang-format off
// X(Name, domain, needs): domain F = floating outputs only, N = integers too, P = predicate (bool output);
// needs = what the derivative reads besides dy: none, x, y, xy, or zero where the derivative is zero everywhere.
#define CCDL_UNARY_OPS(X)                                                                                              \
  X(Neg, N, none) X(Abs, N, x) X(Sign, N, zero) X(Square, N, x) X(Sqrt, F, y) X(Rsqrt, F, y) X(Reciprocal, F, y)      \
  X(Exp, F, y) X(Exp2, F, y) X(Expm1, F, y) X(Log, F, x) X(Log2, F, x) X(Log10, F, x) X(Log1p, F, x)                   \
  X(Sin, F, x) X(Cos, F, x) X(Tan, F, y) X(Asin, F, x) X(Acos, F, x) X(Atan, F, x)                                     \
  X(Sinh, F, x) X(Cosh, F, x) X(Tanh, F, y) X(Asinh, F, x) X(Acosh, F, x) X(Atanh, F, x)                               \
  X(Sigmoid, F, y) X(LogSigmoid, F, x) X(Erf, F, x) X(Erfc, F, x) X(Erfinv, F, y) X(Lgamma, F, x) X(Digamma, F, x)     \
  X(Trigamma, F, zero) X(Floor, N, zero) X(Ceil, N, zero) X(Round, N, zero) X(Trunc, N, zero) X(Frac, F, none)         \
  X(Relu, N, y) X(Relu6, N, x) X(LeakyRelu, F, x) X(Elu, F, x) X(Selu, F, x) X(Celu, F, x)                             \
  X(Silu, F, x) X(Swish, F, x) X(Mish, F, x) X(Gelu, F, x) X(GeluTanh, F, x) X(GeluSigmoid, F, x)                      \
  X(Softplus, F, x) X(Softsign, F, x) X(Hardtanh, N, x) X(Hardsigmoid, F, x) X(Hardswish, F, x)                        \
  X(Hardshrink, F, x) X(Softshrink, F, x) X(Tanhshrink, F, x) X(Threshold, N, x) X(Logit, F, x) X(Sinc, F, x)          \
  X(Clamp, N, x) X(PowScalar, N, x) X(NanToNum, N, x) X(Scale, F, none) X(BitwiseNot, N, zero)                         \
  X(LogicalNot, P, zero) X(IsNan, P, zero) X(IsInf, P, zero) X(IsFinite, P, zero) X(IsPosInf, P, zero)                 \
  X(IsNegInf, P, zero) X(SignBit, P, zero) X(Angle, F, zero)

// Parameters by op: LeakyRelu slope; Elu, Celu alpha; Swish beta; Softplus beta, threshold; Clamp, Hardtanh min, max;
// Threshold threshold, value; Hardshrink, Softshrink lambda; Logit eps (negative: none); PowScalar exponent;
// NanToNum nan, posinf, neginf; Scale factor.
// clang-format on
enum class UnaryOp : uint8_t {
#define CCDL_X(Name, domain, needs) Name,
  CCDL_UNARY_OPS(CCDL_X)
#undef CCDL_X
      kCount
};

// clang-format off
// X(Name, domain): domain F = floating compute only, N = integers too, I = integers and bool only, C = comparison or
// logic with bool output (any compute type).
#define CCDL_BINARY_OPS(X)                                                                                             \
  X(Add, N) X(Sub, N) X(Mul, N) X(Div, F) X(FloorDivide, N) X(TruncDivide, N) X(Remainder, N) X(Fmod, N) X(Pow, N)     \
  X(Maximum, N) X(Minimum, N) X(Fmax, N) X(Fmin, N) X(Atan2, F) X(Hypot, F) X(Copysign, F) X(Logaddexp, F)             \
  X(Logaddexp2, F) X(Xlogy, F) X(Xlog1py, F) X(Heaviside, N) X(Nextafter, F) X(Prelu, F) X(Gcd, I) X(Lcm, I)           \
  X(BitwiseAnd, I) X(BitwiseOr, I) X(BitwiseXor, I) X(ShiftLeft, I) X(ShiftRight, I)                                   \
  X(LogicalAnd, C) X(LogicalOr, C) X(LogicalXor, C) X(Eq, C) X(Ne, C) X(Lt, C) X(Le, C) X(Gt, C) X(Ge, C)              \
  X(IsClose, C)

// Prelu: a b below 0. Nextafter of int16: of the bits of a half format whose infinity is i[0]. Parameters: Add, Sub alpha (a +- alpha b); shifts the bit width; IsClose rtol, atol, equal_nan.
// clang-format on
enum class BinaryOp : uint8_t {
#define CCDL_X(Name, domain) Name,
  CCDL_BINARY_OPS(CCDL_X)
#undef CCDL_X
      kCount
};

// Addcmul, Addcdiv: a + f[0] * (b * c or b / c). Lerp: a + c (b - a). Clamp: min(max(a, b), c), a NaN wins.
#define CCDL_TERNARY_OPS(X) X(Addcmul) X(Addcdiv) X(Lerp) X(ClampTensor)
enum class TernaryOp : uint8_t {
#define CCDL_X(Name) Name,
  CCDL_TERNARY_OPS(CCDL_X)
#undef CCDL_X
      kCount
};

// The same numbers as double for the floating compute types and as int64 for the integer one.
struct ElementParams {
  double f[3];
  int64_t i[3];
};

constexpr bool is_test(UnaryOp op) {  // its output is bool
  enum { F, N, P };
  constexpr int table[] = {
#define CCDL_X(Name, domain, needs) domain,
      CCDL_UNARY_OPS(CCDL_X)
#undef CCDL_X
  };
  return table[static_cast<int>(op)] == P;
}

enum class UnaryNeeds : uint8_t { none, x, y, xy, zero };
constexpr UnaryNeeds unary_needs(UnaryOp op) {
  constexpr UnaryNeeds table[] = {
#define CCDL_X(Name, domain, needs) UnaryNeeds::needs,
      CCDL_UNARY_OPS(CCDL_X)
#undef CCDL_X
  };
  return table[static_cast<int>(op)];
}
constexpr bool unary_needs_x(UnaryOp op) {
  return unary_needs(op) == UnaryNeeds::x || unary_needs(op) == UnaryNeeds::xy;
}
constexpr bool unary_needs_y(UnaryOp op) {
  return unary_needs(op) == UnaryNeeds::y || unary_needs(op) == UnaryNeeds::xy;
}

}  // namespace ccdl

#define CCDL_ELEMENTWISE_CONTRACT                                                                            \
  /* y = op(x), computed in y's compute type (x's for predicates, whose y is bool). */                       \
  void unary(UnaryOp op, const View& x, const View& y, const ElementParams& p);                              \
  /* dx = dy * op'(x), floating dtypes; x or y may have null data where unary_needs() does not name it; not  \
     for ops whose derivative is zero. */                                                                    \
  void unary_backward(UnaryOp op, const View& x, const View& y, const View& dy, const View& dx,              \
                      const ElementParams& p);                                                               \
  /* out = op(a, b), computed in the compute type of `common` (the promoted dtype of a and b). False when an \
     integer was divided by zero: those elements are 0. The most negative integer over -1 wraps. */          \
  [[nodiscard]] bool binary(BinaryOp op, DType common, const View& a, const View& b, const View& out,        \
                            const ElementParams& p);                                                         \
  /* out = op(a, b, c) in out's compute type. */                                                             \
  void ternary(TernaryOp op, const View& a, const View& b, const View& c, const View& out,                   \
               const ElementParams& p);                                                                      \
  /* out = cond ? a : b; cond bool; a, b, out of one dtype; bits are moved, not converted. */                \
  void where(const View& cond, const View& a, const View& b, const View& out);                               \
  /* dst = src, any dtype to any dtype, any strides. Floats outside an integer type's range and NaN give     \
     what x86 conversion gives (the most negative int32 or int64, narrowed by wrapping for smaller types).   \
   */                                                                                                        \
  void copy_cast(const View& src, const View& dst);

namespace ccdl::cpu {
CCDL_ELEMENTWISE_CONTRACT
}
namespace ccdl::cu {
CCDL_ELEMENTWISE_CONTRACT
}
#undef CCDL_ELEMENTWISE_CONTRACT
