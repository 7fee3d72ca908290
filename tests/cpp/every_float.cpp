// The largest error of float32 functions over all floats, in units in the last place, against the C library
// in float64. Compiled and run by tests/test_vector_math.py (on demand); one function per argument.
//   every_float STEP NAME...   every STEP-th bit pattern; prints {"NAME": [worst, at, wrong special values],
//   ...}
#include <ccdl/ccdl.h>
#include <ccdl/core/parallel.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

using namespace ccdl;

struct Function {
  Tensor (*ours)(const Tensor&);
  double (*exact)(double);
  double least_scale;  // errors are in ULP of max(|y|, least_scale |x|)
};

static double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
static double silu(double x) { return x == -INFINITY ? NAN : x * sigmoid(x); }
static double gelu(double x) {
  return x == -INFINITY ? NAN : 0.5 * x * std::erfc(-x * 0.70710678118654752440);
}
static double log_sigmoid(double x) { return std::min(x, 0.0) - std::log1p(std::exp(-std::abs(x))); }
static double softplus(double x) { return x > 20 ? x : std::log1p(std::exp(x)); }

#define CCDL_SAME(name)                                                                      \
  {                                                                                          \
#name, {                                                                                 \
      [](const Tensor& x) { return ops::name(x); }, [](double x) { return std::name(x); }, 0 \
    }                                                                                        \
  }
static const std::map<std::string, Function> kFunctions = {
    CCDL_SAME(exp),
    CCDL_SAME(exp2),
    CCDL_SAME(expm1),
    CCDL_SAME(log),
    CCDL_SAME(log2),
    CCDL_SAME(log10),
    CCDL_SAME(log1p),
    CCDL_SAME(tanh),
    CCDL_SAME(erf),
    CCDL_SAME(erfc),
    CCDL_SAME(sin),
    CCDL_SAME(cos),
    CCDL_SAME(tan),
    CCDL_SAME(sinh),
    CCDL_SAME(cosh),
    CCDL_SAME(asinh),
    CCDL_SAME(acosh),
    CCDL_SAME(atanh),
    CCDL_SAME(atan),
    CCDL_SAME(asin),
    CCDL_SAME(acos),
    CCDL_SAME(sqrt),
    CCDL_SAME(floor),
    CCDL_SAME(ceil),
    CCDL_SAME(trunc),
    {"round", {[](const Tensor& x) { return ops::round(x); }, [](double x) { return std::nearbyint(x); }, 0}},
    {"sigmoid", {[](const Tensor& x) { return ops::sigmoid(x); }, sigmoid, 0}},
    {"silu", {[](const Tensor& x) { return ops::silu(x); }, silu, 1.2e-38}},
    {"gelu", {[](const Tensor& x) { return ops::gelu(x); }, gelu, 0.5}},
    {"logsigmoid", {[](const Tensor& x) { return ops::logsigmoid(x); }, log_sigmoid, 0}},
    {"softplus", {[](const Tensor& x) { return ops::softplus(x); }, softplus, 0}},
};

struct Worst {
  double error = 0;
  float at = 0;
  int64_t wrong = 0;
};

static void compare(const Function& f, const float* x, const float* y, int64_t n, Worst* worst) {
  for (int64_t i = 0; i < n; ++i) {
    const double exact = f.exact(static_cast<double>(x[i]));
    const float rounded = static_cast<float>(exact);
    if (std::isnan(rounded) || std::isnan(y[i])) {
      worst->wrong += std::isnan(rounded) != std::isnan(y[i]);
      continue;
    }
    if (std::isinf(rounded) || std::isinf(y[i])) {  // just below the overflow either side is right
      worst->wrong += rounded != y[i] && !(std::abs(exact) > 3.402823e38 && std::abs(exact) < 3.402824e38);
      continue;
    }
    if (rounded == 0 && y[i] == 0) {
      worst->wrong += exact == 0 && std::signbit(rounded) != std::signbit(y[i]);
      continue;
    }
    const float scale =
        std::max({std::abs(rounded), static_cast<float>(f.least_scale) * std::abs(x[i]), 1.17549435e-38f});
    uint32_t bits;
    std::memcpy(&bits, &scale, 4);
    bits = (bits & 0x7f800000u) - (23u << 23);  // 2^(exponent - 23): one ULP, a subnormal where it wraps
    float ulp;
    std::memcpy(&ulp, &bits, 4);
    if (!(scale >= 9.8607613e-32f)) ulp = std::ldexp(1.0f, std::ilogb(scale) - 23);
    const double error = std::abs(static_cast<double>(y[i]) - exact) / static_cast<double>(ulp);
    if (error > worst->error) worst->error = error, worst->at = x[i];
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return std::puts("every_float STEP NAME..."), 2;
  set_num_threads(1);
  autograd::set_grad_enabled(false);
  const uint64_t step = std::strtoull(argv[1], nullptr, 10);
  const int64_t block = 1 << 16;
  Tensor x = empty(Dims{block}, DType::Float32);
  std::vector<Worst> found(argc);
  std::vector<uint32_t> patterns(block);
  uint64_t next = 0;
  while (next < (uint64_t{1} << 32)) {
    for (int64_t i = 0; i < block; ++i) {
      patterns[i] = static_cast<uint32_t>(std::min<uint64_t>(next, 0xffffffffu));
      next += step;
    }
    std::memcpy(x.data(), patterns.data(), block * 4);
    for (int a = 2; a < argc; ++a) {
      const Function& f = kFunctions.at(argv[a]);
      const Tensor y = f.ours(x);
      compare(f, x.ptr<float>(), y.ptr<float>(), block, &found[a]);
    }
  }
  std::printf("{");
  for (int a = 2; a < argc; ++a)
    std::printf("%s\"%s\": [%.4f, %.9g, %lld]", a > 2 ? ", " : "", argv[a], found[a].error,
                std::isfinite(found[a].at) ? found[a].at : 0.0, static_cast<long long>(found[a].wrong));
  std::puts("}");
}
