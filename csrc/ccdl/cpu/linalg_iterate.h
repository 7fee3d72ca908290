// Implicit QL for symmetric tridiagonal and implicit QR for bidiagonal matrices: values only for any size,
// with vectors for the small blocks that divide and conquer ends in. Elements are near 1 in scale. Golub and
// Van Loan, Matrix Computations, 8.3 and 8.6; Demmel and Kahan, Accurate singular values of bidiagonal
// matrices (1990).
#pragma once
#include <ccdl/cpu/linalg_dense.h>

#include <cmath>
#include <limits>

namespace ccdl::cpu::dense {

template <class T>
constexpr T kEpsilon = std::numeric_limits<T>::epsilon() / 2;

// A power of two that takes `most` near 1 (or as near as a power of two in range does).
template <class T>
T unit_scale(T most) {
  constexpr int kLimit = sizeof(T) == 4 ? 120 : 1000;
  return most > 0 ? std::ldexp(T(1), std::clamp(-std::ilogb(most), -kLimit, kLimit)) : T(1);
}

template <class T>
struct Rotation {
  T c, s, r;
};
// c f + s g = r, -s f + c g = 0
template <class T>
inline Rotation<T> rotation(T f, T g) {
  if (g == 0) return {1, 0, f};
  T square = f * f + g * g;
  if (square < std::numeric_limits<T>::min() / kEpsilon<T>) {
    const T most = std::max(std::abs(f), std::abs(g)), a = f / most, b = g / most,
            r = std::sqrt(a * a + b * b);
    return {a / r, b / r, r * most};
  }
  const T r = std::sqrt(square);
  return {f / r, g / r, r};
}

// Eigenvalues of (d [n], e [n - 1]) to d, in no order; e is destroyed. Without square roots (Pal, Walker and
// Kahan). False: no convergence.
template <class T>
bool tridiagonal_values(T* d, T* e, int64_t n) {
  const T small = kEpsilon<T> * kEpsilon<T>;
  for (int64_t i = 0; i + 1 < n; ++i) e[i] *= e[i];
  int64_t budget = 60 * n;
  const auto split = [&](int64_t from, int64_t end) {
    int64_t m = from;
    while (m + 1 < end && e[m] > small * std::abs(d[m] * d[m + 1])) ++m;
    return m;
  };
  for (int64_t first = 0; first < n;) {
    const int64_t end = split(first, n) + 1;  // the block [first, end)
    if (end < n) e[end - 1] = 0;
    if (std::abs(d[end - 1]) < std::abs(d[first])) {  // the smaller end first
      std::reverse(d + first, d + end);
      std::reverse(e + first, e + end - 1);
    }
    int64_t l = first;
    while (l < end) {
      const int64_t m = split(l, end);
      if (m + 1 < end) e[m] = 0;
      if (m == l) {
        ++l;
        continue;
      }
      if (--budget < 0) return false;
      if (budget % 64 == 0) check_interrupt();
      const T root = std::sqrt(e[l]), half = (d[l + 1] - d[l]) / (2 * root),
              length = std::sqrt(half * half + 1);
      const T shift = d[l] - root / (half + (half < 0 ? -length : length));
      T c = 1, s = 0, gamma = d[m] - shift, p = gamma * gamma;
      for (int64_t i = m - 1; i >= l; --i) {
        const T b = e[i], r = p + b;
        if (i != m - 1) e[i + 1] = s * r;
        const T old_c = c, old_gamma = gamma, alpha = d[i];
        c = p / r;
        s = b / r;
        gamma = c * (alpha - shift) - s * old_gamma;
        d[i + 1] = old_gamma + (alpha - gamma);
        p = c != 0 ? gamma * gamma / c : old_c * b;
      }
      e[l] = s * p;
      d[l] = shift + gamma;
    }
    first = end;
  }
  return true;
}

// The same with rows of z [n, columns], which begin as the rows of the basis and become eigenvectors.
template <class T>
bool tridiagonal_vectors(T* d, T* e, int64_t n, T* z, int64_t stride, int64_t columns) {
  const auto& simd = linalg_kernels<T>();
  Buffer<T> cs(n), sn(n);
  int64_t budget = 60 * n;
  const auto split = [&](int64_t from, int64_t end) {
    int64_t m = from;
    while (m + 1 < end &&
           std::abs(e[m]) > kEpsilon<T> * std::sqrt(std::abs(d[m])) * std::sqrt(std::abs(d[m + 1])))
      ++m;
    return m;
  };
  for (int64_t first = 0; first < n;) {
    const int64_t end = split(first, n) + 1;
    if (std::abs(d[end - 1]) < std::abs(d[first])) {
      std::reverse(d + first, d + end);
      std::reverse(e + first, e + end - 1);
      for (int64_t i = first, j = end - 1; i < j; ++i, --j)
        std::swap_ranges(z + i * stride, z + i * stride + columns, z + j * stride);
    }
    int64_t l = first;
    while (l < end) {
      const int64_t m = split(l, end);
      if (m + 1 < end) e[m] = 0;
      if (m == l) {
        ++l;
        continue;
      }
      if (--budget < 0) return false;
      T g = (d[l + 1] - d[l]) / (2 * e[l]);
      const T length = std::sqrt(g * g + 1);
      g = d[m] - d[l] + e[l] / (g + (g < 0 ? -length : length));
      T s = 1, c = 1, shift = 0;
      int64_t i = m - 1;
      for (; i >= l; --i) {
        const T f = s * e[i], b = c * e[i];
        const Rotation<T> t = rotation(g, f);
        if (i + 1 < m) e[i + 1] = t.r;
        s = t.s;
        c = t.c;
        g = d[i + 1] - shift;
        const T r = (d[i] - g) * s + 2 * c * b;
        shift = s * r;
        d[i + 1] = g + shift;
        g = c * r - b;
        cs[i] = c;
        sn[i] = s;
      }
      d[l] -= shift;
      e[l] = g;
      simd.rotate(z, stride, columns, cs, sn, l, m, false);
    }
    first = end;
  }
  return true;
}

// The smaller singular value of [f g; 0 h] and the larger one
template <class T>
inline std::pair<T, T> triangle_values(T f, T g, T h) {
  f = std::abs(f), g = std::abs(g), h = std::abs(h);
  const T least = std::min(f, h), most = std::max(f, h);
  if (least == 0) return {0, std::max(most, g) == 0 ? T(0) : std::hypot(most, g)};
  if (g < most) {
    const T as = 1 + least / most, at = (most - least) / most, au = (g / most) * (g / most);
    const T c = 2 / (std::sqrt(as * as + au) + std::sqrt(at * at + au));
    return {least * c, most / c};
  }
  const T au = most / g;
  if (au == 0) return {least * most / g, g};
  const T as = 1 + least / most, at = (most - least) / most;
  const T c = 1 / (std::sqrt(1 + (as * au) * (as * au)) + std::sqrt(1 + (at * au) * (at * au)));
  return {2 * (least * c) * au, g / (c + c)};
}

// Singular values of the upper bidiagonal (d [n], e [n - 1]) to d >= 0, in no order; e is destroyed. Rows of
// u and v [n, ..] (null: values only) begin as the bases and become the left and right vectors.
template <class T>
class BidiagonalQr {
 public:
  BidiagonalQr(T* d, T* e, int64_t n, T* u, int64_t u_row, int64_t u_columns, T* v, int64_t v_row,
               int64_t v_columns)
      : d_(d),
        e_(e),
        n_(n),
        u_(u),
        v_(v),
        u_row_(u_row),
        v_row_(v_row),
        u_columns_(u_columns),
        v_columns_(v_columns),
        rotations_(u == nullptr ? 0 : 4 * n) {}

  bool run() {
    T most = 0;
    for (int64_t i = 0; i < n_; ++i) most = std::max(most, std::abs(d_[i]));
    for (int64_t i = 0; i + 1 < n_; ++i) most = std::max(most, std::abs(e_[i]));
    const T floor = std::numeric_limits<T>::min() / kEpsilon<T>;
    int64_t budget = 60 * n_;
    for (int64_t m = n_ - 1; m > 0;) {
      int64_t l = m;
      while (l > 0 && std::abs(e_[l - 1]) > kEpsilon<T> * (std::abs(d_[l - 1]) + std::abs(d_[l])) &&
             std::abs(e_[l - 1]) > floor)
        --l;
      if (l > 0) e_[l - 1] = 0;
      if (l == m) {
        --m;
        continue;
      }
      if (--budget < 0) return false;
      if (budget % 64 == 0) check_interrupt();
      const T nothing = kEpsilon<T> * most * T(1e-3);
      if (std::abs(d_[m]) <= nothing) {
        clear_column(l, m);
        continue;
      }
      bool zero = false;  // one sweep without a shift takes it out
      for (int64_t i = l; i < m; ++i)
        if (std::abs(d_[i]) <= nothing) {
          d_[i] = 0;
          zero = true;
        }
      T shift = 0;
      if (!zero) {
        shift = triangle_values(d_[m - 1], e_[m - 1], d_[m]).first;
        const T ratio = shift / std::abs(d_[l]);
        if (ratio * ratio < kEpsilon<T>) shift = 0;
      }
      if (shift == 0)
        sweep_without_shift(l, m);
      else
        sweep(l, m, shift);
      if (u_ != nullptr) {
        const auto& simd = linalg_kernels<T>();
        simd.rotate(v_, v_row_, v_columns_, rotations_, rotations_ + n_, l, m, true);
        simd.rotate(u_, u_row_, u_columns_, rotations_ + 2 * n_, rotations_ + 3 * n_, l, m, true);
      }
    }
    for (int64_t i = 0; i < n_; ++i)
      if (d_[i] < 0 || (d_[i] == 0 && std::signbit(d_[i]))) {
        d_[i] = -d_[i];
        if (v_ != nullptr) linalg_kernels<T>().scale(v_ + i * v_row_, v_columns_, T(-1));
      }
    return true;
  }

 private:
  // d_m = 0: rotations from the right move e_{m-1} up and out of the block [l, m].
  void clear_column(int64_t l, int64_t m) {
    d_[m] = 0;
    T f = e_[m - 1];
    e_[m - 1] = 0;
    for (int64_t i = m - 1; i >= l; --i) {
      const Rotation<T> r = rotation(d_[i], f);
      d_[i] = r.r;
      if (i > l) {
        f = -r.s * e_[i - 1];
        e_[i - 1] *= r.c;
      }
      if (v_ == nullptr) continue;
      T *a = v_ + i * v_row_, *b = v_ + m * v_row_;
      for (int64_t j = 0; j < v_columns_; ++j) {
        const T x = a[j], y = b[j];
        a[j] = r.c * x + r.s * y;
        b[j] = r.c * y - r.s * x;
      }
    }
  }

  void keep(int64_t i, T c_right, T s_right, T c_left, T s_left) {
    if (u_ == nullptr) return;
    rotations_[i] = c_right;
    rotations_[n_ + i] = -s_right;
    rotations_[2 * n_ + i] = c_left;
    rotations_[3 * n_ + i] = -s_left;
  }

  void sweep(int64_t l, int64_t m, T shift) {
    T f = (std::abs(d_[l]) - shift) * ((d_[l] < 0 ? T(-1) : T(1)) + shift / d_[l]), g = e_[l];
    for (int64_t i = l; i < m; ++i) {
      const Rotation<T> right = rotation(f, g);
      if (i > l) e_[i - 1] = right.r;
      f = right.c * d_[i] + right.s * e_[i];
      e_[i] = right.c * e_[i] - right.s * d_[i];
      g = right.s * d_[i + 1];
      d_[i + 1] *= right.c;
      const Rotation<T> left = rotation(f, g);
      d_[i] = left.r;
      f = left.c * e_[i] + left.s * d_[i + 1];
      d_[i + 1] = left.c * d_[i + 1] - left.s * e_[i];
      if (i + 1 < m) {
        g = left.s * e_[i + 1];
        e_[i + 1] *= left.c;
      }
      keep(i, right.c, right.s, left.c, left.s);
    }
    e_[m - 1] = f;
  }

  void sweep_without_shift(int64_t l, int64_t m) {
    Rotation<T> right{1, 0, 0}, left{1, 0, 0};
    for (int64_t i = l; i < m; ++i) {
      right = rotation(d_[i] * right.c, e_[i]);
      if (i > l) e_[i - 1] = left.s * right.r;
      left = rotation(left.c * right.r, d_[i + 1] * right.s);
      d_[i] = left.r;
      keep(i, right.c, right.s, left.c, left.s);
    }
    const T h = d_[m] * right.c;
    d_[m] = h * left.c;
    e_[m - 1] = h * left.s;
  }

  T *d_, *e_;
  int64_t n_;
  T *u_, *v_;
  int64_t u_row_, v_row_, u_columns_, v_columns_;
  Buffer<T> rotations_;
};

}  // namespace ccdl::cpu::dense
