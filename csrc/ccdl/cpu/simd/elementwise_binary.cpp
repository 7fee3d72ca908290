// Elementwise ops of two and three operands in float and double, and selection by a mask.
#include <ccdl/cpu/simd/elementwise_math.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class M, class Op>
bool binary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  using S = typename M::S;
  using V = typename M::V;
  const auto p = vec_params<M>(params);
  block_loop<M, 2>(
      (S*)ptr[0], (const S*)ptr[1], (const S*)ptr[2], nullptr,
      n, [&](V a, V b, V) __attribute__((always_inline)) { return Op::template fwd<M>(a, b, p); });
  return false;
}
template <class M, class Op>
bool compare_block(void* const* ptr, int64_t n, const ElementParams& params) {
  using S = typename M::S;
  using V = typename M::V;
  const auto p = vec_params<M>(params);
  block_loop<M, 2>((uint8_t*)ptr[0], (const S*)ptr[1], (const S*)ptr[2], nullptr,
                   n, [&](V a, V b, V) __attribute__((always_inline)) {
                     return (typename M::Mask)Op::template test<M>(a, b, p);
                   });
  return false;
}
template <class M, class Op>
bool ternary_block(void* const* ptr, int64_t n, const ElementParams& params) {
  using S = typename M::S;
  using V = typename M::V;
  const auto p = vec_params<M>(params);
  block_loop<M, 3>(
      (S*)ptr[0], (const S*)ptr[1], (const S*)ptr[2], (const S*)ptr[3],
      n, [&](V a, V b, V c) __attribute__((always_inline)) { return Op::template fwd<M>(a, b, c, p); });
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

template <class M>
constexpr ElementwiseBinaryTable binary_table() {
#define CCDL_DOMAIN_F(Name) binary_block<M, functors::Name>,
#define CCDL_DOMAIN_N(Name) binary_block<M, functors::Name>,
#define CCDL_DOMAIN_I(Name) nullptr,
#define CCDL_DOMAIN_C(Name) compare_block<M, functors::Name>,
#define CCDL_X(Name, domain) CCDL_DOMAIN_##domain(Name)
#define CCDL_Y(Name) ternary_block<M, functors::Name>,
  return {{CCDL_BINARY_OPS(CCDL_X)}, {CCDL_TERNARY_OPS(CCDL_Y)}};
}

}  // namespace

extern constinit const ElementwiseBinaryKernels elementwise_binary = {
    binary_table<VecMath>(),
    binary_table<DoubleVecMath>(),
    {where_block<uint8_t>, where_block<uint16_t>, where_block<uint32_t>, where_block<uint64_t>},
};

}  // namespace ccdl::cpu::CCDL_ISA
