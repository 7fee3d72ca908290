// Two-operand functions of one floating compute type, by op: elementwise_binary.cu is the float instance and
// the dispatch, elementwise_binary_double.cu the double and the integer one.
#pragma once
#include <ccdl/core/error.h>
#include <kernels/elementwise_math.cuh>
#include <kernels/elementwise_walk.cuh>

namespace ccdl::cu {

void binary_double(BinaryOp op, const View& a, const View& b, const View& out, const ElementParams& p);
// A division by zero is reported to the fault sink; those elements are 0.
void binary_integer(BinaryOp op, const View& a, const View& b, const View& out, const ElementParams& p);

namespace {

[[noreturn]] inline void no_binary_kernel(BinaryOp op, DType t) {
  fail(ErrorKind::DType,
       str("binary: op number ", static_cast<int>(op), " has no kernel for ", dtype_name(t)));
}

constexpr int copies_of(BinaryOp op) {
  switch (op) {
    case BinaryOp::Add:
    case BinaryOp::Sub:
    case BinaryOp::Mul:
    case BinaryOp::Maximum:
    case BinaryOp::Minimum:
    case BinaryOp::Fmax:
    case BinaryOp::Fmin:
    case BinaryOp::Copysign:
    case BinaryOp::Heaviside:
    case BinaryOp::Prelu:
      return 8;
    case BinaryOp::Div:
    case BinaryOp::TruncDivide:
    case BinaryOp::Logaddexp:
    case BinaryOp::Logaddexp2:
    case BinaryOp::Xlogy:
      return 4;
    default:
      return op >= BinaryOp::LogicalAnd ? 8 : 1;
  }
}

template <BinaryOp op, class Op, class M>
struct BinaryValue : Formula<copies_of(op)> {
  using S = typename M::S;
  functors::Params<S> p;
  explicit BinaryValue(const ElementParams& params) : p(params_of<S>(params)) {}
  CCDL_DEVICE S operator()(S a, S b) const { return Op::template fwd<M>(a, b, p); }
};
template <BinaryOp op, class Op, class M>
struct BinaryTest : Formula<8> {
  using S = typename M::S;
  functors::Params<S> p;
  explicit BinaryTest(const ElementParams& params) : p(params_of<S>(params)) {}
  CCDL_DEVICE bool operator()(S a, S b) const { return Op::template test<M>(a, b, p); }
};

template <class C>
void binary_floating(BinaryOp op, const View& a, const View& b, const View& out, const ElementParams& p) {
  using M = typename MathOf<C>::type;
  const View* in[] = {&a, &b};
  switch (op) {
#define CCDL_DOMAIN_F(Name) \
  return run_elementwise<C>(out, in, BinaryValue<BinaryOp::Name, functors::Name, M>(p));
#define CCDL_DOMAIN_N(Name) CCDL_DOMAIN_F(Name)
#define CCDL_DOMAIN_I(Name) break;
#define CCDL_DOMAIN_C(Name) \
  return run_elementwise<C>(out, in, BinaryTest<BinaryOp::Name, functors::Name, M>(p));
#define CCDL_X(Name, domain) \
  case BinaryOp::Name:       \
    CCDL_DOMAIN_##domain(Name)
    CCDL_BINARY_OPS(CCDL_X)
#undef CCDL_X
#undef CCDL_DOMAIN_F
#undef CCDL_DOMAIN_N
#undef CCDL_DOMAIN_I
#undef CCDL_DOMAIN_C
    default:
      break;
  }
  no_binary_kernel(op, out.dtype);
}

}  // namespace
}  // namespace ccdl::cu
