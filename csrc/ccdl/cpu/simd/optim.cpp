// SGD and Adam element loops in the operation order of the published update rules; each array is read and
// written once.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/optim.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T, bool kDecay,
          int kMode>  // kMode 0: no buffer, 1: first step, 2: momentum, 3: momentum with nesterov
CCDL_SI void sgd_loop(T* p, const T* g, T* b, int64_t n, const SgdCoefficients& c) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const V sign = set1((S)c.sign), wd = set1((S)c.weight_decay), mu = set1((S)c.momentum),
          keep = set1((S)c.keep);
  const V lr = set1((S)-c.lr);
  each_vector<T>(n, [&](int64_t i, int k) {
    const V x = at(p + i, k);
    V d = at(g + i, k) * sign;
    if (kDecay) d = fma(x, wd, d);
    if (kMode == 1) {
      to(b + i, d, k);
      if (c.nesterov) d = fma(d, mu, d);
    }
    if (kMode >= 2) {
      const V buf = fma(d, keep, at(b + i, k) * mu);
      to(b + i, buf, k);
      d = kMode == 3 ? fma(buf, mu, d) : buf;
    }
    to(p + i, fma(d, lr, x), k);
  });
}

template <class T>
void sgd(void* pp, const void* pg, void* pb, int64_t n, const SgdCoefficients& c) {
  T *p = static_cast<T*>(pp), *b = static_cast<T*>(pb);
  const T* g = static_cast<const T*>(pg);
  const int mode = !b ? 0 : c.first ? 1 : c.nesterov ? 3 : 2;
#define CCDL_MODE(m)                        \
  if (mode == m) {                          \
    if (c.weight_decay != 0)                \
      sgd_loop<T, true, m>(p, g, b, n, c);  \
    else                                    \
      sgd_loop<T, false, m>(p, g, b, n, c); \
  }
  CCDL_MODE(0) CCDL_MODE(1) CCDL_MODE(2) CCDL_MODE(3)
#undef CCDL_MODE
}

template <class T, bool kDecay, bool kTop>
CCDL_SI void adam_loop(T* p, const T* g, T* m, T* v, T* top, int64_t n, const AdamCoefficients& c) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const V sign = set1((S)c.sign), wd = set1((S)c.weight_decay), shrink = set1((S)c.shrink);
  const V w1 = set1((S)c.one_minus_beta1), b2 = set1((S)c.beta2), w2 = set1((S)c.one_minus_beta2);
  const V step = set1((S)-c.step_size), root = set1((S)c.root_correction2), eps = set1((S)c.eps);
  each_vector<T>(n, [&](int64_t i, int k) {
    V x = at(p + i, k) * shrink, d = at(g + i, k) * sign;
    if (kDecay) d = fma(x, wd, d);
    V mean = at(m + i, k);
    mean = fma(w1, d - mean, mean);
    V square = fma(d * d, w2, at(v + i, k) * b2);
    to(m + i, mean, k);
    to(v + i, square, k);
    if (kTop) {
      square = vmax(at(top + i, k), square);  // NaN in square stays
      to(top + i, square, k);
    }
    to(p + i, x + step * (mean / (vsqrt(square) / root + eps)), k);
  });
}

template <class T>
void adam(void* pp, const void* pg, void* pm, void* pv, void* pt, int64_t n, const AdamCoefficients& c) {
  T *p = static_cast<T*>(pp), *m = static_cast<T*>(pm), *v = static_cast<T*>(pv), *top = static_cast<T*>(pt);
  const T* g = static_cast<const T*>(pg);
  const bool decay = c.weight_decay != 0;
  if (top) {
    if (decay)
      adam_loop<T, true, true>(p, g, m, v, top, n, c);
    else
      adam_loop<T, false, true>(p, g, m, v, top, n, c);
  } else {
    if (decay)
      adam_loop<T, true, false>(p, g, m, v, top, n, c);
    else
      adam_loop<T, false, false>(p, g, m, v, top, n, c);
  }
}

}  // namespace

const OptimKernels optim = {
    {sgd<float16>, sgd<bfloat16>, sgd<float>, sgd<double>},
    {adam<float16>, adam<bfloat16>, adam<float>, adam<double>},
};

}  // namespace ccdl::cpu::CCDL_ISA
