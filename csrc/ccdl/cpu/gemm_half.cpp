// Products of half-precision matrices with up to four rows or columns on one side: the matrix is read once,
// sums are taken in float and rounded once. Chunks of columns follow from the shape.
#include <ccdl/cpu/simd/gemm_half.h>

#include <type_traits>

#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/gemm_problem.h>
#include <ccdl/cpu/simd/gemm.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kFew = 4;
constexpr int64_t kReadOnce = 8;       // a multiply-add whose operand comes from memory is worth so many
constexpr int64_t kColumns = 1024;     // accumulators of a row of one chunk
constexpr int64_t kDotWork = 1 << 18;  // multiply-adds of a row of one chunk

// The product with the few on the left: x [few, k], y [many, k], c(i, j) at i * c_few + j * c_many.
template <class H>
struct Few {
  int64_t few, many, k;
  const H *x, *y;
  int64_t x_row, x_k, y_row, y_k;
  H* c;
  int64_t c_few, c_many, bias_few, bias_many;
};

template <class H>
void round_block(const Problem<H>& p, const Few<H>& q, float* acc, int64_t j0, int64_t n) {
  constexpr int kind = std::is_same_v<H, float16> ? 0 : 1;
  const auto alpha = static_cast<float>(p.alpha), beta = static_cast<float>(p.beta);
  for (int64_t i = 0; i < q.few; ++i) {
    float* row = acc + i * n;
    H* c = q.c + i * q.c_few + j0 * q.c_many;
    if (alpha != 1)
      for (int64_t j = 0; j < n; ++j) row[j] *= alpha;
    if (beta != 0)
      for (int64_t j = 0; j < n; ++j) row[j] += beta * static_cast<float>(c[j * q.c_many]);
    if (p.bias != nullptr)
      for (int64_t j = 0; j < n; ++j)
        row[j] += static_cast<float>(p.bias[i * q.bias_few + (j0 + j) * q.bias_many]);
    if (p.relu)
      for (int64_t j = 0; j < n; ++j) row[j] = row[j] < 0 ? 0.0f : row[j];
    if (q.c_many == 1) {
      simd_gemm().from_float[kind](row, c, n);
      continue;
    }
    for (int64_t j = 0; j < n; ++j) c[j * q.c_many] = H(row[j]);
  }
}

template <class H>
void multiply(const Problem<H>& p, const Few<H>& whole, int64_t x_batch, int64_t y_batch) {
  constexpr int kind = std::is_same_v<H, float16> ? 0 : 1;
  const bool dots = whole.y_k == 1;
  const int64_t nb =
      std::min(whole.many, dots ? round_up(std::max<int64_t>(1, kDotWork / whole.k), 4) : kColumns);
  for_blocks(p.batch, whole.few, whole.few, whole.many, nb, whole.k * kReadOnce,
             [&](int64_t batch, int64_t, int64_t, int64_t j0, int64_t n) {
               Few<H> q = whole;
               q.x += batch * x_batch;
               q.y += batch * y_batch + j0 * q.y_row;
               q.c += batch * p.c_batch;
               Buffer<float> x(q.few * q.k), acc(q.few * n);
               for (int64_t i = 0; i < q.few; ++i) {
                 const H* from = q.x + i * q.x_row;
                 float* to = x + i * q.k;
                 if (q.x_k == 1)
                   simd_gemm().to_float[kind](from, to, q.k);
                 else
                   for (int64_t k = 0; k < q.k; ++k) to[k] = static_cast<float>(from[k * q.x_k]);
               }
               if (dots)
                 simd_gemm_half().dots[kind](x, q.y, q.y_row, acc, q.few, n, q.k);
               else
                 simd_gemm_half().streams[kind](x, q.y, q.y_k, acc, q.few, n, q.k);
               round_block(p, q, acc.get(), j0, n);
             });
}

}  // namespace

template <class H>
bool multiply_half_few(const Problem<H>& p) {
  if (p.k == 0) return false;
  if (p.m <= kFew && (p.b_k == 1 || (p.b_column == 1 && p.n >= 8))) {
    const Few<H> q{p.m,        p.n,   p.k, p.a,     p.b, p.a_row,    p.a_k,
                   p.b_column, p.b_k, p.c, p.c_row, 1,   p.bias_row, p.bias_column};
    multiply(p, q, p.a_batch, p.b_batch);
    return true;
  }
  if (p.n <= kFew && (p.a_k == 1 || (p.a_row == 1 && p.m >= 8))) {
    const Few<H> q{p.n,     p.m,   p.k, p.b, p.a,     p.b_column,    p.b_k,
                   p.a_row, p.a_k, p.c, 1,   p.c_row, p.bias_column, p.bias_row};
    multiply(p, q, p.b_batch, p.a_batch);
    return true;
  }
  return false;
}

template bool multiply_half_few(const Problem<float16>&);
template bool multiply_half_few(const Problem<bfloat16>&);

}  // namespace ccdl::cpu
