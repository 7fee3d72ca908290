// Reductions over all, inner and outer dimensions, and scans.
#include "bench.h"

using namespace ccdl;

int main(int argc, char** argv) {
  bench::start(argc, argv);
  const Tensor v = bench::normal({int64_t{1} << 24}), m = bench::normal({2048, 2048});
  const double all = 4.0 * static_cast<double>(v.numel()), matrix = 4.0 * static_cast<double>(m.numel());
  bench::row("sum 16M", all, "GB/s", [&] { ops::sum(v); });
  bench::row("sum(0) 2048^2", matrix, "GB/s", [&] { ops::sum(m, Dims{0}); });
  bench::row("sum(1) 2048^2", matrix, "GB/s", [&] { ops::sum(m, Dims{1}); });
  bench::row("var(1) 2048^2", matrix, "GB/s", [&] { ops::var(m, Dims{1}); });
  bench::row("argmax(1) 2048^2", matrix, "GB/s", [&] { ops::argmax(m, 1); });
  bench::row("cumsum(1) 2048^2", 2 * matrix, "GB/s", [&] { ops::cumsum(m, 1); });
}
