// bfloat16 products on vdpbf16ps: tiles of 8 rows x 3 vectors of float accumulators, A pairs broadcast from
// memory (32-bit loads at any address), B panels packed as pairs. Inputs below the smallest normal number
// count as zero.
#include <ccdl/cpu/simd/gemm_bf16.h>
#include <ccdl/cpu/simd/lanes.h>
#include <immintrin.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int kMr = 8, kNv = 3, kNr = 16 * kNv;

CCDL_SI int64_t tile_rows(int64_t m) {  // heights as even as possible; pack_a uses the same rule
  const int64_t tiles = (m + kMr - 1) / kMr;
  return tiles == 0 ? 1 : (m + tiles - 1) / tiles;
}
CCDL_SI __m512 pair_fma(__m512 acc, __m512i a, __m512i b) {
  return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b);
}
CCDL_SI __m512i broadcast_pair(const bfloat16* p) {
  int32_t pair;
  __builtin_memcpy(&pair, p, 4);
  return _mm512_set1_epi32(pair);
}
CCDL_SI uint32_t single(const bfloat16* p) {
  uint16_t bits;
  __builtin_memcpy(&bits, p, 2);
  return bits;
}

template <int R, int NV>
CCDL_SI void tile(const GemmBf16Block& g, int64_t i0, int64_t j0, __mmask16 last) {
  const int64_t pairs = (g.k + 1) / 2;
  const bfloat16* a = g.a_packed ? g.a + i0 * pairs * 2 : g.a + i0 * g.a_row;
  const int64_t row = g.a_packed ? 2 : g.a_row, step = g.a_packed ? 2 * R : 2;
  const int64_t direct = g.a_packed ? pairs : g.k / 2;
  const uint32_t* b = g.b + j0 * pairs;
  __m512 acc[R][NV];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] =
      _mm512_setzero_ps();
  constexpr int kBases = (R + 3) / 4;
  const bfloat16* base[kBases];  // every fourth row: the others are up to three rows further
  CCDL_UNROLL for (int i = 0; i < kBases; ++i) base[i] = a + 4 * i * row;
  for (int64_t p = 0; p < direct; ++p) {
    __m512i bv[NV];
    CCDL_UNROLL for (int j = 0; j < NV; ++j) bv[j] = _mm512_loadu_si512(b + 16 * j);
    CCDL_UNROLL for (int i = 0; i < R; ++i) {
      const __m512i av = broadcast_pair(base[i / 4] + i % 4 * row);
      CCDL_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = pair_fma(acc[i][j], av, bv[j]);
    }
    CCDL_UNROLL for (int i = 0; i < kBases; ++i) base[i] += step;
    b += kNr;
  }
  if (direct <
      pairs) {  // the element after the last one may be anything: it must not meet the padding as NaN
    CCDL_UNROLL for (int i = 0; i < R; ++i) {
      const __m512i av = _mm512_set1_epi32((int32_t)single(base[i / 4] + i % 4 * row));
      CCDL_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] =
          pair_fma(acc[i][j], av, _mm512_loadu_si512(b + 16 * j));
    }
  }
  float* c = g.c + i0 * g.c_row + j0;
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < NV; ++j) {
    float* out = c + i * g.c_row + 16 * j;
    const __mmask16 live = j == NV - 1 ? last : (__mmask16)0xffff;
    if (g.accumulate) acc[i][j] = _mm512_add_ps(acc[i][j], _mm512_maskz_loadu_ps(live, out));
    _mm512_mask_storeu_ps(out, live, acc[i][j]);
  }
}

// One vector of columns behind the panels: twice the rows, or the sums wait for each other.
__attribute__((noinline)) void narrow_tile(const GemmBf16Block& g, int64_t i0, int64_t j0, __mmask16 last) {
  tile<2 * kMr, 1>(g, i0, j0, last);
}

template <int R>
__attribute__((noinline)) void row_tile(const GemmBf16Block& g, int64_t i0) {
  int64_t j = 0;
  for (; j + kNr <= g.n; j += kNr) tile<R, kNv>(g, i0, j, 0xffff);
  const int rest = (int)(g.n - j);
  if (rest == 0) return;
  const __mmask16 last = (__mmask16)((1u << ((rest - 1) % 16 + 1)) - 1u);
  if (R == kMr && rest <= 16 && !g.a_packed) {
    if (i0 % (2 * kMr) != 0) return;
    if (i0 + 2 * kMr <= g.m) return narrow_tile(g, i0, j, last);
  }
  if (rest <= 16)
    tile<R, 1>(g, i0, j, last);
  else if (rest <= 32)
    tile<R, 2>(g, i0, j, last);
  else
    tile<R, kNv>(g, i0, j, last);
}

void block(const GemmBf16Block& g) {
  const int64_t rows = tile_rows(g.m);
  for (int64_t i = 0; i < g.m; i += rows) {
    switch (g.m - i < rows ? g.m - i : rows) {
      case 1:
        row_tile<1>(g, i);
        break;
      case 2:
        row_tile<2>(g, i);
        break;
      case 3:
        row_tile<3>(g, i);
        break;
      case 4:
        row_tile<4>(g, i);
        break;
      case 5:
        row_tile<5>(g, i);
        break;
      case 6:
        row_tile<6>(g, i);
        break;
      case 7:
        row_tile<7>(g, i);
        break;
      default:
        row_tile<8>(g, i);
        break;
    }
  }
}

// 16 x 16 transpose of 32-bit elements by four rounds of pairwise interleaving.
CCDL_SI void transpose16(__m512i* r) {
  const __m512i lo = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const __m512i hi = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  CCDL_UNROLL for (int round = 0; round < 4; ++round) {
    __m512i t[16];
    CCDL_UNROLL for (int i = 0; i < 8; ++i) {
      t[2 * i] = _mm512_permutex2var_epi32(r[i], lo, r[i + 8]);
      t[2 * i + 1] = _mm512_permutex2var_epi32(r[i], hi, r[i + 8]);
    }
    CCDL_UNROLL for (int i = 0; i < 16; ++i) r[i] = t[i];
  }
}

// 16 columns whose elements follow each other along k.
void pack_along_k(uint32_t* dst, const bfloat16* src, int64_t column, int count, int64_t k) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t p = 0; p < pairs; p += 16) {
    const int64_t left = k - 2 * p;  // elements of each column from here on
    const __mmask32 live = left >= 32 ? 0xffffffffu : (1u << left) - 1u;
    __m512i r[16];
    CCDL_UNROLL for (int j = 0; j < 16; ++j) r[j] =
        j < count ? _mm512_maskz_loadu_epi16(live, src + j * column + 2 * p) : _mm512_setzero_si512();
    transpose16(r);
    const int n = pairs - p < 16 ? (int)(pairs - p) : 16;
    CCDL_UNROLL for (int j = 0; j < 16; ++j) if (j < n) _mm512_storeu_si512(dst + (p + j) * kNr, r[j]);
  }
}

// 16 adjacent columns: pairs of rows are interleaved.
void pack_across_k(uint32_t* dst, const bfloat16* src, int64_t b_k, int count, int64_t k) {
  const __mmask16 live = (__mmask16)((1u << count) - 1u);
  for (int64_t s = 0; s < k; s += 2, dst += kNr) {
    const __m512i even = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(live, src + s * b_k));
    __m512i pair = even;
    if (s + 1 < k) {
      const __m512i odd = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(live, src + (s + 1) * b_k));
      pair = _mm512_or_si512(even, _mm512_slli_epi32(odd, 16));
    }
    _mm512_storeu_si512(dst, pair);
  }
}

void pack_b(uint32_t* dst, const bfloat16* b, int64_t b_k, int64_t b_column, int64_t k, int64_t n) {
  const int64_t pairs = (k + 1) / 2;
  for (int64_t j = 0; j < n; j += kNr, dst += kNr * pairs) {
    for (int v = 0; v < kNv; ++v) {
      const int64_t first = j + 16 * v;
      const int count = n - first >= 16 ? 16 : n > first ? (int)(n - first) : 0;
      const bfloat16* src = b + (count > 0 ? first * b_column : 0);
      uint32_t* out = dst + 16 * v;
      if (b_column == 1 || count == 0) {
        pack_across_k(out, src, b_k, count, k);
      } else if (b_k == 1) {
        pack_along_k(out, src, b_column, count, k);
      } else {
        for (int64_t p = 0; p < pairs; ++p)
          for (int l = 0; l < 16; ++l) {
            uint32_t pair = 0;
            if (l < count) pair = single(src + l * b_column + 2 * p * b_k);
            if (l < count && 2 * p + 1 < k) pair |= single(src + l * b_column + (2 * p + 1) * b_k) << 16;
            out[p * kNr + l] = pair;
          }
      }
    }
  }
}

// Two rows of 32 elements as pairs: those of 16 elements each.
CCDL_SI void interleave(const bfloat16* even, const bfloat16* odd, __m512i* lo, __m512i* hi) {
  typedef short Words __attribute__((vector_size(64)));
  Words first, second;
  CCDL_UNROLL for (int i = 0; i < 16; ++i) {
    first[2 * i] = (short)i;
    first[2 * i + 1] = (short)(32 + i);
    second[2 * i] = (short)(16 + i);
    second[2 * i + 1] = (short)(48 + i);
  }
  const __m512i x = _mm512_loadu_si512(even),
                y = odd != nullptr ? _mm512_loadu_si512(odd) : _mm512_setzero_si512();
  *lo = _mm512_permutex2var_epi16(x, (__m512i)first, y);
  *hi = _mm512_permutex2var_epi16(x, (__m512i)second, y);
}

void pack_a(uint32_t* dst, const bfloat16* a, int64_t a_row, int64_t a_k, int64_t m, int64_t k) {
  const int64_t rows = tile_rows(m), pairs = (k + 1) / 2;
  if (a_row == 1) {  // pairs of rows are interleaved, a line of each at a time
    for (int64_t first = 0; first < m; first += 4 * rows)
      for (int64_t s = 0; s < k; s += 2) {
        const int64_t end = first + 4 * rows < m ? first + 4 * rows : m;
        if (rows == kMr && end - first == 4 * kMr) {
          const bfloat16* src = a + s * a_k + first;
          uint32_t* out = dst + first * pairs + s / 2 * kMr;
          __m512i lo, hi;
          interleave(src, s + 1 < k ? src + a_k : nullptr, &lo, &hi);
          _mm256_storeu_si256((__m256i*)out, _mm512_castsi512_si256(lo));
          _mm256_storeu_si256((__m256i*)(out + kMr * pairs), _mm512_extracti64x4_epi64(lo, 1));
          _mm256_storeu_si256((__m256i*)(out + 2 * kMr * pairs), _mm512_castsi512_si256(hi));
          _mm256_storeu_si256((__m256i*)(out + 3 * kMr * pairs), _mm512_extracti64x4_epi64(hi, 1));
          continue;
        }
        for (int64_t i = first; i < end; i += rows) {
          const int r = (int)(end - i < rows ? end - i : rows);
          const __mmask8 live = (__mmask8)((1u << r) - 1u);
          const bfloat16* src = a + s * a_k + i;
          __m256i pair = _mm256_cvtepu16_epi32(_mm_maskz_loadu_epi16(live, src));
          if (s + 1 < k) {
            const __m256i odd = _mm256_cvtepu16_epi32(_mm_maskz_loadu_epi16(live, src + a_k));
            pair = _mm256_or_si256(pair, _mm256_slli_epi32(odd, 16));
          }
          _mm256_mask_storeu_epi32(dst + i * pairs + s / 2 * r, live, pair);
        }
      }
    return;
  }
  for (int64_t i = 0; i < m; i += rows) {
    const int64_t r = m - i < rows ? m - i : rows;
    uint32_t* out = dst + i * pairs;
    const bfloat16* src = a + i * a_row;
    for (int64_t p = 0; p < pairs; ++p)
      for (int64_t l = 0; l < r; ++l) {
        uint32_t pair = single(src + l * a_row + 2 * p * a_k);
        if (2 * p + 1 < k) pair |= single(src + l * a_row + (2 * p + 1) * a_k) << 16;
        out[p * r + l] = pair;
      }
  }
}

template <int R, int Q>
CCDL_SI void dot_tile(const bfloat16* x, int64_t x_row, const bfloat16* y, int64_t y_row, float* out,
                      int64_t out_row, int64_t k) {
  __m512 acc[R][Q];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < Q; ++j) acc[i][j] =
      _mm512_setzero_ps();
  for (int64_t s = 0; s < k; s += 32) {
    const __mmask32 live = k - s >= 32 ? 0xffffffffu : (1u << (k - s)) - 1u;
    __m512i xv[R];
    CCDL_UNROLL for (int i = 0; i < R; ++i) xv[i] = _mm512_maskz_loadu_epi16(live, x + i * x_row + s);
    CCDL_UNROLL for (int j = 0; j < Q; ++j) {
      const __m512i yv = _mm512_maskz_loadu_epi16(live, y + j * y_row + s);
      CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i][j] = pair_fma(acc[i][j], xv[i], yv);
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < Q; ++j) out[i * out_row + j] =
      hsum((vf)acc[i][j]);
}

template <int R>
__attribute__((noinline)) void dot_rows(const bfloat16* x, int64_t x_row, const bfloat16* y, int64_t y_row,
                                        float* out, int64_t out_row, int64_t n, int64_t k) {
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) dot_tile<R, 4>(x, x_row, y + j * y_row, y_row, out + j, out_row, k);
  for (; j < n; ++j) dot_tile<R, 1>(x, x_row, y + j * y_row, y_row, out + j, out_row, k);
}

void dots(const bfloat16* x, int64_t x_row, const bfloat16* y, int64_t y_row, float* out, int64_t out_row,
          int64_t m, int64_t n, int64_t k) {
  switch (m) {
    case 1:
      dot_rows<1>(x, x_row, y, y_row, out, out_row, n, k);
      break;
    case 2:
      dot_rows<2>(x, x_row, y, y_row, out, out_row, n, k);
      break;
    case 3:
      dot_rows<3>(x, x_row, y, y_row, out, out_row, n, k);
      break;
    default:
      dot_rows<4>(x, x_row, y, y_row, out, out_row, n, k);
      break;
  }
}

void add_bias(const float* sums, const float* bias, bool relu, bfloat16* c, int64_t n) {
  each_vector<bfloat16>(n, [&](int64_t j, int count) {
    vf v = at(sums + j, count) + at(bias + j, count);
    if (relu) v = select(v < 0, vf{}, v);
    to(c + j, v, count);
  });
}

}  // namespace

extern const GemmBf16Kernels gemm_bf16;
const GemmBf16Kernels gemm_bf16 = {kMr, kNr, block, pack_b, pack_a, dots, add_bias};

}  // namespace ccdl::cpu::CCDL_ISA
