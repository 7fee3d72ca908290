// Gathers, embedding and joining.
#include "bench.h"

using namespace ccdl;

int main(int argc, char** argv) {
  bench::start(argc, argv);
  const Tensor table = bench::normal({32000, 512}), m = bench::normal({2048, 2048});
  const Tensor ids = ops::randint(0, 32000, Dims{32, 128}, DType::Int64);
  const Tensor columns = ops::randint(0, 2048, Dims{2048, 2048}, DType::Int64);
  const Tensor rows = ops::randint(0, 2048, Dims{2048}, DType::Int64);
  const double bytes = 4.0 * static_cast<double>(m.numel());
  bench::row("embedding 32000x512, 32x128", 8.0 * 4096 * 512, "GB/s", [&] { ops::embedding(ids, table); });
  bench::row("index_select rows 2048^2", 2 * bytes, "GB/s", [&] { ops::index_select(m, 0, rows); });
  bench::row("gather(1) 2048^2", 4 * bytes, "GB/s", [&] { ops::gather(m, 1, columns); });
  bench::row("cat(1) 2 x 2048^2", 4 * bytes, "GB/s", [&] { ops::cat({m, m}, 1); });
}
