// Elementwise ops of two and three operands in float, selection by a mask, and transposed tiles.
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

// Butterfly: after stage s the bit s of row and lane index have changed places.
template <int s>
CCDL_SI void transpose_stage(vi* r) {
  vi low = {}, high = {};
  for (int l = 0; l < VL; ++l) {
    low[l] = (l & s) == 0 ? l : VL + l - s;
    high[l] = (l & s) == 0 ? l + s : VL + l;
  }
  for (int i = 0; i < VL; ++i) {
    if (i & s) continue;
    const vi a = r[i], b = r[i + s];
    r[i] = __builtin_shuffle(a, b, low);
    r[i + s] = __builtin_shuffle(a, b, high);
  }
}
void transpose_tile(const uint32_t* src, int64_t src_stride, uint32_t* dst, int64_t dst_stride) {
  vi r[VL];
  for (int i = 0; i < VL; ++i) r[i] = loadu((const int32_t*)src + i * src_stride);
  transpose_stage<1>(r);
  transpose_stage<2>(r);
#if CCDL_VB >= 32
  transpose_stage<4>(r);
#endif
#if CCDL_VB >= 64
  transpose_stage<8>(r);
#endif
  for (int i = 0; i < VL; ++i) storeu((int32_t*)dst + i * dst_stride, r[i]);
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
    transpose_tile,
    VL,
};

}  // namespace ccdl::cpu::CCDL_ISA
