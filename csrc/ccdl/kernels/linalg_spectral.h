// Eigenvalues of symmetric matrices (Householder tridiagonalisation, then implicit QL) and singular values
// (one-sided Jacobi), for the teams of linalg_team.h. Golub and Van Loan, Matrix Computations, 8.3 and 8.6.
#pragma once
#include <ccdl/kernels/linalg_team.h>

namespace ccdl::linalg {

// Rows p and q of x: (p, q) := (c p - s q, s p + c q)
template <class Team>
CCDL_HD void rotate_rows(const Team& team, double* p, double* q, int64_t n, double c, double s) {
  for (int64_t i = team.rank(); i < n; i += team.size()) {
    const double a = p[i], b = q[i];
    p[i] = c * a - s * b;
    q[i] = s * a + c * b;
  }
}

template <class Team>
CCDL_HD void swap_rows(const Team& team, double* p, double* q, int64_t n) {
  for (int64_t i = team.rank(); i < n; i += team.size()) {
    const double v = p[i];
    p[i] = q[i];
    q[i] = v;
  }
}

template <class Team>
CCDL_HD bool all_finite(const Team& team, const double* x, int64_t n) {
  double bad = 0;
  for (int64_t i = team.rank(); i < n; i += team.size()) bad += x[i] - x[i] == 0 ? 0 : 1;
  return team.total(bad) == 0;
}

struct EighTask {
  double *a, *w, *vt, *work_;
  int32_t* info;
  int64_t n;

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    double *x = a + batch * n * n, *d = w + batch * n, *z = vt == nullptr ? nullptr : vt + batch * n * n;
    double *e = work_ + batch * 5 * n, *tau = e + n, *p = tau + n, *cs = p + n, *sn = cs + n;
    if (!all_finite(team, x, n * n)) {
      if (team.rank() == 0) info[batch] = 1;
      return;
    }
    tridiagonalise(team, x, d, e, tau, p);
    if (z != nullptr) {
      for (int64_t j = team.row(); j < n; j += team.rows())
        for (int64_t i = team.column(); i < n; i += team.columns()) z[j * n + i] = i == j ? 1 : 0;
      team.sync();  // the identity is written
      for (int64_t k = n - 3; k >= 0; --k) reflect_rows(team, x + k * n, tau[k], z, n, k + 1, 0, n, p);
    }
    int32_t failed = 0;
    for (int64_t l = 0; l < n && failed == 0; ++l) {
      int steps = 0;
      for (;;) {
        const int64_t m = split(d, e, l);  // read by all
        team.sync();                       // everyone has read d and e
        if (m == l) break;
        if (++steps > 60) {
          failed = 1;
          break;
        }
        if (team.rank() == 0) p[0] = static_cast<double>(ql_step(d, e, cs, sn, l, m));
        team.sync();  // the rotations are known
        const int64_t last = static_cast<int64_t>(p[0]);
        for (int64_t i = team.rank(); z != nullptr && i < n; i += team.size())  // its own columns
          for (int64_t k = m - 1; k >= last; --k) {
            const double u = z[k * n + i], v = z[(k + 1) * n + i];
            z[k * n + i] = cs[k] * u - sn[k] * v;
            z[(k + 1) * n + i] = sn[k] * u + cs[k] * v;
          }
        team.sync();  // rotations may be overwritten
      }
    }
    for (int64_t i = 0; i + 1 < n; ++i) {  // ascending
      int64_t least = i;
      for (int64_t j = i + 1; j < n; ++j) least = d[j] < d[least] ? j : least;
      team.sync();  // all agree on the place
      if (least == i) continue;
      if (z != nullptr) swap_rows(team, z + i * n, z + least * n, n);
      if (team.rank() == 0) {
        const double v = d[i];
        d[i] = d[least];
        d[least] = v;
      }
      team.sync();
    }
    if (team.rank() == 0) info[batch] = failed;
  }

  // x (symmetric, both triangles) = Q T Q^T; diagonal to d, below it to e; reflector k in row k from k + 1
  template <class Team>
  CCDL_HD void tridiagonalise(const Team& team, double* x, double* d, double* e, double* tau,
                              double* p) const {
    for (int64_t k = 0; k + 2 < n; ++k) {
      double* v = x + k * n;
      const int64_t from = k + 1, rest = n - from;
      if (team.rank() == 0) {
        const Reflector r = reflector(v + from, rest);
        tau[k] = r.tau;
        e[k] = r.beta;
        for (int64_t i = from + 1; i < n; ++i) v[i] *= r.tau == 0 ? 1 : r.scale;
        v[from] = 1;
      }
      team.sync();  // the reflector is complete
      const double t = tau[k];
      for (int64_t i = from + team.rank(); i < n; i += team.size())
        p[i] = t * dot(x + i * n + from, v + from, rest);
      team.sync();  // p = tau A v
      double part = 0;
      for (int64_t i = from + team.rank(); i < n; i += team.size()) part += p[i] * v[i];
      const double half = 0.5 * t * team.total(part);
      for (int64_t i = from + team.rank(); i < n; i += team.size()) p[i] -= half * v[i];
      team.sync();  // p = tau A v - (tau / 2) (p . v) v
      for (int64_t i = from + team.row(); i < n; i += team.rows())
        for (int64_t j = from + team.column(); j < n; j += team.columns())
          x[i * n + j] -= v[i] * p[j] + p[i] * v[j];
      team.sync();  // the next row is complete
    }
    if (team.rank() == 0) {
      for (int64_t i = 0; i < n; ++i) d[i] = x[i * n + i];
      if (n > 1) e[n - 2] = x[(n - 2) * n + n - 1];
      if (n > 0) e[n - 1] = 0;
    }
    team.sync();
  }

  // The first m >= l below which the matrix falls apart.
  CCDL_HD int64_t split(const double* d, const double* e, int64_t l) const {
    int64_t m = l;
    for (; m + 1 < n; ++m)
      if (fabs(e[m]) <= 2.220446049250313e-16 * (fabs(d[m]) + fabs(d[m + 1])) || fabs(e[m]) < 1e-300) break;
    return m;
  }

  // One implicit QL step on rows l..m by one thread: rotation k (of rows k, k + 1) to cs[k], sn[k], for k
  // from m - 1 down to the returned one.
  CCDL_HD int64_t ql_step(double* d, double* e, double* cs, double* sn, int64_t l, int64_t m) const {
    double g = (d[l + 1] - d[l]) / (2 * e[l]);
    const double root = sqrt(g * g + 1);
    g = d[m] - d[l] + e[l] / (g + (g < 0 ? -root : root));
    double s = 1, c = 1, shift = 0;
    for (int64_t i = m - 1; i >= l; --i) {
      const double f = s * e[i], b = c * e[i];
      double r = hypot(f, g);
      e[i + 1] = r;
      if (r == 0) {  // it fell apart on the way
        d[i + 1] -= shift;
        e[m] = 0;
        return i + 1;
      }
      s = f / r;
      c = g / r;
      g = d[i + 1] - shift;
      r = (d[i] - g) * s + 2 * c * b;
      shift = s * r;
      d[i + 1] = g + shift;
      g = c * r - b;
      cs[i] = c;
      sn[i] = s;
    }
    d[l] -= shift;
    e[l] = g;
    e[m] = 0;
    return l;
  }
};

struct SvdTask {
  double *at, *s, *vt;
  int32_t* info;
  int64_t m, n;  // n <= m

  template <class Team>
  CCDL_HD void operator()(const Team& team, int64_t batch) const {
    double *x = at + batch * m * n, *sv = s + batch * n, *v = vt == nullptr ? nullptr : vt + batch * n * n;
    if (!all_finite(team, x, m * n)) {
      if (team.rank() == 0) info[batch] = 1;
      return;
    }
    double largest = 0;  // the same in all threads; scales squares into range
    for (int64_t i = 0; i < m * n; ++i) largest = fabs(x[i]) > largest ? fabs(x[i]) : largest;
    team.sync();  // all have read
    const double scale = largest > 0 ? largest : 1;
    for (int64_t i = team.rank(); i < m * n; i += team.size()) x[i] /= scale;
    for (int64_t j = team.row(); v != nullptr && j < n; j += team.rows())
      for (int64_t i = team.column(); i < n; i += team.columns()) v[j * n + i] = i == j ? 1 : 0;
    team.sync();
    bool turned = n > 1;
    for (int sweep = 0; turned && sweep < 60; ++sweep) {
      turned = false;
      square_lengths(team, x, sv);
      for (int64_t p = 0; p + 1 < n; ++p)
        for (int64_t q = p + 1; q < n; ++q) turned |= turn(team, x, v, sv, p, q);
    }
    finish(team, x, sv, v, scale);
    if (team.rank() == 0) info[batch] = turned ? 1 : 0;
  }

  template <class Team>
  CCDL_HD double product(const Team& team, const double* a, const double* b) const {
    if (team.size() == 1) return dot(a, b, m);
    double part = 0;
    for (int64_t i = team.rank(); i < m; i += team.size()) part += a[i] * b[i];
    return team.total(part);
  }

  template <class Team>
  CCDL_HD void square_lengths(const Team& team, const double* x, double* sv) const {
    for (int64_t j = team.rank(); j < n; j += team.size()) sv[j] = dot(x + j * m, x + j * m, m);
    team.sync();  // all lengths are there
  }

  // Makes rows p and q orthogonal; false when they already are. sv holds the squared lengths, which follow
  // the rotations (and are computed anew in every sweep).
  template <class Team>
  CCDL_HD bool turn(const Team& team, double* x, double* v, double* sv, int64_t p, int64_t q) const {
    double *a = x + p * m, *b = x + q * m;
    const double aa = sv[p], bb = sv[q];
    const double ab = product(team, a, b);  // ends with all threads past their reads of sv
    const double both = aa > 0 && bb > 0 ? sqrt(aa) * sqrt(bb) : 0;
    if (!(fabs(ab) > 1e-15 * both) || fabs(ab) < 1e-290) return false;
    const double zeta = (bb - aa) / (2 * ab);
    const double t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
    const double c = 1 / sqrt(1 + t * t);
    rotate_rows(team, a, b, m, c, c * t);
    if (v != nullptr) rotate_rows(team, v + p * n, v + q * n, n, c, c * t);
    if (team.rank() == 0) {
      sv[p] = aa - t * ab;
      sv[q] = bb + t * ab;
    }
    team.sync();  // the next pair reads them
    return true;
  }

  // Lengths, order, unit vectors; a row of length zero gets a unit vector orthogonal to all before it.
  template <class Team>
  CCDL_HD void finish(const Team& team, double* x, double* sv, double* v, double scale) const {
    square_lengths(team, x, sv);
    for (int64_t j = team.rank(); j < n; j += team.size()) sv[j] = sqrt(sv[j]);
    team.sync();
    for (int64_t i = 0; i < n; ++i) {
      int64_t most = i;
      for (int64_t j = i + 1; j < n; ++j) most = sv[j] > sv[most] ? j : most;
      team.sync();  // all agree on the place
      if (most != i) {
        swap_rows(team, x + i * m, x + most * m, m);
        if (v != nullptr) swap_rows(team, v + i * n, v + most * n, n);
        if (team.rank() == 0) {
          const double t = sv[i];
          sv[i] = sv[most];
          sv[most] = t;
        }
        team.sync();
      }
      if (v == nullptr) continue;
      const double length = sv[i];
      if (length > sv[0] * 1e-290 && length > 0)
        for (int64_t k = team.rank(); k < m; k += team.size()) x[i * m + k] /= length;
      else
        complete(team, x, i);
      team.sync();
    }
    for (int64_t j = team.rank(); j < n; j += team.size()) sv[j] *= scale;
    team.sync();
  }

  template <class Team>
  CCDL_HD void complete(const Team& team, double* x, int64_t row) const {
    int64_t at_ = 0;  // the axis that the rows so far cover least
    double least = 2;
    for (int64_t k = 0; k < m; ++k) {
      double covered = 0;
      for (int64_t j = 0; j < row; ++j) covered += x[j * m + k] * x[j * m + k];
      if (covered < least) least = covered, at_ = k;
    }
    team.sync();  // all agree
    for (int64_t k = team.rank(); k < m; k += team.size()) x[row * m + k] = k == at_ ? 1 : 0;
    team.sync();
    for (int twice = 0; twice < 2; ++twice)
      for (int64_t j = 0; j < row; ++j) {
        const double f = product(team, x + j * m, x + row * m);
        for (int64_t k = team.rank(); k < m; k += team.size()) x[row * m + k] -= f * x[j * m + k];
        team.sync();
      }
    const double length = sqrt(product(team, x + row * m, x + row * m));
    for (int64_t k = team.rank(); k < m; k += team.size()) x[row * m + k] /= length;
  }
};

}  // namespace ccdl::linalg
