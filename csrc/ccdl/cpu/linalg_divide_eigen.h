// Divide and conquer for the eigenvectors of tridiagonal matrices (linalg_divide.h).
#pragma once
#include <ccdl/cpu/linalg_divide.h>

namespace ccdl::cpu::dense {

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

}  // namespace ccdl::cpu::dense
