// One optimiser step over 10 M parameters in one tensor and over 60 tensors of 1000.
#include "bench.h"

using namespace ccdl;

template <class Make>
static void step(const char* name, int64_t tensors, int64_t size, double bytes_each, const Make& make) {
  TensorList parameters;
  for (int64_t i = 0; i < tensors; ++i) {
    const Tensor p = bench::normal({size});
    autograd::set_requires_grad(p, true);
    autograd::set_grad(p, bench::normal({size}));
    parameters.push_back(p);
  }
  auto optimiser = make(parameters);
  bench::row(name, bytes_each * static_cast<double>(tensors * size), "GB/s", [&] { optimiser.step(); });
}

int main(int argc, char** argv) {
  bench::start(argc, argv);
  auto adam = [](const TensorList& p) { return optim::Adam(p, {.lr = 1e-3}); };
  auto sgd = [](const TensorList& p) { return optim::SGD(p, {.lr = 1e-3, .momentum = 0.9}); };
  step("Adam 10M", 1, 10000000, 28, adam);
  step("Adam 60 x 1000", 60, 1000, 28, adam);
  step("SGD momentum 10M", 1, 10000000, 20, sgd);
  step("SGD momentum 60 x 1000", 60, 1000, 20, sgd);
}
