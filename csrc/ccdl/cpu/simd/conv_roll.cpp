// Tiles of 14, 8 or 7 pixels, at stride 2 of 7: their sums and the weights of a row of taps stay in registers
// while the pixels pass by, each added to the sums of all results that read it.
#include <ccdl/cpu/simd/conv_roll.h>
#include <ccdl/cpu/simd/whole_halves.h>

#define CCDL_UNROLL _Pragma("GCC unroll 24")

namespace ccdl::cpu::CCDL_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kWide = 14;
#else
constexpr int kWide = 7;
#endif

template <class S, int K, int P, int Step>
__attribute__((noinline)) void roll_tile(const ConvRoll<S>& g, int64_t p, int64_t c, const float* weights) {
  const vf bias = g.bias != nullptr ? ld(g.bias + c) : vf{};
  vf acc[P];
  CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i] = bias;
  const int64_t step = g.step, low = g.low - p * Step, high = g.high - p * Step;
  const S* src = g.src + p * Step * step + c;
  for (int64_t r = 0; r < g.count; ++r) {
    const S* x = src + g.rows[r].source;
    const float* a = weights + g.rows[r].weight;
    vf w[K];
    CCDL_UNROLL for (int t = 0; t < K; ++t) w[t] = ld(a + t * g.w_tap);
    CCDL_UNROLL for (int j = 0; j < (P - 1) * Step + K; ++j, x += step) {
      if (j < low || j >= high) continue;
      const vf v = ld_whole(x);
      CCDL_UNROLL for (int t = 0; t < K; ++t) if (j >= t && (j - t) % Step == 0 && (j - t) / Step < P)
          acc[(j - t) / Step] = fma(v, w[t], acc[(j - t) / Step]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < P; ++i) {
    if (g.relu) acc[i] = acc[i] < set1(0.0f) ? vf{} : acc[i];  // keeps NaN
    st_whole(g.out + (p + i) * g.out_step + c, acc[i]);
  }
}

// The last tile covers some pixels again, the last vector some channels.
template <class S, int K, int P, int Step>
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
      roll_tile<S, K, P, Step>(g, p + P <= g.pixels ? p : g.pixels - P,
                               c + VL <= g.channels ? c : g.channels - VL, w);
    }
}

template <class S, int K>
void roll_taps(const ConvRoll<S>& g) {
  if (g.stride == 2) return roll_tiles<S, K, 7, 2>(g);
  if (kWide != 7 && g.pixels % kWide == 0) return roll_tiles<S, K, kWide, 1>(g);
  if (g.pixels < 8 || g.pixels % 7 == 0) return roll_tiles<S, K, 7, 1>(g);
  roll_tiles<S, K, 8, 1>(g);
}

template <class S>
void roll(const ConvRoll<S>& g) {
  if (g.taps == 3) return roll_taps<S, 3>(g);
  if (g.taps == 5) return roll_taps<S, 5>(g);
  if (g.taps == 7) return roll_taps<S, 7>(g);
}

template <int V>
CCDL_SI void products_block(const bfloat16* a, int64_t a_step, const bfloat16* b, int64_t b_step,
                            int64_t pixels, float* sums) {
  vf acc[V];
  CCDL_UNROLL for (int v = 0; v < V; ++v) acc[v] = ld(sums + v * VL);
  for (int64_t p = 0; p < pixels; ++p, a += a_step, b += b_step)
    CCDL_UNROLL for (int v = 0; v < V; ++v) acc[v] = fma(ld_whole(a + v * VL), ld_whole(b + v * VL), acc[v]);
  CCDL_UNROLL for (int v = 0; v < V; ++v) st(sums + v * VL, acc[v]);
}

void bf16_products(const bfloat16* a, int64_t a_step, const bfloat16* b, int64_t b_step, int64_t pixels,
                   float* sums, int64_t channels) {
  int64_t c = 0;
  for (; c + 4 * VL <= channels; c += 4 * VL)
    products_block<4>(a + c, a_step, b + c, b_step, pixels, sums + c);
  for (; c + VL <= channels; c += VL) products_block<1>(a + c, a_step, b + c, b_step, pixels, sums + c);
  if (c == channels) return;
  const int n = (int)(channels - c);
  vf acc = ldn(sums + c, n);
  for (int64_t p = 0; p < pixels; ++p) acc = fma(ldn(a + p * a_step + c, n), ldn(b + p * b_step + c, n), acc);
  stn(sums + c, acc, n);
}

}  // namespace

extern const ConvRollKernels conv_roll;
const ConvRollKernels conv_roll = {VL, roll<float>, roll<bfloat16>, bf16_products};

}  // namespace ccdl::cpu::CCDL_ISA
