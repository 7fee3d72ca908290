// What divide and conquer shares between tridiagonal eigenvectors and bidiagonal singular vectors: two halves
// and one rank-one coupling, whose vectors are one product with those of the halves. What has converged
// already is left out of it (deflation). Cuppen (1981); Gu and Eisenstat, A divide-and-conquer algorithm for
// the symmetric tridiagonal eigenproblem / for the bidiagonal SVD (1995).
#pragma once
#include <ccdl/cpu/linalg_iterate.h>

#include <cmath>
#include <numeric>
#include <vector>

namespace ccdl::cpu::dense {

// Rows of a basis of which the first half of the columns, all of them, or the second half may be non-zero.
enum class Reach { First = 0, Both = 1, Second = 2 };

// The elements that are left after deflation, ascending in d.
template <class T>
struct Coupled {
  std::vector<T> d, z;
  std::vector<int64_t> row;
  std::vector<Reach> reach;
  int64_t size() const { return static_cast<int64_t>(d.size()); }

  // Place of element i when sorted by reach, in order within one; counts[r] elements each.
  std::vector<int64_t> places(int64_t (&counts)[3]) const {
    counts[0] = counts[1] = counts[2] = 0;
    for (Reach r : reach) ++counts[static_cast<int>(r)];
    int64_t next[3] = {0, counts[0], counts[0] + counts[1]};
    std::vector<int64_t> place(d.size());
    for (size_t i = 0; i < d.size(); ++i) place[i] = next[static_cast<int>(reach[i])]++;
    return place;
  }
};

// Roots of the secular equation and the gaps p_i - root_j [k, k]; f [k]: the corrected z_i, with z's signs.
template <class T>
void solve_secular(const Coupled<T>& c, T rho, bool squares, T* roots, T* gaps, T* f) {
  const auto& secular = secular_kernels<T>();
  const int64_t k = c.size();
  std::vector<T> z2(c.z.size());
  T sum = 0;
  for (int64_t i = 0; i < k; ++i) sum += z2[i] = c.z[i] * c.z[i];
  parallel_for(k, std::max<int64_t>(1, 8192 / k), [&](int64_t first, int64_t last) {
    for (int64_t j = first; j < last; ++j) {
      T* poles = gaps + j * k;
      const SecularRoot<T> r = secular.root(c.d.data(), z2.data(), k, j, rho, sum, squares, poles);
      if (k == 1) poles[0] = 0;
      for (int64_t i = 0; i < k; ++i) poles[i] -= r.tau;
      const T o = c.d[r.origin];
      roots[j] = squares ? o + r.tau / (o + std::sqrt(std::max(o * o + r.tau, T(0)))) : o + r.tau;
    }
  });
  secular.rebuild(c.d.data(), gaps, k, squares, f);
  for (int64_t i = 0; i < k; ++i) f[i] = c.z[i] < 0 ? -std::sqrt(f[i]) : std::sqrt(f[i]);
}

// The rows of a basis that new vectors are made of: those that reach into the first half, cut to it, and
// those that reach into the second.
template <class T>
struct Sources {
  Buffer<T> first, second;
  int64_t reach[3];
  Sources(const Coupled<T>& c, const std::vector<int64_t>& place, const int64_t (&counts)[3], const T* basis,
          int64_t stride, int64_t first_columns, int64_t columns)
      : first((counts[0] + counts[1]) * first_columns),
        second((counts[1] + counts[2]) * (columns - first_columns)),
        reach{counts[0], counts[1], counts[2]},
        first_columns_(first_columns),
        columns_(columns) {
    for (int64_t i = 0; i < c.size(); ++i) {
      const T* row = basis + c.row[i] * stride;
      if (c.reach[i] != Reach::Second) std::copy_n(row, first_columns, first + place[i] * first_columns);
      if (c.reach[i] != Reach::First)
        std::copy_n(row + first_columns, columns - first_columns,
                    second + (place[i] - counts[0]) * (columns - first_columns));
    }
  }
  // out [k, columns] := x [k, places] times the rows
  void combine(const T* x, int64_t k, T* out, int64_t stride) const {
    const int64_t rest = columns_ - first_columns_, total = reach[0] + reach[1] + reach[2];
    product<T>(k, first_columns_, reach[0] + reach[1], 1, {x, total, 1}, {first, first_columns_, 1}, 0, out,
               stride);
    product<T>(k, rest, reach[1] + reach[2], 1, {x + reach[0], total, 1}, {second, rest, 1}, 0,
               out + first_columns_, stride);
  }

 private:
  int64_t first_columns_, columns_;
};

template <class T>
void turn_rows(T* a, T* b, int64_t n, T c, T s) {  // (a, b) := (c a + s b, c b - s a)
  for (int64_t j = 0; j < n; ++j) {
    const T x = a[j], y = b[j];
    a[j] = c * x + s * y;
    b[j] = c * y - s * x;
  }
}

// Copies of rows set aside, written back below the new ones.
template <class T>
class Aside {
 public:
  Aside(const std::vector<int64_t>& rows, const T* basis, int64_t stride, int64_t columns)
      : count_(static_cast<int64_t>(rows.size())), columns_(columns), copies_(count_ * columns) {
    for (int64_t i = 0; i < count_; ++i)
      std::copy_n(basis + rows[i] * stride, columns, copies_ + i * columns);
  }
  void put(T* out, int64_t stride) const {
    for (int64_t i = 0; i < count_; ++i) std::copy_n(copies_ + i * columns_, columns_, out + i * stride);
  }

 private:
  int64_t count_, columns_;
  Buffer<T> copies_;
};

constexpr int64_t kLeaf = 28;

}  // namespace ccdl::cpu::dense
