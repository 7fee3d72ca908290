// Elementwise ops on 256 K floats (in cache) and 16 M (memory).
#include "bench.h"

using namespace ccdl;

int main(int argc, char** argv) {
  bench::start(argc, argv);
  for (int64_t n : {int64_t{1} << 18, int64_t{1} << 24}) {
    const Tensor a = bench::normal({n}), b = bench::normal({n});
    const double bytes = 4.0 * static_cast<double>(n);
    std::printf("%lld elements\n", static_cast<long long>(n));
    bench::row("a + b", 3 * bytes, "GB/s", [&] { ops::add(a, b); });
    bench::row("a += b", 3 * bytes, "GB/s", [&] { ops::add_(a, b); });
    bench::row("relu", 2 * bytes, "GB/s", [&] { ops::relu(a); });
    bench::row("exp", 2 * bytes, "GB/s", [&] { ops::exp(b); });
    bench::row("tanh", 2 * bytes, "GB/s", [&] { ops::tanh(b); });
    bench::row("gelu", 2 * bytes, "GB/s", [&] { ops::gelu(b); });
    bench::row("where", 13.0 / 4 * bytes, "GB/s", [&] { ops::where(ops::gt(a, b), a, b); });
  }
  const Tensor m = bench::normal({2048, 2048});
  bench::row("transpose copy 2048^2", 8.0 * static_cast<double>(m.numel()), "GB/s",
             [&] { ops::contiguous(ops::t(m)); });
}
