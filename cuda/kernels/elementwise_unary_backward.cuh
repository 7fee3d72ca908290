// Derivatives of one-operand functions in one floating compute type, by op: elementwise_unary_backward.cu is
// the float instance and the dispatch, elementwise_unary_backward_double.cu the double one.
#pragma once
#include <ccdl/core/error.h>
#include <kernels/elementwise_math.cuh>
#include <kernels/elementwise_walk.cuh>

namespace ccdl::cu {
namespace {

constexpr int copies_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::Neg:
    case UnaryOp::Abs:
    case UnaryOp::Square:
    case UnaryOp::Exp:
    case UnaryOp::Frac:
    case UnaryOp::Scale:
    case UnaryOp::Tanh:
    case UnaryOp::Sigmoid:
    case UnaryOp::Relu:
    case UnaryOp::Relu6:
    case UnaryOp::LeakyRelu:
    case UnaryOp::Hardtanh:
    case UnaryOp::Hardshrink:
    case UnaryOp::Softshrink:
    case UnaryOp::Threshold:
    case UnaryOp::Clamp:
      return 8;
    case UnaryOp::Sin:
    case UnaryOp::Cos:
    case UnaryOp::Sinc:
    case UnaryOp::PowScalar:
      return 1;
    case UnaryOp::Lgamma:
    case UnaryOp::Digamma:
      return 0;
    default:
      return 4;
  }
}

template <class Op, class M, bool kReadsX, bool kReadsY, int kCopies>
struct Backward : Formula<kCopies> {
  using S = typename M::S;
  functors::Params<S> p;
  explicit Backward(const ElementParams& params) : p(params_of<S>(params)) {}
  CCDL_DEVICE S operator()(S dy) const { return Op::template bwd<M>(S(0), S(0), dy, p); }
  CCDL_DEVICE S operator()(S input, S dy) const {
    return Op::template bwd<M>(kReadsX ? input : S(0), kReadsY ? input : S(0), dy, p);
  }
};

template <class C, UnaryOp op, class Op>
void run_backward(const View& x, const View& y, const View& dy, const View& dx, const ElementParams& p) {
  static_assert(unary_needs(op) != UnaryNeeds::xy);
  using M = typename MathOf<C>::type;
  if constexpr (unary_needs(op) == UnaryNeeds::none) {
    const View* in[] = {&dy};
    run_elementwise<C>(dx, in, Backward<Op, M, false, false, copies_of(op)>(p));
  } else if constexpr (unary_needs(op) != UnaryNeeds::zero) {
    const View* in[] = {unary_needs_x(op) ? &x : &y, &dy};
    run_elementwise<C>(dx, in, Backward<Op, M, unary_needs_x(op), unary_needs_y(op), copies_of(op)>(p));
  } else {
    fail(ErrorKind::DType, str("unary_backward: op number ", static_cast<int>(op), " has no derivative"));
  }
}

template <class C>
void backward_by_op(UnaryOp op, const View& x, const View& y, const View& dy, const View& dx,
                    const ElementParams& p) {
  switch (op) {
#define CCDL_DOMAIN_F(Name) return run_backward<C, UnaryOp::Name, functors::Name>(x, y, dy, dx, p);
#define CCDL_DOMAIN_N(Name) return run_backward<C, UnaryOp::Name, functors::Name>(x, y, dy, dx, p);
#define CCDL_DOMAIN_P(Name) break;
#define CCDL_X(Name, domain, needs) \
  case UnaryOp::Name:               \
    CCDL_DOMAIN_##domain(Name)
    CCDL_UNARY_OPS(CCDL_X)
#undef CCDL_X
#undef CCDL_DOMAIN_F
#undef CCDL_DOMAIN_N
#undef CCDL_DOMAIN_P
    default:
      break;
  }
}

}  // namespace

void unary_backward_double(UnaryOp op, const View& x, const View& y, const View& dy, const View& dx,
                           const ElementParams& p);

}  // namespace ccdl::cu
