// Convolution forward on the layers of LeNet and ResNet.
#include "bench.h"

using namespace ccdl;

static void layer(const char* name, const Dims& image, const Dims& filter, int64_t stride, int64_t padding) {
  const Tensor x = bench::normal(image), w = bench::normal(filter);
  ops::ConvOptions options;
  options.stride = Dims{stride};
  options.padding = Dims{padding};
  const Tensor y = ops::conv2d(x, w, {}, options);
  const double work = 2.0 * static_cast<double>(y.numel() * w.numel() / w.size(0));
  bench::row(name, work, "GFLOP/s", [&] { ops::conv2d(x, w, {}, options); });
}

int main(int argc, char** argv) {
  bench::start(argc, argv);
  layer("LeNet 1: 64,1,28 -> 6 k5 p2", {64, 1, 28, 28}, {6, 1, 5, 5}, 1, 2);
  layer("LeNet 2: 64,6,14 -> 16 k5", {64, 6, 14, 14}, {16, 6, 5, 5}, 1, 0);
  layer("stem: 4,3,224 -> 64 k7 s2 p3", {4, 3, 224, 224}, {64, 3, 7, 7}, 2, 3);
  layer("4,64,56 -> 64 k3 p1", {4, 64, 56, 56}, {64, 64, 3, 3}, 1, 1);
  layer("4,256,14 -> 256 k3 p1", {4, 256, 14, 14}, {256, 256, 3, 3}, 1, 1);
  layer("4,128,56 -> 128 k3 s2 p1", {4, 128, 56, 56}, {128, 128, 3, 3}, 2, 1);
  layer("4,256,56 -> 64 k1", {4, 256, 56, 56}, {64, 256, 1, 1}, 1, 0);
}
