// Max, average and adaptive pooling, forward.
#include "bench.h"

using namespace ccdl;

int main(int argc, char** argv) {
  bench::start(argc, argv);
  const Tensor x = bench::normal({16, 64, 112, 112}), small = bench::normal({64, 6, 28, 28});
  const ops::PoolArgs three{Dims{3}, Dims{2}, Dims{1}}, two{Dims{2}, Dims{2}};
  const double bytes = 4.0 * static_cast<double>(x.numel()), few = 4.0 * static_cast<double>(small.numel());
  bench::row("max 3x3 s2 16x64x112", 1.25 * bytes, "GB/s", [&] { ops::max_pool2d(x, three); });
  bench::row("max 2x2 s2 64x6x28", 1.25 * few, "GB/s", [&] { ops::max_pool2d(small, two); });
  bench::row("avg 3x3 s2 16x64x112", 1.25 * bytes, "GB/s", [&] { ops::avg_pool2d(x, three); });
  bench::row("adaptive avg 1x1", bytes, "GB/s", [&] { ops::adaptive_avg_pool(2, x, Dims{1, 1}); });
}
