// Matrix products in all transposes, small to large, float32, float64 and bfloat16.
#include "bench.h"

using namespace ccdl;

static void product(const char* name, const Tensor& a, const Tensor& b) {
  const double work = 2.0 * static_cast<double>(a.size(0) * a.size(1) * b.size(1));
  bench::row(name, work, "GFLOP/s", [&] { ops::mm(a, b); });
}

int main(int argc, char** argv) {
  bench::start(argc, argv);
  for (int64_t n : {64, 256, 1024}) {
    const Tensor a = bench::normal({n, n}), b = bench::normal({n, n});
    product(str("NN ", n).c_str(), a, b);
    product(str("NT ", n).c_str(), a, ops::t(b));
    product(str("TN ", n).c_str(), ops::t(a), b);
    product(str("TT ", n).c_str(), ops::t(a), ops::t(b));
  }
  product("128x784x256", bench::normal({128, 784}), bench::normal({784, 256}));
  product("64x512x10", bench::normal({64, 512}), bench::normal({512, 10}));
  product("1x1024x1024", bench::normal({1, 1024}), ops::t(bench::normal({1024, 1024})));
  product("512 float64", bench::normal({512, 512}, DType::Float64),
          bench::normal({512, 512}, DType::Float64));
  product("512 bfloat16", bench::normal({512, 512}, DType::BFloat16),
          bench::normal({512, 512}, DType::BFloat16));
}
