// Gathers with their bounds check: eight indices are checked together, then eight elements are loaded.
#include <ccdl/cpu/simd/index.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
int64_t gather(const void* from, const int64_t* at, int64_t size, void* to, int64_t n) {
  const T* __restrict x = (const T*)from;
  T* __restrict y = (T*)to;
  const uint64_t limit = (uint64_t)size;
  int64_t i = 0;
#if defined(__AVX512F__)
  if constexpr (sizeof(T) >= 4) {
    const __m512i bound = _mm512_set1_epi64(size);
    for (; i + 16 <= n; i += 16) {
      const __m512i a = _mm512_loadu_si512(at + i), b = _mm512_loadu_si512(at + i + 8);
      if (_mm512_cmpge_epu64_mask(a, bound) | _mm512_cmpge_epu64_mask(b, bound)) break;
      if constexpr (sizeof(T) == 4) {
#pragma GCC unroll 16
        for (int k = 0; k < 16; ++k) y[i + k] = x[at[i + k]];  // quicker than the gather instruction
      } else {
        const __m512i none = _mm512_setzero_si512();
        _mm512_storeu_si512(y + i, _mm512_mask_i64gather_epi64(none, 0xff, a, x, 8));
        _mm512_storeu_si512(y + i + 8, _mm512_mask_i64gather_epi64(none, 0xff, b, x, 8));
      }
    }
  }
#endif
  for (; i + 8 <= n; i += 8) {
    uint64_t bad = 0;
    for (int k = 0; k < 8; ++k) bad |= (uint64_t)at[i + k] >= limit;
    if (bad) break;
    T t[8];
#pragma GCC unroll 8
    for (int k = 0; k < 8; ++k) t[k] = x[at[i + k]];
    __builtin_memcpy(y + i, t, sizeof(t));
  }
  for (; i < n; ++i) {
    if ((uint64_t)at[i] >= limit) return i;
    y[i] = x[at[i]];
  }
  return -1;
}

template <class T>
void add(T* __restrict y, const T* __restrict x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) y[i] += x[i];
}

}  // namespace

extern const IndexKernels index = {
    {gather<uint8_t>, gather<uint16_t>, gather<uint32_t>, gather<uint64_t>},
    add<float>,
    add<double>,
};

}  // namespace ccdl::cpu::CCDL_ISA
