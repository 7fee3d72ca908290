// Layer, RMS, group and batch normalisation, forward.
#include "bench.h"

using namespace ccdl;

int main(int argc, char** argv) {
  bench::start(argc, argv);
  const Tensor x = bench::normal({4096, 768}), image = bench::normal({16, 64, 56, 56});
  const Tensor w = bench::normal({768}), c = bench::normal({64});
  const double rows = 8.0 * static_cast<double>(x.numel()), pixels = 8.0 * static_cast<double>(image.numel());
  bench::row("layer_norm 4096x768", rows, "GB/s", [&] { ops::layer_norm(x, Dims{768}, w, w); });
  bench::row("rms_norm 4096x768", rows, "GB/s", [&] { ops::rms_norm(x, Dims{768}, w); });
  bench::row("batch_norm 16x64x56x56", pixels, "GB/s", [&] { ops::batch_norm(image, c, c, {}, {}, true); });
  bench::row("group_norm 16x64x56x56", pixels, "GB/s", [&] { ops::group_norm(image, 8, c, c); });
}
