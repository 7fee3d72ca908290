// Few rows against a half-precision matrix: dot products where its rows run along k, otherwise rows added to
// accumulators that stay in the first-level cache. Halves become floats as they are loaded.
#include <ccdl/cpu/simd/gemm_half.h>
#include <ccdl/cpu/simd/lanes.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

// R rows of x against Q rows of y, S vectors at a time: R Q S chains of additions.
template <class H, int R, int Q, int S>
CCDL_SI void dot_tile(const float* x, const H* y, int64_t y_row, float* out, int64_t n, int64_t k) {
  vf acc[R][Q][S] = {};
  int64_t s = 0;
  for (; s + S * VL <= k; s += S * VL) CCDL_UNROLL for (int t = 0; t < S; ++t) {
      vf xv[R];
      CCDL_UNROLL for (int i = 0; i < R; ++i) xv[i] = ld(x + i * k + s + t * VL);
      CCDL_UNROLL for (int j = 0; j < Q; ++j) {
        const vf yv = ld(y + j * y_row + s + t * VL);
        CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i][j][t] = fma(xv[i], yv, acc[i][j][t]);
      }
    }
  for (; s < k; s += VL) {
    const int count = k - s < VL ? (int)(k - s) : VL;
    CCDL_UNROLL for (int j = 0; j < Q; ++j) {
      const vf yv = at(y + j * y_row + s, count);
      CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i][j][0] = fma(at(x + i * k + s, count), yv, acc[i][j][0]);
    }
  }
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int j = 0; j < Q; ++j) {
    vf total = acc[i][j][0];
    CCDL_UNROLL for (int t = 1; t < S; ++t) total += acc[i][j][t];
    out[i * n + j] = lane_sum(total);
  }
}
template <class H, int R>
__attribute__((noinline)) void dot_rows(const float* x, const H* y, int64_t y_row, float* out, int64_t n,
                                        int64_t k) {
  int64_t j = 0;
  for (; j + 4 <= n; j += 4) dot_tile<H, R, 4, R == 1 ? 2 : 1>(x, y + j * y_row, y_row, out + j, n, k);
  for (; j < n; ++j) dot_tile<H, R, 1, R == 1 ? 8 : 4>(x, y + j * y_row, y_row, out + j, n, k);
}
template <class H>
void dots(const float* x, const void* y, int64_t y_row, float* out, int64_t m, int64_t n, int64_t k) {
  const auto rows = m == 1   ? dot_rows<H, 1>
                    : m == 2 ? dot_rows<H, 2>
                    : m == 3 ? dot_rows<H, 3>
                             : dot_rows<H, 4>;
  rows(x, static_cast<const H*>(y), y_row, out, n, k);
}

// kRows rows of b at a time.
template <class H, int R, int kRows>
CCDL_SI void stream_step(const float* x, const H* b, int64_t b_k, float* out, int64_t n, int64_t k) {
  vf xv[R][kRows];
  CCDL_UNROLL for (int i = 0; i < R; ++i) CCDL_UNROLL for (int s = 0; s < kRows; ++s) xv[i][s] =
      set1(x[i * k + s]);
  each_vector<H>(
      n, [&](int64_t j, int count) __attribute__((always_inline)) {
        vf acc[R];
        CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i] = at(out + i * n + j, count);
        CCDL_UNROLL for (int s = 0; s < kRows; ++s) {
          const vf bv = at(b + s * b_k + j, count);
          CCDL_UNROLL for (int i = 0; i < R; ++i) acc[i] = fma(xv[i][s], bv, acc[i]);
        }
        CCDL_UNROLL for (int i = 0; i < R; ++i) to(out + i * n + j, acc[i], count);
      });
}
template <class H, int R>
__attribute__((noinline)) void stream_rows(const float* x, const H* b, int64_t b_k, float* out, int64_t n,
                                           int64_t k) {
  constexpr int kRows = R == 1 ? 8 : 4;
  int64_t s = 0;
  for (; s + kRows <= k; s += kRows) stream_step<H, R, kRows>(x + s, b + s * b_k, b_k, out, n, k);
  for (; s < k; ++s) stream_step<H, R, 1>(x + s, b + s * b_k, b_k, out, n, k);
}
template <class H>
void streams(const float* x, const void* b, int64_t b_k, float* out, int64_t m, int64_t n, int64_t k) {
  for (int64_t i = 0; i < m * n; ++i) out[i] = 0;
  const auto rows = m == 1   ? stream_rows<H, 1>
                    : m == 2 ? stream_rows<H, 2>
                    : m == 3 ? stream_rows<H, 3>
                             : stream_rows<H, 4>;
  rows(x, static_cast<const H*>(b), b_k, out, n, k);
}

}  // namespace

extern const GemmHalfKernels gemm_half;
const GemmHalfKernels gemm_half = {{dots<float16>, dots<bfloat16>}, {streams<float16>, streams<bfloat16>}};

}  // namespace ccdl::cpu::CCDL_ISA
