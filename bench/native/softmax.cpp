// Softmax and cross-entropy.
#include "bench.h"

using namespace ccdl;

int main(int argc, char** argv) {
  bench::start(argc, argv);
  const Tensor x = bench::normal({4096, 768}), logits = bench::normal({1024, 32000});
  const Tensor labels = ops::randint(0, 32000, Dims{1024}, DType::Int64);
  const double bytes = 4.0 * static_cast<double>(x.numel());
  bench::row("softmax 4096x768", 2 * bytes, "GB/s", [&] { ops::softmax(x, 1); });
  bench::row("log_softmax 4096x768", 2 * bytes, "GB/s", [&] { ops::log_softmax(x, 1); });
  bench::row("softmax(0) 4096x768", 2 * bytes, "GB/s", [&] { ops::softmax(x, 0); });
  bench::row("cross_entropy 1024x32000", 4.0 * static_cast<double>(logits.numel()), "GB/s",
             [&] { ops::cross_entropy(logits, labels); });
}
