// Tiles of 14, 8 or 7 pixels: their sums and the weights of a row of taps stay in registers while the pixels
// pass by, each added to the sums of all results that read it.
#include <ccdl/cpu/simd/conv_roll.h>
#include <ccdl/cpu/simd/lanes.h>

#define CCDL_UNROLL _Pragma("GCC unroll 24")

namespace ccdl::cpu::CCDL_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kWide = 14;
#else
constexpr int kWide = 7;
#endif

CCDL_SI vf pixel_at(const float* p) { return ld(p); }
CCDL_SI void put(float* p, vf v) { st(p, v); }
// Whole registers, where a conversion of vectors is compiled to halves of them.
#if defined(__AVX512F__)
CCDL_SI vf pixel_at(const bfloat16* p) {
  return (vf)((vu)_mm512_maskz_cvtepu16_epi32((__mmask16)-1, _mm256_loadu_si256((const __m256i*)p)) << 16);
}
CCDL_SI void put(bfloat16* p, vf v) {
  const vu x = (vu)v, r = (x + 0x7fffu + ((x >> 16) & 1u)) >> 16;
  const __mmask16 nan = _mm512_cmp_ps_mask((__m512)v, (__m512)v, _CMP_UNORD_Q);
  const __m512i y = _mm512_mask_mov_epi32((__m512i)r, nan, (__m512i)((x >> 16) | 0x40u));
  _mm256_storeu_si256((__m256i*)p, _mm512_maskz_cvtepi32_epi16((__mmask16)-1, y));
}
#else
CCDL_SI vf pixel_at(const bfloat16* p) { return ld(p); }
CCDL_SI void put(bfloat16* p, vf v) { st(p, v); }
#endif

template <class S, int K, int P>
__attribute__((noinline)) void roll_tile(const ConvRoll<S>& g, int64_t p, int64_t c, const float* weights) {
  const vf bias = g.bias != nullptr ? ld(g.bias + c) : vf{};
  vf acc[P];
  CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i] = bias;
  const int64_t step = g.step, low = g.low - p, high = g.high - p;
  const S* src = g.src + p * step + c;
  for (int64_t r = 0; r < g.count; ++r) {
    const S* x = src + g.rows[r].source;
    const float* a = weights + g.rows[r].weight;
    vf w[K];
    CCDL_UNROLL for (int t = 0; t < K; ++t) w[t] = ld(a + t * g.w_tap);
    CCDL_UNROLL for (int j = 0; j < P + K - 1; ++j, x += step) {
      if (j < low || j >= high) continue;
      const vf v = pixel_at(x);
      CCDL_UNROLL for (int t = 0; t < K; ++t) if (j - t >= 0 && j - t < P) acc[j - t] =
          fma(v, w[t], acc[j - t]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < P; ++i) {
    if (g.relu) acc[i] = acc[i] < set1(0.0f) ? vf{} : acc[i];  // keeps NaN
    put(g.out + (p + i) * g.out_step + c, acc[i]);
  }
}

// The last tile covers some pixels again, the last vector some channels.
template <class S, int K, int P>
void roll_tiles(const ConvRoll<S>& g) {
  constexpr int64_t kLine = 64 / sizeof(S);
  const S *ahead = g.ahead, *end = ahead + g.ahead_count;
  const int64_t tiles = (g.pixels + P - 1) / P * ((g.channels + VL - 1) / VL),
                share = (g.ahead_count / tiles / kLine + 1) * kLine;
  const float* w = g.w;
  for (int64_t c = 0; c < g.channels; c += VL, w += g.w_set)
    for (int64_t p = 0; p < g.pixels; p += P) {
      for (const S* stop = ahead + share < end ? ahead + share : end; ahead < stop; ahead += kLine)
        __builtin_prefetch(ahead);
      roll_tile<S, K, P>(g, p + P <= g.pixels ? p : g.pixels - P, c + VL <= g.channels ? c : g.channels - VL,
                         w);
    }
}

template <class S, int K>
void roll_taps(const ConvRoll<S>& g) {
  if (kWide != 7 && g.pixels % kWide == 0) return roll_tiles<S, K, kWide>(g);
  if (g.pixels < 8 || g.pixels % 7 == 0) return roll_tiles<S, K, 7>(g);
  roll_tiles<S, K, 8>(g);
}

template <class S>
void roll(const ConvRoll<S>& g) {
  if (g.taps == 3) return roll_taps<S, 3>(g);
  if (g.taps == 5) return roll_taps<S, 5>(g);
  if (g.taps == 7) return roll_taps<S, 7>(g);
}

}  // namespace

extern const ConvRollKernels conv_roll;
const ConvRollKernels conv_roll = {VL, roll<float>, roll<bfloat16>};

}  // namespace ccdl::cpu::CCDL_ISA
