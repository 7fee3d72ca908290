// Cross-entropy rows and column strips: the forward reads the logits once for the maximum and once (from
// L1/L2) for the sum; the backward rebuilds the probabilities from the saved logsumexp, so no [N, C]
// intermediate exists.
#include <ccdl/cpu/simd/cross_entropy.h>
#include <ccdl/cpu/simd/exp.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
constexpr typename Lanes<T>::S kLow = -__builtin_inff();

template <class T>
double lse_row(const void* px, int64_t n, const void* pw, double* sum_wx) {
  typedef typename Lanes<T>::V V;
  const T* x = static_cast<const T*>(px);
  const T* w = static_cast<const T*>(pw);
  const auto max = max_of(x, n);
  const V m = set1(max);
  const auto sum = sum_over<T>(n, [&](int64_t i, int k) { return vexp_down(at(x + i, k, kLow<T>) - m); });
  if (sum_wx) {
    *sum_wx = w ? sum_over<T>(n, [&](int64_t i, int k) { return at(w + i, k) * at(x + i, k); })
                : sum_over<T>(n, [&](int64_t i, int k) { return at(x + i, k); });
  }
  return (double)max + __builtin_log((double)sum);
}

template <class T>
void backward_row(const void* px, void* pdx, int64_t n, double lse, double scale, double minus,
                  const void* pw) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const T* x = static_cast<const T*>(px);
  const T* w = static_cast<const T*>(pw);
  T* dx = static_cast<T*>(pdx);
  const V l = set1((S)lse), a = set1((S)scale), b = set1((S)minus);
  if (w)
    each_vector<T>(
        n, [&](int64_t i, int k) { to(dx + i, a * vexp_down(at(x + i, k) - l) - b * at(w + i, k), k); });
  else
    each_vector<T>(n, [&](int64_t i, int k) { to(dx + i, a * vexp_down(at(x + i, k) - l) - b, k); });
}

template <class T>
void lse_columns(const void* px, int64_t n, int64_t inner, int count, const void* pw, double* lse,
                 double* sum_wx) {
  typedef typename Lanes<T>::V V;
  const T* w = static_cast<const T*>(pw);
  each_vector<T>(count, [&](int64_t i, int k) {
    const T* x = static_cast<const T*>(px) + i;
    V m = set1(kLow<T>), sum = {}, wx = {};
    for (int64_t j = 0; j < n; ++j) m = vmax(at(x + j * inner, k), m);
    for (int64_t j = 0; j < n; ++j) sum += vexp_down(at(x + j * inner, k) - m);
    if constexpr (sizeof(T) == 4) {
      const V logs = m + vlog(sum);
      for (int c = 0; c < k; ++c) lse[i + c] = logs[c];
    } else {
      for (int c = 0; c < k; ++c) lse[i + c] = (double)m[c] + __builtin_log((double)sum[c]);
    }
    if (!sum_wx) return;
    for (int64_t j = 0; j < n; ++j) wx += at(x + j * inner, k) * (w ? set1(get(w + j)) : V{} + 1);
    for (int c = 0; c < k; ++c) sum_wx[i + c] = wx[c];
  });
}

template <class T>
CCDL_SI typename Lanes<T>::V from_doubles(const double* p, int k) {
  typename Lanes<T>::V v = {};
  for (int c = 0; c < k; ++c) v[c] = (typename Lanes<T>::S)p[c];
  return v;
}

template <class T>
void backward_columns(const void* px, void* pdx, int64_t n, int64_t inner, int count, const double* lse,
                      const double* scale, const double* minus, const void* pw) {
  typedef typename Lanes<T>::V V;
  const T* w = static_cast<const T*>(pw);
  each_vector<T>(count, [&](int64_t i, int k) {
    const T* x = static_cast<const T*>(px) + i;
    T* dx = static_cast<T*>(pdx) + i;
    const V l = from_doubles<T>(lse + i, k), a = from_doubles<T>(scale + i, k),
            b = from_doubles<T>(minus + i, k);
    for (int64_t j = 0; j < n; ++j) {
      const V s = w ? b * set1(get(w + j)) : b;
      to(dx + j * inner, a * vexp_down(at(x + j * inner, k) - l) - s, k);
    }
  });
}

// lse - x with lse in two parts: of large logits the difference keeps the digits that a float lse loses.
template <class T>
struct LogSumExp {
  typename Lanes<T>::V high, low;
  __attribute__((always_inline)) typename Lanes<T>::V minus(typename Lanes<T>::V x) const {
    return (high - x) + low;
  }
};
template <class T>
CCDL_SI LogSumExp<T> in_parts(const double* lse, int k) {
  LogSumExp<T> l;
  for (int c = 0; c < Lanes<T>::kN; ++c) {
    const double v = lse[c < k ? c : 0];
    const double rest = v - (double)(typename Lanes<T>::S)v;
    l.high[c] = (typename Lanes<T>::S)v;
    l.low[c] = rest == rest ? (typename Lanes<T>::S)rest : 0;  // of an infinite lse there is no rest
  }
  return l;
}

// w_c t'_c of k neighbouring classes; lanes past them hold what smoothing adds.
template <class T>
struct SoftTarget {
  const T *t, *w;
  typename Lanes<T>::V keep, add;
  __attribute__((always_inline)) typename Lanes<T>::V at(int64_t i, int k) const {
    const typename Lanes<T>::V p = CCDL_ISA::at(t + i, k) * keep + add;
    return w ? p * CCDL_ISA::at(w + i, k) : p;
  }
};
template <class T>
CCDL_SI SoftTarget<T> soft_target(const void* t, const void* w, double keep, double add) {
  typedef typename Lanes<T>::S S;
  return {static_cast<const T*>(t), static_cast<const T*>(w), set1((S)keep), set1((S)add)};
}

// sum_over for an f whose dead lanes are not 0.
template <class T, class F>
CCDL_SI double sum_of_live(int64_t n, const F& f) {
  const int tail = (int)(n % Lanes<T>::kN);
  double sum = (double)sum_over<T>(n - tail, f);
  if (!tail) return sum;
  const typename Lanes<T>::V last = f(n - tail, tail);
  for (int c = 0; c < tail; ++c) sum += (double)last[c];
  return sum;
}

template <class T>
double prob_loss_row(const void* px, const void* pt, int64_t n, double lse, double keep, double add,
                     const void* pw) {
  const T* x = static_cast<const T*>(px);
  const SoftTarget<T> p = soft_target<T>(pt, pw, keep, add);
  const LogSumExp<T> l = in_parts<T>(&lse, 1);
  return sum_of_live<T>(n, [&](int64_t i, int k) { return p.at(i, k) * l.minus(at(x + i, k)); });
}

template <class T>
double prob_mass_row(const void* pt, int64_t n, double keep, double add, const void* pw) {
  const SoftTarget<T> p = soft_target<T>(pt, pw, keep, add);
  return sum_of_live<T>(n, [&](int64_t i, int k) { return p.at(i, k); });
}

template <class T>
void prob_backward_row(const void* px, const void* pt, void* pdx, int64_t n, double lse, double keep,
                       double add, const void* pw, double g, double mass) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const T* x = static_cast<const T*>(px);
  T* dx = static_cast<T*>(pdx);
  const SoftTarget<T> p = soft_target<T>(pt, pw, keep, add);
  const V l = set1((S)lse), a = set1((S)(g * mass)), b = set1((S)g);
  each_vector<T>(n,
                 [&](int64_t i, int k) { to(dx + i, a * vexp_down(at(x + i, k) - l) - b * p.at(i, k), k); });
}

template <class T>
void prob_loss_columns(const void* px, const void* pt, int64_t n, int64_t inner, int count, const double* lse,
                       double keep, double add, const void* pw, double* loss) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const T* w = static_cast<const T*>(pw);
  const V q = set1((S)keep), e = set1((S)add);
  each_vector<T>(count, [&](int64_t i, int k) {
    const T* x = static_cast<const T*>(px) + i;
    const T* t = static_cast<const T*>(pt) + i;
    const LogSumExp<T> l = in_parts<T>(lse + i, k);
    V sum = {};
    for (int64_t j = 0; j < n; ++j) {
      V p = at(t + j * inner, k) * q + e;
      if (w) p *= set1(get(w + j));
      sum += p * l.minus(at(x + j * inner, k));
    }
    for (int c = 0; c < k; ++c) loss[i + c] = (double)sum[c];
  });
}

template <class T>
void prob_mass_columns(const void* pt, int64_t n, int64_t inner, int count, double keep, double add,
                       const void* pw, double* mass) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const T* w = static_cast<const T*>(pw);
  const V q = set1((S)keep), e = set1((S)add);
  each_vector<T>(count, [&](int64_t i, int k) {
    const T* t = static_cast<const T*>(pt) + i;
    V sum = {};
    for (int64_t j = 0; j < n; ++j) {
      V p = at(t + j * inner, k) * q + e;
      if (w) p *= set1(get(w + j));
      sum += p;
    }
    for (int c = 0; c < k; ++c) mass[i + c] = (double)sum[c];
  });
}

template <class T>
void prob_backward_columns(const void* px, const void* pt, void* pdx, int64_t n, int64_t inner, int count,
                           const double* lse, double keep, double add, const void* pw, const double* g,
                           const double* mass) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const T* w = static_cast<const T*>(pw);
  const V q = set1((S)keep), e = set1((S)add);
  each_vector<T>(count, [&](int64_t i, int k) {
    const T* x = static_cast<const T*>(px) + i;
    const T* t = static_cast<const T*>(pt) + i;
    T* dx = static_cast<T*>(pdx) + i;
    const V l = from_doubles<T>(lse + i, k), b = from_doubles<T>(g + i, k);
    const V a = b * from_doubles<T>(mass + i, k);
    for (int64_t j = 0; j < n; ++j) {
      V p = at(t + j * inner, k) * q + e;
      if (w) p *= set1(get(w + j));
      to(dx + j * inner, a * vexp_down(at(x + j * inner, k) - l) - b * p, k);
    }
  });
}

}  // namespace

#define CCDL_FOUR(f) \
  { f<float16>, f<bfloat16>, f<float>, f<double> }
const CrossEntropyKernels cross_entropy = {
    CCDL_FOUR(lse_row),           CCDL_FOUR(backward_row),
    CCDL_FOUR(lse_columns),       CCDL_FOUR(backward_columns),
    CCDL_FOUR(prob_loss_row),     CCDL_FOUR(prob_mass_row),
    CCDL_FOUR(prob_backward_row), CCDL_FOUR(prob_loss_columns),
    CCDL_FOUR(prob_mass_columns), CCDL_FOUR(prob_backward_columns),
};

}  // namespace ccdl::cpu::CCDL_ISA
