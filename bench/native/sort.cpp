// Sorting and selection.
#include "bench.h"

using namespace ccdl;

int main(int argc, char** argv) {
  bench::start(argc, argv);
  const Tensor v = bench::normal({1000000}), m = bench::normal({1000, 1000});
  const double all = 4.0 * static_cast<double>(v.numel());
  bench::row("sort 1M", all, "GB/s", [&] { ops::sort(v); });
  bench::row("sort(1) 1000x1000", all, "GB/s", [&] { ops::sort(m, 1); });
  bench::row("topk 10 of 1M", all, "GB/s", [&] { ops::topk(v, 10); });
  bench::row("topk(1) 5 of 1000x1000", all, "GB/s", [&] { ops::topk(m, 5, 1); });
}
