// Unary elementwise ops in float: one block loop per functor.
#include <ccdl/cpu/simd/elementwise_math.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class Op>
constexpr bool kIsPower = false;
template <>
constexpr bool kIsPower<functors::PowScalar> = true;

template <class Op>
bool unary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const VecParams p = vec_params(params);
  if (kIsPower<Op> && p.a == 3) {
    block_loop<1>((float*)ptr[0], (const float*)ptr[1], nullptr, nullptr,
                  n, [&](vf x, vf, vf) __attribute__((always_inline)) { return x * x * x; });
    return false;
  }
  block_loop<1>(
      (float*)ptr[0], (const float*)ptr[1], nullptr, nullptr,
      n, [&](vf x, vf, vf) __attribute__((always_inline)) { return Op::template fwd<VecMath>(x, p); });
  return false;
}
template <class Op>
bool predicate_block(void* const* ptr, int64_t n, const ElementParams&) {
  block_loop<1>(
      (uint8_t*)ptr[0], (const float*)ptr[1], nullptr, nullptr,
      n, [&](vf x, vf, vf) __attribute__((always_inline)) { return (vi)Op::template test<VecMath>(x); });
  return false;
}

#define CCDL_DOMAIN_F(Name) unary_block<functors::Name>,
#define CCDL_DOMAIN_N(Name) unary_block<functors::Name>,
#define CCDL_DOMAIN_P(Name) predicate_block<functors::Name>,
#define CCDL_X(Name, domain, needs) CCDL_DOMAIN_##domain(Name)

}  // namespace

extern const ElementwiseUnaryKernels elementwise_unary = {{CCDL_UNARY_OPS(CCDL_X)}};

}  // namespace ccdl::cpu::CCDL_ISA
