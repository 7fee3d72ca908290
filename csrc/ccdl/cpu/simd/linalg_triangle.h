// Triangular solves. Tiles of four rows stay in registers through their triangle, so that each loaded vector
// meets four multipliers.
#pragma once
#include <ccdl/cpu/simd/linalg_lu.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kSolveVectors = 4;
#else
constexpr int kSolveVectors = 2;
#endif
constexpr int kSolveRows = 4;

// Diagonal entries of R rows as multipliers; a reciprocal that overflows is kept as a division.
template <class T, int R>
struct Corner {
  T below[R][R];  // (i, j), j < i
  T diagonal[R], inverse[R];
  bool divide = false;
};

template <class T, int R, int NV, class F>
CCDL_SI void solve_corner(Vec<T> (&acc)[R][NV], const Corner<T, R>& corner, bool unit, const F& put_row) {
  CCDL_UNROLL for (int r = 0; r < R; ++r) {
    if (!unit) {
      CCDL_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] =
          corner.divide ? acc[r][v] / set1(corner.diagonal[r]) : acc[r][v] * set1(corner.inverse[r]);
    }
    put_row(r);
    CCDL_UNROLL for (int q = r + 1; q < R; ++q) {
      const Vec<T> f = set1(-corner.below[q][r]);
      CCDL_UNROLL for (int v = 0; v < NV; ++v) acc[q][v] = fma(f, acc[r][v], acc[q][v]);
    }
  }
}

// acc := rows i0.. of x minus their products with the rows before
template <class T, int R, int NV, bool Tail>
CCDL_SI void minus_products(Vec<T> (&acc)[R][NV], const T* t, int64_t t_row, int64_t t_column, const T* x,
                            int64_t x_row, int64_t i0, int lanes) {
  constexpr int L = Lanes<T>::kN;
  CCDL_UNROLL for (int r = 0; r < R; ++r) CCDL_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] =
      Tail && v == NV - 1 ? ldn(x + (i0 + r) * x_row + v * L, lanes) : ld(x + (i0 + r) * x_row + v * L);
  for (int64_t j = 0; j < i0; ++j) {
    Vec<T> b[NV];
    CCDL_UNROLL for (int v = 0; v < NV; ++v) b[v] =
        Tail && v == NV - 1 ? ldn(x + j * x_row + v * L, lanes) : ld(x + j * x_row + v * L);
    CCDL_UNROLL for (int r = 0; r < R; ++r) {
      const Vec<T> f = set1(-t[(i0 + r) * t_row + j * t_column]);
      CCDL_UNROLL for (int v = 0; v < NV; ++v) acc[r][v] = fma(f, b[v], acc[r][v]);
    }
  }
}

template <class T, int R, int NV, bool Tail>
CCDL_SI void solve_tile(const T* t, int64_t t_row, int64_t t_column, bool unit, T* x, int64_t x_row,
                        int64_t i0, int lanes) {
  constexpr int L = Lanes<T>::kN;
  Corner<T, R> corner = {};
  CCDL_UNROLL for (int r = 0; r < R; ++r) {
    const T* row = t + (i0 + r) * t_row + i0 * t_column;
    CCDL_UNROLL for (int q = 0; q < r; ++q) corner.below[r][q] = row[q * t_column];
    corner.diagonal[r] = unit ? T(1) : row[r * t_column];
    corner.inverse[r] = T(1) / corner.diagonal[r];
    corner.divide |= !(magnitude(corner.inverse[r]) <= kLargestOf<T>);
  }
  Vec<T> acc[R][NV];
  minus_products<T, R, NV, Tail>(acc, t, t_row, t_column, x, x_row, i0, lanes);
  solve_corner<T, R, NV>(
      acc, corner, unit, [&](int r) __attribute__((always_inline)) {
        CCDL_UNROLL for (int v = 0; v < NV; ++v) {
          T* p = x + (i0 + r) * x_row + v * L;
          if (Tail && v == NV - 1)
            stn(p, acc[r][v], lanes);
          else
            st(p, acc[r][v]);
        }
      });
}

template <class T, int NV, bool Tail>
__attribute__((noinline)) void solve_columns(const T* t, int64_t t_row, int64_t t_column, bool unit, T* x,
                                             int64_t x_row, int64_t n, int lanes) {
  int64_t i = 0;
  for (; i + kSolveRows <= n; i += kSolveRows)
    solve_tile<T, kSolveRows, NV, Tail>(t, t_row, t_column, unit, x, x_row, i, lanes);
  for (; i < n; ++i) solve_tile<T, 1, NV, Tail>(t, t_row, t_column, unit, x, x_row, i, lanes);
}

template <class T>
T dot(const T* x, const T* y, int64_t n) {
  return sum_over<T>(
      n, [&](int64_t i, int k) __attribute__((always_inline)) { return at(x + i, k) * at(y + i, k); });
}

// Entries i0 .. i0 + R of one column, of which the dot products with those before are taken side by side.
// kSign: the direction in which t's rows and x are contiguous.
template <class T, int R, int kSign>
CCDL_SI void solve_entries(const T* t, int64_t t_row, bool unit, T* x, int64_t i0) {
  constexpr int L = Lanes<T>::kN;
  const int64_t start = kSign > 0 ? 0 : 1 - i0;  // where the entries before begin in memory
  Vec<T> acc[R];
  CCDL_UNROLL for (int r = 0; r < R; ++r) acc[r] = Vec<T>{};
  for (int64_t j = 0; j < i0; j += L) {
    const int count = i0 - j < L ? (int)(i0 - j) : L;
    const Vec<T> xv = at(x + start + j, count);
    CCDL_UNROLL for (int r = 0; r < R; ++r) acc[r] =
        fma(at(t + (i0 + r) * t_row + start + j, count), xv, acc[r]);
  }
  T done[R];
  CCDL_UNROLL for (int r = 0; r < R; ++r) {
    const T* row = t + (i0 + r) * t_row;
    T v = x[kSign * (i0 + r)] - lane_sum(acc[r]);
    CCDL_UNROLL for (int q = 0; q < r; ++q) v -= row[kSign * (i0 + q)] * done[q];
    done[r] = unit ? v : v / row[kSign * (i0 + r)];
  }
  CCDL_UNROLL for (int r = 0; r < R; ++r) x[kSign * (i0 + r)] = done[r];
}
template <class T, int kSign>
__attribute__((noinline)) void solve_dots(const T* t, int64_t t_row, bool unit, T* x, int64_t n) {
  int64_t i = 0;
  for (; i + 8 <= n; i += 8) solve_entries<T, 8, kSign>(t, t_row, unit, x, i);
  for (; i < n; ++i) solve_entries<T, 1, kSign>(t, t_row, unit, x, i);
}

// Entries j0 .. j0 + R of one column, then their columns of t off the rest at once. kSign as above, for t's
// columns.
template <class T, int R, int kSign>
CCDL_SI void solve_and_update(const T* t, int64_t t_column, bool unit, T* x, int64_t j0, int64_t n) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> f[R];
  T done[R];
  CCDL_UNROLL for (int r = 0; r < R; ++r) {
    T v = x[kSign * (j0 + r)];
    CCDL_UNROLL for (int q = 0; q < r; ++q) v -= t[(j0 + q) * t_column + kSign * (j0 + r)] * done[q];
    done[r] = unit ? v : v / t[(j0 + r) * t_column + kSign * (j0 + r)];
    f[r] = set1(-done[r]);
  }
  CCDL_UNROLL for (int r = 0; r < R; ++r) x[kSign * (j0 + r)] = done[r];
  const int64_t rest = n - j0 - R, start = kSign > 0 ? j0 + R : 1 - n;
  for (int64_t i = 0; i < rest; i += L) {
    const int count = rest - i < L ? (int)(rest - i) : L;
    Vec<T> v = at(x + start + i, count);
    CCDL_UNROLL for (int r = 0; r < R; ++r) v = fma(f[r], at(t + (j0 + r) * t_column + start + i, count), v);
    to(x + start + i, v, count);
  }
}
template <class T, int kSign>
__attribute__((noinline)) void solve_sums(const T* t, int64_t t_column, bool unit, T* x, int64_t n) {
  int64_t j = 0;
  for (; j + 8 <= n; j += 8) solve_and_update<T, 8, kSign>(t, t_column, unit, x, j, n);
  for (; j < n; ++j) solve_and_update<T, 1, kSign>(t, t_column, unit, x, j, n);
}

// One column of x: dot products or sums of columns, as t lies in memory.
template <class T>
void solve_vector(const T* t, int64_t t_row, int64_t t_column, bool unit, T* x, int64_t x_row, int64_t n) {
  if (x_row == 1 && t_column == 1) return solve_dots<T, 1>(t, t_row, unit, x, n);
  if (x_row == -1 && t_column == -1) return solve_dots<T, -1>(t, t_row, unit, x, n);  // an upper triangle
  if (x_row == 1 && t_row == 1) return solve_sums<T, 1>(t, t_column, unit, x, n);
  if (x_row == -1 && t_row == -1) return solve_sums<T, -1>(t, t_column, unit, x, n);
  for (int64_t j = 0; j < n; ++j) {
    T& v = x[j * x_row];
    if (!unit) v = v / t[j * (t_row + t_column)];
    const T f = -v;
    for (int64_t i = j + 1; i < n; ++i) x[i * x_row] += f * t[i * t_row + j * t_column];
  }
}

template <class T>
void solve(const T* t, int64_t t_row, int64_t t_column, bool unit, T* x, int64_t x_row, int64_t n,
           int64_t k) {
  constexpr int L = Lanes<T>::kN;
  if (k == 1 && (x_row == 1 || x_row == -1)) return solve_vector(t, t_row, t_column, unit, x, x_row, n);
  if (k <= kSolveFewColumns && n <= kSolveVectorOrder && n >= 48) {  // column by column, each in order
    alignas(64) T column[kSolveVectorOrder];
    const int64_t step = x_row < 0 ? -1 : 1;
    T* first = x_row < 0 ? column + n - 1 : column;
    for (int64_t j = 0; j < k; ++j) {
      for (int64_t i = 0; i < n; ++i) first[i * step] = x[i * x_row + j];
      solve_vector(t, t_row, t_column, unit, first, step, n);
      for (int64_t i = 0; i < n; ++i) x[i * x_row + j] = first[i * step];
    }
    return;
  }
  int64_t j = 0;
  for (; j + kSolveVectors * L <= k; j += kSolveVectors * L)
    solve_columns<T, kSolveVectors, false>(t, t_row, t_column, unit, x + j, x_row, n, L);
  for (; j + 2 * L <= k; j += 2 * L) solve_columns<T, 2, false>(t, t_row, t_column, unit, x + j, x_row, n, L);
  const int rest = (int)(k - j);
  if (rest > L)
    solve_columns<T, 2, true>(t, t_row, t_column, unit, x + j, x_row, n, rest - L);
  else if (rest > 0)
    solve_columns<T, 1, true>(t, t_row, t_column, unit, x + j, x_row, n, rest);
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
