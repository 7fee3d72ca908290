// Scaling, clamping and unscaling of one array: each element is read and written once.
#include <ccdl/cpu/simd/lanes.h>
#include <ccdl/cpu/simd/multi_tensor.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

template <class T>
void scale(void* px, int64_t n, double factor) {
  T* x = static_cast<T*>(px);
  const typename Lanes<T>::V f = set1((typename Lanes<T>::S)factor);
  each_vector<T>(n, [&](int64_t i, int k) { to(x + i, at(x + i, k) * f, k); });
}

template <class T>
void clamp(void* px, int64_t n, double limit) {
  typedef typename Lanes<T>::V V;
  typedef typename Lanes<T>::S S;
  T* x = static_cast<T*>(px);
  const V low = set1((S)-limit), high = set1((S)limit);
  each_vector<T>(n, [&](int64_t i, int k) {
    const V v = at(x + i, k);
    to(x + i, vmin(high, vmax(low, v)), k);  // the second operand comes back where one is NaN
  });
}

template <class T>
bool unscale(void* px, int64_t n, double factor) {
  typedef typename Lanes<T>::V V;
  T* x = static_cast<T*>(px);
  const V f = set1((typename Lanes<T>::S)factor);
  V sum = {};  // 0 as long as all are finite: inf * 0 and NaN * 0 are NaN, and NaN stays
  each_vector<T>(n, [&](int64_t i, int k) {
    const V v = at(x + i, k);
    sum += v * V{};
    to(x + i, v * f, k);
  });
  return lane_sum(sum) == 0;
}

}  // namespace

const MultiTensorKernels multi_tensor = {
    {scale<float16>, scale<bfloat16>, scale<float>, scale<double>},
    {clamp<float16>, clamp<bfloat16>, clamp<float>, clamp<double>},
    {unscale<float16>, unscale<bfloat16>, unscale<float>, unscale<double>},
};

}  // namespace ccdl::cpu::CCDL_ISA
