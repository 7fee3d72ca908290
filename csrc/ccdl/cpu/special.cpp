// Special functions, element by element.
#include <ccdl/kernels/special.h>

#include <ccdl/core/parallel.h>
#include <ccdl/cpu/simd/special.h>
#include <ccdl/kernels/special_draws.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kGrain = 512;         // elements per task: each costs some 100 ns
constexpr int64_t kGrainVector = 8192;  // some 3 ns

template <class F>
void each(const View& y, const F& f) {
  double* out = y.ptr<double>();
  parallel_for(y.numel(), kGrain, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) out[i] = f(i);
  });
}

// The vector kernel over pieces of x; every unary function has one.
template <class T>
void unary_of(SpecialUnary op, const SpecialKernelsOf<T>& simd, const View& x, const View& y) {
  const auto fn = op == SpecialUnary::I0      ? simd.i0
                  : op == SpecialUnary::I0e   ? simd.i0e
                  : op == SpecialUnary::I1    ? simd.i1
                  : op == SpecialUnary::I1e   ? simd.i1e
                  : op == SpecialUnary::Erfcx ? simd.erfcx
                  : op == SpecialUnary::Ndtri ? simd.ndtri
                                              : simd.log_ndtr;
  const T* p = x.ptr<T>();
  T* out = y.ptr<T>();
  parallel_for(y.numel(), kGrainVector, [&](int64_t b, int64_t e) { fn(p + b, out + b, e - b); });
}
bool has_vectors(SpecialBinary op) {
  return op == SpecialBinary::Gammainc || op == SpecialBinary::Gammaincc || op == SpecialBinary::Zeta ||
         op == SpecialBinary::Polygamma;
}
template <class T>
void binary_of(SpecialBinary op, const SpecialKernelsOf<T>& simd, const View& a, const View& x,
               const View& y) {
  const T *p = a.ptr<T>(), *q = x.ptr<T>();
  T* out = y.ptr<T>();
  const bool series = op == SpecialBinary::Zeta || op == SpecialBinary::Polygamma;
  const bool second = op == SpecialBinary::Gammaincc || op == SpecialBinary::Polygamma;
  const auto fn = series ? simd.zeta : simd.gammainc;
  const auto lane = series ? (second ? special::polygamma : special::zeta)
                           : (second ? special::gammaincc : special::gammainc);
  parallel_for(y.numel(), kGrain,
               [&](int64_t b, int64_t e) { fn(p + b, q + b, out + b, e - b, second, lane); });
}

}  // namespace

void special_unary(SpecialUnary op, const View& x, const View& y) {
  if (y.dtype == DType::Float32) return unary_of<float>(op, simd_special().single, x, y);
  unary_of<double>(op, simd_special().full, x, y);
}

void special_binary(SpecialBinary op, const View& a, const View& b, const View& y) {
  if (has_vectors(op)) {
    if (y.dtype == DType::Float32) return binary_of<float>(op, simd_special().single, a, b, y);
    return binary_of<double>(op, simd_special().full, a, b, y);
  }
  const double *p = a.ptr<double>(), *q = b.ptr<double>();
  switch (op) {
#define CCDL_X(Name, function) \
  case SpecialBinary::Name:    \
    return each(y, [&](int64_t i) { return special::function(p[i], q[i]); });
    CCDL_SPECIAL_BINARY(CCDL_X)
#undef CCDL_X
    case SpecialBinary::kCount:
      break;
  }
}

void special_ternary(SpecialTernary op, const View& a, const View& b, const View& c, const View& y) {
  const double *p = a.ptr<double>(), *q = b.ptr<double>(), *r = c.ptr<double>();
  switch (op) {
#define CCDL_X(Name, function) \
  case SpecialTernary::Name:   \
    return each(y, [&](int64_t i) { return special::function(p[i], q[i], r[i]); });
    CCDL_SPECIAL_TERNARY(CCDL_X)
#undef CCDL_X
    case SpecialTernary::kCount:
      break;
  }
}

}  // namespace ccdl::cpu
