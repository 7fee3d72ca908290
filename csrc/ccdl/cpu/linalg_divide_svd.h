// Divide and conquer for the singular vectors of bidiagonal matrices (linalg_divide.h).
#pragma once
#include <ccdl/cpu/linalg_divide.h>

namespace ccdl::cpu::dense {

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
