// Convolution inner loops over the level's vectors. With masked loads (v4) a border costs nothing; elsewhere
// partial vectors are read lane by lane, which only touches image borders. Step 2 (stride-2 convolution)
// loads twice and keeps the even elements.
#include <ccdl/cpu/simd/conv.h>
#include <ccdl/cpu/simd/lanes.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;
template <class T>
constexpr uint32_t kFull = (1u << Lanes<T>::kN) - 1u;

#if defined(__AVX512F__)
CCDL_SI vf load_masked(const float* p, uint32_t m) { return (vf)_mm512_maskz_loadu_ps((__mmask16)m, p); }
CCDL_SI vd load_masked(const double* p, uint32_t m) { return (vd)_mm512_maskz_loadu_pd((__mmask8)m, p); }
CCDL_SI vf load_even(const float* p, uint32_t m) {
  const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512 lo = _mm512_maskz_loadu_ps((__mmask16)_pdep_u32(m & 0xffu, 0x5555u), p);
  const __m512 hi = _mm512_maskz_loadu_ps((__mmask16)_pdep_u32(m >> 8, 0x5555u), p + 16);
  return (vf)_mm512_permutex2var_ps(lo, even, hi);
}
CCDL_SI vd load_even(const double* p, uint32_t m) {
  const __m512i even = _mm512_setr_epi64(0, 2, 4, 6, 8, 10, 12, 14);
  const __m512d lo = _mm512_maskz_loadu_pd((__mmask8)_pdep_u32(m & 0xfu, 0x55u), p);
  const __m512d hi = _mm512_maskz_loadu_pd((__mmask8)_pdep_u32(m >> 4, 0x55u), p + 8);
  return (vd)_mm512_permutex2var_pd(lo, even, hi);
}
#endif

#if defined(__AVX512F__)
CCDL_SI vf load_window(const float* p, const ConvWindow& w, uint32_t m) {
  const uint32_t e = _pdep_u32(m, w.elements);
  const __m512 lo = _mm512_maskz_loadu_ps((__mmask16)e, p + w.offset);
  const __m512 hi = _mm512_maskz_loadu_ps((__mmask16)(e >> 16), p + w.offset + 16);
  return (vf)_mm512_maskz_permutex2var_ps((__mmask16)m, lo, _mm512_loadu_si512(w.index), hi);
}
CCDL_SI vd load_window(const double* p, const ConvWindow& w, uint32_t m) {
  const uint32_t e = _pdep_u32(m, w.elements);
  const __m512i index = _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i*)w.index));
  const __m512d lo = _mm512_maskz_loadu_pd((__mmask8)e, p + w.offset);
  const __m512d hi = _mm512_maskz_loadu_pd((__mmask8)(e >> 8), p + w.offset + 8);
  return (vd)_mm512_maskz_permutex2var_pd((__mmask8)m, lo, index, hi);
}
#endif

// Lane l of the result is p[l * step] where bit l of m is set, zero elsewhere; nothing else is read.
template <class T>
CCDL_SI Vec<T> gather(const T* p, int64_t step, uint32_t m) {
#if defined(__AVX512F__)
  if (step == 1) return load_masked(p, m);
  if (step == 2) return load_even(p, m);
#else
  if (step == 1 && m == kFull<T>) return ld(p);
#endif
  Vec<T> v = {};
  if (m == kFull<T>) {
    CCDL_UNROLL for (int l = 0; l < Lanes<T>::kN; ++l) v[l] = p[l * step];
  } else {
    T t[Lanes<T>::kN];
    for (int l = 0; l < Lanes<T>::kN; ++l) t[l] = (m >> l & 1u) != 0 ? p[l * step] : T(0);
    v = ld(t);
  }
  return v;
}

// Lanes of different runs are disjoint, so adding their bits joins them.
template <class T>
CCDL_SI Vec<T> gather_runs(const ConvVector& v, const ConvRun* runs, const T* p, int64_t step, uint32_t m) {
  const ConvRun* r = runs + v.first_run;
  Vec<T> value = gather<T>(p + r->offset, step, m & r->lanes);
  for (int i = 1; i < v.runs; ++i)
    value = (Vec<T>)((vi)value | (vi)gather<T>(p + r[i].offset, step, m & r[i].lanes));
  return value;
}

template <class T, int Step>
void pack_step(const ConvPack<T>& g) {
  const ConvSource<T>& s = g.source;
  const int64_t step = Step != 0 ? Step : s.step;
  int64_t c = g.k0 / s.taps, t = g.k0 % s.taps;
  T* dst = g.dst;
  for (int64_t k = g.k0; k < g.k1; ++k, dst += g.dst_k) {
    const T* p = s.data + c * s.channel + s.tap_offset[t];
    const uint16_t* mask = s.tap_mask + t * s.count;
    for (int64_t v = 0; v < s.count; ++v) {
      const ConvVector& x = s.vectors[v];
#if defined(__AVX512F__)
      if (x.window >= 0) {
        // pdep spreads the mask of the used lanes, which are the lowest ones, over the elements they read
        st(dst + x.dst, load_window(p, s.windows[x.window], mask[v]));
        continue;
      }
#endif
      if (x.runs == 1)
        st(dst + x.dst, gather<T>(p + s.runs[x.first_run].offset, step, mask[v]));
      else if (x.runs == 0)
        st(dst + x.dst, Vec<T>{});
      else
        st(dst + x.dst, gather_runs<T>(x, s.runs, p, step, mask[v]));
    }
    if (++t == s.taps) {
      t = 0;
      ++c;
    }
  }
}

template <class T>
void pack(const ConvPack<T>& g) {
  if (g.source.step == 1)
    pack_step<T, 1>(g);
  else if (g.source.step == 2)
    pack_step<T, 2>(g);
  else
    pack_step<T, 0>(g);
}

CCDL_SI void store_lanes(float* p, vf v, uint32_t m) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)m, (__m512)v);
#else
  for (int l = 0; l < VL; ++l)
    if ((m >> l & 1u) != 0) p[l] = v[l];
#endif
}
CCDL_SI void store_lanes(double* p, vd v, uint32_t m) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_pd(p, (__mmask8)m, (__m512d)v);
#else
  for (int l = 0; l < VD; ++l)
    if ((m >> l & 1u) != 0) p[l] = v[l];
#endif
}

#if defined(__AVX512F__)
// Elements of two vectors' span under the halves of a mask, put in order.
CCDL_SI vf load_elements(const float* p, const uint32_t* elements, __m512i index) {
  const uint16_t* half = (const uint16_t*)elements;
  const __m512 lo = _mm512_maskz_loadu_ps((__mmask16)half[0], p),
               hi = _mm512_maskz_loadu_ps((__mmask16)half[1], p + 16);
  return (vf)_mm512_permutex2var_ps(lo, index, hi);
}
CCDL_SI vd load_elements(const double* p, const uint32_t* elements, __m512i index) {
  const uint8_t* half = (const uint8_t*)elements;
  const __m512d lo = _mm512_maskz_loadu_pd((__mmask8)half[0], p),
                hi = _mm512_maskz_loadu_pd((__mmask8)half[1], p + 8);
  return (vd)_mm512_permutex2var_pd(lo, index, hi);
}
CCDL_SI __m512i window_index(const ConvWindow& w, float) { return _mm512_loadu_si512(w.index); }
CCDL_SI __m512i window_index(const ConvWindow& w, double) {
  return _mm512_cvtepi32_epi64(_mm256_loadu_si256((const __m256i*)w.index));
}
CCDL_SI vf only(vf v, uint32_t lanes) { return (vf)_mm512_maskz_mov_ps((__mmask16)lanes, (__m512)v); }
CCDL_SI vd only(vd v, uint32_t lanes) { return (vd)_mm512_maskz_mov_pd((__mmask8)lanes, (__m512d)v); }
#endif

template <class T, bool Windowed>
CCDL_SI uint32_t lanes_of(const ConvSource<T>& s, const ConvVector& v) {
  return Windowed ? s.windows[v.window].lanes : s.runs[v.first_run].lanes;
}

// A range of input channels. Their planes lie so far apart that the processor cannot foresee them, and each
// is a memory page or more: the pages of a range must stay mapped over all tiles of a block.
struct Channels {
  int64_t begin, end;
};
constexpr int64_t kChannels = 16;

// Fetches the pixels of a later channel; behind the last one comes the next tile, `behind` elements further.
template <class T, int V>
CCDL_SI void read_ahead(const ConvSource<T>& s, const Channels& channels, int64_t c, const int64_t* offset,
                        int64_t behind) {
  constexpr int64_t kAhead = 8;
  if (channels.end - channels.begin <= kAhead) return;
  const bool next = c + kAhead >= channels.end;
  const T* p = s.data + (next ? c + kAhead - channels.end + channels.begin : c + kAhead) * s.channel +
               s.tap_offset[s.taps - 1] + (next ? behind : 0);
  CCDL_UNROLL for (int j = 0; j < V; ++j) __builtin_prefetch(p + offset[j]);
}

// R output channels x V pixel vectors in registers; weights are broadcast, pixels loaded with their masks.
template <class T, int R, int V, int Step, bool Windowed>
CCDL_SI void direct_tile(const ConvDirect<T>& g, const Channels& channels, int64_t i0, int64_t v0) {
  const ConvSource<T>& s = g.source;
  const int64_t step = Step != 0 ? Step : s.step;
  const T* a = g.a + i0 * g.a_row + channels.begin * s.taps;
  const ConvVector* vectors = s.vectors + v0;
  int64_t offset[V];
  CCDL_UNROLL for (int j = 0; j < V; ++j) offset[j] =
      Windowed ? s.windows[vectors[j].window].offset : s.runs[vectors[j].first_run].offset;
#if defined(__AVX512F__)
  __m512i index[V];
  if constexpr (Windowed)
    CCDL_UNROLL for (int j = 0; j < V; ++j) index[j] = window_index(s.windows[vectors[j].window], T());
#endif
  Vec<T> acc[R][V];
  const bool first = channels.begin == 0, last = channels.end == g.channels;
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < V; ++j) acc[i][j] =
      first
          ? Vec<T>{}
          : gather<T>(g.dst + (i0 + i) * g.dst_row + vectors[j].dst, 1, lanes_of<T, Windowed>(s, vectors[j]));
  for (int64_t c = channels.begin; c < channels.end; ++c) {
    const T* plane = s.data + c * s.channel;
    read_ahead<T, V>(s, channels, c, offset, V * Lanes<T>::kN * step);
    for (int64_t t = 0; t < s.taps; ++t, ++a) {
      const T* p = plane + s.tap_offset[t];
      const uint16_t* mask = s.tap_mask + t * s.count + v0;
      Vec<T> x[V];
#if defined(__AVX512F__)
      if constexpr (Windowed) {
        const uint32_t* elements = s.tap_elements + t * s.count + v0;
        CCDL_UNROLL for (int j = 0; j < V; ++j) x[j] = load_elements(p + offset[j], elements + j, index[j]);
      } else
#endif
        CCDL_UNROLL for (int j = 0; j < V; ++j) x[j] = gather<T>(p + offset[j], step, mask[j]);
      CCDL_UNROLL for (int i = 0; i < R; ++i) {
        const Vec<T> av = set1(a[i * g.a_row]);
        CCDL_UNROLL for (int j = 0; j < V; ++j) acc[i][j] = fma(av, x[j], acc[i][j]);
      }
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) {
    T* out = g.dst + (i0 + i) * g.dst_row;
    const Vec<T> bias = set1(g.bias != nullptr ? g.bias[i0 + i] : T(0));
    CCDL_UNROLL for (int j = 0; j < V; ++j) {
      const ConvVector& v = s.vectors[v0 + j];
      Vec<T> y = acc[i][j];
      if (last) y += bias;
      if (last && g.relu) y = y < set1(T(0)) ? Vec<T>{} : y;  // keeps NaN
      store_lanes(out + v.dst, y, lanes_of<T, Windowed>(s, v));
    }
  }
}

template <class T, int R, int Step, bool Windowed>
__attribute__((noinline)) void direct_rows(const ConvDirect<T>& g, const Channels& channels, int64_t i0) {
#if defined(__AVX512F__)
  constexpr int V = Windowed ? 3 : R == 1 ? 8 : 4;
#else
  constexpr int V = R <= 2 ? 4 : 2;
#endif
  int64_t v = 0;
  for (; v + V <= g.source.count; v += V) direct_tile<T, R, V, Step, Windowed>(g, channels, i0, v);
  for (; v < g.source.count; ++v) direct_tile<T, R, 1, Step, Windowed>(g, channels, i0, v);
}

template <class T, int Step, bool Windowed>
void direct_channels(const ConvDirect<T>& g, const Channels& channels) {
#if defined(__AVX512F__)
  constexpr int64_t kRows = Windowed ? 8 : 6;
#else
  constexpr int64_t kRows = 4;
#endif
  const int64_t tiles = (g.m + kRows - 1) / kRows, rows = (g.m + tiles - 1) / tiles;
  for (int64_t i = 0; i < g.m; i += rows) {
    switch (g.m - i < rows ? g.m - i : rows) {
      case 1:
        direct_rows<T, 1, Step, Windowed>(g, channels, i);
        break;
      case 2:
        direct_rows<T, 2, Step, Windowed>(g, channels, i);
        break;
      case 3:
        direct_rows<T, 3, Step, Windowed>(g, channels, i);
        break;
      case 4:
        direct_rows<T, 4, Step, Windowed>(g, channels, i);
        break;
#if defined(__AVX512F__)
      case 5:
        direct_rows<T, 5, Step, Windowed>(g, channels, i);
        break;
      case 6:
        direct_rows<T, 6, Step, Windowed>(g, channels, i);
        break;
      case 7:
        if constexpr (Windowed) direct_rows<T, 7, Step, Windowed>(g, channels, i);
        break;
      case 8:
        if constexpr (Windowed) direct_rows<T, 8, Step, Windowed>(g, channels, i);
        break;
#endif
      default:
        break;
    }
  }
}

template <class T, int Step, bool Windowed>
void direct_step(const ConvDirect<T>& g) {
  const int64_t ranges = g.channels < 2 * kChannels ? 1 : g.channels / kChannels;
  for (int64_t r = 0; r < ranges; ++r)
    direct_channels<T, Step, Windowed>(g, {g.channels * r / ranges, g.channels * (r + 1) / ranges});
}

template <class T>
void direct(const ConvDirect<T>& g) {
#if defined(__AVX512F__)
  if (g.source.tap_elements != nullptr) return direct_step<T, 1, true>(g);
#endif
  if (g.source.step == 1)
    direct_step<T, 1, false>(g);
  else
    direct_step<T, 0, false>(g);
}

CCDL_SI vf load_lanes(const float* p, uint32_t m) { return gather<float>(p, 1, m); }
CCDL_SI vd load_lanes(const double* p, uint32_t m) { return gather<double>(p, 1, m); }

// R output channels x Q weights: one vector of partial sums each, carried in registers over all pixel
// vectors.
template <class T, int R, int Q, int Step, bool Windowed>
CCDL_SI void weight_tile(const ConvWeight<T>& g, int64_t i0, int64_t k0) {
  constexpr int L = Lanes<T>::kN;
  const ConvSource<T>& s = g.source;
  const int64_t step = Step != 0 ? Step : s.step;
  const T* plane[Q];
  const uint16_t* mask[Q];
  [[maybe_unused]] const uint32_t* elements[Q];
  CCDL_UNROLL for (int q = 0; q < Q; ++q) {
    const int64_t c = (k0 + q) / s.taps, t = (k0 + q) % s.taps;
    plane[q] = s.data + c * s.channel + s.tap_offset[t];
    mask[q] = s.tap_mask + t * s.count;
    elements[q] = Windowed ? s.tap_elements + t * s.count : nullptr;
  }
  T* sums = g.sums + (i0 * g.depth + k0) * L;
  Vec<T> acc[R][Q];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[i][q] =
      ld(sums + (i * g.depth + q) * L);
  const T* dy = g.dy + i0 * g.dy_row;
  for (int64_t v = 0; v < s.count; ++v) {
    const ConvVector& at = s.vectors[v];
    const uint32_t lanes = lanes_of<T, Windowed>(s, at);
    Vec<T> x[Q];
#if defined(__AVX512F__)
    if constexpr (Windowed) {
      const ConvWindow& w = s.windows[at.window];
      const __m512i index = window_index(w, T());
      CCDL_UNROLL for (int q = 0; q < Q; ++q) x[q] =
          only(load_elements(plane[q] + w.offset, elements[q] + v, index), lanes);
    } else
#endif
    {
      const int64_t offset = s.runs[at.first_run].offset;
      CCDL_UNROLL for (int q = 0; q < Q; ++q) x[q] = gather<T>(plane[q] + offset, step, mask[q][v]);
    }
    CCDL_UNROLL for (int i = 0; i < R; ++i) {
      const Vec<T> d = load_lanes(dy + i * g.dy_row + at.dst, lanes);
      CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[i][q] = fma(d, x[q], acc[i][q]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int q = 0; q < Q; ++q)
      st(sums + (i * g.depth + q) * L, acc[i][q]);
}

#if defined(__AVX512F__)
constexpr int kWeightRows = 6, kWeightColumns = 4;
#else
constexpr int kWeightRows = 3, kWeightColumns = 3;
#endif

template <class T, int R, int Step, bool Windowed>
__attribute__((noinline)) void weight_rows(const ConvWeight<T>& g, int64_t i0) {
  int64_t k = 0;
  for (; k + kWeightColumns <= g.depth; k += kWeightColumns)
    weight_tile<T, R, kWeightColumns, Step, Windowed>(g, i0, k);
  for (; k < g.depth; ++k) weight_tile<T, R, 1, Step, Windowed>(g, i0, k);
}

template <class T, int Step, bool Windowed>
void weight_step(const ConvWeight<T>& g) {
  const int64_t tiles = (g.m + kWeightRows - 1) / kWeightRows, rows = (g.m + tiles - 1) / tiles;
  for (int64_t i = 0; i < g.m; i += rows) {
    switch (g.m - i < rows ? g.m - i : rows) {
      case 1:
        weight_rows<T, 1, Step, Windowed>(g, i);
        break;
      case 2:
        weight_rows<T, 2, Step, Windowed>(g, i);
        break;
      case 3:
        weight_rows<T, 3, Step, Windowed>(g, i);
        break;
#if defined(__AVX512F__)
      case 4:
        weight_rows<T, 4, Step, Windowed>(g, i);
        break;
      case 5:
        weight_rows<T, 5, Step, Windowed>(g, i);
        break;
      case 6:
        weight_rows<T, 6, Step, Windowed>(g, i);
        break;
#endif
      default:
        break;
    }
  }
}

template <class T>
void weight(const ConvWeight<T>& g) {
#if defined(__AVX512F__)
  if (g.source.tap_elements != nullptr) return weight_step<T, 1, true>(g);
#endif
  if (g.source.step == 1)
    weight_step<T, 1, false>(g);
  else
    weight_step<T, 0, false>(g);
}

template <class T>
void sum_lanes(const T* sums, int64_t n, T* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = lane_sum(ld(sums + i * Lanes<T>::kN));
}

// P pixels from p on, V vectors of channels from c on, the last one of `lanes`.
template <class T, int P, int V>
CCDL_SI void tap_sum_block(const ConvTapSum<T>& g, int64_t p, int64_t c, int lanes) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> acc[P][V];
  CCDL_UNROLL for (int v = 0; v < V; ++v) {
    const Vec<T> first = g.bias != nullptr ? at<T>(g.bias + c + v * L, v == V - 1 ? lanes : L) : Vec<T>{};
    CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i][v] = first;
  }
  const T* src = g.src + p * g.step + c;
  for (int64_t t = 0; t < g.count; ++t) {
    const T *x = src + g.taps[t].source, *a = g.w + g.taps[t].weight + c;
    CCDL_UNROLL for (int v = 0; v < V; ++v) {
      const int n = v == V - 1 ? lanes : L;
      const Vec<T> w = at<T>(a + v * L, n);
      CCDL_UNROLL for (int i = 0; i < P; ++i) acc[i][v] = fma(at<T>(x + i * g.step + v * L, n), w, acc[i][v]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < P; ++i) CCDL_UNROLL for (int v = 0; v < V; ++v) {
    Vec<T> y = acc[i][v];
    if (g.relu) y = y < set1(T(0)) ? Vec<T>{} : y;  // keeps NaN
    to(g.out + (p + i) * g.out_step + c + v * L, y, v == V - 1 ? lanes : L);
  }
}

template <class T, int P>
CCDL_SI void tap_sum_pixels(const ConvTapSum<T>& g, int64_t p) {
  constexpr int L = Lanes<T>::kN;
  int64_t c = 0;
  for (; c + 2 * L <= g.channels; c += 2 * L) tap_sum_block<T, P, 2>(g, p, c, L);
  for (; c + L <= g.channels; c += L) tap_sum_block<T, P, 1>(g, p, c, L);
  if (c < g.channels) tap_sum_block<T, P, 1>(g, p, c, (int)(g.channels - c));
}

template <class T>
void tap_sum(const ConvTapSum<T>& g) {
  constexpr int64_t kLine = 64 / sizeof(T);
  const int64_t share = (g.ahead_count / (g.pixels / 4 + 1) / kLine + 1) * kLine;
  int64_t p = 0;
  for (const T *a = g.ahead, *end = a + g.ahead_count; p + 4 <= g.pixels; p += 4) {
    for (const T* stop = a + share < end ? a + share : end; a < stop; a += kLine) __builtin_prefetch(a);
    tap_sum_pixels<T, 4>(g, p);
  }
  for (; p < g.pixels; ++p) tap_sum_pixels<T, 1>(g, p);
}

template <class T, int V>
CCDL_SI void plane_rows_block(const ConvPlaneRows<T>& g, int64_t x) {
  constexpr int L = Lanes<T>::kN, kRows = 4;
  Vec<T> acc[kRows][V];
  CCDL_UNROLL for (int i = 0; i < kRows; ++i) CCDL_UNROLL for (int v = 0; v < V; ++v) acc[i][v] =
      set1(g.bias);
  for (int64_t r = 0; r < g.rows + kRows - 1; ++r) {
    const T* src = g.src + r * g.row + x;
    for (int64_t t = 0; t < g.columns; ++t) {
      Vec<T> p[V];
      CCDL_UNROLL for (int v = 0; v < V; ++v) p[v] = ld(src + g.offset[t] + v * L);
      CCDL_UNROLL for (int i = 0; i < kRows; ++i) {
        if ((uint64_t)(r - i) >= (uint64_t)g.rows) continue;
        const Vec<T> w = set1(g.w[g.tap[r - i] + t]);
        CCDL_UNROLL for (int v = 0; v < V; ++v) acc[i][v] = fma(w, p[v], acc[i][v]);
      }
    }
  }
  CCDL_UNROLL for (int i = 0; i < kRows; ++i) CCDL_UNROLL for (int v = 0; v < V; ++v) {
    if (g.relu) acc[i][v] = acc[i][v] < set1(T(0)) ? Vec<T>{} : acc[i][v];  // keeps NaN
    st(g.out + i * g.out_row + x + v * L, acc[i][v]);
  }
}

template <class T>
void plane_rows(const ConvPlaneRows<T>& g) {
  constexpr int L = Lanes<T>::kN;
#if defined(__AVX512F__)
  constexpr int V = 4;
#else
  constexpr int V = 2;
#endif
  int64_t x = 0;
  for (; x + (V - 1) * L < g.n; x += V * L) plane_rows_block<T, V>(g, x);
  for (; x < g.n; x += L) plane_rows_block<T, 1>(g, x);
}

template <class T, int V>
CCDL_SI void row_products_block(const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t pixels,
                                T* sums, int lanes) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> acc[V];
  CCDL_UNROLL for (int v = 0; v < V; ++v) acc[v] = at<T>(sums + v * L, v == V - 1 ? lanes : L);
  for (int64_t p = 0; p < pixels; ++p, a += a_step, b += b_step) CCDL_UNROLL for (int v = 0; v < V; ++v) {
      const int n = v == V - 1 ? lanes : L;
      acc[v] = fma(at<T>(a + v * L, n), at<T>(b + v * L, n), acc[v]);
    }
  CCDL_UNROLL for (int v = 0; v < V; ++v) to(sums + v * L, acc[v], v == V - 1 ? lanes : L);
}

template <class T>
void row_products(const T* a, int64_t a_step, const T* b, int64_t b_step, int64_t pixels, T* sums,
                  int64_t channels) {
  constexpr int L = Lanes<T>::kN;
  int64_t c = 0;
  for (; c + 4 * L <= channels; c += 4 * L)
    row_products_block<T, 4>(a + c, a_step, b + c, b_step, pixels, sums + c, L);
  for (; c + L <= channels; c += L)
    row_products_block<T, 1>(a + c, a_step, b + c, b_step, pixels, sums + c, L);
  if (c < channels)
    row_products_block<T, 1>(a + c, a_step, b + c, b_step, pixels, sums + c, (int)(channels - c));
}

#if defined(__AVX512F__)
constexpr bool kMasked = true;
#else
constexpr bool kMasked = false;
#endif

template <class T>
constexpr ConvTypeKernels<T> kernels() {
  return {Lanes<T>::kN, kMasked,    pack<T>,       direct<T>,      weight<T>,
          sum_lanes<T>, tap_sum<T>, plane_rows<T>, row_products<T>};
}

}  // namespace

extern const ConvKernels conv;
const ConvKernels conv = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
