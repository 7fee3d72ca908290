// Hot paths for the instruction guard (bench/check_instructions.py): each section runs a path kRepeats times
// between two calls of getppid(), where callgrind writes out what it has counted. One thread.
#include <ccdl/ccdl.h>
#include <ccdl/core/parallel.h>

#include <unistd.h>

#include <cstdio>

using namespace ccdl;

constexpr int kRepeats = 10;

template <class F>
static void section(const char* name, const F& call) {
  for (int i = 0; i < 3; ++i) call();  // caches, lazily built tables
  std::puts(name);
  std::fflush(stdout);
  getppid();
  for (int i = 0; i < kRepeats; ++i) call();
  getppid();
}

static Tensor normal(const Dims& sizes) { return ops::randn(sizes, DType::Float32); }
static Tensor leaf(Tensor t) {
  autograd::set_requires_grad(t, true);
  return t;
}

int main() {
  set_num_threads(1);
  const Tensor a = normal({4}), b = normal({4}), x = leaf(normal({4}));
  section("a+b", [&] { ops::add(a, b); });
  section("a+b recording", [&] { ops::add(x, b); });
  section("small backward", [&] { autograd::backward({ops::sum(ops::mul(x, b))}); });
  const Tensor m = normal({32, 32}), n = normal({32, 32}), row = normal({1, 1024});
  section("product 32x32x32", [&] { ops::mm(m, n); });
  section("softmax row of 1024", [&] { ops::softmax(row, 1); });

  // LeNet-5 with ReLU and max pooling, batch 8.
  const Tensor images = normal({8, 1, 28, 28}), labels = ops::zeros(Dims{8}, DType::Int64);
  TensorList p;
  for (const Dims& sizes : {Dims{6, 1, 5, 5}, Dims{6}, Dims{16, 6, 5, 5}, Dims{16}, Dims{120, 400}, Dims{120},
                            Dims{84, 120}, Dims{84}, Dims{10, 84}, Dims{10}})
    p.push_back(leaf(ops::full(sizes, 0.05, DType::Float32)));
  const ops::PoolArgs halves{{2}, {2}, {0}, {1}};
  optim::SGD sgd(p, {.lr = 0.01, .momentum = 0.9});
  section("LeNet-5 step", [&] {
    sgd.zero_grad();
    const Tensor c1 = ops::relu(ops::conv2d(images, p[0], p[1], {.padding = {2}}));
    const Tensor c2 = ops::relu(ops::conv2d(ops::max_pool2d(c1, halves), p[2], p[3]));
    const Tensor flat = ops::flatten(ops::max_pool2d(c2, halves), 1);
    const Tensor h1 = ops::relu(ops::linear(flat, p[4], p[5]));
    const Tensor h2 = ops::relu(ops::linear(h1, p[6], p[7]));
    autograd::backward({ops::cross_entropy(ops::linear(h2, p[8], p[9]), labels)});
    sgd.step();
  });
  return 0;
}
