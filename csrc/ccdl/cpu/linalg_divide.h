// Divide and conquer for tridiagonal eigenvectors and bidiagonal singular vectors: two halves and one
// rank-one coupling, whose vectors are one product with those of the halves. What has converged already is
// left out of it (deflation). Cuppen (1981); Gu and Eisenstat, A divide-and-conquer algorithm for the
// symmetric tridiagonal eigenproblem / for the bidiagonal SVD (1995).
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

// Eigenvectors of the tridiagonal (d, e) as rows of z [n, n], in the order of d (not sorted).
template <class T>
class TridiagonalDivide {
 public:
  TridiagonalDivide(T* d, T* e, int64_t n, T* z) : d_(d), e_(e), n_(n), z_(z) {}
  bool run() {
    std::fill_n(z_, n_ * n_, T(0));
    T most = 0;
    for (int64_t i = 0; i < n_; ++i) most = std::max(most, std::abs(d_[i]));
    for (int64_t i = 0; i + 1 < n_; ++i) most = std::max(most, std::abs(e_[i]));
    const T scale = unit_scale(most);  // couplings are compared with unit vectors
    for (int64_t i = 0; i < n_; ++i) d_[i] *= scale;
    for (int64_t i = 0; i + 1 < n_; ++i) e_[i] *= scale;
    const bool good = solve(0, n_);
    for (int64_t i = 0; i < n_; ++i) d_[i] /= scale;
    return good;
  }

 private:
  bool solve(int64_t low, int64_t high) {
    const int64_t n = high - low;
    T* z = z_ + low * (n_ + 1);
    if (n <= kLeaf) {
      for (int64_t i = 0; i < n; ++i) z[i * (n_ + 1)] = 1;
      return tridiagonal_vectors(d_ + low, e_ + low, n, z, n_, n);
    }
    check_interrupt();
    const int64_t middle = low + n / 2;
    const T coupling = e_[middle - 1];
    d_[middle - 1] -= std::abs(coupling);
    d_[middle] -= std::abs(coupling);
    if (!solve(low, middle) || !solve(middle, high)) return false;
    merge(low, middle, high, coupling);
    return true;
  }

  void merge(int64_t low, int64_t middle, int64_t high, T coupling) {
    const int64_t n = high - low;
    T *basis = z_ + low * (n_ + 1), *d = d_ + low;
    const T scale = std::sqrt(T(0.5)), rho = 2 * std::abs(coupling);
    std::vector<T> z(n);
    T most = 0, most_z = 0;
    for (int64_t i = 0; i < n; ++i) {
      const int64_t r = low + i;
      z[i] = r < middle ? z_[r * n_ + middle - 1] * scale
                        : (coupling < 0 ? -scale : scale) * z_[r * n_ + middle];
      most = std::max(most, std::abs(d[i]));
      most_z = std::max(most_z, std::abs(z[i]));
    }
    const T limit = 8 * kEpsilon<T> * std::max(most, most_z);
    if (rho * most_z <= limit) return;  // nothing couples
    std::vector<int64_t> order(n), aside;
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return d[a] < d[b]; });
    std::vector<Reach> reach(n);
    for (int64_t i = 0; i < n; ++i) reach[i] = low + i < middle ? Reach::First : Reach::Second;
    Coupled<T> c;
    const auto keep = [&](int64_t i) {
      c.d.push_back(d[i]);
      c.z.push_back(z[i]);
      c.row.push_back(i);
      c.reach.push_back(reach[i]);
    };
    int64_t before = -1;
    for (int64_t i : order) {
      if (rho * std::abs(z[i]) <= limit) {
        aside.push_back(i);
        continue;
      }
      if (before >= 0) {
        const T length = std::hypot(z[before], z[i]), cosine = z[i] / length, sine = -z[before] / length,
                gap = d[i] - d[before];
        if (std::abs(gap * cosine * sine) <= limit) {
          z[i] = length;
          if (reach[i] != reach[before]) reach[i] = Reach::Both;
          turn_rows(basis + before * n_, basis + i * n_, n, cosine, sine);
          const T a = d[before] * cosine * cosine + d[i] * sine * sine;
          d[i] = d[before] * sine * sine + d[i] * cosine * cosine;
          d[before] = a;
          aside.push_back(before);
        } else {
          keep(before);
        }
      }
      before = i;
    }
    if (before >= 0) keep(before);
    couple(c, aside, rho, basis, d, n, middle - low);
  }

  void couple(const Coupled<T>& c, const std::vector<int64_t>& aside, T rho, T* basis, T* d, int64_t n,
              int64_t first_columns) {
    const int64_t k = c.size();
    int64_t counts[3];
    const std::vector<int64_t> place = c.places(counts);
    const Sources<T> sources(c, place, counts, basis, n_, first_columns, n);
    const Aside<T> rest(aside, basis, n_, n);
    std::vector<T> values;
    for (int64_t i : aside) values.push_back(d[i]);
    Buffer<T> gaps(k * k), vectors(k * k), f(k), roots(k);
    solve_secular(c, rho, false, roots.get(), gaps.get(), f.get());
    Buffer<T> u(k);
    for (int64_t j = 0; j < k; ++j) {
      secular_kernels<T>().quotients(f, gaps + j * k, k, u);
      for (int64_t i = 0; i < k; ++i) vectors[j * k + place[i]] = u[i];
    }
    sources.combine(vectors, k, basis, n_);
    rest.put(basis + k * n_, n_);
    std::copy_n(roots.get(), k, d);
    std::copy(values.begin(), values.end(), d + k);
  }

  T *d_, *e_;
  int64_t n_;
  T* z_;
};

// Singular vectors of the upper bidiagonal (d [n], e [n - 1]) as rows of u and v [n, n], in the order of d
// (not sorted). A part of it is [count, count + 1] when it has a row after it: its last right vector, in row
// `low` + count of v, belongs to the value 0.
template <class T>
class BidiagonalDivide {
 public:
  BidiagonalDivide(T* d, T* e, int64_t n, T* u, T* v) : d_(d), e_(e), n_(n), u_(u), v_(v) {}
  bool run() {
    std::fill_n(u_, n_ * n_, T(0));
    std::fill_n(v_, n_ * n_, T(0));
    return solve(0, n_, false);
  }

 private:
  bool solve(int64_t low, int64_t count, bool wide) {
    if (count <= kLeaf) return leaf(low, count, wide);
    check_interrupt();
    const int64_t first = count / 2, middle = low + first;
    if (!solve(low, first, true) || !solve(middle + 1, count - first - 1, wide)) return false;
    merge(low, middle, count, wide);
    return true;
  }

  bool leaf(int64_t low, int64_t count, bool wide) {
    const int64_t columns = count + wide;
    T *u = u_ + low * (n_ + 1), *v = v_ + low * (n_ + 1);
    for (int64_t i = 0; i < count; ++i) u[i * (n_ + 1)] = 1;
    for (int64_t i = 0; i < columns; ++i) v[i * (n_ + 1)] = 1;
    if (!wide) return BidiagonalQr<T>(d_ + low, e_ + low, count, u, n_, count, v, n_, columns).run();
    T d[kLeaf + 1], e[kLeaf + 1];
    std::copy_n(d_ + low, count, d);
    std::copy_n(e_ + low, count, e);
    d[count] = 0;  // a row of zeros: its left vector, the last, is never turned
    const bool good = BidiagonalQr<T>(d, e, count + 1, u, n_, count, v, n_, columns).run();
    std::copy_n(d, count, d_ + low);
    return good;
  }

  void merge(int64_t low, int64_t middle, int64_t count, bool wide) {
    const int64_t columns = count + wide, at = middle - low;
    T *u = u_ + low * (n_ + 1), *v = v_ + low * (n_ + 1), *d = d_ + low;
    const T alpha = d_[middle], beta = e_[middle];
    d[at] = 0;
    std::fill_n(u + at * n_, count, T(0));
    u[at * (n_ + 1)] = 1;
    T most = std::max(std::abs(alpha), std::abs(beta));
    for (int64_t i = 0; i < count; ++i) most = std::max(most, d[i]);
    if (most == 0) return;
    const T scale = unit_scale(most);  // squares of this part are in range
    std::vector<T> z(count);
    std::vector<Reach> reach(count);
    for (int64_t i = 0; i < count; ++i) {
      reach[i] = i <= at ? Reach::First : Reach::Second;
      z[i] = i <= at ? scale * alpha * v[i * n_ + at] : scale * beta * v[i * n_ + at + 1];
      d[i] *= scale;
    }
    const T limit = 8 * kEpsilon<T> * (most * scale);
    if (wide) {  // one of the two null vectors takes all of the coupling
      const T last = scale * beta * v[count * n_ + at + 1], length = std::hypot(z[at], last);
      const T cosine = length > limit ? z[at] / length : T(1), sine = length > limit ? last / length : T(0);
      turn_rows(v + at * n_, v + count * n_, columns, cosine, sine);
      z[at] = length;
      reach[at] = Reach::Both;
    }
    if (std::abs(z[at]) <= limit) z[at] = limit;
    std::vector<int64_t> order, aside;
    for (int64_t i = 0; i < count; ++i)
      if (i != at) order.push_back(i);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return d[a] < d[b]; });
    Coupled<T> c;
    const auto keep = [&](int64_t i) {
      c.d.push_back(d[i]);
      c.z.push_back(z[i]);
      c.row.push_back(i);
      c.reach.push_back(reach[i]);
    };
    keep(at);
    int64_t before = -1;
    for (int64_t i : order) {
      if (std::abs(z[i]) <= limit) {
        aside.push_back(i);
        continue;
      }
      if (before >= 0) {
        if (d[i] - d[before] <= limit) {
          const T length = std::hypot(z[before], z[i]), cosine = z[i] / length, sine = -z[before] / length;
          z[i] = length;
          if (reach[i] != reach[before]) reach[i] = Reach::Both;
          turn_rows(u + before * n_, u + i * n_, count, cosine, sine);
          turn_rows(v + before * n_, v + i * n_, columns, cosine, sine);
          aside.push_back(before);
        } else {
          keep(before);
        }
      }
      before = i;
    }
    if (before >= 0) keep(before);
    if (c.size() > 1) c.d[1] = std::max(c.d[1], limit / 2);
    couple(c, aside, u, v, d, count, columns, at);
    for (int64_t i = 0; i < count; ++i) d[i] /= scale;
  }

  void couple(const Coupled<T>& c, const std::vector<int64_t>& aside, T* u, T* v, T* d, int64_t count,
              int64_t columns, int64_t at) {
    const int64_t k = c.size();
    std::vector<T> values;
    for (int64_t i : aside) values.push_back(d[i]);
    // The middle row of the left basis is an axis: with the first half's rows it is one more column of them.
    Coupled<T> left = c;
    left.reach[0] = Reach::First;
    int64_t counts[3], left_counts[3];
    const std::vector<int64_t> place = c.places(counts), left_place = left.places(left_counts);
    const Sources<T> right_rows(c, place, counts, v, n_, at + 1, columns),
        left_rows(left, left_place, left_counts, u, n_, at + 1, count);
    const Aside<T> left_rest(aside, u, n_, count), right_rest(aside, v, n_, columns);
    Buffer<T> gaps(k * k), x(k * k), y(k * k), f(k), g(k), roots(k), unit(k);
    solve_secular(c, T(1), true, roots.get(), gaps.get(), f.get());
    for (int64_t i = 1; i < k; ++i) g[i] = c.d[i] * f[i];
    for (int64_t j = 0; j < k; ++j) {
      secular_kernels<T>().quotients(f, gaps + j * k, k, unit);
      for (int64_t i = 0; i < k; ++i) y[j * k + place[i]] = unit[i];
      g[0] = -gaps[j * k];  // the first component is -1
      secular_kernels<T>().quotients(g, gaps + j * k, k, unit);
      for (int64_t i = 0; i < k; ++i) x[j * k + left_place[i]] = unit[i];
    }
    left_rows.combine(x, k, u, n_);
    right_rows.combine(y, k, v, n_);
    left_rest.put(u + k * n_, n_);
    right_rest.put(v + k * n_, n_);
    std::copy_n(roots.get(), k, d);
    std::copy(values.begin(), values.end(), d + k);
  }

  T *d_, *e_;
  int64_t n_;
  T *u_, *v_;
};

}  // namespace ccdl::cpu::dense
