// Kernels of the special functions over contiguous float or double; the arithmetic is in double.
#pragma once
#include <ccdl/cpu/isa.h>
#include <cstdint>

namespace ccdl::cpu {

template <class T>
struct SpecialKernelsOf {
  void (*i0)(const T* x, T* y, int64_t n);
  void (*i0e)(const T* x, T* y, int64_t n);
  void (*i1)(const T* x, T* y, int64_t n);
  void (*i1e)(const T* x, T* y, int64_t n);
  void (*erfcx)(const T* x, T* y, int64_t n);
  void (*ndtri)(const T* x, T* y, int64_t n);
  void (*log_ndtr)(const T* x, T* y, int64_t n);
  // The regularised incomplete gamma function P(a, x), or Q when `upper`; `lane` computes the rare elements.
  void (*gammainc)(const T* a, const T* x, T* y, int64_t n, bool upper, double (*lane)(double, double));
  // Hurwitz's zeta(x, q), and polygamma of order x at q.
  void (*zeta)(const T* x, const T* q, T* y, int64_t n, bool polygamma, double (*lane)(double, double));
};
struct SpecialKernels {
  SpecialKernelsOf<float> single;
  SpecialKernelsOf<double> full;
};

CCDL_SIMD_FAMILY(SpecialKernels, special)

}  // namespace ccdl::cpu
