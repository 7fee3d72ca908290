// Special functions, element by element.
#include <ccdl/kernels/special.h>

#include <ccdl/core/parallel.h>
#include <ccdl/kernels/special_quantile.h>

namespace ccdl::cpu {
namespace {

constexpr int64_t kGrain = 512;  // elements per task: each costs some 100 ns

template <class F>
void each(const View& y, const F& f) {
  double* out = y.ptr<double>();
  parallel_for(y.numel(), kGrain, [&](int64_t b, int64_t e) {
    for (int64_t i = b; i < e; ++i) out[i] = f(i);
  });
}

}  // namespace

void special_unary(SpecialUnary op, const View& x, const View& y) {
  const double* p = x.ptr<double>();
  switch (op) {
#define CCDL_X(Name, function) \
  case SpecialUnary::Name:     \
    return each(y, [&](int64_t i) { return special::function(p[i]); });
    CCDL_SPECIAL_UNARY(CCDL_X)
#undef CCDL_X
    case SpecialUnary::kCount:
      break;
  }
}

void special_binary(SpecialBinary op, const View& a, const View& b, const View& y) {
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
