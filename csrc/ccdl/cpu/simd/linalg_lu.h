// LU factorisations of small matrices and of narrow panels, with what linalg.cpp shares with them.
#pragma once
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/linalg.h>

#define CCDL_UNROLL _Pragma("GCC unroll 16")

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
using Vec = typename Lanes<T>::V;
template <class T>
constexpr T kLargestOf = sizeof(T) == 4 ? T(3.4028234663852886e38f) : T(1.7976931348623157e308);

CCDL_SI float magnitude(float x) { return __builtin_fabsf(x); }
CCDL_SI double magnitude(double x) { return __builtin_fabs(x); }
CCDL_SI float root_of(float x) { return __builtin_sqrtf(x); }
CCDL_SI double root_of(double x) { return __builtin_sqrt(x); }

template <class T>
void axpy(T f, const T* x, T* y, int64_t n) {
  const Vec<T> v = set1(f);
  each_vector<T>(
      n, [&](int64_t i, int k)
             __attribute__((always_inline)) { to(y + i, fma(v, at(x + i, k), at(y + i, k)), k); });
}

// The first row of the largest magnitude in x[first, n)
template <class T>
CCDL_SI int64_t pivot_row(const T* x, int64_t first, int64_t n) {
  typedef typename Lanes<T>::M M;
  typedef decltype(M{}[0] + 0) I;
  constexpr int L = Lanes<T>::kN;
  Vec<T> best = set1(T(-1));
  M where = {}, now;
  for (int i = 0; i < L; ++i) now[i] = (I)(first + i);
  each_vector<T>(
      n - first, [&](int64_t i, int k) __attribute__((always_inline)) {
        const Vec<T> v = k == L ? vabs(ld(x + first + i)) : vabs(ldn(x + first + i, k, T(0)));
        const M more = v > best;
        best = select(more, v, best);
        where = more ? now : where;
        now += (I)L;
      });
  T most = best[0];
  int64_t at_ = (int64_t)where[0];
  for (int i = 1; i < L; ++i)
    if (best[i] > most || (best[i] == most && (int64_t)where[i] < at_))
      most = best[i], at_ = (int64_t)where[i];
  return most < T(0) || at_ >= n ? first : at_;
}

constexpr int kLuBlock = 8;

// Columns [j, j + w) by rank-one updates, their swaps carried through all n columns.
template <class T>
CCDL_SI int32_t lu_columns(T* a, int64_t stride, int64_t m, int64_t n, int64_t j0, int64_t w, int32_t* pivots,
                           int32_t singular) {
  for (int64_t k = j0; k < j0 + w; ++k) {
    T* c = a + k * stride;
    const int64_t p = pivot_row(c, k, m);
    pivots[k] = (int32_t)p;
    if (p != k)
      for (int64_t j = 0; j < n; ++j) {
        const T v = a[j * stride + k];
        a[j * stride + k] = a[j * stride + p];
        a[j * stride + p] = v;
      }
    const T d = c[k];
    if (d == T(0)) {
      if (singular == 0) singular = (int32_t)(k + 1);
      continue;  // the column below is zero as well
    }
    const T inverse = T(1) / d;
    const int64_t rest = m - k - 1;
    if (magnitude(inverse) <= kLargestOf<T>) {
      const Vec<T> f = set1(inverse);
      each_vector<T>(
          rest, [&](int64_t i, int q)
                    __attribute__((always_inline)) { to(c + k + 1 + i, at(c + k + 1 + i, q) * f, q); });
    } else {
      for (int64_t i = k + 1; i < m; ++i) c[i] /= d;
    }
    for (int64_t j = k + 1; j < j0 + w; ++j)
      axpy(-a[j * stride + k], c + k + 1, a + j * stride + k + 1, rest);
  }
  return singular;
}

// Columns x and y from row `top` on, minus those of the block times the entries u above.
template <class T, int Q>
CCDL_SI void lu_rank(const T* l, int64_t stride, int64_t j0, int64_t top, int64_t m, T* x) {
  Vec<T> u[Q][kLuBlock];
  CCDL_UNROLL for (int q = 0; q < Q; ++q) CCDL_UNROLL for (int k = 0; k < kLuBlock; ++k) u[q][k] =
      set1(-x[q * stride + j0 + k]);
  each_vector<T>(
      m - top, [&](int64_t i, int count) __attribute__((always_inline)) {
        Vec<T> acc[Q];
        CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[q] = at(x + q * stride + top + i, count);
        CCDL_UNROLL for (int k = 0; k < kLuBlock; ++k) {
          const Vec<T> v = at(l + k * stride + top + i, count);
          CCDL_UNROLL for (int q = 0; q < Q; ++q) acc[q] = fma(u[q][k], v, acc[q]);
        }
        CCDL_UNROLL for (int q = 0; q < Q; ++q) to(x + q * stride + top + i, acc[q], count);
      });
}

template <class T>
int32_t lu(T* a, int64_t stride, int64_t m, int64_t n, int32_t* pivots) {
  const int64_t steps = m < n ? m : n;
  int32_t singular = 0;
  for (int64_t j = 0; j < steps; j += kLuBlock) {
    const int64_t w = steps - j < kLuBlock ? steps - j : kLuBlock;
    singular = lu_columns(a, stride, m, n, j, w, pivots, singular);
    const T* l = a + j * stride;
    for (int64_t c = j + w; c < n; ++c) {
      T* x = a + c * stride + j;
      for (int64_t k = 0; k < w; ++k)
        for (int64_t i = k + 1; i < w; ++i) x[i] -= l[k * stride + j + i] * x[k];
    }
    if (j + w >= m) continue;
    int64_t c = j + w;
    if (w == kLuBlock) {
      for (; c + 2 <= n; c += 2) lu_rank<T, 2>(l, stride, j, j + w, m, a + c * stride);
      for (; c < n; ++c) lu_rank<T, 1>(l, stride, j, j + w, m, a + c * stride);
    }
    for (; c < n; ++c)
      for (int64_t k = 0; k < w; ++k)
        axpy(-a[c * stride + j + k], l + k * stride + j + w, a + c * stride + j + w, m - j - w);
  }
  return singular;
}

// Rows padded to whole vectors in a local copy: a masked store cannot be forwarded to the loads of the next
// step.
template <class T>
int32_t lu_small(T* a, int64_t stride, int64_t m, int64_t n, int32_t* pivots) {
  typedef typename Lanes<T>::M M;
  typedef decltype(M{}[0] + 0) I;
  constexpr int L = Lanes<T>::kN, kRow = (kSmallLu + L - 1) / L * L;
  T x[kSmallLu * kRow];
  M lane;
  for (int i = 0; i < L; ++i) lane[i] = (I)i;
  const int64_t steps = m < n ? m : n, width = (n + L - 1) / L * L;
  for (int64_t i = 0; i < m; ++i)
    each_vector<T>(
        n, [&](int64_t j, int q)
               __attribute__((always_inline)) { st(x + i * kRow + j, at(a + i * stride + j, q)); });
  int32_t singular = 0;
  for (int64_t k = 0; k < steps; ++k) {
    T* top = x + k * kRow;
    int64_t p = k;
    T most = magnitude(top[k]);
    for (int64_t i = k + 1; i < m; ++i) {
      const T v = magnitude(x[i * kRow + k]);
      p = v > most ? i : p;
      most = v > most ? v : most;
    }
    pivots[k] = (int32_t)p;
    if (p != k)
      for (int64_t j = 0; j < width; j += L) {
        T* other = x + p * kRow + j;
        const Vec<T> v = ld(top + j);
        st(top + j, ld(other));
        st(other, v);
      }
    const T d = top[k];
    if (d == T(0)) {
      if (singular == 0) singular = (int32_t)(k + 1);
      continue;  // the column below is zero as well
    }
    const T inverse = T(1) / d;
    const bool divide = !(magnitude(inverse) <= kLargestOf<T>);
    for (int64_t i = k + 1; i < m; ++i) {
      T* row = x + i * kRow;
      const T f = divide ? row[k] / d : row[k] * inverse;
      const Vec<T> by = set1(-f);
      for (int64_t j = k / L * L; j < width; j += L) {
        const Vec<T> old = ld(row + j);
        const Vec<T> v = select(lane + (I)j > (I)k, fma(by, ld(top + j), old), old);
        st(row + j, select(lane + (I)j == (I)k, set1(f), v));
      }
    }
  }
  for (int64_t i = 0; i < m; ++i)
    each_vector<T>(
        n, [&](int64_t j, int q)
               __attribute__((always_inline)) { to(a + i * stride + j, ld(x + i * kRow + j), q); });
  return singular;
}

}  // namespace
}  // namespace ccdl::cpu::CCDL_ISA
