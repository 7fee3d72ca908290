// Blocked forms of the dense factorisations for one matrix: small blocks by simd/linalg.h, the rest by matrix
// products. Row-major; Golub and Van Loan, Matrix Computations, ch. 3-5; compact WY as in Schreiber and Van
// Loan (1989).
#pragma once
#include <ccdl/core/parallel.h>
#include <ccdl/cpu/buffer.h>
#include <ccdl/cpu/simd/gemm.h>
#include <ccdl/cpu/simd/linalg.h>
#include <ccdl/kernels/gemm.h>

#include <algorithm>
#include <type_traits>

namespace ccdl::cpu::dense {

template <class T>
constexpr DType kDType = sizeof(T) == 4 ? DType::Float32 : DType::Float64;

template <class T>
View matrix(const T* data, int64_t rows, int64_t columns, int64_t row_stride, int64_t column_stride) {
  View v{};
  v.data = const_cast<T*>(data);
  v.ndim = 3;
  v.sizes[0] = 1;
  v.sizes[1] = rows;
  v.sizes[2] = columns;
  v.strides[1] = row_stride;
  v.strides[2] = column_stride;
  v.dtype = kDType<T>;
  return v;
}

// A factor of a product: element (i, j) at data[i * row + j * column].
template <class T>
struct Factor {
  const T* data;
  int64_t row, column;
};

// c [m, n] := alpha a [m, k] b [k, n] + beta c
template <class T>
void product(int64_t m, int64_t n, int64_t k, double alpha, Factor<T> a, Factor<T> b, double beta, T* c,
             int64_t c_row) {
  if (m <= 0 || n <= 0) return;
  const auto& kernels = gemm_kernels<T>();
  if (b.column == 1 && k > 0 && m * n * k <= 1 << 19 && (kernels.masked || n % kernels.nr == 0)) {
    kernels.block({a.data,
                   a.row,
                   a.row,
                   a.column,
                   false,
                   b.data,
                   kernels.nr,
                   b.row,
                   c,
                   c_row,
                   m,
                   n,
                   k,
                   {static_cast<T>(alpha), static_cast<T>(beta), nullptr, nullptr, false}});
    return;
  }
  gemm(matrix(a.data, m, k, a.row, a.column), matrix(b.data, k, n, b.row, b.column),
       matrix(c, m, n, c_row, 1), alpha, beta, {});
}

constexpr int64_t kSolveOrder = 64;

// x [n, k] := t^-1 x, one column range
template <class T>
void solve_part(Factor<T> t, bool upper, bool unit, T* x, int64_t x_row, int64_t n, int64_t k) {
  if (n <= kSolveOrder || (k <= kSolveFewColumns && n <= kSolveVectorOrder)) {
    const auto& simd = linalg_kernels<T>();
    if (upper)
      simd.solve(t.data + (n - 1) * (t.row + t.column), -t.row, -t.column, unit, x + (n - 1) * x_row, -x_row,
                 n, k);
    else
      simd.solve(t.data, t.row, t.column, unit, x, x_row, n, k);
    return;
  }
  const int64_t half = (n / 2 + 31) / 32 * 32, rest = n - half;
  const Factor<T> last{t.data + half * (t.row + t.column), t.row, t.column};
  T* bottom = x + half * x_row;
  if (upper) {
    solve_part(last, true, unit, bottom, x_row, rest, k);
    product<T>(half, k, rest, -1, {t.data + half * t.column, t.row, t.column}, {bottom, x_row, 1}, 1, x,
               x_row);
    solve_part(t, true, unit, x, x_row, half, k);
  } else {
    solve_part(t, false, unit, x, x_row, half, k);
    product<T>(rest, k, half, -1, {t.data + half * t.row, t.row, t.column}, {x, x_row, 1}, 1, bottom, x_row);
    solve_part(last, false, unit, bottom, x_row, rest, k);
  }
}

template <class T>
void solve_triangle(Factor<T> t, bool upper, bool unit, T* x, int64_t x_row, int64_t n, int64_t k) {
  if (n <= 0 || k <= 0) return;
  constexpr int64_t kColumns = 192;
  const bool share = n * n * k > int64_t{4} << 20;
  parallel_for(k, share ? kColumns : k, [&](int64_t begin, int64_t end) {
    solve_part(t, upper, unit, x + begin, x_row, n, end - begin);
  });
}

// a = U^T U from and to the upper triangle; info as linalg_cholesky
template <class T>
int32_t factor_cholesky(T* a, int64_t stride, int64_t n) {
  if (n <= kSolveOrder) return linalg_kernels<T>().cholesky(a, stride, n);
  check_interrupt();
  const int64_t half = (n / 2 + 31) / 32 * 32, rest = n - half;
  if (const int32_t failed = factor_cholesky(a, stride, half)) return failed;
  T* top = a + half;
  solve_triangle<T>({a, 1, stride}, false, false, top, stride, half, rest);
  T* corner = a + half * (stride + 1);
  constexpr int64_t kStrip = 128;
  for (int64_t i = 0; i < rest; i += kStrip)  // rows of the triangle in strips
    product<T>(std::min(kStrip, rest - i), rest - i, half, -1, {top + i, 1, stride}, {top + i, stride, 1}, 1,
               corner + i * (stride + 1), stride);
  const int32_t failed = factor_cholesky(corner, stride, rest);
  return failed == 0 ? 0 : failed + static_cast<int32_t>(half);
}

template <class T>
void swap_rows(T* x, int64_t stride, int64_t columns, const int32_t* pivots, int64_t steps, bool inverse) {
  for (int64_t s = 0; s < steps; ++s) {
    const int64_t i = inverse ? steps - 1 - s : s, p = pivots[i];
    if (p != i) std::swap_ranges(x + i * stride, x + i * stride + columns, x + p * stride);
  }
}

constexpr int64_t kLuPanel = 32;

// P a = L U in place; pivots from 0; info as linalg_lu
template <class T>
int32_t factor_lu(T* a, int64_t stride, int64_t m, int64_t n, int32_t* pivots) {
  if (m <= 0 || n <= 0) return 0;
  if (n <= kLuPanel) {
    const auto& simd = linalg_kernels<T>();
    if (m <= kSmallLu && n <= kSmallLu) return simd.lu_small(a, stride, m, n, pivots);
    Buffer<T> columns(m * n);
    simd.transpose(a, stride, columns, m, m, n);
    const int32_t info = simd.lu(columns, m, m, n, pivots);
    simd.transpose(columns, m, a, stride, n, m);
    return info;
  }
  check_interrupt();
  const int64_t half = std::min(m, (n / 2 + 15) / 16 * 16), rest = n - half, below = m - half;
  int32_t info = factor_lu(a, stride, m, half, pivots);
  T* right = a + half;
  swap_rows(right, stride, rest, pivots, half, false);
  solve_triangle<T>({a, stride, 1}, false, true, right, stride, half, rest);
  if (below <= 0) return info;
  T *left = a + half * stride, *corner = left + half;
  product<T>(below, rest, half, -1, {left, stride, 1}, {right, stride, 1}, 1, corner, stride);
  const int32_t later = factor_lu(corner, stride, below, rest, pivots + half);
  const int64_t steps = std::min(below, rest);
  swap_rows(left, stride, half, pivots + half, steps, false);
  for (int64_t i = 0; i < steps; ++i) pivots[half + i] += static_cast<int32_t>(half);
  if (info == 0 && later != 0) info = later + static_cast<int32_t>(half);
  return info;
}

// The reflectors H_0 H_1 ... H_{w-1} = I - V^T T V of the rows of V [w, n] (leading zeros and ones written
// out), T [w, w] upper triangular.
template <class T>
void triangular_factor(const T* v, int64_t v_row, int64_t w, int64_t n, const T* tau, T* t) {
  Buffer<T> gram(w * w);
  const auto& simd = linalg_kernels<T>();
  for (int64_t j = 0; j < w; ++j) simd.rows(v, v_row, j, n, v + j * v_row, gram + j * w, false);
  for (int64_t j = 0; j < w; ++j) {
    for (int64_t i = j + 1; i < w; ++i) t[i * w + j] = 0;
    t[j * w + j] = tau[j];
    for (int64_t i = 0; i < j; ++i) {  // t_0..j-1,j = -tau_j T (V v_j)
      T sum = 0;
      for (int64_t q = i; q < j; ++q) sum += t[i * w + q] * gram[j * w + q];
      t[i * w + j] = -tau[j] * sum;
    }
  }
}

// rows of z [count, n] as vectors: z := H z (or H^T z when `transposed`) for H = I - V^T T V
template <class T>
void apply_block(const T* v, int64_t v_row, const T* t, int64_t w, bool transposed, T* z, int64_t z_row,
                 int64_t count, int64_t n) {
  if (count <= 0) return;
  Buffer<T> first(count * w), second(count * w);
  product<T>(count, w, n, 1, {z, z_row, 1}, {v, 1, v_row}, 0, first, w);
  if (transposed)
    product<T>(count, w, w, 1, {first, w, 1}, {t, w, 1}, 0, second, w);
  else
    product<T>(count, w, w, 1, {first, w, 1}, {t, 1, w}, 0, second, w);
  product<T>(count, n, w, -1, {second, w, 1}, {v, v_row, 1}, 1, z, z_row);
}

constexpr int64_t kReflectors = 32;

// w reflectors, row p of `rows` from column p on, to a dense block with zeros and ones [w, n]
template <class T>
void spread_reflectors(const T* rows, int64_t stride, int64_t w, int64_t n, T* v) {
  for (int64_t p = 0; p < w; ++p) {
    std::fill_n(v + p * n, std::min(p, n), T(0));
    if (p >= n) continue;
    v[p * n + p] = 1;
    std::copy_n(rows + p * stride + p + 1, n - p - 1, v + p * n + p + 1);
  }
}

// Vectors z (rows) := H_0 H_1 ... H_{steps-1} z; reflector p is in row p of `rows` from column p on, z's
// columns are those of `rows`.
template <class T>
void apply_reflectors(const T* rows, int64_t stride, const T* tau, int64_t steps, int64_t n, T* z,
                      int64_t z_row, int64_t count) {
  Buffer<T> v(kReflectors * n), t(kReflectors * kReflectors);
  for (int64_t k = (steps - 1) / kReflectors * kReflectors; steps > 0 && k >= 0; k -= kReflectors) {
    check_interrupt();
    const int64_t w = std::min(kReflectors, steps - k);
    spread_reflectors(rows + k * (stride + 1), stride, w, n - k, v.get());
    triangular_factor(v.get(), n - k, w, n - k, tau + k, t.get());
    apply_block(v.get(), n - k, t.get(), w, false, z + k, z_row, count, n - k);
  }
}

// Householder QR of a with contiguous columns (rows of at [n, m]), as linalg_qr; `stride` is m or more.
template <class T>
void factor_qr(T* at, int64_t stride, int64_t m, int64_t n, T* tau) {
  const auto& simd = linalg_kernels<T>();
  const int64_t steps = std::min(m, n);
  const int64_t width = steps <= 48 ? steps : kReflectors;
  Buffer<T> v(width < steps ? width * m : 0), t(width < steps ? width * width : 0);
  for (int64_t k = 0; k < steps; k += width) {
    check_interrupt();
    const int64_t w = std::min(width, steps - k), last = k + w == steps ? n : k + w;
    for (int64_t j = k; j < k + w; ++j) {
      T* x = at + j * stride + j;
      const Reflection<T> r = simd.reflection(x, m - j);
      tau[j] = r.tau;
      simd.reflect(x + stride, stride, last - j - 1, m - j, x, r.tau);
      *x = r.beta;
    }
    if (last >= n) continue;
    spread_reflectors(at + k * (stride + 1), stride, w, m - k, v.get());
    triangular_factor(v.get(), m - k, w, m - k, tau + k, t.get());
    apply_block(v.get(), m - k, t.get(), w, true, at + last * stride + k, stride, n - last, m - k);
  }
}

// qt [p, m]: the first p columns of the product of the reflectors, as rows
template <class T>
void form_q(const T* at, const T* tau, int64_t m, int64_t n, T* qt, int64_t p) {
  const int64_t steps = std::min(m, n);
  const auto& simd = linalg_kernels<T>();
  for (int64_t j = 0; j < p; ++j) {
    std::fill_n(qt + j * m, m, T(0));
    qt[j * m + j] = 1;
  }
  if (steps > 48) {  // vector j < k is not changed by reflectors from k on
    Buffer<T> v(kReflectors * m), t(kReflectors * kReflectors);
    for (int64_t k = (steps - 1) / kReflectors * kReflectors; k >= 0; k -= kReflectors) {
      check_interrupt();
      const int64_t w = std::min(kReflectors, steps - k);
      spread_reflectors(at + k * (m + 1), m, w, m - k, v.get());
      triangular_factor(v.get(), m - k, w, m - k, tau + k, t.get());
      apply_block(v.get(), m - k, t.get(), w, false, qt + k * (m + 1), m, p - k, m - k);
    }
    return;
  }
  Buffer<T> v(m);
  for (int64_t k = steps - 1; k >= 0; --k) {
    v[0] = 1;
    std::copy_n(at + k * (m + 1) + 1, m - k - 1, v.get() + 1);
    if (k < p) simd.reflect(qt + k * (m + 1), m, p - k, m - k, v, tau[k]);
  }
}

}  // namespace ccdl::cpu::dense
