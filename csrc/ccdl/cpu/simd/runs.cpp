// Where runs of equal elements begin: every vector is compared with the one an element before it. Vectors
// without a difference are passed over; of others the positions are packed together.
#include <ccdl/cpu/simd/runs.h>
#include <ccdl/cpu/simd/vec.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
CCDL_SI bool differs(T a, T b) {
  return !(a == b);
}
CCDL_SI bool differs(float16 a, float16 b) { return !((float)a == (float)b); }
CCDL_SI bool differs(bfloat16 a, bfloat16 b) { return !((float)a == (float)b); }

#if CCDL_VB == 64
CCDL_SI unsigned differences(const float* x) {
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(x), _mm512_loadu_ps(x - 1), _CMP_NEQ_UQ);
}
CCDL_SI unsigned differences(const double* x) {
  return _mm512_cmp_pd_mask(_mm512_loadu_pd(x), _mm512_loadu_pd(x - 1), _CMP_NEQ_UQ);
}
CCDL_SI unsigned differences(const int32_t* x) {
  return _mm512_cmpneq_epi32_mask(_mm512_loadu_si512(x), _mm512_loadu_si512(x - 1));
}
CCDL_SI unsigned differences(const int64_t* x) {
  return _mm512_cmpneq_epi64_mask(_mm512_loadu_si512(x), _mm512_loadu_si512(x - 1));
}
#endif

template <class T>
int64_t starts(const void* xv, int64_t n, int64_t* at) {
  const T* x = static_cast<const T*>(xv);
  if (n == 0) return 0;
  int64_t runs = 0, i = 1;
  at[runs++] = 0;
#if CCDL_VB == 64
  if constexpr (sizeof(T) >= 4) {
    constexpr int kN = 64 / (int)sizeof(T);
    const __m512i first = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
    for (; i + kN <= n; i += kN) {
      const unsigned mask = differences(x + i);
      if (mask == 0) continue;
        // No more starts than elements so far, so a whole vector fits behind them.
#pragma GCC unroll 2
      for (int half = 0; half < kN; half += 8) {
        const __mmask8 part = (__mmask8)(mask >> half);
        const __m512i where = _mm512_add_epi64(first, _mm512_set1_epi64(i + half));
        _mm512_storeu_si512(at + runs, _mm512_maskz_compress_epi64(part, where));
        runs += __builtin_popcount(part);
      }
    }
  }
#endif
  constexpr int64_t kBlock = 32;
  while (i < n) {
    const int64_t end = n - i < kBlock ? n : i + kBlock;
    int any = 0;
    for (int64_t j = i; j < end; ++j) any |= differs(x[j], x[j - 1]);
    if (!any) {
      i = end;
      continue;
    }
    for (; i < end; ++i) {  // without branches: runs are of any length
      at[runs] = i;
      runs += differs(x[i], x[i - 1]);
    }
  }
  return runs;
}

template <class T>
void numbers(const void* xv, int64_t n, int64_t* to) {
  const T* x = static_cast<const T*>(xv);
  int64_t run = 0;
  if (n > 0) to[0] = 0;
  for (int64_t i = 1; i < n; ++i) to[i] = run += differs(x[i], x[i - 1]);
}

}  // namespace

#define CCDL_RUNS(fn)                                                                                       \
  {                                                                                                         \
    fn<uint8_t>, fn<uint8_t>, fn<int8_t>, fn<int16_t>, fn<int32_t>, fn<int64_t>, fn<float16>, fn<bfloat16>, \
        fn<float>, fn<double>                                                                               \
  }
extern const RunsKernels runs;
const RunsKernels runs = {CCDL_RUNS(starts), CCDL_RUNS(numbers)};

}  // namespace ccdl::cpu::CCDL_ISA
