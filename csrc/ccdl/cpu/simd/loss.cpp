// Elementwise losses as a value and a derivative per lane; a sum is taken in one pass over both inputs.
#include <ccdl/cpu/simd/exp.h>
#include <ccdl/cpu/simd/loss.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vf log1p_lanes(vf x) { return vlog1p(x); }
CCDL_SI vd log1p_lanes(vd x) { return dlog1p(x); }

template <class V>
struct Bend {
  V delta, scale;
};
template <class T>
CCDL_SI Bend<typename Lanes<T>::V> bend(double delta, double scale) {
  typedef typename Lanes<T>::S S;
  return {set1((S)delta), set1((S)scale)};
}

struct Squared {
  template <class V, class P>
  CCDL_SI V value(V x, V t, const P&) {
    return (x - t) * (x - t);
  }
  template <class V, class P>
  CCDL_SI V slope(V x, V t, const P&) {
    return (x - t) * 2;
  }
};
struct Logits {
  template <class V, class P>
  CCDL_SI V value(V x, V t, const P&) {
    return vmax(V{}, x) - x * t + log1p_lanes(vexp(-vabs(x)));
  }
  template <class V, class P>
  CCDL_SI V slope(V x, V t, const P&) {  // sigmoid without overflow on either side
    const V e = vexp(-vabs(x)), one = V{} + 1;
    return (x >= 0 ? one : e) / (one + e) - t;
  }
};
struct Huber {
  template <class V>
  CCDL_SI V clamped(V d, V delta) {  // NaN stays
    const V low = d < -delta ? -delta : d;
    return low > delta ? delta : low;
  }
  template <class V, class P>
  CCDL_SI V value(V x, V t, const P& p) {
    const V d = x - t, c = clamped(d, p.delta);
    return c * (d - c * (V{} + 0.5f)) * p.scale;
  }
  template <class V, class P>
  CCDL_SI V slope(V x, V t, const P& p) {
    return clamped(x - t, p.delta) * p.scale;
  }
};

template <class L, class T>
void each(const void* px, const void* pt, void* py, int64_t n, double delta, double scale) {
  const auto p = bend<T>(delta, scale);
  const T *x = static_cast<const T*>(px), *t = static_cast<const T*>(pt);
  each_vector<T>(
      n, [&](int64_t i, int k) { to(static_cast<T*>(py) + i, L::value(at(x + i, k), at(t + i, k), p), k); });
}

template <class L, class T>
double sum(const void* px, const void* pt, int64_t n, double delta, double scale) {
  const auto p = bend<T>(delta, scale);
  typedef typename Lanes<T>::V V;
  constexpr int kN = Lanes<T>::kN;
  const T *x = static_cast<const T*>(px), *t = static_cast<const T*>(pt);
  const int64_t full = n / kN * kN;
  double total = sum_over<T>(full, [&](int64_t i, int k) { return L::value(at(x + i, k), at(t + i, k), p); });
  if (full < n) {  // dead lanes of a loss need not be 0: add the live ones singly
    const V last = L::value(at(x + full, (int)(n - full)), at(t + full, (int)(n - full)), p);
    for (int i = 0; i < n - full; ++i) total += last[i];
  }
  return total;
}

template <class L, class T>
void backward(const void* px, const void* pt, const void* pdy, double g, void* pdx, int64_t n, double delta,
              double factor) {
  const auto p = bend<T>(delta, factor);
  typedef typename Lanes<T>::V V;
  const T *x = static_cast<const T*>(px), *t = static_cast<const T*>(pt), *dy = static_cast<const T*>(pdy);
  T* dx = static_cast<T*>(pdx);
  const V scale = set1((typename Lanes<T>::S)g);
  if (dy)
    each_vector<T>(
        n, [&](int64_t i, int k) { to(dx + i, at(dy + i, k) * L::slope(at(x + i, k), at(t + i, k), p), k); });
  else
    each_vector<T>(n,
                   [&](int64_t i, int k) { to(dx + i, scale * L::slope(at(x + i, k), at(t + i, k), p), k); });
}

}  // namespace

#define CCDL_FOUR(f, L) \
  { f<L, float16>, f<L, bfloat16>, f<L, float>, f<L, double> }
const LossKernels loss = {
    {CCDL_FOUR(each, Squared), CCDL_FOUR(each, Logits), CCDL_FOUR(each, Huber)},
    {CCDL_FOUR(sum, Squared), CCDL_FOUR(sum, Logits), CCDL_FOUR(sum, Huber)},
    {CCDL_FOUR(backward, Squared), CCDL_FOUR(backward, Logits), CCDL_FOUR(backward, Huber)},
};

}  // namespace ccdl::cpu::CCDL_ISA
