// CTC recursions in the log domain, lanes over the states of the label sequence.
#include <ccdl/cpu/simd/ctc.h>
#include <ccdl/cpu/simd/exp.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

CCDL_SI vf log_of(vf x) { return vlog(x); }
CCDL_SI vd log_of(vd x) { return dlog(x); }

// log(e^a + e^b + e^c); -inf of three -inf, NaN stays.
template <class V>
CCDL_SI V log_sum(V a, V b, V c) {
  typedef decltype(a == a) M;
  const V infinity = V{} + __builtin_inff(), top = vmax(vmax(a, b), c);
  const V m = vmax(top, V{} - 1e30f);
  const V sum = vexp_down(a - m) + vexp_down(b - m) + vexp_down(c - m);
  return select((M)((top == -infinity) & (sum == sum)), -infinity, m + log_of(sum));
}

template <class T>
double forward(const void* prev, const void* skip, const void* emitted, double shift, void* next, int64_t n) {
  using V = typename Lanes<T>::V;
  constexpr int kN = Lanes<T>::kN;
  const T* p = static_cast<const T*>(prev);
  V best = set1(-static_cast<T>(__builtin_inff()));
  for (int64_t s = 0; s < n; s += kN) {
    const V sum = log_sum(ld(p + s), ld(p + s - 1), ld(p + s - 2) + ld(static_cast<const T*>(skip) + s));
    const V v = sum + ld(static_cast<const T*>(emitted) + s) - set1(static_cast<T>(shift));
    st(static_cast<T*>(next) + s, v);
    best = vmax(v, best);
  }
  return lane_max(best);
}

template <class T>
double backward(const void* next, const void* skip, const void* emitted, const void* alpha, double shift,
                double factor, void* prev, void* posterior, int64_t n) {
  using V = typename Lanes<T>::V;
  constexpr int kN = Lanes<T>::kN;
  const T* p = static_cast<const T*>(next);
  V best = set1(-static_cast<T>(__builtin_inff()));
  for (int64_t s = 0; s < n; s += kN) {
    const V b = log_sum(ld(p + s), ld(p + s + 1), ld(p + s + 2) + ld(static_cast<const T*>(skip) + s + 2)) -
                set1(static_cast<T>(shift));
    const V v = b + ld(static_cast<const T*>(emitted) + s);
    st(static_cast<T*>(posterior) + s,
       vexp(ld(static_cast<const T*>(alpha) + s) + b + set1(static_cast<T>(factor))));
    st(static_cast<T*>(prev) + s, v);
    best = vmax(v, best);
  }
  return lane_max(best);
}

}  // namespace

const CtcKernels ctc = {{forward<float>, forward<double>}, {backward<float>, backward<double>}};

}  // namespace ccdl::cpu::CCDL_ISA
