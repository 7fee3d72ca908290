// Ops, autograd, optimisers and tensor files through the C++ interface alone.
#include <unistd.h>

#include <cstring>

#include <ccdl/ccdl.h>

#include "test.h"

using namespace ccdl;

static Tensor random(const Dims& sizes, uint32_t seed, DType dtype = DType::Float64) {
  Tensor t = empty(sizes, DType::Float64);
  uint32_t s = seed * 2654435761u + 1;
  for (int64_t i = 0; i < t.numel(); ++i) {
    s = s * 1664525u + 1013904223u;
    t.ptr<double>()[i] = static_cast<double>(s >> 8) / 8388608.0 - 1.0;
  }
  return ops::to(t, dtype);
}

static Tensor leaf(const Dims& sizes, uint32_t seed) {
  Tensor t = random(sizes, seed);
  autograd::set_requires_grad(t, true);
  return t;
}

static double value(const Tensor& t) { return ops::item(t).to_double(); }

// Largest difference between autograd's gradient and central differences of f at x.
template <class F>
static double gradient_error(const Tensor& x, const F& f) {
  const TensorList g = autograd::grad({f(x)}, {x});
  const Tensor dense = ops::contiguous(g[0]);
  autograd::NoGradGuard no_grad;
  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    double* p = x.ptr<double>() + i;
    const double kept = *p, h = 1e-6;
    *p = kept + h;
    const double up = value(f(x));
    *p = kept - h;
    const double down = value(f(x));
    *p = kept;
    worst = std::max(worst, std::abs((up - down) / (2 * h) - dense.ptr<double>()[i]));
  }
  return worst;
}

TEST(products_against_a_plain_loop) {
  for (const DType dtype : {DType::Float32, DType::Float64})
    for (const int64_t n : {1, 7, 16, 33, 65}) {
      const Tensor a = random({n, n + 3}, 1, dtype), b = random({n + 3, n + 1}, 2, dtype);
      const Tensor y = ops::to(ops::matmul(a, b), DType::Float64);
      const Tensor da = ops::to(a, DType::Float64), db = ops::to(b, DType::Float64);
      double worst = 0;
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < n + 1; ++j) {
          double sum = 0;
          for (int64_t k = 0; k < n + 3; ++k)
            sum += da.ptr<double>()[i * (n + 3) + k] * db.ptr<double>()[k * (n + 1) + j];
          worst = std::max(worst, std::abs(sum - y.ptr<double>()[i * (n + 1) + j]));
        }
      CHECK(worst < (dtype == DType::Float32 ? 1e-4 : 1e-11));
    }
}

TEST(convolution_against_a_plain_loop) {
  const Tensor x = random({2, 3, 9, 8}, 3), w = random({4, 3, 3, 2}, 4);
  const Tensor y = ops::conv2d(x, w, {}, {.stride = {2, 1}, .padding = {1, 1}, .dilation = {1, 2}});
  const int64_t oh = y.size(2), ow = y.size(3);
  double worst = 0;
  for (int64_t n = 0; n < 2; ++n)
    for (int64_t o = 0; o < 4; ++o)
      for (int64_t i = 0; i < oh; ++i)
        for (int64_t j = 0; j < ow; ++j) {
          double sum = 0;
          for (int64_t c = 0; c < 3; ++c)
            for (int64_t p = 0; p < 3; ++p)
              for (int64_t q = 0; q < 2; ++q) {
                const int64_t r = i * 2 - 1 + p, s = j - 1 + q * 2;
                if (r < 0 || r >= 9 || s < 0 || s >= 8) continue;
                sum += x.ptr<double>()[((n * 3 + c) * 9 + r) * 8 + s] *
                       w.ptr<double>()[((o * 3 + c) * 3 + p) * 2 + q];
              }
          worst = std::max(worst, std::abs(sum - y.ptr<double>()[((n * 4 + o) * oh + i) * ow + j]));
        }
  CHECK(worst < 1e-12);
}

TEST(gradients_against_central_differences) {
  const Tensor w = random({4, 5}, 7), k = random({3, 2, 3, 3}, 8);
  CHECK(gradient_error(leaf({3, 4}, 1),
                       [&](const Tensor& x) { return ops::sum(ops::exp(ops::matmul(x, w))); }) < 1e-6);
  CHECK(gradient_error(leaf({2, 6}, 2), [](const Tensor& x) {
          const Tensor y = ops::log_softmax(x, 1);
          return ops::sum(ops::mul(y, ops::tanh(y)));
        }) < 1e-6);
  CHECK(gradient_error(leaf({2, 2, 5, 5}, 3), [&](const Tensor& x) {
          const Tensor y = ops::conv2d(x, k, {}, {.padding = {1, 1}});
          return ops::sum(ops::mul(y, y));
        }) < 1e-5);
  CHECK(gradient_error(leaf({4, 6}, 4), [](const Tensor& x) {
          return ops::sum(ops::mul(ops::select(x, 0, 1), ops::narrow(ops::t(x), 1, 2, 1)));
        }) < 1e-6);
}

TEST(writes_through_views_reach_the_base) {
  const Tensor x = leaf({4}, 5);
  const Tensor y = ops::mul(x, 1.0);
  ops::mul_(ops::narrow(y, 0, 1, 2), 10.0);
  const Tensor g = autograd::grad({ops::sum(y)}, {x})[0];
  const double want[4] = {1, 10, 10, 1};
  CHECK(std::memcmp(ops::contiguous(g).data(), want, sizeof(want)) == 0);
}

TEST(misuse_raises) {
  const Tensor x = leaf({2, 3}, 6);
  CHECK_THROWS(autograd::backward({ops::exp(x)}), Autograd, "scalar");
  CHECK_THROWS(ops::add_(x, 1.0), Autograd, "leaf");
  CHECK_THROWS(ops::matmul(x, x), Shape, "matmul");
  CHECK_THROWS(ops::sum(x, Dims{5}), Index, "sum");
  const Tensor y = ops::sum(ops::exp(x));
  autograd::backward({y});
  CHECK_THROWS(autograd::backward({y}), Autograd, "second time");
}

TEST(long_chains_do_not_recurse) {
  const Tensor x = leaf({1}, 7);
  Tensor y = x;
  for (int i = 0; i < 100000; ++i) y = ops::add(y, 1.0);
  autograd::backward({ops::sum(y)});
  CHECK(value(autograd::grad(x)) == 1.0);
}

struct CubeBackward : autograd::Node {
  const char* name() const override { return "CubeBackward"; }
  autograd::SavedTensor x;
  TensorList apply(const TensorList& grads) override {
    const Tensor v = x.get(this);
    return {ops::mul(grads[0], ops::mul(ops::mul(v, v), 3.0))};
  }
  void release_saved() override { x.reset(); }
};

TEST(an_op_of_ones_own_differentiates_twice) {
  const Tensor x = leaf({3}, 8);
  const Tensor y = ops::mul(ops::mul(autograd::detach(x), autograd::detach(x)), autograd::detach(x));
  auto node = make_ref<CubeBackward>();
  node->x = autograd::SavedTensor(x);
  autograd::record(node, {x}, y);
  const Tensor g = autograd::grad({ops::sum(y)}, {x}, {}, true, true)[0];
  const Tensor h = autograd::grad({ops::sum(g)}, {x})[0];
  for (int i = 0; i < 3; ++i) {
    const double v = x.ptr<double>()[i];
    CHECK_CLOSE(g.ptr<double>()[i], 3 * v * v, 1e-12);
    CHECK_CLOSE(h.ptr<double>()[i], 6 * v, 1e-12);
  }
}

TEST(the_same_bits_at_any_thread_count) {
  const Tensor a = random({300, 200}, 9, DType::Float32), b = random({200, 150}, 10, DType::Float32);
  std::string seen[2];
  for (const int threads : {1, 4}) {
    set_num_threads(threads);
    const Tensor y = ops::sum(ops::exp(ops::mul(ops::matmul(a, b), 0.01)), Dims{0});
    seen[threads == 4].assign(static_cast<const char*>(y.data()), static_cast<size_t>(y.numel()) * 4);
  }
  CHECK(seen[0] == seen[1]);
}

TEST(optimisers_descend_and_files_round_trip) {
  for (const bool use_adam : {false, true}) {
    const Tensor w = leaf({5}, 11);
    std::unique_ptr<optim::Optimizer> step;
    if (use_adam)
      step = std::make_unique<optim::Adam>(TensorList{w}, optim::AdamOptions{.lr = 0.05});
    else
      step = std::make_unique<optim::SGD>(TensorList{w}, optim::SGDOptions{.lr = 0.05, .momentum = 0.9});
    for (int i = 0; i < 300; ++i) {
      step->zero_grad();
      const Tensor error = ops::sub(w, 2.0);
      autograd::backward({ops::sum(ops::mul(error, error))});
      step->step();
    }
    for (int i = 0; i < 5; ++i) CHECK_CLOSE(w.ptr<double>()[i], 2.0, 1e-3);
    char path[] = "/tmp/ccdl_engine_XXXXXX";
    close(mkstemp(path));
    ops::save_safetensors(path, {{"w", w}, {"t", ops::t(random({2, 3}, 1))}});
    const ops::NamedTensors back = ops::load_safetensors(path);
    CHECK(std::memcmp(back.at("w").data(), w.data(), 40) == 0);
    CHECK((back.at("t").sizes() == Dims{3, 2}));
    unlink(path);
  }
  CHECK_THROWS(optim::SGD({}), Value, "optimizer");
}

TEST_MAIN()
