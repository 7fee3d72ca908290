// Elementwise ops on integers and bool, computed in int64 and wrapped to the output's width by the store.
// Nothing here is undefined: sums and products wrap, the most negative number over -1 wraps, a division by
// zero gives 0 and is told.
#include <ccdl/cpu/elementwise_blocks.h>

#pragma GCC optimize("O3")

namespace ccdl::cpu::blocks {
namespace {

using I = int64_t;
using U = uint64_t;

I wrap_neg(I a) { return static_cast<I>(U{0} - static_cast<U>(a)); }
I wrap_add(I a, I b) { return static_cast<I>(static_cast<U>(a) + static_cast<U>(b)); }
I wrap_mul(I a, I b) { return static_cast<I>(static_cast<U>(a) * static_cast<U>(b)); }
I quotient(I a, I b) { return b == 0 ? 0 : b == -1 ? wrap_neg(a) : a / b; }
I modulo(I a, I b) { return b == 0 || b == -1 ? 0 : a % b; }
I floor_quotient(I a, I b) {
  const I q = quotient(a, b), r = modulo(a, b);
  return r != 0 && (r < 0) != (b < 0) ? q - 1 : q;
}
I power(I base, I exponent) {
  if (exponent < 0) return base == 1 ? 1 : base == -1 ? (exponent & 1 ? -1 : 1) : 0;
  I r = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) r = wrap_mul(r, base);
    base = wrap_mul(base, base);
  }
  return r;
}
I magnitude(I a) { return a < 0 ? wrap_neg(a) : a; }
I gcd(I a, I b) {
  U x = static_cast<U>(magnitude(a)), y = static_cast<U>(magnitude(b));
  while (y) {
    const U t = x % y;
    x = y;
    y = t;
  }
  return static_cast<I>(x);
}
I lcm(I a, I b) {
  const I g = gcd(a, b);
  return g == 0 ? 0 : magnitude(wrap_mul(quotient(a, g), b));
}
bool close(I a, I b, const ElementParams& p) {
  const double d = static_cast<double>(a) - static_cast<double>(b), allowed = p.f[0] * static_cast<double>(b);
  return a == b || (d < 0 ? -d : d) <= p.f[1] + (allowed < 0 ? -allowed : allowed);
}

#define CCDL_INT1(Name, FORMULA)                                                    \
  bool Name(void* const* ptr, int64_t n, [[maybe_unused]] const ElementParams& p) { \
    I* y = static_cast<I*>(ptr[0]);                                                 \
    const I* in = static_cast<const I*>(ptr[1]);                                    \
    for (int64_t j = 0; j < n; ++j) {                                               \
      const I x = in[j];                                                            \
      y[j] = FORMULA;                                                               \
    }                                                                               \
    return false;                                                                   \
  }
#define CCDL_TEST1(Name, FORMULA)                                \
  bool Name(void* const* ptr, int64_t n, const ElementParams&) { \
    uint8_t* y = static_cast<uint8_t*>(ptr[0]);                  \
    const I* in = static_cast<const I*>(ptr[1]);                 \
    for (int64_t j = 0; j < n; ++j) {                            \
      [[maybe_unused]] const I x = in[j];                        \
      y[j] = FORMULA;                                            \
    }                                                            \
    return false;                                                \
  }
#define CCDL_INT2(Out, Name, FORMULA, FLAG)                                             \
  bool Name(void* const* ptr, int64_t n, [[maybe_unused]] const ElementParams& p) {     \
    Out* y = static_cast<Out*>(ptr[0]);                                                 \
    const I *in0 = static_cast<const I*>(ptr[1]), *in1 = static_cast<const I*>(ptr[2]); \
    bool flag = false;                                                                  \
    for (int64_t j = 0; j < n; ++j) {                                                   \
      const I a = in0[j], b = in1[j];                                                   \
      y[j] = FORMULA;                                                                   \
      flag |= FLAG;                                                                     \
    }                                                                                   \
    return flag;                                                                        \
  }

namespace one {
CCDL_INT1(Neg, wrap_neg(x))
CCDL_INT1(Abs, magnitude(x))
CCDL_INT1(Sign, (x > 0) - (x < 0))
CCDL_INT1(Square, wrap_mul(x, x))
CCDL_INT1(Copy, x)
CCDL_INT1(Relu, x > 0 ? x : 0)
CCDL_INT1(Relu6, x<0 ? 0 : x> 6 ? 6 : x)
CCDL_INT1(Clamp, (x < p.i[0] ? p.i[0] : x) > p.i[1] ? p.i[1] : (x < p.i[0] ? p.i[0] : x))
CCDL_INT1(Threshold, x <= p.i[0] ? p.i[1] : x)
CCDL_INT1(PowScalar, power(x, p.i[0]))
CCDL_INT1(BitwiseNot, ~x)
CCDL_TEST1(LogicalNot, x == 0)
CCDL_TEST1(Never, 0)
CCDL_TEST1(Always, 1)
CCDL_TEST1(SignBit, x < 0)
}  // namespace one

namespace two {
CCDL_INT2(I, Add, wrap_add(a, wrap_mul(b, p.i[0])), false)
CCDL_INT2(I, Sub, wrap_add(a, wrap_neg(wrap_mul(b, p.i[0]))), false)
CCDL_INT2(I, Mul, wrap_mul(a, b), false)
CCDL_INT2(I, FloorDivide, floor_quotient(a, b), b == 0)
CCDL_INT2(I, TruncDivide, quotient(a, b), b == 0)
CCDL_INT2(I, Remainder,
          (modulo(a, b) != 0 && (modulo(a, b) < 0) != (b < 0)) ? modulo(a, b) + b : modulo(a, b), b == 0)
CCDL_INT2(I, Fmod, modulo(a, b), b == 0)
CCDL_INT2(I, Pow, power(a, b), false)
CCDL_INT2(I, Maximum, a > b ? a : b, false)
CCDL_INT2(I, Minimum, a < b ? a : b, false)
CCDL_INT2(I, Heaviside, a == 0 ? b : a > 0, false)
CCDL_INT2(I, Gcd, gcd(a, b), false)
CCDL_INT2(I, Lcm, lcm(a, b), false)
CCDL_INT2(I, BitwiseAnd, a& b, false)
CCDL_INT2(I, BitwiseOr, a | b, false)
CCDL_INT2(I, BitwiseXor, a ^ b, false)
CCDL_INT2(I, ShiftLeft, (b < 0 || b >= p.i[0]) ? 0 : static_cast<I>(static_cast<U>(a) << (b & 63)), false)
CCDL_INT2(I, ShiftRight, (b < 0 || b >= p.i[0]) ? (a < 0 ? -1 : 0) : a >> (b & 63), false)
CCDL_INT2(uint8_t, LogicalAnd, (a != 0) & (b != 0), false)
CCDL_INT2(uint8_t, LogicalOr, (a != 0) | (b != 0), false)
CCDL_INT2(uint8_t, LogicalXor, (a != 0) ^ (b != 0), false)
CCDL_INT2(uint8_t, Eq, a == b, false)
CCDL_INT2(uint8_t, Ne, a != b, false)
CCDL_INT2(uint8_t, Lt, a < b, false)
CCDL_INT2(uint8_t, Le, a <= b, false)
CCDL_INT2(uint8_t, Gt, a > b, false)
CCDL_INT2(uint8_t, Ge, a >= b, false)
CCDL_INT2(uint8_t, IsClose, close(a, b, p), false)
}  // namespace two

bool addcmul(void* const* ptr, int64_t n, const ElementParams& p) {
  I* y = static_cast<I*>(ptr[0]);
  const I *a = static_cast<const I*>(ptr[1]), *b = static_cast<const I*>(ptr[2]),
          *c = static_cast<const I*>(ptr[3]);
  for (int64_t j = 0; j < n; ++j) y[j] = wrap_add(a[j], wrap_mul(p.i[0], wrap_mul(b[j], c[j])));
  return false;
}
bool clamp_tensor(void* const* ptr, int64_t n, const ElementParams&) {
  I* y = static_cast<I*>(ptr[0]);
  const I *a = static_cast<const I*>(ptr[1]), *b = static_cast<const I*>(ptr[2]),
          *c = static_cast<const I*>(ptr[3]);
  for (int64_t j = 0; j < n; ++j) {
    const I t = a[j] < b[j] ? b[j] : a[j];
    y[j] = t > c[j] ? c[j] : t;
  }
  return false;
}

}  // namespace

ElementFn unary_i64(UnaryOp op) {
  switch (op) {
    case UnaryOp::Neg:
      return one::Neg;
    case UnaryOp::Abs:
      return one::Abs;
    case UnaryOp::Sign:
      return one::Sign;
    case UnaryOp::Square:
      return one::Square;
    case UnaryOp::Floor:
    case UnaryOp::Ceil:
    case UnaryOp::Round:
    case UnaryOp::Trunc:
    case UnaryOp::NanToNum:
      return one::Copy;
    case UnaryOp::Relu:
      return one::Relu;
    case UnaryOp::Relu6:
      return one::Relu6;
    case UnaryOp::Hardtanh:
    case UnaryOp::Clamp:
      return one::Clamp;
    case UnaryOp::Threshold:
      return one::Threshold;
    case UnaryOp::PowScalar:
      return one::PowScalar;
    case UnaryOp::BitwiseNot:
      return one::BitwiseNot;
    case UnaryOp::LogicalNot:
      return one::LogicalNot;
    case UnaryOp::IsNan:
    case UnaryOp::IsInf:
    case UnaryOp::IsPosInf:
    case UnaryOp::IsNegInf:
      return one::Never;
    case UnaryOp::IsFinite:
      return one::Always;
    case UnaryOp::SignBit:
      return one::SignBit;
    default:
      return nullptr;
  }
}

ElementFn binary_i64(BinaryOp op) {
  switch (op) {
#define CCDL_ROW(Name) \
  case BinaryOp::Name: \
    return two::Name;
    CCDL_ROW(Add)
    CCDL_ROW(Sub)
    CCDL_ROW(Mul)
    CCDL_ROW(FloorDivide)
    CCDL_ROW(TruncDivide)
    CCDL_ROW(Remainder)
    CCDL_ROW(Fmod)
    CCDL_ROW(Pow)
    CCDL_ROW(Maximum)
    CCDL_ROW(Minimum)
    CCDL_ROW(Heaviside)
    CCDL_ROW(Gcd)
    CCDL_ROW(Lcm)
    CCDL_ROW(BitwiseAnd)
    CCDL_ROW(BitwiseOr)
    CCDL_ROW(BitwiseXor)
    CCDL_ROW(ShiftLeft)
    CCDL_ROW(ShiftRight)
    CCDL_ROW(LogicalAnd)
    CCDL_ROW(LogicalOr)
    CCDL_ROW(LogicalXor)
    CCDL_ROW(Eq)
    CCDL_ROW(Ne)
    CCDL_ROW(Lt)
    CCDL_ROW(Le)
    CCDL_ROW(Gt)
    CCDL_ROW(Ge)
    CCDL_ROW(IsClose)
#undef CCDL_ROW
    case BinaryOp::Fmax:
      return two::Maximum;
    case BinaryOp::Fmin:
      return two::Minimum;
    default:
      return nullptr;
  }
}

ElementFn ternary_i64(TernaryOp op) {
  return op == TernaryOp::Addcmul ? addcmul : op == TernaryOp::ClampTensor ? clamp_tensor : nullptr;
}

}  // namespace ccdl::cpu::blocks
