#include <ccdl/cpu/simd/complex.h>
#include <ccdl/cpu/simd/complex_pairs.h>

namespace ccdl::cpu::CCDL_ISA {
namespace {

// kBroadcast: a number of b goes with all of a.
template <class T, bool kBroadcast>
CCDL_SI void rows(const T* a, const T* b, T* y, int64_t count, T sign) {
  const VecOf<T> br = set1(b[0]), bi = set1(b[1] * sign);
  each_vector<T>(count, [&](int64_t j, int n) {
    VecOf<T> ar, ai, cr = br, ci = bi;
    load_pairs<T>(a + 2 * j, n, ar, ai);
    if constexpr (!kBroadcast) {
      load_pairs<T>(b + 2 * j, n, cr, ci);
      ci *= sign;
    }
    store_pairs<T>(y + 2 * j, n, ar * cr - ai * ci, ar * ci + ai * cr);
  });
}
template <class T>
void multiply(const void* pa, int64_t step_a, const void* pb, int64_t step_b, void* py, int64_t count,
              bool conjugate) {
  const T *a = static_cast<const T*>(pa), *b = static_cast<const T*>(pb), sign = conjugate ? T(-1) : T(1);
  T* y = static_cast<T*>(py);
  if (step_a == 2 && step_b == 2) return rows<T, false>(a, b, y, count, sign);
  if (step_a == 2 && step_b == 0) return rows<T, true>(a, b, y, count, sign);
  for (int64_t j = 0; j < count; ++j, a += step_a, b += step_b) {
    const T ar = a[0], ai = a[1], br = b[0], bi = b[1] * sign;
    y[2 * j] = ar * br - ai * bi, y[2 * j + 1] = ar * bi + ai * br;
  }
}

template <class T>
void scale(const void* pa, int64_t step_a, const void* pr, int64_t step_r, void* py, int64_t count) {
  const T *a = static_cast<const T*>(pa), *r = static_cast<const T*>(pr);
  T* y = static_cast<T*>(py);
  if (step_a == 2 && step_r == 1) {
    each_vector<T>(count, [&](int64_t j, int n) {
      VecOf<T> re, im;
      load_pairs<T>(a + 2 * j, n, re, im);
      const VecOf<T> f = at(r + j, n);
      store_pairs<T>(y + 2 * j, n, re * f, im * f);
    });
    return;
  }
  for (int64_t j = 0; j < count; ++j, a += step_a, r += step_r)
    y[2 * j] = a[0] * *r, y[2 * j + 1] = a[1] * *r;
}

}  // namespace

const ComplexKernels complex = {{multiply<float>, multiply<double>}, {scale<float>, scale<double>}};

}  // namespace ccdl::cpu::CCDL_ISA
