// Short rows into a panel and back: element i of row r stands at i * width + r, so that what runs along a row
// becomes a vector operation over many rows. Rows of a vector's length or more are transposed in registers,
// shorter ones element by element in loops of a fixed length. Same rules of inclusion as vec.h.
#pragma once
#include <ccdl/cpu/simd/transpose.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
struct PanelVec {
  static constexpr int kN = 0;  // no vectors for narrow items
};
template <>
struct PanelVec<uint32_t> {
  typedef vi V;
  static constexpr int kN = VL;
};
template <>
struct PanelVec<uint64_t> {
  typedef vl V;
  static constexpr int kN = VD;
};

#if CCDL_VB >= 32
template <>
struct PanelVec<uint16_t> {
  typedef uint16_t V __attribute__((vector_size(VB / 2)));
  static constexpr int kN = VL;
};
#endif

#if CCDL_VB == 64
// Rows of N items of 4 bytes without gaps: 16 rows are N vectors, from which each of the panel's picks its
// lanes. kBack: the other way.
template <int N, bool kBack>
CCDL_SI void panel_pick(const vi* from, vi* to) {
#pragma GCC unroll 8
  for (int q = 0; q < N; ++q) {
    vi t = from[0];
#pragma GCC unroll 8
    for (int s = 0; s < N; ++s) {
      vi pick;
      for (int l = 0; l < 16; ++l) {
        const int vector = kBack ? (q * 16 + l) % N : (l * N + q) / 16;
        const int lane = kBack ? (q * 16 + l) / N : (l * N + q) % 16;
        pick[l] = vector == s ? (s ? 16 : 0) + lane : l;
      }
      t = s ? __builtin_shuffle(t, from[s], pick) : __builtin_shuffle(t, pick);
    }
    to[q] = t;
  }
}
template <int N>
CCDL_SI int64_t panel_from_dense(const uint32_t* x, int64_t rows, uint32_t* out, int64_t width) {
  int64_t r = 0;
  for (; r + 16 <= rows; r += 16) {
    vi v[N], t[N];
    __builtin_memcpy(v, x + r * N, N * VB);
    panel_pick<N, false>(v, t);
    for (int q = 0; q < N; ++q) __builtin_memcpy(out + q * width + r, &t[q], VB);
  }
  return r;
}
template <int N>
CCDL_SI int64_t panel_to_dense(const uint32_t* in, int64_t width, int64_t rows, uint32_t* y) {
  int64_t r = 0;
  for (; r + 16 <= rows; r += 16) {
    vi v[N], t[N];
    for (int q = 0; q < N; ++q) __builtin_memcpy(&v[q], in + q * width + r, VB);
    panel_pick<N, true>(v, t);
    __builtin_memcpy(y + r * N, t, N * VB);
  }
  return r;
}
#endif

template <class T, int N, bool kDense>
CCDL_SI void panel_from_short(const T* __restrict x, int64_t rows, int64_t rs, T* __restrict out,
                              int64_t width) {
  if (kDense) rs = N;
  int64_t r = 0;
#if CCDL_VB == 64
  if constexpr (kDense && N > 1 && sizeof(T) == 4) r = panel_from_dense<N>(x, rows, out, width);
#endif
  for (; r < rows; ++r)
    for (int i = 0; i < N; ++i) out[i * width + r] = x[r * rs + i];
}
template <class T, int N, bool kDense>
CCDL_SI void panel_to_short(const T* __restrict in, int64_t width, int64_t rows, T* __restrict y,
                            int64_t rs) {
  if (kDense) rs = N;
  int64_t r = 0;
#if CCDL_VB == 64
  if constexpr (kDense && N > 1 && sizeof(T) == 4) r = panel_to_dense<N>(in, width, rows, y);
#endif
  for (; r < rows; ++r)
    for (int i = 0; i < N; ++i) y[r * rs + i] = in[i * width + r];
}
// Calls f with the number as a constant, 1 to 7.
template <class F>
CCDL_SI void fixed_length(int64_t n, const F& f) {
  switch (n) {
#define CCDL_LENGTH(N)                             \
  case N:                                          \
    return f([] {                                  \
      struct {                                     \
        static constexpr int value() { return N; } \
      } c;                                         \
      return c;                                    \
    }());
    CCDL_LENGTH(1) CCDL_LENGTH(2) CCDL_LENGTH(3) CCDL_LENGTH(4) CCDL_LENGTH(5) CCDL_LENGTH(6) CCDL_LENGTH(7)
#undef CCDL_LENGTH
  }
}

template <class V, class T>
CCDL_SI V panel_load(const T* p, int n) {  // the first n elements
  constexpr int kN = PanelVec<T>::kN;
  V v;
#if defined(__AVX512F__)
  if (n < kN) {
    if constexpr (sizeof(T) == 2)
      return (V)_mm256_maskz_loadu_epi16((__mmask16)((1u << n) - 1u), p);
    else if constexpr (sizeof(T) == 4)
      return (V)_mm512_maskz_loadu_epi32((__mmask16)((1u << n) - 1u), p);
    else
      return (V)_mm512_maskz_loadu_epi64((__mmask8)((1u << n) - 1u), p);
  }
#endif
  (void)n, (void)kN;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}
template <class V, class T>
CCDL_SI void panel_store(T* p, V v, int n) {
  constexpr int kN = PanelVec<T>::kN;
#if defined(__AVX512F__)
  if (n < kN) {
    if constexpr (sizeof(T) == 2)
      _mm256_mask_storeu_epi16(p, (__mmask16)((1u << n) - 1u), (__m256i)v);
    else if constexpr (sizeof(T) == 4)
      _mm512_mask_storeu_epi32(p, (__mmask16)((1u << n) - 1u), (__m512i)v);
    else
      _mm512_mask_storeu_epi64(p, (__mmask8)((1u << n) - 1u), (__m512i)v);
    return;
  }
#endif
  (void)n, (void)kN;
  __builtin_memcpy(p, &v, sizeof(v));
}

// Elements [at, at + n) of kN rows, n at most a vector.
template <class T>
CCDL_SI void panel_from_block(const T* x, int64_t rs, int n, T* out, int64_t width) {
  typedef typename PanelVec<T>::V V;
  constexpr int kN = PanelVec<T>::kN;
  V v[kN];
#pragma GCC unroll 16
  for (int k = 0; k < kN; ++k) v[k] = panel_load<V>(x + k * rs, n);
  transpose_block<V, V, kN>(v);
#pragma GCC unroll 16
  for (int k = 0; k < kN; ++k)
    if (k < n) __builtin_memcpy(out + k * width, &v[k], sizeof(V));
}
template <class T>
CCDL_SI void panel_to_block(const T* in, int64_t width, int n, T* y, int64_t rs) {
  typedef typename PanelVec<T>::V V;
  constexpr int kN = PanelVec<T>::kN;
  V v[kN] = {};
#pragma GCC unroll 16
  for (int k = 0; k < kN; ++k)
    if (k < n) __builtin_memcpy(&v[k], in + k * width, sizeof(V));
  transpose_block<V, V, kN>(v);
#pragma GCC unroll 16
  for (int k = 0; k < kN; ++k) panel_store<V>(y + k * rs, v[k], n);
}

// Whether rows of n go through registers: the last block of a row overlaps the one before, which takes a
// whole vector, or masks.
template <class T>
constexpr bool panel_by_blocks(int64_t n) {
  constexpr int kN = PanelVec<T>::kN;
  return kN > 0 && n >= 8 && (n >= kN || VB == 64);
}

template <class T>
CCDL_SI void panel_from_rows(const T* x, int64_t rows, int64_t rs, int64_t n, T* out, int64_t width) {
  if (n < 8)
    return fixed_length(
        n, [&](auto c) __attribute__((always_inline)) {
          if (rs == c.value())
            panel_from_short<T, c.value(), true>(x, rows, rs, out, width);
          else
            panel_from_short<T, c.value(), false>(x, rows, rs, out, width);
        });
  int64_t r = 0;
  if constexpr (PanelVec<T>::kN > 0) {
    constexpr int kN = PanelVec<T>::kN;
    if (panel_by_blocks<T>(n))
      for (; r + kN <= rows; r += kN) {
        if (n < kN) {
          panel_from_block(x + r * rs, rs, (int)n, out + r, width);
          continue;
        }
        for (int64_t i = 0; i < n; i += kN) {
          const int64_t at = i + kN <= n ? i : n - kN;
          panel_from_block(x + r * rs + at, rs, kN, out + at * width + r, width);
        }
      }
  }
  for (; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) out[i * width + r] = x[r * rs + i];
}
template <class T>
CCDL_SI void panel_to_rows(const T* in, int64_t width, int64_t rows, int64_t n, T* y, int64_t rs) {
  if (n < 8)
    return fixed_length(
        n, [&](auto c) __attribute__((always_inline)) {
          if (rs == c.value())
            panel_to_short<T, c.value(), true>(in, width, rows, y, rs);
          else
            panel_to_short<T, c.value(), false>(in, width, rows, y, rs);
        });
  int64_t r = 0;
  if constexpr (PanelVec<T>::kN > 0) {
    constexpr int kN = PanelVec<T>::kN;
    if (panel_by_blocks<T>(n))
      for (; r + kN <= rows; r += kN) {
        if (n < kN) {
          panel_to_block(in + r, width, (int)n, y + r * rs, rs);
          continue;
        }
        for (int64_t i = 0; i < n; i += kN) {
          const int64_t at = i + kN <= n ? i : n - kN;
          panel_to_block(in + at * width + r, width, kN, y + r * rs + at, rs);
        }
      }
  }
  for (; r < rows; ++r)
    for (int64_t i = 0; i < n; ++i) y[r * rs + i] = in[i * width + r];
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
