// Matrix product inner loops over the level's vectors. The micro-kernel keeps a tile of kMr rows x 3 vectors
// of C in registers (2 vectors where multiply and add need a temporary), loads each B vector once per k and
// broadcasts A. Row tails are instantiations; column tails shrink the tile to 1-3 vectors with the last one
// masked.
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/transpose.h>
#include <ccdl/cpu/simd/whole_halves.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kMr = 8, kNv = 3;
constexpr bool kMasked = true;
#elif defined(__FMA__)
constexpr int kMr = 4, kNv = 3;
constexpr bool kMasked = false;
#else
constexpr int kMr = 4, kNv = 2;
constexpr bool kMasked = false;
#endif

template <class T>
using Vec = typename Lanes<T>::V;

// Heights as even as possible: 10 rows are 5 + 5, not 8 + 2. pack_a uses the same rule.
CCDL_SI int64_t tile_rows(int64_t m) {
  const int64_t tiles = (m + kMr - 1) / kMr;
  return tiles == 0 ? 1 : (m + tiles - 1) / tiles;
}

template <class T>
CCDL_SI Vec<T> post_vector(Vec<T> v, const T* c, int lanes, const GemmPost<T>& post, int64_t row,
                           int64_t column) {
  if (post.alpha != T(1)) v *= set1(post.alpha);
  if (post.beta != T(0)) v = fma(set1(post.beta), at<T>(c, lanes), v);
  if (post.bias_row != nullptr) v += set1(post.bias_row[row]);
  if (post.bias_column != nullptr) v += at<T>(post.bias_column + column, lanes);
  if (post.relu) v = v < set1(T(0)) ? Vec<T>{} : v;  // keeps NaN
  return v;
}

template <class T, int R, int NV, bool Tail, bool Ahead = false>
CCDL_SI void tile(const GemmBlock<T>& g, int64_t i0, int64_t j0, int lanes, const T* ahead = nullptr) {
  constexpr int L = Lanes<T>::kN;
  const int64_t s = g.a_packed ? 1 : g.a_row, sk = g.a_packed ? R : g.a_k;
  const T* a0 = g.a + i0 * g.a_tile;
  const T* a1 = a0 + 4 * s;
  const int64_t s3 = 3 * s, bk = g.b_k;
  const T* b = g.b + j0 / (kNv * L) * g.b_panel;
  Vec<T> acc[R][NV];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = Vec<T>{};
  for (int64_t k = g.k; k > 0; --k) {
    if constexpr (Ahead) {
      __builtin_prefetch(ahead, 0, 2);
      ahead += g.ahead_k;
    }
    Vec<T> bv[NV];
    CCDL_UNROLL for (int j = 0; j < NV; ++j) bv[j] =
        Tail && j == NV - 1 ? ldn(b + j * L, lanes) : ld(b + j * L);
    CCDL_UNROLL for (int i = 0; i < R; ++i) {
      const T* p = i < 4 ? a0 : a1;
      const Vec<T> av = set1((i & 3) == 0 ? *p : (i & 3) == 1 ? p[s] : (i & 3) == 2 ? p[2 * s] : p[s3]);
      CCDL_UNROLL for (int j = 0; j < NV; ++j) acc[i][j] = fma(av, bv[j], acc[i][j]);
    }
    a0 += sk;
    a1 += sk;
    b += bk;
  }
  T* c = g.c + i0 * g.c_row + j0;
  const bool plain =
      g.post.alpha == T(1) && g.post.bias_row == nullptr && g.post.bias_column == nullptr && !g.post.relu;
  if (!Tail && plain && g.post.beta == T(0)) {
    CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < NV; ++j)
        st(c + i * g.c_row + j * L, acc[i][j]);
    return;
  }
  if (!Tail && plain && g.post.beta == T(1)) {
    CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < NV; ++j)
        st(c + i * g.c_row + j * L, ld(c + i * g.c_row + j * L) + acc[i][j]);
    return;
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < NV; ++j) {
    T* p = c + i * g.c_row + j * L;
    const int n = Tail && j == NV - 1 ? lanes : L;
    to(p, post_vector<T>(acc[i][j], p, n, g.post, i0 + i, j0 + j * L), n);
  }
}

template <class T, int R>
__attribute__((noinline)) void row_tile(const GemmBlock<T>& g, int64_t i0) {
  constexpr int L = Lanes<T>::kN, kNr = kNv * L;
  int64_t j = 0;
  if constexpr (R == kMr) {
    const int64_t before = i0 / R * (g.n / kNr);  // full tiles so far
    for (int64_t t = before; t < g.ahead_tiles && j + kNr <= g.n; ++t, j += kNr)
      tile<T, R, kNv, false, true>(g, i0, j, L, g.ahead + t * g.ahead_tile);
  }
  for (; j + kNr <= g.n; j += kNr) tile<T, R, kNv, false>(g, i0, j, L);
  const int rest = (int)(g.n - j);
  if (rest == 0) return;
  const int lanes = (rest - 1) % L + 1;
  if (rest <= L)
    tile<T, R, 1, true>(g, i0, j, lanes);
  else if (rest <= 2 * L)
    tile<T, R, 2, true>(g, i0, j, lanes);
  else
    tile<T, R, kNv, true>(g, i0, j, lanes);
}

template <class T>
void block(const GemmBlock<T>& g) {
  const int64_t rows = tile_rows(g.m);
  for (int64_t i = 0; i < g.m; i += rows) {
    switch (g.m - i < rows ? g.m - i : rows) {
      case 1:
        row_tile<T, 1>(g, i);
        break;
      case 2:
        row_tile<T, 2>(g, i);
        break;
      case 3:
        row_tile<T, 3>(g, i);
        break;
      case 4:
        row_tile<T, 4>(g, i);
        break;
#if defined(__AVX512F__)
      case 5:
        row_tile<T, 5>(g, i);
        break;
      case 6:
        row_tile<T, 6>(g, i);
        break;
      case 7:
        row_tile<T, 7>(g, i);
        break;
      case 8:
        row_tile<T, 8>(g, i);
        break;
#endif
      default:
        break;
    }
  }
}

// Ahead: fetches the rows of the next tile.
template <class T, int R, int Q, bool Ahead = false>
CCDL_SI void dot_tile(const GemmDots<T>& g, int64_t i0, int64_t j0) {
  constexpr int L = Lanes<T>::kN;
  const T* x = g.x + i0 * g.x_row;
  const T* y = g.y + j0 * g.y_row;
  Vec<T> acc[R][Q];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < Q; ++j) acc[i][j] = Vec<T>{};
  int64_t k = 0;
  for (; k + L <= g.k; k += L) {
    Vec<T> xv[R];
    CCDL_UNROLL for (int i = 0; i < R; ++i) xv[i] = ld(x + i * g.x_row + k);
    CCDL_UNROLL for (int j = 0; j < Q; ++j) {
      if constexpr (Ahead) __builtin_prefetch(y + (j + Q) * g.y_row + k);
      const Vec<T> yv = ld(y + j * g.y_row + k);
      CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i][j] = fma(xv[i], yv, acc[i][j]);
    }
  }
  if (k < g.k) {
    const int n = (int)(g.k - k);
    CCDL_UNROLL for (int j = 0; j < Q; ++j) {
      const Vec<T> yv = ldn(y + j * g.y_row + k, n);
      CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i][j] = fma(ldn(x + i * g.x_row + k, n), yv, acc[i][j]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < Q; ++j) {
    T* out = g.out + (i0 + i) * g.out_row + (j0 + j) * g.out_column;
    T v = lane_sum(acc[i][j]) * g.post.alpha;
    if (g.post.beta != T(0)) v = fma(g.post.beta, *out, v);
    if (g.post.bias_row != nullptr) v += g.post.bias_row[i0 + i];
    if (g.post.bias_column != nullptr) v += g.post.bias_column[j0 + j];
    *out = g.post.relu && v < T(0) ? T(0) : v;
  }
}

template <class T, int R>
__attribute__((noinline)) void dot_rows(const GemmDots<T>& g, int64_t i0) {
  int64_t j = 0;
  if (g.n * g.k * (int64_t)sizeof(T) >= 1 << 20)  // beyond L2; within it the fetches would only take slots
    for (; j + 8 <= g.n; j += 4) dot_tile<T, R, 4, true>(g, i0, j);
  for (; j + 4 <= g.n; j += 4) dot_tile<T, R, 4>(g, i0, j);
  for (; j < g.n; ++j) dot_tile<T, R, 1>(g, i0, j);
}

template <class T>
void dots(const GemmDots<T>& g) {
  for (int64_t i = 0; i < g.m; i += 4) {
    switch (g.m - i) {
      case 1:
        dot_rows<T, 1>(g, i);
        break;
      case 2:
        dot_rows<T, 2>(g, i);
        break;
      case 3:
        dot_rows<T, 3>(g, i);
        break;
      default:
        dot_rows<T, 4>(g, i);
        break;
    }
  }
}

// KS rows of B at a time; out stays in L1 when the caller keeps n below about 2000.
template <class T, int R, int KS>
CCDL_SI void stream_step(T* out, const T* x, int64_t x_row, int64_t x_k, const T* b, int64_t b_k, int64_t n) {
  Vec<T> xv[R][KS];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int s = 0; s < KS; ++s) xv[i][s] =
      set1(x[i * x_row + s * x_k]);
  each_vector<T>(
      n, [&](int64_t j, int count) __attribute__((always_inline)) {
        Vec<T> acc[R];
        CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i] = at<T>(out + i * n + j, count);
        CCDL_UNROLL for (int s = 0; s < KS; ++s) {
          const Vec<T> bv = at<T>(b + s * b_k + j, count);
          CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i] = fma(xv[i][s], bv, acc[i]);
        }
        CCDL_UNROLL for (int i = 0; i < R; ++i) to(out + i * n + j, acc[i], count);
      });
}

// One row of x and no more columns than a vector has: the sums stay in registers.
template <class T>
CCDL_SI int64_t stream_narrow(T* out, const T* x, int64_t x_k, const T* b, int64_t b_k, int n, int64_t k) {
  constexpr int kChains = 8;
  Vec<T> acc[kChains];
  CCDL_UNROLL for (int c = 0; c < kChains; ++c) acc[c] = Vec<T>{};
  int64_t s = 0;
  for (; s + kChains <= k; s += kChains)
    CCDL_UNROLL for (int c = 0; c < kChains; ++c) acc[c] =
        fma(set1(x[(s + c) * x_k]), at<T>(b + (s + c) * b_k, n), acc[c]);
  for (int h = kChains / 2; h > 0; h /= 2)
    for (int c = 0; c < h; ++c) acc[c] += acc[c + h];
  to(out, at<T>(out, n) + acc[0], n);
  return s;
}

template <class T, int R, int KS>
__attribute__((noinline)) void stream_rows(T* out, const T* x, int64_t x_row, int64_t x_k, const T* b,
                                           int64_t b_k, int64_t n, int64_t k) {
  int64_t s = 0;
  if constexpr (R == 1)
    if (n <= Lanes<T>::kN && k >= 16) s = stream_narrow<T>(out, x, x_k, b, b_k, (int)n, k);
  for (; s + KS <= k; s += KS) stream_step<T, R, KS>(out, x + s * x_k, x_row, x_k, b + s * b_k, b_k, n);
  for (; s < k; ++s) stream_step<T, R, 1>(out, x + s * x_k, x_row, x_k, b + s * b_k, b_k, n);
}

template <class T>
void streams(T* out, const T* x, int64_t x_row, int64_t x_k, const T* b, int64_t b_k, int64_t m, int64_t n,
             int64_t k) {
  switch (m) {
    case 1:
      stream_rows<T, 1, 8>(out, x, x_row, x_k, b, b_k, n, k);
      break;
    case 2:
      stream_rows<T, 2, 4>(out, x, x_row, x_k, b, b_k, n, k);
      break;
    case 3:
      stream_rows<T, 3, 4>(out, x, x_row, x_k, b, b_k, n, k);
      break;
    case 4:
      stream_rows<T, 4, 4>(out, x, x_row, x_k, b, b_k, n, k);
      break;
    default:
      break;
  }
}

// dst[k * width + j] = src[j * src_row + k] for j < count (zero up to L), k < n: L columns of a panel from
// k-contiguous rows.
template <class T>
void pack_transposed(T* dst, int64_t width, const T* src, int64_t src_row, int count, int64_t n) {
  constexpr int L = Lanes<T>::kN;
  int64_t k = 0;
  Vec<T> r[L];
  for (; k < n; k += L) {
    const int lanes = n - k < L ? (int)(n - k) : L;
    CCDL_UNROLL for (int j = 0; j < L; ++j) r[j] = j < count ? at<T>(src + j * src_row + k, lanes) : Vec<T>{};
    transpose_block<Vec<T>, typename Lanes<T>::M, L>(r);
    CCDL_UNROLL for (int j = 0; j < L; ++j) if (j < lanes) st(dst + (k + j) * width, r[j]);
  }
}

template <class T>
void pack_b(T* dst, const T* b, int64_t b_k, int64_t b_column, int64_t k, int64_t n) {
  constexpr int L = Lanes<T>::kN, kNr = kNv * L;
  for (int64_t j = 0; j < n; j += kNr, dst += kNr * k) {
    if (b_column == 1 && n - j >= kNr) {
      for (int64_t s = 0; s < k; ++s)
        CCDL_UNROLL for (int v = 0; v < kNv; ++v) st(dst + s * kNr + v * L, ld(b + j + s * b_k + v * L));
      continue;
    }
    for (int v = 0; v < kNv; ++v) {
      const int64_t first = j + v * L;
      const int count = n - first >= L ? L : n > first ? (int)(n - first) : 0;
      const T* src = b + first * b_column;
      T* out = dst + v * L;
      if (b_column == 1 && count == L) {
        for (int64_t s = 0; s < k; ++s) st(out + s * kNr, ld(src + s * b_k));
      } else if (b_column == 1 || count == 0) {
        for (int64_t s = 0; s < k; ++s) st(out + s * kNr, count > 0 ? ldn(src + s * b_k, count) : Vec<T>{});
      } else if (b_k == 1) {
        pack_transposed<T>(out, kNr, src, b_column, count, k);
      } else {
        for (int64_t s = 0; s < k; ++s)
          for (int l = 0; l < L; ++l) out[s * kNr + l] = l < count ? src[s * b_k + l * b_column] : T(0);
      }
    }
  }
}

template <class T>
void pack_a(T* dst, const T* a, int64_t a_row, int64_t a_k, int64_t m, int64_t k) {
  const int64_t rows = tile_rows(m);
  int64_t i = 0;
  if (rows == kMr && a_row == 1) {  // all full tiles per k: whole cache lines of A are used at once
    const int64_t full = m / kMr * kMr;
    for (int64_t s = 0; s < k; ++s)
      for (int64_t t = 0; t < full; t += kMr)
        __builtin_memcpy(dst + t * k + s * kMr, a + s * a_k + t, sizeof(T) * kMr);
    i = full;
  }
  for (; i < m; i += rows) {
    const int64_t r = m - i < rows ? m - i : rows;
    T* out = dst + i * k;
    const T* src = a + i * a_row;
    for (int64_t s = 0; s < k; ++s, src += a_k)
      for (int64_t l = 0; l < r; ++l) out[s * r + l] = src[l * a_row];
  }
}

template <class T>
void finish(const T* acc, int64_t acc_row, T* c, int64_t c_row, int64_t m, int64_t n,
            const GemmPost<T>& post) {
  for (int64_t i = 0; i < m; ++i)
    each_vector<T>(
        n, [&](int64_t j, int count) __attribute__((always_inline)) {
          T* p = c + i * c_row + j;
          to(p, post_vector<T>(at<T>(acc + i * acc_row + j, count), p, count, post, i, j), count);
        });
}

template <class H>
void to_float(const void* src, float* dst, int64_t n) {
  const H* p = static_cast<const H*>(src);
  each_vector<H>(
      n, [&](int64_t i, int count) __attribute__((always_inline)) {
        to(dst + i, count == VL ? ld_whole(p + i) : ldn(p + i, count), count);
      });
}
template <class H>
void from_float(const float* src, void* dst, int64_t n) {
  H* p = static_cast<H*>(dst);
  each_vector<H>(
      n, [&](int64_t i, int count) __attribute__((always_inline)) {
        if (count == VL)
          st_whole(p + i, ld(src + i));
        else
          stn(p + i, ldn(src + i, count), count);
      });
}

template <class T>
constexpr GemmTypeKernels<T> kernels() {
  return {kMr, kNv * Lanes<T>::kN, kMasked, block<T>, dots<T>, streams<T>, pack_b<T>, pack_a<T>, finish<T>};
}

}  // namespace

extern const GemmKernels gemm;
const GemmKernels gemm = {kernels<float>(),
                          kernels<double>(),
                          {to_float<float16>, to_float<bfloat16>},
                          {from_float<float16>, from_float<bfloat16>}};

}  // namespace ccdl::cpu::CCDL_ISA
