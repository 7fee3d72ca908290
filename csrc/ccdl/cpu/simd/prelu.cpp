// Gradients of prelu: dx is written and x dy of the other side of 0 summed in the same pass.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/prelu.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
double run(const void* px, const void* pdy, void* pdx, int64_t n, double w) {
  typedef typename Lanes<T>::V V;
  const T *x = static_cast<const T*>(px), *dy = static_cast<const T*>(pdy);
  T* dx = static_cast<T*>(pdx);
  const V slope = set1((typename Lanes<T>::S)w);
  return sum_over<T>(n, [&](int64_t i, int k) {
    const V v = at(x + i, k), g = at(dy + i, k);
    to(dx + i, select(v > 0, g, g * slope), k);
    return select(v > 0, V{}, v * g);  // dead lanes are 0 times 0
  });
}

template <class T>
void rows(const void* px, const void* pdy, void* pdx, int64_t count, int64_t width, const void* pw,
          void* pdw) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  const S* w = static_cast<const S*>(pw);
  S* dw = static_cast<S*>(pdw);
  for (int64_t r = 0; r < count; ++r) {
    const T *x = static_cast<const T*>(px) + r * width, *dy = static_cast<const T*>(pdy) + r * width;
    T* dx = static_cast<T*>(pdx) + r * width;
    each_vector<T>(width, [&](int64_t i, int k) {
      const V v = at(x + i, k), g = at(dy + i, k);
      V slope, sum;
      if (k == Lanes<T>::kN) {
        slope = loadu(w + i);
        sum = loadu(dw + i);
      } else {
        slope = ldn(w + i, k);
        sum = ldn(dw + i, k);
      }
      to(dx + i, select(v > 0, g, g * slope), k);
      sum += select(v > 0, V{}, v * g);
      if (k == Lanes<T>::kN)
        storeu(dw + i, sum);
      else
        stn(dw + i, sum, k);
    });
  }
}

}  // namespace

const PreluKernels prelu = {
    {run<float16>, run<bfloat16>, run<float>, run<double>},
    {rows<float16>, rows<bfloat16>, rows<float>, rows<double>},
};

}  // namespace ccdl::cpu::CCDL_ISA
