// Pooling rows: a vector holds neighbouring outputs. Stride 2 splits a double-width load into even and odd
// elements; window column j >= 1 is loaded one element to the left and takes the odd half, so nothing past
// the window is touched.
#include <ccdl/cpu/simd/lines.h>
#include <ccdl/cpu/simd/pool.h>
#include <ccdl/cpu/simd/pool_lanes.h>

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

template <int kFirst, class V, int... I>
CCDL_SI V every_other(V a, V b, Indices<I...>) {
  return __builtin_shufflevector(a, b, (2 * I + kFirst)...);
}

// Outputs 0..n-1 of window column j; p points at column j of output 0.
template <int kStride, bool kFull, class T>
CCDL_SI typename Lanes<T>::V column(const T* p, int j, int n) {
  constexpr int kN = Lanes<T>::kN;
  if (kStride == 1) return kFull ? ld(p) : ldn(p, n);
  if (j > 0) p -= 1;
  typename Lanes<T>::V a, b = {};
  if (kFull) {
    a = ld_halves(p);
    b = ld_halves(p + kN);
  } else {
    const int both = 2 * n;
    a = ldn(p, both < kN ? both : kN);
    if (both > kN) b = ldn(p + kN, both - kN);
  }
  typedef typename MakeIndices<kN>::type All;
  return j > 0 ? every_other<1>(a, b, All()) : every_other<0>(a, b, All());
}

CCDL_SI vi load_bytes(const uint8_t* p, int n) {  // one byte a lane; the others read as zero
  bytes b = {};
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  b = (bytes)_mm_maskz_loadu_epi8((__mmask16)((1u << n) - 1u), p);
#else
  if (n == VL)
    __builtin_memcpy(&b, p, VL);
  else
    for (int k = 0; k < n; ++k) b[k] = p[k];
#endif
  return __builtin_convertvector(b, vi);
}
template <bool kCode>
CCDL_SI void take_larger(vf v, int32_t code, vf& best, vi& where) {
  take_larger<kCode>(v, set1(code), best, where);
}
template <bool kCode>
CCDL_SI void take_larger(vd v, int32_t code, vd& best, vl& where) {
  take_larger<kCode>(v, vl{} + code, best, where);
}

template <int kKernel, int kStride, bool kCode, bool kFull, class T>
CCDL_SI void max_vector(const void* const* rows, const uint8_t* row_code, int nrows, int kernel, T* y,
                        uint8_t* code, int64_t i, int n) {
  constexpr int kN = Lanes<T>::kN;
  const int width = kKernel > 0 ? kKernel : kernel;
  typename Lanes<T>::V best = set1(-(typename Lanes<T>::S)__builtin_inff());
  typename Lanes<T>::M where = {};
  where += row_code[0];
  for (int r = 0; r < nrows; ++r) {
    const T* p = static_cast<const T*>(rows[r]) + i * kStride;
    for (int j = 0; j < width; ++j)
      take_larger<kCode>(column<kStride, kFull>(p + j, j, n), (int32_t)row_code[r] + j, best, where);
  }
  to(y + i, best, kFull ? kN : n);
  if (kCode) store_bytes(code + i, where, kFull ? kN : n);
}

template <int kKernel, int kStride, bool kCode, class T>
void max_loop(const void* const* rows, const uint8_t* row_code, int nrows, int kernel, T* y, uint8_t* code,
              int64_t count) {
  constexpr int kN = Lanes<T>::kN;
  int64_t i = 0;
  for (; i + kN <= count; i += kN)
    max_vector<kKernel, kStride, kCode, true>(rows, row_code, nrows, kernel, y, code, i, kN);
  if (i < count)
    max_vector<kKernel, kStride, kCode, false>(rows, row_code, nrows, kernel, y, code, i, (int)(count - i));
}

template <class T>
void max_row(const void* const* rows, const uint8_t* row_code, int nrows, int kernel, int stride, void* yp,
             uint8_t* code, int64_t count) {
  T* y = static_cast<T*>(yp);
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
  CCDL_CASE(0, 2)
  CCDL_CASE(0, 1)
#undef CCDL_CASE
}

template <bool kCode>
void max_plane(const float* x, float* y, uint8_t* code, int64_t out_h, int64_t out_w, int64_t width) {
  const uint8_t row_code[2] = {0, 2};
  for (int64_t o = 0; o < out_h; ++o, x += 2 * width, y += out_w, code += kCode ? out_w : 0) {
    const void* rows[2] = {x, x + width};
    int64_t i = 0;
    for (; i + VL <= out_w; i += VL) max_vector<2, 2, kCode, true>(rows, row_code, 2, 2, y, code, i, VL);
    if (i < out_w) max_vector<2, 2, kCode, false>(rows, row_code, 2, 2, y, code, i, (int)(out_w - i));
  }
}
void max_plane_2x2(const float* x, float* y, uint8_t* code, int64_t out_h, int64_t out_w, int64_t width) {
  if (code)
    max_plane<true>(x, y, code, out_h, out_w, width);
  else
    max_plane<false>(x, y, code, out_h, out_w, width);
}

// 3x3 windows two apart: the maxima along a row, with their columns, serve both windows that share the row.
// With padding, column 0 of a window is column 2 of its left neighbour.
template <int... I>
CCDL_SI vf behind(vf last, vf v, Indices<I...>) {  // last[VL - 1], v[0], v[1], ...
  return __builtin_shufflevector(last, v, (VL - 1 + I)...);
}
struct Best {
  vf value;
  vi where;
};
template <int kPad, bool kCode>
CCDL_SI Best row_best(const float* row, int64_t b, int n, int64_t width, vf& last) {
  if (kPad == 0) {
    const bool full = n == VL;
    Best best = {full ? column<2, true>(row + 2 * b, 0, n) : column<2, false>(row + 2 * b, 0, n), vi{}};
    for (int j = 1; j < 3; ++j)
      take_larger<kCode>(
          full ? column<2, true>(row + 2 * b + j, j, n) : column<2, false>(row + 2 * b + j, j, n), j,
          best.value, best.where);
    return best;
  }
  typedef typename MakeIndices<VL>::type All;
  const float low = -__builtin_inff();
  const int64_t left = width - 2 * b;
  vf first, second;
  if (left >= 2 * VL) {
    first = ld_halves(row + 2 * b);
    second = ld_halves(row + 2 * b + VL);
  } else {
    first = ldn(row + 2 * b, left < 0 ? 0 : left < VL ? (int)left : VL, low);
    second = left > VL ? ldn(row + 2 * b + VL, (int)left - VL, low) : set1(low);
  }
  const vf odd = every_other<1>(first, second, All());
  Best best = {behind(last, odd, All()), vi{}};
  if (b == 0) best.where[0] = 1;  // where all of the row is -inf, the padding is not its place
  take_larger<kCode>(every_other<0>(first, second, All()), 1, best.value, best.where);
  take_larger<kCode>(odd, 2, best.value, best.where);
  last = odd;
  return best;
}

template <int kPad, bool kCode>
void max_plane_3x3(const float* x, float* y, uint8_t* code, int64_t out_h, int64_t out_w, int64_t height,
                   int64_t width, int64_t pad_h, float* kept) {
  const vf low = set1(-__builtin_inff());
  int32_t* kept_where = (int32_t*)kept + out_w + kPoolMargin;
  if (pad_h == 0)
    for (int64_t b = 0; b < out_w; b += VL) {
      vf last = b == 0 || kPad == 0 ? low : set1(x[2 * b - 1]);
      const Best best = row_best<kPad, kCode>(x, b, out_w - b < VL ? (int)(out_w - b) : VL, width, last);
      storeu(kept + b, best.value);
      storeu(kept_where + b, best.where);
    }
  for (int64_t o = 0; o < out_h; ++o, y += out_w, code += kCode ? out_w : 0) {
    const int64_t top = 2 * o - pad_h;  // its maxima are kept from the windows above
    const float *middle = x + (top + 1) * width, *bottom = middle + width;
    vf last[2] = {low, low};
    for (int64_t b = 0; b < out_w; b += VL) {
      const int n = out_w - b < VL ? (int)(out_w - b) : VL;
      Best best = {low, vi{}};
      if (top >= 0) {
        best = {loadu(kept + b), loadu(kept_where + b)};
        if (top + 1 < height) {
          const Best next = row_best<kPad, kCode>(middle, b, n, width, last[0]);
          take_larger<kCode>(next.value, next.where + 3, best.value, best.where);
        }
      } else {
        best = row_best<kPad, kCode>(middle, b, n, width, last[0]);
        best.where += 3;
      }
      if (top + 2 < height) {
        const Best next = row_best<kPad, kCode>(bottom, b, n, width, last[1]);
        storeu(kept + b, next.value);
        storeu(kept_where + b, next.where);
        take_larger<kCode>(next.value, next.where + 6, best.value, best.where);
      }
      if (n == VL)
        storeu(y + b, best.value);
      else
        stn(y + b, best.value, n);
      if (kCode) store_bytes(code + b, best.where, n);
    }
  }
}
void max_plane_3x3_any(const float* x, float* y, uint8_t* code, int64_t out_h, int64_t out_w, int64_t height,
                       int64_t width, int64_t pad_h, int64_t pad_w, float* kept) {
  const auto run = pad_w ? (code ? max_plane_3x3<1, true> : max_plane_3x3<1, false>)
                         : (code ? max_plane_3x3<0, true> : max_plane_3x3<0, false>);
  run(x, y, code, out_h, out_w, height, width, pad_h, kept);
}

template <int kOffset, int... I>
CCDL_SI vf interleave(vf a, vf b, Indices<I...>) {
  return __builtin_shufflevector(a, b, ((I % 2 ? VL : 0) + kOffset + I / 2)...);
}
CCDL_SI void store_pairs(float* p, vf even, vf odd,
                         int count) {  // even[0], odd[0], even[1], ...: count floats
  typedef typename MakeIndices<VL>::type All;
  const vf low = interleave<0>(even, odd, All()), high = interleave<VL / 2>(even, odd, All());
  if (count == 2 * VL) {
    storeu(p, low);
    storeu(p + VL, high);
    return;
  }
  stn(p, low, count < VL ? count : VL);
  if (count > VL) stn(p + VL, high, count - VL);
}

void scatter_plane_2x2(const float* dy, const uint8_t* code, float* dx, int64_t out_h, int64_t out_w,
                       int64_t height, int64_t width) {
  float* row = dx;
  for (int64_t o = 0; o < out_h; ++o, dy += out_w, code += out_w, row += 2 * width) {
    float* below = row + width;
    each_vector<float>(out_w, [&](int64_t i, int n) {
      const vi c = load_bytes(code + i, n);
      const vf g = at(dy + i, n), zero = {};
      store_pairs(row + 2 * i, select(c == 0, g, zero), select(c == 1, g, zero), 2 * n);
      store_pairs(below + 2 * i, select(c == 2, g, zero), select(c == 3, g, zero), 2 * n);
    });
    for (int64_t i = 2 * out_w; i < width; ++i) row[i] = below[i] = 0;
  }
  for (; row < dx + height * width; ++row) *row = 0;
}

// 3x3 windows, two apart: element 2 b + q of an input row collects from the outputs b - 1, b and b + 1 of the
// two or fewer output rows whose windows hold it. Their rows stand in `rows` (kSlot floats and as many codes
// each, by turns) between margins that no code of a window equals.
template <int kPad>
void scatter_plane_3x3(const float* dy, const uint8_t* code, float* dx, int64_t out_h, int64_t out_w,
                       int64_t height, int64_t width, int64_t pad, float* rows) {
  const int64_t pairs = (width + 1) / 2, slot = pairs + kPoolMargin;
  float* g[2] = {rows + 1, rows + slot + 1};
  int32_t* c[2] = {(int32_t*)rows + 2 * slot + 1, (int32_t*)rows + 3 * slot + 1};
  for (int64_t i = -1; i < slot - 1; ++i) {
    g[0][i] = g[1][i] = 0;
    c[0][i] = c[1][i] = 255;
  }
  int64_t ready = 0;
  for (int64_t row = 0; row < height; ++row) {
    const float* from[2];
    const int32_t* codes[2];
    int base[2], count = 0;
    for (int kh = 2; kh >= 0; --kh) {
      const int64_t twice = row + pad - kh, o = twice / 2;
      if (twice < 0 || twice % 2 || o >= out_h) continue;
      for (; ready <= o; ++ready)
        each_vector<float>(out_w, [&](int64_t i, int n) {
          stn(g[ready % 2] + i, at(dy + ready * out_w + i, n), n);
          const vi v = load_bytes(code + ready * out_w + i, n);
          stn((float*)c[ready % 2] + i, (vf)v, n);
        });
      from[count] = g[o % 2];
      codes[count] = c[o % 2];
      base[count++] = kh * 3;
    }
    for (int64_t b = 0; b < pairs; b += VL) {
      vf even = {}, odd = {};
      const vf zero = {};
      for (int s = 0; s < count; ++s) {
        const vi first = loadu(codes[s] + b + kPad - 1), second = loadu(codes[s] + b + kPad);
        const vf ga = loadu(from[s] + b + kPad - 1), gb = loadu(from[s] + b + kPad);
        if (kPad == 1) {
          even += select(first == base[s] + 1, ga, zero);
          odd += select(first == base[s] + 2, ga, zero);
          odd += select(second == base[s], gb, zero);
        } else {
          even += select(first == base[s] + 2, ga, zero);
          even += select(second == base[s], gb, zero);
          odd += select(second == base[s] + 1, gb, zero);
        }
      }
      const int64_t left = width - 2 * b;
      store_pairs(dx + row * width + 2 * b, even, odd, left < 2 * VL ? (int)left : 2 * VL);
    }
  }
}
void scatter_plane_3x3_any(const float* dy, const uint8_t* code, float* dx, int64_t out_h, int64_t out_w,
                           int64_t height, int64_t width, int64_t pad_h, int64_t pad_w, float* rows) {
  if (pad_w == 1)
    scatter_plane_3x3<1>(dy, code, dx, out_h, out_w, height, width, pad_h, rows);
  else
    scatter_plane_3x3<0>(dy, code, dx, out_h, out_w, height, width, pad_h, rows);
}

template <int kStride, bool kFull, class T>
CCDL_SI void mean_vector(const void* const* rows, int nrows, int kernel, T* y, double divisor, int64_t i,
                         int n) {
  typename Lanes<T>::V sum = {};
  for (int r = 0; r < nrows; ++r)
    for (int j = 0; j < kernel; ++j)
      sum += column<kStride, kFull>(static_cast<const T*>(rows[r]) + i * kStride + j, j, n);
  to(y + i, mean_of(sum, divisor), kFull ? Lanes<T>::kN : n);
}

template <int kStride, class T>
void mean_loop(const void* const* rows, int nrows, int kernel, T* y, double divisor, int64_t count) {
  constexpr int kN = Lanes<T>::kN;
  int64_t i = 0;
  for (; i + kN <= count; i += kN) mean_vector<kStride, true>(rows, nrows, kernel, y, divisor, i, kN);
  if (i < count) mean_vector<kStride, false>(rows, nrows, kernel, y, divisor, i, (int)(count - i));
}

template <class T>
void mean_row(const void* const* rows, int nrows, int kernel, int stride, void* y, double divisor,
              int64_t count) {
  if (stride == 2)
    mean_loop<2>(rows, nrows, kernel, static_cast<T*>(y), divisor, count);
  else
    mean_loop<1>(rows, nrows, kernel, static_cast<T*>(y), divisor, count);
}

float sum_run(const float* x, int64_t n) {
  return sum_over<float>(n, [&](int64_t i, int k) { return at(x + i, k); });
}

void fill_planes(const float* dy, float* dx, int64_t planes, int64_t n, float scale) {
  for (int64_t p = 0; p < planes; ++p) {
    const vf v = set1(dy[p] * scale);
    each_vector<float>(n, [&](int64_t i, int k) { to(dx + p * n + i, v, k); });
  }
}

}  // namespace

const PoolKernels pool = {{max_row<float>, max_row<double>},
                          max_plane_2x2,
                          max_plane_3x3_any,
                          scatter_plane_2x2,
                          scatter_plane_3x3_any,
                          {mean_row<float16>, mean_row<bfloat16>, mean_row<float>, mean_row<double>},
                          sum_run,
                          fill_planes};

}  // namespace ccdl::cpu::CCDL_ISA
