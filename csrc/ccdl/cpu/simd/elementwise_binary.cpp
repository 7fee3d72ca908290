// Elementwise ops of two and three operands in float, and selection by a mask.
#include <ccdl/cpu/simd/elementwise_math.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class Op>
bool binary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const VecParams p = vec_params(params);
  block_loop<2>(
      (float*)ptr[0], (const float*)ptr[1], (const float*)ptr[2], nullptr,
      n, [&](vf a, vf b, vf) __attribute__((always_inline)) { return Op::template fwd<VecMath>(a, b, p); });
  return false;
}
template <class Op>
bool compare_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const VecParams p = vec_params(params);
  block_loop<2>((uint8_t*)ptr[0], (const float*)ptr[1], (const float*)ptr[2], nullptr,
                n, [&](vf a, vf b, vf) __attribute__((always_inline)) {
                  return (vi)Op::template test<VecMath>(a, b, p);
                });
  return false;
}
template <class Op>
bool ternary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  const VecParams p = vec_params(params);
  block_loop<3>((float*)ptr[0], (const float*)ptr[1], (const float*)ptr[2], (const float*)ptr[3],
                n, [&](vf a, vf b, vf c) __attribute__((always_inline)) {
                  return Op::template fwd<VecMath>(a, b, c, p);
                });
  return false;
}

template <class T>
bool where_block(void* const* ptr, int64_t n, const ElementParams&) {
  T* y = (T*)ptr[0];
  const uint8_t* cond = (const uint8_t*)ptr[1];
  const T *a = (const T*)ptr[2], *b = (const T*)ptr[3];
  for (int64_t i = 0; i < n; ++i) {
    const T u = a[i], v = b[i];
    y[i] = cond[i] ? u : v;
  }
  return false;
}

#define CCDL_DOMAIN_F(Name) binary_block<functors::Name>,
#define CCDL_DOMAIN_N(Name) binary_block<functors::Name>,
#define CCDL_DOMAIN_I(Name) nullptr,
#define CCDL_DOMAIN_C(Name) compare_block<functors::Name>,
#define CCDL_X(Name, domain) CCDL_DOMAIN_##domain(Name)
#define CCDL_Y(Name) ternary_block<functors::Name>,

}  // namespace

extern const ElementwiseBinaryKernels elementwise_binary = {
    {CCDL_BINARY_OPS(CCDL_X)},
    {CCDL_TERNARY_OPS(CCDL_Y)},
    {where_block<uint8_t>, where_block<uint16_t>, where_block<uint32_t>, where_block<uint64_t>},
};

}  // namespace ccdl::cpu::CCDL_ISA
