// Tiles of pixels: per tap each pixel is loaded once, and per channel of a group spread within its vector for
// one multiply-add. The products for the weight gradient alike, with dy spread for several taps at once.
#include <ccdl/cpu/simd/conv_packed.h>
#include <ccdl/cpu/simd/lanes.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;

#if defined(__AVX512F__)
constexpr int kPixels = 8, kOdd = 7, kSums = 16;
#else
constexpr int kPixels = 4, kOdd = 4, kSums = 8;
#endif

// Lane l takes lane l / Each * Each + j.
template <class T, int Each>
CCDL_SI typename Lanes<T>::M places(int j) {
  typename Lanes<T>::M from;
  for (int l = 0; l < Lanes<T>::kN; ++l) from[l] = l / Each * Each + j;
  return from;
}

template <class T, int Each, int P>
CCDL_SI void sum_pixels(const ConvPackedSum<T>& g, int64_t p) {
  constexpr int L = Lanes<T>::kN;
  const Vec<T> bias = g.bias != nullptr ? ld(g.bias) : Vec<T>{};
  Vec<T> acc[P];
  CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i] = bias;
  const int64_t step = g.step * L;
  const T *src = g.x + p * step, *w = g.w;
  for (int64_t t = 0; t < g.count; ++t) {
    const T* at = src + g.offset[t] * L;
    Vec<T> x[P];
    CCDL_UNROLL for (int i = 0; i < P; ++i) x[i] = ld(at + i * step);
    CCDL_UNROLL for (int j = 0; j < Each; ++j, w += L) {
      const Vec<T> a = ld(w);
      CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i] =
          fma(__builtin_shuffle(x[i], places<T, Each>(j)), a, acc[i]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < P; ++i) {
    if (g.relu) acc[i] = acc[i] < set1(T(0)) ? Vec<T>{} : acc[i];  // keeps NaN
    to(g.out + (p + i) * g.out_step, acc[i], (int)g.channels);
  }
}

// Tiles of P pixels, the last one over some pixels again; P <= pixels.
template <class T, int Each, int P>
__attribute__((noinline)) void sum_tiles(const ConvPackedSum<T>& g) {
  for (int64_t p = 0; p < g.pixels; p += P) sum_pixels<T, Each, P>(g, p + P <= g.pixels ? p : g.pixels - P);
}

template <class T, int Each>
void sum_each(const ConvPackedSum<T>& g) {
  if (g.pixels >= kOdd && (g.pixels % kOdd == 0 || g.pixels < kPixels)) return sum_tiles<T, Each, kOdd>(g);
  if (g.pixels >= kPixels) return sum_tiles<T, Each, kPixels>(g);
  sum_tiles<T, Each, 1>(g);
}

template <class T>
void sum(const ConvPackedSum<T>& g) {
  if (g.each == 2) sum_each<T, 2>(g);
  if (g.each == 4) sum_each<T, 4>(g);
  if (g.each == 8) sum_each<T, 8>(g);
}

template <class T, int Each, int Q>
__attribute__((noinline)) void products_taps(const ConvPackedProducts<T>& g, int64_t t) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> acc[Q][Each];
  T* sums = g.sums + t * Each * L;
  const T* base[Q];
  CCDL_UNROLL for (int q = 0; q < Q; ++q) {
    CCDL_UNROLL for (int j = 0; j < Each; ++j) acc[q][j] = ld(sums + (q * Each + j) * L);
    base[q] = g.x + g.offset[t + q] * L;
  }
  const int64_t step = g.step * L;
  const int n = (int)g.channels;
  for (int64_t r = 0; r < g.rows; ++r) {
    const T* dy = g.dy + r * g.dy_row;
    int64_t at = r * g.x_row * L;
    for (int64_t p = g.pixels; p > 0; --p, at += step, dy += g.dy_step) {
      const Vec<T> d = n == L ? ld(dy) : ldn(dy, n);
      Vec<T> x[Q];
      CCDL_UNROLL for (int q = 0; q < Q; ++q) x[q] = ld(base[q] + at);
      CCDL_UNROLL for (int j = 0; j < Each; ++j) {
        const Vec<T> s = __builtin_shuffle(d, places<T, Each>(j));
        CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[q][j] = fma(x[q], s, acc[q][j]);
      }
    }
  }
  CCDL_UNROLL for (int q = 0; q < Q; ++q) CCDL_UNROLL for (int j = 0; j < Each; ++j)
      st(sums + (q * Each + j) * L, acc[q][j]);
}

template <class T, int Each>
void products_each(const ConvPackedProducts<T>& g) {
  constexpr int Q = kSums / Each;
  int64_t t = 0;
  for (; t + Q <= g.count; t += Q) products_taps<T, Each, Q>(g, t);
  for (; t < g.count; ++t) products_taps<T, Each, 1>(g, t);
}

template <class T>
void products(const ConvPackedProducts<T>& g) {
  if (g.each == 2) products_each<T, 2>(g);
  if (g.each == 4) products_each<T, 4>(g);
  if (g.each == 8) products_each<T, 8>(g);
}

template <class T>
constexpr ConvPackedTypeKernels<T> kernels() {
  return {Lanes<T>::kN, sum<T>, products<T>};
}

}  // namespace

extern const ConvPackedKernels conv_packed;
const ConvPackedKernels conv_packed = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
