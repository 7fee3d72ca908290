// Pooling rows: a vector holds neighbouring outputs. Stride 2 splits a double-width load into even and odd
// elements; window column j >= 1 is loaded one element to the left and takes the odd half, so nothing past
// the window is touched.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/pool.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <int... I>
struct Indices {};
template <int N, int... I>
struct MakeIndices : MakeIndices<N - 1, N - 1, I...> {};
template <int... I>
struct MakeIndices<0, I...> {
  using type = Indices<I...>;
};

template <int kFirst, int... I>
CCDL_SI vf every_other(vf a, vf b, Indices<I...>) {
  return __builtin_shufflevector(a, b, (2 * I + kFirst)...);
}

// Outputs 0..n-1 of window column j; p points at column j of output 0.
template <int kStride, bool kFull>
CCDL_SI vf column(const float* p, int j, int n) {
  if (kStride == 1) return kFull ? loadu(p) : ldn(p, n);
  if (j > 0) p -= 1;
  vf a, b = {};
  if (kFull) {
    a = loadu(p);
    b = loadu(p + VL);
  } else {
    const int both = 2 * n;
    a = ldn(p, both < VL ? both : VL);
    if (both > VL) b = ldn(p + VL, both - VL);
  }
  typedef typename MakeIndices<VL>::type All;
  return j > 0 ? every_other<1>(a, b, All()) : every_other<0>(a, b, All());
}

template <int kKernel, int kStride, bool kCode, bool kFull>
CCDL_SI void max_vector(const float* const* rows, const uint8_t* row_code, int nrows, int kernel, float* y,
                        uint8_t* code, int64_t i, int n) {
  const int width = kKernel > 0 ? kKernel : kernel;
  vf best = set1(-__builtin_inff());
  vi where = set1((int32_t)row_code[0]);
  for (int r = 0; r < nrows; ++r) {
    const float* p = rows[r] + i * kStride;
    for (int j = 0; j < width; ++j) {
      const vf v = column<kStride, kFull>(p + j, j, n);
      const vi take = (v > best) | (v != v);
      best = select(take, v, best);
      if (kCode) where = take ? set1((int32_t)row_code[r] + j) : where;
    }
  }
  if (kFull)
    storeu(y + i, best);
  else
    stn(y + i, best, n);
  if (kCode) {
    typedef uint8_t bytes __attribute__((vector_size(VL)));
    const bytes packed = __builtin_convertvector(where, bytes);
    if (kFull)
      __builtin_memcpy(code + i, &packed, VL);
    else
      for (int k = 0; k < n; ++k) code[i + k] = packed[k];
  }
}

template <int kKernel, int kStride, bool kCode>
void max_loop(const float* const* rows, const uint8_t* row_code, int nrows, int kernel, float* y,
              uint8_t* code, int64_t count) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL)
    max_vector<kKernel, kStride, kCode, true>(rows, row_code, nrows, kernel, y, code, i, VL);
  if (i < count)
    max_vector<kKernel, kStride, kCode, false>(rows, row_code, nrows, kernel, y, code, i, (int)(count - i));
}

void max_row(const float* const* rows, const uint8_t* row_code, int nrows, int kernel, int stride, float* y,
             uint8_t* code, int64_t count) {
#define CCDL_CASE(k, s)                                                     \
  if ((k == 0 || kernel == k) && stride == s) {                             \
    if (code)                                                               \
      max_loop<k, s, true>(rows, row_code, nrows, kernel, y, code, count);  \
    else                                                                    \
      max_loop<k, s, false>(rows, row_code, nrows, kernel, y, code, count); \
    return;                                                                 \
  }
  CCDL_CASE(2, 2)
  CCDL_CASE(3, 2)
  CCDL_CASE(1, 1)
  CCDL_CASE(0, 2)
  CCDL_CASE(0, 1)
#undef CCDL_CASE
}

template <int kOffset, int... I>
CCDL_SI vf interleave(vf a, vf b, Indices<I...>) {
  return __builtin_shufflevector(a, b, ((I % 2 ? VL : 0) + kOffset + I / 2)...);
}
CCDL_SI void store_pairs(float* p, vf even, vf odd, int n) {  // even[0], odd[0], even[1], ... of n lanes
  typedef typename MakeIndices<VL>::type All;
  const vf low = interleave<0>(even, odd, All()), high = interleave<VL / 2>(even, odd, All());
  if (n == VL) {
    storeu(p, low);
    storeu(p + VL, high);
    return;
  }
  stn(p, low, 2 * n < VL ? 2 * n : VL);
  if (2 * n > VL) stn(p + VL, high, 2 * n - VL);
}

void scatter_row_2x2(const float* dy, const uint8_t* code, float* row0, float* row1, int64_t count) {
  each_vector<float>(count, [&](int64_t i, int n) {
    typedef uint8_t bytes __attribute__((vector_size(VL)));
    bytes b = {};
    if (n == VL)
      __builtin_memcpy(&b, code + i, VL);
    else
      for (int k = 0; k < n; ++k) b[k] = code[i + k];
    const vi c = __builtin_convertvector(b, vi);
    const vf g = at(dy + i, n), zero = {};
    store_pairs(row0 + 2 * i, select(c == 0, g, zero), select(c == 1, g, zero), n);
    store_pairs(row1 + 2 * i, select(c == 2, g, zero), select(c == 3, g, zero), n);
  });
}

template <int kStride, bool kFull>
CCDL_SI void sum_vector(const float* const* rows, int nrows, int kernel, float* y, float scale, int64_t i,
                        int n) {
  vf sum = {};
  for (int r = 0; r < nrows; ++r)
    for (int j = 0; j < kernel; ++j) sum += column<kStride, kFull>(rows[r] + i * kStride + j, j, n);
  if (kFull)
    storeu(y + i, sum * scale);
  else
    stn(y + i, sum * scale, n);
}

template <int kStride>
void sum_loop(const float* const* rows, int nrows, int kernel, float* y, float scale, int64_t count) {
  int64_t i = 0;
  for (; i + VL <= count; i += VL) sum_vector<kStride, true>(rows, nrows, kernel, y, scale, i, VL);
  if (i < count) sum_vector<kStride, false>(rows, nrows, kernel, y, scale, i, (int)(count - i));
}

void sum_row(const float* const* rows, int nrows, int kernel, int stride, float* y, float scale,
             int64_t count) {
  if (stride == 2)
    sum_loop<2>(rows, nrows, kernel, y, scale, count);
  else
    sum_loop<1>(rows, nrows, kernel, y, scale, count);
}

float sum_run(const float* x, int64_t n) {
  return sum_over<float>(n, [&](int64_t i, int k) { return at(x + i, k); });
}

void sum_planes(const float* x, float* y, int64_t planes, int64_t n, float scale) {
  for (int64_t p = 0; p < planes; ++p) y[p] = scale * sum_run(x + p * n, n);
}
void fill_planes(const float* dy, float* dx, int64_t planes, int64_t n, float scale) {
  for (int64_t p = 0; p < planes; ++p) {
    const vf v = set1(dy[p] * scale);
    each_vector<float>(n, [&](int64_t i, int k) { to(dx + p * n + i, v, k); });
  }
}

}  // namespace

const PoolKernels pool = {max_row, scatter_row_2x2, sum_row, sum_run, sum_planes, fill_planes};

}  // namespace ccdl::cpu::CCDL_ISA
