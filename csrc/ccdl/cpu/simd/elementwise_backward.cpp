// Derivatives of the unary elementwise ops in float and double: dx = dy * op'(x), from whatever of x and y
// the formula needs.
#include <ccdl/cpu/simd/elementwise_math.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// Inputs are loaded in the order dy, then x or y.
template <class M, class Op>
bool from_none(void* const* ptr, int64_t n, const ElementParams& params) {
  using S = typename M::S;
  using V = typename M::V;
  const auto p = vec_params<M>(params);
  block_loop<M, 1>(
      (S*)ptr[0], (const S*)ptr[3], nullptr, nullptr,
      n, [&](V dy, V, V) __attribute__((always_inline)) { return Op::template bwd<M>(V{}, V{}, dy, p); });
  return false;
}
template <class Op>
constexpr bool kIsPower = false;
template <>
constexpr bool kIsPower<functors::PowScalar> = true;

template <class M, class Op>
bool from_x(void* const* ptr, int64_t n, const ElementParams& params) {
  using S = typename M::S;
  using V = typename M::V;
  const auto p = vec_params<M>(params);
  if constexpr (kIsPower<Op>) {
#define CCDL_POWER(exponent, formula)                                               \
  if (p.a == exponent) {                                                            \
    block_loop<M, 2>((S*)ptr[0], (const S*)ptr[3], (const S*)ptr[1], nullptr,       \
                     n, [&](V dy, V x, V) __attribute__((always_inline)){formula}); \
    return false;                                                                   \
  }
    CCDL_POWER(3, return dy * (x * x * (S)3);)
    CCDL_POWER(-1, const V r = (S)1 / x; return dy * -(r * r);)
    CCDL_POWER(-2, const V r = (S)1 / x; return dy * ((S)-2 * (r * r * r));)
    CCDL_POWER((S)-0.5, const V r = (S)1 / M::sqrt(x); return dy * ((S)-0.5 * (r * r * r));)
#undef CCDL_POWER
  }
  block_loop<M, 2>(
      (S*)ptr[0], (const S*)ptr[3], (const S*)ptr[1], nullptr,
      n, [&](V dy, V x, V) __attribute__((always_inline)) { return Op::template bwd<M>(x, V{}, dy, p); });
  return false;
}
template <class M, class Op>
bool from_y(void* const* ptr, int64_t n, const ElementParams& params) {
  using S = typename M::S;
  using V = typename M::V;
  const auto p = vec_params<M>(params);
  block_loop<M, 2>(
      (S*)ptr[0], (const S*)ptr[3], (const S*)ptr[2], nullptr,
      n, [&](V dy, V y, V) __attribute__((always_inline)) { return Op::template bwd<M>(V{}, y, dy, p); });
  return false;
}

template <class M>
constexpr ElementwiseUnaryTable table() {
#define CCDL_NEEDS_none(Name) from_none<M, functors::Name>,
#define CCDL_NEEDS_x(Name) from_x<M, functors::Name>,
#define CCDL_NEEDS_y(Name) from_y<M, functors::Name>,
#define CCDL_NEEDS_zero(Name) nullptr,
#define CCDL_X(Name, domain, needs) CCDL_NEEDS_##needs(Name)
  return {{CCDL_UNARY_OPS(CCDL_X)}};
}

}  // namespace

extern constinit const ElementwiseBackwardKernels elementwise_backward = {table<VecMath>(),
                                                                          table<DoubleVecMath>()};

}  // namespace ccdl::cpu::CCDL_ISA
