// Tiles of pixels x vectors of channels in registers, as conv_rows.cpp: per pair of the sum each vector of
// weights is loaded once, each pair of a pixel broadcast once. Inputs below the smallest normal number count
// as zero.
#include <ccdl/cpu/simd/conv_rows_bf16.h>
#include <ccdl/cpu/simd/lanes.h>
#include <immintrin.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int kVectors = 4;
constexpr int pixels_for(int vectors) { return vectors <= 2 ? 14 : 24 / vectors; }

template <int P, int V>
CCDL_SI void row_tile(const ConvRowSumBf16& g, int64_t p, int64_t j) {
  constexpr int kBases = (P + 2) / 3;
  __m512 acc[P][V];
  CCDL_UNROLL for (int v = 0; v < V; ++v) {
    const __m512 first = g.bias != nullptr ? _mm512_loadu_ps(g.bias + j + v * 16) : _mm512_setzero_ps();
    CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i][v] = first;
  }
  const uint32_t* w = g.w + j;
  const int64_t step = g.step;
  for (int64_t r = 0; r < g.runs; ++r) {
    const bfloat16* base[kBases];  // every third pixel: the others are one and two steps further
    CCDL_UNROLL for (int b = 0; b < kBases; ++b) base[b] = g.rows[r] + (p + 3 * b) * step;
    for (int64_t e = g.length; e > 0; e -= 2, w += g.width) {
      __m512i a[V];
      CCDL_UNROLL for (int v = 0; v < V; ++v) a[v] = _mm512_loadu_si512(w + v * 16);
      CCDL_UNROLL for (int i = 0; i < P; ++i) {
        int32_t pair;
        __builtin_memcpy(&pair, base[i / 3] + i % 3 * step, 4);
        const __m512i x = _mm512_set1_epi32(pair);
        CCDL_UNROLL for (int v = 0; v < V; ++v) acc[i][v] =
            _mm512_dpbf16_ps(acc[i][v], (__m512bh)x, (__m512bh)a[v]);
      }
      CCDL_UNROLL for (int b = 0; b < kBases; ++b) base[b] += 2;
    }
  }
  CCDL_UNROLL for (int i = 0; i < P; ++i) CCDL_UNROLL for (int v = 0; v < V; ++v) {
    vf y = (vf)acc[i][v];
    if (g.relu) y = y < set1(0.0f) ? vf{} : y;  // keeps NaN
    const int64_t left = g.m - j - v * 16;
    to(g.out + (p + i) * g.out_step + j + v * 16, y, left < 16 ? (int)left : 16);
  }
}

// Tiles of P pixels, the last one over some pixels again.
template <int V>
__attribute__((noinline)) void row_columns(const ConvRowSumBf16& g, int64_t j) {
  constexpr int P = pixels_for(V), kHalf = P / 2;
  int64_t p = 0;
  if (g.pixels >= P) {
    for (; p + P <= g.pixels; p += P) row_tile<P, V>(g, p, j);
    if (g.pixels - p > kHalf) return row_tile<P, V>(g, g.pixels - P, j);
    if (p < g.pixels) row_tile<kHalf, V>(g, g.pixels - kHalf, j);
    return;
  }
  for (; p + kHalf <= g.pixels; p += kHalf) row_tile<kHalf, V>(g, p, j);
  if (p > 0 && p < g.pixels) return row_tile<kHalf, V>(g, g.pixels - kHalf, j);
  for (; p < g.pixels; ++p) row_tile<1, V>(g, p, j);
}

void sum(const ConvRowSumBf16& g) {
  const int64_t vectors = g.width / 16, groups = (vectors + kVectors - 1) / kVectors;
  for (int64_t i = 0; i < groups; ++i) {
    const int64_t first = vectors * i / groups, j = first * 16;
    switch (vectors * (i + 1) / groups - first) {
      case 1:
        row_columns<1>(g, j);
        break;
      case 2:
        row_columns<2>(g, j);
        break;
      case 3:
        row_columns<3>(g, j);
        break;
      default:
        row_columns<4>(g, j);
        break;
    }
  }
}

}  // namespace

extern const ConvRowBf16Kernels conv_rows_bf16;
const ConvRowBf16Kernels conv_rows_bf16 = {sum};

}  // namespace ccdl::cpu::CCDL_ISA
