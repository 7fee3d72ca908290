// Eight sums at a time: per tap one load of the weights and eight pixels as operands of the multiply-adds,
// all of whole lines of the cache.
#include <ccdl/cpu/simd/conv_lanes.h>
#include <ccdl/cpu/simd/transpose.h>
#include <ccdl/cpu/simd/whole_halves.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;

template <class T, class S>
void gather(const ConvLaneMove<T, S>& g) {
  constexpr int L = Lanes<T>::kN;
  if (g.channel == 1) {
    for (int64_t i = 0; i < g.pixels; ++i) {
      const S* from = g.planes + i * g.pixel;
      T* v = g.vectors + g.place[i] * L;
      int64_t c = 0;
      for (; c + L <= g.channels; c += L, v += g.set) st(v, ld_whole(from + c));
      if (c < g.channels) st(v, ldn(from + c, (int)(g.channels - c)));
    }
    return;
  }
  for (int64_t i = 0; i < g.pixels; i += L) {
    const int n = g.pixels - i < L ? (int)(g.pixels - i) : L;
    Vec<T> r[L];
    CCDL_UNROLL for (int c = 0; c < L; ++c) r[c] = c >= g.channels ? Vec<T>{}
                                                   : n == L        ? ld_whole(g.planes + c * g.channel + i)
                                                                   : ldn(g.planes + c * g.channel + i, n);
    transpose_block<Vec<T>, typename Lanes<T>::M, L>(r);
    CCDL_UNROLL for (int p = 0; p < L; ++p) if (p < n) st(g.vectors + g.place[i + p] * L, r[p]);
  }
}

template <class T, class S>
void scatter(const ConvLaneMove<T, S>& g) {
  constexpr int L = Lanes<T>::kN;
  if (g.channel == 1) {
    for (int64_t i = 0; i < g.pixels; ++i) {
      S* out = g.planes + i * g.pixel;
      const T* v = g.vectors + g.place[i] * L;
      int64_t c = 0;
      for (; c + L <= g.channels; c += L, v += g.set) st_whole(out + c, ld(v));
      if (c < g.channels) stn(out + c, ld(v), (int)(g.channels - c));
    }
    return;
  }
  for (int64_t i = 0; i < g.pixels; i += L) {
    const int n = g.pixels - i < L ? (int)(g.pixels - i) : L;
    Vec<T> r[L];
    CCDL_UNROLL for (int p = 0; p < L; ++p) r[p] = p < n ? ld(g.vectors + g.place[i + p] * L) : Vec<T>{};
    transpose_block<Vec<T>, typename Lanes<T>::M, L>(r);
    CCDL_UNROLL for (int c = 0; c < L; ++c) if (c < g.channels) to(g.planes + c * g.channel + i, r[c], n);
  }
}

template <class T, int P, int Step>
CCDL_SI void sum_pixels(const ConvLaneSum<T>& g, int64_t p) {
  constexpr int L = Lanes<T>::kN;
  const Vec<T> bias = g.bias != nullptr ? ld(g.bias) : Vec<T>{};
  Vec<T> acc[P];
  CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i] = bias;
  const T* src = g.src + p * g.step * L;
  const int64_t step = Step != 0 ? Step * L : g.step * L;
  for (int64_t t = 0; t < g.count; ++t) {
    const Vec<T> w = ld(g.w + g.tap[t] * L);
    const T* x = src + g.offset[t] * L;
    CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i] = fma(ld(x + i * step), w, acc[i]);
  }
  CCDL_UNROLL for (int i = 0; i < P; ++i) {
    if (g.relu) acc[i] = acc[i] < set1(T(0)) ? Vec<T>{} : acc[i];  // keeps NaN
    st(g.out + (p + i) * g.out_step * L, acc[i]);
  }
}

// Tiles of P pixels, the last one over some pixels again; P <= pixels.
template <class T, int P, int Step>
__attribute__((noinline)) void sum_tiles(const ConvLaneSum<T>& g) {
  for (int64_t p = 0; p < g.pixels; p += P) sum_pixels<T, P, Step>(g, p + P <= g.pixels ? p : g.pixels - P);
}

template <class T, int Step>
void sum_step(const ConvLaneSum<T>& g) {
  const int64_t n = g.pixels;
  if (n >= 14 && (n + 13) / 14 * 14 <= (n + 7) / 8 * 8) return sum_tiles<T, 14, Step>(g);
  if (n >= 8) return sum_tiles<T, 8, Step>(g);
  if (n == 7) return sum_tiles<T, 7, Step>(g);
  if (n >= 4) return sum_tiles<T, 4, Step>(g);
  sum_tiles<T, 1, Step>(g);
}

template <class T>
void sum(const ConvLaneSum<T>& g) {
  if (g.step == 1)
    sum_step<T, 1>(g);
  else if (g.step == 2)
    sum_step<T, 2>(g);
  else
    sum_step<T, 0>(g);
}

template <class T, int Q>
CCDL_SI void products_taps(const ConvLaneProducts<T>& g, int64_t t) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> acc[Q];
  int64_t offset[Q];
  CCDL_UNROLL for (int q = 0; q < Q; ++q) {
    acc[q] = ld(g.sums + (t + q) * L);
    offset[q] = g.offset[t + q] * L;
  }
  const int64_t step = g.step * L;
  for (int64_t r = 0; r < g.rows; ++r) {
    const T *x = g.x + r * g.x_row * L, *dy = g.dy + r * g.dy_row * L;
    for (int64_t p = 0; p < g.pixels; ++p, x += step, dy += L) {
      const Vec<T> d = ld(dy);
      CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[q] = fma(ld(x + offset[q]), d, acc[q]);
    }
  }
  CCDL_UNROLL for (int q = 0; q < Q; ++q) st(g.sums + (t + q) * L, acc[q]);
}

template <class T>
void products(const ConvLaneProducts<T>& g) {
  int64_t t = 0;
  if (g.count == 9) {
    products_taps<T, 9>(g, 0);
    return;
  }
  for (; t + 8 <= g.count; t += 8) products_taps<T, 8>(g, t);
  for (; t + 4 <= g.count; t += 4) products_taps<T, 4>(g, t);
  for (; t < g.count; ++t) products_taps<T, 1>(g, t);
}

template <class T>
constexpr ConvLaneTypeKernels<T> kernels() {
  return {gather<T, T>, scatter<T, T>, sum<T>, products<T>};
}

}  // namespace

extern const ConvLaneKernels conv_lanes;
const ConvLaneKernels conv_lanes = {kernels<float>(),
                                    kernels<double>(),
                                    {gather<float, float16>, scatter<float, float16>},
                                    {gather<float, bfloat16>, scatter<float, bfloat16>}};

}  // namespace ccdl::cpu::CCDL_ISA
