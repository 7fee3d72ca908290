// Normalisation inner loops. Moments are taken in blocks that stay in L1: mean first, squared deviations
// second, blocks joined in double, so neither a large mean nor a long row loses digits and memory is read
// once.
#include <ccdl/cpu/simd/lines.h>
#include <ccdl/cpu/simd/norm.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int64_t kBlock = 4096;  // elements whose two passes share L1

template <class T>
using VecOf = typename Lanes<T>::V;
template <class T>
using ScalarOf = typename Lanes<T>::S;

CCDL_SI Moments join(Moments a, Moments b) {
  const double n = a.count + b.count, d = b.mean - a.mean;
  if (n == 0) return a;
  return {n, a.mean + d * (b.count / n), a.m2 + b.m2 + d * d * (a.count * b.count / n)};
}

template <class T>
Moments moments(const void* px, int64_t n) {
  Moments all = {0, 0, 0};
  for (int64_t start = 0; start < n; start += kBlock) {
    const T* x = static_cast<const T*>(px) + start;
    const int64_t m = n - start < kBlock ? n - start : kBlock;
    const ScalarOf<T> c =
        sum_over<T>(m, [&](int64_t i, int k) { return at_halves(x + i, k); }) / (ScalarOf<T>)m;
    const VecOf<T> v = set1(c);
    VecOf<T> sum = {};  // of x - c: moves the rounded mean to the exact one
    const double squares = sum_over<T>(m, [&](int64_t i, int k) {
      const VecOf<T> d = at(x + i, k, c) - v;
      sum += d;
      return d * d;
    });
    const double shift = (double)lane_sum(sum) / (double)m;
    const Moments block = {(double)m, (double)c + shift, squares - (double)m * shift * shift};
    all = start == 0 ? block : join(all, block);
  }
  return all;
}

template <class T>
double sum_squares(const void* px, int64_t n) {
  double all = 0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const T* x = static_cast<const T*>(px) + start;
    all += sum_over<T>(n - start < kBlock ? n - start : kBlock, [&](int64_t i, int k) {
      const VecOf<T> v = at(x + i, k);
      return v * v;
    });
  }
  return all;
}

template <class T>
void row_affine(const void* px, const void* pw, const void* pb, void* py, int64_t n, double mean,
                double scale) {
  const T *x = static_cast<const T*>(px), *w = static_cast<const T*>(pw), *b = static_cast<const T*>(pb);
  T* y = static_cast<T*>(py);
  const VecOf<T> m = set1((ScalarOf<T>)mean), s = set1((ScalarOf<T>)scale);
  if (w && b)
    each_vector<T>(
        n, [&](int64_t i, int k) { to(y + i, fma((at(x + i, k) - m) * s, at(w + i, k), at(b + i, k)), k); });
  else
    each_vector<T>(n, [&](int64_t i, int k) {
      VecOf<T> v = (at(x + i, k) - m) * s;
      if (w) v *= at(w + i, k);
      if (b) v += at(b + i, k);
      to(y + i, v, k);
    });
}

template <class T>
void affine(const void* px, void* py, int64_t n, double mean, double scale, double shift, int64_t ahead) {
  const T* x = static_cast<const T*>(px);
  T* y = static_cast<T*>(py);
  const VecOf<T> m = set1((ScalarOf<T>)mean), s = set1((ScalarOf<T>)scale), b = set1((ScalarOf<T>)shift);
  const auto one = [&](int64_t i, int k) { to(y + i, fma(at(x + i, k) - m, s, b), k); };
  if (ahead)
    each_vector<T>(n, [&](int64_t i, int k) {
      __builtin_prefetch(x + i + ahead, 0, 2);
      one(i, k);
    });
  else
    each_vector<T>(n, one);
}

template <class T>
void grad_sums(const void* px, const void* pdy, int64_t n, double mean, double* sums) {
  const VecOf<T> m = set1((ScalarOf<T>)mean);
  constexpr int kN = Lanes<T>::kN;
  sums[0] = sums[1] = 0;
  for (int64_t start = 0; start < n; start += kBlock) {
    const T *x = static_cast<const T*>(px) + start, *dy = static_cast<const T*>(pdy) + start;
    const int64_t count = n - start < kBlock ? n - start : kBlock;
    VecOf<T> a[2] = {}, b[2] = {};
    int64_t i = 0;
    for (; i + 2 * kN <= count; i += 2 * kN)
      for (int j = 0; j < 2; ++j) {
        const VecOf<T> g = ld_halves(dy + i + j * kN);
        a[j] += g;
        b[j] = fma(g, ld_halves(x + i + j * kN) - m, b[j]);
      }
    for (; i < count; i += kN) {
      const int k = count - i < kN ? (int)(count - i) : kN;
      const VecOf<T> g = at(dy + i, k);
      a[0] += g;
      b[0] = fma(g, at(x + i, k, (ScalarOf<T>)mean) - m, b[0]);
    }
    sums[0] += lane_sum(a[0] + a[1]);
    sums[1] += lane_sum(b[0] + b[1]);
  }
}

template <class T, bool kPast>
CCDL_SI void grad_affine_of(const T* x, const T* dy, T* dx, int64_t n, double mean, double a, double b,
                            double c, int64_t ahead) {
  typedef ScalarOf<T> S;
  const VecOf<T> m = set1((S)mean), va = set1((S)a), vb = set1((S)b), vc = set1((S)c);
  const auto one = [&](int64_t i, int k) {
    to_past<kPast>(dx + i, fma(at(dy + i, k), va, fma(at(x + i, k) - m, vb, vc)), k);
  };
  if (ahead)
    each_vector<T>(n, [&](int64_t i, int k) {
      __builtin_prefetch(x + i + ahead, 0, 2);
      __builtin_prefetch(dy + i + ahead, 0, 2);
      one(i, k);
    });
  else
    each_vector<T>(n, one);
}
template <class T>
void grad_affine(const void* px, const void* pdy, void* pdx, int64_t n, double mean, double a, double b,
                 double c, int64_t ahead, bool past) {
  const T *x = static_cast<const T*>(px), *dy = static_cast<const T*>(pdy);
  T* dx = static_cast<T*>(pdx);
  if constexpr (kStoresPast<T>) {
    if (past && rows_on_lines(pdx, n * (int64_t)sizeof(T))) {
      grad_affine_of<T, true>(x, dy, dx, n, mean, a, b, c, ahead);
      return fence_past();
    }
  }
  grad_affine_of<T, false>(x, dy, dx, n, mean, a, b, c, ahead);
}

// Moments of a row of at most kBlock elements, read from memory once: blocks of kDeep vectors stay in
// registers between their mean, lane by lane, and the deviations from it. What of these means, and of the
// elements behind the last block, deviates from the mean of the row is added to it.
constexpr int kDeep = VB == 64 ? 16 : 8;

template <class T>
CCDL_SI Moments short_moments(const T* x, int64_t n) {
  typedef ScalarOf<T> S;
  typedef VecOf<T> V;
  constexpr int kN = Lanes<T>::kN;
  constexpr int64_t kStep = kDeep * kN;
  V centers[kBlock / kStep], rests[kBlock / kStep];
  V total = {}, squares[2] = {};
  const int64_t blocks = n / kStep;
  for (int64_t b = 0; b < blocks; ++b) {
    V v[kDeep], sum[4] = {}, rest[2] = {};
#pragma GCC unroll 16
    for (int j = 0; j < kDeep; ++j) {
      v[j] = ld_halves(x + b * kStep + j * kN);
      sum[j % 4] += v[j];
    }
    const V c = ((sum[0] + sum[1]) + (sum[2] + sum[3])) * set1(S(1) / S(kDeep));
#pragma GCC unroll 16
    for (int j = 0; j < kDeep; ++j) {
      const V d = v[j] - c;
      rest[j % 2] += d;
      squares[j % 2] = fma(d, d, squares[j % 2]);
    }
    centers[b] = c;
    rests[b] = rest[0] + rest[1];
    total += c;
  }
  const S c = blocks ? lane_sum(total) / (S)(blocks * kN)
                     : sum_over<T>(n, [&](int64_t i, int k) { return at(x + i, k); }) / (S)n;
  const V middle = set1(c);
  V sum = {};
  for (int64_t b = 0; b < blocks; ++b) {
    const V d = centers[b] - middle, all = fma(d, set1(S(kDeep)), rests[b]);
    sum += all;
    squares[0] = fma(d, all + rests[b], squares[0]);
  }
  for (int64_t i = blocks * kStep; i < n; i += kN) {
    const V d = at(x + i, n - i < kN ? (int)(n - i) : kN, c) - middle;
    sum += d;
    squares[1] = fma(d, d, squares[1]);
  }
  const double shift = (double)lane_sum(sum) / (double)n;
  return {(double)n, (double)c + shift,
          (double)lane_sum(squares[0] + squares[1]) - (double)n * shift * shift};
}

// Rows whose moments are taken before the first of them is written, so that the latencies of one row's last
// sums pass behind another row.
constexpr int kGroup = 2;

CCDL_SI double rstd_of(double var, double eps) { return 1.0 / __builtin_sqrt(var + eps); }

template <class T>
void layer_forward(const void* px, const void* pw, const void* pb, void* py, void* pmean, void* prstd,
                   int64_t rows, int64_t n, int64_t slices, double eps) {
  typedef ScalarOf<T> S;
  const T *x = static_cast<const T*>(px), *w = static_cast<const T*>(pw), *b = static_cast<const T*>(pb);
  T* y = static_cast<T*>(py);
  S *mean = static_cast<S*>(pmean), *rstd = static_cast<S*>(prstd);
  const int64_t group = n <= kBlock ? kGroup : 1;
  int64_t slice = 0;
  for (int64_t first = 0; first < rows; first += group, x += group * n, y += group * n) {
    const int count = (int)(rows - first < group ? rows - first : group);
    double center[kGroup], scale[kGroup];
    for (int r = 0; r < count; ++r) {
      Moments all = {(double)n, 0, 0};
      if (!mean)
        all.m2 = sum_squares<T>(x + r * n, n);
      else
        all = n <= kBlock ? short_moments(x + r * n, n) : moments<T>(x + r * n, n);
      center[r] = all.mean;
      scale[r] = rstd_of(all.m2 / (double)n, eps);
      if (mean) mean[first + r] = (S)center[r];
      rstd[first + r] = (S)scale[r];
    }
    for (int r = 0; r < count; ++r) {
      row_affine<T>(x + r * n, w ? w + slice * n : w, b ? b + slice * n : b, y + r * n, n, center[r],
                    scale[r]);
      if (++slice == slices) slice = 0;
    }
  }
}

// dx = rstd (dy w - mean(dy w) - xhat mean(dy w xhat)); the mean(dy w) term is absent in rms norm. Row after
// row, in the order of memory: rows side by side, or prefetches, leave the hardware's prefetcher behind.
template <class T, bool kPast>
CCDL_SI void backward_rows(const void* px, const void* pw, const void* pmean, const void* prstd,
                           const void* pdy, void* pdx, void* pdw, void* pdb, int64_t rows, int64_t n,
                           int64_t slices) {
  typedef ScalarOf<T> S;
  typedef VecOf<T> V;
  constexpr int kN = Lanes<T>::kN;
  const S *mean = static_cast<const S*>(pmean), *rstd = static_cast<const S*>(prstd);
  int64_t slice = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const T* w = pw ? static_cast<const T*>(pw) + slice * n : nullptr;
    S *dw = pdw ? static_cast<S*>(pdw) + slice * n : nullptr,
      *db = pdb ? static_cast<S*>(pdb) + slice * n : nullptr;
    if (++slice == slices) slice = 0;
    const T *x = static_cast<const T*>(px) + r * n, *dy = static_cast<const T*>(pdy) + r * n;
    const S mu = mean ? mean[r] : S(0);
    const V m = set1(mu), s = set1(rstd[r]);
    V sum[2] = {}, dot[2] = {};
    const auto add = [&](int64_t i, int k, int j) __attribute__((always_inline)) {
      const V g = at_halves(dy + i, k), xhat = (at_halves(x + i, k, mu) - m) * s;
      const V gw = w ? g * at(w + i, k) : g;
      sum[j] += gw;
      dot[j] = fma(gw, xhat, dot[j]);
      if (dw) to(dw + i, fma(g, xhat, at(dw + i, k)), k);
      if (db) to(db + i, at(db + i, k) + g, k);
    };
    int64_t i = 0;
    for (; i + 2 * kN <= n; i += 2 * kN) {
      add(i, kN, 0);
      add(i + kN, kN, 1);
    }
    for (; i < n; i += kN) add(i, n - i < kN ? (int)(n - i) : kN, 0);
    if (!pdx) continue;
    T* dx = static_cast<T*>(pdx) + r * n;
    const S c = mean ? lane_sum(sum[0] + sum[1]) / (S)n : S(0), d = lane_sum(dot[0] + dot[1]) / (S)n;
    const V vc = set1(c), vd = set1(d);
    each_vector<T>(n, [&](int64_t i, int k) {
      const V g = at(dy + i, k), xhat = (at(x + i, k) - m) * s;
      const V v = s * ((w ? fma(g, at(w + i, k), -vc) : g - vc) - xhat * vd);
      to_past<kPast>(dx + i, v, k);
    });
  }
}
template <class T>
void layer_backward(const void* px, const void* pw, const void* pmean, const void* prstd, const void* pdy,
                    void* pdx, void* pdw, void* pdb, int64_t rows, int64_t n, int64_t slices, bool past) {
  if constexpr (kStoresPast<T>) {
    if (past && pdx && rows_on_lines(pdx, n * (int64_t)sizeof(T))) {
      backward_rows<T, true>(px, pw, pmean, prstd, pdy, pdx, pdw, pdb, rows, n, slices);
      return fence_past();
    }
  }
  backward_rows<T, false>(px, pw, pmean, prstd, pdy, pdx, pdw, pdb, rows, n, slices);
}

// Sums over the rows of float or double columns, in double.
template <class T>
void add_rows(const void* prows, int64_t rows, int64_t stride, void* pout, int64_t n) {
  typedef ScalarOf<T> S;
  typedef S part __attribute__((vector_size(VD * sizeof(S))));
  const S* from = static_cast<const S*>(prows);
  T* out = static_cast<T*>(pout);
  int64_t i = 0;
  for (; i + VD <= n; i += VD) {
    vd sum = {};
    for (int64_t r = 0; r < rows; ++r) {
      part p;
      __builtin_memcpy(&p, from + r * stride + i, sizeof(p));
      sum += __builtin_convertvector(p, vd);
    }
    for (int c = 0; c < VD; ++c) put(out + i + c, (S)sum[c]);
  }
  for (; i < n; ++i) {
    double sum = 0;
    for (int64_t r = 0; r < rows; ++r) sum += (double)from[r * stride + i];
    put(out + i, (S)sum);
  }
}

// The channels-innermost layouts go row after row too, kTall rows at a time, so that the sums of a channel
// are loaded and stored once for all of them.
constexpr int kTall = 4;

template <int kCount>
struct Rows {
  static constexpr int kRows = kCount;
};
template <class F>
CCDL_SI void each_tall(int64_t rows, const F& body) {
  int64_t r = 0;
  for (; r + kTall <= rows; r += kTall) body(r, Rows<kTall>());
  for (; r < rows; ++r) body(r, Rows<1>());
}

template <class T>
void row_moments(const void* px, int64_t rows, int64_t n, void* pout) {
  typedef ScalarOf<T> S;
  typedef VecOf<T> V;
  const T* x = static_cast<const T*>(px);
  S *mean = static_cast<S*>(pout), *rest = mean + n, *squares = rest + n;
  __builtin_memset(pout, 0, (size_t)(3 * n) * sizeof(S));
  each_tall(rows, [&](int64_t first, auto tall) {
    each_vector<T>(n, [&](int64_t i, int k) {
      V sum = at(mean + i, k);
      for (int r = 0; r < tall.kRows; ++r) sum += at(x + (first + r) * n + i, k);
      to(mean + i, sum, k);
    });
  });
  const V share = set1(S(1) / (S)rows);
  each_vector<T>(n, [&](int64_t i, int k) { to(mean + i, at(mean + i, k) * share, k); });
  each_tall(rows, [&](int64_t first, auto tall) {
    each_vector<T>(n, [&](int64_t i, int k) {
      const V m = at(mean + i, k);
      V sum = at(rest + i, k), square = at(squares + i, k);
      for (int r = 0; r < tall.kRows; ++r) {
        const V d = at(x + (first + r) * n + i, k) - m;
        sum += d;
        square = fma(d, d, square);
      }
      to(rest + i, sum, k);
      to(squares + i, square, k);
    });
  });
}

template <class T>
void row_scale(const void* px, void* py, int64_t rows, int64_t n, const void* pm, const void* ps,
               const void* pb) {
  typedef ScalarOf<T> S;
  const S *m = static_cast<const S*>(pm), *s = static_cast<const S*>(ps), *b = static_cast<const S*>(pb);
  for (int64_t r = 0; r < rows; ++r) {
    const T* x = static_cast<const T*>(px) + r * n;
    T* y = static_cast<T*>(py) + r * n;
    each_vector<T>(n, [&](int64_t i, int k) {
      to(y + i, fma(at(x + i, k) - at(m + i, k), at(s + i, k), at(b + i, k)), k);
    });
  }
}

template <class T>
void row_grad_sums(const void* px, const void* pdy, int64_t rows, int64_t n, const void* pm, void* pout) {
  typedef ScalarOf<T> S;
  typedef VecOf<T> V;
  const T *x = static_cast<const T*>(px), *dy = static_cast<const T*>(pdy);
  const S* mean = static_cast<const S*>(pm);
  S *sums = static_cast<S*>(pout), *dots = sums + n;
  __builtin_memset(pout, 0, (size_t)(2 * n) * sizeof(S));
  each_tall(rows, [&](int64_t first, auto tall) {
    each_vector<T>(n, [&](int64_t i, int k) {
      const V m = at(mean + i, k);
      V sum = at(sums + i, k), dot = at(dots + i, k);
      for (int r = 0; r < tall.kRows; ++r) {
        const V g = at(dy + (first + r) * n + i, k);
        sum += g;
        dot = fma(g, at(x + (first + r) * n + i, k) - m, dot);
      }
      to(sums + i, sum, k);
      to(dots + i, dot, k);
    });
  });
}

template <class T>
void row_grad_scale(const void* px, const void* pdy, void* pdx, int64_t rows, int64_t n, const void* pm,
                    const void* pa, const void* pb, const void* pc) {
  typedef ScalarOf<T> S;
  const S *m = static_cast<const S*>(pm), *a = static_cast<const S*>(pa), *b = static_cast<const S*>(pb),
          *c = static_cast<const S*>(pc);
  for (int64_t r = 0; r < rows; ++r) {
    const T *x = static_cast<const T*>(px) + r * n, *dy = static_cast<const T*>(pdy) + r * n;
    T* dx = static_cast<T*>(pdx) + r * n;
    each_vector<T>(n, [&](int64_t i, int k) {
      const VecOf<T> d = fma(at(x + i, k) - at(m + i, k), at(b + i, k), at(c + i, k));
      to(dx + i, fma(at(dy + i, k), at(a + i, k), d), k);
    });
  }
}

}  // namespace

#define CCDL_FOUR(f) \
  { f<float16>, f<bfloat16>, f<float>, f<double> }
const NormKernels norm = {
    CCDL_FOUR(moments),   CCDL_FOUR(layer_forward), CCDL_FOUR(add_rows),       CCDL_FOUR(affine),
    CCDL_FOUR(grad_sums), CCDL_FOUR(grad_affine),   CCDL_FOUR(layer_backward), CCDL_FOUR(row_moments),
    CCDL_FOUR(row_scale), CCDL_FOUR(row_grad_sums), CCDL_FOUR(row_grad_scale),
};

}  // namespace ccdl::cpu::CCDL_ISA
