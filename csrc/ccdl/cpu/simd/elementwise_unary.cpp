// Unary elementwise ops in float and double: one block loop per functor.
#include <ccdl/cpu/simd/elementwise_math.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class Op>
constexpr bool kIsPower = false;
template <>
constexpr bool kIsPower<functors::PowScalar> = true;

template <class M, class Op>
bool unary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  using S = typename M::S;
  using V = typename M::V;
  const auto p = vec_params<M>(params);
  if constexpr (kIsPower<Op>) {
#define CCDL_POWER(exponent, formula)                                            \
  if (p.a == exponent) {                                                         \
    block_loop<M, 1>((S*)ptr[0], (const S*)ptr[1], nullptr, nullptr,             \
                     n, [&](V x, V, V) __attribute__((always_inline)){formula}); \
    return false;                                                                \
  }
    CCDL_POWER(3, return x * x * x;)
    CCDL_POWER(-1, return (S)1 / x;)
    CCDL_POWER(-2, const V r = (S)1 / x; return r * r;)
    CCDL_POWER((S)-0.5, return (S)1 / M::sqrt(x);)
#undef CCDL_POWER
  }
  block_loop<M, 1>((S*)ptr[0], (const S*)ptr[1], nullptr, nullptr,
                   n, [&](V x, V, V) __attribute__((always_inline)) { return Op::template fwd<M>(x, p); });
  return false;
}
#if !defined(__AVX512F__)
// Four vectors at a time; where all results are normal numbers, without the steps that subnormals and
// overflow need.
template <>
bool unary_block<VecMath, functors::Exp>(void* const* ptr, int64_t n, const ElementParams&) {
  float* y = (float*)ptr[0];
  const float* x = (const float*)ptr[1];
  int64_t i = 0;
  for (; i + 4 * VL <= n; i += 4 * VL) {
    vf v[4];
    vi near = vi{} - 1;
    for (int k = 0; k < 4; ++k) {
      v[k] = loadu(x + i + k * VL);
      near &= vabs(v[k]) <= 87.0f;
    }
    if (__builtin_expect(any_lane(near == 0), 0))
      for (int k = 0; k < 4; ++k) storeu(y + i + k * VL, vexp(v[k]));
    else
      for (int k = 0; k < 4; ++k) storeu(y + i + k * VL, exp_near(v[k]));
  }
  block_loop<VecMath, 1>(
      y + i, x + i, nullptr, nullptr, n - i,
      [](vf a, vf, vf) __attribute__((always_inline)) { return vexp(a); });
  return false;
}
#endif

template <class M, class Op>
bool predicate_block(void* const* ptr, int64_t n, const ElementParams&) {
  using V = typename M::V;
  block_loop<M, 1>(
      (uint8_t*)ptr[0], (const typename M::S*)ptr[1], nullptr, nullptr,
      n, [&](V x, V, V) __attribute__((always_inline)) { return (typename M::Mask)Op::template test<M>(x); });
  return false;
}

template <class M>
constexpr ElementwiseUnaryTable table() {
#define CCDL_DOMAIN_F(Name) unary_block<M, functors::Name>,
#define CCDL_DOMAIN_N(Name) unary_block<M, functors::Name>,
#define CCDL_DOMAIN_P(Name) predicate_block<M, functors::Name>,
#define CCDL_X(Name, domain, needs) CCDL_DOMAIN_##domain(Name)
  return {{CCDL_UNARY_OPS(CCDL_X)}};
}

}  // namespace

extern constinit const ElementwiseUnaryKernels elementwise_unary = {table<VecMath>(), table<DoubleVecMath>()};

}  // namespace ccdl::cpu::CCDL_ISA
