// Small Cholesky and LU factorisations, reflections, and products of matrices with vectors.
#include <ccdl/cpu/simd/linalg_lu.h>
#include <ccdl/cpu/simd/linalg_triangle.h>
#include <ccdl/cpu/simd/transpose.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// The factor of a corner [R, R] of a; 0, or the first row (from 1) that is not positive.
template <class T, int R>
CCDL_SI int32_t factor_corner(T (&c)[R][R], Corner<T, R>& corner) {
  for (int r = 0; r < R; ++r) {
    if (!(c[r][r] > 0) || c[r][r] - c[r][r] != 0) return r + 1;
    corner.diagonal[r] = root_of(c[r][r]);
    corner.inverse[r] = T(1) / corner.diagonal[r];
    for (int q = r + 1; q < R; ++q) corner.below[q][r] = c[r][q] / corner.diagonal[r];
    for (int p = r + 1; p < R; ++p)
      for (int q = p; q < R; ++q) c[p][q] -= corner.below[p][r] * corner.below[q][r];
  }
  return 0;
}

// Columns j.. of the rows i0.. of U; the first of them hold the corner, which is factored on the way.
template <class T, int R, int NV, bool Tail>
CCDL_SI int32_t cholesky_tile(T* a, int64_t stride, int64_t i0, int64_t j, int lanes, Corner<T, R>& corner) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> acc[R][NV];
  minus_products<T, R, NV, Tail>(acc, a, 1, stride, a + j, stride, i0, lanes);
  if (j == i0) {
    T c[R][R];
    for (int r = 0; r < R; ++r)
      for (int q = r; q < R; ++q) c[r][q] = acc[r][0][q];
    if (const int32_t failed = factor_corner(c, corner)) return failed;
  }
  solve_corner<T, R, NV>(
      acc, corner, false, [&](int r) __attribute__((always_inline)) {
        CCDL_UNROLL for (int v = 0; v < NV; ++v) {
          T* p = a + (i0 + r) * stride + j + v * L;
          if (Tail && v == NV - 1)
            stn(p, acc[r][v], lanes);
          else
            st(p, acc[r][v]);
        }
      });
  return 0;
}

template <class T, int R>
CCDL_SI int32_t cholesky_rows(T* a, int64_t stride, int64_t n, int64_t i0) {
  constexpr int L = Lanes<T>::kN;
  Corner<T, R> corner = {};
  int64_t j = i0;
  int32_t failed = 0;
  for (; failed == 0 && j + 2 * L <= n; j += 2 * L)
    failed = cholesky_tile<T, R, 2, false>(a, stride, i0, j, L, corner);
  const int rest = (int)(n - j);
  if (failed == 0 && rest > L)
    failed = cholesky_tile<T, R, 2, true>(a, stride, i0, j, rest - L, corner);
  else if (failed == 0 && rest > 0)
    failed = cholesky_tile<T, R, 1, true>(a, stride, i0, j, rest, corner);
  if (failed != 0) return (int32_t)i0 + failed;
  for (int r = 0; r < R; ++r) a[(i0 + r) * stride + i0 + r] = corner.diagonal[r];
  return 0;
}

template <class T>
int32_t cholesky(T* a, int64_t stride, int64_t n) {
  constexpr int R = Lanes<T>::kN < kSolveRows ? Lanes<T>::kN : kSolveRows;
  int64_t i = 0;
  for (; i + R <= n; i += R)
    if (const int32_t failed = cholesky_rows<T, R>(a, stride, n, i)) return failed;
  for (; i < n; ++i)
    if (const int32_t failed = cholesky_rows<T, 1>(a, stride, n, i)) return failed;
  return 0;
}

template <class T>
void transpose(const T* a, int64_t a_row, T* b, int64_t b_row, int64_t m, int64_t n) {
  constexpr int L = Lanes<T>::kN;
  for (int64_t i = 0; i < m; i += L) {
    const int rows = m - i < L ? (int)(m - i) : L;
    for (int64_t j = 0; j < n; j += L) {
      const int columns = n - j < L ? (int)(n - j) : L;
      const T* src = a + i * a_row + j;
      Vec<T> r[L];
      if (rows == L && columns == L) {
        CCDL_UNROLL for (int q = 0; q < L; ++q) r[q] = ld(src + q * a_row);
        transpose_block<Vec<T>, typename Lanes<T>::M, L>(r);
        CCDL_UNROLL for (int q = 0; q < L; ++q) st(b + (j + q) * b_row + i, r[q]);
      } else if (rows * columns <= 2 * L) {
        for (int p = 0; p < rows; ++p)
          for (int q = 0; q < columns; ++q) b[(j + q) * b_row + i + p] = src[p * a_row + q];
      } else {
        CCDL_UNROLL for (int q = 0; q < L; ++q) r[q] = q < rows ? ldn(src + q * a_row, columns) : Vec<T>{};
        transpose_block<Vec<T>, typename Lanes<T>::M, L>(r);
        CCDL_UNROLL for (int q = 0; q < L; ++q) if (q < columns) stn(b + (j + q) * b_row + i, r[q], rows);
      }
    }
  }
}

template <class T>
void scale(T* x, int64_t n, T by) {
  const Vec<T> f = set1(by);
  each_vector<T>(
      n, [&](int64_t i, int k) __attribute__((always_inline)) { to(x + i, at(x + i, k) * f, k); });
}

template <class T>
T largest(const T* x, int64_t n) {
  Vec<T> most = {}, bad = {};
  each_vector<T>(
      n, [&](int64_t i, int k) __attribute__((always_inline)) {
        const Vec<T> v = at(x + i, k);
        most = vmax(vabs(v), most);
        bad += v - v;  // NaN for NaN and infinities
      });
  return hmax(most) + lane_sum(bad);
}

// Sums of squares are taken as they are where they are far from over- and underflow, else of x times 2^+-k.
template <class T>
Reflection<T> reflection(T* x, int64_t n) {
  constexpr T kUp = sizeof(T) == 4 ? T(0x1p100f) : T(0x1p600), kSafe = sizeof(T) == 4 ? T(1e-24f) : T(1e-250);
  if (n < 1) return {0, 0};
  T tail = dot(x + 1, x + 1, n - 1), back = 1;
  if (!(tail >= kSafe && tail <= T(1) / kSafe)) {
    const T most = largest(x, n);
    if (!(most > T(0)) || (tail == T(0) && largest(x + 1, n - 1) == T(0))) {
      const T beta = x[0];
      x[0] = 1;
      return {0, beta};
    }
    const T by = most < T(1) ? kUp : T(1) / kUp;
    back = T(1) / by;
    scale(x, n, by);
    tail = dot(x + 1, x + 1, n - 1);
  }
  const T head = x[0], square = head * head;
  T norm;
  if (square <= T(1) / kSafe) {
    norm = root_of(square + tail);
  } else {  // the head alone is huge
    const T ratio = root_of(tail) / head;
    norm = magnitude(head) * root_of(T(1) + ratio * ratio);
  }
  const T beta = head >= T(0) ? -norm : norm;
  scale(x + 1, n - 1, T(1) / (head - beta));
  x[0] = 1;
  return {(beta - head) / beta, beta * back};
}

template <class T, int R>
CCDL_SI void reflect_some(T* a, int64_t stride, int64_t n, const T* v, T tau) {
  Vec<T> sum[R];
  CCDL_UNROLL for (int r = 0; r < R; ++r) sum[r] = Vec<T>{};
  each_vector<T>(
      n, [&](int64_t i, int k) __attribute__((always_inline)) {
        const Vec<T> w = at(v + i, k);
        CCDL_UNROLL for (int r = 0; r < R; ++r) sum[r] = fma(at(a + r * stride + i, k), w, sum[r]);
      });
  Vec<T> f[R];
  CCDL_UNROLL for (int r = 0; r < R; ++r) f[r] = set1(-tau * lane_sum(sum[r]));
  each_vector<T>(
      n, [&](int64_t i, int k) __attribute__((always_inline)) {
        const Vec<T> w = at(v + i, k);
        CCDL_UNROLL for (int r = 0; r < R; ++r)
            to(a + r * stride + i, fma(f[r], w, at(a + r * stride + i, k)), k);
      });
}

template <class T>
void reflect(T* a, int64_t stride, int64_t m, int64_t n, const T* v, T tau) {
  if (tau == T(0)) return;
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) reflect_some<T, 4>(a + i * stride, stride, n, v, tau);
  for (; i < m; ++i) reflect_some<T, 1>(a + i * stride, stride, n, v, tau);
}

template <class T, int R>
CCDL_SI void rows_some(const T* a, int64_t stride, int64_t n, const T* x, T* y, bool add) {
  Vec<T> sum[R], more[R];
  CCDL_UNROLL for (int r = 0; r < R; ++r) sum[r] = more[r] = Vec<T>{};
  constexpr int L = Lanes<T>::kN;
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L) {
    const Vec<T> v = ld(x + i), w = ld(x + i + L);
    CCDL_UNROLL for (int r = 0; r < R; ++r) {
      sum[r] = fma(ld(a + r * stride + i), v, sum[r]);
      more[r] = fma(ld(a + r * stride + i + L), w, more[r]);
    }
  }
  each_vector<T>(
      n - i, [&](int64_t o, int k) __attribute__((always_inline)) {
        const Vec<T> v = at(x + i + o, k);
        CCDL_UNROLL for (int r = 0; r < R; ++r) sum[r] = fma(at(a + r * stride + i + o, k), v, sum[r]);
      });
  CCDL_UNROLL for (int r = 0; r < R; ++r) {
    const T s = lane_sum(sum[r] + more[r]);
    y[r] = add ? y[r] + s : s;
  }
}

template <class T>
void rows(const T* a, int64_t stride, int64_t m, int64_t n, const T* x, T* y, bool add) {
  int64_t i = 0;
  for (; i + 4 <= m; i += 4) rows_some<T, 4>(a + i * stride, stride, n, x, y + i, add);
  for (; i < m; ++i) rows_some<T, 1>(a + i * stride, stride, n, x, y + i, add);
}

template <class T, int NV, bool Tail>
CCDL_SI void columns_some(const T* a, int64_t stride, int64_t m, T alpha, const T* x, T* y, int lanes) {
  constexpr int L = Lanes<T>::kN;
  Vec<T> acc[NV], more[NV];
  CCDL_UNROLL for (int v = 0; v < NV; ++v) acc[v] = more[v] = Vec<T>{};
  int64_t i = 0;
  for (; i + 2 <= m; i += 2) {
    const Vec<T> f = set1(x[i]), g = set1(x[i + 1]);
    CCDL_UNROLL for (int v = 0; v < NV; ++v) {
      const T* p = a + i * stride + v * L;
      acc[v] = fma(f, Tail ? ldn(p, lanes) : ld(p), acc[v]);
      more[v] = fma(g, Tail ? ldn(p + stride, lanes) : ld(p + stride), more[v]);
    }
  }
  if (i < m) {
    const Vec<T> f = set1(x[i]);
    CCDL_UNROLL for (int v = 0; v < NV; ++v) {
      const T* p = a + i * stride + v * L;
      acc[v] = fma(f, Tail ? ldn(p, lanes) : ld(p), acc[v]);
    }
  }
  const Vec<T> f = set1(alpha);
  CCDL_UNROLL for (int v = 0; v < NV; ++v) {
    T* p = y + v * L;
    to(p, fma(f, acc[v] + more[v], at(p, Tail ? lanes : L)), Tail ? lanes : L);
  }
}

template <class T>
void columns(const T* a, int64_t stride, int64_t m, int64_t n, T alpha, const T* x, T* y) {
  constexpr int L = Lanes<T>::kN;
  int64_t j = 0;
  for (; j + 4 * L <= n; j += 4 * L) columns_some<T, 4, false>(a + j, stride, m, alpha, x, y + j, L);
  for (; j + L <= n; j += L) columns_some<T, 1, false>(a + j, stride, m, alpha, x, y + j, L);
  if (j < n) columns_some<T, 1, true>(a + j, stride, m, alpha, x, y + j, (int)(n - j));
}

template <class T, int R>
CCDL_SI void symmetric_rows(const T* a, int64_t stride, int64_t n, int64_t i, const T* x, T* y) {
  Vec<T> sum[R], f[R];
  T own[R];
  CCDL_UNROLL for (int r = 0; r < R; ++r) {
    sum[r] = Vec<T>{};
    f[r] = set1(x[i + r]);
    own[r] = 0;
  }
  for (int r = 0; r < R; ++r) {
    const T* row = a + (i + r) * stride + i;
    own[r] += row[r] * x[i + r];
    for (int q = r + 1; q < R; ++q) {
      own[r] += row[q] * x[i + q];
      own[q] += row[q] * x[i + r];
    }
  }
  const T* p = a + i * stride + i + R;
  each_vector<T>(
      n - i - R, [&](int64_t o, int k) __attribute__((always_inline)) {
        const Vec<T> v = at(x + i + R + o, k);
        Vec<T> out = at(y + i + R + o, k);
        CCDL_UNROLL for (int r = 0; r < R; ++r) {
          const Vec<T> e = at(p + r * stride + o, k);
          sum[r] = fma(e, v, sum[r]);
          out = fma(e, f[r], out);
        }
        to(y + i + R + o, out, k);
      });
  CCDL_UNROLL for (int r = 0; r < R; ++r) y[i + r] += own[r] + lane_sum(sum[r]);
}

template <class T>
void symmetric(const T* a, int64_t stride, int64_t n, const T* x, T* y) {
  for (int64_t i = 0; i < n; ++i) y[i] = 0;
  int64_t i = 0;
  for (; i + 4 <= n; i += 4) symmetric_rows<T, 4>(a, stride, n, i, x, y);
  for (; i < n; ++i) symmetric_rows<T, 1>(a, stride, n, i, x, y);
}

// The row that a rotation shares with the next one stays in registers.
template <class T, int NV, bool Tail>
CCDL_SI void rotate_some(T* z, int64_t stride, const T* c, const T* s, int64_t first, int64_t last, bool up,
                         int lanes) {
  constexpr int L = Lanes<T>::kN;
  const int64_t start = up ? first : last, step = up ? stride : -stride;
  Vec<T> carried[NV];
  T* p = z + start * stride;
  CCDL_UNROLL for (int v = 0; v < NV; ++v) carried[v] = Tail ? ldn(p + v * L, lanes) : ld(p + v * L);
  for (int64_t q = first; q < last; ++q, p += step) {
    const int64_t k = up ? q : last - 1 - (q - first);
    const Vec<T> cc = set1(c[k]), ss = set1(up ? -s[k] : s[k]);
    CCDL_UNROLL for (int v = 0; v < NV; ++v) {
      T* old = p + v * L;
      const Vec<T> other = Tail ? ldn(old + step, lanes) : ld(old + step);
      const Vec<T> done = fma(ss, other, cc * carried[v]);
      carried[v] = fma(cc, other, -(ss * carried[v]));
      if (Tail)
        stn(old, done, lanes);
      else
        st(old, done);
    }
  }
  CCDL_UNROLL for (int v = 0; v < NV; ++v) {
    if (Tail)
      stn(p + v * L, carried[v], lanes);
    else
      st(p + v * L, carried[v]);
  }
}

template <class T>
void rotate(T* z, int64_t stride, int64_t n, const T* c, const T* s, int64_t first, int64_t last, bool up) {
  constexpr int L = Lanes<T>::kN;
  int64_t j = 0;
  for (; j + 4 * L <= n; j += 4 * L) rotate_some<T, 4, false>(z + j, stride, c, s, first, last, up, L);
  for (; j + L <= n; j += L) rotate_some<T, 1, false>(z + j, stride, c, s, first, last, up, L);
  if (j < n) rotate_some<T, 1, true>(z + j, stride, c, s, first, last, up, (int)(n - j));
}

// Up to as many matrices as there are lanes, element e of all of them in lanes[e]; past the end the last one
// again.
template <class T>
struct LaneMatrices {
  static constexpr int kN = Lanes<T>::kN;
  T lanes[kLaneOrder * kLaneOrder][kN];

  __attribute__((always_inline)) void load(const T* x, int64_t live, int64_t size) {
    for (int64_t l = 0; l < kN; ++l) {
      const T* from = x + (l < live ? l : live - 1) * size;
      for (int64_t e = 0; e < size; ++e) lanes[e][l] = from[e];
    }
  }
  __attribute__((always_inline)) void store(T* x, int64_t live, int64_t size) const {
    for (int64_t l = 0; l < live; ++l)
      for (int64_t e = 0; e < size; ++e) x[l * size + e] = lanes[e][l];
  }
};

// f(x, first, live) with matrices first ... first + live - 1 in the lanes of x, which go back where they came
// from.
template <class T, class F>
CCDL_SI void over_lanes(T* a, int64_t count, int64_t size, const F& f) {
  constexpr int L = Lanes<T>::kN;
  for (int64_t first = 0; first < count; first += L) {
    const int64_t live = count - first < L ? count - first : L;
    LaneMatrices<T> x;
    x.load(a + first * size, live, size);
    f(x, first, live);
    x.store(a + first * size, live, size);
  }
}

template <class T>
void cholesky_lanes(T* a, int64_t count, int64_t n, int32_t* info) {
  using V = typename Lanes<T>::V;
  using M = typename Lanes<T>::M;
  over_lanes(a, count, n * n, [=](LaneMatrices<T>& x, int64_t first, int64_t live) {
    V u[kLaneOrder][kLaneOrder];
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = i; j < n; ++j) u[i][j] = ld(x.lanes[i * n + j]);
    M failed = {}, order = {};
    for (int64_t j = 0; j < n; ++j) {
      const M bad = (M)(u[j][j] > 0) == 0;
      order += 1;
      failed = (failed == 0) & bad ? order : failed;
      const V root = vsqrt(u[j][j]);
      u[j][j] = root;
      for (int64_t k = j + 1; k < n; ++k) u[j][k] = u[j][k] / root;
      for (int64_t i = j + 1; i < n; ++i)
        for (int64_t k = i; k < n; ++k) u[i][k] = fma(-u[j][i], u[j][k], u[i][k]);
    }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) st(x.lanes[i * n + j], j < i ? V{} : u[i][j]);
    for (int64_t l = 0; l < live; ++l) info[first + l] = (int32_t)failed[l];
  });
}

template <class T>
void lu_lanes(T* a, int64_t count, int64_t n, int32_t* pivots, int32_t* info) {
  using V = typename Lanes<T>::V;
  using M = typename Lanes<T>::M;
  over_lanes(a, count, n * n, [=](LaneMatrices<T>& x, int64_t first, int64_t live) {
    V u[kLaneOrder][kLaneOrder];
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) u[i][j] = ld(x.lanes[i * n + j]);
    M singular = {}, order = {};
    for (int64_t j = 0; j < n; ++j) {
      V best = vabs(u[j][j]);
      M pivot = order, row = order;  // the first row of the largest magnitude
      for (int64_t i = j + 1; i < n; ++i) {
        row += 1;
        const V v = vabs(u[i][j]);
        const M more = v > best;
        best = select(more, v, best);
        pivot = more ? row : pivot;
      }
      for (int64_t l = 0; l < live; ++l) pivots[(first + l) * n + j] = (int32_t)pivot[l];
      row = order;
      for (int64_t i = j + 1; i < n; ++i) {
        row += 1;
        const M swapped = pivot == row;
        for (int64_t k = 0; k < n; ++k) {
          const V upper = u[j][k], lower = u[i][k];
          u[j][k] = select(swapped, lower, upper);
          u[i][k] = select(swapped, upper, lower);
        }
      }
      order += 1;
      const V d = u[j][j];
      const M zero = d == 0;
      singular = (singular == 0) & zero ? order : singular;
      for (int64_t i = j + 1; i < n; ++i) {
        u[i][j] = select(zero, u[i][j], u[i][j] / d);
        for (int64_t k = j + 1; k < n; ++k) u[i][k] = fma(-u[i][j], u[j][k], u[i][k]);
      }
    }
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) st(x.lanes[i * n + j], u[i][j]);
    for (int64_t l = 0; l < live; ++l) info[first + l] = (int32_t)singular[l];
  });
}

template <class T>
constexpr LinalgTypeKernels<T> kernels() {
  return {solve<T>,     lu_small<T>,   cholesky<T>, cholesky_lanes<T>, lu_lanes<T>, lu<T>,
          transpose<T>, reflection<T>, reflect<T>,  rows<T>,           columns<T>,  symmetric<T>,
          rotate<T>,    dot<T>,        scale<T>,    largest<T>};
}

}  // namespace

extern const LinalgKernels linalg;
const LinalgKernels linalg = {kernels<float>(), kernels<double>()};

}  // namespace ccdl::cpu::CCDL_ISA
