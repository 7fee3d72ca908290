// Derivatives of the unary elementwise ops in float: dx = dy * op'(x), from whatever of x and y the formula
// needs.
#include <ccdl/cpu/simd/elementwise_math.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// Inputs are loaded in the order dy, then x or y.
template <class Op>
bool from_none(void* const* ptr, int64_t n, const ElementParams& params) {
  const VecParams p = vec_params(params);
  block_loop<1>((float*)ptr[0], (const float*)ptr[3], nullptr, nullptr,
                n, [&](vf dy, vf, vf) __attribute__((always_inline)) {
                  return Op::template bwd<VecMath>(vf{}, vf{}, dy, p);
                });
  return false;
}
template <class Op>
constexpr bool kIsPower = false;
template <>
constexpr bool kIsPower<functors::PowScalar> = true;

template <class Op>
bool from_x(void* const* ptr, int64_t n, const ElementParams& params) {
  const VecParams p = vec_params(params);
  if (kIsPower<Op> && p.a == 3) {
    block_loop<2>((float*)ptr[0], (const float*)ptr[3], (const float*)ptr[1], nullptr,
                  n, [&](vf dy, vf x, vf) __attribute__((always_inline)) { return dy * (x * x * 3.0f); });
    return false;
  }
  block_loop<2>((float*)ptr[0], (const float*)ptr[3], (const float*)ptr[1], nullptr,
                n, [&](vf dy, vf x, vf) __attribute__((always_inline)) {
                  return Op::template bwd<VecMath>(x, vf{}, dy, p);
                });
  return false;
}
template <class Op>
bool from_y(void* const* ptr, int64_t n, const ElementParams& params) {
  const VecParams p = vec_params(params);
  block_loop<2>((float*)ptr[0], (const float*)ptr[3], (const float*)ptr[2], nullptr,
                n, [&](vf dy, vf y, vf) __attribute__((always_inline)) {
                  return Op::template bwd<VecMath>(vf{}, y, dy, p);
                });
  return false;
}

#define CCDL_NEEDS_none(Name) from_none<functors::Name>,
#define CCDL_NEEDS_x(Name) from_x<functors::Name>,
#define CCDL_NEEDS_y(Name) from_y<functors::Name>,
#define CCDL_NEEDS_zero(Name) nullptr,
#define CCDL_X(Name, domain, needs) CCDL_NEEDS_##needs(Name)

}  // namespace

extern const ElementwiseBackwardKernels elementwise_backward = {{CCDL_UNARY_OPS(CCDL_X)}};

}  // namespace ccdl::cpu::CCDL_ISA
