// Normalisation inner loops. Moments are taken in blocks that stay in L1: mean first, squared deviations
// second, blocks joined in double, so neither a large mean nor a long row loses digits and memory is read
// once.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/norm.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

constexpr int64_t kBlock = 4096;  // elements whose two passes share L1
constexpr int64_t kStripRows = 128;

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
    const ScalarOf<T> c = sum_over<T>(m, [&](int64_t i, int k) { return at(x + i, k); }) / (ScalarOf<T>)m;
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
void affine(const void* px, void* py, int64_t n, double mean, double scale, double shift) {
  const T* x = static_cast<const T*>(px);
  T* y = static_cast<T*>(py);
  const VecOf<T> m = set1((ScalarOf<T>)mean), s = set1((ScalarOf<T>)scale), b = set1((ScalarOf<T>)shift);
  each_vector<T>(n, [&](int64_t i, int k) { to(y + i, fma(at(x + i, k) - m, s, b), k); });
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
        const VecOf<T> g = ld(dy + i + j * kN);
        a[j] += g;
        b[j] = fma(g, ld(x + i + j * kN) - m, b[j]);
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

template <class T>
void grad_affine(const void* px, const void* pdy, void* pdx, int64_t n, double mean, double a, double b,
                 double c) {
  typedef ScalarOf<T> S;
  const T *x = static_cast<const T*>(px), *dy = static_cast<const T*>(pdy);
  T* dx = static_cast<T*>(pdx);
  const VecOf<T> m = set1((S)mean), va = set1((S)a), vb = set1((S)b), vc = set1((S)c);
  each_vector<T>(
      n, [&](int64_t i, int k) { to(dx + i, fma(at(dy + i, k), va, fma(at(x + i, k) - m, vb, vc)), k); });
}

// dx = rstd (dy w - mean(dy w) - xhat mean(dy w xhat)); the mean(dy w) term is absent in rms norm.
template <class T>
void layer_backward(const void* px, const void* pw, const void* pmean, const void* prstd, const void* pdy,
                    void* pdx, void* pdw, void* pdb, int64_t rows, int64_t n) {
  typedef ScalarOf<T> S;
  typedef VecOf<T> V;
  const T* w = static_cast<const T*>(pw);
  const S *mean = static_cast<const S*>(pmean), *rstd = static_cast<const S*>(prstd);
  S *dw = static_cast<S*>(pdw), *db = static_cast<S*>(pdb);
  for (int64_t r = 0; r < rows; ++r) {
    const T *x = static_cast<const T*>(px) + r * n, *dy = static_cast<const T*>(pdy) + r * n;
    const S mu = mean ? mean[r] : S(0);
    const V m = set1(mu), s = set1(rstd[r]);
    V sum = {}, dot = {};
    each_vector<T>(n, [&](int64_t i, int k) {
      const V g = at(dy + i, k), xhat = (at(x + i, k, mu) - m) * s;
      const V gw = w ? g * at(w + i, k) : g;
      sum += gw;
      dot = fma(gw, xhat, dot);
      if (dw) to(dw + i, fma(g, xhat, at(dw + i, k)), k);
      if (db) to(db + i, at(db + i, k) + g, k);
    });
    if (!pdx) continue;
    T* dx = static_cast<T*>(pdx) + r * n;
    const V c = set1(mean ? lane_sum(sum) / (S)n : S(0)), d = set1(lane_sum(dot) / (S)n);
    each_vector<T>(n, [&](int64_t i, int k) {
      const V g = at(dy + i, k), xhat = (at(x + i, k) - m) * s;
      const V gw = w ? g * at(w + i, k) : g;
      to(dx + i, s * (gw - c - xhat * d), k);
    });
  }
}

template <class T>
CCDL_SI VecOf<T> lanes_of(const double* p, int k) {
  VecOf<T> v = {};
  for (int c = 0; c < k; ++c) v[c] = (ScalarOf<T>)p[c];
  return v;
}

// Strips go block of rows by block of rows. Wide ones are many streams at once, so their blocks are low.
template <class F>
CCDL_SI void each_block(int64_t rows, int count, const F& body) {
  const int64_t height = count > kNormStrip ? 8 : kStripRows;
  for (int64_t start = 0; start < rows; start += height)
    body(start, rows - start < height ? rows - start : height);
}

template <class T>
void strip_moments(const void* px, int64_t rows, int64_t stride, int count, Moments* out) {
  typedef ScalarOf<T> S;
  each_block(rows, count, [&](int64_t start, int64_t m) {
    each_vector<T>(count, [&](int64_t i, int k) {
      const T* x = static_cast<const T*>(px) + start * stride + i;
      VecOf<T> sum = {}, rest = {}, squares = {};
      for (int64_t r = 0; r < m; ++r) sum += at(x + r * stride, k);
      const VecOf<T> mean = sum / set1((S)m);
      for (int64_t r = 0; r < m; ++r) {
        const VecOf<T> d = at(x + r * stride, k) - mean;
        rest += d;
        squares += d * d;
      }
      for (int c = 0; c < k; ++c) {
        const double shift = (double)rest[c] / (double)m;
        const Moments block = {(double)m, (double)mean[c] + shift,
                               (double)squares[c] - (double)m * shift * shift};
        out[i + c] = start == 0 ? block : join(out[i + c], block);
      }
    });
  });
}

template <class T>
void strip_affine(const void* px, void* py, int64_t rows, int64_t stride, int count, const double* mean,
                  const double* scale, const double* shift) {
  each_block(rows, count, [&](int64_t start, int64_t n) {
    each_vector<T>(count, [&](int64_t i, int k) {
      const VecOf<T> m = lanes_of<T>(mean + i, k), s = lanes_of<T>(scale + i, k),
                     b = lanes_of<T>(shift + i, k);
      const T* x = static_cast<const T*>(px) + start * stride + i;
      T* y = static_cast<T*>(py) + start * stride + i;
      for (int64_t r = 0; r < n; ++r) to(y + r * stride, fma(at(x + r * stride, k) - m, s, b), k);
    });
  });
}

template <class T>
void strip_grad_sums(const void* px, const void* pdy, int64_t rows, int64_t stride, int count,
                     const double* mean, double* sum_dy, double* sum_dyx) {
  for (int c = 0; c < count; ++c) sum_dy[c] = sum_dyx[c] = 0;
  each_block(rows, count, [&](int64_t start, int64_t n) {
    each_vector<T>(count, [&](int64_t i, int k) {
      const VecOf<T> m = lanes_of<T>(mean + i, k);
      const T *x = static_cast<const T*>(px) + start * stride + i,
              *dy = static_cast<const T*>(pdy) + start * stride + i;
      VecOf<T> a = {}, b = {};
      for (int64_t r = 0; r < n; ++r) {
        const VecOf<T> g = at(dy + r * stride, k);
        a += g;
        b = fma(g, at(x + r * stride, k) - m, b);
      }
      for (int c = 0; c < k; ++c) {
        sum_dy[i + c] += a[c];
        sum_dyx[i + c] += b[c];
      }
    });
  });
}

template <class T>
void strip_grad_affine(const void* px, const void* pdy, void* pdx, int64_t rows, int64_t stride, int count,
                       const double* mean, const double* pa, const double* pb, const double* pc) {
  each_block(rows, count, [&](int64_t start, int64_t n) {
    each_vector<T>(count, [&](int64_t i, int k) {
      const VecOf<T> m = lanes_of<T>(mean + i, k), a = lanes_of<T>(pa + i, k);
      const VecOf<T> b = lanes_of<T>(pb + i, k), c = lanes_of<T>(pc + i, k);
      const T *x = static_cast<const T*>(px) + start * stride + i,
              *dy = static_cast<const T*>(pdy) + start * stride + i;
      T* dx = static_cast<T*>(pdx) + start * stride + i;
      for (int64_t r = 0; r < n; ++r)
        to(dx + r * stride, fma(at(dy + r * stride, k), a, fma(at(x + r * stride, k) - m, b, c)), k);
    });
  });
}

}  // namespace

#define CCDL_FOUR(f) \
  { f<float16>, f<bfloat16>, f<float>, f<double> }
const NormKernels norm = {
    CCDL_FOUR(moments),         CCDL_FOUR(sum_squares),       CCDL_FOUR(row_affine),
    CCDL_FOUR(affine),          CCDL_FOUR(grad_sums),         CCDL_FOUR(grad_affine),
    CCDL_FOUR(layer_backward),  CCDL_FOUR(strip_moments),     CCDL_FOUR(strip_affine),
    CCDL_FOUR(strip_grad_sums), CCDL_FOUR(strip_grad_affine),
};

}  // namespace ccdl::cpu::CCDL_ISA
