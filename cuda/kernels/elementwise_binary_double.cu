// Elementwise functions of two operands in double and in int64 (all integers and bool; stores wrap). Nothing
// here is undefined: sums and products wrap, the most negative number over -1 wraps, a division by zero gives
// 0 and is reported. Bound: bytes of a, b and out.
#include <kernels/elementwise_binary.cuh>

namespace ccdl::cu {

void binary_double(BinaryOp op, const View& a, const View& b, const View& out, const ElementParams& p) {
  binary_floating<double>(op, a, b, out, p);
}

namespace {

struct IntegerParams : Formula<8> {
  int64_t i;
  double f[2];
  FaultSink sink;
};

#define CCDL_INTEGER(Name, R, FORMULA)                                       \
  struct Name##Integer : IntegerParams {                                     \
    CCDL_DEVICE R operator()(int64_t a, int64_t b) const { return FORMULA; } \
  };
#define CCDL_DIVISION(Name, FORMULA)                             \
  struct Name##Integer : IntegerParams {                         \
    CCDL_DEVICE int64_t operator()(int64_t a, int64_t b) const { \
      if (b == 0) {                                              \
        sink.report(FaultKind::IntegerDivision, a, 0);           \
        return 0;                                                \
      }                                                          \
      return FORMULA;                                            \
    }                                                            \
  };
CCDL_INTEGER(Add, int64_t, integer::wrap_add(a, integer::wrap_mul(b, i)))
CCDL_INTEGER(Sub, int64_t, integer::wrap_add(a, integer::wrap_neg(integer::wrap_mul(b, i))))
CCDL_INTEGER(Mul, int64_t, integer::wrap_mul(a, b))
CCDL_DIVISION(FloorDivide, integer::floor_quotient(a, b))
CCDL_DIVISION(TruncDivide, integer::quotient(a, b))
CCDL_DIVISION(Remainder, integer::floor_modulo(a, b))
CCDL_DIVISION(Fmod, integer::modulo(a, b))
CCDL_INTEGER(Pow, int64_t, integer::power(a, b))
CCDL_INTEGER(Maximum, int64_t, a > b ? a : b)
CCDL_INTEGER(Minimum, int64_t, a < b ? a : b)
CCDL_INTEGER(Heaviside, int64_t, a == 0 ? b : a > 0)
CCDL_INTEGER(Gcd, int64_t, integer::gcd(a, b))
CCDL_INTEGER(Lcm, int64_t, integer::lcm(a, b))
CCDL_INTEGER(BitwiseAnd, int64_t, a& b)
CCDL_INTEGER(BitwiseOr, int64_t, a | b)
CCDL_INTEGER(BitwiseXor, int64_t, a ^ b)
CCDL_INTEGER(ShiftLeft, int64_t,
             (b < 0 || b >= i) ? 0 : static_cast<int64_t>(static_cast<uint64_t>(a) << (b & 63)))
CCDL_INTEGER(ShiftRight, int64_t, (b < 0 || b >= i) ? (a < 0 ? -1 : 0) : a >> (b & 63))
CCDL_INTEGER(LogicalAnd, bool, (a != 0) & (b != 0))
CCDL_INTEGER(LogicalOr, bool, (a != 0) | (b != 0))
CCDL_INTEGER(LogicalXor, bool, (a != 0) ^ (b != 0))
CCDL_INTEGER(Eq, bool, a == b)
CCDL_INTEGER(Ne, bool, a != b)
CCDL_INTEGER(Lt, bool, a < b)
CCDL_INTEGER(Le, bool, a <= b)
CCDL_INTEGER(Gt, bool, a > b)
CCDL_INTEGER(Ge, bool, a >= b)
CCDL_INTEGER(Nextafter, int64_t,
             functors::next_half(static_cast<int32_t>(a), static_cast<int32_t>(b), static_cast<int32_t>(i)))
CCDL_INTEGER(IsClose, bool, integer::close(a, b, f[0], f[1]))
#undef CCDL_INTEGER
#undef CCDL_DIVISION

bool divides(BinaryOp op) {
  return op == BinaryOp::FloorDivide || op == BinaryOp::TruncDivide || op == BinaryOp::Remainder ||
         op == BinaryOp::Fmod;
}

}  // namespace

void binary_integer(BinaryOp op, const View& a, const View& b, const View& out, const ElementParams& p) {
  const IntegerParams q{{}, p.i[0], {p.f[0], p.f[1]}, divides(op) ? fault_sink() : FaultSink{}};
  const View* in[] = {&a, &b};
#define CCDL_CASE(Name, Formula) \
  case BinaryOp::Name:           \
    return run_elementwise<int64_t>(out, in, Formula##Integer{q});
#define CCDL_SAME(Name) CCDL_CASE(Name, Name)
  switch (op) {
    CCDL_SAME(Add)
    CCDL_SAME(Sub)
    CCDL_SAME(Mul)
    CCDL_SAME(FloorDivide)
    CCDL_SAME(TruncDivide)
    CCDL_SAME(Remainder)
    CCDL_SAME(Fmod)
    CCDL_SAME(Pow)
    CCDL_SAME(Maximum)
    CCDL_SAME(Minimum)
    CCDL_CASE(Fmax, Maximum)
    CCDL_CASE(Fmin, Minimum)
    CCDL_SAME(Heaviside)
    CCDL_SAME(Gcd)
    CCDL_SAME(Lcm)
    CCDL_SAME(BitwiseAnd)
    CCDL_SAME(BitwiseOr)
    CCDL_SAME(BitwiseXor)
    CCDL_SAME(ShiftLeft)
    CCDL_SAME(ShiftRight)
    CCDL_SAME(LogicalAnd)
    CCDL_SAME(LogicalOr)
    CCDL_SAME(LogicalXor)
    CCDL_SAME(Eq)
    CCDL_SAME(Ne)
    CCDL_SAME(Lt)
    CCDL_SAME(Le)
    CCDL_SAME(Gt)
    CCDL_SAME(Ge)
    CCDL_SAME(IsClose)
    CCDL_SAME(Nextafter)
    default:
      no_binary_kernel(op, out.dtype);
  }
#undef CCDL_CASE
#undef CCDL_SAME
}

}  // namespace ccdl::cu
