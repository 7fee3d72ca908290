// Tiles of 6 rows x 4 vectors or 8 x 3 where there are 32 registers: per step of the sum a vector is loaded
// once and crosses a line of the cache as a rule, a weight is broadcast once; both fit beside the 24
// multiply-adds.
#include <ccdl/cpu/simd/conv_strips.h>
#include <ccdl/cpu/simd/lanes.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;

#if defined(__AVX512F__)
constexpr int kRows = 8;
constexpr int vectors_for(int rows) { return rows > 6 ? 3 : 4; }
constexpr int weights_for(int rows) { return rows > 4 ? 4 : 6; }
#else
constexpr int kRows = 4;
constexpr int vectors_for(int) { return 2; }
constexpr int weights_for(int) { return 3; }
#endif

// Tiles of 8 rows where they divide, else of at most 6, as even as possible.
int64_t rows(int64_t m) {
  const int64_t most = kRows <= 6 || m % kRows == 0 || (m > 6 && m < kRows) ? kRows : 6;
  const int64_t tiles = (m + most - 1) / most;
  return tiles == 0 ? 1 : (m + tiles - 1) / tiles;
}

template <class T, int R, int V>
CCDL_SI void strip_tile(const ConvStrips<T>& g, int64_t i0, const ConvSpot* spots) {
  const T* src[V];
  CCDL_UNROLL for (int j = 0; j < V; ++j) src[j] = g.src + spots[j].src;
  const T* a = g.a + i0 * g.k;
  const int64_t* offset = g.offset;
  Vec<T> acc[R][V];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < V; ++j) acc[i][j] = Vec<T>{};
  for (int64_t t = g.k; t > 0; --t, a += R, ++offset) {
    const int64_t at = *offset;
    Vec<T> x[V];
    CCDL_UNROLL for (int j = 0; j < V; ++j) x[j] = ld(src[j] + at);
    CCDL_UNROLL for (int i = 0; i < R; ++i) {
      const Vec<T> av = set1(a[i]);
      CCDL_UNROLL for (int j = 0; j < V; ++j) acc[i][j] = fma(av, x[j], acc[i][j]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) {
    T* out = g.dst + (i0 + i) * g.dst_row;
    const Vec<T> bias = set1(g.bias != nullptr ? g.bias[i0 + i] : T(0));
    CCDL_UNROLL for (int j = 0; j < V; ++j) {
      Vec<T> y = acc[i][j] + bias;
      if (g.add) y += ldn(out + spots[j].dst, (int)spots[j].lanes);
      if (g.relu) y = y < set1(T(0)) ? Vec<T>{} : y;  // keeps NaN
      to(out + spots[j].dst, y, (int)spots[j].lanes);
    }
  }
}

template <class T, int R>
__attribute__((noinline)) void strip_rows(const ConvStrips<T>& g, int64_t i0) {
  constexpr int V = vectors_for(R);
  const ConvSpot *s = g.spots, *end = s + g.count;
  for (; s + V <= end; s += V) strip_tile<T, R, V>(g, i0, s);
  if constexpr (V > 3)
    if (s + 3 <= end) {
      strip_tile<T, R, 3>(g, i0, s);
      s += 3;
    }
  if constexpr (V > 2)
    if (s + 2 <= end) {
      strip_tile<T, R, 2>(g, i0, s);
      s += 2;
    }
  for (; s < end; ++s) strip_tile<T, R, 1>(g, i0, s);
}

template <class T>
void sweep(const ConvStrips<T>& g) {
  for (int64_t i = 0; i < g.m; i += g.rows) {
    switch (g.m - i < g.rows ? g.m - i : g.rows) {
      case 1:
        strip_rows<T, 1>(g, i);
        break;
      case 2:
        strip_rows<T, 2>(g, i);
        break;
      case 3:
        strip_rows<T, 3>(g, i);
        break;
      case 4:
        strip_rows<T, 4>(g, i);
        break;
#if defined(__AVX512F__)
      case 5:
        strip_rows<T, 5>(g, i);
        break;
      case 6:
        strip_rows<T, 6>(g, i);
        break;
      case 7:
        strip_rows<T, 7>(g, i);
        break;
      case 8:
        strip_rows<T, 8>(g, i);
        break;
#endif
      default:
        break;
    }
  }
}

template <class T, int R, int Q>
CCDL_SI void weight_tile(const ConvStripWeight<T>& g, int64_t i0, int64_t k0) {
  constexpr int L = Lanes<T>::kN;
  T* sums = g.sums + (i0 * g.k + k0) * L;
  Vec<T> acc[R][Q];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[i][q] =
      ld(sums + (i * g.k + q) * L);
  const T* x[Q];
  CCDL_UNROLL for (int q = 0; q < Q; ++q) x[q] = g.x + g.offset[k0 + q];
  const T *dy = g.dy + i0 * g.dy_row, *more = dy + 3 * g.dy_row;
  const int64_t row = g.dy_row;
  for (const ConvSpot *s = g.spots, *end = s + g.count; s < end; ++s) {
    const int64_t from = s->src, to = s->dst;
    const int lanes = (int)s->lanes;
    Vec<T> v[Q];
    CCDL_UNROLL for (int q = 0; q < Q; ++q) v[q] = ldn(x[q] + from, lanes);
    CCDL_UNROLL for (int i = 0; i < R; ++i) {
      const Vec<T> d = ldn((i < 3 ? dy + i * row : more + (i - 3) * row) + to, lanes);
      CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[i][q] = fma(d, v[q], acc[i][q]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int q = 0; q < Q; ++q)
      st(sums + (i * g.k + q) * L, acc[i][q]);
}

template <class T, int R>
__attribute__((noinline)) void weight_rows(const ConvStripWeight<T>& g, int64_t i0) {
  constexpr int Q = weights_for(R);
  int64_t k = 0;
  for (; k + Q <= g.k; k += Q) weight_tile<T, R, Q>(g, i0, k);
  if constexpr (Q > 4)
    if (k + 4 <= g.k) {
      weight_tile<T, R, 4>(g, i0, k);
      k += 4;
    }
  if (k + 2 <= g.k) {
    weight_tile<T, R, 2>(g, i0, k);
    k += 2;
  }
  for (; k < g.k; ++k) weight_tile<T, R, 1>(g, i0, k);
}

template <class T>
void weight(const ConvStripWeight<T>& g) {
#if defined(__AVX512F__)
  const int64_t most = g.m == 5 || g.m == 6 ? 6 : 4;
#else
  const int64_t most = 3;
#endif
  const int64_t tiles = (g.m + most - 1) / most, height = (g.m + tiles - 1) / tiles;
  for (int64_t i = 0; i < g.m; i += height) {
    switch (g.m - i < height ? g.m - i : height) {
      case 1:
        weight_rows<T, 1>(g, i);
        break;
      case 2:
        weight_rows<T, 2>(g, i);
        break;
      case 3:
        weight_rows<T, 3>(g, i);
        break;
#if defined(__AVX512F__)
      case 4:
        weight_rows<T, 4>(g, i);
        break;
      case 5:
        weight_rows<T, 5>(g, i);
        break;
      case 6:
        weight_rows<T, 6>(g, i);
        break;
#endif
      default:
        break;
    }
  }
}

template <class T>
constexpr ConvStripTypeKernels<T> kernels() {
  return {rows, sweep<T>, weight<T>};
}

}  // namespace

extern const ConvStripKernels conv_strips;
const ConvStripKernels conv_strips = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
