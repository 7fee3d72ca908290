// Special functions in double: one thread per element, one kernel per function. Bound: arithmetic.
#include <ccdl/kernels/special.h>

#include <runtime/launch.h>
#include <device/index.cuh>
#include <device/prelude.cuh>

#include <ccdl/kernels/special_draws.h>

namespace ccdl::cu {
namespace {

constexpr int kSpecialThreads = 128;

template <class F>
__global__ void __launch_bounds__(kSpecialThreads, 1)
    special_kernel(int64_t n, const double* a, const double* b, const double* c, double* y) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kSpecialThreads + threadIdx.x;
  if (i < n) y[i] = F::at(a, b, c, i);
}

#define CCDL_X(Name, function)                                                               \
  struct Name##Unary {                                                                       \
    CCDL_DEVICE static double at(const double* a, const double*, const double*, int64_t i) { \
      return special::function(a[i]);                                                        \
    }                                                                                        \
  };
CCDL_SPECIAL_UNARY(CCDL_X)
#undef CCDL_X
#define CCDL_X(Name, function)                                                                 \
  struct Name##Binary {                                                                        \
    CCDL_DEVICE static double at(const double* a, const double* b, const double*, int64_t i) { \
      return special::function(a[i], b[i]);                                                    \
    }                                                                                          \
  };
CCDL_SPECIAL_BINARY(CCDL_X)
#undef CCDL_X
#define CCDL_X(Name, function)                                                                   \
  struct Name##Ternary {                                                                         \
    CCDL_DEVICE static double at(const double* a, const double* b, const double* c, int64_t i) { \
      return special::function(a[i], b[i], c[i]);                                                \
    }                                                                                            \
  };
CCDL_SPECIAL_TERNARY(CCDL_X)
#undef CCDL_X

template <class F>
void each(const double* a, const double* b, const double* c, const View& y) {
  const int64_t n = y.numel();
  LaunchConfig config;
  config.grid = dim3(static_cast<unsigned>(ceil_div<int64_t>(n, kSpecialThreads)));
  config.block = dim3(kSpecialThreads);
  CCDL_LAUNCH(config, special_kernel<F>, n, a, b, c, y.ptr<double>());
}

}  // namespace

void special_unary(SpecialUnary op, const View& x, const View& y) {
  switch (op) {
#define CCDL_X(Name, function) \
  case SpecialUnary::Name:     \
    return each<Name##Unary>(x.ptr<double>(), nullptr, nullptr, y);
    CCDL_SPECIAL_UNARY(CCDL_X)
#undef CCDL_X
    case SpecialUnary::kCount:
      break;
  }
}

void special_binary(SpecialBinary op, const View& a, const View& b, const View& y) {
  switch (op) {
#define CCDL_X(Name, function) \
  case SpecialBinary::Name:    \
    return each<Name##Binary>(a.ptr<double>(), b.ptr<double>(), nullptr, y);
    CCDL_SPECIAL_BINARY(CCDL_X)
#undef CCDL_X
    case SpecialBinary::kCount:
      break;
  }
}

void special_ternary(SpecialTernary op, const View& a, const View& b, const View& c, const View& y) {
  switch (op) {
#define CCDL_X(Name, function) \
  case SpecialTernary::Name:   \
    return each<Name##Ternary>(a.ptr<double>(), b.ptr<double>(), c.ptr<double>(), y);
    CCDL_SPECIAL_TERNARY(CCDL_X)
#undef CCDL_X
    case SpecialTernary::kCount:
      break;
  }
}

}  // namespace ccdl::cu
