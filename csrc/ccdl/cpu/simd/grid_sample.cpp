// The taps of a block of points are computed once as vectors over points and kept as planar arrays; channels
// then only gather, multiply and add. Adding into pixels goes point by point, so its order is fixed.
#pragma GCC optimize("no-tree-slp-vectorize")  // GCC 12 fails in that pass at AVX-512
#include <ccdl/cpu/simd/grid_sample.h>
#include <ccdl/cpu/simd/lanes.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int B = kGridBlock;

// p[at[i]], or 0 where inside is not set. Single loads: the gather instructions are slower on many
// processors.
template <class V, class I, class E, class J>
CCDL_SI V gathered(const E* p, const J* at, const J* inside) {
  E t[sizeof(V) / sizeof(p[0])];
  for (int i = 0; i < (int)(sizeof(V) / sizeof(p[0])); ++i) t[i] = p[at[i]];
  I on;
  __builtin_memcpy(&on, inside, sizeof on);
  V v;
  __builtin_memcpy(&v, t, sizeof v);
  return (V)((I)v & on);
}
#if CCDL_VB >= 32
CCDL_SI __m128 four(const float* p, const int32_t* at) {
  return _mm_movelh_ps(_mm_unpacklo_ps(_mm_load_ss(p + at[0]), _mm_load_ss(p + at[1])),
                       _mm_unpacklo_ps(_mm_load_ss(p + at[2]), _mm_load_ss(p + at[3])));
}
CCDL_SI __m256 eight(const float* p, const int32_t* at) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(four(p, at)), four(p, at + 4), 1);
}
CCDL_SI __m256d four(const double* p, const int64_t* at) {
  return _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadh_pd(_mm_load_sd(p + at[0]), p + at[1])),
                              _mm_loadh_pd(_mm_load_sd(p + at[2]), p + at[3]), 1);
}
#endif
CCDL_SI vf read_lanes(const float* p, const int32_t* at, const int32_t* inside) {
#if defined(__AVX512F__)
  vf v = (vf)_mm512_insertf32x8(_mm512_castps256_ps512(eight(p, at)), eight(p, at + 8), 1);
  return (vf)((vi)v & loadu(inside));
#elif defined(__AVX2__)
  return (vf)((vi)eight(p, at) & loadu(inside));
#else
  return gathered<vf, vi>(p, at, inside);
#endif
}
CCDL_SI vd read_lanes(const double* p, const int64_t* at, const int64_t* inside) {
#if CCDL_VB >= 32
  vl on;
  __builtin_memcpy(&on, inside, sizeof on);
#endif
#if defined(__AVX512F__)
  return (vd)((vl)_mm512_insertf64x4(_mm512_castpd256_pd512(four(p, at)), four(p, at + 4), 1) & on);
#elif defined(__AVX2__)
  return (vd)((vl)four(p, at) & on);
#else
  return gathered<vd, vl>(p, at, inside);
#endif
}
#if CCDL_VB >= 32
CCDL_SI __m128i eight_halves(const void* p, const int32_t* at) {  // stores of two bytes would stall the load
  const uint16_t* from = static_cast<const uint16_t*>(p);
  __m128i v = _mm_cvtsi32_si128(from[at[0]]);
  v = _mm_insert_epi16(v, from[at[1]], 1);
  v = _mm_insert_epi16(v, from[at[2]], 2);
  v = _mm_insert_epi16(v, from[at[3]], 3);
  v = _mm_insert_epi16(v, from[at[4]], 4);
  v = _mm_insert_epi16(v, from[at[5]], 5);
  v = _mm_insert_epi16(v, from[at[6]], 6);
  return _mm_insert_epi16(v, from[at[7]], 7);
}
#endif
template <class H>
CCDL_SI vf read_lanes(const H* p, const int32_t* at, const int32_t* inside) {
  H t[VL];
#if CCDL_VB >= 32
  for (int i = 0; i < VL; i += 8) {
    const __m128i v = eight_halves(p, at + i);
    __builtin_memcpy(t + i, &v, sizeof v);
  }
#else
  for (int i = 0; i < VL; ++i) t[i] = p[at[i]];
#endif
  return (vf)((vi)load_half(t) & loadu(inside));
}

CCDL_SI vf vfloor_of(vf v) {
#if defined(__AVX512F__)
  return (vf)_mm512_roundscale_ps((__m512)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (vf)_mm256_floor_ps((__m256)v);
#else
  for (int i = 0; i < VL; ++i) v[i] = __builtin_floorf(v[i]);
  return v;
#endif
}
CCDL_SI vd vfloor_of(vd v) {
#if defined(__AVX512F__)
  return (vd)_mm512_roundscale_pd((__m512d)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#elif defined(__AVX2__)
  return (vd)_mm256_floor_pd((__m256d)v);
#else
  for (int i = 0; i < VD; ++i) v[i] = __builtin_floor(v[i]);
  return v;
#endif
}

template <class S_, class V, class I>
struct GridMath {
  using S = S_;
  CCDL_SI V sel(I m, V a, V b) { return m ? a : b; }
  CCDL_SI V floor(V a) { return vfloor_of(a); }
  CCDL_SI V fma(V a, V b, V c) { return CCDL_ISA::fma(a, b, c); }
  CCDL_SI V round(V a) {  // half to even
    const V low = floor(a), rest = a - low;
    const V odd = low - floor(low * (S)0.5) * (S)2, half = V{} + (S)0.5, zero = V{};
    return low + sel((rest > half) | ((rest == half) & (odd != zero)), zero + (S)1, zero);
  }
};

CCDL_SI int32_t first_lane(vi v) { return v[0]; }
CCDL_SI int64_t first_lane(vl v) { return v[0]; }

template <class T>
struct Types {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::M I;
  typedef typename Lanes<T>::S S;
  typedef GridMath<S, V, I> M;
  typedef decltype(first_lane(I{})) J;
  static constexpr int kN = Lanes<T>::kN;
  static constexpr int kVectors = B / kN;
};

// Lanes first, first + 2, ... of a and b one after another.
template <class V, class I>
CCDL_SI V picked(V a, V b, int first) {
  I at;
  for (int i = 0; i < (int)(sizeof(V) / sizeof a[0]); ++i) at[i] = 2 * i + first;
  return __builtin_shuffle(a, b, at);
}
CCDL_SI vf every_second(vf a, vf b, int first) {
  return first ? picked<vf, vi>(a, b, 1) : picked<vf, vi>(a, b, 0);
}
CCDL_SI vd every_second(vd a, vd b, int first) {
  return first ? picked<vd, vl>(a, b, 1) : picked<vd, vl>(a, b, 0);
}

template <class W, class E>
CCDL_SI W vector_at(const E* p) {
  W v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}
template <class W, class E>
CCDL_SI void vector_to(E* p, W v) {
  __builtin_memcpy(p, &v, sizeof v);
}

CCDL_SI vi size_of(vi, int64_t n) { return vi{} + (int32_t)n; }
CCDL_SI vl size_of(vl, int64_t n) { return vl{} + n; }

constexpr int kModes[] = {0, (int)GridMode::Nearest, (int)GridMode::Bilinear, 0, (int)GridMode::Bicubic};

// Taps of a block of points in D dimensions with K taps each, and their products over dimensions: one pixel
// and weight per combination and point; the fastest dimension's tap changes first.
template <class T, int D, int K>
struct Block {
  typedef Types<T> X;
  typedef typename X::V V;
  typedef typename X::I I;
  typedef typename X::S S;
  static constexpr int kCount = D == 1 ? K : D == 2 ? K * K : K * K * K;

  V tap_weight[D][K][X::kVectors], tap_slope[D][K][X::kVectors];
  S weight[kCount][B];
  typename X::J at[kCount][B], inside[kCount][B];  // a pixel, whether it counts (all bits)
  int vectors;

  static constexpr int tap(int combination, int d) {
    return d == 0 ? combination % K : d == 1 ? combination / K % K : combination / (K * K);
  }

  static __attribute__((noinline)) void find(const GridImage& s, const T* grid, int64_t n, Block& b) {
    I place[D][K][X::kVectors], good[D][K][X::kVectors];
    const GridSampleOptions o = {(GridMode)kModes[K], s.options.padding, s.options.align_corners};
    b.vectors = (int)((n + X::kN - 1) / X::kN);
    for (int d = 0; d < D; ++d) {
      S line[B];
      int64_t done = 0;
      for (; D == 2 && done + X::kN <= n; done += X::kN)
        storeu(line + done, every_second(ld(grid + 2 * done), ld(grid + 2 * done + X::kN), d));
      for (int64_t i = done; i < n; ++i) line[i] = get(grid + i * D + d);
      for (int64_t i = n; i < b.vectors * X::kN; ++i) line[i] = 0;
      const S size = (S)s.size[d];
      for (int v = 0; v < b.vectors; ++v) {
        V at[kMaxGridTaps], weight[kMaxGridTaps], slope[kMaxGridTaps];
        grid_sample::taps<typename X::M, V>(loadu(line + v * X::kN), size, o, at, weight, slope);
        for (int k = 0; k < K; ++k) {
          const I fits = (at[k] >= V{}) & (at[k] <= V{} + (size - (S)1));
          good[d][k][v] = fits;
          place[d][k][v] = __builtin_convertvector(fits ? at[k] : V{}, I);
          b.tap_weight[d][k][v] = weight[k];
          b.tap_slope[d][k][v] = slope[k];
        }
      }
    }
    for (int c = 0; c < kCount; ++c) {
      for (int v = 0; v < b.vectors; ++v) {
        V weight = b.tap_weight[0][tap(c, 0)][v];
        I at = place[0][tap(c, 0)][v], inside = good[0][tap(c, 0)][v], step = I{} + 1;
        for (int d = 1; d < D; ++d) {
          step *= size_of(step, s.size[d - 1]);
          weight *= b.tap_weight[d][tap(c, d)][v];
          at += place[d][tap(c, d)][v] * step;
          inside &= good[d][tap(c, d)][v];
        }
        vector_to(b.weight[c] + v * X::kN, weight);
        vector_to(b.at[c] + v * X::kN, at & inside);
        vector_to(b.inside[c] + v * X::kN, inside);
      }
    }
  }
  CCDL_SI V read(const Block& b, const T* x, int c, int64_t i) {
    return read_lanes(x, b.at[c] + i, b.inside[c] + i);
  }
};

template <class T, int D, int K>
void forward(const GridImage& s, const void* px, const void* grid, void* py, int64_t n) {
  typedef Block<T, D, K> Points;
  Points b;
  Points::find(s, static_cast<const T*>(grid), n, b);
  const T* x = static_cast<const T*>(px);
  T* y = static_cast<T*>(py);
  for (int64_t c = 0; c < s.channels; ++c, x += s.plane, y += s.points) {
    each_vector<T>(n, [&](int64_t i, int count) {
      if constexpr (K == 1) {
        to(y + i, Points::read(b, x, 0, i), count);
      } else {
        typename Points::V sum = {};
        for (int k = 0; k < Points::kCount; ++k)
          sum = fma(loadu(b.weight[k] + i), Points::read(b, x, k, i), sum);
        to(y + i, sum, count);
      }
    });
  }
}

template <class T, int D, int K>
void backward_input(const GridImage& s, const void* grid, const void* pdy, void* psums, int64_t n) {
  typedef Block<T, D, K> Points;
  typedef typename Points::S S;
  Points b;
  Points::find(s, static_cast<const T*>(grid), n, b);
  const T* dy = static_cast<const T*>(pdy);
  S* sums = static_cast<S*>(psums);
  for (int64_t c = 0; c < s.channels; ++c, dy += s.points, sums += s.plane) {
    for (int64_t i = 0; i < n; ++i) {
      const S g = get(dy + i);
      for (int k = 0; k < Points::kCount; ++k)
        if (b.inside[k][i]) sums[b.at[k][i]] = fma(b.weight[k][i], g, sums[b.at[k][i]]);
    }
  }
}

template <class T, int D, int K>
void backward_grid(const GridImage& s, const void* px, const void* grid, const void* pdy, void* pdgrid,
                   int64_t n) {
  typedef Block<T, D, K> Points;
  typedef typename Points::V V;
  typedef typename Points::X X;
  Points b;
  Points::find(s, static_cast<const T*>(grid), n, b);
  V sums[Points::kCount][X::kVectors] = {};  // over channels of dy times the pixel
  const T* x = static_cast<const T*>(px);
  const T* dy = static_cast<const T*>(pdy);
  for (int64_t c = 0; c < s.channels; ++c, x += s.plane, dy += s.points) {
    each_vector<T>(n, [&](int64_t i, int count) {
      const int v = (int)(i / X::kN);
      const V g = at(dy + i, count);
      for (int k = 0; k < Points::kCount; ++k) sums[k][v] = fma(g, Points::read(b, x, k, i), sums[k][v]);
    });
  }
  T* dgrid = static_cast<T*>(pdgrid);
  for (int d = 0; d < D; ++d) {
    typename X::S line[B];
    for (int v = 0; v < b.vectors; ++v) {
      V slope = {};
      for (int k = 0; k < Points::kCount; ++k) {
        V part = b.tap_slope[d][Points::tap(k, d)][v];
        for (int e = 0; e < D; ++e)
          if (e != d) part *= b.tap_weight[e][Points::tap(k, e)][v];
        slope = fma(part, sums[k][v], slope);
      }
      storeu(line + v * X::kN, slope);
    }
    for (int64_t i = 0; i < n; ++i) put(dgrid + i * D + d, line[i]);
  }
}

}  // namespace

#define CCDL_MODES(name, T)                                                                  \
  {                                                                                          \
    {name<T, 2, 2>, name<T, 2, 1>, name<T, 2, 4>}, { name<T, 3, 2>, name<T, 3, 1>, nullptr } \
  }
#define CCDL_TABLE(name) \
  { CCDL_MODES(name, float16), CCDL_MODES(name, bfloat16), CCDL_MODES(name, float), CCDL_MODES(name, double) }
const GridSampleKernels grid_sample_kernels = {CCDL_TABLE(forward), CCDL_TABLE(backward_input),
                                               CCDL_TABLE(backward_grid)};
#undef CCDL_TABLE
#undef CCDL_MODES

}  // namespace ccdl::cpu::CCDL_ISA
