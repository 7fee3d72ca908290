// Tiles of pixels x vectors of channels in registers: per step of the sum each vector of weights is loaded
// once, each pixel broadcast once. The products for the weight gradient alike, summed over pixels.
#include <ccdl/cpu/simd/conv_rows.h>
#include <ccdl/cpu/simd/lanes.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;

#if defined(__AVX512F__)
constexpr int kVectors = 4;
constexpr int pixels_for(int vectors) { return vectors <= 2 ? 14 : 24 / vectors; }
#else
constexpr int kVectors = 2;
constexpr int pixels_for(int vectors) { return vectors == 1 ? 8 : 4; }
#endif

template <class T, int P, int V>
CCDL_SI void row_tile(const ConvRowSum<T>& g, int64_t p, int64_t j) {
  constexpr int L = Lanes<T>::kN, kBases = (P + 2) / 3;
  Vec<T> acc[P][V];
  CCDL_UNROLL for (int v = 0; v < V; ++v) {
    const Vec<T> first = g.bias != nullptr ? ld(g.bias + j + v * L) : Vec<T>{};
    CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i][v] = first;
  }
  const T* w = g.w + j;
  const int64_t step = g.step;
  for (int64_t r = 0; r < g.runs; ++r) {
    const T* base[kBases];  // every third pixel: the others are one and two steps further
    CCDL_UNROLL for (int b = 0; b < kBases; ++b) base[b] = g.rows[r] + (p + 3 * b) * step;
    for (int64_t e = g.length; e > 0; --e, w += g.width) {
      Vec<T> a[V];
      CCDL_UNROLL for (int v = 0; v < V; ++v) a[v] = ld(w + v * L);
      CCDL_UNROLL for (int i = 0; i < P; ++i) {
        const Vec<T> x = set1(base[i / 3][i % 3 * step]);
        CCDL_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = fma(x, a[v], acc[i][v]);
      }
      CCDL_UNROLL for (int b = 0; b < kBases; ++b)++ base[b];
    }
  }
  CCDL_UNROLL for (int i = 0; i < P; ++i) CCDL_UNROLL for (int v = 0; v < V; ++v) {
    Vec<T> y = acc[i][v];
    if (g.relu) y = y < set1(T(0)) ? Vec<T>{} : y;  // keeps NaN
    const int64_t left = g.m - j - v * L;
    to(g.out + (p + i) * g.out_step + j + v * L, y, left < L ? (int)left : L);
  }
}

// What pixels [p, p + n) of the columns from j on have as their share of the memory ahead.
template <class T>
CCDL_SI void fetch_share(const ConvRowSum<T>& g, int64_t p, int64_t n, int64_t j, int64_t columns) {
  constexpr int64_t kLine = 64 / sizeof(T);
  const int64_t all = g.pixels * g.width, done = j * g.pixels + p * columns, next = done + n * columns;
  CCDL_UNROLL for (int i = 0; i < 2; ++i) {
    if (g.ahead_count[i] == 0) continue;
    const T *at = g.ahead[i] + done * g.ahead_count[i] / all / kLine * kLine,
            *end = g.ahead[i] + next * g.ahead_count[i] / all;
    for (; at < end; at += kLine) __builtin_prefetch(at, 0, 2);
  }
}

// Tiles of P pixels, the last one over some pixels again.
template <class T, int V>
__attribute__((noinline)) void row_columns(const ConvRowSum<T>& g, int64_t j) {
  constexpr int P = pixels_for(V), kHalf = P / 2;
  int64_t p = 0;
  if (g.pixels >= P) {
    for (; p + P <= g.pixels; p += P) {
      fetch_share(g, p, P, j, V * Lanes<T>::kN);
      row_tile<T, P, V>(g, p, j);
    }
    if (g.pixels - p > kHalf) return row_tile<T, P, V>(g, g.pixels - P, j);
    if (p < g.pixels) row_tile<T, kHalf, V>(g, g.pixels - kHalf, j);
    return;
  }
  for (; p + kHalf <= g.pixels; p += kHalf) row_tile<T, kHalf, V>(g, p, j);
  if (p > 0 && p < g.pixels) return row_tile<T, kHalf, V>(g, g.pixels - kHalf, j);
  for (; p < g.pixels; ++p) row_tile<T, 1, V>(g, p, j);
}

template <class T>
void sum(const ConvRowSum<T>& g) {
  constexpr int64_t L = Lanes<T>::kN;
  const int64_t vectors = g.width / L, groups = (vectors + kVectors - 1) / kVectors;
  for (int64_t i = 0; i < groups; ++i) {
    const int64_t first = vectors * i / groups, j = first * L;
    switch (vectors * (i + 1) / groups - first) {
      case 1:
        row_columns<T, 1>(g, j);
        break;
      case 2:
        row_columns<T, 2>(g, j);
        break;
#if defined(__AVX512F__)
      case 3:
        row_columns<T, 3>(g, j);
        break;
      case 4:
        row_columns<T, 4>(g, j);
        break;
#endif
      default:
        break;
    }
  }
}

// R elements of dy x V vectors of x: per pixel each vector is loaded and each element broadcast once.
template <class T, int R, int V>
__attribute__((noinline)) void product_tile(const ConvRowProducts<T>& g, int64_t i0, int64_t e0) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> acc[R][V];
  T* sums = g.sums + i0 * g.width + e0;
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int v = 0; v < V; ++v) acc[i][v] =
      ld(sums + i * g.width + v * L);
  const int64_t step = g.step, m = g.m;
  for (int64_t r = 0; r < g.rows; ++r) {
    const T *x = g.x + r * g.x_row + e0, *d = g.dy + r * g.dy_row + i0;
    for (int64_t p = g.pixels; p > 0; --p, x += step, d += m) {
      Vec<T> a[V];
      CCDL_UNROLL for (int v = 0; v < V; ++v) a[v] = ld(x + v * L);
      CCDL_UNROLL for (int i = 0; i < R; ++i) {
        const Vec<T> b = set1(d[i]);
        CCDL_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = fma(b, a[v], acc[i][v]);
      }
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int v = 0; v < V; ++v)
      st(sums + i * g.width + v * L, acc[i][v]);
}

template <class T, int R>
void product_rows(const ConvRowProducts<T>& g, int64_t i0) {
  constexpr int64_t L = Lanes<T>::kN, V = kVectors - 1;  // three of 32 registers, or one of 16
  int64_t e = 0;
  for (; e + V * L <= g.width; e += V * L) product_tile<T, R, V>(g, i0, e);
#if defined(__AVX512F__)
  if (e + 2 * L <= g.width) {
    product_tile<T, R, 2>(g, i0, e);
    e += 2 * L;
  }
#endif
  if (e < g.width) product_tile<T, R, 1>(g, i0, e);
}

template <class T>
void products(const ConvRowProducts<T>& g) {
  int64_t i = 0;
  for (; i + 8 <= g.m; i += 8) product_rows<T, 8>(g, i);
  for (; i + 4 <= g.m; i += 4) product_rows<T, 4>(g, i);
  for (; i < g.m; ++i) product_rows<T, 1>(g, i);
}

template <class T>
constexpr ConvRowTypeKernels<T> kernels() {
  return {Lanes<T>::kN, sum<T>, products<T>};
}

}  // namespace

extern const ConvRowKernels conv_rows;
const ConvRowKernels conv_rows = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
