// Symmetric matrices to tridiagonal and general ones to bidiagonal form by Householder reflections, in panels
// whose updates are one product (Dongarra, Hammarling and Sorensen, 1989). The bidiagonal panel reads the
// matrix once per column: the rows that a product with the left reflector has brought in are used for the
// right one at once (Howell et al., Cache efficient bidiagonalization using BLAS 2.5 operators, 2008).
#pragma once
#include <ccdl/cpu/linalg_dense.h>

#include <cmath>

namespace ccdl::cpu::dense {

// Pairs of vectors whose outer products are still to be taken from a matrix: sum_q left_q^T right_q.
template <class T>
class Pending {
 public:
  Pending(int64_t pairs, int64_t left_size, int64_t right_size)
      : left_size_(left_size),
        right_size_(right_size),
        left_(pairs * left_size),
        right_(pairs * right_size),
        coefficients_(pairs) {}
  T* left(int64_t q) { return left_ + q * left_size_; }
  T* right(int64_t q) { return right_ + q * right_size_; }

  // y [n] -= sum_q left_q[i] right_q[at..] over the first q
  void take_row(int64_t count, int64_t i, int64_t at, int64_t n, T* y) {
    for (int64_t q = 0; q < count; ++q) coefficients_[q] = left(q)[i];
    simd_.columns(right_ + at, right_size_, count, n, T(-1), coefficients_, y);
  }
  // x [n] -= sum_q right_q[j] left_q[at..]
  void take_column(int64_t count, int64_t j, int64_t at, int64_t n, T* x) {
    for (int64_t q = 0; q < count; ++q) coefficients_[q] = right(q)[j];
    simd_.columns(left_ + at, left_size_, count, n, T(-1), coefficients_, x);
  }
  // y [n] -= sum_q (left_q[from..] . x [m]) right_q[at..], m elements
  void take_product(int64_t count, int64_t from, int64_t m, const T* x, int64_t at, int64_t n, T* y) {
    simd_.rows(left_ + from, left_size_, count, m, x, coefficients_, false);
    simd_.columns(right_ + at, right_size_, count, n, T(-1), coefficients_, y);
  }

 private:
  const LinalgTypeKernels<T>& simd_ = linalg_kernels<T>();
  int64_t left_size_, right_size_;
  Buffer<T> left_, right_, coefficients_;
};

inline int64_t condense_panel(int64_t n) { return n <= 24 ? n : n <= 96 ? 16 : 32; }

// The upper triangle of a = Q T Q^T; T's diagonal to d [n], beside it e [n - 1]. Reflector k is in row k from
// column k + 1 on, with its leading 1; tau [n].
template <class T>
void tridiagonalise(T* a, int64_t n, T* d, T* e, T* tau) {
  const auto& simd = linalg_kernels<T>();
  const int64_t panel = condense_panel(n);
  Pending<T> pending(2 * panel, n, n);
  for (int64_t k = 0; k + 2 < n; k += panel) {
    const int64_t width = std::min(panel, n - 2 - k);
    for (int64_t i = k; i < k + width; ++i) {
      check_interrupt();
      const int64_t q = 2 * (i - k), rest = n - i - 1;
      T* row = a + i * n;
      if (q > 0) pending.take_row(q, i, i, n - i, row + i);
      d[i] = row[i];
      T* v = row + i + 1;
      const Reflection<T> r = simd.reflection(v, rest);
      e[i] = r.beta;
      tau[i] = r.tau;
      T *p = pending.left(q), *w = pending.left(q + 1);
      std::fill(p + k, p + i + 1, T(0));
      std::fill(w + k, w + i + 1, T(0));
      std::copy_n(v, rest, p + i + 1);
      T* y = w + i + 1;
      if (r.tau == 0) {
        std::fill_n(y, rest, T(0));
      } else {
        simd.symmetric(a + (i + 1) * (n + 1), n, rest, v, y);
        if (q > 0) pending.take_product(q, i + 1, rest, v, i + 1, rest, y);
        simd.scale(y, rest, r.tau);
        const T half = T(-0.5) * r.tau * simd.dot(y, v, rest);
        simd.columns(v, rest, 1, rest, T(1), &half, y);
      }
      std::copy(w + k, w + n, pending.right(q) + k);
      std::copy(p + k, p + n, pending.right(q + 1) + k);
    }
    const int64_t from = k + width, rest = n - from;
    constexpr int64_t kStrip = 128;
    for (int64_t i = 0; i < rest; i += kStrip)
      product<T>(std::min(kStrip, rest - i), rest - i, 2 * width, -1, {pending.left(0) + from + i, 1, n},
                 {pending.right(0) + from + i, n, 1}, 1, a + (from + i) * (n + 1), n);
  }
  if (n > 1) {
    d[n - 2] = a[(n - 2) * n + n - 2];
    e[n - 2] = a[(n - 2) * n + n - 1];
  }
  if (n > 0) d[n - 1] = a[n * n - 1];
}

// w [n, m], n <= m, holds the columns of A as rows: A = U B V^T, B upper bidiagonal with d [n] and e [n - 1].
// Left reflector k is in row k of w from column k on; right reflector k in row k of `right` [n, n] from
// column k + 1 on (null: not kept).
template <class T>
class Bidiagonaliser {
 public:
  Bidiagonaliser(T* w, int64_t n, int64_t m, T* d, T* e, T* tau_left, T* tau_right, T* right)
      : w_(w),
        n_(n),
        m_(m),
        d_(d),
        e_(e),
        tau_left_(tau_left),
        tau_right_(tau_right),
        right_(right),
        panel_(std::min(condense_panel(n), n)),
        pending_(2 * panel_, n, m),
        row_(n),
        sum_(m),
        products_(2 * panel_) {}

  void run() {
    for (int64_t k = 0; k < n_; k += panel_) {
      const int64_t width = std::min(panel_, n_ - k);
      for (int64_t i = k; i < k + width; ++i) {
        check_interrupt();
        step(k, i);
      }
      const int64_t from = k + width;
      product<T>(n_ - from, m_ - from, 2 * width, -1, {pending_.left(0) + from, 1, n_},
                 {pending_.right(0) + from, m_, 1}, 1, w_ + from * (m_ + 1), m_);
    }
  }

 private:
  // Pair 2 (i - k): y (row products, `left`) with the left reflector; pair 2 (i - k) + 1: the right reflector
  // (`left`) with the column products.
  void step(int64_t k, int64_t i) {
    const int64_t q = 2 * (i - k), below = m_ - i, rest = n_ - i - 1;
    T* u = w_ + i * m_ + i;
    if (q > 0) pending_.take_row(q, i, i, below, u);
    const Reflection<T> left = simd_.reflection(u, below);
    d_[i] = left.beta;
    tau_left_[i] = left.tau;
    T* kept = pending_.right(q);
    std::fill(kept + k, kept + i, T(0));
    std::copy_n(u, below, kept + i);
    if (rest == 0) {
      std::fill(pending_.left(q) + k, pending_.left(q) + n_, T(0));
      std::fill(pending_.left(q + 1) + k, pending_.left(q + 1) + n_, T(0));
      std::fill(pending_.right(q + 1) + k, pending_.right(q + 1) + m_, T(0));
      return;
    }
    T* row = row_;
    for (int64_t j = 0; j < rest; ++j) row[j] = w_[(i + 1 + j) * m_ + i];
    if (q > 0) pending_.take_column(q, i, i + 1, rest, row);
    products_of_rows(q, i, u, left.tau);
    T* v = pending_.left(q + 1) + i + 1;
    std::fill(pending_.left(q + 1) + k, v, T(0));
    std::copy_n(row, rest, v);
    const Reflection<T> right = simd_.reflection(v, rest);
    e_[i] = right.beta;
    tau_right_[i] = right.tau;
    if (right_ != nullptr) std::copy_n(v, rest, right_ + i * n_ + i + 1);
    T* x = pending_.right(q + 1) + i + 1;
    std::fill(pending_.right(q + 1) + k, x, T(0));
    if (right.tau == 0) {
      std::fill_n(x, below - 1, T(0));
      return;
    }
    // A v from A row: v = (row - beta e_0) / (row_0 - beta)
    const T head = row[0] - right.beta;
    if (std::abs(head) > kTiny && std::abs(head) < T(1) / kTiny) {
      std::copy_n(sum_.get(), below - 1, x);
      const T beta = -right.beta;
      simd_.columns(w_ + (i + 1) * m_ + i + 1, m_, 1, below - 1, T(1), &beta, x);
      simd_.scale(x, below - 1, T(1) / head);
    } else {
      std::fill_n(x, below - 1, T(0));
      simd_.columns(w_ + (i + 1) * m_ + i + 1, m_, rest, below - 1, T(1), v, x);
    }
    pending_.take_product(q + 1, i + 1, rest, v, i + 1, below - 1, x);
    simd_.scale(x, below - 1, right.tau);
  }

  // y = tau A^T u, row -= y, and sum = A row below i, in blocks of columns of A that stay in the cache
  void products_of_rows(int64_t q, int64_t i, const T* u, T tau) {
    const int64_t below = m_ - i, rest = n_ - i - 1;
    T* y = pending_.left(q) + i + 1;
    std::fill(pending_.left(q) + i - q / 2, y, T(0));
    std::fill_n(sum_.get(), below - 1, T(0));
    T* correction = products_;
    simd_.rows(pending_.right(0) + i, m_, q, below, u, correction, false);
    const int64_t block =
        std::max<int64_t>(8, (int64_t{24} << 10) / static_cast<int64_t>(sizeof(T)) / below / 8 * 8);
    for (int64_t j = 0; j < rest; j += block) {
      const int64_t count = std::min(block, rest - j);
      const T* a = w_ + (i + 1 + j) * m_ + i;
      simd_.rows(a, m_, count, below, u, y + j, false);
      simd_.columns(pending_.left(0) + i + 1 + j, n_, q, count, T(-1), correction, y + j);
      simd_.scale(y + j, count, tau);
      for (int64_t p = 0; p < count; ++p) row_[j + p] -= y[j + p];
      simd_.columns(a + 1, m_, count, below - 1, T(1), row_ + j, sum_);
    }
  }

  static constexpr T kTiny = sizeof(T) == 4 ? T(1e-30f) : T(1e-280);
  const LinalgTypeKernels<T>& simd_ = linalg_kernels<T>();
  T* w_;
  int64_t n_, m_;
  T *d_, *e_, *tau_left_, *tau_right_, *right_;
  int64_t panel_;
  Pending<T> pending_;
  Buffer<T> row_, sum_, products_;
};

}  // namespace ccdl::cpu::dense
