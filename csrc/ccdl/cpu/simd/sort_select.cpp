// Loops that a compiler turns to vectors as they stand, but for what keeps some elements and drops others:
// level v4 has an instruction for that, elsewhere every key is written and the next one's place moves on or
// not.
#include <ccdl/cpu/simd/sort_select.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI int32_t key_of(float v) {
  int32_t b;
  __builtin_memcpy(&b, &v, 4);
  b = v == 0 ? 0 : b;
  b ^= (b >> 31) & 0x7fffffff;
  return v != v ? 0x7fffffff : b;
}
CCDL_SI int64_t key_of(double v) {
  int64_t b;
  __builtin_memcpy(&b, &v, 8);
  b = v == 0 ? 0 : b;
  b ^= (b >> 63) & 0x7fffffffffffffff;
  return v != v ? 0x7fffffffffffffff : b;
}
CCDL_SI int32_t key_of(int32_t v) { return v; }
CCDL_SI int64_t key_of(int64_t v) { return v; }

template <class T, class K>
void keys(const void* px, int64_t n, void* pk) {
  const T* __restrict x = static_cast<const T*>(px);
  K* __restrict k = static_cast<K*>(pk);
  for (int64_t i = 0; i < n; ++i) k[i] = key_of(x[i]);
}

template <class K>
void range(const void* pk, int64_t n, void* plow, void* phigh) {
  const K* k = static_cast<const K*>(pk);
  K low = k[0], high = k[0];
  for (int64_t i = 0; i < n; ++i) {
    low = k[i] < low ? k[i] : low;
    high = k[i] > high ? k[i] : high;
  }
  *static_cast<K*>(plow) = low;
  *static_cast<K*>(phigh) = high;
}

template <class K, class U>
int64_t keep(const void* pk, int64_t n, int64_t low, int shift, int64_t bucket, void* pout) {
  const K* k = static_cast<const K*>(pk);
  K* out = static_cast<K*>(pout);
  int64_t kept = 0, i = 0;
#if CCDL_VB == 64
  const __m128i by = _mm_cvtsi32_si128(shift);
  if constexpr (sizeof(K) == 4) {
    const __m512i from = _mm512_set1_epi32((int)low), want = _mm512_set1_epi32((int)bucket);
    for (; i + 16 <= n; i += 16) {
      const __m512i v = _mm512_loadu_si512(k + i);
      const __mmask16 m = _mm512_cmpeq_epi32_mask(_mm512_srl_epi32(_mm512_sub_epi32(v, from), by), want);
      if (!m) continue;
      _mm512_storeu_si512(out + kept, _mm512_maskz_compress_epi32(m, v));
      kept += __builtin_popcount(m);
    }
  } else {
    const __m512i from = _mm512_set1_epi64(low), want = _mm512_set1_epi64(bucket);
    for (; i + 8 <= n; i += 8) {
      const __m512i v = _mm512_loadu_si512(k + i);
      const __mmask8 m = _mm512_cmpeq_epi64_mask(_mm512_srl_epi64(_mm512_sub_epi64(v, from), by), want);
      if (!m) continue;
      _mm512_storeu_si512(out + kept, _mm512_maskz_compress_epi64(m, v));
      kept += __builtin_popcount(m);
    }
  }
#endif
  for (; i < n; ++i) {
    const K v = k[i];
    out[kept] = v;
    kept += (int64_t)((U)((U)v - (U)low) >> shift) == bucket;
  }
  return kept;
}

template <class K>
int64_t count(const void* pk, int64_t n, int64_t key) {
  const K* k = static_cast<const K*>(pk);
  const K want = (K)key;
  int64_t sum = 0;
  for (int64_t i = 0; i < n;) {
    const int64_t end = n - i < 4096 ? n : i + 4096;
    K here = 0;
    for (; i < end; ++i) here += k[i] == want;
    sum += here;
  }
  return sum;
}

template <class K>
int64_t find(const void* pk, int64_t n, int64_t key, int64_t rank) {
  const K* k = static_cast<const K*>(pk);
  const K want = (K)key;
  int64_t i = 0;
  for (; i + 256 <= n; i += 256) {
    K here = 0;
    for (int j = 0; j < 256; ++j) here += k[i + j] == want;
    if (here > rank) break;
    rank -= here;
  }
  for (; i < n; ++i)
    if (k[i] == want && rank-- == 0) return i;
  return -1;
}

}  // namespace

const SortSelectKernels sort_select = {
    {keys<float, int32_t>, keys<double, int64_t>, keys<int32_t, int32_t>, keys<int64_t, int64_t>},
    {range<int32_t>, range<int64_t>},
    {keep<int32_t, uint32_t>, keep<int64_t, uint64_t>},
    {count<int32_t>, count<int64_t>},
    {find<int32_t>, find<int64_t>},
};

}  // namespace ccdl::cpu::CCDL_ISA
