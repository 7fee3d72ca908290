// Elementwise functions of one operand in double and in int64 (all integers and bool; stores wrap). Bound:
// bytes of x and y for the short formulas.
#include <ccdl/core/error.h>
#include <kernels/elementwise_unary.cuh>

namespace ccdl::cu {

void unary_double(UnaryOp op, const View& x, const View& y, const ElementParams& p) {
  run_floating<double>(op, x, y, p);
}

namespace {

// i: the op's parameters as integers.
#define CCDL_INTEGER(Name, R, FORMULA)          \
  struct Name##Integer : Formula<8> {           \
    int64_t i[2];                               \
    CCDL_DEVICE R operator()(int64_t x) const { \
      static_cast<void>(x);                     \
      return FORMULA;                           \
    }                                           \
  };
CCDL_INTEGER(Neg, int64_t, integer::wrap_neg(x))
CCDL_INTEGER(Abs, int64_t, integer::magnitude(x))
CCDL_INTEGER(Sign, int64_t, (x > 0) - (x < 0))
CCDL_INTEGER(Square, int64_t, integer::wrap_mul(x, x))
CCDL_INTEGER(Copy, int64_t, x)
CCDL_INTEGER(Relu, int64_t, x > 0 ? x : 0)
CCDL_INTEGER(Relu6, int64_t, x < 0 ? 0 : least<int64_t>(x, 6))
CCDL_INTEGER(Clamp, int64_t, least(most(x, i[0]), i[1]))
CCDL_INTEGER(Threshold, int64_t, x <= i[0] ? i[1] : x)
CCDL_INTEGER(PowScalar, int64_t, integer::power(x, i[0]))
CCDL_INTEGER(BitwiseNot, int64_t, ~x)
CCDL_INTEGER(LogicalNot, bool, x == 0)
CCDL_INTEGER(Never, bool, false)
CCDL_INTEGER(Always, bool, true)
CCDL_INTEGER(SignBit, bool, x < 0)
#undef CCDL_INTEGER

}  // namespace

void unary_integer(UnaryOp op, const View& x, const View& y, const ElementParams& p) {
  const View* in[] = {&x};
#define CCDL_CASE(Name, Formula) \
  case UnaryOp::Name:            \
    return run_elementwise<int64_t>(y, in, Formula##Integer{{}, {p.i[0], p.i[1]}});
  switch (op) {
    CCDL_CASE(Neg, Neg)
    CCDL_CASE(Abs, Abs)
    CCDL_CASE(Sign, Sign)
    CCDL_CASE(Square, Square)
    CCDL_CASE(Floor, Copy)
    CCDL_CASE(Ceil, Copy)
    CCDL_CASE(Round, Copy)
    CCDL_CASE(Trunc, Copy)
    CCDL_CASE(NanToNum, Copy)
    CCDL_CASE(Relu, Relu)
    CCDL_CASE(Relu6, Relu6)
    CCDL_CASE(Hardtanh, Clamp)
    CCDL_CASE(Clamp, Clamp)
    CCDL_CASE(Threshold, Threshold)
    CCDL_CASE(PowScalar, PowScalar)
    CCDL_CASE(BitwiseNot, BitwiseNot)
    CCDL_CASE(LogicalNot, LogicalNot)
    CCDL_CASE(IsNan, Never)
    CCDL_CASE(IsInf, Never)
    CCDL_CASE(IsPosInf, Never)
    CCDL_CASE(IsNegInf, Never)
    CCDL_CASE(IsFinite, Always)
    CCDL_CASE(SignBit, SignBit)
    default:
      fail(ErrorKind::DType,
           str("unary: op number ", static_cast<int>(op), " has no kernel for ", dtype_name(y.dtype)));
  }
#undef CCDL_CASE
}

}  // namespace ccdl::cu
