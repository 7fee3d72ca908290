// One-operand functions of one floating compute type, by op. Included by elementwise_unary.cu for float and
// by elementwise_unary_double.cu for double, to share the compile time.
#pragma once
#include <kernels/elementwise_math.cuh>
#include <kernels/elementwise_walk.cuh>

namespace ccdl::cu {
namespace {

template <class Op, class M, int kCopies>
struct Value : Formula<kCopies> {
  using S = typename M::S;
  functors::Params<S> p;
  explicit Value(const ElementParams& params) : p(params_of<S>(params)) {}
  CCDL_DEVICE S operator()(S x) const { return Op::template fwd<M>(x, p); }
};
template <class Op, class M>
struct Test : Formula<8> {
  CCDL_DEVICE bool operator()(typename M::S x) const { return Op::template test<M>(x); }
};

constexpr int copies_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::Neg:
    case UnaryOp::Abs:
    case UnaryOp::Sign:
    case UnaryOp::Square:
    case UnaryOp::Floor:
    case UnaryOp::Ceil:
    case UnaryOp::Round:
    case UnaryOp::Trunc:
    case UnaryOp::Frac:
    case UnaryOp::Scale:
    case UnaryOp::Relu:
    case UnaryOp::Relu6:
    case UnaryOp::LeakyRelu:
    case UnaryOp::Hardtanh:
    case UnaryOp::Hardshrink:
    case UnaryOp::Softshrink:
    case UnaryOp::Threshold:
    case UnaryOp::Clamp:
    case UnaryOp::Angle:
      return 8;
    case UnaryOp::Sin:
    case UnaryOp::Cos:
    case UnaryOp::Tan:
    case UnaryOp::Asinh:
    case UnaryOp::Acosh:
    case UnaryOp::Sinc:
    case UnaryOp::PowScalar:
      return 1;
    case UnaryOp::Erfinv:
    case UnaryOp::Lgamma:
    case UnaryOp::Digamma:
    case UnaryOp::Trigamma:
      return 0;
    default:
      return 4;
  }
}

template <UnaryOp op, class Op, class C>
void run_value(const View& x, const View& y, const ElementParams& p) {
  const View* in[] = {&x};
  run_elementwise<C>(y, in, Value<Op, typename MathOf<C>::type, copies_of(op)>(p));
}
template <class Op, class C>
void run_test(const View& x, const View& y) {
  const View* in[] = {&x};
  run_elementwise<C>(y, in, Test<Op, typename MathOf<C>::type>{});
}

template <class C>
void run_floating(UnaryOp op, const View& x, const View& y, const ElementParams& p) {
  switch (op) {
#define CCDL_DOMAIN_F(Name) run_value<UnaryOp::Name, functors::Name, C>(x, y, p)
#define CCDL_DOMAIN_N(Name) run_value<UnaryOp::Name, functors::Name, C>(x, y, p)
#define CCDL_DOMAIN_P(Name) run_test<functors::Name, C>(x, y)
#define CCDL_X(Name, domain, needs) \
  case UnaryOp::Name:               \
    return CCDL_DOMAIN_##domain(Name);
    CCDL_UNARY_OPS(CCDL_X)
#undef CCDL_X
#undef CCDL_DOMAIN_F
#undef CCDL_DOMAIN_N
#undef CCDL_DOMAIN_P
    default:
      return;
  }
}

}  // namespace

void unary_double(UnaryOp op, const View& x, const View& y, const ElementParams& p);
// Ops without a meaning for integers raise.
void unary_integer(UnaryOp op, const View& x, const View& y, const ElementParams& p);

}  // namespace ccdl::cu
