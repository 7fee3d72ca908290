// Triangular factorisations written for a team: the threads that work on one matrix together, a block on a
// GPU, one thread on a CPU. A team has rank() of size() for one loop, row()/rows() and column()/columns() for
// two nested ones, sync(), and total(v), the sum over the team. Decisions are made from values that all
// threads read, so that they take the same branches. Row-major storage; Golub and Van Loan, Matrix
// Computations, ch. 3-5.
#pragma once
#include <ccdl/core/dtype.h>

#include <cmath>

namespace ccdl::linalg {

// Eight independent sums, so that the compiler may keep them in vector registers.
CCDL_HD CCDL_INLINE double dot(const double* a, const double* b, int64_t n) {
  double s[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) s[k] += a[i + k] * b[i + k];
  double sum = ((s[0] + s[1]) + (s[2] + s[3])) + ((s[4] + s[5]) + (s[6] + s[7]));
  for (; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

struct CholeskyTask {
  double* at;
  int32_t* info;
  int64_t n;

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    double* m = at + batch * n * n;
    int32_t failed = 0;
    for (int64_t j = 0; j < n && failed == 0; ++j) {
      for (int64_t i = j + team.rank(); i < n; i += team.size()) {  // neighbours read neighbouring columns
        double sum = m[j * n + i];
        for (int64_t k = 0; k < j; ++k) sum -= m[k * n + i] * m[k * n + j];
        m[j * n + i] = sum;
      }
      team.sync();  // row j is complete before it is scaled
      const double d = m[j * n + j];
      if (!(d > 0) || d - d != 0) failed = static_cast<int32_t>(j + 1);
      const double root = sqrt(d);
      team.sync();  // every thread has read d
      if (failed == 0)
        for (int64_t i = j + team.rank(); i < n; i += team.size())
          m[j * n + i] = i == j ? root : m[j * n + i] / root;
      team.sync();  // row j is read by the next ones
    }
    for (int64_t i = team.row(); i < n; i += team.rows())
      for (int64_t j = team.column(); j < i; j += team.columns()) m[i * n + j] = 0;
    if (team.rank() == 0) info[batch] = failed;
  }
};

struct LuTask {
  double* a;
  int32_t *pivots, *info;
  int64_t m, n;

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    double* x = a + batch * m * n;
    const int64_t steps = m < n ? m : n;
    int32_t* swaps = pivots + batch * steps;
    int32_t singular = 0;
    for (int64_t k = 0; k < steps; ++k) {
      if (team.rank() == 0) swaps[k] = static_cast<int32_t>(largest(x, k));
      team.sync();  // the pivot row is known
      const int64_t p = swaps[k];
      if (p != k)
        for (int64_t j = team.rank(); j < n; j += team.size()) {
          const double v = x[k * n + j];
          x[k * n + j] = x[p * n + j];
          x[p * n + j] = v;
        }
      team.sync();  // rows are in place
      const double d = x[k * n + k];
      if (d == 0) {
        if (singular == 0) singular = static_cast<int32_t>(k + 1);
        continue;  // the column below is zero as well
      }
      for (int64_t i = k + 1 + team.rank(); i < m; i += team.size()) x[i * n + k] /= d;
      team.sync();  // the multipliers are complete
      for (int64_t i = k + 1 + team.row(); i < m; i += team.rows()) {
        const double l = x[i * n + k];
        for (int64_t j = k + 1 + team.column(); j < n; j += team.columns()) x[i * n + j] -= l * x[k * n + j];
      }
      team.sync();  // the next column is searched
    }
    if (team.rank() == 0) info[batch] = singular;
  }
  CCDL_HD int64_t largest(const double* x, int64_t k) const {
    int64_t at = k;
    double best = fabs(x[k * n + k]);
    for (int64_t i = k + 1; i < m; ++i) {
      const double v = fabs(x[i * n + k]);
      if (v > best) best = v, at = i;
    }
    return at;
  }
};

struct SwapRowsTask {
  double* x;
  const int32_t* pivots;
  int64_t n, k, steps;
  bool inverse;

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    double* y = x + batch * n * k;
    for (int64_t j = team.rank(); j < k; j += team.size())  // each thread moves its own columns
      for (int64_t s = 0; s < steps; ++s) {
        const int64_t i = inverse ? steps - 1 - s : s, p = pivots[batch * steps + i];
        const double v = y[i * k + j];
        y[i * k + j] = y[p * k + j];
        y[p * k + j] = v;
      }
  }
};

struct TriangularSolveTask {
  const double* t;
  double* x;
  int64_t n, k;
  bool upper, unit;

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    const double* a = t + batch * n * n;
    double* y = x + batch * n * k;
    for (int64_t s = 0; s < n; ++s) {
      const int64_t j = upper ? n - 1 - s : s;
      if (!unit) {
        const double d = a[j * n + j];
        for (int64_t c = team.rank(); c < k; c += team.size()) y[j * k + c] /= d;
        team.sync();  // row j of the solution is complete
      }
      for (int64_t i = (upper ? 0 : j + 1) + team.row(); i < (upper ? j : n); i += team.rows()) {
        const double f = a[i * n + j];
        for (int64_t c = team.column(); c < k; c += team.columns()) y[i * k + c] -= f * y[j * k + c];
      }
      team.sync();  // the next row has all its terms
    }
  }
};

// One reflection I - tau v v^T with v = (1, x[1:]) that takes x to (beta, 0, ...): tau and beta, and the
// scale for x[1:]. Written by one thread.
struct Reflector {
  double tau, beta, scale;
};
CCDL_HD CCDL_INLINE Reflector reflector(const double* x, int64_t n) {
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = fabs(x[i]) > largest ? fabs(x[i]) : largest;
  double tail = 0;
  if (largest > 0 && largest - largest == 0)
    for (int64_t i = 1; i < n; ++i) tail += x[i] / largest * (x[i] / largest);
  else if (largest != 0)
    tail = largest;
  if (tail == 0) return {0, n > 0 ? x[0] : 0, 0};
  const double head = x[0] / largest, norm = sqrt(head * head + tail) * largest;
  const double beta = x[0] > 0 ? -norm : norm;
  return {(beta - x[0]) / beta, beta, 1 / (x[0] - beta)};
}

// rows [first, last) of at: at_j -= tau (v . at_j) v, over elements [from, m), v[from] counted as 1
template <class Team>
CCDL_HD void reflect_rows(const Team& team, const double* v, double tau, double* at, int64_t m, int64_t from,
                          int64_t first, int64_t last, double* w) {
  for (int64_t j = first + team.rank(); j < last; j += team.size())
    w[j] = tau * (at[j * m + from] + dot(v + from + 1, at + j * m + from + 1, m - from - 1));
  team.sync();  // all products are there
  for (int64_t j = first + team.row(); j < last; j += team.rows()) {
    const double f = w[j];
    if (team.column() == 0) at[j * m + from] -= f;
    for (int64_t i = from + 1 + team.column(); i < m; i += team.columns()) at[j * m + i] -= f * v[i];
  }
  team.sync();  // rows may be read
}

struct QrTask {
  double *at, *tau, *work_;
  int64_t m, n;

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    double* x = at + batch * m * n;
    const int64_t steps = m < n ? m : n;
    double* taus = tau + batch * steps;
    for (int64_t k = 0; k < steps; ++k) {
      double* v = x + k * m;
      if (team.rank() == 0) {
        const Reflector r = reflector(v + k, m - k);
        taus[k] = r.tau;
        v[k] = r.beta;
        for (int64_t i = k + 1; i < m; ++i) v[i] *= r.tau == 0 ? 1 : r.scale;
      }
      team.sync();  // the reflector is complete
      reflect_rows(team, v, taus[k], x, m, k, k + 1, n, work_ + batch * n);
    }
  }
};

struct QrFormTask {
  const double *at, *tau;
  double *qt, *work_;
  int64_t m, n, p;

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    const double* x = at + batch * m * n;
    const int64_t steps = m < n ? m : n;
    double* q = qt + batch * p * m;
    for (int64_t j = team.row(); j < p; j += team.rows())
      for (int64_t i = team.column(); i < m; i += team.columns()) q[j * m + i] = i == j ? 1 : 0;
    team.sync();  // the identity is written
    for (int64_t k = steps - 1; k >= 0; --k)
      reflect_rows(team, x + k * m, tau[batch * steps + k], q, m, k, 0, p, work_ + batch * p);
  }
};

}  // namespace ccdl::linalg
